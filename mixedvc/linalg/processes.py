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
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Generic, TypeVar

from ..errors import MixedVCError, OptionError
from .threads import blas_threads

Given = TypeVar("Given")
Task = TypeVar("Task")
Done = TypeVar("Done")

Label = TypeVar("Label")

_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_prepared: dict[str, Any] = {}  # of a worker process: what `prepare` made


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_worker() -> bool:
    """Whether this process was started by another as its helper, which may not start helpers of its own."""
    return bool(multiprocessing.current_process().daemon)


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
            raise MixedVCError(_cannot_send(error)) from error
    try:
        for future in as_completed(waiting):
            yield future.result()
    except KeyboardInterrupt:
        _stop(pool)
        raise
    except BrokenProcessPool as error:
        raise MixedVCError(_DIED) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class Crew(Generic[Label, Done]):
    """Worker processes to which tasks are given while others run: a context, which ends them on leaving.

    Parameters
    ----------
    prepare, given, workers
        See `in_processes`.

    Examples
    --------
    >>> import operator
    >>> with Crew(abs, -40, 1) as crew:
    ...     crew.give("a", operator.add, 2)
    ...     crew.next()
    ('a', 42)
    """

    def __init__(self, prepare: Callable[[Given], Any], given: Given, workers: int):
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(prepare, given))
        self._waiting: dict[Future[Done], Label] = {}

    def __enter__(self) -> Crew[Label, Done]:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None or self._waiting:
            _stop(self._pool)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def __len__(self) -> int:
        """Tasks that are not handed back yet."""
        return len(self._waiting)

    def give(self, label: Label, work: Callable[[Any, Task], Done], task: Task) -> None:
        """Another task, ``work(prepare(given), task)``; `label` comes back beside what it gives."""
        try:
            with one_thread(), _no_main():  # a process may be started here
                self._waiting[self._pool.submit(_call, work, task)] = label
        except BrokenProcessPool as error:
            raise MixedVCError(_DIED) from error
        except Exception as error:
            raise MixedVCError(_cannot_send(error)) from error

    def next(self) -> tuple[Label, Done]:
        """Wait for a task to be done, whichever is first; what it raised is raised here.

        Raises
        ------
        MixedVCError
            A task that cannot be sent, or a process that ended before its work was done.
        """
        done, _ = wait(self._waiting, return_when=FIRST_COMPLETED)
        first = done.pop()
        label = self._waiting.pop(first)
        try:
            return label, first.result()
        except BrokenProcessPool as error:
            raise MixedVCError(_DIED) from error
        except Exception as error:
            if isinstance(error, MixedVCError) or "pickle" not in f"{type(error).__name__} {error}".lower():
                raise
            raise MixedVCError(_cannot_send(error)) from error


_DIED = (
    "a worker process ended before its work was done, killed for want of memory perhaps, or unable to import what the "
    "model is made of; workers=1 says more"
)


def _cannot_send(error: Exception) -> str:
    return f"the model cannot be sent to other processes ({type(error).__name__}: {error}): use workers=1"


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
