"""Options of samplers for the program: ``--prior 'animal=half_t(3, 1)'`` is read, never run."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Mapping, Sequence
from typing import Any

from .cli_shared import pairs
from .errors import OptionError

_LONGEST = 10_000  # characters of a prior
_EXAMPLE = "write TERM=KIND(numbers), e.g. --prior 'animal=half_t(3, 1)'"


def sampler_arguments(parser: argparse.ArgumentParser) -> None:
    """What methods that sample take, e.g. ``--method gibbs``; an option that is left out has the method's default."""
    group = parser.add_argument_group("samplers (method gibbs)")
    group.add_argument("--draws", type=int, metavar="N", help="draws kept of each chain (default: 1000)")
    group.add_argument("--chains", type=int, metavar="N", help="chains (default: 4)")
    group.add_argument("--burnin", type=int, metavar="N", help="iterations left out first (default: what it needs)")
    group.add_argument("--thin", type=int, metavar="N", help="keep every N-th iteration (default: 1)")
    group.add_argument("--scheme", metavar="KIND", help="auto (default), collapsed, conjugate or shares")
    group.add_argument("--workers", type=int, metavar="N", help="processes (default: by the work)")
    group.add_argument("--store", metavar="FOLDER", help="write the draws to a new folder as they come")
    group.add_argument("--save-random", action="store_true", default=None, help="keep random effects of every draw")
    group.add_argument(
        "--prior",
        action="append",
        default=[],
        metavar="TERM=PRIOR",
        help="prior of a term, of 'residual' or of 'fixed', e.g. 'animal=half_t(3, 1)', 'fixed=normal(0, 10)', "
        "'g=inverse_wishart([[1, 0], [0, 1]], 3)', 'g=lkj(2, sd=half_cauchy(5))'; 'all=…' stands for every term, "
        "'all=variance_share(20)' is a prior on shares",
    )


def sampler_options(given: argparse.Namespace) -> dict[str, Any]:
    """Fields of the estimator that were given."""
    names = ("draws", "chains", "burnin", "thin", "scheme", "workers", "store", "save_random")
    options = {name: getattr(given, name) for name in names if getattr(given, name) is not None}
    return options | ({"priors": priors_given(given.prior)} if given.prior else {})


def priors_given(texts: Sequence[str]) -> Any:
    """``["animal=half_t(3, 1)"]`` as what ``priors=`` takes.

    Raises
    ------
    OptionError
        A text that is no prior; one for all terms beside others.
    """
    made = {name: parse_prior(text, name) for name, text in pairs(texts, "--prior").items()}
    if "all" not in made:
        return made
    if len(made) > 1:
        raise OptionError("--prior all=… stands for every term: give no other --prior beside it")
    return made["all"]


def parse_prior(text: str, where: str) -> Any:
    """One prior from its text: a kind, and numbers, lists of them or priors in brackets.

    Examples
    --------
    >>> parse_prior("half_t(3, 1)", "animal")
    HalfT(df=3.0, scale=1.0)
    """
    if len(text) > _LONGEST:
        raise OptionError(f"--prior {where}: {len(text):,} characters are no prior")
    try:
        tree = ast.parse(text.strip(), mode="eval").body  # a syntax tree: nothing in it runs
        made = _value(tree, where, text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, OptionError):
            raise
        raise OptionError(f"--prior {where}={text:.60}: this cannot be read ({error}); {_EXAMPLE}") from None
    if not hasattr(made, "bind") and not hasattr(made, "kind"):
        raise OptionError(f"--prior {where}={text:.60}: a prior is needed; {_EXAMPLE}")
    return made


def _value(node: ast.expr, where: str, text: str) -> Any:
    if isinstance(node, ast.Call):
        return _called(node, where, text)
    if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, (bool, int, float, str))):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = _value(node.operand, where, text)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(item, where, text) for item in node.elts]
    if isinstance(node, ast.Dict) and all(isinstance(key, ast.Constant) for key in node.keys):
        return {
            _value(k, where, text): _value(v, where, text) for k, v in zip(node.keys, node.values, strict=True) if k
        }
    raise OptionError(f"--prior {where}={text:.60}: {ast.unparse(node):.40} is no number, list or prior; {_EXAMPLE}")


def _called(node: ast.Call, where: str, text: str) -> Any:
    from .priors.base import priors

    if not isinstance(node.func, ast.Name) or any(isinstance(a, ast.Starred) for a in node.args):
        raise OptionError(f"--prior {where}={text:.60}: {_EXAMPLE}")
    kind = priors.get(_spelt(node.func.id))
    arguments = [_value(argument, where, text) for argument in node.args]
    named: Mapping[str, Any] = {str(word.arg): _value(word.value, where, text) for word in node.keywords}
    try:
        return kind(*arguments, **named)
    except OptionError:
        raise
    except TypeError as error:
        raise OptionError(f"--prior {where}={text:.60}: {error}") from None


def _spelt(name: str) -> str:
    """The registered name behind ``half_t``, ``HalfT`` or ``halft``."""
    from .priors.base import priors

    bare = name.replace("_", "").lower()
    return next((known for known in priors.names() if known.replace("_", "") == bare), name)
