"""What a matrix must be before it counts as a covariance, and what deserves a second look."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import errors
from ..errors import CovarianceError, OptionError
from ..linalg import dense as la
from ..linalg.memory import require
from ..linalg.roots import shifted_cholesky_fails
from .base import Array
from .labels import Labels, named

Psd = Literal["error", "clip", "jitter", "allow"]
Symmetrize = bool | Literal["lower", "upper"]
Float = NDArray[np.float64]

PSD_CHOICES = ("error", "clip", "jitter", "allow")
_TILE = 256
ASYMMETRY = 1e-8  # of the largest |entry|
_ROUNDING = 1e-6  # eigenvalues of a matrix printed with six digits move by about this times √n
_SAMPLE = 256  # rows looked at by the heuristics


def check_options(psd: str, symmetrize: Any) -> None:
    """Refuse values outside the options' domains."""
    if psd not in PSD_CHOICES:
        raise OptionError(f"psd must be one of {', '.join(map(repr, PSD_CHOICES))}, not {psd!r}")
    if symmetrize not in (True, False, "lower", "upper"):
        raise OptionError(f"symmetrize must be True, False, 'lower' or 'upper', not {symmetrize!r}")


def check_shape(shape: tuple[int, ...], n_labels: int, what: str) -> None:
    """Square, and one label a row."""
    if len(shape) != 2 or shape[0] != shape[1]:
        raise CovarianceError(f"{what} must be a square matrix, its shape is {' × '.join(map(str, shape))}")
    if shape[0] != n_labels:
        raise CovarianceError(f"{what} has {shape[0]} rows but {n_labels} labels: give one label for each row")
    if shape[0] == 0:
        raise CovarianceError(f"{what} is empty: it has no rows")


def as_float(values: Any, index: Labels, what: str) -> Float:
    """`values` as float64: the same memory where it is float64 already, else a converted copy."""
    A = np.asarray(values)
    if A.dtype == np.float64:
        return A
    if A.dtype.kind == "c":
        raise CovarianceError(f"{what} is complex: a covariance is real")
    if A.dtype.kind in "biuf":
        return A.astype(np.float64)
    try:
        return A.astype(np.float64)
    except (TypeError, ValueError):
        raise CovarianceError(_not_a_number(A, index, what)) from None


def _not_a_number(A: Array, index: Labels, what: str) -> str:
    for place in np.ndindex(A.shape):
        try:
            float(A[place])
        except (TypeError, ValueError):
            at = " and ".join(repr(index.values[i]) for i in place if i < len(index))
            return f"{what} holds something that is not a number between {at}: {A[place]!r:.60}"
    return f"{what} has the type {A.dtype}, which does not convert to numbers"


def symmetric(A: Float, index: Labels, what: str, symmetrize: Symmetrize) -> Float:
    """`A` if finite and symmetric to rounding; else the copy that `symmetrize` asks for, or CovarianceError."""
    if symmetrize in ("lower", "upper"):
        A = mirrored(A, lower=symmetrize == "lower")
    require_finite(A, index, what)
    scale = largest(A)
    if scale == 0.0:
        raise CovarianceError(f"{what} is zero everywhere: a term with it has no variance")
    worst, i, j = asymmetry(A)
    if worst <= ASYMMETRY * scale:
        return A
    _refuse_triangle(A, what)
    if symmetrize:
        return 0.5 * (A + A.T)
    a, b = index.values[i], index.values[j]
    raise CovarianceError(
        f"{what} is not symmetric: it has {A[i, j]:.6g} between {a!r} and {b!r} but {A[j, i]:.6g} between {b!r} and "
        f"{a!r}, the largest difference. If that is rounding, Dense(A, labels, symmetrize=True) takes the mean"
    )


def require_finite(A: Float, index: Labels, what: str) -> None:
    """CovarianceError with the first pair of labels that has NaN or infinity."""
    with np.errstate(all="ignore"):
        bad = np.flatnonzero(~np.isfinite(A.sum(axis=1)))
    for i in bad:  # a sum may overflow where every entry is finite
        columns = np.flatnonzero(~np.isfinite(A[i]))
        if len(columns):
            a, b = index.values[i], index.values[columns[0]]
            raise CovarianceError(
                f"{what} has {A[i, columns[0]]} between {a!r} and {b!r}: every entry must be a finite number. "
                "Drop the levels whose relationship is unknown, or fill in the value"
            )


def largest(A: Float) -> float:
    """max |A_ij| without an n×n temporary."""
    return float(max(A.max(), -A.min()))


def asymmetry(A: Float) -> tuple[float, int, int]:
    """max |A_ij − A_ji| and where, tile by tile: the cache holds a tile and its mirror image."""
    n = A.shape[0]
    worst, where = 0.0, (0, 0)
    work = np.empty((_TILE, _TILE))
    for i in range(0, n, _TILE):
        for j in range(0, i + 1, _TILE):
            tile = A[i : i + _TILE, j : j + _TILE]
            gap = np.subtract(tile, A[j : j + _TILE, i : i + _TILE].T, out=work[: tile.shape[0], : tile.shape[1]])
            here = max(gap.max(), -gap.min())
            if here > worst:
                at = np.unravel_index(np.abs(gap).argmax(), gap.shape)
                worst, where = float(here), (i + int(at[0]), j + int(at[1]))
    return worst, *where


def mirrored(A: Float, lower: bool) -> Float:
    """The symmetric matrix whose lower (upper) triangle is A's."""
    triangle = np.tril(A) if lower else np.triu(A)
    return la.symmetrize_lower(triangle)


