"""Benchmarks of grouping factors: InstEval, many small groups, large crossed and nested factors, and the peers on them.

``python benchmarks/grouped.py [NAME …]`` pairs them with lme4 (Rscript) and the PyPI package `glmm` where these are
installed: processor seconds of formula to summary, each in a process of its own, and the criterion reached.
``--statsmodels GROUPS`` pairs many small groups with statsmodels' MixedLM, which needs minutes for 10,000.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import mixedvc as mv

if TYPE_CHECKING:
    from problems import Problem


def insteval() -> tuple[str, pd.DataFrame]:
    """73,421 ratings, 2,972 students × 1,128 lecturers × 28 department-services."""
    data = mv.load_data("insteval")
    return "y ~ service + (1|s) + (1|d) + (1|dept:service)", data[["y", "service", "s", "d", "dept"]]


def small_groups(groups: int = 125_000) -> tuple[str, pd.DataFrame]:
    """Groups of 1-4 rows, two factors and a covariate."""
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 5, groups)
    g = np.repeat(np.arange(groups), sizes)
    n = len(g)
    a, b, x = rng.integers(0, 3, n), rng.integers(0, 4, n), rng.standard_normal(n)
    y = 1 + 0.3 * a - 0.2 * b + 0.5 * x + 0.8 * rng.standard_normal(groups)[g] + rng.standard_normal(n)
    columns = {"y": y, "a": np.array(["p", "q", "r"])[a], "b": np.array(["k", "l", "m", "n"])[b], "x": x, "g": g}
    return "y ~ a + b + x + (1|g)", pd.DataFrame(columns)


def crossed_million() -> tuple[str, pd.DataFrame]:
    """1,000,000 rows, factors of 50,000 and 5,000 levels crossed at random."""
    rng = np.random.default_rng(2)
    n, q1, q2 = 1_000_000, 50_000, 5_000
    i, j, x = rng.integers(0, q1, n), rng.integers(0, q2, n), rng.standard_normal(n)
    y = 2 + 0.5 * x + 0.7 * rng.standard_normal(q1)[i] + 0.5 * rng.standard_normal(q2)[j] + rng.standard_normal(n)
    return "y ~ x + (1|i) + (1|j)", pd.DataFrame({"y": y, "x": x, "i": i, "j": j})


def schools() -> tuple[str, pd.DataFrame]:
    """31,022 pupils in 1,600 classes in 400 schools, with slopes of classes."""
    rng = np.random.default_rng(3)
    n = 31_022
    school = rng.integers(0, 400, n)
    group = school * 4 + rng.integers(0, 4, n)
    x = rng.standard_normal(n)
    y = 0.3 * x + rng.standard_normal(n)
    y += 0.5 * rng.standard_normal(400)[school] + (0.4 + 0.2 * x) * rng.standard_normal(1600)[group]
    return "y ~ x + (1|school) + (1 + x|class)", pd.DataFrame({"y": y, "x": x, "school": school, "class": group})


INPUTS: dict[str, Callable[[], tuple[str, pd.DataFrame]]] = {
    f.__name__: f for f in (insteval, small_groups, crossed_million, schools)
}
_LIMITS = {"insteval": None, "small_groups": 1.0, "crossed_million": None, "schools": None}


def ours(formula: str, data: pd.DataFrame) -> float:
    """Formula to summary text with standard errors; the criterion −2ℓ."""
    fit = mv.fit(formula, data)
    str(fit.summary())
    return -2.0 * fit.llf


def _problem(name: str) -> Problem:
    from problems import Problem

    formula, data = INPUTS[name]()
    return Problem(
        partial(ours, formula, data), limit=_LIMITS[name], note="seconds, formula to summary text; objective −2ℓ"
    )


def _glmm(formula: str, data: pd.DataFrame) -> float:
    import glmm

    as_factors = data.assign(**{c: data[c].astype(str).astype("category") for c in _groups(formula)})
    fit = glmm.fit(as_factors, formula)
    fit.summary_object()
    return -2.0 * fit.loglik


def _statsmodels(formula: str, data: pd.DataFrame) -> float:
    import statsmodels.formula.api as smf

    fixed, group = formula.split(" + (1|")
    fit = smf.mixedlm(fixed, data, groups=data[group.rstrip(")")]).fit(reml=True)
    str(fit.summary())
    return -2.0 * float(fit.llf)


def _groups(formula: str) -> list[str]:
    bars = [part.split("|")[1].split(")")[0] for part in formula.split("(")[1:]]
    return list(dict.fromkeys(name.strip() for bar in bars for name in bar.split(":")))


_R = """
suppressMessages(library(lme4))
d <- read.csv("{path}")
for (v in c({groups})) d[[v]] <- factor(d[[v]])
run <- function() {{ m <- lmer({formula}, d); invisible(capture.output(print(summary(m, correlation = FALSE)))); m }}
t <- proc.time(); m <- run(); t <- proc.time() - t
cat(sum(t[1:2]), REMLcrit(m), "\\n")
"""


def _lme4(formula: str, data: pd.DataFrame) -> tuple[float, float] | None:
    """Processor seconds and criterion of lmer with its default control; None without R."""
    if shutil.which("Rscript") is None:
        return None
    groups = ", ".join(f'"{g}"' for g in _groups(formula))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.csv"
        data.to_csv(path, index=False)
        script = _R.format(path=path, groups=groups, formula=formula)
        out = subprocess.run(["Rscript", "-e", script], capture_output=True, text=True, check=False).stdout
    return tuple(float(v) for v in out.split()[-2:]) if out.split() else None  # type: ignore[return-value]


def _alone(who: str, name: str) -> tuple[float, float] | None:
    """Processor seconds (the second of two runs where they are short) and criterion, in this process."""
    formula, data = INPUTS[name]()
    run = {"ours": ours, "glmm": _glmm}[who]
    began = time.process_time()
    value = run(formula, data)
    seconds = time.process_time() - began
    if seconds < 20.0:
        began = time.process_time()
        value = run(formula, data)
        seconds = time.process_time() - began
    return seconds, value


def main() -> int:
    """Ours, glmm and lme4 in turn, each in a process of its own."""
    if sys.argv[1:2] == ["--alone"]:
        print(json.dumps(_alone(sys.argv[2], sys.argv[3])))
        return 0
    if sys.argv[1:2] == ["--statsmodels"]:
        formula, data = small_groups(int(sys.argv[2]))
        for run in (ours, ours, _statsmodels):
            began = time.process_time()
            value = run(formula, data)
            print(f"{run.__name__}: {_said((time.process_time() - began, value))}", flush=True)
        return 0
    for name in sys.argv[1:] or INPUTS:
        print(f"{name}: {INPUTS[name].__doc__}")
        for who in ("ours", "glmm"):
            call = [sys.executable, __file__, "--alone", who, name]
            done = subprocess.run(call, capture_output=True, text=True, check=False)
            found = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
            print(f"  {who}: {_said(found)}", flush=True)
        print(f"  lme4: {_said(_lme4(*INPUTS[name]()))}", flush=True)
    return 0


def _said(found: tuple[float, float] | None) -> str:
    return "not available" if found is None else f"{found[0]:.2f} s of processor time, criterion {found[1]:.6f}"


GROUPED: dict[str, Callable[[], Problem]] = {name: partial(_problem, name) for name in INPUTS}

if __name__ == "__main__":
    sys.exit(main())
