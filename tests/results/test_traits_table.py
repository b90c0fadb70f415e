"""The summary of several traits as it is printed, in every size and medium."""

from __future__ import annotations

import json
import re
from xml.dom import minidom

import numpy as np
import pytest

from mixedvc import cli
from mixedvc.results.numbers import significant
from mixedvc.results.plain import as_plain
from tests.tolerances import COMPONENT

from .test_traits import FORMULA, quiet
from .traits_brute import data


@pytest.fixture(scope="module")
def two():
    frame, A = data()
    return frame, A, quiet(FORMULA, frame, A)


def words(fit, **options):
    return " ".join(str(fit.summary(**options)).split())


def test_the_summary_of_two_traits_reads_as_designed(two):
    _, _, fit = two
    lines = [line for line in str(fit.summary()).splitlines() if not line.startswith("Date")]
    G, R = fit.trait_cov("id", se=True), fit.trait_cov("Residual", se=True)
    assert lines[1].strip() == "Linear mixed model of 2 traits fitted by REML"
    assert lines[3].split() == ["Traits:", "y1,", "y2", "Records:", "45", "(0", "dropped)"]
    assert "Cells:        86 (4 missing: y2 4)" in lines[4]
    at = next(i for i, line in enumerate(lines) if line.startswith("Fixed effects"))
    assert [line.split()[0] for line in lines[at + 1 : at + 5]] == ["y1", "x", "y2", "x"]
    at = next(i for i, line in enumerate(lines) if line.startswith("id (cov A)"))
    assert lines[at].split()[3:] == ["variance", "std", "err", "[0.025", "0.975]", "share", "std", "err", "y1", "y2"]
    h2, r = fit.heritabilities(), fit.correlation_matrix()
    first, second = lines[at + 1].split(), lines[at + 2].split()
    assert first[0] == "y1" and float(first[1]) == pytest.approx(G["covariance"].iloc[0], rel=1e-3)
    assert float(first[2]) == pytest.approx(G["se"].iloc[0], rel=1e-3)
    assert first[5] == f"{100 * h2['heritability'].iloc[0]:.1f}%"
    assert first[-2:] == ["1.000", f"{r.iloc[0, 1]:.3f}"]
    assert float(second[-2]) == pytest.approx(G["covariance"].iloc[1], rel=1e-3) and second[-1] == "1.000"
    assert float(lines[at + 5].split()[1]) == pytest.approx(R["covariance"].iloc[0], rel=1e-3)
    at = next(i for i, line in enumerate(lines) if line.startswith("Correlations"))
    rows = fit.correlations()
    for line, row in zip(lines[at + 1 : at + 4], rows.to_dict("records"), strict=True):
        assert line.split()[-4:] == [f"{row[c]:.3f}" for c in ("correlation", "se", "lower", "upper")]
    assert [line[:12].strip() for line in lines[at + 1 : at + 4]] == ["id (cov A)", "Residual", "phenotypic"]


def test_level_interval_and_information_reach_the_tables(two):
    _, _, fit = two
    text = words(fit, level=0.9, interval="profile")
    assert "[0.05 0.95]" in text and "profile of the restricted likelihood" in text
    row = fit.correlations("id", level=0.9, interval="profile").iloc[0]
    assert f"{row['lower']:.3f} {row['upper']:.3f}" in text
    variance = fit.trait_cov("id", se=True, level=0.9, interval="profile").iloc[0]
    assert f"{significant(variance['lower'])} {significant(variance['upper'])}" in text
    observed = words(fit, information="observed")
    assert "observed information" in observed
    assert significant(fit.with_information("observed").trait_cov("id", se=True)["se"].iloc[0]) in observed
    assert "Wald for variances" in words(fit, interval="wald")


def test_every_medium_can_show_it(two):
    summary = two[2].summary()
    minidom.parseString(summary.as_html())
    assert summary.as_latex().count(r"\begin{tabular}") == len(summary.tables)
    assert max(map(len, str(summary).splitlines())) <= 100


@pytest.fixture(scope="module")
def many():
    frame, A = data(n=60, t=9, seed=1, missing=0, m=200)
    frame = frame.rename(columns={f"y{a + 1}": f"a_rather_long_name_{a + 1}" for a in range(9)})
    return frame, A


