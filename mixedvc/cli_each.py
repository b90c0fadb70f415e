"""``mixedvc fit-each FORMULA TABLE --responses FILE``: one specification, many responses."""

from __future__ import annotations

import argparse
from fnmatch import fnmatchcase
from typing import Any

from .cli_shared import (
    DONE,
    NOT_CONVERGED,
    _covariances,
    _table,
    check_outputs,
    model_arguments,
    pairs,
    run_arguments,
    values,
    write_csv,
)
from .errors import DataError, OptionError

ABOUT = """\
Fit one model to each of many responses (genes, metabolites, phenotypes) and write a row for each.

FORMULA is the right-hand side, "~ age + sex + (1 | id:K)", in the language of 'mixedvc fit'; TABLE has the covariates.
The responses are columns of TABLE (--columns) or of a file of their own (--responses), whose rows are those of TABLE in
order, or are matched to it by labels (--id).
"""

EXAMPLES = """\
examples:
  mixedvc fit-each "~ sex + (1 | mouse:K)" mice.csv --cov K=kinship.csv.gz --columns "bw,glucose,ins*" --csv fits.csv
  mixedvc fit-each "~ age + (1 | id:K)" people.csv --cov K=grm.npz --responses expression.parquet --id id --csv eqtl.csv
  mixedvc fit-each "~ (1 | id:K)" people.csv --cov K=grm.npz --responses genes_by_samples.tsv.gz --transpose --id id \\
      --method ml --df normal --csv h2.csv

exit status: 0 every response fitted; 2 an error, explained on standard error; 3 some responses were not fitted or did
not converge (the rows say which; the others are written).
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    model_arguments(parser)
    given = parser.add_argument_group("responses")
    given.add_argument("--responses", metavar="FILE", help="a table with a column for each response")
    given.add_argument(
        "--columns", metavar="NAMES", help="columns of TABLE, with commas between; * stands for anything"
    )
    given.add_argument(
        "--id", metavar="COLUMN", help="column of TABLE with the labels of rows, the first column of --responses"
    )
    given.add_argument(
        "--transpose", action="store_true", help="--responses has a row for each response and a column for each label"
    )
    method = parser.add_argument_group("method")
    method.add_argument(
        "--method", default="reml", metavar="NAME", help="reml (default), ml or another registered name"
    )
    method.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the method, e.g. tol=1e-10"
    )
    method.add_argument(
        "--information", default="auto", metavar="KIND", help="expected, average or observed: behind standard errors"
    )
    method.add_argument(
        "--df",
        default="satterthwaite",
        metavar="KIND",
        help="satterthwaite (default), kenward-roger, residual or normal: tests of fixed effects",
    )
    run_arguments(method)
    method.add_argument("--workers", type=int, default=1, metavar="N", help="processes for fits one after the other")
    shown = parser.add_argument_group("tables")
    shown.add_argument("--level", type=float, default=0.95, metavar="P", help="of all intervals (default: 0.95)")
    shown.add_argument("--quiet", action="store_true", help="do not print the summary")
    out = parser.add_argument_group("output files")
    out.add_argument("--csv", metavar="OUT", help="everything, one row a response")
    out.add_argument("--fixed", metavar="OUT", help="fixed effects, one row a response and coefficient")
    out.add_argument("--variances", metavar="OUT", help="variance components, one row a response and component")
    out.add_argument("--ranef", metavar="OUT", help="predicted random effects of the only term, levels by responses")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Fit, print, write."""
    from .each import fit_each

    check_outputs(given, ("csv", "fixed", "variances", "ranef"))
    if (given.responses is None) == (given.columns is None):
        raise OptionError("give the responses by --responses FILE or by --columns NAMES (one of them)")
    if given.transpose and (given.responses is None or given.id is None):
        raise OptionError("--transpose is about --responses FILE, and needs --id COLUMN to match its columns to rows")
    data = _table(given)
    if given.id is not None:
        data = _labelled(data, given.id)
    got = fit_each(
        _columns(given.columns, data) if given.responses is None else _responses(given),
        given.formula,
        data,
        cov=_covariances(given) or None,
        method=given.method,
        weights=given.weights,
        offset=given.offset,
        residual=given.residual,
        missing=given.missing,
        contrasts=pairs(given.contrasts, "--contrasts") or None,
        information=given.information,
        df=given.df,
        level=given.level,
        seed=given.seed,
        threads=given.threads,
        workers=given.workers,
        **values(given.option, "--option"),
    )
    if not given.quiet:
        print(got.summary())
    for path, frame in ((given.csv, "frame"), (given.fixed, "fixed"), (given.variances, "variances")):
        if path is not None:
            write_csv(getattr(got, frame), path)
    if given.ranef is not None:
        write_csv(_flat(got.blups()), given.ranef)
    return DONE if not got.interrupted and bool(got.frame["converged"].all()) else NOT_CONVERGED


def _labelled(data: Any, column: str) -> Any:
    """The table with its row labels as text in the index; the column stays."""
    if column not in data.columns:
        raise OptionError(f"--id {column!r}: the table has no such column; it has {', '.join(map(str, data.columns))}")
    return data.set_index(data[column].astype(str).rename(None))


def _columns(names: str, data: Any) -> list[str]:
    """Columns of the table that a list of names and patterns means, in the table's order of each pattern."""
    chosen: list[str] = []
    for pattern in (name.strip() for name in names.split(",")):
        found = [column for column in map(str, data.columns) if fnmatchcase(column, pattern)]
        if pattern and not found:
            raise OptionError(f"--columns {pattern!r}: the table has no such column; it has {', '.join(data.columns)}")
        chosen += [column for column in found if column not in chosen]
    return chosen


def _responses(given: argparse.Namespace) -> Any:
    from .io.tables import NA, read_table

    table = read_table(given.responses, na=tuple(given.na or NA), text=())
    if given.id is None:
        return table
    if type(table.index).__name__ != "RangeIndex":  # a first column without a name holds the labels already
        return table.T if given.transpose else table.set_axis(table.index.astype(str), axis=0)
    if table.shape[1] < 2:
        raise DataError(f"{given.responses}: a column of labels and at least one response are needed")
    first = given.id if given.id in table.columns and not given.transpose else table.columns[0]
    table = table.set_index(table[first].astype(str).rename(None)).drop(columns=first)
    return table.T if given.transpose else table


def _flat(blups: Any) -> Any:
    """Levels as a column; the names of responses (and effects) in one line."""
    names = [" ".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in blups.columns]
    level = str(blups.index.name or "level")
    return blups.set_axis(names, axis=1).rename_axis(index=level).reset_index()
