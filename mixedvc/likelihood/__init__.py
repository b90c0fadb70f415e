"""Likelihoods: dense, spectral, reduced, blocks, grouped, sparse, and which is chosen; importing registers ours."""

from . import blocked, blocks, dense, reduced, sparse_mme, spectral  # noqa: F401  (registers)
from .base import Evaluation, Likelihood, likelihoods
from .choose import choose, rank_choices

__all__ = ["Evaluation", "Likelihood", "choose", "likelihoods", "rank_choices"]
