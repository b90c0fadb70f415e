"""What the commands share: the options of a model, its table and covariances, files that are written whole."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from .errors import MixedVCError, OptionError

DONE, FAILED, NOT_CONVERGED, INTERRUPTED = 0, 2, 3, 130


def model_arguments(parser: argparse.ArgumentParser) -> None:
    """FORMULA, TABLE and everything that makes a specification of them."""
    parser.add_argument("formula", metavar="FORMULA", help="the model, in quotation marks")
    parser.add_argument("table", metavar="TABLE", help="a file, or the name of a data set")
    model = parser.add_argument_group("model")
    model.add_argument(
        "--cov",
        action="append",
        default=[],
        metavar="A=FILE",
        help="known covariance A: a labelled square matrix (csv, tsv, npz) or a pedigree table (columns id, sire, dam)",
    )
    model.add_argument(
        "--features",
        action="append",
        default=[],
        metavar="G=FILE",
        help="features whose standardised cross-product is the covariance G: a table with the levels in its first "
        "column and a number for each feature (marker, abundance) in the others",
    )
    model.add_argument("--weights", metavar="COLUMN", help="prior weights: residual variance σ²/weight")
    model.add_argument("--offset", metavar="COLUMN", help="a known part of the mean")
    model.add_argument(
        "--residual",
        metavar="STRUCTURE",
        help="of the residual: 'diag(0 + f | rows)' for a variance per level of f, 'ar1(1 | g)' or 'ar1(0 + time | g)' "
        "for serial correlation, 'cs(1 | g)', 'us(0 + time | g)'; among several responses 'us' (default), 'diag', 'cs' "
        "or 'fa(1)'",
    )
    model.add_argument(
        "--missing",
        choices=("omit", "exclude", "fail"),
        default="omit",
        help="rows with missing cells: left out, left out but kept as gaps by row, or an error (default: omit)",
    )
    model.add_argument(
        "--contrasts",
        action="append",
        default=[],
        metavar="F=KIND",
        help="treatment, sum, helmert or poly for factor F",
    )
    model.add_argument("--na", action="append", metavar="TEXT", help="cells that mean missing, instead of NA and empty")
    model.add_argument("--text", action="append", default=[], metavar="COLUMN", help="keep this column as text")


def run_arguments(group: argparse._ArgumentGroup) -> None:
    """How the work is done."""
    group.add_argument("--seed", type=int, metavar="N", help="seed of methods that draw")
    group.add_argument("--threads", type=int, metavar="N", help="threads of the linear algebra")


def bound(arguments: argparse.Namespace) -> Any:
    """The specification; with --explain, how the formula was read is printed first."""
    from .api import model

    spec = model(
        arguments.formula,
        _table(arguments),
        cov=_covariances(arguments) or None,
        weights=arguments.weights,
        offset=arguments.offset,
        residual=arguments.residual,
        missing=arguments.missing,
        contrasts=pairs(arguments.contrasts, "--contrasts") or None,
    )
    if arguments.explain:
        print(spec.explain(), end="\n\n", file=sys.stderr if arguments.json == "-" else sys.stdout)
    return spec


def _covariances(arguments: argparse.Namespace) -> dict[str, Any]:
    from .io.feature_files import FeatureFile

    made: dict[str, Any] = {**pairs(arguments.cov, "--cov")}
    for name, path in pairs(arguments.features, "--features").items():
        if name in made:
            raise OptionError(f"--cov and --features both give {name!r}: give each its own name")
        made[name] = FeatureFile(path)
    return made


def _table(arguments: argparse.Namespace) -> Any:
    from .io.datasets import load_data, names
    from .io.tables import NA, read_table

    plain_name = os.sep not in arguments.table and not Path(arguments.table).exists()
    if plain_name and arguments.table in names():
        return load_data(arguments.table)
    if plain_name and "." not in arguments.table:
        load_data(arguments.table)  # raises: lists the data sets, the nearest first
    return read_table(arguments.table, na=tuple(arguments.na or NA), text=arguments.text)


def pairs(given: Sequence[str], option: str) -> dict[str, str]:
    """``["A=x"]`` as a dictionary."""
    made: dict[str, str] = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not (name.strip() and equals and value.strip()):
            raise OptionError(f"{option} {item!r}: write NAME=VALUE, e.g. {option} A=…")
        if name.strip() in made:
            raise OptionError(f"{option} gives {name.strip()!r} twice")
        made[name.strip()] = value.strip()
    return made


def values(given: Sequence[str], option: str) -> dict[str, Any]:
    """``["a=2", "b=[[1, 0], [0, 1]]", "c=text"]`` with numbers, lists and truth values read as JSON."""
    return {name: _value(text) for name, text in pairs(given, option).items()}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def check_outputs(arguments: argparse.Namespace, options: Sequence[str]) -> None:
    """Two outputs in one file, or a folder that does not exist, are noticed before the work, not after it."""
    seen: dict[str, str] = {}
    for name in options:
        path, option = getattr(arguments, name), name.replace("_", "-")
        if path is None or (option == "json" and path == "-"):
            continue
        folder = Path(path).expanduser().resolve().parent
        if not folder.is_dir():
            raise OptionError(f"--{option} {path}: the folder {str(folder)!r} does not exist")
        where = str(Path(path).expanduser().resolve())
        if where in seen:
            raise OptionError(f"--{seen[where]} and --{option} both write {path!r}")
        if Path(arguments.table).exists() and Path(arguments.table).resolve() == Path(where):
            raise OptionError(f"--{option} would overwrite the table {path!r}")
        seen[where] = option


def write_json(content: Any, path: str) -> None:
    """Unrounded, to a file or (``-``) standard output."""
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    if path == "-":
        print(text, end="")
    else:
        write_file(path, lambda stream: stream.write(text.encode()))


def write_csv(frame: Any, path: str) -> None:
    """A frame without its index; missing cells are NA."""
    write_file(path, lambda stream: stream.write(frame.to_csv(index=False, na_rep="NA").encode()))


def write_file(path: str, write: Callable[[BinaryIO], Any]) -> None:
    """A file that appears whole or not at all."""
    from .io.atomic import write_whole

    write_whole(path, write, MixedVCError)
