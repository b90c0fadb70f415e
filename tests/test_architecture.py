"""The house rules of docs/architecture.md, checked on the syntax tree of every module: floors, cycles, sizes, bans."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = "mixedvc"
ROOT = Path(__file__).resolve().parents[1] / PACKAGE

FLOOR = {
    **dict.fromkeys(("errors", "registry", "progress"), 0),
    "linalg": 1,
    **dict.fromkeys(("formula", "covariance", "structures"), 2),
    **dict.fromkeys(("design", "io"), 3),
    **dict.fromkeys(("likelihood", "priors"), 4),
    **dict.fromkeys(("moments", "sampling"), 5),
    "estimators": 6,
    "inference": 7,
    "results": 8,
    **dict.fromkeys(("api", "correlation", "many", "validation", "porting", "pathways", "communities", "twins"), 9),
    **dict.fromkeys(("each", "cli", "cli_compare", "cli_each", "cli_priors", "cli_shared", "cli_translate"), 10),
    "__init__": 10,
    "__main__": 10,
    "testing": 10,
}
MOST_LINES = 500
MOST_FUNCTION_LINES = 60  # of code: the docstring is not counted
FACTORISING = ("numpy.linalg", "scipy.linalg", "scipy.sparse.linalg")
MAY_FACTORISE = ("linalg", "testing")
NO_FACTORISATION = {"LinAlgError", "LinAlgWarning", "LinearOperator"}  # names of those modules that compute nothing
UNSAFE_NAMES = {"eval", "exec", "compile", "__import__"}
UNSAFE_ATTRIBUTES = {"eval", "read_pickle", "to_pickle"}
UNSAFE_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "code", "codeop"}
NEVER_IN_FORMULA = {"numpy", "pandas", "scipy", "formulaic"}


@dataclass(frozen=True)
class Import:
    """`module` imports `target` (dotted, absolute) at `line`; `lazy` inside a function."""

    module: str
    target: str
    line: int
    lazy: bool


def module_name(path: Path) -> str:
    parts = (PACKAGE, *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts)


@cache
def trees() -> dict[str, ast.Module]:
    """Syntax tree of every module, by name; ``mixedvc.design.__init__`` keeps its last part."""
    return {module_name(p): ast.parse(p.read_text(encoding="utf-8"), str(p)) for p in sorted(ROOT.rglob("*.py"))}


def is_type_checking(node: ast.AST) -> bool:
    test = node.test if isinstance(node, ast.If) else None
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def walk_runtime(node: ast.AST, lazy: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Every node that can run, with whether it sits inside a function; ``if TYPE_CHECKING`` bodies are left out."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            for other in child.orelse:  # type: ignore[attr-defined]
                yield other, lazy
                yield from walk_runtime(other, lazy)
            continue
        yield child, lazy
        inside = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from walk_runtime(child, inside)


def imports_of(name: str, tree: ast.Module) -> list[Import]:
    """Absolute targets of all imports of one module, most specific form (``from a import b`` gives ``a.b``)."""
    found = []
    for node, lazy in walk_runtime(tree):
        if isinstance(node, ast.Import):
            found += [Import(name, alias.name, node.lineno, lazy) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = name.split(".")[: -node.level]
                base = ".".join([*parent, *(base.split(".") if base else [])])
            found += [Import(name, f"{base}.{alias.name}", node.lineno, lazy) for alias in node.names]
    return found


def place(name: str) -> str:
    """First part below the package: ``mixedvc.design.spec`` lives in ``design``, ``mixedvc`` in ``__init__``."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def place_of_target(target: str) -> str:
    """As `place`, where a name that is no file or folder of the package must come from ``mixedvc/__init__``."""
    first = place(target)
    return first if first in FLOOR else "__init__"


def upward(found: list[Import]) -> list[str]:
    """Imports that look up, or sideways into another folder."""
    wrong = []
    for one in found:
        if one.target.split(".")[0] != PACKAGE:
            continue
        here, there = place(one.module), place_of_target(one.target)
        in_root = one.module.count(".") == 1 and f"{PACKAGE}.{there}" in trees() and FLOOR[here] == FLOOR[there]
        if here != there and not in_root and FLOOR[there] >= FLOOR[here]:
            wrong.append(f"{one.module}:{one.line} (floor {FLOOR[here]}) imports {one.target} (floor {FLOOR[there]})")
    return wrong


