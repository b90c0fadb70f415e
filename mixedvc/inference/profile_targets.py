"""What can be profiled in a model, by name and by group, and the axis of each."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import OptionError
from .parameters import Parameter, parameters
from .ratios import members, weights

Float = NDArray[np.float64]
GROUPS = ("variances", "sd", "correlations", "covariances", "shares", "fixed", "all")


@dataclass(frozen=True)
class Target:
    """A quantity to be profiled.

    Attributes
    ----------
    name : str
        ``kin``, ``Subject[Days]`` (variances), ``sd(Subject[Days])``, ``corr(Subject[Intercept, Days])``,
        ``share(kin)``, the name of a fixed effect, or of a function.
    kind : str
        "variance" | "sd" | "covariance" | "correlation" | "share" | "function" | "fixed" | "level".
    group : str
        Term; the name itself for fixed effects and functions.
    effect, effect2 : str or None
    parameter : Parameter or None
        The structure parameter behind a variance, sd, covariance or correlation.
    w : (p,) or (m,), optional
        Combination of fixed effects, or the numerator of a share.
    d : (m,), optional
        Denominator of a share.
    terms : tuple of two tuples of int, or None
        Terms that are zero where a share is 0, and where it is 1; None where it may go beyond.
    function : callable, optional
        Of the mapping from `Parameter.name` to value.
    level : profile_climb.Level, optional
        What is held, where it has a form of its own; its range is `bounds`.
    """

    name: str
    kind: str
    group: str
    effect: str | None = None
    effect2: str | None = None
    parameter: Parameter | None = None
    w: Float | None = None
    d: Float | None = None
    terms: tuple[tuple[int, ...] | None, tuple[int, ...] | None] = (None, None)
    function: Callable[[Mapping[str, float]], float] | None = None
    level: Any = None
    bounds: tuple[float, float] = (-np.inf, np.inf)

    @property
    def squared(self) -> bool:
        """Whether the value is the square of what the axis runs along (a standard deviation)."""
        return self.kind == "variance"

    @property
    def key(self) -> Hashable:
        """Targets with one key share one path."""
        if self.kind in ("variance", "sd"):
            return ("sd", self.parameter)
        if self.kind in ("share", "fixed"):
            parts = [None if x is None else x.tobytes() for x in (self.w, self.d)]
            return (self.kind, *parts)
        return (self.kind, self.name if self.level is not None else self.function or self.parameter)

    def value(self, t: Any) -> Any:
        """Value of the quantity where the axis is at t."""
        return np.square(t) if self.squared else t


def variance_targets(spec: ModelSpec) -> list[Target]:
    """Every structure parameter as in the table of variances."""
    return [Target(p.name, p.kind, p.group, p.effect, p.effect2, p) for p in parameters(spec)]


def _sd_targets(spec: ModelSpec) -> list[Target]:
    return [replace(t, name=f"sd({t.name})", kind="sd") for t in variance_targets(spec) if t.kind == "variance"]


def _correlation_targets(spec: ModelSpec) -> list[Target]:
    """Correlations of unstructured terms, and those that are parameters of their own."""
    found = [t for t in variance_targets(spec) if t.kind != "variance"]
    return [t if t.kind == "correlation" else replace(t, name=f"corr({t.name})", kind="correlation") for t in found]


def share_target(
    spec: ModelSpec, numerator: str, denominator: Iterable[str] | None = None, scale: str = "variance", name: str = ""
) -> Target:
    """Σ numerator / Σ denominator of contributions to the variance of an observation (see `ratios.share`)."""
    top = [numerator]
    bottom = [t.name for t in spec.all_terms] if denominator is None else list(denominator)
    each = weights(spec, scale)
    n, d = np.zeros(len(each)), np.zeros(len(each))
    for names, out in ((top, n), (bottom, d)):
        for one in names:
            out[members(spec, one)] = each[members(spec, one)]
    at = {t.name: i for i, t in enumerate(spec.all_terms)}
    gone: tuple[tuple[int, ...] | None, tuple[int, ...] | None] = (None, None)
    if all(one in at for one in (*top, *bottom)):
        rest = tuple(at[one] for one in bottom if one not in top)
        gone = (tuple(at[one] for one in top), rest if numerator in bottom else None)
    return Target(name or f"share({numerator})", "share", numerator, w=n, d=d, terms=gone)


def _share_targets(spec: ModelSpec) -> list[Target]:
    if spec.traits is not None:
        from .trait_targets import share_targets

        return share_targets(spec)
    return [share_target(spec, term.name) for term in spec.all_terms] if spec.terms else []


def fixed_targets(spec: ModelSpec) -> list[Target]:
    """Every fixed effect."""
    return [Target(name, "fixed", name, name, w=row) for name, row in zip(spec.x_names, np.eye(spec.p), strict=True)]


def _group(spec: ModelSpec, name: str) -> list[Target]:
    variances = variance_targets(spec)
    made: dict[str, Callable[[], list[Target]]] = {
        "variances": lambda: variances,
        "sd": lambda: _sd_targets(spec),
        "correlations": lambda: _correlation_targets(spec),
        "covariances": lambda: [t for t in variances if t.kind == "covariance"],
        "shares": lambda: _share_targets(spec),
        "fixed": lambda: fixed_targets(spec),
        "all": lambda: _everything(spec),
    }
    return made[name]()


def _everything(spec: ModelSpec) -> list[Target]:
    correlations = [t for t in _correlation_targets(spec) if t.name.startswith("corr(")]
    return [*variance_targets(spec), *_sd_targets(spec), *correlations, *_share_targets(spec), *fixed_targets(spec)]


def _as_lme4(spec: ModelSpec) -> list[Target]:
    """Standard deviations and correlations in the order of the parameters, then the fixed effects."""
    rows = {t.parameter: t for t in (*_sd_targets(spec), *_correlation_targets(spec))}
    return [*(rows[p] for p in parameters(spec)), *fixed_targets(spec)]


def select(spec: ModelSpec, wanted: Any, fixed: NDArray[np.bool_]) -> list[Target]:
    """The targets that `parameters=` of a profile asks for.

    Parameters
    ----------
    wanted : None, str, mapping or list of these
        None: standard deviations, correlations and fixed effects; a group of `GROUPS`; a name; ``{name: function}``.
    fixed : (n_par,) bool
        Parameters held at given values: left out of groups, refused by name.

    Raises
    ------
    OptionError
        Unknown names, parameters that are held fixed, groups that are empty.
    """
    held = {p for p, f in zip(parameters(spec), fixed, strict=True) if f}
    terms = {p.term for p in held}
    free = [i for i in range(len(spec.all_terms)) if i not in terms]

    def moves(t: Target) -> bool:
        if t.kind == "share" and t.w is not None and t.d is not None:
            inside = {w.term for w, in_d in zip(spec.index, t.d, strict=True) if in_d != 0.0}
            return bool(inside & set(free))
        return t.parameter is None or t.parameter not in held

    if wanted is None:
        return [t for t in _as_lme4(spec) if moves(t)]
    found: list[Target] = []
    for one in [wanted] if isinstance(wanted, str | Mapping) else list(_listed(wanted)):
        if isinstance(one, Mapping):
            found += [function_target(name, function) for name, function in one.items()]
        elif one in GROUPS:
            group = [t for t in _group(spec, one) if moves(t)]
            if not group:
                raise OptionError(f"parameters={one!r}: this model has none that were estimated")
            found += group
        else:
            found += _named(spec, one, moves)
    return _once(found)


def _once(found: list[Target]) -> list[Target]:
    """The targets without repetitions of kind and name."""
    return list({(t.kind, t.name): t for t in found}.values())


def _listed(wanted: Any) -> Iterable[Any]:
    if not isinstance(wanted, Iterable):
        raise OptionError(
            f"parameters={wanted!r:.80}: a name, a group ({', '.join(GROUPS)}), or a list of them is needed"
        )
    return wanted


def function_target(name: Any, function: Any) -> Target:
    """A function of the variance parameters."""
    if not isinstance(name, str) or not callable(function):
        raise OptionError(f"parameters={{{name!r}: …}}: a name and a function of the variance parameters are needed")
    return Target(name, "function", name, function=function)


def _named(spec: ModelSpec, name: Any, moves: Callable[[Target], bool]) -> list[Target]:
    known = _everything(spec)
    own = [t for t in known if t.name == name]
    if not own:
        own = [t for t in variance_targets(spec) if t.group == name]  # a term: all it has
    if not own:
        names = ", ".join(repr(t.name) for t in known)
        raise OptionError(
            f"parameters={name!r:.80} is neither a parameter nor a group. Parameters: {names}. "
            f"Groups: {', '.join(GROUPS)}"
        )
    if not any(moves(t) for t in own):
        raise OptionError(f"{name!r} is held fixed, so it has no profile")
    return [t for t in own if moves(t)]
