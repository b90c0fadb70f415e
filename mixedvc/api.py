"""The public face: fit, compare, model, load."""

from __future__ import annotations

import dataclasses
import reprlib
import time
import warnings
from collections.abc import Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from .design.bind import bind
from .design.spec import ModelSpec
from .errors import BoundaryWarning, MixedVCError, OptionError, warn
from .estimators import estimators
from .io import store
from .io.covariance_files import with_files
from .likelihood.choose import choose
from .linalg.threads import blas_threads
from .progress import Progress
from .results.made import made
from .results.point import PointResults

if TYPE_CHECKING:
    from .results.comparison import Comparison


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
        Several responses are ``"cbind(y1, y2) ~ x + common(z) + (1 | kin:A)"``: see `mixedvc.design.bind.bind`.
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
        Structure of the residual, one variance by default: ``"diag(0 + f | rows)"`` is a variance for each level of f,
        ``"ar1(1 | g)"`` and ``"ar1(0 + time | g)"`` serial correlation within g, ``"cs(1 | g)"`` one correlation,
        ``"us(0 + time | g)"`` any covariance; ``hom=False`` and ``"diag(0 + f | rows) * ar1(1 | g)"`` combine them.
        Of several responses ``"us"`` (default), ``"diag"``, ``"cs"`` or ``"fa(1)"``.  See `mixedvc.design.bind.bind`.
    missing : "omit" | "exclude" | "fail"
        Rows with missing values (of several responses, in all of them) are left out; "exclude" keeps their places
        (NaN) in fitted values and residuals.
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


def compare(
    spec: ModelSpec,
    methods: Iterable[Any] | Mapping[str, Any],
    *,
    restricted: bool | None = None,
    seed: int | None = None,
    threads: int | None = None,
    progress: bool | None = None,
) -> Comparison:
    """Fit one specification by several methods and lay the answers side by side.

    Parameters
    ----------
    spec : ModelSpec
        From `model`.
    methods : list or mapping
        Registered names, estimator objects, or both: ``["reml", "he", MM(tol=1e-8)]``; a mapping gives them labels:
        ``{"plain": MM(accelerate=None), "fast": "mm"}``.
    restricted : bool, optional
        The common log-likelihood at which all estimates are judged, REML (True) or ML; named methods that can maximise
        either maximise this one.  By default REML, unless all that maximise a likelihood maximise ML.
    seed, threads, progress
        As in `fit`; every method that draws starts from the same seed.

    Returns
    -------
    Comparison
        ``print`` shows it; `fits` holds every method's results, `table` all estimates, `plot` draws them.  The seconds
        are those of the fit with its set-up; standard errors are made afterwards, and what a covariance keeps for the
        next fit (a matrix formed once) is paid by the first that needs it.

    Raises
    ------
    OptionError
        An unknown method or option, before anything is fitted.
    MixedVCError
        Where every method fails; if only some do, their columns say so.

    Examples
    --------
    >>> import mixedvc as mv
    >>> spec = mv.model("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"))
    >>> both = mv.compare(spec, ["reml", "ml"])
    >>> both.best
    'reml'
    >>> both["ml"].varcomp["variance"].round().tolist()
    [1388.0, 2451.0]
    """
    if not isinstance(spec, ModelSpec):
        raise OptionError(f"compare() takes a specification, mixedvc.model(formula, data), not {type(spec).__name__}")
    if restricted is not None and not isinstance(restricted, bool):
        raise OptionError(f"restricted={restricted!r:.60}: True (REML), False (ML) or None is needed")
    check_seed(seed)
    from .results.comparison import side_by_side

    chosen = _labelled(methods, restricted)
    fits: dict[str, PointResults] = {}
    errors: dict[str, Exception] = {}
    with blas_threads(_threads(threads)):
        if spec.source is not None:
            spec.source.check_unchanged()
        for label, estimator in chosen.items():
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", BoundaryWarning)  # the table marks what is at a boundary
                    fits[label] = _run(spec, estimator, seed, progress)
            except Exception as error:  # of anybody's estimator: the others' answers are still wanted
                errors[label] = error
        if not fits:
            raise next(iter(errors.values()))
        for label in errors:
            warn(f"{label} failed and is left out of the comparison: {errors[label]}")
        return side_by_side(spec, tuple(chosen), fits, {k: _said(e) for k, e in errors.items()}, restricted)


def load(path: str | PathLike[str]) -> PointResults:
    """Read a fit written by ``fit.save(path)``; nothing in the file is executed."""
    return store.load(path)


def _threads(threads: int | None) -> int | None:
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise OptionError(f"threads={threads!r}: a positive whole number is needed")
    return threads


def check_seed(seed: int | None) -> None:
    """Refuse what is no seed."""
    whole = hasattr(seed, "__index__") and not isinstance(seed, bool)
    if seed is not None and not (whole and int(seed) >= 0):
        raise OptionError(f"seed={seed!r:.60}: a whole number, zero or above, or None is needed")


def _with_fixed(fixed_varcomp: Mapping[str, Any] | None, options: dict[str, Any]) -> dict[str, Any]:
    return options if fixed_varcomp is None else {**options, "fixed_varcomp": fixed_varcomp}


def _estimator(method: Any, options: dict[str, Any]) -> Any:
    """The estimator object: a name with its options, or an object given ready."""
    if not isinstance(method, str):
        if not hasattr(method, "fit"):
            raise OptionError(f"method={method!r} is neither a registered name nor an estimator")
        return dataclasses.replace(method, **_known(type(method), options)) if options else method
    return configured(method, options)


def _labelled(methods: Any, restricted: bool | None) -> dict[str, Any]:
    """Estimators by label; of several with one name, the options that are not the default tell them apart."""
    if isinstance(methods, str) or not isinstance(methods, Iterable):
        raise OptionError(f"methods={methods!r}: a list of names or estimators is needed, e.g. ['reml', 'he']")
    given = list(methods.items()) if isinstance(methods, Mapping) else [(None, method) for method in methods]
    if not given:
        raise OptionError("methods is empty: name at least one, e.g. ['reml', 'he']")
    made = [
        (label, configured(method, {}, restricted) if isinstance(method, str) else _estimator(method, {}))
        for label, method in given
    ]
    names = [estimator.name for _, estimator in made]
    labels = [
        str(label) if label is not None else e.name if names.count(e.name) == 1 else _spelt(e) for label, e in made
    ]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise OptionError(f"two methods are called {twice!r}: give labels, methods={{'first': …, 'second': …}}")
    return dict(zip(labels, (estimator for _, estimator in made), strict=True))


def configured(name: str, options: dict[str, Any], restricted: bool | None = None) -> Any:
    """The estimator called `name` with `options`; `restricted` reaches it where it can maximise either criterion."""
    cls = estimators.get(name)
    if restricted is not None and any(f.init and f.name == "restricted" for f in dataclasses.fields(cls)):
        options = {"restricted": restricted, **options}
    return cls(**_known(cls, options))


def _spelt(estimator: Any) -> str:
    """``mm(accelerate=None)``: a method with the options that are not its defaults."""
    fields = [f for f in dataclasses.fields(estimator) if f.init and f.repr]
    values = {f.name: getattr(estimator, f.name) for f in fields if getattr(estimator, f.name) is not f.default}
    given = [f"{name}={reprlib.repr(value)}" for name, value in values.items()]
    return f"{estimator.name}({', '.join(given)})" if given else str(estimator.name)


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, MixedVCError) else f"{type(error).__name__}: {error}"


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

    check_seed(seed)
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
    return made(spec, estimate, likelihood, estimator)


ModelSpec.fitter = staticmethod(fit_spec)
