"""Canonical likelihood: several traits, one kernel, no missing cell; one eigendecomposition serves every θ.

Rotated by the kernel's eigenvectors, the records are n blocks d_i G + R (t×t), and a transformation of the traits makes
all of them diagonal at once (Thompson 1977; GEMMA's mvLMM, Zhou & Stephens 2014).  An evaluation costs n t³ + n t² r²
for r columns of fixed effects.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import MixedVCError
from .base import likelihoods
from .canonical_evaluation import CanonicalEvaluation
from .canonical_records import CanonicalFrame, frame_of, rank_of_records, records_of
from .choose import Cost, cost_of

Float = NDArray[np.float64]


class CanonicalLikelihood:
    """t effects of one kernel and t residuals in every record (see `mixedvc.likelihood.base.Likelihood`)."""

    name = "canonical"
    quick_information = True  # the observed one costs about as much as an evaluation

    def __init__(self, spec: ModelSpec, reml: bool, frame: CanonicalFrame):
        self.spec, self.reml, self._frame = spec, reml, frame
        self._last: CanonicalEvaluation | None = None

    def at(self, theta: Float) -> CanonicalEvaluation:
        theta = np.array(theta, dtype=np.float64)
        if self._last is None or not np.array_equal(self._last.theta, theta):
            *of_terms, R = self.spec.sigmas(theta)
            G = of_terms[0] if of_terms else np.zeros_like(R)
            self._last = CanonicalEvaluation(self._frame, G, R, theta, self.reml)
        return self._last

    def _at_identity(self) -> CanonicalEvaluation:
        """At V = I, where REML's P is M = I − X(XᵀX)⁻¹Xᵀ: twice the expected information is tr(M V_j M V_k)."""
        t, m = self._frame.records.t, len(self.spec.index)
        return CanonicalEvaluation(self._frame, np.zeros((t, t)), np.eye(t), np.zeros(m), True)

    @cached_property
    def _S(self) -> Float:
        return 2.0 * self._at_identity().expected_information

    def moments(self) -> tuple[Float, Float]:
        return self._S.copy(), self._at_identity().quad

    def with_response(self, y: Float) -> CanonicalLikelihood:
        return self.with_responses(np.asarray(y)[:, None])[0]

    def with_responses(self, Y: Float) -> list[CanonicalLikelihood]:
        """`with_response` of every column of Y (N, B), the columns rotated together."""
        return [self._on(frame) for frame in self._frame.with_responses(Y)]

    def _on(self, frame: CanonicalFrame) -> CanonicalLikelihood:
        again = CanonicalLikelihood(self.spec, self.reml, frame)
        if "_S" in self.__dict__:
            again.__dict__["_S"] = self._S
        return again


class _Canonical:
    """Registered kind: complete records of several traits, at most one term, with an effect for each trait."""

    name = "canonical"

    def cost(self, spec: ModelSpec) -> Cost | None:
        if spec.residual.k < 2:
            return None  # `spectral` and `reduced` do one trait
        records = records_of(spec)
        if records is None:
            return None
        n, t = records.cells.shape
        r = -(-spec.p // t)
        rank = rank_of_records(spec)
        size = min(n, rank + r)
        squeezed = size + t if size < n else n
        return cost_of(
            setup=18.0 * size**3 + (4.0 * n * size**2 if size < n else 0.0) + 20.0 * spec.n * spec.p,
            each=3e5 + squeezed * (12.0 * t**3 + 10.0 * t * t * (r * r + 1.0)),
            memory=8.0 * (3.0 * n * size + 4.0 * spec.n * (spec.p + t)),
            reason=f"{t} traits, one kernel, all cells: its {size:,} eigenvalues serve every evaluation"
            if spec.terms
            else f"{t} traits of independent records",
        )

    def __call__(self, spec: ModelSpec, *, reml: bool = True) -> CanonicalLikelihood:
        records = records_of(spec)
        if records is None:
            raise MixedVCError(
                "the canonical likelihood needs every trait of every record and at most one random term, with one "
                "effect for each trait: use the dense likelihood"
            )
        return CanonicalLikelihood(spec, reml, frame_of(spec, records, reml))


likelihoods.register("canonical")(_Canonical())
