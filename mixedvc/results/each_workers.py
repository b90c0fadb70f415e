"""Blocks of responses fitted in this process, or in several with one BLAS thread each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..inference.each import Numbers
from ..linalg.processes import in_processes
from .each_row import Failures, Job, fit_block

Task = tuple[NDArray[np.float64], NDArray[np.intp], Sequence[str]]
Fitted = tuple[list[Numbers], Failures]


def spread(job: Job, tasks: Iterable[Task], workers: int) -> Iterator[Fitted]:
    """Every block as it is done; an interruption ends the worker processes and goes on to the caller."""
    if workers > 1:
        return in_processes(_ready, job, _block, tasks, workers)
    return (_block(job, task) for task in tasks)


def _ready(job: Job) -> Job:
    return job


def _block(job: Job, task: Task) -> Fitted:
    return fit_block(job, *task)
