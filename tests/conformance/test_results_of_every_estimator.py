"""What a user does with a fit works for every registered estimator: print, save, predict, compare, cross-validate."""

import warnings

import numpy as np
import pytest

import mixedvc as mv
from mixedvc.errors import MixedVCWarning, NotProvided
from mixedvc.estimators import estimators
from mixedvc.testing import problems
from tests.tolerances import IDENTITY, OBJECTIVE, PARAMETER

NAMES = [name for name in estimators.names() if "draws" not in estimators.get(name).provides]
SHOWN = [
    "one_way",
    "slopes",
    "slopes_uncorrelated",
    "compound_symmetry",
    "relatives_without_rows",
    "kinship_slopes",
    "pedigree",
    "two_samples",
]
WITH_DATA = ["crossed_weights_offset", "slopes", "autoregressive", "kinship_slopes", "twins", "features", "precision"]
WIDTH = 100
fits: dict = {}


def fitted(name, problem):
    """One fit of each; the same problems as the likelihoods are tested on."""
    if (name, problem) not in fits:
        options = {"n_subsamples": 8, "n_boot": 20} if name == "rerehe" else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedVCWarning)
            fits[name, problem] = problems.bound(problem).fit(name, seed=1, **options)
    return fits[name, problem]


@pytest.mark.parametrize("problem", SHOWN)
@pytest.mark.parametrize("name", NAMES)
def test_every_summary_prints_and_no_line_is_wide(name, problem):
    fit = fitted(name, problem)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        summary = fit.summary()
    text = str(summary)
    wide = [line for line in text.splitlines() if len(line) > WIDTH]
    assert not wide, wide[0]
    assert "nan" not in text.lower().split()
    assert "None" not in text
    for term in fit.spec.terms:
        assert term.group.split(":")[0] in text
    assert "<table" in summary._repr_html_()
    assert ("log-likelihood" in text.lower()) == ("loglik" in estimators.get(name).provides)


@pytest.mark.parametrize("problem", WITH_DATA)
@pytest.mark.parametrize("name", NAMES)
def test_a_saved_fit_comes_back_with_every_number_and_the_same_summary(name, problem, tmp_path):
    fit = fitted(name, problem)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        fit.save(tmp_path / "fit.mvc")
        again = mv.load(tmp_path / "fit.mvc")
        assert str(again.summary()) == str(fit.summary())
    assert again.method == name
    np.testing.assert_array_equal(again.estimate.theta, fit.estimate.theta)
    np.testing.assert_allclose(again.cov_varcomp(), fit.cov_varcomp(), rtol=1e-8, atol=0)
    np.testing.assert_allclose(again.params, fit.params, **OBJECTIVE)
    np.testing.assert_allclose(again.bse, fit.bse, **OBJECTIVE)
    if fit.estimate.sampling is not None:
        for field in ("centre", "cov", "noise", "draws"):
            ours, theirs = getattr(fit.estimate.sampling, field), getattr(again.estimate.sampling, field)
            assert (ours is None) == (theirs is None), field
            if ours is not None:
                np.testing.assert_array_equal(ours, theirs, err_msg=field)


@pytest.mark.parametrize("problem", WITH_DATA)
@pytest.mark.parametrize("name", NAMES)
def test_fitted_values_effects_and_predictions_belong_together(name, problem):
    fit = fitted(name, problem)
    spec, made = fit.spec, problems.problem(problem)
    total = np.asarray(fit.fixed_fit, dtype=float)
    for term, frame in zip(spec.terms, fit.random_effects.values(), strict=True):
        u = frame.loc[list(term.levels)].to_numpy(dtype=float)
        total = total + (term.basis * u[term.codes]).sum(axis=1)
    np.testing.assert_allclose(fit.fittedvalues, total, rtol=1e-8, atol=1e-8 * np.std(spec.response))
    np.testing.assert_allclose(fit.fittedvalues + fit.resid, spec.y, **PARAMETER)
    if made.offset is None:
        again = fit.predict(made.data)
        np.testing.assert_allclose(again, fit.fittedvalues, rtol=1e-8, atol=1e-8 * np.std(spec.response))
    for pev in fit.pev.values():
        assert np.isfinite(pev.to_numpy(dtype=float)).all()
        assert (pev.to_numpy(dtype=float) > -1e-8 * np.var(spec.response)).all()


