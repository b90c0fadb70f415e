"""MCMCglmm's call: models, names and priors as in R; the posteriors of its stored runs; what is refused, by name."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import mixedvc as mv
from mixedvc.errors import DataError, MixedVCError, MixedVCWarning, NotProvided, OptionError
from mixedvc.porting.mcfit import _priors
from mixedvc.porting.mcmcglmm import (
    MCMCglmm,
    as_mixedvc,
    effectiveSize,
    inverseA,
    predict,
    prunePed,
    rbv,
    rowSums,
    sm2asreml,
    summary,
)
from mixedvc.porting.mcmodel import Asked, build
from mixedvc.porting.mcpriors import read_prior

from .mcmcglmm_cases import IG, PX, cases, data, numbers, pedigree

NAMES = list(cases())
QUANTILES = (0.025, 0.25, 0.5, 0.75, 0.975)


def fitted(name, nitt=13000, seed=11, **more):
    return MCMCglmm(data=data(), **cases()[name], nitt=nitt, seed=seed, verbose=False, **more)


def compared(chain, name, part):
    """Largest |z| of the shares of our draws below R's quantiles, Monte-Carlo errors of both combined."""
    names, want = numbers(name, part)
    assert list(chain.columns) == names
    worst = 0.0
    for j in range(len(names)):
        values = chain.iloc[:, j].to_numpy()
        if values.std() < 1e-12:
            np.testing.assert_allclose(values, want["mean"][j], rtol=1e-12)
            continue
        for p, q in zip(QUANTILES, want["quantiles"][j], strict=True):
            below = (values < q).astype(float)
            share = below.mean()
            ours = max(effectiveSize(below).iloc[0], 20.0) if 0 < share < 1 else float(effectiveSize(values).iloc[0])
            z = (share - p) / np.sqrt(p * (1 - p) * (1 / ours + 1 / want["ess"][j]))
            worst = max(worst, abs(z))
    return worst


# ---- models ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_columns_of_vcv_and_sol_have_rs_names_in_rs_order(name):
    case = cases()[name]
    known = {}
    if "pedigree" in case or "ginverse" in case:
        known = {"animal": mv.pedigree(pedigree())}
    model = build(Asked(case["fixed"], case.get("random"), case.get("rcov", "~units"), data(), known, case.get("mev")))
    columns = [column for block in (*model.random, *model.residual) for column, _, _ in block.columns]
    assert columns == numbers(name, "VCV")[0]
    assert list(model.x_names) == numbers(name, "Sol")[0]
    np.testing.assert_allclose(model.spec.X @ model.T, model.X, rtol=0, atol=1e-10)


WIDE = {
    "cbind(y2, z) ~ trait - 1 + trait:sex|~us(trait):animal|~us(trait):units": True,
    "cbind(y2, z) ~ trait * x + at.level(trait, 1):sex|~us(trait + trait:x):nest + idh(trait):sex|~us(trait):units": (
        True
    ),
    "cbind(y2, z) ~ trait - 1 + at.level(sex, 'F'):trait|~idh(trait):nest|~idh(trait):units": True,
    "cbind(y2, z) ~ trait + x|~nest|~us(trait):units": False,
    "cbind(y2, z) ~ trait + x|~us(trait):nest|~idh(trait:sex):units": False,
    "cbind(y2, z) ~ 1|~us(trait:sex):nest|~us(trait):units": True,
    "cbind(y2, z) ~ 1|~us(at.level(trait, 2)):nest|~us(trait):units": False,
}


@pytest.mark.filterwarnings("ignore::mixedvc.errors.MixedVCWarning")
@pytest.mark.parametrize("formulas", WIDE)
def test_responses_stand_side_by_side_where_the_core_can_say_the_model(formulas):
    fixed, random, rcov = formulas.split("|")
    known = {"animal": mv.pedigree(pedigree())} if "animal" in random else {}
    model = build(Asked(fixed, random, rcov, data(), known))
    assert model.wide is WIDE[formulas] is (model.spec.traits is not None)
    np.testing.assert_allclose(model.spec.X @ model.T, model.X, rtol=0, atol=1e-10)
    assert np.abs(np.linalg.det(model.T)) > 1e-8


