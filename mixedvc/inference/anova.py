"""Hypotheses of the terms of a model: sequential (type I), obeying marginality (II), of equally weighted cells (III).

A term's hypothesis is a set of rows L with Lβ = 0.  They follow SAS (Goodnight 1978: four types of estimable functions)
with the orthogonalities of unweighted least squares, as lmerTest does; the rows are scaled as lmerTest scales them, for
Satterthwaite's joint degrees of freedom depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.expressions import Evaluator
from ..design.fixed import Coder
from ..design.random import column_reader
from ..design.spec import ModelSpec
from ..errors import NotProvided, OptionError
from ..linalg import dense as la
from ..linalg.columns import column_rank

Float = NDArray[np.float64]
Factors = tuple[str, ...]
SMALL = 1e-8  # rows of hypotheses are of order one
TYPES = {"1": 1, "2": 2, "3": 3, "i": 1, "ii": 2, "iii": 3}


@dataclass(frozen=True)
class TermHypothesis:
    """What is tested of one term.

    Attributes
    ----------
    name : str
        ``A:B``.
    L : (r, p)
        Independent rows on the coefficients that were estimated; r = 0 where nothing of the term can be tested.
    nominal : int
        Rows that there would be if all cells of the design had data.
    """

    name: str
    L: Float
    nominal: int


def check_type(kind: int | str) -> int:
    """1, 2 or 3 from a number or a Roman numeral."""
    found = TYPES.get(str(kind).lower())
    if found is None:
        raise OptionError(f"type={kind!r} is not one of 1, 2, 3 (or 'I', 'II', 'III')")
    return found


def term_hypotheses(spec: ModelSpec, kind: int) -> list[TermHypothesis]:
    """The hypothesis of every term of the fixed part but the intercept, in the order of the formula.

    Parameters
    ----------
    kind : 1, 2 or 3

    Raises
    ------
    NotProvided
        A specification that was not made from a formula, so that its columns belong to no terms.
    """
    source = _source(spec)
    frame = source.frame.iloc[kept_rows(spec)]
    return Fixed(spec.X, source.coder, source.kept, frame, source.memory, spec.row_labels).hypotheses(kind)


def _source(spec: ModelSpec) -> Any:
    if getattr(spec.source, "coder", None) is None:
        raise NotProvided(
            "this model was not made from a formula, so its columns belong to no terms: test rows of coefficients "
            "with contrast()"
        )
    return spec.source


class Fixed:
    """Columns X (n, p) of a fixed part by terms: how they were coded, which were kept, and the data behind the rows."""

    def __init__(
        self, X: Float, coder: Coder, kept: NDArray[np.intp], frame: Any, memory: Any, labels: NDArray[np.object_]
    ):
        self.X, self.p, self.coder, self.labels = X, X.shape[1], coder, labels
        self.frame, self.memory = frame, memory
        self.terms: tuple[Factors, ...] = coder.terms
        self.factors = {text for text, variable in coder.variables.items() if variable.levels is not None}
        owner = np.repeat(np.arange(len(self.terms)), [self._width(i) for i in range(len(self.terms))])
        self.owner = owner[kept]  # term of each column of X

    def hypotheses(self, kind: int) -> list[TermHypothesis]:
        """Of every term but the intercept."""
        make = {1: self.sequential, 2: self.marginal, 3: self.unweighted_cells}[kind]
        return [TermHypothesis(":".join(t), make(t), self.nominal(t)) for t in self.terms if t]

    def _width(self, i: int) -> int:
        sizes = [
            len(self.coder.variables[text].names(full))
            for text, full in zip(self.terms[i], self.coder.full[i], strict=True)
        ]
        return int(np.prod(sizes, dtype=int))

    def nominal(self, term: Factors) -> int:
        """Columns of the term in the coding of the model."""
        return self._width(self.terms.index(term))

    def columns(self, term: Factors) -> NDArray[np.intp]:
        """Columns of X that belong to the term."""
        return np.flatnonzero(self.owner == self.terms.index(term))

    def containing(self, term: Factors) -> list[Factors]:
        """Terms with the same numbers in them and more factors: SAS's containment."""
        numbers, factors = set(term) - self.factors, set(term) & self.factors
        return [
            other
            for other in self.terms
            if set(other) - self.factors == numbers and factors < set(other) & self.factors and term
        ]

    # ---- the three types -----------------------------------------------------------------------------------------

    def sequential(self, term: Factors) -> Float:
        """Rows of the triangular factor of X: the term after those written before it."""
        return self._triangle(np.arange(self.p))[self.columns(term)]

    def marginal(self, term: Factors) -> Float:
        """The term after all that do not contain it."""
        own = self.columns(term)
        above = [j for other in self.containing(term) for j in self.columns(other).tolist()]
        if not above:
            return np.eye(self.p)[own]
        before = np.setdiff1d(np.arange(self.p), [*own.tolist(), *above])
        order = np.concatenate([before, own, np.array(sorted(above), dtype=np.intp)])
        rows = self._triangle(order)[len(before) : len(before) + len(own)]
        L = np.zeros_like(rows)
        L[:, order] = rows
        return L

    def _triangle(self, order: NDArray[np.intp]) -> Float:
        """R of X[:, order] with a unit diagonal (Doolittle's factor of XᵀX)."""
        R = la.qr(self.X[:, order])[1]
        return R / np.diagonal(R)[:, None]

    def unweighted_cells(self, term: Factors) -> Float:
        """Functions of the term and of those containing it, orthogonal to the functions of the latter alone.

        They are sought among the estimable functions of the model with a parameter for every cell of every term, so
        that the coding of factors plays no part.
        """
        E, places = self._estimable
        own = places[term]
        above = {j for other in self.containing(term) for j in places[other].tolist()}
        others = np.array(
            [j for j in range(E.shape[1]) if j not in above and j not in set(own.tolist())], dtype=np.intp
        )
        U, s, Vt = la.svd(E)
        r = int(np.sum(s > SMALL * s[0]))
        free = _left_null(Vt[:r, others])  # (k, r) combinations of the estimable functions without the other terms
        F = free @ Vt[:r]
        a, s_own, _ = la.svd(F[:, own])
        keep = s_own > SMALL
        # those with a part in the term's own parameters are orthogonal to those without
        chosen = a[:, : len(s_own)][:, keep].T @ free
        L = (chosen / s[:r]) @ U[:, :r].T
        return _echelon(chosen @ Vt[:r][:, own], L, self._reference(term))

    @cached_property
    def _estimable(self) -> tuple[Float, dict[Factors, NDArray[np.intp]]]:
        """E (p×P) with β = Eb for Xβ = Wb, W the columns of all cells of all terms, and each term's places in P."""
        Q, R = la.qr(self.X)
        evaluator = Evaluator(column_reader(self.frame), dict(self.memory))
        values = {text: evaluator.value(text) for text in self.coder.variables}
        parts, places, at = [], {}, 0
        for term in self.terms:
            W = self._cells(term).assemble(values, self.labels)
            parts.append(la.solve_triangular(R, Q.T @ W, lower=False))
            places[term] = np.arange(at, at + W.shape[1])
            at += W.shape[1]
        E = np.hstack(parts)
        E[np.abs(E) < 1e-11 * np.abs(E).max()] = 0.0
        return E, places

    def _cells(self, term: Factors) -> Coder:
        """The term with every factor coded by dummies."""
        count = int(np.prod([self._cells_of(text) for text in term], dtype=int))
        names = tuple(str(j) for j in range(count))
        return Coder((term,), (tuple(True for _ in term),), {t: self.coder.variables[t] for t in term}, names)

    def _cells_of(self, text: str) -> int:
        return len(self.coder.variables[text].names(True))

    def _reference(self, term: Factors) -> NDArray[np.bool_]:
        """(c,) cells of the term in which some factor is at its first level."""
        first = np.zeros(1, dtype=bool)
        for text in term:
            count = self._cells_of(text)
            own = np.zeros(count, dtype=bool)
            if text in self.factors:
                own[0] = True
            first = (own[:, None] | first[None, :]).ravel()
        return first


def kept_rows(spec: ModelSpec) -> NDArray[np.intp]:
    """Positions in the data handed in of the rows of the fit."""
    return np.setdiff1d(np.arange(spec.dropped.n_given), spec.dropped.rows)


def _left_null(M: Float) -> Float:
    """(k, r) orthonormal rows a with a M = 0, for M (r, c) a part of an orthonormal basis."""
    if M.shape[1] == 0:
        return np.eye(len(M))
    values, vectors = la.small_eigh(M @ M.T)
    return vectors[:, values < SMALL].T


def _echelon(own: Float, L: Float, reference: NDArray[np.bool_]) -> Float:
    """Rows of L recombined so that each meets one cell of the term alone, cells beyond first levels preferred."""
    order = np.argsort(reference, kind="stable")
    picks = order[column_rank(own[:, order]).kept][: len(L)]
    rows = la.small_solve(own[:, picks], L)
    rows[np.abs(rows) < 1e-11 * np.abs(rows).max(initial=0.0)] = 0.0
    return rows