def edges(found: list[Import], modules: set[str]) -> dict[str, set[str]]:
    """Module → modules it imports while it is itself being imported."""
    graph: dict[str, set[str]] = {m: set() for m in modules}
    for one in found:
        if one.lazy:
            continue
        base = one.target.rsplit(".", 1)[0]
        for candidate in (one.target, f"{one.target}.__init__", base, f"{base}.__init__"):
            if candidate in modules and candidate != one.module:
                graph[one.module].add(candidate)
                break
    return graph


def a_cycle(graph: dict[str, set[str]]) -> list[str] | None:
    """One cycle as a path that ends where it began, or None."""
    done: set[str] = set()
    for root in graph:
        path: list[str] = []
        stack = [(root, iter(sorted(graph[root])))]
        while stack and root not in done:
            node, rest = stack[-1]
            path = [n for n, _ in stack]
            nxt = next((m for m in rest if m not in done), None)
            if nxt is None:
                done.add(node)
                stack.pop()
            elif nxt in path:
                return [*path[path.index(nxt) :], nxt]
            else:
                stack.append((nxt, iter(sorted(graph[nxt]))))
    return None


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from ``def`` to the end, without the docstring."""
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        total -= (first.end_lineno or first.lineno) - first.lineno + 1
    return total


def dotted(node: ast.AST) -> str:
    """``np.linalg.inv`` of an attribute chain on a name, else the empty string."""
    if isinstance(node, ast.Name):
        return node.id
    inner = dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{inner}.{node.attr}" if inner else ""  # type: ignore[attr-defined]


def aliases(tree: ast.Module) -> dict[str, str]:
    """Local name → what it is, for every import anywhere in the module."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for a in node.names:
                names[a.asname or a.name.split(".")[0]] = a.name if a.asname else a.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.update({a.asname or a.name: f"{node.module}.{a.name}" for a in node.names})
    return names


def full_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Absolute dotted name of every attribute chain and every import, with its line."""
    known = aliases(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (text := dotted(node)):
            head, _, rest = text.partition(".")
            yield f"{known.get(head, head)}.{rest}", node.lineno
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for a in node.names:
                yield f"{node.module}.{a.name}", node.lineno
        elif isinstance(node, ast.Import):
            for a in node.names:
                yield a.name, node.lineno


def factorisations(tree: ast.Module) -> list[str]:
    """Uses of a factorising module in a tree."""
    found = []
    for name, line in full_names(tree):
        for module in FACTORISING:
            used = name[len(module) + 1 :].split(".")[0]
            is_product = name.startswith("scipy.linalg.blas") and "trs" not in name
            if name.startswith(f"{module}.") and used not in NO_FACTORISATION and not is_product:
                found.append(f"line {line}: {name}")
    return found


def unsafe(tree: ast.Module) -> list[str]:
    """Calls and imports that could run code from a string or a file."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            attribute = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            pickled = [k for k in node.keywords if k.arg == "allow_pickle"]
            if name in UNSAFE_NAMES or attribute in UNSAFE_ATTRIBUTES:
                found.append(f"line {node.lineno}: {name or attribute}()")
            if any(not (isinstance(k.value, ast.Constant) and k.value.value is False) for k in pickled):
                found.append(f"line {node.lineno}: allow_pickle")
        elif isinstance(node, ast.Import):
            found += [f"line {node.lineno}: {a.name}" for a in node.names if a.name.split(".")[0] in UNSAFE_MODULES]
        elif (
            isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] in UNSAFE_MODULES
        ):
            found.append(f"line {node.lineno}: {node.module}")
    return found


def all_imports() -> list[Import]:
    return [one for name, tree in trees().items() for one in imports_of(name, tree)]


def test_every_file_has_a_floor():
    assert trees()
    assert {place(name) for name in trees()} <= set(FLOOR)


