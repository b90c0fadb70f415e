"""Coordinates of every structure: there and back, the Jacobian against differences, starts on the boundary, the T."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.sampling.coordinates import (
    Boxed,
    Held,
    Spherical,
    coordinates_of,
    linear_parameters,
    log_size,
    size_coordinate,
)
from mixedvc.structures.factors import FactorAnalytic, ReducedRank
from mixedvc.structures.patterned import Autoregressive, CompoundSymmetry
from mixedvc.structures.serial import Serial
from mixedvc.structures.us import Diagonal, Unstructured
from tests.tolerances import IDENTITY, OBJECTIVE, PARAMETER

STRUCTURES = [
    Unstructured(1),
    Unstructured(2),
    Unstructured(4),
    Diagonal(3),
    CompoundSymmetry(3),
    CompoundSymmetry(3, hom=True),
    Autoregressive(4),
    Autoregressive(3, hom=False),
    FactorAnalytic(5, 2),
    ReducedRank(4, 2),
    Serial("ar1", (0, 1, 3, 0, 1), (0, 0, 0, 1, 1), ("a", "b")),
    Serial("cs", (0, 1, 2), (0, 0, 0)),
]


def coordinates(structure):
    """With sizes and a T that are not one."""
    rng = np.random.default_rng(structure.k)
    k, n_par = structure.k, structure.n_par
    if structure.name == "us":
        return Spherical(structure, np.triu(rng.normal(size=(k, k))) + 2.0 * np.eye(k))
    loadings = len(structure.loadings) if hasattr(structure, "loadings") else 0
    power = np.append(np.full(n_par - loadings, 2.0), np.ones(loadings))
    return Boxed(structure, rng.uniform(0.5, 2.0, size=n_par), power)


@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
def test_parameters_go_there_and_back_and_their_jacobian_is_that_of_differences(structure):
    found = coordinates(structure)
    z = 1.2 * np.random.default_rng(1).normal(size=(5, found.d))
    par = found.par(z)
    np.testing.assert_allclose(found.z(par), z, rtol=1e-6, atol=1e-6)
    h = 1e-6
    J = np.stack([(found.par(z + h * e) - found.par(z - h * e)) / (2.0 * h) for e in np.eye(found.d)], axis=2)
    np.testing.assert_allclose(found.log_jacobian(z), np.linalg.slogdet(J)[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
def test_linear_parameters_of_many_points_are_entries_of_each_sigma(structure):
    par = coordinates(structure).par(np.random.default_rng(2).normal(size=(4, structure.n_par)))
    a, b = np.array(structure.pairs).T
    want = np.stack([structure.build(row)[a, b] for row in par])
    np.testing.assert_allclose(linear_parameters(structure, par), want, **OBJECTIVE)


@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
def test_every_point_is_a_covariance_and_loadings_have_their_sign(structure):
    found = coordinates(structure)
    for row in found.par(3.0 * np.random.default_rng(3).normal(size=(50, found.d))):
        Sigma = structure.build(row)
        if not getattr(structure, "degenerate", False):
            assert np.linalg.eigvalsh(Sigma).min() > -1e-10 * np.trace(Sigma)
        if hasattr(structure, "loadings"):
            rows, columns = structure.loadings.entries
            assert (row[structure.n_par - len(rows) :][rows == columns] > 0.0).all()


@pytest.mark.parametrize(
    ("structure", "par"),
    [
        (Unstructured(1), [0.0]),
        (Unstructured(2), [1.0, 1.0, 1.0]),
        (Unstructured(2), [0.0, 0.0, 0.0]),
        (Unstructured(2), [1e-12, -1e-7, 1e-2]),
        (Diagonal(2), [0.0, 3.0]),
        (CompoundSymmetry(3, hom=True), [0.0, 1.0]),
        (CompoundSymmetry(3, hom=True), [2.0, -0.5]),
        (FactorAnalytic(3, 1), [0.0, 0.1, 0.2, 0.5, -0.5, 0.3]),
    ],
)
def test_a_start_on_the_boundary_has_coordinates_near_it(structure, par):
    found = coordinates(structure)
    z = found.z(found.inside(np.array(par))[None, :])
    assert np.isfinite(z).all()
    assert np.abs(z).max() < 8.0


def test_sizes_have_coordinates_from_the_smallest_to_the_largest():
    log = np.array([-300.0, -20.0, -1.0, 0.0, 0.7, 5.0, 200.0])
    np.testing.assert_allclose(log_size(size_coordinate(log)), log, rtol=1e-10, atol=1e-12)


def test_flat_densities_of_an_sd_and_of_a_correlation_have_gaussian_tails():
    """The log density falls like −z²/2: a logarithm and an inverse hyperbolic tangent would leave straight lines."""
    us = Spherical(Unstructured(2), np.eye(2))
    z = np.zeros((3, 3))
    z[:, 1] = [-4.0, -6.0, -8.0]  # the partial correlation; dρ = const is dpar = const here
    np.testing.assert_allclose(np.diff(us.log_jacobian(z)), [-10.0, -14.0], atol=0.01)
    one = Spherical(Unstructured(1), np.eye(1))
    v = one.par(z[:, 1:2])
    np.testing.assert_allclose(np.diff(one.log_jacobian(z[:, 1:2]) - 0.5 * np.log(v[:, 0])), [-10.0, -14.0], atol=0.05)


def test_held_parameters_have_no_coordinates():
    found = Held(Unstructured(2), np.array([1.0, 0.2, 2.0]))
    assert found.z(np.ones((3, 3))).shape == (3, 0)
    np.testing.assert_allclose(found.par(np.empty((2, 0))), [[1.0, 0.2, 2.0]] * 2, **IDENTITY)
    assert found.log_jacobian(np.empty((2, 0))).tolist() == [0.0, 0.0]


def slopes(shift):
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"g": np.repeat(list("abcdefgh"), 5), "x": np.tile(np.arange(5.0), 8) + shift})
    return mv.model("y ~ x + (x | g)", data.assign(y=rng.normal(size=40)))


def test_the_effects_of_a_year_are_taken_orthogonal_and_recentring_it_changes_nothing():
    found = []
    for shift in (0.0, 2000.0):
        spec = slopes(shift)
        term = spec.terms[0]
        T = coordinates_of(spec, term, None, spec.response).T
        working = term.basis @ T
        gram = working.T @ working
        assert abs(gram[0, 1]) < 1e-6 * np.sqrt(gram[0, 0] * gram[1, 1])
        assert T[1, 0] == 0.0
        found.append(working)
    sizes = [np.sqrt(np.square(working).mean(axis=0)) for working in found]
    np.testing.assert_allclose(found[0] / sizes[0], found[1] / sizes[1], rtol=1e-6, atol=1e-8)


def test_a_slope_without_variance_is_a_small_size_and_no_extreme_correlation():
    spec = slopes(2000.0)
    found = coordinates_of(spec, spec.terms[0], None, spec.response)
    z = found.z(np.array([[1.0, 0.3e-5, 1e-10]]))[0]  # r = .3
    assert z[2] < -4.0
    assert abs(z[1]) < 4.0
    np.testing.assert_allclose(found.par(z[None, :])[0], [1.0, 0.3e-5, 1e-10], **PARAMETER)
