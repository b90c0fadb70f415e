"""Likelihoods: dense, spectral, canonical, reduced, blocks, grouped, sparse; which is chosen.  Importing registers."""

from . import blocked, blocks, canonical, dense, reduced, sparse_mme, spectral  # noqa: F401  (registers)
from .base import Evaluation, Likelihood, likelihoods
from .choose import choose, rank_choices

__all__ = ["Evaluation", "Likelihood", "choose", "likelihoods", "rank_choices"]
