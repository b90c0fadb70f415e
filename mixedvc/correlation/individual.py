"""Genetic correlation from the records of two samples: one joint model, any estimator."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ..covariance.base import Covariance
from ..covariance.coerce import as_covariance
from ..design.frames import listed
from ..design.joint import Joint, alone, join, term_of
from ..design.spec import ModelSpec
from ..errors import BindError, BoundaryWarning, NotProvided, OptionError, warn
from ..inference import intervals, ratios
from ..inference.parameters import Parameter, parameters
from ..inference.ratios import Ratio
from ..results import support
from .moments import null_error
from .profile import profile_interval
from .result import CorrelationTest, GeneticCorrelation

if TYPE_CHECKING:
    from ..results.point import PointResults

Float = NDArray[np.float64]
Pair = tuple[str, str]
INTERVALS = ("fisher", "profile")
_LIMITS = {
    "Fisher z": "Fisher's z",
    "Wald": "Wald, the estimate being outside [-1, 1]",
    "profile-likelihood": "profile likelihood",
}
_ZERO = 1e-10  # share of a sample's variance that is rounding


def genetic_correlation(
    first: ModelSpec,
    second: ModelSpec,
    *,
    cov: Any = None,
    term: str | Sequence[str] | None = None,
    method: Any = "reml",
    names: Sequence[str] | None = None,
    shared: bool = False,
    test: bool = True,
    interval: str = "fisher",
    level: float = 0.95,
    **options: Any,
) -> GeneticCorrelation:
    """Genetic correlation of two traits, or of one trait in two samples, measured on different individuals.

        y₁ = X₁β₁ + g₁ + e₁,   y₂ = X₂β₂ + g₂ + e₂,   Var(g_s) = σ_s² A_ss,   Cov(g₁, g₂) = ρ σ₁σ₂ A₁₂

    with independent residuals of a variance each.  The two models are joined into one (`design.joint.join`), which any
    estimator fits; ``result.fit`` is that fit, with predictions of both traits for every individual.

    Parameters
    ----------
    first, second : ModelSpec
        From `mixedvc.model`, one for each sample, each with fixed effects, weights and further random terms of its own.
    cov : covariance, labelled frame, ``(matrix, labels)`` or Features, optional
        Among the individuals of both samples. Not needed where both models were given one covariance that knows them
        all. Features are best stacked, ``mv.Features(np.vstack([W1, W2]), ids)``, and are then standardised over both
        samples together; for features standardised in each sample by itself, as VCM does, stack the standardised ones
        and say ``standardize=False``.
    term : str or (str, str), optional
        The genetic term of the models, by name; needed where a model has several with a known covariance.
    method : str or Estimator
        As in `mixedvc.fit`: "reml", "ml", "pxem", "mm", "he", … By "he" σ₁₂ is y₁ᵀM₁A₁₂M₂y₂ / tr(M₁A₁₂M₂A₂₁) and the
        variances are those of the two single-sample fits.
    names : (str, str), optional
        What the samples are called; the names of the responses by default, "sample 1" and "sample 2" if they are equal.
    shared : bool
        Individuals in both samples are refused: their residuals would be correlated. True allows levels in both, which
        is right where they are lines or sires and the records are of different individuals.
    test : bool
        Test ρ = 0: by the likelihood ratio against the model without covariance (χ² with one degree of freedom), or,
        for methods without a likelihood, by z of the covariance with its standard error under ρ = 0.
    interval : "fisher" | "profile"
        Of the correlation: Fisher's z with the delta-method error, or the values that a likelihood-ratio test does not
        reject, which exist at an estimate of ±1 too and take some ten times the time of the fit.
    level : float
        Of the intervals.
    **options
        Those of `mixedvc.fit` and of the estimator: ``seed=``, ``threads=``, ``tol=``, …

    Returns
    -------
    GeneticCorrelation

    Raises
    ------
    BindError, OptionError, IdentifiabilityError, CovarianceError
        Individuals in both samples or in no covariance, several genetic terms, two unlike covariances, samples that are
        unrelated.
    NotProvided
        A profile where there is no likelihood.

    Notes
    -----
    The correlation has no standard error where it is estimated at ±1, and no value where a variance is zero (or
    negative, by moments): ``result.notes`` say so. The likelihood-ratio test stays valid at ±1.

    For users of VCM: ``method="he"`` is corr_MoM, with all covariances of the estimates in the error of ρ;
    ``method="pxem", restricted=False`` is corr_PXEM; `genetic_correlation_from_summary` is corr_ss.

    Examples
    --------
    >>> import numpy as np, pandas as pd, mixedvc as mv
    >>> rng = np.random.default_rng(3)
    >>> ids = [f"p{i}" for i in range(500)]
    >>> G = mv.Features(rng.binomial(2, 0.4, (500, 200)), ids)
    >>> b = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=200)
    >>> g = G.factor() @ b
    >>> one = pd.DataFrame({"id": ids[:300], "height": g[:300, 0] + rng.standard_normal(300)})
    >>> two = pd.DataFrame({"id": ids[300:], "weight": g[300:, 1] + rng.standard_normal(200)})
    >>> height = mv.model("height ~ 1 + (1 | id:G)", one, cov={"G": G})
    >>> weight = mv.model("weight ~ 1 + (1 | id:G)", two, cov={"G": G})
    >>> result = mv.genetic_correlation(height, weight)
    >>> print(result.rho)
    genetic correlation = 0.5809 (SE 0.1551, 95 % Fisher z interval 0.2023 to 0.8085)
    >>> print(result.test)
    likelihood ratio, chi-square(1): 11.508, P < 0.001
    """
    level = intervals.check_level(level)
    if not isinstance(interval, str) or interval not in INTERVALS:
        raise OptionError(f"interval={interval!r:.60} is not one of {', '.join(map(repr, INTERVALS))}")
    for spec in (first, second):
        if not isinstance(spec, ModelSpec):
            raise OptionError(f"genetic_correlation takes two models from mixedvc.model, not a {type(spec).__name__}")
        if spec.source is not None:
            spec.source.check_unchanged()
    for name, value in (("shared", shared), ("test", test)):
        if not isinstance(value, bool):
            raise OptionError(f"{name}={value!r:.60}: True or False is needed")
    terms = _terms(first, second, term)
    how = Joint(terms, _covariance(first, second, terms, cov), _names(first, second, names), shared=shared)
    fit = join(first, second, how).fit(method, **options)
    if interval == "profile" and fit.estimate.loglik is None:
        raise NotProvided(f"method {fit.method!r} has no likelihood, so no profile: use interval='fisher'")
    notes, tested = [], None
    if test:
        tested, why = _test(fit, first, second, how)
        notes += [why] if why else []
    return _result(fit, how, (first.n, second.n), tested, interval, level, notes)


# ---- what is joined -------------------------------------------------------------------------------------------------


def _terms(first: ModelSpec, second: ModelSpec, term: str | Sequence[str] | None) -> Pair:
    given = (term, term) if term is None or isinstance(term, str) else term
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise OptionError(f"term={term!r:.60}: one name, or one for each of the two models")
    one, two = (_term(spec, name) for spec, name in zip((first, second), given, strict=True))
    return one, two


def _term(spec: ModelSpec, name: Any) -> str:
    if name is not None:
        return term_of(spec, str(name)).name
    known = [t.name for t in spec.terms if t.cov_name is not None] or [t.name for t in spec.terms]
    if len(known) != 1:
        what = f"has {len(known)}, {listed(known)}" if known else "has no random terms"
        raise OptionError(
            f"the model of {', '.join(spec.y_names)} {what}: "
            + ("name the genetic one, term=" + repr(known[0]) if known else "it needs a genetic one, e.g. (1 | id:A)")
        )
    return known[0]


def _names(first: ModelSpec, second: ModelSpec, names: Sequence[str] | None) -> Pair:
    if names is None:
        own = (first.y_names[0], second.y_names[0])
        return own if own[0] != own[1] else ("sample 1", "sample 2")
    if not isinstance(names, tuple | list) or len(names) != 2:
        raise OptionError(f"names={names!r:.60}: a name for each of the two samples")
    return str(names[0]), str(names[1])


def _covariance(first: ModelSpec, second: ModelSpec, terms: Pair, cov: Any) -> Covariance:
    one, two = (term_of(spec, name) for spec, name in zip((first, second), terms, strict=True))
    if cov is not None:
        return as_covariance(cov, one.cov_name or two.cov_name or "cov")
    need = "give cov= with the individuals of both samples, e.g. mv.Features(np.vstack([W1, W2]), ids)"
    for t in (one, two):
        if t.cov_name is None:
            raise BindError(f"{t.text} has no known covariance, so nothing relates the samples: {need}")
    A, B = one.covariance, two.covariance
    if A is B or (A.kind == B.kind and A.fingerprint() == B.fingerprint()):
        return A
    raise BindError(
        f"the models have two different covariances, {A.describe()} and {B.describe()}, and neither says how the "
        f"samples are related: {need}, or give both models the same covariance"
    )


# ---- the test -------------------------------------------------------------------------------------------------------


def _test(fit: PointResults, first: ModelSpec, second: ModelSpec, how: Joint) -> tuple[CorrelationTest | None, str]:
    """The test, or None and the reason."""
    estimate, p = fit.estimate, _parameter(fit)
    j = parameters(fit.spec).index(p)
    if estimate.fixed[j]:
        return None, "The covariance was given, so it is not tested."
    if estimate.loglik is None:
        return _z_test(fit, j)
    if not _positive(fit).all():
        name = how.names[int(np.flatnonzero(~_positive(fit))[0])]
        return None, f"The genetic variance of {name} is zero: there is no correlation to test."
    llf, positive = _without_covariance(fit, first, second, how)
    statistic = max(2.0 * (fit.llf - llf), 0.0)
    test = CorrelationTest(
        statistic, float(special.chdtrc(1, statistic)), "likelihood ratio, chi-square(1)", fit.llf, llf
    )
    if positive.all():
        return test, ""
    name = how.names[int(np.flatnonzero(~positive)[0])]
    why = (
        f"Without covariance the genetic variance of {name} is zero, at the edge of its range: P from chi-square(1) is "
        "approximate."
    )
    return test, why


def _without_covariance(
    fit: PointResults, first: ModelSpec, second: ModelSpec, how: Joint
) -> tuple[float, NDArray[np.bool_]]:
    """Log-likelihood of the model with no covariance, and which genetic variances are above zero there.

    The samples are then independent and their log-likelihoods add, restricted ones too: each is fitted by itself.
    Components held at given values carry the names of the joint model, which is then fitted whole.
    """
    estimator: Any = fit.estimator
    known = {f.name for f in fields(estimator)}
    if "start" in known:
        estimator = replace(estimator, start=None)
    if getattr(estimator, "fixed_varcomp", None) is None:
        pairs = tuple(zip((first, second), how.terms, strict=True))
        specs = [alone(spec, name, how.covariance) for spec, name in pairs]
        places = [[t.name for t in spec.terms].index(name) for spec, name in pairs]
    else:
        specs, places = [join(first, second, replace(how, structure="diag"))], [0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundaryWarning)  # of models that nobody asked to see
        fits = [spec.fit(estimator) for spec in specs]
    for one in fits:
        if not one.converged:
            warn(f"the fit without genetic covariance did not converge: {one.estimate.message}")
    positive = np.concatenate([_positive(one, place) for one, place in zip(fits, places, strict=True)])
    return sum(one.llf for one in fits), positive


def _z_test(fit: PointResults, j: int) -> tuple[CorrelationTest | None, str]:
    sampling = fit.estimate.sampling
    if sampling is None:
        return None, f"Method {fit.method!r} gave no standard errors, so nothing is tested."
    value = float(sampling.centre[j])
    under_null = null_error(fit, 0, 1)
    se = under_null if under_null is not None else float(np.sqrt(sampling.cov[j, j]))
    where = "its standard error under no correlation" if under_null is not None else "its standard error"
    z = value / se
    return CorrelationTest(z, float(2 * special.ndtr(-abs(z))), f"z of the genetic covariance, by {where}"), ""


# ---- what is reported -----------------------------------------------------------------------------------------------


def _parameter(fit: PointResults) -> Parameter:
    """The covariance of the tied term, which is the first."""
    return next(p for p in parameters(fit.spec) if p.term == 0 and p.kind == "covariance")


def _positive(fit: PointResults, term: int = 0) -> NDArray[np.bool_]:
    """Whether each genetic variance is above zero, by more than rounding beside its sample's residual variance."""
    sigmas = fit.spec.sigmas(fit.estimate.theta)
    genetic = np.diagonal(sigmas[term])
    return np.asarray(genetic > _ZERO * (np.abs(genetic) + np.abs(np.diagonal(sigmas[-1]))))


