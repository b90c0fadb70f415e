"""Posteriors of several traits: covariances, correlations, shares and eigenvalues draw by draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NotProvided, OptionError
from ..inference.intervals import check_level
from ..inference.traits import (
    RESIDUAL,
    TraitMatrix,
    component,
    families_of,
    main_component,
    share_forms,
)
from . import posterior_numbers as pn
from .posterior_derived import PosteriorQuantity
from .posterior_refused import refused
from .trait_prediction import TraitPrediction
from .traits_covariances import chosen, square

if TYPE_CHECKING:
    import pandas as pd

    from .traits_eigen import EigenDecomposition

Float = NDArray[np.float64]
INSTEAD = (
    "correlations() has the posterior of every correlation and, as `above_zero`, the probability that it is positive; "
    "correlation_posterior('y1', 'y2').probability(lambda r: r > 0.5) has others"
)


def matrix_draws(fit: Any, matrix: TraitMatrix) -> Float:
    """(C, D, t, t) a covariance of the traits."""
    return np.einsum("jkm,cdm->cdjk", matrix.L, fit.draws.theta)


def correlation_draws(fit: Any, matrix: TraitMatrix) -> Float:
    """(C, D, t, t) its correlations."""
    C = matrix_draws(fit, matrix)
    d = np.sqrt(np.einsum("cdjj->cdj", C))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.clip(C / d[..., :, None] / d[..., None, :], -1.0, 1.0)


def covariance_rows(fit: Any, matrix: TraitMatrix, level: float, interval: str) -> list[dict[str, Any]]:
    """The lower triangle, column by column."""
    C, rows = matrix_draws(fit, matrix), []
    for k in range(matrix.t):
        for j in range(k, matrix.t):
            numbers = pn.numbers(C[..., j, k], level, interval)
            head = {"trait1": matrix.traits[j], "trait2": matrix.traits[k], "covariance": numbers.mean}
            rows.append(head | _numbers(numbers, C[..., j, k]))
    return rows


def correlation_rows(fit: Any, matrix: TraitMatrix, level: float, interval: str) -> list[dict[str, Any]]:
    """One row a pair of traits."""
    R, rows = correlation_draws(fit, matrix), []
    for j, k in matrix.pairs:
        x = R[..., j, k]
        numbers = pn.numbers(x, level, interval)
        head = {"component": matrix.name, "trait1": matrix.traits[j], "trait2": matrix.traits[k]}
        rows.append(head | {"correlation": numbers.mean} | _numbers(numbers, x, sign=True))
    return rows


def _numbers(n: pn.Numbers, x: Float, sign: bool = False) -> dict[str, Any]:
    held = np.isfinite(x).all() and np.ptp(x) == 0.0
    out: dict[str, Any] = {"se": float("nan") if held else n.sd, "lower": n.lower, "upper": n.upper}
    if sign:
        out["above_zero"] = float("nan") if held or not np.isfinite(x).all() else float((x > 0).mean())
    return out | {"ess": n.ess_bulk, "rhat": n.rhat, "mcse": n.mcse, "note": "held fixed" if held else ""}


class PosteriorTraits:
    """What `TraitResults` says of the covariances of traits, as posteriors; to stand before it in the bases."""

    def trait_cov(
        self: Any,
        which: str | None = None,
        se: bool = False,
        level: float = 0.95,
        *,
        interval: str = "hdi",
        effect: str | None = None,
        scale: str = "variance",
    ) -> pd.DataFrame:
        """Covariance of the traits in a term, the residual, or a record as a whole: posterior means.

        Parameters
        ----------
        which : str, optional
            A term, "Residual" or "phenotypic"; by default what `G` is of.
        se : bool
            False: the matrix.  True: its lower triangle, one row an entry, with posterior standard deviations (se),
            intervals, ess, rhat, mcse.
        level : float
        interval : str
            "hdi" (highest posterior density) or "quantile".
        effect : str, optional
            Of a term with slopes: which of its effects.
        scale : str
            Of the phenotypic matrix, "variance" or "pve".
        """
        import pandas as pd

        level, kind = check_level(level), pn.check_interval(interval)
        matrix = component(self.spec, which or main_component(self.spec), effect, scale)
        if not se:
            return square(matrix, matrix.value(self.estimate.theta))
        return pd.DataFrame(covariance_rows(self, matrix, level, kind))

    def correlations(
        self: Any,
        which: str | Sequence[str] | None = None,
        level: float = 0.95,
        interval: str = "hdi",
        *,
        effect: str | None = None,
        scale: str = "variance",
    ) -> pd.DataFrame:
        """Posteriors of the correlations of every pair of traits.

        Parameters
        ----------
        which : str or list of str, optional
            Terms, "Residual", "phenotypic"; all of them by default.
        level : float
        interval : str
            "hdi" (highest posterior density) or "quantile".
        effect, scale
            See `trait_cov`.

        Returns
        -------
        DataFrame, one row a pair: component, trait1, trait2, correlation (posterior mean), se (posterior standard
        deviation), lower, upper, above_zero (posterior probability), ess, rhat, mcse, note.
        """
        import pandas as pd

        level, kind = check_level(level), pn.check_interval(interval)
        rows = [row for m in chosen(self, which, effect, scale) for row in correlation_rows(self, m, level, kind)]
        columns = ["component", "trait1", "trait2", "correlation", "se", "lower", "upper", "above_zero"]
        return pd.DataFrame(rows, columns=[*columns, "ess", "rhat", "mcse", "note"])

    def correlation_matrix(
        self: Any, which: str | None = None, *, effect: str | None = None, scale: str = "variance"
    ) -> pd.DataFrame:
        """Posterior means of the correlations (t×t) in a term (by default that of `G`), "Residual" or "phenotypic"."""
        matrix = component(self.spec, which or main_component(self.spec), effect, scale)
        return square(matrix, correlation_draws(self, matrix).mean(axis=(0, 1)))

    def correlation_posterior(
        self: Any,
        trait1: str,
        trait2: str,
        which: str | None = None,
        *,
        level: float = 0.95,
        interval: str = "hdi",
        effect: str | None = None,
        scale: str = "variance",
    ) -> PosteriorQuantity:
        """The correlation of two traits as a posterior, with ``.draws`` and ``.probability(lambda r: r > 0.5)``."""
        matrix = component(self.spec, which or main_component(self.spec), effect, scale)
        j, k = matrix.at(trait1), matrix.at(trait2)
        x = correlation_draws(self, matrix)[..., j, k]
        name = f"corr({trait1}, {trait2}) in {matrix.name}"
        return PosteriorQuantity(x, name, "", check_level(level), pn.check_interval(interval), -1.0, 1.0)

    def heritabilities(
        self: Any,
        term: str | None = None,
        level: float = 0.95,
        interval: str = "hdi",
        *,
        denominator: Sequence[str] | None = None,
        scale: str = "variance",
    ) -> pd.DataFrame:
        """The part of each trait's variance that a term makes, one row a trait: heritability, se, lower, upper, …

        Parameters
        ----------
        term : str, optional
            By default what `G` is of; "Residual" too.
        level : float
        interval : str
            "hdi" (highest posterior density) or "quantile".
        denominator : list of str, optional
            Terms added up below the line; all terms and "Residual" by default.
        scale : str
            "variance": known covariances as if of unit diagonal.  "pve": with their own, centred, as GEMMA does.
        """
        import pandas as pd

        rows = []
        for trait in self.traits:
            one = self.heritability(term, denominator, trait=trait, scale=scale, level=level, interval=interval)
            rows.append(
                {"trait": trait, "heritability": one.mean, "se": one.sd, "lower": one.lower, "upper": one.upper}
                | {"ess": one.ess if pn.there() else np.nan, "rhat": one.rhat if pn.there() else np.nan}
            )
        return pd.DataFrame(rows)

    def heritability(
        self: Any,
        term: str | None = None,
        denominator: Sequence[str] | None = None,
        *,
        trait: str | None = None,
        scale: str = "variance",
        level: float = 0.95,
        interval: str = "hdi",
    ) -> PosteriorQuantity:
        """The part of one trait's variance that a term makes, as a posterior; `heritabilities` gives all traits."""
        if trait not in self.traits:
            raise OptionError(
                f"heritability() of which trait? Give trait= one of {', '.join(map(repr, self.traits))}, or use "
                "heritabilities()"
            )
        level, kind = check_level(level), pn.check_interval(interval)
        name, a = term or main_component(self.spec), self.traits.index(trait)
        above, below = share_forms(self.spec, name, denominator, scale)
        total = self.draws.theta @ below[a]
        if not (total > 0).all():
            raise OptionError("the denominator is zero: name components that vary")
        names = list(denominator) if denominator is not None else [*families_of(self.spec), RESIDUAL]
        prefix = "var" if scale == "variance" else "pve"
        return PosteriorQuantity(
            self.draws.theta @ above[a] / total,
            f"{prefix}({name}[{trait}])",
            " + ".join(f"{prefix}({one}[{trait}])" for one in names),
            level,
            kind,
            0.0,
            1.0 if name in names else None,
        )

    def augment(self: Any, *, influence: bool = False) -> pd.DataFrame:
        """The data with fitted values and residuals of every trait, made of posterior means."""
        if influence:
            raise NotProvided("a posterior has no leverages: loo() has the influence of single records (Pareto k)")
        return TraitPrediction.augment(self)

    def eigen(
        self: Any,
        which: str | None = None,
        level: float = 0.95,
        *,
        correlation: bool = False,
        interval: str = "hdi",
        effect: str | None = None,
        scale: str = "variance",
    ) -> EigenDecomposition:
        """Posteriors of the eigenvalues and eigenvectors (principal components) of a covariance of the traits.

        The matrix of every draw is decomposed; its vectors are turned to the side of those of the posterior mean.

        Parameters
        ----------
        which, effect, scale
            See `trait_cov`.
        level : float
        correlation : bool
            Of the correlation matrix: where traits have different units.
        interval : str
            "hdi" (highest posterior density) or "quantile".

        Returns
        -------
        EigenDecomposition: ``.frame`` (eigenvalue, se, lower, upper, share, cumulative), ``.vectors``,
        ``.vectors_se``, ``.dimensions`` (effective number, Σλ/λ_1).
        """
        from .posterior_eigen import decompose

        matrix = component(self.spec, which or main_component(self.spec), effect, scale)
        return decompose(self, matrix, check_level(level), correlation, pn.check_interval(interval))

    test_correlation = refused(INSTEAD)