def test_the_same_model_has_the_same_likelihood_side_by_side_and_below_each_other():
    asked = Asked(
        "cbind(y2, z) ~ trait * x", "~us(trait + trait:x):nest + idh(trait):year", "~us(trait):units", data(), {}
    )
    wide = build(asked)
    from mixedvc.porting import mcwide

    original, mcwide.side_by_side = mcwide.side_by_side, lambda *_: None
    try:
        long = build(asked)
    finally:
        mcwide.side_by_side = original
    assert wide.wide and not long.wide
    rng = np.random.default_rng(4)
    values = {}
    for model in (wide, long):
        sigmas = [None] * len(model.spec.all_terms)
        rng = np.random.default_rng(4)
        for block in (*model.random, *model.residual):
            k = len(block.order)
            L = np.tril(rng.standard_normal((k, k))) + 2 * np.eye(k)
            S = L @ L.T if block.kind == "us" else np.diag(np.diagonal(L @ L.T))
            core = np.zeros((k, k))
            core[np.ix_(block.order, block.order)] = S
            sigmas[block.place] = core
        from mixedvc.likelihood.choose import choose

        at = choose(model.spec, reml=False, name="dense")[0].at(model.spec.theta(sigmas))
        values[model.wide] = (at.loglik, np.linalg.solve(model.T, at.beta))
    np.testing.assert_allclose(values[True][0], values[False][0], rtol=1e-11)
    np.testing.assert_allclose(values[True][1], values[False][1], rtol=1e-7, atol=1e-9)


# ---- priors ----------------------------------------------------------------------------------------------------------


def test_what_is_not_given_has_mcmcglmms_defaults():
    random, residual, fixed = read_prior(None, [1, 2], [1], 3, ["us", "us", "us"])
    for one, k in zip([*random, *residual], (1, 2, 1), strict=True):
        np.testing.assert_array_equal(one.V, np.eye(k))
        assert one.nu == 0 and one.alpha_V is None and not one.fixed
    np.testing.assert_array_equal(fixed.V, 1e10 * np.eye(3))
    np.testing.assert_array_equal(fixed.mu, np.zeros(3))


def test_the_prior_of_each_kind_is_the_cores():
    given = {
        "R": {"V": 0.6, "fix": 1},
        "G": {"G1": {"V": np.eye(2), "nu": 3, "alpha.V": 25 * np.eye(2)}, "G2": {"V": 1e-16, "n": -2}, "G3": IG},
    }
    random, residual, _ = read_prior(given, [2, 1, 1], [1], 0, ["us"] * 4)
    assert isinstance(random[0].core(), mv.priors.ParameterExpanded)
    assert random[1].core() == mv.priors.InverseWishart(1.0, -2.0, improper=True)  # flat on the variance
    assert random[2].core() == mv.priors.InverseWishart(1.0, 0.002, improper=True)
    assert residual[0].core() == mv.priors.Fixed(0.6)


def test_priors_follow_the_effects_into_the_cores_order():
    term = "us(trait + trait:x + trait:known):nest"
    model = build(Asked("cbind(y2, z) ~ trait - 1 + trait:x", f"~{term}", "~us(trait):units", data(), {}))
    assert model.random[0].order == (0, 3, 1, 4, 2, 5)
    V = np.diag(np.arange(1.0, 7.0))  # traity2, traitz, traity2:x, traitz:x, traity2:known, traitz:known
    mu, B = np.arange(6.0), np.diag(np.arange(11.0, 17.0))
    given = {"V": V, "nu": 7, "alpha.mu": mu, "alpha.V": B}
    read = read_prior({"R": {"V": np.eye(2), "nu": 2}, "G": {"G1": given}}, [6], [2], 4, ["us", "us"])
    made = _priors(model, *read)["nest"]
    assert model.spec.terms[0].effects[:4] == ("y2: Intercept", "y2: x", "y2: known", "z: Intercept")
    np.testing.assert_array_equal(np.diagonal(np.asarray(made.V)), [1, 3, 5, 2, 4, 6])
    np.testing.assert_array_equal(np.asarray(made.alpha_mu), [0, 2, 4, 1, 3, 5])
    np.testing.assert_array_equal(np.diagonal(np.asarray(made.alpha_V)), [11, 13, 15, 12, 14, 16])


