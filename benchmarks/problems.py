"""The benchmark problems: each builds its inputs outside the clock and returns what is timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

import mixedvc as mv


@dataclass(frozen=True)
class Problem:
    """What is timed (`run` returns the objective reached), and the floor it is held against, if there is one.

    A floor that returns a float has timed itself.
    """

    run: Callable[[], Any]
    floor: Callable[[], Any] | None = None
    floor_name: str = ""
    limit: float | None = None  # largest ratio to the floor, or seconds where there is no floor
    note: str = ""


def _kernel(n: int, m: int, seed: int, structured: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A relationship matrix of n individuals from m markers, and their ids; with population structure if wanted."""
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, m), dtype=np.float32)
    if structured:
        W += (rng.standard_normal((n, 5)).astype(np.float32) @ rng.standard_normal((5, m)).astype(np.float32)) * 0.4
    W -= W.mean(0)
    K = (W @ W.T / m).astype(float)
    return 0.5 * (K + K.T), np.array([f"i{k}" for k in range(n)], dtype=object)


def _response(kernels: list[np.ndarray], shares: list[float], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    n = len(kernels[0])
    V = sum(s * K for s, K in zip(shares, kernels, strict=True)) + (1 - sum(shares)) * np.eye(n)
    return np.linalg.cholesky(V) @ rng.standard_normal(n) + 3.0


def sleepstudy() -> Problem:
    """lme4's first example, formula to summary object; lmer alone needs 26 ms."""
    data = mv.load_data("sleepstudy")
    return Problem(lambda: mv.fit("Reaction ~ Days + (Days | Subject)", data).llf, limit=0.015, note="seconds, fit()")


def sleepstudy_summary() -> Problem:
    """The same with its summary rendered as text."""
    data = mv.load_data("sleepstudy")

    def run() -> float:
        fit = mv.fit("Reaction ~ Days + (Days | Subject)", data)
        str(fit.summary())
        return fit.llf

    return Problem(run, note="seconds, fit() and printed summary")


def _one_kernel(n: int, structured: bool) -> Problem:
    import scipy.linalg as sl

    K, ids = _kernel(n, n // 2 if structured else 2 * n, 1, structured)
    y = _response([K + 1e-6 * np.eye(n)], [0.4], 2)
    data, A = pd.DataFrame({"y": y, "id": ids}), pd.DataFrame(K, ids, ids)

    def run() -> float:
        fit = mv.fit("y ~ 1 + (1 | id:A)", data, cov={"A": A}, likelihood="dense")
        fit.summary()
        return fit.llf

    return Problem(run, lambda: sl.eigh(K, driver="evd"), "LAPACK syevd", 0.6, "one dense kernel, formula to summary")


def one_kernel_4000() -> Problem:
    """One dense kernel, n = 4000, formula to summary, against one eigendecomposition of that kernel."""
    return _one_kernel(4000, False)


def one_kernel_4000_structured() -> Problem:
    """The same with a singular kernel of few markers and strong population structure."""
    return _one_kernel(4000, True)


def two_kernels_2000() -> Problem:
    """One average-information iteration with two dense kernels against potrf + potri."""
    from scipy.linalg import lapack

    from mixedvc.likelihood import choose

    n = 2000
    (K1, ids), (K2, _) = _kernel(n, 4000, 3), _kernel(n, 3000, 4)
    data = pd.DataFrame({"y": _response([K1, K2], [0.3, 0.2], 5), "id": ids})
    spec = mv.model("y ~ 1 + (1 | id:A) + (1 | id:B)", data, cov={"A": (K1, ids), "B": (K2, ids)})
    likelihood = choose(spec, name="dense")[0]
    count = [0]

    def run() -> float:
        count[0] += 1
        e = likelihood.at(np.array([0.3, 0.2, 0.5]) * (1 + 1e-6 * count[0]))
        return float(e.loglik + 0 * (e.score.sum() + e.average_information.sum()))

    V = np.asfortranarray(0.3 * K1 + 0.2 * K2 + 0.5 * np.eye(n))

    def floor() -> float:
        work = V.copy(order="F")
        began = time.perf_counter()  # the copy is not part of the floor
        L = lapack.dpotrf(work, lower=1, clean=0, overwrite_a=1)[0]
        lapack.dpotri(L, lower=1, overwrite_c=1)
        return time.perf_counter() - began

    return Problem(run, floor, "potrf + potri", 1.5, "criterion, score and average information at one θ")


def two_kernels_2000_fit() -> Problem:
    """The whole two-kernel fit with standard errors."""
    n = 2000
    (K1, ids), (K2, _) = _kernel(n, 4000, 3), _kernel(n, 3000, 4)
    data = pd.DataFrame({"y": _response([K1, K2], [0.3, 0.2], 5), "id": ids})
    cov = {"A": (K1, ids), "B": (K2, ids)}

    def run() -> float:
        fit = mv.fit("y ~ 1 + (1 | id:A) + (1 | id:B)", data, cov=cov)
        fit.summary()
        return fit.llf

    return Problem(run, note="formula to summary")


def refit_200() -> Problem:
    """200 responses on one kernel, n = 2000: one eigendecomposition, then each refit (≤ 5 ms)."""
    n = 2000
    K, ids = _kernel(n, 3000, 6)
    rng = np.random.default_rng(7)
    L = np.linalg.cholesky(0.4 * K + 0.6 * np.eye(n))
    Y = L @ rng.standard_normal((n, 200))
    fit = mv.fit("y ~ 1 + (1 | id:A)", pd.DataFrame({"y": Y[:, 0], "id": ids}), cov={"A": (K, ids)})
    fit.refit(Y[:, 1])

    def run() -> float:
        return float(np.mean([fit.refit(Y[:, j]).llf for j in range(200)]))

    return Problem(run, limit=200 * 0.005, note="seconds for 200 refits after the first")


def families_1000() -> Problem:
    """1,000 families of 4 with A and C terms: block-sparse kernels, 4,000 rows."""
    import scipy.sparse as sp

    families, n = 1000, 4000
    A0 = np.array([[1, 0, 0.5, 0.5], [0, 1, 0.5, 0.5], [0.5, 0.5, 1, 0.5], [0.5, 0.5, 0.5, 1]])
    A = sp.kron(sp.eye_array(families), A0, format="csr")
    ids = np.array([f"p{k}" for k in range(n)], dtype=object)
    rng = np.random.default_rng(8)
    home = np.repeat(rng.standard_normal(families), 4) * 0.2**0.5
    genes = (np.linalg.cholesky(A0) @ rng.standard_normal((families, 4, 1)))[..., 0].ravel() * 0.5**0.5
    y = genes + home + rng.standard_normal(n) * 0.3**0.5
    data = pd.DataFrame({"y": y, "id": ids, "family": np.repeat([f"f{k}" for k in range(families)], 4)})

    def run() -> float:
        fit = mv.fit("y ~ 1 + (1 | id:A) + (1 | family)", data, cov={"A": mv.Sparse(A, ids)})
        fit.summary()
        return fit.llf

    return Problem(run, limit=0.5, note="seconds, formula to summary")


def _moment_fit(spec: Any, **options: Any) -> float:
    """One `he` fit; nothing is kept from fit to fit but the specification."""
    from mixedvc import estimators

    return float(estimators.get("he")(fixed="ols", **options).fit(spec).theta[0])


def moments_10000() -> Problem:
    """Haseman-Elston of two dense kernels in memory without standard errors: held against reading both once."""
    n = 10_000
    kernels, ids = [], np.arange(n).astype(object)
    for seed in (1, 2):
        W = np.random.default_rng(seed).standard_normal((n, 400))
        kernels.append(W @ W.T / 400)
        kernels[-1].flat[:: n + 1] += 0.1
    cov = {name: mv.Dense(K, ids, psd="allow") for name, K in zip("KL", kernels, strict=True)}
    data = pd.DataFrame({"y": np.random.default_rng(3).standard_normal(n), "id": ids})
    spec = mv.model("y ~ 1 + (1 | gr(id, cov=K)) + (1 | gr(id, cov=L))", data, cov=cov)

    def read() -> None:
        for K in kernels:
            np.add.reduce(K, axis=None)

    return Problem(
        lambda: _moment_fit(spec, se="none"), read, "sum of both kernels", 2.0, "he, two dense kernels in memory"
    )


def moments_insteval() -> Problem:
    """Haseman-Elston with its sandwich of 73,421 ratings by 2,972 students of 1,128 lecturers."""
    spec = mv.model("y ~ 1 + (1 | s) + (1 | d)", mv.load_data("insteval"))
    return Problem(lambda: _moment_fit(spec), limit=2.0, note="seconds, he with sandwich")


def _features(n: int, m: int, seeds: tuple[int, ...], shares: tuple[float, ...]) -> tuple[Any, list[np.ndarray]]:
    """One term of n×m standard normal features for each seed, with these shares of the variance."""
    ids, y, cov, all_W = np.array([f"i{k}" for k in range(n)], dtype=object), np.zeros(n), {}, []
    rng = np.random.default_rng(99)
    for seed, share in zip(seeds, shares, strict=True):
        W = np.random.default_rng(seed).standard_normal((n, m))
        y += W @ rng.standard_normal(m) * np.sqrt(share / m)
        cov[f"W{seed}"] = mv.Features(W, ids)
        all_W.append(W)
    y += rng.standard_normal(n) * np.sqrt(1 - sum(shares))
    formula = "y ~ 1 + " + " + ".join(f"(1 | id:{name})" for name in cov)
    return mv.model(formula, pd.DataFrame({"y": y, "id": ids}), cov=cov), all_W


def _one_kernel_iterated(method: str) -> Problem:
    import scipy.linalg as sl

    n = 5000
    spec, (W,) = _features(n, n, (10,), (0.5,))
    G = (W - W.mean(0)) / W.std(0)
    K = G @ G.T / n
    del W, G
    floor = "LAPACK syevd"
    note = f"{method} from features to the estimate, the kernel's formation included"
    return Problem(lambda: spec.fit(method).llf, lambda: sl.eigh(K, driver="evd"), floor, 1.15, note)


def pxem_features_5000() -> Problem:
    """PX-EM on one kernel of 5000 features of 5000 individuals against one eigendecomposition of that kernel."""
    return _one_kernel_iterated("pxem")


def mm_features_5000() -> Problem:
    """MM on the same."""
    return _one_kernel_iterated("mm")


def mm_two_kernels_1000() -> Problem:
    """MM with extrapolation on two kernels of 2000 features, n = 1000; VCM 0.1 needs 10.9 s on one thread."""
    spec, _ = _features(1000, 2000, (11, 12), (0.4, 0.3))
    return Problem(lambda: spec.fit("mm").llf, limit=10.9 / 3, note="seconds, features to the estimate")


def mm_two_kernels_1000_updates() -> Problem:
    """Updates that the extrapolated MM needs there, as a part of those of the plain one (to the same decrement)."""
    spec, _ = _features(1000, 2000, (11, 12), (0.4, 0.3))

    def updates(**options: Any) -> float:
        return float(spec.fit("mm", **options).estimate.extra["updates"])

    return Problem(
        lambda: updates() / updates(accelerate=None), limit=None, note="the objective is the share, at most 0.2"
    )


PROBLEMS: dict[str, Callable[[], Problem]] = {
    f.__name__: f
    for f in (
        sleepstudy,
        sleepstudy_summary,
        one_kernel_4000,
        one_kernel_4000_structured,
        two_kernels_2000,
        two_kernels_2000_fit,
        refit_200,
        families_1000,
        moments_10000,
        moments_insteval,
        pxem_features_5000,
        mm_features_5000,
        mm_two_kernels_1000,
        mm_two_kernels_1000_updates,
    )
}

from pedigrees import PEDIGREES  # noqa: E402  (it asks this module for Problem)

PROBLEMS |= PEDIGREES

from grouped import GROUPED  # noqa: E402

PROBLEMS |= GROUPED
