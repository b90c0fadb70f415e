"""What every known covariance must satisfy; for our own classes and for those of outside packages."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..covariance.base import Can, Covariance, covariances
from ..errors import CovarianceError

Float = NDArray[np.float64]

_SAME = {"rtol": 1e-9, "atol": 1e-10}
_Z = 5.0  # largest standardised deviation of a simulated covariance


def check_covariance(cov: Covariance, A: Float | None = None, *, draws: int = 20_000) -> None:
    """Assert the whole contract of `mixedvc.covariance.Covariance` for one covariance of a few levels.

    Parameters
    ----------
    cov : Covariance
        Registered under ``cov.kind``; up to a few dozen levels.
    A : (q, q), optional
        The covariance as dense numbers from an independent source; ``cov.block()`` by default.
    draws : int
        Columns simulated to compare with A; 0 leaves the simulation out.

    Raises
    ------
    AssertionError
        Naming the method that disagrees.
    """
    given = cov.block() if A is None else np.asarray(A, dtype=float)
    rng = np.random.default_rng(20)
    checks: tuple[Callable[[Covariance, Float, np.random.Generator], None], ...] = (
        check_labels,
        check_blocks,
        check_products,
        check_roots,
        check_restriction,
        check_components,
        check_inverse,
        check_storage,
    )
    for check in checks:
        check(cov, given, rng)
    if draws:
        check_draws(cov, given, rng, draws)


def check_labels(cov: Covariance, A: Float, rng: np.random.Generator) -> None:
    """Labels are unique, found by name, and unknown names give −1."""
    q = len(cov.labels)
    assert A.shape == (q, q), f"block() is {A.shape} for {q} labels"
    assert cov.labels.dtype == object, "labels are an object array"
    assert len(set(cov.labels.tolist())) == q, "labels are unique"
    shuffled = rng.permutation(q)
    found = cov.positions(cov.labels[shuffled])
    np.testing.assert_array_equal(found, shuffled, "positions() finds labels in any order")
    assert found.dtype == np.intp
    assert cov.positions(np.array(["no such level"], dtype=object)).tolist() == [-1], "unknown labels give -1"


def check_blocks(cov: Covariance, A: Float, rng: np.random.Generator) -> None:
    """block, sparse_block and diagonal agree for all levels, some, repeated and rectangular ones."""
    q = len(cov.labels)
    np.testing.assert_allclose(cov.block(), A, err_msg="block()", **_SAME)
    np.testing.assert_allclose(A, A.T, err_msg="symmetry", **_SAME)
    np.testing.assert_allclose(cov.sparse_block().toarray(), A, err_msg="sparse_block()", **_SAME)
    np.testing.assert_allclose(cov.diagonal(), np.diagonal(A), err_msg="diagonal()", **_SAME)
    some = rng.permutation(q)[: max(1, q // 2)]
    for rows in (some, np.sort(some), rng.integers(0, q, q + 3), np.arange(q), np.arange(q)[::-1].copy()):
        want = A[np.ix_(rows, rows)]
        np.testing.assert_allclose(cov.block(rows), want, err_msg="block(rows)", **_SAME)
        np.testing.assert_allclose(cov.diagonal(rows), np.diagonal(want), err_msg="diagonal(rows)", **_SAME)
        sparse = cov.sparse_block(rows)
        assert sp.issparse(sparse) and sparse.format == "csr", "sparse_block() is a csr array"
        np.testing.assert_allclose(sparse.toarray(), want, err_msg="sparse_block(rows)", **_SAME)
        cols = rng.integers(0, q, 4)
        np.testing.assert_allclose(cov.block(rows, cols), A[np.ix_(rows, cols)], err_msg="block(rows, cols)", **_SAME)
    assert cov.block().dtype == np.float64


def check_products(cov: Covariance, A: Float, rng: np.random.Generator) -> None:
    """matmat is A @ B and leaves B alone."""
    B = rng.standard_normal((len(A), 3))
    before = B.copy()
    np.testing.assert_allclose(cov.matmat(B), A @ B, err_msg="matmat()", **_SAME)
    np.testing.assert_array_equal(B, before, "matmat() must not write to its argument")


def check_roots(cov: Covariance, A: Float, rng: np.random.Generator) -> None:
    """factor gives F Fᵀ = A, with fewer columns than rows where LOW_RANK is declared."""
    F = cov.factor()
    np.testing.assert_allclose(F @ F.T, A, err_msg="factor()", **_SAME)
    if Can.LOW_RANK in cov.can:
        assert F.shape[1] < F.shape[0], "LOW_RANK declared, but factor() has as many columns as rows"
    rows = rng.permutation(len(A))[: max(1, len(A) // 2)]
    G = cov.factor(rows)
    np.testing.assert_allclose(G @ G.T, A[np.ix_(rows, rows)], err_msg="factor(rows)", **_SAME)


def check_restriction(cov: Covariance, A: Float, rng: np.random.Generator) -> None:
    """restrict gives the marginal covariance in the order asked for, again and again."""
    q = len(A)
    rows = rng.permutation(q)[: max(1, (2 * q) // 3)]
    part = cov.restrict(rows)
    assert part.labels.tolist() == cov.labels[rows].tolist(), "restrict() keeps the order asked for"
    np.testing.assert_allclose(part.block(), A[np.ix_(rows, rows)], err_msg="restrict().block()", **_SAME)
    np.testing.assert_allclose(part.diagonal(), np.diagonal(A)[rows], err_msg="restrict().diagonal()", **_SAME)
    B = rng.standard_normal((len(rows), 2))
    np.testing.assert_allclose(part.matmat(B), A[np.ix_(rows, rows)] @ B, err_msg="restrict().matmat()", **_SAME)
    again = np.arange(len(rows))[::-1][: max(1, len(rows) // 2)]
    want = A[np.ix_(rows[again], rows[again])]
    np.testing.assert_allclose(part.restrict(again).block(), want, err_msg="restrict().restrict()", **_SAME)
    if Can.PRECISION in part.can:
        _check_precision(part, A[np.ix_(rows, rows)])
    try:
        cov.restrict(np.array([0, 0]))
    except CovarianceError as error:
        assert "twice" in str(error)
    else:
        raise AssertionError("restrict() to the same level twice must be refused")


def check_components(cov: Covariance, A: Float, rng: np.random.Generator) -> None:
    """A is zero between groups, groups are numbered from 0, and BLOCKS and DIAGONAL tell the truth."""
    q = len(A)
    for rows in (None, rng.permutation(q)[: max(1, q // 2)]):
        groups = cov.components(rows)
        inside = A if rows is None else A[np.ix_(rows, rows)]
        np.testing.assert_array_equal(np.unique(groups), np.arange(groups.max() + 1), "groups count from 0")
        assert np.all(inside[groups[:, None] != groups] == 0.0), "A must be zero between groups"
    count = cov.components().max() + 1
    if Can.BLOCKS in cov.can:
        assert count > 1 or q == 1, "BLOCKS declared, but there is one group"
    if Can.DIAGONAL in cov.can:
        assert np.all(np.diag(np.diagonal(A)) == A), "DIAGONAL declared, but A is not diagonal"


def check_inverse(cov: Covariance, A: Float, rng: np.random.Generator) -> None:
    """precision and logdet where declared; a clear refusal where not."""
    if Can.PRECISION in cov.can:
        _check_precision(cov, A)
    else:
        _check_refused(cov.precision, cov)
    sign, logdet = np.linalg.slogdet(A)
    values = np.linalg.eigvalsh(A)
    if sign > 0 and values[0] > 1e-8 * values[-1]:
        np.testing.assert_allclose(cov.logdet(), logdet, err_msg="logdet()", rtol=1e-8, atol=1e-8)
    elif values[0] < 1e-14 * values[-1]:
        _check_refused(cov.logdet, cov)


def _check_precision(cov: Covariance, A: Float) -> None:
    Q = cov.precision()
    assert sp.issparse(Q) and Q.format == "csc", "precision() is a csc array"
    np.testing.assert_allclose(Q.toarray() @ A, np.eye(len(A)), err_msg="precision() @ A", rtol=0, atol=1e-8)


def _check_refused(method: Callable[[], Any], cov: Covariance) -> None:
    try:
        method()
    except CovarianceError as error:
        assert len(str(error)) > 20, "a refusal says why"
    else:
        raise AssertionError(f"{cov.kind} cannot give {method.__name__}() and must raise CovarianceError")


def check_storage(cov: Covariance, A: Float, rng: np.random.Generator) -> None:
    """state is JSON and plain arrays, from_state rebuilds the same thing under its registered name."""
    options, arrays = cov.state()
    text = json.dumps(options)
    for name, array in arrays.items():
        assert isinstance(array, np.ndarray) and array.dtype != object, f"state array {name!r} must hold plain numbers"
    again = covariances.get(cov.kind).from_state(json.loads(text), {k: np.array(v) for k, v in arrays.items()})
    assert again.labels.tolist() == cov.labels.tolist(), "labels survive state()"
    assert [type(x) for x in again.labels] == [type(x) for x in cov.labels], "types of labels survive state()"
    np.testing.assert_allclose(again.block(), A, err_msg="from_state(state())", **_SAME)
    assert again.can == cov.can, "from_state(state()) can do the same"
    assert again.fingerprint() == cov.fingerprint() == cov.fingerprint(), "equal covariances have equal fingerprints"
    assert again.describe() == cov.describe() and cov.describe()
    rows = np.arange(max(1, len(A) - 1))
    if len(A) > 1:
        assert cov.restrict(rows).fingerprint() != cov.fingerprint(), "another set of levels, another fingerprint"


def check_draws(cov: Covariance, A: Float, rng: np.random.Generator, draws: int) -> None:
    """Draws have covariance A: every entry within a few Monte Carlo standard errors; the seed decides them."""
    first = cov.draw(np.random.default_rng(3), 2)
    assert first.shape == (len(A), 2)
    np.testing.assert_array_equal(first, cov.draw(np.random.default_rng(3), 2), "the same seed, the same draws")
    U = cov.draw(rng, draws)
    error = np.sqrt((A**2 + np.outer(np.diagonal(A), np.diagonal(A))) / draws) + 1e-12
    worst = np.abs((U @ U.T / draws - A) / error).max()
    assert worst < _Z, f"draw() has another covariance than block(): {worst:.1f} standard errors away"
