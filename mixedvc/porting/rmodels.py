"""R's model calls as ``mv.fit``: lmer, relmatLmer, pedigreemm, lme and gls with their structures of the residual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import MixedVCError
from . import formulas
from .rdeparse import deparse1
from .rexpr import Node
from .rsommer import MMER, MMES, sommer
from .rtopy import Scope, Untranslatable, deparse_short, identifier, python, text

LMER = (
    "formula", "data", "REML", "control", "start", "verbose", "subset", "weights", "na.action", "offset", "contrasts",
    "devFunOnly", "relmat", "pedigree",
)  # fmt: skip
LME = ("fixed", "data", "random", "correlation", "weights", "subset", "method", "na.action", "control", "contrasts",
       "keep.data")  # fmt: skip
GLS = ("model", "data", "correlation", "weights", "subset", "method", "na.action", "control", "verbose")
MODELS = {
    "lmer": LMER, "relmatLmer": LMER, "pedigreemm": LMER, "lme": LME, "gls": GLS, "mmer": MMER, "mmes": MMES,
}  # fmt: skip
MISSING = {"na.omit": "omit", "na.exclude": "exclude", "na.fail": "fail"}
WITHOUT = ("control", "start", "verbose", "keep.data")
REASONS = {
    "control": "the fit is Newton's method to a decrement of 1e-13, with no optimizer to choose",
    "start": "the fit finds its own start",
    "verbose": "the fit prints nothing on its way; m.computation says how it went",
    "keep.data": "the specification keeps the columns it uses",
}


@dataclass(frozen=True)
class FitCall:
    """One ``mv.fit`` under construction.

    Attributes
    ----------
    formula : str
    data : str
        Python for the table, before ``subset=``.
    options : tuple of (str, str)
        Further keywords as Python.
    rows : str or None
        Python for a mask of rows.
    """

    formula: str
    data: str
    options: tuple[tuple[str, str], ...] = ()
    rows: str | None = None

    def code(self) -> str:
        """The call."""
        table = self.data if self.rows is None else f"{self.data}[{self.rows}]"
        return f"mv.fit({', '.join([text(self.formula), table, *(f'{k}={v}' for k, v in self.options)])})"


def matched(node: Node, names: Sequence[str]) -> dict[str, Node]:
    """Arguments by name: given names, unique beginnings of names, then positions, as R matches."""
    out: dict[str, Node] = {}
    rest: list[Node] = []
    for name, value in node.arguments:
        if name is None:
            rest.append(value)
            continue
        found = [n for n in names if n == name] or [n for n in names if n.startswith(name)]
        if len(found) != 1:
            raise Untranslatable(f"{node.function}() has no argument {name!r} that is translated", value)
        out[found[0]] = value
    free = [n for n in names if n not in out]
    for name, value in zip(free, rest, strict=False):
        out[name] = value
    if len(rest) > len(free):
        raise Untranslatable(f"{node.function}() with more arguments than it has names", rest[len(free)])
    return out


def fit_call(node: Node, scope: Scope) -> FitCall:
    """A model call as ``mv.fit``."""
    given = matched(node, MODELS[node.function])
    for name in WITHOUT:
        if name in given and deparse1(given[name]) not in ("FALSE", "F", "NULL", "0", "0L"):
            scope.notes.append(f"{name}= is left out: {REASONS[name]}")
    scope.imports.add("mv")
    if "data" not in given:
        raise Untranslatable(f"{node.function}() without data=: columns are not looked up among variables", node)
    table = python(given["data"], scope)
    if node.function in ("mmer", "mmes"):
        return FitCall(*_formula_first(sommer(given, node, scope), table))
    if node.function in ("lme", "gls"):
        made = _nlme(given, node, table, scope)
    else:
        made = _lmer(given, node, table, scope)
    return _common(made, given, table, scope)


def _formula_first(
    made: tuple[str, tuple[tuple[str, str], ...]], table: str
) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    return made[0], table, made[1]


def _common(made: FitCall, given: dict[str, Node], table: str, scope: Scope) -> FitCall:
    options = list(made.options)
    inside = replace(scope, columns=table)
    if "na.action" in given:
        rule = deparse1(given["na.action"]).strip('"')
        if rule not in MISSING:
            raise Untranslatable(f"na.action={rule}", given["na.action"])
        options.append(("missing", text(MISSING[rule])))
    if "contrasts" in given:
        options.append(("contrasts", _contrasts(given["contrasts"], scope)))
    rows = python(given["subset"], inside) if "subset" in given else None
    return replace(made, options=tuple(options), rows=rows)


def _contrasts(node: Node, scope: Scope) -> str:
    if node.function != "list" or None in node.names:
        raise Untranslatable("contrasts= is a named list, e.g. list(f = contr.sum)", node)
    cells = []
    for name, value in node.arguments:
        kind = value.text if value.kind in ("name", "string") else ""
        code = text(kind.removeprefix("contr.")) if kind.startswith("contr.") else python(value, scope)
        cells.append(f"{text(str(name))}: {code}")
    return f"{{{', '.join(cells)}}}"


def _column(node: Node, table: str, scope: Scope) -> str:
    """A column by its name where it is one, else an expression of columns of the table."""
    if node.kind == "name":
        return text(node.text)
    return python(node, replace(scope, columns=table))


def _formula_text(node: Node, what: str) -> str:
    if node.kind == "string":
        return node.text
    if node.function in ("as.formula", "formula") and len(node.parts) == 2:
        return _formula_text(node.parts[1], what)
    if node.kind in ("infix", "prefix") and node.text == "~":
        return deparse1(node)
    raise Untranslatable(f"{what} is no formula but {deparse_short(node)}: write the formula in the call", node)


def _lmer(given: dict[str, Node], node: Node, table: str, scope: Scope) -> FitCall:
    if "formula" not in given:
        raise Untranslatable(f"{node.function}() without a formula", node)
    if "devFunOnly" in given:
        raise Untranslatable(
            "devFunOnly=: m.likelihood.at(theta) evaluates a model at any variances", given["devFunOnly"]
        )
    source = _formula_text(given["formula"], "formula=")
    options: list[tuple[str, str]] = []
    covariances = _covariances(given, scope)
    formula = core_text(source, {group: name for group, (name, _) in covariances.items()}, given["formula"])
    if covariances:
        options.append(("cov", f"{{{', '.join(f'{text(name)}: {code}' for name, code in covariances.values())}}}"))
    if "REML" in given and _false(given["REML"]):
        options.append(("method", text("ml")))
    for name in ("weights", "offset"):
        if name in given:
            options.append((name, _column(given[name], table, scope)))
    return FitCall(formula, table, tuple(options))


def _false(node: Node) -> bool:
    if node.kind != "name" or node.text not in ("TRUE", "T", "FALSE", "F"):
        raise Untranslatable(f"REML={deparse_short(node)}: TRUE or FALSE is needed", node)
    return node.text.startswith("F")


def _covariances(given: dict[str, Node], scope: Scope) -> dict[str, tuple[str, str]]:
    """Name in ``cov=`` and Python of the covariance, by grouping factor."""
    out: dict[str, tuple[str, str]] = {}
    for what in ("relmat", "pedigree"):
        if what not in given:
            continue
        node = given[what]
        if node.function != "list" or None in node.names:
            raise Untranslatable(f"{what}= is a named list, e.g. list(id = K)", node)
        for group, value in node.arguments:
            code = python(value, scope)
            name = identifier(value.text) if value.kind == "name" else f"{what}_{identifier(str(group))}"
            out[str(group)] = (name, code if what == "relmat" else f"mv.pedigree({code})")
    return out


def core_text(source: str, names: dict[str, str], node: Node) -> str:
    """The formula in mixedvc's spelling, with the covariances of some groups."""
    try:
        read = formulas.read(source, tuple(names))
    except MixedVCError as error:
        raise Untranslatable(str(error).splitlines()[0], node) from None
    if not names:
        return read.source
    core = read.core
    for group, name in names.items():
        core = core.replace(f"cov={formulas.RELMAT}{group}", f"cov={name}")
    return core


