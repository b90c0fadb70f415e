"""The vignettes run from start to end, and their runner fails when one does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUNNER = Path(__file__).resolve().parents[1] / "vignettes" / "run.py"


def run(*arguments: str, runner: Path = RUNNER) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(RUNNER.parents[1])}
    command = [sys.executable, str(runner), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


LONG = ("five_estimators", "coming_from_lme4", "coming_from_mcmcglmm", "differences", "is_this_variance_zero")
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in LONG]


@pytest.mark.parametrize("name", ["first_fit", "twins_ace", *SLOW])
def test_a_vignette_runs_from_start_to_end(name):
    done = run(name)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"{name}.py: ran in" in done.stdout


def test_an_unknown_vignette_lists_the_known_ones():
    done = run("second_fit")
    assert done.returncode != 0
    known = ", ".join(sorted(path.stem for path in RUNNER.parent.glob("*.py") if path != RUNNER))
    assert "first_fit" in known and f"no vignette is called second_fit; there are: {known}" in done.stderr


def test_a_vignette_that_fails_fails_the_run(tmp_path):
    (tmp_path / "run.py").write_text(RUNNER.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "good.py").write_text("print('fine')\n", encoding="utf-8")
    (tmp_path / "worse.py").write_text("print('so far')\nassert 1 == 2, 'numbers moved'\n", encoding="utf-8")
    assert run("good", runner=tmp_path / "run.py").returncode == 0
    done = run(runner=tmp_path / "run.py")
    assert done.returncode != 0
    assert "so far" in done.stderr
    assert "numbers moved" in done.stderr
    assert "worse.py failed" in done.stderr
