"""Analysis of variance tables against lmerTest and car, and the definitions of the three types."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import mixedvc as mv
from mixedvc.errors import NotProvided, OptionError, RankWarning
from mixedvc.results.anova import COLUMNS
from mixedvc.testing import assemble
from tests.inference import cases
from tests.reference.load import input_or_skip, matrix, reference
from tests.tolerances import OBJECTIVE

MODELS = {
    "unbalanced/crossed": ("y ~ A * B + x + (1 | g)", {}),
    "unbalanced/sum_coding": ("y ~ A * B + x + (1 | g)", {"contrasts": {"A": "sum", "B": "helmert"}}),
    "unbalanced/weighted_slopes": ("y ~ A + x + (x | g)", {"weights": "w"}),
    "unbalanced/polynomial": ("y ~ A * poly(x, 2) + B + (1 | g)", {}),
    "unbalanced/conventions": ("y ~ A + flag + d + factor(k) + log(x) + I(x^2) + (1 | g)", {}),
    "unbalanced/three_way": ("y ~ A * B * x + (1 | g)", {}),
    "unbalanced/no_intercept": ("y ~ 0 + A + A:x + (1 | g)", {}),
    "missing_cell/crossed": ("y ~ A * B + (1 | g)", {}),
    "oats/balanced": ("yield ~ Variety * nitro + (1 | Block / Variety)", {}),
    "oats/incomplete": ("yield ~ Variety * nitro + (1 | Block / Variety)", {}),
}


def data_of(case: str) -> pd.DataFrame:
    name = case.split("/")[0]
    table = pd.read_csv(input_or_skip(f"fixed_effects/{name}/data.csv"))
    if name == "oats":
        table["nitro"] = table["nitro"].astype(str)
        dropped = reference(f"fixed_effects/{case}")["dropped"] if case == "oats/incomplete" else []
        table = table.drop(index=[i - 1 for i in dropped])
    return table


def fitted(case: str, **more):
    formula, options = MODELS[case]
    data = data_of(case)
    if case == "missing_cell/crossed":
        with pytest.warns(RankWarning):
            return mv.fit(formula, data, **options, **more)
    return mv.fit(formula, data, **options, **more)


@pytest.mark.parametrize("case", MODELS)
def test_all_three_types_agree_with_lmertest(case):
    want, fit = reference(f"fixed_effects/{case}")["fit"], fitted(case)
    assert_allclose(fit.llf, want["logLik"], **OBJECTIVE)
    for df in ("satterthwaite", "kenward-roger"):
        if case == "unbalanced/weighted_slopes" and df == "kenward-roger":
            continue  # pbkrtest takes the residual of a weighted model as unweighted
        for kind in (1, 2, 3):
            table = matrix(want[f"{df}_{kind}"])
            got = fit.anova(kind, df).frame
            assert tuple(got.columns) == tuple(table.columns) == COLUMNS
            got = got.loc[[name.replace("^", " ** ") for name in table.index]]
            if case == "unbalanced/polynomial" and kind == 2:
                # lmerTest takes a matrix of numbers for a factor, and so A as contained in A:poly(x, 2)
                got, table = got.drop(index="A"), table.drop(index="A")
            assert_allclose(got.iloc[:, :5], table.iloc[:, :5], rtol=2e-5, atol=0)
            assert_allclose(got["Pr(>F)"], table["Pr(>F)"], rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("case", "name"), [("sleepstudy/slope_correlated", "sleepstudy"), ("orthodont/lmer_slope", "orthodont")]
)
def test_the_data_of_lme4_agree_with_lmertest(case, name):
    formula = {
        "sleepstudy": "Reaction ~ Days + (Days | Subject)",
        "orthodont": "distance ~ age * Sex + (age | Subject)",
    }
    data = mv.load_data(name)
    if name == "orthodont":  # lmerTest's type III is at the reference level of Sex where a covariate is in between
        data["Sex"] = pd.Categorical(data["Sex"], ["Male", "Female"])
    block, fit = reference(f"lme4/{case}")["REML"], mv.fit(formula[name], data)
    for df, key in (("satterthwaite", "anova_satterthwaite_type3"), ("kenward-roger", "anova_kr_type3")):
        got, want = fit.anova(3, df).frame, matrix(block[key])
        assert list(got.index) == list(want.index)
        assert_allclose(got["NumDF"], want["NumDF"], rtol=0, atol=0)
        assert_allclose(got.drop(columns="Pr(>F)"), want.drop(columns="Pr(>F)"), rtol=2e-3, atol=0)  # lme4's optimum


def test_type_three_by_kenward_and_roger_agrees_with_car_in_any_coding():
    want = matrix(reference("fixed_effects/unbalanced/crossed")["car"]["III"]).drop(index="(Intercept)")
    for case in ("unbalanced/crossed", "unbalanced/sum_coding"):
        got = fitted(case).anova("III", "kenward-roger").frame
        assert_allclose(got["F value"], want["F"], rtol=1e-5, atol=0)
        assert_allclose(got["DenDF"], want["Df.res"], rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", [1, 2, 3])
@pytest.mark.parametrize("coding", ["sum", "helmert", "poly"])
def test_no_table_depends_on_the_coding_of_factors(kind, coding):
    plain = fitted("unbalanced/crossed").anova(kind, "kenward-roger").frame
    formula, _ = MODELS["unbalanced/crossed"]
    other = mv.fit(formula, data_of("unbalanced/crossed"), contrasts={"A": coding, "B": coding})
    assert_allclose(other.anova(kind, "kenward-roger").frame, plain, rtol=1e-6, atol=0)


def test_type_one_sums_to_the_joint_test_of_everything_in_least_squares():
    """With one residual variance the sequential sums of squares are those of least squares."""
    data = data_of("unbalanced/crossed").drop(columns="g")
    fit = mv.fit("y ~ B + A * x", data)
    got = fit.anova(1, "residual").frame
    X, y, rss = fit.spec.X, fit.spec.y, []
    for last in (1, 2, 4, 5, 7):
        rss.append(np.sum((y - X[:, :last] @ np.linalg.lstsq(X[:, :last], y, rcond=None)[0]) ** 2))
    assert_allclose(got["Sum Sq"], -np.diff(rss), rtol=1e-7, atol=0)
    assert_allclose(got["DenDF"], 77.0, rtol=0, atol=0)


def test_type_two_compares_with_the_model_without_the_terms_that_contain_it():
    data = data_of("unbalanced/crossed").drop(columns="g")
    fit = mv.fit("y ~ A * B + x", data)
    got = fit.anova(2, "residual").frame["Sum Sq"]

    def rss(formula):
        return float(np.sum(mv.fit(formula, data).resid ** 2))

    assert_allclose(got["A"], rss("y ~ B + x") - rss("y ~ A + B + x"), rtol=1e-7, atol=0)
    assert_allclose(got["x"], rss("y ~ A * B") - rss("y ~ A * B + x"), rtol=1e-7, atol=0)


def test_type_three_hypotheses_are_equalities_of_unweighted_cell_means():
    fit = fitted("unbalanced/crossed")
    L = fit.anova(3).hypotheses["A"]
    grid = pd.DataFrame([{"A": a, "B": b, "x": 0.0} for a in ("a1", "a2", "a3") for b in ("high", "low")])
    rows = fit.spec.source.new_rows(grid, terms=False).X
    means = np.array([rows[2 * i : 2 * i + 2].mean(axis=0) for i in range(3)])
    assert_allclose(L, means[1:] - means[0], rtol=0, atol=1e-12)


def test_empty_cells_are_said_and_only_what_is_estimable_is_tested():
    found = fitted("missing_cell/crossed").anova(3)
    assert found.frame.loc["A:B", "NumDF"] == 1
    text = " ".join(str(found).split())
    assert "Only a part of A:B is estimable" in text and "(A[T.a3]:B[T.low])" in text
    assert "Type III hypotheses depend on which cells are empty" in text


def test_a_term_without_any_estimable_part_has_no_numbers():
    data = data_of("unbalanced/crossed").assign(C=lambda d: d["A"].str.upper())
    with pytest.warns(RankWarning):
        fit = mv.fit("y ~ A + C + x + (1 | g)", data)
    for kind in (1, 2, 3):
        found = fit.anova(kind)
        assert np.isnan(found.frame.loc["C", "F value"])
        assert found.frame.loc["C", "NumDF"] == 0
        assert "no part of" in " ".join(found.notes)
    assert np.isfinite(fit.anova(1).frame.loc["A", "F value"])


def test_kinship_models_have_tables_too():
    spec = cases.relatives()
    with pytest.raises(NotProvided, match="not made from a formula"):
        cases.by_likelihood(spec, cases.RELATIVES_PAR).anova()
    rng = np.random.default_rng(1)
    ids = [f"i{j}" for j in range(30)]
    root = rng.standard_normal((30, 40))
    A = pd.DataFrame(root @ root.T / 40, ids, ids)
    data = pd.DataFrame({"id": ids * 2, "f": rng.choice(list("abc"), 60), "y": rng.standard_normal(60)})
    data["y"] += np.tile(rng.multivariate_normal(np.zeros(30), A.to_numpy()), 2)
    fit = mv.fit("y ~ f + (1 | id:A)", data, cov={"A": A})
    got = fit.anova(3, "kenward-roger").frame.loc["f"]
    b, C = fit.params.to_numpy()[1:], fit.cov_params("kenward-roger").to_numpy()[1:, 1:]
    scale = fit.kenward_roger.joint(np.eye(3)[1:])[1]
    assert_allclose(got["F value"], scale * b @ np.linalg.solve(C, b) / 2, **OBJECTIVE)


def test_rows_dropped_for_missing_values_play_no_part():
    data = data_of("unbalanced/crossed")
    whole = mv.fit(MODELS["unbalanced/crossed"][0], data).anova(3).frame
    extra = pd.concat([data.iloc[:5].assign(y=np.nan, A="a9"), data], ignore_index=True)
    with pytest.warns(mv.errors.MixedVCWarning):
        more = mv.fit(MODELS["unbalanced/crossed"][0], extra).anova(3).frame
    assert_allclose(more, whole, rtol=1e-7, atol=0)


def test_an_unknown_type_is_refused():
    with pytest.raises(OptionError, match=r"type=4 is not one of 1, 2, 3 \(or 'I', 'II', 'III'\)"):
        fitted("unbalanced/weighted_slopes").anova(4)
    with pytest.raises(OptionError, match="df='wald' is not one of"):
        fitted("unbalanced/weighted_slopes").anova(3, "wald")


def test_a_model_with_an_intercept_only_has_an_empty_table():
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"y": rng.standard_normal(20) + np.repeat(rng.standard_normal(5), 4), "g": list("abcde") * 4})
    data["g"] = np.repeat(list("abcde"), 4)
    found = mv.fit("y ~ 1 + (1 | g)", data).anova()
    assert len(found.frame) == 0
    assert "analysis of variance" in str(found)


def test_a_specification_of_arrays_can_still_test_rows():
    fit = cases.fitted(assemble.one_way())
    assert fit.df_fixed(contrasts=np.ones((1, 1))).shape == (1,)
