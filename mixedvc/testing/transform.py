"""Specifications changed in ways whose effect on every number is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design import subset
from ..design.spec import ModelSpec, Term
from . import assemble

Float = NDArray[np.float64]


def _rows(term: Term, order: NDArray[np.intp]) -> Term:
    return replace(term, codes=term.codes[order], basis=term.basis[order])


def take_rows(spec: ModelSpec, order: Sequence[int] | NDArray[np.intp]) -> ModelSpec:
    """The rows of `spec` in another order, or repeated; levels keep their codes."""
    at = np.asarray(order, dtype=np.intp)
    weights = None if spec.weights is None else spec.weights[at]
    return replace(
        spec,
        y=spec.y[at],
        X=spec.X[at],
        terms=tuple(_rows(term, at) for term in spec.terms),
        residual=_residual(spec, at, weights),
        row_labels=np.arange(len(at)).astype(object),
        weights=weights,
        offset=None if spec.offset is None else spec.offset[at],
        source=None,
    )


def _residual(spec: ModelSpec, at: NDArray[np.intp], weights: Float | None) -> Term:
    """The residual of the rows at `at` with new weights; a variance for each sample stays with its sample's rows."""
    plain = assemble.residual(len(at), weights)
    if spec.residual.k == 1:
        return plain
    basis = np.where(spec.residual.basis[at] != 0.0, plain.basis, 0.0)
    return replace(subset.residual_of(spec.residual, at), basis=basis)


def take_terms(spec: ModelSpec, order: Sequence[int]) -> ModelSpec:
    """The random terms of `spec` in another order."""
    return replace(spec, terms=tuple(spec.terms[i] for i in order), source=None)


def theta_in_order(spec: ModelSpec, theta: Float, order: Sequence[int]) -> Float:
    """θ of ``take_terms(spec, order)`` from θ of `spec`."""
    sigmas = spec.sigmas(theta)
    return take_terms(spec, order).theta([*(sigmas[i] for i in order), sigmas[-1]])


def with_y(spec: ModelSpec, change: Callable[[Float], Float]) -> ModelSpec:
    """Another response on the same rows; an offset is folded into it first."""
    return replace(spec, y=np.array(change(np.array(spec.response))), offset=None, source=None)


def with_fixed(spec: ModelSpec, change: Float) -> ModelSpec:
    """Other columns X·`change` of the same fixed effects' space; `change` (p, p) is regular."""
    return replace(spec, X=np.array(spec.X @ change), source=None)


def with_offset(spec: ModelSpec, offset: Float) -> ModelSpec:
    """The same model with `offset` (n,) added to the response and declared as known."""
    y = np.array(spec.response + offset)
    return replace(spec, y=y, offset=np.array(offset), source=None)


def with_basis(spec: ModelSpec, term: int, unit: Float) -> ModelSpec:
    """Effects of one random term in other units: its basis times `unit` (k,); Σ_ab is divided by unit_a unit_b."""
    new = replace(spec.terms[term], basis=np.array(spec.terms[term].basis * unit))
    return replace(spec, terms=(*spec.terms[:term], new, *spec.terms[term + 1 :]), source=None)


def with_covariance(spec: ModelSpec, term: int, covariance: Any) -> ModelSpec:
    """Another known covariance for one random term, its labels including the term's levels."""
    old = spec.terms[term]
    new = replace(old, covariance=covariance, positions=np.asarray(covariance.positions(old.levels), dtype=np.intp))
    return replace(spec, terms=(*spec.terms[:term], new, *spec.terms[term + 1 :]), source=None)


def replicated(spec: ModelSpec, copies: NDArray[np.intp], spread: float, rng: np.random.Generator) -> ModelSpec:
    """Row i `copies[i]` times, responses scattered around y_i with mean exactly y_i.

    At any θ the fixed and random effects are those of `spec` with weights multiplied by `copies`.
    """
    out = take_rows(spec, np.repeat(np.arange(spec.n), copies))
    noise = spread * rng.standard_normal(out.n)
    start = np.concatenate([[0], np.cumsum(copies)[:-1]])
    noise -= np.repeat(np.add.reduceat(noise, start) / copies, copies)
    return replace(out, y=np.array(out.y + noise))


def reweighted(spec: ModelSpec, factor: Float) -> ModelSpec:
    """Prior weights multiplied row by row."""
    weights = np.asarray(factor, dtype=float) * (1.0 if spec.weights is None else spec.weights)
    return replace(spec, weights=weights, residual=_residual(spec, np.arange(spec.n), weights), source=None)
