"""R expressions as Python expressions: constants, vectors, lists, columns, arithmetic and a table of functions."""

from __future__ import annotations

import json
import keyword
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from .rdeparse import deparse1
from .rexpr import Node

CONSTANTS = {
    "TRUE": "True", "T": "True", "FALSE": "False", "F": "False", "NULL": "None", "NA": "float('nan')",
    "NA_real_": "float('nan')", "NaN": "float('nan')", "Inf": "float('inf')", "pi": "np.pi",
}  # fmt: skip
ELEMENTWISE = {
    "log": "np.log",
    "exp": "np.exp",
    "sqrt": "np.sqrt",
    "abs": "np.abs",
    "log10": "np.log10",
    "log2": "np.log2",
}
REDUCING = {
    "mean": "np.mean",
    "sum": "np.sum",
    "var": "np.var",
    "median": "np.median",
    "min": "np.min",
    "max": "np.max",
}
OPERATORS = {
    "+": "+", "-": "-", "*": "*", "/": "/", "^": "**", "==": "==", "!=": "!=", "<": "<", ">": ">",
    "<=": "<=", ">=": ">=", "&": "&", "&&": "and", "|": "|", "||": "or", "%%": "%", "%/%": "//",
}  # fmt: skip
TIGHTNESS = {"or": 1, "and": 2, "==": 4, "!=": 4, "<": 4, ">": 4, "<=": 4, ">=": 4, "|": 5, "&": 6,
             "+": 8, "-": 8, "*": 9, "/": 9, "%": 9, "//": 9, "**": 11}  # fmt: skip
ATOM, LOOSE = 20, 8


@dataclass(frozen=True)
class Problem:
    """What has no translation, and where."""

    message: str
    start: int
    stop: int


class Untranslatable(Exception):
    """Raised inside the translator; `translate` turns it into a `Problem`."""

    def __init__(self, message: str, node: Node):
        super().__init__(message)
        self.problem = Problem(message, node.start, node.stop)


@dataclass
class Scope:
    """What the translator knows while it walks a script.

    Attributes
    ----------
    call : callable
        Translates a function call by name, or returns None.
    part, picked : callable, optional
        Translate ``m$part`` and ``x[, 2]`` where they know what m and x are, or return None.
    columns : str or None
        The table whose columns bare names are (inside ``subset=`` and the like).
    imports : set of str
        Modules the code needs: ``np``, ``pd``, ``mv``.
    notes : list of str
        Remarks on the statement at hand, printed as comments above it.
    datasets : list of str
        Data sets to load before the statement at hand.
    known : set of str
        Names assigned so far.
    models : dict of str to Node
        The model calls among them.
    chains : set of str
        Names of models fitted by MCMCglmm, and of what is computed from their draws.
    """

    call: Callable[[Node, Scope], str | None]
    part: Callable[[Node, Scope], str | None] | None = None
    picked: Callable[[Node, str, Scope], str | None] | None = None
    columns: str | None = None
    imports: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    datasets: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    models: dict[str, Node] = field(default_factory=dict)
    chains: set[str] = field(default_factory=set)


def identifier(name: str) -> str:
    """An R name as a Python name: dots become underscores."""
    out = "".join(ch if ch.isalnum() or ch == "_" else "_" for ch in name)
    return f"{out}_" if keyword.iskeyword(out) or not out.isidentifier() else out


def text(value: str) -> str:
    """A Python string literal."""
    return json.dumps(value, ensure_ascii=False)


def python(node: Node, scope: Scope) -> str:
    """Python for an expression."""
    return _walk(node, scope)[0]


def _tight(node: Node, scope: Scope, least: int) -> str:
    code, tight = _walk(node, scope)
    return code if tight >= least else f"({code})"


