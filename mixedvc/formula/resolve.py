"""Names to meanings: whether ``s`` in ``(1 | g:s)`` is a column or a known covariance."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection
from typing import NoReturn

from ..errors import BindError, FormulaError
from .bars import confounded, repeated
from .canonical import quote, respelled
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
    text = respelled(bar, group, cov, plain)
    return dataclasses.replace(bar, group=group, cov=cov, may_be_cov=False, text=text)


def settle(formula: Formula, bars: tuple[BarTerm, ...], responses: int) -> tuple[BarTerm, ...]:
    """Random terms once the number of responses is known.

    Raises
    ------
    FormulaError
        Words about several responses in a formula that has one.
    """
    if responses == 1:
        _one_response(formula)
    return tuple(_settled(bar, responses > 1, bars) for bar in bars)


def _settled(bar: BarTerm, several: bool, bars: tuple[BarTerm, ...]) -> BarTerm:
    single = len(bar.effects) == 1 and not bar.effects[0].factors
    if not several and single and bar.structure == "diag" and not bar.options:
        bar = dataclasses.replace(bar, structure="us")  # diag(1 | g) is (1 | g)
    elif not (several and bar.double):
        return bar
    plain = bar.cov is None and "gr(" in bar.text
    return dataclasses.replace(bar, text=respelled(bar, bar.group, bar.cov, plain, several))


def _one_response(formula: Formula) -> None:
    """Refuse what only several responses can have."""
    example = f"cbind({formula.response[0]}, another)"
    for some in formula.of_traits:
        word = "common" if some.shared else "at"
        what = (
            f"{word}() says which of several responses have an effect, and there is one, {formula.response[0]}: "
            f"write {' + '.join(':'.join(t.factors) or '1' for t in some.terms)} alone; several are {example} ~ …"
        )
        raise FormulaError(what, formula.source, some.span.start, some.span.stop)
    for bar in formula.bars:
        if bar.traits:
            what = (
                f"traits= says how several responses covary, and there is one, {formula.response[0]}: leave it out; "
                f"several are {example} ~ …"
            )
            raise FormulaError(what, formula.source, bar.span.start, bar.span.stop)


def _ambiguous(bar: BarTerm) -> NoReturn:
    *first, last = bar.group
    known = respelled(bar, tuple(first), last)
    plain = respelled(bar, bar.group, None, plain=True)
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
        rows = respelled(bar, (ROWS,), cov)
        remedy = f"; to let every row of the data be a level of {cov!r}, write {rows}"
    elif name in covs and cov is not None:
        remedy = f"; {name!r} and {cov!r} are both covariances in cov=: a term has one, so write one term for each"
    elif name in covs:
        rest = tuple(g for g in bar.group if g != name)
        spelled = respelled(bar, rest or (ROWS,), name)
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
