"""What a formula says, as frozen values: no data, no numpy, only names, text and positions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """Character positions ``source[start:stop]`` in the formula text."""

    start: int
    stop: int


@dataclass(frozen=True)
class FixedTerm:
    """One term of the fixed part after R's expansion of ``* : ^ / - .``: a product of factors.

    ``factors == ()`` is the intercept. Each factor is the canonical text of a column name or of an
    allow-listed transform (``"Days"``, ``"log(x)"``, ``"poly(age, 2)"``); back-quoted names keep their quotes.
    """

    factors: tuple[str, ...]
    span: Span


@dataclass(frozen=True)
class BarTerm:
    """One random term ``structure(effects | group)`` after expansion of ``/`` and of ``||`` to diag.

    Attributes
    ----------
    effects : tuple of FixedTerm
        Left of the bar; the implicit intercept is already in it (``(x|g)`` has ``((), ("x",))``).
    group : tuple of str
        Factors of the grouping, right of the bar: ``("batch", "cask")`` for ``a:b``.  Column names without
        back-quotes.
    cov : str or None
        Name in ``cov=`` given explicitly by ``gr(group, cov=A)``.
    may_be_cov : bool
        True for the sugar ``(… | g:s)``: whether ``s`` (the last of `group`) is a column or a covariance is
        decided when the names are known, by `mixedvc.formula.resolve.resolve`.
    structure : str
        Registered structure name: ``"us"`` (plain bar), ``"diag"`` (``||``), or the wrapper's name.
    options : tuple of (str, constant)
        Keyword arguments of the wrapper, e.g. ``(("hom", True),)``.
    text : str
        Canonical text of the term.
    traits : str
        ``traits="diag"`` of a wrapper: several responses do not covary in this term; ``""`` where it is not given.
    double : bool
        Written with ``||``.
    """

    effects: tuple[FixedTerm, ...]
    group: tuple[str, ...]
    cov: str | None
    may_be_cov: bool
    structure: str
    options: tuple[tuple[str, object], ...]
    text: str
    span: Span
    traits: str = ""
    double: bool = False


@dataclass(frozen=True)
class TraitTerms:
    """Fixed effects of some responses: ``common(x)``, one coefficient for all, or ``at(y1, x)``.

    Attributes
    ----------
    traits : tuple of str
        Of ``at()``: canonical texts or plain names of responses; empty for ``common()``.
    terms : tuple of FixedTerm
        Expanded; an intercept only where ``1`` is written.
    text : str
        Canonical text.
    """

    traits: tuple[str, ...]
    terms: tuple[FixedTerm, ...]
    text: str
    span: Span

    @property
    def shared(self) -> bool:
        """Whether it is ``common()``."""
        return not self.traits


@dataclass(frozen=True)
class Formula:
    """A parsed formula.

    Attributes
    ----------
    source : str
        As the user wrote it.
    response : tuple of str
        Canonical text of each response (several for ``cbind(y1, y2)``); a name given in ``responses=`` looks
        like a column here.
    fixed : tuple of FixedTerm
        Expanded, intercept first if present, then by degree as R orders them.
    bars : tuple of BarTerm
        In order of writing.
    offsets : tuple of str
        Canonical text of each ``offset(...)``.
    has_dot : bool
        True if ``.`` stood in the fixed part; `fixed` then lacks its expansion, which `expand_dot` adds once the
        columns are known.
    of_traits : tuple of TraitTerms
        Each ``common(…)`` and ``at(…)``, in order of writing.
    """

    source: str
    response: tuple[str, ...]
    fixed: tuple[FixedTerm, ...]
    bars: tuple[BarTerm, ...]
    offsets: tuple[str, ...]
    has_dot: bool = False
    of_traits: tuple[TraitTerms, ...] = ()

    @property
    def every_fixed(self) -> tuple[FixedTerm, ...]:
        """Fixed terms of all traits and of some."""
        return (*self.fixed, *(term for some in self.of_traits for term in some.terms))
