"""Known covariances of every kind among given labels, for tests; and the same matrix stored in every way it can be."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..errors import CovarianceWarning

Float = NDArray[Any]

KINDS = ("identity", "full", "negative", "clones", "low rank", "blocks", "precision")


def matrix(kind: str, q: int, rng: np.random.Generator) -> Float:
    """A covariance matrix (q×q) of one of `KINDS`; "clones" and "low rank" are singular."""
    if kind == "identity":
        return np.eye(q)
    if kind == "blocks":
        return _blocks(q, rng)
    if kind == "precision":
        D = np.diff(np.eye(q), axis=0)
        return np.linalg.inv(D.T @ D + 0.5 * np.eye(q))
    width = {"full": 2 * q, "negative": q + 2, "clones": q, "low rank": max(1, q // 3)}[kind]
    W = rng.standard_normal((q, width)) if kind != "full" else rng.uniform(0.2, 1.0, (q, width))
    if kind == "clones":
        W[q // 2 :] = W[: q - q // 2]
    return W @ W.T / width


def _blocks(q: int, rng: np.random.Generator) -> Float:
    A, start = np.zeros((q, q)), 0
    while start < q:
        size = min(int(rng.integers(1, 4)), q - start)
        A[start : start + size, start : start + size] = 0.5
        start += size
    np.fill_diagonal(A, 1.0)
    return A


def covariance(kind: str, labels: Any, rng: np.random.Generator) -> Any:
    """A Covariance of one of `KINDS`, stored in the way natural for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CovarianceWarning)  # unusual on purpose
        return _stored(kind, matrix(kind, len(labels), rng), labels)


def _stored(kind: str, A: Float, labels: Any) -> Any:
    from .. import covariance as known

    if kind == "identity":
        return known.Identity(labels)
    if kind == "blocks":
        return known.Sparse(sp.csr_array(A), labels)
    if kind == "precision":
        return known.Precision(sp.csc_array(np.round(np.linalg.inv(A), 12)), labels)
    if kind == "low rank":
        values, vectors = np.linalg.eigh(A)
        keep = values > 1e-10 * values[-1]
        W = vectors[:, keep] * np.sqrt(values[keep] * keep.sum())
        return known.Features(W, labels, standardize=False)
    return known.Dense(A, labels)


def stored_in_every_way(A: Float, labels: Any) -> dict[str, Any]:
    """The covariance A as dense, sparse, features, and precision where A is regular."""
    from .. import covariance as known

    values, vectors = np.linalg.eigh(A)
    root = vectors * np.sqrt(np.maximum(values, 0.0) * len(A))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CovarianceWarning)
        out = {
            "dense": known.Dense(A, labels),
            "sparse": known.Sparse(sp.csr_array(A), labels),
            "features": known.Features(root, labels, standardize=False),
        }
        if values[0] > 1e-8 * values[-1]:
            out["precision"] = known.Precision(sp.csc_array(np.linalg.inv(A)), labels)
    return out


def known_dense(A: Float, labels: Any) -> Any:
    """A as a dense covariance, whatever its scale."""
    from ..covariance import Dense

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CovarianceWarning)
        return Dense(A, labels)