def _result(
    fit: PointResults,
    how: Joint,
    sizes: tuple[int, int],
    test: CorrelationTest | None,
    interval: str,
    level: float,
    notes: list[str],
) -> GeneticCorrelation:
    rho = _rho(fit, level, interval)
    frame = fit.variances(level=level)
    at = [(p.term, p.a, p.b) for p in parameters(fit.spec)]
    rows = frame.to_dict("records")

    def quantity(name: str, where: tuple[int, int, int]) -> Ratio:
        row = rows[at.index(where)]
        kind = "Wald" if where[1] != where[2] else fit.interval_kind(None)
        return Ratio(row["variance"], row["se"], row["lower"], row["upper"], level, name, interval=kind)

    one, two = how.names
    heritabilities = _heritability(fit, how, 0, level), _heritability(fit, how, 1, level)
    about = [("Rows", f"{sizes[0]} + {sizes[1]}"), ("Covariance", how.covariance.describe())]
    if fit.estimate.loglik is not None:
        about.append(("Log-likelihood", f"{fit.llf:.4f} ({'REML' if fit.estimate.reml else 'ML'})"))
    return GeneticCorrelation(
        names=how.names,
        rho=rho,
        covariance=quantity("genetic covariance", (0, 0, 1)),
        variances=(quantity(f"genetic variance, {one}", (0, 0, 0)), quantity(f"genetic variance, {two}", (0, 1, 1))),
        heritabilities=heritabilities,
        test=test,
        method=fit.method,
        sizes=sizes,
        fit=fit,
        about=tuple(about),
        notes=(*_notes(fit, how, rho), *fit.estimate.notes, *notes),
    )


