"""``VarCorr``: variances, standard deviations and correlations of the random terms; ``rePCA``, their principal axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import OptionError
from ..linalg.dense import svd
from .mermod import LmerMod, need_model, varcorr_table
from .rnumbers import DIGITS, common, rounded
from .rtables import grid, vector
from .rvalues import RFrame, RList, RText, frame, r_text

Float = NDArray[np.float64]
COMPONENTS = ("Variance", "Std.Dev.")


class VarCorrMerMod(RList):
    """Covariance matrices by term: ``vc["Subject"]`` with attributes ``stddev`` and ``correlation``.

    ``print(vc)`` is lme4's table; `format` gives it with other columns or digits.
    """

    model: LmerMod

    def __repr__(self) -> str:
        return self.format()

    __str__ = __repr__

    def format(self, comp: str | Sequence[str] = "Std.Dev.", digits: int = 5) -> RText:
        """The table with ``comp=["Variance", "Std.Dev."]`` or one of them."""
        wanted = (comp,) if isinstance(comp, str) else tuple(comp)
        unknown = [c for c in wanted if c not in COMPONENTS]
        if unknown or not wanted:
            raise OptionError(f"comp={comp!r}: choose among {', '.join(map(repr, COMPONENTS))}")
        return RText(varcorr_table(self.model, digits, wanted))


def VarCorr(m: LmerMod) -> VarCorrMerMod:
    """Covariance matrices of the random effects, term by term; printed with the residual standard deviation."""
    made = VarCorrMerMod()
    made.model = need_model(m, "VarCorr")
    for block in m.blocks:
        names = list(block.effects)
        matrix = pd.DataFrame(block.Sigma, names, names)
        R = pd.DataFrame(block.correlation, names, names)
        made[block.name] = frame(matrix, stddev=pd.Series(block.sd, names), correlation=R)
    return made


def varcorr_frame(vc: VarCorrMerMod, order: str = "cov.last") -> RFrame:
    """``as.data.frame(VarCorr(m))``: grp, var1, var2, vcov, sdcor."""
    rows: list[tuple[Any, ...]] = []
    for block in vc.model.blocks:
        k, R = len(block.effects), block.correlation
        entries = [(i, i) for i in range(k)]
        entries += [(i, j) for j in range(k) for i in range(j + 1, k) if block.linked]
        if order == "lower.tri":
            entries.sort(key=lambda at: (at[1], at[0]))
        for i, j in entries:
            first, second = block.effects[j], None if i == j else block.effects[i]
            sdcor = block.sd[i] if i == j else R[i, j]
            rows.append((block.name, first, second, block.Sigma[i, j], sdcor))
    sigma = vc.model.sigma
    rows.append(("Residual", None, None, sigma**2, sigma))
    return frame(pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov", "sdcor"]))


@dataclass(frozen=True, repr=False)
class PrincipalComponents:
    """Axes of one grouping factor's random effects, relative to the residual standard deviation.

    Attributes
    ----------
    sdev : (k,)
    rotation : (k, k)
    """

    sdev: Float
    rotation: Float

    def __repr__(self) -> str:
        k = len(self.sdev)
        return "\n".join(
            [
                f"Standard deviations (1, .., p={k}):",
                vector(common(self.sdev.tolist(), DIGITS)),
                "",
                f"Rotation (n x k) = ({k} x {k}):",
                r_text(self.rotation),
            ]
        )

    @property
    def importance(self) -> RFrame:
        """Standard deviation, proportion of variance, cumulative proportion."""
        total = float((self.sdev**2).sum())
        share = self.sdev**2 / total if total > 0 else np.full(len(self.sdev), np.nan)
        rows = [self.sdev, [rounded(s, 5) for s in share], [rounded(s, 5) for s in np.cumsum(share)]]
        names = ["Standard deviation", "Proportion of Variance", "Cumulative Proportion"]
        return frame(pd.DataFrame(np.array(rows), names, [f"[,{j + 1}]" for j in range(len(self.sdev))]))


class ComponentList(RList):
    """``rePCA(m)``: principal components by grouping factor."""

    note = 'attr(,"class")\n[1] "prcomplist"'


class ImportanceList(RList):
    """``summary(rePCA(m))``."""

    def __repr__(self) -> str:
        parts = []
        for name, table in self.items():
            cells = [common(table.iloc[:, j].tolist(), 4) for j in range(table.shape[1])]
            parts.append(f"${name}\nImportance of components:\n{grid(list(table.index), list(table.columns), cells)}\n")
        return "\n".join(parts)

    __str__ = __repr__


def rePCA(m: LmerMod) -> ComponentList:
    """Principal components of the random effects: a standard deviation of zero is a direction that does not vary."""
    need_model(m, "rePCA")
    made = ComponentList()
    for group, blocks in m.groups.items():
        sizes = np.cumsum([0, *[len(b.effects) for b in blocks]])
        whole = np.zeros((sizes[-1], sizes[-1]))
        for block, start, stop in zip(blocks, sizes, sizes[1:], strict=False):
            whole[start:stop, start:stop] = block.root(m.fit.scale)
        U, d, _ = svd(whole)
        made[group] = PrincipalComponents(d, U)
    return made
