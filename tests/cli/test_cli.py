"""The command line: the numbers of the Python call, files that read back, one clear message for every mistake."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc import cli

from ..tolerances import IDENTITY, OBJECTIVE, printed

SLOPES = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def sleep():
    return mv.fit(SLOPES, mv.load_data("sleepstudy"))


@pytest.fixture
def kin(tmp_path):
    """A table with padded ids and a kinship beside it."""
    rng = np.random.default_rng(4)
    ids = [f"{i:03d}" for i in range(15)]
    B = rng.standard_normal((15, 50))
    A = pd.DataFrame(B @ B.T / 50, ids, ids)
    data = pd.DataFrame({"id": np.repeat(ids, 4), "x": rng.standard_normal(60), "w": rng.uniform(0.5, 2, 60)})
    data["y"] = data.x + np.repeat(B[:, 0], 4) + rng.standard_normal(60)
    data.to_csv(tmp_path / "data.csv", index=False)
    A.to_csv(tmp_path / "A.csv.gz")
    return data, A, tmp_path


def run(capsys, *argv):
    code = cli.main([str(argument) for argument in argv])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def test_a_shipped_data_set_is_fitted_and_its_summary_printed(capsys, sleep):
    code, out, err = run(capsys, "fit", SLOPES, "sleepstudy")
    assert (code, err) == (0, "")
    assert out.strip() == str(sleep.summary()).strip()


def test_a_csv_file_gives_the_same_fit_as_the_data_set(capsys, sleep, tmp_path):
    mv.load_data("sleepstudy").to_csv(tmp_path / "s.csv", index=False)
    code, out, _ = run(capsys, "fit", SLOPES, tmp_path / "s.csv", "--json", "-")
    assert code == 0
    np.testing.assert_allclose(json.loads(out)["fit"]["loglik"], sleep.llf, **OBJECTIVE)


def test_the_residual_has_the_structure_asked_for(capsys):
    want = mv.fit("distance ~ age * Sex + (1 | Subject)", mv.load_data("orthodont"), residual="diag(0 + Sex | rows)")
    argv = ["fit", "distance ~ age * Sex + (1 | Subject)", "orthodont", "--residual", "diag(0 + Sex | rows)"]
    code, out, err = run(capsys, *argv)
    assert (code, err) == (0, "")
    assert out.strip() == str(want.summary()).strip()
    code, _, err = run(capsys, *argv[:-1], "ar1(Sex | Subject)")
    assert code != 0
    assert "write 0 + Sex left of the bar" in err
    assert "^^^" in err


def test_json_holds_every_number_unrounded(capsys, sleep, tmp_path):
    assert run(capsys, "fit", SLOPES, "sleepstudy", "--quiet", "--json", tmp_path / "o.json") == (0, "", "")
    got = json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))
    assert got["fit"]["loglik"] == sleep.llf
    assert (got["fit"]["aic"], got["fit"]["bic"], got["fit"]["converged"]) == (sleep.aic, sleep.bic, True)
    assert [row["coef"] for row in got["fixed"]] == sleep.params.tolist()
    assert [row["se"] for row in got["fixed"]] == sleep.bse.tolist()
    np.testing.assert_allclose([[r["lower"], r["upper"]] for r in got["fixed"]], sleep.conf_int(), **IDENTITY)
    np.testing.assert_allclose([row["p"] for row in got["fixed"]], sleep.pvalues, **IDENTITY)
    np.testing.assert_array_equal(got["cov_fixed"]["matrix"], sleep.cov_params())
    for column in ("variance", "sd", "se", "lower", "upper", "share"):
        assert [row[column] for row in got["varcomp"]] == sleep.varcomp[column].tolist()
    np.testing.assert_array_equal(got["cov_varcomp"]["matrix"], sleep.cov_varcomp())
    np.testing.assert_array_equal(got["random"]["Subject"]["estimate"], sleep.random_effects["Subject"])
    np.testing.assert_array_equal(
        got["random"]["Subject"]["conditional_variance"], sleep.conditional_variances["Subject"]
    )
    assert got["random"]["Subject"]["levels"] == sleep.random_effects["Subject"].index.tolist()
    assert got["rows"]["fitted"] == sleep.fittedvalues.tolist()
    assert got["rows"]["resid"] == sleep.resid.tolist()
    assert got["model"]["formula"] == SLOPES
    assert len(got["trace"]) == len(sleep.estimate.trace)


def test_json_of_a_singular_fit_has_null_where_there_is_no_number(capsys):
    code, out, err = run(capsys, "fit", "Yield ~ 1 + (1 | Batch)", "dyestuff2", "--json", "-")
    assert code == 0
    first = json.loads(out)["varcomp"][0]
    assert (first["variance"], first["se"], first["boundary"]) == (0.0, None, True)
    assert err.startswith("mixedvc: warning: singular fit")
    assert err.count("\n") == 1


def test_tidy_ranef_and_the_saved_model_read_back(capsys, sleep, tmp_path):
    paths = {name: tmp_path / name for name in ("t.csv", "r.csv", "m.mvc")}
    code, out, _ = run(
        capsys,
        "fit",
        SLOPES,
        "sleepstudy",
        "--tidy",
        paths["t.csv"],
        "--ranef",
        paths["r.csv"],
        "--save",
        paths["m.mvc"],
    )
    assert code == 0
    assert "Linear mixed model" in out
    tidy = pd.read_csv(paths["t.csv"])
    np.testing.assert_array_equal(tidy["estimate"], sleep.tidy()["estimate"])
    assert {"conf.low", "conf.high"} <= set(tidy.columns)
    ranef = pd.read_csv(paths["r.csv"])
    np.testing.assert_array_equal(ranef["estimate"], sleep.random_effects["Subject"].to_numpy().T.ravel())
    assert mv.load(paths["m.mvc"]).llf == sleep.llf


def test_a_covariance_from_a_file_meets_padded_ids(capsys, kin):
    data, A, folder = kin
    want = mv.fit("y ~ x + (1 | id:A)", data, cov={"A": A}, weights="w", method="ml")
    argv = ["fit", "y ~ x + (1 | id:A)", folder / "data.csv", "--cov", f"A={folder / 'A.csv.gz'}", "--json", "-"]
    code, out, err = run(capsys, *argv, "--weights", "w", "--method", "ml")
    assert (code, err) == (0, "")
    got = json.loads(out)
    np.testing.assert_allclose(got["fit"]["loglik"], want.llf, **OBJECTIVE)
    assert got["random"]["id"]["levels"] == A.index.tolist()


def test_mrode_s_pedigree_at_given_components(capsys, tmp_path):
    """Mrode (2014), Linear Models for the Prediction of Animal Breeding Values, Example 3.1."""
    (tmp_path / "ped.csv").write_text("calf,sire,dam\n1,,\n2,,\n3,,\n4,1,\n5,3,2\n6,1,2\n7,4,5\n8,3,6\n")
    (tmp_path / "calves.csv").write_text("animal,sex,gain\n4,M,4.5\n5,F,2.9\n6,F,3.9\n7,M,3.5\n8,M,5.0\n")
    code, out, err = run(
        capsys,
        *("fit", "gain ~ 0 + sex + (1 | animal:A)", tmp_path / "calves.csv", "--cov", f"A={tmp_path / 'ped.csv'}"),
        *("--fixed-varcomp", "animal=20", "--fixed-varcomp", "residual=40", "--json", "-"),
    )
    assert code == 0, err
    got = json.loads(out)
    np.testing.assert_allclose(sorted(row["coef"] for row in got["fixed"]), [3.4044, 4.3585], **printed(4))
    u = dict(zip(got["random"]["animal"]["levels"], np.ravel(got["random"]["animal"]["estimate"]), strict=True))
    want = [0.0984, -0.0188, -0.0411, -0.0087, -0.1857, 0.1769, -0.2495, 0.1826]
    np.testing.assert_allclose([u[i] for i in range(1, 9)], want, **printed(4))


def test_options_of_the_model_and_the_method_reach_the_fit(capsys, tmp_path):
    frame = mv.load_data("orthodont").assign(
        Subject=lambda d: d["Subject"].astype(str), Sex=lambda d: d["Sex"].astype(str)
    )
    frame["o"] = 0.1 * frame["age"]
    frame.to_csv(tmp_path / "d.csv", index=False, na_rep="NA")
    want = mv.fit("distance ~ Sex + (1 | Subject)", frame, offset="o", contrasts={"Sex": "sum"}, tol=1e-6, max_iter=50)
    code, out, _ = run(
        capsys,
        *("fit", "distance ~ Sex + (1 | Subject)", tmp_path / "d.csv", "--offset", "o", "--contrasts", "Sex=sum"),
        *("--option", "tol=1e-6", "--option", "max_iter=50", "--df", "residual", "--level", "0.9", "--json", "-"),
    )
    got = json.loads(out)
    assert code == 0
    np.testing.assert_allclose(got["fit"]["loglik"], want.llf, **OBJECTIVE)
    assert [row["name"] for row in got["fixed"]] == list(want.spec.x_names)
    assert {row["df"] for row in got["fixed"]} == {want.df_resid}
    np.testing.assert_allclose(
        [[row["lower"], row["upper"]] for row in got["fixed"]], want.conf_int(0.1, df="residual"), **OBJECTIVE
    )


def test_missing_cells_are_counted_padded_or_refused(capsys, tmp_path):
    frame = mv.load_data("dyestuff").assign(Batch=lambda d: d["Batch"].astype(str))
    frame["Yield"] = frame["Yield"].astype(float)
    frame.loc[2, "Yield"] = np.nan
    frame.to_csv(tmp_path / "d.csv", index=False, na_rep=".")
    argv = ["fit", "Yield ~ 1 + (1 | Batch)", tmp_path / "d.csv", "--na", "."]
    code, out, err = run(capsys, *argv, "--missing", "exclude", "--json", "-")
    assert code == 0
    assert json.loads(out)["rows"]["resid"][2] is None
    assert err.startswith("mixedvc: warning: 1 of 30")
    code, _, err = run(capsys, *argv, "--missing", "fail")
    assert code == 2
    assert "Yield 1" in err


def test_text_keeps_a_column_of_numbers_as_a_factor(capsys, tmp_path):
    (tmp_path / "d.csv").write_text("g,f,y\n" + "".join(f"{i // 4},{i % 2},{i * i % 7}\n" for i in range(24)))
    _, out, _ = run(capsys, "fit", "y ~ f + (1 | g)", tmp_path / "d.csv", "--json", "-", "--text", "f")
    assert [row["name"] for row in json.loads(out)["fixed"]][1] != "f"


def test_explain_says_how_the_formula_was_read(capsys):
    _, out, _ = run(capsys, "fit", SLOPES, "sleepstudy", "--explain", "--quiet")
    assert "Random term 'Subject': (1 + Days | Subject)" in out
    _, out, err = run(capsys, "fit", SLOPES, "sleepstudy", "--explain", "--json", "-")
    json.loads(out)
    assert "Random term 'Subject'" in err


def test_a_fit_that_did_not_converge_is_printed_with_status_3(capsys):
    argv = ["--option", "max_iter=1", "--option", 'start={"Subject": [[1, 0], [0, 1]]}']
    code, out, err = run(capsys, "fit", SLOPES, "sleepstudy", *argv)
    assert code == 3
    assert "Linear mixed model" in out
    assert "mixedvc: warning: reml did not converge" in err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["Reaction ~ Dayz + (1 | Subject)", "sleepstudy"], "no column is called 'Dayz'; did you mean 'Days'"),
        (["Reaction ~ Days + (1 | Subject", "sleepstudy"], "never closed\n    Reaction ~ Days + (1 | Subject\n"),
        ([SLOPES, "sleepstudi"], "did you mean 'sleepstudy'"),
        ([SLOPES, "nowhere/table.csv"], "the folder 'nowhere' does not exist"),
        ([SLOPES, "table.csv"], "there is no file 'table.csv'"),
        ([SLOPES, "sleepstudy", "--method", "rem"], "no estimator is called 'rem'"),
        ([SLOPES, "sleepstudy", "--df", "kr"], "kr"),
        ([SLOPES, "sleepstudy", "--level", "95"], "strictly between 0 and 1"),
        ([SLOPES, "sleepstudy", "--threads", "0"], "threads=0"),
        ([SLOPES, "sleepstudy", "--option", "speed=9"], "'speed': no option"),
        ([SLOPES, "sleepstudy", "--option", "tol"], "--option 'tol': write NAME=VALUE"),
        ([SLOPES, "sleepstudy", "--cov", "A=x.csv", "--cov", "A=y.csv"], "--cov gives 'A' twice"),
        (["Reaction ~ 1 + (1 | Subject:A)", "sleepstudy", "--cov", "A=none.csv"], "there is no file 'none.csv'"),
        ([SLOPES, "sleepstudy", "--fixed-varcomp", "Subjects=3"], "'Subjects', which is no term"),
        ([SLOPES, "sleepstudy", "--json", "nowhere/o.json"], "--json nowhere/o.json: the folder"),
        ([SLOPES, "sleepstudy", "--json", "o", "--tidy", "o"], "--json and --tidy both write 'o'"),
        (["Reaction ~ __import__('os') + (1 | Subject)", "sleepstudy"], "__import__"),
    ],
)
def test_a_mistake_is_one_message_and_status_2(capsys, tmp_path, monkeypatch, argv, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "fit", *argv)
    assert (code, out) == (2, "")
    assert err.startswith("mixedvc: error: ")
    assert message in err
    assert not list(tmp_path.iterdir())


def test_the_table_is_never_overwritten(capsys, kin):
    _, _, folder = kin
    before = (folder / "data.csv").read_bytes()
    code, _, err = run(capsys, "fit", "y ~ x + (1 | id)", folder / "data.csv", "--tidy", folder / "data.csv")
    assert code == 2
    assert "--tidy would overwrite the table" in err
    assert (folder / "data.csv").read_bytes() == before


def test_wrong_usage_is_explained_by_argparse(capsys):
    code, _, err = run(capsys, "fit", "y ~ 1")
    assert code == 2
    assert "mixedvc fit: error: the following arguments are required: TABLE" in err
    code, _, err = run(capsys, "fits")
    assert code == 2
    assert "invalid choice: 'fits'" in err


def test_help_version_and_the_list_of_data_sets(capsys):
    code, out, _ = run(capsys, "--version")
    assert (code, out) == (0, f"mixedvc {mv.__version__}\n")
    assert run(capsys, "--help")[0] == 0
    assert "commands:" in run(capsys)[1]
    code, out, _ = run(capsys, "fit", "--help")
    assert code == 0
    for word in ("examples:", "--cov A=FILE", "(1 | id:A)", "exit status", "pedigree"):
        assert word in out
    code, out, _ = run(capsys, "data")
    assert code == 0
    assert "sleepstudy 180 rows: Reaction, Days, Subject" in " ".join(out.split())


def test_every_option_is_in_the_help(capsys):
    parser = next(a for a in cli._parser()._actions if getattr(a, "choices", None)).choices["fit"]
    for action in parser._actions:
        assert action.help, action.option_strings


def test_the_module_runs_as_a_program_and_a_closed_pipe_is_quiet():
    command = [sys.executable, "-m", "mixedvc", "data"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "sleepstudy" in done.stdout
    read, write = os.pipe()
    os.close(read)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    broken = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, env=buffered)
    os.close(write)
    assert (broken.returncode, broken.stderr) == (0, "")


@pytest.fixture
def markers(kin):
    """The individuals' features beside their records."""
    data, _, folder = kin
    W = pd.DataFrame(
        np.random.default_rng(9).binomial(2, 0.4, (15, 8)), data["id"].unique(), [f"m{j}" for j in range(8)]
    )
    W.to_csv(folder / "W.csv", index_label="line")
    return data, W, folder