@pytest.mark.parametrize("t", [4, 6, 9])
def test_it_stays_readable_with_many_traits_and_long_names(many, t):
    frame, A = many
    traits = ", ".join(f"a_rather_long_name_{a + 1}" for a in range(t))
    fit = quiet(f"cbind({traits}) ~ 1 + diag(1|id:A)", frame, A)
    lines = str(fit.summary()).splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) < 95
    text = " ".join(" ".join(lines).split())
    assert ("Columns of traits" in text) == (t <= 6)
    if t == 9:
        assert "Covariances and correlations of the traits: correlations(), trait_cov()" in text
        row = next(line for line in lines if re.match(r"a_rather_long_name_9 .*%", line)).split()
        assert float(row[1]) == pytest.approx(fit.G.iloc[8, 8], rel=1e-3)
        assert row[3] == f"{100 * fit.heritabilities()['heritability'].iloc[8]:.1f}%"


def test_many_coefficients_are_a_row_a_trait(many):
    frame, A = many
    frame = frame.assign(z=np.arange(60) % 5)
    traits = ", ".join(f"a_rather_long_name_{a + 1}" for a in range(9))
    fit = quiet(f"cbind({traits}) ~ C(z) + common(x) + diag(1|id:A)", frame, A)
    assert fit.spec.p == 46
    lines = str(fit.summary()).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("Coefficients"))
    assert lines[at + 10].startswith("all traits")
    assert float(lines[at + 1].split()[1]) == pytest.approx(fit.params.iloc[0], rel=1e-3)


def test_a_shared_effect_stands_apart(two):
    frame, A, _ = two
    fit = quiet("cbind(y1, y2) ~ 1 + common(x) + (1|id:A)", frame, A)
    lines = str(fit.summary()).splitlines()
    row = next(line for line in lines if line.startswith("all traits"))
    assert row.split()[2] == "x" and float(row.split()[3]) == pytest.approx(fit.params["x"], abs=1e-4)


def test_tidy_names_the_traits_as_broom_names_effects(two):
    fit = two[2]
    made = fit.tidy("ran_pars", conf_int=True)
    assert list(made["term"]) == ["sd__y1", "cor__y1.y2", "sd__y2"] * 2
    row = fit.correlations("id").iloc[0]
    assert made["estimate"].iloc[1] == pytest.approx(row["correlation"])
    assert made["std.error"].iloc[1] == pytest.approx(row["se"])
    assert made["conf.low"].iloc[1] == pytest.approx(row["lower"])
    assert list(fit.tidy("fixed")["term"]) == ["y1: Intercept", "y1: x", "y2: Intercept", "y2: x"]
    glance = fit.glance().iloc[0]
    assert glance["nobs"] == 86 and np.isnan(glance["sigma"])


def test_plain_values_have_matrices_and_correlations(two):
    fit = two[2]
    made = as_plain(fit)
    assert made["traits"]["names"] == ["y1", "y2"]
    assert made["traits"]["records"] == 45 and made["traits"]["missing"] == {"y1": 0, "y2": 4}
    own = made["traits"]["covariances"]["id"]
    np.testing.assert_array_equal(own["matrix"], fit.G.to_numpy())
    assert made["traits"]["correlations"][0]["correlation"] == fit.correlations()["correlation"].iloc[0]
    assert made["traits"]["heritabilities"]["id"][1]["trait"] == "y2"
    assert len(made["rows"]["fitted"]) == 45 and len(made["rows"]["fitted"][0]) == 2


def test_the_command_line_writes_the_same_numbers(two, tmp_path, capsys):
    frame, A, fit = two
    frame.to_csv(tmp_path / "t.csv", index=False, float_format="%.17g")
    A.to_csv(tmp_path / "A.csv", float_format="%.17g")
    out = tmp_path / "o.json"
    assert (
        cli.main(["fit", FORMULA, str(tmp_path / "t.csv"), "--cov", f"A={tmp_path / 'A.csv'}", "--json", str(out)]) == 0
    )
    assert "Linear mixed model of 2 traits" in capsys.readouterr().out
    made = json.loads(out.read_text(encoding="utf-8"))
    assert made["fit"]["loglik"] == pytest.approx(fit.llf, rel=1e-12)
    np.testing.assert_allclose(made["traits"]["covariances"]["id"]["matrix"], fit.G, **COMPONENT)
    assert made["traits"]["correlations"][0]["se"] == pytest.approx(fit.correlations()["se"].iloc[0], rel=1e-6)
    assert made["rows"]["fitted"][3][0] == pytest.approx(fit.fittedvalues["y1"].iloc[3], rel=1e-6)
