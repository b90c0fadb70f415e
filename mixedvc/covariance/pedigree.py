"""Additive relationships of a pedigree: A = T D Tᵀ, never formed unless asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..errors import CovarianceError, PedigreeError
from ..linalg.memory import require
from ..linalg.roots import pivoted_root
from ..linalg.unit_triangular import UnitTriangular, unit_triangular
from .base import Array, Can, Covariance, Positions, covariances
from .common import as_rows, digest, graph_components, is_everything, relabelled, selection
from .inbreeding import contributions, half_parents, inbreeding, mendelian, relationships
from .labels import Labels, named
from .marginal import Marginal

Float = NDArray[np.float64]

_COLUMNS = 256  # columns of A solved at a time
_SINGULAR = 1e-10  # Mendelian sampling variance below which A counts as singular
_FEW = 1e-4  # below which its inverse would spoil a sparse precision
_NIL = 1e-9  # standard deviation of a sampling term that is rounding


@covariances.register("pedigree")
@dataclass(frozen=True, eq=False)
class Pedigree:
    """Additive relationship matrix of a pedigree (Henderson 1976, Biometrics 32:69; Quaas 1976).

    With P holding ½ at each parent, T = (I − P)⁻¹ and D the Mendelian sampling variances, A = T D Tᵀ and
    A⁻¹ = (I − P)ᵀ D⁻¹ (I − P).  Inbreeding coefficients are exact.  Make one with `pedigree`, which takes a table.

    Parameters
    ----------
    labels : (n,) array-like of hashable
        Animals, parents before offspring.
    sire, dam : (n,) int
        Positions of the parents, −1 where unknown.

    Raises
    ------
    PedigreeError
        Where a parent does not stand before its offspring.

    Examples
    --------
    >>> A = Pedigree(["s", "d", "x", "y"], [-1, -1, 0, 0], [-1, -1, 1, 2])
    >>> A.block()[3]
    array([0.75, 0.25, 0.75, 1.25])
    >>> A.inbreeding
    array([0.  , 0.  , 0.  , 0.25])
    """

    labels: NDArray[np.object_]
    sire: Positions = field(repr=False)
    dam: Positions = field(repr=False)
    _index: Labels = field(init=False, repr=False)

    kind = "pedigree"

    def __post_init__(self) -> None:
        index = self.labels if isinstance(self.labels, Labels) else Labels(self.labels, "the pedigree")
        n = len(index)
        if n == 0:
            raise PedigreeError("the pedigree is empty: it has no animals")
        for role in ("sire", "dam"):
            parent = np.array(getattr(self, role), dtype=np.intp)
            if parent.shape != (n,):
                raise PedigreeError(f"{role} has shape {parent.shape}, one entry for each of {n} animals is needed")
            late = np.flatnonzero((parent < -1) | (parent >= np.arange(n)))
            if len(late):
                raise PedigreeError(
                    f"the {role} of {named(index.values[late])} does not stand before it: pedigree(table) sorts"
                )
            parent.flags.writeable = False
            object.__setattr__(self, role, parent)
        object.__setattr__(self, "_index", index)
        object.__setattr__(self, "labels", index.values)

    @cached_property
    def inbreeding(self) -> Float:
        """(n,) F, the probability that an animal's two alleles are identical by descent."""
        F = inbreeding(self.sire, self.dam)
        F.flags.writeable = False
        return F

    @cached_property
    def mendelian(self) -> Float:
        """(n,) D, variance of each animal's Mendelian sampling term."""
        D = mendelian(self.sire, self.dam, self.inbreeding)
        D.flags.writeable = False
        return D

    @cached_property
    def can(self) -> Can:
        """PRECISION unless some sampling variance is nil; BLOCKS, SPARSE, DIAGONAL as unrelated families allow."""
        sizes = np.bincount(self._groups).astype(np.float64)
        can = Can(0)
        if self.mendelian.min() > _SINGULAR:
            can |= Can.PRECISION
        if len(sizes) > 1:
            can |= Can.BLOCKS
        if (sizes**2).sum() <= 0.1 * len(self.labels) ** 2:
            can |= Can.SPARSE
        if len(sizes) > 1 and len(sizes) == len(self.labels):
            can |= Can.DIAGONAL
        return can

    @cached_property
    def _P(self) -> sp.csr_array:
        return half_parents(self.sire, self.dam)

    @cached_property
    def _solver(self) -> UnitTriangular:
        return unit_triangular(self._unit_minus_P)

    @property
    def _unit_minus_P(self) -> sp.csc_array:
        return sp.csc_array(sp.eye_array(len(self.labels), format="csr") - self._P)

    @cached_property
    def _groups(self) -> NDArray[np.intp]:
        return graph_components(self._P)

    def positions(self, levels: Array) -> Positions:
        """Position of each of `levels`; −1 where absent."""
        return self._index.positions(levels)

    def ancestors(self, rows: Positions) -> Positions:
        """Positions of `rows` and all their ancestors, in order."""
        seen = np.zeros(len(self.labels), dtype=bool)
        new = np.unique(as_rows(rows, 0))
        while len(new):
            seen[new] = True
            parents = np.concatenate([self.sire[new], self.dam[new]])
            parents = np.unique(parents[parents >= 0])
            new = parents[~seen[parents]]
        return np.flatnonzero(seen)

    def _pruned(self, kept: Positions) -> Pedigree:
        """The pedigree of `kept`, which holds the parents of all its members."""
        rank = np.full(len(self.labels) + 1, -1, dtype=np.intp)
        rank[kept] = np.arange(len(kept))
        new = Pedigree(self._index.take(kept), rank[self.sire[kept]], rank[self.dam[kept]])  # type: ignore[arg-type]
        new.__dict__["inbreeding"] = self.inbreeding[kept]  # F depends on ancestors alone
        return new

    def block(self, rows: Positions | None = None, cols: Positions | None = None) -> Float:
        """Dense A[rows, cols] through the ancestors of `rows` and `cols` alone."""
        n = len(self.labels)
        left = as_rows(rows, n)
        right = left if cols is None else as_rows(cols, n)
        require(8 * len(left) * len(right), "a relationship matrix", "Use methods that take precision().")
        kept = self.ancestors(np.concatenate([left, right]))
        inner = self if len(kept) == n else self._pruned(kept)
        rank = np.full(n, -1, dtype=np.intp)
        rank[kept] = np.arange(len(kept))
        if len(kept) <= 2 * min(len(left), len(right)):
            A = relationships(inner.sire, inner.dam, inner.inbreeding)
            if is_everything(rank[left], len(kept)) and is_everything(rank[right], len(kept)):
                return A
            return A[np.ix_(rank[left], rank[right])]
        return inner._columns(rank[left], rank[right])

    def _columns(self, rows: Positions, cols: Positions) -> Float:
        """A[rows, cols] by sparse triangular solves for each distinct column (Colleau 2002)."""
        distinct, back = np.unique(cols, return_inverse=True)
        out = np.empty((len(rows), len(distinct)))
        for start in range(0, len(distinct), _COLUMNS):
            some = distinct[start : start + _COLUMNS]
            unit = np.zeros((len(self.labels), len(some)))
            unit[some, np.arange(len(some))] = 1.0
            out[:, start : start + _COLUMNS] = self.matmat(unit)[rows]
        return out[:, back]

    def sparse_block(self, rows: Positions | None = None) -> sp.csr_array:
        """A[rows, rows] from each row's shares in its ancestors."""
        V = self._shares(rows)
        return (V.multiply(self.mendelian).tocsr() @ V.T).tocsr()

    def _shares(self, rows: Positions | None) -> sp.csr_array:
        """T[rows] (len(rows)×n) sparse."""
        n = len(self.labels)
        return contributions(selection(as_rows(rows, n), n), self._P)

    def diagonal(self, rows: Positions | None = None) -> Float:
        """1 + F."""
        F = self.inbreeding if rows is None else self.inbreeding[rows]
        return 1.0 + F

    def matmat(self, B: Float) -> Float:
        """A @ B = T D Tᵀ B by two sparse triangular solves."""
        D = self.mendelian.reshape(-1, *[1] * (np.ndim(B) - 1))
        return self._solver.solve(D * self._solver.solve_transposed(B))

    def restrict(self, rows: Positions) -> Covariance:
        """The covariance among the animals at `rows`; ancestors stay behind it, other animals are left out."""
        n = len(self.labels)
        if is_everything(rows, n):
            return self
        rows = as_rows(rows, n)
        kept = self.ancestors(rows)
        inner = self if len(kept) == n else self._pruned(kept)
        if np.array_equal(rows, kept):
            return inner
        return Marginal(inner, np.searchsorted(kept, rows))

    def factor(self, rows: Positions | None = None) -> Float:
        """T[rows] √D over the ancestors; by Cholesky with pivoting where those are many more than the rows."""
        n = len(self.labels)
        kept = np.arange(n) if rows is None else self.ancestors(rows)
        wanted = as_rows(rows, n)
        if len(kept) > 2 * len(wanted):
            return pivoted_root(self.block(rows))
        require(8 * len(wanted) * len(kept), "a factor of a relationship matrix", "Use precision() or draw().")
        return self._shares(wanted)[:, kept].toarray() * np.sqrt(self.mendelian[kept])

    def precision(self) -> sp.csc_array:
        """A⁻¹ by Henderson's rules with inbreeding."""
        self._require_sampling()
        U = self._unit_minus_P
        return sp.csc_array(U.T @ (sp.diags_array(1.0 / self.mendelian) @ U))

    def logdet(self) -> float:
        """log|A| = Σ log D."""
        self._require_sampling()
        return float(np.log(self.mendelian).sum())

    def regular_precision(self) -> tuple[sp.csr_array, sp.csc_array, float]:
        """T (n×s), Q (s×s) and log|Q⁻¹| with A = T Q⁻¹ Tᵀ, well-conditioned where A⁻¹ is not or does not exist.

        An animal with next to no Mendelian sampling (its parents are nearly completely inbred) is the average of its
        parents and its sampling term in units of its own standard deviation, which takes its place in Q.  Without such
        animals T = I and Q = A⁻¹.
        """
        D = self.mendelian
        few, n = _FEW >= D, len(self.labels)
        if not few.any():
            return selection(np.arange(n), n), self.precision(), self.logdet()
        carried = sp.csr_array(sp.diags_array(few.astype(np.float64)) @ self._P)
        carried.eliminate_zeros()
        unit = np.where(few, np.sqrt(np.maximum(D, 0.0)), 1.0)
        variables = np.flatnonzero(unit > _NIL)
        paths = contributions(selection(np.arange(n), n), carried) @ sp.diags_array(unit)
        made = sp.csr_array(sp.csr_array(paths)[:, variables])
        own = np.flatnonzero(~few)
        U = sp.csr_array(made[own] - self._P[own] @ made)
        Q = U.T @ (sp.diags_array(1.0 / D[own]) @ U) + sp.diags_array(few[variables].astype(np.float64))
        return made, sp.csc_array(Q), float(np.log(D[own]).sum())

    def _require_sampling(self) -> None:
        nil = np.flatnonzero(self.mendelian <= _SINGULAR)
        if len(nil):
            raise CovarianceError(
                f"the relationship matrix is singular: {named(self.labels[nil])} have parents that are completely "
                "inbred, so full sibs are copies of each other. block() works, precision() and logdet() do not"
            )

    def components(self, rows: Positions | None = None) -> NDArray[np.intp]:
        """Unrelated group of each animal: families linked by the ancestors of `rows` alone."""
        if is_everything(rows, len(self.labels)):
            return self._groups.copy()
        rows = as_rows(rows, len(self.labels))
        kept = self.ancestors(rows)
        return relabelled(graph_components(self._P[kept][:, kept])[np.searchsorted(kept, rows)])

    def draw(self, rng: np.random.Generator, size: int = 1) -> Float:
        """(n×size) columns T √D z from N(0, A), parents to offspring."""
        z = rng.standard_normal((len(self.labels), size))
        return self._solver.solve(np.sqrt(self.mendelian)[:, None] * z)

    def fingerprint(self) -> str:
        """Digest of labels and parents."""
        return digest("pedigree", self._index.digest, self.sire, self.dam)

    def describe(self) -> str:
        """``pedigree of 1040, 150 founders, mean inbreeding 0.002``."""
        founders = int(((self.sire < 0) & (self.dam < 0)).sum())
        return f"pedigree of {len(self.labels)}, {founders} founders, mean inbreeding {self.inbreeding.mean():.3g}"

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Labels and parents."""
        return {"labels": self._index.pack()}, {"sire": self.sire, "dam": self.dam}

    @classmethod
    def from_state(cls, options: Mapping[str, Any], arrays: Mapping[str, Array]) -> Pedigree:
        """Inverse of `state`."""
        return cls(Labels.unpack(options), arrays["sire"], arrays["dam"])  # type: ignore[arg-type]
