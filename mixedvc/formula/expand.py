"""The algebra of terms, as R's terms.formula has it: a term is a set of variables, a formula a list of terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from ..errors import FormulaError
from .allowlist import column, factor_text
from .canonical import quote
from .syntax import Binary, Call, Items, Name, Node, Number, Paren, Sum, Text, Unary
from .terms import FixedTerm, Span

MAX_TERMS = 30_000

Terms = dict[int, tuple[int, int]]
"""Bit set of variables → place in the source where the term first appeared; in order of appearance."""


class Budget:
    """What the terms of one formula, random ones included, may cost before it is refused."""

    def __init__(self, source: str):
        self.source, self.left = source, MAX_TERMS

    def spend(self, amount: int, start: int, stop: int) -> None:
        """Raise FormulaError with carets at the place once the formula has become too large."""
        self.left -= amount
        if self.left < 0:
            raise FormulaError(f"the formula expands to more than {MAX_TERMS:,} terms", self.source, start, stop)


class Algebra:
    """A workspace that expands one model formula: the right-hand side, or what stands left of a bar.

    Parameters
    ----------
    budget : Budget
        Of the whole formula; holds the text for carets.
    dot : sequence of str or None
        Columns that ``.`` stands for; None where they are not known yet, and ``.`` then adds nothing.
    dot_allowed : bool
        False left of a bar.
    where : str
        Of a part of the formula that has an intercept only where it is written: ``"common()"``, ``"at()"``.
    """

    def __init__(self, budget: Budget, dot: Sequence[str] | None = None, dot_allowed: bool = True, where: str = ""):
        self.budget, self.source, self.dot, self.dot_allowed = budget, budget.source, dot, dot_allowed
        self.variables: dict[str, int] = {}
        self.where, self.intercept, self.adding, self.has_dot = where, not where, True, False

    def terms(self, node: Node | None, at: int) -> tuple[FixedTerm, ...]:
        """Terms by degree, then appearance; the intercept first. `at` is the place of an intercept not written."""
        found = self._expand(node) if node is not None else {}
        names = list(self.variables)
        terms = [FixedTerm((), Span(at, at))] if self.intercept else []
        for bits, place in sorted(found.items(), key=lambda item: item[0].bit_count()):
            terms.append(FixedTerm(tuple(_pick(names, bits)), Span(*place)))
        return tuple(terms)

    def _expand(self, node: Node) -> Terms:
        match node:
            case Name():
                return self._name(node)
            case Sum():
                return self._sum(node)
            case Paren(inner=inner):
                return self._expand(inner)
            case Number():
                return self._number(node)
            case Call():
                return {self._bit(factor_text(node, self.source)): (node.start, node.stop)}
            case Unary(op=op, operand=operand):
                if op == "+":
                    return self._expand(operand)
                self._signed(False, operand, {})
                return {}
            case Binary():
                return self._binary(node)
            case Text():
                self._fail("a string cannot be a term; column names go without quotes", node)
            case Items():
                self._fail("a list cannot be a term", node)

    def _name(self, node: Name) -> Terms:
        place = (node.start, node.stop)
        if node.name != "." or node.quoted:
            return {self._bit(quote(column(node, self.source))): place}
        if not self.dot_allowed:
            self._fail(
                f"'.' cannot stand {f'inside {self.where}' if self.where else 'left of a bar'}: name the columns", node
            )
        self.has_dot = True
        self.budget.spend(len(self.dot or ()), *place)
        return {self._bit(quote(name)): place for name in self.dot or ()}

    def _bit(self, text: str) -> int:
        """The bit of a variable, a new one on its first appearance."""
        return 1 << self.variables.setdefault(text, len(self.variables))

    def _number(self, node: Number) -> Terms:
        if node.value not in (0, 1):
            self._fail(f"{node.value} cannot be a term: only 1 and 0 can, to add or drop the intercept", node)
        added = (node.value == 1) == self.adding
        if self.where and not added:
            self._fail(f"{self.where} has no intercept unless 1 is written, so there is none to drop", node)
        self.intercept = added
        return {}

    def _sum(self, node: Sum) -> Terms:
        total: Terms = {}
        for added, part in node.parts:
            self._signed(added, part, total)
        return total

    def _signed(self, added: bool, part: Node, total: Terms) -> None:
        """Add the terms of `part` to `total`, or take them away."""
        if added:
            for bits, place in self._expand(part).items():
                total.setdefault(bits, place)
            return
        self.adding = not self.adding
        for bits in self._expand(part):
            total.pop(bits, None)
        self.adding = not self.adding

    def _binary(self, node: Binary) -> Terms:
        place = (node.start, node.stop)
        if node.op == "^":
            return self._power(node)
        if node.op not in (":", "*", "/", "%in%"):
            self._operator(node)
        for side in (node.left, node.right):
            if isinstance(side, Number):
                self._fail("a number cannot be multiplied or nested; arithmetic goes into I(…)", side)
        left, right = self._expand(node.left), self._expand(node.right)
        if node.op == ":":
            return self._cross(left, right, place)
        if node.op == "*":
            return {**left, **_new(left, right), **_new({**left, **right}, self._cross(left, right, place))}
        if node.op == "/":
            inner = self._cross({_union(left): place}, right, place)
            return {**left, **_new(left, inner)}
        return self._cross(left, {_union(right): place}, place)

    def _cross(self, left: Terms, right: Terms, place: tuple[int, int]) -> Terms:
        """Every term of `left` with every term of `right`."""
        self.budget.spend(len(left) * len(right), *place)
        return {a | b: place for a in left for b in right}

    def _power(self, node: Binary) -> Terms:
        exponent = node.right
        while isinstance(exponent, Paren):
            exponent = exponent.inner
        if not isinstance(exponent, Number) or exponent.value != int(exponent.value) or exponent.value < 1:
            self._fail("the exponent of a formula is a whole number from 1; arithmetic goes into I(…)", node.right)
        base = self._expand(node.left)
        total = base
        for _ in range(int(exponent.value) - 1):
            larger = self._cross(total, base, (node.start, node.stop))
            larger = {bits: base.get(bits, place) for bits, place in larger.items()}
            if larger.keys() == total.keys():
                break
            total = larger
        return total

    def _operator(self, node: Binary) -> NoReturn:
        """Refuse bars and arithmetic where terms are multiplied, nested or taken away."""
        if node.op in ("|", "||"):
            what = "a bar term can only be added, in parentheses of its own: … + (1 | g)"
        else:
            what = f"'{'%%' if node.op == '%' else node.op}' is arithmetic: put it into I(…)"
        raise FormulaError(what, self.source, node.at, node.at + len(node.op))

    def _fail(self, message: str, node: Node) -> NoReturn:
        raise FormulaError(message, self.source, node.start, node.stop)


def _pick(names: list[str], bits: int) -> list[str]:
    """Names of the set bits, lowest first."""
    picked = []
    while bits:
        low = bits & -bits
        picked.append(names[low.bit_length() - 1])
        bits ^= low
    return picked


def _union(terms: Terms) -> int:
    bits = 0
    for term in terms:
        bits |= term
    return bits


def _new(old: Terms, new: Terms) -> Terms:
    return {bits: place for bits, place in new.items() if bits not in old}
