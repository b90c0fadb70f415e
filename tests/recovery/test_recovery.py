"""Simulated truth comes back: the mean of many REML estimates lies within four standard errors of the parameters."""

import warnings

import numpy as np
import pytest

from mixedvc.design.bind import bind
from mixedvc.errors import MixedVCWarning
from mixedvc.estimators import estimators
from mixedvc.likelihood import choose
from mixedvc.testing import simulate
from mixedvc.testing.compare import z_scores

WORLDS = {
    "one way": (lambda seed: simulate.one_way(60, 5, variance=2.0, residual=1.0, seed=seed), {}),
    "crossed, weighted": (lambda seed: simulate.crossed(25, 20, weighted=True, seed=seed), {"weights": "w"}),
    "nested": (lambda seed: simulate.nested(40, 4, 3, seed=seed), {}),
    "slopes, unbalanced": (lambda seed: simulate.random_slopes(60, 6, seed=seed).unbalanced(0.8, seed), {}),
    "families": (lambda seed: simulate.families(80, 3, additive=1.0, household=0.8, seed=seed), {}),
    "parents without rows": (
        lambda seed: simulate.families(80, 3, household=0.0, additive=1.0, measured_parents=False, seed=seed),
        {"drop": "home"},
    ),
    "twins": (lambda seed: simulate.twins(100, 120, additive=1.0, common=0.8, residual=0.4, seed=seed), {}),
    "features": (lambda seed: simulate.markers(150, 40, variance=1.5, residual=0.7, seed=seed), {}),
    "pedigree": (lambda seed: simulate.animals(20, 3, 40, 3, variance=1.5, residual=0.7, seed=seed), {}),
}
REPLICATES = 120


def fitted(world, seed):
    make, options = WORLDS[world]
    source = make(seed)
    formula, truth, cov = source.formula, dict(source.theta), dict(source.cov)
    if "drop" in options:
        formula = "y ~ x + (1 | gr(person, cov=A))"
        truth.pop(options["drop"])
        cov.pop("C")
    spec = bind(formula, source.data, cov=cov, weights=options.get("weights"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        estimate = estimators.get("reml")().fit(spec)
    evaluation = choose(spec)[0].at(estimate.theta)
    names = [term.name.split(":")[0] if term.cov_name else term.name for term in spec.all_terms]
    by_name = [names[where.term] for where in spec.index]
    keys = {key.split(".")[0] for key in truth}
    assert set(by_name) == keys
    order = [i for key in dict.fromkeys(k.split(".")[0] for k in truth) for i, n in enumerate(by_name) if n == key]
    return estimate.theta[order], evaluation.beta, np.array(list(truth.values())), list(source.beta.values())


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS)
def test_simulated_truth_is_recovered(world):
    runs = [fitted(world, 1000 + seed) for seed in range(REPLICATES)]
    z_scores([run[0] for run in runs], runs[0][2], f"variance components of {world}")
    z_scores([run[1] for run in runs], runs[0][3], f"fixed effects of {world}")