def test_the_prior_of_fixed_effects_is_stated_in_rs_parameters():
    model = build(Asked("cbind(y2, z) ~ trait + x", "~us(trait):nest", "~us(trait):units", data(), {}))
    mu, V = np.array([1.0, 2.0, 3.0]), np.diag([0.1, 0.2, 0.3])  # (Intercept), traitz, x
    prior = {"B": {"mu": mu, "V": V}, "R": {"V": np.eye(2), "nu": 2}, "G": {"G1": {"V": np.eye(2), "nu": 2}}}
    made = _priors(model, *read_prior(prior, [2], [2], 3, ["us", "us"]))["fixed"]
    names = list(model.spec.x_names)
    at = [names.index(name) for name in ("y2: Intercept", "z: Intercept", "x")]
    np.testing.assert_allclose(np.asarray(made.mean)[at], [1, 3, 3], atol=1e-12)
    np.testing.assert_allclose(
        np.asarray(made.cov)[np.ix_(at, at)], [[0.1, 0.1, 0], [0.1, 0.3, 0], [0, 0, 0.3]], atol=1e-12
    )


PRIOR_ERRORS = {
    "either both or neither": ({"R": IG}, "either both or neither of R and G"),
    "number": ({"R": IG, "G": {"G1": IG, "G2": IG}}, "wrong number of structures: 2 for 1 term"),
    "flat list": ({"R": IG, "G": IG}, "wrong number of structures"),
    "no nu": ({"R": IG, "G": {"G1": {"V": 1}}}, r"prior\$G\$G1: nu is not given"),
    "no V": ({"R": IG, "G": {"G1": {"nu": 1}}}, r"prior\$G\$G1: V is not given"),
    "size": ({"R": IG, "G": {"G1": {"V": np.eye(2), "nu": 2}}}, r"G1\$V is 2×2 and the term has 1 effect"),
    "word": ({"R": IG, "G": {"G1": {"V": 1, "nu": 1, "alpha": 3}}}, "'alpha' is none of V, nu"),
    "residual px": ({"R": PX, "G": {"G1": IG}}, "parameter expansion is not for the residual"),
    "partly fixed": ({"R": IG, "G": {"G1": {"V": 1, "nu": 1, "fix": 2}}}, r"fix = 2: 1 holds the whole 1×1"),
    "unbounded": ({"R": IG, "G": {"G1": {"V": 1, "nu": -1}}}, "grows without bound at zero"),
    "antedependence": ({"R": IG, "G": {"G1": {"V": 1, "nu": 1, "beta.mu": 0}}}, "antedependence"),
    "theta_scale": ({"S": {"mu": 0, "V": 1}}, "theta_scale"),
    "B": ({"B": {"mu": [0], "V": 1}, "R": IG, "G": {"G1": IG}}, r"B\$mu has 1 entries and the model 2"),
    "letters": ({"r": IG}, "'r' is none of R, G and B"),
    "not symmetric": ({"B": {"V": [[1, 2], [0, 1]]}}, "no symmetric matrix"),
    "mu alone": ({"R": IG, "G": {"G1": {"V": 1, "nu": 1, "alpha.mu": 2}}}, "alpha.mu without alpha.V"),
}


@pytest.mark.parametrize("case", PRIOR_ERRORS)
def test_a_prior_that_does_not_fit_is_refused(case):
    prior, message = PRIOR_ERRORS[case]
    with pytest.raises(OptionError, match=message):
        MCMCglmm("y ~ x", random="~nest", data=data(), prior=prior)


# ---- posteriors ------------------------------------------------------------------------------------------------------


def test_the_posterior_of_an_animal_model_is_mcmcglmms():
    m = fitted("ginverse", nitt=7000)
    assert compared(m.VCV, "ginverse", "VCV") < 4.5
    assert compared(m.Sol, "ginverse", "Sol") < 4.5
    assert m.mcpar == (3001, 6991, 10)
    assert as_mixedvc(m) is m.fit


SLOW = ("uni_px", "slopes_us_px", "fixed_variance", "known_errors", "informative_fixed", "biv_us")


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_posteriors_are_those_of_mcmcglmms_stored_runs(name):
    m = fitted(name)
    assert compared(m.VCV, name, "VCV") < 4.5
    assert compared(m.Sol, name, "Sol") < 4.5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ginverse", "slopes_idh"])
def test_mcmcglmms_own_algorithm_samples_the_same_posterior(name):
    m = fitted(name, nitt=6000, thin=5, burnin=1000, scheme="conjugate")
    assert m.fit.draws.plan.name == "conjugate"
    assert compared(m.VCV, name, "VCV") < 4.5
    assert compared(m.Sol, name, "Sol") < 4.5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ginverse", "biv_us"])
