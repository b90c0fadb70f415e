"""A sampled posterior as plain values for JSON: summaries of every number, priors, how it was sampled; no draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..io.archive import versions
from .plain import model_plain, plain, records
from .posterior import PosteriorResults


def posterior_plain(fit: PosteriorResults, level: float, interval: str | None) -> dict[str, Any]:
    """Keys as those of `plain.as_plain`, where a posterior has them; ``sampler`` and ``priors`` beside them."""
    kind, spec = interval or "hdi", fit.spec
    return {
        "model": model_plain(fit),
        "fit": {"method": fit.method, "converged": fit.converged, "message": fit.estimate.message},
        "sampler": _sampler(fit),
        "priors": dict(fit.prior_words()),
        "interval": {"kind": kind, "level": level},
        "fixed": records(fit.tidy("fixed", conf_int=True, level=level, interval=kind)),
        "cov_fixed": {"names": list(spec.x_names), "matrix": plain(fit.cov_params().to_numpy())},
        "varcomp": records(fit.variances(level=level, interval=kind)),
        "cov_varcomp": {"names": list(fit.cov_varcomp().index), "matrix": plain(fit.cov_varcomp().to_numpy())},
        "random": records(fit.tidy("ran_vals", conf_int=True, level=level, interval=kind)),
        "notes": [*spec.notes, *fit.estimate.notes],
        "written_by": versions(),
    }


def _sampler(fit: PosteriorResults) -> dict[str, Any]:
    draws = fit.draws
    return {
        "scheme": draws.plan.name,
        "chains": draws.chains,
        "draws": draws.count,
        "burnin": draws.burnin,
        "thin": draws.thin,
        "seed": draws.seed,
        "interrupted": draws.interrupted,
        "folder": draws.folder,
        "facts": {name: plain(np.asarray(values)) for name, values in draws.facts.items()},
        "computation": fit.computation,
    }
