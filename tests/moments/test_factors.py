"""Grouping factors through their levels: large crossed data by closed form, levels in independent groups."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import mixedvc as mv
from mixedvc.covariance import Features, Precision
from mixedvc.moments import Variant, choose_moments, factors, levels, moment_kinds
from mixedvc.moments.levels import at_levels
from mixedvc.testing import assemble, simulate
from mixedvc.testing.checks import moment_checks
from tests.tolerances import COMPONENT, OBJECTIVE


@pytest.fixture(scope="module")
def insteval():
    return mv.load_data("insteval")


def test_two_crossed_factors_of_73421_rows_have_the_equations_of_their_counts(insteval):
    """With an intercept S and q are sums over the counts n_s, n_d, n_sd and the totals of y − ȳ."""
    spec = mv.model("y ~ 1 + (1 | s) + (1 | d)", insteval)
    tracemalloc.start()
    moments = choose_moments(spec)
    found = moments.equations(Variant())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert moments.name == "factors"
    assert peak < 100e6
    n = len(insteval)
    r = insteval["y"] - insteval["y"].mean()
    size = [insteval.groupby(g)["y"].transform("size").to_numpy(float) for g in ("s", "d")]
    counts = [insteval.groupby(g).size().to_numpy(float) for g in ("s", "d", ["s", "d"])]
    inner = np.array([[counts[0] @ counts[0], counts[2] @ counts[2], n], [0, counts[1] @ counts[1], n], [0, 0, n]])
    sums = np.array([*size, np.ones(n)])
    S = np.triu(inner) + np.triu(inner, 1).T - 2 * sums @ sums.T / n + np.outer(sums.sum(1), sums.sum(1)) / n**2
    q = [np.sum(r.groupby(insteval[g]).sum() ** 2) for g in ("s", "d")]
    np.testing.assert_allclose(found.S, S, **OBJECTIVE)
    np.testing.assert_allclose(found.q, [*q, r @ r], **OBJECTIVE)


def test_the_sandwich_of_73421_rows_agrees_with_probes(insteval):
    spec = mv.model("y ~ 1 + (1 | s) + (1 | d)", insteval)
    theta = np.array([0.105, 0.32, 1.35])
    exact, error = choose_moments(spec).covariance(Variant(), theta)
    assert error is None
    about, error = choose_moments(spec, trace="hutchinson", probes=40).covariance(Variant(), theta)
    assert (np.abs(about - exact) < 4 * error).all()
    assert (np.diag(error) < 0.15 * np.diag(exact)).all()


def test_balanced_groups_give_the_estimates_of_the_analysis_of_variance():
    """dyestuff2: (MSB − MSE)/5 is negative; so is the moment estimate, to the recorded digits."""
    found = choose_moments(mv.model("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff2"))).equations(Variant())
    np.testing.assert_allclose(np.linalg.solve(found.S, found.q), [-1.321913, 14.945890], **COMPONENT)


def grouped_precision():
    D = np.diff(np.eye(5), axis=0)
    Q = sp.block_diag([D.T @ D + 0.5 * np.eye(5)] * 3, format="csc")
    labels = [f"l{i:02d}" for i in range(15)]
    group = np.array(labels, dtype=object)[np.random.default_rng(0).integers(0, 14, 40)]
    term = assemble.term("l", group, covariance=Precision(sp.csc_array(Q), labels))
    return assemble.spec(np.sin(np.arange(40.0)), np.ones((40, 1)), [term])


def two_pedigrees():
    table = pd.DataFrame(
        {"id": list("abcdefghij"), "sire": [None, None, "a", "a", "c", *[None] * 2, "f", "f", "h"]}
    ).assign(dam=[None, None, "b", "b", "d", *[None] * 2, "g", "g", "i"])
    P = mv.pedigree(table)
    rng = np.random.default_rng(1)
    term = assemble.term("a", np.array(list("cdehij"), dtype=object)[rng.integers(0, 6, 25)], covariance=P)
    return assemble.spec(rng.standard_normal(25), np.ones((25, 1)), [term])


@pytest.mark.parametrize("make", [grouped_precision, two_pedigrees])
def test_levels_in_independent_groups_are_met_without_the_zeros_between_them(make):
    spec = make()
    A = at_levels(spec.terms[0], spec.terms[0].basis).A
    assert sp.issparse(A)
    assert A.nnz < 0.6 * spec.terms[0].q ** 2
    assert len(moment_checks(moment_kinds.get("factors"), [spec])) > 30


@pytest.mark.parametrize("columns", [512, 2])
def test_several_sets_of_features_and_slopes_on_them_equal_brute_force(columns, monkeypatch):
    """Two low ranks, one of them with slopes, and a grouping factor, F in one piece and in many."""
    monkeypatch.setattr(levels, "_BLOCK", columns)
    rng = np.random.default_rng(12)
    labels = [f"i{i:02d}" for i in range(20)]
    who = np.array(labels, dtype=object)[rng.integers(0, 20, 34)]
    basis = np.column_stack([np.ones(34), rng.standard_normal(34)])
    terms = [
        assemble.term("a", who, covariance=Features(rng.standard_normal((20, 5)), labels), basis=basis),
        assemble.term("b", who, covariance=Features(rng.standard_normal((20, 7)), labels)),
        assemble.term("c", rng.integers(0, 6, 34)),
    ]
    spec = assemble.spec(rng.standard_normal(34), np.ones((34, 1)), terms, weights=rng.uniform(0.5, 2, 34))
    assert [level.low_rank for level in factors.FactorMoments(spec).levels] == [True, True, False]
    assert len(moment_checks(moment_kinds.get("factors"), [spec])) > 30


def test_families_of_a_sparse_kernel_and_a_household_are_met_at_their_levels():
    source = simulate.families(6, 2, seed=14)
    spec = mv.model(source.formula, source.data, cov=source.cov)
    assert len(moment_checks(moment_kinds.get("factors"), [spec])) > 30