def test_the_document_tells_the_same_floors():
    text = (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    told = {}
    for floor, where in re.findall(r"^\| (\d+) \| ([^|]*) \|", text, flags=re.M):
        told.update({name: int(floor) for name in re.findall(r"`(\w+)(?:\.py|/)`", where)})
    assert told == {name: FLOOR[name] for name in told}
    assert {place(name) for name in trees()} - {"__init__", "__main__", "testing"} <= set(told)


def test_nothing_imports_upward_or_sideways():
    assert upward(all_imports()) == []


def test_no_modules_import_each_other_in_a_circle():
    assert a_cycle(edges(all_imports(), set(trees()))) is None


def test_nothing_outside_imports_the_checks_that_ship_for_plug_ins():
    users = [i for i in all_imports() if i.target.startswith(f"{PACKAGE}.testing")]
    assert [u for u in users if place(u.module) != "testing"] == []


@pytest.mark.parametrize("name", sorted(trees()))
def test_a_module_keeps_its_size_and_says_its_idea_first(name):
    tree = trees()[name]
    path = ROOT.joinpath(*name.split(".")[1:]).with_suffix(".py")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MOST_LINES
    assert not tree.body or ast.get_docstring(tree), f"{name} does not say what it is for"
    long = {
        node.name: code_lines(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and code_lines(node) > MOST_FUNCTION_LINES
    }
    assert long == {}


@pytest.mark.parametrize("name", sorted(trees()))
def test_a_module_runs_no_text_and_unpickles_nothing(name):
    assert unsafe(trees()[name]) == []


@pytest.mark.parametrize("name", sorted(n for n in trees() if place(n) not in MAY_FACTORISE))
def test_only_linalg_factorises(name):
    assert factorisations(trees()[name]) == []


@pytest.mark.parametrize("name", sorted(n for n in trees() if place(n) == "formula"))
def test_the_formula_language_needs_no_arrays(name):
    heavy = [i.target for i in imports_of(name, trees()[name]) if i.target.split(".")[0] in NEVER_IN_FORMULA]
    assert heavy == []


# the checks themselves, on small sins


def imports_in(source: str, name: str = "mixedvc.design.bind") -> list[Import]:
    return imports_of(name, ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "from ..api import fit",
        "from ..results.point import PointResults",
        "def f():\n    from ..estimators import base",
        "import mixedvc.likelihood.dense",
        "from mixedvc import results",
        "from mixedvc import fit",
        "from .. import api",
        "from ..io.tables import read",  # the other folder on the same floor
        "if True:\n    from ..likelihood.base import Likelihood",
    ],
)
def test_an_upward_import_is_found(source):
    assert len(upward(imports_in(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "from ..errors import BindError",
        "from .spec import ModelSpec",
        "from . import spec",
        "import numpy as np",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..results.point import PointResults",
    ],
)
def test_a_downward_import_is_allowed(source):
    assert upward(imports_in(source)) == []


def test_a_circle_is_found():
    modules = {"mixedvc.design.a", "mixedvc.design.b", "mixedvc.design.c"}
    found = imports_in("from .b import x", "mixedvc.design.a") + imports_in("from . import c", "mixedvc.design.b")
    assert a_cycle(edges(found, modules)) is None
    found += imports_in("from mixedvc.design.a import y", "mixedvc.design.c")
    circle = a_cycle(edges(found, modules))
    assert circle is not None
    assert circle[0] == circle[-1]
    assert set(circle) == modules


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np\nnp.linalg.inv(A)",
        "from numpy import linalg as la\nla.qr(A)",
        "import scipy.linalg\nscipy.linalg.cholesky(A)",
        "from scipy.linalg import eigh",
        "from scipy.sparse.linalg import splu",
        "import scipy.sparse.linalg as sla\nsla.cg(A, b)",
        "import scipy as s\ns.sparse.linalg.spsolve(A, b)",
        "from scipy.linalg.blas import dtrsm",
    ],
)
def test_a_factorisation_is_found(source):
    assert factorisations(ast.parse(source))


def test_a_product_of_blas_is_no_factorisation():
    assert factorisations(ast.parse("from scipy.linalg.blas import daxpy\nfrom scipy.linalg import blas")) == []


def test_the_error_class_of_numpy_is_no_factorisation():
    assert factorisations(ast.parse("import numpy as np\ntry:\n    f()\nexcept np.linalg.LinAlgError:\n    pass")) == []


@pytest.mark.parametrize(
    "source",
    [
        "eval(text)",
        "exec(text)",
        "frame.eval(text)",
        "import pickle",
        "from pickle import loads",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "pd.read_pickle(path)",
    ],
)
def test_running_text_or_pickles_is_found(source):
    assert unsafe(ast.parse(source))


def test_a_plain_load_and_a_compiled_pattern_are_allowed():
    assert unsafe(ast.parse("np.load(path, allow_pickle=False)\nre.compile('x')")) == []


def test_the_docstring_does_not_count_as_code():
    source = 'def f():\n    """One.\n\n    Two.\n    """\n    return 1\n'
    assert code_lines(ast.parse(source).body[0]) == 2
