"""One criterion, every method that maximises it, several starts: do they all end at the fit's maximum?"""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import MixedVCError, MixedVCWarning, NotProvided, OptionError
from ..estimators import estimators
from ..estimators.base import PointEstimate
from ..estimators.start import units_of
from ..inference.parameters import par_slices, parameters
from ..linalg import dense as la
from ..progress import Progress
from .listing import listing
from .numbers import info

if TYPE_CHECKING:
    import pandas as pd

    from .point import PointResults
    from .render import ModelSummary

Float = NDArray[np.float64]
SAME = 1e-6  # of a log-likelihood: less is the same maximum
_NAMES = {"loglik": "log-lik.", "below": "below best", "evaluations": "evals"}


@dataclass(frozen=True)
class AllFit:
    """What `PointResults.all_fit` returns; printing shows every fit and the verdict.

    Attributes
    ----------
    frame : DataFrame
        A row for each run: method, start, loglik, below (the highest log-likelihood), evaluations, seconds, converged,
        singular, message.
    estimates : DataFrame
        Fixed effects and variance parameters of every run.
    fits : mapping
        The results by the run's number.
    best : int
        The run of the highest log-likelihood; the fit itself is run 0.
    verdict : str
        What it means, in words.
    """

    frame: pd.DataFrame
    estimates: pd.DataFrame
    fits: Mapping[int, PointResults]
    best: int
    verdict: str

    @property
    def agree(self) -> bool:
        """Whether every run that converged ended at the highest log-likelihood found."""
        done = self.frame[self.frame["converged"]]
        return bool((done["below"] <= _allowed(self.frame["loglik"].max())).all())

    def summary(self) -> ModelSummary:
        """The runs with the verdict, as text, HTML and LaTeX."""
        shown = self.frame.drop(columns=["message", "singular"])
        shown = shown.assign(
            converged=["yes" if done else "no" for done in shown["converged"]],
            loglik=["" if np.isnan(x) else info(x, 6) for x in shown["loglik"]],
            evaluations=[str(n) if n else "" for n in shown["evaluations"]],
        )
        title = f"All fits of the {'REML' if self.fits[0].estimate.reml else 'ML'} criterion"
        return listing(
            title, shown, ["run", "method", "start", "converged", "loglik", "evaluations"], (self.verdict,), _NAMES
        )

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary().as_html()


def all_fit(
    fit: PointResults, methods: Iterable[str] | None, starts: int, seed: int | None, progress: bool | None
) -> AllFit:
    """See `PointResults.all_fit`."""
    if fit.estimate.loglik is None or fit.estimator is None:
        raise NotProvided(
            f"all_fit() repeats a maximisation, and method {fit.method!r} has none here: fit by 'reml' or 'ml'"
        )
    if isinstance(starts, bool) or not isinstance(starts, int | np.integer) or starts < 0:
        raise OptionError(f"starts={starts!r:.60}: how many random starts, 0 or more")
    plan = _plan(fit, methods, int(starts), np.random.default_rng(seed))
    runs: list[tuple[str, str, PointResults | None, float, str]] = [(fit.method, "of the fit", fit, np.nan, "")]
    with Progress("Fits", len(plan), progress) as bar:
        for method, start, estimator in plan:
            since = time.perf_counter()
            found, message = _run(fit, estimator)
            runs.append((method, start, found, time.perf_counter() - since, message))
            bar.step()
    return _result(runs)


def maximisers(reml: bool) -> dict[str, Any]:
    """Every registered estimator that maximises the criterion, by name, with default options."""
    out = {}
    for name in estimators.names():
        kind = estimators.get(name)
        if "loglik" not in kind.provides or "draws" in kind.provides or "likelihood" not in kind.needs:
            continue
        if "restricted" in {f.name for f in dataclasses.fields(kind)}:
            out[name] = kind(restricted=reml)
        elif kind.restricted == reml:
            out[name] = kind()
    return out


def _plan(
    fit: PointResults, methods: Iterable[str] | None, starts: int, rng: np.random.Generator
) -> list[tuple[str, str, Any]]:
    """(method, start, estimator) of every run."""
    assert fit.estimator is not None
    known = maximisers(bool(fit.estimate.reml))
    names = list(known) if methods is None else [methods] if isinstance(methods, str) else list(methods)
    for name in names:
        if name not in known:
            criterion = "REML" if fit.estimate.reml else "ML"
            raise OptionError(f"methods={name!r} does not maximise the {criterion} criterion; {', '.join(known)} do")
    held = {"fixed_varcomp": getattr(fit.estimator, "fixed_varcomp", None)}
    every = {name: _with(known[name], held) for name in names}
    plan = [(name, "moments", estimator) for name, estimator in every.items()]
    first = fit.method if fit.method in known else names[0]
    own = _with(known[first], held)
    if any(f.name == "start" for f in dataclasses.fields(own)):
        for label, start in _starts(fit.spec, set(held["fixed_varcomp"] or ()), starts, rng):
            plan.append((first, label, replace(own, start=start)))
    return plan


def _with(estimator: Any, options: dict[str, Any]) -> Any:
    have = {f.name for f in dataclasses.fields(estimator)}
    return replace(estimator, **{name: value for name, value in options.items() if name in have})


