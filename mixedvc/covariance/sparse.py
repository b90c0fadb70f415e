"""A with few entries that are not zero, e.g. families that are unrelated to each other."""

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
from ..linalg.sparse_cholesky import sparse_cholesky
from . import checks
from .base import Array, Can, Positions, covariances
from .common import (
    as_rows,
    digest,
    draw_by_groups,
    graph_components,
    is_everything,
    relabelled,
    saved_matrix,
    sparse_from_state,
    sparse_logdet,
    sparse_state,
)
from .labels import Labels
from .sparse_checks import canonical, sparse_symmetric

Float = NDArray[np.float64]


@covariances.register("sparse")
@dataclass(frozen=True, eq=False)
class Sparse:
    """A known covariance as a labelled sparse matrix.

    Parameters
    ----------
    matrix : (q, q) scipy sparse array or matrix
        Symmetric, positive semi-definite; any format, duplicate entries are summed, stored zeros dropped.
    labels : (q,) array-like of hashable
    psd : {"error", "allow"}
        Whether to check definiteness.
    symmetrize : bool or {"lower", "upper"}
        As for `Dense`.

    Raises
    ------
    CovarianceError
        As for `Dense`.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> A = Sparse(sp.block_diag([[[1, 0.5], [0.5, 1]], [[1]]]), ["a", "b", "c"])
    >>> A.components()
    array([0, 0, 1])
    """

    matrix: sp.csr_array = field(repr=False)
    labels: NDArray[np.object_]
    psd: checks.Psd = "error"
    symmetrize: checks.Symmetrize = False
    _index: Labels = field(init=False, repr=False)

    kind = "sparse"

    def __post_init__(self) -> None:
        self._check("the covariance")

    def _check(self, what: str) -> None:
        checks.check_options(self.psd, self.symmetrize)
        index = self.labels if isinstance(self.labels, Labels) else Labels(self.labels, what)
        checks.check_shape(self.matrix.shape, len(index), what)
        A = sparse_symmetric(canonical(self.matrix, what), index, what, self.symmetrize)
        if self.psd != "allow":
            checks.check_diagonal(A.diagonal(), index, what)
        _check_definite(A, what, self.psd)
        rows = checks.sample_rows(len(index))
        checks.second_look(A.diagonal(), A[rows].toarray(), rows, what)
        self._set(A, index)

    def _set(self, A: sp.csr_array, index: Labels) -> None:
        object.__setattr__(self, "matrix", A)
        object.__setattr__(self, "_index", index)
        object.__setattr__(self, "labels", index.values)

    @classmethod
    def checked(
        cls, matrix: Any, index: Labels, what: str, psd: checks.Psd = "error", symmetrize: checks.Symmetrize = False
    ) -> Sparse:
        """A checked covariance whose messages speak of `what`, e.g. ``cov['A']``."""
        new = object.__new__(cls)
        for name, value in (("matrix", matrix), ("labels", index), ("psd", psd), ("symmetrize", symmetrize)):
            object.__setattr__(new, name, value)
        new._check(what)
        return new

    @classmethod
    def trusted(cls, matrix: sp.csr_array, index: Labels, psd: checks.Psd = "error") -> Sparse:
        """A covariance that is known to pass the checks."""
        new = object.__new__(cls)
        object.__setattr__(new, "psd", psd)
        object.__setattr__(new, "symmetrize", False)
        new._set(matrix, index)
        return new

    @cached_property
    def can(self) -> Can:
        """SPARSE; BLOCKS and DIAGONAL where it falls into independent groups."""
        count = int(self._groups.max(initial=0)) + 1
        can = Can.SPARSE
        if count > 1:
            can |= Can.BLOCKS
        if count > 1 and count == len(self.labels):
            can |= Can.DIAGONAL
        return can

    @cached_property
    def _groups(self) -> NDArray[np.intp]:
        return graph_components(self.matrix)

    def positions(self, levels: Array) -> Positions:
        """Position of each of `levels`; −1 where absent."""
        return self._index.positions(levels)

    def block(self, rows: Positions | None = None, cols: Positions | None = None) -> Float:
        """Dense A[rows, cols]."""
        q = len(self.labels)
        left = as_rows(rows, q)
        right = left if cols is None else as_rows(cols, q)
        require(8 * len(left) * len(right), "a sparse covariance as a dense matrix", "Use sparse_block().")
        return self.matrix[left][:, right].toarray()

    def sparse_block(self, rows: Positions | None = None) -> sp.csr_array:
        """A[rows, rows]."""
        if is_everything(rows, len(self.labels)):
            return self.matrix.copy()
        rows = as_rows(rows, len(self.labels))
        return self.matrix[rows][:, rows].tocsr()

    def diagonal(self, rows: Positions | None = None) -> Float:
        """diag(A)[rows]."""
        diagonal = self.matrix.diagonal()
        return diagonal if rows is None else diagonal[rows]

    def matmat(self, B: Float) -> Float:
        """A @ B."""
        return self.matrix @ B

    def restrict(self, rows: Positions) -> Sparse:
        """The block at `rows` as a covariance of its own."""
        if is_everything(rows, len(self.labels)):
            return self
        return Sparse.trusted(
            self.sparse_block(rows), self._index.take(as_rows(rows, 0), "a sparse covariance"), self.psd
        )

    def factor(self, rows: Positions | None = None) -> Float:
        """F with A[rows, rows] = F Fᵀ, by Cholesky with pivoting."""
        return pivoted_root(self.block(rows))

    def precision(self) -> sp.csc_array:
        """Refused: the inverse of a sparse matrix is dense in general."""
        raise CovarianceError(
            f"{self.describe()} has no sparse inverse in general: give the inverse as Precision(Q, labels)"
        )

    def logdet(self) -> float:
        """log|A|; CovarianceError where A is singular."""
        return sparse_logdet(self.matrix, self.describe())

    def components(self, rows: Positions | None = None) -> NDArray[np.intp]:
        """Independent group of each level."""
        if is_everything(rows, len(self.labels)):
            return self._groups.copy()
        distinct, back = np.unique(as_rows(rows, len(self.labels)), return_inverse=True)
        return relabelled(graph_components(self.sparse_block(distinct))[back])

    def draw(self, rng: np.random.Generator, size: int = 1) -> Float:
        """(q×size) columns from N(0, A)."""
        return draw_by_groups(self, rng, size)

    def fingerprint(self) -> str:
        """Digest of labels, entries and their places."""
        A = self.matrix
        return digest("sparse", A.shape, self._index.digest, A.data, A.indices, A.indptr)

    def describe(self) -> str:
        """``sparse 4000×4000, 16000 entries, mean diagonal 1``."""
        q = len(self.labels)
        unchecked = ", not checked for definiteness" if self.psd == "allow" else ""
        return f"sparse {q}×{q}, {self.matrix.nnz} entries, mean diagonal {self.diagonal().mean():.3g}{unchecked}"

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Labels and the compressed rows."""
        return {"labels": self._index.pack(), "psd": self.psd}, sparse_state(self.matrix)

    @classmethod
    def from_state(cls, options: Mapping[str, Any], arrays: Mapping[str, Array]) -> Sparse:
        """Inverse of `state`."""
        A = sparse_from_state(sp.csr_array, arrays, len(options["labels"]))
        return cls.trusted(A, saved_matrix(options, A, "a saved sparse covariance"), options["psd"])


def _check_definite(A: sp.csr_array, what: str, choice: checks.Psd) -> None:
    """Refuse an indefinite A; a small one gets the eigenvalues in the message."""
    if choice == "allow":
        return
    if choice != "error":
        raise CovarianceError(
            f"{what}: psd={choice!r} would fill a sparse matrix in. Use Dense(A.toarray(), labels, psd={choice!r}), "
            "or psd='allow'"
        )
    q = A.shape[0]
    shift = checks.tolerance(A.diagonal())
    try:
        sparse_cholesky(A + shift * sp.eye_array(q))
    except NotPositiveDefinite:
        if q <= 2000:
            checks.psd(A.toarray(), what, "error")  # the dense check has the last word, with eigenvalues
            return
        raise CovarianceError(
            f"{what} is not positive semi-definite beyond rounding ({shift:.2g}). psd='allow' keeps it for methods "
            "that can use it; Dense(A.toarray(), labels, psd='clip') repairs it"
        ) from None
