"""Frames of a posterior: variance components, broom.mixed's tidy and glance, shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..inference import ratios
from ..inference.intervals import check_level
from ..inference.parameters import Parameter, parameters
from . import posterior_numbers as pn
from .frames import TIDY_EFFECTS, TIDY_SCALES
from .posterior_data import effect_draws, sd_draws, share_draws
from .posterior_derived import PosteriorQuantity
from .support import only_kernel

if TYPE_CHECKING:
    import pandas as pd

    from .posterior import PosteriorResults

Float = NDArray[np.float64]
OWN = ("correlation", "loading")


def variance_frame(fit: PosteriorResults, level: float, interval: str) -> pd.DataFrame:
    """One row a variance parameter, the residual last; see `PosteriorResults.varcomp`."""
    import pandas as pd

    rows = parameters(fit.spec)
    made = [fit.summary_of("par", j, level, interval) for j in range(len(rows))]
    scaled = sd_draws(fit).mean(axis=(0, 1))
    own = np.array([p.kind in OWN for p in rows])
    return pd.DataFrame(
        {
            "group": [p.group for p in rows],
            "effect": pd.Series([None if p.effect == p.group else p.effect for p in rows], dtype=object),
            "effect2": pd.Series([p.effect2 for p in rows], dtype=object),
            "variance": np.where(own, np.nan, [n.mean for n in made]),
            "sd": scaled,
            "se": np.where(fit.estimate.fixed, np.nan, [n.sd for n in made]),
            "lower": [n.lower for n in made],
            "upper": [n.upper for n in made],
            "share": share_draws(fit).mean(axis=(0, 1)),
            "boundary": np.zeros(len(rows), dtype=bool),
            "median": [n.median for n in made],
            "mode": [mode_of(fit, j, p) for j, p in enumerate(rows)],
            "ess_bulk": [n.ess_bulk for n in made],
            "ess_tail": [n.ess_tail for n in made],
            "rhat": [n.rhat for n in made],
            "mcse": [n.mcse for n in made],
        }
    )


def range_of(p: Parameter) -> tuple[float | None, float | None]:
    """Ends of a parameter's range."""
    return {"variance": (0.0, None), "correlation": (-1.0, 1.0)}.get(p.kind, (None, None))


def mode_of(fit: PosteriorResults, j: int, p: Parameter) -> float:
    """Posterior mode of a variance parameter."""
    return pn.mode(fit.draws.par[..., j], 1.0, *range_of(p))


# ---- broom.mixed ----------------------------------------------------------------------------------------------------


def tidy(
    fit: PosteriorResults, effects: str | tuple[str, ...], scales: str, conf_int: bool, level: float, interval: str
) -> pd.DataFrame:
    """See `PosteriorReporting.tidy`."""
    import pandas as pd

    wanted = (effects,) if isinstance(effects, str) else tuple(effects)
    for one in wanted:
        if one not in TIDY_EFFECTS:
            raise OptionError(f"effects={one!r} is not one of {', '.join(map(repr, TIDY_EFFECTS))}")
    if scales not in TIDY_SCALES:
        raise OptionError(f"scales={scales!r} is not one of {', '.join(map(repr, TIDY_SCALES))}")
    records: list[dict[str, Any]] = []
    if "fixed" in wanted:
        for j, name in enumerate(fit.spec.x_names):
            numbers = fit.summary_of("beta", j, level, interval)
            records.append({"effect": "fixed", "term": name} | _estimate(numbers))
    if "ran_pars" in wanted:
        records += _tidy_parameters(fit, scales, level, interval)
    if "ran_vals" in wanted:
        records += _tidy_values(fit, level, interval)
    columns = ["effect", "group", *(["level"] if "ran_vals" in wanted else []), "term", "estimate", "std.error"]
    columns += [*(["conf.low", "conf.high"] if conf_int else []), "rhat", "ess"]
    return pd.DataFrame(records, columns=columns)


def _estimate(n: pn.Numbers) -> dict[str, float]:
    return {
        "estimate": n.mean,
        "std.error": n.sd,
        "conf.low": n.lower,
        "conf.high": n.upper,
        "rhat": n.rhat,
        "ess": n.ess_bulk,
    }


def _tidy_parameters(fit: PosteriorResults, scales: str, level: float, interval: str) -> list[dict[str, Any]]:
    scaled = sd_draws(fit) if scales == "sdcor" else fit.draws.par
    out = []
    for j, p in enumerate(parameters(fit.spec)):
        effect = "Observation" if p.group == fit.spec.residual.name and p.single else p.effect
        name = {"variance": {"sdcor": "sd", "vcov": "var"}[scales], "loading": "loading", "correlation": "cor"}.get(
            p.kind, {"sdcor": "cor", "vcov": "cov"}[scales]
        )
        term = f"{name}__{effect}" if p.effect2 is None else f"{name}__{effect}.{p.effect2}"
        numbers = pn.numbers(scaled[..., j], level, interval)
        out.append({"effect": "ran_pars", "group": p.group, "term": term} | _estimate(numbers))
    return out


def _tidy_values(fit: PosteriorResults, level: float, interval: str) -> list[dict[str, Any]]:
    out = []
    for term, u in zip(fit.spec.terms, effect_draws(fit), strict=True):
        for a, effect in enumerate(term.effects):
            for j, label in enumerate(term.levels):
                numbers = pn.numbers(u[:, :, j, a], level, interval)
                head = {"effect": "ran_vals", "group": term.name, "level": label, "term": effect}
                out.append(head | _estimate(numbers))
    return out


def glance(fit: PosteriorResults) -> pd.DataFrame:
    """broom.mixed's glance of a sampled model: one row."""
    import pandas as pd

    d, scale = fit.draws, fit.scale
    row: dict[str, Any] = {"algorithm": str(getattr(d.plan, "name", "")), "chains": d.chains, "pss": d.chains * d.count}
    row |= {"nobs": fit.nobs, "sigma": float(np.sqrt(scale)) if scale >= 0 else np.nan}
    if pn.there():
        every = fit.all_numbers()
        row["rhat.max"] = max((n.rhat for n in every.values() if n.rhat == n.rhat), default=np.nan)
        row["ess.min"] = min((n.ess_bulk for n in every.values() if n.ess_bulk == n.ess_bulk), default=np.nan)
    return pd.DataFrame([row])


# ---- shares ---------------------------------------------------------------------------------------------------------


def heritability(
    fit: PosteriorResults,
    term: str | None,
    denominator: Sequence[str] | None,
    scale: str,
    level: float,
    interval: str,
) -> PosteriorQuantity:
    """See `PosteriorInferring.heritability`."""
    spec = fit.spec
    top = only_kernel(spec) if term is None else term
    bottom = [t.name for t in spec.all_terms] if denominator is None else list(denominator)
    w = ratios.weights(spec, scale)
    above, below = np.zeros(len(w)), np.zeros(len(w))
    above[ratios.members(spec, top)] = 1.0
    for name in bottom:
        below[ratios.members(spec, name)] = 1.0
    total = fit.draws.theta @ (w * below)
    if not (total > 0).all():
        raise OptionError(f"the denominator {' + '.join(bottom)} is zero: name components that vary")
    prefix = "var" if scale == "variance" else "pve"
    inside = top in bottom
    return PosteriorQuantity(
        fit.draws.theta @ (w * above) / total,
        f"{prefix}({top})",
        " + ".join(f"{prefix}({name})" for name in bottom),
        check_level(level),
        pn.check_interval(interval),
        0.0,
        1.0 if inside else None,
    )
