"""A discrete prior on shares of variance: any weights over a grid of the simplex, free of the scale of y."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import comb
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import OptionError
from ..structures.base import Structure
from .base import priors
from .numbers import as_tuples, joined, plain
from .scalars import InverseGamma

Float = NDArray[np.float64]
MOST_POINTS = 200_000


@priors.register("variance_share")
@dataclass(frozen=True)
class VarianceShare:
    """Shares of the total variance on a grid, each point with its weight; the total has p ∝ 1/σ² or an `InverseGamma`.

    The share of a term is what it adds to the average variance of an observation, over the total, as `heritability`
    and `varcomp` count it.  The posterior is enumerated exactly and draws are independent.

    Parameters
    ----------
    grid : int or (G,) or (G, R) or (G, R + 1)
        Steps on each axis: shares are multiples of 1/grid, the residual's at least one of them (20: heritabilities 0,
        .05, …, .95); or the points themselves, shares of the R terms in the order of the formula (the residual's is
        what is left, or the last column).
    weights : (G,), mapping or callable, optional
        Prior weight of each point, up to a constant; equal by default.  A mapping has points as keys (a share, or a
        tuple of shares of the terms), others weigh zero.  A callable is given the shares (G, R + 1), the residual's
        last, and returns (G,).
    total : InverseGamma, optional
        Prior of the total variance.

    Examples
    --------
    >>> import mixedvc as mv
    >>> mv.priors.VarianceShare(grid=20)
    VarianceShare(grid=20, weights=None, total=None)
    """

    grid: Any = 20
    weights: Any = None
    total: InverseGamma | None = None
    kind: ClassVar[str] = "variance_share"

    def __post_init__(self) -> None:
        if isinstance(self.grid, (int, np.integer)) and not isinstance(self.grid, bool):
            if self.grid < 2:
                raise OptionError(f"VarianceShare(grid={self.grid}): at least 2 steps are needed")
            object.__setattr__(self, "grid", int(self.grid))
        elif np.ndim(self.grid) == 0:
            raise OptionError(
                f"VarianceShare(grid={self.grid!r:.40}): a whole number of steps or the points are needed"
            )
        else:
            object.__setattr__(self, "grid", plain(self.grid, "VarianceShare: grid"))
        if isinstance(self.weights, Mapping):
            items = ((plain(key, "VarianceShare: weights"), value) for key, value in self.weights.items())
            object.__setattr__(self, "weights", {key: float(value) for key, value in items})
        elif self.weights is not None and not callable(self.weights):
            object.__setattr__(self, "weights", plain(self.weights, "VarianceShare: weights"))
        if self.total is not None and not isinstance(self.total, InverseGamma):
            raise OptionError(f"VarianceShare(total={self.total!r:.60}): InverseGamma(shape, scale) or None is needed")

    def bind(self, structure: Structure, where: str, *_: Any) -> Any:
        """Refused: it is a prior of the whole model."""
        raise OptionError(
            f"priors[{where!r}]: VarianceShare() is a prior of all shares together: give it as priors=VarianceShare(…)"
        )

    def bind_model(self, spec: ModelSpec) -> BoundShares:
        """Points and weights for the terms of a specification."""
        refuse_vectors(spec)
        R = len(spec.terms)
        shares = self._points(R)
        w = self._weights(shares)
        keep = w > 0.0
        if not keep.any():
            raise OptionError("VarianceShare: every point of the grid has weight zero")
        sizes = np.array([float(term.row_products().mean()) for term in spec.all_terms])
        return BoundShares(shares[keep], np.log(w[keep] / w[keep].sum()), sizes, self.total)

    def plain(self, spec: ModelSpec) -> VarianceShare:
        """The same prior with the weights a callable returns, so that it can be stored."""
        if not callable(self.weights):
            return self
        w = self._weights(self._points(len(spec.terms)))
        return VarianceShare(self.grid, as_tuples(w), self.total)

    def _points(self, R: int) -> Float:
        """(G, R + 1) shares, the residual's last."""
        if R == 0:
            raise OptionError("VarianceShare: the model has no random terms, so there is nothing to share")
        if isinstance(self.grid, int):
            count = comb(self.grid - 1 + R, R)
            if count > MOST_POINTS:
                raise OptionError(
                    f"VarianceShare(grid={self.grid}) of {R} terms has {count} points, more than {MOST_POINTS}: take "
                    "a coarser grid, or give the points"
                )
            return simplex(self.grid, R)
        G = np.asarray(self.grid, dtype=np.float64)
        if G.ndim == 1:
            G = G[:, None] if R == 1 else G[None, :]
        if G.ndim != 2 or G.shape[1] not in (R, R + 1):
            raise OptionError(
                f"VarianceShare: the grid's points have {G.shape[-1]} shares, but there are {R} random terms (and the "
                "residual)"
            )
        if G.shape[1] == R:
            G = np.column_stack([G, 1.0 - G.sum(axis=1)])
        bad = (G[:, :-1] < 0.0).any(axis=1) | (G[:, -1] <= 1e-12) | (np.abs(G.sum(axis=1) - 1.0) > 1e-8)
        if bad.any():
            point = ", ".join(f"{v:g}" for v in G[int(np.argmax(bad))])
            raise OptionError(
                f"VarianceShare: ({point}) is no point of the simplex: shares are at least 0, the residual's more "
                "than 0, and they add up to 1"
            )
        return G

    def _weights(self, shares: Float) -> Float:
        G = len(shares)
        if self.weights is None:
            return np.ones(G)
        if isinstance(self.weights, Mapping):
            w = _by_key(self.weights, shares)
        elif callable(self.weights):
            w = np.asarray(self.weights(shares.copy()), dtype=np.float64)
        else:
            w = np.asarray(self.weights, dtype=np.float64)
        if w.shape != (G,):
            raise OptionError(
                f"VarianceShare: weights of shape {w.shape}, but the grid has {G} points: ({G},) is needed"
            )
        if not np.isfinite(w).all() or (w < 0.0).any():
            raise OptionError("VarianceShare: weights must be finite and not negative")
        return w


