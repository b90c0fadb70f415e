"""A diagnosis of chains names what was planted, and has nothing to say of independent draws."""

import sys

import numpy as np
import pytest

from mixedvc.errors import OptionError
from mixedvc.results import posterior_diagnose as pd_
from tests.results.posterior_made import dyestuff, sleepstudy, with_draws


def found(fit, check):
    return [f for f in fit.diagnose().findings if f.check == check and f.state != "fine"]


def moving(seed=1, rho=0.0, chains=4, count=1000):
    """(C, D, 4) independent variances with autocorrelation rho, a covariance among them."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((chains, count, 4))
    for d in range(1, count):
        z[:, d] = rho * z[:, d - 1] + np.sqrt(1 - rho * rho) * z[:, d]
    par = np.exp(5 + 0.2 * z)
    par[..., 1] = 0.1 * z[..., 1]
    return par


def test_independent_draws_are_fine():
    fit = sleepstudy()
    checks = {f.check for f in fit.diagnose().findings if f.state != "fine"}
    assert checks <= {"prior and data", "acceptance", "stuck"}  # the run behind them is another one


def test_a_chain_apart_is_named():
    par = moving()
    par[2, :, 3] *= 1.5
    (one,) = found(with_draws(sleepstudy(), par), "chains apart")
    assert one.state == "problem" and "chain 3" in one.said and "Residual" in one.said
    (rhat,) = found(with_draws(sleepstudy(), par), "R-hat")
    assert "Residual" in rhat.said and "fit.extend(" in rhat.remedy


def test_a_drift_is_seen_by_both_tests():
    par = moving()
    par[:, :, 0] *= np.linspace(0.7, 1.4, 1000)
    fit = with_draws(sleepstudy(), par)
    (geweke,) = found(fit, "Geweke")
    assert "Subject[Intercept]" in geweke.said
    (heidel,) = found(fit, "Heidelberger-Welch")
    assert "Subject[Intercept] (chain " in heidel.said and "Residual" not in heidel.said
    table = fit.diagnose().table
    assert not table.stationary["Subject[Intercept]"] and table.left_out["Subject[Intercept]"] == -1


def test_slow_chains_have_few_effective_draws_and_say_what_is_missing():
    fit = with_draws(sleepstudy(), moving(rho=0.97))
    (size,) = found(fit, "effective draws (bulk)")
    assert size.value < 400 and "fit.extend(" in size.remedy
    (slow,) = found(fit, "autocorrelation")
    assert slow.value == pytest.approx(0.97, abs=0.02)
    table = fit.diagnose().table
    assert table.lag10["Residual"] == pytest.approx(0.97**10, abs=0.12)


def test_one_chain_an_interruption_and_a_chain_that_stands_still_are_told():
    par = moving(chains=1)
    fit = with_draws(sleepstudy(), par, interrupted=True)
    assert found(fit, "chains") and found(fit, "run")
    lp = np.arange(1000.0)[None].repeat(4, axis=0)
    lp[1, 100:180] = 100.0
    (stuck,) = found(with_draws(sleepstudy(), moving(), beta=None, lp=lp), "stuck")
    assert "80 of 1000" in stuck.said and "fit.extend(" in stuck.remedy


def test_few_accepted_proposals_are_told_where_there_are_proposals():
    facts = {"iterations": np.full(4, 1000.0), "accepted": np.array([500.0, 90.0, 500.0, 500.0])}
    par, beta = moving(), None
    (one,) = found(with_draws(sleepstudy(), par, beta=beta, facts=facts), "acceptance")
    assert "9% of the proposals of chain 2" in one.said
    facts = {"iterations": np.full(4, 1000.0)}
    fit = with_draws(sleepstudy(), par, beta=beta, facts=facts)
    assert not [f for f in fit.diagnose().findings if f.check == "acceptance"]
    assert "proposals were accepted" not in str(fit.summary())


def test_a_posterior_that_is_its_prior_and_one_that_contradicts_it_are_told():
    fit = dyestuff()
    bound = fit.priors.terms[0]
    rng = np.random.default_rng(9)
    own = np.array([bound.draw(rng)[0] for _ in range(2000)]).reshape(2, 1000)
    residual = np.random.default_rng(10).uniform(2000, 3000, (2, 1000))
    beta = np.random.default_rng(11).random((2, 1000, 1))
    alone = with_draws(fit, np.stack([own, residual], axis=-1), beta=beta)
    (one,) = found(alone, "prior alone")
    assert "Batch" in one.said and one.value < 0.1
    far = with_draws(fit, np.stack([residual * 1e9, residual], axis=-1), beta=beta)
    (one,) = found(far, "prior and data")
    assert "Batch" in one.said


def test_kolmogorovs_distance_is_scipys():
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(3)
    x, y = rng.standard_normal(200), rng.standard_normal(300) + 0.4
    assert pd_.distance(x, y) == pytest.approx(ks_2samp(x, y).statistic, abs=1e-12)


def test_a_diagnosis_prints_and_needs_draws(monkeypatch):
    fit = sleepstudy(count=200)
    diagnosis = fit.diagnose()
    assert str(diagnosis).startswith("Diagnosis: ") and "<table>" in diagnosis._repr_html_()
    assert list(diagnosis.frame.columns) == ["check", "state", "said", "value", "remedy"]
    with pytest.raises(OptionError, match="at least 20 draws"):
        sleepstudy(count=10).diagnose()
    monkeypatch.setitem(sys.modules, "arviz_stats", None)
    monkeypatch.setitem(sys.modules, "arviz_stats.base", None)
    (one,) = found(sleepstudy(count=201), "R-hat")
    assert "pip install" in one.remedy
