"""A model of several traits by explicit Kronecker products, from its definition alone; nothing of the package is used.

    vec(Y) = (I ⊗ X) vec(B) + C c + Σ_i (I ⊗ D_i) vec(U_i) + vec(E),    Var(vec U_i) = Σ_i ⊗ K_i,   Var(vec E) = R ⊗ W⁻¹

vec stacks whole traits; D_i has the effects of a term side by side, ``[diag(b_1) Z, diag(b_2) Z, …]``.  Cells without
a value are rows taken out of vec(Y), of its design and of its covariance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Float = NDArray[np.float64]
Shape = Callable[[Float], tuple[Float, Float]]  # parameters -> Σ and its derivatives (number, k, k)


@dataclass(frozen=True)
class Component:
    """A random term: level of each record, effects' values (n, k), and the levels' known covariance (q, q)."""

    codes: NDArray[np.intp]
    basis: Float
    K: Float
    kind: str = "us"  # "us" | "diag" | "fa<m>" | "rr<m>" | "cs" | "within" (us among the effects of a trait)

    @cached_property
    def D(self) -> Float:
        """(n, k q) effects side by side."""
        Z = np.zeros((len(self.codes), len(self.K)))
        Z[np.arange(len(self.codes)), self.codes] = 1.0
        return np.hstack([column[:, None] * Z for column in self.basis.T])


@dataclass(frozen=True)
class Model:
    """Y (n, t) with NaN, own columns X (n, p), shared columns C (n, c), columns of some traits, components, weights."""

    Y: Float
    X: Float
    components: tuple[Component, ...]
    C: Float | None = None
    only: tuple[tuple[int, Float], ...] = ()  # (trait, column)
    weights: Float | None = None
    residual: str = "us"
    reml: bool = True
    seed: int = field(default=0, compare=False)

    @property
    def t(self) -> int:
        return self.Y.shape[1]

    @cached_property
    def seen(self) -> NDArray[np.intp]:
        """Cells of vec(Y) that have a value."""
        return np.flatnonzero(~np.isnan(self.Y.T.ravel()))

    @cached_property
    def y(self) -> Float:
        return self.Y.T.ravel()[self.seen]

    @cached_property
    def design(self) -> Float:
        """Fixed effects of vec(Y): trait by trait, then those of single traits, then shared ones."""
        columns = [np.kron(np.eye(self.t), self.X)]
        for trait, column in self.only:
            columns.append(np.kron(np.eye(self.t)[:, [trait]], column[:, None]))
        if self.C is not None:
            columns.append(np.kron(np.ones((self.t, 1)), self.C))
        return np.hstack(columns)[self.seen]

    @cached_property
    def whole(self) -> list[Float]:
        """(N, k t q) I ⊗ D of every component, rows without value taken out."""
        return [np.kron(np.eye(self.t), one.D)[self.seen] for one in self.components]

    @cached_property
    def residual_scale(self) -> Float:
        n = len(self.Y)
        return np.diag(np.ones(n) if self.weights is None else 1 / self.weights)

    @cached_property
    def shapes(self) -> list[Shape]:
        """Σ of each component and of the residual as functions of their own parameters."""
        out = [shape(one.kind, self.t, one.basis.shape[1]) for one in self.components]
        return [*out, shape(self.residual, self.t, 1)]

    def V(self, sigmas: list[Float]) -> Float:
        """Var(vec Y) of the cells seen."""
        V = np.kron(sigmas[-1], self.residual_scale)[np.ix_(self.seen, self.seen)]
        for D, one, Sigma in zip(self.whole, self.components, sigmas, strict=False):
            V = V + D @ np.kron(Sigma, one.K) @ D.T
        return V

    def at(self, sigmas: list[Float]) -> At:
        return At(self, tuple(sigmas))


@dataclass(frozen=True)
class At:
    """The model at given Σ's: the criterion and everything that follows from it."""

    model: Model
    sigmas: tuple[Float, ...]

    @cached_property
    def V(self) -> Float:
        return self.model.V(list(self.sigmas))

    @cached_property
    def Vinv(self) -> Float:
        return np.linalg.inv(self.V)

    @cached_property
    def beta_cov(self) -> Float:
        X = self.model.design
        return np.linalg.inv(X.T @ self.Vinv @ X)

    @cached_property
    def beta(self) -> Float:
        return self.beta_cov @ self.model.design.T @ self.Vinv @ self.model.y

    @cached_property
    def rest(self) -> Float:
        return self.model.y - self.model.design @ self.beta

    @cached_property
    def loglik(self) -> float:
        """With all constants of the normal density of vec(Y), REML: of error contrasts, without log|XᵀX|."""
        X, N = self.model.design, len(self.model.y)
        sign, logdet = np.linalg.slogdet(self.V)
        if sign <= 0:
            return -np.inf
        twice = logdet + self.rest @ self.Vinv @ self.rest + N * np.log(2 * np.pi)
        if self.model.reml:
            twice += np.linalg.slogdet(X.T @ self.Vinv @ X)[1] - X.shape[1] * np.log(2 * np.pi)
        return float(-0.5 * twice)

    @cached_property
    def P(self) -> Float:
        VX = self.Vinv @ self.model.design
        return self.Vinv - VX @ self.beta_cov @ VX.T

    @cached_property
    def slope(self) -> Float:
        """∂ℓ/∂V (N, N): ½ (Py yᵀP − T)."""
        Py = self.Vinv @ self.rest
        return 0.5 * (np.outer(Py, Py) - (self.P if self.model.reml else self.Vinv))

    @cached_property
    def slopes(self) -> list[Float]:
        """∂ℓ/∂Σ of every component and of the residual, all entries independent."""
        parts = zip(self.model.whole, self.model.components, strict=True)
        out = [_within(D.T @ self.slope @ D, one.K) for D, one in parts]
        t, n = self.model.t, len(self.model.Y)
        full = np.zeros((t * n, t * n))
        full[np.ix_(self.model.seen, self.model.seen)] = self.slope
        return [*out, _within(full, self.model.residual_scale)]

    def blup(self, i: int) -> Float:
        """(q, t k) û of component i, trait by trait, effects inside a trait."""
        one = self.model.components[i]
        u = np.kron(self.sigmas[i], one.K) @ self.model.whole[i].T @ self.Vinv @ self.rest
        return u.reshape(-1, len(one.K)).T

    def pev(self, i: int) -> Float:
        """(q, t k) variances of û − u."""
        one = self.model.components[i]
        G, D = np.kron(self.sigmas[i], one.K), self.model.whole[i]
        return np.diag(G - G @ D.T @ self.P @ D @ G).reshape(-1, len(one.K)).T


