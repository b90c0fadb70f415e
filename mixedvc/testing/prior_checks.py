"""What every prior must satisfy, bound to a structure: a normalised density, draws that follow it, exact updates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from ..errors import OptionError
from ..priors.base import HasUpdate
from ..priors.patterned import kinds_of
from ..structures.base import Structure
from .compare import close

Float = NDArray[np.float64]
LIMIT = 5.0  # standard errors
DRAWS = 4000


def prior_checks(bound: Any, *, seed: int = 0, draws: int = DRAWS) -> list[str]:
    """Contract of `mixedvc.priors.base.BoundPrior` for one prior bound to one structure.

    Returns
    -------
    list of str
        What was checked.

    Raises
    ------
    AssertionError
        Says which promise is broken.
    """
    rng = np.random.default_rng(seed)
    name = f"{type(bound).__name__} on {bound.structure.name}({bound.structure.k})"
    assert isinstance(bound.describe(), str), f"{name}: describe() says nothing"
    assert bound.describe(), f"{name}: describe() says nothing"
    if bound.held is not None:
        _held(bound, name, rng)
        return ["held"]
    done = ["rows"]
    if not bound.proper:
        _rows(bound, name, _members(bound.structure, rng))
        try:
            bound.draw(rng)
        except OptionError:
            done.append("refuses draws")
        else:
            raise AssertionError(f"{name}: improper, and yet draws")
    else:
        x = np.stack([bound.draw(rng) for _ in range(draws)])
        _rows(bound, name, x[:5])
        _density_of_draws(bound, name, x, rng)
        done.append("density and draws")
        if isinstance(bound, HasUpdate):
            _update_keeps_the_joint_law(bound, name, rng, min(draws, 1000))
            done.append("update")
    if isinstance(bound, HasUpdate) and not bound.auxiliary(rng).size:
        _update_is_the_conditional(bound, name, rng, draws)
        done.append("conditional")
    return done


# ---- coordinates -----------------------------------------------------------------------------------------------------


def free(structure: Structure, par: Float) -> tuple[Float, Float]:
    """(K, n_par) unconstrained coordinates and (K,) log|∂par/∂z|; written apart from those of the samplers."""
    if structure.name == "us":
        return _sds_and_partials(structure, par)
    lower, upper = structure.bounds()
    z, jacobian = par.copy(), np.zeros(len(par))
    for j, (lo, hi) in enumerate(zip(lower, upper, strict=True)):
        x = par[:, j]
        if np.isfinite(lo) and np.isfinite(hi):
            z[:, j] = np.log((x - lo) / (hi - x))
            jacobian += np.log((x - lo) * (hi - x) / (hi - lo))
        elif np.isfinite(lo):
            z[:, j] = np.log(x - lo)
            jacobian += np.log(x - lo)
    for j in _diagonal_loadings(structure):
        z[:, j] = np.log(np.abs(par[:, j]))
        jacobian += z[:, j] + np.log(2.0)
    return z, jacobian


def _diagonal_loadings(structure: Structure) -> list[int]:
    """Loadings whose density is symmetric and may vanish at zero; |λ| is looked at, both signs together."""
    layout = getattr(structure, "loadings", None)
    if layout is None:
        return []
    rows, columns = layout.entries
    return [structure.n_par - len(rows) + int(j) for j in np.flatnonzero(rows == columns)]


def _sds_and_partials(structure: Structure, par: Float) -> tuple[Float, Float]:
    """log σ_i, and Fisher's z of the partial correlations that make up the rows of R's Cholesky factor.

    dΣ = 2^k Π σ_i^{k+1} d(log σ) dR, dR = Π L_ii^{k−1−i} dL (i from 0), dL_ij = √(1 − Σ_{l<j} L_il²) dp_ij.
    """
    k = structure.k
    Sigma = np.stack([structure.build(row) for row in par])
    sd = np.sqrt(np.einsum("nii->ni", Sigma))
    L = np.linalg.cholesky(Sigma / (sd[:, :, None] * sd[:, None, :]))
    jacobian = k * np.log(2.0) + (k + 1.0) * np.log(sd).sum(axis=1)
    z = [np.log(sd)]
    for i in range(1, k):
        jacobian += (k - 1.0 - i) * np.log(L[:, i, i])
        left = np.ones(len(par))
        for j in range(i):
            partial = L[:, i, j] / np.sqrt(left)
            jacobian += 0.5 * np.log(left) + np.log1p(-(partial**2))
            z.append(np.arctanh(partial)[:, None])
            left = left - L[:, i, j] ** 2
    return np.hstack(z), jacobian


def _members(structure: Structure, rng: np.random.Generator) -> Float:
    """Some parameters inside."""
    out = []
    for _ in range(4):
        root = rng.standard_normal((structure.k, structure.k + 2))
        out.append(structure.start(root @ root.T))
    return np.array(out)


# ---- checks ----------------------------------------------------------------------------------------------------------


def _held(bound: Any, name: str, rng: np.random.Generator) -> None:
    assert np.array_equal(bound.draw(rng), bound.held), f"{name}: a draw differs from the value held"
    assert bound.logpdf(np.stack([bound.held, bound.held + 1.0])).tolist() == [0.0, -np.inf], f"{name}: logpdf"


def _rows(bound: Any, name: str, x: Float) -> None:
    """Each row by itself; −∞ outside the support."""
    together = bound.logpdf(x)
    assert together.shape == (len(x),), f"{name}: logpdf of {len(x)} rows has shape {together.shape}"
    assert np.isfinite(together).all(), f"{name}: logpdf of members is not finite"
    close(np.concatenate([bound.logpdf(row[None]) for row in x]), together, f"{name}: logpdf row by row", rtol=1e-12)
    outside = x[:1].copy()
    bad = [j for j, kind in enumerate(kinds_of(bound.structure)) if kind == "variance"]
    if bad:
        outside[0, bad[0]] = -1.0
        mixed = bound.logpdf(np.concatenate([outside, x[:1]]))
        assert mixed[0] == -np.inf, f"{name}: a negative variance has a density"
        close(mixed[1:], together[:1], f"{name}: logpdf beside a row outside", rtol=1e-12)


def _kernels(z: Float, rng: np.random.Generator) -> list[tuple[Float, Float]]:
    """Centres and roots of ellipsoids in the bulk of draws z (K, d), in several places."""
    d = z.shape[1]
    low, middle, high = np.quantile(z, [0.05, 0.5, 0.95], axis=0)
    inner = np.clip(z, low, high)
    root = np.linalg.cholesky(np.atleast_2d(np.cov(inner.T)))
    away = [root @ rng.choice([-0.6, 0.6], d) / np.sqrt(d) for _ in range(2)]
    return [(middle + shift, root) for shift in (np.zeros(d), *away)]


def _kernel(z: Float, centre: Float, root: Float) -> Float:
    """(K,) normalised density ∝ (1 − |t|²/R²)² of t = root⁻¹(z − centre) inside R² = d + 1, zero outside.

    Its support is bounded, so that its ratio to a positive density is: no tail can spoil the mean.
    """
    d = z.shape[1]
    t2 = (np.linalg.solve(root, (z - centre).T) ** 2).sum(axis=0) / (d + 1.0)
    volume = 0.5 * d * np.log((d + 1.0) * np.pi) + np.log(2.0) - gammaln(3.0 + 0.5 * d)
    return np.asarray(np.maximum(1.0 - t2, 0.0) ** 2 / np.exp(volume + np.log(np.diagonal(root)).sum()))


def _density_of_draws(bound: Any, name: str, x: Float, rng: np.random.Generator) -> None:
    """E q(x)/p(x) = 1 over draws x of p for normalised densities q within the bulk of p: constant, shape and draws."""
    z, jacobian = free(bound.structure, x)
    log_p = bound.logpdf(x) + jacobian
    for centre, root in _kernels(z, rng):
        ratio = _kernel(z, centre, root) * np.exp(-log_p)
        error = ratio.std(ddof=1) / np.sqrt(len(ratio))
        assert error < 0.1, f"{name}: the check says nothing, its standard error is {error:.3g}"
        gap = abs(ratio.mean() - 1.0)
        assert gap < LIMIT * error, (
            f"{name}: draws and density disagree: E q/p = {ratio.mean():.4f} ± {error:.4f} where 1 is expected"
        )


def _update_keeps_the_joint_law(bound: Any, name: str, rng: np.random.Generator, draws: int) -> None:
    """Σ of the prior, effects given Σ, Σ given the effects: Σ has the prior's law again (Geweke 2004)."""
    structure, k = bound.structure, bound.structure.k
    count, zero = k + 2, np.zeros((k, k))
    before, after = [], []
    for _ in range(draws):
        par, auxiliary = bound.update(zero, 0, bound.auxiliary(rng), rng)
        root = np.linalg.cholesky(structure.build(par))
        u = rng.standard_normal((count, k)) @ root.T
        new, _ = bound.update(u.T @ u, count, auxiliary, rng)
        before.append(par)
        after.append(new)
    moved = free(structure, np.array(after))[0] - free(structure, np.array(before))[0]
    score = np.abs(moved.mean(axis=0)) / (moved.std(axis=0, ddof=1) / np.sqrt(draws))
    assert score.max() < LIMIT, f"{name}: update() moves the prior's law: |z| = {score.max():.1f} of {draws} steps"
    plain = np.stack([bound.draw(rng) for _ in range(draws)])
    target = free(structure, plain)[0]
    for what, x in (("without data", np.array(before)), ("given effects", np.array(after))):
        distance = _kolmogorov(free(structure, x)[0], target)
        # the distance of two samples is beyond 2.7 √(2/draws) once in a million
        limit = 2.7 * np.sqrt(2.0 / draws)
        assert distance < limit, f"{name}: update() {what} is {distance:.3f} from the prior (limit {limit:.3f})"


