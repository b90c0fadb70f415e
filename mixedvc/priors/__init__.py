"""Priors of variance components and fixed effects: small frozen objects, ``InverseWishart(1, 0.002)``."""

from .base import priors
from .inverse_wishart import InverseWishart

names, get, register = priors.names, priors.get, priors.register

__all__ = ["InverseWishart", "get", "names", "priors", "register"]
