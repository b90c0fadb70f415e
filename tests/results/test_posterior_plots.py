"""Pictures of posteriors show the draws: lines, limits and labels are those of the numbers."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose

from mixedvc.errors import OptionError
from mixedvc.results import posterior_numbers as pn
from mixedvc.results.plots.posterior_density import prior_density
from mixedvc.results.posterior_diagnose_numbers import autocorrelations
from tests.results.posterior_made import dyestuff, sleepstudy, with_draws
from tests.results.test_posterior_traits import fitted
from tests.tolerances import IDENTITY, PARAMETER


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def fit():
    return sleepstudy(count=300)


def test_a_trace_has_a_line_a_chain_and_a_panel_a_variance(fit):
    panels = fit.plot_trace()
    assert [p.get_title() for p in panels] == [
        "Subject[Intercept]",
        "Subject[Intercept, Days]",
        "Subject[Days]",
        "Residual",
    ]
    assert_allclose(panels[3].lines[2].get_ydata(), fit.draws.par[2, :, 3], **IDENTITY)
    assert panels[3].lines[0].get_xdata()[0] == fit.draws.burnin + fit.draws.thin
    assert fit.plot_trace("Days").get_title() == "Days"
    assert len(fit.plot_trace("all")) == 6


def test_ranks_of_a_chain_that_lies_high_leave_the_band(fit):
    panel = fit.plot_rank("Residual")
    counts = [patch.get_data().values for patch in panel.patches if hasattr(patch, "get_data")]
    assert len(counts) == 4 and all(c.sum() == 300 for c in counts)
    par = fit.draws.par.copy()
    par[2, :, 3] += 1e4  # above all others: this chain alone has the last quarter of the ranks
    high = with_draws(fit, par).plot_rank("Residual")
    counts = [patch.get_data().values for patch in high.patches if hasattr(patch, "get_data")]
    assert counts[2][-5:].sum() == 300 and counts[0][-5:].sum() == 0
    one = dyestuff(chains=1, count=100)
    with pytest.raises(OptionError, match="one: chains=4"):
        one.plot_rank()


def test_autocorrelations_are_those_of_the_chains(fit):
    panel = fit.plot_autocorrelation("Residual", max_lag=12)
    assert_allclose(panel.lines[1].get_ydata(), autocorrelations(fit.draws.par[..., 3], 12)[0], **IDENTITY)
    with pytest.raises(OptionError, match="max_lag=0"):
        fit.plot_autocorrelation(max_lag=0)


def test_a_density_has_the_mean_the_interval_and_the_prior(fit):
    panel = fit.plot_density("Residual")
    x = fit.draws.par[..., 3]
    assert panel.lines[1].get_xdata()[0] == pytest.approx(x.mean())
    low, high = pn.hdi(x)
    shaded = panel.collections[0].get_paths()[0].vertices[:, 0]
    assert_allclose((shaded.min(), shaded.max()), (low, high), rtol=0, atol=0.02 * (high - low))
    points = panel.lines[2].get_xdata()
    prior = np.exp(fit.priors.terms[1].logpdf(points[:, None]))
    assert_allclose(panel.lines[2].get_ydata(), prior, **PARAMETER)
    assert len(fit.plot_density("Residual", prior=False).lines) == 2


def test_the_prior_of_a_variance_in_a_matrix_is_that_of_its_draws(fit):
    bound, rng = fit.priors.terms[0], np.random.default_rng(77)
    draws = np.array([bound.draw(rng)[2] for _ in range(4000)])
    points = np.quantile(draws, np.linspace(0.2, 0.8, 200))
    mass = np.trapezoid(prior_density(fit, 2)(points), points)
    assert mass == pytest.approx(0.6, abs=0.06)


def test_pairs_scatter_the_draws_and_say_correlations(fit):
    panels = fit.plot_pairs(["Residual", "Subject[Days]", "Days"])
    assert len(panels) == 9
    r = np.corrcoef(fit.draws.par[..., 3].ravel(), fit.draws.par[..., 2].ravel())[0, 1]
    assert panels[1].texts[0].get_text() == f"{r:.2f}"
    with pytest.raises(OptionError, match="choose 2 to 8"):
        fit.plot_pairs("Residual")


def test_a_forest_has_means_and_two_intervals(fit):
    panel = fit.plot_forest()
    h = fit.heritability("Subject")
    assert [label.get_text() for label in panel.get_yticklabels()] == ["share(Subject)", "share(Residual)"]
    assert_allclose(panel.collections[0].get_segments()[0][:, 0], (h.lower, h.upper), **PARAMETER)
    assert panel.lines[0].get_xdata()[0] == pytest.approx(h.mean)
    levels = sleepstudy(chains=2, count=100).plot_forest("Subject")
    assert len(levels.get_yticklabels()) == 18
    means = levels.lines[-1].get_xdata()
    assert (np.diff(means) <= 0).all()


def test_traits_have_pictures_too():
    fit, _ = fitted()
    assert len(fit.plot_density()) == 6
    assert len(fit.plot_forest().get_yticklabels()) == 4
    fit.plot_correlations()
    fit.plot_shares()


def test_an_unknown_quantity_is_told_with_those_there_are(fit):
    with pytest.raises(OptionError, match=r"no quantity is called 'kin'; there are 'all', 'fixed'.*'sd\(Residual\)'"):
        fit.plot_trace("kin")
