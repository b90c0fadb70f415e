"""Weights that compare k means: pairs, against a control, polynomials, against their average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .hypotheses import named_rows

Float = NDArray[np.float64]
METHODS = ("pairwise", "revpairwise", "trt.vs.ctrl", "consec", "poly", "eff")
DEFAULT_ADJUST = {"pairwise": "tukey", "revpairwise": "tukey", "trt.vs.ctrl": "mvt", "consec": "mvt", "eff": "fdr"}
DEGREES = ("linear", "quadratic", "cubic", "quartic")


def comparison_weights(
    method: str | Mapping[str, Any], labels: Sequence[str], ref: int | str | None = None
) -> tuple[Float, tuple[str, ...]]:
    """Weights (c, k) and names of the contrasts of k means.

    Parameters
    ----------
    method : str or mapping
        "pairwise" (a - b), "revpairwise" (b - a), "trt.vs.ctrl" (each minus `ref`), "consec" (each minus the one
        before), "poly" (orthogonal polynomials in whole numbers, for equal steps), "eff" (each minus their average),
        or a dictionary from names to k weights.
    labels : sequence of str
        Of the means.
    ref : int or str, optional
        The control, by label or place; the first by default.
    """
    k, eye = len(labels), np.eye(len(labels))
    if isinstance(method, Mapping):
        return named_rows(method, k)
    if method not in METHODS:
        raise OptionError(f"method={method!r} is not one of {', '.join(map(repr, METHODS))} or a dictionary of weights")
    if ref is not None and method != "trt.vs.ctrl":
        raise OptionError(f"ref= is the control of 'trt.vs.ctrl'; method={method!r} has none")
    if method == "pairwise":
        pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
    elif method == "revpairwise":
        pairs = [(i, j) for i in range(k) for j in range(i)]
    elif method == "consec":
        pairs = [(i, i - 1) for i in range(1, k)]
    elif method == "trt.vs.ctrl":
        base = _control(labels, ref)
        pairs = [(i, base) for i in range(k) if i != base]
    elif method == "poly":
        K = polynomials(k)
        return K, tuple(DEGREES[d] if d < 4 else f"degree {d + 1}" for d in range(len(K)))
    else:
        return eye - 1.0 / k, tuple(f"{label} effect" for label in labels)
    K = np.array([eye[i] - eye[j] for i, j in pairs]).reshape(len(pairs), k)
    return K, tuple(f"{labels[i]} - {labels[j]}" for i, j in pairs)


def _control(labels: Sequence[str], ref: int | str | None) -> int:
    if ref is None:
        return 0
    if ref in labels:
        return list(labels).index(str(ref))
    if isinstance(ref, int) and 0 <= ref < len(labels):
        return ref
    raise OptionError(f"ref={ref!r} is none of the means {', '.join(labels)}")


def polynomials(k: int, most: int = 6) -> Float:
    """(min(k−1, most), k) orthogonal polynomials on 1…k in the smallest whole numbers (Fisher & Yates's tables)."""
    x = [Fraction(2 * i - (k - 1)) for i in range(k)]
    basis: list[list[Fraction]] = [[Fraction(1)] * k]
    for degree in range(1, min(k - 1, most) + 1):
        row = [value**degree for value in x]
        for other in basis:
            share = _dot(row, other) / _dot(other, other)
            row = [a - share * b for a, b in zip(row, other, strict=True)]
        basis.append(row)
    return np.array([_whole(row) for row in basis[1:]], dtype=np.float64).reshape(-1, k)


def _dot(a: list[Fraction], b: list[Fraction]) -> Fraction:
    return sum((u * v for u, v in zip(a, b, strict=True)), Fraction(0))


def _whole(row: list[Fraction]) -> list[int]:
    scale = 1
    for value in row:
        scale = scale * value.denominator // gcd(scale, value.denominator)
    numbers = [int(value * scale) for value in row]
    common = gcd(*numbers)
    return [number // common for number in numbers]
