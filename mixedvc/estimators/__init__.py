"""Estimators; importing registers ours."""

from . import reml  # noqa: F401  (registers)
from .base import Estimator, PointEstimate, TraceRow, estimators
from .reml import ML, REML

__all__ = ["ML", "REML", "Estimator", "PointEstimate", "TraceRow", "estimators"]
