"""A specification of some of its rows: folds, subsamples, jackknife groups."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..covariance import Identity
from ..linalg.columns import column_rank
from .spec import ModelSpec, Term
from .traits import Traits


def take_rows(spec: ModelSpec, rows: NDArray[np.intp]) -> ModelSpec:
    """The model of the rows at `rows` (positions, in any order, possibly repeated).

    Levels without rows leave the terms (their covariance still knows them); fixed-effect columns that the rows leave
    without full rank are dropped, the later ones first, and named in ``aliased``.  The result has no ``source``.
    """
    at = np.asarray(rows, dtype=np.intp)
    X = spec.X[at]
    kept = column_rank(X).kept if spec.p else np.arange(0)
    names = tuple(spec.x_names[j] for j in kept)
    residual = residual_of(spec.residual, at)
    return replace(
        spec,
        y=spec.y[at],
        X=np.array(X[:, kept]),
        terms=tuple(_used_levels(_rows(term, at)) for term in spec.terms),
        residual=residual,
        x_names=names,
        row_labels=spec.row_labels[at],
        weights=None if spec.weights is None else spec.weights[at],
        offset=None if spec.offset is None else spec.offset[at],
        aliased=(*spec.aliased, *(name for name in spec.x_names if name not in names)),
        source=None,
        traits=spec.traits and _cells(spec.traits, at, residual.codes, kept),
    )


def _cells(traits: Traits, at: NDArray[np.intp], record: NDArray[np.intp], kept: NDArray[np.intp]) -> Traits:
    """The cells at `at`; records are counted as the levels of the residual are."""
    labels = np.empty(int(record.max(initial=-1)) + 1, dtype=object)
    labels[record] = traits.labels[traits.record[at]]
    return replace(traits, record=record, trait=traits.trait[at], labels=labels, columns=traits.columns[kept])


def _rows(term: Term, at: NDArray[np.intp]) -> Term:
    return replace(term, codes=term.codes[at], basis=term.basis[at])


def _used_levels(term: Term) -> Term:
    used, codes = np.unique(term.codes, return_inverse=True)
    if len(used) == term.q:
        return term
    return replace(term, levels=term.levels[used], codes=codes, positions=term.positions[used])


def residual_of(term: Term, at: NDArray[np.intp]) -> Term:
    """The residual of some rows: where its levels are the rows, the rows taken are its new levels.

    Where they are groups, a row taken again goes to a copy of its group: residuals are of rows, not of records.
    """
    taken = _rows(term, at)
    if np.bincount(term.codes, minlength=1).max() == 1:
        codes = np.arange(len(at))
    else:
        codes = np.unique(taken.codes + term.q * _times_before(at), return_inverse=True)[1].reshape(-1)
    labels = np.arange(int(codes.max(initial=-1)) + 1).astype(object)
    positions = np.arange(len(labels))
    return replace(taken, levels=labels, codes=codes, positions=positions, covariance=Identity(labels))


def _times_before(at: NDArray[np.intp]) -> NDArray[np.intp]:
    """How often each position stood earlier in `at`."""
    order = np.argsort(at, kind="stable")
    start = np.concatenate([[True], np.diff(at[order]) != 0])
    out = np.empty(len(at), dtype=np.intp)
    out[order] = np.arange(len(at)) - np.flatnonzero(start)[np.cumsum(start) - 1]
    return out
