"""Likelihoods: dense, spectral, canonical, reduced, blocks, grouped, sparse, woodbury; how one is chosen."""

from . import blocked, blocks, canonical, dense, reduced, sparse_mme, spectral, woodbury  # noqa: F401  (registers)
from .base import Evaluation, Likelihood, likelihoods
from .choose import choose, rank_choices

__all__ = ["Evaluation", "Likelihood", "choose", "likelihoods", "rank_choices"]
