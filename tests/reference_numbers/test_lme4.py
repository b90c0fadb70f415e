"""Fits of lme4 on its own data sets: criterion, fixed effects, components, random effects, predictions."""

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.errors import BoundaryWarning, DroppedRowsWarning
from mixedvc.testing.brute import Brute
from tests.reference.load import input_or_skip, matrix, reference
from tests.tolerances import COMPONENT, OBJECTIVE, printed

from .closeness import allowance, within

CASES = {
    "dyestuff/batch": "Yield ~ 1 + (1 | Batch)",
    "penicillin/crossed": "diameter ~ 1 + (1 | plate) + (1 | sample)",
    "pastes/nested": "strength ~ 1 + (1 | batch/cask)",
    "sleepstudy/intercept": "Reaction ~ Days + (1 | Subject)",
    "sleepstudy/slope_correlated": "Reaction ~ Days + (Days | Subject)",
    "sleepstudy/slope_uncorrelated": "Reaction ~ Days + (Days || Subject)",
    "orthodont/lmer_intercept": "distance ~ age * Sex + (1 | Subject)",
    "orthodont/lmer_slope": "distance ~ age * Sex + (age | Subject)",
}
BOTH = [(case, method) for case in CASES for method in ("REML", "ML")]
fits: dict = {}


def fit_of(case, method):
    if (case, method) not in fits:
        data = mv.load_data(case.split("/")[0])
        fits[case, method] = mv.fit(CASES[case], data, method=method.lower())
    return fits[case, method], reference(f"lme4/{case}")[method]


def components(block):
    """lme4's varcorr rows as {(group, effect, effect2): (co)variance}; names of nested and || groups as ours."""
    out = {}
    for row in block["varcorr"]:
        group = row["grp"]
        if group.rsplit(".", 1)[-1].isdigit():  # Subject and Subject.1 of a || term
            group = group.rsplit(".", 1)[0]
        if ":" in group:
            group = ":".join(sorted(group.split(":")))
        names = [("Intercept" if n == "(Intercept)" else n) for n in (row["var1"], row["var2"]) if n]
        out[(group, *names)] = row["vcov"]
    return out


def our_components(fit):
    """Our rows under the same keys: {key: (variance, se)}."""
    out = {}
    for row in fit.varcomp.itertuples():
        group = ":".join(sorted(row.group.split(":")))
        effects = [e for e in (row.effect, row.effect2) if isinstance(e, str)]
        out[(group, *([] if row.group == "Residual" else effects))] = (row.variance, row.se)
    return out


@pytest.mark.parametrize(("case", "method"), BOTH)
def test_the_criterion_is_not_above_lme4s(case, method):
    fit, want = fit_of(case, method)
    allowance(fit.llf, want["logLik"])
    assert fit.nobs == want["nobs"]
    assert not fit.is_singular
    np.testing.assert_allclose([fit.aic, fit.bic], [want["AIC"], want["BIC"]], rtol=1e-6, atol=0)


@pytest.mark.parametrize(("case", "method"), BOTH)
def test_fixed_effects_and_their_covariance_are_lme4s(case, method):
    fit, want = fit_of(case, method)
    near = allowance(fit.llf, want["logLik"])
    se = np.array(list(want["se"].values()))
    within(fit.params, list(want["fixef"].values()), near * se, "fixef")
    within(fit.bse, se, near * se, "se")
    within(fit.cov_params(), matrix(want["vcov"]), 2 * near * np.outer(se, se), "vcov")
    wald = fit.conf_int(df="normal")
    within(wald, matrix(want["confint_wald"]).loc[list(want["fixef"])], 3 * near * se[:, None], "confint_wald")


@pytest.mark.parametrize(("case", "method"), BOTH)
def test_variance_components_are_lme4s(case, method):
    fit, want = fit_of(case, method)
    near, theirs, ours = allowance(fit.llf, want["logLik"]), components(want), our_components(fit)
    assert set(ours) == set(theirs)
    for key, value in theirs.items():
        variance, se = ours[key]
        within(variance, value, near * se, f"{key}")
    np.testing.assert_allclose(fit.scale, want["sigma"] ** 2, rtol=near, atol=0)


@pytest.mark.parametrize(("case", "method"), BOTH)
def test_random_effects_and_conditional_variances_are_lme4s(case, method):
    fit, want = fit_of(case, method)
    near = allowance(fit.llf, want["logLik"])
    assert len(fit.random_effects) == len(want["ranef"])
    for name, block in want["ranef"].items():
        ours, covariances = by_group(fit.random_effects, name), by_group(fit.random_effects_cov, name)
        values = np.array(block["values"])
        levels = [level if level in ours.index else ":".join(level.split(":")[::-1]) for level in block["levels"]]
        conditional = np.stack([covariances.loc[level].to_numpy() for level in levels])
        sd = np.sqrt(np.einsum("lkk->lk", conditional).max(axis=0))
        within(ours.loc[levels], values, near * (np.abs(values).max(axis=0) + sd), f"ranef of {name}")
        want_cov = block["condVar"]
        if isinstance(want_cov, dict):  # a || term: lme4 gives the variance of each effect by itself
            conditional = np.einsum("lkk->lk", conditional)
            want_cov = np.column_stack([np.ravel(want_cov[name]) for name in want_cov])
            within(conditional, want_cov, 2 * near * sd**2, f"condVar of {name}")
        else:
            within(conditional, want_cov, 2 * near * np.outer(sd, sd), f"condVar of {name}")


