"""A = A₁ ⊗ A₂ among pairs of levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..errors import CovarianceError
from ..linalg.memory import require
from ..linalg.roots import pivoted_root
from .base import Array, Can, Covariance, Positions, covariances
from .common import as_rows, digest, is_everything, nest, relabelled, selection, unnest
from .labels import Labels, objects
from .marginal import Marginal

Float = NDArray[np.float64]


@covariances.register("kronecker")
@dataclass(frozen=True, eq=False)
class Kronecker:
    """Covariance A₁[a, a'] · A₂[b, b'] between the pairs of levels ``"a:b"`` and ``"a':b'"``.

    For lines × environments, places × times.  Neither the q₁q₂ × q₁q₂ matrix nor its inverse is formed.

    Parameters
    ----------
    left, right : Covariance
        A₁ (q₁×q₁) and A₂ (q₂×q₂).

    Raises
    ------
    CovarianceError
        Where joined labels coincide (``"a:b" + "c"`` and ``"a" + "b:c"``).

    Examples
    --------
    >>> from mixedvc.covariance import Dense, Identity
    >>> A = Kronecker(Identity(["x", "y"]), Dense([[1, 0.5], [0.5, 1]], [1, 2]))
    >>> list(A.labels)
    ['x:1', 'x:2', 'y:1', 'y:2']
    """

    left: Covariance
    right: Covariance
    _size: tuple[int, int] = field(init=False, repr=False)

    kind = "kronecker"

    def __post_init__(self) -> None:
        for name, part in (("left", self.left), ("right", self.right)):
            if not hasattr(part, "matmat"):
                raise CovarianceError(
                    f"the {name} factor of a Kronecker product must be a covariance such as Dense(A, labels), not "
                    f"{type(part).__name__}"
                )
        object.__setattr__(self, "_size", (len(self.left.labels), len(self.right.labels)))

    @cached_property
    def _index(self) -> Labels:
        q1, q2 = self._size
        require(200 * q1 * q2, f"the names of {q1 * q2} pairs of levels", "Restrict the two factors first.")
        right = [str(b) for b in self.right.labels]
        return Labels(objects([f"{a}:{b}" for a in self.left.labels for b in right]), "the Kronecker product")

    @property
    def labels(self) -> NDArray[np.object_]:
        """(q₁q₂,) ``"a:b"``, the right factor running fastest."""
        return self._index.values

    @property
    def _q(self) -> int:
        return self._size[0] * self._size[1]

    @property
    def rank(self) -> int:
        """Columns of `factor` where LOW_RANK."""
        ranks = [int(getattr(side, "rank", len(side.labels))) for side in (self.left, self.right)]
        return ranks[0] * ranks[1]

    @property
    def can(self) -> Can:
        """What both can; zeros and a low rank of either are enough."""
        a, b = self.left.can, self.right.can
        both = a & b & (Can.PRECISION | Can.DIAGONAL)
        either = (a | b) & (Can.SPARSE | Can.BLOCKS | Can.LOW_RANK)
        return both | either

    def positions(self, levels: Array) -> Positions:
        """Position of each of `levels`; −1 where absent."""
        return self._index.positions(levels)

    def _split(self, rows: Positions | None) -> tuple[Positions, Positions]:
        return tuple(np.divmod(as_rows(rows, self._q), self._size[1]))  # type: ignore[return-value]

    def block(self, rows: Positions | None = None, cols: Positions | None = None) -> Float:
        """Dense A[rows, cols]: the product, entry by entry, of the factors' blocks."""
        n = self._q if rows is None else len(rows)
        require(8 * n * (n if cols is None else len(cols)), "a Kronecker product as a dense matrix", "Use matmat().")
        left, right = self._split(rows), self._split(rows if cols is None else cols)
        out = _gathered(self.left, left[0], right[0])
        out *= _gathered(self.right, left[1], right[1])
        return out

    def sparse_block(self, rows: Positions | None = None) -> sp.csr_array:
        """A[rows, rows]."""
        if is_everything(rows, self._q):
            return sp.csr_array(sp.kron(self.left.sparse_block(), self.right.sparse_block(), format="csr"))
        a, b = self._split(rows)
        return sp.csr_array(_gathered_sparse(self.left, a).multiply(_gathered_sparse(self.right, b)))

    def diagonal(self, rows: Positions | None = None) -> Float:
        """diag(A)[rows]."""
        a, b = self._split(rows)
        return self.left.diagonal()[a] * self.right.diagonal()[b]

    def matmat(self, B: Float) -> Float:
        """A @ B by one product with each factor."""
        q1, q2 = self._size
        inner = self.left.matmat(np.ascontiguousarray(B).reshape(q1, -1)).reshape(q1, q2, -1)
        turned = np.ascontiguousarray(inner.transpose(1, 0, 2)).reshape(q2, -1)
        out = self.right.matmat(turned).reshape(q2, q1, -1).transpose(1, 0, 2)
        return np.ascontiguousarray(out).reshape(B.shape)

    def restrict(self, rows: Positions) -> Covariance:
        """The covariance among some of the pairs."""
        if is_everything(rows, self._q):
            return self
        return Marginal(self, rows)

    def factor(self, rows: Positions | None = None) -> Float:
        """F with A[rows, rows] = F Fᵀ: F₁ ⊗ F₂ for all pairs, else by Cholesky with pivoting unless low rank."""
        if rows is not None and Can.LOW_RANK not in self.can:
            return pivoted_root(self.block(rows))
        F1, F2 = self.left.factor(), self.right.factor()
        a, b = self._split(rows)
        m = F1.shape[1] * F2.shape[1]
        require(8 * len(a) * m, "a factor of a Kronecker product", "Use matmat().")
        return (F1[a][:, :, None] * F2[b][:, None, :]).reshape(len(a), m)

    def precision(self) -> sp.csc_array:
        """A₁⁻¹ ⊗ A₂⁻¹; CovarianceError where a factor has no sparse inverse."""
        return sp.csc_array(sp.kron(self.left.precision(), self.right.precision(), format="csc"))

    def logdet(self) -> float:
        """log|A| = q₂ log|A₁| + q₁ log|A₂|."""
        return self._size[1] * self.left.logdet() + self._size[0] * self.right.logdet()

    def components(self, rows: Positions | None = None) -> NDArray[np.intp]:
        """Independent group of each pair: groups of the left crossed with groups of the right."""
        a, b = self._split(rows)
        right = self.right.components()
        return relabelled(self.left.components()[a] * (right.max(initial=0) + 1) + right[b])

    def draw(self, rng: np.random.Generator, size: int = 1) -> Float:
        """(q×size) columns F₁ U₂ from draws U₂ of the right factor."""
        F1 = self.left.factor()
        q1, q2 = self._size
        U = self.right.draw(rng, F1.shape[1] * size).reshape(q2, F1.shape[1], size)
        return np.einsum("am,bms->abs", F1, U).reshape(q1 * q2, size)

    def fingerprint(self) -> str:
        """Digest of both factors'."""
        return digest("kronecker", self.left.fingerprint(), self.right.fingerprint())

    def describe(self) -> str:
        """``(identity 4) ⊗ (dense 3×3, mean diagonal 1)``."""
        return f"({self.left.describe()}) ⊗ ({self.right.describe()})"

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Both factors."""
        options: dict[str, Any] = {}
        arrays: dict[str, Array] = {}
        nest(self.left, "left", options, arrays)
        nest(self.right, "right", options, arrays)
        return options, arrays

    @classmethod
    def from_state(cls, options: Mapping[str, Any], arrays: Mapping[str, Array]) -> Kronecker:
        """Inverse of `state`."""
        return cls(unnest("left", options, arrays), unnest("right", options, arrays))


def _gathered(cov: Covariance, rows: Positions, cols: Positions) -> Float:
    """A[rows, cols] with repeated rows, each distinct entry computed once; always a fresh array."""
    r, r_back = np.unique(rows, return_inverse=True)
    c, c_back = np.unique(cols, return_inverse=True)
    return cov.block(r, c)[np.ix_(r_back, c_back)]


def _gathered_sparse(cov: Covariance, rows: Positions) -> sp.csr_array:
    distinct, back = np.unique(rows, return_inverse=True)
    S = selection(back, len(distinct))
    return (S @ cov.sparse_block(distinct) @ S.T).tocsr()
