"""Paths given as known covariances become covariances, with labels of the type that the data's ids have."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

from ..formula.parse import parse
from ..formula.resolve import resolve
from ..structures import structures
from .feature_files import FeatureFile, read_feature_file
from .labelled import read_covariance

_FILES = (str, PathLike, FeatureFile)


def with_files(formula: str, data: Any, cov: Mapping[str, Any] | None) -> Any:
    """`cov` with every path in it read by `labelled.read_covariance`, every `FeatureFile` as features.

    Text in a file does not say whether ``12`` is a number or a name; the data do.  Labels stay text where the
    grouping factor of the term is text (or an interaction, whose levels are text), and become integers where it holds
    numbers.

    Parameters
    ----------
    formula : str
    data : table
        Anything whose columns ``data[name]`` can be iterated.
    cov : mapping of str to covariance or path, or None
        Returned as it is where no path is in it.

    Raises
    ------
    FormulaError, BindError
        A formula that cannot be read.
    CovarianceError, DataError
        See `labelled.read_covariance`.
    """
    if not isinstance(cov, Mapping) or not any(isinstance(value, _FILES) for value in cov.values()):
        return cov
    files = {name: value for name, value in cov.items() if isinstance(value, _FILES)}
    bars = resolve(parse(formula, structures.names()), _column_names(data), tuple(cov))
    text = {bar.cov for bar in bars if bar.cov in files and _is_text(bar.group, data)}
    return {name: _read(value, name in text) if name in files else value for name, value in cov.items()}


def _read(value: Any, as_text: bool) -> Any:
    if isinstance(value, FeatureFile):
        return read_feature_file(value, as_text=as_text)
    return read_covariance(value, as_text=as_text)


def _column_names(data: Any) -> list[str]:
    names = getattr(data, "column_names", None)
    names = getattr(data, "columns", None) if names is None else names
    return [name for name in (data if names is None else names) if isinstance(name, str)]


def _is_text(group: tuple[str, ...], data: Any) -> bool:
    if len(group) > 1:
        return True
    try:
        cells = data[group[0]]
    except (KeyError, TypeError, ValueError):
        return False
    for cell in cells:
        plain = cell.as_py() if hasattr(cell, "as_py") else cell
        if isinstance(plain, str):
            return True
        if isinstance(plain, int) or getattr(plain, "is_integer", bool)():
            return False
    return False
