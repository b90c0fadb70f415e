"""``confint`` and ``profile``: mixedvc's intervals under lme4's names of parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.stats

from ..errors import OptionError
from ..inference.parameters import Parameter, parameters
from .mermod import LmerMod, need_model
from .rnumbers import number
from .rvalues import RFrame, as_sequence, frame


def ordered_parameters(m: LmerMod) -> list[Parameter]:
    """The variance parameters in lme4's order, the residual's last.

    A term's lower triangle goes column by column: a standard deviation, its correlations with later effects, the next.
    """
    rows = parameters(m.spec)
    out: list[Parameter] = []
    for block in m.blocks:
        own = [p for p in rows if p.term == block.place]
        out += sorted((p for p in own if p.a >= 0), key=lambda p: (p.a, p.b)) or own
    return [*out, rows[-1]]


def parameter_names(m: LmerMod) -> list[str]:
    """``.sig01``, …, ``.sigma``: the variance parameters as lme4's profiles call them."""
    return [f".sig{j + 1:02d}" for j in range(len(ordered_parameters(m)) - 1)] + [".sigma"]


def confint(
    m: LmerMod,
    parm: Any = None,
    level: float = 0.95,
    method: str = "profile",
    nsim: int = 500,
    boot_type: str = "perc",
    seed: int | None = None,
    quiet: bool = True,
) -> RFrame:
    """Intervals of standard deviations, correlations and fixed effects.

    Parameters
    ----------
    parm : str, list, optional
        Rows: names, 1-based positions, ``"beta_"`` (fixed effects) or ``"theta_"`` (variance parameters).
    method : "profile" | "Wald" | "boot"
        "profile" profiles the ML criterion, also of a REML fit, as lme4 does (``m.fit.profile()`` profiles the
        criterion that was fitted). "Wald" has no intervals for variance parameters.
    nsim, boot_type, seed
        Of the parametric bootstrap: refits, "perc", "basic" or "norm", and the seed.
    quiet : bool
        Nothing is printed either way.
    """
    need_model(m, "confint")
    if not 0 < level < 1:
        raise OptionError(f"level={level!r}: a number between 0 and 1 is needed")
    names = [*parameter_names(m), *m.names]
    rows = _rows(parm, names, len(names) - len(m.names))
    columns = [f"{number(100 * p, 3)} %" for p in ((1 - level) / 2, (1 + level) / 2)]
    if method == "Wald":
        values = _wald(m, level)
    elif method == "profile":
        values = _profile(m, level)
    elif method == "boot":
        values = _boot(m, level, nsim, boot_type, seed)
    else:
        raise OptionError(f"confint(method={method!r}): 'profile', 'Wald' or 'boot'")
    return frame(pd.DataFrame(values, names, columns).loc[rows])


def _rows(parm: Any, names: list[str], fixed_from: int) -> list[str]:
    if parm is None:
        return names
    if isinstance(parm, str) and parm in ("beta_", "theta_"):
        return names[fixed_from:] if parm == "beta_" else names[:fixed_from]
    rows = [names[p - 1] if isinstance(p, int) and 1 <= p <= len(names) else p for p in as_sequence(parm)]
    unknown = [row for row in rows if row not in names]
    if unknown:
        raise OptionError(f"confint(parm={unknown[0]!r}): the parameters are {', '.join(names)}")
    return rows


def _wald(m: LmerMod, level: float) -> Any:
    z = float(scipy.stats.norm.ppf(0.5 + level / 2))
    beta, se = np.asarray(m.fit.evaluation.beta), np.sqrt(np.diagonal(m.fit.evaluation.beta_cov))
    missing = np.full((len(parameter_names(m)), 2), np.nan)
    return np.vstack([missing, np.column_stack([beta - z * se, beta + z * se])])


def _profile(m: LmerMod, level: float) -> Any:
    table = profile(m, level=level).conf_int()
    labels = {"variance": "sd({})", "covariance": "corr({})", "correlation": "{}"}
    rows = [labels[p.kind].format(p.name) for p in ordered_parameters(m)] + list(m.spec.x_names)
    return table.loc[rows, ["lower", "upper"]].to_numpy()


def _boot(m: LmerMod, level: float, nsim: int, boot_type: str, seed: int | None) -> Any:
    kinds = {"perc": "percentile", "basic": "basic", "norm": "normal"}
    if boot_type not in kinds:
        raise OptionError(f"boot_type={boot_type!r}: 'perc', 'basic' or 'norm'")
    table = m.fit.bootstrap(nsim=nsim, seed=seed).conf_int(level, kinds[boot_type])
    rows = [("sd" if p.kind == "variance" else "correlation", p.name) for p in ordered_parameters(m)]
    rows += [("fixed", name) for name in m.spec.x_names]
    return table.loc[rows].to_numpy()


def allFit(m: LmerMod, starts: int = 3, seed: int | None = 0) -> Any:
    """The same criterion maximised by every method that can and from several starts, with a verdict in words.

    lme4 tries several optimizers because each may stop early; here the methods are different algorithms.
    """
    return need_model(m, "allFit").fit.all_fit(starts=starts, seed=seed)


def profile(m: LmerMod, level: float = 0.95) -> Any:
    """Profiles of the ML criterion, also of a REML fit, as lme4's; with ``conf_int()``, ``frame`` and ``plot()``."""
    return need_model(m, "profile").fit.profile(level=level, criterion="ml")
