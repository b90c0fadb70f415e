"""The model by brute force: every quantity of a likelihood from explicitly formed n×n matrices.

A slow, independent answer to compare fast likelihoods with.  Written from the definitions alone (V as a plain sum,
P by its formula, traces of explicit products); it shares no code with `mixedvc.likelihood` or `mixedvc.linalg`, and
therefore calls numpy.linalg itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec, Term
from ..linalg.dense import NotPositiveDefinite
from ..structures.base import entries_of

Float = NDArray[Any]


def design_matrix(term: Term, a: int) -> Float:
    """Z_a (n×q) of effect `a`, filled entry by entry."""
    Z = np.zeros((len(term.codes), len(term.levels)))
    for row, level in enumerate(term.codes):
        Z[row, level] = term.basis[row, a]
    return Z


def known_covariance(term: Term) -> Float:
    """A (q×q) among the levels of `term` seen in the data."""
    return np.array(term.covariance.block(term.positions), dtype=float)


def pattern(term: Term, a: int, b: int) -> Float:
    """V_j (n×n) of entry (a, b) of Σ: Z_a A Z_bᵀ, plus its transpose where a ≠ b."""
    V = design_matrix(term, a) @ known_covariance(term) @ design_matrix(term, b).T
    return V if a == b else V + V.T


@dataclass(frozen=True)
class Brute:
    """Dense textbook model of one specification with one response.

    Parameters
    ----------
    spec : ModelSpec
        Small: several n×n matrices a parameter are formed.
    reml : bool
        T = P (True) or T = V⁻¹ (False).

    Examples
    --------
    >>> from mixedvc.testing import simulate, assemble
    >>> spec = assemble.one_way(groups=3, per_group=2, seed=1)
    >>> Brute(spec, reml=True).at(np.array([1.0, 2.0])).score.shape
    (2,)
    """

    spec: ModelSpec
    reml: bool = True
    name = "brute"

    @cached_property
    def patterns(self) -> list[Float]:
        """V_j for every linear parameter, in the order of ``spec.index``."""
        out = []
        for term in self.spec.all_terms:
            for j in range(len(term.structure.pairs)):
                out.append(np.sum([pattern(term, a, b) for a, b in entries_of(term.structure, j)], axis=0))
        return out

    def at(self, theta: Float) -> BruteEvaluation:
        """The model at θ; raises NotPositiveDefinite where V has a negative eigenvalue."""
        at = BruteEvaluation(self, np.array(theta, dtype=float))
        eigenvalues = np.linalg.eigvalsh(at.V)
        if eigenvalues[0] < -1e-10 * np.abs(eigenvalues).max():
            raise NotPositiveDefinite(1)
        return at

    def moments(self) -> tuple[Float, Float]:
        """S_jk = tr(M V_j M V_k) and q_j = yᵀ M V_j M y with M = I − X(XᵀX)⁻¹Xᵀ formed explicitly.

        With prior weights W the rows are multiplied by W^½ first: X and y, and V_j from both sides.
        """
        spec = self.spec
        r = np.ones(spec.n) if spec.weights is None else np.sqrt(spec.weights)
        X, y = r[:, None] * spec.X, r * spec.response
        M = np.eye(spec.n) - X @ np.linalg.pinv(X)
        MVM = [M @ (np.outer(r, r) * V) @ M for V in self.patterns]
        S = np.array([[np.trace(A @ B) for B in MVM] for A in MVM])
        return S, np.array([y @ A @ y for A in MVM])

    def with_response(self, y: Float) -> Brute:
        """The same model for another response, its offset still to be subtracted."""
        return Brute(replace(self.spec, y=np.array(y, dtype=float)), self.reml)


@dataclass(frozen=True)
class BruteEvaluation:
    """Everything at one θ, each number by the definition."""

    model: Brute
    theta: Float

    @property
    def reml(self) -> bool:
        return self.model.reml

    @cached_property
    def V(self) -> Float:
        """Σ_j θ_j V_j."""
        V = np.zeros((self.model.spec.n,) * 2)
        for value, pattern_j in zip(self.theta, self.model.patterns, strict=True):
            V = V + value * pattern_j
        return V

    @cached_property
    def Vinv(self) -> Float:
        return np.linalg.inv(self.V)

    @cached_property
    def beta_cov(self) -> Float:
        X = self.model.spec.X
        return np.linalg.inv(X.T @ self.Vinv @ X)

    @cached_property
    def P(self) -> Float:
        """V⁻¹ − V⁻¹X(XᵀV⁻¹X)⁻¹XᵀV⁻¹."""
        VX = self.Vinv @ self.model.spec.X
        return self.Vinv - VX @ self.beta_cov @ VX.T

    @cached_property
    def T(self) -> Float:
        return self.P if self.reml else self.Vinv

    @cached_property
    def beta(self) -> Float:
        spec = self.model.spec
        return self.beta_cov @ (spec.X.T @ self.Vinv @ spec.response)

    @cached_property
    def Py(self) -> Float:
        """V⁻¹(y − Xβ̂)."""
        spec = self.model.spec
        return self.Vinv @ (spec.response - spec.X @ self.beta)

    @cached_property
    def loglik(self) -> float:
        """Log-likelihood with all constants (REML: lme4's, no log|XᵀX|)."""
        spec = self.model.spec
        sign, logdet = np.linalg.slogdet(self.V)
        if sign <= 0:
            raise ValueError("V(theta) is not positive definite")
        rest = spec.response - spec.X @ self.beta
        deviance = logdet + rest @ self.Vinv @ rest
        if self.reml:
            deviance += np.linalg.slogdet(spec.X.T @ self.Vinv @ spec.X)[1]
            deviance += (spec.n - spec.p) * np.log(2 * np.pi)
        else:
            deviance += spec.n * np.log(2 * np.pi)
        return float(-0.5 * deviance)

    @cached_property
    def quad(self) -> Float:
        return np.array([self.Py @ V @ self.Py for V in self.model.patterns])

    @cached_property
    def trace(self) -> Float:
        return np.array([np.trace(self.T @ V) for V in self.model.patterns])

    @cached_property
    def score(self) -> Float:
        return 0.5 * (self.quad - self.trace)

    @cached_property
    def average_information(self) -> Float:
        VPy = [V @ self.Py for V in self.model.patterns]
        return np.array([[0.5 * a @ self.P @ b for b in VPy] for a in VPy])

    @cached_property
    def expected_information(self) -> Float:
        TV = [self.T @ V for V in self.model.patterns]
        return np.array([[0.5 * np.trace(A @ B) for B in TV] for A in TV])

    @cached_property
    def observed_information(self) -> Float:
        """−∂²ℓ/∂θ²: (Py)ᵀV_jPV_k(Py) − ½ tr(T V_j T V_k)."""
        return 2 * self.average_information - self.expected_information

    @cached_property
    def cross_trace(self) -> Float:
        """tr(W V_j T V_k), W the prior weights: what the weighted least squares of a PX-EM step needs."""
        spec = self.model.spec
        W = np.eye(spec.n) if spec.weights is None else np.diag(spec.weights)
        return np.array([[np.trace(W @ A @ self.T @ B) for B in self.model.patterns] for A in self.model.patterns])

    @cached_property
    def cross_quad(self) -> Float:
        """(Py)ᵀ V_j W V_k Py."""
        W = np.ones(self.model.spec.n) if self.model.spec.weights is None else self.model.spec.weights
        VPy = [V @ self.Py for V in self.model.patterns]
        return np.array([[(W * a) @ b for b in VPy] for a in VPy])

    @cached_property
    def beta_cov_gradient(self) -> Float:
        VX = self.Vinv @ self.model.spec.X
        return np.array([self.beta_cov @ (VX.T @ V @ VX) @ self.beta_cov for V in self.model.patterns])

    def solve(self, U: Float) -> Float:
        return self.Vinv @ U

    def project(self, U: Float) -> Float:
        return self.P @ U

    def effects_design(self, term: int) -> Float:
        """Z (n × qk) with the effects of one level side by side: the design of ``u.ravel()`` for u (q, k)."""
        which = self.model.spec.all_terms[term]
        Z = np.empty((self.model.spec.n, which.q, which.k))
        for a in range(which.k):
            Z[:, :, a] = design_matrix(which, a)
        return Z.reshape(self.model.spec.n, which.q * which.k)

    def effects_cov(self, term: int) -> Float:
        """G = A ⊗ Σ (qk × qk), the prior covariance of ``u.ravel()``."""
        return np.kron(known_covariance(self.model.spec.all_terms[term]), self.model.spec.sigmas(self.theta)[term])

    def blup(self, term: int) -> Float:
        """û = G Zᵀ P y, (q, k)."""
        which = self.model.spec.all_terms[term]
        u = self.effects_cov(term) @ self.effects_design(term).T @ self.Py
        return u.reshape(which.q, which.k)

    def prediction_cov_full(self, term: int, *, fixed_known: bool = False) -> Float:
        """Var(û − u) = G − G Zᵀ P Z G over all levels and effects (qk × qk); V⁻¹ for P with `fixed_known`."""
        G, Z = self.effects_cov(term), self.effects_design(term)
        inner = self.Vinv if fixed_known else self.P
        return G - G @ Z.T @ inner @ Z @ G

    def prediction_cov(self, term: int, *, fixed_known: bool = False) -> Float:
        """The diagonal blocks (q, k, k) of `prediction_cov_full`."""
        which = self.model.spec.all_terms[term]
        full = self.prediction_cov_full(term, fixed_known=fixed_known)
        return np.array([full[i : i + which.k, i : i + which.k] for i in range(0, which.q * which.k, which.k)])

    def joint_posterior(self) -> tuple[Float, Float]:
        """Mean and covariance of (β, u_1.ravel(), …, u_R.ravel()) given y and θ, β under a flat prior."""
        X, terms = self.model.spec.X, range(len(self.model.spec.terms))
        GZ = np.vstack([self.effects_cov(i) @ self.effects_design(i).T for i in terms])
        G = np.zeros((GZ.shape[0],) * 2)
        at = 0
        for i in terms:
            size = len(self.effects_cov(i))
            G[at : at + size, at : at + size] = self.effects_cov(i)
            at += size
        cross = -self.beta_cov @ X.T @ self.Vinv @ GZ.T
        cov = np.block([[self.beta_cov, cross], [cross.T, G - GZ @ self.P @ GZ.T]])
        return np.concatenate([self.beta, GZ @ self.Py]), cov

    def draw(self, rng: np.random.Generator) -> tuple[Float, list[Float]]:
        """One joint draw of β and every random term's u (q, k) given y and θ."""
        mean, cov = self.joint_posterior()
        values, vectors = np.linalg.eigh(cov)
        joint = mean + vectors @ (np.sqrt(np.maximum(values, 0)) * rng.standard_normal(len(mean)))
        out, at = [], self.model.spec.p
        for term in self.model.spec.terms:
            out.append(joint[at : at + term.q * term.k].reshape(term.q, term.k))
            at += term.q * term.k
        return joint[: self.model.spec.p], out