def test_features_from_a_file_and_their_effects(capsys, markers):
    data, W, folder = markers
    formula, out = "y ~ x + (1 + x | id:G)", folder / "effects.csv"
    argv = ("fit", formula, folder / "data.csv", "--features", f"G={folder / 'W.csv'}")
    code, text, err = run(capsys, *argv, "--feature-effects", out)
    fit = mv.fit(formula, data, cov={"G": mv.Features(W)})
    assert code == 0
    assert "features" not in err
    assert text.strip() == str(fit.summary()).strip()
    found = pd.read_csv(out)
    assert list(found.columns) == ["term", "on", "feature", "effect", "standardised"]
    want = fit.feature_effects()
    for name in ("Intercept", "x"):
        rows = found[found["on"] == name]
        assert rows["feature"].tolist() == list(W.columns)
        np.testing.assert_allclose(rows["effect"], want["effect", name], **OBJECTIVE)
        np.testing.assert_allclose(rows["standardised"], want["standardised", name], **OBJECTIVE)
    code, text, _ = run(capsys, "compare", *argv[1:], "--methods", "reml,ml")
    assert code == 0
    assert "reml" in text
    assert f"{fit.varcomp['variance'].iloc[-1]:.4g}" in text


def test_features_and_their_effects_are_refused_where_they_do_not_fit(capsys, markers):
    _, _, folder = markers
    one = ("fit", "y ~ x + (1 | id:G)", folder / "data.csv")
    W, A = folder / "W.csv", folder / "A.csv.gz"
    for argv, message in (
        (("--features", f"G={W}", "--cov", f"G={A}"), "--cov and --features both give 'G'"),
        (("--features", "G"), "--features 'G': write NAME=VALUE"),
        (("--cov", f"G={A}", "--feature-effects", folder / "e.csv"), "--feature-effects writes effects of features"),
        (("--features", f"G={W}", "--feature-effects", folder / "no" / "e.csv"), "--feature-effects .* does not exist"),
        (("--features", f"G={folder / 'V.csv'}"), "there is no file .*V.csv.*did you mean"),
    ):
        code, _, err = run(capsys, *one, *argv)
        assert code == 2
        assert re.search(message, err)
    code, _, err = run(
        capsys, "fit", "y ~ x + (1 | id)", *one[2:], "--features", f"G={W}", "--feature-effects", folder / "e.csv"
    )
    assert code == 2
    assert "no term of the model has features" in err


