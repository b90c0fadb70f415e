"""Blocks of a bootstrap in this process or in several, each with one BLAS thread; Ctrl-C keeps what is there.

Processes are started afresh (never forked: threads of BLAS, polars or a notebook would be copied half alive), and do
not run the caller's main module again, so that a script needs no ``if __name__ == "__main__"``.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from ..errors import MixedVCError, OptionError
from ..estimators.again import Refits
from ..likelihood.panel import with_responses
from ..linalg.threads import blas_threads
from .bootstrap import Block, Plan, Visit, run_block

_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_prepared: dict[str, Any] = {}  # of a worker process: its plan, and how each model is refitted


def check_workers(workers: object) -> int:
    """A whole number of processes, at least one."""
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise OptionError(f"workers={workers!r:.60}: a whole number of processes of at least 1 is needed")
    return workers


def run(plan: Plan, workers: int, visit: Visit | None, step: Callable[[], None]) -> tuple[list[Block], bool]:
    """Every block of the plan, in order, and whether an interruption left some out."""
    count = min(workers, plan.blocks)
    blocks = list(_here(plan, visit, step) if count <= 1 else _elsewhere(plan, count, visit, step))
    done = sum(len(block.fits) for block in blocks)
    return sorted(blocks, key=lambda block: block.number), done < plan.nsim


def _ways(plan: Plan) -> list[Refits]:
    return [model.refits() for model in plan.models]


def _here(plan: Plan, visit: Visit | None, step: Callable[[], None]) -> Iterator[Block]:
    ways = _ways(plan)
    for number in range(plan.blocks):
        block = run_block(plan, ways, number, visit, step)
        yield block
        if block.interrupted:
            return


def _elsewhere(plan: Plan, workers: int, visit: Visit | None, step: Callable[[], None]) -> Iterator[Block]:
    """Blocks as they come from `workers` processes; a statistic is computed here, on the estimates that come back."""
    context = multiprocessing.get_context("spawn")
    with one_thread(), _no_main():
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(plan.light(),))
        try:
            waiting = [pool.submit(_work, number) for number in range(plan.blocks)]
        except Exception as error:
            pool.shutdown(wait=False, cancel_futures=True)
            raise MixedVCError(
                f"the model cannot be sent to other processes ({type(error).__name__}: {error}): use workers=1"
            ) from error
    try:
        for future in as_completed(waiting):
            yield _received(plan, future, visit, step)
    except KeyboardInterrupt:
        _stop(pool)
        return
    except BrokenProcessPool as error:
        raise MixedVCError(
            "a worker process of the bootstrap ended before its work was done, killed for want of memory perhaps, or "
            "unable to import what the model is made of; workers=1 says more"
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _stop(pool: ProcessPoolExecutor) -> None:
    """End the worker processes, whatever they are at."""
    for process in list((getattr(pool, "_processes", None) or {}).values()):
        process.terminate()


def _received(plan: Plan, future: Future[Block], visit: Visit | None, step: Callable[[], None]) -> Block:
    block = future.result()
    if visit is not None:
        _visited(plan, block, visit)
    for _ in block.fits:
        step()
    return block


def _visited(plan: Plan, block: Block, visit: Visit) -> None:
    Y = plan.responses(block.number)
    carriers = [with_responses(model.likelihood, Y) for model in plan.models]
    for b, fits in enumerate(block.fits):
        visit(block.number * plan.size + b, fits, Y[:, b], tuple(carrier.pop(0) for carrier in carriers))


def _begin(plan: Plan) -> None:
    """In a new process: interruptions are the parent's business, and one thread is enough."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _prepared["limit"] = blas_threads(1)
    _prepared["limit"].__enter__()
    _prepared["plan"], _prepared["ways"] = plan, _ways(plan)


def _work(number: int) -> Block:
    plan: Plan = _prepared["plan"]
    ways: Sequence[Refits] = _prepared["ways"]
    return run_block(plan, ways, number)


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
