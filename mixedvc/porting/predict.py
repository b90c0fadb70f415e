"""``predict``, ``simulate`` and ``bootMer`` with R's ways of naming random effects."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import OptionError
from ..formula.parse import parse
from ..inference.predict import match_levels
from . import coding, formulas
from .mermod import LmerMod, need_model
from .rtables import grid, numeric_column
from .rvalues import RVector

Float = NDArray[np.float64]
Chosen = dict[int, list[int]]  # effects by position of their term


def chosen_effects(m: LmerMod, re_form: Any) -> Chosen | None:
    """Effects that `re_form` names; None for all of them.

    None: all.  NA or ``"~0"``: none.  ``"~ (1 | g)"``: those terms, each a term of the model or a part of one.
    """
    if re_form is None:
        return None
    if re_form is False or (isinstance(re_form, float) and math.isnan(re_form)):
        return {}
    if not isinstance(re_form, str):
        raise OptionError(f"re_form={re_form!r:.60}: None (all), NA (none) or a formula such as '~(1 | g)' is needed")
    text = re_form.strip().removeprefix("~").strip()
    if text in ("0", "-1", "NA"):
        return {}
    asked = formulas.read(f"y ~ {text}")
    chosen: Chosen = {}
    for bar, group in zip(parse(asked.core).bars, asked.groups, strict=True):
        for effect in bar.effects:
            name = ":".join(map(formulas.factor_text, effect.factors)) or "(Intercept)"
            place, positions = _find(m, group, name, re_form)
            chosen.setdefault(place, []).extend(positions)
    return chosen


def _find(m: LmerMod, group: str, effect: str, re_form: str) -> tuple[int, list[int]]:
    """The term of `group` that has `effect`, and the columns that belong to it."""
    for block in m.groups.get(group, []):
        coder = m.spec.source.coders[block.place]
        labels = [":".join(map(formulas.factor_text, term)) or "(Intercept)" for term in coder.terms]
        if effect in labels:
            widths = np.cumsum([0, *coding.widths(coder)])
            at = labels.index(effect)
            return block.place, list(range(int(widths[at]), int(widths[at + 1])))
    have = ", ".join(f"({' + '.join(b.effects)} | {b.group})" for b in m.blocks)
    raise OptionError(f"re_form={re_form!r}: no random {effect} of {group!r} is in the model, which has {have}")


def predict(
    m: LmerMod, newdata: Any = None, re_form: Any = None, allow_new_levels: bool = False, random_only: bool = False
) -> RVector:
    """Predictions, for the rows of the fit by default.

    Parameters
    ----------
    newdata : table, optional
    re_form : None, NA or str
        Which random effects are added: all, none (also ``"~0"``), or those of a formula.
    allow_new_levels : bool
        Levels that the fit did not see count zero; they are an error otherwise.
    random_only : bool
        Leave out the fixed effects.

    Returns
    -------
    RVector, one value a row, with the index of `newdata`.
    """
    need_model(m, "predict")
    chosen = chosen_effects(m, re_form)
    new_levels = "zero" if allow_new_levels else "error"
    fit = m.fit
    if chosen is None and not random_only:
        return RVector(fit.predict(newdata, new_levels=new_levels).rename("predicted"))
    if chosen is None:
        chosen = {i: list(range(term.k)) for i, term in enumerate(m.spec.terms)}
    if newdata is None:
        fixed = m.spec.X @ fit.evaluation.beta + (0.0 if m.spec.offset is None else m.spec.offset)
        parts = {i: (term.codes, term.basis) for i, term in enumerate(m.spec.terms) if i in chosen}
        values = fixed * (not random_only) + _random_part(m, chosen, parts)
        return RVector(fit.padded(values, "predicted"))
    rows = m.spec.source.new_rows(newdata, terms=[m.spec.terms[i].name for i in sorted(chosen)])
    fixed = rows.X @ fit.evaluation.beta + (0.0 if rows.offset is None else rows.offset)
    parts = {}
    for i, part in zip(sorted(chosen), rows.rows, strict=True):
        met = match_levels(m.spec.terms[i], part.levels, part.basis, new_levels)
        parts[i] = (met.seen, met.basis)
    values = fixed * (not random_only) + _random_part(m, chosen, parts)
    index = newdata.index if isinstance(newdata, pd.DataFrame) else pd.RangeIndex(len(values))
    return RVector(values, index=index)


def _random_part(m: LmerMod, chosen: Chosen, parts: dict[int, tuple[Any, Float]]) -> Float:
    total: Float = np.zeros(1)
    for i, columns in chosen.items():
        seen, basis = parts[i]
        u = np.asarray(m.fit.evaluation.blup(i))[:, columns]
        total = total + np.where(seen >= 0, np.einsum("rk,rk->r", basis[:, columns], u[seen]), 0.0)
    return total


def simulate(
    m: LmerMod, nsim: int = 1, seed: int | None = None, use_u: bool = False, re_form: Any = None
) -> pd.DataFrame:
    """New responses, columns sim_1, sim_2, …, with new random effects or with the fitted ones (``use_u=True``)."""
    need_model(m, "simulate")
    if re_form is not None and not (isinstance(re_form, float) and math.isnan(re_form)):
        raise OptionError(
            f"simulate(re_form={re_form!r}): draws with all random effects new (NA) or all kept (use_u=True) are there"
        )
    return m.fit.simulate(nsim, seed=seed, random="fitted" if use_u else "new")


@dataclass(frozen=True, repr=False)
class Boot:
    """Draws of a statistic: ``t0`` of the fit, ``t`` (nsim, statistics) of refits to simulated responses.

    Attributes
    ----------
    result : mixedvc's bootstrap, with intervals and failures
    """

    t0: RVector
    t: pd.DataFrame
    result: Any

    def __repr__(self) -> str:
        cells = [self.t0.to_numpy(), (self.t.mean() - self.t0.to_numpy()).to_numpy(), self.t.std().to_numpy()]
        rows = [f"t{j + 1}*" for j in range(len(self.t0))]
        shown = grid(rows, ["original", "bias", "std. error"], [numeric_column(c) for c in cells])
        return f"\nPARAMETRIC BOOTSTRAP\n\n\nBootstrap Statistics :\n{shown}"

    __str__ = __repr__


def bootMer(
    m: LmerMod,
    FUN: Callable[[LmerMod], Sequence[float]],
    nsim: int = 1,
    seed: int | None = None,
    use_u: bool = False,
    type: str = "parametric",
    ncpus: int = 1,
) -> Boot:
    """Refit to `nsim` simulated responses and apply `FUN` to every refit (which gets a model, as in lme4)."""
    need_model(m, "bootMer")
    if type not in ("parametric", "semiparametric"):
        raise OptionError(f"bootMer(type={type!r}): 'parametric' or 'semiparametric'")

    def statistic(fit: Any) -> Any:
        value = FUN(LmerMod(fit, m.formula, m.call))
        return value if isinstance(value, pd.Series) else np.atleast_1d(np.asarray(value, dtype=float))

    made = m.fit.bootstrap(
        statistic, nsim, kind="residual" if type == "semiparametric" else "parametric",
        random="fitted" if use_u else "new", seed=seed, workers=ncpus,
    )  # fmt: skip
    original = statistic(m.fit)
    names = list(original.index) if isinstance(original, pd.Series) else [f"t{j + 1}" for j in range(len(original))]
    return Boot(RVector(np.asarray(original), index=names), made.draws, made)
