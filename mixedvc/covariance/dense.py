"""A as stored numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..errors import CovarianceError
from ..linalg.roots import pivoted_root
from . import checks
from .base import Array, Can, Positions, covariances
from .common import (
    as_rows,
    bit_sums,
    dense_components,
    dense_logdet,
    digest,
    draw_by_groups,
    is_everything,
    relabelled,
    saved_matrix,
)
from .labels import Labels

Float = NDArray[np.float64]

_SPARSE = 0.1  # share of entries that are not zero, up to which sparse_block() is worth while


@covariances.register("dense")
@dataclass(frozen=True, eq=False)
class Dense:
    """A known covariance as a labelled matrix.

    The matrix is held without a copy where it is float64 and passes the checks, and is never written to.

    Parameters
    ----------
    matrix : (q, q) array-like
        Symmetric and positive semi-definite, singular allowed.
    labels : (q,) array-like of hashable
        Unique level names, in the order of the rows.
    psd : {"error", "clip", "jitter", "allow"}
        What to do where an eigenvalue is negative beyond rounding: refuse, set negative ones to zero, add to the
        diagonal, or skip the check.
    symmetrize : bool or {"lower", "upper"}
        True takes the mean of A and Aᵀ where they differ; "lower" or "upper" mirrors that triangle.

    Raises
    ------
    CovarianceError
        Where the matrix is not square, not symmetric, not finite, zero, indefinite, or looks like a distance.

    Warns
    -----
    CovarianceWarning
        Where the scale is unusual or the matrix looks like a kinship (diagonal ½) or a precision.

    Examples
    --------
    >>> from mixedvc.covariance import Dense
    >>> A = Dense([[1, 0.5], [0.5, 1]], ["mother", "child"])
    >>> A.describe()
    'dense 2×2, mean diagonal 1'
    """

    matrix: Float = field(repr=False)
    labels: NDArray[np.object_]
    psd: checks.Psd = "error"
    symmetrize: checks.Symmetrize = False
    _index: Labels = field(init=False, repr=False)

    kind = "dense"

    def __post_init__(self) -> None:
        self._check("the covariance")

    def _check(self, what: str) -> None:
        checks.check_options(self.psd, self.symmetrize)
        index = self.labels if isinstance(self.labels, Labels) else Labels(self.labels, what)
        given = np.asarray(self.matrix)
        checks.check_shape(given.shape, len(index), what)
        A = checks.symmetric(checks.as_float(given, index, what), index, what, self.symmetrize)
        diagonal = np.diagonal(A)
        if self.psd != "allow":
            checks.check_diagonal(diagonal, index, what, float(np.abs(A[: 1 + len(A) // 100]).max()))
        A = checks.psd(A, what, self.psd)
        rows = checks.sample_rows(len(index))
        checks.second_look(np.diagonal(A), A[rows], rows, what)
        self._set(A, index)

    def _set(self, A: Float, index: Labels) -> None:
        held = A.view()
        held.flags.writeable = False
        object.__setattr__(self, "matrix", held)
        object.__setattr__(self, "_index", index)
        object.__setattr__(self, "labels", index.values)

    @classmethod
    def checked(
        cls, matrix: Any, index: Labels, what: str, psd: checks.Psd = "error", symmetrize: checks.Symmetrize = False
    ) -> Dense:
        """A checked covariance whose messages speak of `what`, e.g. ``cov['A']``."""
        new = object.__new__(cls)
        for name, value in (("matrix", matrix), ("labels", index), ("psd", psd), ("symmetrize", symmetrize)):
            object.__setattr__(new, name, value)
        new._check(what)
        return new

    @classmethod
    def trusted(cls, matrix: Float, index: Labels, psd: checks.Psd = "error") -> Dense:
        """A covariance that is known to pass the checks, e.g. a block of another."""
        new = object.__new__(cls)
        object.__setattr__(new, "psd", psd)
        object.__setattr__(new, "symmetrize", False)
        new._set(matrix, index)
        return new

    @cached_property
    def can(self) -> Can:
        """DENSE; BLOCKS, SPARSE and DIAGONAL where the zeros allow it."""
        q = len(self.labels)
        can = Can.DENSE
        groups = self._groups
        if q > 1 and groups.max() > 0:
            can |= Can.BLOCKS
        if q > 1 and groups.max() == q - 1:
            can |= Can.DIAGONAL
        if _few_entries(self.matrix):
            can |= Can.SPARSE
        return can

    @cached_property
    def _groups(self) -> NDArray[np.intp]:
        return dense_components(self.matrix)

    def positions(self, levels: Array) -> Positions:
        """Position of each of `levels`; −1 where absent."""
        return self._index.positions(levels)

    def block(self, rows: Positions | None = None, cols: Positions | None = None) -> Float:
        """A[rows, cols]; a read-only view where all rows or a run of rows is asked for."""
        q = len(self.labels)
        if cols is None:
            cols = rows
        left, right = _as_slice(rows, q), _as_slice(cols, q)
        if isinstance(left, slice) or isinstance(right, slice):
            return self.matrix[left, right]
        return self.matrix[np.ix_(left, right)]

    def sparse_block(self, rows: Positions | None = None) -> sp.csr_array:
        """A[rows, rows] without its zeros."""
        return sp.csr_array(self.block(rows))

    def diagonal(self, rows: Positions | None = None) -> Float:
        """diag(A)[rows]."""
        diagonal = np.diagonal(self.matrix)
        return diagonal.copy() if rows is None else diagonal[rows]

    def matmat(self, B: Float) -> Float:
        """A @ B."""
        return self.matrix @ B

    def restrict(self, rows: Positions) -> Dense:
        """The block at `rows` as a covariance of its own."""
        rows = as_rows(rows, len(self.labels))
        if is_everything(rows, len(self.labels)):
            return self
        return Dense.trusted(self.block(rows), self._index.take(rows, "a dense covariance"), self.psd)

    def factor(self, rows: Positions | None = None) -> Float:
        """F with A[rows, rows] = F Fᵀ, by Cholesky with pivoting; as many columns as the block's rank."""
        return pivoted_root(self.block(rows))

    def precision(self) -> sp.csc_array:
        """Refused: the inverse of a dense matrix is dense."""
        raise CovarianceError(
            f"{self.describe()} has no sparse inverse: use block(), or give the inverse as Precision(Q, labels)"
        )

    def logdet(self) -> float:
        """log|A|; CovarianceError where A is singular."""
        return dense_logdet(self.matrix, self.describe())

    def components(self, rows: Positions | None = None) -> NDArray[np.intp]:
        """Independent group of each level."""
        if is_everything(rows, len(self.labels)):
            return self._groups.copy()
        # without a level that links them, groups may fall apart: search again among the rows asked for
        distinct, back = np.unique(as_rows(rows, len(self.labels)), return_inverse=True)
        return relabelled(dense_components(self.block(distinct))[back])

    def draw(self, rng: np.random.Generator, size: int = 1) -> Float:
        """(q×size) columns from N(0, A)."""
        return draw_by_groups(self, rng, size)

    def fingerprint(self) -> str:
        """Digest of labels and of the sums of bit patterns by row and column: any edit of one entry changes it."""
        return digest("dense", self.matrix.shape, self._index.digest, *bit_sums(self.matrix))

    def describe(self) -> str:
        """``dense 599×599, mean diagonal 0.99``."""
        q = len(self.labels)
        unchecked = ", not checked for definiteness" if self.psd == "allow" else ""
        return f"dense {q}×{q}, mean diagonal {np.diagonal(self.matrix).mean():.3g}{unchecked}"

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Labels and matrix."""
        return {"labels": self._index.pack(), "psd": self.psd}, {"matrix": self.matrix}

    @classmethod
    def from_state(cls, options: Mapping[str, Any], arrays: Mapping[str, Array]) -> Dense:
        """Inverse of `state`."""
        A = np.asarray(arrays["matrix"], dtype=np.float64)
        return cls.trusted(A, saved_matrix(options, A, "a saved dense covariance"), options["psd"])


def _few_entries(A: Float) -> bool:
    """Whether few enough entries are not zero; a few rows tell that a full matrix has too many."""
    some = A[:: max(1, len(A) // 16)]
    if np.count_nonzero(some) > 3 * _SPARSE * some.size:
        return False
    return bool(np.count_nonzero(A) <= _SPARSE * A.size)


def _as_slice(rows: Positions | None, q: int) -> slice | Positions:
    """`rows` as a slice where they are a run of consecutive levels: a view instead of a copy."""
    if rows is None:
        return slice(0, q)
    rows = np.asarray(rows, dtype=np.intp)
    if len(rows) and len(rows) == rows[-1] - rows[0] + 1 and (len(rows) == 1 or np.all(np.diff(rows) == 1)):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows
