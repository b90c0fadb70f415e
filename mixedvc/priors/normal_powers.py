"""log E Π|x_i|^ν of a normal x ~ N(0, Q⁻¹): closed for two, Gauss-Jacobi quadrature over the sphere for three.

With x = r u the radius integrates out, ∫ r^{kν+k−1} e^{−½ r² uᵀQu} dr = ½ Γ(c) (½ uᵀQu)^{−c}, c = k(ν+1)/2, and
an integral over the unit sphere is left, an orthant for each pattern of signs.  Within an orthant the integrand is
smooth in the two angles but for the powers at their ends, which are the weight of the quadrature.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, hyp2f1, roots_jacobi

Float = NDArray[np.float64]
NODES = ((0.3, 32), (0.05, 64), (0.0, 160))  # on each angle, where |R| is above


def log_mean_powers(Q: Float, nu: float) -> Float:
    """(K,) log E Π|x_i|^ν for precisions Q (K, k, k), k of 2 or 3."""
    k = Q.shape[1]
    d = np.sqrt(np.einsum("nii->ni", Q))
    R = Q / (d[:, :, None] * d[:, None, :])
    logs = np.log(d).sum(axis=1)  # x_i = z_i / d_i, z with precision R
    return (_pair(R, nu) if k == 2 else _triple(R, nu)) - nu * logs


def _pair(R: Float, nu: float) -> Float:
    """Of a pair with precision [[1, r], [r, 1]]: variances 1/(1 − r²), correlation −r (Nabeya 1951)."""
    r2 = R[:, 0, 1] ** 2
    moments = nu * np.log(2.0) + 2.0 * gammaln(0.5 * (nu + 1.0)) - np.log(np.pi)
    return np.asarray(moments - nu * np.log1p(-r2) + np.log(hyp2f1(-0.5 * nu, -0.5 * nu, 0.5, r2)))


@lru_cache(maxsize=24)
def _sphere(nu: float, nodes: int) -> tuple[Float, Float]:
    """Directions u (N, 3) of the positive octant and log weights of ∫ Π u_i^ν du over it."""
    first, log_first = _angles(nu, nu, nodes)
    second, log_second = _angles(2.0 * nu + 1.0, nu, nodes)
    theta, phi = np.meshgrid(first, second, indexing="ij")
    u = np.stack([np.sin(phi) * np.cos(theta), np.sin(phi) * np.sin(theta), np.cos(phi)], axis=-1)
    return u.reshape(-1, 3), (log_first[:, None] + log_second).reshape(-1)


def _angles(sines: float, cosines: float, nodes: int) -> tuple[Float, Float]:
    """Nodes in (0, π/2) and log weights of ∫ sin^a t cos^b t f(t) dt."""
    x, w = roots_jacobi(nodes, cosines, sines)  # (1 − x)^b (1 + x)^a
    t = 0.25 * np.pi * (1.0 + x)
    smooth = sines * np.log(np.sin(t) / (1.0 + x)) + cosines * np.log(np.cos(t) / (1.0 - x))
    return t, np.log(w) + smooth + np.log(0.25 * np.pi)


def _triple(R: Float, nu: float) -> Float:
    """Rows of nearly dependent variables get more nodes; the number is each row's own."""
    logdet = _logdet3(R)
    out = np.full(len(R), -np.inf)
    above = np.inf
    for det, nodes in NODES:
        rows = np.flatnonzero((np.exp(logdet) > det) & (np.exp(logdet) <= above))
        above = det
        for at in np.array_split(rows, 1 + len(rows) * nodes**2 // 4_000_000):
            if len(at):
                out[at] = _over_sphere(R[at], nu, nodes)
    # 2 · Γ(c) 2^{c − 1} Σ over sign patterns, over the normal's constant (2π)^{3/2} |R|^{−½}
    c = 1.5 * (nu + 1.0)
    return np.asarray(out + c * np.log(2.0) + gammaln(c) - 1.5 * np.log(2 * np.pi) + 0.5 * logdet)


def _over_sphere(R: Float, nu: float, nodes: int) -> Float:
    """(K,) log ∫ Π|u_i|^ν (uᵀRu)^{−c} du over half the sphere."""
    u, log_w = _sphere(nu, nodes)
    weights = np.exp(log_w)
    products = 2.0 * np.stack([u[:, 0] * u[:, 1], u[:, 0] * u[:, 2], u[:, 1] * u[:, 2]])
    total = np.zeros(len(R))
    for signs in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)):  # the other four are these with x → −x
        r = np.stack([signs[0] * R[:, 0, 1], signs[1] * R[:, 0, 2], signs[2] * R[:, 1, 2]], axis=1)
        total += np.power(1.0 + r @ products, -1.5 * (nu + 1.0)) @ weights
    return np.asarray(np.log(total))


def _logdet3(R: Float) -> Float:
    a, b, c = R[:, 0, 1], R[:, 0, 2], R[:, 1, 2]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.log(1.0 + 2.0 * a * b * c - a * a - b * b - c * c))
