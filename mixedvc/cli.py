"""The program ``mixedvc``: its commands, their help, what becomes of errors and warnings; ``mixedvc fit``."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from . import cli_compare as compare
from . import cli_each as each
from . import cli_translate as translate
from .cli_priors import sampler_arguments, sampler_options
from .cli_shared import (
    DONE,
    FAILED,
    INTERRUPTED,
    NOT_CONVERGED,
    bound,
    check_outputs,
    model_arguments,
    run_arguments,
    values,
    write_csv,
    write_json,
)
from .errors import MixedVCError, MixedVCWarning, OptionError

_ABOUT = """\
Fit variance-components mixed models with lme4 formulas and known covariances.

  mixedvc fit FORMULA TABLE                     fit a model, print its summary, write results
  mixedvc compare FORMULA TABLE --methods A,B   fit it by several methods, print them side by side
  mixedvc fit-each FORMULA TABLE …              fit it to each of many responses, write a row for each
  mixedvc translate CODE                        the Python for R code of lme4 and nlme
  mixedvc data                                  list the data sets that come with mixedvc
  mixedvc fit --help                            all options, the formula language and examples
"""

_FIT = """\
Fit a mixed model and print its summary.

FORMULA is lme4's, in quotation marks, plus known covariances:
  y ~ x + (1 | g)               one effect for every level of g
  y ~ x + (x | g)               intercept and slope of x, correlated
  y ~ x + (x || g)              … uncorrelated
  y ~ x + (1 | a/b)             b within a
  y ~ x + (1 | id:A)            levels of id have the covariance A given by --cov A=FILE
  y ~ x + (1 | gr(id, cov=A))   the same, spelt out
  cbind(y1, y2) ~ x + (1 | id:A)
                                two responses: effects of x on each, covariances between them in every random term
                                and in the residual; common(z) is one effect of z on both, at(y1, z) on y1 alone;
                                diag(1 | g), fa(1 | g, 1) have fewer covariances. A cell may be missing.

TABLE is a csv, tsv or parquet file (compressed or not; it is recognised by its content), or the name of a data set that
comes with mixedvc (see 'mixedvc data'). The first line names the columns. 'NA' and empty cells are missing. Columns of
numbers are numbers, others factors; numbers padded with zeros (007) stay text; C(x) in the formula makes a factor of x.
"""

_EXAMPLES = """\
examples:
  mixedvc fit "Reaction ~ Days + (Days | Subject)" sleepstudy
  mixedvc fit "yield ~ block + (1 | line:G)" trial.csv --cov G=kinship.csv.gz --json fit.json
  mixedvc fit "weight ~ sex + (1 | animal:A)" calves.csv --cov A=pedigree.csv
  mixedvc fit "yield ~ block + (1 | line:G)" trial.csv --features G=markers.csv --feature-effects effects.csv
  mixedvc fit "y ~ x + (1 | g)" table.tsv --method ml --df normal --tidy fit.csv --ranef blups.csv
  mixedvc fit "cbind(yield, height) ~ block + (1 | line:G)" trial.csv --cov G=kinship.csv.gz --residual diag
  mixedvc fit "weight ~ sex + (1 | animal:A)" calves.csv --cov A=pedigree.csv \\
      --fixed-varcomp animal=20 --fixed-varcomp residual=40
  mixedvc fit "weight ~ sex + (1 | animal:A)" calves.csv --cov A=pedigree.csv --method gibbs --seed 1 \\
      --prior 'animal=half_t(3, 5)' --prior 'residual=half_t(3, 5)' --draws 2000 --save fit.mvc

exit status: 0 fitted; 2 an error, explained on standard error; 3 the method did not converge (results are
still printed and written). Warnings go to standard error, one line each.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of the process by default.

    Returns
    -------
    int
        0 done, 2 an error (one message on standard error), 3 not converged, 130 interrupted.
    """
    parser = _parser()
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    if not hasattr(arguments, "run"):
        parser.print_help()
        return DONE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", MixedVCWarning)
            warnings.showwarning = _show_warning
            status = int(arguments.run(arguments))
            sys.stdout.flush()  # here, where a closed pipe is understood
            return status
    except MixedVCError as error:
        print(f"mixedvc: error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("mixedvc: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `mixedvc … | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    text = " ".join(str(message).split())
    print(f"mixedvc: warning: {text}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="mixedvc", description=_ABOUT, formatter_class=form, usage="mixedvc COMMAND …"
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(name: str, usage: str, what: str, about: str, examples: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            prog=f"mixedvc {name}",
            usage=f"mixedvc {name} {usage}",
            help=what,
            description=about,
            epilog=examples,
            formatter_class=form,
            allow_abbrev=False,
        )

    fit = command("fit", "FORMULA TABLE [options]", "fit a model", _FIT, _EXAMPLES)
    _fit_arguments(fit)
    fit.set_defaults(run=_fit)
    for module, name, usage, what in (
        (compare, "compare", "FORMULA TABLE --methods NAMES [options]", "fit a model by several methods"),
        (each, "fit-each", "FORMULA TABLE --responses FILE [options]", "fit a model to each of many responses"),
        (translate, "translate", "CODE [--output OUT]", "the Python for R code"),
    ):
        module.arguments(command(name, usage, what, module.ABOUT, module.EXAMPLES))
    data = commands.add_parser(
        "data", help="list the data sets", description="List the data sets that come with mixedvc."
    )
    data.set_defaults(run=_data)
    return parser


class _Version(argparse.Action):
    """Look the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from .io.archive import versions

        print(f"mixedvc {versions()['mixedvc']}")
        parser.exit()


