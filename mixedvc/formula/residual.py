"""The residual's structure as text, ``diag(0 + f | rows)`` or ``ar1(0 + t | g)``, in the grammar of random terms.

Left of the bar stands which cell of its group a row is (``1``: its place in the order of the rows), right of it the
groups whose rows depend on each other; ``rows`` is the word for one group per row.  A product with a diag() gives
variances to correlations: ``diag(0 + f | rows) * ar1(1 | g)``.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NoReturn

from ..errors import FormulaError
from .bars import bar_terms, is_bar, structure_options
from .canonical import quote
from .expand import Budget
from .resolve import ROWS
from .syntax import Binary, Call, Name, Node, Paren, Parser
from .terms import BarTerm, Span
from .tokens import tokenize

STRUCTURES = ("us", "diag", "cs", "ar1")
AMONG_RESPONSES = "'us', 'diag', 'cs' or 'fa(1)'"
EXAMPLES = (
    "write residual='diag(0 + f | rows)' for a variance per level of f, 'ar1(1 | g)', 'ar1(0 + time | g)' or "
    "'cs(1 | g)' for correlated rows of g, 'us(0 + time | g)' for any covariance"
)


@dataclass(frozen=True)
class ResidualFormula:
    """What ``residual=`` says, without data.

    Attributes
    ----------
    structure : str
        "diag" (rows are independent), "ar1", "cs" or "us".
    cell : tuple of str
        Factors left of the bar that number the cells of a group; empty for ``1``.
    group : tuple of str
        Columns right of the bar; empty for ``rows``.
    variance : tuple of str
        Factors whose levels have a variance each; empty where all rows have one, or the structure says it.
    hom : bool
        ar1 and cs: one variance (True) or one in each cell.
    source, text : str
        As written, and in canonical spelling.
    spans : tuple of Span
        Of the parts, for carets.
    """

    structure: str
    cell: tuple[str, ...]
    group: tuple[str, ...]
    variance: tuple[str, ...]
    hom: bool
    source: str
    text: str
    spans: tuple[Span, ...]

    @property
    def factors(self) -> tuple[str, ...]:
        """Every factor that has to be evaluated."""
        return tuple(dict.fromkeys((*self.variance, *self.cell)))

    def fail(self, message: str, part: int = -1) -> NoReturn:
        """Raise FormulaError with carets under a part."""
        raise FormulaError(message, self.source, self.spans[part].start, self.spans[part].stop)


@dataclass(frozen=True)
class TraitResidual:
    """``residual="fa(1)"``: a covariance among several responses of a record.

    Attributes
    ----------
    structure : str
    options : tuple of (str, constant)
    source, text : str
        As written, and in canonical spelling.
    """

    structure: str
    options: tuple[tuple[str, object], ...]
    source: str
    text: str

    def fail(self, message: str) -> NoReturn:
        """Raise FormulaError with carets under it."""
        raise FormulaError(message, self.source, 0, len(self.source))


def trait_residual(source: str, structures: Collection[str]) -> TraitResidual | None:
    """A structure without a bar: ``us``, ``diag``, ``fa(1)``, ``cs(hom=False)``; None for what is none.

    Examples
    --------
    >>> trait_residual("fa(2)", ["us", "fa"]).text
    'fa(factors=2)'
    """
    tokens = tokenize(source)
    if len(tokens) == 1 or any(t.kind == "op" and t.text in ("|", "||", "~", "*") for t in tokens):
        return None
    node = Parser(source, tokens).whole("the structure of the residual")
    while isinstance(node, Paren):
        node = node.inner
    if not isinstance(node, Name | Call) or node.name not in structures or (isinstance(node, Name) and node.quoted):
        return None
    if isinstance(node, Call) and node.args and isinstance(node.args[0], Name) and not node.args[0].quoted:
        first, what = node.args[0], f"residual= is among the responses of a record as it is: write {node.name!r}"
        raise FormulaError(what, source, first.start, first.stop)
    options = structure_options(node, node.args, source) if isinstance(node, Call) else ()
    inner = ", ".join(f"{name}={value!r}" for name, value in options)
    return TraitResidual(node.name, options, source, f"{node.name}({inner})" if inner else node.name)


def parse_residual(source: str) -> ResidualFormula | None:
    """Read ``residual=``; None for one variance of independent rows (``us``, ``(1 | rows)``).

    Raises
    ------
    FormulaError
        For what is not in the grammar, with a caret under the place.

    Examples
    --------
    >>> parse_residual("diag(0 + Sex | rows) * ar1(1 | Subject)").text
    'diag(0 + Sex | rows) * ar1(1 | Subject)'
    """
    if source.strip() == "us":
        return None
    tokens = tokenize(source)
    if len(tokens) == 1:
        raise FormulaError(f"residual= is empty; {EXAMPLES}", source, 0)
    tilde = next((t for t in tokens if t.kind == "op" and t.text == "~"), None)
    if tilde is not None:
        raise FormulaError(f"residual= has no '~': {EXAMPLES}", source, tilde.start, tilde.stop)
    node = _unwrapped(Parser(source, tokens).whole("the structure of the residual"))
    parts = [_unwrapped(node.left), _unwrapped(node.right)] if isinstance(node, Binary) and node.op == "*" else [node]
    read = [_part(part, source) for part in parts]
    return _one(read[0], source) if len(read) == 1 else _product(read, source)


def _unwrapped(node: Node) -> Node:
    """Without parentheses around a whole part (those of a plain bar stay)."""
    while isinstance(node, Paren) and not is_bar(node):
        node = node.inner
    if isinstance(node, Paren) and isinstance(node.inner, (Paren, Binary)) and not is_bar(node.inner):
        return _unwrapped(node.inner)
    return node


def _part(node: Node, source: str) -> BarTerm:
    if not is_bar(node):
        what = f"this is no structure of the residual; {EXAMPLES}; with several responses {AMONG_RESPONSES}"
        raise FormulaError(what, source, node.start, node.stop)
    bars = bar_terms(node, Budget(source), STRUCTURES)
    if len(bars) > 1:
        _fail("the residual has one grouping: write a:b for the groups within a", source, bars[1].span)
    bar = bars[0]
    if bar.cov is not None:
        _fail("the groups of the residual are independent: it takes no cov=", source, bar.span)
    return bar


def _one(bar: BarTerm, source: str) -> ResidualFormula | None:
    """A single part."""
    if _is_plain(bar):
        return None
    cell, hom = _cell(bar, source), _hom(bar, source)
    if bar.structure == "diag":
        if bar.group != (ROWS,):
            where = ":".join(map(quote, bar.group))
            _fail(
                f"diag() is for rows that are independent: write diag(0 + f | rows); rows of one {where} that depend "
                f"on each other are ar1(), cs() or us()",
                source,
                bar.span,
            )
        return ResidualFormula("diag", (), (), cell, True, source, bar.text, (bar.span,))
    _grouped(bar, source)
    if not cell and (bar.structure == "us" or not hom):
        why = "us() has a variance in each cell" if bar.structure == "us" else "hom=False is a variance in each cell"
        _fail(f"{why}: name the column that numbers the cells, as in (0 + time | …)", source, bar.span)
    text = bar.text if bar.structure != "us" else f"us{bar.text}"
    return ResidualFormula(bar.structure, cell, bar.group, (), hom, source, text, (bar.span,))


def _product(bars: list[BarTerm], source: str) -> ResidualFormula:
    """Variances by a diag(), correlations by an ar1() or cs()."""
    for bar in bars:
        if _is_plain(bar):
            _fail("that is one variance, which the other structure has: leave it out", source, bar.span)
    kinds = [bar.structure for bar in bars]
    if sorted(kinds, key=lambda kind: kind != "diag")[0] != "diag" or not set(kinds) & {"ar1", "cs"}:
        what = "a product is variances times correlations: diag(0 + f | rows) * ar1(1 | g), or cs() in its place"
        raise FormulaError(what, source, bars[0].span.start, bars[1].span.stop)
    diag, other = sorted(bars, key=lambda bar: bar.structure != "diag")
    variances = _one(diag, source)
    assert variances is not None
    if ("hom", False) in other.options:
        _fail(f"the variances are those of diag(): leave hom= out of {other.structure}()", source, other.span)
    correlations = _one(other, source)
    assert correlations is not None
    return ResidualFormula(
        structure=other.structure,
        cell=correlations.cell,
        group=correlations.group,
        variance=variances.variance,
        hom=True,
        source=source,
        text=f"{variances.text} * {correlations.text}",
        spans=(diag.span, other.span),
    )


def _is_plain(bar: BarTerm) -> bool:
    """``(1 | rows)`` and ``diag(1 | rows)``."""
    intercept = all(not effect.factors for effect in bar.effects)
    return intercept and bar.group == (ROWS,) and bar.structure in ("us", "diag")


def _cell(bar: BarTerm, source: str) -> tuple[str, ...]:
    """The factors of the one term left of the bar."""
    if any(not effect.factors for effect in bar.effects) and len(bar.effects) > 1:
        named = ":".join(next(effect.factors for effect in bar.effects if effect.factors))
        _fail(f"a row is in one cell: write 0 + {named} left of the bar", source, bar.span)
    if len(bar.effects) > 1:
        joined = ":".join(factor for effect in bar.effects for factor in effect.factors)
        _fail(f"a row is in one cell: cross the factors as 0 + {joined}", source, bar.effects[1].span)
    return bar.effects[0].factors


def _hom(bar: BarTerm, source: str) -> bool:
    """``hom=``, True where it is not given: one variance."""
    options = dict(bar.options)
    known = {"hom"} if bar.structure in ("ar1", "cs") else set()
    for name in options:
        if name not in known:
            have = "it knows: hom" if known else "it has none"
            _fail(f"{bar.structure}() has no option {name!r}; {have}", source, bar.span)
    hom = options.get("hom", True)
    if not isinstance(hom, bool):
        _fail(f"hom={hom!r}: hom is True (one variance) or False (one in each cell)", source, bar.span)
    return hom


def _grouped(bar: BarTerm, source: str) -> None:
    if bar.group == (ROWS,):
        what = "every row is a group of its own here, so nothing is correlated: name the column of the groups, as in"
        left = "1" if bar.structure != "us" else "0 + time"
        _fail(f"{what} {bar.structure}({left} | Subject); variances alone are diag(0 + f | rows)", source, bar.span)


def _fail(message: str, source: str, span: Span) -> NoReturn:
    raise FormulaError(message, source, span.start, span.stop)
