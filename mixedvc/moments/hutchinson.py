"""Randomised second moments: ⟨V_j, V_k⟩ by random probes, everything that is cheap exactly (Wu & Sankararaman 2018).

Traces with the residual need diag V_j and V_jQ only and are exact; so are q and every product with Q.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import OptionError
from ..likelihood.choose import Cost, cost_of
from .base import Equations, Variant, moment_kinds
from .exact import OperatorMoments, take_out, width
from .probes import DEFAULT_PROBES, probe_covariance, signs
from .products import Products

Float = NDArray[np.float64]


class ProbeMoments(OperatorMoments):
    """Second moments with traces from random signs z: tr(M V_j M V_k) = E (M V_j M z)·(M V_k M z)."""

    name = "hutchinson"

    def __init__(self, spec: ModelSpec, *, probes: int = 0, rng: np.random.Generator | None = None):
        super().__init__(spec, probes=probes or DEFAULT_PROBES, rng=rng)
        if self.n_probes < 2:
            raise OptionError(f"probes must be at least 2, so that their error can be told, not {self.n_probes}")

    @cached_property
    def products(self) -> Products:
        """As for exact moments, but ⟨V_j, V_k⟩ of two random terms is the probes' mean."""
        ops, Q, y = self.operators, self.rows.Q, self.rows.y
        VU = self.apply(np.column_stack([Q, y]))
        D, r = ops.diagonal, ops.m - len(ops.residual)
        inner = np.zeros((ops.m, ops.m))
        inner[r:] = ops.residual @ D.T
        inner[:r, r:] = inner[r:, :r].T
        return Products(inner, VU[:, :, :-1], VU[:, :, -1] @ y, D, Q)

    @cached_property
    def _probed(self) -> tuple[Float, Float]:
        """(B, m, m) of (V_jz)·(V_kz), and of the same projected, from one pass over the kernels."""
        n, m, Q = self.rows.n, self.m, self.rows.Q
        plain, projected = np.empty((self.n_probes, m, m)), np.empty((self.n_probes, m, m))
        rng, step = self.generator(), width(2 * m, n)
        for start in range(0, self.n_probes, step):
            c = min(step, self.n_probes - start)
            z = signs(rng, n, c)
            Vz = self.apply(z)
            plain[start : start + c] = np.einsum("jnc,knc->cjk", Vz, Vz, optimize=True)
            Vz -= self.products.VQ @ (Q.T @ z)
            Vz = np.stack([take_out(Q, V) for V in Vz])
            projected[start : start + c] = np.einsum("jnc,knc->cjk", Vz, Vz, optimize=True)
        return plain, projected

    def equations(self, variant: Variant, outer: Float | None = None) -> Equations:
        """S as the mean over probes, with S by each probe."""
        found = super().equations(variant, outer)
        r = self.m - len(self.operators.residual)
        S = np.broadcast_to(found.S, (self.n_probes, self.m, self.m)).copy()
        random = self._probed[int(variant.projection)][:, :r, :r]
        if variant.entries == "upper":
            D = self.products.diagonals(variant)[:r]
            random = 0.5 * (random + D @ D.T)
        S[:, :r, :r] = random
        return Equations(S.mean(axis=0), found.q, S)

    def covariance(self, variant: Variant, theta: Float) -> tuple[Float, Float | None]:
        """Cov(q) by probes, with its standard error."""
        return probe_covariance(self, variant, np.asarray(theta, dtype=np.float64))


class _Probes:
    """Registered kind: applies to every specification."""

    name = "hutchinson"
    random = True

    def cost(self, spec: ModelSpec) -> Cost | None:
        n, m = float(spec.n), len(spec.index)
        return cost_of(
            setup=1e2 * n * n * m,
            each=1e2 * n * n * m * m,
            memory=16.0 * n * m,
            reason="traces by random probes: products of each kernel with random signs",
        )

    def __call__(self, spec: ModelSpec, *, probes: int = 0, rng: np.random.Generator | None = None) -> ProbeMoments:
        return ProbeMoments(spec, probes=probes, rng=rng)


moment_kinds.register("hutchinson")(_Probes())
