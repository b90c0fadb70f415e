"""A known by its sparse inverse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..errors import CovarianceError
from ..linalg.dense import NotPositiveDefinite
from ..linalg.memory import require
from ..linalg.roots import pivoted_root
from ..linalg.sparse_cholesky import SparseCholesky, sparse_cholesky
from . import checks
from .base import Array, Can, Covariance, Positions, covariances
from .common import (
    as_rows,
    digest,
    graph_components,
    is_everything,
    relabelled,
    saved_matrix,
    sparse_from_state,
    sparse_state,
)
from .labels import Labels
from .marginal import Marginal
from .sparse_checks import canonical, sparse_symmetric

Float = NDArray[np.float64]

_COLUMNS = 256  # right-hand sides solved at a time


@covariances.register("precision")
@dataclass(frozen=True, eq=False)
class Precision:
    """A known covariance given by its sparse inverse Q = A⁻¹, e.g. from a pedigree program or a Markov field.

    Blocks of A are columns of solves with Q: the marginal covariance, not the inverse of Q's sub-block.

    Parameters
    ----------
    matrix : (q, q) scipy sparse or array-like
        Q, symmetric and positive definite.
    labels : (q,) array-like of hashable

    Raises
    ------
    CovarianceError
        Where Q is not square, symmetric, finite or positive definite.

    Examples
    --------
    >>> import numpy as np
    >>> Q = Precision(np.array([[1.5, -1.0], [-1.0, 2.0]]), ["sire", "calf"])
    >>> Q.block().round(6)
    array([[1.  , 0.5 ],
           [0.5 , 0.75]])
    """

    matrix: sp.csc_array = field(repr=False)
    labels: NDArray[np.object_]
    _index: Labels = field(init=False, repr=False)

    kind = "precision"

    def __post_init__(self) -> None:
        what = "the precision"
        index = Labels(self.labels, what)
        Q = self.matrix if sp.issparse(self.matrix) else sp.csr_array(checks.as_float(self.matrix, index, what))
        checks.check_shape(Q.shape, len(index), what)
        Q = sp.csc_array(sparse_symmetric(canonical(Q, what), index, what, False))
        self._set(Q, index)
        _ = self._solver  # a precision that is not positive definite is refused now, not in the fit
        mean = float(np.mean(self.diagonal(checks.sample_rows(len(index)))))
        if not 0.2 <= mean <= 5.0:
            checks.warn(
                f"{what} has an inverse with a mean diagonal near {mean:.4g}, not near 1: the variance component "
                "depends on that scale. If the matrix is a covariance, give it as Dense or Sparse"
            )

    def _set(self, Q: sp.csc_array, index: Labels) -> None:
        object.__setattr__(self, "matrix", Q)
        object.__setattr__(self, "_index", index)
        object.__setattr__(self, "labels", index.values)

    @property
    def can(self) -> Can:
        """PRECISION; BLOCKS and DIAGONAL where Q falls into independent groups."""
        count = int(self._groups.max(initial=0)) + 1
        can = Can.PRECISION
        if count > 1:
            can |= Can.BLOCKS
        if count > 1 and count == len(self.labels):
            can |= Can.DIAGONAL | Can.SPARSE
        return can

    @cached_property
    def _solver(self) -> SparseCholesky:
        rounding = 4.0 * len(self.labels) * np.finfo(np.float64).eps
        try:
            factor = sparse_cholesky(self.matrix)
            if factor.pivots.min() <= rounding * self.matrix.diagonal().max():
                raise NotPositiveDefinite(int(np.argmin(factor.pivots)) + 1)
            return factor
        except NotPositiveDefinite:
            raise CovarianceError(
                "the precision is not positive definite, so it has no covariance: add a small multiple of the "
                "identity, or give the covariance itself"
            ) from None

    @cached_property
    def _groups(self) -> NDArray[np.intp]:
        return graph_components(self.matrix)

    def positions(self, levels: Array) -> Positions:
        """Position of each of `levels`; −1 where absent."""
        return self._index.positions(levels)

    def block(self, rows: Positions | None = None, cols: Positions | None = None) -> Float:
        """Dense A[rows, cols]: entries `rows` of Q⁻¹'s columns `cols`."""
        q = len(self.labels)
        left = as_rows(rows, q)
        right = left if cols is None else as_rows(cols, q)
        require(8 * len(left) * len(right), "a covariance block of a precision", "Use methods that take precision().")
        distinct, back = np.unique(right, return_inverse=True)
        out = np.empty((len(left), len(distinct)))
        for start in range(0, len(distinct), _COLUMNS):
            columns = distinct[start : start + _COLUMNS]
            unit = np.zeros((q, len(columns)))
            unit[columns, np.arange(len(columns))] = 1.0
            out[:, start : start + _COLUMNS] = self._solver.solve(unit)[left]
        A = out if len(distinct) == len(right) and np.array_equal(distinct, right) else out[:, back]
        return 0.5 * (A + A.T) if cols is None else A

    def sparse_block(self, rows: Positions | None = None) -> sp.csr_array:
        """A[rows, rows] with zeros between independent groups; within a group it is full."""
        rows = as_rows(rows, len(self.labels))
        groups = self._groups[rows]
        pieces = [np.flatnonzero(groups == g) for g in np.unique(groups)]
        inner: Any = sp.block_diag([self.block(rows[piece]) for piece in pieces], format="csr")
        back = np.argsort(np.concatenate(pieces)) if pieces else np.empty(0, np.intp)
        return sp.csr_array(inner)[back][:, back]

    def diagonal(self, rows: Positions | None = None) -> Float:
        """diag(A)[rows], entries of Q's inverse on its own pattern."""
        return self._diagonal if rows is None else self._diagonal[rows]

    @cached_property
    def _diagonal(self) -> Float:
        analysis = self._solver.analysis
        return self._solver.inverse_entries()[analysis.rows == analysis.cols]

    def matmat(self, B: Float) -> Float:
        """A @ B = Q⁻¹ B."""
        return self._solver.solve(B)

    def restrict(self, rows: Positions) -> Covariance:
        """The marginal covariance among the levels at `rows`."""
        if is_everything(rows, len(self.labels)):
            return self
        return Marginal(self, rows)

    def factor(self, rows: Positions | None = None) -> Float:
        """F with A[rows, rows] = F Fᵀ, by Cholesky with pivoting of the block."""
        return pivoted_root(self.block(rows))

    def precision(self) -> sp.csc_array:
        """Q."""
        return self.matrix.copy()

    def logdet(self) -> float:
        """log|A| = −log|Q|."""
        return -self._solver.logdet

    def components(self, rows: Positions | None = None) -> NDArray[np.intp]:
        """Independent group of each level: connected parts of Q's graph."""
        return relabelled(self._groups[as_rows(rows, len(self.labels))])

    def draw(self, rng: np.random.Generator, size: int = 1) -> Float:
        """(q×size) columns from N(0, A) by one triangular solve."""
        return self._solver.half_solve_transposed(rng.standard_normal((len(self.labels), size)))

    def fingerprint(self) -> str:
        """Digest of labels, entries and their places."""
        Q = self.matrix
        return digest("precision", Q.shape, self._index.digest, Q.data, Q.indices, Q.indptr)

    def describe(self) -> str:
        """``precision 1040×1040, 5000 entries``."""
        q = len(self.labels)
        return f"precision {q}×{q}, {self.matrix.nnz} entries"

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Labels and the compressed columns."""
        return {"labels": self._index.pack()}, sparse_state(self.matrix)

    @classmethod
    def from_state(cls, options: Mapping[str, Any], arrays: Mapping[str, Array]) -> Precision:
        """Inverse of `state`."""
        Q = sparse_from_state(sp.csc_array, arrays, len(options["labels"]))
        new = object.__new__(cls)
        new._set(Q, saved_matrix(options, Q, "a saved precision"))
        return new
