"""Small data sets of two and three traits with known covariances, missing cells and relatives without records."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

import mixedvc as mv
from tests.inference.trait_law import Component, Law


@cache
def data(t=2, n=60, q=14, seed=4):
    """Records of t traits with a covariate, a factor, groups, weights and an offset; a quarter of the cells missing."""
    rng = np.random.default_rng(seed)
    labels = [f"id{j:02d}" for j in range(q + 3)]
    W = rng.standard_normal((q + 3, 40))
    A = pd.DataFrame(W @ W.T / 40, index=labels, columns=labels)
    code, batch = rng.integers(0, q, n), rng.integers(0, 6, n)
    code[:q], batch[:6] = np.arange(q), np.arange(6)  # every level has a record
    root = np.linalg.cholesky(A.to_numpy())
    mix = rng.standard_normal((t, t)) * 0.6 + np.eye(t)
    Y = 3 + root[code] @ rng.standard_normal((q + 3, t)) @ mix + 0.6 * rng.standard_normal((6, t))[batch]
    Y = Y + rng.standard_normal((n, t)) @ (np.eye(t) + 0.5 * rng.standard_normal((t, t)))
    frame = pd.DataFrame(Y, columns=[f"y{a + 1}" for a in range(t)], index=[f"r{i}" for i in range(n)])
    frame["x"], frame["w"], frame["o"] = rng.standard_normal(n), rng.uniform(0.5, 2, n), rng.standard_normal(n)
    frame["f"] = rng.choice(list("abc"), n)
    frame["id"], frame["batch"] = [labels[j] for j in code], [f"b{j}" for j in batch]
    holes = rng.random((n, t)) < 0.25
    holes[holes.all(axis=1), 0] = False
    gaps = frame.copy()
    gaps[frame.columns[:t]] = frame[frame.columns[:t]].where(~holes)
    return frame, gaps, A


@cache
def pedigree(q=17):
    """Parents of id00 … by number, and A by the tabular method."""
    rng = np.random.default_rng(2)
    A, rows = np.zeros((q, q)), []
    for j in range(q):
        known = j >= 5
        dam, sire = (2 * rng.integers((j + 1) // 2), 2 * rng.integers(j // 2) + 1) if known else (None, None)
        rows.append((f"id{j:02d}", f"id{dam:02d}" if known else None, f"id{sire:02d}" if known else None))
        A[j, :j] = A[:j, j] = 0.5 * (A[dam, :j] + A[sire, :j]) if known else 0.0
        A[j, j] = 1.0 + (0.5 * A[dam, sire] if known else 0.0)
    labels = [row[0] for row in rows]
    return pd.DataFrame(rows, columns=["id", "dam", "sire"]), pd.DataFrame(A, index=labels, columns=labels)


def law(frame, A, sigmas, R, *, slopes=False, weights=False, offset=False, t=2):
    """The model ``x + f + (1|id:A) + (1|batch)`` (or ``x + (1 + x|id:A)``) of these records, written out."""
    Y = frame[[f"y{a + 1}" for a in range(t)]].to_numpy()
    one = np.ones(len(frame))
    columns = [one, frame["x"]] + ([] if slopes else [frame["f"] == level for level in "bc"])
    X = np.column_stack(columns).astype(float)
    code = A.index.get_indexer(frame["id"])
    batches = sorted(frame["batch"].unique())
    own = np.column_stack([one, frame["x"]]) if slopes else one[:, None]
    parts = [Component(code, A.to_numpy(), own, sigmas[0])]
    if len(sigmas) > 1:
        parts.append(
            Component(np.array([batches.index(b) for b in frame["batch"]]), np.eye(6), one[:, None], sigmas[1])
        )
    w = frame["w"].to_numpy() if weights else None
    return Law(Y, X, parts, R, w, frame["o"].to_numpy() if offset else None)


TWO_TERMS = "x + f + (1|id:A) + (1|batch)"


def fitted(frame, A, right=TWO_TERMS, t=2, **options):
    """The fit, and its law at the estimate."""
    names = ", ".join(f"y{a + 1}" for a in range(t))
    fit = mv.fit(f"cbind({names}) ~ {right}", frame, cov={"A": A}, **options)
    sigmas = fit.spec.sigmas(fit.theta)
    slopes, offset = "(1 + x|id:A)" in right, "offset(" in right
    made = law(frame, A, sigmas[:-1], sigmas[-1], slopes=slopes, weights="weights" in options, offset=offset, t=t)
    return fit, made