def _fit_arguments(parser: argparse.ArgumentParser) -> None:
    model_arguments(parser)
    method = parser.add_argument_group("method")
    method.add_argument(
        "--method", default="reml", metavar="NAME", help="reml (default), ml or another registered name"
    )
    method.add_argument(
        "--fixed-varcomp", action="append", default=[], metavar="TERM=VALUE", help="hold a component at a value"
    )
    method.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the method, e.g. tol=1e-10"
    )
    run_arguments(method)
    sampler_arguments(parser)
    shown = parser.add_argument_group("tables")
    shown.add_argument(
        "--df",
        metavar="KIND",
        help="satterthwaite (default), kenward-roger, residual or normal: tests of fixed effects",
    )
    shown.add_argument("--level", type=float, default=0.95, metavar="P", help="of all intervals (default: 0.95)")
    shown.add_argument(
        "--interval",
        metavar="KIND",
        help="chi2 (default), wald, profile (likelihood), boot or percentile: intervals of variances; of a sampled "
        "posterior hdi (default) or quantile, of everything",
    )
    shown.add_argument("--quiet", action="store_true", help="do not print the summary")
    shown.add_argument("--explain", action="store_true", help="print first how the formula was read")
    out = parser.add_argument_group("output files")
    out.add_argument("--json", metavar="OUT", help="all results as JSON, unrounded ('-' for standard output)")
    out.add_argument("--tidy", metavar="OUT", help="fixed effects and variance components as csv")
    out.add_argument("--ranef", metavar="OUT", help="predicted random effects as csv")
    out.add_argument("--feature-effects", metavar="OUT", help="predicted effects of all --features as csv")
    out.add_argument("--impute", metavar="OUT", help="missing cells of several responses, predicted, as csv")
    out.add_argument("--save", metavar="OUT", help="the fit itself, for mixedvc.load in Python (usually .mvc)")


def _data(arguments: argparse.Namespace) -> int:
    from .io.datasets import load_data, names

    listed = [(name, load_data(name)) for name in names()]
    width = max(len(name) for name, _ in listed)
    for name, frame in listed:
        print(f"{name:<{width}}  {len(frame):>6} rows: {', '.join(frame.columns)}")
    print("\nUse a name in the place of TABLE, or mixedvc.load_data(name) in Python. Sources: data/README.md")
    return DONE


def _fit(arguments: argparse.Namespace) -> int:
    from .api import fit_spec

    check_outputs(arguments, ("json", "tidy", "ranef", "feature_effects", "impute", "save"))
    if arguments.feature_effects is not None and not arguments.features:
        raise OptionError("--feature-effects writes effects of features: give them with --features G=FILE")
    spec = bound(arguments)
    if arguments.impute is not None and spec.traits is None:
        raise OptionError("--impute predicts missing cells of several responses, and the formula has one")
    results = fit_spec(
        spec,
        arguments.method,
        fixed_varcomp=values(arguments.fixed_varcomp, "--fixed-varcomp") or None,
        threads=arguments.threads,
        seed=arguments.seed,
        **_options(arguments),
    )
    _write(results, arguments)
    return DONE if results.converged else NOT_CONVERGED


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fields of the estimator, each given once."""
    plain, sampler = values(arguments.option, "--option"), sampler_options(arguments)
    twice = next((name for name in plain if name in sampler), None)
    if twice is not None:
        raise OptionError(f"--option {twice}=… and --{twice.replace('_', '-')} give the same option: leave one out")
    return plain | sampler


def _write(results: Any, arguments: argparse.Namespace) -> None:
    from .results.features import effects_table
    from .results.plain import as_plain

    said = _tables(results, arguments)
    if not arguments.quiet and arguments.json != "-":
        print(results.summary(**said))
    if arguments.json is not None:
        write_json(as_plain(results, **said), arguments.json)
    if arguments.tidy is not None:
        write_csv(results.tidy(conf_int=True, **said), arguments.tidy)
    if arguments.ranef is not None:
        write_csv(results.tidy("ran_vals", conf_int=True, level=arguments.level), arguments.ranef)
    if arguments.feature_effects is not None:
        write_csv(effects_table(results), arguments.feature_effects)
    if arguments.impute is not None:
        write_csv(results.impute(interval=True, level=arguments.level), arguments.impute)
    if arguments.save is not None:
        results.save(arguments.save)


def _tables(results: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """How tables are made: tests of fixed effects have degrees of freedom, draws have none."""
    from .estimators.base import PosteriorEstimate

    said: dict[str, Any] = {"level": arguments.level}
    if not isinstance(results.estimate, PosteriorEstimate):
        return {**said, "df": arguments.df or "satterthwaite", "interval": arguments.interval}
    if arguments.df is not None:
        raise OptionError(f"--df {arguments.df}: tests by t and F are of estimates, draws have none; leave --df out")
    return said | ({} if arguments.interval is None else {"interval": arguments.interval})


if __name__ == "__main__":
    sys.exit(main())
