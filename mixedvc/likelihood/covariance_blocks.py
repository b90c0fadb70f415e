"""Blocks of a known covariance among many small sets of its levels, without a dense matrix of all."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..covariance.base import Can, Covariance

Float = NDArray[np.float64]
_SMALL = 2000  # levels of which one dense block is cheap


def blocks_at(covariance: Covariance, positions: NDArray[np.intp]) -> Float:
    """A[p, p] (b, s, s) for each row p of `positions` (b, s), without a dense matrix of all levels."""
    b, s = positions.shape
    if Can.DENSE in covariance.can:
        A = covariance.block()
        return A[positions[:, :, None], positions[:, None, :]]
    used, where = np.unique(positions, return_inverse=True)
    where = where.reshape(b, s)
    if len(used) <= _SMALL:
        return covariance.block(used)[where[:, :, None], where[:, None, :]]
    if Can.SPARSE in covariance.can:
        links = covariance.sparse_block(used)
        i = np.broadcast_to(where[:, :, None], (b, s, s)).ravel()
        j = np.broadcast_to(where[:, None, :], (b, s, s)).ravel()
        found = links[i, j]
        return np.asarray(found.toarray() if sp.issparse(found) else found).reshape(b, s, s)
    return np.stack([covariance.block(p) for p in positions])
