"""``mixedvc fit-each``: the numbers of mixedvc.fit_each in files, responses from the table or a file of their own."""

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc import cli

N = 40


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("each")
    rng = np.random.default_rng(0)
    ids = [f"{j:03d}" for j in range(N)]
    W = rng.standard_normal((N, 90))
    K = pd.DataFrame(W @ W.T / 90, ids, ids)
    table = pd.DataFrame({"id": ids, "x": rng.standard_normal(N), "ins1": rng.standard_normal(N)})
    table["ins2"] = rng.standard_normal(N)
    genes = pd.DataFrame(rng.standard_normal((N, 3)), ids, ["a", "b", "c"]).rename_axis("id")
    table.to_csv(folder / "people.csv", index=False)
    K.to_csv(folder / "K.csv")
    genes.sample(frac=1.0, random_state=1).to_csv(folder / "genes.csv")
    genes.T.rename_axis("gene").to_csv(folder / "turned.csv")
    genes.to_csv(folder / "in_order.csv", index=False)
    return folder, table, K, genes


def run(capsys, *argv):
    code = cli.main(["fit-each", *map(str, argv)])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def given(folder):
    return ["~ x + (1 | id:K)", folder / "people.csv", "--cov", f"K={folder / 'K.csv'}"]


def want(files):
    _, table, K, genes = files
    return mv.fit_each(genes.to_numpy(), "~ x + (1 | id:K)", table, cov={"K": K}).frame


@pytest.mark.parametrize(
    "how", [["genes.csv", "--id", "id"], ["turned.csv", "--transpose", "--id", "id"], ["in_order.csv"]]
)
def test_responses_of_a_file_meet_the_table(capsys, files, how, tmp_path):
    folder = files[0]
    code, out, err = run(capsys, *given(folder), "--responses", folder / how[0], *how[1:], "--csv", tmp_path / "o.csv")
    assert (code, err) == (0, "")
    assert "3 of 3 responses fitted by reml" in out
    got = pd.read_csv(tmp_path / "o.csv")
    assert list(got["response"]) == ["a", "b", "c"]
    for column in ("loglik", "coef[x]", "p[x]", "h2", "se.h2"):
        np.testing.assert_allclose(got[column], want(files)[column], rtol=1e-9, atol=1e-12)


def test_columns_are_chosen_by_name_and_pattern_and_every_table_is_written(capsys, files, tmp_path):
    folder, table, K, _ = files
    outs = [part for name in ("fixed", "variances", "ranef") for part in (f"--{name}", tmp_path / f"{name}.csv")]
    code, out, err = run(
        capsys,
        *given(folder),
        "--columns",
        "ins*",
        "--method",
        "ml",
        "--df",
        "normal",
        "--level",
        "0.9",
        "--quiet",
        *outs,
    )
    assert (code, out, err) == (0, "", "")
    each = mv.fit_each(["ins1", "ins2"], "~ x + (1 | id:K)", table, cov={"K": K}, method="ml", df="normal", level=0.9)
    for name in ("fixed", "variances"):
        got = pd.read_csv(tmp_path / f"{name}.csv")
        numbers = getattr(each, name).select_dtypes(float)
        np.testing.assert_allclose(got[numbers.columns], numbers, rtol=1e-9, atol=1e-12)
    effects = pd.read_csv(tmp_path / "ranef.csv", dtype={"id": str}).set_index("id")
    np.testing.assert_allclose(effects, each.blups(), rtol=1e-9, atol=1e-12)


def test_a_response_that_cannot_be_fitted_is_told_by_the_exit_status(capsys, files, tmp_path):
    folder, table, _, _ = files
    table.assign(ins3=1.0).to_csv(tmp_path / "t.csv", index=False)
    argv = ["~ x + (1 | id:K)", tmp_path / "t.csv", "--cov", f"K={folder / 'K.csv'}", "--columns", "ins1,ins3"]
    code, out, err = run(capsys, *argv, "--csv", tmp_path / "o.csv")
    assert code == 3
    assert "1 of 2 responses could not be fitted" in err
    assert "not fitted: 1: ins3" in out
    assert pd.read_csv(tmp_path / "o.csv")["message"].iloc[1].startswith("the response ins3 is 1")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "by --responses FILE or by --columns NAMES"),
        (["--columns", "ins1", "--responses", "genes.csv"], "(one of them)"),
        (["--columns", "nothing*"], "--columns 'nothing*': the table has no such column"),
        (["--responses", "turned.csv", "--transpose"], "--transpose is about --responses FILE, and needs --id"),
        (["--responses", "genes.csv", "--id", "name"], "--id 'name': the table has no such column"),
    ],
)
def test_mistakes_are_named(capsys, files, argv, message):
    folder = files[0]
    code, _, err = run(capsys, *given(folder), *(folder / a if a.endswith(".csv") else a for a in argv))
    assert code == 2
    assert message in err
