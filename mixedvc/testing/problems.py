"""Named small problems: every known covariance, structure, weights, offset, order of rows, relatives without rows.

``problems()`` lists them; each binds its own formula and data, so the whole way from text to specification is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from . import simulate

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """A formula with its data; `spec()` binds it."""

    name: str
    formula: str
    data: pd.DataFrame
    cov: dict[str, Any]
    weights: str | None = None
    offset: str | None = None
    residual: str | None = None

    def spec(self) -> ModelSpec:
        """The specification, bound afresh."""
        from ..design.bind import bind

        return bind(
            self.formula,
            self.data,
            cov=self.cov,
            weights=self.weights,
            offset=self.offset,
            residual=self.residual,
        )


@dataclass(frozen=True)
class TwoSamples(Problem):
    """A problem joined with one of other individuals: a term with an effect in each, a residual variance in each."""

    second: Problem | None = None
    tie: tuple[str, str] = ("", "")
    between: str = ""

    def spec(self) -> ModelSpec:
        """The joint specification."""
        from ..covariance.coerce import as_covariance
        from ..design.joint import Joint, join

        assert self.second is not None
        covariance = as_covariance(self.cov[self.between], self.between)
        return join(super().spec(), self.second.spec(), Joint(self.tie, covariance))


_makers: dict[str, Callable[[], Problem]] = {}


def _problem(make: Callable[[], Problem]) -> Callable[[], Problem]:
    _makers[make.__name__] = make
    return make


def names() -> list[str]:
    """Names of all problems."""
    return list(_makers)


@cache
def problem(name: str) -> Problem:
    """The problem called `name`; made once."""
    return _makers[name]()


@cache
def bound(name: str) -> ModelSpec:
    """Its specification; bound once (specifications are read-only)."""
    return problem(name).spec()


def _of(name: str, source: simulate.Simulation, formula: str | None = None, **options: Any) -> Problem:
    return Problem(name, formula or source.formula, source.data, source.cov, **options)


@_problem
def one_way() -> Problem:
    """Balanced groups."""
    return _of("one_way", simulate.one_way(6, 4, seed=1))


@_problem
def one_way_unbalanced() -> Problem:
    """Rows missing at random and in another order, two covariates, no intercept."""
    source = simulate.one_way(8, 5, seed=2).unbalanced(0.7, 3).permuted(4)
    rng = np.random.default_rng(505)
    data = source.data.assign(x=rng.standard_normal(len(source.data)), z=rng.uniform(1, 2, len(source.data)))
    return Problem("one_way_unbalanced", "y ~ 0 + x + z + (1 | g)", data, {})


@_problem
def crossed_weights_offset() -> Problem:
    """Two crossed factors with prior weights and an offset."""
    source = simulate.crossed(7, 5, weighted=True, seed=6)
    data = source.data.assign(o=np.linspace(-1, 2, len(source.data)))
    return Problem("crossed_weights_offset", source.formula, data, {}, weights="w", offset="o")


@_problem
def nested() -> Problem:
    """Casks within batches."""
    return _of("nested", simulate.nested(6, 3, 2, seed=7))


@_problem
def slopes() -> Problem:
    """Correlated intercepts and slopes."""
    return _of("slopes", simulate.random_slopes(9, 5, seed=8).unbalanced(0.9, 9))


@_problem
def slopes_uncorrelated() -> Problem:
    """Intercepts and slopes without covariance, and a second term that crosses them."""
    source = simulate.random_slopes(8, 5, seed=10)
    data = source.data.assign(day=[f"d{int(t)}" for t in source.data["t"]])
    return Problem("slopes_uncorrelated", "y ~ t + (t || id) + (1 | day)", data, {})


def _by_condition(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    group, f = np.repeat(np.arange(9), 6), np.tile(np.repeat(["p", "q", "r"], 2), 9)
    u = rng.standard_normal((9, 3)) @ np.linalg.cholesky(np.array([[1, 0.5, 0.3], [0.5, 1.2, 0.5], [0.3, 0.5, 0.8]])).T
    column = {"p": 0, "q": 1, "r": 2}
    y = u[group, [column[c] for c in f]] + 0.7 * rng.standard_normal(len(f))
    return simulate._frame({"y": y, "f": f, "g": [f"g{i}" for i in group]})


@_problem
def factor_unstructured() -> Problem:
    """One variance for each of three conditions, all covariances."""
    return Problem("factor_unstructured", "y ~ f + (0 + f | g)", _by_condition(11), {})


@_problem
def compound_symmetry() -> Problem:
    """Three conditions, one correlation."""
    return Problem("compound_symmetry", "y ~ 1 + cs(0 + f | g)", _by_condition(12), {})


@_problem
def autoregressive() -> Problem:
    """Three occasions met unequally often, one variance, correlation falling with the lag."""
    data = _by_condition(13).drop(index=[5, 10, 11, 17, 22, 23, 29, 35, 40, 41]).reset_index(drop=True)
    return Problem("autoregressive", "y ~ 1 + ar1(0 + f | g)", data, {})


@_problem
def families() -> Problem:
    """Additive and household covariances of parents and children, rows in another order."""
    return _of("families", simulate.families(6, 2, seed=14).permuted(15))


@_problem
def relatives_without_rows() -> Problem:
    """Siblings whose parents were not measured but stay in the covariance."""
    source = simulate.families(8, 3, measured_parents=False, seed=16)
    return Problem("relatives_without_rows", "y ~ x + (1 | gr(person, cov=A))", source.data, {"A": source.cov["A"]})


@_problem
def kinship_slopes() -> Problem:
    """A random intercept and slope of each person, correlated among relatives, three rows a person."""
    source = simulate.families(4, 2, seed=17)
    rng = np.random.default_rng(18)
    data = source.data.loc[source.data.index.repeat(3)].reset_index(drop=True)
    t = np.tile([0.0, 1.0, 2.0], len(source.data))
    data = data.assign(t=t, y=data["y"] + 0.3 * t + rng.standard_normal(len(data)))
    return Problem("kinship_slopes", "y ~ t + (t | gr(person, cov=A)) + (1 | person)", data, {"A": source.cov["A"]})


@_problem
def twins() -> Problem:
    """MZ and DZ pairs: the additive covariance is singular."""
    return _of("twins", simulate.twins(8, 10, seed=19))


@_problem
def clones() -> Problem:
    """A kernel of rank 5 among 12 lines, several of them identical, with negative entries, two rows each."""
    rng = np.random.default_rng(20)
    W = rng.standard_normal((12, 5))
    W[3], W[7], W[8] = W[0], W[1], W[1]
    W -= W.mean(axis=0)
    lines = [f"line{i}" for i in range(12)]
    who = np.tile(lines, 2)
    u = dict(zip(lines, W @ rng.standard_normal(5) / np.sqrt(5), strict=True))
    data = simulate._frame({"y": [u[i] + e for i, e in zip(who, rng.standard_normal(24), strict=True)], "line": who})
    return Problem("clones", "y ~ 1 + (1 | gr(line, cov=K))", data, {"K": simulate._labelled(W @ W.T / 5, lines)})


@_problem
def two_kernels() -> Problem:
    """Two dense full-rank kernels with negative entries on one factor, one row each."""
    rng = np.random.default_rng(21)
    ids = [f"i{i}" for i in range(26)]
    K, L = (B @ B.T / 30 for B in rng.standard_normal((2, 26, 30)))
    y = simulate.normal(K + 0.5 * L + 0.5 * np.eye(26), rng)[:, 0]
    data = simulate._frame({"y": y, "x": rng.standard_normal(26), "id": ids, "id2": ids})
    cov = {"K": simulate._labelled(K, ids), "L": simulate._labelled(L, ids)}
    return Problem("two_kernels", "y ~ x + (1 | gr(id, cov=K)) + (1 | gr(id2, cov=L))", data, cov)


@_problem
def features() -> Problem:
    """Fewer features than individuals."""
    return _of("features", simulate.markers(30, 7, seed=22))


@_problem
def pedigree() -> Problem:
    """An animal model on a pedigree with inbreeding, repeated records, and a permanent environment."""
    source = simulate.animals(6, 3, 8, 2, seed=23)
    return Problem("pedigree", source.formula + " + (1 | animal)", source.data, source.cov)


@_problem
def precision() -> Problem:
    """A sparse inverse covariance: a first-order random walk with a ridge along 20 places, two rows a place."""
    from ..covariance import Precision

    rng = np.random.default_rng(24)
    places: Any = [f"s{i:02d}" for i in range(20)]
    D = np.diff(np.eye(20), axis=0)
    Q = D.T @ D + 0.4 * np.eye(20)
    u = simulate.normal(np.linalg.inv(Q), rng)[:, 0]
    code = rng.permutation(np.repeat(np.arange(20), 2))
    y = u[code] + 0.5 * rng.standard_normal(40)
    data = simulate._frame({"y": y, "place": np.array(places, dtype=object)[code]})
    return Problem("precision", "y ~ 1 + (1 | gr(place, cov=Q))", data, {"Q": Precision(sp.csc_array(Q), places)})


@_problem
def kronecker() -> Problem:
    """Related lines in correlated environments, one row a pair, some pairs missing."""
    from ..covariance import Dense, Kronecker

    rng = np.random.default_rng(26)
    A, E = simulate.family_kinship(3), np.array([[1.0, 0.6, 0.3], [0.6, 1.0, 0.6], [0.3, 0.6, 1.0]])
    lines, environments = np.array([f"l{i}" for i in range(5)], object), np.array(["dry", "mid", "wet"], object)
    both = Kronecker(Dense(A, lines), Dense(E, environments))
    u = simulate.normal(np.kron(A, E), rng)[:, 0]
    keep = np.sort(rng.permutation(np.repeat(np.arange(15), 3))[:36])
    y = u[keep] + 0.6 * rng.standard_normal(36)
    data = simulate._frame({"y": y, "plot": np.asarray(both.labels)[keep]})
    return Problem("kronecker", "y ~ 1 + (1 | gr(plot, cov=AE))", data, {"AE": both})


@_problem
def sparse_blocks() -> Problem:
    """A sparse covariance of families of unlike sizes, weights, shuffled rows."""
    from ..covariance import Sparse

    rng = np.random.default_rng(25)
    blocks = [simulate.family_kinship(sibs) for sibs in (1, 2, 2, 3, 4, 1)]
    A: Any = sp.block_diag(blocks, format="csc")
    people: Any = [f"p{i:02d}" for i in range(A.shape[0])]
    y = simulate.normal(A.toarray(), rng)[:, 0] + rng.standard_normal(len(people))
    data = simulate._frame({"y": y, "who": people, "w": rng.uniform(0.5, 2.0, len(people))})
    data = data.sample(frac=1.0, random_state=1).reset_index(drop=True)
    cov = {"A": Sparse(sp.csc_array(A), people)}
    return Problem("sparse_blocks", "y ~ 1 + (1 | gr(who, cov=A))", data, cov, weights="w")


@_problem
def two_samples() -> Problem:
    """Children of the same families measured for two traits in other units, with weights in one, homes in the other."""
    source = simulate.families(9, 3, seed=27).unbalanced(0.8, 28)
    data = source.data.assign(home=[f"h{int(p[1:]) // 11}" for p in source.data["person"]])
    data = data.assign(w=np.linspace(0.5, 2.0, len(data)))
    one, two = (data.iloc[s::2].reset_index(drop=True) for s in (0, 1))
    two = two.assign(y=3.0 * two["y"])
    cov = {"A": source.cov["A"]}
    second = Problem("second", "y ~ 1 + (1 | gr(person, cov=A)) + (1 | home)", two, cov)
    formula = "y ~ x + (1 | gr(person, cov=A))"
    return TwoSamples("two_samples", formula, one, cov, "w", None, None, second, ("person", "person"), "A")


def _series(
    seed: int, variance: float, rho: float, sds: tuple[float, float] = (1.0, 1.0), times: int = 5
) -> pd.DataFrame:
    """Ten persons of two sexes at some of the times, shuffled: a random intercept, serial errors, weights."""
    rng = np.random.default_rng(seed)
    n = 10 * times
    person, t = np.repeat(np.arange(10), times), np.tile(np.arange(times), 10)
    R = rho ** np.abs(np.subtract.outer(np.arange(times), np.arange(times)))
    e = (rng.standard_normal((10, times)) @ np.linalg.cholesky(R).T).ravel()
    w = rng.uniform(0.5, 2.0, n)
    sex = np.array(["f", "m"], dtype=object)[person % 2]
    sd = np.where(sex == "f", *sds)
    y = 1.0 + 0.3 * t + np.sqrt(variance) * rng.standard_normal(10)[person] + sd * e / np.sqrt(w)
    data = simulate._frame({"y": y, "t": t, "sex": sex, "id": [f"p{i}" for i in person], "w": w})
    kept = np.sort(rng.permutation(n)[: (5 * n) // 6])
    return data.iloc[rng.permutation(kept)].reset_index(drop=True)


@_problem
def residual_variances() -> Problem:
    """A residual variance for each sex, with weights and a random intercept."""
    data = _series(31, 0.5, 0.0, (0.6, 1.8))
    return Problem("residual_variances", "y ~ t + (1 | id)", data, {}, "w", residual="diag(0 + sex | rows)")


@_problem
def residual_autoregressive() -> Problem:
    """Serial errors at times with gaps, weights, and a random effect that crosses the series."""
    data = _series(32, 0.0, 0.7).assign(site=lambda d: [f"s{i % 4}" for i in range(len(d))])
    return Problem("residual_autoregressive", "y ~ t + (1 | site)", data, {}, "w", residual="ar1(0 + t | id)")


@_problem
def residual_by_sex() -> Problem:
    """Serial errors in the order of the rows with a variance for each sex, and no random effect."""
    data = _series(33, 0.0, 0.5, (0.7, 1.5), times=4)
    return Problem("residual_by_sex", "y ~ t + sex", data, {}, residual="diag(0 + sex | rows) * ar1(1 | id)")


@_problem
def residual_exchangeable() -> Problem:
    """One correlation between the rows of a person, a variance at each time, and a crossed random effect."""
    data = _series(34, 0.8, 0.0, times=3).assign(site=lambda d: [f"s{i % 4}" for i in range(len(d))])
    return Problem("residual_exchangeable", "y ~ 1 + (1 | site)", data, {}, residual="cs(0 + t | id, hom=False)")


@_problem
def residual_unstructured() -> Problem:
    """Any covariance among three conditions of a group, some missing."""
    data = _by_condition(35).iloc[::2].drop(index=[4, 14, 22, 30]).reset_index(drop=True)
    return Problem("residual_unstructured", "y ~ f", data, {}, residual="us(0 + f | g)")


@_problem
def two_traits() -> Problem:
    """Two traits of lines with a known covariance, two weighted records of some lines, no cell missing."""
    rng = np.random.default_rng(36)
    W = rng.standard_normal((14, 18))
    lines = [f"line{i}" for i in range(14)]
    who = np.append(np.arange(14), [2, 5, 5, 11])
    A, G = W @ W.T / 18, np.array([[1.0, -0.4], [-0.4, 0.6]])
    u = np.linalg.cholesky(A) @ rng.standard_normal((14, 2)) @ np.linalg.cholesky(G).T
    w = rng.uniform(0.5, 2.0, len(who))
    Y = u[who] + rng.standard_normal((len(who), 2)) @ np.array([[0.7, 0.3], [0.0, 0.8]]) / np.sqrt(w)[:, None]
    data = simulate._frame({"y1": Y[:, 0], "y2": Y[:, 1], "x": rng.standard_normal(len(who)), "w": w})
    data = data.assign(line=np.array(lines, dtype=object)[who])
    formula = "cbind(y1, y2) ~ x + (1 | gr(line, cov=A))"
    return Problem("two_traits", formula, data, {"A": simulate._labelled(A, lines)}, "w")


def _traits(seed: int, who: Any, slope: float = 0.0, traits: int = 2, missing: int = 0) -> pd.DataFrame:
    """Traits of units 0…q−1 in records `who`: correlated effects of the units and errors; some records miss a cell."""
    rng = np.random.default_rng(seed)
    n, unit = len(who), np.asarray(who)
    root = np.linalg.cholesky(0.4 + 0.6 * np.eye(traits))
    u, b = rng.standard_normal((2, unit.max() + 1, traits)) @ root.T
    x, z = rng.standard_normal((2, n))
    Y = 1 + u[unit] + slope * x[:, None] * b[unit] + 0.3 * z[:, None] + 0.8 * rng.standard_normal((n, traits)) @ root
    Y[rng.permutation(n)[:missing], rng.integers(0, traits, missing)] = np.nan
    columns = {f"y{a + 1}": Y[:, a] for a in range(traits)}
    return simulate._frame({**columns, "x": x, "z": z, "g": [f"g{i}" for i in unit], "w": rng.uniform(0.5, 2.0, n)})


@_problem
def traits_missing() -> Problem:
    """Three traits of relatives, not all with records, in plots; cells missing, effects shared and of one trait."""
    data = _traits(48, np.append(np.arange(11), np.arange(2, 10)), traits=3, missing=8)
    data = data.assign(plot=[f"p{i % 4}" for i in range(len(data))])
    people: Any = [f"g{i}" for i in range(14)]
    A = sp.block_diag([simulate.family_kinship(3), simulate.family_kinship(3), simulate.family_kinship(2)])
    cov = {"A": simulate._labelled(np.asarray(A.toarray()), people)}
    formula = "cbind(y1, y2, y3) ~ 1 + common(z) + at(y2, x) + (1 | gr(g, cov=A)) + diag(1 | plot)"
    return Problem("traits_missing", formula, data, cov)


@_problem
def traits_slopes() -> Problem:
    """A random intercept and slope of each group and trait, all correlated, some cells missing, weights."""
    data = _traits(38, np.repeat(np.arange(8), 4), slope=0.7, missing=7)
    return Problem("traits_slopes", "cbind(y1, y2) ~ x + (1 + x | g)", data, {}, "w")


@_problem
def traits_independent_parts() -> Problem:
    """Slopes that do not covary with intercepts, an offset for all traits, errors that do not covary."""
    data = _traits(39, np.repeat(np.arange(7), 4), slope=0.7, missing=5)
    formula = "cbind(y1, y2) ~ 1 + (1 + x || g)"
    return Problem("traits_independent_parts", formula, data, {}, offset="z", residual="diag")


@_problem
def traits_factor() -> Problem:
    """One factor behind three traits of the groups."""
    data = _traits(40, np.repeat(np.arange(9), 3), traits=3, missing=4)
    return Problem("traits_factor", "cbind(y1, y2, y3) ~ z + fa(1 | g, 1)", data, {})


def problems() -> list[Problem]:
    """All problems, made."""
    return [problem(name) for name in names()]
