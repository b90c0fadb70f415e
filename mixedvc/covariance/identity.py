"""Independent levels: A = I."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..linalg.memory import require
from .base import Array, Can, Positions, covariances
from .labels import Labels


@covariances.register("identity")
@dataclass(frozen=True, eq=False)
class Identity:
    """A = I among `labels`: levels that are unrelated.

    Parameters
    ----------
    labels : (q,) array-like of hashable
        Unique level names.

    Raises
    ------
    CovarianceError
        Where a label is missing or stands twice.

    Examples
    --------
    >>> from mixedvc.covariance import Identity
    >>> Identity(["a", "b"]).block()
    array([[1., 0.],
           [0., 1.]])
    """

    labels: NDArray[np.object_]
    _index: Labels = field(init=False, repr=False)

    kind = "identity"

    def __post_init__(self) -> None:
        self._set(Labels(self.labels, "an identity covariance"))

    def _set(self, index: Labels) -> None:
        object.__setattr__(self, "_index", index)
        object.__setattr__(self, "labels", index.values)

    @classmethod
    def _of(cls, index: Labels) -> Identity:
        new = object.__new__(cls)
        new._set(index)
        return new

    @classmethod
    def among(cls, levels: NDArray[np.object_]) -> Identity:
        """Among levels known to be unique (those found in a column): nothing is hashed before it is looked for."""
        return cls._of(Labels.trusted(levels))

    @property
    def can(self) -> Can:
        """Everything but stored dense numbers and a low rank."""
        return Can.SPARSE | Can.PRECISION | Can.DIAGONAL | Can.BLOCKS

    def positions(self, levels: Array) -> Positions:
        """Position of each of `levels`; −1 where absent."""
        return self._index.positions(levels)

    def block(self, rows: Positions | None = None, cols: Positions | None = None) -> NDArray[np.float64]:
        """Dense I[rows, cols]."""
        left = self._rows(rows)
        right = left if cols is None else np.asarray(cols, dtype=np.intp)
        require(8 * len(left) * len(right), "an identity as a dense matrix", "Use sparse_block().")
        if cols is None and rows is None:
            return np.eye(len(left))
        return (left[:, None] == right).astype(np.float64)

    def sparse_block(self, rows: Positions | None = None) -> sp.csr_array:
        """Sparse I[rows, rows]."""
        if rows is None:
            return sp.eye_array(len(self.labels), format="csr")
        pick = sp.csr_array(
            (np.ones(len(rows)), np.asarray(rows), np.arange(len(rows) + 1)), shape=(len(rows), len(self.labels))
        )
        return (pick @ pick.T).tocsr()

    def diagonal(self, rows: Positions | None = None) -> NDArray[np.float64]:
        """Ones."""
        return np.ones(len(self.labels) if rows is None else len(rows))

    def matmat(self, B: NDArray[np.float64]) -> NDArray[np.float64]:
        """B itself (a copy)."""
        return np.array(B, dtype=np.float64)

    def restrict(self, rows: Positions) -> Identity:
        """The identity among the levels at `rows`."""
        return Identity._of(self._index.take(np.asarray(rows, dtype=np.intp), "an identity covariance"))

    def factor(self, rows: Positions | None = None) -> NDArray[np.float64]:
        """F = I[rows, :] reduced to the columns in use."""
        if rows is None:
            return self.block()
        _, group = np.unique(np.asarray(rows), return_inverse=True)
        return (group[:, None] == np.arange(group.max(initial=-1) + 1)).astype(np.float64)

    def precision(self) -> sp.csc_array:
        """I."""
        return sp.eye_array(len(self.labels), format="csc")

    def logdet(self) -> float:
        """0."""
        return 0.0

    def components(self, rows: Positions | None = None) -> NDArray[np.intp]:
        """Every level is its own group."""
        if rows is None:
            return np.arange(len(self.labels))
        return np.unique(np.asarray(rows), return_inverse=True)[1].astype(np.intp)

    def draw(self, rng: np.random.Generator, size: int = 1) -> NDArray[np.float64]:
        """(q×size) independent standard normals."""
        return rng.standard_normal((len(self.labels), size))

    def fingerprint(self) -> str:
        """Digest of the labels."""
        return hashlib.blake2b(f"identity {self._index.digest}".encode(), digest_size=8).hexdigest()

    def describe(self) -> str:
        """``identity 18``."""
        return f"identity {len(self.labels)}"

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """The labels."""
        return {"labels": self._index.pack()}, {}

    @classmethod
    def from_state(cls, options: Mapping[str, Any], arrays: Mapping[str, Array]) -> Identity:
        """Inverse of `state`."""
        return cls._of(Labels.unpack(options))

    def _rows(self, rows: Positions | None) -> Positions:
        return np.arange(len(self.labels)) if rows is None else np.asarray(rows, dtype=np.intp)
