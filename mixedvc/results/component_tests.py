"""Tests that variances are zero: refits without them, and the distribution each likelihood ratio is referred to."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ..design.spec import ModelSpec
from ..errors import BoundaryWarning, NotProvided, OptionError, warn
from ..inference import fitstats, rlrt
from ..inference.chibar import tail
from ..inference.hypothesis import (
    Hypothesis,
    cone_of,
    default_hypotheses,
    hypothesis,
    with_metric,
)
from ..inference.lrt import ComponentTest, check_method, likelihood_ratio, plain
from ..inference.parameters import par_slices
from ..inference.reduce import bar_text, for_reduced
from ..inference.workers import run
from ..linalg.processes import check_workers
from ..progress import Progress
from .made import made

if TYPE_CHECKING:
    import pandas as pd

    from .point import PointResults

SIMULATIONS, REPLICATES = 10_000, 1_000


def test_varcomp(
    fit: PointResults, component: str | None, method: str, nsim: int | None, seed: int | None, workers: int
) -> pd.DataFrame:
    """See `PointResults.test_varcomp`."""
    import pandas as pd

    check_method(method)
    check_refittable(fit, component)
    if nsim is not None and (isinstance(nsim, bool) or not isinstance(nsim, int | np.integer) or nsim < 100):
        raise OptionError(f"nsim={nsim!r:.60}: a whole number of at least 100 is needed, or None")
    tested = [hypothesis(fit.spec, fit.estimate, component)] if component else _every(fit)
    rows = [asdict(_test(fit, h, method, nsim, seed, check_workers(workers))) for h in tested]
    return pd.DataFrame(rows).set_index("component")


def check_refittable(fit: PointResults, component: str | None = None) -> None:
    """Refuse a fit that has no likelihood or cannot be fitted again."""
    if fit.estimator is None:
        raise OptionError("this result does not carry its estimator, so it cannot be refitted: use mixedvc.fit")
    if fit.estimate.loglik is None:
        of = f" of {component!r}" if component else ""
        raise NotProvided(
            f"method {fit.method!r} has no likelihood, so no likelihood-ratio test{of}: fit with method='reml' and "
            "test there, or see whether the interval in varcomp contains zero"
        )


def _every(fit: PointResults) -> list[Hypothesis]:
    found = default_hypotheses(fit.spec, fit.estimate)
    if not found:
        raise OptionError("test_varcomp tests an estimated variance of a random term; no term here can be tested")
    return found


def _test(
    fit: PointResults, h: Hypothesis, method: str, nsim: int | None, seed: int | None, workers: int
) -> ComponentTest:
    without = null_fit(fit, h)
    statistic = likelihood_ratio(fit.llf, without.llf)
    chosen, why_not = choose_method(fit, h)
    if method != "auto":
        if method in why_not:
            raise OptionError(f"method={method!r} does not apply to {h.name!r}: {why_not[method]}")
        chosen = method
    p, error, law = _P_VALUES[chosen](fit, without, h, statistic, nsim, seed, workers)
    return ComponentTest(h.name, statistic, p, error, h.df(fit.spec), law, fit.llf, without.llf)


def null_fit(fit: PointResults, h: Hypothesis) -> PointResults:
    """The model under the hypothesis, fitted as the larger one was."""
    estimator = for_reduced(fit.estimator, (fit.spec.terms[h.term].name,))
    spec = h.null(fit.spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundaryWarning)  # of the smaller model, which nobody asked to see
        estimate = estimator.fit(spec)
    if not estimate.converged:
        warn(f"the fit without {h.name!r} did not converge: {estimate.message}")
    return made(spec, estimate, None, estimator, fit.information)


def choose_method(fit: PointResults, h: Hypothesis) -> tuple[str, dict[str, str]]:
    """What "auto" takes, and why other methods do not apply."""
    spec, why_not = fit.spec, {}
    name = spec.terms[h.term].structure.name
    if not h.single(spec):
        why_not["exact"] = "it is known for one variance alone; use 'mixture' or 'boot'"
    elif spec.residual.k > 1 or fit.estimate.fixed[par_slices(spec)[-1]].any():
        why_not["exact"] = "it needs one residual variance that is estimated; use 'mixture' or 'boot'"
    if cone_of(h, spec) is None:
        why_not["mixture"] = f"the large-sample law for a {name} covariance is not known; use 'boot'"
    order = ["mixture", "boot"]
    if "exact" not in why_not and not _beside_others(spec, h):  # beside others it approximates
        alone = h.alone(spec)
        order = ["exact", *order] if rlrt.spectrum_size(alone, alone.terms[0]) <= rlrt.AFFORDABLE else order
    return next(m for m in order if m not in why_not), why_not


def _beside_others(spec: ModelSpec, h: Hypothesis) -> bool:
    """Whether the model has other variances than the tested one and the residual's."""
    return len(spec.terms) > 1 or spec.terms[h.term].k > 1


