"""The work of one `fit_each`: group by group, together where a panel takes them, else one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConvergenceWarning, MixedVCError, warn
from ..inference.each import Numbers
from ..progress import Progress
from ..results.each import EachFit
from ..results.each_row import Asked, Job, panel_numbers
from ..results.each_workers import spread
from .plan import Again, Fit, Prepared
from .source import Group, Source, groups_of

Float = NDArray[np.float64]
Index = NDArray[np.intp]
ONE_BY_ONE = 32  # responses that a likelihood takes at a time


class Run:
    """The work of one `fit_each`."""

    def __init__(self, source: Source, estimator: Any, asked: Asked, workers: int, bar: Progress, fit: Fit):
        self.source, self.many, self.estimator = source, source.many, estimator
        self.asked, self.workers, self.bar = asked, workers, bar
        self.errors: dict[int, str] = {}
        self.parts: list[Numbers] = []
        self.again = Again(source, estimator, asked, fit)

    def result(self) -> EachFit:
        interrupted = False
        try:
            groups, self.errors = groups_of(self.source)
            self.bar.step(len(self.errors))
            self.again.expect(groups)
            for group in groups:
                self._fit(group)
        except KeyboardInterrupt:
            interrupted = True
        self._warn(interrupted)
        first = self.again.whole
        known = any(term.cov_name is not None for term in first.terms)
        single = bool(self.parts) and bool(self.parts[0].share_of)
        return EachFit(
            formula=f"~ {self.source.right}",
            method=self.estimator.name,
            names=self.many.names,
            parts=tuple(self.parts),
            errors=self.errors,
            interrupted=interrupted,
            asked=self.asked,
            share_name=("h2" if known else "icc") if single else "",
            notes=(*self.many.notes, *first.notes),
            again=self.again,
        )

    def _fit(self, group: Group) -> None:
        """One group; what is wrong with its rows alone (a factor loses levels there) is said of its responses."""
        try:
            prepared = self.again.prepare(group)
            members = group.members if prepared.panel is None else self._together(group, prepared)
            if len(members):
                self._one_by_one(prepared, members)
        except MixedVCError as error:
            if len(group.rows) == len(self.source.at):
                raise
            done = {j for part in self.parts for j in part.which.tolist()} | set(self.errors)
            left = [j for j in group.members.tolist() if j not in done]
            self.errors |= dict.fromkeys(left, str(error))
            self.bar.step(len(left))

    def _together(self, group: Group, prepared: Prepared) -> Index:
        """All responses of a group by its panel; returns those that have to be fitted alone."""
        panel, left = prepared.panel, [np.empty(0, dtype=np.intp)]
        assert panel is not None
        for start in range(0, len(group.members), panel.block):
            members = group.members[start : start + panel.block]
            fitted = panel.fit(self.many.block(members, prepared.rows))
            numbers = panel_numbers(prepared.spec, fitted, members, self.asked)
            if fitted.exact.any():
                left.append(members[fitted.exact])
                numbers = numbers.take(np.flatnonzero(~fitted.exact))
            self.parts.append(numbers)
            self.bar.step(len(members))
        return np.concatenate(left)

    def _one_by_one(self, prepared: Prepared, members: Index) -> None:
        job = Job(self.estimator, prepared.spec, prepared.likelihood(len(members)), self.asked, len(members))
        blocks = [members[start : start + ONE_BY_ONE] for start in range(0, len(members), ONE_BY_ONE)]
        tasks: Iterator[tuple[Float, Index, list[str]]] = (
            (self.many.block(some, prepared.rows), some, [self.many.names[j] for j in some.tolist()]) for some in blocks
        )
        for rows, failures in spread(job, tasks, min(self.workers, len(blocks))):
            self.parts += rows
            self.errors |= failures
            self.bar.step(len(rows) + len(failures))

    def _warn(self, interrupted: bool) -> None:
        if interrupted:
            done = sum(len(part.which) for part in self.parts)
            warn(f"interrupted: {done:,} of {self.many.count:,} responses were fitted and are returned")
        if self.errors:
            _, why = min(self.errors.items())
            warn(f"{len(self.errors):,} of {self.many.count:,} responses could not be fitted (.failures): {why}")
        stopped = sum(int((~part.converged).sum()) for part in self.parts)
        if stopped:
            warn(f"{stopped:,} of {self.many.count:,} fits did not converge (.frame says which)", ConvergenceWarning)