def test_several_responses_are_fitted_with_the_residual_asked_for(capsys, kin):
    data, A, folder = kin
    data = data.assign(y2=lambda d: 0.5 * d.y + np.random.default_rng(5).standard_normal(60))
    data.loc[3:6, "y2"] = np.nan
    data.to_csv(folder / "two.csv", index=False)
    formula = "cbind(y, y2) ~ x + common(w) + at(y2, x:w) + (1 | id:A)"
    want = mv.fit(formula, data, cov={"A": A}, residual="diag")
    given = ("fit", formula, folder / "two.csv", "--cov", f"A={folder / 'A.csv.gz'}", "--residual", "diag")
    code, out, err = run(capsys, *given, "--json", "-", "--tidy", folder / "tidy.csv", "--explain")
    assert code == 0
    assert "one for all responses: w" in err
    made = json.loads(out)
    assert made["model"]["response"] == ["y", "y2"]
    np.testing.assert_allclose(made["fit"]["loglik"], want.llf, **OBJECTIVE)
    assert [row["name"] for row in made["fixed"]] == list(want.spec.x_names)
    tidy = pd.read_csv(folder / "tidy.csv")
    np.testing.assert_allclose(tidy["estimate"], want.tidy()["estimate"], **OBJECTIVE)
    assert run(capsys, *given)[1].strip() == str(want.summary()).strip()


@pytest.mark.parametrize(
    ("formula", "options", "words"),
    [
        ("cbind(y, x) ~ (1 | id)", ("--residual", "ar1(1 | id)"), "residual= is 'us', 'diag', 'cs' or 'fa(1)'"),
        ("cbind(y, x) ~ common(w):w + (1 | id)", (), "common() can only stand as a term of its own"),
        ("cbind(y, x) ~ at(z, w) + (1 | id)", (), "at(): no response is called z. The responses are: y, x"),
        ("y ~ common(w) + (1 | id)", (), "there is one, y: write w alone"),
        ("y ~ w + (1 | id)", ("--residual", "fa(1)"), "a covariance among several responses, and there is one, y"),
    ],
)
def test_mistakes_with_several_responses_are_explained(capsys, kin, formula, options, words):
    code, out, err = run(capsys, "fit", formula, kin[2] / "data.csv", *options)
    assert (code, out) == (2, "")
    assert words in err
    assert "^" in err
