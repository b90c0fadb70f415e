"""Principal components of a covariance among traits: eigenvalues with errors and intervals, loadings, dimensions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..inference import intervals
from ..inference.trait_eigen import Eigen, eigen
from ..inference.traits import TraitMatrix
from .listing import interval_names, listing

if TYPE_CHECKING:
    import pandas as pd

    from .traits import TraitResults

Float = NDArray[np.float64]
METHODS = ("auto", "delta", "simulation")


@dataclass(frozen=True, eq=False, repr=False)
class EigenDecomposition:
    """What `TraitResults.eigen` returns; printing shows the table.

    Attributes
    ----------
    frame : DataFrame
        One row an eigenvalue, the largest first: eigenvalue, se, lower, upper, share (of their sum), cumulative.
    vectors, vectors_se : DataFrame
        Loadings, traits × components, and their standard errors.  Every vector has length 1 and its largest loading
        positive.
    dimensions : float
        Effective number of dimensions, Σλ / λ_1 (Kirkpatrick 2009).
    component : str
        Whose covariance it is.
    correlation : bool
        Whether of the correlation matrix.
    notes : tuple of str
    """

    frame: pd.DataFrame
    vectors: pd.DataFrame
    vectors_se: pd.DataFrame
    dimensions: float
    component: str
    correlation: bool
    level: float
    notes: tuple[str, ...] = field(repr=False)

    def summary(self) -> Any:
        """Eigenvalues and loadings as text, HTML or LaTeX."""
        what = "correlation" if self.correlation else "covariance"
        table = self.frame.join(self.vectors.T)
        table.index.name = "PC"
        title = f"Eigenvalues of the {what} matrix of {self.component}"
        return listing(title, table, ["PC"], self.notes, interval_names(self.level))

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return str(self.summary().as_html())


def decompose(
    fit: TraitResults,
    matrix: TraitMatrix,
    theta: Float,
    level: float,
    correlation: bool,
    method: str,
    nsim: int,
    seed: int,
) -> EigenDecomposition:
    """See `TraitResults.eigen`."""
    import pandas as pd

    if method not in METHODS:
        raise OptionError(f"method={method!r} is not one of {', '.join(map(repr, METHODS))}")
    if not (isinstance(nsim, int) and nsim >= 100):
        raise OptionError(f"nsim={nsim!r}: at least 100 draws are needed")
    cov = fit.covariance()
    if correlation and not np.isfinite(matrix.correlations(theta)).all():
        raise OptionError(f"a variance in {matrix.name!r} is zero, so it has no correlation matrix")
    known = not cov.problem
    found = eigen(
        matrix,
        theta,
        cov.theta if known else np.zeros_like(cov.theta),
        correlation=correlation,
        method=method if known else "delta",
        nsim=nsim,
        seed=seed,
    )
    lower, upper = _limits(found, level, method)
    names = [f"PC{i + 1}" for i in range(matrix.t)]
    edge = ~(found.values_se > 0) | (found.values == 0)
    total = found.values.sum()
    frame = pd.DataFrame(
        {
            "eigenvalue": found.values,
            "se": np.where(edge, np.nan, found.values_se),
            "lower": np.where(edge, np.nan, lower),
            "upper": np.where(edge, np.nan, upper),
            "share": found.values / total if total > 0 else np.nan,
            "cumulative": np.cumsum(found.values) / total if total > 0 else np.nan,
        },
        index=pd.Index(names),
    )
    loadings = pd.DataFrame(found.vectors, index=list(matrix.traits), columns=names)
    spread = np.where((found.vectors_se > 0) & known, found.vectors_se, np.nan)
    errors = pd.DataFrame(spread, index=list(matrix.traits), columns=names)
    largest = found.values[0]
    return EigenDecomposition(
        frame,
        loadings,
        errors,
        float(total / largest) if largest > 0 else 0.0,
        matrix.name,
        correlation,
        level,
        _notes(fit, found, method, nsim, seed, found.values == 0),
    )


def _limits(found: Eigen, level: float, method: str) -> tuple[Float, Float]:
    """Satterthwaite's chi-square, as for variances; quantiles of the draws where errors are theirs."""
    positive = np.where(found.values > 0, found.values, np.nan)
    lower, upper = intervals.variance_interval(positive, found.values_se, level)
    if found.draws is None:
        return lower, upper
    use = np.ones_like(found.apart) if method == "simulation" else ~found.apart
    low, high = intervals.percentile(found.draws, level)
    return np.where(use, low, lower), np.where(use, high, upper)


def _notes(
    fit: TraitResults, found: Eigen, method: str, nsim: int, seed: int, zero: NDArray[np.bool_]
) -> tuple[str, ...]:
    cov = fit.covariance()
    if cov.problem:
        return (f"{cov.problem[0].upper()}{cov.problem[1:]}.",)
    kind = f"{cov.kind} information" if fit.estimate.loglik is not None else cov.kind
    out = [f"Errors: delta method ({kind}); intervals: Satterthwaite's chi-square."]
    if found.draws is not None:
        which = ", ".join(f"PC{i + 1}" for i in np.flatnonzero(~found.apart))
        of = "" if method == "simulation" else f" of {which}, which are not clearly apart,"
        drawn = f"Errors and intervals{of} are those of {nsim:,} draws from the asymptotic distribution (seed {seed})"
        near = f"; {100 * found.clipped:.1f}% of the draws were made positive semi-definite" if found.clipped else ""
        out = [*([] if method == "simulation" else out), f"{drawn}{near}."]
    elif not found.apart.all():
        out.append("Eigenvalues that are not clearly apart: the delta method is poor there; method='simulation'.")
    if zero.any():
        names = ", ".join(f"PC{i + 1}" for i in np.flatnonzero(zero))
        out.append(f"boundary: {names} {'is' if zero.sum() == 1 else 'are'} exactly zero, so there is no error.")
    return tuple(out)
