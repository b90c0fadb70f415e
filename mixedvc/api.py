"""The public face: fit, model, load."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from os import PathLike
from typing import Any

from .design.bind import bind
from .design.spec import ModelSpec
from .errors import OptionError
from .estimators import estimators
from .io import store
from .io.covariance_files import with_files
from .likelihood import choose
from .linalg.threads import blas_threads
from .progress import Progress
from .results.point import PointResults


def model(
    formula: str,
    data: Any,
    *,
    cov: Mapping[str, Any] | None = None,
    responses: Mapping[str, Any] | None = None,
    weights: Any = None,
    offset: Any = None,
    residual: str | None = None,
    missing: str = "omit",
    contrasts: Mapping[str, Any] | None = None,
    align: str = "labels",
    rank: str = "drop",
) -> ModelSpec:
    """Bind a formula to data: a frozen, reusable specification.

    Parameters
    ----------
    formula : str
        lme4's grammar plus known covariances: ``"y ~ x + (1 | kin:A)"``, ``"y ~ x + (1 + x | gr(kin, cov=A))"``.
    data : pandas.DataFrame or anything narwhals reads
        One row per observation.
    cov : mapping, optional
        Known covariances by the names used in the formula: a labelled frame, ``(matrix, labels)``, a Covariance
        (`Dense`, `Sparse`, `Precision`, `Features`, `Kronecker`, `pedigree`) or the path of a labelled matrix or a
        pedigree table, recognised by its content.
    responses : mapping, optional
        Responses that are no column of `data`, by the name used left of ``~``: (n,) or (n, t) arrays or frames.
    weights, offset : str or array (n,), optional
        Prior weights (residual variance σ²/weight), a known part of the mean; a column's name or an array.
    residual : str, optional
        Structure of the residual; ``"us"`` (one variance) for one response.
    missing : "omit" | "exclude" | "fail"
        Rows with missing values are left out; "exclude" keeps their places (NaN) in fitted values and residuals.
    contrasts : mapping, optional
        Contrasts of fixed factors by name: "treatment", "sum", "helmert", "poly" or a matrix.
    align : "labels" | "position"
        How levels meet covariances; an unlabelled matrix needs "position" said.
    rank : "drop" | "error"
        What to do with fixed-effect columns that depend on earlier ones.

    Returns
    -------
    ModelSpec

    Raises
    ------
    FormulaError, BindError, DataError, CovarianceError
        With the name, the place and the remedy.
    """
    return bind(
        formula,
        data,
        cov=with_files(formula, data, cov),
        responses=responses,
        weights=weights,
        offset=offset,
        residual=residual,
        missing=missing,
        contrasts=contrasts,
        align=align,
        rank=rank,
    )


def fit(
    formula: str,
    data: Any,
    *,
    cov: Mapping[str, Any] | None = None,
    method: Any = "reml",
    responses: Mapping[str, Any] | None = None,
    weights: Any = None,
    offset: Any = None,
    residual: str | None = None,
    missing: str = "omit",
    contrasts: Mapping[str, Any] | None = None,
    fixed_varcomp: Mapping[str, Any] | None = None,
    align: str = "labels",
    rank: str = "drop",
    threads: int | None = None,
    seed: int | None = None,
    progress: bool | None = None,
    **options: Any,
) -> PointResults:
    """Fit a mixed model.

    Parameters
    ----------
    formula, data, cov, responses, weights, offset, residual, missing, contrasts, align, rank
        See `model`.
    method : str or Estimator
        A registered name ("reml", "ml", …) or an estimator object.
    fixed_varcomp : mapping, optional
        Components held at given values, e.g. ``{"animal": 20.0, "residual": 40.0}``.
    threads : int, optional
        BLAS threads during the fit.
    seed : int, optional
        Seed of estimators that draw.
    progress : bool, optional
        Show a progress bar; by default only on a terminal or in a notebook, and only for long work.
    **options
        Fields of the named estimator, e.g. ``tol=1e-10``; an unknown one is a TypeError that lists them.

    Returns
    -------
    PointResults

    Examples
    --------
    >>> import mixedvc as mv
    >>> fit = mv.fit("Reaction ~ Days + (Days | Subject)", mv.load_data("sleepstudy"))
    >>> round(fit.llf, 4)
    -871.8141
    """
    estimator = _estimator(method, _with_fixed(fixed_varcomp, options))
    with blas_threads(_threads(threads)):
        spec = model(
            formula,
            data,
            cov=cov,
            responses=responses,
            weights=weights,
            offset=offset,
            residual=residual,
            missing=missing,
            contrasts=contrasts,
            align=align,
            rank=rank,
        )
        return _run(spec, estimator, seed, progress)


def fit_spec(
    spec: ModelSpec,
    method: Any = "reml",
    *,
    fixed_varcomp: Mapping[str, Any] | None = None,
    threads: int | None = None,
    seed: int | None = None,
    progress: bool | None = None,
    **options: Any,
) -> PointResults:
    """Fit a bound specification: what ``spec.fit(...)`` calls; the keywords are those of `fit`."""
    estimator = _estimator(method, _with_fixed(fixed_varcomp, options))
    with blas_threads(_threads(threads)):
        if spec.source is not None:
            spec.source.check_unchanged()
        return _run(spec, estimator, seed, progress)


def load(path: str | PathLike[str]) -> PointResults:
    """Read a fit written by ``fit.save(path)``; nothing in the file is executed."""
    return store.load(path)


def _threads(threads: int | None) -> int | None:
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise OptionError(f"threads={threads!r}: a positive whole number is needed")
    return threads


def _with_fixed(fixed_varcomp: Mapping[str, Any] | None, options: dict[str, Any]) -> dict[str, Any]:
    return options if fixed_varcomp is None else {**options, "fixed_varcomp": fixed_varcomp}


def _estimator(method: Any, options: dict[str, Any]) -> Any:
    """The estimator object: a name with its options, or an object given ready."""
    if not isinstance(method, str):
        if not hasattr(method, "fit"):
            raise OptionError(f"method={method!r} is neither a registered name nor an estimator")
        return dataclasses.replace(method, **_known(type(method), options)) if options else method
    cls = estimators.get(method)
    return cls(**_known(cls, options))


def _known(cls: Any, options: dict[str, Any]) -> dict[str, Any]:
    fields = [f.name for f in dataclasses.fields(cls) if f.init]
    unknown = [key for key in options if key not in fields]
    if unknown:
        raise OptionError(
            f"{', '.join(map(repr, unknown))}: no option of mixedvc.fit or of method {cls.name!r}, "
            f"which takes {', '.join(fields)}"
        )
    return options


def _run(spec: ModelSpec, estimator: Any, seed: int | None, progress: bool | None) -> PointResults:
    import numpy as np

    began = time.perf_counter()
    likelihood, reason = None, ""
    if "likelihood" in estimator.needs:
        likelihood, reason = choose(
            spec,
            reml=getattr(estimator, "restricted", True),
            purpose=getattr(estimator, "purpose", "fit"),
            name=getattr(estimator, "likelihood", None),
        )
    rng = np.random.default_rng(seed)
    with Progress(f"{estimator.name}", show=progress) as bar:
        estimate = estimator.fit(spec, rng=rng, progress=bar, likelihood=likelihood)
    extra = {**estimate.extra, "seconds": time.perf_counter() - began}
    estimate = dataclasses.replace(estimate, reason=reason or estimate.reason, extra=extra)
    return PointResults(spec, estimate, likelihood, estimator)


ModelSpec.fitter = staticmethod(fit_spec)
