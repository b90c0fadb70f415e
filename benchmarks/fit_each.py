"""Benchmark of fit_each: many responses on one kernel beside the decomposition, one product, and fits one by one.

``python benchmarks/fit_each.py [ROWS RESPONSES COVARIATES]`` (default 1000 5000 2): processor seconds, one BLAS
thread.  With GEMMA installed its null model of a few responses (``-vc 2``: the kernel
is read and decomposed each time) is timed too.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import mixedvc as mv
from mixedvc.linalg.dense import eigh
from mixedvc.linalg.products import product
from mixedvc.linalg.threads import blas_threads

SOME = 20  # responses fitted one by one


def problem(n: int, count: int, p: int) -> tuple[pd.DataFrame, str, pd.DataFrame, pd.DataFrame]:
    """Responses, right-hand side, covariates, kernel."""
    rng = np.random.default_rng(1)
    ids = [f"i{j}" for j in range(n)]
    W = rng.standard_normal((n, 2 * n))
    K = W @ W.T / (2 * n)
    h = rng.uniform(0.0, 0.8, count)
    u = np.linalg.cholesky(K) @ rng.standard_normal((n, count))
    Y = u * np.sqrt(h) + rng.standard_normal((n, count)) * np.sqrt(1.0 - h)
    data = pd.DataFrame({"id": ids, **{f"x{j}": rng.standard_normal(n) for j in range(p)}}, index=ids)
    right = " + ".join(["~ 1", *(f"x{j}" for j in range(p)), "(1 | id:K)"])
    return pd.DataFrame(Y, ids), right, data, pd.DataFrame(K, ids, ids)


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    made = work()
    return time.process_time() - began, made


def gemma(Y: pd.DataFrame, K: pd.DataFrame) -> float:
    """Processor seconds a response of GEMMA's variance components, files read each time."""
    import resource

    with tempfile.TemporaryDirectory() as folder:
        np.savetxt(f"{folder}/p.txt", Y.iloc[:, :3])
        np.savetxt(f"{folder}/K.txt", K)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        for j in (1, 2, 3):
            command = ["gemma", "-p", "p.txt", "-n", str(j), "-k", "K.txt", "-vc", "2", "-o", "o"]
            subprocess.run(command, cwd=folder, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 3


def main(n: int = 1000, count: int = 5000, p: int = 2) -> None:
    """Print one line a measurement."""
    Y, right, data, K = problem(n, count, p)
    values = np.asfortranarray(K.to_numpy())
    with blas_threads(1):
        mv.fit_each(Y.iloc[:, :2], right, data, cov={"K": K})
        once, _ = seconds(lambda: eigh(values))
        turned, _ = seconds(lambda: product(values, Y.to_numpy()))
        total, each = seconds(lambda: mv.fit_each(Y, right, data, cov={"K": K}))
        table, _ = seconds(lambda: each.frame)
        spec = mv.model(f"y {right}", data.assign(y=Y[0]), cov={"K": K})
        first = spec.fit()
        first.refit(Y[0].to_numpy())
        again, _ = seconds(lambda: [first.refit(Y[j].to_numpy()).df_fixed() for j in range(SOME)])
    print(f"n = {n:,}, {count:,} responses, {p} covariates; one BLAS thread, {Path(sys.argv[0]).name}")
    print(f"eigendecomposition {once:.2f} s, one product of the turn {1e3 * turned / count:.3f} ms a response")
    print(f"fit_each {total:.2f} s, its frame {table:.2f} s: {1e3 * (total + table - once) / count:.3f} ms a response")
    print(f"refits one by one with degrees of freedom {1e3 * again / SOME:.1f} ms each")
    if shutil.which("gemma"):
        print(f"gemma -vc 2 {1e3 * gemma(Y, K):.0f} ms each")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:4]))
