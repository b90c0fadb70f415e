"""Animal models on simulated pedigrees, and two large crossed factors: the sparse likelihood, formula to summary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import mixedvc as mv

Problem = Any


def pedigree(n: int, sires: int, dams: int, seed: int, generations: int = 10) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Records (one an animal) and pedigree of `generations` of equal size, litters of n/(generations·dams).

    Parents are drawn at random from the generation before: `sires` and `dams` of each; a dam has one litter.
    """
    rng = np.random.default_rng(seed)
    per = n // generations
    sire, dam, litter = np.full(n, -1), np.full(n, -1), np.arange(n) // (per // dams)
    u = np.sqrt(0.4) * rng.standard_normal(n)
    for g in range(1, generations):
        own, before = np.arange(g * per, (g + 1) * per), (g - 1) * per + rng.permutation(per)
        mother = np.arange(per) // (per // dams)
        sire[own] = rng.choice(before[:sires], dams)[mother]
        dam[own] = before[sires : sires + dams][mother]
        u[own] = 0.5 * (u[sire[own]] + u[dam[own]]) + np.sqrt(0.2) * rng.standard_normal(per)
    sex = rng.integers(0, 2, n)
    shared = np.sqrt(0.15) * rng.standard_normal(litter.max() + 1)[litter]
    y = 10.0 + 0.5 * sex + u + shared + np.sqrt(0.45) * rng.standard_normal(n)
    ids = np.array([f"a{i:06d}" for i in range(n)], dtype=object)

    def named(parent: np.ndarray) -> np.ndarray:
        return np.where(parent >= 0, ids[np.maximum(parent, 0)], None)

    data = pd.DataFrame({"y": y, "sex": np.where(sex, "m", "f"), "animal": ids, "litter": [f"l{k}" for k in litter]})
    return data, pd.DataFrame({"id": ids, "sire": named(sire), "dam": named(dam)})


def _animals(n: int, sires: int, dams: int, limit: float, note: str) -> Problem:
    from problems import Problem

    data, table = pedigree(n, sires, dams, seed=3)

    def run() -> float:
        fit = mv.fit("y ~ sex + (1|animal:A) + (1|litter)", data, cov={"A": mv.pedigree(table)})
        str(fit.summary())
        return fit.llf

    return Problem(run, limit=limit, note=note)


def animals_6000() -> Problem:
    """Of the size of pedigreemm's milk, for which pedigreemm needs 95 s."""
    return _animals(6_000, 20, 100, 1.0, "seconds, pedigree table and formula to printed summary, 6,000 animals")


def animals_100000() -> Problem:
    """Litters of ten, 100 sires a generation."""
    return _animals(100_000, 100, 1_000, 60.0, "seconds, the same, 100,000 animals, litters of 10")


def animals_100000_wide() -> Problem:
    """Litters of two, 500 sires and 5,000 dams a generation: a dense front of 4,000 animals."""
    return _animals(100_000, 500, 5_000, 60.0, "seconds, the same, litters of 2 and 5,500 parents a generation")


def reliabilities_100000() -> Problem:
    """Prediction error variances and reliabilities of every animal; the fit is not timed."""
    from problems import Problem

    data, table = pedigree(100_000, 100, 1_000, seed=3)
    fit = mv.fit("y ~ sex + (1|animal:A) + (1|litter)", data, cov={"A": mv.pedigree(table)})

    def run() -> float:
        for name in ("pev", "_pev", "reliability"):
            fit.__dict__.pop(name, None)
        return float(fit.reliability["animal"]["Intercept"].mean())

    return Problem(run, limit=5.0, note="seconds, reliabilities of 100,000 animals")


def crossed_20000() -> Problem:
    """Two factors of 20,000 levels, each level of one meets four neighbours of the other."""
    from problems import Problem

    rng = np.random.default_rng(0)
    n, q = 100_000, 20_000
    a = rng.integers(0, q, n)
    b = (a + rng.integers(0, 4, n)) % q
    y = rng.standard_normal(q)[a] + 0.7 * rng.standard_normal(q)[b] + rng.standard_normal(n)
    data = pd.DataFrame({"y": y, "x": rng.standard_normal(n), "a": a, "b": b})

    def run() -> float:
        fit = mv.fit("y ~ x + (1|a) + (1|b)", data)
        str(fit.summary())
        return fit.llf

    return Problem(run, limit=5.0, note="seconds, 100,000 rows, 20,000 x 20,000 levels partially crossed")


PEDIGREES: dict[str, Callable[[], Problem]] = {
    make.__name__: make
    for make in (animals_6000, animals_100000, animals_100000_wide, reliabilities_100000, crossed_20000)
}
