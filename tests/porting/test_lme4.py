"""The R names beyond what they print: arguments, refusals, known covariances, objects that can be computed with."""

import inspect
import warnings

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.errors import CovarianceError, DataError, FormulaError, MixedVCWarning, NotProvided, OptionError
from mixedvc.porting import lme4
from mixedvc.porting.formulas import read, updated
from mixedvc.porting.intervals import ordered_parameters
from mixedvc.porting.lme4 import *  # noqa: F403
from mixedvc.porting.lme4 import (
    AIC,
    NA,
    VarCorr,
    anova,
    as_data_frame,
    attr,
    bootMer,
    c,
    coef,
    confint,
    deviance,
    drop1,
    emmeans,
    exactRLRT,
    fitted,
    fixef,
    formula,
    getME,
    glmer,
    isLMM,
    lme,
    lmer,
    logLik,
    model_matrix,
    nlmer,
    pairs,
    predict,
    profile,
    ranef,
    ranova,
    refit,
    refitML,
    residuals,
    rprint,
    simulate,
    summary,
    terms,
    tidy,
    update,
    vcov,
)

from ..tolerances import COMPONENT, IDENTITY, OBJECTIVE, PARAMETER

SLOPES = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def sleepstudy():
    return mv.load_data("sleepstudy")


@pytest.fixture(scope="module")
def m(sleepstudy):
    return lmer(SLOPES, sleepstudy)


@pytest.fixture(scope="module")
def related():
    """Records of related individuals in herds."""
    rng = np.random.default_rng(3)
    ids = [f"id{i}" for i in range(40)]
    sires = [None] * 10 + [f"id{i % 5}" for i in range(30)]
    dams = [None] * 10 + [f"id{5 + i % 5}" for i in range(30)]
    ped = pd.DataFrame({"id": ids, "sire": sires, "dam": dams})
    d = pd.DataFrame({"id": np.repeat(ids, 3), "herd": np.tile(list("abcdef"), 20), "x": rng.standard_normal(120)})
    d["y"] = d.x + np.repeat(4 * rng.standard_normal(40), 3) + rng.standard_normal(120)
    d["y"] += d.herd.map(dict(zip("abcdef", (-2, -1, 0, 1, 2, 3), strict=True)))
    return d, ped


def test_every_exported_name_exists_and_says_what_it_does():
    for name in lme4.__all__:
        value = getattr(lme4, name)
        if callable(value):
            assert inspect.getdoc(value), name


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"control": {"optimizer": "bobyqa"}}, "control=: lme4's optimizers do not run here"),
        ({"start": [1.0]}, "start=: the fit needs no starting values"),
        ({"verbose": 2}, "verbose=: the fit prints nothing"),
        ({"devFunOnly": True}, "devFunOnly=: there is no deviance function"),
        ({"family": "binomial"}, r"generalised models \(glmer, family=\) are not available"),
        ({"REML": "yes"}, "REML='yes': True or False"),
        ({"na_action": "na.pass"}, "na_action='na.pass' is not one of"),
        ({"relmat": 3}, "relmat= is a dictionary"),
        ({"relmat": {"Day": np.eye(3)}}, "relmat/pedigree name 'Day', which is no grouping factor"),
        ({"subset": "Days + 1"}, "is no comparison"),
    ],
)
def test_an_argument_is_honoured_or_refused_by_name(sleepstudy, option, message):
    with pytest.raises(OptionError, match=message):
        lmer(SLOPES, sleepstudy, **option)


def test_other_refusals_say_what_to_do(sleepstudy, m):
    with pytest.raises(OptionError, match=r"no random term is in 'Reaction ~ Days'"):
        lmer("Reaction ~ Days", sleepstudy)
    with pytest.raises(OptionError, match="lmer\\(\\) needs data="):
        lmer(SLOPES)
    with pytest.raises(OptionError, match="the formula is text"):
        lmer(3, sleepstudy)
    with pytest.raises(FormulaError, match="never closed"):
        lmer("Reaction ~ Days + (Days | Subject", sleepstudy)
    with pytest.raises(DataError, match="True or False for each of the 180 rows"):
        lmer(SLOPES, sleepstudy, subset=[True, False])
    with pytest.raises(OptionError, match=r"fixef\(\) takes a model fitted by lmer\(\), not a DataFrame"):
        fixef(sleepstudy)
    with pytest.raises(OptionError, match="update\\(\\) has no argument 'foo'"):
        update(m, foo=1)
    for absent, what in ((glmer, "generalised"), (nlmer, "non-linear"), (lme, "mixedvc translate")):
        with pytest.raises(NotProvided, match=what):
            absent("y ~ x", sleepstudy)


