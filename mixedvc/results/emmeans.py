"""Estimated marginal means of a fit: a table of means (or slopes), their contrasts and their picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..inference import intervals
from ..inference.comparisons import DEFAULT_ADJUST, comparison_weights
from ..inference.df import check_df
from ..inference.emmeans import Marginal, ReferenceGrid
from ..inference.ftest import FixedTests
from ..inference.multiplicity import check_adjust
from .contrasts import Contrasts, contrast_table
from .fixed_tests import fixed_tests
from .listing import interval_names, label, listing

if TYPE_CHECKING:
    import pandas as pd

    from .point import PointResults
    from .render import ModelSummary

Float = NDArray[np.float64]
TRAIT = "trait"  # the variable that tells responses apart


@dataclass(frozen=True)
class MarginalMeans:
    """What `PointResults.emmeans` returns; printing shows the table.

    Attributes
    ----------
    frame : DataFrame
        The variables asked for, then estimate, se, df, lower, upper.  NaN where a mean is not estimable.
    specs, by : tuple of str
    var : str or None
        The covariate whose slopes these are.
    L : (r, p)
        Each mean as a row on the coefficients.
    offset : (r,)
        What the model's offset adds to it.
    df, adjust : str
    level : float
    notes, about : tuple of str
        `about` is the part of the notes that holds for contrasts too.
    levels : DataFrame
        The variables asked for, by their own names.
    """

    frame: pd.DataFrame
    specs: tuple[str, ...]
    by: tuple[str, ...]
    var: str | None
    L: Float
    offset: Float
    df: str
    adjust: str
    level: float
    notes: tuple[str, ...]
    about: tuple[str, ...]
    levels: pd.DataFrame
    tests: FixedTests = field(repr=False)

    def contrast(
        self,
        method: str | Mapping[str, Any] = "pairwise",
        *,
        adjust: str | None = None,
        ref: int | str | None = None,
        level: float | None = None,
    ) -> Contrasts:
        """Compare the means, within each combination of `by`.

        Parameters
        ----------
        method : str or mapping
            "pairwise" | "revpairwise" | "trt.vs.ctrl" | "consec" | "poly" | "eff", or a dictionary from names to
            weights.
        adjust : str, optional
            "none" | "bonferroni" | "holm" | "sidak" | "fdr" | "tukey" | "mvt"; by default "tukey" for pairs, "mvt" for
            "trt.vs.ctrl" (Dunnett's test) and "consec", "fdr" for "eff", "none" for others.
        ref : int or str, optional
            The control of "trt.vs.ctrl".
        level : float, optional
            Of the intervals; as for the means by default.
        """
        import pandas as pd

        pairs = isinstance(method, str) and method in ("pairwise", "revpairwise")
        chosen = DEFAULT_ADJUST.get(method, "none") if adjust is None and isinstance(method, str) else adjust
        chosen = check_adjust(chosen, pairs)
        labels, rows, shifts, families = [], [], [], []
        groups = _groups(self.levels, self.by)
        for family, (key, at) in enumerate(groups):
            own = [" ".join(map(label, key)) for key in self.levels.loc[at, list(self.specs)].to_numpy(dtype=object)]
            K, names = comparison_weights(method, own, ref)
            labels += [{"contrast": name, **dict(zip(self.by, key, strict=True))} for name in names]
            rows.append(_combined(K, self.L[at]))
            shifts.append(_combined(K, self.offset[at][:, None])[:, 0])
            families += [family] * len(K)
        means = max(len(at) for _, at in groups)
        return contrast_table(
            self.tests,
            np.concatenate(rows),
            np.zeros(len(labels)),
            pd.DataFrame(labels, columns=["contrast", *self.by]),
            df=self.df,
            adjust=chosen,
            level=self.level if level is None else intervals.check_level(level),
            families=np.array(families, dtype=np.intp),
            means=means,
            notes=self.about,
            shift=np.concatenate(shifts),
        )

    def summary(self) -> ModelSummary:
        """The table as text, HTML and LaTeX."""
        what = "means" if self.var is None else f"slopes in {self.var}"
        stubs = list(self.frame.columns)[: list(self.frame.columns).index("estimate")]
        names = {**interval_names(self.level), "estimate": "mean" if self.var is None else "slope"}
        return listing(f"Estimated marginal {what}", self.frame, stubs, self.notes, names)

    def plot(self, ax: Any = None) -> Any:
        """Means with their intervals, one colour a combination of `by`."""
        from .plots.marginal_means import marginal_means

        return marginal_means(self, ax=ax)

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary().as_html()


def emmeans(
    fit: PointResults,
    specs: str | Sequence[str],
    by: str | Sequence[str] | None,
    at: Mapping[str, Any] | None,
    weights: str,
    var: str | None,
    df: str,
    level: float,
    adjust: str,
) -> MarginalMeans:
    """See `PointResults.emmeans`."""
    import pandas as pd

    specs, by = _names(specs, "specs"), _names(by, "by")
    adjust, level = check_adjust(adjust, pairs=False), intervals.check_level(level)
    if fit.spec.traits is None:
        found = ReferenceGrid(fit.spec, at).marginal((*specs, *by), weights, var)
    else:
        by = by if TRAIT in (*specs, *by) else (*by, TRAIT)
        found = _of_traits(fit, (*specs, *by), at, weights, var)
    asked = [*specs, *by]
    columns = list(zip(*found.levels, strict=True))
    levels = pd.DataFrame(dict(zip(asked, columns, strict=True)), index=pd.RangeIndex(len(found.levels)))
    tests = fixed_tests(fit, check_df(df))
    families = np.empty(len(levels), dtype=np.intp)
    for family, (_, rows) in enumerate(_groups(levels, by)):
        families[rows] = family
    labels = levels if asked else pd.DataFrame({"mean of": ["all"]})
    table = contrast_table(
        tests, found.L, np.zeros(len(levels)), labels, df=df, adjust=adjust, level=level, families=families,
        shift=found.offset,
    )  # fmt: skip
    about = _notes(found, weights, fit)
    return MarginalMeans(
        frame=table.frame.drop(columns=["t", "p"]),
        specs=specs,
        by=by,
        var=var,
        L=found.L,
        offset=found.offset,
        df=df,
        adjust=adjust,
        level=level,
        notes=(*table.notes, *about),
        about=about,
        levels=levels,
        tests=tests,
    )


def _of_traits(
    fit: PointResults, wanted: tuple[str, ...], at: Mapping[str, Any] | None, weights: str, var: str | None
) -> Marginal:
    """The means of every trait, one trait after the other."""
    names, own = fit.spec.traits.names, [name for name in wanted if name != TRAIT]
    grids = [ReferenceGrid(fit.spec, at, a) for a in range(len(names))]
    if TRAIT in grids[0].axes:
        raise OptionError(
            f"emmeans() has a variable {TRAIT!r} that tells the responses apart, and the fixed part has one of this "
            "name: rename that column"
        )
    found = [grid.marginal(own, weights, var) for grid in grids]
    place = wanted.index(TRAIT)
    levels = tuple(
        (*row[:place], name, *row[place:]) for name, one in zip(names, found, strict=True) for row in one.levels
    )
    L, offset = (np.concatenate([getattr(one, part) for one in found]) for part in ("L", "offset"))
    return Marginal(levels, L, offset, found[0].averaged, found[0].held)


def _names(given: str | Sequence[str] | None, what: str) -> tuple[str, ...]:
    if given is None:
        return ()
    if isinstance(given, str):
        if "~" in given or "|" in given:
            raise OptionError(
                f"{what}={given!r}: give names of variables, {what}=['f', 'g'], and the ones to split by as by="
            )
        return (given,)
    return tuple(given)


def _groups(frame: pd.DataFrame, by: tuple[str, ...]) -> list[tuple[tuple[Any, ...], NDArray[np.intp]]]:
    """Values of `by` and the rows that have them, in order of appearance."""
    if not by:
        return [((), np.arange(len(frame)))]
    order: dict[tuple[Any, ...], list[int]] = {}
    for i, key in enumerate(frame[list(by)].itertuples(index=False, name=None)):
        order.setdefault(tuple(key), []).append(i)
    return [(key, np.array(rows, dtype=np.intp)) for key, rows in order.items()]


def _combined(K: Float, rows: Float) -> Float:
    """K rows; a row that is NaN only spoils the contrasts in which it has a weight."""
    bad = np.asarray(~np.isfinite(rows).all(axis=1))
    out = K @ np.where(bad[:, None], 0.0, rows)
    out[np.any(K[:, bad] != 0.0, axis=1)] = np.nan
    return out


def _notes(found: Marginal, weights: str, fit: PointResults) -> tuple[str, ...]:
    out = []
    if found.averaged:
        out.append(f"Averaged over {', '.join(found.averaged)} ({weights} weights).")
    if found.held:
        out.append(f"Covariates held at {', '.join(f'{name} = {value:.6g}' for name, value in found.held)}.")
    response = ", ".join(fit.spec.y_names)
    if "(" in response:
        out.append(f"Means are on the scale of {response}.")
    missing = int(np.sum(~np.isfinite(found.L).all(axis=1)))
    if missing:
        out.append(
            f"{missing} of {len(found.L)} are not estimable: they need combinations of factors without data "
            f"({', '.join(fit.spec.aliased) or 'empty cells'})."
        )
    return tuple(out)
