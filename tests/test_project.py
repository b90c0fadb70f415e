"""The project as a newcomer meets it: README's commands and example, the public face, import time, the wheel."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAIN_JOB = ["fit", "Reaction ~ Days + (Days|Subject)", str(ROOT / "data" / "sleepstudy.csv")]
HEAVY = ("numba", "statsmodels", "matplotlib", "formulaic", "pyarrow", "polars", "scipy.stats")


def fresh(code: str) -> str:
    """What a new interpreter prints for `code`."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return done.stdout.strip()


def commands() -> list[str]:
    """README's shell blocks."""
    return [block.strip() for block in re.findall(r"```sh\n(.*?)```", README, flags=re.S)]


def without_date(text: str) -> list[str]:
    """Lines with the date's line and trailing blanks left out."""
    return [line.rstrip() for line in text.splitlines() if not line.startswith("Date:")]


def test_readme_has_the_two_commands():
    first, second = commands()
    assert first.startswith("python3 -m venv .venv && .venv/bin/pip install")
    assert f"mixedvc fit {shlex.quote(MAIN_JOB[1])}".replace("'", '"') in first
    assert first.endswith("data/sleepstudy.csv")
    assert '".[test]"' in second
    assert ".venv/bin/python -m pytest" in second


def test_readme_shows_what_the_main_job_prints():
    shown = re.findall(r"```text\n(.*?)```", README, flags=re.S)
    assert len(shown) == 1
    main = "import sys; from mixedvc.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", main, *MAIN_JOB], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    now = without_date(done.stdout.rstrip())
    assert without_date(shown[0].rstrip()) == now, "if the change is meant: python docs/refresh_readme.py"


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "LICENSE", "docs/architecture.md", "docs/math.md"])
def test_a_document_exists_and_says_something(name):
    assert len((ROOT / name).read_text(encoding="utf-8")) > 500


@pytest.mark.parametrize("name", ["README.md", "docs/architecture.md", "docs/math.md", "data/README.md"])
def test_links_to_files_lead_somewhere(name):
    folder = (ROOT / name).parent
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = [t.split("#")[0] for t in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in t]
    assert [t for t in targets if t and not (folder / t).exists()] == []


def test_the_changelog_has_numerical_changes_for_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.split(r"^## ", text, flags=re.M)[1]
    assert "### Numerical changes" in newest
    assert newest.split()[0] == PROJECT["project"]["version"].split(".dev")[0]


def test_the_version_is_the_one_of_the_distribution():
    import mixedvc

    assert mixedvc.__version__ == PROJECT["project"]["version"] == importlib.metadata.version("mixedvc")


def test_the_public_face_is_small_and_all_there():
    import mixedvc

    assert len(mixedvc.__all__) == len(set(mixedvc.__all__)) <= 25
    assert [name for name in mixedvc.__all__ if not hasattr(mixedvc, name)] == []
    assert {"fit", "model", "load", "load_data", "Dense", "Sparse", "Features", "errors"} <= set(mixedvc.__all__)
    undocumented = [n for n in mixedvc.__all__ if not n.startswith("__") and not getattr(mixedvc, n).__doc__]
    assert undocumented == []


def test_import_takes_less_than_a_second():
    # processor time; where the computer is slow or busy, three times what numpy and scipy take there
    code = "import time; t = time.process_time(); import {}; print(time.process_time() - t)"
    for _ in range(5):
        ours = float(fresh(code.format("mixedvc")))
        if ours < max(1.0, 3 * float(fresh(code.format("scipy.sparse, scipy.linalg, scipy.special")))):
            return
    raise AssertionError(f"import mixedvc took {ours:.2f} s")


def test_import_loads_nothing_heavy():
    loaded = fresh("import sys, mixedvc; print(*sys.modules)").split()
    assert [name for name in HEAVY if name in loaded] == []


def test_the_types_are_announced():
    assert (ROOT / "mixedvc" / "py.typed").is_file()


def test_the_wheel_is_told_to_take_the_data():
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"data": "mixedvc/_data"}
    assert PROJECT["project"]["license"] == "BSD-3-Clause"
    assert PROJECT["project"]["requires-python"] == ">=3.11"


def test_ci_is_a_strict_script_that_runs_readme():
    path = ROOT / ".ci" / "run"
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text
    assert path.stat().st_mode & 0o111
    for needed in ("ruff check", "ruff format --check", "mypy", "README.md", "vignettes/run.py"):
        assert needed in text
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0


@pytest.mark.parametrize("name", ["first_fit", "five_estimators", "twins_ace"])
def test_vignettes_are_percent_notebooks(name):
    text = (ROOT / "vignettes" / f"{name}.py").read_text(encoding="utf-8")
    assert "format_name: percent" in text
    assert text.count("# %% [markdown]") >= 5
