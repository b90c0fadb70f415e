"""R scripts as Python: each statement that has a translation, the others named with their place; nothing runs."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import MixedVCError, OptionError
from . import rcalls, rmcmc
from .rexpr import Node, comments, parse, place, pointed
from .rmodels import MODELS
from .rtopy import DATASETS, Problem, Scope, Untranslatable, deparse_short, identifier, python

IMPORTS = {
    "np": "import numpy as np",
    "pd": "import pandas as pd",
    "mv": "import mixedvc as mv",
    "mc": "from mixedvc.porting.mcmcglmm import *",
}
ASSIGN = ("<-", "<<-", "=", "->", "->>")
SHOWN = ("print", "show", "summary")


@dataclass(frozen=True)
class Translation:
    """Python for an R script.

    Attributes
    ----------
    code : str
        Runs as it stands; a statement without translation is a comment in its place.
    problems : tuple of Problem
        What has no translation, with its place in the source.
    source : str
    """

    code: str
    problems: tuple[Problem, ...]
    source: str

    @property
    def complete(self) -> bool:
        """Every statement was translated."""
        return not self.problems

    def report(self) -> str:
        """The problems, each with line, column and a caret; empty where there are none."""
        return "\n".join(
            f"{place(self.source, p.start)}: {p.message}\n{pointed(self.source, p.start, p.stop)}"
            for p in self.problems
        )

    def __str__(self) -> str:
        return self.code


def translate(source: str) -> Translation:
    """Translate R calls of lme4 and its relatives, nlme, sommer and MCMCglmm with coda into Python for mixedvc.

    Parameters
    ----------
    source : str
        One call or a whole script.  It is only read: nothing in it is executed.

    Returns
    -------
    Translation
        ``str()`` is the code; ``problems`` names what could not be translated.

    Raises
    ------
    RSyntaxError
        Text that is not R.

    Examples
    --------
    >>> print(translate("lmer(y ~ x + (1|id), data=d, REML=FALSE)"))
    import mixedvc as mv
    <BLANKLINE>
    print(mv.fit("y ~ x + (1 | id)", d, method="ml").summary())
    """
    if not isinstance(source, str):
        raise OptionError(f"translate() takes R code as text, not a {type(source).__name__}")
    scope = Scope(call=rcalls.call, part=rmcmc.part, picked=rmcmc.columns)
    remarks = [(c.start, c.text) for c in comments(source)]
    lines: list[str] = []
    problems: list[Problem] = []
    for statement in parse(source):
        while remarks and remarks[0][0] < statement.stop:
            lines.append(remarks.pop(0)[1])  # those inside a statement stand above it
        lines += _statement(statement, scope, problems)
    lines += [text for _, text in remarks]
    head = [IMPORTS[name] for name in ("np", "pd", "mv", "mc") if name in scope.imports]
    code = "\n".join([*head, *([""] if head and lines else []), *lines])
    return Translation(code, tuple(problems), source)


def _statement(node: Node, scope: Scope, problems: list[Problem]) -> list[str]:
    """Lines of Python, or a comment and a problem."""
    scope.notes.clear()
    scope.datasets.clear()
    try:
        lines = _assignment(node, scope) if _assigns(node) else _shown(node, scope)
    except Untranslatable as stop:
        problems.append(stop.problem)
        return [
            f"# not translated: {deparse_short(node)}",
            *(f"#   {line}" for line in stop.problem.message.splitlines()),
        ]
    except RecursionError:
        problems.append(Problem("the expression is too long or too deeply nested", node.start, node.stop))
        return ["# not translated: an expression that is too long"]
    except MixedVCError as error:
        message = str(error).splitlines()[0]
        problems.append(Problem(message, node.start, node.stop))
        return [f"# not translated: {deparse_short(node)}", f"#   {message}"]
    loads = [f'{identifier(name)} = mv.load_data("{DATASETS[name]}")' for name in scope.datasets]
    if loads:
        scope.imports.add("mv")
        scope.known.update(scope.datasets)
    return [*loads, *(f"# {note}" for note in scope.notes), *lines]


def _assigns(node: Node) -> bool:
    return node.kind == "infix" and node.text in ASSIGN


def _assignment(node: Node, scope: Scope) -> list[str]:
    target, value = (node.parts[1], node.parts[0]) if node.text.startswith("-") else node.parts
    if target.kind == "name":
        code = python(value, scope)
        _remember(target.text, value, scope)
        return [f"{identifier(target.text)} = {code}"]
    if target.kind in ("index",) or (target.kind == "infix" and target.text == "$"):
        return [f"{python(target, scope)} = {python(value, scope)}"]
    raise Untranslatable(f"assignment to {deparse_short(target)}", target)


def _remember(name: str, value: Node, scope: Scope) -> None:
    """Which call a name stands for, so that `update` can repeat it."""
    scope.known.add(name)
    scope.models.pop(name, None)
    scope.chains.discard(name)
    if rmcmc.is_chain(value, scope):
        scope.chains.add(name)
    if value.function in MODELS:
        scope.models[name] = value
    elif value.function == "update":
        scope.models[name] = rcalls.updated_call(value, scope)


def _shown(node: Node, scope: Scope) -> list[str]:
    """A statement that R would print."""
    if node.function in rcalls.DROPPED:
        return []
    if node.function == "set.seed":
        return ["# set.seed(): give seed= where numbers are drawn"]
    code = python(node, scope)
    if not code:
        return []
    if node.function == "plot" and rmcmc.is_chain(node, scope):
        return [code]
    model = rcalls.is_model(node, scope)
    return [f"print({code}.summary())" if model else f"print({code})"]
