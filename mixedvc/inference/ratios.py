"""Shares of variance and other functions of the components, with delta-method standard errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import OptionError
from .intervals import share_interval, wald
from .parameters import Parameter, parameters, theta_slices

Float = NDArray[np.float64]
SCALES = ("variance", "pve")


@dataclass(frozen=True)
class Ratio:
    """One function of the variance components.

    Attributes
    ----------
    estimate, se, lower, upper : float
        `se` is NaN where the numerator is at a bound or everything is held fixed.
    level : float
    name : str
        What was divided, or the name of the function.
    denominator : str
        By what, in words; empty for a general function.
    interval : str
        "logit" | "Wald".
    """

    estimate: float
    se: float
    lower: float
    upper: float
    level: float
    name: str
    denominator: str = ""
    interval: str = "logit"

    def __float__(self) -> float:
        return self.estimate

    def __str__(self) -> str:
        over = f" / ({self.denominator})" if self.denominator else ""
        tail = (
            f"SE {self.se:.4g}, {100 * self.level:g} % {self.interval} interval {self.lower:.4g} to {self.upper:.4g}"
            if np.isfinite(self.se)
            else "no SE: at the boundary or held fixed"
        )
        return f"{self.name}{over} = {self.estimate:.4g} ({tail})"


def weights(spec: ModelSpec, scale: str = "variance") -> Float:
    """(m,) what one unit of each θ_j adds to the average variance of an observation.

    "variance": the mean of the products of its effects' values over the rows, kernels counted as if of unit diagonal
    (a variance of an intercept weighs 1).  "pve": tr(J V_j)/n with J = I − 11ᵀ/n, kernels with their own
    (centred) diagonal as in GEMMA; the residual as in "variance".
    """
    if scale not in SCALES:
        raise OptionError(f"scale={scale!r} is not one of {', '.join(map(repr, SCALES))}")
    out = []
    residual = spec.residual.row_products().mean(axis=1)
    for where in spec.index[: len(spec.index) - len(residual)]:
        term = spec.terms[where.term]
        products = term.basis[:, where.a] * term.basis[:, where.b]
        if scale == "pve":
            total = float(products @ np.asarray(term.covariance.diagonal(term.positions))[term.codes])
            value = total / spec.n - _grand_mean(spec, where.term, where.a, where.b)
        else:
            value = float(products.mean())
        out.append(value if where.a == where.b else 2 * value)
    return np.concatenate([out, residual])


def _grand_mean(spec: ModelSpec, i: int, a: int, b: int) -> float:
    """1ᵀ Z_a A Z_bᵀ 1 / n²."""
    term = spec.terms[i]
    sums = np.zeros((len(term.covariance.labels), term.k))
    sums[term.positions] = term.collect(np.ones(spec.n))
    return float(sums[:, a] @ np.asarray(term.covariance.matmat(sums[:, [b]]))[:, 0]) / spec.n**2


def members(spec: ModelSpec, name: str) -> list[int]:
    """Positions in θ that a name stands for: a term (``kin``), or one of its variances (``Subject[Days]``)."""
    slices = theta_slices(spec)
    for i, term in enumerate(spec.all_terms):
        if name == term.name:
            return list(range(*slices[i].indices(slices[-1].stop)))
        if term.structure.linear:
            for j, p in enumerate(q for q in parameters(spec) if q.term == i):
                if name == p.name:
                    return [slices[i].start + j]
    have = [t.name for t in spec.all_terms] + [p.name for p in parameters(spec) if p.name != p.group]
    raise OptionError(f"no variance component is called {name!r}; there are {', '.join(map(repr, have))}")


def share(
    spec: ModelSpec,
    theta: Float,
    theta_cov: Float,
    numerator: str | Sequence[str],
    denominator: Sequence[str] | None = None,
    *,
    scale: str = "variance",
    level: float = 0.95,
    estimable: bool = True,
) -> Ratio:
    """Σ numerator / Σ denominator of the components' contributions to the average variance of an observation.

    Parameters
    ----------
    theta_cov : (m, m)
        Covariance of θ̂.
    numerator : str or list of str
        Names as in `members`.
    denominator : list of str, optional
        All terms and the residual by default; it is named in the result.
    scale : str
        "variance" or "pve", see `weights`.
    estimable : bool
        False where the numerator is at a bound: the SE is then NaN.
    """
    top = [numerator] if isinstance(numerator, str) else list(numerator)
    bottom = [t.name for t in spec.all_terms] if denominator is None else list(denominator)
    w = weights(spec, scale)
    a, b = (w * _indicator(spec, names) for names in (top, bottom))
    total = float(b @ theta)
    if not total > 0:
        raise OptionError(f"the denominator {' + '.join(bottom)} is zero: name components that vary")
    value = float(a @ theta) / total
    gradient = (a - value * b) / total
    variance = float(gradient @ theta_cov @ gradient)
    se = float(np.sqrt(variance)) if estimable and variance > 0 else np.nan
    inside = set(top) <= set(bottom) and 0 < value < 1
    interval = share_interval if inside else wald
    lower, upper = interval(np.array(value), np.array(se), level)
    prefix = "var" if scale == "variance" else "pve"
    return Ratio(
        value,
        se,
        float(lower),
        float(upper),
        level,
        " + ".join(f"{prefix}({name})" for name in top),
        " + ".join(f"{prefix}({name})" for name in bottom),
        "logit" if inside else "Wald",
    )


def _indicator(spec: ModelSpec, names: Sequence[str]) -> Float:
    out = np.zeros(len(spec.index))
    for name in names:
        out[members(spec, name)] = 1.0
    return out


def delta(
    function: Callable[[Mapping[str, float]], float],
    rows: Sequence[Parameter],
    par: Float,
    par_cov: Float,
    *,
    level: float = 0.95,
    name: str = "",
) -> Ratio:
    """Any smooth function of the named parameters, by the delta method with central differences.

    `function` gets a mapping from `Parameter.name` to value.
    """
    names = [p.name for p in rows]
    scale = np.sqrt(np.maximum(np.diagonal(par_cov), 0.0))
    gradient = np.zeros(len(par))
    for j in np.flatnonzero(scale > 0):
        h = 1e-4 * scale[j]
        up, down = par.copy(), par.copy()
        up[j], down[j] = par[j] + h, par[j] - h
        rise = function(dict(zip(names, up, strict=True))) - function(dict(zip(names, down, strict=True)))
        gradient[j] = rise / (2 * h)
    value = float(function(dict(zip(names, par, strict=True))))
    variance = float(gradient @ par_cov @ gradient)
    se = float(np.sqrt(variance)) if variance > 0 else np.nan
    lower, upper = wald(np.array(value), np.array(se), level)
    label = name or getattr(function, "__name__", "function")
    return Ratio(value, se, float(lower), float(upper), level, label, interval="Wald")
