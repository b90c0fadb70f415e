"""PX-EM: EM in a model with one more, redundant scale for every term (MATH: 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..likelihood.base import Likelihood
from ..likelihood.choose import Purpose
from ..linalg import dense as la
from ..progress import Progress
from .base import PointEstimate, estimators
from .charts import Chart
from .climb import Whole, check_climb, climb
from .surrogate import Seen, em_step, lowered, rescaled

Float = NDArray[np.float64]


@estimators.register("pxem")
@dataclass(frozen=True)
class PXEM:
    """Maximum likelihood, restricted or not, by parameter-expanded EM.

    In y = Xβ + Σ δ_i Z_i u_i + e the scales δ are redundant; fitting them by least squares with each update,

        H δ = b,   H_ij = E g_iᵀ W g_j,   b_i = E g_iᵀ W (y − Xβ),   g_i = Z_i u_i,      Σ_i ← δ_i² EM(Σ_i),

    and the residual variance in the expanded model takes away much of the information that EM imagines to have.  Every
    update raises the criterion.  Where the residual has several variances the scales stay 1: that is EM.

    Parameters
    ----------
    tol : float
        Newton decrement, in units of log-likelihood, at which the iteration ends.  It is smaller than Newton's own:
        an iteration whose steps shrink by a factor stops as far from the maximum as the decrement says.
    max_iter : int
        Largest number of updates.
    restricted : bool
        Restricted maximum likelihood (True) or maximum likelihood.
    accelerate : "squarem" or None
        Squared extrapolation, kept where it does not lower the criterion, or the plain monotone iteration.
    fixed_varcomp, start, likelihood
        As in `REML`.

    References
    ----------
    Liu, Rubin & Wu (1998) Biometrika 85:755; Varadhan & Roland (2008) Scand. J. Statist. 35:335.
    """

    tol: float = 1e-14
    max_iter: int = 20_000
    restricted: bool = True
    accelerate: str | None = "squarem"
    fixed_varcomp: Mapping[str, Any] | None = None
    start: Mapping[str, Any] | None = None
    likelihood: str | None = None

    name: ClassVar[str] = "pxem"
    title: ClassVar[str] = "PX-EM"
    purpose: ClassVar[Purpose] = "iterate"
    needs: ClassVar[frozenset[str]] = frozenset({"likelihood"})
    provides: ClassVar[frozenset[str]] = frozenset({"loglik", "theta", "beta", "blup"})

    def __post_init__(self) -> None:
        check_climb(self.tol, self.max_iter, self.restricted, self.accelerate)

    def fit(
        self,
        spec: ModelSpec,
        *,
        rng: np.random.Generator | None = None,
        progress: Progress | None = None,
        likelihood: Likelihood | None = None,
    ) -> PointEstimate:
        """Maximise the (restricted) likelihood of `spec`; deterministic, `rng` is not used."""
        return climb(self, spec, _update, progress, likelihood)


def _update(whole: Whole) -> dict[int, Chart]:
    plain = {one.term: em_step(one) for one in whole.seen}
    spec = whole.spec
    if spec.residual.k > 1 or not spec.terms:
        return plain
    delta, errors = _expansion(whole)
    out = {}
    for one in whole.seen:
        if one.term < len(spec.terms):
            scaled = rescaled(plain[one.term], float(delta[one.term]) ** 2)
            out[one.term] = plain[one.term] if scaled is None else scaled
        else:
            out[one.term] = _residual(one, errors / whole.units.factor[-1])
    return out


def _residual(one: Seen, errors: float) -> Chart:
    """σ² = E eᵀWe / n, from the sum of squares in scaled units."""
    return lowered(one.chart, one.counts, np.zeros((1, 1)), np.array([[errors]]))


def _expansion(whole: Whole) -> tuple[Float, float]:
    """Scales δ of all random terms (1 for those that are held or zero) and E eᵀWe in the model they expand."""
    spec, at = whole.spec, whole.evaluation
    theta = at.theta
    owner = np.array([where.term for where in spec.index])
    members = np.array([np.where(owner == i, theta, 0.0) for i in range(len(spec.terms))])  # V_i = Σ_j members_ij V_j
    s2, weighted = theta[-1], members @ (at.cross_quad - at.cross_trace) @ members.T
    H = weighted + np.diag(members @ _weighted_traces(whole))
    b = H.sum(axis=1) + s2 * members @ (at.quad - at.trace)
    n = len(spec.X)
    residual = s2**2 * (at.quad[-1] - at.trace[-1]) + n * s2
    free = {one.term for one in whole.seen if rescaled(one.chart, 1.0) is not None}
    moving = np.array([i in free and bool(members[i].any()) for i in range(len(members))])
    delta = np.ones(len(members))
    if moving.any():
        rest = b[moving] - H[np.ix_(moving, ~moving)].sum(axis=1)
        delta[moving] = la.lstsq(H[np.ix_(moving, moving)], rest)
    whole_response = H.sum() + 2.0 * float((b - H.sum(axis=1)).sum()) + residual  # E ‖y − Xβ‖²_W
    return delta, whole_response - 2.0 * float(delta @ b) + float(delta @ H @ delta)


def _weighted_traces(whole: Whole) -> Float:
    """(m,) tr(W V_j)."""
    spec = whole.spec
    w = 1.0 if spec.weights is None else spec.weights
    diagonals = [term.covariance.diagonal(term.positions)[term.codes] for term in spec.all_terms]
    out = []
    for where in spec.index:
        x = spec.all_terms[where.term].basis
        value = float(np.sum(w * x[:, where.a] * x[:, where.b] * diagonals[where.term]))
        out.append(value if where.a == where.b else 2.0 * value)
    return np.array(out)
