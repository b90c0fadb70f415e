"""Several traits: missing cells, fitted values, new records and effects against the joint normal law, mixed over θ."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import mixedvc as mv
from mixedvc.errors import OptionError

from ..tolerances import IDENTITY, PARAMETER
from .predictive_law import Law, inverse_gamma, quadrature
from .test_predictive_single import Z, check_limits, check_means, ess

Q, N = 9, 24
IDS = np.array([f"s{j}" for j in range(Q)], dtype=object)
R = np.array([[1.0, 0.6], [0.6, 0.8]])
HOLES = {0: ["y1"], 5: ["y2"], 11: ["y2"], 17: ["y1"]}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(11)
    B = rng.normal(size=(Q, 12))
    A = B @ B.T / 12 + 0.1 * np.eye(Q)
    code = rng.integers(0, 7, N)
    code[:7] = np.arange(7)
    x = rng.normal(size=N)
    w = rng.uniform(0.5, 2.0, N)
    w[list(HOLES)] = [0.2, 5.0, 0.3, 4.0]
    u = np.linalg.cholesky(A) @ rng.normal(size=(Q, 2)) @ np.diag([1.0, 0.7])
    e = rng.multivariate_normal([0, 0], R, N) / np.sqrt(w)[:, None]
    Y = np.array([1.0, -1.0]) + np.outer(x, [0.5, 0.2]) + u[code] + e
    frame = pd.DataFrame({"y1": Y[:, 0], "y2": Y[:, 1], "x": x, "w": w, "id": IDS[code]})
    for record, names in HOLES.items():
        frame.loc[record, names] = np.nan
    return A, frame, code


@pytest.fixture(scope="module")
def fit(data):
    A, frame, _ = data
    return mv.fit(
        "cbind(y1, y2) ~ x + diag(1 | id:A)",
        frame,
        cov={"A": pd.DataFrame(A, IDS, IDS)},
        weights="w",
        method="gibbs",
        priors={"id": mv.priors.InverseGamma(3, 2), "residual": mv.priors.Fixed(R)},
        chains=4,
        draws=500,
        seed=2,
        workers=1,
    )


NEW = pd.DataFrame({"x": [0.4, -0.7], "w": [1.0, 2.0], "id": [IDS[8], IDS[1]]})


@pytest.fixture(scope="module")
def truth(data):
    """Missing cells; effects of every level and trait; x'β + u and observations of both traits of two new records."""
    A, frame, code = data
    record, trait = np.divmod(np.arange(2 * N), 2)
    y = frame[["y1", "y2"]].to_numpy().ravel()
    hole = np.isnan(y)
    x, w = frame["x"].to_numpy(), frame["w"].to_numpy()

    def fixed(x, trait):
        return np.column_stack([trait == 0, trait == 1, x * (trait == 0), x * (trait == 1)]).astype(float)

    new_level, new_trait = np.array([8, 8, 1, 1]), np.array([0, 1, 0, 1])
    F_new = fixed(np.repeat(NEW["x"].to_numpy(), 2), new_trait)
    F = np.vstack([fixed(x[record], trait)[hole], np.zeros((2 * Q, 4)), F_new, F_new])
    level = np.concatenate([code[record[hole]], np.repeat(np.arange(Q), 2), new_level, new_level])
    which = np.concatenate([trait[hole], np.tile([0, 1], Q), new_trait, new_trait])
    o = ~hole
    rec, tr, lev = record[o], trait[o], code[record[o]]
    same = rec[:, None] == rec[None, :]
    noise = same * R[np.ix_(tr, tr)] / np.sqrt(np.outer(w[rec], w[rec]))
    across = np.zeros((o.sum(), len(level)))  # residual covariances of observed and missing cells
    m = hole.sum()
    across[:, :m] = (rec[:, None] == record[hole]) * R[np.ix_(tr, trait[hole])] / w[rec][:, None]
    own = np.zeros(len(level))
    own[:m] = np.diag(R)[trait[hole]] / w[record[hole]]
    own[-4:] = np.diag(R)[new_trait] / np.repeat(NEW["w"].to_numpy(), 2)
    ig = inverse_gamma(3, 2)
    law = Law(
        y[o],
        fixed(x[rec], tr),
        F,
        np.zeros(len(level)),
        V=lambda t: A[np.ix_(lev, lev)] * (t[tr][:, None] * (tr[:, None] == tr)) + noise,
        C=lambda t: A[np.ix_(lev, level)] * (t[tr][:, None] * (tr[:, None] == which)) + across,
        D=lambda t: A[level, level] * t[which] + own,
    )
    mixture, _, _ = quadrature(law, lambda t: ig(t[0]) + ig(t[1]), [0.03, 0.03], [20, 20], points=29)
    cells = [(int(r), f"y{a + 1}") for r, a in zip(record[hole], trait[hole], strict=True)]
    return mixture, cells, F


