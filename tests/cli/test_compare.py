"""``mixedvc compare``: the table of mixedvc.compare, files with its numbers, one clear message for every mistake."""

import json
import re
import sys

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc import cli, estimators

SLOPES = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def both():
    return mv.compare(mv.model(SLOPES, mv.load_data("sleepstudy")), ["reml", "ml"])


def run(capsys, *argv):
    code = cli.main(["compare", *map(str, argv)])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def without_seconds(text):
    return re.sub(r"\nSeconds.*", "", text)


def test_the_table_of_the_methods_named_is_printed(capsys, both):
    code, out, err = run(capsys, SLOPES, "sleepstudy", "--methods", "reml, ml")
    assert (code, err) == (0, "")
    assert without_seconds(out.strip()) == without_seconds(str(both))


def test_json_and_csv_hold_the_numbers_unrounded(capsys, both, tmp_path):
    argv = ["--methods", "reml,ml", "--quiet", "--level", "0.8"]
    code, out, _ = run(capsys, SLOPES, "sleepstudy", *argv, "--json", tmp_path / "o.json", "--csv", tmp_path / "o.csv")
    assert (code, out) == (0, "")
    got = json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))
    want = both.estimates(level=0.8)
    assert got["criterion"] == "REML"
    assert got["model"]["formula"] == SLOPES
    assert [row["method"] for row in got["methods"]] == ["reml", "ml"]
    assert [row["loglik"] for row in got["methods"]] == both.loglik.tolist()
    assert [row["error"] for row in got["methods"]] == [None, None]
    for column in want.columns:
        assert [row[column] for row in got["estimates"]] == want[column].tolist()
    assert any("Two criteria" in note for note in got["notes"])
    assert got["written_by"]["mixedvc"] == mv.__version__
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "o.csv"), want, check_exact=True)


def test_json_on_standard_output_is_all_there_is(capsys):
    code, out, err = run(capsys, "Yield ~ 1 + (1 | Batch)", "dyestuff2", "--methods", "reml", "--json", "-")
    assert (code, err) == (0, "")
    first = json.loads(out)["estimates"][0]
    assert (first["estimate"], first["se"], first["boundary"]) == (0.0, None, True)


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_the_picture_is_of_the_kind_that_its_name_says(capsys, tmp_path, kind):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"both.{kind}"
    assert run(capsys, SLOPES, "sleepstudy", "--methods", "reml,ml", "--quiet", "--plot", path)[0] == 0
    start = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[kind]
    assert path.read_bytes().startswith(start)


def test_the_common_criterion_and_options_reach_the_methods(capsys, tmp_path):
    out = tmp_path / "o.json"
    argv = ["--methods", "reml,ml", "--quiet", "--json", out]
    options = ["--criterion", "ml", "--option", 'ml.fixed_varcomp={"Subject": [[600, 0], [0, 30]]}']
    assert run(capsys, SLOPES, "sleepstudy", *argv, *options)[0] == 0
    got = json.loads(out.read_text(encoding="utf-8"))
    assert got["criterion"] == "ML"
    given = [row["estimate"] for row in got["estimates"] if row["given"]]
    assert given == [600.0, 0.0, 30.0]
    fit = mv.fit(SLOPES, mv.load_data("sleepstudy"), method="ml", fixed_varcomp={"Subject": np.diag([600.0, 30.0])})
    np.testing.assert_allclose(got["methods"][1]["loglik"], fit.llf, rtol=1e-10)


def test_the_criterion_reaches_methods_that_can_maximise_either_and_the_seed_those_that_draw(capsys, tmp_path):
    argv = ["Yield ~ 1 + (1 | Batch)", "dyestuff", "--methods", "mm,rerehe", "--criterion", "ml", "--quiet"]
    spec = mv.model("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"))
    drawn = []
    for seed in (3, 4):
        assert run(capsys, *argv, "--seed", seed, "--json", tmp_path / "o.json")[0] == 0
        got = json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))
        assert [row["criterion"] for row in got["methods"]] == ["ML", None]
        want = mv.compare(spec, ["mm", "rerehe"], restricted=False, seed=seed)
        assert [row["estimate"] for row in got["estimates"]] == want.table["estimate"].tolist()
        drawn.append(want["rerehe"].estimate.theta)
    assert not np.array_equal(*drawn)


def test_the_formula_as_it_was_read_comes_first(capsys):
    _, out, _ = run(capsys, SLOPES, "sleepstudy", "--methods", "reml", "--explain")
    assert out.index("Random term 'Subject'") < out.index("Linear mixed model by 1 method\n")


