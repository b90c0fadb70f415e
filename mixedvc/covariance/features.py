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
from ..linalg.products import add_gram, mirror_lower
from . import checks
from .base import Array, Can, Covariance, Positions, covariances
from .common import as_rows, bit_sums, dense_logdet, digest, is_everything
from .feature_table import CHUNK_BYTES, column_moments, read_features
from .labels import Labels, named
from .marginal import Marginal

Float = NDArray[np.float64]
Standardize = bool | Literal["sample", "center"]

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
    matrix : (q, m) array or frame
        One row a level, one column a feature; no missing values.
    labels : (q,) array-like of hashable, optional
        Names of the rows; the frame's index by default.
    standardize : {True, "sample", "center", False}
        True: columns minus their mean, divided by their standard deviation (divisor q), so that the mean diagonal of A
        is exactly 1; "sample": the same with divisor q − 1, R's ``scale()``, which makes A smaller and its variance
        larger by q/(q − 1); "center": columns minus their mean; False: as they are.  Constant columns are dropped
        unless False.
    names : (m,) array-like of hashable, optional
        Names of the columns; the frame's columns by default.

    Attributes
    ----------
    names : (m,) object or None
        Of all columns, those dropped included.
    mean, scale : (m,)
        Of each column used (`kept`): its standardised value is (W − mean) × scale.

    Raises
    ------
    CovarianceError
        Where a value is missing or infinite, no column varies, or a name stands twice.

    Warns
    -----
    CovarianceWarning
        Where constant columns were dropped, with their number.

    Examples
    --------
    >>> import numpy as np
    >>> G = Features(np.array([[0, 2], [1, 0], [2, 1]]), ["a", "b", "c"])
    >>> G.block().round(2)
    array([[ 1.5 , -0.75, -0.75],
           [-0.75,  0.75,  0.  ],
           [-0.75,  0.  ,  0.75]])
    """

    matrix: Array = field(repr=False)
    labels: NDArray[np.object_] = None  # type: ignore[assignment]  # the frame's index takes its place
    standardize: Standardize = True
    names: NDArray[np.object_] | None = field(default=None, repr=False)
    mean: Float = field(init=False, repr=False)
    scale: Float = field(init=False, repr=False)
    kept: NDArray[np.intp] = field(init=False, repr=False)
    index: Labels = field(init=False, repr=False)
    columns: Labels | None = field(init=False, repr=False)

    kind = "features"

    def __post_init__(self) -> None:
        if self.standardize not in (True, False, "sample", "center"):
            raise OptionError(f"standardize must be True, 'sample', 'center' or False, not {self.standardize!r}")
        W, index, columns = read_features(self.matrix, self.labels, self.names, "the features")
        if len(index) < 2:
            raise CovarianceError("features of one level have no variance among levels")
        self._set(W, index, columns)
        self._learn(None)
        if not self._diagonal.any():
            raise CovarianceError("the features are zero everywhere: a term with them has no variance")

    def _set(self, W: Array, index: Labels, columns: Labels | None) -> None:
        held = W.view()
        held.flags.writeable = False
        names = None if columns is None else columns.values
        self._hold(matrix=held, labels=index.values, index=index, columns=columns, names=names)

    def _hold(self, **facts: Any) -> None:
        for name, value in facts.items():
            object.__setattr__(self, name, value)

    def _learn(self, rows: Positions | None) -> None:
        """Means, deviations and constant columns among the levels at `rows`."""
        count = len(self.index) if rows is None else len(rows)
        mean, sd = column_moments(self.matrix, self.index, self.columns, rows)
        scale = np.maximum(np.abs(mean), 1e-300)
        constant = (sd <= _CONSTANT * scale) if self.standardize else np.zeros(len(sd), dtype=bool)
        kept = np.flatnonzero(~constant)
        if len(kept) == 0:
            raise CovarianceError(f"none of the {len(sd)} features varies among the {count} levels")
        if len(kept) < len(sd):
            which = np.flatnonzero(constant) if self.columns is None else self.columns.values[constant]
            checks.warn(
                f"{len(sd) - len(kept)} of {len(sd)} features are constant and were dropped, at column "
                f"{named(which.tolist(), 5)}; A is divided by the {len(kept)} left"
            )
        centre = mean if self.standardize else np.zeros_like(mean)
        divide = {True: sd, "sample": sd * np.sqrt(count / (count - 1))}.get(self.standardize, np.ones_like(sd))
        self._hold(mean=centre[kept], scale=1.0 / divide[kept], kept=kept)

    def standardized_by(self, rows: Positions) -> Features:
        """The same features with the means, deviations and constant columns of the levels at `rows` alone."""
        if not self.standardize:
            return self
        if len(rows) < 2:
            raise CovarianceError("features of one level have no variance among levels")
        new = object.__new__(Features)
        new._hold(standardize=self.standardize)
        new._set(self.matrix, self.index, self.columns)
        new._learn(np.asarray(rows, dtype=np.intp))
        return new

    @property
    def m(self) -> int:
        """Features used."""
        return len(self.kept)

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
        return self.index.positions(levels)

    def chunks(self, rows: Positions | None = None, room: int = 0) -> Iterator[tuple[slice, Float]]:
        """(which of the m features, standardised values (len(rows)×c) / √m), a few columns at a time.

        As many as take 32 MiB, or would with `room` rows where that is more than there are.
        """
        q = len(self.labels)
        picked: Any = slice(None) if is_everything(rows, q) else np.asarray(rows, dtype=np.intp)
        n = q if isinstance(picked, slice) else len(picked)
        for part in self.parts(max(n, room)):
            columns = self.kept[part]
            run = slice(int(columns[0]), int(columns[-1]) + 1)
            raw = self.matrix[:, run] if run.stop - run.start == len(columns) else self.matrix[:, columns]
            yield part, self.standardized(raw[picked], part)

    def parts(self, n: int) -> Iterator[slice]:
        """The m features in runs of which n rows take 32 MiB."""
        width = max(1, CHUNK_BYTES // (8 * max(n, 1)))
        for start in range(0, self.m, width):
            yield slice(start, min(start + width, self.m))

    def standardized(self, raw: Array, part: slice) -> Float:
        """Values (r×c) of the features `part`, as a fresh array: standardised as these are, divided by √m."""
        G: Float = np.subtract(raw, self.mean[part], dtype=np.float64)
        G *= self.scale[part] / np.sqrt(self.m)
        return G

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
        room = max(len(left), len(right))
        for (_, G), (_, H) in zip(self.chunks(left, room), self.chunks(right, room), strict=True):
            out += G @ H.T
        return out

    def _square(self, rows: Positions) -> Float:
        distinct, back = np.unique(rows, return_inverse=True)
        out = np.zeros((len(distinct), len(distinct)), order="F")
        for _, G in self.chunks(distinct):
            out = add_gram(out, G)
        mirror_lower(out)
        if len(distinct) == len(rows) and np.array_equal(distinct, rows):
            return out
        return out[np.ix_(back, back)]

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
        return digest("features", self.matrix.shape, self.index.digest, self.mean, self.scale, *bit_sums(W))

    def describe(self) -> str:
        """``features 599×1279, standardised``."""
        how = {True: "standardised", "sample": "standardised (n - 1)", "center": "centred", False: "as given"}[
            self.standardize
        ]
        return f"features {len(self.labels)}×{self.m}, {how}"

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Labels, names, the features as stored, and how they are standardised."""
        names = None if self.columns is None else self.columns.pack()
        options = {"labels": self.index.pack(), "standardize": self.standardize, "names": names}
        return options, {"matrix": self.matrix, "mean": self.mean, "scale": self.scale, "kept": self.kept}

    @classmethod
    def from_state(cls, options: Mapping[str, Any], arrays: Mapping[str, Array]) -> Features:
        """Inverse of `state`."""
        index, W = Labels.unpack(options), np.asarray(arrays["matrix"])
        columns = None if options.get("names") is None else Labels.unpack(options, "names")
        kept = np.asarray(arrays["kept"], dtype=np.intp)
        sizes = {len(kept), len(arrays["mean"]), len(arrays["scale"])}
        fits = W.ndim == 2 and W.shape[0] == len(index) and (columns is None or len(columns) == W.shape[1])
        if not fits or len(sizes) > 1 or kept.min() < 0 or kept.max() >= W.shape[1]:
            raise CovarianceError(f"saved features do not fit together: {W.shape}, {len(index)} labels")
        new = object.__new__(cls)
        new._hold(standardize=options["standardize"])
        new._set(W, index, columns)
        new._hold(mean=np.asarray(arrays["mean"]), scale=np.asarray(arrays["scale"]), kept=kept)
        return new
