"""Results of a fit of several traits: what `PointResults` has, and covariances among the traits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import OptionError
from ..inference import intervals, ratios
from ..inference.traits import PHENOTYPIC, RESIDUAL, component, families_of, main_component
from . import traits_covariances as frames_of
from .point import PointResults
from .trait_prediction import TraitPrediction

if TYPE_CHECKING:
    import pandas as pd
    from statsmodels.iolib.summary import Summary

    from .traits_eigen import EigenDecomposition
    from .traits_test import TraitCorrelationTest


@dataclass(frozen=True, eq=False, repr=False)
class TraitResults(TraitPrediction, PointResults):  # type: ignore[misc]  # rows are records × traits
    """A fitted model of several traits.

    A matrix among traits is named by its term (``"line"``), ``"Subject: Days"`` for an effect that is not the
    intercept, ``"Residual"``, or ``"phenotypic"``: the covariance of a record, every term and the residual together.
    In the phenotypic matrix a known covariance counts as if its diagonal were one (``scale="variance"``, as in
    `heritability` and the shares of `varcomp`), or with its own mean diagonal, centred as GEMMA does
    (``scale="pve"``); effects of covariates count at their mean products over the records, the residual at its mean
    over the weights.

    Examples
    --------
    >>> import mixedvc as mv
    >>> markers = mv.load_data("multitrait_markers").set_index("line")
    >>> K = mv.Features(markers.fillna(markers.mean()))
    >>> data = mv.load_data("multitrait").dropna()
    >>> data = data.rename(columns={"X4.Hydroxybutyl": "butyl", "X3.Hydroxypropyl": "propyl"})
    >>> fit = mv.fit("cbind(log(propyl), log(butyl)) ~ 1 + (1 | line:K)", data, cov={"K": K})
    >>> fit.correlations()[["component", "correlation", "se"]].round(2)
        component  correlation    se
    0        line        -0.88  0.06
    1    Residual        -0.15  0.10
    2  phenotypic        -0.69  0.06
    """

    @property
    def traits(self) -> tuple[str, ...]:
        """Names of the traits."""
        return tuple(self.spec.traits.names)

    # ---- matrices -------------------------------------------------------------------------------------------

    @property
    def G(self) -> pd.DataFrame:
        """Covariance of the traits (t×t) in the first term with a known covariance, or in the only term."""
        return self.trait_cov(main_component(self.spec))

    @property
    def R(self) -> pd.DataFrame:
        """Residual covariance of the traits, of a record of weight 1."""
        return self.trait_cov(RESIDUAL)

    @property
    def P(self) -> pd.DataFrame:
        """Phenotypic covariance of the traits: all terms and the residual, known covariances as if of unit diagonal."""
        return self.trait_cov(PHENOTYPIC)

    def trait_cov(
        self,
        which: str | None = None,
        se: bool = False,
        level: float = 0.95,
        *,
        interval: str = "delta",
        effect: str | None = None,
        scale: str = "variance",
    ) -> pd.DataFrame:
        """Covariance of the traits in a term, the residual, or a record as a whole.

        Parameters
        ----------
        which : str, optional
            A term, "Residual" or "phenotypic"; by default what `G` is of.
        se : bool
            False: the matrix.  True: its lower triangle, one row an entry, with standard errors and intervals.
        level : float
        interval : str
            "delta" (chi-square for variances, Wald for covariances), "profile" or "boot" (1,000 refits, seed 0).
        effect : str, optional
            Of a term with slopes: which of its effects.
        scale : str
            Of the phenotypic matrix, "variance" or "pve".

        Returns
        -------
        DataFrame
            t×t; or columns trait1, trait2, covariance, se, lower, upper, note, which says why an error is missing.
        """
        matrix = component(self.spec, which or main_component(self.spec), effect, scale)
        if not se:
            return frames_of.square(matrix, matrix.value(self.estimate.theta))
        kind = frames_of.check_kind(interval)
        return frames_of.covariance_frame(self, matrix, intervals.check_level(level), kind)

    def correlations(
        self,
        which: str | Sequence[str] | None = None,
        level: float = 0.95,
        interval: str = "delta",
        *,
        effect: str | None = None,
        scale: str = "variance",
    ) -> pd.DataFrame:
        """Correlations of every pair of traits with errors and intervals.

        Parameters
        ----------
        which : str or list of str, optional
            Terms, "Residual", "phenotypic"; all of them by default.
        level : float
        interval : str
            "delta" (Fisher's z), "profile" (likelihood; an end may be ±1, which is then not rejected), or "boot".
        effect, scale
            See `trait_cov`.

        Returns
        -------
        DataFrame, one row a pair: component, trait1, trait2, correlation, se, lower, upper, note (why an error is
        missing: a correlation of ±1, a variance of zero, a covariance that the structure or the user holds).
        """
        import pandas as pd

        kind, level = frames_of.check_kind(interval), intervals.check_level(level)
        made = [frames_of.correlation_rows(self, m, level, kind) for m in self._chosen(which, effect, scale)]
        columns = ["component", "trait1", "trait2", "correlation", "se", "lower", "upper", "note"]
        return pd.DataFrame([row for rows in made for row in rows], columns=columns)

    def correlation_matrix(
        self, which: str | None = None, *, effect: str | None = None, scale: str = "variance"
    ) -> pd.DataFrame:
        """Correlations of the traits (t×t) in a term (by default that of `G`), "Residual" or "phenotypic"."""
        matrix = component(self.spec, which or main_component(self.spec), effect, scale)
        return frames_of.square(matrix, matrix.correlations(self.estimate.theta))

    def _chosen(self, which: Any, effect: str | None, scale: str) -> list[Any]:
        return frames_of.chosen(self, which, effect, scale)

    # ---- shares ---------------------------------------------------------------------------------------------

    def heritabilities(
        self,
        term: str | None = None,
        level: float = 0.95,
        interval: str = "logit",
        *,
        denominator: Sequence[str] | None = None,
        scale: str = "variance",
    ) -> pd.DataFrame:
        """The part of each trait's variance that a term makes, one row a trait: heritability, se, lower, upper.

        Parameters
        ----------
        term : str, optional
            By default what `G` is of; "Residual" too.
        level : float
        interval : str
            "logit" (delta method), "profile" or "boot".
        denominator : list of str, optional
            Terms added up below the line; all terms and "Residual" by default.
        scale : str
            "variance": known covariances as if of unit diagonal.  "pve": with their own, centred, as GEMMA does.
        """
        import pandas as pd

        kind, level = frames_of.check_kind(interval, "logit"), intervals.check_level(level)
        name = term or main_component(self.spec)
        return pd.DataFrame(frames_of.heritability_rows(self, name, denominator, scale, level, kind))

    def heritability(
        self,
        term: str | None = None,
        denominator: Sequence[str] | None = None,
        *,
        trait: str | None = None,
        scale: str = "variance",
        level: float = 0.95,
        interval: str = "logit",
    ) -> ratios.Ratio:
        """The part of one trait's variance that a term makes; `heritabilities` gives all traits."""
        if trait not in self.traits:
            raise OptionError(
                f"heritability() of which trait? Give trait= one of {', '.join(map(repr, self.traits))}, or use "
                "heritabilities()"
            )
        name = term or main_component(self.spec)
        rows = self.heritabilities(name, level, interval, denominator=denominator, scale=scale).set_index("trait")
        row: dict[Any, Any] = rows.to_dict("index")[str(trait)]
        below = list(denominator) if denominator is not None else [*families_of(self.spec), RESIDUAL]
        prefix = "var" if scale == "variance" else "pve"
        words = {"logit": "logit", "profile": "profile-likelihood", "boot": "bootstrap"}
        return ratios.Ratio(
            row["heritability"],
            row["se"],
            row["lower"],
            row["upper"],
            level,
            f"{prefix}({name}[{trait}])",
            " + ".join(f"{prefix}({one}[{trait}])" for one in below),
            words[interval],
        )

    @property
    def scale(self) -> float:
        """Residual variance where the traits share one number: none do, so NaN; see `R`."""
        return float("nan")

    # ---- structure of a matrix ------------------------------------------------------------------------------

    def eigen(
        self,
        which: str | None = None,
        level: float = 0.95,
        *,
        correlation: bool = False,
        method: str = "auto",
        nsim: int = 10_000,
        seed: int = 0,
        effect: str | None = None,
        scale: str = "variance",
    ) -> EigenDecomposition:
        """Eigenvalues and eigenvectors (principal components) of a covariance of the traits.

        Parameters
        ----------
        which, effect, scale
            See `trait_cov`.
        level : float
        correlation : bool
            Of the correlation matrix: where traits have different units.
        method : str
            Errors by the "delta" method, or by "simulation": draws of the matrix from its asymptotic distribution,
            made positive semi-definite (REML-MVN; Houle & Meyer 2015).  "auto": delta, and draws for eigenvalues that
            are less than two standard errors apart.
        nsim, seed : int
            Draws.

        Returns
        -------
        EigenDecomposition: ``.frame`` (eigenvalue, se, lower, upper, share, cumulative), ``.vectors``,
        ``.vectors_se``, ``.dimensions`` (effective number, Σλ/λ_1).
        """
        from .traits_eigen import decompose

        matrix = component(self.spec, which or main_component(self.spec), effect, scale)
        theta = self.estimate.theta
        return decompose(self, matrix, theta, intervals.check_level(level), correlation, method, nsim, seed)

    def test_correlation(
        self,
        trait1: str,
        trait2: str,
        rho: float = 0.0,
        term: str | None = None,
        *,
        effect: str | None = None,
    ) -> TraitCorrelationTest:
        """Likelihood-ratio test that the correlation of two traits is `rho`.

        Parameters
        ----------
        trait1, trait2 : str
        rho : float
            0 (independent), 1 or -1 (the same effects but for their size), or any value between.
        term : str, optional
            By default what `G` is of; "Residual" and "phenotypic" too.
        effect : str, optional
            Of a term with slopes: which of its effects.

        Returns
        -------
        TraitCorrelationTest: statistic, p_value, df (the law in words), llf, llf_null.  Inside the range the law is
        chi-square with one degree of freedom; at ±1, the edge, the mixture ½χ²_{k-2} + ½χ²_{k-1} for a term of k
        effects, ½χ²₀ + ½χ²₁ for two traits (Self & Liang 1987).

        Raises
        ------
        NotProvided
            A method without a likelihood; a structure that holds the correlation.
        """
        from .traits_test import correlation_test

        matrix = component(self.spec, term or main_component(self.spec), effect)
        return correlation_test(self, matrix, trait1, trait2, rho)

    # ---- tables and pictures --------------------------------------------------------------------------------

    def summary(
        self,
        df: str = "satterthwaite",
        *,
        level: float = 0.95,
        interval: str | None = None,
        information: str | None = None,
    ) -> Summary:
        """A statsmodels Summary: header, fixed effects by trait, every covariance of the traits, correlations, notes.

        Parameters are those of `PointResults.summary`; `interval` ("chi2", "wald", "profile" or "boot") is of
        variances, and of correlations where it is "profile" or "boot".
        """
        from .render import render
        from .traits_table import summary_table

        fit = self if information is None else replace(self, information=information)
        return render(summary_table(fit, df, intervals.check_level(level), interval))

    def plot_correlations(
        self, which: str | None = None, ax: Any = None, *, above: str | None = None, level: float = 0.95
    ) -> Any:
        """Heat-map of the correlations of a term (by default that of `G`), above the diagonal those of another.

        Cells have the correlation and, smaller, its standard error; those whose interval excludes zero are bold.
        """
        from .plots.correlations import correlations

        return correlations(self, which, above, level=level, ax=ax)

    def plot_shares(self, ax: Any = None) -> Any:
        """Shares of each trait's variance as stacked bars."""
        from .plots.trait_shares import trait_shares

        return trait_shares(self, ax=ax)

    def __repr__(self) -> str:
        about = getattr(self.spec.source, "formula", None) or " + ".join(t.text for t in self.spec.terms)
        state = "" if self.converged else ", not converged"
        size = f"{len(self.traits)} traits, {self.spec.traits.n} records, {self.spec.n} cells"
        return f"<TraitResults: {about} by {self.method}, {size}{state}; .summary() prints it>"
