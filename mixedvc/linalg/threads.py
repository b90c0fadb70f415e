"""How many BLAS threads work, and which kernels they are."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any


def blas_threads(threads: int | None) -> AbstractContextManager[Any]:
    """Context in which BLAS uses `threads` threads; None leaves it as it is."""
    if threads is None:
        return nullcontext()
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=threads, user_api="blas")


def blas_info() -> str:
    """One line naming each BLAS loaded, its kernel and its threads, for benchmark reports."""
    from threadpoolctl import threadpool_info

    found = [
        f"{lib.get('internal_api')} {lib.get('version')} {lib.get('architecture')} × {lib.get('num_threads')}"
        for lib in threadpool_info()
        if lib.get("user_api") == "blas"
    ]
    return "; ".join(found) or "no BLAS found"
