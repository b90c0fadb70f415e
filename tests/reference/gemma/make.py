"""Runs GEMMA's multivariate linear mixed model and writes what it prints beside this script.

    python tests/reference/gemma/make.py [folder with kinship/wheat]      (GEMMA 0.98.5 on the path)

The simulated data (data.csv, markers.csv.gz) are made by the same script, once.  GEMMA prints six digits; its stops are
set so tight that they count.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent


def simulate() -> None:
    """200 individuals, 300 markers, three traits of different units and heritabilities, a covariate."""
    rng = np.random.default_rng(5)
    n, m = 200, 300
    W = rng.binomial(2, rng.uniform(0.1, 0.5, m), (n, m))
    S = (W - W.mean(0)) / W.std(0)
    G = np.array([[1.0, 0.6, -0.2], [0.6, 1.0, 0.05], [-0.2, 0.05, 0.25]])
    R = np.array([[1.0, -0.3, 0.2], [-0.3, 1.0, 0.3], [0.2, 0.3, 1.0]])
    U = S @ rng.standard_normal((m, 3)) / np.sqrt(m) @ np.linalg.cholesky(G).T
    E = rng.standard_normal((n, 3)) @ np.linalg.cholesky(R).T
    x = rng.standard_normal(n)
    Y = (U + E + np.outer(x, [0.5, 0.0, -0.5]) + [1.0, 2.0, 3.0]) * [1.0, 2.0, 0.5]
    frame = pd.DataFrame(Y.round(6), columns=["y1", "y2", "y3"]).assign(x=x.round(6))
    frame.insert(0, "id", [f"i{k:03d}" for k in range(n)])
    frame.to_csv(HERE / "data.csv", index=False)
    with gzip.GzipFile(HERE / "markers.csv.gz", "wb", mtime=0) as file:
        file.write("\n".join(",".join(map(str, row)) for row in W).encode() + b"\n")


def kernel(W: np.ndarray) -> np.ndarray:
    """WWᵀ/m of standardised columns (population sd)."""
    S = (W - W.mean(0)) / W.std(0)
    return S @ S.T / W.shape[1]


def lower(lines: list[str]) -> list[list[float]]:
    """The symmetric matrix that GEMMA prints as a lower triangle (or whole)."""
    rows = [[float(v) for v in line.split()] for line in lines]
    t = len(rows)
    return [[rows[max(a, b)][min(a, b)] for b in range(t)] for a in range(t)]


def run(Y: pd.DataFrame, X: np.ndarray, K: np.ndarray, call: str) -> dict[str, object]:
    """What GEMMA's log says of the null model."""
    t = Y.shape[1]
    with tempfile.TemporaryDirectory() as folder:
        np.savetxt(f"{folder}/K.txt", K, fmt="%.17g")
        np.savetxt(f"{folder}/Y.txt", Y.to_numpy(), fmt="%.17g", delimiter="\t")
        np.savetxt(f"{folder}/X.txt", X, fmt="%.17g", delimiter="\t")
        snp = np.random.default_rng(0).integers(0, 3, len(Y))
        Path(f"{folder}/snp.txt").write_text("rs1, A, T, " + ", ".join(map(str, snp)) + "\n")
        command = "gemma -g snp.txt -p Y.txt -k K.txt -c X.txt -lmm 4 -o out -outdir . -notsnp "
        command += "-emi 20000 -nri 1000 -emp 1e-5 -nrp 1e-10 -n"
        words = [*command.split(), *map(str, range(1, t + 1))]
        shown = subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True).stdout.splitlines()
        log = Path(f"{folder}/out.log.txt").read_text().splitlines()

    def block(title: str, after: int, height: int) -> list[str]:
        at = [i for i, line in enumerate(log) if line.startswith(title)][after]
        return log[at + 1 : at + 1 + height]

    def number(title: str) -> float:
        line = next(line for line in shown if line.startswith(title))
        return float(re.split("= *", line)[-1])

    p = X.shape[1]
    at = next(i for i, line in enumerate(log) if line.startswith("## estimate for B"))
    return {
        "meta": {"gemma": "0.98.5", "call": call, "numpy": np.__version__},
        "REML": {
            "loglik": number("REMLE likelihood"),
            "Vg": lower(block("## REMLE estimate for Vg", 0, t)),
            "Vg_se": lower(block("## se(Vg)", 0, t)),
            "Ve": lower(block("## REMLE estimate for Ve", 0, t)),
            "Ve_se": lower(block("## se(Ve)", 0, t)),
            "B": [[float(v) for v in line.split()][:p] for line in log[at + 1 : at + 1 + t]],
            "B_se": [[float(v) for v in line.split()][:p] for line in log[at + 2 + t : at + 2 + 2 * t]],
        },
        "ML": {
            "loglik": number("MLE likelihood"),
            "Vg": lower(block("## MLE estimate for Vg", 0, t)),
            "Vg_se": lower(block("## se(Vg)", 1, t)),
            "Ve": lower(block("## MLE estimate for Ve", 0, t)),
            "Ve_se": lower(block("## se(Ve)", 1, t)),
        },
    }


def write(name: str, numbers: dict[str, object]) -> None:
    (HERE / f"{name}.json").write_text(json.dumps(numbers, indent=1) + "\n")


def main() -> None:
    if not (HERE / "data.csv").exists():
        simulate()
    data = pd.read_csv(HERE / "data.csv")
    K = kernel(np.genfromtxt(HERE / "markers.csv.gz", delimiter=","))
    one, both = np.ones((len(data), 1)), np.column_stack([np.ones(len(data)), data["x"]])
    for t, X, name in ((2, one, "two"), (3, one, "three"), (3, both, "three_covariate")):
        names = [f"y{a + 1}" for a in range(t)]
        numbers, fixed = " ".join(map(str, range(1, t + 1))), "1" if X is one else "1 + x"
        call = f"gemma -lmm 4 -n {numbers}: {', '.join(names)} ~ {fixed}"
        write(name, run(data[names], X, K, call))
    if len(sys.argv) > 1:
        folder = Path(sys.argv[1]) / "kinship/wheat"
        with gzip.open(folder / "markers.csv.gz", "rt") as file:
            W = np.genfromtxt(file, delimiter=",", skip_header=1)[:, -1279:]
        S = (W - W.mean(0)) / W.std(0, ddof=1)
        wheat = pd.read_csv(folder / "data.csv")
        for t in (2, 4):
            names = [f"y{a + 1}" for a in range(t)]
            call = f"gemma -lmm 4 -n {' '.join(map(str, range(1, t + 1)))}: {', '.join(names)} ~ 1"
            write(f"wheat_{t}", run(wheat[names], np.ones((len(wheat), 1)), S @ S.T / 1279, call))


if __name__ == "__main__":
    main()
