"""Data sets with known truth: table, covariances, formula and the parameters that made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[Any]


@dataclass(frozen=True)
class Simulation:
    """One simulated data set.

    Attributes
    ----------
    formula : str
    data : pandas.DataFrame
    cov : dict
        What `mixedvc.fit` takes as ``cov=``.
    beta : dict of str to float
        True fixed effects.
    theta : dict of str to float
        True linear parameters in the order of ``ModelSpec.index``, the residual last.
    """

    formula: str
    data: pd.DataFrame
    cov: dict[str, Any]
    beta: dict[str, float]
    theta: dict[str, float]

    def permuted(self, seed: int) -> Simulation:
        """The same rows in another order."""
        order = np.random.default_rng(seed).permutation(len(self.data))
        data = self.data.iloc[order].reset_index(drop=True)
        return Simulation(self.formula, data, self.cov, self.beta, self.theta)

    def unbalanced(self, share: float, seed: int) -> Simulation:
        """A random `share` of the rows, in their order."""
        rng = np.random.default_rng(seed)
        keep = np.sort(rng.permutation(len(self.data))[: max(1, round(share * len(self.data)))])
        data = self.data.iloc[keep].reset_index(drop=True)
        return Simulation(self.formula, data, self.cov, self.beta, self.theta)


def _frame(columns: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(columns)


def _labelled(matrix: Float, labels: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(matrix, index=list(labels), columns=list(labels))


def _names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{i:0{len(str(count))}d}" for i in range(1, count + 1)]


def normal(A: ArrayLike, rng: np.random.Generator, size: int = 1) -> Float:
    """(q × size) independent columns of N(0, A), A perhaps singular."""
    values, vectors = np.linalg.eigh(np.asarray(A, dtype=float))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return root @ rng.standard_normal((len(values), size))


def _residual(rng: np.random.Generator, variance: float, n: int, weights: Float | None = None) -> Float:
    scale = 1.0 if weights is None else 1 / np.sqrt(weights)
    return np.sqrt(variance) * scale * rng.standard_normal(n)


def one_way(
    groups: int = 20,
    per_group: int = 5,
    *,
    variance: float = 1.0,
    residual: float = 1.0,
    mean: float = 5.0,
    seed: int = 0,
) -> Simulation:
    """Balanced one-way layout ``y ~ 1 + (1 | g)``."""
    rng = np.random.default_rng(seed)
    code = np.repeat(np.arange(groups), per_group)
    y = mean + np.sqrt(variance) * rng.standard_normal(groups)[code] + _residual(rng, residual, len(code))
    data = _frame({"y": y, "g": np.array(_names("g", groups), dtype=object)[code]})
    return Simulation("y ~ 1 + (1 | g)", data, {}, {"(Intercept)": mean}, {"g": variance, "Residual": residual})


def crossed(
    rows: int = 12,
    cols: int = 8,
    *,
    row_variance: float = 1.0,
    col_variance: float = 0.5,
    residual: float = 1.0,
    slope: float = 0.5,
    weighted: bool = False,
    seed: int = 0,
) -> Simulation:
    """Every row factor level with every column level once, a covariate, prior weights in column ``w`` on request."""
    rng = np.random.default_rng(seed)
    i, j = (a.ravel() for a in np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij"))
    x = rng.standard_normal(rows * cols)
    w = rng.choice([0.5, 1.0, 2.0], rows * cols) if weighted else np.ones(rows * cols)
    y = 2.0 + slope * x + np.sqrt(row_variance) * rng.standard_normal(rows)[i]
    y = y + np.sqrt(col_variance) * rng.standard_normal(cols)[j] + _residual(rng, residual, len(y), w)
    data = _frame(
        {
            "y": y,
            "x": x,
            "a": np.array(_names("a", rows), dtype=object)[i],
            "b": np.array(_names("b", cols), dtype=object)[j],
            "w": w,
        }
    )
    theta = {"a": row_variance, "b": col_variance, "Residual": residual}
    return Simulation("y ~ x + (1 | a) + (1 | b)", data, {}, {"(Intercept)": 2.0, "x": slope}, theta)


def nested(
    batches: int = 10,
    casks: int = 3,
    per_cask: int = 2,
    *,
    batch_variance: float = 1.0,
    cask_variance: float = 2.0,
    residual: float = 0.7,
    seed: int = 0,
) -> Simulation:
    """Casks within batches, cask names reused in every batch: ``y ~ 1 + (1 | batch/cask)``."""
    rng = np.random.default_rng(seed)
    batch = np.repeat(np.arange(batches), casks * per_cask)
    cask = np.tile(np.repeat(np.arange(casks), per_cask), batches)
    y = 60.0 + np.sqrt(batch_variance) * rng.standard_normal(batches)[batch]
    y = y + np.sqrt(cask_variance) * rng.standard_normal(batches * casks)[batch * casks + cask]
    y = y + _residual(rng, residual, len(y))
    data = _frame(
        {
            "y": y,
            "batch": np.array(_names("b", batches), dtype=object)[batch],
            "cask": np.array(_names("c", casks), dtype=object)[cask],
        }
    )
    theta = {"batch:cask": cask_variance, "batch": batch_variance, "Residual": residual}
    return Simulation("y ~ 1 + (1 | batch/cask)", data, {}, {"(Intercept)": 60.0}, theta)


def random_slopes(
    subjects: int = 15,
    times: int = 6,
    *,
    Sigma: ArrayLike = ((4.0, 0.6), (0.6, 0.5)),
    residual: float = 1.0,
    seed: int = 0,
) -> Simulation:
    """Intercept and slope of ``t`` for each subject: ``y ~ t + (t | id)``."""
    rng = np.random.default_rng(seed)
    S = np.asarray(Sigma, dtype=float)
    code, t = np.repeat(np.arange(subjects), times), np.tile(np.arange(times, dtype=float), subjects)
    u = normal(S, rng, subjects).T
    y = 10.0 + 2.0 * t + u[code, 0] + u[code, 1] * t + _residual(rng, residual, len(t))
    data = _frame({"y": y, "t": t, "id": np.array(_names("s", subjects), dtype=object)[code]})
    theta = {"id": S[0, 0], "id.cov": S[0, 1], "id.t": S[1, 1], "Residual": residual}
    return Simulation("y ~ t + (t | id)", data, {}, {"(Intercept)": 10.0, "t": 2.0}, theta)


def family_kinship(sibs: int) -> Float:
    """Additive relationship of two unrelated parents and their children, parents first."""
    A = np.full((sibs + 2, sibs + 2), 0.5)
    A[:2, :2] = 0.0
    np.fill_diagonal(A, 1.0)
    return A


def block_diagonal(block: Float, copies: int) -> Float:
    """`copies` of `block` along the diagonal, zeros elsewhere."""
    return np.kron(np.eye(copies), block)


def families(
    count: int = 20,
    sibs: int = 3,
    *,
    additive: float = 0.6,
    household: float = 0.3,
    residual: float = 0.5,
    measured_parents: bool = True,
    seed: int = 0,
) -> Simulation:
    """Parents and siblings with additive (A) and shared-household (C) covariances among persons.

    With ``measured_parents=False`` the parents have no row in the table but stay in A and C: relatives without records.
    """
    rng = np.random.default_rng(seed)
    size = sibs + 2
    people = _names("p", count * size)
    A, C = block_diagonal(family_kinship(sibs), count), block_diagonal(np.ones((size, size)), count)
    x = rng.standard_normal(count * size)
    y = 1.0 + 0.5 * x + np.sqrt(additive) * normal(A, rng)[:, 0] + np.sqrt(household) * normal(C, rng)[:, 0]
    y = y + _residual(rng, residual, len(y))
    keep = np.arange(len(y)) if measured_parents else np.flatnonzero(np.arange(len(y)) % size >= 2)
    who = np.array(people, dtype=object)
    data = _frame({"y": y[keep], "x": x[keep], "person": who[keep], "home": who[keep]})
    return Simulation(
        "y ~ x + (1 | gr(person, cov=A)) + (1 | gr(home, cov=C))",
        data,
        {"A": _labelled(A, people), "C": _labelled(C, people)},
        {"(Intercept)": 1.0, "x": 0.5},
        {"person": additive, "home": household, "Residual": residual},
    )


def twins(
    mz: int = 30,
    dz: int = 40,
    *,
    additive: float = 0.5,
    common: float = 0.2,
    residual: float = 0.3,
    seed: int = 0,
) -> Simulation:
    """Twin pairs, MZ then DZ; the additive covariance of MZ pairs is one: A is singular."""
    rng = np.random.default_rng(seed)
    pairs = mz + dz
    people = _names("t", 2 * pairs)
    A, C = np.eye(2 * pairs), block_diagonal(np.ones((2, 2)), pairs)
    for pair in range(pairs):
        A[2 * pair, 2 * pair + 1] = A[2 * pair + 1, 2 * pair] = 1.0 if pair < mz else 0.5
    y = 3.0 + np.sqrt(additive) * normal(A, rng)[:, 0] + np.sqrt(common) * normal(C, rng)[:, 0]
    y = y + _residual(rng, residual, 2 * pairs)
    family = np.repeat(np.array(_names("f", pairs), dtype=object), 2)
    zygosity = np.repeat(np.array(["MZ"] * mz + ["DZ"] * dz, dtype=object), 2)
    data = _frame({"y": y, "person": np.array(people, dtype=object), "family": family, "zygosity": zygosity})
    return Simulation(
        "y ~ 1 + (1 | gr(person, cov=A)) + (1 | family)",
        data,
        {"A": _labelled(A, people)},
        {"(Intercept)": 3.0},
        {"person": additive, "family": common, "Residual": residual},
    )


def markers(
    n: int = 60, m: int = 20, *, variance: float = 1.0, residual: float = 1.0, dense: bool = False, seed: int = 0
) -> Simulation:
    """n individuals with m standardised 0/1/2 genotypes, A = WWᵀ/m: as features, or formed with ``dense=True``."""
    from ..covariance import Features

    rng = np.random.default_rng(seed)
    counts = rng.binomial(2, rng.uniform(0.2, 0.8, m), (n, m)).astype(float)
    W = (counts - counts.mean(0)) / counts.std(0)
    people = _names("i", n)
    x = rng.standard_normal(n)
    y = 4.0 - 0.3 * x + np.sqrt(variance / m) * (W @ rng.standard_normal(m)) + _residual(rng, residual, n)
    cov = _labelled(W @ W.T / m, people) if dense else Features(W, np.array(people, dtype=object), standardize=False)
    data = _frame({"y": y, "x": x, "id": np.array(people, dtype=object)})
    theta = {"id": variance, "Residual": residual}
    return Simulation("y ~ x + (1 | gr(id, cov=G))", data, {"G": cov}, {"(Intercept)": 4.0, "x": -0.3}, theta)


def pedigree_table(founders: int, generations: int, per_generation: int, rng: np.random.Generator) -> pd.DataFrame:
    """id, sire, dam with random mating between generations; None where a parent is unknown."""
    ids = _names("f", founders)
    rows: list[tuple[str, str | None, str | None]] = [(i, None, None) for i in ids]
    previous = ids
    for generation in range(1, generations + 1):
        half = len(previous) // 2
        born = _names(f"n{generation}_", per_generation)
        rows += [(b, str(rng.choice(previous[:half])), str(rng.choice(previous[half:]))) for b in born]
        previous = born
    return _frame({"id": [r[0] for r in rows], "sire": [r[1] for r in rows], "dam": [r[2] for r in rows]})


def tabular_relationship(table: pd.DataFrame) -> Float:
    """A of a pedigree listed parents first, by the tabular method."""
    at = {name: i for i, name in enumerate(table["id"])}
    A = np.zeros((len(table),) * 2)
    for i, (sire, dam) in enumerate(zip(table["sire"], table["dam"], strict=True)):
        parents = [at[p] for p in (sire, dam) if p in at]
        A[i, :i] = 0.5 * sum((A[p, :i] for p in parents), np.zeros(i))
        A[:i, i] = A[i, :i]
        A[i, i] = 1.0 + (0.5 * A[parents[0], parents[1]] if len(parents) == 2 else 0.0)
    return A


def animals(
    founders: int = 10,
    generations: int = 3,
    per_generation: int = 14,
    records: int = 2,
    *,
    variance: float = 1.0,
    residual: float = 1.0,
    seed: int = 0,
) -> Simulation:
    """Animal model with repeated records of the non-founders; the covariance is made from the pedigree table."""
    from ..covariance import pedigree

    rng = np.random.default_rng(seed)
    table = pedigree_table(founders, generations, per_generation, rng)
    u = np.sqrt(variance) * normal(tabular_relationship(table), rng)[:, 0]
    code = np.repeat(np.arange(founders, len(table)), records)
    x = rng.standard_normal(len(code))
    y = 100.0 + x + u[code] + _residual(rng, residual, len(code))
    data = _frame({"y": y, "x": x, "animal": table["id"].to_numpy(dtype=object)[code]})
    theta = {"animal": variance, "Residual": residual}
    cov = {"ped": pedigree(table, id="id", sire="sire", dam="dam")}
    return Simulation("y ~ x + (1 | gr(animal, cov=ped))", data, cov, {"(Intercept)": 100.0, "x": 1.0}, theta)
