"""Priors of variance components and fixed effects: small frozen objects, ``InverseWishart(1, 0.002)``."""

from .base import priors
from .held import Fixed
from .huang_wand import HuangWand
from .inverse_wishart import InverseWishart
from .lkj import LKJ
from .normal import Normal
from .parameter_expanded import ParameterExpanded
from .patterned import Patterned
from .scalars import Flat, HalfCauchy, HalfT, InverseGamma
from .shares import VarianceShare
from .state import from_state, to_state

names, get, register = priors.names, priors.get, priors.register

__all__ = [
    "LKJ",
    "Fixed",
    "Flat",
    "HalfCauchy",
    "HalfT",
    "HuangWand",
    "InverseGamma",
    "InverseWishart",
    "Normal",
    "ParameterExpanded",
    "Patterned",
    "VarianceShare",
    "from_state",
    "get",
    "names",
    "priors",
    "register",
    "to_state",
]
