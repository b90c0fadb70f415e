"""Reference numbers of other software: read them, and find their inputs where the licence lets us keep them.

    want = reference("lme4/sleepstudy/slope_correlated")["REML"]
    path = input_or_skip("kinship/wheat/markers.csv.gz")

Numbers always lie beside this file. Inputs that may not be copied are looked for in the folder named by the
environment variable MIXEDVC_REFERENCE_INPUTS (same relative paths); without them the test is skipped and says why.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "data"
VARIABLE = "MIXEDVC_REFERENCE_INPUTS"


def reference(name: str) -> dict[str, Any]:
    """The recorded numbers ``<package>/<data set>/<case>``."""
    path = HERE / f"{name}.json"
    if not path.is_file():
        known = ", ".join(cases(name.split("/")[0])) or "none"
        raise FileNotFoundError(f"no reference numbers are called {name!r}; of this package there are: {known}")
    with open(path, encoding="utf-8") as file:
        numbers: dict[str, Any] = json.load(file)
    return numbers


def cases(package: str = "") -> list[str]:
    """Names that `reference` knows, of one package or of all."""
    found = sorted((HERE / package).rglob("*.json"))
    return [str(path.relative_to(HERE).with_suffix("")) for path in found]


def matrix(block: dict[str, Any]) -> pd.DataFrame:
    """A recorded matrix ``{rows, cols, values}`` as a labelled frame; null becomes NaN."""
    values = np.array(block["values"], dtype=float)
    return pd.DataFrame(values, index=block["rows"], columns=block["cols"])


def input_or_skip(name: str) -> Path:
    """Path of the input file `name` (``"kinship/btdata/data.csv"``; a compressed copy is found as well).

    Looked for beside the numbers, then in ``data/`` (for ``lme4/<data set>/data.csv``), then in the folder
    named by MIXEDVC_REFERENCE_INPUTS. The test that asks is skipped, with the reason, where there is none.
    """
    places = [HERE / name]
    parts = name.split("/")
    if parts[0] == "lme4" and parts[2:] == ["data.csv"]:
        places.append(DATA / f"{parts[1]}.csv")
    if os.environ.get(VARIABLE):
        places.append(Path(os.environ[VARIABLE]) / name)
    for place in places:
        for ending in ("", ".gz", ".xz"):
            path = place.with_name(place.name + ending)
            if path.is_file():
                return path
    pytest.skip(f"input {name} may not be kept in the repository; set {VARIABLE} to a folder that has it")


def read_lower(path: Path) -> np.ndarray[Any, Any]:
    """A symmetric matrix from a file whose line i holds entries 1…i of row i (as ``kinship/wheat/A_lower``)."""
    import gzip

    with gzip.open(path, "rt") if path.suffix == ".gz" else open(path, encoding="utf-8") as file:
        rows = [np.array(line.split(","), dtype=float) for line in file]
    full = np.zeros((len(rows), len(rows)))
    for i, row in enumerate(rows):
        full[i, : i + 1] = full[: i + 1, i] = row
    return full


def standardised_kernel(W: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """VCM's kernel of features W (n×p): centred, divided by their population sd and by the root of p."""
    W = (W - W.mean(0)) / W.std(0)
    return W @ W.T / W.shape[1]


def wheat() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The wheat trial: yields by line, pedigree relationship A and marker relationship G (both labelled by line)."""
    import gzip

    table = pd.read_csv(input_or_skip("kinship/wheat/data.csv"))
    lines = table["line"].tolist()
    A = read_lower(input_or_skip("kinship/wheat/A_lower.csv.gz"))
    with gzip.open(input_or_skip("kinship/wheat/markers.csv.gz"), "rt") as file:
        W = np.genfromtxt(file, delimiter=",", skip_header=1)[:, -1279:]
    W = (W - W.mean(0)) / W.std(0, ddof=1)
    G = W @ W.T / W.shape[1]
    return table, pd.DataFrame(A, lines, lines), pd.DataFrame(G, lines, lines)


def btdata() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The blue tits: records and the relationship A among the 828 measured birds (labelled by animal)."""
    table = pd.read_csv(input_or_skip("kinship/btdata/data.csv"))
    triplets = pd.read_csv(input_or_skip("kinship/btdata/A_triplets_lower.csv"))
    birds = pd.Index(table["animal"])
    i, j = birds.get_indexer(triplets["i"]), birds.get_indexer(triplets["j"])
    A = np.zeros((len(birds), len(birds)))
    A[i, j] = A[j, i] = triplets["a"]
    return table, pd.DataFrame(A, birds, birds)
