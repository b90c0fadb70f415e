"""Checks of the numbers users write in priors, and their plain form: floats and tuples, that hash and store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..linalg.stacks import stacked_cholesky

Float = NDArray[np.float64]
Plain = float | tuple[Any, ...]


def number(value: Any, what: str, *, above: float = -np.inf, least: float = -np.inf) -> float:
    """A finite float greater than `above` and at least `least`."""
    bound = f" above {above:g}" if np.isfinite(above) else f" of at least {least:g}" if np.isfinite(least) else ""
    wrong = OptionError(f"{what}={value!r:.60}: a finite number{bound} is needed")
    if isinstance(value, (bool, str)) or np.ndim(value) != 0:
        raise wrong
    try:
        out = float(value)
    except (TypeError, ValueError):
        raise wrong from None
    if not np.isfinite(out) or out <= above or out < least:
        raise wrong
    return out


def plain(value: Any, what: str) -> Plain:
    """Numbers, lists, arrays, data frames → a float or nested tuples of floats, all finite."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise OptionError(f"{what}={value!r:.60}: numbers are needed") from None
    if isinstance(value, (bool, str)) or not np.isfinite(array).all() or array.size == 0:
        raise OptionError(f"{what}={value!r:.60}: finite numbers are needed")
    return as_tuples(array)


def as_tuples(array: Float) -> Plain:
    """Nested tuples; a float for an array without dimensions."""
    return float(array) if array.ndim == 0 else tuple(as_tuples(row) for row in array)


def covariance(value: Any, k: int, what: str, of: str, *, semi: bool = False) -> Float:
    """(k, k) symmetric positive definite matrix from a number (times the identity), k variances or a matrix.

    With `semi` zeros on the diagonal are allowed where the whole row is zero.
    """
    A = np.asarray(value, dtype=np.float64)
    if A.ndim == 0:
        A = A * np.eye(k)
    elif A.ndim == 1 and len(A) == k:
        A = np.diag(A)
    if A.shape != (k, k):
        raise OptionError(f"{what} is {size_of(A)}, but {of}: {size(k)} is needed")
    if not np.allclose(A, A.T, rtol=1e-10, atol=0.0):
        raise OptionError(f"{what} is not symmetric: entries {unequal(A)}")
    A = 0.5 * (A + A.T)
    rest = np.flatnonzero(A.any(axis=1)) if semi else np.arange(k)
    if len(rest) and not stacked_cholesky(A[None, rest[:, None], rest])[1][0]:
        raise OptionError(f"{what} is not positive definite: {why_indefinite(A)}")
    return A


def vector(value: Any, k: int, what: str, of: str) -> Float:
    """(k,) numbers from one number for all, or k of them."""
    a = np.asarray(value, dtype=np.float64)
    if a.ndim == 0:
        return np.full(k, float(a))
    if a.shape != (k,):
        raise OptionError(f"{what} has {size_of(a)} numbers, but {of}: one number or {k} are needed")
    return a


def size(k: int) -> str:
    """Which shapes fit."""
    return "a number" if k == 1 else f"a number or a {k}×{k} matrix"


def size_of(A: Float) -> str:
    """``2×3``; ``3`` for a vector."""
    return "×".join(map(str, A.shape))


def unequal(A: Float) -> str:
    """The first pair of entries that should be equal."""
    a, b = map(int, np.argwhere(~np.isclose(A, A.T, rtol=1e-10, atol=0.0))[0])
    return f"[{a}, {b}] = {A[a, b]:g} and [{b}, {a}] = {A[b, a]:g} differ"


def why_indefinite(A: Float) -> str:
    """A variance that is not positive, a correlation of one or more, else the combination."""
    d = np.diagonal(A)
    if (d <= 0).any():
        a = int(np.argmin(d))
        return f"its diagonal entry {a + 1} is {d[a]:g}"
    C = np.abs(A / np.sqrt(d[:, None] * d) - np.eye(len(A)))
    a, b = map(int, np.unravel_index(int(np.argmax(C)), C.shape))
    if C[a, b] >= 1 - 1e-12:
        return f"entry [{a}, {b}] = {A[a, b]:g} means a correlation of {A[a, b] / np.sqrt(d[a] * d[b]):.4g}"
    return "its correlations contradict each other"


def joined(words: Sequence[str]) -> str:
    """``'a', 'b' and 'c'``."""
    quoted = [repr(word) for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