def _by_key(weights: Mapping[Any, float], shares: Float) -> Float:
    """Weights at the points a mapping names; zero at the others."""
    out = np.zeros(len(shares))
    for key, value in weights.items():
        point = np.atleast_1d(np.asarray(key, dtype=np.float64))
        if len(point) not in (shares.shape[1] - 1, shares.shape[1]):
            raise OptionError(f"VarianceShare: weights: {key!r} has not one share for each random term")
        distance = np.abs(shares[:, : len(point)] - point).max(axis=1)
        at = int(np.argmin(distance))
        if distance[at] > 1e-9:
            near = tuple(float(f"{v:.6g}") for v in shares[at, :-1])
            raise OptionError(f"VarianceShare: weights: {key!r} is no point of the grid; the nearest is {near}")
        out[at] = value
    return out


def simplex(steps: int, R: int) -> Float:
    """(G, R + 1) points with coordinates in multiples of 1/steps, the last at least 1/steps, in lexical order."""
    counts = np.zeros((1, 0), dtype=np.int64)
    for _ in range(R):
        left = steps - 1 - counts.sum(axis=1)
        repeat = left + 1
        first = np.repeat(counts, repeat, axis=0)
        ends = np.cumsum(repeat)
        new = np.arange(ends[-1]) - np.repeat(ends - repeat, repeat)
        counts = np.column_stack([first, new])
    return np.column_stack([counts, steps - counts.sum(axis=1)]) / steps


def refuse_vectors(spec: ModelSpec) -> None:
    """A share is one number for each term."""
    vectors = [term.name for term in spec.all_terms if term.structure.n_par != 1 or term.k != 1]
    if vectors:
        raise OptionError(
            f"VarianceShare: {joined(vectors)} {'has' if len(vectors) == 1 else 'have'} more than one variance "
            "component; a discrete prior on shares is for models of scalar terms, (1 | g)"
        )


@dataclass(frozen=True)
class BoundShares:
    """See `VarianceShare`.

    Attributes
    ----------
    shares : (G, R + 1)
        Points of positive weight, the residual's share last.
    log_weights : (G,)
        Normalised.
    sizes : (R + 1,)
        What a variance of one adds to the average variance of an observation, by term: σ_j² = total · share / size.
    total : InverseGamma or None
    """

    shares: Float
    log_weights: Float
    sizes: Float
    total: InverseGamma | None

    @property
    def units(self) -> Float:
        """(G, R + 1) variances at a total of one."""
        return self.shares / self.sizes

    def describe(self) -> str:
        """As the summary prints it."""
        equal = np.ptp(self.log_weights) < 1e-12
        what = "flat" if equal else "weighted"
        total = "1/σ²" if self.total is None else f"IG({self.total.shape:g}, {self.total.scale:g})"
        return f"shares of variance, {what} over {len(self.shares)} points; total variance {total}"


@dataclass(frozen=True)
class ShareOfTerm:
    """Stands in the place of a term's own prior where shares have one together."""

    structure: Structure
    words: str
    proper: ClassVar[bool] = False
    held: ClassVar[None] = None

    def logpdf(self, par: Float) -> Float:
        raise OptionError("a discrete prior on variance shares has no density")

    def draw(self, rng: np.random.Generator) -> Float:
        raise OptionError("nothing can be drawn from the prior of one share alone")

    def describe(self) -> str:
        return self.words


Weights = Callable[[Float], Float]
