"""The conformance checks: plain functions that raise AssertionError, for our plug-ins and everybody's.

>>> from mixedvc import structures
>>> from mixedvc.testing.checks import structure_checks
>>> structure_checks(structures.make("us", 3))
"""

from __future__ import annotations

from .covariance_checks import check_covariance
from .estimators import balanced_one_way, estimator_checks, zero_is_zero
from .likelihood_checks import draw_checks, likelihood_checks
from .moment_checks import moment_checks
from .structure_checks import structure_checks

__all__ = [
    "balanced_one_way",
    "check_covariance",
    "draw_checks",
    "estimator_checks",
    "likelihood_checks",
    "moment_checks",
    "structure_checks",
    "zero_is_zero",
]
