"""sommer's mmer and mmes as ``mv.fit``: the formula and the residual of their variance structures."""

from __future__ import annotations

from .rdeparse import deparse1
from .rexpr import Node
from .rtopy import Scope, Untranslatable, deparse_short, identifier, python, text

MMER = ("fixed", "random", "rcov", "data", "weights", "nIters", "tolParConvLL", "tolParInv", "init", "constraints",
        "method", "getPEV", "naMethodX", "naMethodY", "returnParam", "dateWarning",
        "date.warning", "verbose")  # fmt: skip
MMES = ("fixed", "random", "rcov", "data", "W", "nIters", "tolParConvLL", "tolParConvNorm", "tolParInv", "naMethodX",
        "naMethodY", "returnParam", "dateWarning", "date.warning", "verbose", "addScaleParam", "stepWeight", "emWeight",
        "contrasts", "getPEV", "henderson")  # fmt: skip
KEPT = ("fixed", "random", "rcov", "data", "verbose", "dateWarning", "date.warning", "nIters", "getPEV", "henderson")
SAID = {
    "nIters": "the fit ends at its maximum, as max_iter=100 allows",
    "getPEV": "m.pev computes them when asked for",
    "henderson": "what the model is made of decides which equations are solved",
}
TERMS = ("vsr", "vs", "vsm")
ACROSS = {"unsm": "", "usr": "", "us": "", "usm": "", "diag": "diag", "dsr": "diag", "ds": "diag", "dsm": "diag"}


def sommer(given: dict[str, Node], node: Node, scope: Scope) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Formula and keywords of ``mv.fit`` for a call of mmer() or mmes()."""
    for name in given:
        if name not in KEPT:
            raise Untranslatable(f"{node.function}({name}=)", given[name])
        if name in SAID:
            scope.notes.append(f"{name}= is left out: {SAID[name]}")
    if "fixed" not in given:
        raise Untranslatable(f"{node.function}() without fixed=", node)
    covariances: dict[str, str] = {}
    terms = _terms(given["random"]) if "random" in given else []
    parts = [deparse1(given["fixed"]), *(_bar(term, covariances, scope) for term in terms)]
    options = []
    if covariances:
        options.append(("cov", f"{{{', '.join(f'{text(name)}: {code}' for name, code in covariances.items())}}}"))
    residual = _residual(given["rcov"]) if "rcov" in given else None
    if residual is not None:
        options.append(("residual", text(residual)))
    return " + ".join(parts), tuple(options)


def _terms(node: Node) -> list[Node]:
    """The terms of ``~ a + b``."""
    if node.kind == "prefix" and node.text in ("~", "+"):
        return _terms(node.parts[0])
    if node.kind == "infix" and node.text == "+":
        return [*_terms(node.parts[0]), *_terms(node.parts[1])]
    return [node]


def _arguments(node: Node) -> tuple[list[Node], dict[str, Node]]:
    named = {str(name): value for name, value in node.arguments if name is not None}
    unknown = [name for name in named if name not in ("Gu", "Gtc", "Gt")]
    if unknown:
        raise Untranslatable(f"{node.function}({unknown[0]}=)", named[unknown[0]])
    if "Gt" in named:
        raise Untranslatable("Gt= (starting values) is not translated: the fit finds its own start", named["Gt"])
    return [value for name, value in node.arguments if name is None], named


def _group(node: Node) -> str:
    """``id``, or ``ism(id)``."""
    inner = node.parts[1] if node.function == "ism" and len(node.parts) == 2 else node
    if inner.kind == "name" or (inner.kind == "infix" and inner.text == ":"):
        return deparse1(inner).replace(" ", "")
    raise Untranslatable(f"{deparse_short(node)} in a random term", node)


def _bar(node: Node, covariances: dict[str, str], scope: Scope) -> str:
    """One random term as a bar."""
    if node.function not in TERMS:
        return f"(1 | {_group(node)})"
    plain, named = _arguments(node)
    if len(plain) not in (1, 2):
        raise Untranslatable(f"{node.function}() of {len(plain)} factors: one, or a structure and one", node)
    group, wrapper, effects = _group(plain[-1]), "", "1"
    if len(plain) == 2:
        wrapper, effects = _structure(plain[0])
    if "Gu" in named:
        code = python(named["Gu"], scope)
        name = identifier(named["Gu"].text) if named["Gu"].kind == "name" else f"Gu_{identifier(group)}"
        covariances[name] = code
        group = f"{group}:{name}"
    if "Gtc" in named and named["Gtc"].function not in ("unsm", "diag"):
        raise Untranslatable(f"Gtc={deparse_short(named['Gtc'])}: unsm(t) and diag(t) are translated", named["Gtc"])
    if "Gtc" in named and named["Gtc"].function == "diag":
        if wrapper or effects != "1":
            raise Untranslatable("Gtc=diag(t) beside a structure of its own", node)
        wrapper = "diag"
    return f"{wrapper}({effects} | {group})"


def _structure(node: Node) -> tuple[str, str]:
    """Wrapper and left-hand side of ``usm(f)`` and ``dsm(f)``."""
    if node.function not in ACROSS or len(node.parts) != 2 or node.parts[1].kind != "name":
        raise Untranslatable(f"the structure {deparse_short(node)}: usm(f), dsm(f), usr(f) and dsr(f) are", node)
    return ACROSS[node.function], f"0 + {node.parts[1].text}"


def _residual(node: Node) -> str | None:
    """``residual=`` of ``~ units`` and its structures; None for the default."""
    terms = _terms(node)
    if len(terms) != 1:
        raise Untranslatable(f"rcov={deparse_short(node)}: one term is translated", node)
    (term,) = terms
    if term.function not in TERMS:
        if deparse1(term) == "units":
            return None
        raise Untranslatable(f"rcov={deparse_short(node)}: units, or a structure of them", node)
    plain, named = _arguments(term)
    if not plain or len(plain) > 2 or _group(plain[-1]) != "units" or "Gu" in named:
        raise Untranslatable(f"rcov={deparse_short(node)}: vsr(units, Gtc=…), vsm(dsm(f), ism(units)) are", node)
    if len(plain) == 2:
        wrapper, effects = _structure(plain[0])
        if wrapper != "diag":
            raise Untranslatable(
                "an unstructured residual of long data does not say which rows are one record: write the responses "
                "side by side, cbind(y1, y2) ~ …, or residual='us(0 + trait | record)'",
                node,
            )
        return f"diag({effects} | rows)"
    if "Gtc" in named and named["Gtc"].function == "diag":
        return "diag"
    return None
