"""Every method and start on one criterion: the table, and the verdict in words."""

import numpy as np
import pytest

import mixedvc as mv
from mixedvc.errors import NotProvided, OptionError
from mixedvc.results.all_fit import maximisers
from mixedvc.testing import problems
from mixedvc.testing.optimum import quiet


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("problem", ["slopes", "residual_autoregressive", "kinship_slopes"])
def test_all_methods_and_starts_end_at_one_maximum(problem, method):
    with quiet():
        fit = problems.bound(problem).fit(method)
    found = fit.all_fit(starts=2)
    assert set(found.frame["method"]) == set(maximisers(method == "reml")) >= {method, "em", "pxem", "mm", "fisher"}
    assert found.agree
    assert found.best == 0
    assert found.verdict.startswith(f"All {len(found.frame)} converged runs end at one maximum")
    assert list(found.frame["start"])[-4:] == ["small effects", "large effects", "random 1", "random 2"]
    size = np.abs(found.estimates.iloc[0]) + 1e-4 * np.abs(found.estimates.to_numpy()).max()
    assert (np.abs(found.estimates - found.estimates.iloc[0]) / size).to_numpy().max() < 1e-4


def test_a_fit_that_stopped_early_is_told_where_the_maximum_is():
    with quiet():
        fit = problems.bound("slopes").fit("reml", max_iter=1)
    found = fit.all_fit(starts=0)
    assert not found.frame.loc[0, "converged"]
    assert found.best > 0
    assert f"The fit is not at the maximum: run {found.best} (" in found.verdict
    assert "1 did not converge" in found.verdict
    assert found.fits[found.best].llf > fit.llf


def test_runs_that_end_lower_are_named(monkeypatch):
    fit = problems.bound("slopes").fit("reml")
    kinds = maximisers(True)

    class Low(type(kinds["em"])):
        def fit(self, spec, **keywords):
            import dataclasses

            estimate = kinds["em"].fit(spec, **keywords)
            return dataclasses.replace(estimate, loglik=estimate.loglik - 1.0)

    monkeypatch.setattr("mixedvc.results.all_fit.maximisers", lambda reml: {**kinds, "em": Low()})
    found = fit.all_fit(["em", "reml"], starts=0)
    assert not found.agree
    assert "1 of 5 converged runs end lower: 1 (em, start moments)" in found.verdict
    assert found.frame.loc[1, "below"] == pytest.approx(1.0)


def test_held_variances_stay_held():
    with quiet():
        fit = problems.bound("one_way").fit("reml", fixed_varcomp={"residual": 2.0})
    found = fit.all_fit(["em", "mm"], starts=1)
    assert (found.estimates["Residual"] == 2.0).all()
    assert found.agree


def test_the_table_prints_runs_and_verdict():
    found = mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff")).all_fit(["em"], starts=0)
    text = str(found)
    assert "All fits of the REML criterion" in text
    assert "of the fit" in text
    assert "large effects" in text
    assert "[1] All" in text
    assert "<table" in found._repr_html_()


def test_what_cannot_be_run_is_refused():
    fit = problems.bound("one_way").fit("ml")
    with pytest.raises(OptionError, match=r"methods='reml' does not maximise the ML criterion; .*ml"):
        fit.all_fit(["reml"])
    with pytest.raises(OptionError, match="starts=-1"):
        fit.all_fit(starts=-1)
    with pytest.raises(NotProvided, match="method 'he' has none here"):
        problems.bound("one_way").fit("he").all_fit()
