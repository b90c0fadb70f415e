"""Random problems of several traits: a formula with data for the package, and the same model for `kronecker`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .kronecker import Component, Model

Float = NDArray[np.float64]
Only = tuple[tuple[int, Float], ...]
WRAPPERS = ("us", "us", "us", "diag", "fa1", "rr1", "rr2", "fa2", "cs")


@dataclass(frozen=True)
class Problem:
    """What is handed to `mixedvc.fit`, and the model it should be.

    `pedigree` is the table from which ``cov["A"]`` is made, where there is one.
    """

    seed: int
    formula: str
    data: pd.DataFrame
    kernels: dict[str, pd.DataFrame]
    pedigree: pd.DataFrame | None
    residual: str
    model: Model
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def method(self) -> str:
        return "reml" if self.model.reml else "ml"


def relationship(sire: list[int], dam: list[int]) -> Float:
    """Numerator relationships by Henderson's recursion; −1 for an unknown parent, parents before offspring."""
    n = len(sire)
    A = np.zeros((n, n))
    for i in range(n):
        for parent in (sire[i], dam[i]):
            if parent >= 0:
                A[i, :i] += 0.5 * A[parent, :i]
        A[:i, i] = A[i, :i]
        both = sire[i] >= 0 and dam[i] >= 0
        A[i, i] = 1 + (0.5 * A[sire[i], dam[i]] if both else 0.0)
    return A