def _starts(
    spec: ModelSpec, held: set[str], random: int, rng: np.random.Generator
) -> list[tuple[str, dict[str, Float]]]:
    """Named starts far from each other: next to no random effects, next to no residual, and Σ drawn at random."""
    y = spec.response
    left = y - spec.X @ la.lstsq(spec.X, y) if spec.p else y
    units = units_of(spec, max(float(left @ left) / max(spec.n - spec.p, 1), 1e-300))
    last = len(spec.terms)

    def start(sizes: list[Float]) -> dict[str, Float]:
        out = {}
        for i, (term, Sigma) in enumerate(zip(spec.all_terms, sizes, strict=True)):
            name = "residual" if i == last else term.name
            if not held & {name, term.name}:
                out[name] = term.structure.start(units.up(i, Sigma))
        return out

    ks = [term.k for term in spec.all_terms]
    found = [
        ("small effects", start([np.eye(k) * (0.01 if i < last else 1.0) for i, k in enumerate(ks)])),
        ("large effects", start([np.eye(k) * (4.0 if i < last else 0.05) for i, k in enumerate(ks)])),
    ]
    for number in range(random):
        drawn = []
        for k in ks:
            root = rng.standard_normal((k, k + 1))
            drawn.append(10.0 ** rng.uniform(-1.5, 0.5) * (root @ root.T / (k + 1) + 0.05 * np.eye(k)))
        found.append((f"random {number + 1}", start(drawn)))
    return found


def _run(fit: PointResults, estimator: Any) -> tuple[PointResults | None, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)  # the table says what is singular or unfinished
        try:
            estimate: PointEstimate = estimator.fit(fit.spec, likelihood=fit.likelihood)
        except MixedVCError as error:
            return None, f"{type(error).__name__}: {error}"
    return replace(fit, estimate=estimate, estimator=estimator), estimate.message


def _allowed(best: float) -> float:
    return SAME * max(1.0, 1e-3 * abs(best))


def _result(runs: list[tuple[str, str, PointResults | None, float, str]]) -> AllFit:
    import pandas as pd

    logliks = np.array([np.nan if found is None else float(found.estimate.loglik or 0.0) for _, _, found, _, _ in runs])
    top = float(np.nanmax(logliks))
    frame = pd.DataFrame(
        {
            "run": range(len(runs)),
            "method": [run[0] for run in runs],
            "start": [run[1] for run in runs],
            "loglik": logliks,
            "below": top - logliks,
            "evaluations": [0 if run[2] is None else run[2].estimate.n_evaluations for run in runs],
            "seconds": [run[3] for run in runs],
            "converged": [run[2] is not None and run[2].estimate.converged for run in runs],
            "singular": [run[2] is not None and run[2].estimate.singular for run in runs],
            "message": [run[4] for run in runs],
        }
    )
    fits = {i: run[2] for i, run in enumerate(runs) if run[2] is not None}
    spec = fits[0].spec
    names = [*spec.x_names, *(p.name for p in parameters(spec))]
    values = [np.concatenate([f.evaluation.beta, f.estimate.par]) for f in fits.values()]
    estimates = pd.DataFrame(values, index=pd.Index(list(fits), name="run"), columns=names)
    same = np.flatnonzero(frame["below"].to_numpy() <= _allowed(top))
    return AllFit(frame, estimates, MappingProxyType(fits), int(same[0]), _verdict(frame, fits, int(same[0])))


def _verdict(frame: pd.DataFrame, fits: Mapping[int, PointResults], best: int) -> str:
    top = float(frame["loglik"].max())
    done = frame["converged"].to_numpy()
    low = np.flatnonzero(done & (frame["below"].to_numpy() > _allowed(top)))
    unfinished, failed = int((~done).sum()) - (len(frame) - len(fits)), len(frame) - len(fits)
    tail = f" {unfinished} did not converge." if unfinished else ""
    tail += f" {failed} could not be run; the message says why." if failed else ""
    if best != 0:
        method, start = (str(frame[name].iloc[best]) for name in ("method", "start"))
        return (
            f"The fit is not at the maximum: run {best} ({method}, start {start}) ends "
            f"{float(frame['below'].iloc[0]):.3g} higher. Use .fits[{best}], or fit with start= near its variances."
            f"{tail}"
        )
    if len(low):
        runs = zip(low.tolist(), frame["method"].iloc[low], frame["start"].iloc[low], strict=True)
        which = ", ".join([f"{i} ({method}, start {start})" for i, method, start in runs][:4])
        return (
            f"The fit has the highest log-likelihood, and {len(low)} of {int(done.sum())} converged runs end lower: "
            f"{which}. The criterion has more than one maximum; the fit is at the highest that was found.{tail}"
        )
    spread = _spread(fits)
    return (
        f"All {int(done.sum())} converged runs end at one maximum: log-likelihoods within "
        f"{frame.loc[done, 'below'].max():.1e}, variance parameters within {100 * spread:.2g} % of their size.{tail}"
    )


def _spread(fits: Mapping[int, PointResults]) -> float:
    """Largest difference of a variance parameter between converged runs, over the size of its term's."""
    good = [f for f in fits.values() if f.estimate.converged]
    par = np.array([f.estimate.par for f in good])
    size = np.empty(par.shape[1])
    for of in par_slices(good[0].spec):
        size[of] = max(np.abs(par[:, of]).max(), 1e-300)
    return float((np.ptp(par, axis=0) / size).max())
