"""The data sets that come with mixedvc: csv files with their factor levels kept beside them."""

from __future__ import annotations

import difflib
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError, OptionError

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = (".csv", ".csv.xz")


def names() -> list[str]:
    """Names of the data sets that `load_data` knows, in alphabetical order.

    Examples
    --------
    >>> from mixedvc.io.datasets import names
    >>> "sleepstudy" in names()
    True
    """
    return sorted(_levels())


def load_data(name: str) -> pd.DataFrame:
    """One of the data sets that come with the package.

    Parameters
    ----------
    name : str
        ``"sleepstudy"``, ``"dyestuff"``, ``"dyestuff2"``, ``"penicillin"``, ``"pastes"``, ``"insteval"``, ``"cbpp"``,
        ``"orthodont"``, ``"twins"``, ``"multitrait"`` or ``"multitrait_markers"``. What each holds, its units,
        citation and licence: ``data/README.md``.

    Returns
    -------
    DataFrame
        Factors are categoricals of strings with the levels in R's order, ordered where R's factor is;
        everything else is a number or text. A new frame at each call.

    Raises
    ------
    OptionError
        No data set of that name; the message lists them.
    DataError
        The files are not where the package was installed.

    Examples
    --------
    >>> from mixedvc.io.datasets import load_data
    >>> load_data("sleepstudy").shape
    (180, 3)
    """
    import pandas as pd

    if not isinstance(name, str) or name not in _levels():
        raise OptionError(_unknown(name))
    factors = _levels()[name]
    frame = pd.read_csv(_file(name), dtype=dict.fromkeys(factors, str))
    for column, factor in factors.items():
        kind = pd.CategoricalDtype(factor["levels"], ordered=factor["ordered"])
        frame[column] = frame[column].astype(kind)
    return frame


def _unknown(name: object) -> str:
    near = difflib.get_close_matches(str(name).lower(), names(), n=1)
    meant = f"; did you mean {near[0]!r}?" if near else "."
    return f"no data set is called {name!r}{meant} There are: {', '.join(names())}"


@cache
def _levels() -> dict[str, dict[str, dict[str, Any]]]:
    """Factors of each data set: {name: {column: {"ordered": bool, "levels": [...]}}}."""
    with open(_folder() / "levels.json", encoding="utf-8") as file:
        found: dict[str, dict[str, dict[str, Any]]] = json.load(file)
    return found


def _folder() -> Path:
    """The folder of the files: inside the installed package, or in the checkout of an editable install."""
    package = Path(__file__).resolve().parent.parent
    places = (package / "_data", package.parent / "data")
    for place in places:
        if (place / "levels.json").is_file():
            return place
    raise DataError(
        f"the data sets of mixedvc are in neither {places[0]} nor {places[1]}: "
        "install the package again (pip install --force-reinstall mixedvc)"
    )


def _file(name: str) -> Path:
    for ending in ENDINGS:
        path = _folder() / f"{name}{ending}"
        if path.is_file():
            return path
    raise DataError(f"the file of data set {name!r} is missing in {_folder()}: install the package again")
