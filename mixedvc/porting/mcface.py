"""R's generic functions for chains and models: ``summary``, ``rowSums``, ``diag``, transformations of covariances."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import DataError, OptionError
from ..linalg.dense import small_eigh, stacked_inverse
from .coda import as_chain, summary_mcmc
from .mcresult import MCMCglmmFit, need_fit

Float = NDArray[np.float64]


def summary(x: Any, random: bool = False) -> Any:
    """R's ``summary``: of a model as MCMCglmm prints it, of a chain as coda does."""
    if isinstance(x, MCMCglmmFit):
        return x.summary(random)
    if isinstance(x, (pd.DataFrame, pd.Series)):
        return summary_mcmc(x)
    raise OptionError(
        f"summary() takes a model fitted by MCMCglmm() or a chain such as m.VCV, not a {type(x).__name__}"
    )


def as_mixedvc(m: MCMCglmmFit) -> Any:
    """mixedvc's own result of the fit: ``as_mixedvc(m).summary()``, ``.posterior``, ``.heritability("animal")``."""
    return need_fit(m, "as_mixedvc").fit


def rowSums(x: pd.DataFrame) -> pd.Series:
    """R's ``rowSums``; of ``m.VCV`` the phenotypic variance of every draw, where all columns are variances."""
    made = x.sum(axis=1)
    made.attrs = dict(x.attrs)
    return made


def colMeans(x: pd.DataFrame) -> pd.Series:
    """R's ``colMeans``."""
    from .rvalues import RVector

    return RVector(x.mean(axis=0))


def diag(x: Any) -> Any:
    """R's ``diag``: the identity of a size, a diagonal matrix of a vector, the diagonal of a matrix."""
    return np.eye(int(x)) if np.ndim(x) == 0 else np.diag(np.asarray(x, dtype=np.float64))


def _matrices(x: Any, function: str) -> tuple[Float, pd.DataFrame]:
    """(D, k, k) of a chain whose columns are one covariance matrix, column by column."""
    chain = as_chain(x, function)
    k = round(chain.shape[1] ** 0.5)
    if k * k != chain.shape[1]:
        raise DataError(
            f"{function}() takes the k² columns of one matrix, e.g. m.VCV.iloc[:, :4], not {chain.shape[1]}"
        )
    return chain.to_numpy(dtype=np.float64).reshape(len(chain), k, k).transpose(0, 2, 1), chain


def _chain(values: Float, like: pd.DataFrame, columns: Any) -> pd.DataFrame:
    made = pd.DataFrame(values, columns=columns)
    made.attrs = dict(like.attrs)
    return made


def posterior_cor(x: Any) -> pd.DataFrame:
    """MCMCglmm's ``posterior.cor``: the correlation matrix of every draw of a covariance matrix."""
    S, chain = _matrices(x, "posterior_cor")
    sd = np.sqrt(np.einsum("dii->di", S))
    R = S / (sd[:, :, None] * sd[:, None, :])
    return _chain(R.transpose(0, 2, 1).reshape(len(S), -1), chain, chain.columns)


def posterior_inverse(x: Any) -> pd.DataFrame:
    """MCMCglmm's ``posterior.inverse``: the inverse of every draw of a covariance matrix."""
    S, chain = _matrices(x, "posterior_inverse")
    return _chain(stacked_inverse(S).transpose(0, 2, 1).reshape(len(S), -1), chain, chain.columns)


def posterior_evals(x: Any) -> pd.DataFrame:
    """MCMCglmm's ``posterior.evals``: the eigenvalues of every draw of a covariance matrix, largest first."""
    S, chain = _matrices(x, "posterior_evals")
    values = small_eigh(S)[0][:, ::-1]
    return _chain(values, chain, [f"var{j + 1}" for j in range(values.shape[1])])
