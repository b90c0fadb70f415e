"""Posteriors: processor time, peak memory and effective draws of every component, beside MCMCglmm where R has it.

    python benchmarks/gibbs.py [names] [--draws 1000] [--btdata FOLDER]

Every problem runs in a process of its own with one BLAS thread, formula to draws, four chains one after the other;
MCMCglmm follows in the same minute.  The blue tits are MCMCglmm's `BTdata`, taken from the R package itself or from
data.csv and pedigree.csv of a folder; everything else is simulated or comes with mixedvc.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import mixedvc as mv


@dataclass(frozen=True)
class Posterior:
    """A model to be sampled, and how MCMCglmm is told the same."""

    formula: str
    data: pd.DataFrame
    cov: dict[str, Any] = field(default_factory=dict)
    priors: Any = None
    peer: str = ""  # R: the call, with `data` and `pedigree` read
    pedigree: pd.DataFrame | None = None


_EXPORT = """
suppressMessages(library(MCMCglmm)); data(BTdata); data(BTped)
write.csv(BTdata, "data.csv", row.names = FALSE); write.csv(BTped, "pedigree.csv", row.names = FALSE, na = "")
"""
_PEER = """
suppressMessages({library(MCMCglmm); library(coda)})
data <- read.csv("data.csv", stringsAsFactors = TRUE)
if (file.exists("pedigree.csv")) {
  pedigree <- read.csv("pedigree.csv", colClasses = "character", na.strings = "")
  for (column in names(pedigree)) pedigree[[column]] <- as.factor(pedigree[[column]])
}
set.seed(1); before <- proc.time()
fit <- %s
cpu <- sum((proc.time() - before)[c(1, 2)])
cat("\\nRESULT", cpu, effectiveSize(fit$VCV), "\\n")
"""


def _blue_tits(folder: Path | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    if folder is not None:
        return pd.read_csv(folder / "data.csv"), pd.read_csv(folder / "pedigree.csv")
    if shutil.which("Rscript") is None:
        raise SystemExit("BTdata comes with R's MCMCglmm: install it, or give --btdata a folder that has it")
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["Rscript", "-e", _EXPORT], cwd=place, check=True)
        return _blue_tits(Path(place))


def blue_tits(folder: Path | None) -> Posterior:
    """828 chicks, 104 foster nests, MCMCglmm's inverse-gamma priors."""
    data, pedigree = _blue_tits(folder)
    return Posterior(
        "tarsus ~ sex + (1|animal:A) + (1|fosternest)",
        data,
        {"A": mv.pedigree(pedigree, id="animal")},
        mv.priors.InverseWishart(V=1, nu=0.002),
        """MCMCglmm(tarsus ~ sex, random = ~animal + fosternest, data = data, pedigree = pedigree, verbose = FALSE,
          prior = list(R = list(V = 1, nu = 0.002),
                       G = list(G1 = list(V = 1, nu = 0.002), G2 = list(V = 1, nu = 0.002))))""",
        pedigree,
    )


def blue_tits_two_traits(folder: Path | None) -> Posterior:
    """Tarsus length and back colour, unstructured covariances of animals, nests and residuals."""
    data, pedigree = _blue_tits(folder)
    return Posterior(
        "cbind(tarsus, back) ~ sex + hatchdate + (1|animal:A) + (1|fosternest)",
        data,
        {"A": mv.pedigree(pedigree, id="animal")},
        mv.priors.InverseWishart(V=np.eye(2) / 3, nu=2),
        """MCMCglmm(cbind(tarsus, back) ~ trait:sex + trait:hatchdate - 1, data = data, pedigree = pedigree,
          random = ~us(trait):animal + us(trait):fosternest, rcov = ~us(trait):units, verbose = FALSE,
          family = c("gaussian", "gaussian"), prior = list(R = list(V = diag(2)/3, nu = 2),
          G = list(G1 = list(V = diag(2)/3, nu = 2), G2 = list(V = diag(2)/3, nu = 2))))""",
        pedigree,
    )


