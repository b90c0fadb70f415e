"""Terms to columns as R's model.matrix makes them, remembered so that new rows get the same columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BindError, DataError, OptionError
from ..linalg import memory as memory_limits
from .contrasts import Contrast, coding
from .expressions import Categories, Evaluator, Value, names_in
from .frames import listed, nearest
from .missing import refuse_infinite

Float = NDArray[np.float64]
MAX_LEVELS = 2000  # a factor with more levels is refused as a fixed effect


@dataclass(frozen=True)
class Variable:
    """One factor of the terms: numbers (n, c), or a coded categorical.

    Attributes
    ----------
    text : str
        Canonical text.
    width : int
        Columns of numbers; 0 for a categorical.
    matrix_valued : bool
        True where the numbers came as a matrix (poly, bs): its columns are tagged even if there is only one.
    levels : (L,) object or None
    contrast : (L, c) float or None
    tags : tuple of str
        Of the contrast's columns.
    """

    text: str
    width: int
    matrix_valued: bool = False
    levels: NDArray[np.object_] | None = None
    contrast: Float | None = None
    tags: tuple[str, ...] = ()

    def names(self, full: bool) -> tuple[str, ...]:
        """Column names: ``x``, ``poly(x, 2)[1]``, ``f[T.b]`` coded by contrasts, ``f[b]`` by dummies."""
        if self.levels is not None:
            return tuple(f"{self.text}[{tag}]" for tag in (self.levels if full else self.tags))
        if not self.matrix_valued:
            return (self.text,)
        return tuple(f"{self.text}[{j + 1}]" for j in range(self.width))

    def columns(self, value: Value, full: bool, labels: NDArray[Any]) -> Float:
        """(n, c) columns of a value of this variable; NaN where it is missing."""
        if self.levels is None:
            if isinstance(value, Categories):
                raise DataError(f"{self.text} was numeric in the fit and holds labels now: {listed(value.levels, 3)}")
            return value.reshape(len(value), -1)
        assert self.contrast is not None
        codes = self._codes(value, labels)
        coded = np.eye(len(self.levels)) if full else self.contrast
        X = coded[codes]
        X[codes < 0] = np.nan
        return X

    def _codes(self, value: Value, labels: NDArray[Any]) -> NDArray[np.intp]:
        assert self.levels is not None
        if not isinstance(value, Categories):
            if not np.isnan(value).all():
                raise DataError(
                    f"{self.text} was a factor in the fit and holds numbers now; its levels were {listed(self.levels)}"
                )
            return np.full(len(value), -1, dtype=np.intp)
        if value.levels is self.levels:
            return value.codes
        where = {level: i for i, level in enumerate(self.levels)}
        place = np.array([where.get(level, -2) for level in value.levels] + [-1], dtype=np.intp)
        codes = place[value.codes]
        if (codes == -2).any():
            new = [value.levels[c] for c in dict.fromkeys(value.codes[codes == -2].tolist())]
            rows = labels[codes == -2]
            raise DataError(
                f"{self.text} has {len(new)} level(s) that the fit did not see: {listed(new)} (row {rows[0]!r}). "
                f"A fixed effect is only known for: {listed(self.levels)}"
            )
        return codes


@dataclass(frozen=True)
class Coder:
    """Everything needed to make the columns of some terms again on other rows.

    Attributes
    ----------
    terms : tuple of tuple of str
        Factor texts of each term; ``()`` is the intercept.
    full : tuple of tuple of bool
        For each factor of each term: coded by dummies rather than contrasts (only read for categoricals).
    variables : mapping of str to Variable
    names : tuple of str
        Of all columns, in the order of R's model.matrix.
    """

    terms: tuple[tuple[str, ...], ...]
    full: tuple[tuple[bool, ...], ...]
    variables: Mapping[str, Variable]
    names: tuple[str, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns of each term."""
        each = zip(self.terms, self.full, strict=True)
        return tuple(len(_term_names(term, flags, self.variables)) for term, flags in each)

    def matrix(self, evaluator: Evaluator, labels: NDArray[Any]) -> Float:
        """(n, p) columns for the table of `evaluator`; rows with a missing cell are NaN in the columns that read it."""
        return self.assemble({text: evaluator.value(text) for text in self.variables}, labels)

    def assemble(self, values: Mapping[str, Value], labels: NDArray[Any]) -> Float:
        """(n, p) columns from the value of each variable."""
        n = len(labels)
        memory_limits.require(
            8 * n * len(self.names),
            f"the fixed-effects matrix ({n} rows, {len(self.names)} columns)",
            "Write factors of many levels as random terms, (1 | f).",
        )
        blocks = [self._term(term, full, values, labels) for term, full in zip(self.terms, self.full, strict=True)]
        return np.concatenate(blocks, axis=1) if blocks else np.empty((n, 0))

    def _term(self, term: tuple[str, ...], full: tuple[bool, ...], values: Mapping[str, Value], labels: Any) -> Float:
        """Products of the factors' columns, those of the first factor changing fastest."""
        if not term:
            return np.ones((len(labels), 1))
        blocks = [self.variables[t].columns(values[t], dummies, labels) for t, dummies in zip(term, full, strict=True)]
        X = blocks[0]
        for block in blocks[1:]:
            X = (block[:, :, None] * X[:, None, :]).reshape(len(X), -1)
        return X


