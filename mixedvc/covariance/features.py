"""A = W Wᵀ / m of a feature matrix W, never formed unless asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..errors import CovarianceError, OptionError
from ..linalg.memory import require
from . import checks
from .base import Array, Can, Covariance, Positions, covariances
from .common import as_rows, bit_sums, dense_logdet, digest, is_everything
from .labels import Labels, named
from .marginal import Marginal

Float = NDArray[np.float64]
Standardize = bool | Literal["center"]

_CHUNK_BYTES = 32 * 2**20  # standardised columns held at a time
_HASHED_BYTES = 256 * 2**20  # features beyond this are fingerprinted by a sample
_CONSTANT = 1e-12  # standard deviation relative to the mean below which a column does not vary


@covariances.register("features")
@dataclass(frozen=True, eq=False)
class Features:
    """A = W Wᵀ / m for features (markers, abundances) of q levels, standardised as they are read.

    With G = the standardised W, A = G Gᵀ / m where m counts the columns used: VanRaden's second matrix for
    genotypes, the standardised GRM of GCTA.  W is kept as given (float32, float64, int8 or a memory map) and read
    in chunks of columns; A is q×q and only formed by `block`.

    Parameters
    ----------
    matrix : (q, m) array
        One row a level, one column a feature; no missing values.
    labels : (q,) array-like of hashable
        Names of the rows.
    standardize : {True, "center", False}
        True: columns minus their mean, divided by their standard deviation (divisor q − 1), constant columns
        dropped; "center": columns minus their mean, constant columns dropped; False: as they are.

    Raises
    ------
    CovarianceError
        Where a value is missing or infinite, or no column varies.

    Warns
    -----
    CovarianceWarning
        Where constant columns were dropped, with their number.

    Examples
    --------
    >>> import numpy as np
    >>> G = Features(np.array([[0, 2], [1, 0], [2, 1]]), ["a", "b", "c"])
    >>> G.block().round(2)
    array([[ 1. , -0.5, -0.5],
           [-0.5,  0.5,  0. ],
           [-0.5,  0. ,  0.5]])
    """

    matrix: Array = field(repr=False)
    labels: NDArray[np.object_]
    standardize: Standardize = True
    _index: Labels = field(init=False, repr=False)
    _mean: Float = field(init=False, repr=False)
    _scale: Float = field(init=False, repr=False)
    _kept: NDArray[np.intp] = field(init=False, repr=False)

    kind = "features"

    def __post_init__(self) -> None:
        if self.standardize not in (True, False, "center"):
            raise OptionError(f"standardize must be True, False or 'center', not {self.standardize!r}")
        index = Labels(self.labels, "the features")
        W = _as_matrix(self.matrix, index)
        mean, sd = _moments(W, index)
        scale = np.maximum(np.abs(mean), 1e-300)
        constant = (sd <= _CONSTANT * scale) if self.standardize else np.zeros(len(sd), dtype=bool)
        kept = np.flatnonzero(~constant)
        if len(kept) == 0:
            raise CovarianceError(f"none of the {W.shape[1]} features varies among the {len(index)} levels")
        if len(kept) < len(sd):
            checks.warn(
                f"{len(sd) - len(kept)} of {len(sd)} features are constant and were dropped, at column "
                f"{named(np.flatnonzero(constant).tolist(), 5)}; A is divided by the {len(kept)} left"
            )
        centre = mean if self.standardize else np.zeros_like(mean)
        divide = sd if self.standardize is True else np.ones_like(sd)
        self._set(W, index, centre[kept], 1.0 / divide[kept], kept)
        if not self._diagonal.any():
            raise CovarianceError("the features are zero everywhere: a term with them has no variance")

    def _set(self, W: Array, index: Labels, mean: Float, scale: Float, kept: NDArray[np.intp]) -> None:
        held = W.view()
        held.flags.writeable = False
        facts = {"matrix": held, "labels": index.values, "_index": index, "_mean": mean, "_scale": scale, "_kept": kept}
        for name, value in facts.items():
            object.__setattr__(self, name, value)

    @property
    def m(self) -> int:
        """Features used."""
        return len(self._kept)

    @property
    def rank(self) -> int:
        """Columns of `factor`."""
        return min(self.m, len(self.labels))

    @property
    def can(self) -> Can:
        """LOW_RANK where there are fewer features than levels."""
        return Can.LOW_RANK if self.m < len(self.labels) else Can(0)

    def positions(self, levels: Array) -> Positions:
        """Position of each of `levels`; −1 where absent."""
        return self._index.positions(levels)

    def chunks(self, rows: Positions | None = None) -> Iterator[tuple[slice, Float]]:
        """(which of the m features, standardised values (len(rows)×c) / √m), a few columns at a time."""
        q = len(self.labels)
        picked: Any = slice(None) if is_everything(rows, q) else np.asarray(rows, dtype=np.intp)
        n = q if isinstance(picked, slice) else len(picked)
        width = max(1, _CHUNK_BYTES // (8 * max(n, 1)))
        root = np.sqrt(self.m)
        for start in range(0, self.m, width):
            part = slice(start, min(start + width, self.m))
            columns = self._kept[part]
            run = slice(int(columns[0]), int(columns[-1]) + 1)
            raw = self.matrix[:, run] if run.stop - run.start == len(columns) else self.matrix[:, columns]
            G = np.array(raw[picked], dtype=np.float64)
            G -= self._mean[part]
            G *= self._scale[part] / root
            yield part, G

    def block(self, rows: Positions | None = None, cols: Positions | None = None) -> Float:
        """Dense A[rows, cols], summed over chunks of features."""
        q = len(self.labels)
        left = as_rows(rows, q)
        size = len(left) * (len(left) if cols is None else len(cols))
        require(8 * size, "the covariance of features as a dense matrix", "Use factor() or matmat().")
        if cols is None:
            return self._square(left)
        right = as_rows(cols, q)
        out = np.zeros((len(left), len(right)))
        for (_, G), (_, H) in zip(self._aligned(left, right), self._aligned(right, left), strict=True):
            out += G @ H.T
        return out

    def _square(self, rows: Positions) -> Float:
        distinct, back = np.unique(rows, return_inverse=True)
        out = np.zeros((len(distinct), len(distinct)))
        for _, G in self.chunks(distinct):
            out += G @ G.T  # numpy sees the transpose and takes half the work
        if len(distinct) == len(rows) and np.array_equal(distinct, rows):
            return out
        return out[np.ix_(back, back)]

    def _aligned(self, rows: Positions, other: Positions) -> Iterator[tuple[slice, Float]]:
        """Chunks of `rows` of the width that the longer of `rows` and `other` gets."""
        pad = max(len(rows), len(other))
        width = max(1, _CHUNK_BYTES // (8 * max(pad, 1)))
        for start in range(0, self.m, width):
            part = slice(start, min(start + width, self.m))
            yield part, self._standardised(rows, part)

    def _standardised(self, rows: Positions, part: slice) -> Float:
        G = np.array(self.matrix[:, self._kept[part]][rows], dtype=np.float64)
        G -= self._mean[part]
        G *= self._scale[part] / np.sqrt(self.m)
        return G

    def sparse_block(self, rows: Positions | None = None) -> sp.csr_array:
        """A[rows, rows]; it is full."""
        return sp.csr_array(self.block(rows))

    @cached_property
    def _diagonal(self) -> Float:
        out = np.zeros(len(self.labels))
        for _, G in self.chunks():
            out += np.einsum("ij,ij->i", G, G)
        return out

    def diagonal(self, rows: Positions | None = None) -> Float:
        """diag(A)[rows]."""
        return self._diagonal.copy() if rows is None else self._diagonal[rows]

    def matmat(self, B: Float) -> Float:
        """A @ B = Σ_chunks G (Gᵀ B)."""
        out = np.zeros((len(self.labels), *B.shape[1:]))
        for _, G in self.chunks():
            out += G @ (G.T @ B)
        return out

    def restrict(self, rows: Positions) -> Covariance:
        """The covariance among the levels at `rows`; means and deviations stay those of all levels."""
        if is_everything(rows, len(self.labels)):
            return self
        return Marginal(self, rows)

    def factor(self, rows: Positions | None = None) -> Float:
        """Standardised W[rows] / √m, (len(rows)×m)."""
        n = len(self.labels) if rows is None else len(rows)
        require(8 * n * self.m, "all standardised features at once", "Use chunks() or matmat().")
        out = np.empty((n, self.m))
        for part, G in self.chunks(rows):
            out[:, part] = G
        return out

    def precision(self) -> sp.csc_array:
        """Refused: the inverse, where there is one, is dense."""
        raise CovarianceError(f"{self.describe()} has no sparse inverse: use factor() or block()")

    def logdet(self) -> float:
        """log|A|; CovarianceError where A is singular, as it is for centred features and for m < q."""
        q = len(self.labels)
        if not self.standardize and self.m >= q:
            return dense_logdet(self.block(), self.describe())
        raise CovarianceError(f"{self.describe()} is singular: its log-determinant is minus infinity")

    def components(self, rows: Positions | None = None) -> NDArray[np.intp]:
        """One group: features relate all levels."""
        return np.zeros(len(self.labels) if rows is None else len(rows), dtype=np.intp)

    def draw(self, rng: np.random.Generator, size: int = 1) -> Float:
        """(q×size) columns G b / √m with independent standard normal b."""
        out = np.zeros((len(self.labels), size))
        for _, G in self.chunks():
            out += G @ rng.standard_normal((G.shape[1], size))
        return out

    def fingerprint(self) -> str:
        """Digest of labels, standardisation and values; above 256 MiB of a sample of the values only."""
        W = self.matrix
        if W.nbytes > _HASHED_BYTES:
            step = max(1, W.shape[1] // 4096)
            W = np.ascontiguousarray(W[:: max(1, W.shape[0] // 4096), ::step])
        return digest("features", self.matrix.shape, self._index.digest, self._mean, self._scale, *bit_sums(W))

    def describe(self) -> str:
        """``features 599×1279, standardised``."""
        how = {True: "standardised", "center": "centred", False: "as given"}[self.standardize]
        return f"features {len(self.labels)}×{self.m}, {how}"

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Labels, the features as stored, and how they are standardised."""
        options = {"labels": self._index.pack(), "standardize": self.standardize}
        return options, {"matrix": self.matrix, "mean": self._mean, "scale": self._scale, "kept": self._kept}

    @classmethod
    def from_state(cls, options: Mapping[str, Any], arrays: Mapping[str, Array]) -> Features:
        """Inverse of `state`."""
        index, W = Labels.unpack(options), np.asarray(arrays["matrix"])
        kept = np.asarray(arrays["kept"], dtype=np.intp)
        sizes = {len(kept), len(arrays["mean"]), len(arrays["scale"])}
        if W.ndim != 2 or W.shape[0] != len(index) or len(sizes) > 1 or kept.min() < 0 or kept.max() >= W.shape[1]:
            raise CovarianceError(f"saved features do not fit together: {W.shape}, {len(index)} labels")
        new = object.__new__(cls)
        object.__setattr__(new, "standardize", options["standardize"])
        new._set(W, index, np.asarray(arrays["mean"]), np.asarray(arrays["scale"]), kept)
        return new


