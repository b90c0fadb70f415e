"""Progress of long work: a bar that appears only when the work is long."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any


class Progress:
    """Counts steps and shows a tqdm bar once `patience` seconds have passed.

    Parameters
    ----------
    what : str
        Words before the bar.
    total : int or None
        Steps expected; None where unknown.
    show : bool or None
        True and False force; None shows the bar on a terminal or in a notebook.
    patience : float
        Seconds of silence before the bar appears.
    """

    def __init__(self, what: str, total: int | None = None, show: bool | None = None, patience: float = 2.0):
        self._what, self._total = what, total
        self._show = _interactive() if show is None else show
        self._patience = 0.0 if show else patience
        self._since, self._done = time.monotonic(), 0
        self._bar: Any = None

    def step(self, done: int = 1, **facts: Any) -> None:
        """Another `done` steps are finished; `facts` are shown beside the bar."""
        self._done += done
        if not self._show or time.monotonic() - self._since < self._patience:
            return
        if self._bar is None:
            self._bar = _tqdm()(desc=self._what, total=self._total, initial=self._done - done, leave=False)
        self._bar.update(done)
        if facts:
            self._bar.set_postfix(facts, refresh=False)

    def expect(self, total: int) -> None:
        """How many steps there will be, where that is known only later; remaining time is shown from then on."""
        self._total = total
        if self._bar is not None:
            self._bar.total = total

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _interactive() -> bool:
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def _tqdm() -> Callable[..., Any]:
    from tqdm.auto import tqdm

    return tqdm
