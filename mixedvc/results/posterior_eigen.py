"""Eigenvalues and eigenvectors of a covariance among traits, draw by draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..inference.traits import TraitMatrix
from ..linalg.dense import small_eigh
from . import posterior_numbers as pn
from .listing import interval_names, listing
from .traits_eigen import EigenDecomposition

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class PosteriorEigen(EigenDecomposition):
    """Eigenvalues and loadings as posterior means, with standard deviations and credible intervals."""

    interval: str = "hdi"

    def summary(self) -> Any:
        """Eigenvalues and loadings as text, HTML or LaTeX."""
        what = "correlation" if self.correlation else "covariance"
        table = self.frame.join(self.vectors.T)
        table.index.name = "PC"
        hpd = {"lower": f"[{100 * self.level:g}%", "upper": "HPD]"}
        names = {**interval_names(self.level), "se": "std dev", **(hpd if self.interval == "hdi" else {})}
        return listing(f"Eigenvalues of the {what} matrix of {self.component}", table, ["PC"], self.notes, names)


def decompose(fit: Any, matrix: TraitMatrix, level: float, correlation: bool, interval: str) -> PosteriorEigen:
    """See `PosteriorTraits.eigen`."""
    import pandas as pd

    from .posterior_traits import correlation_draws, matrix_draws

    C = (correlation_draws if correlation else matrix_draws)(fit, matrix)
    C = C.reshape(-1, matrix.t, matrix.t)
    if not np.isfinite(C).all():
        raise OptionError(f"a variance in {matrix.name!r} is zero, so it has no correlation matrix")
    _, centre = _sorted(C.mean(axis=0)[None])
    values, vectors = _sorted(C)
    reference = centre[0] * np.sign(centre[0][np.abs(centre[0]).argmax(axis=0), np.arange(matrix.t)])
    side = np.sign(np.einsum("nij,ij->nj", vectors, reference))
    vectors = vectors * np.where(side == 0, 1.0, side)[:, None, :]
    names = [f"PC{i + 1}" for i in range(matrix.t)]
    limits = np.array([pn.limits(values[:, i], level, interval) for i in range(matrix.t)])
    mean = values.mean(axis=0)
    share = (values / values.sum(axis=1, keepdims=True)).mean(axis=0)
    frame = pd.DataFrame(
        {
            "eigenvalue": mean,
            "se": values.std(axis=0, ddof=1),
            "lower": limits[:, 0],
            "upper": limits[:, 1],
            "share": share,
            "cumulative": np.cumsum(share),
        },
        index=pd.Index(names),
    )
    loadings = pd.DataFrame(vectors.mean(axis=0), index=list(matrix.traits), columns=names)
    spread = pd.DataFrame(vectors.std(axis=0, ddof=1), index=list(matrix.traits), columns=names)
    dimensions = float((values.sum(axis=1) / values[:, 0]).mean())
    said = _notes(fit, interval)
    return PosteriorEigen(frame, loadings, spread, dimensions, matrix.name, correlation, level, said, interval)


def _sorted(C: Float) -> tuple[Float, Float]:
    """Eigenvalues (N, t), the largest first, and vectors (N, t, t) as columns."""
    values, vectors = small_eigh(C)
    return values[..., ::-1], vectors[..., ::-1]


def _notes(fit: Any, interval: str) -> tuple[str, ...]:
    kind = "highest posterior density" if interval == "hdi" else "quantiles"
    return (
        f"Means and standard deviations of {fit.draws.chains * fit.draws.count:,} posterior draws, each decomposed by "
        f"itself; intervals: {kind}.",
        "Ordered eigenvalues of draws are spread out: the largest lies above that of the mean matrix, the smallest "
        "below.",
    )