def _nlme(given: dict[str, Node], node: Node, table: str, scope: Scope) -> FitCall:
    fixed = _formula_text(given.get("fixed", given.get("model", node)), "the fixed part")
    bars = _random(given["random"]) if "random" in given else []
    if node.function == "lme" and not bars:
        raise Untranslatable("lme() without random=: name the groups, random = ~ 1 | g", node)
    groups = _innermost(bars)
    source = " + ".join([fixed, *bars])
    options: list[tuple[str, str]] = []
    variances = _variances(given.get("weights"), table, scope)
    residual = _residual(given.get("correlation"), variances.get("residual"), groups)
    if residual is not None:
        options.append(("residual", text(residual)))
    if "weights" in variances:
        options.append(("weights", variances["weights"]))
    if "method" in given:
        method = given["method"].text
        if method not in ("ML", "REML"):
            raise Untranslatable(f"method={method!r}: 'REML' or 'ML'", given["method"])
        if method == "ML":
            options.insert(0, ("method", text("ml")))
    return FitCall(core_text(source, {}, node), table, tuple(options))


def _random(node: Node) -> list[str]:
    """``~ x | g``, or a list of groups, each within the one before."""
    if node.kind == "prefix" and node.text == "~":
        inner = node.parts[0]
        if inner.kind != "infix" or inner.text != "|":
            raise Untranslatable("random= names no groups (they are those of a groupedData): write ~ … | g", node)
        return [f"({deparse1(inner)})"]
    if node.function == "list" and None not in node.names:
        bars, outer = [], ""
        for group, value in node.arguments:
            outer = f"{outer}:{group}" if outer else str(group)
            bars.append(_pd_bar(value, outer))
        return bars
    raise Untranslatable(f"random={deparse_short(node)}: a formula ~ x | g, or a list of them by group", node)


