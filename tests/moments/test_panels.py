"""Panels of rows of every height and origin give the numbers of explicit n×n algebra."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from mixedvc import structures
from mixedvc.covariance import Dense, Features
from mixedvc.covariance.labels import Labels
from mixedvc.errors import MixedVCError
from mixedvc.moments import Variant, choose_moments, exact, moment_kinds, operators, panels
from mixedvc.testing import assemble, problems
from mixedvc.testing.checks import moment_checks
from mixedvc.testing.moment_checks import VARIANTS, BruteMoments
from tests.design.test_joint import joined
from tests.tolerances import IDENTITY, OBJECTIVE


class Low(panels.PanelMoments):
    """Panels of five rows, so that small problems have many."""

    _height = 5


class LowKind:
    name, random = "low panels", False

    def cost(self, spec):
        return moment_kinds.get("panels").cost(spec)

    def __call__(self, spec, *, probes=0, rng=None):
        return Low(spec, probes=probes, rng=rng)


def two_samples(seed=1, n=30):
    """Indicator effects of two groups of rows in the term and in the residual."""
    rng = np.random.default_rng(seed)
    first = np.arange(n) < 12
    both = np.column_stack([first, ~first]).astype(float)
    labels = [f"i{i:02d}" for i in range(n)]
    B = rng.standard_normal((n, n + 5))
    K = Dense(B @ B.T / (n + 5), labels)
    term = assemble.term("i", labels, basis=both, covariance=K)
    spec = assemble.spec(rng.standard_normal(n), both, [term])
    residual = replace(spec.residual, effects=("one", "two"), basis=both, structure=structures.make("diag", 2))
    return replace(spec, residual=residual)


@pytest.mark.parametrize("problem", problems.names())
def test_many_low_panels_equal_brute_force(problem):
    assert len(moment_checks(LowKind(), [problems.bound(problem)])) > 30


@pytest.mark.parametrize("problem", ["features", "precision", "pedigree", "kronecker", "sparse_blocks"])
def test_kernels_computed_panel_by_panel_equal_brute_force(problem, monkeypatch):
    monkeypatch.setattr(operators, "_KEPT_BYTES", 0)
    assert len(moment_checks(LowKind(), [problems.bound(problem)])) > 30


def test_more_features_than_rows_equal_brute_force(monkeypatch):
    monkeypatch.setattr(operators, "_KEPT_BYTES", 0)
    rng = np.random.default_rng(3)
    labels = [f"i{i:02d}" for i in range(23)]
    W = Features(rng.integers(0, 3, (23, 60)), labels)
    group = np.array(labels, dtype=object)[rng.permutation(23)[:19]]
    spec = assemble.spec(rng.standard_normal(19), np.ones((19, 1)), [assemble.term("i", group, covariance=W)])
    assert len(moment_checks(LowKind(), [spec])) > 30


@pytest.mark.parametrize("name", [name for name in moment_kinds.names() if name != "blocks"])
@pytest.mark.parametrize("spec", [two_samples(), joined(), joined("diag")], ids=["one term", "weights, offset", "diag"])
def test_residuals_of_two_variances_equal_brute_force(spec, name):
    """Two samples in one model, as a genetic correlation has them."""
    kind = LowKind() if name == "panels" else moment_kinds.get(name)
    assert len(moment_checks(kind, [spec])) > 15


# only `panels` knows residuals that are correlated within groups; moment_checks compare it with brute force there
SEVERAL = [name for name in problems.names() if not problems.bound(name).correlated_residual]


@pytest.mark.parametrize("problem", SEVERAL)
def test_all_exact_kinds_agree(problem):
    spec = problems.bound(problem)
    exact = [moment_kinds.get(name) for name in moment_kinds if not moment_kinds.get(name).random]
    found = [kind(spec) for kind in exact if kind.cost(spec) is not None]
    assert len(found) >= 2
    theta = np.linspace(1.0, 2.0, len(spec.index))
    sizes = BruteMoments(spec).sizes
    for variant in VARIANTS:
        S = [m.equations(variant).S / np.outer(sizes, sizes) for m in found]
        C = [m.covariance(variant, theta)[0] / np.outer(sizes, sizes) for m in found]
        for other in range(1, len(found)):
            np.testing.assert_allclose(S[other], S[0], rtol=0, atol=1e-10)
            np.testing.assert_allclose(C[other], C[0], rtol=0, atol=1e-10 * np.abs(C[0]).max())


@pytest.mark.parametrize("name", moment_kinds.names())
def test_a_few_columns_at_a_time_give_the_same(name, monkeypatch):
    monkeypatch.setattr(exact, "_COLUMN_BYTES", 8 * 48 * 5 * 3)
    kind = LowKind() if name == "panels" else moment_kinds.get(name)
    assert len(moment_checks(kind, [problems.bound("kinship_slopes")])) > 15


def large(n, kernels=2):
    rng = np.random.default_rng(8)
    labels = Labels(np.arange(n).astype(object), "test")
    terms = []
    for i in range(kernels):
        K = np.eye(n)
        K += rng.uniform(-0.01, 0.01, (n, 1)) * np.ones(n)
        K = 0.5 * (K + K.T)
        terms.append(assemble.term(f"k{i}", np.arange(n), covariance=Dense.trusted(K, labels)))
    return assemble.spec(rng.standard_normal(n), np.ones((n, 1)), terms)


def test_stored_kernels_are_not_copied():
    spec = large(1500)
    tracemalloc.start()
    moments = choose_moments(spec)
    for variant in VARIANTS:
        moments.equations(variant)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert moments.name == "panels"
    assert peak < 0.1 * 8 * 1500**2, f"{peak / 1e6:.1f} MB"


@pytest.mark.parametrize(("features", "name"), [(60, "factors"), (2000, "panels")])
def test_features_are_met_without_their_kernel(features, name, monkeypatch):
    monkeypatch.setattr(operators, "_KEPT_BYTES", 0)
    monkeypatch.setattr(panels, "_COMPUTED_BYTES", 2**20)
    n, rng = 1500, np.random.default_rng(6)
    W = Features(rng.integers(0, 3, (n, features)).astype(np.int8), np.arange(n).astype(object))
    term = assemble.term("i", np.arange(n), covariance=W)
    spec = assemble.spec(rng.standard_normal(n), np.ones((n, 1)), [term])
    monkeypatch.setattr("mixedvc.covariance.features.CHUNK_BYTES", 2**20, raising=False)
    tracemalloc.start()
    moments = choose_moments(spec)
    found = moments.equations(Variant())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert moments.name == name
    assert peak < 0.6 * 8 * n**2, f"{peak / 1e6:.1f} MB"
    np.testing.assert_allclose(found.S[0, 0], np.sum(W.block() ** 2), **OBJECTIVE)  # centred: M K M = K


def test_gathered_kernels_take_a_bounded_buffer():
    base = large(1500, kernels=1)
    order = np.random.default_rng(0).permutation(1500)
    spec = assemble.spec(base.y, base.X, [assemble.term("k", order, covariance=base.terms[0].covariance)])
    tracemalloc.start()
    small = Low(spec).equations(Variant())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.2 * 8 * 1500**2, f"{peak / 1e6:.1f} MB"
    back = assemble.spec(base.y[np.argsort(order)], base.X, base.terms)
    np.testing.assert_allclose(small.S, choose_moments(back).equations(Variant()).S, **IDENTITY)


@pytest.mark.parametrize(
    ("outer", "message"),
    [
        (np.eye(7), "a row and a column for each of 24 rows"),
        (np.triu(np.ones((24, 24))), "not symmetric: row and column"),
        (np.where(np.eye(24) > 0, np.nan, 0.0), "not finite in row 0"),
    ],
)
def test_what_is_no_outer_product_of_the_rows_is_refused(outer, message):
    moments = choose_moments(problems.bound("one_way"))
    with pytest.raises(MixedVCError, match=message):
        moments.equations(Variant(), outer=outer)


def test_responses_of_another_length_are_refused():
    moments = choose_moments(problems.bound("one_way"))
    with pytest.raises(MixedVCError, match=r"\(24, c\) is expected"):
        moments.quadratic(Variant(), np.ones((23, 2)))
