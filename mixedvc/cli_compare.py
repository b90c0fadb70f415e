"""``mixedvc compare FORMULA TABLE --methods reml,he``: several methods on one model."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from .cli_priors import priors_given
from .cli_shared import (
    DONE,
    NOT_CONVERGED,
    bound,
    check_outputs,
    model_arguments,
    run_arguments,
    values,
    write_csv,
    write_file,
    write_json,
)
from .errors import MissingExtra, OptionError

ABOUT = """\
Fit one model by several methods and print the answers side by side: estimates with standard errors, the log-likelihood
of each estimate under one common likelihood, seconds. FORMULA and TABLE are those of 'mixedvc fit'.
"""

EXAMPLES = """\
examples:
  mixedvc compare "Reaction ~ Days + (Days | Subject)" sleepstudy --methods reml,ml
  mixedvc compare "yield ~ 1 + (1 | line:G)" trial.csv --cov G=kinship.csv.gz --methods reml,mm,he \\
      --option mm.tol=1e-8 --csv both.csv --plot both.png
  mixedvc compare "Yield ~ 1 + (1 | Batch)" dyestuff --methods reml,gibbs --option gibbs.draws=2000 --seed 1

exit status: 0 all methods fitted; 2 an error, explained on standard error; 3 a method failed or did not converge
(the table says which; the others are printed and written).
"""
PICTURES = ("pdf", "png", "svg")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    model_arguments(parser)
    method = parser.add_argument_group("methods")
    method.add_argument(
        "--methods", required=True, metavar="NAMES", help="registered names with commas between: reml,ml,he"
    )
    method.add_argument(
        "--criterion",
        choices=("reml", "ml"),
        help="the common log-likelihood, and what methods that can maximise either maximise (default: reml, unless all "
        "maximise ml)",
    )
    method.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="METHOD.NAME=VALUE",
        help="an option of one method, e.g. mm.tol=1e-8",
    )
    method.add_argument(
        "--prior",
        action="append",
        default=[],
        metavar="TERM=PRIOR",
        help="prior of a term for the methods that take priors: see 'mixedvc fit --help'",
    )
    run_arguments(method)
    shown = parser.add_argument_group("tables")
    shown.add_argument("--level", type=float, default=0.95, metavar="P", help="of all intervals (default: 0.95)")
    shown.add_argument("--quiet", action="store_true", help="do not print the table")
    shown.add_argument("--explain", action="store_true", help="print first how the formula was read")
    out = parser.add_argument_group("output files")
    out.add_argument("--json", metavar="OUT", help="everything as JSON, unrounded ('-' for standard output)")
    out.add_argument("--csv", metavar="OUT", help="estimates of all methods, one row a method and parameter")
    out.add_argument("--plot", metavar="OUT", help=f"estimates and intervals as a picture ({', '.join(PICTURES)})")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Compare, print, write."""
    from .api import compare

    check_outputs(given, ("json", "csv", "plot"))
    _check_picture(given.plot)
    methods = _methods(given)
    restricted = None if given.criterion is None else given.criterion == "reml"
    _check_level(given.level)
    got = compare(bound(given), methods, restricted=restricted, seed=given.seed, threads=given.threads)
    if not given.quiet and given.json != "-":
        print(got)
    if given.json is not None:
        write_json(got.as_plain(level=given.level), given.json)
    if given.csv is not None:
        write_csv(got.estimates(level=given.level), given.csv)
    if given.plot is not None:
        _picture(got, given.level, given.plot)
    return DONE if got.glance()["converged"].all() else NOT_CONVERGED


def _methods(given: argparse.Namespace) -> dict[str, Any]:
    """Estimator objects by name, those with options configured, before any data are read."""
    from .api import configured

    names = [name.strip() for name in given.methods.split(",") if name.strip()]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise OptionError(f"--methods names {twice!r} twice")
    options: dict[str, dict[str, Any]] = {name: {} for name in names}
    for name, value in values(given.option, "--option").items():
        method, dot, field = name.partition(".")
        if not (dot and field) or method not in options:
            raise OptionError(
                f"--option {name!r}: write METHOD.NAME=VALUE with a method among {', '.join(names) or 'those compared'}"
            )
        options[method][field] = value
    _add_priors(options, given.prior)
    restricted = None if given.criterion is None else given.criterion == "reml"
    return {name: configured(name, options[name], restricted) for name in names}


def _add_priors(options: dict[str, dict[str, Any]], texts: list[str]) -> None:
    """Give the priors to every method that takes some."""
    from .estimators import estimators

    if not texts:
        return
    priors = priors_given(texts)
    takers = [name for name in options if any(field.name == "priors" for field in fields(estimators.get(name)))]
    if not takers:
        raise OptionError("--prior: none of the methods takes priors; name one that does, e.g. gibbs")
    for name in takers:
        options[name].setdefault("priors", priors)


def _check_level(level: float) -> None:
    from .inference.intervals import check_level

    check_level(level)


def _check_picture(path: str | None) -> None:
    """A picture that cannot be made is noticed before the fits."""
    if path is None:
        return
    if Path(path).suffix.lower().lstrip(".") not in PICTURES:
        raise OptionError(f"--plot {path}: the name ends in {', '.join('.' + kind for kind in PICTURES)}")
    try:
        import matplotlib
    except ImportError:
        raise MissingExtra("matplotlib", "plots", "--plot") from None
    matplotlib.use("Agg")  # a file is written, no window is opened


def _picture(got: Any, level: float, path: str) -> None:
    import numpy as np

    figure = np.ravel(got.plot(level=level))[0].figure
    kind = Path(path).suffix.lower().lstrip(".")
    write_file(path, lambda stream: figure.savefig(stream, format=kind, dpi=150))
