"""Estimators: `names()` lists the registered ones, `get(name)` gives the class; importing registers ours."""

from . import reml  # noqa: F401  (registers)
from .base import Estimator, PointEstimate, TraceRow, estimators
from .reml import ML, REML

names, get, register = estimators.names, estimators.get, estimators.register

__all__ = ["ML", "REML", "Estimator", "PointEstimate", "TraceRow", "estimators", "get", "names", "register"]