def kernel_2000(folder: Path | None) -> Posterior:
    """One dense kernel of 2,000 individuals."""
    rng = np.random.default_rng(1)
    n, ids = 2000, [f"i{k}" for k in range(2000)]
    W = rng.standard_normal((n, n))
    K = W @ W.T / n
    y = 3.0 + W @ rng.standard_normal(n) * np.sqrt(0.5 / n) + np.sqrt(0.5) * rng.standard_normal(n)
    data = pd.DataFrame({"y": y, "id": ids})
    return Posterior("y ~ 1 + (1|id:K)", data, {"K": mv.Dense(K, ids)})


def _pedigree(n: int, peer: bool) -> Posterior:
    from pedigrees import pedigree

    data, table = pedigree(n, 20, n // 60, seed=3)
    return Posterior(
        "y ~ sex + (1|animal:A) + (1|litter)",
        data,
        {"A": mv.pedigree(table)},
        mv.priors.InverseWishart(V=1, nu=0.002),
        """MCMCglmm(y ~ sex, random = ~animal + litter, data = data, pedigree = pedigree, verbose = FALSE,
          prior = list(R = list(V = 1, nu = 0.002),
                       G = list(G1 = list(V = 1, nu = 0.002), G2 = list(V = 1, nu = 0.002))))"""
        if peer
        else "",
        table,
    )


def animals_6000(folder: Path | None) -> Posterior:
    """Ten generations of 600 animals in litters of six."""
    return _pedigree(6000, True)


def animals_10000(folder: Path | None) -> Posterior:
    """The same with 10,000 animals."""
    return _pedigree(9960, False)


def twins_15000(folder: Path | None) -> Posterior:
    """7,500 pairs, additive and common environment."""
    import scipy.sparse as sp

    rng = np.random.default_rng(2)
    n = 7500
    identical = rng.random(n) < 0.4
    r = np.where(identical, 1.0, 0.5)
    a = np.sqrt(r)[:, None] * rng.standard_normal((n, 1)) + np.sqrt(1 - r)[:, None] * rng.standard_normal((n, 2))
    y = np.sqrt(0.5) * a + np.sqrt(0.2) * rng.standard_normal((n, 1)) + np.sqrt(0.3) * rng.standard_normal((n, 2))
    ids = [f"t{i}" for i in range(2 * n)]
    A = sp.block_diag([np.array([[1.0, one], [one, 1.0]]) for one in r]).tocsc()
    age = rng.standard_normal(n)
    data = pd.DataFrame({"y": y.ravel(), "age": np.repeat(age, 2), "id": ids, "pair": np.repeat(np.arange(n), 2)})
    return Posterior("y ~ age + (1|id:A) + (1|pair)", data, {"A": mv.Sparse(A, ids)})


def kinship_and_herds(folder: Path | None) -> Posterior:
    """A dense kinship of 1,500 animals in 40 herds with herds' own slopes."""
    rng = np.random.default_rng(4)
    n, ids = 1500, [f"i{k}" for k in range(1500)]
    W = rng.standard_normal((n, 3000))
    K, herd, x = W @ W.T / 3000, rng.integers(0, 40, n), rng.standard_normal(n)
    u = W @ rng.standard_normal(3000) * np.sqrt(0.4 / 3000)
    h = rng.standard_normal((40, 2)) * [0.5, 0.3]
    y = 1.0 + u + h[herd, 0] + (0.5 + h[herd, 1]) * x + np.sqrt(0.5) * rng.standard_normal(n)
    data = pd.DataFrame({"y": y, "x": x, "id": ids, "herd": [f"h{k}" for k in herd]})
    return Posterior("y ~ x + (1|id:K) + (x|herd)", data, {"K": mv.Dense(K, ids)})


def sleepstudy(folder: Path | None) -> Posterior:
    """Correlated intercepts and slopes of 18 subjects."""
    return Posterior(
        "Reaction ~ Days + (Days|Subject)",
        mv.load_data("sleepstudy"),
        {},
        mv.priors.InverseWishart(V=np.eye(2), nu=2),
        """MCMCglmm(Reaction ~ Days, random = ~us(1 + Days):Subject, data = data, verbose = FALSE,
          prior = list(R = list(V = 1, nu = 0.002), G = list(G1 = list(V = diag(2), nu = 2))))""",
    )


def students_and_lecturers(folder: Path | None) -> Posterior:
    """Of the size of InstEval: 73,421 ratings by 2,972 students of 1,128 lecturers."""
    rng = np.random.default_rng(5)
    n, students, lecturers = 73_421, 2972, 1128
    s, d = rng.integers(0, students, n), rng.integers(0, lecturers, n)
    y = 3.2 + 0.33 * rng.standard_normal(students)[s] + 0.5 * rng.standard_normal(lecturers)[d]
    data = pd.DataFrame({"y": y + 1.2 * rng.standard_normal(n), "service": rng.integers(0, 2, n), "s": s, "d": d})
    return Posterior("y ~ service + (1|s) + (1|d)", data)


PROBLEMS: dict[str, Callable[[Path | None], Posterior]] = {
    make.__name__: make
    for make in (
        *(blue_tits, blue_tits_two_traits, kernel_2000, kinship_and_herds, sleepstudy, twins_15000, animals_6000),
        *(animals_10000, students_and_lecturers),
    )
}


def _measure(name: str, draws: int, folder: Path | None) -> dict[str, Any]:
    """One problem in this process."""
    import arviz_stats

    made = PROBLEMS[name](folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    priors = made.priors
    if name == "sleepstudy":
        priors = {"Subject": made.priors, "residual": mv.priors.InverseWishart(V=1, nu=0.002)}
    started, wall = time.process_time(), time.perf_counter()
    fit = mv.fit(made.formula, made.data, cov=made.cov, method="gibbs", priors=priors, draws=draws, workers=1, seed=1)
    cpu, wall = time.process_time() - started, time.perf_counter() - wall
    theta = fit.draws.theta
    ess = [float(arviz_stats.ess(theta[:, :, j])) for j in range(theta.shape[2])]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    facts = {k: np.asarray(v).tolist() for k, v in dict(fit.draws.facts).items()}
    peer = _peer(made) if made.peer else None
    return {
        "problem": name,
        "likelihood": fit.estimate.likelihood,
        "cpu": cpu,
        "wall": wall,
        "ess": ess,
        "peak_mb": peak / 1024,
        "added_mb": (peak - before) / 1024,
        "facts": facts,
        "peer": peer,
    }


def _peer(made: Posterior) -> dict[str, Any] | None:
    """MCMCglmm's own defaults: 13,000 iterations, 1,000 kept."""
    if shutil.which("Rscript") is None:
        return None
    with tempfile.TemporaryDirectory() as place:
        made.data.to_csv(Path(place) / "data.csv", index=False)
        if made.pedigree is not None:
            made.pedigree.to_csv(Path(place) / "pedigree.csv", index=False)
        done = subprocess.run(
            ["Rscript", "-e", _PEER % made.peer], cwd=place, check=False, capture_output=True, text=True
        )
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT")), None)
    if line is None:
        return {"error": (done.stderr or done.stdout).strip().splitlines()[-1:]}
    cpu, *ess = map(float, line.split()[1:])
    return {"cpu": cpu, "ess": ess}


def _line(found: dict[str, Any]) -> str:
    least = min(found["ess"])
    words = (
        f"{found['problem']:24s} {found['likelihood']:9s} {found['cpu']:7.2f} s  +{found['added_mb']:5.0f} MB  "
        f"ESS {', '.join(f'{e:.0f}' for e in found['ess'])}  least {least / found['cpu']:8.1f}/s"
    )
    peer = found["peer"]
    if peer is None:
        return words
    if "error" in peer:
        return f"{words}  (no MCMCglmm: {peer['error']})"
    rate = min(e for e in peer["ess"] if e > 0) / peer["cpu"]
    return f"{words}  MCMCglmm {peer['cpu']:.1f} s, least {rate:.1f}/s: {least / found['cpu'] / rate:.1f} ×"


def main() -> None:
    """Each problem in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(PROBLEMS))
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--btdata", type=Path, default=None)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in PROBLEMS]
    if unknown:
        parser.error(f"no problem is called {unknown[0]!r}; there are {', '.join(PROBLEMS)}")
    if options.here:
        print(json.dumps(_measure(options.names[0], options.draws, options.btdata)))
        return
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    for name in options.names:
        command = [sys.executable, __file__, name, "--here", "--draws", str(options.draws)]
        if options.btdata is not None:
            command += ["--btdata", str(options.btdata)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{name:24s} failed: {done.stderr.strip().splitlines()[-1]}", flush=True)
        else:
            print(_line(json.loads(done.stdout.strip().splitlines()[-1])), flush=True)


if __name__ == "__main__":
    main()
