"""Independent groups of rows: the connected components of all terms together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from ..covariance.base import Covariance, Positions

# the levels of one term: their covariance, their positions in it, and the level of each row (−1: none) for every
# set of effects that is independent of the others
Links = tuple[Covariance, Positions, Sequence[NDArray[np.intp]]]


def row_families(n: int, links: Sequence[Links]) -> NDArray[np.intp]:
    """(n,) label 0…B−1 of the group of each row: rows that share a level, or whose levels a covariance connects."""
    offset, pairs = n, []
    for covariance, positions, sets in links:
        group = covariance.components(positions)
        for codes in sets:
            met = np.flatnonzero(codes >= 0)
            pairs.append(np.column_stack([met, offset + group[codes[met]]]))
            offset += int(group.max()) + 1
    if not pairs:
        return np.arange(n)
    i, j = np.vstack(pairs).T
    graph = sp.coo_array((np.ones(len(i), dtype=np.int8), (i, j)), shape=(offset, offset))
    label = connected_components(graph, directed=False)[1][:n]
    there = np.zeros(int(label.max()) + 1, dtype=bool)
    there[label] = True
    return (np.cumsum(there) - 1)[label]
