"""Benchmarks of several traits: one kernel with every cell, two kernels, missing cells; GEMMA and sommer on the first.

``python benchmarks/several_traits.py [NAME …]`` prints processor seconds of formula to printed summary (the second of
two runs), the log-likelihood reached, peak memory, the ratio to one eigendecomposition of the kernel (or one potrf +
potri of V), and pairs the problem with `gemma` and R's sommer where these are installed.  GEMMA's time is that of the
whole program: reading text, the eigendecomposition, the null model by ML and REML, two markers; sommer's is its call
of mmer alone.  ``--wheat FOLDER`` takes the wheat lines of `markers.csv.gz` and `data.csv` instead of simulated ones.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import mixedvc as mv

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@dataclass(frozen=True)
class Problem:
    """Traits of one record a line, kernels of the lines, and whether the model is that of GEMMA's mvLMM."""

    Y: pd.DataFrame
    kernels: dict[str, pd.DataFrame]
    peers: bool
    limit: float  # seconds

    @property
    def formula(self) -> str:
        terms = " + ".join(f"(1 | gr(id, cov={name}))" for name in self.kernels)
        return f"cbind({', '.join(self.Y)}) ~ 1 + {terms}"

    @property
    def data(self) -> pd.DataFrame:
        return self.Y.assign(id=self.Y.index).reset_index(drop=True)


