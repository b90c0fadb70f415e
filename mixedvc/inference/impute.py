"""Missing cells of records × traits: their conditional law given every cell that was observed.

A missing cell is y_m = x'β + z'u + b'e, e the residual of its record, so that with c = Cov(y, z'u + b'e)

    E(y_m | y) = x'β̂ + cᵀ V⁻¹ (y − Xβ̂)         (= x'β̂ + z'û + Σ_mo Σ_oo⁻¹ (y_o − X_oβ̂ − Z_oû), o the record's cells)
    Var(ŷ_m − y_m) = Var(z'u + b'e) − cᵀV⁻¹c + dᵀ(XᵀV⁻¹X)⁻¹d,     d = x − XᵀV⁻¹c

(Goldberger 1962, J. Am. Stat. Assoc. 57:369): the residual enters as one more random term, whose levels are records.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..design.traits import Traits
from ..likelihood.base import Evaluation
from .blup import effect_weights
from .predict import Rows, TermRows, predict_mean, prediction_variance

Float = NDArray[np.float64]
Positions = NDArray[np.intp]


def missing_cells(traits: Traits) -> tuple[Positions, Positions]:
    """Record and trait of every cell without a row, record by record."""
    there = np.zeros((traits.n, traits.t), dtype=bool)
    there[traits.record, traits.trait] = True
    record, trait = np.nonzero(~there)
    return record, trait


def record_residuals(spec: ModelSpec, evaluation: Evaluation) -> Float:
    """(n, t) ê of every record and trait at unit weight, through the residual covariance where a cell is missing."""
    return effect_weights(spec, evaluation, len(spec.terms))


def with_residual(spec: ModelSpec, rows: Rows, record: Positions) -> Rows:
    """Rows of the fit's own `record` (r,) with their residual as one more random term."""
    assert rows.residual is not None
    basis = np.zeros((len(record), spec.residual.k))
    basis[np.arange(len(record)), rows.residual] = 1.0 if rows.weights is None else 1.0 / np.sqrt(rows.weights)
    return replace(rows, terms={**rows.terms, len(spec.terms): TermRows(record, record, basis)})


def conditional_mean(spec: ModelSpec, evaluation: Evaluation, rows: Rows, record: Positions) -> Float:
    """E(y_m | y), (r,), of cells of the records `record` of the fit (−1: a record that is not in it).

    Levels without rows in the fit count through their covariance with those that have.
    """
    out = predict_mean(spec, evaluation, rows, "conditional")
    known = np.flatnonzero(record >= 0)
    if len(known):
        own = with_residual(spec, rows, record).terms[len(spec.terms)].basis[known]
        out[known] += np.einsum("rt,rt->r", own, record_residuals(spec, evaluation)[record[known]])
    return out


def conditional_variance(spec: ModelSpec, evaluation: Evaluation, rows: Rows, record: Positions) -> Float:
    """Var(ŷ_m − y_m), (r,): of û, of β̂ and of what the residual leaves."""
    return prediction_variance(spec, evaluation, with_residual(spec, rows, record), "conditional")
