"""How each group of responses is fitted at the least price, and any of its fits or predictions made again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import OptionError
from ..estimators.each import Panel, has_panel
from ..inference import blup
from ..inference.each import Numbers
from ..likelihood import panel_coordinates as turned
from ..likelihood.base import Likelihood
from ..likelihood.choose import Purpose, choose, rank_choices
from ..linalg.memory import available_bytes
from ..results.each_row import Asked
from ..results.point import PointResults
from . import predict
from .source import Group, Source, groups_of

Float = NDArray[np.float64]
Index = NDArray[np.intp]
Fit = Callable[[ModelSpec, Any, int | None, bool | None], PointResults]  # specification, estimator, seed, progress


@dataclass(frozen=True)
class Prepared:
    """A group's specification, and the panel that fits it where one does."""

    spec: ModelSpec
    rows: Index
    panel: Panel | None
    estimator: Any

    def likelihood(self, count: int) -> Likelihood:
        """For `count` responses one by one."""
        purpose: Purpose = "fit" if count < 5 else "iterate" if count < 100 else "many"
        restricted = getattr(self.estimator, "restricted", True)
        return choose(self.spec, restricted, purpose, getattr(self.estimator, "likelihood", None))[0]

    def effects(self, i: int, Y: Float, par: Float) -> Float:
        """(T, levels, k) predictions of term i for responses Y (n, T) with parameters par (T, m)."""
        if self.panel is not None:
            return predict.together(self.spec, self.panel, i, Y, par)
        likelihood = self.likelihood(Y.shape[1])
        return predict.one_by_one(self.spec, likelihood, getattr(self.estimator, "fixed", "gls") == "ols", i, Y, par)