def _exact(
    fit: PointResults, without: PointResults, h: Hypothesis, x: float, nsim: int | None, seed: int | None, workers: int
) -> tuple[float, float, str]:
    alone = h.alone(fit.spec)
    spectrum = rlrt.spectrum(alone, 0, bool(fit.estimate.reml))
    draws = rlrt.simulate(spectrum, nsim or SIMULATIONS, np.random.default_rng(seed))
    which = "restricted likelihood ratio" if fit.estimate.reml else "likelihood ratio"
    law = f"exact law of the {which}, {len(draws):,} simulations"
    if _beside_others(fit.spec, h):
        absent = "as if the other components were absent (Greven et al. 2008)"
        law = f"law of the {which} {absent}, {len(draws):,} simulations"
    return (*rlrt.p_value(x, draws), law)


def _mixture(
    fit: PointResults, without: PointResults, h: Hypothesis, x: float, nsim: int | None, seed: int | None, workers: int
) -> tuple[float, float, str]:
    cone = cone_of(h, fit.spec)
    assert cone is not None
    if cone.size > 1:
        name = fit.estimate.likelihood
        cone = with_metric(h, cone, fit.spec, without.estimate, fit._evaluator.at, name)
    found = tail(x, cone, nsim or SIMULATIONS, np.random.default_rng(seed))
    return found.p, found.error, found.law


def _chi2(
    fit: PointResults, without: PointResults, h: Hypothesis, x: float, nsim: int | None, seed: int | None, workers: int
) -> tuple[float, float, str]:
    p, law = plain(x, h.df(fit.spec))
    return p, 0.0, law


def _boot(
    fit: PointResults, without: PointResults, h: Hypothesis, x: float, nsim: int | None, seed: int | None, workers: int
) -> tuple[float, float, str]:
    draws, wanted = bootstrapped_ratios(without, fit, nsim or REPLICATES, seed, workers)
    short = f" (of {wanted} asked for)" if len(draws) < wanted else ""
    return (*rlrt.p_value(x, draws), f"parametric bootstrap, {len(draws)} replicates{short}")


_P_VALUES: dict[str, Any] = {"exact": _exact, "mixture": _mixture, "chi2": _chi2, "boot": _boot}


def bootstrapped_ratios(
    null: PointResults, fit: PointResults, nsim: int, seed: int | None, workers: int = 1
) -> tuple[np.ndarray, int]:
    """Likelihood ratios of responses drawn from `null`, without refits that failed, and how many were asked for."""
    from .bootstrap import plan_of

    plan = plan_of(null, "parametric", "new", nsim, seed, fit)
    with Progress("bootstrap of the likelihood ratio", nsim) as bar:
        blocks, interrupted = run(plan, workers, None, bar.step)
    pairs = [pair for block in blocks for pair in block.fits]
    ratios = [
        likelihood_ratio(b.estimate.loglik, a.estimate.loglik)
        for a, b in pairs
        if a.estimate is not None and b.estimate is not None
        if a.estimate.loglik is not None and b.estimate.loglik is not None
    ]
    if interrupted:
        warn(f"the bootstrap was interrupted: {len(pairs)} of {nsim} replicates are there")
    if len(ratios) < 0.95 * len(pairs) or not ratios:
        warn(f"{len(pairs) - len(ratios)} of {len(pairs)} refits under the hypothesis failed; they are left out")
    return np.array(ratios), nsim


def ranova(fit: PointResults) -> pd.DataFrame:
    """Each random term left out, or each of its slopes, one at a time, as lmerTest's ranova does.

    Returns
    -------
    DataFrame, first row "<none>" (the fit), then one row a reduction; columns term, effect (the slopes left out, empty
    for a whole term), npar, llf, aic, lrt, df, p_value.  The p-value is that of χ²_df, as lmerTest prints it; it is
    conservative, since variances lie at the edge under the hypothesis: `test_varcomp` does better.
    """
    import pandas as pd

    check_refittable(fit)
    rows = [_ranova_row("<none>", "", "", fit, fit)]
    for h in _every(fit):
        term = fit.spec.terms[h.term]
        text = term.text or bar_text(term.effects, term)
        label = f"{h.group} in {text}" if h.group else text
        rows.append(_ranova_row(label, text, h.group, null_fit(fit, h), fit))
    return pd.DataFrame(rows).set_index("model")


def _ranova_row(label: str, term: str, effect: str, small: PointResults, fit: PointResults) -> dict[str, Any]:
    npar, llf = fitstats.n_parameters(small.spec, small.estimate), small.llf
    row: dict[str, Any] = {"model": label, "term": term, "effect": effect, "npar": npar, "llf": llf}
    row["aic"] = fitstats.aic(llf, npar)
    if small is fit:
        return row | {"lrt": np.nan, "df": np.nan, "p_value": np.nan}
    df, x = fit.n_parameters - npar, likelihood_ratio(fit.llf, llf)
    return row | {"lrt": x, "df": df, "p_value": plain(x, df)[0]}