def test_values_compute_like_pandas(m):
    assert fixef(m)["Days"] == pytest.approx(m.fit.params["Days"])
    table = as_data_frame(VarCorr(m))
    np.testing.assert_allclose(table.loc[table.grp == "Residual", "vcov"].item(), m.fit.scale, **IDENTITY)
    np.testing.assert_allclose(np.sqrt(np.diag(vcov(m))), m.fit.bse, **IDENTITY)
    assert "Matrix of class" not in str(vcov(m).iloc[:1])  # a part has not the heading of the whole
    np.testing.assert_allclose(coef(summary(m))["t value"], m.fit.tvalues, **IDENTITY)
    np.testing.assert_allclose(ranef(m)["Subject"].to_numpy(), m.fit.random_effects["Subject"], **IDENTITY)
    assert attr(ranef(m, condVar=False)["Subject"], "postVar") is None
    assert c(1, [2, 3], "a") == [1, 2, 3, "a"] and np.isnan(NA)
    assert str(terms(m)) == SLOPES and attr(terms(m), "term.labels") == ["Days"] and isLMM(m)


def test_rprint_prints_as_r(m, capsys):
    rprint(m.sigma)
    rprint([1, 2.5])
    rprint(None)
    rprint(SLOPES)
    assert capsys.readouterr().out.splitlines() == ["[1] 25.59182", "[1] 1.0 2.5", "NULL", f'[1] "{SLOPES}"']


def test_getme_is_consistent_with_the_model_equations(m):
    X, Z, b, beta = (getME(m, name) for name in ("X", "Z", "b", "beta"))
    np.testing.assert_allclose(X.to_numpy() @ beta + Z @ b, fitted(m), **PARAMETER)
    L, u, sigma2 = getME(m, "Lambda"), getME(m, "u"), m.fit.scale
    np.testing.assert_allclose(L @ u, b, **PARAMETER)
    V = sigma2 * (np.eye(180) + (Z @ L @ L.T @ Z.T).toarray())
    np.testing.assert_allclose(np.linalg.inv(X.T @ np.linalg.solve(V, X)), vcov(m), **PARAMETER)
    RX, cmp = getME(m, "RX"), getME(m, "devcomp")["cmp"]
    np.testing.assert_allclose(RX.T @ RX, X.T @ np.linalg.solve(V / sigma2, X), **PARAMETER)
    np.testing.assert_allclose(cmp["ldL2"], np.linalg.slogdet(V / sigma2)[1], **OBJECTIVE)
    np.testing.assert_allclose(cmp["ussq"], u @ u, **PARAMETER)
    np.testing.assert_allclose(2 * np.log(np.diag(RX)).sum(), cmp["ldRX2"], **OBJECTIVE)
    everything = getME(m, "ALL")
    assert everything["q"] == Z.shape[1] == 36 and list(everything["Gp"]) == [0, 36]
    assert (getME(m, "Zt") != Z.T).nnz == 0 and list(getME(m, ["n", "p"]).values()) == [180, 2]
    with pytest.raises(OptionError, match=r"getME\(m, 'RZX'\): no such part \(lme4's own factorisation"):
        getME(m, "RZX")
    assert (model_matrix(m, type="random") != Z).nnz == 0


