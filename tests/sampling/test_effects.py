"""Draws of the effects given θ, β, y against the normal law written out, moment by moment and not by Monte Carlo.

A draw is an affine map of the standard normal numbers it takes: with all of them zero it is the mean, and with one of
them one it is the mean plus a column of a root of the covariance.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.likelihood import likelihoods
from mixedvc.sampling import effects, effects_likelihood
from mixedvc.sampling.base import Draws
from mixedvc.testing import assemble, brute, problems, thetas

from ..tolerances import IDENTITY

EXACT = {"rtol": 1e-6, "atol": 1e-8}  # of covariances whose kernels may be singular to 1e-12


class Impulse:
    """Stands in for a generator: zeros, but one for the normal number called `at`; counts them."""

    def __init__(self, at=-1):
        self.at, self.count = at, 0

    def standard_normal(self, shape=None):
        size = int(np.prod(shape)) if shape is not None else 1
        out = np.zeros(size)
        if 0 <= self.at - self.count < size:
            out[self.at - self.count] = 1.0
        self.count += size
        return out.reshape(shape) if shape is not None else out[0]


def law(draw):
    """Mean and covariance of draw(rng), flattened effect by effect."""
    flat = lambda found: np.concatenate([u.ravel() for u in found])  # noqa: E731
    zero = Impulse()
    mean = flat(draw(zero))
    root = np.array([flat(draw(Impulse(i))) - mean for i in range(zero.count)]).T
    return mean, root @ root.T


def exact_law(spec, theta, beta, relatives=False):
    """Mean and covariance of u | θ, β, y from the joint normal law, in the same order."""
    sigmas, blocks, designs = spec.sigmas(theta), [], []
    for i, term in enumerate(spec.terms):
        seen = len(term.covariance.labels) == term.q or not relatives
        at = term.positions if seen else np.arange(len(term.covariance.labels))
        A = term.covariance.block(at)
        blocks.append(np.einsum("lm,ab->lamb", A, sigmas[i]).reshape(A.shape[0] * term.k, -1))
        place = np.arange(term.q) if seen else term.positions
        Z = np.zeros((spec.n, len(at), term.k))
        Z[np.arange(spec.n), place[term.codes]] = term.basis
        designs.append(Z.reshape(spec.n, -1))
    size = sum(len(block) for block in blocks)
    G, start = np.zeros((size, size)), 0
    for block in blocks:
        G[start : start + len(block), start : start + len(block)] = block
        start += len(block)
    Z = np.hstack(designs)
    V = brute.Brute(spec).at(theta).V
    across = np.linalg.solve(V, Z @ G).T
    return across @ (spec.response - spec.X @ beta), G - across @ Z @ G


def assert_law(likelihood, spec, seed, relatives=False):
    rng = np.random.default_rng(seed)
    theta = thetas.interior(spec, rng)
    beta = brute.Brute(spec).at(theta).beta + rng.standard_normal(spec.p)
    sampler = effects.EffectSampler(likelihood, relatives)
    mean, cov = law(lambda r: sampler.draw(theta, beta, r))
    want_mean, want = exact_law(spec, theta, beta, relatives)
    size = np.sqrt(np.maximum(np.diagonal(want), 1e-300))
    np.testing.assert_allclose(mean / size.max(), want_mean / size.max(), **EXACT)
    np.testing.assert_allclose(cov / size.max() ** 2, want / size.max() ** 2, **EXACT)


def kinds(spec):
    return [name for name in likelihoods.names() if likelihoods.get(name).cost(spec) is not None]


@pytest.mark.parametrize("name", problems.names())
def test_a_draw_has_the_conditional_law_of_every_term(name):
    spec = problems.bound(name)
    if not spec.terms:
        likelihood = likelihoods.get(kinds(spec)[0])(spec, reml=True)
        theta = thetas.interior(spec, np.random.default_rng(1))
        assert effects.draw_effects(likelihood, theta, np.zeros(spec.p), np.random.default_rng(1)) == ()
        return
    for kind in kinds(spec):
        assert_law(likelihoods.get(kind)(spec, reml=True), spec, 11)


@pytest.mark.parametrize("name", problems.names())
def test_relatives_without_records_have_the_joint_law_with_the_levels(name):
    spec = problems.bound(name)
    if all(len(term.covariance.labels) == term.q for term in spec.terms):
        return
    assert_law(likelihoods.get(kinds(spec)[0])(spec, reml=True), spec, 12, relatives=True)


def _with_relatives(covariance):
    rng = np.random.default_rng(3)
    known = {"dense": np.arange(0, 9), "sparse": np.arange(2, 11), "features": np.arange(3, 10)}[covariance]
    ids = np.array([f"a{i}" for i in range(14)], dtype=object)
    if covariance == "features":
        W = pd.DataFrame(rng.integers(0, 3, (14, 6)).astype(float), index=ids)
        A = mv.Features(W)
    elif covariance == "sparse":  # families of sizes 1, 2 and 4 with clones among them; some without any record
        A = np.eye(14)
        for family in ([0, 1, 2, 3], [4, 5], [6, 7], [10, 11, 12], [12, 13]):
            A[np.ix_(family, family)] += 0.5
        A[4, 5] = A[5, 4] = A[4, 4]
        from scipy.sparse import csr_array

        A = mv.Sparse(csr_array(A), ids)
    else:
        F = rng.standard_normal((14, 20))
        A = mv.Dense(F @ F.T / 20, ids)
    who = ids[rng.choice(known, 16)]
    term = assemble.term("a", who, covariance=A, basis=np.column_stack([np.ones(16), rng.standard_normal(16)]))
    return assemble.spec(rng.standard_normal(16), np.ones((16, 1)), [term])


@pytest.mark.parametrize("covariance", ["dense", "sparse", "features"])
def test_relatives_of_stored_numbers_families_and_features(covariance):
    spec = _with_relatives(covariance)
    assert len(spec.terms[0].covariance.labels) > spec.terms[0].q
    for relatives in (False, True):
        assert_law(likelihoods.get("dense")(spec, reml=True), spec, 13, relatives)


@pytest.mark.parametrize("name", ["relatives_without_rows", "pedigree"])
def test_the_levels_in_the_data_are_the_same_with_relatives_as_without(name):
    spec = problems.bound(name)
    likelihood = likelihoods.get(kinds(spec)[0])(spec, reml=True)
    theta, beta = thetas.interior(spec, np.random.default_rng(1)), np.zeros(spec.p)
    alone = effects.draw_effects(likelihood, theta, beta, effects.effect_rng(5, 0, 3))
    all_ = effects.draw_effects(likelihood, theta, beta, effects.effect_rng(5, 0, 3), relatives=True)
    term = spec.terms[0]
    assert all_[0].shape[0] == len(effects.labels_of(term, True)) > term.q
    np.testing.assert_array_equal(alone[0], all_[0][term.positions])


def test_another_response_of_the_likelihood_is_the_one_that_counts():
    spec = problems.bound("crossed_weights_offset")
    y = spec.y + np.linspace(-1, 1, spec.n)
    for kind in kinds(spec):
        likelihood = likelihoods.get(kind)(spec, reml=True).with_response(y)
        assert_law(likelihood, replace(spec, y=y), 14)


def test_sparse_equations_draw_in_the_place_of_a_dense_likelihood_unless_it_has_another_response():
    rng = np.random.default_rng(5)
    who, herd = rng.integers(0, 60, 300), rng.integers(0, 50, 300)
    terms = [assemble.term("a", who), assemble.term("h", herd)]
    spec = assemble.spec(rng.standard_normal(300), np.ones((300, 1)), terms)
    for kind in ("dense", "blocks", "reduced", "woodbury"):
        if likelihoods.get(kind).cost(spec) is None:
            continue
        likelihood = likelihoods.get(kind)(spec, reml=True)
        assert effects_likelihood.for_effects(likelihood).name in ("sparse", kind)
        other = likelihood.with_response(spec.y + 1.0)
        assert effects_likelihood.for_effects(other) is other
    dense = likelihoods.get("dense")(spec, reml=True)
    assert effects_likelihood.for_effects(dense).name == "sparse"
    few = problems.bound("one_way")
    assert effects_likelihood.for_effects(likelihoods.get("dense")(few, reml=True)).name == "dense"


def _draws(spec, C=2, D=5):
    rng = np.random.default_rng(2)
    theta = np.array([[thetas.interior(spec, rng) for _ in range(D)] for _ in range(C)])
    beta = rng.standard_normal((C, D, spec.p))
    zero = np.zeros((C, D))
    return Draws(theta, theta, beta, zero, zero, None, 77, 0, 1, None, (), (), (), {})


@pytest.mark.parametrize("name", ["two_kernels", "families", "traits_missing"])
def test_the_effects_of_a_kept_draw_do_not_depend_on_which_others_are_asked_for(name):
    spec = problems.bound(name)
    likelihood = likelihoods.get(kinds(spec)[0])(spec, reml=True)
    draws = _draws(spec)
    every = list(effects.draws_of_effects(likelihood, draws))
    assert len(every) == 10
    (some,) = effects.draws_of_effects(likelihood, draws, at=[(1, 2)])
    piece = effects.effects_of(likelihood, draws.theta[1, 1:4], draws.beta[1, 1:4], 77, 1, first=1)
    for term in range(len(spec.terms)):
        np.testing.assert_array_equal(some[term], every[7][term])
        np.testing.assert_array_equal(piece[term], np.stack([u[term] for u in every[6:9]]))
        assert not np.allclose(every[0][term], every[5][term], **IDENTITY)


def test_stored_effects_are_handed_out_as_they_are():
    spec = problems.bound("one_way")
    likelihood = likelihoods.get(kinds(spec)[0])(spec, reml=True)
    kept = np.arange(2 * 5 * 6.0).reshape(2, 5, 6, 1)
    draws = replace(_draws(spec), effects=(kept,))
    found = list(effects.draws_of_effects(likelihood, draws))
    np.testing.assert_array_equal(found[6][0], kept[1, 1])
