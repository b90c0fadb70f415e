"""What several covariances share: selections of rows, independent groups, digests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..errors import CovarianceError
from ..linalg import dense as la
from ..linalg.roots import pivoted_root
from ..linalg.sparse_cholesky import sparse_cholesky
from .base import Array, Covariance, Positions, covariances
from .checks import PSD_CHOICES, check_shape
from .labels import Labels

Float = NDArray[np.float64]


def is_everything(rows: Positions | None, q: int) -> bool:
    """Whether `rows` are all q levels in their own order."""
    return rows is None or (len(rows) == q and bool(np.array_equal(rows, np.arange(q))))


def as_rows(rows: Positions | None, q: int) -> Positions:
    """`rows` as integers, all q where None."""
    return np.arange(q) if rows is None else np.asarray(rows, dtype=np.intp)


def relabelled(groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """Groups numbered 0…B−1."""
    return np.unique(groups, return_inverse=True)[1].astype(np.intp).reshape(groups.shape)


def selection(rows: Positions, q: int) -> sp.csr_array:
    """Sparse len(rows)×q with a one at each of `rows`; S A Sᵀ = A[rows, rows]."""
    return sp.csr_array((np.ones(len(rows)), np.asarray(rows), np.arange(len(rows) + 1)), shape=(len(rows), q))


def dense_components(A: Float) -> NDArray[np.intp]:
    """Independent group of each level of a dense A, by a search that leaves as soon as all levels are reached.

    A full matrix costs one row; B blocks cost about n²/2 looks at entries.
    """
    n = A.shape[0]
    group = np.full(n, -1, dtype=np.intp)
    rest = np.arange(n)
    count = 0
    while len(rest):
        frontier = [int(rest[0])]
        group[frontier[0]] = count
        rest = rest[1:]
        while frontier and len(rest):
            hit = A[frontier.pop(), rest] != 0.0
            reached = rest[hit]
            if len(reached):
                group[reached] = count
                frontier.extend(reached.tolist())
                rest = rest[~hit]
        count += 1
    return group


def graph_components(A: Any) -> NDArray[np.intp]:
    """Independent group of each level of a sparse A."""
    from scipy.sparse.csgraph import connected_components

    return connected_components(A, directed=False)[1].astype(np.intp)


def members(groups: NDArray[np.intp]) -> list[Positions]:
    """Positions of the levels of each group."""
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)


def draw_by_groups(cov: Covariance, rng: np.random.Generator, size: int) -> Float:
    """N(0, A) draws from a root of each independent group's block."""
    q = len(cov.labels)
    out = np.empty((q, size))
    z = rng.standard_normal((q, size))
    for rows in members(cov.components()):
        root = pivoted_root(cov.block(None if len(rows) == q else rows))
        out[rows] = root @ z[rows[: root.shape[1]]]
    return out


def dense_logdet(A: Float, what: str) -> float:
    """log|A|; CovarianceError where a Cholesky pivot is nothing but rounding."""
    try:
        L = la.cholesky(A)
    except la.NotPositiveDefinite:
        raise _singular(what) from None
    _require_pivots(np.diagonal(L) ** 2, np.diagonal(A), what)
    return la.logdet_from_cholesky(L)


def sparse_logdet(A: Any, what: str) -> float:
    """`dense_logdet` for a sparse A."""
    try:
        factor = sparse_cholesky(A)
    except la.NotPositiveDefinite:
        raise _singular(what) from None
    _require_pivots(factor.pivots, A.diagonal(), what)
    return factor.logdet


def _require_pivots(pivots: Float, diagonal: Float, what: str) -> None:
    rounding = 4.0 * len(diagonal) * np.finfo(np.float64).eps
    if pivots.min() <= rounding * diagonal.max():
        raise _singular(what)


def _singular(what: str) -> CovarianceError:
    return CovarianceError(f"{what} is singular: its log-determinant is minus infinity")


def digest(*parts: Any) -> str:
    """Short digest of texts, numbers and arrays."""
    state = hashlib.blake2b(digest_size=12)
    for part in parts:
        state.update(part.tobytes() if isinstance(part, np.ndarray) else str(part).encode())
        state.update(b"\x1f")
    return state.hexdigest()


def bit_sums(A: Array) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Sums of the entries' bit patterns along rows and along columns (modulo 2⁶⁴).

    A change of any one entry changes one of each with certainty; 12 ms for 4000×4000.
    """
    word = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}[A.dtype.itemsize]
    transposed = A.flags.f_contiguous and not A.flags.c_contiguous
    laid = A.T if transposed else A
    if not laid.flags.c_contiguous:
        laid = np.ascontiguousarray(laid)
    bits = laid.view(word)
    sums = bits.sum(axis=1, dtype=np.uint64), bits.sum(axis=0, dtype=np.uint64)
    return sums[::-1] if transposed else sums


def nest(cov: Any, name: str, options: dict[str, Any], arrays: dict[str, Array]) -> None:
    """Add the state of a covariance that another one holds, its arrays under ``name.``."""
    inner, held = cov.state()
    options[name] = {"kind": cov.kind, "options": inner}
    arrays.update({f"{name}.{key}": value for key, value in held.items()})


def unnest(name: str, options: Mapping[str, Any], arrays: Mapping[str, Array]) -> Any:
    """The covariance that `nest` wrote."""
    saved = options[name]
    held = {key[len(name) + 1 :]: value for key, value in arrays.items() if key.startswith(f"{name}.")}
    return covariances.get(saved["kind"]).from_state(saved["options"], held)


def saved_matrix(options: Mapping[str, Any], A: Any, what: str) -> Labels:
    """Labels of a saved matrix, checked against its shape."""
    index = Labels.unpack(options)
    check_shape(A.shape, len(index), what)
    if options.get("psd", "error") not in PSD_CHOICES:
        raise CovarianceError(f"{what}: psd={options['psd']!r} is not a known choice")
    return index


def sparse_state(A: Any) -> dict[str, Array]:
    """Arrays of a compressed sparse matrix."""
    return {"data": A.data, "indices": A.indices, "indptr": A.indptr}


def sparse_from_state(kind: type[Any], arrays: Mapping[str, Array], q: int) -> Any:
    """The q×q matrix that `sparse_state` wrote, with its structure checked."""
    A = kind((arrays["data"], arrays["indices"], arrays["indptr"]), shape=(q, q))
    A.check_format()
    return A
