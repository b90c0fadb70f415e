"""Serial Σ among cells on a line: ar1 or cs correlations, variances by stratum, few linear parameters for many cells.

Cells of one pair of strata and one lag share their entry of Σ, so that θ has an entry for each lag and not for each
pair of cells: 200 occasions have 200 linear parameters and not 20,100.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import StructureError

Float = NDArray[np.float64]
INF = np.inf
KINDS = ("ar1", "cs")


@dataclass(frozen=True)
class Serial:
    """Σ_ab = σ_s(a) σ_s(b) r(a, b): r = ρ^|place_a − place_b| (ar1), or ρ for any two cells (cs).

    Parameters are the variances of the strata, then ρ.

    Parameters
    ----------
    kind : "ar1" | "cs"
    place : tuple of int, (k,)
        Where each cell is on the line; their differences have no common divisor above 1.
    stratum : tuple of int, (k,)
        Which variance each cell has, numbered 0, 1, … by first appearance.
    labels : tuple of str
        Names of the strata; empty where there is one, or one for each cell.
    across : bool
        Whether cells of two strata meet in a group; where they never do, they count as uncorrelated.
    """

    kind: str
    place: tuple[int, ...]
    stratum: tuple[int, ...]
    labels: tuple[str, ...] = ()
    across: bool = True
    linear = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise StructureError(f"{self.kind!r} is no serial structure: {', '.join(KINDS)}")
        if self.k < 2 or len(self.stratum) != self.k:
            raise StructureError(f"{self.kind}() needs at least two cells, each with a place and a stratum")

    @property
    def name(self) -> str:
        return self.kind

    @property
    def k(self) -> int:
        return len(self.place)

    @cached_property
    def n_strata(self) -> int:
        return 1 + max(self.stratum)

    @property
    def hom(self) -> bool:
        """Whether all cells have one variance."""
        return self.n_strata == 1

    @cached_property
    def degenerate(self) -> bool:
        """Whether Σ is singular by its making: one place in two strata, of which a group has one at most."""
        return self.kind == "ar1" and self.across and len(set(self.place)) < self.k

    @property
    def n_par(self) -> int:
        return self.n_strata + 1

    @cached_property
    def lags(self) -> NDArray[np.intp]:
        """(k, k) exponents of ρ."""
        if self.kind == "cs":
            return 1 - np.eye(self.k, dtype=np.intp)
        place = np.array(self.place, dtype=np.intp)
        return np.abs(place[:, None] - place)

    @cached_property
    def pattern(self) -> NDArray[np.intp]:
        """(k, k) the linear parameter of each entry of Σ, one for each pair of strata and lag; −1 for none."""
        s = np.array(self.stratum, dtype=np.intp)
        low, high = np.minimum(s[:, None], s), np.maximum(s[:, None], s)
        key = (low * self.n_strata + high) * (int(self.lags.max()) + 1) + self.lags
        key = np.where(self._meet, key, -1)
        above = np.triu_indices(self.k)
        values, first, inverse = np.unique(key[above], return_index=True, return_inverse=True)
        number = np.empty(len(first), dtype=np.intp)
        used = np.flatnonzero(values >= 0)
        number[used[np.argsort(first[used])]] = np.arange(len(used))  # in the order of the upper triangle by rows
        number[values < 0] = -1
        out = np.empty((self.k, self.k), dtype=np.intp)
        out[above] = number[inverse.reshape(-1)]
        out.T[above] = out[above]
        return out

    @cached_property
    def _meet(self) -> NDArray[np.bool_]:
        """(k, k) whether two cells may be correlated."""
        s = np.array(self.stratum)
        return (s[:, None] == s) | self.across

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The first entry (a, b), a ≤ b, of each linear parameter."""
        above = np.triu_indices(self.k)
        numbers, first = np.unique(self.pattern[above], return_index=True)
        first = first[numbers >= 0]
        return tuple(zip(above[0][first].tolist(), above[1][first].tolist(), strict=True))

    def names(self, effects: tuple[str, ...]) -> tuple[tuple[str, str | None], ...]:
        other = "next" if self.kind == "ar1" else "any two"
        own = (
            ("any",) if self.hom else self.labels or tuple(effects[self.stratum.index(s)] for s in range(self.n_strata))
        )
        return (*((name, None) for name in own), ("any", other))

    def bounds(self) -> tuple[Float, Float]:
        lower, upper = np.zeros(self.n_par), np.full(self.n_par, INF)
        lower[-1], upper[-1] = (-1.0 if self.kind == "ar1" else -1.0 / (self._widest - 1)), 1.0
        return lower, upper

    @property
    def _widest(self) -> int:
        """Cells that may meet in one group."""
        return max(2, self.k if self.across else int(np.bincount(self.stratum).max()))

    def correlation(self, rho: float) -> tuple[Float, Float]:
        """R(ρ) and dR/dρ, (k, k) each."""
        powers = np.power(float(rho), np.arange(self.lags.max() + 1))
        slopes = np.arange(len(powers)) * np.concatenate([[0.0], powers[:-1]])
        return np.where(self._meet, powers[self.lags], 0.0), np.where(self._meet, slopes[self.lags], 0.0)

    def start(self, Sigma: Float) -> Float:
        v = np.maximum(np.diagonal(Sigma), 1e-300)
        d = np.sqrt(v)
        s = np.array(self.stratum)
        variances = np.bincount(s, v) / np.bincount(s)
        lower = self.bounds()[0][-1]
        return np.append(variances, min(max(self._rho(Sigma / d[:, None] / d), 0.9 * lower), 0.9))

    def _rho(self, C: Float) -> float:
        """The correlation at the shortest lag, taken to lag 1; its sign at the shortest odd lag."""
        lag, mean = self._mean_by_lag(C)
        if not len(lag):
            return 0.0
        size = abs(float(mean[0])) ** (1.0 / lag[0])
        odd = np.flatnonzero(lag % 2 == 1)
        return float(np.copysign(size, mean[odd[0]])) if len(odd) else size

    def _mean_by_lag(self, C: Float) -> tuple[NDArray[np.intp], Float]:
        """Lags above zero at which something is known (moments leave pairs that never meet at zero), and the means."""
        above = np.triu_indices(self.k, 1)
        values, lags = C[above], self.lags[above]
        seen = (values != 0.0) & (lags > 0)
        count = np.bincount(lags[seen])
        total = np.bincount(lags[seen], values[seen])
        found = np.flatnonzero(count)
        return found, total[found] / count[found]

    def _sds(self, par: Float) -> Float:
        return np.sqrt(np.asarray(par[:-1], dtype=float))[np.array(self.stratum)]

    def build(self, par: Float) -> Float:
        d = self._sds(par)
        return d[:, None] * self.correlation(par[-1])[0] * d

    def gradient(self, par: Float) -> Float:
        R, dR = self.correlation(par[-1])
        d, s = self._sds(par), np.array(self.stratum)
        G = np.zeros((self.n_par, self.k, self.k))
        if self.hom:
            G[0] = R
        else:
            for j in range(self.n_strata):
                # ∂(d_a d_b)/∂σ_j² = d_b / (2 d_a) for each of a, b in stratum j; at σ_j² = 0 it is unbounded
                slope = np.where(s == j, 0.5 / np.where(d > 0, d, INF), 0.0)
                G[j] = (slope[:, None] * d + d[:, None] * slope) * R
        G[-1] = d[:, None] * dR * d
        return G
