"""The functions of the fixed part, by name: elementwise ones, and those that remember what they saw when fitting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BindError
from ..linalg.columns import row_complement

Float = NDArray[np.float64]
Memory = dict[str, Any]  # what one call learned from the data it was fitted to; empty before


def _log(x: Float, base: float | None = None) -> Float:
    return np.log(x) if base is None else np.log(x) / np.log(base)


ELEMENTWISE: dict[str, Callable[..., Float]] = {
    "log": _log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "exp": np.exp,
    "expm1": np.expm1,
    "sqrt": np.sqrt,
    "abs": np.abs,
}


def scale(x: Float, center: Any = True, scale: Any = True, *, memory: Memory) -> Float:
    """(x − mean) / sd with R's denominator n − 1; numbers in the place of True are used as they are.

    Without centring R divides by the root mean square √(Σx²/(n−1)).
    """
    if not memory:
        memory["center"] = float(x.mean()) if center is True else float(center)
        shifted = x - memory["center"]
        root = float(np.sqrt((shifted**2).sum() / max(len(x) - 1, 1)))
        memory["scale"] = root if scale is True else (1.0 if scale is False else float(scale))
        if memory["scale"] == 0.0:
            raise BindError("scale() of a column without variation divides by zero: leave the column out")
    return (x - memory["center"]) / memory["scale"]


def center(x: Float, *, memory: Memory) -> Float:
    """x minus the mean it had in the fit."""
    return scale(x, True, False, memory=memory)


def poly(x: Float, degree: int = 1, raw: bool = False, *, memory: Memory) -> Float:
    """Orthogonal polynomials of degree 1…degree (three-term recurrence, by formulaic), or raw powers."""
    from formulaic.transforms import poly as orthogonal

    if degree < 1 or degree != int(degree):
        raise BindError(f"poly(…, {degree!r}): the degree is a whole number, at least 1")
    if not memory and not raw and len(np.unique(x)) <= degree:
        raise BindError(f"poly(…, {degree}): the degree must be less than the number of distinct values")
    return np.asarray(orthogonal(x, degree=int(degree), raw=bool(raw), _state=memory)).reshape(len(x), -1)


def bs(
    x: Float,
    df: int | None = None,
    knots: Sequence[float] | None = None,
    degree: int = 3,
    intercept: bool = False,
    boundary_knots: Sequence[float] | None = None,
    *,
    memory: Memory,
) -> Float:
    """B-spline basis as R's splines::bs: knots at quantiles; beyond the boundary the end polynomials go on."""
    if not memory:
        memory["bounds"] = _bounds(x, boundary_knots)
        memory["inner"] = _knots(x, df, knots, degree + bool(intercept), memory["bounds"], "bs")
        memory["degree"], memory["first"] = int(degree), 0 if intercept else 1
    basis = _splines(memory)
    return np.asarray(basis(x))[:, memory["first"] :]


def ns(
    x: Float,
    df: int | None = None,
    knots: Sequence[float] | None = None,
    intercept: bool = False,
    boundary_knots: Sequence[float] | None = None,
    *,
    memory: Memory,
) -> Float:
    """Natural cubic spline basis as R's splines::ns: second derivatives vanish at the boundary, linear beyond it."""
    if not memory:
        memory["bounds"] = _bounds(x, boundary_knots)
        memory["inner"] = _knots(x, df, knots, 1 + bool(intercept), memory["bounds"], "ns")
        memory["degree"], memory["first"] = 3, 0 if intercept else 1
    basis, bounds = _splines(memory), np.array(memory["bounds"])
    inside = np.clip(x, *bounds)
    B = basis(inside) + (x - inside)[:, None] * basis.derivative(1)(inside)
    curvature = basis.derivative(2)(bounds)
    first = memory["first"]
    return row_complement(curvature[:, first:], B[:, first:])


def _bounds(x: Float, given: Sequence[float] | None) -> tuple[float, float]:
    low, high = (x.min(), x.max()) if given is None else (min(given), max(given))
    if not low < high:
        raise BindError("a spline of a column without variation is not defined: leave the column out")
    return float(low), float(high)


def _knots(
    x: Float, df: int | None, knots: Sequence[float] | None, least: int, bounds: tuple[float, float], name: str
) -> Float:
    """Inner knots: as given, or at the quantiles of x within the bounds that leave `df` columns."""
    if knots is not None:
        inner = np.sort(np.atleast_1d(np.asarray(knots, dtype=np.float64)))
        if inner[0] <= bounds[0] or inner[-1] >= bounds[1]:
            raise BindError(f"{name}(): the inner knots must lie between {bounds[0]:g} and {bounds[1]:g}")
        return inner
    count = 0 if df is None else int(df) - least
    if count < 0:
        raise BindError(f"{name}(…, df={df}): df is at least {least}")
    inside = x[(x >= bounds[0]) & (x <= bounds[1])]
    return np.quantile(inside, np.linspace(0, 1, count + 2)[1:-1])


def _splines(memory: Memory) -> Any:
    """All B-splines of the remembered knots as one vector-valued scipy spline."""
    from scipy.interpolate import BSpline

    degree, (low, high) = memory["degree"], memory["bounds"]
    t = np.concatenate([[low] * (degree + 1), memory["inner"], [high] * (degree + 1)])
    return BSpline(t, np.eye(len(t) - degree - 1), degree, extrapolate=True)


REMEMBERING: dict[str, Callable[..., Float]] = {"scale": scale, "center": center, "poly": poly, "bs": bs, "ns": ns}


def remembered(name: str, x: Float, args: list[Any], keywords: dict[str, Any], memory: Memory) -> Float:
    """Apply a remembering transform to the cells of x that are there; NaN elsewhere."""
    there = ~np.isnan(x)
    if not there.any() and not memory:
        raise BindError(f"{name}(): the column has no values")
    try:
        part = REMEMBERING[name](x[there], *args, **keywords, memory=memory)
    except TypeError as problem:
        raise BindError(f"{name}(): {problem}") from None
    out = np.full((len(x), *part.shape[1:]), np.nan)
    out[there] = part
    return out
