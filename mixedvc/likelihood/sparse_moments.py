"""Moment equations beside sparse mixed-model equations (MATH: 4): exact where that is cheap, else a start.

⟨V_j, V_k⟩ of independent levels and of families is a sum over the pairs of effects that meet.  Of pedigrees and
precisions it needs A itself: exact for a few hundred rows, beyond that the mean of a fixed set of random vectors,
vᵀV_jV_kv.  Iterations start from it and end where the likelihood says.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..design.spec import Term
from .rows import RowFrame
from .sparse_equations import Equations, Spread
from .sparse_products import inner_products, quadratic_forms

Float = NDArray[np.float64]
Ints = NDArray[np.intp]
EXACT = 400  # rows up to which V_j is multiplied out
_PROBES = 24


def sparse_moments(frame: RowFrame, equations: Equations, independent: bool) -> tuple[Float, Float]:
    """S (m, m) and q (m,) on working rows; `independent`: every source has Q = I."""
    rows, turned = frame.rows, equations.turned
    if independent:
        inner = _from_meetings(frame, equations)
    elif rows.n <= EXACT:
        inner = inner_products(rows, equations, np.eye(rows.n))
    else:
        probes = np.random.default_rng(11).choice([-1.0, 1.0], (rows.n, _PROBES))
        inner = inner_products(rows, equations, probes) / _PROBES
    inner = turned.information(inner)
    _with_residual(inner, frame, equations, independent)
    forms = quadratic_forms(rows, equations, np.column_stack([frame.Q, frame.y]))
    among = forms[:, :-1, :-1].reshape(len(forms), -1)
    projection = among @ among.T - 2.0 * inner_products(rows, equations, frame.Q)
    return inner + turned.information(projection), turned.dual(forms[:, -1, -1])


def _from_meetings(frame: RowFrame, equations: Equations) -> Float:
    """⟨V_j, V_k⟩ of the random parameters, V_ab = Z_aZ_bᵀ (+ transpose)."""
    spec = frame.rows.spec
    index = [w for w in spec.index if w.term < len(spec.terms)]
    out = np.zeros((len(spec.index),) * 2)
    for meeting in equations.meetings:
        N = meeting.products(equations.records.identity)
        mine = [j for j, w in enumerate(index) if w.term == meeting.i]
        other = [j for j, w in enumerate(index) if w.term == meeting.j]
        for j in mine:
            for k in other:
                total = sum(
                    float(N[a, d] @ N[b, c])
                    for a, b in {(index[j].a, index[j].b), (index[j].b, index[j].a)}
                    for c, d in {(index[k].a, index[k].b), (index[k].b, index[k].a)}
                )
                out[j, k] = out[k, j] = total
    return out


def _with_residual(inner: Float, frame: RowFrame, equations: Equations, independent: bool) -> None:
    """⟨V_j, V_e⟩ of the residual's parameters, exactly where that needs no entry of A beyond its diagonal."""
    rows, records, m = frame.rows, equations.records, len(frame.rows.spec.index)
    pairs = rows.spec.residual.structure.pairs
    first = m - len(pairs)
    for e, (c, d) in enumerate(pairs):
        mine, other = records.between(c, d)
        twice = 1.0 if c == d else 2.0
        inner[first + e, first:] = 0.0
        inner[first + e, first + e] = twice * len(mine)
        at = 0
        for i, term in enumerate(rows.spec.terms):
            related = _related(term, equations.spreads[i], mine, other, independent)
            if related is not None:
                basis = rows.basis(term)
                products = (basis[mine] * related[:, None]).T @ basis[other]
                for j, (a, b) in enumerate(term.structure.pairs):
                    own = products[a, b] if a == b else products[a, b] + products[b, a]
                    inner[at + j, first + e] = inner[first + e, at + j] = twice * own
            at += len(term.structure.pairs)


def _related(term: Term, spread: Spread, mine: Ints, other: Ints, independent: bool) -> Float | None:
    """A between the levels of pairs of rows; None where only a factorisation would tell."""
    one, two = term.codes[mine], term.codes[other]
    if np.array_equal(one, two):
        return term.covariance.diagonal(term.positions)[one]
    if not independent:
        return None
    J = spread.everyone[spread.seen]
    return np.asarray(J[one].multiply(J[two]).sum(axis=1)).ravel()
