"""Numbers as R prints them: significant digits common to a vector, fixed or scientific, p-values, abbreviations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

DIGITS = 7
WIDTH = 80
EPSILON = 2.220446049250313e-16
STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"), (0.1, "."))
LEGEND = "---\nSignif. codes:  0 ‘***’ 0.001 ‘**’ 0.01 ‘*’ 0.05 ‘.’ 0.1 ‘ ’ 1"


def is_na(value: object) -> bool:
    """None, NaN and pandas' NA."""
    return value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ == "NAType"


def _decimal(x: float, digits: int) -> tuple[int, int]:
    """Exponent of x to `digits` significant digits, and how many of the digits are needed (no trailing zeros)."""
    mantissa, exponent = f"{abs(x):.{digits - 1}e}".split("e")
    return int(exponent), max(1, len(mantissa.replace(".", "").rstrip("0")))


def common(values: Iterable[float], digits: int = DIGITS, nsmall: int = 0) -> list[str]:
    """R's ``format`` before padding: every value with the decimals that the neediest one asks for.

    Fixed notation unless scientific is narrower, each value showing at least `digits` significant digits where it has
    them.
    """
    xs = [float("nan") if is_na(v) else float(v) + 0.0 for v in values]  # + 0.0: no negative zeros
    finite = [x for x in xs if math.isfinite(x)]
    if not finite:
        return [_special(x) for x in xs]
    shapes = [_decimal(x, digits) if x else (0, 1) for x in finite]
    decimals = max(0, *(needed - 1 - exponent for exponent, needed in shapes))
    left = max(max(1, exponent + 1) + (x < 0) for (exponent, _), x in zip(shapes, finite, strict=True))
    needed = max(n for _, n in shapes)
    wide = any(abs(exponent) >= 100 for exponent, _ in shapes)
    scientific = any(x < 0 for x in finite) + needed + (needed > 1) + (5 if wide else 4)
    if left + decimals + (decimals > 0) <= scientific:
        decimals = max(decimals, nsmall)
        return [f"{x:.{decimals}f}" if math.isfinite(x) else _special(x) for x in xs]
    return [_exponential(x, needed - 1) if math.isfinite(x) else _special(x) for x in xs]


def _exponential(x: float, decimals: int) -> str:
    """``1.5e-08``: Python writes at least two digits of the exponent, as C and R do."""
    return f"{x:.{decimals}e}"


def _special(x: float) -> str:
    return "NA" if math.isnan(x) else ("Inf" if x > 0 else "-Inf")


def format_numbers(values: Iterable[float], digits: int = DIGITS, nsmall: int = 0) -> list[str]:
    """R's ``format``: `common`, padded on the left to one width."""
    texts = common(values, digits, nsmall)
    width = max((len(t) for t in texts), default=0)
    return [t.rjust(width) for t in texts]


def number(x: float, digits: int = DIGITS) -> str:
    """One number as ``cat`` writes it."""
    return common([x], digits)[0]


def rounded(x: float, digits: int) -> float:
    """``round(x, digits)``; NaN and infinities stay, a negative zero loses its sign."""
    return round(float(x), digits) + 0.0 if math.isfinite(x) else float(x)


def zapped(values: Sequence[float], digits: int) -> list[float]:
    """``zapsmall`` of R before 4.4: rounded to about `digits` digits of the largest."""
    largest = max((abs(v) for v in values if not math.isnan(v)), default=0.0)
    places = max(0, math.floor(digits - math.log10(largest) + 0.5)) if largest > 0 else digits
    return [rounded(v, places) for v in values]


def p_values(values: Sequence[float], digits: int, smallest: float = EPSILON) -> list[str]:
    """``format.pval``: small ones in scientific notation, those below `smallest` as ``< 2e-16``."""
    out = ["NA"] * len(values)
    real = [i for i, p in enumerate(values) if not math.isnan(p)]
    tiny = [i for i in real if values[i] < smallest]
    least = 1e-4 if digits > 1 else 1e-3
    seen = [i for i in real if i not in tiny]
    for group in ([i for i in seen if values[i] >= least], [i for i in seen if values[i] < least]):
        for i, text in zip(group, format_numbers([values[i] for i in group], digits), strict=True):
            out[i] = text
    shown = [len(out[i]) for i in seen]
    digits, gap = max(1, digits - 2), " "
    if shown:
        if digits > 1 and digits + 6 > max(shown):
            digits = max(1, max(shown) - 7)
        gap = "" if digits == 1 and max(shown) <= 6 else " "
    elif digits == 1:
        gap = ""
    for i in tiny:
        out[i] = f"<{gap}{number(smallest, digits)}"
    return out


def star(p: float) -> str:
    """The stars beside a p-value."""
    return next((stars for bound, stars in STARS if p <= bound), " ")


def abbreviated(names: Sequence[str], least: int) -> list[str]:
    """``abbreviate(names, minlength)``: lower-case vowels go first, from the end, then lower-case letters.

    Names that would become alike keep more letters.
    """
    out = [_shortened(name, least) for name in names]
    width = least
    while len(set(out)) < len(set(names)) and width < max(map(len, names)):
        width += 1
        alike = {short for short in out if len({n for n, s in zip(names, out, strict=True) if s == short}) > 1}
        out = [_shortened(name, width) if short in alike else short for name, short in zip(names, out, strict=True)]
    return out


def _shortened(name: str, least: int) -> str:
    text = name.lstrip(" ")
    spaces = text.count(" ")

    def drop(condition: object) -> bool:
        """Remove matching letters from the end; True once the text is short enough."""
        nonlocal text
        for i in range(len(text) - 1, 0, -1):
            if len(text) - spaces <= least:
                return True
            if condition(text, i):  # type: ignore[operator]
                text = text[:i] + text[i + 1 :]
        return len(text) - spaces <= least

    if len(text) > least:
        for condition in (_last_vowel, _inner_vowel, _last_lower, _inner_lower, _inner):
            if drop(condition):
                break
    return text.replace(" ", "") if len(text) > least else text


def _inner(text: str, i: int) -> bool:
    return text[i] != " " and text[i - 1] != " "


def _last(text: str, i: int) -> bool:
    return text[i - 1] != " " and (i + 1 == len(text) or text[i + 1] == " ")


def _last_vowel(text: str, i: int) -> bool:
    return text[i] in "aeiou" and _last(text, i)


def _inner_vowel(text: str, i: int) -> bool:
    return text[i] in "aeiou" and _inner(text, i)


def _last_lower(text: str, i: int) -> bool:
    return text[i].islower() and _last(text, i)


def _inner_lower(text: str, i: int) -> bool:
    return text[i].islower() and _inner(text, i)
