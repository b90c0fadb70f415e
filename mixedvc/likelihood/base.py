"""The likelihood contract: "a likelihood evaluates", always in the linear parameters θ of V(θ) = Σ_j θ_j V_j."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..registry import Registry

Float = NDArray[np.float64]


class Evaluation(Protocol):
    """The Gaussian model at one θ; each part is computed when first asked for, never before.

    All quantities are on the user's scale and in the user's row order; T is P for REML, V⁻¹ for ML.
    m = len(θ), p = fixed effects, n = rows.
    """

    theta: Float  # (m,)
    reml: bool

    @property
    def loglik(self) -> float: ...
    @property
    def beta(self) -> Float: ...  # (p,)
    @property
    def beta_cov(self) -> Float: ...  # (p, p) (XᵀV⁻¹X)⁻¹
    @property
    def Py(self) -> Float: ...  # (n,)
    @property
    def quad(self) -> Float: ...  # (m,) (Py)ᵀ V_j (Py)
    @property
    def trace(self) -> Float: ...  # (m,) tr(T V_j)
    @property
    def score(self) -> Float: ...  # (m,) ½ (quad − trace)
    @property
    def average_information(self) -> Float: ...  # (m, m) ½ (Py)ᵀ V_j P V_k Py
    @property
    def expected_information(self) -> Float: ...  # (m, m) ½ tr(T V_j T V_k)
    @property
    def observed_information(self) -> Float: ...  # (m, m) −∂²ℓ/∂θ²
    @property
    def cross_trace(self) -> Float: ...  # (m, m) tr(W V_j T V_k), W = diag(prior weights): the M step of PX-EM
    @property
    def cross_quad(self) -> Float: ...  # (m, m) (Py)ᵀ V_j W V_k (Py): beside cross_trace
    @property
    def beta_cov_gradient(self) -> Float: ...  # (m, p, p) ∂(XᵀV⁻¹X)⁻¹/∂θ_j
    def solve(self, U: Float) -> Float: ...  # V⁻¹ U, (n, c)
    def project(self, U: Float) -> Float: ...  # P U, (n, c)
    def blup(self, term: int) -> Float: ...  # (q, k) E(u | y) of the levels in the data
    def prediction_cov(self, term: int, *, fixed_known: bool = False) -> Float:
        """(q, k, k) prediction error covariance of each level's effects, Var(û − u).

        With `fixed_known` the fixed effects count as known (lme4's condVar): V⁻¹ in the place of P.
        """
        ...

    def draw(self, rng: np.random.Generator) -> tuple[Float, list[Float]]:
        """One joint draw of β (flat prior) and every term's u (q, k) given y and θ."""
        ...


class Likelihood(Protocol):
    """Evaluates one specification; set-up work (rotations, sorting, compression) is done once, on creation."""

    name: str
    spec: ModelSpec
    reml: bool

    def at(self, theta: Float) -> Evaluation:
        """The model at θ; raises NotPositiveDefinite where V(θ) is not positive definite."""
        ...

    def moments(self) -> tuple[Float, Float]:
        """S (m, m) and q (m,) of the moment equations, S_jk = tr(M V_j M V_k), q_j = yᵀM V_j M y.

        With prior weights W they are those of the weighted rows W^½y, W^½X, W^½V_jW^½, so that S_ee = n − p.
        """
        ...

    def with_response(self, y: Float) -> Likelihood:
        """The same set-up for another response (n,) on the same rows: nothing is decomposed again."""
        ...


@runtime_checkable
class HasRough(Protocol):
    """A likelihood that has a cheaper, less exact version of itself for the first steps of an iteration."""

    def rough(self) -> Likelihood | None: ...


@runtime_checkable
class HasCells(Protocol):
    """An evaluation of a residual whose entries of Σ share linear parameters: what θ's sums over entries do not say."""

    @property
    def residual_traces(self) -> Float: ...  # (k, k) tr(T Z_a Z_bᵀ) on working rows


def information_along(evaluation: Evaluation, kind: str, D: Float) -> Float:
    """(r, r) D I Dᵀ of the information called `kind` and directions D (r, m) of θ, by the evaluation's own way if any.

    Where a structure of few parameters has many θ, directions alone may be far cheaper than the whole.
    """
    own = getattr(evaluation, "information_along", None)
    if own is not None and len(D):  # without directions there is nothing to ask for
        return np.asarray(own(kind, D))
    return np.asarray(D @ getattr(evaluation, f"{kind}_information") @ D.T)


class LikelihoodKind(Protocol):
    """What is registered: a class or factory that says whether it applies, at what cost, and builds."""

    name: str

    def cost(self, spec: ModelSpec) -> Any:
        """A `choose.Cost` (set-up and per-evaluation flops, memory, reason), or None where it does not apply."""
        ...

    def __call__(self, spec: ModelSpec, *, reml: bool = True) -> Likelihood: ...


likelihoods: Registry[Any] = Registry("likelihood", "mixedvc.likelihoods")
