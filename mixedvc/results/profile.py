"""A profile likelihood as a user meets it: intervals, points, pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConvergenceWarning, NotProvided, OptionError, warn
from ..inference.intervals import check_level, normal_quantile
from ..inference.parameters import Parameter, parameters
from ..inference.profile import Profiler as Profiler
from ..inference.profile_path import End, Path
from ..inference.profile_targets import Target as Target
from ..inference.profile_targets import fixed_targets, select
from ..inference.profile_targets import function_target as function_target
from ..inference.profile_targets import share_target as share_target
from ..likelihood.choose import choose
from ..progress import Progress
from .listing import interval_names, listing

if TYPE_CHECKING:
    import pandas as pd

    from .point import PointResults
    from .render import ModelSummary

Float = NDArray[np.float64]
_HIGHER = 1e-5  # units of log-likelihood by which a fit may lie below the maximum without a word


@dataclass(frozen=True, eq=False, repr=False)
class Profile:
    """Profile likelihoods of some parameters of a fit.

    ζ(ψ) = sign(ψ − ψ̂)·√(2(ℓ̂ − max ℓ given ψ)) is a straight line where the likelihood is quadratic; an interval of a
    level is where |ζ| stays below the normal quantile.  Variance parameters are profiled on the criterion that was
    fitted; fixed effects always on the unrestricted likelihood, as lme4 does, because the restricted one does not know
    them: their intervals lie around the ML estimates.

    Attributes
    ----------
    targets : tuple of Target
        What was profiled: name, kind, group, effect, effect2.
    level : float
        Of the intervals found first; others are found when asked for.
    profiler : Profiler
        Finds points and keeps them.
    reml : bool or None
        The criterion that was asked for in the place of the fit's own.
    interrupted : tuple of str
        Names of what was not finished.
    notes : tuple of str
        What a reader of the intervals should know.
    """

    targets: tuple[Target, ...]
    level: float
    profiler: Profiler
    reml: bool | None = None
    interrupted: tuple[str, ...] = ()

    # ---- numbers --------------------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        return [t.name for t in self.targets]

    @property
    def n_evaluations(self) -> int:
        """Evaluations of the likelihood behind all profiles of this fit so far."""
        return self.profiler.evaluations

    def criterion(self, target: Target) -> str:
        """ "REML" or "ML": what the profile of a target maximises."""
        return "REML" if self.profiler.restricted(target, self.reml) else "ML"

    def conf_int(self, level: float | None = None) -> pd.DataFrame:
        """Intervals, one row a parameter.

        Parameters
        ----------
        level : float, optional
            The profile's own by default; another one is solved for, not interpolated.

        Returns
        -------
        DataFrame, index: name.  Columns: kind, group, effect, effect2, criterion, estimate (the maximum of that
        criterion), lower, upper, note.  A limit that is the edge of what the parameter can be (0 for a variance, ±1 for
        a correlation) is not rejected itself; an infinite one is never rejected, however large.
        """
        import pandas as pd

        rows = [self._row(t, self.level if level is None else check_level(level)) for t in self.targets]
        return pd.DataFrame(rows, index=pd.Index(self.names, name="parameter"))

    def _row(self, target: Target, level: float) -> dict[str, Any]:
        lower, upper = self.ends(target, level)
        path = self.profiler.path(target, self.reml)
        return {
            "kind": target.kind,
            "group": target.group,
            "effect": target.effect,
            "effect2": target.effect2,
            "criterion": self.criterion(target),
            "estimate": float(target.value(path.axis.estimate)),
            "lower": float(target.value(lower.t)),
            "upper": float(target.value(upper.t)),
            "note": _note(target, path, lower, upper),
        }

    def ends(self, target: Target, level: float) -> tuple[End, End]:
        """Both ends of the interval of a target, where its axis runs (standard deviations for variances)."""
        return self.profiler.ends(target, normal_quantile(level), self.reml)

    @property
    def frame(self) -> pd.DataFrame:
        """The points found: parameter, kind, value, zeta, in the order of the values."""
        import pandas as pd

        rows = []
        for target in self.targets:
            for p in self.profiler.path(target, self.reml).points:
                if np.isfinite(p.zeta):
                    rows.append((target.name, target.kind, float(target.value(p.t)), p.zeta))
        return pd.DataFrame(rows, columns=["parameter", "kind", "value", "zeta"])

    def curve(self, name: str, n: int = 101) -> tuple[Float, Float]:
        """(value, ζ) of one parameter on a grid of ζ a little wider than its interval, by cubics with known slopes.

        It ends at the outermost point known, where a profile does not reach that far.
        """
        target = self._target(name)
        path = self.profiler.path(target, self.reml)
        finite = [p.zeta for p in path.points if np.isfinite(p.zeta)]
        if len(finite) < 2:
            return np.empty(0), np.empty(0)
        reach = 1.25 * normal_quantile(self.level)
        zeta = np.linspace(max(min(finite), -reach), min(max(finite), reach), n)
        return np.asarray(target.value(path.curve(zeta)), dtype=np.float64), zeta

    def _target(self, name: str) -> Target:
        for target in self.targets:
            if target.name == name:
                return target
        raise OptionError(f"{name!r} was not profiled; there are {', '.join(map(repr, self.names))}")

    @property
    def notes(self) -> tuple[str, ...]:
        out = []
        kinds = {self.criterion(t) for t in self.targets}
        if kinds == {"REML", "ML"}:
            out.append(
                "Variance parameters: profile of the restricted likelihood.  Fixed effects: profile of the "
                "unrestricted likelihood around its own maximum, because the restricted one does not depend on them."
            )
        elif kinds == {"ML"} and self.profiler.estimate.reml:
            out.append("Profile of the unrestricted likelihood, around its own maximum; the fit itself is by REML.")
        if self.interrupted:
            out.append(f"Interrupted: without {', '.join(self.interrupted)}.")
        return tuple(out)

    # ---- pictures -------------------------------------------------------------------------------------------

    def plot(self, kind: str = "zeta", ax: Any = None) -> Any:
        """ζ against the parameter ("zeta"), its size |ζ| ("abs"), or the density that it implies ("density")."""
        from .plots import profile

        return profile(self, kind, ax=ax)

    def __repr__(self) -> str:
        how = " and ".join(sorted({self.criterion(t) for t in self.targets}))
        return f"<Profile: {len(self.targets)} parameters by {how}; .conf_int() has the intervals, .plot() draws them>"

    def summary(self) -> ModelSummary:
        """The intervals as a table: text, HTML, LaTeX."""
        shown = self.conf_int()[["estimate", "lower", "upper", "criterion", "note"]]
        said = [f"{name}: {note}." for name, note in shown["note"].items() if note]
        table = shown[["criterion", "estimate", "lower", "upper"]].rename_axis("parameter")
        title = "Profile-likelihood intervals"
        return listing(title, table, ["parameter", "criterion"], [*self.notes, *said], interval_names(self.level))

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary().as_html()


def _note(target: Target, path: Path, lower: End, upper: End) -> str:
    """What is to be said of an interval, in a few words; empty mostly."""
    if not path.defined:
        return "not defined: a variance is zero, so every value fits equally well"
    said = []
    for end, side in ((lower, "lower"), (upper, "upper")):
        if end.kind == "open":
            said.append(f"no {side} limit: the profile is flat")
        elif end.kind == "undefined" and side == "lower":
            said.append(
                "a variance may be zero, where the correlation is not defined and every value fits equally well"
            )
        elif end.kind == "edge":
            said.append(f"{side} limit is the edge of the range")
        elif end.kind == "limit":
            said.append(f"no values beyond the {side} limit")
    if path.turns:
        said.append("profile is not monotone: values inside may be rejected, or values outside not")
    if not (lower.converged and upper.converged):
        said.append("did not converge")
    return "; ".join(said)


def check_profiled(fit: PointResults) -> None:
    """Refuse fits that have no likelihood to profile."""
    if fit.estimate.loglik is None:
        raise NotProvided(
            f"method {fit.method!r} has no likelihood, so no profile: fit with method='reml' or method='ml'"
        )
    if fit.estimate.fixed.all() and not fit.spec.p:
        raise NotProvided("every variance is given and there are no fixed effects: there is nothing to profile")


def profiler(fit: PointResults) -> Profiler:
    """What finds profiles of a fit and keeps them."""
    check_profiled(fit)
    kept = fit._repeated

    def likelihood(reml: bool) -> Any:
        return kept if kept.reml == reml else choose(fit.spec, reml, "many")[0]

    return Profiler(fit.spec, fit.estimate, likelihood)


def profile(
    fit: PointResults, wanted: Any, level: float, progress: bool | None = None, criterion: str | None = None
) -> Profile:
    """Profiles of what is wanted, with the ends of the intervals of `level`."""
    level = check_level(level)
    if criterion not in (None, "reml", "ml"):
        raise OptionError(f"criterion={criterion!r} is not one of 'reml', 'ml', None (the fit's own)")
    check_profiled(fit)
    reml = None if criterion is None else criterion == "reml"
    targets = select(fit.spec, wanted, fit.estimate.fixed)
    if not targets:
        raise OptionError("there is nothing to profile in this model")
    done, left = _run(fit.profiler, targets, level, reml, progress)
    own = fit.profiler.gain
    if own > _HIGHER:
        warn(
            f"the profile found a log-likelihood {own:.3g} above that of the fit, which is not at its maximum: "
            "intervals are those of the higher one. Refit with other start= values, or method='reml'",
            ConvergenceWarning,
        )
    return Profile(tuple(done), level, fit.profiler, reml, tuple(t.name for t in left))


def _run(
    found: Profiler, targets: Iterable[Target], level: float, reml: bool | None, progress: bool | None
) -> tuple[list[Target], list[Target]]:
    """The targets whose ends were found, and those left when the user interrupted."""
    todo = list(targets)
    done: list[Target] = []
    with Progress("profile", total=len(todo), show=progress) as bar:
        try:
            for target in todo:
                found.ends(target, normal_quantile(level), reml)
                done.append(target)
                bar.step(parameter=target.name)
        except KeyboardInterrupt:
            if not done:
                raise
            warn(f"interrupted: {len(done)} of {len(todo)} profiles were finished", ConvergenceWarning)
    return done, todo[len(done) :]


def variance_limits(fit: PointResults, level: float) -> tuple[Float, Float]:
    """Limits of every structure parameter, in the order of ``estimate.par``; NaN for those held fixed."""
    rows = parameters(fit.spec)
    lower, upper = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    free = [p for p, held in zip(rows, fit.estimate.fixed, strict=True) if not held]
    if free:
        table = profile(fit, "variances", level)
        for target, low, high in zip(table.targets, *_limits(table, level), strict=True):
            j = rows.index(target.parameter)
            lower[j], upper[j] = low, high
    return lower, upper


def target_limits(fit: PointResults, target: Target, level: float) -> tuple[float, float]:
    """Limits of one target, on the criterion that was fitted."""
    check_profiled(fit)
    if target.kind == "share" and fit.estimate.fixed.all():
        return np.nan, np.nan
    lower, upper = fit.profiler.ends(target, normal_quantile(level))
    return float(lower.t), float(upper.t)


def fixed_limits(fit: PointResults, level: float) -> tuple[Float, Float]:
    """Limits of every fixed effect."""
    if not fixed_targets(fit.spec):
        return np.empty(0), np.empty(0)
    return _limits(profile(fit, "fixed", level), level)


def _limits(table: Profile, level: float) -> tuple[Float, Float]:
    ends = [table.ends(t, level) for t in table.targets]
    lower = np.array([t.value(e[0].t) for t, e in zip(table.targets, ends, strict=True)])
    upper = np.array([t.value(e[1].t) for t, e in zip(table.targets, ends, strict=True)])
    return lower, upper


def correlation_limits(fit: PointResults, p: Parameter, level: float) -> tuple[float, float]:
    """Limits of the correlation behind a covariance, or of a correlation that is a parameter; NaN where it is held."""
    if fit.estimate.fixed[parameters(fit.spec).index(p)]:
        return np.nan, np.nan
    table = profile(fit, p.name if p.kind == "correlation" else f"corr({p.name})", level)
    lower, upper = _limits(table, level)
    return float(lower[0]), float(upper[0])
