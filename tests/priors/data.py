"""Small data sets for tests of priors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

import mixedvc as mv


def records(groups: int = 6, n: int = 48, seed: int = 0) -> pd.DataFrame:
    """y, a covariate x far from zero, `g` crossed with `h`, a factor `f` of two, and an `id` for each row."""
    rng = np.random.default_rng(seed)
    g, h = np.arange(n) % groups, (np.arange(n) // groups) % 5
    x = 3.0 + rng.standard_normal(n)
    y = 1.0 + 0.5 * x + rng.standard_normal(groups)[g] + 0.7 * rng.standard_normal(5)[h] + rng.standard_normal(n)
    return pd.DataFrame(
        {
            "y": y,
            "x": x,
            "g": [f"g{i}" for i in g],
            "h": [f"h{i}" for i in h],
            "f": np.where(np.arange(n) % 2 == 0, "a", "b"),
            "id": [f"i{i}" for i in range(n)],
        }
    )


def kernel(data: pd.DataFrame, seed: int = 1) -> pd.DataFrame:
    """A full-rank covariance among the ids."""
    W = np.random.default_rng(seed).standard_normal((len(data), 3 * len(data)))
    return pd.DataFrame(W @ W.T / W.shape[1], index=data["id"], columns=data["id"])


def spec_of(formula: str, data: pd.DataFrame | None = None, **options: Any) -> Any:
    """A specification on `records()`."""
    return mv.model(formula, records() if data is None else data, **options)


def dense_parts(spec: Any) -> list[np.ndarray]:
    """V_j of every linear parameter, as dense matrices."""
    out = []
    for where in spec.index:
        term = spec.all_terms[where.term]
        A = term.covariance.block(term.positions)
        V = term.Z(where.a).toarray() @ A @ term.Z(where.b).toarray().T
        out.append(V if where.a == where.b else V + V.T)
    return out
