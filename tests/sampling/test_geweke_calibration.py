"""Simulation-based calibration (Talts et al. 2018): ranks of the truth among draws given its data are uniform."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2

from mixedvc import priors as pr
from mixedvc.sampling import conjugate_engines
from mixedvc.sampling.collapsed import plan_collapsed
from mixedvc.testing import assemble

from . import geweke_cases as cases
from .joint_law import ConjugateKernel, JointLaw

BINS = 5
LEVEL = 1e-4  # of the χ² test of each parameter; seeds are fixed


def kernel_law():
    return cases.law(cases.groups(), {"g": cases.WIDE, "residual": cases.RESIDUAL}, "spectral")


def animal_law():
    ids, A = cases.pedigree()
    rng = np.random.default_rng(8)
    who = np.array(ids, dtype=object)[[4, 5, 6, 7, 8, 9, 7, 9, 4, 6]]
    terms = [assemble.term("a", who, covariance=A), assemble.term("g", np.repeat([0, 1, 2, 3, 4], 2))]
    spec = assemble.spec(rng.standard_normal(10), np.ones((10, 1)), terms)
    return cases.law(spec, {"a": cases.WIDE, "g": pr.HalfT(3.0, 0.8), "residual": cases.RESIDUAL})


def traits_law():
    return cases.law(cases.traits(), {"g": cases.IW2, "residual": cases.IW2})


def conjugate_draws(kernel, y, draws, thin, rng):
    """Draws (draws, parameters) of a chain from a start that knows nothing of the truth."""
    pieces, own = kernel.start(rng)
    _, kept = kernel.sweeps(y, pieces, own, (draws + 3) * thin, rng)
    return kept[3 * thin :: thin][:draws]


def collapsed_draws(law: JointLaw, y, draws, rng):
    """Draws of the collapsed scheme, planned on these data."""
    target = law.on(y)
    scheme = plan_collapsed(target, law.par(rng), 4, seed=int(rng.integers(1 << 30))).scheme(target)
    state, out = scheme.begin(rng), []
    while sum(map(len, out)) < draws + 10:
        piece, state = scheme.advance(state, rng)
        out.append(np.hstack([piece.par, piece.beta]))
    return np.concatenate(out)[10 : 10 + draws]


def ranks(law, sample, sets, draws, seed):
    """(sets, parameters) ranks of the truth, 0…draws."""
    rng, out = np.random.default_rng(seed), []
    for _ in range(sets):
        par, beta = law.par(rng), law.fixed(rng)
        found = sample(law.response(par, beta, rng), draws, rng)
        out.append((found < np.append(par, beta)).sum(axis=0))
    return np.array(out)


def smallest_p(found, draws):
    """The smallest p-value of a χ² test of uniform ranks."""
    least = 1.0
    for column in found.T:
        seen = np.bincount(column * BINS // (draws + 1), minlength=BINS)
        expected = np.bincount(np.arange(draws + 1) * BINS // (draws + 1)) * len(column) / (draws + 1)
        least = min(least, float(chi2.sf(np.sum((seen - expected) ** 2 / expected), BINS - 1)))
    return least


@pytest.mark.slow
@pytest.mark.parametrize(("make", "sets", "thin"), [(kernel_law, 200, 5), (animal_law, 40, 8), (traits_law, 40, 6)])
def test_ranks_of_the_truth_among_draws_of_the_conjugate_scheme_are_uniform(make, sets, thin):
    law = make()
    kernel = ConjugateKernel(law)
    found = ranks(law, lambda y, draws, rng: conjugate_draws(kernel, y, draws, thin, rng), sets, 14, seed=5)
    assert smallest_p(found, 14) > LEVEL


@pytest.mark.slow
@pytest.mark.parametrize(("make", "sets"), [(kernel_law, 40), (animal_law, 10), (traits_law, 10)])
def test_ranks_of_the_truth_among_draws_of_the_collapsed_scheme_are_uniform(make, sets):
    law = make()
    found = ranks(law, lambda y, draws, rng: collapsed_draws(law, y, draws, rng), sets, 14, seed=6)
    assert smallest_p(found, 14) > LEVEL


@pytest.mark.slow
def test_a_wrong_degree_of_freedom_makes_ranks_of_the_conjugate_scheme_uneven(monkeypatch):
    law = kernel_law()
    kernel = ConjugateKernel(law)
    plain = conjugate_engines.Rotated.scatter

    def wrong(self, *args):
        found = plain(self, *args)
        return replace(found, count=found.count + 1)

    monkeypatch.setattr(conjugate_engines.Rotated, "scatter", wrong)
    found = ranks(law, lambda y, draws, rng: conjugate_draws(kernel, y, draws, 5, rng), 200, 14, seed=5)
    assert smallest_p(found, 14) < LEVEL
