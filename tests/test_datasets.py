"""The shipped data sets are what R ships: shapes, levels, sums, and a note of where each comes from."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixedvc.errors import DataError, OptionError
from mixedvc.io import datasets
from mixedvc.io.datasets import load_data, names

from .tolerances import IDENTITY

ROOT = Path(__file__).resolve().parents[1]

# dim() of the R object, and the sum of one numeric column printed by R with 15 digits (na.rm)
IN_R = {
    "sleepstudy": ((180, 3), "Reaction", 53731.4205),
    "dyestuff": ((30, 2), "Yield", 45825.0),
    "dyestuff2": ((30, 2), "Yield", 169.968),
    "penicillin": ((144, 3), "diameter", 3308.0),
    "pastes": ((60, 4), "strength", 3603.2),
    "insteval": ((73421, 7), "y", 235369.0),
    "cbpp": ((56, 4), "incidence", 99.0),
    "orthodont": ((108, 4), "distance", 2594.5),
    "twins": ((3808, 16), "bmi1", 79811.2564),
    "multitrait": ((162, 25), "X3.Butenyl", 442074.0),
    "multitrait_markers": ((162, 118), "PVV4", 248.0),
}


def test_every_data_set_is_listed_once():
    assert names() == sorted(IN_R)


@pytest.mark.parametrize("name", sorted(IN_R))
def test_rows_columns_and_one_sum_are_those_of_r(name):
    shape, column, total = IN_R[name]
    frame = load_data(name)
    assert frame.shape == shape
    np.testing.assert_allclose(frame[column].sum(), total, **IDENTITY)


@pytest.mark.parametrize("name", sorted(IN_R))
def test_no_cell_falls_outside_the_levels_of_its_factor(name):
    for column, values in load_data(name).items():
        if isinstance(values.dtype, pd.CategoricalDtype):
            assert not values.isna().any(), column
            assert all(isinstance(level, str) for level in values.cat.categories), column
            assert set(values.cat.categories) == set(values.unique()), column


def test_levels_stand_in_the_order_of_r():
    insteval = load_data("insteval")
    assert insteval["lectage"].cat.ordered
    assert list(insteval["studage"].cat.categories) == ["2", "4", "6", "8"]
    assert list(insteval["dept"].cat.categories)[:3] == ["15", "5", "10"]
    assert not insteval["dept"].cat.ordered
    assert list(insteval["s"].cat.categories) == [str(i) for i in range(1, 2973)]
    orthodont = load_data("orthodont")
    assert orthodont["Subject"].cat.ordered
    assert list(orthodont["Subject"].cat.categories)[:3] == ["M16", "M05", "M02"]
    assert list(orthodont["Sex"].cat.categories) == ["Male", "Female"]


def test_twins_agree_with_their_codes():
    twins = load_data("twins")
    assert twins["fam"].is_unique
    kinds = np.array(["MZFF", "MZMM", "DZFF", "DZMM", "DZOS"])
    assert (kinds[(twins["zyg"] - 1) % 5] == twins["zygosity"].to_numpy()).all()
    assert ((twins["zyg"] > 5) == (twins["cohort"] == "older")).all()
    both = twins.dropna(subset=["htwt1", "bmi1"])
    np.testing.assert_allclose(
        both["bmi1"], 7 * np.log(both["htwt1"]), rtol=0, atol=8e-5
    )  # both are rounded to four decimals
    np.testing.assert_allclose(both["htwt1"], both["wt1"] / both["ht1"] ** 2, rtol=1e-2, atol=0)


def test_a_caller_may_write_into_the_frame_it_got():
    frame = load_data("dyestuff")
    frame.loc[0, "Yield"] = -1
    assert load_data("dyestuff").loc[0, "Yield"] == 1545


def test_an_unknown_name_lists_the_known_ones_nearest_first():
    with pytest.raises(OptionError, match=r"'sleepstudi'; did you mean 'sleepstudy'\? There are: cbpp, .*twins"):
        load_data("sleepstudi")


@pytest.mark.parametrize("name", [3, None, ["sleepstudy"]])
def test_a_name_that_is_no_text_is_refused_the_same_way(name):
    with pytest.raises(OptionError, match=r"no data set is called .* There are: cbpp"):
        load_data(name)


def test_missing_files_name_the_places_looked_at(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "__file__", str(tmp_path / "mixedvc" / "io" / "datasets.py"))
    with pytest.raises(DataError, match=r"_data nor .*data: install the package again"):
        datasets._folder()


@pytest.mark.parametrize("name", sorted(IN_R))
def test_each_data_set_has_a_note_of_source_citation_licence_and_columns(name):
    text = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, flags=re.M | re.S))
    note = sections[name]
    assert re.search(r"\*\*Source\*\*: .*\d+\.\d+", note)
    assert "**Citation**" in note
    assert re.search(r"\*\*Licence\*\*: (GPL \(≥ 2\)|GPL-3|Apache-2\.0)", note)
    files = re.findall(r"\*\*File\*\*: `([^`]+)`", note)
    assert [(ROOT / "data" / f).is_file() for f in files] == [True]
    rows = [line.split("|")[1] for line in note.splitlines() if line.startswith("| ")]
    described = {column.strip() for row in rows for column in row.split(",")}
    assert set(load_data(name).columns) <= described