def _walk(node: Node, scope: Scope) -> tuple[str, int]:
    """Code, and how tightly it binds."""
    match node.kind:
        case "number":
            return _number(node), ATOM
        case "string":
            return text(node.text), ATOM
        case "name":
            return _name(node, scope), ATOM
        case "paren":
            code, tight = _walk(node.parts[0], scope)
            return (code, tight) if tight == ATOM else (f"({code})", ATOM)
        case "prefix":
            return _prefix(node, scope)
        case "infix":
            return _infix(node, scope)
        case "index":
            return _index(node, scope), ATOM
        case "call":
            code = _call(node, scope)
            return code, LOOSE if code.startswith("-") or code.endswith(" ** 0.5") else ATOM
    if node.kind == "empty":
        raise Untranslatable("an argument is missing here", node)
    what = "a block { … }" if node.kind == "block" else f"{node.text!r}"
    raise Untranslatable(f"{what}: only assignments, calls and arithmetic are translated", node)


def deparse_short(node: Node) -> str:
    """The R text, cut to a line."""
    try:
        line = deparse1(node)
    except ValueError:
        line = node.text
    return line if len(line) <= 60 else f"{line[:57]}…"


def _number(node: Node) -> str:
    if node.text.endswith("i"):
        raise Untranslatable(f"the complex number {node.text}", node)
    return node.text.removesuffix("L")


def _name(node: Node, scope: Scope) -> str:
    if node.text in CONSTANTS:
        if CONSTANTS[node.text].startswith("np."):
            scope.imports.add("np")
        return CONSTANTS[node.text]
    if scope.columns is not None:
        return f"{scope.columns}[{text(node.text)}]"
    if node.text not in scope.known and node.text in DATASETS and node.text not in scope.datasets:
        scope.datasets.append(node.text)
    return identifier(node.text)


def _prefix(node: Node, scope: Scope) -> tuple[str, int]:
    if node.text == "~":
        return text(deparse1(node)), ATOM
    if node.text == "!":
        return f"~{_tight(node.parts[0], scope, 10)}", 10
    if node.text in "+-":
        return f"{node.text}{_tight(node.parts[0], scope, 10)}", 10
    raise Untranslatable(f"the operator {node.text}", node)


def _infix(node: Node, scope: Scope) -> tuple[str, int]:
    operator, (left, right) = node.text, node.parts
    if operator == "~":
        return text(deparse1(node)), ATOM
    if operator == "$" and scope.part is not None:
        found = scope.part(node, scope)
        if found is not None:
            return found, ATOM
    if operator in ("$", "@"):
        if right.kind not in ("name", "string"):
            raise Untranslatable(f"{deparse_short(node)}: a name is expected after {operator}", right)
        return f"{_tight(left, scope, ATOM)}[{text(right.text)}]", ATOM
    if operator == ":":
        return _range(left, right, scope), ATOM
    if operator == "|>" or operator == "%>%":
        return _walk(_piped(left, right), scope)
    if operator == "%in%":
        return f"{_tight(left, scope, ATOM)}.isin({python(right, scope)})", ATOM
    if operator not in OPERATORS:
        raise Untranslatable(f"the operator {operator}", node)
    symbol = OPERATORS[operator]
    tight = TIGHTNESS[symbol]
    first, second = (tight + 1, tight) if symbol == "**" else (tight, tight + 1)
    if tight == 4:
        first = 5
    return f"{_operand(left, scope, first)} {symbol} {_operand(right, scope, second)}", tight


def _operand(node: Node, scope: Scope, least: int) -> str:
    """A vector c(…) is an array where it is computed with."""
    code = _tight(node, scope, least)
    if node.function != "c":
        return code
    scope.imports.add("np")
    return f"np.array({code})"


def _range(left: Node, right: Node, scope: Scope) -> str:
    scope.imports.add("np")
    if right.kind == "number":
        return f"np.arange({python(left, scope)}, {int(float(_number(right))) + 1})"
    return f"np.arange({python(left, scope)}, {python(right, scope)} + 1)"


