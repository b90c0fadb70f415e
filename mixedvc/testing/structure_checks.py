"""What every structure Σ(par) must satisfy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..structures.base import Structure, entries_of
from .compare import BRUTE_FORCE, DERIVATIVE, close

Float = NDArray[np.float64]


def structure_checks(structure: Structure, *, seed: int = 0, trials: int = 5) -> None:
    """Contract of `mixedvc.structures.base.Structure` for one structure made for k effects.

    Raises
    ------
    AssertionError
        Says which promise is broken.
    """
    rng = np.random.default_rng(seed)
    _shapes(structure)
    for _ in range(trials):
        root = rng.standard_normal((structure.k, structure.k + 2))
        Sigma = (root @ root.T) * np.outer(scale := np.exp(rng.normal(0, 1, structure.k)), scale)
        par = structure.start(Sigma)
        _start_is_inside(structure, par)
        _build_is_a_covariance(structure, par)
        _start_returns_a_member(structure, par)
        _gradient_by_differences(structure, par)
        if structure.linear:
            _linear(structure, par)


def _shapes(structure: Structure) -> None:
    name, k = structure.name, structure.k
    pairs = structure.pairs
    assert all(0 <= a <= b < k for a, b in pairs), f"{name}: pairs {pairs}"
    assert len(set(pairs)) == len(pairs), f"{name}: a pair is listed twice in {pairs}"
    assert list(pairs) == sorted(pairs), f"{name}: pairs are not in the order of the lower triangle by columns: {pairs}"
    everywhere = {entry for j in range(len(pairs)) for entry in entries_of(structure, j)}
    assert {(a, a) for a in range(k)} <= everywhere, f"{name}: a variance is missing from pairs {pairs}"
    assert all(pair == entries_of(structure, j)[0] for j, pair in enumerate(pairs)), (
        f"{name}: {pairs} are not the first"
    )
    effects = tuple(f"e{a}" for a in range(k))
    assert len(structure.names(effects)) == structure.n_par, f"{name}: {structure.n_par} parameters, other names"
    lower, upper = structure.bounds()
    assert len(lower) == len(upper) == structure.n_par, f"{name}: bounds {lower}, {upper}"
    assert np.all(lower < upper), f"{name}: bounds {lower}, {upper}"
    hash(structure)
    assert structure == structure, f"{name}: not equal to itself"


def _start_is_inside(structure: Structure, par: Float) -> None:
    lower, upper = structure.bounds()
    assert np.all((par > lower) & (par < upper)), f"{structure.name}: start {par} not strictly inside its bounds"


def _build_is_a_covariance(structure: Structure, par: Float) -> None:
    Sigma = structure.build(par)
    assert Sigma.shape == (structure.k, structure.k), f"{structure.name}: build gives shape {Sigma.shape}"
    close(Sigma, Sigma.T, f"{structure.name}: symmetry of Σ", rtol=1e-14)
    least = np.linalg.eigvalsh(Sigma)[0]
    assert least > -1e-10 * np.trace(Sigma), f"{structure.name}: Σ({par}) has eigenvalue {least}"
    shared = [entries_of(structure, j) for j in range(len(structure.pairs))]
    allowed = {(a, b) for entries in shared for i, j in entries for a, b in ((i, j), (j, i))}
    for entries in shared:
        values = [Sigma[a, b] for a, b in entries]
        close(values, np.full(len(values), values[0]), f"{structure.name}: entries of one parameter", rtol=1e-12)
    for a in range(structure.k):
        for b in range(structure.k):
            assert (a, b) in allowed or Sigma[a, b] == 0, f"{structure.name}: Σ[{a},{b}] is not in pairs"


def _start_returns_a_member(structure: Structure, par: Float) -> None:
    member = structure.build(par)
    again = structure.build(structure.start(member))
    close(again, member, f"{structure.name}: build(start(Σ)) of a member Σ", rtol=BRUTE_FORCE)


def _gradient_by_differences(structure: Structure, par: Float) -> None:
    gradient = structure.gradient(par)
    assert gradient.shape == (structure.n_par, structure.k, structure.k), f"{structure.name}: shape {gradient.shape}"
    for j in range(structure.n_par):
        step = 1e-5 * max(abs(par[j]), 1e-3)
        move = step * np.eye(structure.n_par)[j]
        by_hand = (structure.build(par + move) - structure.build(par - move)) / (2 * step)
        close(gradient[j], by_hand, f"{structure.name}: ∂Σ/∂par[{j}] at {par}", rtol=DERIVATIVE)


def _linear(structure: Structure, par: Float) -> None:
    Sigma = structure.build(par)
    theta = [Sigma[a, b] for a, b in structure.pairs]
    assert np.array_equal(theta, par), f"{structure.name}: called linear, but par is not Σ at its pairs"
    doubled = structure.build(2 * par)
    close(doubled, 2 * Sigma, f"{structure.name}: called linear, but Σ(2 par) is not 2 Σ(par)")
