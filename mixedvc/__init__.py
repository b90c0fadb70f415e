"""Variance-components mixed models: lme4 formulas, known covariances, exchangeable estimators.

import mixedvc as mv
fit = mv.fit("y ~ x + (1 | kin:A)", data, cov={"A": A})
print(fit.summary())
"""

from __future__ import annotations

from . import errors, estimators
from .api import compare, fit, load, model
from .correlation import genetic_correlation, genetic_correlation_from_summary
from .covariance import Dense, Features, Identity, Kronecker, Precision, Sparse, pedigree
from .estimators import ML, REML
from .io.datasets import load_data
from .results.lrt import lrt
from .validation import cross_validate

__version__ = "0.1.0.dev0"

__all__ = [
    "ML",
    "REML",
    "Dense",
    "Features",
    "Identity",
    "Kronecker",
    "Precision",
    "Sparse",
    "compare",
    "cross_validate",
    "errors",
    "estimators",
    "fit",
    "genetic_correlation",
    "genetic_correlation_from_summary",
    "load",
    "load_data",
    "lrt",
    "model",
    "pedigree",
]
