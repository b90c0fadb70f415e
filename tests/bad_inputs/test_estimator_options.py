"""Options of every registered estimator, and of what fits many, that cannot be: errors that name option and value."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.errors import DataError, IdentifiabilityError, MixedVCError, OptionError
from mixedvc.testing import simulate

NONSENSE = {
    "empty": "",
    "word": "nonsense",
    "bytes": b"x",
    "negative": -1,
    "zero": 0,
    "nan": float("nan"),
    "infinite": float("inf"),
    "fraction": 2.5,
    "list": [],
    "mapping": {"nobody": 1.0},
    "object": object(),
    "array": np.array([1.0, 2.0]),
    "frame": pd.DataFrame({"a": [1.0]}),
    "wrong matrix": np.full((30, 30), np.nan),
}
# what is right for an option although it stands among the nonsense
RIGHT = {
    "tol": {"fraction"},
    "fixed_varcomp": {"list", "empty", "zero"},
    "start": {"list", "empty", "zero"},
    "ratio": set(),
    "burnin": {"zero"},
    "store": {"word"},  # a folder of that name
}
USED_BY = {"probes": {"trace": "hutchinson"}, "n_boot": {"se": "bootstrap"}, "n_blocks": {"se": "jackknife"}}
OPTIONS = [
    (name, field.name) for name in mv.estimators.names() for field in dataclasses.fields(mv.estimators.get(name))
]


@pytest.fixture(scope="module")
def spec():
    return mv.model("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"))


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_75_76_nonsense_for_any_option_of_any_estimator_names_the_option(spec, name, option):
    known = {field.name for field in dataclasses.fields(mv.estimators.get(name))}
    companions = {key: value for key, value in USED_BY.get(option, {}).items() if key in known}
    for what, value in NONSENSE.items():
        if what in RIGHT.get(option, ()):
            continue
        with pytest.raises(MixedVCError) as caught:
            spec.fit(name, **{**companions, option: value})
        message = str(caught.value)
        assert option in message or f"no {option}" in message, f"{option}={what}: {message}"
        assert len(message) > 15, message
        assert len(message) < 600, message


@pytest.mark.parametrize("value", [-1, 2.5, "one", float("nan"), True, [1, 2], object()])
def test_90_a_seed_that_is_none_is_refused_everywhere(spec, value):
    for call in (
        lambda: spec.fit("rerehe", seed=value),
        lambda: mv.compare(spec, ["he"], seed=value),
        lambda: mv.cross_validate(spec, "he", folds=3, seed=value),
    ):
        with pytest.raises(OptionError, match=r"seed=.*whole number, zero or above"):
            call()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ratio": 1.5}, r"ratio=1\.5: a part of the rows, above 0 and at most 1"),
        ({"ratio": 0.0}, r"ratio=0\.0"),
        ({"n_subsamples": 1}, "n_subsamples=1: a whole number of at least 2"),
        ({"n_boot": 3}, "n_boot=3: a whole number of at least 20"),
        ({"combine": "sum"}, "combine='sum' is not one of 'pooled', 'mean', 'median'"),
        ({"unit": "cells"}, "unit='cells' is not one of"),
        ({"combine": "mean", "se": "sandwich"}, r"se='sandwich'.*se='bootstrap'"),
    ],
)
def test_subsamples_that_cannot_be_drawn_say_what_can(spec, options, words):
    with pytest.raises(OptionError, match=words):
        spec.fit("rerehe", **options)


@pytest.mark.parametrize("name", ["he", "rehe"])
@pytest.mark.parametrize(
    ("outer", "words"),
    [
        (np.zeros((3, 3)), r"shape \(3, 3\); the model has 30 rows"),
        (np.zeros(30), r"shape \(30,\)"),
        (np.triu(np.ones((30, 30))), "symmetric"),
        (np.full((30, 30), np.nan), "finite"),
        ("distances.csv", "not a numeric matrix"),
        (pd.DataFrame(np.eye(30), [f"r{i}" for i in range(30)], [f"r{i}" for i in range(30)]), "lacks 30 of the 30"),
        (pd.DataFrame(np.eye(30), range(30), range(1, 31)), "other labels in its columns"),
    ],
)
def test_an_outer_product_of_another_shape_or_name_is_refused(spec, name, outer, words):
    with pytest.raises(MixedVCError, match=words):
        spec.fit(name, outer=outer)


@pytest.mark.parametrize("name", ["he", "rehe"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"outer": np.eye(30), "se": "sandwich"}, "jackknife"),
        ({"outer": np.eye(30), "fixed": "ols"}, "outer= takes its place"),
        ({"trace": "hutchinson", "se": "jackknife"}, "trace='exact'"),
        ({"trace": "hutchinson", "probes": 1}, "probes=1: a whole number of at least 2"),
        ({"trace": "stochastic"}, "'exact', 'hutchinson'"),
        ({"entries": "lower"}, "'all', 'upper'"),
        ({"projection": "yes"}, "projection='yes': True or False"),
    ],
)
def test_options_that_exclude_each_other_say_which_to_take(spec, name, options, words):
    with pytest.raises(OptionError, match=words):
        spec.fit(name, **options)


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ("reml", "a list of names or estimators"),
        ([], "methods is empty"),
        (["reml", "remel"], "did you mean 'reml'"),
        (["reml", 3], "neither a registered name nor an estimator"),
        (["reml", "reml"], "two methods are called 'reml'"),
        (7, "a list of names or estimators"),
    ],
)
def test_methods_that_cannot_be_compared_are_named_before_any_fit(spec, methods, words):
    with pytest.raises(OptionError, match=words):
        mv.compare(spec, methods)


@pytest.mark.parametrize("restricted", ["yes", 1.5, np.array([1, 2]), []])
def test_a_criterion_that_is_neither_is_refused(spec, restricted):
    with pytest.raises(OptionError, match="restricted="):
        mv.compare(spec, ["reml"], restricted=restricted)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"folds": 1}, "folds=1: between 2 and 30"),
        ({"folds": 31}, "folds=31: between 2 and 30"),
        ({"folds": np.zeros(30)}, "every row into fold"),
        ({"folds": np.arange(7)}, r"shape \(7,\); the model has 30 rows"),
        ({"folds": "batch"}, "folds="),
        ({"groups": "nobody"}, "no random term of this name; its terms are 'Batch'"),
        ({"groups": np.arange(3)}, r"groups= has shape \(3,\)"),
        ({"folds": 7, "groups": "Batch"}, "folds=7: between 2 and 6"),
        ({"restandardize": "yes"}, "restandardize='yes': True or False"),
        ({"method": "remel"}, "did you mean 'reml'"),
        ({"maxiter": 3}, "'maxiter'"),
    ],
)
def test_folds_that_cannot_be_are_refused_with_the_reason(spec, options, words):
    with pytest.raises(MixedVCError, match=words):
        mv.cross_validate(spec, **options)


@pytest.fixture(scope="module")
def samples():
    source = simulate.families(10, 3, seed=3)
    here = np.isin(np.arange(len(source.data)) % 5, (0, 2, 3))  # relatives of each other, and of those of the other
    formula = "y ~ x + (1 | gr(person, cov=A))"
    one, two = (source.data[part].reset_index(drop=True) for part in (here, ~here))
    return mv.model(formula, one, cov={"A": source.cov["A"]}), mv.model(formula, two, cov={"A": source.cov["A"]})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"names": "ab"}, "names='ab': a name for each"),
        ({"names": 3}, "names=3: a name for each"),
        ({"term": 3}, "term=3: one name"),
        ({"term": "nobody"}, "nobody"),
        ({"interval": "exact"}, "interval='exact' is not one of"),
        ({"interval": np.arange(2)}, "interval="),
        ({"level": 95}, "level=95 must lie strictly between 0 and 1"),
        ({"test": "yes"}, "test='yes': True or False"),
        ({"shared": 1}, "shared=1: True or False"),
        ({"method": "remel"}, "did you mean 'reml'"),
    ],
)
def test_a_genetic_correlation_of_nonsense_names_the_option(samples, options, words):
    with pytest.raises(MixedVCError, match=words):
        mv.genetic_correlation(*samples, **options)


def test_individuals_in_both_samples_and_samples_without_relatives_are_named(samples):
    with pytest.raises(MixedVCError, match="both"):
        mv.genetic_correlation(samples[0], samples[0], method="he")
    source = simulate.families(10, 3, seed=3)
    half = len(source.data) // 2
    formula = "y ~ x + (1 | gr(person, cov=A))"
    apart = [
        mv.model(formula, d.reset_index(drop=True), cov={"A": source.cov["A"]})
        for d in (source.data[:half], source.data[half:])
    ]
    with pytest.raises(IdentifiabilityError, match="nothing tells their correlation"):
        mv.genetic_correlation(*apart, method="he")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n": 5}, "n=5: one for each of the two studies"),
        ({"n": (5, None)}, "n="),
        ({"n": (-5, 100)}, "n=-5|-5 individuals"),
        ({"covariates": 3}, "covariates=3: one for each"),
        ({"covariates": (1.5, 0)}, r"covariates=\(1\.5, 0\)"),
        ({"panel_covariates": 3.0}, r"shape \(\)"),
        ({"panel_covariates": np.zeros((7, 1))}, "7 rows for 90 individuals"),
        ({"blocks": 1}, "blocks=1: a jackknife needs at least two"),
        ({"blocks": np.arange(3)}, "blocks="),
        ({"statistic": "f"}, "statistic='f' is not one of"),
        ({"statistic": np.arange(2)}, "statistic="),
        ({"names": ("a", "a")}, "two different names"),
        ({"names": {"a": 1, "b": 2}}, "two different names"),
        ({"align": "rows"}, "align='rows'"),
        ({"align": np.arange(2)}, "align="),
        ({"level": 1.0}, "level=1.0 must lie strictly"),
    ],
)
def test_summary_statistics_with_nonsense_name_the_option(options, words):
    rng = np.random.default_rng(0)
    features = [f"s{i}" for i in range(40)]
    z = pd.DataFrame({"z": rng.standard_normal(40)}, index=features)
    panel = pd.DataFrame(rng.standard_normal((90, 40)), columns=features)
    with pytest.raises((OptionError, DataError), match=words):
        mv.genetic_correlation_from_summary(z, z, panel, **{"n": (500, 500), "blocks": 10, **options})
