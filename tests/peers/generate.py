"""Random mixed models, the same to the last bit on every machine: crossed, nested, slopes, boundary, weights, offsets.

``model(i)`` is the i-th of `COUNT`. Only the raw 64-bit words of PCG64 are drawn (their stream is fixed by numpy's
compatibility policy), and made into numbers by additions, multiplications and square roots, which IEEE 754 rounds
alike everywhere; columns are then rounded to nine digits, so that a table written as text is read back exactly.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

COUNT = 560
SEED = 20_240_601
Float = NDArray[np.float64]

# Bars of random terms: effects left of the bar (i: intercept), the bar, the factor.  Factors of a layout are a, b, c.
ONE = [
    "i|a", "i|a", "ix|a", "ix|a", "ix||a", "ix||a", "x|a", "i|a x|a",
    "ixz|a", "ixz||a", "f|a", "if|a", "t|a", "it|a", "ixt|a", "ixv||a",
]  # fmt: skip
TWO = [
    "i|a i|b", "i|a i|b", "ix|a i|b", "ix|a ix|b", "ix||a i|b", "ix||a iz||b",
    "it|a i|b", "f|a i|b", "i|a i|b i|a:b", "ixz|a i|b", "i|a x|b", "ix|a it|b",
]  # fmt: skip
THREE = ["i|a i|b i|c", "ix|a i|b i|c", "i|a ix||b i|c", "it|a i|b ix|c"]
NESTED = ["i|a/b", "i|a/b", "ix|a/b", "i|a ix|a:b", "ix||a/b", "it|a i|a:b", "ix|a i|a:b"]
DEEP = ["i|a/b/c", "ix|a i|a:b i|a:b:c", "i|a i|a:b ix|a:b:c"]
FIXED = ["1", "x", "x", "x + z", "f", "f * x", "t + x + z", "0 + t", "x + t:z"]


@dataclass(frozen=True)
class Model:
    """One model with its data; `weights` and `offset` are names of columns, or empty."""

    number: int
    formula: str
    data: pd.DataFrame
    reml: bool
    weights: str
    offset: str

    @property
    def checksum(self) -> str:
        """Of formula, criterion and every cell: a change of the generator cannot go unseen."""
        head = f"{self.formula}|{self.reml}|{self.weights}|{self.offset}|{','.join(self.data)}"
        digest = hashlib.sha256(head.encode())
        for name in self.data:
            column = self.data[name]
            numeric = pd.api.types.is_float_dtype(column.dtype)
            digest.update(column.to_numpy("<f8").tobytes() if numeric else "|".join(column).encode())
        return digest.hexdigest()[:12]


class Stream:
    """Numbers from raw words."""

    def __init__(self, seed: int) -> None:
        self.bits = np.random.PCG64(seed)

    def uniform(self, n: int) -> Float:
        """On [0, 1), multiples of 2⁻⁵³."""
        words = np.asarray(self.bits.random_raw(n), dtype=np.uint64)
        return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def normal(self, n: int) -> Float:
        """Sums of twelve uniforms: mean 0, variance 1, tails to 6; nothing here depends on their exact shape."""
        total = np.zeros(n)
        for _ in range(12):
            total = total + self.uniform(n)
        return total - 6.0

    def integers(self, low: int, high: int, n: int) -> NDArray[np.int64]:
        """From low to high − 1."""
        return low + (self.uniform(n) * (high - low)).astype(np.int64)

    def between(self, low: int, high: int) -> int:
        return int(self.integers(low, high + 1, 1)[0])

    def choice(self, of: Sequence[Any]) -> Any:
        return of[self.between(0, len(of) - 1)]

    def chance(self, p: float) -> bool:
        return bool(self.uniform(1)[0] < p)

    def order(self, n: int) -> NDArray[np.int64]:
        """A permutation."""
        return np.argsort(self.uniform(n), kind="stable")


# ---- who is measured how often -----------------------------------------------------------------------------------


def group_sizes(s: Stream, n: int) -> NDArray[np.int64]:
    """Rows of each group, about n in all: equal, unequal, or many groups of one and two rows beside a few large."""
    kind, m = s.between(0, 2), s.between(2, 9)
    if kind == 0:
        return np.full(max(n // m, 4), m)
    if kind == 1:
        return s.integers(1, 2 * m, max(n // m, 4))
    tiny = s.integers(1, 3, max(n // 4, 3))
    return np.concatenate([tiny, s.integers(m, 3 * m, max(n // (4 * m), 2))])


def one_factor(s: Stream, n: int) -> list[NDArray[np.int64]]:
    sizes = group_sizes(s, n)
    return [np.repeat(np.arange(len(sizes)), sizes)]


def two_factors(s: Stream, n: int) -> list[NDArray[np.int64]]:
    """All pairs, some of them, or pairs at random (partially crossed)."""
    if s.chance(0.4):
        q, r = s.between(6, max(8, n // 6)), s.between(4, 12)
        return [s.integers(0, q, n), s.integers(0, r, n)]
    r = s.between(3, 10)
    q = max(n // r, 5)
    a, b = np.repeat(np.arange(q), r), np.tile(np.arange(r), q)
    repeats = s.between(1, 2)
    keep = s.uniform(q * r * repeats) < (1.0 if s.chance(0.4) else 0.7)
    return [np.tile(a, repeats)[keep], np.tile(b, repeats)[keep]]


def three_factors(s: Stream, n: int) -> list[NDArray[np.int64]]:
    return [s.integers(0, q, n) for q in (s.between(5, max(6, n // 8)), s.between(5, 15), s.between(3, 8))]


def nested(s: Stream, n: int, depth: int = 2) -> list[NDArray[np.int64]]:
    """Levels count from zero within each level above: only a:b tells them apart."""
    rows, units = s.between(1, 4) + (depth == 2), s.between(2, 4)
    per = rows * units ** (depth - 1)
    q = max(n // per, 5)
    total = q * per
    at = np.arange(total)
    codes = [at // per]
    for level in range(1, depth):
        below = rows * units ** (depth - 1 - level)
        codes.append((at // below) % units)
    keep = s.uniform(total) < (1.0 if s.chance(0.5) else 0.8)
    return [code[keep] for code in codes]


def deep(s: Stream, n: int) -> list[NDArray[np.int64]]:
    return nested(s, n, 3)


LAYOUTS = [
    (one_factor, ONE, 16),
    (two_factors, TWO, 12),
    (three_factors, THREE, 3),
    (nested, NESTED, 7),
    (deep, DEEP, 2),
]
SIZES = [(60, 200, 60), (200, 800, 29), (800, 3000, 8), (8000, 30000, 3)]


def weighted_choice(s: Stream, of: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    at = s.between(1, sum(item[-1] for item in of))
    for item in of:
        at -= item[-1]
        if at <= 0:
            return item
    raise AssertionError("weights are positive")


# ---- what is measured --------------------------------------------------------------------------------------------


def covariate(s: Stream, n: int) -> Float:
    """Standard, counted, in thousands, in thousandths, far from zero: scales that lme4 warns of."""
    values = s.normal(n) if s.chance(0.6) else s.integers(0, 6, n).astype(float)
    shift, scale = s.choice([(0.0, 1.0), (0.0, 1.0), (0.0, 1.0), (0.0, 1e3), (0.0, 1e-3), (50.0, 1.0), (2000.0, 3.0)])
    return shift + scale * values


def rounded(values: Float) -> Float:
    """Nine significant digits."""
    return np.array([float(f"{v:.9g}") for v in values])


def effects(letters: str, columns: dict[str, Any]) -> Float:
    """Columns of the effects that letters name, numeric ones in standard units: what the truth is made with."""
    out: list[Float] = []
    n = len(columns["x"])
    for letter in letters:
        if letter == "i":
            out.append(np.ones(n))
        elif letter in "ft":
            out += [(columns[letter] == level).astype(float) for level in np.unique(columns[letter])]
        else:
            centred = columns[letter] - math.fsum(columns[letter]) / n
            out.append(centred / math.sqrt(math.fsum(centred * centred) / n))
    return np.column_stack(out)


def contribution(s: Stream, basis: Float, codes: NDArray[np.int64], correlated: bool) -> Float:
    """Z u of one term: full rank, singular, small, or nothing at all."""
    k, q = basis.shape[1], int(codes.max()) + 1
    size = s.choice([0.0, 0.0, 0.1, 0.3, 0.6, 1.0, 1.0, 2.0, 8.0])
    if correlated:
        rank = s.between(1, k)
        B = s.normal(k * rank).reshape(k, rank) + (np.eye(k, rank) if s.chance(0.5) else 0.0)
    else:
        B = np.diag([s.choice([0.0, 0.5, 1.0]) for _ in range(k)])
    spherical = s.normal(q * B.shape[1]).reshape(q, B.shape[1])
    out = np.zeros(len(codes))
    for a in range(k):
        for r in range(B.shape[1]):
            out = out + size * B[a, r] * basis[:, a] * spherical[codes, r]
    return out


def text(bar: str) -> str:
    """ "ix||a" as ``(1 + x || a)``."""
    letters, group = bar.split("||") if "||" in bar else bar.split("|")
    names = " + ".join({"i": "1"}.get(letter, letter) for letter in letters)
    return (
        f"({names if letters[0] == 'i' else '0 + ' + names} {'||' if '||' in bar else '|'} {group.replace('/', ' / ')})"
    )


def groups(expression: str) -> list[str]:
    """ "a/b/c" → a, a:b, a:b:c."""
    parts = expression.split("/")
    return [":".join(parts[: i + 1]) for i in range(len(parts))]


def joint(factors: dict[str, NDArray[np.int64]], group: str) -> NDArray[np.int64]:
    """Codes of ``a:b`` from 0 up."""
    code = np.zeros(len(factors["a"]), dtype=np.int64)
    for name in group.split(":"):
        code = code * (int(factors[name].max()) + 1) + factors[name]
    return np.unique(code, return_inverse=True)[1]


def model(number: int) -> Model:
    """The model of this number: drawn again until no term has as many effects as there are rows."""
    s = Stream(SEED + number)
    while True:
        made = attempt(s, number)
        if made is not None:
            return made


def attempt(s: Stream, number: int) -> Model | None:
    layout, bars, _ = weighted_choice(s, LAYOUTS)
    low, high, _ = weighted_choice(s, SIZES)
    random = s.choice(bars).split()
    codes = layout(s, s.between(low, high))
    factors = dict(zip("abc", codes, strict=False))
    n = len(codes[0])
    columns: dict[str, Any] = {name: rounded(covariate(s, n)) for name in "xzv"}
    columns |= {"f": np.array(["p", "q", "r"], dtype=object)[s.integers(0, 3, n)]}
    columns |= {"t": np.array(["no", "yes"], dtype=object)[s.integers(0, 2, n)]}
    y, truly = fixed_part(s, columns), True
    for bar in random:
        letters, group = bar.replace("||", "|").split("|")
        basis = effects(letters, columns)
        for name in groups(group):
            code = joint(factors, name)
            truly = truly and n > (code.max() + 1) * basis.shape[1] and code.max() > 1
            y = y + contribution(s, basis, code, "||" not in bar)
    weights, offset = "w" if s.chance(0.2) else "", "o" if s.chance(0.15) else ""
    columns |= {"w": rounded(0.25 + 3.0 * s.uniform(n)), "o": rounded(2.0 * s.normal(n))}
    noise = s.choice([1.0, 1.0, 1.0, 1.0, 0.05]) * s.normal(n)
    y = y + (noise / np.sqrt(columns["w"]) if weights else noise) + (columns["o"] if offset else 0.0)
    columns["y"] = rounded(s.choice([1.0, 1.0, 1.0, 1e-3, 250.0]) * y) if not offset else rounded(y)
    fixed = s.choice(FIXED)
    formula = f"y ~ {fixed} + {' + '.join(text(bar) for bar in random)}"
    return finished(s, number, formula, columns, factors, weights, offset) if truly else None


def fixed_part(s: Stream, columns: dict[str, Any]) -> Float:
    """A mean that depends a little on everything."""
    mean = np.full(len(columns["x"]), s.choice([0.0, 3.0, 100.0]))
    for column, slope in zip(effects("xzft", columns).T, s.normal(7) * s.choice([0.0, 0.5, 2.0]), strict=True):
        mean = mean + column * slope
    return mean


def finished(
    s: Stream, number: int, formula: str, columns: dict[str, Any], factors: dict[str, Any], weights: str, offset: str
) -> Model:
    """The columns that the model uses, rows in another order, levels as labels."""
    used = set(formula.replace("(", " ").replace(")", " ").replace(":", " ").split())
    order = s.order(len(columns["y"])) if s.chance(0.5) else np.arange(len(columns["y"]))
    table = {name: columns[name][order] for name in ("y", "x", "z", "v", "f", "t") if name in used}
    table |= {
        name: np.array([f"{name}{c}" for c in factors[name][order]], dtype=object) for name in factors if name in used
    }
    table |= {name: columns[name][order] for name in (weights, offset) if name}
    return Model(number, formula, pd.DataFrame(table), s.chance(0.6), weights, offset)