def test_a_method_that_fails_or_does_not_converge_gives_status_3(capsys, monkeypatch):
    argv = ["--methods", "reml,ml", "--option", "ml.max_iter=1"]
    argv += ["--option", 'ml.start={"Subject": [[1, 0], [0, 1]]}']
    code, out, err = run(capsys, SLOPES, "sleepstudy", *argv)
    assert code == 3
    assert re.search(r"Converged +yes +NO", out)
    assert "mixedvc: warning: ml did not converge" in err

    def fail(self, *_, **__):
        raise ZeroDivisionError("nothing left")

    monkeypatch.setattr(estimators.get("ml"), "fit", fail)
    code, out, err = run(capsys, SLOPES, "sleepstudy", "--methods", "reml,ml")
    assert code == 3
    assert re.search(r"Converged +yes +FAILED", out)
    assert err.strip() == "mixedvc: warning: ml failed and is left out of the comparison: nothing left"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--methods", "reml,rem"], "no estimator is called 'rem'"),
        (["--methods", "reml,reml"], "--methods names 'reml' twice"),
        (["--methods", ","], "methods is empty"),
        (["--methods", "reml", "--option", "tol=1"], "--option 'tol': write METHOD.NAME=VALUE"),
        (["--methods", "reml", "--option", "ml.tol=1"], "with a method among reml"),
        (["--methods", "reml", "--option", "reml.speed=1"], "'speed': no option"),
        (["--methods", "reml", "--level", "95"], "strictly between 0 and 1"),
        (["--methods", "reml", "--plot", "p.jpeg"], "--plot p.jpeg: the name ends in .pdf, .png, .svg"),
        (["--methods", "reml", "--csv", "o", "--json", "o"], "--json and --csv both write 'o'"),
        (["--methods", "reml", "--csv", "nowhere/o.csv"], "--csv nowhere/o.csv: the folder"),
        (["--methods", "reml", "--plot", "nowhere/o.png"], "--plot nowhere/o.png: the folder"),
        (["--methods", "reml", "--threads", "0"], "threads=0"),
    ],
)
def test_a_mistake_is_one_message_and_status_2(capsys, tmp_path, monkeypatch, argv, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, SLOPES, "sleepstudy", *argv)
    assert (code, out) == (2, "")
    assert err.startswith("mixedvc: error: ")
    assert message in err
    assert not list(tmp_path.iterdir())


def test_a_picture_without_matplotlib_is_refused_before_the_fit(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = run(capsys, SLOPES, "sleepstudy", "--methods", "reml", "--plot", tmp_path / "p.png")
    assert code == 2
    assert "--plot needs the package 'matplotlib': pip install 'mixedvc[plots]'" in err


def test_methods_must_be_named(capsys):
    code, _, err = run(capsys, SLOPES, "sleepstudy")
    assert code == 2
    assert "mixedvc compare: error: the following arguments are required: --methods" in err


def test_help_says_what_every_option_is(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for word in ("examples:", "--methods NAMES", "exit status", "--criterion"):
        assert word in out
    parser = next(a for a in cli._parser()._actions if getattr(a, "choices", None)).choices["compare"]
    assert all(action.help for action in parser._actions)


@pytest.mark.parametrize("method", estimators.names())
def test_every_registered_method_fits_from_the_shell(capsys, tmp_path, method):
    """Printed, as JSON, as tidy csv and saved: dyestuff has a positive variance by every method."""
    paths = {name: tmp_path / name for name in ("o.json", "t.csv", "m.mvc")}
    argv = ["--json", paths["o.json"], "--tidy", paths["t.csv"], "--save", paths["m.mvc"], "--seed", "1"]
    code = cli.main(["fit", "Yield ~ 1 + (1 | Batch)", "dyestuff", "--method", method, *map(str, argv)])
    out, err = capsys.readouterr()
    assert code == 0, err
    assert "Residual" in out
    got = json.loads(paths["o.json"].read_text(encoding="utf-8"))
    assert got["fit"]["method"] == method
    estimate = [row["variance"] for row in got["varcomp"]]
    assert min(estimate) > 0
    assert mv.load(paths["m.mvc"]).varcomp["variance"].tolist() == estimate
    tidy = pd.read_csv(paths["t.csv"]).query("effect == 'ran_pars'")
    if "draws" in estimators.get(method).provides:  # the mean of the standard deviation, not the root of the mean
        assert ((0.5 * np.array(estimate) < tidy["estimate"] ** 2) & (tidy["estimate"] ** 2 < estimate)).all()
    else:
        np.testing.assert_allclose(tidy["estimate"] ** 2, estimate, rtol=1e-12)
