"""The package of docs/extending.md, taken from the page, built, installed by pip and used."""

from __future__ import annotations

import ast
import base64
import hashlib
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "extending.md"
BLOCK = re.compile(r"^```(?:python|toml)\n# (\S+)\n(.*?)^```$", flags=re.S | re.M)


def files() -> dict[str, str]:
    """The files shown on the page, by name."""
    found = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
    assert {"mixedvc_minque.py", "mixedvc_minque_iid.py", "test_minque.py", "pyproject.toml"} == set(found)
    return found


def build_wheel(folder: Path) -> Path:
    """A wheel of the page's modules: what a build backend would write, without one."""
    shown = files()
    project = tomllib.loads(shown["pyproject.toml"])["project"]
    name, version = project["name"].replace("-", "_"), project["version"]
    info = f"{name}-{version}.dist-info"
    points = "\n".join(
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
        for group, entries in project["entry-points"].items()
    )
    needs = "".join(f"Requires-Dist: {need}\n" for need in project["dependencies"])
    content = {module: text for module, text in shown.items() if module.startswith("mixedvc_")}
    content |= {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": points,
    }
    record = ""
    for path, text in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text.encode())}\n"
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**content, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(path, text)
    return wheel


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder into which pip has installed the package."""
    folder = tmp_path_factory.mktemp("plug_in")
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("this Python has no pip")
    target = folder / "site"
    options = ["--no-deps", "--no-index", "--disable-pip-version-check", "--quiet", "--target", str(target)]
    done = subprocess.run([*pip, "install", *options, str(build_wheel(folder))], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (folder / "test_minque.py").write_text(files()["test_minque.py"], encoding="utf-8")
    return target


def run(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)])}
    return subprocess.run([sys.executable, *arguments], env=env, capture_output=True, text=True, cwd=installed.parent)


def test_an_installed_package_adds_a_method_without_a_change_in_ours(installed):
    code = (
        "import sys, mixedvc as mv\n"
        "assert 'mixedvc_minque' not in sys.modules\n"  # imported when it is asked for, not before
        "assert 'minque' in mv.estimators.names()\n"
        "fit = mv.fit('Yield ~ 1 + (1 | Batch)', mv.load_data('dyestuff'), method='minque', seed=3, draws=50)\n"
        "print(fit.varcomp['variance'].round(2).tolist())\n"
        "print(fit.summary())\n"
        "try:\n    mv.fit('Yield ~ 1 + (1 | Batch)', mv.load_data('dyestuff'), method='minque', drawn=50)\n"
        "except mv.errors.OptionError as error:\n    print(error)\n"
    )
    done = run(installed, "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[1764.05, 2451.25]\n")
    assert "fitted by minque" in done.stdout
    assert "'drawn': no option of mixedvc.fit or of method 'minque', which takes draws" in done.stdout
    assert done.stderr == ""


def test_its_standard_errors_do_not_see_an_offset(installed):
    code = (
        "import mixedvc as mv, numpy as np\n"
        "d = mv.load_data('dyestuff').assign(known=lambda d: 1e3 * (np.arange(len(d)) % 7))\n"
        "d['more'] = d.Yield + d.known\n"
        "without = mv.fit('Yield ~ 1 + (1 | Batch)', d, method='minque', seed=3)\n"
        "within = mv.fit('more ~ 1 + (1 | Batch)', d, offset='known', method='minque', seed=3)\n"
        "np.testing.assert_allclose(within.varcomp['variance'], without.varcomp['variance'], rtol=1e-9)\n"
        "np.testing.assert_allclose(within.varcomp['se'], without.varcomp['se'], rtol=1e-6)\n"
    )
    done = run(installed, "-c", code)
    assert done.returncode == 0, done.stderr


def test_its_author_s_tests_pass_estimator_checks_among_them(installed):
    done = run(installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_minque.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_it_is_a_method_of_the_command_line(installed):
    code = "import sys; from mixedvc.cli import main; sys.exit(main())"
    argv = ["compare", "Yield ~ 1 + (1 | Batch)", "dyestuff", "--methods", "reml,minque", "--seed", "1"]
    done = run(installed, "-c", code, *argv)
    assert done.returncode == 0, done.stderr
    assert "minque solved other equations" in " ".join(done.stdout.split())


def test_its_structure_is_a_word_of_the_formula_and_keeps_the_contract(installed):
    code = (
        "import mixedvc as mv, numpy as np\n"
        "from mixedvc import structures\n"
        "from mixedvc.testing import structure_checks\n"
        "for k in (1, 2, 4):\n    structure_checks(structures.make('iid', k))\n"
        "d = mv.load_data('orthodont')\n"
        "d = d.assign(boy=(d.Sex == 'Male') * 1.0, girl=(d.Sex != 'Male') * 1.0)\n"
        "got = mv.fit('distance ~ age + iid(0 + boy + girl | Subject)', d)\n"
        "want = mv.fit('distance ~ age + (1 | Subject)', d)\n"  # one variance for boys and girls is the intercept
        "np.testing.assert_allclose(got.llf, want.llf, rtol=1e-9)\n"
        "np.testing.assert_allclose(got.varcomp['variance'], want.varcomp['variance'], rtol=1e-6)\n"
        "print(got.summary())\n"
        "spec = mv.model('distance ~ age + iid(0 + boy + girl | Subject)', d)\n"
        "every = mv.compare(spec, ['reml', 'fisher', 'mm', 'em', 'pxem', 'rehe'])\n"
        "assert every.glance()['converged'].all()\n"
        "assert every.glance()['below_best'].max() < 1e-6, every\n"  # sexes of 11 and 16 subjects: EM counts them alike
    )
    done = run(installed, "-c", code)
    assert done.returncode == 0, done.stderr
    assert "Subject" in done.stdout


def test_the_page_shows_about_forty_lines_and_ruff_s_width():
    module = files()["mixedvc_minque.py"]
    tree = ast.parse(module)
    code = [line for line in module.splitlines() if line.strip()]
    assert len(code) <= 55, len(code)
    assert any(isinstance(node, ast.ClassDef) and node.name == "Minque" for node in tree.body)
    assert max(map(len, module.splitlines())) <= 120


def test_the_page_names_what_exists():
    import mixedvc.testing

    text = PAGE.read_text(encoding="utf-8")
    for name in re.findall(r"`testing\.(\w+)`", text):
        assert hasattr(mixedvc.testing, name) or name == "brute", name
    for path in re.findall(r"`(\w+/\w+\.py)`", text):
        assert (ROOT / "mixedvc" / path).exists() or (ROOT / path).exists(), path
