"""What our own tests and outside plug-ins check themselves with: conformance checks, brute force, simulators.

>>> from mixedvc.testing import estimator_checks
>>> from mixedvc import REML
>>> done = estimator_checks(REML())
>>> "reaches_the_maximum on slopes" in done
True
"""

from __future__ import annotations

from .checks import (
    balanced_one_way,
    check_covariance,
    draw_checks,
    estimator_checks,
    likelihood_checks,
    moment_checks,
    structure_checks,
    zero_is_zero,
)
from .prior_checks import prior_checks

__all__ = [
    "balanced_one_way",
    "check_covariance",
    "draw_checks",
    "estimator_checks",
    "likelihood_checks",
    "moment_checks",
    "prior_checks",
    "structure_checks",
    "zero_is_zero",
]
