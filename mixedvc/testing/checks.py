"""The conformance checks: plain functions that raise AssertionError, for our plug-ins and everybody's.

>>> from mixedvc import structures
>>> from mixedvc.testing.checks import structure_checks
>>> structure_checks(structures.make("us", 3))
"""

from __future__ import annotations

from .likelihood_checks import draw_checks, likelihood_checks
from .structure_checks import structure_checks

__all__ = ["draw_checks", "likelihood_checks", "structure_checks"]