def _as_matrix(values: Any, index: Labels) -> Array:
    W = np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)
    if sp.issparse(values):
        raise CovarianceError("features are a dense matrix: give W.toarray(), or Sparse(W @ W.T / m, labels)")
    if W.ndim != 2 or W.shape[1] == 0:
        raise CovarianceError(f"features must be a levels × features matrix, not of shape {W.shape}")
    if W.shape[0] != len(index):
        raise CovarianceError(f"the features have {W.shape[0]} rows but {len(index)} labels: one label for each row")
    if W.dtype.kind not in "biuf":
        W = checks.as_float(W, index, "the features")
    if W.shape[0] < 2:
        raise CovarianceError("features of one level have no variance among levels")
    return W.astype(np.float32) if W.dtype == np.float16 else W


def _moments(W: Array, index: Labels) -> tuple[Float, Float]:
    """Mean and standard deviation (divisor q − 1) of each column, in one reading; refuses NaN and infinity."""
    q, m = W.shape
    mean, sd = np.empty(m), np.empty(m)
    width = max(1, _CHUNK_BYTES // (8 * q))
    for start in range(0, m, width):
        part = slice(start, min(start + width, m))
        G = np.array(W[:, part], dtype=np.float64)
        mean[part] = G.mean(axis=0)
        bad = np.flatnonzero(~np.isfinite(mean[part]))
        if len(bad):
            row = int(np.flatnonzero(~np.isfinite(G[:, bad[0]]))[0])
            raise CovarianceError(
                f"feature {start + int(bad[0])} of level {index.values[row]!r} is {G[row, bad[0]]}: impute missing "
                "features first, e.g. with the column's mean"
            )
        G -= mean[part]
        sd[part] = np.sqrt(np.einsum("ij,ij->j", G, G) / (q - 1))
    return mean, sd