def by_group(frames, name):
    """The frame of lme4's group `name`, whichever way round a nested name is written."""
    key = ":".join(sorted(name.split(":")))
    return next(frame for group, frame in frames.items() if ":".join(sorted(group.split(":"))) == key)


@pytest.mark.parametrize(("case", "method"), BOTH)
def test_fitted_values_and_predictions_are_lme4s(case, method):
    fit, want = fit_of(case, method)
    near = allowance(fit.llf, want["logLik"])
    head = np.array(want["fitted_head"])
    size = near * np.sqrt(fit.scale) * 3
    within(np.asarray(fit.fittedvalues)[: len(head)], head, size, "fitted")
    within(np.asarray(fit.resid)[: len(head)], want["resid_head"], size, "resid")
    within(
        np.sum(np.asarray(fit.fittedvalues) ** 2), want["sum_fitted_sq"], near * fit.nobs * fit.scale, "sum of squares"
    )
    block = want["predict"]
    new = pd.DataFrame(block["newdata"])
    within(fit.predict(new, random="none"), block["population"], size, "population")
    within(fit.predict(new, new_levels="zero"), block["conditional"], size, "conditional")


def test_standard_errors_of_the_sleepstudy_variances():
    """The known numbers belong to the θ at which lme4 stops; at the maximum they differ in the fifth digit."""
    known, digits = [288.786, 46.6788, 14.7821, 77.1854], [3, 4, 4, 4]
    fit, want = fit_of("sleepstudy/slope_correlated", "REML")
    theirs = components(want)
    keys = [("Subject", "Intercept"), ("Subject", "Intercept", "Days"), ("Subject", "Days"), ("Residual",)]
    stopped = Brute(fit.spec, True).at(np.array([theirs[key] for key in keys]))
    there = np.sqrt(np.diag(np.linalg.inv(stopped.expected_information)))
    for value, printed_value, digit in zip(there, known, digits, strict=True):
        np.testing.assert_allclose(value, printed_value, **printed(digit))
    ours = our_components(fit)
    np.testing.assert_allclose([ours[key][1] for key in keys], known, rtol=2e-5, atol=0)


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_dyestuff2_ends_at_an_exact_zero(method):
    data, want = mv.load_data("dyestuff2"), reference("lme4/dyestuff2/batch_boundary")[method]
    with pytest.warns(BoundaryWarning, match="Batch"):
        fit = mv.fit("Yield ~ 1 + (1 | Batch)", data, method=method.lower())
    y = data["Yield"].to_numpy()
    np.testing.assert_allclose(fit.llf, want["logLik"], **OBJECTIVE)
    assert fit.varcomp["variance"].iloc[0] == 0.0
    assert bool(fit.varcomp["boundary"].iloc[0])
    assert np.isnan(fit.varcomp["se"].iloc[0])
    np.testing.assert_allclose(fit.scale, np.var(y, ddof=1 if method == "REML" else 0), **COMPONENT)
    np.testing.assert_allclose(fit.scale, want["sigma"] ** 2, **COMPONENT)
    np.testing.assert_allclose(fit.params, list(want["fixef"].values()), **COMPONENT)
    np.testing.assert_allclose(fit.bse, list(want["se"].values()), **COMPONENT)
    assert (fit.random_effects["Batch"].to_numpy() == 0).all()


def test_prior_weights_of_sleepstudy():
    want = reference("lme4/sleepstudy/weights")
    data = pd.read_csv(input_or_skip("lme4/sleepstudy/data_weights.csv"), dtype={"Subject": str})
    check_flat(mv.fit("Reaction ~ Days + (Days | Subject)", data, weights="w"), want)


def test_missing_rows_of_sleepstudy():
    want = reference("lme4/sleepstudy/missing_rows")
    data = pd.read_csv(input_or_skip("lme4/sleepstudy/data_missing.csv"), dtype={"Subject": str})
    with pytest.warns(DroppedRowsWarning, match="4 of 180 rows"):
        fit = mv.fit("Reaction ~ Days + (Days | Subject)", data)
    assert fit.nobs == want["nobs"] == 176
    check_flat(fit, want)


def check_flat(fit, want):
    near = allowance(fit.llf, want["logLik"])
    se = np.array(list(want["se"].values()))
    within(fit.params, list(want["fixef"].values()), near * se, "fixef")
    within(fit.bse, se, near * se, "se")
    ours = our_components(fit)
    for key, value in components(want).items():
        within(ours[key][0], value, near * ours[key][1], f"{key}")