@pytest.mark.parametrize("problem", SHOWN)
@pytest.mark.parametrize("name", NAMES)
def test_standard_errors_and_intervals_are_numbers_around_the_estimate(name, problem):
    table = fitted(name, problem).variances()
    free = table[~table["boundary"]]
    assert free["se"].notna().all(), "an estimate inside its bounds has a standard error"
    shown = table.dropna(subset=["lower", "upper"])
    assert (shown["lower"] <= shown["upper"]).all()
    assert (table["se"].dropna() >= 0).all()
    # below this Satterthwaite's chi-square has so few degrees of freedom that both its limits lie above the estimate
    if fitted(name, problem).is_singular and fitted(name, problem).estimate.sampling is not None:
        return  # intervals stand around the unconstrained estimate
    inside = shown[~shown["boundary"] & (shown["variance"].abs() > 0.7 * shown["se"])]
    assert (inside["lower"] <= inside["variance"] * (1 + 1e-9) + 1e-300).all()
    assert (inside["upper"] >= inside["variance"] * (1 - 1e-9) - 1e-300).all()


@pytest.mark.parametrize("problem", ["twins", "families", "features", "crossed_weights_offset"])
@pytest.mark.parametrize("name", NAMES)
def test_a_share_of_the_variance_is_the_ratio_it_says(name, problem):
    fit = fitted(name, problem)
    means = []
    for term in fit.spec.all_terms:
        A = np.asarray(term.covariance.diagonal(term.positions))[term.codes]
        means.append(np.mean(term.basis[:, 0] ** 2 * (1.0 if term.cov_name else A)))
    parts = fit.estimate.theta * np.array(means)  # as estimated, negative ones too
    for i, term in enumerate(fit.spec.terms):
        share = fit.heritability(term.name)
        np.testing.assert_allclose(share.estimate, parts[i] / parts.sum(), **OBJECTIVE)
        assert np.isnan(share.lower) or share.lower <= share.estimate <= share.upper


@pytest.mark.parametrize("name", NAMES)
def test_what_needs_a_log_likelihood_says_who_has_one(name):
    fit = fitted(name, "families")
    if "loglik" in estimators.get(name).provides:
        assert np.isfinite([fit.llf, fit.aic, fit.bic]).all()
        assert len(fit.test_varcomp()) > 0
        return
    for what in ("llf", "aic", "bic"):
        with pytest.raises(AttributeError, match="reml"):
            getattr(fit, what)
    with pytest.raises(NotProvided, match="reml"):
        fit.test_varcomp()


@pytest.mark.parametrize("problem", ["families", "kinship_slopes", "autoregressive", "crossed_weights_offset"])
def test_all_methods_are_laid_side_by_side(problem):
    spec = problems.bound(problem)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        compared = mv.compare(spec, NAMES, seed=1)
    text = str(compared)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert all(name in text for name in NAMES)
    assert set(compared.fits) == set(NAMES)
    best = compared["reml"].llf
    for name in ("mm", "em", "pxem", "fisher"):
        np.testing.assert_allclose(compared[name].llf, best, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(compared.loglik[name], best, rtol=1e-9, atol=1e-9)
    assert (compared.loglik <= best + 1e-7).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_method_can_be_cross_validated(name):
    spec = problems.bound("families")
    options = {"n_subsamples": 4, "n_boot": 20} if name == "rerehe" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        first = mv.cross_validate(spec, name, folds=3, seed=2, **options)
        again = mv.cross_validate(spec, name, folds=3, seed=2, **options)
    np.testing.assert_allclose(first.predictions.to_numpy(float), again.predictions.to_numpy(float), **IDENTITY)
    assert np.isfinite(first.predictions.to_numpy(dtype=float)).all()
    assert max(map(len, str(first).splitlines())) <= WIDTH


@pytest.mark.parametrize("name", NAMES)
def test_every_method_can_be_refitted_to_another_response(name):
    fit = fitted(name, "families")
    y = np.random.default_rng(3).standard_normal(fit.spec.n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        again, itself = fit.refit(y), fit.refit(np.asarray(fit.spec.y))
    assert again.method == name
    assert not np.allclose(again.theta, fit.theta)
    if name != "rerehe":  # which draws its subsamples anew
        np.testing.assert_allclose(itself.estimate.theta, fit.estimate.theta, rtol=1e-6, atol=1e-9)
