"""Numbers as the summary prints them."""

from __future__ import annotations

import math


def significant(x: float, digits: int = 4) -> str:
    """`digits` significant digits, never fewer than the whole part; scientific outside 1e-5 … 1e7; blank for NaN."""
    if math.isnan(x):
        return ""
    if math.isinf(x):
        return "inf" if x > 0 else "-inf"
    if x == 0:
        return "0"
    size = abs(float(f"{x:.{digits - 1}e}"))
    if not 1e-5 <= size < 1e7:
        return f"{x:.{digits - 1}e}"
    return f"{x:.{max(0, digits - 1 - math.floor(math.log10(size)))}f}"


def fixed_row(coef: float, se: float, low: float, high: float) -> tuple[str, str, str, str]:
    """Coefficient, standard error and interval (one decimal less): four decimals where they suit the error.

    They suit from 0.01 to 10,000; otherwise the error has five digits and the row its decimals.
    """
    size = se if se > 0 and math.isfinite(se) else abs(coef)
    places = 4 if not size > 0 or 0.01 <= size < 1e4 else 4 - math.floor(math.log10(size))
    if places > 8 or max(abs(coef), size) >= 1e9:
        return f"{coef:.5e}", f"{se:.4e}", f"{low:.4e}", f"{high:.4e}"
    places, fewer = max(0, places), max(0, places - 1)
    error = f"{se:.{places}f}" if math.isfinite(se) else ""
    limits = [f"{x:.{fewer}f}" if math.isfinite(x) else significant(x) for x in (low, high)]
    return f"{coef:.{places}f}", error, limits[0], limits[1]


def p_value(p: float) -> str:
    """Three decimals, or ``<0.001``."""
    if math.isnan(p):
        return ""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def percent(share: float) -> str:
    """A share as per cent; blank for NaN."""
    return "" if math.isnan(share) else f"{round(100 * share, 1) + 0.0:.1f}%"


def t_value(t: float) -> str:
    """Three decimals; four digits where the error is next to nothing."""
    return "" if math.isnan(t) else f"{t:.3f}" if abs(t) < 1e6 else f"{t:.3e}"


def info(x: float, decimals: int) -> str:
    """A log-likelihood or criterion."""
    return f"{x:.{decimals}f}" if abs(x) < 1e9 else f"{x:.8g}"