def simulated(n: int, t: int, kernels: int = 1, missing: float = 0.0, seed: int = 1) -> Problem:
    """Kernels of random features; as much genetic as residual variance, both of any correlation."""
    rng = np.random.default_rng(seed)
    ids = [f"i{k}" for k in range(n)]
    Y, found = np.zeros((n, t)), {}
    for name in "KLM"[:kernels]:
        W = rng.standard_normal((n, 3 * n // 2))
        K = W @ W.T / W.shape[1]
        B = rng.standard_normal((t, t + 4)) / np.sqrt(t + 4)
        Y += np.linalg.cholesky(K) @ rng.standard_normal((n, t + 4)) @ B.T
        found[name] = pd.DataFrame(K, ids, ids)
    B = rng.standard_normal((t, t + 4)) / np.sqrt(t + 4)
    Y += rng.standard_normal((n, t + 4)) @ B.T
    Y[rng.random((n, t)) < missing] = np.nan
    frame = pd.DataFrame(Y, ids, [f"y{a + 1}" for a in range(t)])
    return Problem(frame, found, kernels == 1 and not missing, 60.0)


def wheat(folder: Path, t: int) -> Problem:
    """599 wheat lines (R package BGLR), standardised markers."""
    W = pd.read_csv(folder / "markers.csv.gz", index_col=0)
    data = pd.read_csv(folder / "data.csv").set_index("line")
    M = W.to_numpy(float)
    M = (M - M.mean(0)) / M.std(0)
    G = pd.DataFrame(M @ M.T / M.shape[1], index=W.index, columns=W.index)
    return Problem(data[[f"y{a + 1}" for a in range(t)]].loc[W.index], {"G": G}, True, 1.0)


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "two_traits_600": lambda: simulated(600, 2),
    "four_traits_600": lambda: simulated(600, 4),
    "ten_traits_2000": lambda: simulated(2000, 10),
    "two_kernels_three_traits_600": lambda: simulated(600, 3, kernels=2),
    "missing_two_traits_1000": lambda: simulated(1000, 2, missing=0.1),
}


def ours(problem: Problem) -> float:
    """Formula to printed summary; the log-likelihood."""
    fit = mv.fit(problem.formula, problem.data, cov=problem.kernels)
    str(fit.summary())
    return float(fit.llf)


def floor(problem: Problem) -> tuple[str, float]:
    """Processor seconds of the factorisation that the problem cannot do without."""
    from scipy.linalg import eigh, lapack

    if problem.peers:
        K = problem.kernels[next(iter(problem.kernels))].to_numpy()
        began = time.process_time()
        eigh(K, driver="evd")
        return "one eigendecomposition", time.process_time() - began
    N = int(problem.Y.notna().to_numpy().sum())
    A = np.random.default_rng(0).standard_normal((N, N))
    V = np.asfortranarray(A @ A.T / N + np.eye(N))
    began = time.process_time()
    L = lapack.dpotrf(V, lower=1, clean=0, overwrite_a=1)[0]
    lapack.dpotri(L, lower=1, overwrite_c=1)
    return "potrf + potri", time.process_time() - began


def gemma(problem: Problem) -> tuple[float, float] | None:
    """Processor seconds of the program and its REML log-likelihood without ½ t log|XᵀX|; None where not installed."""
    if shutil.which("gemma") is None:
        return None
    n, t = problem.Y.shape
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        np.savetxt(at / "k.txt", problem.kernels[next(iter(problem.kernels))].to_numpy(), fmt="%.10g", delimiter="\t")
        np.savetxt(at / "p.txt", problem.Y.to_numpy(), fmt="%.10g", delimiter="\t")
        doses = np.random.default_rng(3).integers(0, 3, (2, n))
        (at / "g.txt").write_text("".join(f"rs{j}, A, T, {', '.join(map(str, row))}\n" for j, row in enumerate(doses)))
        traits = [str(a + 1) for a in range(t)]
        command = ["gemma", "-g", "g.txt", "-p", "p.txt", "-k", "k.txt", "-lmm", "2", "-n", *traits, "-o", "found"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=at, capture_output=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        log = at / "output" / "found.log.txt"
        match = re.search(r"REMLE log-likelihood in the null model = (\S+)", log.read_text() if log.is_file() else "")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (used, float(match.group(1)) - 0.5 * t * np.log(n)) if match else None


_SOMMER = """
suppressMessages(library(sommer))
d <- read.csv("{folder}/data.csv"); d$id <- as.character(d$id)
K <- as.matrix(read.csv("{folder}/K.csv", row.names = 1, check.names = FALSE)); rownames(K) <- colnames(K)
t <- proc.time()
m <- mmer(cbind({traits}) ~ 1, random = ~ vsr(id, Gu = K, Gtc = unsm({t})), rcov = ~ vsr(units, Gtc = unsm({t})),
          data = d, verbose = FALSE, dateWarning = FALSE)
t <- proc.time() - t
cat("found", sum(t[1:2]), "\\n")
"""


def sommer(problem: Problem) -> float | None:
    """Processor seconds of sommer's mmer (its starting values and tolerance); None where not installed."""
    if shutil.which("Rscript") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        problem.data.to_csv(f"{folder}/data.csv", index=False)
        problem.kernels[next(iter(problem.kernels))].to_csv(f"{folder}/K.csv")
        script = _SOMMER.format(folder=folder, traits=", ".join(problem.Y), t=problem.Y.shape[1])
        out = subprocess.run(["Rscript", "-e", script], capture_output=True, text=True, check=False).stdout
    match = re.search(r"found (\S+)", out)
    return float(match.group(1)) if match else None


def measure(name: str, folder: Path | None) -> dict[str, object]:
    """One problem in this process: the second of two runs, its floor and its peers in the same minute."""
    problem = wheat(folder, 4 if "four" in name else 2) if folder is not None else PROBLEMS[name]()
    ours(problem)
    began = time.process_time()
    objective = ours(problem)
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    what, least = floor(problem)
    found: dict[str, object] = {"seconds": seconds, "objective": objective, "peak_mb": peak, "limit": problem.limit}
    found |= {"floor": what, "ratio": seconds / least}
    if problem.peers and problem.Y.shape[1] <= 4:
        found |= {"gemma": gemma(problem)}
        if problem.Y.shape[1] == 2:
            found |= {"sommer": sommer(problem)}
    return found


def main() -> int:
    """Measure the named problems, or all, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"any of {', '.join(PROBLEMS)}; all by default")
    parser.add_argument("--wheat", type=Path, help="folder of the wheat data, for two_traits_600 and four_traits_600")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in PROBLEMS]
    if unknown:
        parser.error(f"no problem is called {unknown[0]!r}; there are {', '.join(PROBLEMS)}")
    if options.one:
        print(json.dumps(measure(options.names[0], options.wheat)))
        return 0
    names = options.names or (["two_traits_600", "four_traits_600"] if options.wheat else list(PROBLEMS))
    for name in names:
        command = [sys.executable, __file__, name, "--one"]
        command += ["--wheat", str(options.wheat)] if options.wheat else []
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = json.loads(out.splitlines()[-1])
        print(f"{name}: {found.pop('seconds'):.3f} s, log-likelihood {found.pop('objective'):.4f}")
        print("  " + "; ".join(f"{key} {value}" for key, value in found.items()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