def test_deviance_and_dic_are_mcmcglmms(name):
    """D̄ within Monte-Carlo error; DIC within that of its two means (its D(θ̄) takes means over all iterations)."""
    from tests.reference.load import reference

    m = fitted(name)
    want = reference(f"mcmcglmm/simulated/{name}")
    error = np.sqrt(
        m.Deviance.var() / effectiveSize(m.Deviance).iloc[0] + want["deviance"]["sd"] ** 2 / want["deviance"]["ess"]
    )
    assert abs(m.Deviance.mean() - want["deviance"]["mean"]) < 4.5 * error
    assert abs(m.DIC - want["DIC"]) < 2 * 4.5 * error


@pytest.mark.slow
def test_the_deviance_of_a_held_residual_has_the_sign_that_mcmcglmm_turned():
    """MCMCglmm 2.36 counts n log R with the opposite sign where prior$R$fix = 1: its deviance is ours − 2 n log R."""
    from tests.reference.load import reference

    m = fitted("fixed_residual")
    want = reference("mcmcglmm/simulated/fixed_residual")["deviance"]
    error = np.sqrt(m.Deviance.var() / effectiveSize(m.Deviance).iloc[0] + want["sd"] ** 2 / want["ess"])
    assert abs(m.Deviance.mean() - 2 * 360 * np.log(0.6) - want["mean"]) < 4.5 * error


def test_known_error_variances_are_in_vcv_but_not_in_the_summary():
    m = fitted("known_errors", nitt=3100, DIC=False)
    assert (m.VCV["sqrt(mev):sqrt(mev).meta"] == 1.0).all()
    assert "mev" not in str(summary(m))


@pytest.fixture(scope="module")
def small():
    return MCMCglmm(
        "y ~ sex + x",
        random="~animal",
        pedigree=pedigree(),
        data=data(),
        prior={"R": IG, "G": {"G1": PX}},
        nitt=3200,
        seed=5,
        pr=True,
        verbose=False,
    )


def test_kept_draws_are_counted_as_in_r(small):
    assert len(small.VCV) == 20 and small.mcpar == (3001, 3191, 10)
    from mixedvc.porting.mcfit import _kept

    assert [_kept(*a) for a in ((1005, 100, 10), (1000, 0, 3), (13000, 3000, 10))] == [91, 334, 1000]


def test_random_effects_of_the_whole_pedigree_are_in_sol_with_pr(small):
    names = list(small.Sol.columns)
    assert names[:4] == ["(Intercept)", "sexM", "x", "animal.f0"]
    assert names[3:] == [f"animal.{name}" for name in pedigree()["id"]]
    assert small.Random["nrl"] == (460,) and small.Fixed["nfl"] == (3,) and small.Residual["nrl"] == (360,)


def test_deviance_is_of_the_effects_in_sol(small):
    """−2 Σ log N(y; Xβ + Zu, σ²), computed here from VCV and Sol alone."""
    table, Sol = data(), small.Sol.to_numpy()
    X = np.column_stack([np.ones(len(table)), table["sex"] == "M", table["x"]])
    at = [list(small.Sol.columns).index(f"animal.{name}") for name in table["animal"]]
    mean = Sol[:, :3] @ X.T + Sol[:, at]
    sd = np.sqrt(small.VCV["units"].to_numpy())[:, None]
    want = -2 * norm.logpdf(table["y"].to_numpy(), mean, sd).sum(axis=1)
    np.testing.assert_allclose(small.Deviance, want, rtol=1e-9)
    at_mean = -2 * norm.logpdf(table["y"], mean.mean(axis=0), np.sqrt(small.VCV["units"].mean())).sum()
    np.testing.assert_allclose(small.DIC, 2 * want.mean() - at_mean, rtol=1e-9)