class Again:
    """Specifications and panels by the rows they have, made when needed."""

    def __init__(self, source: Source, estimator: Any, asked: Asked, fit: Fit):
        self.source, self.many = source, source.many
        self.estimator, self.asked, self._fit = estimator, asked, fit
        self._worth_turning = True

    @cached_property
    def whole(self) -> ModelSpec:
        """The specification of all rows that any response has."""
        return self.source.bound(self.source.at)

    @cached_property
    def _turned(self) -> turned.Coordinates:
        return turned.coordinates(self.whole)

    def prepare(self, group: Group) -> Prepared:
        """The specification of a group, and its panel where that is the cheapest way."""
        full = len(group.rows) == len(self.source.at)
        spec = self.whole if full else self.source.bound(group.rows)
        rows = np.setdiff1d(group.rows, spec.dropped.rows) if spec.dropped.count else group.rows
        coordinates = self._coordinates(spec, rows, len(group.members), full)
        panel = None if coordinates is None else Panel(coordinates, self.estimator)
        return Prepared(spec, rows, panel, self.estimator)

    def _coordinates(self, spec: ModelSpec, rows: Index, count: int, full: bool) -> turned.Coordinates | None:
        """Turned rows by the cheapest way; None where fits one by one are cheaper, or nothing else applies."""
        if not (has_panel(self.estimator) and turned.applies(spec)) or self.asked.df == "kenward-roger":
            return None
        ways: list[tuple[float, Callable[[], turned.Coordinates | None]]] = []
        free = 0.8 * available_bytes()
        if turned.bytes_needed(spec) < free:
            ways.append((_own_price(spec, count), lambda: self._turned if full else turned.coordinates(spec)))
        if not full and ("_turned" in vars(self) or (self._worth_turning and turned.bytes_needed(self.whole) < free)):
            at = np.searchsorted(self.source.at, rows)
            ways.append((self._taken_out(spec.n, count), lambda: turned.without_rows(self._turned, spec, at)))
        for price, way in sorted(ways, key=lambda pair: pair[0]):
            if price <= _alone_price(spec, count) or self.estimator.likelihood == "spectral":
                made = way()
                if made is not None:
                    return made
        return None

    def _taken_out(self, n: int, count: int) -> float:
        """Price of `count` responses with n rows once the whole is turned."""
        out = self.whole.n - n
        each = turned.flops(self.whole)[1]
        return turned.flops_of_fits(self.whole.n, self.whole.p + out, count) + (out + count) * each

    def expect(self, groups: Sequence[Group]) -> None:
        """Whether turning the whole once is worth it for all the groups that lack rows of it."""
        if not (has_panel(self.estimator) and turned.applies(self.whole)):
            return
        whole, saved = self.whole, 0.0
        alone, turn = _alone_price(whole, 1), turned.flops(whole)[0]
        for group in groups:
            count, share = len(group.members), len(group.rows) / whole.n
            if share == 1.0:
                saved = float("inf")  # turned anyway
                break
            other = min(count * alone, turn * share**3 + turned.flops_of_fits(len(group.rows), whole.p, count))
            saved += max(0.0, other - self._taken_out(len(group.rows), count))
        self._worth_turning = bool(saved > turn)

    # ---- one fit, and predictions ------------------------------------------------------------------------------

    def fit(self, j: int, found: Numbers | None) -> PointResults:
        """The fit of response j by itself; from what was found here, where its own iteration ends lower."""
        spec = self.source.named(j)
        fit = self._fit(spec, self.estimator, self.asked.seed, False)
        if found is None or fit.estimate.loglik is None or not found.loglik[0] > fit.llf + 1e-6:
            return self._with_information(fit)
        names = [term.name for term in spec.terms] + ["residual"]
        start = dict(zip(names, found.par[0].tolist(), strict=True))
        again = self._fit(spec, replace(self.estimator, start=start), self.asked.seed, False)
        return self._with_information(again if again.llf > fit.llf else fit)

    def _with_information(self, fit: PointResults) -> PointResults:
        return fit if self.asked.information == "auto" else fit.with_information(self.asked.information)

    def blups(self, term: str | None, parts: Sequence[Numbers]) -> Any:
        """Levels × responses (see `EachFit.blups`)."""
        import pandas as pd

        i = self._term(term)
        found: dict[int, Any] = {}
        by_response = {j: (part, a) for part in parts for a, j in enumerate(part.which.tolist())}
        for group in groups_of(self.source)[0]:
            members = np.array([j for j in group.members.tolist() if j in by_response], dtype=np.intp)
            if not len(members):
                continue
            prepared = self.prepare(Group(group.rows, members))
            par = np.array([by_response[j][0].par[by_response[j][1]] for j in members.tolist()])
            labels = blup.roster(prepared.spec.terms[i]).labels
            for start in range(0, len(members), 256):
                some = slice(start, start + 256)
                Y = self.many.block(members[some], prepared.rows)
                for j, column in zip(members[some].tolist(), prepared.effects(i, Y, par[some]), strict=True):
                    found[j] = pd.DataFrame(column, index=labels, columns=list(prepared.spec.terms[i].effects))
        if not found:
            raise OptionError("no response was fitted, so there is nothing to predict")
        names = {j: self.many.names[j] for j in sorted(found)}
        if self.whole.terms[i].k == 1:
            out = pd.concat([found[j].iloc[:, 0].rename(name) for j, name in names.items()], axis=1)
        else:
            out = pd.concat([found[j] for j in names], axis=1, keys=list(names.values()), names=["response", "effect"])
        return out.rename_axis(index=self.whole.terms[i].group)

    def _term(self, term: str | None) -> int:
        names = [t.name for t in self.whole.terms]
        if term is None and len(names) == 1:
            return 0
        if term not in names:
            said = "no term is named" if term is None else f"no random term is called {term!r}"
            raise OptionError(f"{said}; the model has {', '.join(map(repr, names)) or 'no random terms'}")
        return names.index(term)


def _own_price(spec: ModelSpec, count: int) -> float:
    """Price of `count` responses with a turn of their own."""
    setup, each = turned.flops(spec)
    return setup + count * each + turned.flops_of_fits(spec.n, spec.p, count)


def _alone_price(spec: ModelSpec, count: int) -> float:
    """Price of `count` responses one by one, python's own time included."""
    cost = rank_choices(spec, "fit")[0].cost
    return cost.setup + count * (8.0 * cost.each + 8e8)