def _kernel(rng: np.random.Generator, q: int, singular: bool) -> Float:
    W = rng.standard_normal((q, max(3, q // 2) if singular else q + 5))
    if singular:
        W -= W.mean(axis=0)
    return W @ W.T / W.shape[1]


def _pedigree(rng: np.random.Generator, q: int) -> tuple[pd.DataFrame, Float]:
    founders = max(4, q // 4)
    sire, dam = [-1] * founders, [-1] * founders
    for i in range(founders, q):
        sire.append(int(rng.integers(0, i)) if rng.random() < 0.85 else -1)
        dam.append(int(rng.integers(0, i)) if rng.random() < 0.85 else -1)
        if dam[-1] == sire[-1]:
            dam[-1] = -1
    name = [f"p{i}" for i in range(q)]
    table = pd.DataFrame({"id": name, "sire": [name[s] if s >= 0 else None for s in sire]})
    return table.assign(dam=[name[d] if d >= 0 else None for d in dam]), relationship(sire, dam)


def _wrapped(kind: str, bar: str) -> str:
    if kind == "us":
        return f"({bar})"
    if kind == "within":
        return f'us({bar}, traits="diag")'
    if kind in ("diag", "cs"):
        return f"{kind}({bar})"
    return f"{kind[:2]}({bar}, {kind[2:]})"


def _covariance(rng: np.random.Generator, m: int) -> Float:
    B = rng.standard_normal((m, m + 1))
    return B @ B.T / (m + 1)


def problem(seed: int, plain: bool = False) -> Problem:
    """The problem of one seed; `plain` without wrappers, shared columns and columns of single traits."""
    rng = np.random.default_rng([2024, seed])
    t = int(rng.choice([2, 2, 3, 4]))
    n = int(rng.integers(24, 90 // t + 8))
    share = float(rng.choice([0.0, 0.1, 0.3, 0.6])) if n * t > 60 else float(rng.choice([0.0, 0.2]))
    data = pd.DataFrame({"x": rng.standard_normal(n), "z": rng.uniform(0, 2, n), "w": rng.standard_normal(n)})
    components, bars, kernels, pedigree = [], [], {}, None
    for place in range(int(rng.choice([1, 1, 2]))):
        what = str(rng.choice(["dense", "singular", "pedigree", "groups", "slopes", "repeated"]))
        if place == 1 and what != "groups":
            first = bars[0]
            what = (
                "groups" if first.startswith(("(1 | id", "(1 | line", "us(", "diag(", "cs(", "fa(", "rr(")) else "dense"
            )
        kind = "us" if plain else str(rng.choice(WRAPPERS))
        basis, K = np.ones((n, 1)), None
        if what in ("dense", "singular"):
            codes, levels = rng.permutation(n), [f"i{j}" for j in range(n)]
            K = _kernel(rng, n, what == "singular")
            kernels["K"] = pd.DataFrame(K, levels, levels)
            bar, group = "1 | id:K", "id"
        elif what == "repeated":
            q = n // 3
            codes, levels = rng.integers(0, q, n), [f"l{j}" for j in range(q)]
            K = _kernel(rng, q, False)
            kernels["L"] = pd.DataFrame(K, levels, levels)
            bar, group = "1 | line:L", "line"
        elif what == "pedigree":
            q = n + 6
            pedigree, K = _pedigree(rng, q)
            codes, levels = rng.permutation(q)[:n], pedigree["id"].tolist()
            bar, group = "1 | animal:A", "animal"
        else:
            q = int(rng.integers(6, 10))
            codes, levels = rng.integers(0, q, n), [f"g{j}" for j in range(q)]
            K, group = np.eye(q), f"g{place}"
            bar = f"1 | {group}"
            if what == "slopes" and t < 4:
                basis = np.column_stack([np.ones(n), data["x"]])
                bar = f"1 + x | {group}"
                kind = "us" if t < 3 and kind.startswith(("fa", "rr")) else kind
                kind = str(rng.choice(["within", kind])) if not plain else kind
        if kind == "fa2" and t * basis.shape[1] < 5:
            kind = "fa1"
        if kind == "rr2" and t * basis.shape[1] < 3:
            kind = "rr1"
        if kind == "fa1" and t * basis.shape[1] < 3:
            kind = "diag"
        data[group] = [levels[c] for c in codes]
        components.append(Component(np.asarray(codes), basis, K, kind))
        bars.append(_wrapped(kind, bar))
    residual = "us" if plain else str(rng.choice(["us", "us", "us", "diag", "fa1" if t > 2 else "us", "cs"]))
    weights = rng.uniform(0.5, 2, n) if rng.random() < 0.25 else None
    Y = _simulated(rng, t, data, components, weights)
    Y = _with_gaps(rng, Y, min(share, 0.3) if t * max(c.basis.shape[1] for c in components) > 3 else share)
    names = [f"y{a + 1}" for a in range(t)]
    data[names] = Y
    fixed, X, C, only = "x", np.column_stack([np.ones(n), data["x"]]), None, ()
    if not plain:
        fixed, C, only = _extras(rng, data, t)
    options: dict[str, Any] = {}
    if weights is not None:
        data["wt"] = weights
        options["weights"] = "wt"
    model = Model(Y, X, tuple(components), C, only, weights, residual, bool(rng.random() < 0.6), seed)
    formula = f"cbind({', '.join(names)}) ~ {fixed} + {' + '.join(bars)}"
    return Problem(seed, formula, data, kernels, pedigree, residual, model, options)


def _extras(rng: np.random.Generator, data: pd.DataFrame, t: int) -> tuple[str, Float | None, Only]:
    """Sometimes a column shared by the traits, or one of a single trait."""
    what = int(rng.integers(0, 4))
    fixed: str = "x"
    C, only = None, ()
    if what in (1, 3):
        fixed, C = "x + common(z)", data[["z"]].to_numpy()
    if what in (2, 3):
        trait = int(rng.integers(0, t))
        fixed += f" + at(y{trait + 1}, w)"
        only = ((trait, data["w"].to_numpy()),)
    return fixed, C, only


def _simulated(
    rng: np.random.Generator, t: int, data: pd.DataFrame, components: list[Component], weights: Float | None
) -> Float:
    n = len(data)
    Y = rng.multivariate_normal(np.zeros(t), _covariance(rng, t) + 0.2 * np.eye(t), n)
    if weights is not None:
        Y /= np.sqrt(weights)[:, None]
    for one in components:
        k, q = one.basis.shape[1], len(one.K)
        values, vectors = np.linalg.eigh(one.K)
        root = vectors * np.sqrt(np.maximum(values, 0))
        U = root @ rng.standard_normal((q, t * k)) @ np.linalg.cholesky(_covariance(rng, t * k)).T
        for a in range(t):
            Y[:, a] += np.sum(one.basis * U[one.codes][:, a * k : (a + 1) * k], axis=1)
    return Y + 1.0 + 0.5 * data["x"].to_numpy()[:, None]


def _with_gaps(rng: np.random.Generator, Y: Float, share: float) -> Float:
    """Cells taken away at random, at least fourteen a trait and one a record left."""
    Y = Y.copy()
    n, t = Y.shape
    for cell in rng.permutation(n * t)[: int(share * n * t)]:
        r, a = divmod(int(cell), t)
        if np.sum(~np.isnan(Y[:, a])) > 14 and np.sum(~np.isnan(Y[r])) > 1:
            Y[r, a] = np.nan
    return Y
