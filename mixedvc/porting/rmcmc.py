"""MCMCglmm and coda in R scripts: calls of `mixedvc.porting.mcmcglmm`, parts that are not available named."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import MixedVCError
from . import mcterms
from .mcfit import FAMILIES, NOT_HERE, SAVED
from .rdeparse import deparse1
from .rexpr import Node
from .rtopy import Scope, Untranslatable, deparse_short, identifier, python, text

ARGUMENTS = (
    "fixed", "random", "rcov", "family", "mev", "data", "start", "prior", "tune", "pedigree", "nodes", "scale", "nitt",
    "thin", "burnin", "pr", "pl", "verbose", "DIC", "singular.ok", "saveX", "saveZ", "saveXL", "slice", "ginverse",
    "trunc", "theta_scale", "saveWS",
)  # fmt: skip
FORMULAS = ("fixed", "random", "rcov")
OFF = ("FALSE", "F", "NULL")


def uses(scope: Scope, name: str) -> str:
    """A name of the porting module, which the code then imports."""
    scope.imports.add("mc")
    return name


def is_chain(node: Node, scope: Scope) -> bool:
    """Whether an expression is a model fitted by MCMCglmm, a part of one, or computed from one."""
    if node.kind == "name":
        return node.text in scope.chains
    if node.kind == "call":
        return node.function in ("MCMCglmm", "mcmc", "as.mcmc") or (
            node.function in CHAINED and any(is_chain(value, scope) for _, value in node.arguments)
        )
    return any(is_chain(part, scope) for part in node.parts)


def part(node: Node, scope: Scope) -> str | None:
    """``m$VCV`` as ``m.VCV``; None where it is no part of a fitted model."""
    left, right = node.parts
    if left.kind == "name" and left.text in scope.chains and right.kind in ("name", "string"):
        return f"{identifier(left.text)}.{identifier(right.text)}"
    return None


def columns(node: Node, owner: str, scope: Scope) -> str | None:
    """``m$Sol[, 2]`` and ``m$VCV[, 1:4]``; None where the index is none of these."""
    values = [value for _, value in node.arguments]
    if len(values) != 2 or values[0].kind != "empty" or not is_chain(node.parts[0], scope):
        return None
    at = values[1]
    if at.kind == "number":
        return f"{owner}.iloc[:, {int(float(at.text.removesuffix('L'))) - 1}]"
    if at.function == "c" and all(part.kind == "number" for part in at.parts[1:]):
        places = [str(int(float(part.text.removesuffix("L"))) - 1) for part in at.parts[1:]]
        return f"{owner}.iloc[:, [{', '.join(places)}]]"
    if at.kind == "infix" and at.text == ":" and all(p.kind == "number" for p in at.parts):
        first, last = (int(float(p.text.removesuffix("L"))) for p in at.parts)
        return f"{owner}.iloc[:, {first - 1}:{last}]"
    return None


# ---- calls -----------------------------------------------------------------------------------------------------------


def fit(node: Node, scope: Scope) -> str:
    """``MCMCglmm(…)``."""
    from .rmodels import matched

    given = matched(node, ARGUMENTS)
    if "fixed" not in given or "data" not in given:
        raise Untranslatable("MCMCglmm() without fixed= or data=", node)
    parts: list[str] = []
    for name in sorted(given, key=lambda name: name != "fixed"):
        made = _argument(name, given[name], scope)
        if made is not None:
            parts.append(made if name == "fixed" else f"{identifier(name)}={made}")
    return f"{uses(scope, 'MCMCglmm')}({', '.join(parts)})"


def _argument(name: str, value: Node, scope: Scope) -> str | None:
    off = value.kind == "name" and value.text in OFF
    if name in FORMULAS:
        return None if off else text(_formula(name, value))
    if name == "family":
        return _family(value, scope)
    if name in SAVED:
        scope.notes.append(f"{name}= is left out: the specification keeps the design")
        return None
    if name in ("nodes", "scale"):
        if (name, value.text) in (("nodes", "ALL"), ("scale", "TRUE"), ("scale", "T")):
            return None
        raise Untranslatable(NOT_HERE.get(name, "scale= is for phylogenies: scale the matrix of ginverse="), value)
    if name.replace(".", "_") in NOT_HERE:
        if off:
            return None
        raise Untranslatable(f"{name}=: {NOT_HERE[name.replace('.', '_')]}", value)
    return python(value, scope)


def _formula(name: str, value: Node) -> str:
    source = value.text if value.kind == "string" else deparse1(value)
    if value.kind not in ("string", "infix", "prefix"):
        raise Untranslatable(f"{name}= is no formula but {deparse_short(value)}: write the formula in the call", value)
    for inner in _walk(value):
        try:
            mcterms.check_function(inner, name)
        except MixedVCError as error:
            raise Untranslatable(str(error), inner) from None
    return source


def _walk(node: Node) -> list[Node]:
    out, stack = [], [node]
    while stack:
        out.append(stack.pop())
        stack += out[-1].parts
    return out


def _family(value: Node, scope: Scope) -> str | None:
    strings = [inner.text for inner in _walk(value) if inner.kind == "string"]
    for name in strings:
        if name.rstrip("0123456789") in FAMILIES:
            raise Untranslatable(f"family={name!r} is not available: mixedvc fits Gaussian responses", value)
    if set(strings) == {"gaussian"}:
        return None
    return python(value, scope)


def _of_chain(new: str, *names: str) -> Callable[[Node, Scope], str]:
    """A function of a chain or model by its name in the porting module, with some arguments."""

    def make(node: Node, scope: Scope) -> str:
        parts: list[str] = []
        for name, value in node.arguments:
            if name is not None and parts and name not in names:
                raise Untranslatable(f"{node.function}(): the argument {name} is not translated", value)
            code = _formula_or_code(value, scope)
            parts.append(code if name is None or not parts else f"{identifier(name)}={code}")
        if not parts:
            raise Untranslatable(f"{node.function}() of nothing", node)
        return f"{uses(scope, new)}({', '.join(parts)})"

    return make


def _formula_or_code(value: Node, scope: Scope) -> str:
    return text(deparse1(value)) if value.kind == "prefix" and value.text == "~" else python(value, scope)


def _same(node: Node, scope: Scope) -> str:
    return python(node.arguments[0][1], scope)


PREDICT = ("newdata", "marginal", "type", "interval", "level", "it", "posterior")
ALWAYS: dict[str, Callable[[Node, Scope], str]] = {  # names that nothing else has
    "MCMCglmm": fit,
    "posterior.mode": _of_chain("posterior_mode", "adjust"),
    "HPDinterval": _of_chain("HPDinterval", "prob"),
    "effectiveSize": _of_chain("effectiveSize"),
    "autocorr": _of_chain("autocorr", "lags", "relative"),
    "autocorr.diag": _of_chain("autocorr_diag", "lags", "relative"),
    "heidel.diag": _of_chain("heidel_diag", "eps", "pvalue"),
    "geweke.diag": _of_chain("geweke_diag", "frac1", "frac2"),
    "raftery.diag": _of_chain("raftery_diag", "q", "r", "s", "converge.eps"),
    "batchSE": _of_chain("batchSE", "batchSize"),
    "posterior.cor": _of_chain("posterior_cor"),
    "posterior.evals": _of_chain("posterior_evals"),
    "posterior.inverse": _of_chain("posterior_inverse"),
    "inverseA": _of_chain("inverseA", "nodes", "scale", "reduced"),
    "prunePed": _of_chain("prunePed", "keep", "make.base"),
    "rbv": _of_chain("rbv", "G", "nodes"),
    "sm2asreml": _of_chain("sm2asreml"),
    "as.mcmc": _same,
    "mcmc": _same,
}
CHAINED: dict[str, Callable[[Node, Scope], str]] = {  # R's generics, of a model or chain
    "summary": _of_chain("summary", "random"),
    "print": _same,
    "plot": _of_chain("plot", "ask", "random"),
    "predict": _of_chain("predict", *PREDICT),
    "rowSums": _of_chain("rowSums"),
    "colMeans": _of_chain("colMeans"),
}


def call(node: Node, scope: Scope) -> str | None:
    """Python for a call that belongs to MCMCglmm or coda; None for others."""
    name = node.function
    if name in ALWAYS:
        return ALWAYS[name](node, scope)
    if name in CHAINED and any(is_chain(value, scope) for _, value in node.arguments):
        return CHAINED[name](node, scope)
    return None