def test_predictions_average_random_terms_out_or_keep_them(small):
    table, Sol = data(), small.Sol.to_numpy()
    X = np.column_stack([np.ones(len(table)), table["sex"] == "M", table["x"]])
    at = [list(small.Sol.columns).index(f"animal.{name}") for name in table["animal"]]
    np.testing.assert_allclose(predict(small), (Sol[:, :3] @ X.T).mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(predict(small, marginal=None), (Sol[:, :3] @ X.T + Sol[:, at]).mean(axis=0), rtol=1e-8)
    ends = predict(small, interval="confidence")
    assert list(ends.columns) == ["fit", "lwr", "upr"] and (ends["lwr"] < ends["fit"]).all()
    wide = predict(small, interval="prediction")
    assert ((wide["upr"] - wide["lwr"]) > 2 * (ends["upr"] - ends["lwr"])).mean() > 0.9
    np.testing.assert_allclose(
        predict(small, table.head(3), marginal=None), predict(small, marginal=None)[:3], rtol=1e-8
    )
    with pytest.raises(OptionError, match="'nest' is no random term; there are animal"):
        predict(small, marginal="~nest")


def test_the_summary_has_mcmcglmms_parts(small):
    text = str(summary(small))
    assert text.startswith("\n Iterations = 3001:3191\n Thinning interval  = 10\n Sample size  = 20 \n\n DIC: ")
    assert " G-structure:  ~animal\n" in text and " R-structure:  ~units\n" in text
    assert " Location effects: y ~ sex + x \n" in text
    assert list(summary(small)["solutions"].columns) == ["post.mean", "l-95% CI", "u-95% CI", "eff.samp", "pMCMC"]
    h2 = small.VCV["animal"] / rowSums(small.VCV)
    assert 0 < h2.mean() < 1 and h2.attrs["mcpar"] == small.mcpar


def test_parts_that_are_not_there_say_what_there_is_instead(small):
    with pytest.raises(NotProvided, match=r"m\.Liab: there are no latent variables"):
        _ = small.Liab
    with pytest.raises(AttributeError, match="'vcv' is no part of a fitted MCMCglmm model"):
        _ = small.vcv
    quiet = MCMCglmm("y ~ 1", data=data(), nitt=3100, seed=1, DIC=False, verbose=False)
    assert "DIC" not in str(quiet)
    with pytest.raises(OptionError, match="fitted with DIC=False"):
        _ = quiet.DIC


def test_the_default_prior_of_a_random_term_is_warned_of():
    with pytest.warns(MixedVCWarning, match="nest: MCMCglmm's default prior"):
        m = MCMCglmm("y ~ x", random="~nest", data=data(), nitt=3200, seed=1, verbose=False)
    assert (m.VCV > 0).all().all()


# ---- what is refused -------------------------------------------------------------------------------------------------

REFUSED = {
    "poisson": ({"family": "poisson"}, "family='poisson' is not available: mixedvc fits Gaussian"),
    "multinomial3": ({"family": "multinomial3"}, "family='multinomial3' is not available"),
    "one of two": ({"family": ["gaussian", "threshold"]}, "family='threshold'"),
    "unknown family": ({"family": "gausian"}, "no family of MCMCglmm"),
    "corg": ({"random": "~corg(1 + x):nest"}, r"corg\(\)"),
    "ante": ({"random": "~ante1(1 + x):nest"}, "antedependence"),
    "mm": ({"random": "~mm(nest + year)"}, "multiple membership"),
    "str": ({"random": "~str(nest + year)"}, "share a covariance matrix"),
    "spl": ({"fixed": "y ~ spl(x)"}, "penalised splines"),
    "sir": ({"fixed": "y ~ x + sir(~x, ~x)"}, "simultaneous and recursive"),
    "path": ({"fixed": "y ~ path(x)"}, "path analysis"),
    "factor": ({"random": "~factor(nest)"}, "is no variance function"),
    "bare at.level": ({"random": "~at.level(sex, 1):nest"}, r"us\(at\.level\(f, 1\)\):g"),
    "level": ({"random": "~us(at.level(sex, 'X')):nest"}, "no level of 'sex', which has F, M"),
    "bar": ({"fixed": "y ~ x + (1 | nest)"}, "bars are lme4's grammar"),
    "units": ({"random": "~units"}, "units are the rows"),
    "trait": ({"fixed": "y ~ trait"}, "there is one"),
    "nested": ({"random": "~nest/year"}, "a term is a grouping"),
    "rcov": ({"rcov": "~nest"}, "ends with units"),
    "us rcov": ({"rcov": "~us(sex):units"}, "those of traits"),
    "two rcov": ({"rcov": "~idh(at.level(sex, 1)):units + idh(at.level(sex, 2)):units"}, "one residual structure"),
    "several units": ({"fixed": "cbind(y2, z) ~ trait"}, r"write ~us\(trait\):units"),
    "crossed pedigree": (
        {"random": "~sex:animal", "pedigree": pd.DataFrame({"id": ["a0"], "dam": [None], "sire": [None]})},
        r"cannot be crossed with another grouping; write idh\(sex\):animal",
    ),
    "unused pedigree": (
        {"random": "~nest", "pedigree": pd.DataFrame({"id": ["a0"], "dam": [None], "sire": [None]})},
        "'animal' is no random term",
    ),
    "ginverse": ({"random": "~nest", "ginverse": {"nest": "Ainv"}}, "give what inverseA"),
    "start": ({"start": {"R": 1}}, "leave start= out"),
    "tune": ({"tune": {}}, "leave tune= out"),
    "pl": ({"pl": True}, "no latent variables"),
    "slice": ({"slice": True}, "binary traits"),
    "singular": ({"singular_ok": True}, "dropped"),
    "nodes": ({"nodes": "TIPS"}, "integrated out"),
    "scale": ({"scale": False}, "phylogenies"),
    "nitt": ({"nitt": 3000}, "leaves nothing after burnin"),
    "thin": ({"thin": 0}, "thin=0: a whole number from 1"),
    "scheme": ({"scheme": "gibbs"}, "'auto', 'collapsed', 'conjugate'"),
    "no formula": ({"random": "animal"}, "no formula with one side"),
    "no response": ({"fixed": "~ x"}, "with a response"),
    "mev": ({"mev": [1.0, 2.0]}, "mev= has 2 entries and data 360 rows"),
    "negative mev": ({"mev": -np.ones(360)}, "positive variances"),
    "offset": ({"fixed": "y ~ offset(x)"}, "ignored by MCMCglmm"),
    "missing predictor": ({"fixed": "y ~ z"}, "z"),
    "no data": ({"data": None}, "needs data="),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_available_is_refused_by_name(case):
    given, message = REFUSED[case]
    with pytest.raises(MixedVCError, match=message):
        MCMCglmm(**{"fixed": "y ~ x", "data": data(), "verbose": False, **given})


def test_reserved_columns_are_refused():
    with pytest.raises(DataError, match="'units', a name that MCMCglmm keeps"):
        MCMCglmm("y ~ x", data=data().assign(units=1))
    with pytest.raises(OptionError, match="an operand is expected"):
        MCMCglmm("y ~ x +* 2", data=data())


# ---- pedigrees -------------------------------------------------------------------------------------------------------

PED = pd.DataFrame({"id": list("sdxyz"), "dam": [None, None, "d", "d", "x"], "sire": [None, None, "s", None, "y"]})


def test_the_inverse_relationship_is_that_of_r():
    A = inverseA(PED)
    want = [
        [1.5, 0.5, -1, 0, 0],
        [0.5, 11 / 6, -1, -2 / 3, 0],
        [-1, -1, 2.5, 0.5, -1],
        [0, -2 / 3, 0.5, 11 / 6, -1],
        [0, 0, -1, -1, 2],
    ]
    np.testing.assert_allclose(A["Ainv"].matrix.toarray(), want, atol=1e-12)
    assert A["inbreeding"].tolist() == [0, 0, 0, 0, 0.125] and A["dii"].tolist() == [1, 1, 0.5, 0.75, 0.5]
    assert A["node.names"] == tuple("sdxyz")
    table = sm2asreml(A)
    assert table.shape == (12, 3) and table.iloc[6].tolist() == [4, 2, pytest.approx(-2 / 3)]
    shuffled = inverseA(PED.iloc[[4, 2, 0, 3, 1]])  # R asks for parents first
    assert shuffled["node.names"] == tuple("zxsyd")
    np.testing.assert_allclose(shuffled["Ainv"].matrix.toarray()[0, 0], 2.0)


def test_pruning_keeps_ancestors_and_drops_founders_that_link_nothing():
    assert prunePed(PED, ["y"])["id"].tolist() == ["d", "y"]
    assert prunePed(PED, ["z"])["id"].tolist() == list("sdxyz")
    based = prunePed(PED, ["z"], make_base=True)
    assert based["id"].tolist() == list("dxyz") and based["sire"].isna().tolist() == [True, True, True, False]
    with pytest.raises(MixedVCError, match="'q' is not in the pedigree"):
        prunePed(PED, ["q"])


def test_random_breeding_values_have_the_covariance_of_the_pedigree():
    G = np.array([[1.0, 0.5], [0.5, 2.0]])
    A = inverseA(PED)
    draws = np.stack([rbv(A, G, seed=i).to_numpy().T.ravel() for i in range(1500)])
    want = np.kron(G, np.linalg.inv(A["Ainv"].matrix.toarray()))
    error = np.sqrt((np.outer(np.diagonal(want), np.diagonal(want)) + want**2) / 1500)
    assert np.abs((np.cov(draws.T) - want) / error).max() < 4.5
