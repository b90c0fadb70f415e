"""Variance-components mixed models: lme4 formulas, known covariances, exchangeable estimators.

import mixedvc as mv
fit = mv.fit("y ~ x + (1 | kin:A)", data, cov={"A": A})
print(fit.summary())
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import errors, estimators
from .api import compare, fit, load, model
from .covariance import Dense, Features, Identity, Kronecker, Precision, Sparse, pedigree
from .estimators import ML, REML
from .io.datasets import load_data

if TYPE_CHECKING:
    from . import priors
    from .correlation import genetic_correlation, genetic_correlation_from_summary
    from .each import fit_each
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
    "fit_each",
    "genetic_correlation",
    "genetic_correlation_from_summary",
    "load",
    "load_data",
    "lrt",
    "model",
    "pedigree",
    "priors",
]

_WHEN_ASKED_FOR = {
    "cross_validate": ".validation",
    "fit_each": ".each",
    "genetic_correlation": ".correlation",
    "genetic_correlation_from_summary": ".correlation",
    "lrt": ".results.lrt",
}
_FOLDERS = ("priors",)


def __getattr__(name: str) -> Any:
    """Functions of parts that most sessions do not need, imported when first asked for."""
    if name in _FOLDERS:
        return import_module(f".{name}", __name__)
    if name not in _WHEN_ASKED_FOR:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_WHEN_ASKED_FOR[name], __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
