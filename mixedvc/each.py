"""`fit_each`: arguments checked, responses read, the model bound once, everything fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .api import _estimator, _run, _threads, check_seed
from .design.many import read_many
from .errors import OptionError
from .inference.df import check_df
from .inference.intervals import check_level
from .inference.se import KINDS
from .linalg.processes import check_workers
from .linalg.threads import blas_threads
from .many.run import Run
from .many.source import Source
from .progress import Progress
from .results.each import EachFit
from .results.each_row import Asked


def fit_each(
    responses: Any,
    formula: str,
    data: Any,
    *,
    cov: Mapping[str, Any] | None = None,
    method: Any = "reml",
    weights: Any = None,
    offset: Any = None,
    residual: str | None = None,
    missing: str = "omit",
    contrasts: Mapping[str, Any] | None = None,
    align: str = "labels",
    information: str = "auto",
    df: str = "satterthwaite",
    level: float = 0.95,
    seed: int | None = None,
    threads: int | None = None,
    workers: int = 1,
    progress: bool | None = None,
    **options: Any,
) -> EachFit:
    """Fit one specification to each of many responses: expression of genes, metabolites, a phenome.

    Every response is fitted as `fit` fits it alone, and to the same digits.  With one random term of one variance and
    "reml" or "ml" the rows are turned once by the eigenvectors of its kernel and all responses are iterated together,
    each to the highest point of its profile (which `fit` may miss where there are several).  Other models and methods
    are fitted one after the other on one set-up.

    Parameters
    ----------
    responses : (n, T) table or array, or list of str
        A response a column.  A pandas frame is matched to `data` by the labels of the rows (``data.set_index("id")``);
        arrays and tables without labels by position.  A list names columns of `data`.  Single precision is welcome.
    formula : str
        Right-hand side: ``"~ age + sex + (1 | id:K)"``.
    data, cov, weights, offset, residual, contrasts, align
        As in `fit`.
    method : str or Estimator
        A registered name ("reml", "ml", "he", …) or an estimator object.
    missing : "omit" | "exclude" | "fail"
        Of cells of a response too.  Responses that lack the same rows share all the work; rows that few responses lack
        are taken out of the turned ones exactly, without another decomposition.
    information : str
        "expected" | "average" | "observed" | "auto": behind standard errors of variances, as `PointResults`.
    df : str
        "satterthwaite", "kenward-roger" (one after the other: slower), "residual" or "normal": tests of fixed effects.
    level : float
        Of the intervals in ``.fixed`` and ``.variances``.
    seed : int, optional
        Of methods that draw: each response starts from it, as ``fit(…, seed=seed)`` does; one of chance by default.
    threads : int, optional
        BLAS threads.
    workers : int
        Processes for fits one after the other; where all responses go together, `threads` count instead.
    progress : bool, optional
        Show a progress bar; by default on a terminal or in a notebook, for long work.  Ctrl-C returns what is done.
    **options
        Fields of the named estimator.

    Returns
    -------
    EachFit
        ``.frame`` has a row a response: coefficients with standard errors, t, df, p- and q-values, variances, h² and
        the test of it.  A response that cannot be fitted (constant, all missing, infinite) has a message there.

    Raises
    ------
    FormulaError, BindError, DataError, CovarianceError, OptionError
        About the specification, which all responses share.

    Examples
    --------
    >>> import mixedvc as mv
    >>> data = mv.load_data("sleepstudy")
    >>> import numpy as np
    >>> each = mv.fit_each({"fast": 1000 / data["Reaction"], "slow": data["Reaction"]}, "~ Days + (1 | Subject)", data)
    >>> each.frame[["response", "coef[Days]", "icc"]].round(3).values.tolist()
    [['fast', -0.111, 0.673], ['slow', 10.467, 0.589]]
    """
    estimator = _estimator(method, options)
    if getattr(estimator, "outer", None) is not None:
        raise OptionError("outer= takes the place of the response, so there is nothing to fit for each response")
    if information not in ("auto", *KINDS):
        raise OptionError(f"information={information!r} is not one of 'auto', {', '.join(map(repr, KINDS))}")
    check_seed(seed)
    chance = int(np.random.default_rng().integers(2**31))
    asked = Asked(information, check_df(df), check_level(level), chance if seed is None else int(seed))
    with blas_threads(_threads(threads)):
        many = read_many(responses, data)
        binding: dict[str, Any] = {
            "cov": cov,
            "weights": weights,
            "offset": offset,
            "residual": residual,
            "missing": missing,
            "contrasts": contrasts,
            "align": align,
        }
        source = Source.of(many, formula, data, binding, responses)
        with Progress(f"{estimator.name} × {many.count:,}", total=many.count, show=progress) as bar:
            return Run(source, estimator, asked, check_workers(workers), bar, _run).result()
