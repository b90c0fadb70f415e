"""Blocks of responses fitted in this process, or in several with one BLAS thread each."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MixedVCError
from ..inference.each import Numbers
from ..inference.workers import _no_main, _stop, one_thread
from ..linalg.threads import blas_threads
from .each_row import Failures, Job, fit_block

Task = tuple[NDArray[np.float64], NDArray[np.intp], Sequence[str]]
_prepared: dict[str, Any] = {}  # of a worker process: its job


def spread(job: Job, tasks: Iterable[Task], workers: int) -> Iterator[tuple[list[Numbers], Failures]]:
    """Every block as it is done; an interruption ends the worker processes and goes on to the caller."""
    if workers <= 1:
        for task in tasks:
            yield fit_block(job, *task)
        return
    context = multiprocessing.get_context("spawn")
    with one_thread(), _no_main():
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(job,))
        try:
            waiting = [pool.submit(_work, task) for task in tasks]
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


def _begin(job: Job) -> None:
    """In a new process: interruptions are the parent's business, and one thread is enough."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _prepared["limit"] = blas_threads(1)
    _prepared["limit"].__enter__()
    _prepared["job"] = job


def _work(task: Task) -> tuple[list[Numbers], Failures]:
    return fit_block(_prepared["job"], *task)
