"""V_j times columns beside sparse mixed-model equations, and what only needs their products with each other.

A row of one trait sees a parameter Σ_ab only where a or b is an effect of that trait: inner products are summed cell by
cell of the residual, over the few parameters that are not zero there.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..design.spec import Term
from .gaussian import levels_matmat
from .rows import Rows
from .sparse_equations import Equations

Float = NDArray[np.float64]
Ints = NDArray[np.intp]
_CHUNK = 8_000_000  # numbers in one slab of columns


def apply_working(rows: Rows, equations: Equations, U: Float) -> Float:
    """(m, n, c): V_j U of every working parameter, the residual's last."""
    spec = rows.spec
    n, c = U.shape
    out = np.zeros((len(spec.index), n, c))
    at = 0
    for i, term in enumerate(spec.terms):
        basis = equations.turned.basis(i, rows.basis(term))
        through = images(term, basis, U)[1]
        for a, b in term.structure.pairs:
            for x, other in ((a, b),) if a == b else ((a, b), (b, a)):
                here = _where(basis[:, x])
                out[at, here] += basis[here, x, None] * through[term.codes[here], other]
            at += 1
    if equations.pairs is None:
        out[at + equations.records.cell, np.arange(n)] = U
    else:
        out[at:] = equations.pairs.apply(U)
    return out


def quadratic_forms(rows: Rows, equations: Equations, U: Float) -> Float:
    """(m, c, c) UᵀV_jU of every working parameter, by the levels' sums."""
    out = []
    for i, term in enumerate(rows.spec.terms):
        sums, through = images(term, equations.turned.basis(i, rows.basis(term)), U)
        out += [(sums[:, a].T @ through[:, b], a != b) for a, b in term.structure.pairs]
    for a, b in rows.spec.residual.structure.pairs:
        mine, other = equations.records.between(a, b)
        out.append((U[mine].T @ U[other], a != b))
    return np.array([M + M.T if off else M for M, off in out])


def inner_products(rows: Rows, equations: Equations, U: Float) -> Float:
    """(m, m) Σ over columns of ⟨V_jU, V_kU⟩, of the working parameters."""
    m = len(rows.spec.index)
    out = np.zeros((m, m))
    step = max(1, _CHUNK // max(rows.n * m, 1))
    for start in range(0, U.shape[1], step):
        for active, values in _by_cell(rows, equations, U[:, start : start + step]):
            flat = values.reshape(len(active), -1)
            out[np.ix_(active, active)] += flat @ flat.T
    return out


def _by_cell(rows: Rows, equations: Equations, U: Float) -> Iterator[tuple[Ints, Float]]:
    """Parameters that are not zero in the rows of a cell, and V_jU there (r, rows, c), cell after cell."""
    spec, records = rows.spec, equations.records
    bases = [equations.turned.basis(i, rows.basis(term)) for i, term in enumerate(spec.terms)]
    through = [images(term, basis, U)[1] for term, basis in zip(spec.terms, bases, strict=True)]
    for cell in range(records.k):
        here = np.flatnonzero(records.cell == cell)
        active, values, at = [], [], 0
        for i, term in enumerate(spec.terms):
            x, image = bases[i][here], through[i][term.codes[here]]
            for a, b in term.structure.pairs:
                total = np.zeros((len(here), U.shape[1]))
                for one, other in ((a, b),) if a == b else ((a, b), (b, a)):
                    if equations.touched[i][one, cell]:
                        total += x[:, one, None] * image[:, other]
                if equations.touched[i][[a, b], cell].any():
                    active.append(at)
                    values.append(total)
                at += 1
        for a, b in spec.residual.structure.pairs:
            if cell in (a, b):
                partner = records.partners[here, b if cell == a else a]
                active.append(at)
                values.append(np.where(partner[:, None] >= 0, U[partner], 0.0))
            at += 1
        yield np.array(active, dtype=np.intp), np.array(values)


def images(term: Term, basis: Float, U: Float) -> tuple[Float, Float]:
    """(q, k, c): Z_aᵀU and A Z_aᵀU for each effect a."""
    k, c = term.k, U.shape[1]
    sums = np.concatenate([level_sums(term, basis[:, a], U) for a in range(k)], axis=1)
    return sums.reshape(-1, k, c), levels_matmat(term, sums).reshape(-1, k, c)


def level_sums(term: Term, x: Float, U: Float) -> Float:
    """Z_aᵀU (q, c) of an effect with values x (n,)."""
    if term.q == len(x) and np.array_equal(term.codes, np.arange(len(x))):
        return x[:, None] * U
    here = _where(x)
    codes, x, U = term.codes[here], x[here], U[here]
    return np.stack([np.bincount(codes, x * u, minlength=term.q) for u in U.T], axis=1)


def _where(x: Float) -> Ints | slice:
    """Rows in which an effect is not zero; all of them as a slice."""
    return slice(None) if x.all() else np.flatnonzero(x)
