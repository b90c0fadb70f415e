"""``summary(m)`` of MCMCglmm: posterior means, HPD intervals, coda's effective sizes and pMCMC, in its layout."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from .coda import HPDinterval, effectiveSize
from .rnumbers import common, number
from .rtables import coefficient_table, grid

COLUMNS = ("post.mean", "l-95% CI", "u-95% CI", "eff.samp")


@dataclass(frozen=True, repr=False)
class SummaryMCMCglmm:
    """What ``summary(m)`` holds.

    Attributes
    ----------
    VCV, Sol : DataFrame
        Chains; `Sol` with the effects that are shown.
    random, residual : list of (str, list of str)
        Text of each term and its columns of VCV.
    formula : str
    dic : float or None
    mcpar : (int, int, int)
    """

    VCV: pd.DataFrame
    Sol: pd.DataFrame
    random: list[tuple[str, list[str]]]
    residual: list[tuple[str, list[str]]]
    formula: str
    dic: float | None
    mcpar: tuple[int, int, int]

    @cached_property
    def solutions(self) -> pd.DataFrame:
        """Fixed effects: mean, interval, effective size, pMCMC."""
        made = _table(self.Sol)
        n = len(self.Sol)
        above = (self.Sol.to_numpy() > 0).sum(axis=0) / n
        made["pMCMC"] = 2 * np.maximum(0.5 / n, np.minimum(above, 1 - above))
        return made

    @cached_property
    def Gcovariances(self) -> pd.DataFrame:
        """Random terms."""
        return _table(self.VCV[[name for _, names in self.random for name in names]])

    @cached_property
    def Rcovariances(self) -> pd.DataFrame:
        """Residual."""
        return _table(self.VCV[[name for _, names in self.residual for name in names]])

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def __repr__(self) -> str:
        first, last, thin = self.mcpar
        size = (last - first) // thin + 1
        lines = ["", f" Iterations = {first}:{last}", f" Thinning interval  = {thin}", f" Sample size  = {size} ", ""]
        if self.dic is not None:
            lines += [f" DIC: {number(self.dic)} ", ""]
        lines += _structure(" G-structure:", self.random, self.Gcovariances)
        lines += _structure(" R-structure:", self.residual, self.Rcovariances)
        lines += [f" Location effects: {self.formula} ", ""]
        if len(self.solutions):
            lines.append(_locations(self.solutions, len(self.Sol)))
        return "\n".join(lines)

    __str__ = __repr__


def _table(chain: pd.DataFrame) -> pd.DataFrame:
    if not chain.shape[1]:
        return pd.DataFrame(columns=list(COLUMNS), dtype=float)
    ends = HPDinterval(chain).to_numpy()
    values = [chain.to_numpy().mean(axis=0), ends[:, 0], ends[:, 1], effectiveSize(chain).to_numpy()]
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)), index=list(chain.columns))


def _structure(title: str, terms: list[tuple[str, list[str]]], table: pd.DataFrame) -> list[str]:
    lines = []
    for i, (text, names) in enumerate(terms):
        some = table.loc[names]
        cells = [common(some.iloc[:, j].tolist(), 4) for j in range(4)]
        head = f"{title}  {text}" if i == 0 else f"{' ' * (len(title) + 2)}{text}"
        lines += [head, "", grid(names, COLUMNS, cells), ""]
    return lines


def _locations(table: pd.DataFrame, n: int) -> str:
    values = [table.iloc[:, j].tolist() for j in range(5)]
    return coefficient_table(
        [str(i) for i in table.index],
        [str(c) for c in table.columns],
        values,
        digits=4,
        estimates=(0, 1, 2),
        tests=(3,),
        p_last=True,
        smallest=(1 + 1e-9) / n,  # the least that n draws can give is shown as smaller than it
    )


def summary_of(m: Any, random: bool = False) -> SummaryMCMCglmm:
    """Of a model fitted by `MCMCglmm`."""
    shown = m.Sol if random else m.chain(m.location, list(m.model.x_names))
    random_blocks = m.model.random[: len(m.model.sizes)]  # known variances of measurement errors are not shown
    parts = [[(b.text, [name for name, _, _ in b.columns]) for b in some] for some in (random_blocks, m.model.residual)]
    dic = m.DIC if m.wants_dic else None
    return SummaryMCMCglmm(m.VCV, shown, parts[0], parts[1], m.model.fixed, dic, m.mcpar)
