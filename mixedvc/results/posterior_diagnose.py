"""Chains diagnosed in words: do they agree, how many draws are they worth, and what did the data add to the priors?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..inference.intervals import normal_quantile
from ..inference.parameters import par_slices, parameters
from . import posterior_numbers as pn
from .diagnose import STATES, Diagnosis, Finding
from .posterior_diagnose_numbers import autocorrelations, geweke, heidel
from .posterior_notes import AGREE, ENOUGH, _more, _some, acceptance, independent

if TYPE_CHECKING:
    import pandas as pd

    from .posterior import PosteriorResults

Float = NDArray[np.float64]
SURE = 0.01  # of all tests of a kind together: the chance that one of them complains of good chains
UNLIKE = 0.03  # of Heidelberger and Welch's test; leaving out beginnings makes it complain far more rarely
APART = 0.3  # posterior standard deviations
SLOW = 0.9  # autocorrelation of successive draws
STUCK = 0.05  # of a chain's draws in one place
REJECTED = 0.15  # of proposals accepted
PRIOR_DRAWS = 2000
ALIKE = 0.1  # largest difference of the distribution functions of posterior and prior
SURPRISE = 0.005  # prior probability beyond the posterior median


@dataclass(frozen=True)
class PosteriorDiagnosis(Diagnosis):
    """What `PosteriorResults.diagnose` returns; printing shows the findings, the worst first.

    Attributes
    ----------
    table : DataFrame
        One row a parameter: mean, sd, ess_bulk, ess_tail, rhat, mcse, lag1 and lag10 (mean autocorrelation of the
        chains), geweke (the largest |z| of the chains), stationary (all chains pass Heidelberger and Welch's test at
        0.05), left_out (draws that had to be left out for it), precise (their half-width test).
    """

    table: Any = None


def diagnose(fit: PosteriorResults) -> PosteriorDiagnosis:
    """See `PosteriorInferring.diagnose`."""
    if fit.draws.count < 20:
        raise OptionError(f"diagnose() needs at least 20 draws of each chain, not {fit.draws.count}: fit.extend(…)")
    moving = _moving(fit)
    table = _table(fit, moving)
    looks = (_run(fit), _agreement(fit, table), _sizes(fit, table), _stationary(fit, moving), _chains(moving))
    found = [finding for look in (*looks, _moves(fit, table), _priors(fit)) for finding in look]
    return PosteriorDiagnosis(tuple(sorted(found, key=lambda f: STATES.index(f.state))), table)


def _moving(fit: PosteriorResults) -> dict[str, Float]:
    """(C, D) draws of every fixed effect and variance parameter that is not held."""
    names = list(fit.all_numbers())
    columns = [fit.draws.beta[..., j] for j in range(fit.spec.p)]
    columns += [fit.draws.par[..., j] for j in np.flatnonzero(~np.asarray(fit.estimate.fixed))]
    return dict(zip(names, columns, strict=True))


def _table(fit: PosteriorResults, moving: dict[str, Float]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for name, n in fit.all_numbers().items():
        x = moving[name]
        lags = autocorrelations(x, 10)
        tests = [heidel(chain) for chain in x]
        rows.append(
            {
                "parameter": name,
                "mean": n.mean,
                "sd": n.sd,
                "ess_bulk": n.ess_bulk,
                "ess_tail": n.ess_tail,
                "rhat": n.rhat,
                "mcse": n.mcse,
                "lag1": float(np.mean(lags[:, 1])),
                "lag10": float(np.mean(lags[:, -1])),
                "geweke": max((geweke(chain) for chain in x), key=abs),
                "stationary": all(t.passed for t in tests),
                "left_out": max(t.start for t in tests) if all(t.passed for t in tests) else -1,
                "precise": all(t.precise for t in tests),
            }
        )
    return pd.DataFrame(rows).set_index("parameter")


# ---- looks ----------------------------------------------------------------------------------------------------------


def _run(fit: PosteriorResults) -> Iterator[Finding]:
    d = fit.draws
    if d.interrupted:
        said = f"interrupted after {d.count} draws of each chain"
        yield Finding("run", "warning", said, d.count, "fit.extend(…) goes on where the chains stopped")
    if d.chains == 1:
        said = "one chain: whether chains from other beginnings end in the same place cannot be seen"
        yield Finding("chains", "warning", said, 1, "chains=4")


def _agreement(fit: PosteriorResults, table: pd.DataFrame) -> Iterator[Finding]:
    if not pn.there():
        said = "R-hat and effective sample sizes need arviz-stats"
        yield Finding("R-hat", "warning", said, remedy="pip install 'mixedvc[bayes]'")
        return
    if independent(fit.draws):
        yield Finding("R-hat", "fine", "draws are independent, so chains have nothing to agree on")
        return
    rhat = table["rhat"]
    over = rhat[rhat > AGREE]
    if not len(over):
        yield Finding("R-hat", "fine", f"at most {rhat.max():.3f}: the chains agree", float(rhat.max()))
        return
    said = f"above {AGREE} for {_some(over.index)}, at most {over.max():.3f} ({over.idxmax()}): the chains do not agree"
    remedy = f"fit.extend({_more(fit.draws.count, 2)}), a longer burnin=, or another scheme="
    yield Finding("R-hat", "problem" if over.max() > 1.05 else "warning", said, float(over.max()), remedy)


def _sizes(fit: PosteriorResults, table: pd.DataFrame) -> Iterator[Finding]:
    if not pn.there():
        return
    for what, column in (("means", "ess_bulk"), ("limits of intervals", "ess_tail")):
        sizes = table[column].dropna()
        least = float(sizes.min()) if len(sizes) else np.nan
        kind = f"effective draws ({'bulk' if column == 'ess_bulk' else 'tails'})"
        if not least < ENOUGH:
            yield Finding(kind, "fine", f"at least {least:.0f} of {fit.draws.chains * fit.draws.count}", least)
            continue
        some = sizes[sizes < ENOUGH]
        said = (
            f"fewer than {ENOUGH} for {_some(some.index)}, the least {least:.0f} ({sizes.idxmin()}): {what} are vague"
        )
        remedy = f"fit.extend({_more(fit.draws.count, ENOUGH / max(least, 1.0) - 1)})"
        yield Finding(kind, "problem" if least < ENOUGH / 4 else "warning", said, least, remedy)


def _stationary(fit: PosteriorResults, moving: dict[str, Float]) -> Iterator[Finding]:
    """Geweke's test, adjusted for how many there are, and Heidelberger and Welch's."""
    tests = sum(len(x) for x in moving.values())
    if not tests:
        return
    z = {(name, c): geweke(chain) for name, x in moving.items() for c, chain in enumerate(x, 1)}
    worst = max(z, key=lambda key: abs(z[key]) if z[key] == z[key] else -1.0)
    limit = normal_quantile(1 - SURE / tests)
    said = f"beginning and end of chain {worst[1]} differ by z = {z[worst]:.1f} in {worst[0]}"
    if abs(z[worst]) > limit:
        remedy = "a longer burnin=; plot_trace() shows where the chain settles"
        yield Finding("Geweke", "warning", said, z[worst], remedy)
    else:
        yield Finding("Geweke", "fine", f"largest of {tests}: {said}", z[worst])
    failed = [
        f"{name} (chain {c})"
        for name, x in moving.items()
        for c, chain in enumerate(x, 1)
        if not heidel(chain, UNLIKE).passed
    ]
    if failed:
        said = f"not stationary even without its first half: {_some(failed)}"
        yield Finding("Heidelberger-Welch", "warning", said, len(failed), "longer chains and a longer burnin=")
    else:
        yield Finding("Heidelberger-Welch", "fine", f"all {tests} chains of parameters look stationary", 0)


def _chains(moving: dict[str, Float]) -> Iterator[Finding]:
    """Chains that stand apart from the others."""
    for name, x in moving.items():
        if len(x) < 2 or not np.ptp(x) > 0:
            continue
        means = x.mean(axis=1)
        away = np.array([m - np.delete(means, c).mean() for c, m in enumerate(means)]) / x.std()
        c = int(np.argmax(np.abs(away)))
        within = x.std(axis=1).max() / x.std()
        if abs(away[c]) > max(APART, 4 * within * np.sqrt(1 / max(_worth(x[c : c + 1]), 1.0))):
            said = f"chain {c + 1} has its mean of {name} {abs(away[c]):.1f} standard deviations from the others"
            remedy = "plot_trace(); more than one mode, or chains that are too short"
            yield Finding("chains apart", "problem", said, float(away[c]), remedy)


def _worth(x: Float) -> float:
    return pn.ess_bulk(x) if pn.there() else x.size / 10


def _moves(fit: PosteriorResults, table: pd.DataFrame) -> Iterator[Finding]:
    """Autocorrelation, acceptance, chains that stand still."""
    d = fit.draws
    slow = table.index[table["lag1"] > SLOW]
    if len(slow):
        worst = table["lag1"].idxmax()
        said = f"successive draws of {_some(slow)} are correlated, {table['lag1'].max():.2f} ({worst})"
        remedy = f"{_longer(fit)}; scheme='collapsed', or a parameter-expanded prior with scheme='conjugate'"
        yield Finding("autocorrelation", "warning", said, float(table["lag1"].max()), remedy)
    else:
        said = f"at most {table['lag1'].max():.2f} between successive draws"
        yield Finding("autocorrelation", "fine", said, float(table["lag1"].max()))
    rate = acceptance(d)
    if rate is not None:
        low = float(rate.min())
        if low < REJECTED:
            said = f"{100 * low:.0f}% of the proposals of chain {int(rate.argmin()) + 1} were accepted"
            yield Finding("acceptance", "warning", said, low, f"proposal='slice', or {_longer(fit)}")
        else:
            yield Finding("acceptance", "fine", f"at least {100 * low:.0f}% of each chain's proposals", low)
    longest = max(_longest_stay(chain) for chain in d.lp)
    if not np.asarray(fit.estimate.fixed).all() and longest > max(20, STUCK * d.count):
        said = f"a chain stayed {longest} of {d.count} draws in one place"
        yield Finding("stuck", "warning", said, longest, f"{_longer(fit)}, or proposal='slice'")


def _longer(fit: PosteriorResults) -> str:
    return f"more draws, fit.extend({_more(fit.draws.count, 2)})"


def _longest_stay(lp: Float) -> int:
    ends = np.flatnonzero(np.append(np.diff(lp) != 0, True))
    return int(np.max(np.diff(np.append(-1, ends))))


# ---- priors ---------------------------------------------------------------------------------------------------------


def _priors(fit: PosteriorResults) -> Iterator[Finding]:
    """Posteriors that are their prior, and posteriors where the prior did not expect them."""
    looked = 0
    for name, prior, posterior in prior_and_posterior(fit):
        looked += 1
        gap = distance(prior, posterior)
        middle = float(np.median(posterior))
        beyond = min(float((prior <= middle).mean()), float((prior >= middle).mean()))
        if gap < ALIKE:
            said = f"the posterior of {name} is its prior (their distributions differ by at most {gap:.2f})"
            yield Finding("prior alone", "warning", said, gap, "the data say next to nothing of it: report that")
        elif beyond < SURPRISE:
            said = f"the posterior of {name} lies where its prior has {100 * beyond:.1g}% (median {middle:.3g})"
            remedy = "prior and data disagree: check the units of the prior, and fit with a wider one"
            yield Finding("prior and data", "warning", said, beyond, remedy)
    if looked:
        said = f"{looked} parameters with a proper prior were compared with {PRIOR_DRAWS:,} draws of it"
        yield Finding("priors", "fine", said, looked)


def prior_and_posterior(fit: PosteriorResults) -> Iterator[tuple[str, Float, Float]]:
    """Name, draws of the prior and draws of the posterior of every parameter whose prior is proper."""
    priors = fit.priors
    if priors is None or priors.shares is not None:
        return
    rows = parameters(fit.spec)
    for i, (bound, of) in enumerate(zip(priors.terms, par_slices(fit.spec), strict=True)):
        if bound.held is not None or not bound.proper:
            continue
        rng = np.random.default_rng(i)
        prior = np.stack([bound.draw(rng) for _ in range(PRIOR_DRAWS)])
        for j in range(of.start, of.stop):
            yield rows[j].name, prior[:, j - of.start], fit.draws.par[..., j].ravel()


def distance(x: Float, y: Float) -> float:
    """Kolmogorov's: the largest difference of the two empirical distribution functions."""
    x, y = np.sort(x), np.sort(y)
    every = np.concatenate([x, y])
    F, G = (np.searchsorted(z, every, side="right") / len(z) for z in (x, y))
    return float(np.abs(F - G).max())
