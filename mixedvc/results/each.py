"""Results of many fits of one specification: tables with a row a response, predictions, and any one fit in full."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from ..design.frames import listed
from ..errors import MixedVCError, NotProvided, OptionError
from ..inference.each import Numbers, boundary_p, false_discovery
from ..inference.intervals import t_interval, t_pvalue
from .each_row import Asked

if TYPE_CHECKING:
    import pandas as pd

    from .point import PointResults

Float = NDArray[np.float64]
Index = NDArray[np.intp]
_SHORT = {"variance": "var", "covariance": "cov", "correlation": "cor"}


class Again(Protocol):
    """What can be computed again from the data: a fit in full, and predictions."""

    def fit(self, j: int, start: Numbers | None) -> PointResults:
        """The fit of response j by itself."""
        ...

    def blups(self, term: str | None, parts: Sequence[Numbers]) -> pd.DataFrame:
        """Levels × responses."""
        ...


@dataclass(frozen=True, eq=False, repr=False)
class EachFit:
    """Fits of one specification to many responses (`mixedvc.fit_each`).

    Attributes
    ----------
    formula : str
        Right-hand side.
    method : str
    names : tuple of str
        All responses that were given, in order.
    parts : tuple of Numbers
        What was found, by groups of responses that share rows.
    errors : mapping of int to str
        Responses that could not be fitted, by position, and why.
    interrupted : bool
        Ctrl-C ended the work before every response was fitted.
    asked : Asked
    share_name : str
        "h2" where one term has a known covariance, "icc" for one grouping, else empty.
    notes : tuple of str
    """

    formula: str
    method: str
    names: tuple[str, ...]
    parts: tuple[Numbers, ...]
    errors: dict[int, str]
    interrupted: bool
    asked: Asked
    share_name: str
    notes: tuple[str, ...]
    again: Again = field(compare=False)

    # ---- columns over all responses ----------------------------------------------------------------------------

    @cached_property
    def _done(self) -> Index:
        """Positions of the responses that have a row, in order."""
        found = [part.which for part in self.parts] + [np.array(sorted(self.errors), dtype=np.intp)]
        return np.sort(np.concatenate(found)).astype(np.intp)

    def _column(self, name: str) -> Float:
        """(rows,) of a number that every fit has one of."""
        out = np.full(len(self.names), np.nan)
        for part in self.parts:
            out[part.which] = getattr(part, name)
        return out[self._done]

    def _of_names(self, names: str) -> dict[str, list[tuple[Numbers, int]]]:
        """Each fixed effect or variance parameter, and where the parts have it."""
        found: dict[str, list[tuple[Numbers, int]]] = {}
        for part in self.parts:
            for a, name in enumerate(getattr(part, names)):
                found.setdefault(name, []).append((part, a))
        return found

    def _gather(self, where: list[tuple[Numbers, int]], what: str) -> Float:
        out = np.full(len(self.names), np.nan)
        for part, a in where:
            out[part.which] = getattr(part, what)[:, a]
        return out[self._done]

    @cached_property
    def _effects(self) -> dict[str, dict[str, Float]]:
        """coef, se, t, df, p, q, lower, upper of each fixed effect."""
        out = {}
        for name, where in self._of_names("x_names").items():
            coef, se, df = (self._gather(where, what) for what in ("beta", "se", "df"))
            with np.errstate(divide="ignore", invalid="ignore"):
                t = coef / se
            p = t_pvalue(t, df)
            lower, upper = t_interval(coef, se, df, self.asked.level)
            out[name] = {"coef": coef, "se": se, "t": t, "df": df, "p": p, "q": false_discovery(p)}
            out[name] |= {"lower": lower, "upper": upper}
        return out

    @cached_property
    def _components(self) -> dict[str, dict[str, Any]]:
        """kind, estimate, se, lower, upper, boundary of each variance parameter."""
        out = {}
        for name, where in self._of_names("par_names").items():
            kind = where[0][0].par_kinds[where[0][1]]
            columns: dict[str, Any] = {"kind": kind, "estimate": self._gather(where, "par")}
            columns |= {"se": self._gather(where, "par_se")}
            columns |= {limit: self._gather(where, limit) for limit in ("lower", "upper")}
            columns["boundary"] = self._gather(where, "bound") == 1.0
            out[name] = columns
        return out

    @cached_property
    def _tested(self) -> dict[str, Float] | None:
        """Likelihood ratio of no variance, its p-value and q-value, where one variance could be tested."""
        statistic = self._column("statistic")
        if np.isnan(statistic).all():
            return None
        p = boundary_p(statistic)
        return {"lrt": statistic, "p": p, "q": false_discovery(p)}

    # ---- tables --------------------------------------------------------------------------------------------------

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row a response, in the order given.

        Columns: response, n, loglik, converged, at_bound, message; for each fixed effect x ``coef[x]``, ``se[x]``,
        ``t[x]``, ``df[x]``, ``p[x]`` (two-sided) and ``q[x]`` (Benjamini and Hochberg over the responses); for each
        variance parameter its estimate and standard error, ``var[g]``, ``se.var[g]`` (``cov[…]``, ``cor[…]``); the
        share of the one kernel ``h2``, ``se.h2`` (of a grouping: ``icc``); for the only variance besides the residual's
        the likelihood ratio of its being zero, ``lrt[g]``, its p-value ``p.lrt[g]`` by ½χ²₀ + ½χ²₁, and ``q.lrt[g]``.
        A response that failed has NaN and a message.
        """
        import pandas as pd

        columns: dict[str, Any] = {
            "response": [self.names[j] for j in self._done.tolist()],
            "n": pd.Series(self._column("n")).astype("Int64"),
            "loglik": self._column("loglik"),
            "converged": self._column("converged") == 1.0,
            "at_bound": self._at_bound,
            "message": self._messages,
        }
        for x, numbers in self._effects.items():
            columns |= {f"{key}[{x}]": numbers[key] for key in ("coef", "se", "t", "df", "p", "q")}
        for name, numbers in self._components.items():
            short = _SHORT[str(numbers["kind"])]
            columns |= {f"{short}[{name}]": numbers["estimate"], f"se.{short}[{name}]": numbers["se"]}
        if self.share_name:
            columns |= {self.share_name: self._column("share"), f"se.{self.share_name}": self._column("share_se")}
        if self._tested is not None:
            name = self.parts[0].share_of
            columns |= {f"lrt[{name}]": self._tested["lrt"], f"p.lrt[{name}]": self._tested["p"]}
            columns |= {f"q.lrt[{name}]": self._tested["q"]}
        return pd.DataFrame(columns)

    @property
    def _at_bound(self) -> NDArray[np.bool_]:
        edges = [numbers["boundary"] for numbers in self._components.values()]
        return np.logical_or.reduce(edges) if edges else np.zeros(len(self._done), dtype=bool)

    @property
    def _messages(self) -> list[str]:
        out = dict(self.errors)
        for part in self.parts:
            out |= dict(zip(part.which.tolist(), part.messages, strict=True))
        return [out[j] for j in self._done.tolist()]

    @cached_property
    def fixed(self) -> pd.DataFrame:
        """Fixed effects, one row a response and term: response, term, coef, se, df, t, p, q, lower, upper."""
        keys = ("coef", "se", "df", "t", "p", "q", "lower", "upper")
        return self._long("term", {x: {key: numbers[key] for key in keys} for x, numbers in self._effects.items()})

    @cached_property
    def variances(self) -> pd.DataFrame:
        """Variance parameters, one row a response and component.

        Columns: response, component, kind, estimate, se, lower, upper, boundary.
        """
        return self._long("component", self._components)

    def _long(self, what: str, by_name: dict[str, dict[str, Any]]) -> pd.DataFrame:
        import pandas as pd

        names = np.array([self.names[j] for j in self._done.tolist()], dtype=object)
        tables = []
        for order, (name, columns) in enumerate(by_name.items()):
            table = pd.DataFrame({"response": names, what: name, **columns})
            tables.append(table.assign(_row=np.arange(len(names)), _order=order))
        if not tables:
            return pd.DataFrame(columns=["response", what])
        joined = pd.concat(tables, ignore_index=True).sort_values(["_row", "_order"], kind="stable")
        estimate = "coef" if what == "term" else "estimate"
        return joined[joined[estimate].notna()].drop(columns=["_row", "_order"]).reset_index(drop=True)

    @property
    def failures(self) -> pd.DataFrame:
        """Responses that could not be fitted, and why: response, message."""
        import pandas as pd

        rows = sorted(self.errors.items())
        return pd.DataFrame({"response": [self.names[j] for j, _ in rows], "message": [why for _, why in rows]})

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write `frame` to a csv file that appears whole or not at all; missing numbers are NA."""
        from ..io.atomic import write_whole

        text = self.frame.to_csv(index=False, na_rep="NA").encode()
        write_whole(str(Path(path)), lambda stream: _put(stream, text), MixedVCError)

    # ---- one response, and predictions -----------------------------------------------------------------------------

    def position(self, response: str | int) -> int:
        """Position of a response among all, by its name (or its position)."""
        if isinstance(response, int | np.integer) and not isinstance(response, bool):
            if not -len(self.names) <= response < len(self.names):
                raise OptionError(f"response {response}: there are {len(self.names)}")
            return int(response) % len(self.names)
        if response not in self.names:
            near = difflib.get_close_matches(str(response), self.names, n=1)
            also = f"; did you mean {near[0]!r}?" if near else f"; there are {listed(self.names, 5)}"
            raise OptionError(f"no response is called {response!r}{also}")
        return self.names.index(response)

    def fit(self, response: str | int) -> PointResults:
        """The fit of one response in full, by its name: made again from the data, as `mixedvc.fit` would make it."""
        j = self.position(response)
        if j in self.errors:
            raise NotProvided(f"the response {self.names[j]!r} could not be fitted: {self.errors[j]}")
        return self.again.fit(j, self._part_of(j))

    def _part_of(self, j: int) -> Numbers | None:
        for part in self.parts:
            at = np.flatnonzero(part.which == j)
            if len(at):
                return part.take(at)
        return None

    def blups(self, term: str | None = None) -> pd.DataFrame:
        """Predicted random effects of a term, levels × responses (the only term where None).

        Where a term has several effects the columns are (response, effect).  Levels without records are predicted where
        the covariance knows them.
        """
        return self.again.blups(term, self.parts)

    # ---- in words ----------------------------------------------------------------------------------------------------

    def summary(self) -> str:
        """How many responses converged, were at a boundary, failed; how shares and p-values are distributed."""
        return "\n".join(self._lines())

    def _lines(self) -> list[str]:
        count, done = len(self.names), len(self._done)
        fitted = done - len(self.errors)
        converged = int(np.nansum(self._column("converged")))
        lines = [f"{fitted:,} of {count:,} responses fitted by {self.method}: {self.formula}"]
        if self.interrupted:
            lines.append(f"interrupted: {count - done:,} responses were not reached")
        if fitted:
            sizes = self._column("n")
            few, many = int(np.nanmin(sizes)), int(np.nanmax(sizes))
            lines.append(f"rows: {few:,}" if few == many else f"rows: {few:,} to {many:,}")
            lines.append(f"converged: {converged:,}" + (f", not: {fitted - converged:,}" * (converged < fitted)))
            lines += self._boundary_lines() + self._share_lines() + self._test_lines()
        if self.errors:
            some = [f"{self.names[j]} ({why})" for j, why in sorted(self.errors.items())[:3]]
            more = f", and {len(self.errors) - 3:,} more (.failures)" if len(self.errors) > 3 else ""
            lines.append(f"not fitted: {len(self.errors):,}: {'; '.join(some)}{more}")
        return [*lines, *(f"note: {note}" for note in self.notes)]

    def _boundary_lines(self) -> list[str]:
        edges = {name: int(numbers["boundary"].sum()) for name, numbers in self._components.items()}
        said = [f"{name} {number:,}" for name, number in edges.items() if number]
        return [f"at a boundary: {', '.join(said)}"] if said else ["at a boundary: none"]

    def _share_lines(self) -> list[str]:
        share = self._column("share")
        if not self.share_name or np.isnan(share).all():
            return []
        low, q1, mid, q3, high = np.nanquantile(share, [0.0, 0.25, 0.5, 0.75, 1.0])
        return [
            f"{self.share_name}: median {mid:.3f}, quartiles {q1:.3f} and {q3:.3f}, range {low:.3f} to {high:.3f}, "
            f"mean {np.nanmean(share):.3f}"
        ]

    def _test_lines(self) -> list[str]:
        tested = {x: numbers for x, numbers in self._effects.items() if x not in ("Intercept", "(Intercept)")}
        lines = [f"{x}: {_small(numbers)}" for x, numbers in tested.items()]
        if self._tested is not None:
            lines.append(f"variance of {self.parts[0].share_of}: {_small(self._tested)}")
        return lines

    def __repr__(self) -> str:
        left = ", interrupted" if self.interrupted else ""
        failed = (
            f", {len(self.errors):,} failed ({listed([self.names[j] for j in sorted(self.errors)])})"
            if self.errors
            else ""
        )
        fitted = len(self._done) - len(self.errors)
        return f"<EachFit: {self.formula} by {self.method}, {fitted:,} of {len(self.names):,} responses{left}{failed}>"

    def __len__(self) -> int:
        return len(self._done)


def _put(stream: BinaryIO, text: bytes) -> None:
    stream.write(text)


def _small(numbers: dict[str, Float]) -> str:
    return f"{int((numbers['q'] < 0.05).sum()):,} with q < 0.05, {int((numbers['p'] < 0.05).sum()):,} with p < 0.05"