def learn(
    terms: Sequence[tuple[str, ...]],
    values: Mapping[str, Value],
    rows: NDArray[np.intp],
    contrasts: Mapping[str, Contrast],
) -> tuple[Coder, dict[str, Value], tuple[str, ...]]:
    """Decide the coding of terms on the rows kept.

    Parameters
    ----------
    terms : sequence of tuple of str
        In R's order.
    values : mapping of str to Value
        Value of each factor on all rows given.
    rows : (n,) intp
        Rows kept.
    contrasts : mapping of str to Contrast
        The user's wishes, by factor or by column.

    Returns
    -------
    coder : Coder
    kept : dict of str to Value
        The values on the rows kept, categoricals reduced to the levels found there.
    lost : tuple of str
        ``"f 'c'"`` for each level that only dropped rows had.
    """
    variables: dict[str, Variable] = {}
    kept: dict[str, Value] = {}
    lost: list[str] = []
    for text in dict.fromkeys(text for term in terms for text in term):
        value = values[text]
        if isinstance(value, Categories):
            kept[text], gone = _reduced(value, rows)
            lost += [f"{text} {level!r}" for level in gone]
            variables[text] = _categorical(text, kept[text], contrasts)
        else:
            kept[text] = value[rows]
            variables[text] = Variable(text, 1 if value.ndim == 1 else value.shape[1], value.ndim == 2)
    return coded(terms, variables), kept, tuple(lost)


def coded(terms: Sequence[tuple[str, ...]], variables: Mapping[str, Variable], first: int = 0) -> Coder:
    """The coder of the terms from `first` on, beside the earlier ones."""
    factors = {text for text, variable in variables.items() if variable.levels is not None}
    own, full = tuple(terms)[first:], full_dummies(terms, factors)[first:]
    names = tuple(n for term, flags in zip(own, full, strict=True) for n in _term_names(term, flags, variables))
    return Coder(own, full, {text: variables[text] for text in dict.fromkeys(t for term in own for t in term)}, names)


def full_dummies(terms: Sequence[tuple[str, ...]], factors: set[str]) -> tuple[tuple[bool, ...], ...]:
    """Which categorical factors of which terms R codes by dummies instead of contrasts.

    Factor f of a term is coded by contrasts if the term without f is empty or contained in an earlier term (Chambers
    and Hastie 1992, p. 38); without an intercept the first categorical of the first term that has one gets dummies.
    """
    flags: list[list[bool]] = []
    for i, term in enumerate(terms):
        flags.append([])
        for text in term:
            margin = set(term) - {text}
            covered = not margin or any(margin <= set(earlier) for earlier in terms[:i])
            flags[-1].append(text in factors and not covered)
    if () not in terms:
        for i, term in enumerate(terms):
            place = next((j for j, text in enumerate(term) if text in factors), None)
            if place is not None:
                flags[i][place] = True
                break
    return tuple(map(tuple, flags))


def check_contrast_names(contrasts: Mapping[str, Contrast], coders: Sequence[Coder]) -> None:
    """Refuse contrasts for what is no factor of the model."""
    factors = {t for coder in coders for t, v in coder.variables.items() if v.levels is not None}
    every = {t for coder in coders for t in coder.variables}
    for name in contrasts:
        if any(name == text or names_in(text) == (name,) for text in factors):
            continue
        if name in every:
            raise OptionError(f"contrasts[{name!r}]: {name!r} is numeric; write factor({name}) in the formula")
        raise OptionError(f"contrasts[{name!r}]: no factor of the formula has this name{nearest(name, factors)}")


def refuse_bad_cells(coder: Coder, kept: Mapping[str, Value], labels: NDArray[Any]) -> None:
    """Refuse infinite numbers, and numbers that a transform made of something finite."""
    for text in coder.variables:
        value = kept[text]
        if not isinstance(value, Categories):
            because = "" if names_in(text) == (text,) else f" (computed from {', '.join(names_in(text))})"
            refuse_infinite(text, value, labels, because)


def _reduced(value: Categories, rows: NDArray[np.intp]) -> tuple[Categories, list[Any]]:
    """The categorical on the rows kept with only the levels found there, and the levels lost with dropped rows."""
    codes = value.codes[rows]
    count = np.bincount(codes, minlength=len(value.levels))
    if count.all():
        return Categories(codes, value.levels, value.ordered, value.contrast, value.logical), []
    before = np.bincount(value.codes[value.codes >= 0], minlength=len(value.levels))
    gone = value.levels[(count == 0) & (before > 0)].tolist()
    place = np.cumsum(count > 0) - 1
    return Categories(place[codes], value.levels[count > 0], value.ordered, value.contrast, value.logical), gone


def _categorical(text: str, value: Value, contrasts: Mapping[str, Contrast]) -> Variable:
    assert isinstance(value, Categories)
    if len(value.levels) > MAX_LEVELS:
        raise BindError(
            f"the factor {text!r} has {len(value.levels)} levels, more than the {MAX_LEVELS} allowed for a fixed "
            f"effect; did you mean the random term (1 | {text})?"
        )
    default = Contrast("poly" if value.ordered else "treatment")
    wish = contrasts.get(text) or next((c for name, c in contrasts.items() if names_in(text) == (name,)), None)
    matrix, tags = coding(value.contrast or wish or default, value.levels, text)
    return Variable(text, 0, False, value.levels, matrix, tags)


def _term_names(term: tuple[str, ...], full: tuple[bool, ...], variables: Mapping[str, Variable]) -> list[str]:
    names = [""]
    for place, (text, dummies) in enumerate(zip(term, full, strict=True)):
        own = variables[text].names(dummies)
        names = [f"{left}:{right}" if place else right for right in own for left in names]
    return names if term else ["Intercept"]
