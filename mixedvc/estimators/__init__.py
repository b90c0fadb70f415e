"""Estimators: `names()` lists the registered ones, `get(name)` gives the class; importing registers ours."""

from . import em, fisher, gibbs, he, mm, pxem, rehe, reml, rerehe  # noqa: F401  (registers)
from .base import Estimator, PointEstimate, PosteriorEstimate, TraceRow, estimators
from .em import EM
from .fisher import Fisher
from .gibbs import Gibbs
from .he import HE
from .mm import MM
from .pxem import PXEM
from .rehe import REHE
from .reml import ML, REML
from .rerehe import ReREHE

names, get, register = estimators.names, estimators.get, estimators.register

__all__ = [
    "EM",
    "HE",
    "ML",
    "MM",
    "PXEM",
    "REHE",
    "REML",
    "Estimator",
    "Fisher",
    "Gibbs",
    "PointEstimate",
    "PosteriorEstimate",
    "ReREHE",
    "TraceRow",
    "estimators",
    "get",
    "names",
    "register",
]