@pytest.mark.parametrize("kind", ["quantile", "hdi"])
def test_missing_cells_have_their_law_given_every_cell_that_was_observed(fit, truth, kind):
    mixture, cells, F = truth
    got = fit.impute(interval=True, level=0.9, kind=kind)
    assert list(zip(got["record"], got["trait"], strict=True)) == cells
    some = slice(0, len(cells))
    check_means(got["value"], mixture, some, fit, fixed_of(fit, F[some]))
    check_limits(got["lower"], got["upper"], mixture, some, fit, 0.9, kind)
    assert_allclose(got["se"], np.sqrt(mixture.var[some]), rtol=Z * np.sqrt(0.7 / ess(fit)))
    drawn = fit.impute(draws=True)
    assert list(drawn.columns) == cells
    assert (np.abs(drawn.mean() - mixture.mean[some]) < Z * np.sqrt(mixture.var[some] / ess(fit))).all()


def fixed_of(fit, F):
    """Columns in the order of the fit's fixed effects: intercepts, then slopes, by trait."""
    order = [["y1: Intercept", "y2: Intercept", "y1: x", "y2: x"].index(str(name)) for name in fit.spec.x_names]
    return F[:, order]


def test_effects_of_every_level_and_trait_have_their_law(fit, truth):
    mixture, cells, _ = truth
    some = slice(len(cells), len(cells) + 2 * Q)
    check_means(fit.random_effects["id"].to_numpy().ravel(), mixture, some, fit)
    assert_allclose(fit.pev["id"].to_numpy().ravel(), mixture.var[some], rtol=0.08)
    got = fit.random_effects_intervals("id", level=0.9, kind="quantile")
    assert list(got["effect"][:2]) == ["y1", "y2"]
    check_limits(got["lower"], got["upper"], mixture, some, fit, 0.9, "quantile")


@pytest.mark.parametrize("interval", ["credible", "prediction"])
def test_new_records_have_the_law_of_each_trait(fit, truth, interval):
    mixture, cells, F = truth
    start = len(cells) + 2 * Q + 4 * (interval == "prediction")
    some = slice(start, start + 4)
    got = fit.predict(NEW, new_levels="conditional", se=True, interval=interval, level=0.8, kind="quantile")
    columns = {name: got.xs(name, axis=1, level=1)[["y1", "y2"]].to_numpy().ravel() for name in ("lower", "upper")}
    predicted = got.xs("predicted", axis=1, level=1)[["y1", "y2"]].to_numpy().ravel()
    check_means(predicted, mixture, some, fit, fixed_of(fit, F[some]))
    check_limits(columns["lower"], columns["upper"], mixture, some, fit, 0.8, "quantile")


def test_new_observations_of_a_record_depend_on_each_other_as_its_residuals_do(fit):
    rows = NEW.assign(w=1e-4)  # next to their residuals nothing else counts
    drawn = fit.predict(rows, new_levels="conditional", interval="prediction", draws=True)
    correlation = np.corrcoef(drawn.to_numpy().T)
    want = np.kron(np.eye(2), R / np.sqrt(np.outer(np.diag(R), np.diag(R))))
    assert_allclose(correlation, want, atol=Z / np.sqrt(len(drawn)))
    assert list(drawn.columns.names) == ["record", "trait"]
    within = fit.predict(interval="prediction", draws=True)
    assert within.shape == (2000, fit.spec.n)


def test_rows_of_the_fit_are_records_and_traits_missing_cells_included(fit, data):
    fitted = fit.fittedvalues
    assert fitted.shape == (N, 2) and fitted.notna().all().all()
    u = fit.random_effects["id"].loc[data[1]["id"]].to_numpy()
    assert_allclose(fitted - fit.fixed_fit, u, **PARAMETER)
    assert_allclose(fit.predict(), fitted, **IDENTITY)
    assert fit.resid.isna().sum().sum() == 4
    frame = fit.predict(se=True, interval="credible")
    assert frame.shape == (N, 8) and frame.notna().all().all()
    assert list(fit.simulate(2, seed=1).columns.names) == ["draw", "trait"]
    assert fit.simulate(1, seed=1).isna().sum().sum() == 4


def test_a_check_looks_at_each_trait(fit):
    made = fit.check("mean", n=200)
    assert list(made.p_value.index) == ["y1", "y2"]
    assert made.p_value.between(0.2, 0.8).all()  # flat intercepts take the means up
    observed = data_means(fit)
    assert_allclose(made.observed, observed, **PARAMETER)


def data_means(fit):
    trait = fit.spec.traits.trait
    return [fit.spec.y[trait == a].mean() for a in range(2)]


def test_complete_records_have_nothing_to_impute(data):
    frame = data[1].dropna()
    fit = mv.fit(
        "cbind(y1, y2) ~ x + diag(1 | id)",
        frame,
        method="gibbs",
        priors={"id": mv.priors.InverseGamma(3, 2), "residual": mv.priors.Fixed(R)},
        chains=1,
        draws=20,
        seed=1,
        workers=1,
    )
    assert list(fit.impute(interval=True).columns) == ["record", "trait", "value", "se", "lower", "upper"]
    assert fit.impute().empty
    with pytest.raises(OptionError, match="which effect"):
        fit.rank_probabilities()