def test_a_factorised_singular_covariance_keeps_its_rank():
    from mixedvc.porting.mermod import semidefinite_root

    A = np.array([[4.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    L = semidefinite_root(A)
    np.testing.assert_allclose(L @ L.T, A, **IDENTITY)
    assert (L[:, 1:] == 0).all()


def test_a_relationship_matrix_reaches_the_fit(related):
    d, ped = related
    A = mv.pedigree(ped)
    core = mv.fit("y ~ x + (1 | id:A) + (1 | herd)", d, cov={"A": A})
    K = pd.DataFrame(A.block(np.arange(40), np.arange(40)), A.labels, A.labels)
    for how in ({"pedigree": {"id": ped}}, {"pedigree": {"id": A}}, {"relmat": {"id": K}}):
        m = lmer("y ~ x + (1 | id) + (1 | herd)", d, **how)
        np.testing.assert_allclose(m.fit.llf, core.llf, **OBJECTIVE)
        assert [b.name for b in m.blocks] == ["id", "herd"] and len(ranef(m)["id"]) == 40
        np.testing.assert_allclose(ranef(m)["herd"]["(Intercept)"], core.random_effects["herd"]["Intercept"], rtol=1e-4)
    recorded = d[~d.id.isin(["id0", "id1", "id7"])]
    part = lmer("y ~ x + (1 | id) + (1 | herd)", recorded, pedigree={"id": ped})
    variances, own = attr(ranef(part)["id"], "postVar"), part.fit.random_effects_cov["id"]
    assert variances.shape == (1, 1, 37) and len(own) == 40 and len(ranef(part)["id"]) == 37
    np.testing.assert_allclose(
        variances[0, 0], [own.loc[name].iloc[0, 0] for name in ranef(part)["id"].index], **IDENTITY
    )
    with pytest.raises(OptionError, match="known covariance"):
        getME(m, "Lambda")
    assert update(m, ". ~ . - x").spec.terms[0].cov_name == "relmat_id"
    with pytest.raises(OptionError, match="relmat= and pedigree= both name 'id'"):
        lmer("y ~ x + (1 | id)", d, relmat={"id": K}, pedigree={"id": ped})


def test_text_that_r_would_refuse_is_printed_as_it_is(sleepstudy):
    d = sleepstudy.assign(**{"my w": 1.0 + sleepstudy.Days})
    m = lmer("Reaction ~ factor(Days, levels=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]) + (1 | Subject)", d, weights="my w")
    assert "Weights: my w" in str(m) and "factor(Days, levels=[0, 1, 2" in str(m)
    with pytest.raises(CovarianceError, match=r"relmat\['Subject'\] has no labels"):
        lmer(SLOPES, d, relmat={"Subject": np.eye(18)})


def test_weights_offset_and_subset_may_be_columns_expressions_or_numbers(sleepstudy):
    d = sleepstudy.assign(w=1 + sleepstudy.Days, o=sleepstudy.Days / 2)
    reference = lmer(SLOPES, d, weights="w", offset="o")
    same = [
        lmer(SLOPES, d, weights="1 + Days", offset="Days / 2"),
        lmer(SLOPES, d, weights=d.w.to_numpy(), offset=d.o.to_numpy()),
    ]
    for other in same:
        np.testing.assert_allclose(other.fit.llf, reference.fit.llf, **IDENTITY)
    np.testing.assert_allclose(
        predict(same[0], d.iloc[:3]), predict(reference, d.iloc[:3]), **IDENTITY
    )  # an offset in the formula is known for new rows
    part = lmer(SLOPES, d, weights=d.w.to_numpy(), subset=(d.Days > 2).to_numpy())
    text = lmer(SLOPES, d, weights="w", subset="Days > 2")
    np.testing.assert_allclose(part.fit.llf, text.fit.llf, **IDENTITY)
    assert part.spec.n == 126 and text.call.subset == "Days > 2"


def test_predictions_add_the_effects_that_re_form_names(m, sleepstudy):
    rows = sleepstudy.iloc[[0, 15, 40]]
    u, beta = ranef(m)["Subject"].loc[rows.Subject.astype(str)].to_numpy(), fixef(m).to_numpy()
    days = rows.Days.to_numpy()
    population = beta[0] + beta[1] * days
    np.testing.assert_allclose(predict(m, rows, re_form=NA), population, **IDENTITY)
    np.testing.assert_allclose(predict(m, rows, re_form="~0"), population, **IDENTITY)
    np.testing.assert_allclose(predict(m, rows, re_form="~(1 | Subject)"), population + u[:, 0], **IDENTITY)
    np.testing.assert_allclose(
        predict(m, rows, re_form="~(0 + Days | Subject)"), population + u[:, 1] * days, **IDENTITY
    )
    np.testing.assert_allclose(predict(m, rows), population + u[:, 0] + u[:, 1] * days, **IDENTITY)
    np.testing.assert_allclose(predict(m, rows, random_only=True), u[:, 0] + u[:, 1] * days, **PARAMETER)
    np.testing.assert_allclose(predict(m, re_form="~(1 | Subject)").iloc[[0, 15, 40]], population + u[:, 0], **IDENTITY)
    stranger = rows.assign(Subject="new")
    np.testing.assert_allclose(predict(m, stranger, allow_new_levels=True), population, **IDENTITY)
    np.testing.assert_allclose(
        predict(m, stranger, re_form="~(1 | Subject)", allow_new_levels=True), population, **IDENTITY
    )
    for how in (None, "~(1 | Subject)"):
        with pytest.raises(DataError, match="had no rows in the fit: 'new'"):
            predict(m, stranger, re_form=how)
    with pytest.raises(OptionError, match="no random age of 'Subject' is in the model"):
        predict(m, rows, re_form="~(0 + age | Subject)")
    with pytest.raises(OptionError, match="re_form=7"):
        predict(m, rows, re_form=7)


def test_residuals_logliks_and_refits_are_told_apart(m, sleepstudy):
    ml = lmer(SLOPES, sleepstudy, REML=False)
    np.testing.assert_allclose(logLik(refitML(m)), ml.fit.llf, **OBJECTIVE)
    np.testing.assert_allclose(refit(m, sleepstudy.Reaction).fit.llf, m.fit.llf, **OBJECTIVE)
    y = simulate(m, 2, seed=4)
    assert y.shape == (180, 2) and not np.allclose(y["sim_1"], y["sim_2"])
    np.testing.assert_allclose(refit(m, y[["sim_1"]]).fit.llf, refit(m, y["sim_1"]).fit.llf, **IDENTITY)
    kept = simulate(m, 1, seed=4, use_u=True)["sim_1"] - fitted(m)
    np.testing.assert_allclose(kept.std(), m.sigma, rtol=0.2, atol=0)
    with pytest.warns(MixedVCWarning, match="write REMLcrit"):
        assert deviance(m) == pytest.approx(-2 * m.fit.llf)
    with pytest.raises(OptionError, match="choose among 'response'"):
        residuals(m, "student")
    with pytest.raises(OptionError, match="simulate"):
        simulate(m, 1, re_form="~(1 | Subject)")


def test_models_that_cannot_be_compared_are_refused(m, sleepstudy):
    fewer = lmer("Reaction ~ 1 + (1 | Subject)", sleepstudy.iloc[:150])
    other = lmer("log(Reaction) ~ 1 + (1 | Subject)", sleepstudy)
    ml = lmer("Reaction ~ 1 + (1 | Subject)", sleepstudy, REML=False)
    with pytest.raises(DataError, match="not fitted to the same rows: 180 and 150"):
        anova(m, fewer)
    with pytest.raises(DataError, match="different responses"):
        anova(m, other)
    with pytest.raises(OptionError, match="some models are fitted by REML and some by ML"):
        anova(m, ml, refit=False)
    with pytest.raises(OptionError, match="table of one model"):
        anova(m, ml, ddf="Satterthwaite")
    with pytest.raises(OptionError, match="ddf='sat'"):
        anova(m, ddf="sat")
    with pytest.raises(OptionError, match=r"anova\(type=4\)"):
        anova(m, type=4)
    with pytest.warns(MixedVCWarning, match="cannot be compared"):
        AIC(m, ml)
    with pytest.raises(OptionError, match="drop1"):
        drop1(m, test="F")


def test_anova_says_that_it_refits_and_names_models_without_a_name(m, sleepstudy, capsys):
    table = anova(lmer("Reaction ~ 1 + (Days | Subject)", sleepstudy), m)
    assert capsys.readouterr().err == "refitting model(s) with ML (instead of REML)\n"
    assert list(table.index) == ["MODEL1", "MODEL2"]
    named = anova(lmer("Reaction ~ 1 + (Days | Subject)", sleepstudy), m, model_names=["null", "full"])
    assert list(named.index) == ["null", "full"] and "null: Reaction ~ 1 + (Days | Subject)" in str(named)


def test_intervals_choose_rows_and_kinds(m):
    wald = confint(m, method="Wald")
    assert list(confint(m, "beta_", method="Wald").index) == ["(Intercept)", "Days"]
    assert list(confint(m, "theta_", method="Wald").index) == [".sig01", ".sig02", ".sig03", ".sigma"]
    np.testing.assert_array_equal(confint(m, [6], method="Wald"), wald.loc[["Days"]])
    with pytest.raises(OptionError, match=r"the parameters are \.sig01"):
        confint(m, "slope", method="Wald")
    with pytest.raises(OptionError, match="'profile', 'Wald' or 'boot'"):
        confint(m, method="exact")
    with pytest.raises(OptionError, match="level=2"):
        confint(m, level=2)


def test_bootstrap_intervals_follow_lme4s_order_of_parameters(m):
    boot = confint(m, method="boot", nsim=60, seed=1)
    assert list(boot.index) == [".sig01", ".sig02", ".sig03", ".sigma", "(Intercept)", "Days"]
    centre = [*np.array(as_data_frame(VarCorr(m), order="lower.tri").sdcor), *fixef(m)]
    assert ((boot.iloc[:, 0] < centre) & (boot.iloc[:, 1] > centre)).all()
    with pytest.raises(OptionError, match="boot_type='bca'"):
        confint(m, method="boot", boot_type="bca")


def test_bootmer_hands_models_to_the_function(m):
    made = bootMer(m, fixef, nsim=25, seed=2)
    assert made.t.shape == (25, 2) and list(made.t0.index) == ["(Intercept)", "Days"]
    assert "PARAMETRIC BOOTSTRAP" in str(made) and "t2*" in str(made)
    np.testing.assert_allclose(made.t0, fixef(m), **IDENTITY)
    with pytest.raises(OptionError, match="semiparametric"):
        bootMer(m, fixef, nsim=5, type="none")


def test_profiles_are_those_of_the_ml_criterion():
    reml, ml = (lmer("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"), REML=how) for how in (True, False))
    np.testing.assert_allclose(confint(reml), confint(ml), rtol=1e-5)
    assert set(profile(reml).conf_int()["criterion"]) == {"ML"}


def test_effects_are_told_apart_by_ranova_and_tidy(m, sleepstudy):
    table = ranova(m)
    smaller = mv.fit("Reaction ~ Days + (1 | Subject)", sleepstudy)
    np.testing.assert_allclose(table.loc["Days in (Days | Subject)", "LRT"], 2 * (m.fit.llf - smaller.llf), **COMPONENT)
    whole = ranova(m, reduce_terms=False)
    assert list(whole.index) == ["<none>", "(Days | Subject)"] and whole["Df"].iloc[1] == 3
    shown = tidy(m, effects=["fixed", "ran_vals"], conf_int=True, ddf="Satterthwaite")
    assert len(shown) == 2 + 36 and {"level", "df", "conf.low"} <= set(shown.columns)
    with pytest.raises(OptionError, match="tidy"):
        tidy(m, effects="random")


def test_an_exact_test_prints_as_rlrsim_and_finds_the_tested_effect(m):
    penicillin = mv.load_data("penicillin")
    both, plate, sample = (
        lmer(f"diameter ~ 1 + {t}", penicillin) for t in ("(1 | plate) + (1 | sample)", "(1 | plate)", "(1 | sample)")
    )
    test = exactRLRT(plate, both, sample, seed=1, nsim=2000)
    np.testing.assert_allclose(test.statistic, 2 * (both.fit.llf - sample.fit.llf), **COMPONENT)
    assert test.p_value < 0.01 and "RLRT = 105.06, p-value " in str(test)
    batch = exactRLRT(lmer("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff")), seed=2)
    assert abs(batch.p_value - 0.0042) < 4 * max(batch.mc_error, 0.0007)  # RLRsim: 0.0040 to 0.0045 of 10,000
    assert str(batch).startswith("\n\tsimulated finite sample distribution of RLRT.\n\t\n\t(p-value based on 10000")
    with pytest.raises(OptionError, match="several random effects: give m"):
        exactRLRT(both)
    with pytest.raises(OptionError, match="m alone, or m, mA and m0 together"):
        exactRLRT(plate, both)
    with pytest.raises(OptionError, match="m0 is mA without the tested term"):
        exactRLRT(sample, both, sample)
    with pytest.raises(OptionError, match="is for REML fits"):
        exactRLRT(refitML(plate))


def test_structures_have_the_parameters_that_they_have(sleepstudy):
    d = sleepstudy.assign(phase="p" + (sleepstudy.Days // 4).astype(str))
    names = {"diag": (3, 4, ".sig03"), "cs": (6, 5, ".sig04"), "ar1": (6, 3, ".sig02")}
    for structure, (thetas, rows, last) in names.items():
        s = lmer(f"Reaction ~ Days + {structure}(0 + phase | Subject)", d)
        assert len(getME(s, "theta")) == len(getME(s, "lower")) == thetas
        table = confint(s, method="Wald")
        assert len(table) == rows + 2 and last in table.index
        assert ("Corr" in str(s)) == (structure != "diag")
        assert len(as_data_frame(VarCorr(s))) == (4 if structure == "diag" else 7)
        label = "(0 + phase | Subject)"
        smaller = mv.fit("Reaction ~ Days", d)
        np.testing.assert_allclose(ranova(s).loc[label, "LRT"], 2 * (s.fit.llf - smaller.llf), **COMPONENT)
    free = lmer("Reaction ~ Days + (0 + phase | Subject)", d)  # .sig01 … are in the order of theta
    rows, columns = free.blocks[0].entries
    assert [(p.b, p.a) for p in ordered_parameters(free)[:-1]] == list(zip(rows, columns, strict=True))
    compound = lmer("Reaction ~ Days + cs(0 + phase | Subject)", d)
    intervals = confint(compound)
    centre = [*compound.blocks[0].sd, compound.blocks[0].correlation[1, 0], compound.sigma]
    assert (intervals.iloc[:5, 0] < centre).all() and (intervals.iloc[:5, 1] > centre).all()


def test_marginal_means_are_those_of_emmeans():
    growth = lmer("distance ~ age * Sex + (1 | Subject)", mv.load_data("orthodont"))
    means = emmeans(growth, "~ Sex | age", at={"age": [8, 14]})
    np.testing.assert_allclose(means.frame["estimate"], [22.6, 21.2, 27.3, 24.1], rtol=0, atol=0.05)  # R, printed
    difference = pairs(means).frame
    np.testing.assert_allclose(difference["estimate"], [1.41, 3.24], rtol=0, atol=0.005)
    np.testing.assert_allclose(difference["p"], [0.1041, 0.0005], rtol=0, atol=5e-5)


def test_data_are_named_as_the_caller_names_them(sleepstudy):
    mine = sleepstudy
    assert lmer(SLOPES, mine).call.data in ("mine", "sleepstudy")
    assert "Data:" not in str(lmer(SLOPES, sleepstudy.copy()))


def test_the_formula_is_read_as_lme4_reads_it():
    def core(text, relmat=()):
        return read(text, relmat).core

    assert core("y ~ x + (x | g)") == "y ~ x + (x | g)"
    assert read("y ~ x + (1 | a/b)").groups == ("b:a", "a")
    assert read("y ~ x + (1 | a/b/c)").groups == ("c:(b:a)", "b:a", "a")
    assert core("y ~ x + (1 | a/b)") == "y ~ x + ((1 | gr(b:a)) + (1 | a))"
    assert core("y ~ (x || g)") == "y ~ ((1 | g) + (0 + x | g))"
    assert core("y ~ diag(0 + f | g)") == "y ~ diag(0 + f | g)"
    assert core("y/n ~ (1 | g)") == "I(y/n) ~ (1 | g)" and read("y/n ~ (1 | g)").shown == "y/n ~ (1 | g)"
    assert core("y ~ (x | id) + (1 | h)", ("id",)) == "y ~ (1 + x | gr(id, cov=relmat_id)) + (1 | h)"


@pytest.mark.parametrize(
    ("old", "new", "result"),
    [
        ("y ~ x + (x | g)", ". ~ . - x", "y ~ (x | g)"),
        ("y ~ x + (1 | g)", ". ~ . + z:x - (1 | g) + (x | g)", "y ~ x + (x | g) + x:z"),
        ("y ~ x * z + (1 | g)", ". ~ . - x:z", "y ~ x + z + (1 | g)"),
        ("y ~ x + (1 | g)", "log(.) ~ .", "log(y) ~ x + (1 | g)"),
        ("y ~ x + (1 | g)", "~ . - 1", "y ~ x + (1 | g) - 1"),
        ("y ~ x + (1 | g)", ". ~ 0 + (1 | g)", "y ~ (1 | g) - 1"),
        ("y ~ x + offset(o) + (1 | g)", ". ~ . - x", "y ~ (1 | g) + offset(o)"),
        ("y ~ (1 | g)", ". ~ . - (1 | g)", "y ~ 1"),
    ],
)
def test_update_simplifies_formulas_as_r_does(old, new, result):
    assert updated(old, new) == result


def test_update_needs_a_formula(m):
    with pytest.raises(OptionError, match="needs a formula"):
        update(m, "Days")
    assert str(formula(update(m, ". ~ . - Days"))) == "Reaction ~ (Days | Subject)"


def test_a_boundary_fit_is_said_to_be_singular():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        m = lmer("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff2"))
    assert lme4.isSingular(m) and "see help('isSingular')" in str(m)
    np.testing.assert_array_equal(getME(m, "u"), 0.0)
