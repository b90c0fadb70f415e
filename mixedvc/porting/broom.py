"""broom.mixed's ``tidy`` with R's names of effects."""

from __future__ import annotations

from typing import Any

import pandas as pd
import scipy.stats

from ..errors import OptionError
from .extract import ranef, ranef_frame
from .mermod import LmerMod
from .rvalues import RFrame, frame
from .summary import summary_of

KINDS = ("fixed", "ran_pars", "ran_vals")


def tidied(m: LmerMod, effects: Any, conf_int: bool, level: float, ddf: str | None) -> RFrame:
    """One row an effect or variance parameter."""
    wanted = [effects] if isinstance(effects, str) else list(effects)
    unknown = [e for e in wanted if e not in KINDS]
    if unknown:
        raise OptionError(f"tidy(effects={effects!r}): choose among {', '.join(map(repr, KINDS))}")
    parts: list[pd.DataFrame] = []
    if "fixed" in wanted:
        parts.append(_fixed(m, conf_int, level, ddf))
    if "ran_pars" in wanted:
        parts.append(_parameters(m))
    if "ran_vals" in wanted:
        parts.append(_values(m, conf_int, level))
    table = pd.concat(parts, ignore_index=True)
    order = [
        "effect",
        "group",
        "level",
        "term",
        "estimate",
        "std.error",
        "statistic",
        "df",
        "p.value",
        "conf.low",
        "conf.high",
    ]
    return frame(table[[name for name in order if name in table.columns]])


def _fixed(m: LmerMod, conf_int: bool, level: float, ddf: str | None) -> pd.DataFrame:
    shown = summary_of(m, ddf).coefficients
    out = pd.DataFrame(
        {
            "effect": "fixed", "group": None, "term": list(m.names), "estimate": shown["Estimate"].to_numpy(),
            "std.error": shown["Std. Error"].to_numpy(), "statistic": shown["t value"].to_numpy(),
        }
    )  # fmt: skip
    if "df" in shown.columns:
        out["df"], out["p.value"] = shown["df"].to_numpy(), shown["Pr(>|t|)"].to_numpy()
    return _limits(out, level) if conf_int else out


def _limits(table: pd.DataFrame, level: float) -> pd.DataFrame:
    z = float(scipy.stats.norm.ppf(0.5 + level / 2))
    return table.assign(
        **{
            "conf.low": table["estimate"] - z * table["std.error"],
            "conf.high": table["estimate"] + z * table["std.error"],
        }
    )


def _parameters(m: LmerMod) -> pd.DataFrame:
    rows: list[tuple[Any, ...]] = []
    for block in m.blocks:
        R, names = block.correlation, block.effects
        for j, first in enumerate(names):
            rows.append(("ran_pars", block.name, f"sd__{first}", float(block.sd[j])))
            rows += [
                ("ran_pars", block.name, f"cor__{first}.{names[i]}", float(R[i, j]))
                for i in range(j + 1, len(names))
                if block.linked
            ]
    rows.append(("ran_pars", "Residual", "sd__Observation", m.sigma))
    return pd.DataFrame(rows, columns=["effect", "group", "term", "estimate"])


def _values(m: LmerMod, conf_int: bool, level: float) -> pd.DataFrame:
    table = ranef_frame(ranef(m)).rename(
        columns={"grpvar": "group", "grp": "level", "condval": "estimate", "condsd": "std.error"}
    )
    out = pd.DataFrame(table).assign(effect="ran_vals")
    return _limits(out, level) if conf_int else out