def _within(M: Float, K: Float) -> Float:
    """(m, m) sums over levels of M (m q, m q) times K: the derivative by Σ of a function of Σ ⊗ K."""
    q = len(K)
    m = len(M) // q
    return np.einsum("aibj,ij->ab", M.reshape(m, q, m, q), K)


def shape(kind: str, t: int, k: int) -> Shape:
    """Σ (t k) as a function of unconstrained parameters, with its derivatives."""
    m = t * k
    if kind == "us":
        return lambda par: _lower(par, m)
    if kind == "diag":
        return lambda par: _diagonal(par, m)
    if kind == "within":
        return lambda par: _blocks(par, t, k)
    if kind == "cs":
        return lambda par: _exchangeable(par, m)
    return lambda par: _factors(par, m, int(kind[2:]), kind[:2] == "fa")


def count(kind: str, t: int, k: int) -> int:
    """Parameters of `shape`."""
    m = t * k
    if kind in ("us", "diag"):
        return m * (m + 1) // 2 if kind == "us" else m
    if kind == "within":
        return t * (k * (k + 1) // 2)
    if kind == "cs":
        return m + 1
    f = int(kind[2:])
    return m * f - f * (f - 1) // 2 + (m if kind[:2] == "fa" else 0)


def _lower(par: Float, m: int) -> tuple[Float, Float]:
    L = np.zeros((m, m))
    rows, cols = np.tril_indices(m)
    L[rows, cols] = par
    D = np.zeros((len(par), m, m))
    for j, (r, c) in enumerate(zip(rows, cols, strict=True)):
        D[j, r] += L[:, c]
        D[j, :, r] += L[:, c]
    return L @ L.T, D


def _diagonal(par: Float, m: int) -> tuple[Float, Float]:
    D = np.zeros((m, m, m))
    D[np.arange(m), np.arange(m), np.arange(m)] = 2 * par
    return np.diag(par**2), D


def _blocks(par: Float, t: int, k: int) -> tuple[Float, Float]:
    each = k * (k + 1) // 2
    Sigma, D = np.zeros((t * k, t * k)), np.zeros((t * each, t * k, t * k))
    for a in range(t):
        at = slice(a * k, (a + 1) * k)
        Sigma[at, at], D[a * each : (a + 1) * each, at, at] = _lower(par[a * each : (a + 1) * each], k)
    return Sigma, D


def _exchangeable(par: Float, m: int) -> tuple[Float, Float]:
    """Standard deviations |par|, and one correlation between −1/(m − 1) and 1 from the sine of the last."""
    d, sign, low = np.abs(par[:m]), np.sign(par[:m]), -1 / (m - 1)
    rho, slope = low + (1 - low) * np.sin(par[m]) ** 2, (1 - low) * np.sin(2 * par[m])
    R = np.full((m, m), rho) + (1 - rho) * np.eye(m)
    D = np.zeros((m + 1, m, m))
    for a in range(m):
        D[a, a] += sign[a] * R[a] * d
        D[a, :, a] += sign[a] * R[a] * d
    D[m] = slope * np.outer(d, d) * (1 - np.eye(m))
    return np.outer(d, d) * R, D


def _factors(par: Float, m: int, f: int, specific: bool) -> tuple[Float, Float]:
    psi, at = (par[:m], m) if specific else (np.zeros(m), 0)
    L = np.zeros((m, f))
    where = [(r, c) for c in range(f) for r in range(c, m)]
    for j, (r, c) in enumerate(where):
        L[r, c] = par[at + j]
    D = np.zeros((len(par), m, m))
    if specific:
        D[np.arange(m), np.arange(m), np.arange(m)] = 2 * psi
    for j, (r, c) in enumerate(where):
        D[at + j, r] += L[:, c]
        D[at + j, :, r] += L[:, c]
    return L @ L.T + np.diag(psi**2), D


def maximum(model: Model, starts: int = 3) -> tuple[float, list[Float]]:
    """Highest log-likelihood found by quasi-Newton steps from several starts, and its Σ's."""
    t = model.t
    counts = [count(c.kind, t, c.basis.shape[1]) for c in model.components] + [count(model.residual, t, 1)]
    stops = np.cumsum(counts)[:-1]
    rng = np.random.default_rng(model.seed)

    def value(par: Float) -> tuple[float, Float]:
        made = [f(p) for f, p in zip(model.shapes, np.split(par, stops), strict=True)]
        try:
            at = model.at([Sigma for Sigma, _ in made])
            if not np.isfinite(at.loglik):
                return 1e10, np.zeros_like(par)
            slope = [np.einsum("jab,ab->j", D, S) for (_, D), S in zip(made, at.slopes, strict=True)]
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(par)
        return -at.loglik, -np.concatenate(slope)

    best: Any = None
    for _ in range(starts):
        par = np.concatenate([rng.normal(0, 0.5, c) for c in counts[:-1]] + [_residual_start(model.residual, t, rng)])
        for _ in range(4):  # restarts forget the curvature of far away
            found = minimize(value, par, jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 3000})
            moved = np.abs(found.x - par).max()
            par = found.x
            if moved < 1e-7:
                break
        if best is None or found.fun < best.fun:
            best = found
    sigmas = [f(p)[0] for f, p in zip(model.shapes, np.split(best.x, stops), strict=True)]
    return model.at(sigmas).loglik, sigmas


def _residual_start(kind: str, t: int, rng: np.random.Generator) -> Float:
    """Parameters of a residual near unit variances, so that the first V is well conditioned."""
    par = rng.normal(0, 0.2, count(kind, t, 1))
    if kind == "us":
        rows, cols = np.tril_indices(t)
        par[rows == cols] += 1
    else:
        par[:t] += 1
    return par
