"""``mixedvc fit --method gibbs``: options of samplers, priors that are read and never run, what is written."""

import json

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.cli import main
from mixedvc.cli_priors import parse_prior, priors_given
from mixedvc.errors import OptionError
from mixedvc.priors import LKJ, Fixed, HalfCauchy, HalfT, InverseWishart, Normal, VarianceShare

MODEL = ["fit", "Yield ~ 1 + (1 | Batch)", "dyestuff", "--method", "gibbs", "--seed", "3"]
SHORT = [*MODEL, "--draws", "40", "--chains", "2", "--workers", "1"]


def run(capsys, *arguments):
    status = main([*map(str, arguments)])
    return (status, *capsys.readouterr())


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("half_t(3, 1)", HalfT(3, 1)),
        ("HalfT(df=3, scale=1e-1)", HalfT(3, 0.1)),
        ("inverse_wishart([[1, -0.5], [-0.5, 2]], nu=3)", InverseWishart([[1, -0.5], [-0.5, 2]], 3)),
        ("lkj(2, sd=half_cauchy(5))", LKJ(2, sd=HalfCauchy(5))),
        ("normal(-1, +10)", Normal(-1, 10)),
        ("fixed(2.5)", Fixed(2.5)),
        ("flat('sd')", mv.priors.Flat("sd")),
        ("variance_share(10)", VarianceShare(10)),
    ],
)
def test_a_prior_is_read_as_it_is_written_in_python(text, want):
    assert parse_prior(text, "g") == want


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("half_x(3)", "did you mean 'half_t'"),
        ("half_t(3, 1", r"--prior g=half_t\(3, 1: this cannot be read.*write TERM=KIND\(numbers\)"),
        ("half_t(3, q=1)", "unexpected keyword argument 'q'"),
        ("half_t(-3, 1)", "df"),
        ("half_t(3, __import__('os').system('x'))", "write TERM=KIND"),
        ("__import__('os')", "no prior is called '__import__'"),
        ("half_t(3, 2 ** 999999999)", "is no number, list or prior"),
        ("half_t(3, x)", "x is no number, list or prior"),
        ("half_t(*[3, 1])", "write TERM=KIND"),
        ("(lambda: 1)()", "write TERM=KIND"),
        ("[half_t(3, 1) for i in (1,)]", "is no number, list or prior"),
        ("f'{1}'", "is no number, list or prior"),
        ("half_t(3, True + True)", "is no number, list or prior"),
        ("3", "a prior is needed"),
        ("half_t(3, 1); 4", "cannot be read"),
        ("half_t(" + "(" * 300 + "1" + ")" * 300 + ", 1)", "--prior g"),
        ("[" * 5000 + "]" * 5000, "--prior g"),
        ("x" * 20_000, "are no prior"),
    ],
)
def test_a_text_that_is_no_prior_is_refused_and_nothing_in_it_runs(text, words):
    with pytest.raises(OptionError, match=words):
        parse_prior(text, "g")


def test_priors_are_given_by_term_or_for_all():
    assert priors_given(["g=half_t(3, 1)", "residual=fixed(2)"]) == {"g": HalfT(3, 1), "residual": Fixed(2)}
    assert priors_given(["all=variance_share(5)"]) == VarianceShare(5)
    with pytest.raises(OptionError, match="stands for every term: give no other"):
        priors_given(["all=half_t(3, 1)", "g=half_t(3, 1)"])
    with pytest.raises(OptionError, match="gives 'g' twice"):
        priors_given(["g=half_t(3, 1)", "g=half_t(3, 2)"])


