"""The reference numbers are all readable, complete and say where they come from."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from mixedvc.io.datasets import load_data

from .reference import load
from .reference.load import cases, input_or_skip, matrix, read_lower, reference, standardised_kernel
from .tolerances import OBJECTIVE

OURS = [c for c in cases() if c.split("/")[0] in {"lme4", "kinship", "openmx", "vcm", "rehe", "fixed_effects"}]


def test_there_are_numbers_of_every_package_promised():
    assert len(OURS) >= 35
    for case in ("lme4/sleepstudy/slope_correlated", "kinship/wheat/uni_y1_AG", "kinship/btdata/uni_tarsus"):
        assert case in OURS


@pytest.mark.parametrize("case", OURS)
def test_each_case_stands_in_a_readme_with_versions(case):
    package, dataset, name = case.split("/")
    text = (load.HERE / package / "README.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {dataset}\n(.*?)(?=^## |\Z)", text, flags=re.M | re.S)
    assert section, f"{package}/README.md has no section {dataset}"
    assert f"`{name}`" in section.group(1)
    assert re.search(r"[Ll]icence", text)


def test_the_variances_of_sleepstudy_are_at_full_precision():
    block = reference("lme4/sleepstudy/slope_correlated")["REML"]
    assert block["logLik"] == -871.814135979976
    assert len(repr(block["theta"]["Subject.Days"])) >= 15
    assert matrix(block["vcov"]).loc["Days", "Days"] == pytest.approx(block["se"]["Days"] ** 2, rel=1e-12)


@pytest.mark.parametrize("case", [c for c in OURS if c.startswith("kinship/") and "/uni_" in c])
def test_gold_blocks_are_stationary(case):
    for name in ("gold_REML", "gold_ML"):
        block = reference(case)[name]
        assert max(abs(s) for s in block["score"]) < 1e-6
        assert math.isfinite(block["logLik"])
        np.testing.assert_allclose(np.sqrt(np.diag(np.linalg.inv(block["EI"]))), block["se_expected"], **OBJECTIVE)


def test_an_unknown_case_lists_those_of_its_package():
    with pytest.raises(FileNotFoundError, match="kinship/wheat/uni_y1_G"):
        reference("kinship/wheat/uni_y9")


def test_inputs_of_lme4_are_found_among_the_data_sets():
    path = input_or_skip("lme4/dyestuff/data.csv")
    assert path.parent.name == "data"
    assert len(path.read_text(encoding="utf-8").splitlines()) == len(load_data("dyestuff")) + 1
    assert input_or_skip("kinship/twinbmi/data.csv").name == "data.csv.gz"


def test_an_input_we_may_not_keep_is_skipped_with_the_reason(monkeypatch):
    monkeypatch.delenv(load.VARIABLE, raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"kinship/btdata/data\.csv may not be kept"):
        input_or_skip("kinship/btdata/data.csv")


def test_an_input_elsewhere_is_found_through_the_environment(monkeypatch, tmp_path: Path):
    (tmp_path / "kinship" / "btdata").mkdir(parents=True)
    (tmp_path / "kinship" / "btdata" / "data.csv").write_text("a\n1\n")
    monkeypatch.setenv(load.VARIABLE, str(tmp_path))
    assert input_or_skip("kinship/btdata/data.csv").parent == tmp_path / "kinship" / "btdata"


def test_a_lower_triangle_is_read_as_a_symmetric_matrix(tmp_path: Path):
    (tmp_path / "A.csv").write_text("1\n.5,2\n0,.25,3\n")
    np.testing.assert_array_equal(read_lower(tmp_path / "A.csv"), [[1, 0.5, 0], [0.5, 2, 0.25], [0, 0.25, 3]])


def dense_loglik(y, X, V, reml=True):
    """Textbook log-likelihood with lme4's constants, independent of the package."""
    n, p = X.shape
    inverse = np.linalg.inv(V)
    W = X.T @ inverse @ X
    r = y - X @ np.linalg.solve(W, X.T @ inverse @ y)
    twice = n * np.log(2 * np.pi) + np.linalg.slogdet(V)[1] + r @ inverse @ r
    return -0.5 * (twice + (np.linalg.slogdet(W)[1] - p * np.log(2 * np.pi) if reml else 0))


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("case", [c for c in OURS if c.startswith(("vcm/", "rehe/"))])
def test_direct_blocks_belong_to_the_inputs_kept_with_them(case, reml):
    folder = case.rsplit("/", 1)[0]
    block = reference(case)["direct_REML" if reml else "direct_ML"]

    def table(name):
        return np.loadtxt(input_or_skip(f"{folder}/{name}"), delimiter=",", skiprows=1, ndmin=2)

    y = table("y.csv")[:, 0]
    if folder.startswith("rehe"):
        X, kernels = table("X.csv"), [table("K_A.csv"), table("K_C.csv")]
    else:
        Z = table("Z.csv")
        X = np.column_stack([np.ones(len(y)), Z])
        names = ["X1.csv", "X2.csv"] if "threevc" in folder else ["X.csv"]
        kernels = [standardised_kernel(table(name)) for name in names]
    V = sum(t * K for t, K in zip(block["theta"], [*kernels, np.eye(len(y))], strict=True))
    np.testing.assert_allclose(dense_loglik(y, X, V, reml), block["loglik"], **OBJECTIVE)


@pytest.mark.parametrize(("case", "kernels"), [("uni_y1_A", "A"), ("uni_y1_G", "G"), ("uni_y1_AG", "AG")])
def test_gold_blocks_of_wheat_belong_to_their_inputs(case, kernels):
    table, A, G = load.wheat()
    known = {"A": A.to_numpy(), "G": G.to_numpy()}
    for name, reml in (("gold_REML", True), ("gold_ML", False)):
        block = reference(f"kinship/wheat/{case}")[name]
        V = sum(block["vc"][k] * known[k] for k in kernels) + block["vc"]["residual"] * np.eye(len(table))
        got = dense_loglik(table["y1"].to_numpy(), np.ones((len(table), 1)), V, reml)
        np.testing.assert_allclose(got, block["logLik"], **OBJECTIVE)


def test_gold_blocks_of_btdata_belong_to_their_inputs():
    table, A = load.btdata()
    nest = table["fosternest"].to_numpy()
    X = np.column_stack([np.ones(len(table)), table["sex"] == "Male", table["sex"] == "UNK"]).astype(float)
    for trait in ("tarsus", "back"):
        block = reference(f"kinship/btdata/uni_{trait}")["gold_REML"]
        vc = block["vc"]
        V = vc["animal"] * A.to_numpy() + vc["fosternest"] * np.equal.outer(nest, nest)
        V += vc["residual"] * np.eye(len(table))
        np.testing.assert_allclose(dense_loglik(table[trait].to_numpy(), X, V), block["logLik"], **OBJECTIVE)
