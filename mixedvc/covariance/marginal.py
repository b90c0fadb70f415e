"""Some of the levels of another covariance: their marginal covariance, the rest integrated out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..errors import CovarianceError
from .base import Array, Can, Covariance, Positions, covariances
from .common import as_rows, dense_logdet, digest, is_everything, nest, unnest
from .labels import Labels

Float = NDArray[np.float64]


@covariances.register("marginal")
@dataclass(frozen=True, eq=False)
class Marginal:
    """A[rows, rows] of a covariance that is kept whole because its own form is cheaper than its numbers.

    Made by ``restrict`` of precisions, pedigrees, features and Kronecker products.  The sub-block of the inverse
    is not the inverse of the sub-block, so a marginal has no precision.

    Parameters
    ----------
    base : Covariance
    rows : (q,) intp
        Distinct positions in ``base.labels``.
    """

    base: Covariance
    rows: Positions = field(repr=False)
    labels: NDArray[np.object_] = field(init=False)
    _index: Labels = field(init=False, repr=False)

    kind = "marginal"

    def __post_init__(self) -> None:
        rows = np.array(self.rows, dtype=np.intp)
        rows.flags.writeable = False
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self.base.labels)):
            raise CovarianceError(f"a restriction asks for positions outside 0…{len(self.base.labels) - 1}")
        index = Labels.trusted(self.base.labels).take(rows, self.base.describe())
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "_index", index)
        object.__setattr__(self, "labels", index.values)

    @property
    def can(self) -> Can:
        """What the whole can, but no precision and no stored numbers."""
        return self.base.can & ~(Can.PRECISION | Can.DENSE)

    def positions(self, levels: Array) -> Positions:
        """Position of each of `levels`; −1 where absent."""
        return self._index.positions(levels)

    def block(self, rows: Positions | None = None, cols: Positions | None = None) -> Float:
        """Dense A[rows, cols]."""
        return self.base.block(self._in_base(rows), None if cols is None else self._in_base(cols))

    def sparse_block(self, rows: Positions | None = None) -> sp.csr_array:
        """A[rows, rows]."""
        return self.base.sparse_block(self._in_base(rows))

    def diagonal(self, rows: Positions | None = None) -> Float:
        """diag(A)[rows]."""
        return self.base.diagonal(self._in_base(rows))

    def matmat(self, B: Float) -> Float:
        """A @ B, the levels left out held at zero."""
        spread = np.zeros((len(self.base.labels), *B.shape[1:]))
        spread[self.rows] = B
        return self.base.matmat(spread)[self.rows]

    def restrict(self, rows: Positions) -> Covariance:
        """The covariance among fewer levels still."""
        if is_everything(rows, len(self.labels)):
            return self
        return self.base.restrict(self._in_base(rows))

    def factor(self, rows: Positions | None = None) -> Float:
        """F with A[rows, rows] = F Fᵀ."""
        return self.base.factor(self._in_base(rows))

    def precision(self) -> sp.csc_array:
        """Refused: integrating levels out fills the inverse in."""
        raise CovarianceError(
            f"{self.describe()} has no sparse inverse: keep all {len(self.base.labels)} levels to use one"
        )

    def logdet(self) -> float:
        """log|A[rows, rows]|, from the dense block."""
        return dense_logdet(self.block(), self.describe())

    def components(self, rows: Positions | None = None) -> NDArray[np.intp]:
        """Independent group of each level."""
        return self.base.components(self._in_base(rows))

    def draw(self, rng: np.random.Generator, size: int = 1) -> Float:
        """(q×size) columns from N(0, A)."""
        return self.base.draw(rng, size)[self.rows]

    def fingerprint(self) -> str:
        """Digest of the whole and of the rows."""
        return digest("marginal", self.base.fingerprint(), self.rows)

    def describe(self) -> str:
        """``828 of pedigree of 1040``."""
        return f"{len(self.labels)} levels of {self.base.describe()}"

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """The whole, and the rows."""
        options: dict[str, Any] = {}
        arrays: dict[str, Array] = {"rows": self.rows}
        nest(self.base, "base", options, arrays)
        return options, arrays

    @classmethod
    def from_state(cls, options: Mapping[str, Any], arrays: Mapping[str, Array]) -> Marginal:
        """Inverse of `state`."""
        return cls(unnest("base", options, arrays), arrays["rows"])

    def _in_base(self, rows: Positions | None) -> Positions:
        return self.rows if rows is None else self.rows[as_rows(rows, 0)]