def _piped(left: Node, right: Node) -> Node:
    if right.kind != "call":
        raise Untranslatable("a call is expected after the pipe", right)
    return Node("call", "(", left.start, right.stop, (right.parts[0], left, *right.parts[1:]), (None, *right.names))


def _index(node: Node, scope: Scope) -> str:
    owner = _tight(node.parts[0], scope, ATOM)
    values = [value for _, value in node.arguments]
    found = scope.picked(node, owner, scope) if scope.picked is not None and node.text == "[" else None
    if found is not None:
        return found
    if node.text == "[[" and len(values) == 1:
        value = values[0]
        if value.kind == "number":
            return f"{owner}[{int(float(_number(value))) - 1}]"
        return f"{owner}[{python(value, scope)}]"
    if len(values) == 2 and values[0].kind == "empty" and values[1].kind in ("string", "call"):
        return f"{owner}[{python(values[1], scope)}]"
    if len(values) == 2 and values[1].kind == "empty" and _logical(values[0]):
        return f"{owner}[{python(values[0], scope)}]"
    if len(values) == 1 and values[0].kind == "string":
        return f"{owner}[{text(values[0].text.replace('(Intercept)', 'Intercept'))}]"
    raise Untranslatable(f"indexing {deparse_short(node)}: R counts from 1 and keeps names; write it with .iloc", node)


def _logical(node: Node) -> bool:
    return (node.kind == "infix" and node.text in ("==", "!=", "<", ">", "<=", ">=", "&", "|", "%in%")) or (
        node.kind == "prefix" and node.text == "!"
    )


def _call(node: Node, scope: Scope) -> str:
    name = node.function
    known = scope.call(node, scope)
    if known is not None:
        return known
    simple = SIMPLE.get(name)
    if simple is not None:
        return simple(node, scope)
    if name in ELEMENTWISE or name in REDUCING:
        scope.imports.add("np")
        inner = ", ".join(python(value, scope) for _, value in node.arguments)
        return f"{ELEMENTWISE.get(name) or REDUCING[name]}({inner}{', ddof=1' if name == 'var' else ''})"
    raise Untranslatable(f"the function {name or deparse_short(node.parts[0])}() has no translation", node.parts[0])


def _vector(node: Node, scope: Scope) -> str:
    if any(name is not None for name in node.names):
        return _dictionary(node, scope)
    return f"[{', '.join(python(value, scope) for _, value in node.arguments)}]"


def _dictionary(node: Node, scope: Scope) -> str:
    if any(name is None for name in node.names):
        return f"[{', '.join(python(value, scope) for _, value in node.arguments)}]"
    return f"{{{', '.join(f'{text(str(name))}: {python(value, scope)}' for name, value in node.arguments)}}}"


def _data_frame(node: Node, scope: Scope) -> str:
    scope.imports.add("pd")
    kept = [(n, v) for n, v in node.arguments if n not in ("stringsAsFactors", "check.names")]
    if any(name is None for name, _ in kept):
        raise Untranslatable("data.frame() of columns without names", node)
    several = any(v.kind == "call" or (v.kind == "infix" and v.text == ":") for _, v in kept)
    cells = [f"{text(str(n))}: {python(v, scope) if several else f'[{python(v, scope)}]'}" for n, v in kept]
    return f"pd.DataFrame({{{', '.join(cells)}}})"


def _read_csv(node: Node, scope: Scope) -> str:
    scope.imports.add("pd")
    extra = [str(n) for n, _ in node.arguments[1:] if n not in ("stringsAsFactors", "header")]
    if extra or not node.arguments:
        raise Untranslatable(f"read.csv() with {', '.join(extra) or 'no file'}", node)
    return f"pd.read_csv({python(node.arguments[0][1], scope)})"


def _factor(node: Node, scope: Scope) -> str:
    if len(node.arguments) != 1:
        raise Untranslatable(f"{node.function}() with levels or labels: use pd.Categorical(…, categories=[…])", node)
    return f'{_tight(node.arguments[0][1], scope, ATOM)}.astype("category")'


