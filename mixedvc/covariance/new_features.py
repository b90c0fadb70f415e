"""Levels that a covariance by features does not know, related to those it knows through their own features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CovarianceError
from .base import Array, Positions
from .feature_table import match_columns, read_features, refuse_missing
from .features import Features
from .labels import Labels, named

Float = NDArray[np.float64]

_SAME = 1e-6  # of the largest in a column: features that differ by more are others (single precision is not)


@dataclass(frozen=True, eq=False)
class NewFeatures:
    """Rows of A for r new levels: A[new, known] = G_new Gᵀ / m, with the known levels' means, deviations and m.

    Parameters
    ----------
    base : Features
    values : (r, m) frame, or pair (matrix, labels)
        Columns are matched by name where both sides have names, else by position.  Levels that `base` knows may be
        among the rows if their features are the same.
    what : str
        For messages, ``"features['G']"``.

    Raises
    ------
    CovarianceError
        Other columns than those of `base` (with their names), missing values, known levels with other features.
    """

    base: Features
    values: Any = field(repr=False)
    what: str = "the new features"
    matrix: Array = field(init=False, repr=False)
    index: Labels = field(init=False, repr=False)
    columns: Positions = field(init=False, repr=False)  # column of `matrix` for each feature used

    def __post_init__(self) -> None:
        pair = isinstance(self.values, tuple) and len(self.values) == 2
        values, labels = self.values if pair else (self.values, None)
        W, index, names = read_features(values, labels, None, self.what)
        base = self.base
        columns = match_columns(names, W.shape[1], base.columns, base.kept, base.matrix.shape[1], self.what)
        for name, value in {"matrix": W, "index": index, "columns": columns}.items():
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        """Every value is finite; known levels have the features that they are known by."""
        known = self.base.positions(self.index.values)
        both = np.flatnonzero(known >= 0)
        differs = np.zeros(len(both), dtype=bool)
        for part, raw in self._raw():
            for j in np.flatnonzero(~np.isfinite(raw.sum(axis=0)))[:1]:
                refuse_missing(raw[:, j], self.index.values, self._name(part.start + int(j)))
            if len(both):
                stored = np.asarray(self.base.matrix[:, self.base.kept[part]][known[both]], dtype=np.float64)
                differs |= (np.abs(raw[both] - stored) > _SAME * np.abs(stored).max(axis=0)).any(axis=1)
        if differs.any():
            levels = self.index.values[both[differs]]
            raise CovarianceError(
                f"{self.what}: {len(levels)} levels have other features in the fit: {named(levels, 5)}. "
                "Leave them out, or give new individuals new names"
            )

    def _name(self, j: int) -> object:
        column = int(self.base.kept[j])
        return column if self.base.columns is None else repr(self.base.columns.values[column])

    def _raw(self) -> Iterator[tuple[slice, Float]]:
        """Chunks of the features used, unstandardised."""
        for part in self.base.parts(len(self.index)):
            yield part, np.asarray(self.matrix[:, self.columns[part]], dtype=np.float64)

    def positions(self, levels: Array) -> Positions:
        """Position of each of `levels` among the new ones; −1 where absent."""
        return self.index.positions(levels)

    def _both(self, rows: Positions, new: Positions) -> Iterator[tuple[Float, Float]]:
        """Chunks of the standardised features of the known levels `rows` and of those at `new`."""
        for part, G in self.base.chunks(rows, len(new)):
            yield G, self.base.standardized(self.matrix[:, self.columns[part]][new], part)

    def times(self, new: Positions, rows: Positions, B: Float) -> Float:
        """A[new, rows] @ B, (len(new), c), without forming A."""
        out = np.zeros((len(new), *B.shape[1:]))
        for G, H in self._both(rows, new):
            out += H @ (G.T @ B)
        return out

    def block(self, new: Positions, rows: Positions) -> Float:
        """A[new, rows]."""
        out = np.zeros((len(new), len(rows)))
        for G, H in self._both(rows, new):
            out += H @ G.T
        return out

    def among(self, new: Positions) -> Float:
        """A[new, new]."""
        out = np.zeros((len(new), len(new)))
        for part in self.base.parts(len(new)):
            H = self.base.standardized(self.matrix[:, self.columns[part]][new], part)
            out += H @ H.T
        return out

    def diagonal(self, new: Positions) -> Float:
        """The prior variances g gᵀ / m of the levels at `new`."""
        out = np.zeros(len(new))
        for part in self.base.parts(len(new)):
            H = self.base.standardized(self.matrix[:, self.columns[part]][new], part)
            out += np.einsum("ij,ij->i", H, H)
        return out
