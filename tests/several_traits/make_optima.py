"""Finds the highest log-likelihood of random problems by brute force and writes it beside this script.

    python -m tests.several_traits.make_optima        (in the root of the repository; ten minutes)

A problem is kept where the two best of the starts end at one value, so that there is a highest point.  With few
records a residual covariance can become singular while the log-likelihood grows without bound; then none is found.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from .generate import Problem, problem
from .kronecker import maximum

HERE = Path(__file__).resolve().parent
STARTS = 8


def optimum(one: Problem) -> dict[str, object] | None:
    """Log-likelihood, Σ's and whether every start that got there has the same Σ's; None without a highest point."""
    found = sorted((maximum(replace(one.model, seed=k), 1) for k in range(STARTS)), key=lambda f: -f[0])
    best = found[0]
    if not np.isfinite(best[0]) or best[0] - found[1][0] > 1e-9 * (1 + abs(best[0])) or not determined(one):
        return None
    same = [f for f in found if best[0] - f[0] < 1e-10 * (1 + abs(best[0]))]
    apart = max(max(np.abs(a - b).max() for a, b in zip(f[1], best[1], strict=True)) for f in same)
    return {
        "loglik": best[0],
        "reached": len(same),
        "unique": bool(apart < 1e-4),
        "sigmas": [Sigma.round(10).tolist() for Sigma in best[1]],
    }


def determined(one: Problem) -> bool:
    """At least three observations for each parameter, a rough guard against likelihoods without bound."""
    from .kronecker import count

    model = one.model
    counts = [count(c.kind, model.t, c.basis.shape[1]) for c in model.components] + [count(model.residual, model.t, 1)]
    return bool(len(model.y) >= 3 * sum(counts))


def main() -> None:
    kept: dict[str, dict[str, object]] = {}
    for plain, seeds in ((True, range(70)), (False, range(1000, 1110))):
        for seed in seeds:
            one = problem(seed, plain)
            got = optimum(one)
            print(seed, one.formula, None if got is None else got["loglik"], flush=True)
            if got is not None:
                kept[str(seed)] = {"plain": plain, "formula": one.formula, **got}
    with open(HERE / "optima.json", "w", encoding="utf-8") as file:
        json.dump(kept, file, indent=0)
        file.write("\n")


if __name__ == "__main__":
    main()