def _kolmogorov(x: Float, y: Float) -> float:
    """Largest distance of the distribution functions of any column."""
    out = 0.0
    for a, b in zip(np.sort(x, axis=0).T, np.sort(y, axis=0).T, strict=True):
        every = np.concatenate([a, b])
        gap = np.searchsorted(a, every, side="right") - np.searchsorted(b, every, side="right")
        out = max(out, float(np.abs(gap).max()) / len(a))
    return out


def _update_is_the_conditional(bound: Any, name: str, rng: np.random.Generator, draws: int) -> None:
    """Draws of Σ given S follow p(Σ) |Σ|^{−count/2} e^{−½ tr(Σ⁻¹S)}: the ratios of `_density_of_draws`, up to one
    constant for all."""
    structure, k = bound.structure, bound.structure.k
    count = 2 * k + 4
    u = rng.standard_normal((k, count))
    S = u @ u.T * 1.7
    x = np.stack([bound.update(S, count, np.empty(0), rng)[0] for _ in range(draws)])
    z, jacobian = free(structure, x)
    Sigma = np.stack([structure.build(row) for row in x])
    trace = np.einsum("nab,ba->n", np.linalg.inv(Sigma), S)
    log_p = bound.logpdf(x) + jacobian - 0.5 * count * np.linalg.slogdet(Sigma)[1] - 0.5 * trace
    ratios = []
    for centre, root in _kernels(z, rng):
        ratios.append(_kernel(z, centre, root) * np.exp(np.median(log_p) - log_p))
    middle = ratios[0]
    for other in ratios[1:]:
        quotient = other.mean() / middle.mean()
        error = (other / other.mean() - middle / middle.mean()).std(ddof=1) / np.sqrt(draws)
        assert error < 0.1, f"{name}: the check of update() says nothing, its standard error is {error:.3g}"
        assert abs(np.log(quotient)) < LIMIT * error, (
            f"{name}: update() does not draw from the conditional: {quotient:.4f} ± {error:.4f} where 1 is expected"
        )
