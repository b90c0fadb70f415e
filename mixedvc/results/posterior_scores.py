"""Scores of a posterior's predictions as small objects that say in words what they mean and whether to trust them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from ..design.spec import ModelSpec
from ..errors import OptionError

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]
_CHUNK = 4_000_000  # log-likelihoods smoothed at a time


@dataclass(frozen=True)
class DIC:
    """Deviance information criterion.

    Attributes
    ----------
    mean_deviance : float
        D̄, the posterior mean of −2 log p(y | …).
    deviance_at_means : float
        At the posterior means of what it is conditional on.
    marginal : bool
        Random effects integrated out, not conditioned on.
    se : float
        Monte-Carlo standard error of D̄ (that of the value is about twice as large).
    """

    mean_deviance: float
    deviance_at_means: float
    marginal: bool
    se: float

    @property
    def p(self) -> float:
        """p_D, the effective number of parameters."""
        return self.mean_deviance - self.deviance_at_means

    @property
    def value(self) -> float:
        """D̄ + p_D: smaller is better."""
        return self.mean_deviance + self.p

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        given = "random effects integrated out" if self.marginal else "given the random effects"
        return (
            f"DIC {self.value:.2f} ({given}): mean deviance {self.mean_deviance:.2f}, effective parameters {self.p:.2f}"
        )


@dataclass(frozen=True, eq=False)
class ElpdScore:
    """Expected log pointwise predictive density of new data, larger is better.

    Attributes
    ----------
    kind : str
        "loo" or "waic".
    unit : str
        What was left out one at a time: "row", "record", "group", or a term's name.
    frame : DataFrame
        One row a unit: elpd, and pareto_k (loo) or p (waic).
    p : float
        Effective number of parameters.
    marginal : bool
        Random effects integrated out exactly.
    good_k : float
        Largest Pareto k at which this many draws are reliable.
    """

    kind: str
    unit: str
    frame: pd.DataFrame
    p: float
    marginal: bool = False
    good_k: float = 0.7

    @property
    def elpd(self) -> float:
        """Sum over the units."""
        return float(self.frame["elpd"].sum())

    @property
    def se(self) -> float:
        """Standard error of `elpd` over units."""
        return float(np.sqrt(len(self.frame) * self.frame["elpd"].var(ddof=1)))

    @property
    def ic(self) -> float:
        """−2 elpd, on the scale of a deviance: LOOIC or WAIC, smaller is better."""
        return -2.0 * self.elpd

    @property
    def unreliable(self) -> int:
        """Units whose contribution is not to be trusted."""
        if self.kind == "loo":
            return int((self.frame["pareto_k"] > self.good_k).sum())
        return int((self.frame["p"] > 0.4).sum())

    @property
    def problem(self) -> str:
        """What is wrong with it and what to do, in words; empty where nothing is."""
        bad, m = self.unreliable, len(self.frame)
        if not bad:
            return ""
        if self.kind == "waic":
            return (
                f"WAIC: the log-likelihoods of {bad} of {m} {self.unit}s vary much over the posterior (variance above "
                "0.4), where WAIC is biased: use loo()"
            )
        worst = float(self.frame["pareto_k"].max())
        said = f"LOO: Pareto k of {bad} of {m} {self.unit}s is above {self.good_k:.2f} (largest {worst:.2f}), so their "
        said += "part is unreliable: each holds so much of the posterior that it cannot be taken out by reweighting."
        if not self.marginal:
            return said + " loo(marginal=True) integrates the random effects out"
        return said + " More draws= help a little; cross_validate() fits without them"

    def __str__(self) -> str:
        given = ", random effects integrated out" if self.marginal else ""
        name = "PSIS-LOO" if self.kind == "loo" else "WAIC"
        said = (
            f"{name} by {self.unit}{given}: elpd {self.elpd:.2f} (se {self.se:.2f}), effective parameters "
            f"{self.p:.2f}, {'LOOIC' if self.kind == 'loo' else 'WAIC'} {self.ic:.2f}"
        )
        return f"{said}\n{self.problem}" if self.problem else said

    def __repr__(self) -> str:
        return str(self)


def chained(values: Float, chains: int) -> Float:
    """(C, D, m) from draws (C·D, m), chain after chain."""
    return values.reshape(chains, -1, values.shape[1])


def waic_score(values: Float, labels: Any, unit: str) -> ElpdScore:
    """lppd − p_waic with p_waic the posterior variance of each log-likelihood."""
    import pandas as pd

    flat = values.reshape(-1, values.shape[2])
    lppd = logsumexp(flat, axis=0) - np.log(len(flat))
    p = flat.var(axis=0, ddof=1)
    frame = pd.DataFrame({"elpd": lppd - p, "p": p}, index=pd.Index(labels, tupleize_cols=False, name=unit))
    return ElpdScore("waic", unit, frame, float(p.sum()))


def loo_score(
    stats: Any, values: Float, labels: Any, unit: str, relative_ess: float, marginal: bool = False
) -> ElpdScore:
    """Pareto-smoothed importance sampling of each unit, by arviz-stats."""
    import pandas as pd

    C, D, m = values.shape
    step = max(1, _CHUNK // (C * D))
    parts = []
    for at in range(0, m, step):
        some = np.ascontiguousarray(np.moveaxis(values[:, :, at : at + step], 2, 0))
        parts.append(stats.loo(some, chain_axis=-2, draw_axis=-1, r_eff=relative_ess))
    elpd, k = (np.concatenate([np.atleast_1d(part[j]) for part in parts]) for j in range(2))
    p = logsumexp(values, axis=(0, 1)) - np.log(C * D) - elpd
    frame = pd.DataFrame({"elpd": elpd, "pareto_k": k}, index=pd.Index(labels, tupleize_cols=False, name=unit))
    good = min(1.0 - 1.0 / np.log10(C * D), 0.7) if C * D > 10 else 0.0
    return ElpdScore("loo", unit, frame, float(p.sum()), marginal, float(good))


def groups_of(spec: ModelSpec, group: Any) -> tuple[list[NDArray[np.intp]], Any, str]:
    """Rows of each group to leave out, their labels, and what they are."""
    if group is None:
        if spec.traits is not None:
            codes, labels, unit = spec.traits.record, spec.traits.labels, "record"
        else:
            return [np.array([i]) for i in range(spec.n)], spec.row_labels, "row"
    elif isinstance(group, str):
        by = {term.name: term for term in spec.terms}
        if group not in by:
            raise OptionError(
                f"group={group!r}: no random term is called so; there are {', '.join(map(repr, by)) or 'none'}"
            )
        codes, labels, unit = by[group].codes, by[group].levels, group
    else:
        given = np.asarray(group, dtype=object)
        if given.shape != (spec.n,):
            raise OptionError(f"group= has shape {given.shape}: a label for each of the {spec.n} rows is needed")
        place: dict[Any, int] = {}
        codes = np.array([place.setdefault(label, len(place)) for label in given.tolist()], dtype=np.intp)
        labels = np.empty(len(place), dtype=object)
        labels[:] = list(place)
        unit = "group"
    order = np.argsort(codes, kind="stable")
    present, starts = np.unique(codes[order], return_index=True)
    return [np.sort(part) for part in np.split(order, starts[1:])], np.asarray(labels)[present], unit


def ranking(scores: Mapping[str, Any], by: str) -> pd.DataFrame:
    """See `PosteriorCriteria.compare_with`."""
    import pandas as pd

    if by == "dic":
        frame = pd.DataFrame({name: {"dic": score.value, "p": score.p} for name, score in scores.items()}).T
        frame = frame.sort_values("dic", kind="stable")
        return frame.assign(difference=frame["dic"] - frame["dic"].iloc[0])
    order = sorted(scores, key=lambda name: -scores[name].elpd)
    best = scores[order[0]].frame["elpd"].to_numpy()
    rows = []
    for name in order:
        score = scores[name]
        apart = score.frame["elpd"].to_numpy() - best
        row = {"elpd": score.elpd, "se": score.se, "p": score.p, "difference": float(apart.sum())}
        rows.append(
            row | {"se_difference": float(np.sqrt(len(apart) * apart.var(ddof=1))), "unreliable": score.unreliable}
        )
    return pd.DataFrame(rows, index=order)
