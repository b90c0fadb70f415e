"""Memory is estimated before a large array is made."""

from __future__ import annotations

import os

from ..errors import MemoryLimitError

_FALLBACK = 8 * 2**30


def available_bytes() -> int:
    """Physical memory that a new array may use: free pages, or 8 GiB where the system does not say."""
    try:
        with open("/proc/meminfo") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (ValueError, OSError, AttributeError):
        return _FALLBACK


def require(n_bytes: int, what: str, instead: str) -> None:
    """Raise MemoryLimitError where `what` would not fit, naming what would do `instead`."""
    free = available_bytes()
    if n_bytes > 0.9 * free:
        raise MemoryLimitError(
            f"{what} needs {n_bytes / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are available. {instead}"
        )
