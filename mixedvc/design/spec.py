"""The frozen model specification: everything an estimator may know, arrays read-only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..covariance.base import Covariance, Positions
from ..structures.base import Structure, pattern_of, sigma_of
from .families import row_families

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Term:
    """One random term, Cov(vec u) = Σ(θ) ⊗ A, rows meet levels through `codes` and `basis`.

    Attributes
    ----------
    name : str
        Unique key in results (``"Subject"``, ``"kin"``).
    label : str
        As it is printed: ``"Subject"``, ``"kin (cov A)"``.
    text : str
        Canonical formula text, ``"(1 + Days | Subject)"``.
    group : str
        Grouping factor(s), ``"batch:cask"``; ``"Residual"`` for the residual.
    effects : tuple of str
        k names, left of the bar.
    levels : (q,) object
        Levels seen in the data, in the order of `codes`.
    codes : (n,) intp
        Level of each row.
    basis : (n, k) float
        Value of each effect in each row; Z_a = diag(basis[:, a]) · incidence(codes).
    covariance : Covariance
        The known A, perhaps with more labels than `levels` (relatives without records).
    positions : (q,) intp
        Where each of `levels` is in ``covariance.labels``.
    structure : Structure
        Σ (k×k).
    cov_name : str or None
        Name in ``cov=``; None for independent levels.
    """

    name: str
    label: str
    text: str
    group: str
    effects: tuple[str, ...]
    levels: NDArray[np.object_]
    codes: NDArray[np.intp]
    basis: Float
    covariance: Covariance
    positions: Positions
    structure: Structure
    cov_name: str | None = None

    @property
    def k(self) -> int:
        """Number of effects."""
        return len(self.effects)

    @property
    def q(self) -> int:
        """Number of levels seen in the data."""
        return len(self.levels)

    def Z(self, a: int = 0) -> sp.csr_array:
        """Sparse n×q design of effect `a`."""
        n = len(self.codes)
        return sp.csr_array((self.basis[:, a], self.codes, np.arange(n + 1)), shape=(n, self.q))

    def linked_codes(self) -> list[NDArray[np.intp]]:
        """Level of each row, −1 where the effects are zero in it; effect by effect where effects are independent."""
        if all(a == b for a, b in self.structure.pairs):
            return [np.where(column != 0.0, self.codes, -1) for column in self.basis.T]
        return [np.where(self.basis.any(axis=1), self.codes, -1)]

    def row_products(self, basis: Float | None = None) -> Float:
        """(m, n) what each linear parameter adds to a row's variance, A counted as if of unit diagonal.

        `basis` (n, k) in the place of the term's own, e.g. in working rows.
        """
        x, pairs, pattern = self.basis if basis is None else basis, self.structure.pairs, pattern_of(self.structure)
        if pattern is None:
            return np.stack([x[:, a] * x[:, b] * (1.0 if a == b else 2.0) for a, b in pairs])
        row, cell = np.nonzero(x)  # one effect a row
        out = np.zeros((len(pairs), len(x)))
        out[pattern[cell, cell], row] = x[row, cell] ** 2
        return out

    def spread(self, u: Float) -> Float:
        """Z u: (n, c) row contributions of u (q, k) or (q, k, c)."""
        rows = u[self.codes]
        return np.einsum("nk,nk...->n...", self.basis, rows)

    def collect(self, r: Float) -> Float:
        """Zᵀ r: (q, k) or (q, k, c) for r (n,) or (n, c)."""
        if r.ndim == 1:
            return np.stack([np.bincount(self.codes, x * r, minlength=self.q) for x in self.basis.T], axis=1)
        out = np.empty((self.q, self.k, r.shape[1]))
        for a in range(self.k):
            out[:, a] = self.Z(a).T @ r
        return out


@dataclass(frozen=True)
class Dropped:
    """Rows left out of the fit and why.

    `rows` are positions in the data handed in; `by_variable` counts missing cells per variable among them.
    """

    n_given: int
    rows: NDArray[np.intp]
    by_variable: tuple[tuple[str, int], ...] = ()

    @property
    def count(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class ParameterIndex:
    """Where one linear parameter θ_j sits: entry (a, b) of Σ of term `term` (the residual is the last term)."""

    term: int
    a: int
    b: int


@dataclass(frozen=True)
class ModelSpec:
    """A model bound to data: y = Xβ + Σ Z_i u_i + e with every array fixed and read-only.

    Attributes
    ----------
    y : (n,)
        Response as given (offset not subtracted); of several, the cells that were observed, record by record.
    X : (n, p)
        Fixed-effect columns of full rank.
    terms : tuple of Term
        Random terms in the order of the formula.
    residual : Term
        The residual as a term, A = identity: levels = rows and basis = weights^-½ (ones without weights); or, where
        ``residual=`` says so, levels = groups of rows that depend on each other, effects = the cells of a group.
    x_names, y_names : tuple of str
    row_labels : (n,) object
        Index of the data frame, of the rows kept; of cells, with the response: ``"12, y1"``.
    weights, offset : (n,) or None
    aliased : tuple of str
        Fixed-effect columns dropped as linear combinations of earlier ones.
    dropped : Dropped
    missing : str
        "omit" | "exclude" | "fail".
    notes : tuple of str
        Assumptions made while binding, in plain words; printed by the summary.
    source : Any
        `design.source.Source`: what is needed to bind new rows and to save (opaque to estimators).
    traits : Any
        `design.traits.Traits` where rows are cells of records × traits (several responses), else None.
    """

    y: Float
    X: Float
    terms: tuple[Term, ...]
    residual: Term
    x_names: tuple[str, ...]
    y_names: tuple[str, ...]
    row_labels: NDArray[np.object_]
    weights: Float | None = None
    offset: Float | None = None
    aliased: tuple[str, ...] = ()
    dropped: Dropped = field(default_factory=lambda: Dropped(0, np.empty(0, np.intp)))
    missing: str = "omit"
    notes: tuple[str, ...] = ()
    source: Any = None
    traits: Any = None

    fitter: ClassVar[Callable[..., Any] | None] = None  # set by mixedvc.api, so that nothing here looks upward

    def __post_init__(self) -> None:
        arrays: list[NDArray[Any] | None] = [self.y, self.X, self.weights, self.offset]
        for term in self.all_terms:
            arrays += [term.codes, term.basis, term.positions]
        for array in arrays:
            if array is not None:
                array.flags.writeable = False

    @property
    def all_terms(self) -> tuple[Term, ...]:
        """The random terms, then the residual."""
        return (*self.terms, self.residual)

    @property
    def n(self) -> int:
        """Rows kept."""
        return self.X.shape[0]

    @property
    def p(self) -> int:
        """Fixed effects estimated."""
        return self.X.shape[1]

    @cached_property
    def response(self) -> Float:
        """y minus the offset: what the linear model is for."""
        return self.y if self.offset is None else self.y - self.offset

    @cached_property
    def index(self) -> tuple[ParameterIndex, ...]:
        """Layout of the linear parameters θ: term by term, each term's `structure.pairs`, the residual last."""
        return tuple(ParameterIndex(i, a, b) for i, term in enumerate(self.all_terms) for a, b in term.structure.pairs)

    @cached_property
    def families(self) -> NDArray[np.intp]:
        """(n,) label 0…B−1 of the independent group of each row: V is zero between groups whatever θ is."""
        linking = self.all_terms if self.correlated_residual else self.terms
        label = row_families(self.n, [(term.covariance, term.positions, term.linked_codes()) for term in linking])
        label.flags.writeable = False
        return label

    @cached_property
    def correlated_residual(self) -> bool:
        """Whether residuals of some rows depend on each other: rows share a level of the residual."""
        return bool(np.bincount(self.residual.codes, minlength=1).max() > 1)

    def sigmas(self, theta: Float) -> list[Float]:
        """Σ (k×k) of every term, the residual last, from the linear parameters."""
        stops = np.cumsum([len(term.structure.pairs) for term in self.all_terms])
        pieces = np.split(np.asarray(theta, dtype=np.float64), stops[:-1])
        return [sigma_of(term.structure, piece) for term, piece in zip(self.all_terms, pieces, strict=True)]

    def theta(self, sigmas: list[Float]) -> Float:
        """Linear parameters from every term's Σ; the inverse of `sigmas`."""
        return np.array([sigmas[w.term][w.a, w.b] for w in self.index])

    def residual_variances(self, theta: Float) -> Float:
        """(n,) Var(e_i) = b_iᵀ Σ_e b_i, b_i the residual's effects in row i (weight^-½, in its own cell's column)."""
        B = self.residual.basis
        return np.sum((B @ self.sigmas(theta)[-1]) * B, axis=1)

    def explain(self) -> str:
        """How the formula was read, in words: response, fixed columns, each random term, rows dropped."""
        from .explain import explain

        return explain(self)

    def fit(self, method: Any = "reml", **options: Any) -> Any:
        """Fit with a registered method name or an estimator object; the keywords of `mixedvc.fit` apply."""
        if ModelSpec.fitter is None:
            raise RuntimeError("import mixedvc before fitting a specification")
        return ModelSpec.fitter(self, method, **options)