def _subset(node: Node, scope: Scope) -> str:
    if len(node.arguments) != 2:
        raise Untranslatable("subset() with other arguments than a table and a condition", node)
    table = _tight(node.arguments[0][1], scope, ATOM)
    return f"{table}[{python(node.arguments[1][1], replace(scope, columns=table))}]"


def _as_kind(kind: str) -> Callable[[Node, Scope], str]:
    return lambda node, scope: f"{_tight(node.arguments[0][1], scope, ATOM)}.astype({kind})"


def _head(node: Node, scope: Scope) -> str:
    inner = ", ".join(python(value, scope) for _, value in node.arguments[1:])
    return f"{_tight(node.arguments[0][1], scope, ATOM)}.{node.function}({inner or 6})"


def _only(node: Node, scope: Scope) -> str:
    """The argument itself: the function changes nothing that matters here."""
    return _tight(node.arguments[0][1], scope, ATOM)


def _diag(node: Node, scope: Scope) -> str:
    scope.imports.add("np")
    if len(node.arguments) != 1:
        raise Untranslatable("diag() with other arguments than a size or the entries: write np.diag(…)", node)
    value = node.arguments[0][1]
    inside = python(value, scope)
    return (
        f"np.diag({inside})"
        if value.function == "c"
        else f"np.eye({inside})"
        if value.kind == "number"
        else (f"np.diag({inside})")
    )


def _matrix(node: Node, scope: Scope) -> str:
    scope.imports.add("np")
    given = dict(zip(("data", "nrow", "ncol", "byrow"), (v for n, v in node.arguments if n is None), strict=False))
    given |= {n: v for n, v in node.arguments if n is not None}
    unknown = [n for n in given if n not in ("data", "nrow", "ncol", "byrow")]
    if unknown or "data" not in given or not ({"nrow", "ncol"} & set(given)) or given["data"].function != "c":
        raise Untranslatable("matrix() other than matrix(c(…), nrow, ncol): write np.array([[…], […]])", node)
    sizes = [python(given[n], scope) if n in given else "-1" for n in ("nrow", "ncol")]
    order = "C" if "byrow" in given and given["byrow"].text in ("TRUE", "T") else "F"
    return f'np.reshape({python(given["data"], scope)}, ({", ".join(sizes)}), order="{order}")'


def _rep(node: Node, scope: Scope) -> str:
    if len(node.arguments) != 2 or node.arguments[1][0] not in (None, "times"):
        raise Untranslatable("rep() with other arguments than a value and how often: write it in Python", node)
    value = node.arguments[0][1]
    code = python(value, scope)
    return f"{code if value.function == 'c' else f'[{code}]'} * {_tight(node.arguments[1][1], scope, ATOM)}"


SIMPLE: dict[str, Callable[[Node, Scope], str]] = {
    "c": _vector,
    "list": _dictionary,
    "data.frame": _data_frame,
    "read.csv": _read_csv,
    "factor": _factor,
    "as.factor": _factor,
    "as.numeric": _as_kind("float"),
    "as.integer": _as_kind("int"),
    "as.character": _as_kind("str"),
    "subset": _subset,
    "diag": _diag,
    "matrix": _matrix,
    "rep": _rep,
    "head": _head,
    "tail": _head,
    "nrow": lambda node, scope: f"len({python(node.arguments[0][1], scope)})",
    "length": lambda node, scope: f"len({python(node.arguments[0][1], scope)})",
    "as.data.frame": _only,
    "droplevels": _only,
    "suppressMessages": _only,
    "suppressWarnings": _only,
    "invisible": _only,
    "as.formula": _only,
    "formula": _only,
}
DATASETS = {
    "sleepstudy": "sleepstudy", "Dyestuff": "dyestuff", "Dyestuff2": "dyestuff2", "Penicillin": "penicillin",
    "Pastes": "pastes", "InstEval": "insteval", "cbpp": "cbpp", "Orthodont": "orthodont",
}  # fmt: skip
