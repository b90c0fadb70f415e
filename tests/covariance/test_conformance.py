"""Every registered covariance keeps the contract."""

import numpy as np
import pytest

from mixedvc.covariance import Can, Covariance, Dense, covariances
from mixedvc.testing.covariance_checks import check_covariance, check_inverse, check_restriction, check_storage
from tests.covariance.examples import examples, full, names

CASES = examples()


@pytest.mark.parametrize(("kind", "what", "cov", "A"), CASES, ids=[f"{c[0]}, {c[1]}" for c in CASES])
def test_a_covariance_keeps_the_contract(kind, what, cov, A):
    assert cov.kind == kind
    check_covariance(cov, A)


@pytest.mark.parametrize("kind", list(covariances))
def test_every_registered_kind_has_an_example(kind):
    held = [cov for k, _, cov, _ in CASES if k == kind]
    assert held, f"add an example of {kind!r} to tests/covariance/examples.py"
    assert all(isinstance(cov, Covariance) for cov in held)
    assert covariances.get(kind) is type(held[0])


def test_every_ability_is_shown_by_some_example():
    shown = {ability for _, _, cov, _ in CASES for ability in Can if ability in cov.can}
    assert shown == set(Can)


class Wrong:
    """A dense covariance with one method replaced."""

    kind = "dense"

    def __init__(self, **changed):
        self._cov = Dense(full(), names(7))
        self._changed = changed

    def __getattr__(self, name):
        return self._changed[name] if name in self._changed else getattr(self._cov, name)


@pytest.mark.parametrize(
    ("method", "wrong", "message"),
    [
        ("diagonal", lambda rows=None: np.ones(7 if rows is None else len(rows)), "diagonal"),
        ("matmat", lambda B: 2 * (full() @ B), "matmat"),
        ("factor", lambda rows=None: np.eye(7 if rows is None else len(rows)), "factor"),
        ("components", lambda rows=None: np.arange(7 if rows is None else len(rows)), "zero between groups"),
        ("logdet", lambda: 1.0, "logdet"),
        ("draw", lambda rng, size=1: rng.standard_normal((7, size)), "draw"),
        ("can", Can.LOW_RANK, "LOW_RANK declared"),
    ],
)
def test_the_checks_find_a_wrong_method(method, wrong, message):
    with pytest.raises(AssertionError, match=message):
        check_covariance(Wrong(**{method: wrong}), full())


def test_the_checks_find_an_inverse_of_the_wrong_block():
    cov = Dense(full(), names(7))
    part = Wrong(can=Can.PRECISION, precision=lambda: __import__("scipy.sparse").sparse.csc_array(np.eye(7)))
    with pytest.raises(AssertionError, match="precision"):
        check_inverse(part, full(), np.random.default_rng(0))
    check_restriction(cov, full(), np.random.default_rng(0))


def test_the_checks_find_labels_that_change_type():
    cov = Wrong(state=lambda: ({"labels": [*names(6), 6], "psd": "error"}, {"matrix": full()}))
    with pytest.raises(AssertionError, match="labels survive"):
        check_storage(cov, full(), np.random.default_rng(0))
