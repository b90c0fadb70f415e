"""How the pictures look: axes made on demand, Okabe and Ito's colours (told apart by every common colour vision)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import MissingExtra, OptionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#1b1b1b"
GREY = "#8c8c8c"
BAND = "#d9d9d9"
BLUE = "#0072B2"
ORANGE = "#D55E00"


def axes(n: int, given: Any, what: str, width: float, height: float, *, across: int | None = None) -> list[Axes]:
    """`n` axes side by side, or in rows of `across` (of that height each): the user's, checked, or a new figure's.

    Raises
    ------
    MissingExtra
        matplotlib is not installed.
    OptionError
        Not as many axes as the picture has panels.
    """
    try:
        import matplotlib.pyplot as plt
        from matplotlib.axes import Axes
    except ImportError:
        raise MissingExtra("matplotlib", "plots", what) from None
    if given is None:
        columns = across or n
        down = -(-n // columns)
        figure, made = plt.subplots(down, columns, figsize=(width, down * height), layout="constrained", squeeze=False)
        for spare in made.ravel()[n:]:
            figure.delaxes(spare)
        return list(made.ravel()[:n])
    some = list(np.ravel(np.asarray(given, dtype=object)))
    if len(some) != n or not all(isinstance(one, Axes) for one in some):
        raise OptionError(f"{what} draws {n} panel{'s' * (n != 1)}: ax= takes {n} matplotlib axes, not {given!r:.80}")
    return some


def finish(ax: Axes) -> None:
    """Quiet frame and grid."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_axisbelow(True)


def one_or_all(panels: list[Axes]) -> Any:
    """The axes itself where there is one, else an array of them."""
    if len(panels) == 1:
        return panels[0]
    out = np.empty(len(panels), dtype=object)
    out[:] = panels
    return out


def point_size(n: int) -> float:
    """Diameter of a marker among n: smaller where there are many."""
    return float(np.clip(60 / np.sqrt(max(n, 1)), 2.2, 5.5))
