"""Moment equations beside sparse mixed-model equations (MATH: 4): exact where that is cheap, else a start.

⟨V_j, V_k⟩ of independent levels and of families is a sum over the pairs of effects that meet.  Of pedigrees and
precisions it needs A itself: exact for a few hundred rows, beyond that the mean of a fixed set of random vectors,
vᵀV_jV_kv.  Iterations start from it and end where the likelihood says.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .moments import moment_equations
from .rows import RowFrame
from .sparse_equations import Equations
from .sparse_state import apply_all

Float = NDArray[np.float64]
EXACT = 400  # rows up to which V_j is multiplied out
_PROBES = 24


def sparse_moments(frame: RowFrame, equations: Equations, independent: bool) -> tuple[Float, Float]:
    """S (m, m) and q (m,) on working rows; `independent`: every source has Q = I."""
    rows = frame.rows

    def apply(U: Float) -> Float:
        return apply_all(rows, equations, U)

    m = len(rows.spec.index)
    if independent:
        inner = np.zeros((m, m))
        random = _from_meetings(frame, equations)
        inner[: len(random), : len(random)] = random
        inner = equations.turned.information(inner)
    elif rows.n <= EXACT:
        flat = apply(np.eye(rows.n)).reshape(m, -1)
        inner = flat @ flat.T
    else:
        v = np.random.default_rng(11).choice([-1.0, 1.0], (rows.n, _PROBES))
        flat = apply(v).reshape(m, -1)
        inner = flat @ flat.T / _PROBES
    _with_residual(inner, frame, equations)
    return moment_equations(frame, inner, apply)


def _from_meetings(frame: RowFrame, equations: Equations) -> Float:
    """⟨V_j, V_k⟩ of the random parameters, V_ab = Z_aZ_bᵀ (+ transpose)."""
    spec = frame.rows.spec
    index = [w for w in spec.index if w.term < len(spec.terms)]
    out = np.zeros((len(index),) * 2)
    for meeting in equations.meetings:
        N = meeting.N.sum(axis=0)
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


def _with_residual(inner: Float, frame: RowFrame, equations: Equations) -> None:
    """⟨V_j, V_e⟩ = tr V_j among the rows of each residual variance, exactly."""
    rows, group, count = frame.rows, equations.group, len(equations.counts)
    at = 0
    for term in rows.spec.terms:
        basis = rows.basis(term)
        diagonal = term.covariance.diagonal(term.positions)[term.codes]
        for a, b in term.structure.pairs:
            own = np.bincount(group, diagonal * basis[:, a] * basis[:, b], count) * (1.0 if a == b else 2.0)
            inner[at, -count:] = inner[-count:, at] = own
            at += 1
    inner[-count:, -count:] = np.diag(equations.counts)
