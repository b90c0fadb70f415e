"""What every kind of second moments must satisfy on small specifications, against explicit n×n algebra."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..moments.base import Variant
from . import thetas
from .brute import Brute
from .compare import close

Float = NDArray[np.float64]
VARIANTS = tuple(Variant(projection, entries) for projection in (True, False) for entries in ("all", "upper"))


class BruteMoments:
    """S, q and Cov(q) of every variant by their definitions, written out entry by entry; shares no code with ours."""

    def __init__(self, spec: ModelSpec):
        self.spec = spec
        r = np.ones(spec.n) if spec.weights is None else np.sqrt(spec.weights)
        self.X, self.y = r[:, None] * spec.X, r * spec.response
        self.M = np.eye(spec.n) - self.X @ np.linalg.pinv(self.X) if spec.p else np.eye(spec.n)
        self.V = [np.outer(r, r) * V for V in Brute(spec).patterns]

    @cached_property
    def sizes(self) -> Float:
        """‖V_j‖: the units in which arrays over parameters are compared."""
        return np.array([np.linalg.norm(V) for V in self.V])

    def W(self, variant: Variant) -> list[Float]:
        """The regressors."""
        return [self.M @ V @ self.M for V in self.V] if variant.projection else self.V

    def S(self, variant: Variant) -> Float:
        """⟨W_j, W_k⟩ over the entries used."""
        i, j = (
            np.triu_indices(self.spec.n)
            if variant.entries == "upper"
            else np.indices((self.spec.n,) * 2).reshape(2, -1)
        )
        rows = np.array([W[i, j] for W in self.W(variant)])
        return np.array([[np.sum(a * b) for b in rows] for a in rows])

    def q(self, variant: Variant, G: Float) -> Float:
        """⟨W_j, M G M⟩ over the entries used; with the raw V_j where unprojected."""
        i, j = (
            np.triu_indices(self.spec.n)
            if variant.entries == "upper"
            else np.indices((self.spec.n,) * 2).reshape(2, -1)
        )
        G = self.M @ G @ self.M
        return np.array([np.sum(W[i, j] * G[i, j]) for W in self.W(variant)])

    def covariance(self, variant: Variant, theta: Float) -> Float:
        """Cov(q) by 2 tr(A_j Ω A_k Ω), A_j read off q as a quadratic form."""
        A = []
        for W in self.W(variant):
            B = W if variant.entries == "all" else 0.5 * (W + np.diag(np.diag(W)))
            A.append(self.M @ B @ self.M)
        Omega = np.tensordot(theta, np.array(self.V), axes=1)
        return np.array([[2 * np.trace(a @ Omega @ b @ Omega) for b in A] for a in A])


def moment_checks(kind: Any, specs: Iterable[ModelSpec], *, seed: int = 0) -> list[str]:
    """Every quantity of an exact kind of second moments against brute force; of a random kind what is exact in it.

    Parameters
    ----------
    kind : MomentKind
        What is registered under ``mixedvc.moments.moment_kinds``.
    specs : iterable of ModelSpec
        One response and at most a few hundred rows each.
    seed : int
        Chooses θ, other responses and outer products.

    Returns
    -------
    list of str
        What was checked; empty where the kind says (by ``cost(spec) is None``) that it applies to none.

    Raises
    ------
    AssertionError
        Names the quantity, the variant, and both values.
    """
    done: list[str] = []
    for spec in specs:
        if kind.cost(spec) is None:
            continue
        brute, rng = BruteMoments(spec), np.random.default_rng(seed)
        moments = kind(spec, probes=8, rng=np.random.default_rng(seed)) if kind.random else kind(spec)
        U = rng.standard_normal((spec.n, 3))
        close(moments.apply(U), np.array([V @ U for V in brute.V]), f"{kind.name}: apply", scale=_per(brute, U))
        done.append("apply")
        for variant in VARIANTS:
            where = f"{kind.name}, projection={variant.projection}, entries={variant.entries!r}"
            done += _check_equations(kind, moments, brute, variant, where, rng)
            if not kind.random:
                done += _check_covariance(moments, brute, variant, where, seed)
    return done


def _per(brute: BruteMoments, U: Float) -> Float:
    return (brute.sizes * np.abs(U).max())[:, None, None]


def _check_equations(
    kind: Any, moments: Any, brute: BruteMoments, variant: Variant, where: str, rng: np.random.Generator
) -> list[str]:
    spec, units = brute.spec, brute.sizes
    found = moments.equations(variant)
    if not kind.random:
        close(found.S, brute.S(variant), f"{where}: S", scale=np.outer(units, units))
        assert found.probes is None, f"{where}: probes of an exact kind"
    total = brute.y @ brute.M @ brute.y
    close(found.q, brute.q(variant, np.outer(brute.y, brute.y)), f"{where}: q", scale=units * total)
    Y = rng.standard_normal((spec.n, 3)) + 5.0
    want = np.array([brute.q(variant, np.outer(v, v)) for v in Y.T]).T
    close(moments.quadratic(variant, Y), want, f"{where}: q of other responses", scale=units[:, None] * spec.n * 25)
    F = rng.standard_normal((spec.n, 3))
    G = F @ F.T - 0.3 * np.eye(spec.n)
    got = moments.equations(variant, outer=G)
    close(got.q, brute.q(variant, G), f"{where}: q of an outer product", scale=units * np.linalg.norm(G))
    return [f"{where}: S", f"{where}: q", f"{where}: quadratic", f"{where}: outer"]


def _check_covariance(moments: Any, brute: BruteMoments, variant: Variant, where: str, seed: int) -> list[str]:
    done = []
    for name, theta in thetas.points(brute.spec, seed).items():
        if "zero" in name and "near" in name:
            continue
        found, error = moments.covariance(variant, theta)
        Omega = np.linalg.norm(np.tensordot(theta, np.array(brute.V), axes=1), 2)
        scale = np.outer(brute.sizes, brute.sizes) * Omega**2
        if error is None:
            close(found, brute.covariance(variant, theta), f"{where}: Cov(q) at θ {name}", scale=scale)
        else:
            z = np.abs(found - brute.covariance(variant, theta)) / np.maximum(error, 1e-10 * scale)
            assert z.max() < 6, f"{where}: Cov(q) at θ {name} by probes: |z| = {z.max():.1f}"
        done.append(f"{where}: Cov(q) at θ {name}")
    return done
