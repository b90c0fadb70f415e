"""Genetic correlation from marginal regressions of two studies: moments, a reference panel, a block jackknife."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ..covariance.labels import Labels
from ..errors import DataError, OptionError
from ..inference import intervals
from ..inference.ratios import Ratio
from .inputs import Statistics, block_labels, covariates_of, match, panel_matrix, statistics
from .ld import Panel, ld_sums, panel_of, unbiased
from .result import CorrelationTest, GeneticCorrelation

Float = NDArray[np.float64]
STATISTICS = ("t", "score")
FEW_BLOCKS = 20


def genetic_correlation_from_summary(
    first: Any,
    second: Any,
    panel: Any,
    *,
    n: tuple[float | None, float | None] = (None, None),
    covariates: tuple[int, int] = (0, 0),
    panel_covariates: Any = None,
    blocks: int | Any = 200,
    statistic: str = "t",
    names: Sequence[str] = ("sample 1", "sample 2"),
    align: str = "labels",
    level: float = 0.95,
) -> GeneticCorrelation:
    """Heritabilities and genetic correlation of two studies from their regressions on one feature at a time.

    With r_s,j the correlation of response s with feature j that the statistics imply, ν_s its degrees of freedom, and
    ρ_jk the correlations among the m features,

        h_s² = m Σ_j (r_s,j² − 1/ν_s) / Σ_j ℓ_j (1 − 1/ν_s),   σ₁₂ = m Σ_j r_1,j r_2,j / Σ_j ℓ_j,   ℓ_j = Σ_k ρ_jk²

    and ρ = σ₁₂ / (h₁h₂).  ℓ_j comes from the panel, Σ_k r_jk² with what a panel of ν degrees of freedom adds by chance
    taken out: (ν Σ_k r_jk² − m)/(ν − 1).  These are the Haseman-Elston equations on standardised features: with each
    study's own features as panels they are the fits by ``method="he"`` (MATH 4).  Standard errors: delete-a-block
    jackknife over features.

    Parameters
    ----------
    first, second : Series, DataFrame, or (values, names)
        z-scores of each feature, by its name; a frame has a column ``z``, or ``effect`` and ``se``, and perhaps ``n``.
        The effects of a feature must count the same allele in both studies and in the panel: flip signs beforehand.
    panel : DataFrame, (matrix, names), or a pair of them
        Reference individuals × features, of the population of both studies; or one panel for each study, of different
        individuals, e.g. the studies' own features. No missing values.
    n : (float, float)
        Individuals of each study, where no column ``n`` says it feature by feature.
    covariates : (int, int)
        Covariates, besides the intercept, in the regressions of each study.
    panel_covariates : array (n_panel, c), or a pair of them, optional
        Covariates of the panel's individuals (e.g. principal components), taken out of the features.
    blocks : int or labels of the features
        How many contiguous blocks of features, in the order of the (first) panel, at most one a feature; or the block
        of each feature (e.g. its chromosome): a Series by feature, or an array along the panel's columns.
    statistic : "t" | "score"
        "t": z is effect/se of the regression, r² = z²/(z² + ν − 1); "score": z is √ν r.
    names : (str, str)
        What the samples are called.
    align : "labels" | "position"
        "position" takes unnamed arrays as being in the same order.
    level : float
        Of the intervals: Fisher's z for the correlation, Wald for the others.

    Returns
    -------
    GeneticCorrelation
        Its variances and heritabilities are the same: the responses count as standardised.

    Raises
    ------
    DataError, OptionError
        Names that do not meet, statistics or panels that cannot be used, fewer than two blocks.

    Notes
    -----
    No individual may be in both studies: shared ones add their phenotypic correlation to every product r_1,j r_2,j.
    The jackknife does not know the error of the panel, which is small where its individuals are many against m/Σℓ.

    Examples
    --------
    >>> import numpy as np, pandas as pd, mixedvc as mv
    >>> rng = np.random.default_rng(7)
    >>> W = rng.standard_normal((2600, 400))
    >>> snps = [f"rs{j}" for j in range(400)]
    >>> b = rng.multivariate_normal([0, 0], [[0.5, 0.3], [0.3, 0.5]], size=400) / np.sqrt(400)
    >>> def z(W, b):
    ...     y = W @ b + np.sqrt(0.5) * rng.standard_normal(len(W))
    ...     r = np.array([np.corrcoef(w, y)[0, 1] for w in W.T])
    ...     return pd.Series(r * np.sqrt((len(W) - 2) / (1 - r**2)), snps)
    >>> panel = pd.DataFrame(W[2000:], columns=snps)
    >>> result = mv.genetic_correlation_from_summary(
    ...     z(W[:1000], b[:, 0]), z(W[1000:2000], b[:, 1]), panel, n=(1000, 1000), blocks=50
    ... )
    >>> print(f"{result.rho.estimate:.2f} ({result.rho.se:.2f})")
    0.61 (0.07)
    """
    level = intervals.check_level(level)
    _check(statistic, align, names)
    told = [f"the statistics of {name}" for name in names]
    each = zip((first, second), _pair(n, "n"), told, strict=True)
    given = [statistics(values, size, what, align) for values, size, what in each]
    panels, index, what = _panels(panel, panel_covariates, align)
    at = match([*((s.names, len(s.z)) for s in given), *index], [*told, *what])
    use = _usable(given, panels, at)
    at = [where[use] for where in at]
    group, count = _blocks(blocks, index[0][0], index[0][1], at[2])
    counts = _counts(covariates)
    r, nu = zip(*(_implied(given[s], at[s], counts[s], statistic, told[s]) for s in (0, 1)), strict=True)
    ell = _ld(panels, at[2], at[-1])
    blocked = _Blocked.of(r, nu, ell, group, count)
    sizes = (float(np.median(given[0].n[at[0]])), float(np.median(given[1].n[at[1]])))
    people = " and ".join(str(p.matrix.shape[0]) for p in (panels if panels[1] is not panels[0] else panels[:1]))
    about = (
        ("Individuals", f"{sizes[0]:.8g} + {sizes[1]:.8g}"),
        ("Features", f"{len(use)} in {count} blocks"),
        ("Panel", f"{people} individuals"),
    )
    notes = _notes(max(len(s.z) for s in given), len(use), count)
    return _result(blocked, (str(names[0]), str(names[1])), sizes, about, notes, level)


# ---- what comes in --------------------------------------------------------------------------------------------------


def _check(statistic: str, align: str, names: Sequence[str]) -> None:
    if not isinstance(statistic, str) or statistic not in STATISTICS:
        raise OptionError(f"statistic={statistic!r:.60} is not one of {', '.join(map(repr, STATISTICS))}")
    if not isinstance(align, str) or align not in ("labels", "position"):
        raise OptionError(f"align={align!r:.60}: choose 'labels' or 'position'")
    pair = isinstance(names, tuple | list) and len(names) == 2 and all(isinstance(name, str) for name in names)
    if not pair or names[0] == names[1]:
        raise OptionError(f"names={names!r:.60}: two different names are needed")


def _pair(value: Any, what: str) -> tuple[Any, Any]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise OptionError(f"{what}={value!r}: one for each of the two studies is needed, e.g. {what}=(5000, 3000)")
    return value[0], value[1]


def _counts(covariates: Any) -> tuple[int, int]:
    one, two = _pair(covariates, "covariates")
    if any(isinstance(c, bool) or not isinstance(c, int | np.integer) or c < 0 for c in (one, two)):
        raise OptionError(f"covariates={covariates!r}: how many covariates each study's regressions had")
    return one, two


def _panels(panel: Any, covariates: Any, align: str) -> tuple[list[Panel], list[tuple[Any, int]], list[str]]:
    """Both panels (one object twice where there is one), names and number of their features, what they are called."""
    several = isinstance(panel, tuple | list) and len(panel) == 2 and all(_is_matrix(p) for p in panel)
    parts = list(panel) if several else [panel]
    what = ["the first panel", "the second panel"] if several else ["the panel"]
    given = _pair(covariates, "panel_covariates") if several and covariates is not None else (covariates, covariates)
    made, index = [], []
    for part, C, name in zip(parts, given, what, strict=False):
        labels, matrix = panel_matrix(part, name, align)
        made.append(panel_of(matrix, covariates_of(C, matrix.shape[0], name), name))
        index.append((labels, matrix.shape[1]))
    return (made if several else made * 2), index, what


def _is_matrix(value: Any) -> bool:
    """A frame, a matrix, or (matrix, names): what one panel can be."""
    if isinstance(value, tuple):
        return len(value) == 2 and _is_matrix(value[0])
    return hasattr(value, "columns") or getattr(value, "ndim", 0) == 2


def _usable(given: list[Statistics], panels: list[Panel], at: list[NDArray[np.intp]]) -> NDArray[np.intp]:
    """Which of the matched features have statistics in both studies and vary in the panels."""
    fine = np.isfinite(given[0].z[at[0]]) & np.isfinite(given[1].z[at[1]])
    fine &= (panels[0].norms[at[2]] > 0) & (panels[1].norms[at[-1]] > 0)
    use = np.flatnonzero(fine)
    if len(use) < 2:
        raise DataError(
            f"of {len(fine)} features in common, {len(use)} have statistics in both studies and vary in the panel"
        )
    return use


def _blocks(blocks: Any, index: Labels | None, k: int, at: NDArray[np.intp]) -> tuple[NDArray[np.intp], int]:
    """Block of each feature in use, and how many blocks there are."""
    if isinstance(blocks, int | np.integer) and not isinstance(blocks, bool):
        if blocks < 2:
            raise OptionError(f"blocks={blocks}: a jackknife needs at least two blocks")
        group = np.arange(len(at)) * min(int(blocks), len(at)) // len(at)
    else:
        group = _codes(block_labels(blocks, index, k)[at])
    count = int(group.max()) + 1
    if count < 2:
        raise OptionError("blocks= puts all features in one block: a jackknife needs at least two")
    return group, count


def _codes(labels: NDArray[np.object_]) -> NDArray[np.intp]:
    order: dict[Any, int] = {}
    return np.fromiter((order.setdefault(label, len(order)) for label in labels.tolist()), np.intp, len(labels))


def _implied(
    given: Statistics, at: NDArray[np.intp], covariates: int, statistic: str, what: str
) -> tuple[Float, Float]:
    """Correlation of the response with each feature, and its degrees of freedom."""
    z, nu = given.z[at], given.n[at] - 1.0 - covariates
    if nu.min() <= 2:
        raise DataError(
            f"{what}: {given.n[at].min():g} individuals leave no degrees of freedom for {covariates} covariates"
        )
    r = z / np.sqrt(np.square(z) + nu - 1.0) if statistic == "t" else z / np.sqrt(nu)
    if np.abs(r).max() > 1:
        raise DataError(
            f"{what}: z = {z[np.abs(r).argmax()]:g} is more than a correlation of 1 by score statistics of "
            f"{given.n[at].min():g} individuals; statistic='t' is for effect/se"
        )
    return r, nu


def _ld(panels: list[Panel], one: NDArray[np.intp], two: NDArray[np.intp]) -> tuple[Float, Float, Float]:
    """(m,) Σ_k ρ_jk² for the first study, the second, and between them."""
    first = panels[0].take(one)
    own = unbiased(ld_sums(first, first), first.nu)
    if panels[1] is panels[0]:
        return own, own, own
    second = panels[1].take(two)
    return own, unbiased(ld_sums(second, second), second.nu), ld_sums(first, second)


# ---- estimates and their jackknife ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Blocked:
    """Numerators and denominators of h₁², h₂², σ₁₂ summed in blocks (B, 3) each, and features a block (B,)."""

    tops: Float
    bottoms: Float
    sizes: Float

    @classmethod
    def of(
        cls, r: Sequence[Float], nu: Sequence[Float], ell: Sequence[Float], group: NDArray[np.intp], count: int
    ) -> _Blocked:
        tops = [np.square(r[s]) - 1.0 / nu[s] for s in (0, 1)] + [r[0] * r[1]]
        bottoms = [ell[s] * (1.0 - 1.0 / nu[s]) for s in (0, 1)] + [ell[2]]
        top, bottom = (_summed(part, group, count) for part in (tops, bottoms))
        if not (bottom.sum(axis=0) > 1e-8 * len(group)).all():
            raise DataError("the panel shows no correlation among features beyond chance: it has too few individuals")
        return cls(top, bottom, np.bincount(group, minlength=count).astype(np.float64))

    @property
    def m(self) -> float:
        return float(self.sizes.sum())

    def estimates(self, tops: Float, bottoms: Float) -> Float:
        """(…, 4) h₁², h₂², σ₁₂, ρ of sums (…, 3); ρ is NaN where a heritability is not positive."""
        three = self.m * tops / bottoms
        h1, h2, c = np.moveaxis(three, -1, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            rho = np.where((h1 > 0) & (h2 > 0), c / np.sqrt(h1 * h2), np.nan)
        return np.concatenate([three, rho[..., None]], axis=-1)

    def with_errors(self) -> tuple[Float, Float]:
        """Estimates and standard errors (4,) by a jackknife over unequal blocks (Busing et al. 1999)."""
        whole = self.estimates(self.tops.sum(axis=0), self.bottoms.sum(axis=0))
        without = self.estimates(self.tops.sum(axis=0) - self.tops, self.bottoms.sum(axis=0) - self.bottoms)
        share = self.sizes[:, None] / self.m
        mean = len(self.sizes) * whole - ((1.0 - share) * without).sum(axis=0)
        pseudo = whole / share - (1.0 / share - 1.0) * without
        variance = (np.square(pseudo - mean) / (1.0 / share - 1.0)).mean(axis=0)
        return whole, np.sqrt(variance)


def _summed(parts: Sequence[Float], group: NDArray[np.intp], count: int) -> Float:
    """(B, len(parts)) sums within blocks."""
    return np.stack([np.asarray(np.bincount(group, v, count), dtype=np.float64) for v in parts], axis=1)


def _result(
    blocked: _Blocked,
    names: tuple[str, str],
    sizes: tuple[float, float],
    about: tuple[tuple[str, str], ...],
    notes: list[str],
    level: float,
) -> GeneticCorrelation:
    value, se = blocked.with_errors()

    def quantity(j: int, name: str) -> Ratio:
        lower, upper = intervals.wald(value[j], se[j], level)
        return Ratio(float(value[j]), float(se[j]), float(lower), float(upper), level, name, interval="Wald")

    rho = quantity(3, "genetic correlation")
    if abs(value[3]) < 1:
        lower, upper = intervals.correlation_interval(value[3], se[3], level)
        rho = replace(rho, lower=float(lower), upper=float(upper), interval="Fisher z")
    h = (quantity(0, f"heritability, {names[0]}"), quantity(1, f"heritability, {names[1]}"))
    z = float(value[2] / se[2])
    test = CorrelationTest(z, float(2 * special.ndtr(-abs(z))), "z of the genetic covariance, by its jackknife error")
    return GeneticCorrelation(
        names=names,
        rho=rho,
        covariance=quantity(2, "genetic covariance"),
        variances=h,
        heritabilities=h,
        test=test,
        method="moments of summary statistics",
        sizes=sizes,
        about=about,
        notes=(*_about_rho(value, se, names), *notes),
    )


def _about_rho(value: Float, se: Float, names: tuple[str, str]) -> list[str]:
    out = [
        f"The heritability of {name} is estimated below zero, so there is no correlation to speak of."
        for name, h in zip(names, value, strict=False)
        if not h > 0
    ]
    if np.isfinite(value[3]) and not np.isfinite(se[3]):
        out.append("Without some block a heritability is below zero: the correlation has no standard error.")
    if abs(value[3]) >= 1:
        out.append("The correlation is estimated outside [-1, 1], as moments may; its interval is Wald's.")
    return out


def _notes(given: int, used: int, count: int) -> list[str]:
    out = [
        "Responses and features count as standardised; standard errors by a jackknife over blocks of features, which "
        "does not know the error of the panel.",
        "No individual may be in both studies.",
    ]
    if used < given:
        out.append(
            f"{given - used} of {given} features were left out: not in both studies and the panel, without a "
            "statistic, or constant."
        )
    if count < FEW_BLOCKS:
        out.append(f"{count} blocks say little of the standard errors: z and the intervals take them as known.")
    return out
