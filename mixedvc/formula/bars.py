"""Random terms: ``(effects | group)`` in all its spellings to `BarTerm`s."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple, NoReturn

from ..errors import FormulaError
from .allowlist import column, constant
from .canonical import bar_text
from .expand import Algebra, Budget
from .syntax import Binary, Call, Name, Node, Paren, Sum, Text
from .terms import BarTerm, FixedTerm, Span

STRUCTURES = ("us", "diag", "cs", "ar1", "fa", "rr")
POSITIONAL = {"fa": "factors", "rr": "factors"}  # the option that may stand without its name
Options = tuple[tuple[str, object], ...]


class Group(NamedTuple):
    """What stands right of a bar: columns, an explicit covariance, and whether the last may be a covariance."""

    columns: tuple[str, ...]
    cov: str | None = None
    may_be_cov: bool = False


class Wrapper(NamedTuple):
    """What is said around a bar: the structure's name and options, and ``traits=``."""

    structure: str
    options: Options
    traits: str


def is_bar(node: Node) -> bool:
    """True for ``a | b``, ``(a | b)`` and ``f(a | b, …)``."""
    if isinstance(node, Call):
        return bool(node.args) and is_bar(node.args[0])
    while isinstance(node, Paren):
        node = node.inner
    return isinstance(node, Binary) and node.op in ("|", "||")


def bar_terms(node: Node, budget: Budget, structures: Collection[str], several: bool = False) -> list[BarTerm]:
    """The terms of one bar in parentheses or in a structure wrapper; `several` responses stand left of ``~``.

    Raises
    ------
    FormulaError
        For an unknown wrapper, an unreadable group or no effects.
    """
    source, outer, wrapped = budget.source, node, Wrapper("us", (), "")
    if isinstance(node, Call):
        wrapped = _wrapper(node, source, structures)
        node = node.args[0]
    while isinstance(node, Paren):
        node = node.inner
    if isinstance(node, Call):
        _fail("a structure cannot stand inside another", source, node)
    assert isinstance(node, Binary)
    if node.op == "||":
        if isinstance(outer, Call):
            what = f"'||' already says diag(); write one bar inside {wrapped.structure}()"
            raise FormulaError(what, source, node.at, node.at + 2)
        wrapped = Wrapper("diag", (), "")
    effects = Algebra(budget, dot_allowed=False).terms(node.left, node.left.start)
    if not effects:
        _fail("no effect is left of the bar", source, node.left)
    double = node.op == "||"
    if double and len(effects) == 1 and not effects[0].factors:
        double, wrapped = False, Wrapper("us", (), "")  # (1 || g) is (1 | g)
    groups = _groups(node.right, source)
    budget.spend(len(effects) * len(groups), outer.start, outer.stop)
    return [_term(effects, group, wrapped, double, several, Span(outer.start, outer.stop)) for group in groups]


def _term(
    effects: tuple[FixedTerm, ...], group: Group, wrapped: Wrapper, double: bool, several: bool, span: Span
) -> BarTerm:
    plain = len(group.columns) > 1 and not group.may_be_cov
    shown = double and several
    text = bar_text(
        effects,
        group.columns,
        group.cov,
        wrapped.structure,
        wrapped.options,
        plain,
        traits=wrapped.traits,
        double=shown,
    )
    return BarTerm(effects, *group, wrapped.structure, wrapped.options, text, span, wrapped.traits, double)


def _wrapper(node: Call, source: str, structures: Collection[str]) -> Wrapper:
    """Name and options of ``cs(x | g, hom=TRUE)``."""
    if node.name not in structures:
        what = f"a bar cannot stand inside {node.name[:40]}(): add it as a term, … + (1 | g); structures that may be "
        raise FormulaError(
            f"{what}put around a bar: {', '.join(structures)}", source, node.start, node.start + len(node.name)
        )
    found = structure_options(node, node.args[1:], source)
    options = tuple((name, value) for name, value in found if name != "traits")
    return Wrapper(node.name, options, _traits(node, dict(found).get("traits"), source))


def structure_options(node: Call, positional: Sequence[Node], source: str) -> Options:
    """Options of a structure as names and constants; ``fa(…, 2)`` is ``fa(…, factors=2)``.

    Raises
    ------
    FormulaError
        For an option that is no constant, is given twice, or has no name and needs one.
    """
    name = POSITIONAL.get(node.name)
    if positional and name is None:
        _fail(f"options of {node.name}() go by name, as in hom=TRUE", source, positional[0])
    if len(positional) > 1:
        _fail(f"{node.name}() has one option that goes without a name, {name}", source, positional[1])
    options: list[tuple[str, object]] = []
    for key, value in [*((name or "", value) for value in positional), *((t.text, v) for t, v in node.keywords)]:
        value_tree = constant(value, f"the option {key!r} of {node.name}()", source)
        if isinstance(value_tree, ast.List):
            _fail(f"the option {key!r} of {node.name}() takes one value", source, value)
        if key in dict(options):
            _fail(f"the option {key!r} is given twice", source, value)
        options.append((key, ast.literal_eval(value_tree)))
    return tuple(options)


