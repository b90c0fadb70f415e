"""Names to meanings: whether ``s`` in ``(1 | g:s)`` is a column or a known covariance."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection
from typing import NoReturn

from ..errors import BindError
from .bars import confounded, repeated
from .canonical import bar_text, quote
from .terms import BarTerm, Formula

ROWS = "rows"
"""``gr(rows, cov=A)``: one level per row of the data, unless a column has this name."""


def resolve(formula: Formula, columns: Collection[str], covs: Collection[str]) -> tuple[BarTerm, ...]:
    """Random terms with final groups and covariances.

    For ``(… | g:s)``, with further factors ``g1:g2:s`` alike:

    ==========================  =======================================================
    s only a column             the interaction ``g:s``
    s only in `covs`            levels of g have the covariance s: ``gr(g, cov=s)``
    s in both                   error offering both explicit spellings
    g no column, s in `covs`    error with the nearest columns
    ==========================  =======================================================

    Parameters
    ----------
    formula : Formula
        As parsed.
    columns : collection of str
        Columns of the data.
    covs : collection of str
        Names given in ``cov=``.

    Returns
    -------
    tuple of BarTerm
        In order of writing, ``may_be_cov`` False everywhere.  The group ``("rows",)`` with a covariance means one
        level per row if the data have no such column.

    Raises
    ------
    BindError
        For unknown or ambiguous names, and for terms that turn out to be the same.
    """
    bars = tuple(_resolve(bar, columns, covs) for bar in formula.bars)
    if (found := repeated(bars)) is not None:
        raise BindError(confounded(*found))
    return bars


def _resolve(bar: BarTerm, columns: Collection[str], covs: Collection[str]) -> BarTerm:
    group, cov = bar.group, bar.cov
    if bar.may_be_cov:
        last = group[-1]
        if last in columns and last in covs:
            _ambiguous(bar)
        if last not in columns:
            if last not in covs:
                _unknown_last(bar, columns, covs)
            group, cov = group[:-1], last
    elif cov is not None and cov not in covs:
        have = f"cov= has {_list(covs)}" if covs else "no cov= was given"
        raise BindError(f"{bar.text}: no covariance is called {cov!r}{_near(cov, covs)}; {have}")
    if not (group == (ROWS,) and cov is not None):
        for name in group:
            if name not in columns:
                _no_column(bar, name, cov, columns, covs)
    plain = cov is None and len(group) > 1 and group[-1] in covs
    text = bar_text(bar.effects, group, cov, bar.structure, bar.options, plain)
    return dataclasses.replace(bar, group=group, cov=cov, may_be_cov=False, text=text)


def _ambiguous(bar: BarTerm) -> NoReturn:
    *first, last = bar.group
    known = bar_text(bar.effects, tuple(first), last, bar.structure, bar.options)
    plain = bar_text(bar.effects, bar.group, None, bar.structure, bar.options, plain=True)
    raise BindError(
        f"{bar.text}: {last!r} is a column of the data and a covariance in cov=; write {known} for the covariance "
        f"or {plain} for the interaction of the columns"
    )


def _unknown_last(bar: BarTerm, columns: Collection[str], covs: Collection[str]) -> NoReturn:
    last = bar.group[-1]
    near = _near(last, [*columns, *covs]) or "."
    raise BindError(
        f"{bar.text}: {last!r} is neither a column of the data nor a name in cov={near} "
        f"Columns: {_list(columns)}; cov=: {_list(covs) if covs else 'nothing'}"
    )


def _no_column(bar: BarTerm, name: str, cov: str | None, columns: Collection[str], covs: Collection[str]) -> NoReturn:
    remedy = ""
    if cov is not None and len(bar.group) - bar.may_be_cov == 1:
        rows = bar_text(bar.effects, (ROWS,), cov, bar.structure, bar.options)
        remedy = f"; to let every row of the data be a level of {cov!r}, write {rows}"
    elif name in covs and cov is not None:
        remedy = f"; {name!r} and {cov!r} are both covariances in cov=: a term has one, so write one term for each"
    elif name in covs:
        rest = tuple(g for g in bar.group if g != name)
        spelled = bar_text(bar.effects, rest or (ROWS,), name, bar.structure, bar.options)
        remedy = f"; {name!r} is a covariance in cov=: write {spelled}"
        if not rest:
            remedy += f" (one level per row), or gr(column, cov={quote(name)}) with the column of its labels"
    what = f"{bar.text}: no column is called {name!r}{_near(name, columns)}{remedy}"
    raise BindError(f"{what}{'' if what.endswith('?') else '.'} Columns: {_list(columns)}")


def _near(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, [k for k in known if isinstance(k, str)], n=2)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""


def _list(names: Collection[str], most: int = 12) -> str:
    shown = [repr(n) for n in list(names)[:most]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