def _pd_bar(node: Node, group: str) -> str:
    """One group's effects: a formula or a pdMat."""
    wrap = {
        "pdSymm": "({} | {})",
        "pdLogChol": "({} | {})",
        "pdDiag": "({} || {})",
        "pdCompSymm": "cs({} | {}, hom=True)",
    }
    if node.function in wrap and len(node.parts) == 2:
        return wrap[node.function].format(_right(node.parts[1]), group)
    if node.kind == "prefix" and node.text == "~":
        return f"({_right(node)} | {group})"
    raise Untranslatable(f"the random effects {deparse_short(node)} of {group!r}", node)


def _right(node: Node) -> str:
    if node.kind != "prefix" or node.text != "~":
        raise Untranslatable(f"{deparse_short(node)}: a one-sided formula is expected", node)
    return deparse1(node.parts[0])


def _innermost(bars: list[str]) -> str:
    """The groups of the innermost random term, as columns joined by ``:``."""
    if not bars:
        return ""
    return bars[-1].rsplit("|", 1)[1].split(",")[0].strip(" )").replace("/", ":").replace(" ", "")


def _variances(node: Node | None, table: str, scope: Scope) -> dict[str, str]:
    """``varIdent`` as a residual structure, ``varFixed`` as weights."""
    if node is None:
        return {}
    if node.kind == "prefix" or (node.function == "varFixed" and len(node.parts) == 2):
        inner = node.parts[0] if node.kind == "prefix" else node.parts[1].parts[0]
        code = python(inner, replace(scope, columns=table))
        return {"weights": f"1 / {code}" if inner.kind == "name" else f"1 / ({code})"}
    if node.function != "varIdent":
        raise Untranslatable(
            f"weights={deparse_short(node)}: varIdent(form = ~ 1 | f) and varFixed(~ v) are translated", node
        )
    given = matched(node, ("value", "form", "fixed"))
    if "fixed" in given or "form" not in given:
        raise Untranslatable("varIdent() needs form = ~ 1 | f, and no fixed=", node)
    inner = given["form"].parts[0]
    if inner.kind != "infix" or inner.text != "|" or deparse1(inner.parts[0]) != "1":
        raise Untranslatable("varIdent(form=): ~ 1 | f is translated", given["form"])
    return {"residual": deparse1(inner.parts[1]).replace(" * ", ":")}


CORRELATIONS = {"corAR1": "ar1", "corCompSymm": "cs", "corSymm": "us"}


def _residual(node: Node | None, variance: str | None, groups: str) -> str | None:
    """The residual's structure from ``correlation=`` and the factor of ``varIdent``."""
    own = None if variance is None else f"diag(0 + {variance} | rows)"
    if node is None:
        return own
    if node.function not in CORRELATIONS:
        raise Untranslatable(f"correlation={deparse_short(node)}: {', '.join(CORRELATIONS)} are translated", node)
    given = matched(node, ("value", "form", "fixed"))
    if "fixed" in given and deparse1(given["fixed"]) not in ("FALSE", "F"):
        raise Untranslatable("a correlation with fixed = TRUE", given["fixed"])
    left, group = _form(given.get("form"), groups, node)
    kind = CORRELATIONS[node.function]
    if kind == "us":
        if variance is None or f"0 + {variance}" != left:
            raise Untranslatable(
                "corSymm() is translated beside varIdent() of the same factor: form = ~ t | g and form = ~ 1 | t", node
            )
        return f"us({left} | {group})"
    structure = f"{kind}({left} | {group})"
    return structure if own is None else f"{own} * {structure}"


def _form(node: Node | None, groups: str, call: Node) -> tuple[str, str]:
    """Which cell a row is in, and the groups: ``~ 1 | g`` is the order of the rows, ``~ t | g`` the column t."""
    if node is None:
        if not groups:
            raise Untranslatable(f"{call.function}() without form=: name the groups, form = ~ 1 | g", call)
        return "1", groups
    inner = node.parts[0] if node.kind == "prefix" else node
    if inner.kind == "infix" and inner.text == "|":
        cell, group = deparse1(inner.parts[0]), deparse1(inner.parts[1]).replace("/", ":").replace(" ", "")
    else:
        cell, group = deparse1(inner), groups
    if not group:
        raise Untranslatable("the correlation names no groups: write form = ~ 1 | g", node)
    return ("1" if cell == "1" else f"0 + {cell}"), group
