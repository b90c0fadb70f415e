"""R's names for models sampled by MCMCglmm, so that a script ports line by line:
``from mixedvc.porting.mcmcglmm import *``.

Formulas are text, dots in names become underscores (``posterior_mode``, ``heidel_diag``), lists are dictionaries,
``m$VCV[, "animal"]`` is ``m.VCV["animal"]`` and ``rowSums(m$VCV)`` is ``rowSums(m.VCV)``.  Numbers are draws of the
posterior that MCMCglmm samples, under its priors and names, printed in its layout; ``m.fit`` (``as_mixedvc(m)``) is
mixedvc's own result.
"""

from __future__ import annotations

from ..io.datasets import load_data
from .coda import (
    HPDinterval,
    autocorr,
    autocorr_diag,
    batchSE,
    effective_size_bulk,
    effectiveSize,
    geweke_diag,
    heidel_diag,
    mcpar,
    posterior_mode,
    raftery_diag,
)
from .mcface import as_mixedvc, colMeans, diag, posterior_cor, posterior_evals, posterior_inverse, rowSums, summary
from .mcfit import MCMCglmm
from .mcpedigree import inverseA, prunePed, rbv, sm2asreml
from .mcpredict import plot, predict
from .rvalues import c, data_frame, head, rprint

TRUE, FALSE, NULL = True, False, None

__all__ = [
    "FALSE",
    "NULL",
    "TRUE",
    "HPDinterval",
    "MCMCglmm",
    "as_mixedvc",
    "autocorr",
    "autocorr_diag",
    "batchSE",
    "c",
    "colMeans",
    "data_frame",
    "diag",
    "effectiveSize",
    "effective_size_bulk",
    "geweke_diag",
    "head",
    "heidel_diag",
    "inverseA",
    "load_data",
    "mcpar",
    "plot",
    "posterior_cor",
    "posterior_evals",
    "posterior_inverse",
    "posterior_mode",
    "predict",
    "prunePed",
    "raftery_diag",
    "rbv",
    "rowSums",
    "rprint",
    "sm2asreml",
    "summary",
]