def _refuse_triangle(A: Float, what: str) -> None:
    for filled, empty in (("lower", "upper"), ("upper", "lower")):
        other = (A[i, i + 1 :] if filled == "lower" else A[i, :i] for i in range(A.shape[0]))
        if not any(row.any() for row in other):
            raise CovarianceError(
                f"{what} has only its {filled} triangle filled: the {empty} one is zero. "
                f"Dense(A, labels, symmetrize={filled!r}) mirrors it; so does A + A.T - np.diag(np.diag(A))"
            )


def check_diagonal(diagonal: Float, index: Labels, what: str, size: float = 0.0) -> None:
    """Variances: none negative, not all zero (to rounding beside entries of absolute value `size`)."""
    if np.abs(diagonal).max() <= 1e-9 * size:
        diagonal = np.zeros(len(diagonal))
    negative = np.flatnonzero(diagonal < 0)
    if len(negative):
        raise CovarianceError(
            f"{what} has a negative variance, {diagonal[negative[0]]:.6g}, for {named(index.values[negative])}"
        )
    if not diagonal.any():
        raise CovarianceError(
            f"{what} looks like a distance: its diagonal is zero and the rest is not. A covariance is large for "
            "levels that are alike; centre the squared distances, -J D² J / 2, to turn one into the other"
        )


def tolerance(diagonal: Float) -> float:
    """Smallest eigenvalue, below zero, that rounding to six digits explains."""
    return _ROUNDING * float(np.sqrt(len(diagonal))) * float(diagonal.mean())


def psd(A: Float, what: str, choice: Psd) -> Float:
    """`A` if positive semi-definite to rounding; else what `choice` says: an error, a repaired copy, or A itself."""
    if choice == "allow":
        return A
    diagonal = np.diagonal(A)
    allowed = tolerance(diagonal)
    require(8 * A.size, f"checking that {what} is positive semi-definite", "psd='allow' leaves the check out.")
    if not shifted_cholesky_fails(A, allowed):
        return A
    values = la.eigvalsh(A)
    if values[0] >= -allowed:
        return A
    if choice == "error":
        raise CovarianceError(_indefinite(values, allowed, what))
    if choice == "clip":
        warn(f"{what}: {int((values < 0).sum())} negative eigenvalues, the smallest {values[0]:.4g}, were set to zero")
        return la.nearest_psd(A)
    amount = -float(values[0]) + 1e-8 * float(diagonal.mean())
    warn(f"{what}: {amount:.4g} was added to its diagonal, its smallest eigenvalue was {values[0]:.4g}")
    out = np.array(A)
    out[np.diag_indices_from(out)] += amount
    return out


def _indefinite(values: Float, allowed: float, what: str) -> str:
    below = values[values < -allowed]
    shown = ", ".join(f"{value:.4g}" for value in below[:5]) + (" …" if len(below) > 5 else "")
    return (
        f"{what} is not positive semi-definite: {len(below)} of {len(values)} eigenvalues are negative ({shown}; the "
        f"largest is {values[-1]:.4g}). Dense(A, labels, psd='clip') sets them to zero, psd='jitter' adds "
        f"{-values[0]:.4g} to the diagonal, psd='allow' keeps the matrix for methods that can use it"
    )


def second_look(diagonal: Float, sample: Float, at: NDArray[np.intp], what: str) -> None:
    """Warn of a covariance on an unusual scale, or one that looks like its inverse.

    Parameters
    ----------
    diagonal : (q,)
    sample : (s, q)
        Rows `at` of the matrix.
    """
    mean = float(diagonal.mean())
    if 0.4 <= mean <= 0.6 and float(diagonal.min()) >= 0.4:
        warn(
            f"{what} has a mean diagonal of {mean:.3g}, like a kinship matrix. Its variance component is then twice "
            "the additive one and heritability is off: multiply the matrix by 2 for the relationship scale"
        )
    elif not 0.2 <= mean <= 5.0:
        warn(
            f"{what} has a mean diagonal of {mean:.4g}, not near 1. Its variance component and every share of "
            f"variance depend on that scale: divide the matrix by {mean:.4g} to compare components"
        )
    if _looks_like_precision(diagonal, sample, at):
        warn(
            f"{what} looks like a precision (inverse covariance): mostly zeros, negative off the diagonal, rows that "
            "nearly sum to zero. If it is, give it as Precision(A, labels)"
        )


def sample_rows(q: int) -> NDArray[np.intp]:
    """Rows spread evenly over q for the heuristics."""
    return np.unique(np.linspace(0, q - 1, min(q, _SAMPLE)).astype(np.intp))


def _looks_like_precision(diagonal: Float, sample: Float, at: NDArray[np.intp]) -> bool:
    q = len(diagonal)
    if q < 3:
        return False
    off = np.array(sample)
    off[np.arange(len(at)), at] = 0.0
    scale = float(diagonal.mean())
    filled = np.abs(off) > 1e-9 * scale
    if not filled.any() or filled.sum() > 0.5 * off.size:
        return False
    mostly_negative = (off[filled] < 0).mean() > 0.5
    sums = np.abs(off.sum(axis=1) + diagonal[at])
    return bool(mostly_negative and np.median(sums / diagonal[at].clip(min=1e-300)) < 0.75)


def warn(message: str) -> None:
    """A CovarianceWarning that points at the caller's line."""
    errors.warn(message, errors.CovarianceWarning)
