"""Which quantities a picture of a posterior shows, and their panels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import OptionError
from ...inference.parameters import parameters
from .style import axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..posterior import PosteriorResults

Float = NDArray[np.float64]
GROUPS = ("all", "fixed", "variances", "sd", "shares")
CHAINS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8c6d31", "#555555")  # Okabe and Ito
ACROSS = 3
MOST = 24  # panels of one picture


@dataclass(frozen=True)
class Shown:
    """One quantity of a picture.

    Attributes
    ----------
    name : str
    draws : (C, D)
    lower, upper : float or None
        Ends of its range, where it has any.
    column : int
        Of "par" for a variance parameter as it was sampled, else −1.
    """

    name: str
    draws: Float
    lower: float | None = None
    upper: float | None = None
    column: int = -1


def quantities(fit: PosteriorResults, asked: Any) -> list[Shown]:
    """What `asked` stands for: None, a group of GROUPS, a name, or a list of these."""
    wanted = ["variances"] if asked is None else [asked] if isinstance(asked, str) else list(asked)
    known = _known(fit)
    out: dict[str, Shown] = {}
    for one in wanted:
        if one in known["all"]:
            out[one] = known["all"][one]
        elif one == "all":
            out |= {**known["fixed"], **known["variances"]}
        elif one in known:
            out |= known[one]
        else:
            names = ", ".join(map(repr, [*GROUPS, *known["all"]]))
            raise OptionError(f"no quantity is called {one!r}; there are {names}")
    if not out:
        raise OptionError("nothing to draw: every parameter asked for is held fixed")
    return list(out.values())


def _known(fit: PosteriorResults) -> dict[str, dict[str, Shown]]:
    """Every quantity by group and name."""
    from ..posterior_data import sd_draws, term_shares

    spec, d = fit.spec, fit.draws
    fixed = {name: Shown(name, d.beta[..., j]) for j, name in enumerate(spec.x_names)}
    ends: dict[str, tuple[float | None, float | None]] = {"variance": (0.0, None), "correlation": (-1.0, 1.0)}
    free = [(j, p) for j, p in enumerate(parameters(spec)) if not fit.estimate.fixed[j]]
    variances = {p.name: Shown(p.name, d.par[..., j], *ends.get(p.kind, (None, None)), j) for j, p in free}
    scaled, words = sd_draws(fit), {"variance": "sd", "loading": "loading"}
    sds = {}
    for j, p in free:
        name = f"{words.get(p.kind, 'corr')}({p.name})"
        sds[name] = Shown(name, scaled[..., j], *((-1.0, 1.0) if "corr" in name else (0.0, None)))
    names, shares = term_shares(fit)
    parts = {}
    for i, name in enumerate(names):
        for t, trait in enumerate([""] if spec.traits is None else spec.traits.names):
            x = shares[..., i] if spec.traits is None else shares[..., i, t]
            label = f"share({name}[{trait}])" if trait else f"share({name})"
            if np.ptp(x) > 0:
                parts[label] = Shown(label, x, 0.0, 1.0)
    groups = {"fixed": fixed, "variances": variances, "sd": sds, "shares": parts}
    return {**groups, "all": {**fixed, **variances, **sds, **parts}}


def panels(n: int, given: Any, what: str, width: float = 3.6, height: float = 2.5) -> list[Axes]:
    """n panels in rows of `across`."""
    if n > MOST and given is None:
        raise OptionError(f"{what} of {n} quantities would have {n} panels: choose at most {MOST} by name")
    return axes(n, given, what, width * across(n) + 0.4, height, across=across(n))


def across(n: int) -> int:
    """Panels beside each other."""
    return 2 if n == 4 else min(n, ACROSS)


def combined(fit: PosteriorResults) -> list[str]:
    """A colour for each chain."""
    return [CHAINS[c % len(CHAINS)] for c in range(fit.draws.chains)]
