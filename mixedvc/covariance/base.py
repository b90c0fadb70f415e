"""The contract of a known covariance A among labelled levels, and what it can do cheaply."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Flag, auto
from typing import Any, Protocol, runtime_checkable

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..registry import Registry

Array = NDArray[Any]
Positions = NDArray[np.intp]


class Can(Flag):
    """What a covariance gives cheaply; likelihoods choose by it."""

    DENSE = auto()  # block() is a view or a copy of stored numbers
    SPARSE = auto()  # sparse_block() has few non-zeros
    PRECISION = auto()  # precision() and logdet() are sparse and cheap
    LOW_RANK = auto()  # factor() has fewer columns than rows: `rank` of them, known without forming it
    DIAGONAL = auto()  # A is diagonal
    BLOCKS = auto()  # components() splits the levels into independent groups


@runtime_checkable
class Covariance(Protocol):
    """Known covariance A (q×q, symmetric, positive semi-definite unless said) among labelled levels.

    All methods speak of levels by integer position in `labels`; `positions` translates.  Arrays handed out
    may be views of stored numbers and must not be written to.
    """

    kind: str  # registered name, e.g. "dense"

    @property
    def labels(self) -> NDArray[np.object_]:
        """(q,) the levels' names, unique."""
        ...

    @property
    def can(self) -> Can: ...

    def positions(self, levels: Array) -> Positions:
        """Position of each of `levels` in `labels`; −1 where absent."""
        ...

    def block(self, rows: Positions | None = None, cols: Positions | None = None) -> NDArray[np.float64]:
        """Dense A[rows, cols] (all where None; ``cols=None`` with rows given means ``cols=rows``)."""
        ...

    def sparse_block(self, rows: Positions | None = None) -> sp.csr_array:
        """A[rows, rows] as a sparse array."""
        ...

    def diagonal(self, rows: Positions | None = None) -> NDArray[np.float64]:
        """diag(A)[rows]."""
        ...

    def matmat(self, B: NDArray[np.float64]) -> NDArray[np.float64]:
        """A @ B for B (q×c)."""
        ...

    def restrict(self, rows: Positions) -> Covariance:
        """The covariance among the levels at `rows` alone, in that order."""
        ...

    def factor(self, rows: Positions | None = None) -> NDArray[np.float64]:
        """F (len(rows)×m) with A[rows, rows] = F Fᵀ; only cheap where LOW_RANK, else by a pivoted root."""
        ...

    def precision(self) -> sp.csc_array:
        """A⁻¹ sparse; raises CovarianceError where A has no sparse inverse (see `can`)."""
        ...

    def logdet(self) -> float:
        """log|A|; raises CovarianceError where A is singular."""
        ...

    def components(self, rows: Positions | None = None) -> NDArray[np.intp]:
        """Label 0…B−1 of the independent group of each level (A is zero between groups)."""
        ...

    def draw(self, rng: np.random.Generator, size: int = 1) -> NDArray[np.float64]:
        """(q×size) independent columns from N(0, A)."""
        ...

    def fingerprint(self) -> str:
        """Short digest of the numbers and labels: changes when the stored array is changed in place."""
        ...

    def describe(self) -> str:
        """A few words for `spec.explain()`, e.g. ``dense 599×599, mean diagonal 0.99``."""
        ...

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """(JSON-able options, named arrays) from which `from_state` rebuilds the covariance."""
        ...

    @classmethod
    def from_state(cls, options: Mapping[str, Any], arrays: Mapping[str, Array]) -> Covariance: ...


covariances: Registry[type[Any]] = Registry("covariance", "mixedvc.covariances")
