"""The program on several responses: missing cells as csv, all numbers as JSON."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from numpy.testing import assert_allclose

from mixedvc.cli import main
from tests.inference import trait_cases as cases
from tests.tolerances import OBJECTIVE


def test_missing_cells_are_written_as_csv_and_fitted_values_record_by_record(capsys, tmp_path):
    _, frame, A = cases.data()
    frame.to_csv(tmp_path / "data.csv", index=False)
    A.to_csv(tmp_path / "A.csv")
    argv = ["fit", "cbind(y1, y2) ~ x + (1|id:A)", tmp_path / "data.csv", "--cov", f"A={tmp_path / 'A.csv'}", "--quiet"]
    code = main([str(a) for a in (*argv, "--impute", tmp_path / "out.csv", "--json", tmp_path / "out.json")])
    fit, _ = cases.fitted(frame.reset_index(drop=True), A, "x + (1|id:A)")
    assert code == 0
    found, want = pd.read_csv(tmp_path / "out.csv"), fit.impute(interval=True)
    assert list(found.columns) == ["record", "trait", "value", "se", "lower", "upper"]
    assert list(found["trait"]) == list(want["trait"])
    numbers = ["record", "value", "se", "lower", "upper"]
    assert_allclose(found[numbers].to_numpy(float), want[numbers].to_numpy(float), **OBJECTIVE)
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert_allclose(np.array(rows["fitted"]), fit.fittedvalues.to_numpy(), **OBJECTIVE)
    assert [[x is None for x in row] for row in rows["resid"]] == frame[["y1", "y2"]].isna().to_numpy().tolist()


def test_missing_cells_of_one_response_are_refused_before_the_fit(capsys, tmp_path):
    _, frame, _ = cases.data()
    frame.to_csv(tmp_path / "data.csv", index=False)
    argv = ["fit", "x ~ 1 + (1|id)", str(tmp_path / "data.csv"), "--impute", str(tmp_path / "out.csv")]
    assert main(argv) != 0
    assert "--impute predicts missing cells of several responses" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()