def _traits(node: Call, value: object, source: str) -> str:
    """``traits="diag"``; ``""`` for ``"us"``, which a term without it has."""
    if value is None or value == "diag":
        return "" if value is None else "diag"
    at = next(found for token, found in node.keywords if token.text == "traits")
    if value != "us":
        _fail(f"traits={value!r}: 'us' (any covariance among responses) or 'diag' (none)", source, at)
    if node.name != "us":
        what = (
            f"{node.name}() is over all combinations of traits and effects: leave traits= out, or write traits='diag'"
        )
        _fail(what, source, at)
    return ""


def _groups(node: Node, source: str) -> list[Group]:
    """Right of the bar: ``g``, ``a:b``, ``a/b`` (= a and a:b), ``gr(g, cov=A)``."""
    match node:
        case Paren(inner=inner):
            return _groups(inner, source)
        case Name(name=name, quoted=quoted):
            if name == "." and not quoted:
                _fail("'.' cannot be a grouping factor", source, node)
            return [Group((column(node, source),))]
        case Binary(op=":" | "/" as op):
            left, right = _groups(node.left, source), _groups(node.right, source)
            if any(g.cov is not None for g in (*left, *right)) or (op == ":" and len(left) + len(right) > 2):
                what = "gr() and '/' cannot be combined here: write the terms out, as in (1 | a) + (1 | gr(a:b, cov=A))"
                raise FormulaError(what, source, node.at)
            pairs = [_joined(left[-1], g, op == ":", node, source) for g in right]
            return pairs if op == ":" else left + pairs
        case Sum():
            _fail("'+' and '-' cannot stand right of a bar; write one term per factor: (1 | a) + (1 | b)", source, node)
        case Call(name="gr"):
            return [_gr(node, source)]
        case Binary(op="*" | "|" | "||" as op, at=at):
            what = "write one term per grouping factor: (1 | a) + (1 | b)"
            raise FormulaError(f"'{op}' cannot stand right of a bar; {what}", source, at, at + len(op))
    _fail("a grouping factor is a column, a:b, a/b or gr(column, cov=A); make other groups in the data", source, node)


def _joined(left: Group, right: Group, sugar: bool, node: Node, source: str) -> Group:
    columns = left.columns + right.columns
    if len(set(columns)) < len(columns):
        _fail("a grouping factor is crossed with itself", source, node)
    return Group(columns, None, sugar or right.may_be_cov)


def _gr(node: Call, source: str) -> Group:
    """``gr(g, cov=A)``; without cov the group is just what it names, which no covariance can capture."""
    if len(node.args) != 1:
        _fail("gr() takes one grouping factor and cov=, as in gr(id, cov=A)", source, node)
    found = _groups(node.args[0], source)
    if len(found) != 1 or found[0].cov is not None or isinstance(node.args[0], Call):
        _fail("gr() takes one grouping factor: a column or a:b", source, node.args[0])
    cov = None
    for token, value in node.keywords:
        if token.text != "cov":
            what = f"gr() has no argument {token.text!r}; it has cov="
            raise FormulaError(what, source, token.start, token.stop)
        if isinstance(value, Text):
            cov = value.value
        elif isinstance(value, Name):
            cov = column(value, source)
        else:
            _fail("cov= is a name given in cov={…}, as in gr(id, cov=A)", source, value)
    return Group(found[0].columns, cov, False)


def repeated(bars: Sequence[BarTerm]) -> tuple[BarTerm, BarTerm, str] | None:
    """The first two terms that cannot be told apart, with the effect that they share."""
    alike: dict[object, BarTerm] = {}
    sharing: dict[object, BarTerm] = {}
    for bar in bars:
        where = (bar.group if bar.may_be_cov else frozenset(bar.group), bar.cov)
        effects = _effects(bar)
        if (earlier := alike.setdefault((where, effects), bar)) is not bar:
            return earlier, bar, _effect(min(effects, key=len))
        if bar.structure in ("us", "diag"):
            for effect in effects:
                if (earlier := sharing.setdefault((where, effect), bar)) is not bar:
                    return earlier, bar, _effect(effect)
    return None


def _effect(factors: frozenset[str]) -> str:
    return ":".join(sorted(factors)) if factors else "intercept"


def _effects(bar: BarTerm) -> frozenset[frozenset[str]]:
    return frozenset(frozenset(term.factors) for term in bar.effects)


def confounded(first: BarTerm, second: BarTerm, effect: str) -> str:
    """Message on two terms that `repeated` found."""
    if {first.structure, second.structure} == {"rr", "diag"} and _effects(first) == _effects(second):
        k = dict((*first.options, *second.options)).get("factors", 1)
        return f"{first.text} and {second.text} together are one structure: write fa(…, {k})"
    what = f"both hold a random {effect}" if effect == "intercept" else f"both hold a random effect of {effect}"
    return f"{first.text} and {second.text} are confounded: {what} for the same groups; drop it from one of them"


def check_repeated(bars: Iterable[BarTerm], source: str) -> None:
    """Refuse two terms that cannot be told apart, with a caret under the second."""
    if (found := repeated(tuple(bars))) is not None:
        raise FormulaError(confounded(*found), source, found[1].span.start, found[1].span.stop)


def _fail(message: str, source: str, node: Node) -> NoReturn:
    raise FormulaError(message, source, node.start, node.stop)
