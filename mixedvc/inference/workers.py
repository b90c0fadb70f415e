"""Blocks of a bootstrap in this process or in several, each with one BLAS thread; Ctrl-C keeps what is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..estimators.again import Refits
from ..likelihood.panel import with_responses
from ..linalg.processes import in_processes
from .bootstrap import Block, Plan, Visit, run_block

Ready = tuple[Plan, list[Refits]]  # a plan, and how each of its models is refitted


def run(plan: Plan, workers: int, visit: Visit | None, step: Callable[[], None]) -> tuple[list[Block], bool]:
    """Every block of the plan, in order, and whether an interruption left some out."""
    count = min(workers, plan.blocks)
    blocks = list(_here(plan, visit, step) if count <= 1 else _elsewhere(plan, count, visit, step))
    done = sum(len(block.fits) for block in blocks)
    return sorted(blocks, key=lambda block: block.number), done < plan.nsim


def _ready(plan: Plan) -> Ready:
    return plan, [model.refits() for model in plan.models]


def _here(plan: Plan, visit: Visit | None, step: Callable[[], None]) -> Iterator[Block]:
    ready = _ready(plan)
    for number in range(plan.blocks):
        block = run_block(*ready, number, visit, step)
        yield block
        if block.interrupted:
            return


def _elsewhere(plan: Plan, workers: int, visit: Visit | None, step: Callable[[], None]) -> Iterator[Block]:
    """Blocks as they come from `workers` processes; a statistic is computed here, on the estimates that come back."""
    try:
        for block in in_processes(_ready, plan.light(), _block, range(plan.blocks), workers):
            yield _received(plan, block, visit, step)
    except KeyboardInterrupt:
        return


def _block(ready: Ready, number: int) -> Block:
    return run_block(*ready, number)


def _received(plan: Plan, block: Block, visit: Visit | None, step: Callable[[], None]) -> Block:
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