def test_the_program_samples_what_python_samples(capsys, tmp_path):
    saved, tidy, json_file, effects = (tmp_path / n for n in ("fit.mvc", "tidy.csv", "fit.json", "u.csv"))
    prior = ["--prior", "Batch=half_t(3, 50)", "--prior", "fixed=normal(1500, 100)"]
    files = ["--save", saved, "--tidy", tidy, "--json", json_file, "--ranef", effects]
    status, out, _ = run(capsys, *SHORT, "--thin", "2", "--burnin", "6", *prior, *files)
    assert status in (0, 3)
    assert "posterior draws" in out
    assert "80 (2 chains x 40)" in out
    want = mv.fit(
        "Yield ~ 1 + (1 | Batch)",
        mv.load_data("dyestuff"),
        method="gibbs",
        seed=3,
        draws=40,
        chains=2,
        thin=2,
        burnin=6,
        priors={"Batch": HalfT(3, 50), "fixed": Normal(1500, 100)},
    )
    got = mv.load(saved)
    np.testing.assert_array_equal(got.draws.theta, want.draws.theta)
    np.testing.assert_array_equal(got.draws.beta, want.draws.beta)
    table = pd.read_csv(tidy, keep_default_na=False)
    np.testing.assert_allclose(table["estimate"].astype(float), want.tidy()["estimate"], rtol=1e-12)
    assert {"conf.low", "conf.high", "rhat", "ess"} <= set(table.columns)
    assert len(pd.read_csv(effects)) == 6
    plain = json.loads(json_file.read_text())
    assert plain["sampler"]["seed"] == 3
    assert plain["sampler"]["scheme"] == "collapsed"
    assert (plain["sampler"]["thin"], plain["sampler"]["burnin"], plain["sampler"]["draws"]) == (2, 6, 40)
    assert plain["interval"] == {"kind": "hdi", "level": 0.95}
    assert plain["fixed"][0]["estimate"] == pytest.approx(want.draws.beta.mean(), rel=1e-12)
    assert [row["group"] for row in plain["varcomp"]] == ["Batch", "Residual"]
    assert "half-t" in plain["priors"]["Batch"]


def test_intervals_of_a_posterior_are_hdi_or_quantiles(capsys, tmp_path):
    tables = {}
    for kind in ("hdi", "quantile"):
        run(capsys, *SHORT, "--interval", kind, "--level", "0.8", "--quiet", "--tidy", tmp_path / kind)
        tables[kind] = pd.read_csv(tmp_path / kind)
    assert not np.allclose(tables["hdi"]["conf.low"], tables["quantile"]["conf.low"])
    status, _, err = run(capsys, *SHORT, "--df", "normal")
    assert status == 2
    assert "draws have none; leave --df out" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--draws", "0"], "draws=0: a whole number, at least 1"),
        (["--scheme", "walk"], "scheme='walk'"),
        (["--prior", "Patch=half_t(3, 1)"], "Patch"),
        (["--prior", "half_t(3, 1)"], "write NAME=VALUE"),
        (["--option", "draws=10"], "--option draws=… and --draws give the same option"),
        (["--seed", "-1"], "seed=-1"),
    ],
)
def test_what_cannot_be_is_one_line_on_standard_error(arguments, words, capsys):
    status, _, err = run(capsys, *SHORT, *arguments)
    assert status == 2
    assert words in err
    assert err.count("\n") == 1


def test_options_of_samplers_with_another_method_name_what_it_takes(capsys):
    status, _, err = run(capsys, "fit", "Yield ~ 1 + (1 | Batch)", "dyestuff", "--draws", "10")
    assert status == 2
    assert "'draws': no option of mixedvc.fit or of method 'reml'" in err


def test_draws_go_to_a_folder(capsys, tmp_path):
    run(capsys, *SHORT, "--quiet", "--save-random", "--store", tmp_path / "draws")
    fit = mv.load(tmp_path / "draws")
    assert fit.draws.effects[0].shape == (2, 40, 6, 1)


def test_a_posterior_stands_beside_estimates(capsys, tmp_path):
    arguments = ["compare", "Yield ~ 1 + (1 | Batch)", "dyestuff", "--methods", "reml,gibbs", "--seed", "1"]
    csv = tmp_path / "both.csv"
    status, out, err = run(
        capsys, *arguments, "--option", "gibbs.draws=200", "--prior", "Batch=half_t(3, 50)", "--csv", csv
    )
    assert status in (0, 3), err
    assert "gibbs" in out
    table = pd.read_csv(csv)
    assert set(table.iloc[:, 0]) == {"reml", "gibbs"}
    status, _, err = run(capsys, *arguments[:4], "reml,ml", "--prior", "Batch=half_t(3, 50)")
    assert status == 2
    assert "none of the methods takes priors" in err


def test_help_shows_the_options_of_samplers(capsys):
    status, out, _ = run(capsys, "fit", "--help")
    assert status == 0
    for word in ("--draws", "--chains", "--prior", "half_t(3, 1)", "--store"):
        assert word in out