def _rho(fit: PointResults, level: float, interval: str) -> Ratio:
    """σ₁₂/(σ₁σ₂) with its delta-method error; by moments it may lie outside [−1, 1]."""
    p, cov = _parameter(fit), fit.covariance()
    j = parameters(fit.spec).index(p)
    name = "genetic correlation"
    if not _positive(fit).all():
        return Ratio(np.nan, np.nan, np.nan, np.nan, level, name, interval="none")
    S = fit.spec.sigmas(fit.estimate.theta)[0]
    rho = float(S[0, 1] / np.sqrt(S[0, 0] * S[1, 1]))
    known = bool(np.isfinite(cov.se[j]))
    se = support.correlation_se(fit.spec, fit.estimate, cov, p) if known else np.nan
    if interval == "profile" and not fit.estimate.fixed[j]:
        return Ratio(rho, se, *profile_interval(fit, rho, se, level), level, name, interval="profile-likelihood")
    inside = abs(rho) < 1
    limits = intervals.correlation_interval if inside else intervals.wald
    lower, upper = limits(np.array(rho), np.array(se), level)
    return Ratio(rho, se, float(lower), float(upper), level, name, interval="Fisher z" if inside else "Wald")


def _heritability(fit: PointResults, how: Joint, s: int, level: float) -> Ratio:
    """Genetic share of all that varies in sample s."""
    spec, cov, name = fit.spec, fit.covariance(), how.names[s]
    own = f"{spec.terms[0].name}[{name}]"
    others = [t.name for t in spec.terms[1:] if t.name.startswith(f"{name}: ")]
    moves = bool((np.diagonal(cov.theta)[ratios.members(spec, own)] > 0).any())
    denominator = [own, *others, f"{spec.residual.name}[{name}]"]
    found = ratios.share(spec, fit.estimate.theta, cov.theta, own, denominator, level=level, estimable=moves)
    return replace(found, name=f"heritability, {name}")


def _notes(fit: PointResults, how: Joint, rho: Ratio) -> list[str]:
    out = []
    kind = fit.covariance().kind
    if np.isfinite(rho.lower):
        source = f"{kind} information" if fit.estimate.loglik is not None else kind
        out.append(f"Standard errors: {source}, delta method. Interval of the correlation: {_LIMITS[rho.interval]}.")
    for s, positive in enumerate(_positive(fit)):
        if not positive:
            value = "zero" if fit.estimate.loglik is not None else "not positive"
            out.append(f"The genetic variance of {how.names[s]} is {value}, so there is no correlation to speak of.")
    if abs(rho.estimate) >= 1 - 1e-9 and not np.isfinite(rho.se):
        more = "" if np.isfinite(rho.lower) else ", and so does interval='profile'"
        out.append(
            "The correlation is estimated at the edge of its range, where it has no standard error; the "
            f"likelihood-ratio test of no correlation holds all the same{more}."
        )
    out.append(f"Residuals of {how.names[0]} and {how.names[1]} are taken as independent: different individuals.")
    return out
