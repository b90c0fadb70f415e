"""Worker processes with one BLAS thread each, and what comes out of them as it is done.

Processes are started afresh (never forked: threads of BLAS, polars or a notebook would be copied half alive), and do
not run the caller's main module again, so that a script needs no ``if __name__ == "__main__"``.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeVar

from ..errors import MixedVCError, OptionError
from .threads import blas_threads

Given = TypeVar("Given")
Task = TypeVar("Task")
Done = TypeVar("Done")

_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_prepared: dict[str, Any] = {}  # of a worker process: what `prepare` made


def check_workers(workers: object) -> int:
    """A whole number of processes, at least one."""
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise OptionError(f"workers={workers!r:.60}: a whole number of processes of at least 1 is needed")
    return workers


def in_processes(
    prepare: Callable[[Given], Any],
    given: Given,
    work: Callable[[Any, Task], Done],
    tasks: Iterable[Task],
    workers: int,
) -> Iterator[Done]:
    """``work(prepare(given), task)`` of every task, in the order in which they are done.

    Parameters
    ----------
    prepare, work : functions of a module
        `prepare` runs once in each process.
    given : Any
        Sent to each process once.
    workers : int

    Raises
    ------
    MixedVCError
        Where `given` or a task cannot be sent, or a process ends before its work is done.
    KeyboardInterrupt
        The user's; the processes are ended first.
    """
    context = multiprocessing.get_context("spawn")
    with one_thread(), _no_main():
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(prepare, given))
        try:
            waiting = [pool.submit(_call, work, task) for task in tasks]
        except Exception as error:
            pool.shutdown(wait=False, cancel_futures=True)
            raise MixedVCError(
                f"the model cannot be sent to other processes ({type(error).__name__}: {error}): use workers=1"
            ) from error
    try:
        for future in as_completed(waiting):
            yield future.result()
    except KeyboardInterrupt:
        _stop(pool)
        raise
    except BrokenProcessPool as error:
        raise MixedVCError(
            "a worker process ended before its work was done, killed for want of memory perhaps, or unable to import "
            "what the model is made of; workers=1 says more"
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _begin(prepare: Callable[[Any], Any], given: Any) -> None:
    """In a new process: interruptions are the parent's business, and one thread is enough."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _prepared["limit"] = blas_threads(1)
    _prepared["limit"].__enter__()
    _prepared["made"] = prepare(given)


def _call(work: Callable[[Any, Task], Done], task: Task) -> Done:
    return work(_prepared["made"], task)


def _stop(pool: ProcessPoolExecutor) -> None:
    """End the worker processes, whatever they are at."""
    for process in list((getattr(pool, "_processes", None) or {}).values()):
        process.terminate()


@contextmanager
def one_thread() -> Iterator[None]:
    """Processes started inside use one BLAS thread from their first import on."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _no_main() -> Iterator[None]:
    """Processes started inside do not run the main module again."""
    main = sys.modules.get("__main__")
    blank = ModuleType("__main__")
    blank.__spec__ = None
    sys.modules["__main__"] = blank
    try:
        yield
    finally:
        if main is not None:
            sys.modules["__main__"] = main
