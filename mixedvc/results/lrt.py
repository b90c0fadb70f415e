"""Likelihood-ratio tests between nested fits, as lme4's anova prints them, with the checks it leaves to its users."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BoundaryWarning, MixedVCError, NotProvided, OptionError, warn
from ..estimators.base import estimators
from ..inference.chibar import tail, upper
from ..inference.lrt import likelihood_ratio
from ..inference.nesting import Nesting, cone_metric, nest, same_data
from ..inference.parameters import par_slices
from ..inference.rlrt import p_value
from ..inference.se import default_kind
from .component_tests import SIMULATIONS, bootstrapped_ratios
from .made import made
from .numbers import info, significant
from .numbers import p_value as shown_p

if TYPE_CHECKING:
    import pandas as pd

    from .point import PointResults

REFIT = (True, False, "always")


@dataclass(frozen=True, eq=False, repr=False)
class LikelihoodRatioTests:
    """What `mixedvc.lrt` returns; `print` shows it, a notebook draws it as a table.

    Attributes
    ----------
    frame : DataFrame
        One row a model, the smallest first, indexed by name; columns npar, aic, bic, llf, deviance (−2 llf), chisq, df,
        p_value (χ²_df), p_mixture and p_boot, each against the model before.  p_mixture refers variances that are zero
        in the smaller model to the mixture of chi-squares which that calls for; NaN where no variance is tested or
        the law is not known, p_boot where no bootstrap was asked for.
    fits : tuple of PointResults
        In the order of the rows, refitted where that was needed.
    criterion : str
        "ML" or "REML".
    notes : tuple of str
    """

    frame: pd.DataFrame
    fits: tuple[PointResults, ...]
    criterion: str
    notes: tuple[str, ...] = ()

    def summary(self) -> Any:
        """The table as text, HTML or LaTeX."""
        from .render import render
        from .table import Grid, SummaryTable

        columns = ["npar", "AIC", "BIC", "log-lik.", "deviance", "Chi2", "df", "P(>Chi2)"]
        extra = [(name, head) for name, head in _EXTRA if self.frame[name].notna().any()]
        rows = []
        for name, row in self.frame.iterrows():
            tested = np.isfinite(row["df"])
            cells = [f"{row['npar']:.0f}", *(info(row[c], 2) for c in ("aic", "bic"))]
            cells += [info(row[c], 3) for c in ("llf", "deviance")]
            cells += [significant(row["chisq"]) if tested else "", f"{row['df']:.0f}" if tested else ""]
            cells += [_shown(row[c]) for c in ("p_value", *(own for own, _ in extra))]
            rows.append((str(name), *cells))
        heads = ("Model", *columns, *(head for _, head in extra))
        models = tuple((str(name), about(fit)) for name, fit in zip(self.frame.index, self.fits, strict=True))
        grids = (Grid(("Model", "formula"), models, 1), Grid(heads, tuple(rows), 1))
        spec = self.fits[0].spec
        header = ((("Response", ", ".join(spec.y_names)), ("Rows", f"{spec.n}")),)
        return render(SummaryTable(f"Likelihood-ratio tests ({self.criterion})", "", header, grids, self.notes))

    def __repr__(self) -> str:
        return f"<LikelihoodRatioTests of {len(self.fits)} models by {self.criterion}; print() shows them>"

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return str(self.summary().as_html())


_EXTRA = (("p_mixture", "P(>mixture)"), ("p_boot", "P(>boot)"))


def _shown(p: float) -> str:
    return shown_p(p) if np.isfinite(p) else ""


def about(fit: PointResults) -> str:
    """A model's formula, or its terms."""
    source = getattr(fit.spec.source, "formula", None)
    if source and fit.spec.traits is not None and fit.spec.source.request.residual is not None:
        return f"{source}, residual {fit.spec.source.request.residual}"
    return str(source) if source else " + ".join([*fit.spec.x_names, *(t.text for t in fit.spec.terms)])


def lrt(
    *fits: PointResults,
    refit: bool | str = True,
    allow: bool = False,
    names: Sequence[str] | None = None,
    boot: int = 0,
    seed: int | None = None,
    workers: int = 1,
) -> LikelihoodRatioTests:
    """Likelihood-ratio tests of nested models, each against the next smaller one.

    Parameters
    ----------
    *fits : PointResults
        Two or more fits with a likelihood, of the same rows; in any order.
    refit : bool or "always"
        Restricted likelihoods of models with different fixed parts cannot be compared.  True: such fits are refitted by
        maximum likelihood, and the notes say so.  False: they are refused (`allow`).  "always": every REML fit is
        refitted, as lme4's anova does.
    allow : bool
        Go on with a warning where restricted likelihoods of different fixed parts are compared (with ``refit=False``),
        or where a model is not nested in the next, which then has no test.
    names : sequence of str, optional
        Of the models, in the order given; "model 1", "model 2", … by default.
    boot : int
        Replicates of a parametric bootstrap of each ratio (responses drawn from the smaller model); none by default.
    seed, workers
        Of the bootstrap.

    Returns
    -------
    LikelihoodRatioTests

    Raises
    ------
    MixedVCError
        Different rows, responses, weights or offsets; models that are not nested; see `allow`.

    Examples
    --------
    >>> import mixedvc as mv
    >>> data = mv.load_data("sleepstudy")
    >>> small = mv.fit("Reaction ~ Days + (1 | Subject)", data, method="ml")
    >>> large = mv.fit("Reaction ~ Days + (Days | Subject)", data, method="ml")
    >>> mv.lrt(small, large).frame[["npar", "chisq", "df"]].round(3).values.tolist()
    [[4.0, nan, nan], [6.0, 42.139, 2.0]]
    """
    import pandas as pd

    _check(fits, refit, names, boot)
    given = list(names) if names is not None else [f"model {j + 1}" for j in range(len(fits))]
    for label, fit in zip(given[1:], fits[1:], strict=True):
        problem = same_data(fits[0].spec, fit.spec)
        if problem:
            raise MixedVCError(f"{given[0]} and {label} cannot be compared: {problem}")
    notes: list[str] = []
    comparable, criterion = _one_criterion(list(fits), refit, allow, notes)
    order = sorted(range(len(fits)), key=lambda j: comparable[j].n_parameters)
    models, labels = [comparable[j] for j in order], [given[j] for j in order]
    rows = [_row(models[0], {})]
    for j, (small, large) in enumerate(pairwise(models)):
        rows.append(_row(large, _compared(small, large, labels[j : j + 2], allow, notes, boot, seed, workers)))
    if len(fits) != len(set(map(id, fits))):
        notes.append("The same fit was given more than once.")
    frame = pd.DataFrame(rows, index=pd.Index(labels, name="model"))
    return LikelihoodRatioTests(frame, tuple(models), criterion, tuple(dict.fromkeys(notes)))


def _check(fits: Sequence[Any], refit: Any, names: Any, boot: Any) -> None:
    from .point import PointResults

    if len(fits) < 2:
        raise OptionError("lrt compares two or more fits: mixedvc.lrt(small, large)")
    for fit in fits:
        if not isinstance(fit, PointResults):
            raise OptionError(f"lrt compares fits, and was given a {type(fit).__name__}")
        if fit.estimate.loglik is None:
            raise NotProvided(
                f"method {fit.method!r} has no likelihood, so no ratio of it: fit with method='ml' or 'reml'"
            )
    if not any(refit is one or refit == one == "always" for one in REFIT):
        raise OptionError(f"refit={refit!r:.60} is not one of True, False, 'always'")
    if names is not None and (isinstance(names, str) or len(set(names)) != len(fits)):
        raise OptionError(f"names={names!r:.60}: {len(fits)} different names are needed, one for each fit")
    if isinstance(boot, bool) or not isinstance(boot, int | np.integer) or (boot and boot < 100):
        raise OptionError(f"boot={boot!r:.60}: a whole number of replicates of at least 100 is needed, or 0 for none")


def _one_criterion(
    fits: list[PointResults], refit: bool | str, allow: bool, notes: list[str]
) -> tuple[list[PointResults], str]:
    """Fits whose log-likelihoods may be compared, refitted by maximum likelihood where that is needed."""
    restricted = [bool(fit.estimate.reml) for fit in fits]
    same_columns = all(_same_matrix(fits[0].spec.X, fit.spec.X) for fit in fits[1:])
    if not any(restricted):
        return fits, "ML"
    if all(restricted) and same_columns and refit != "always":
        notes.append("Restricted likelihoods are compared: the fixed parts are the same.")
        return fits, "REML"
    if refit:
        count = sum(restricted)
        why = "" if refit == "always" else _reason(restricted, same_columns)
        notes.append(f"{count} fit{'s' * (count > 1)} by REML {'were' if count > 1 else 'was'} refitted by ML{why}.")
        return [by_ml(fit) if own else fit for fit, own in zip(fits, restricted, strict=True)], "ML"
    if not all(restricted):
        raise MixedVCError("a restricted likelihood and a likelihood cannot be compared: use refit=True")
    if not allow:
        raise MixedVCError(
            "restricted likelihoods of models with different fixed parts cannot be compared: they are likelihoods of "
            "different functions of the response. Use refit=True, or fit with method='ml'"
        )
    warn("restricted likelihoods of different fixed parts are compared: chisq, AIC and BIC mean little")
    notes.append("Restricted likelihoods of different fixed parts are compared, which means little.")
    return fits, "REML"


def _reason(restricted: list[bool], same_columns: bool) -> str:
    if not all(restricted):
        return ": the others are fits by ML"
    return "" if same_columns else ": the fixed parts differ"


def _same_matrix(one: Any, other: Any) -> bool:
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=1e-12, atol=0))


def by_ml(fit: PointResults) -> PointResults:
    """The same model by maximum likelihood, by the same way of maximising where it knows both criteria."""
    if fit.estimator is None:
        raise OptionError("this result does not carry its estimator, so it cannot be refitted: use mixedvc.fit")
    known = {field.name for field in fields(fit.estimator)}  # type: ignore[arg-type]
    if "restricted" in known:
        estimator: Any = replace(fit.estimator, restricted=False)  # type: ignore[type-var]
    else:
        kind = estimators.get("ml")
        shared = [field.name for field in fields(kind) if field.name in known]
        estimator = kind(**{name: getattr(fit.estimator, name) for name in shared})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundaryWarning)  # known from the fit by REML, or shown by the table
        estimate = estimator.fit(fit.spec)
    return made(fit.spec, estimate, None, estimator, fit.information)


def _row(fit: PointResults, test: dict[str, float]) -> dict[str, float]:
    row = {"npar": fit.n_parameters, "aic": fit.aic, "bic": fit.bic, "llf": fit.llf, "deviance": -2 * fit.llf}
    return row | dict.fromkeys(("chisq", "df", "p_value", "p_mixture", "p_boot"), np.nan) | test


def _compared(
    small: PointResults,
    large: PointResults,
    names: list[str],
    allow: bool,
    notes: list[str],
    boot: int,
    seed: int | None,
    workers: int,
) -> dict[str, float]:
    """The test of one pair."""
    nesting = nest(small.spec, small.estimate, large.spec, large.estimate)
    if nesting.problem:
        message = f"{names[0]} is not a special case of {names[1]}: {nesting.problem}"
        if not allow:
            raise MixedVCError(f"{message}. No likelihood-ratio test compares them; AIC and BIC do (allow=True)")
        warn(message)
        notes.append(f"{message}: not tested.")
        return {}
    if nesting.df == 0:
        notes.append(f"{names[0]} and {names[1]} are the same model.")
        return {"chisq": likelihood_ratio(large.llf, small.llf), "df": 0.0}
    chisq = _ratio(small, large, names)
    test = {"chisq": chisq, "df": float(nesting.df), "p_value": upper(chisq, nesting.df)}
    if any(edge.shape[1] for edge in nesting.edges):
        test["p_mixture"] = _edge_p(small, large, names, nesting, chisq, notes)
    if boot:
        draws, _ = bootstrapped_ratios(small, large, int(boot), seed, workers)
        test["p_boot"], error = p_value(chisq, draws)
        notes.append(
            f"{names[1]}: bootstrap of {len(draws)} replicates, Monte-Carlo error of p {significant(error, 2)}."
        )
    return test


def _ratio(small: PointResults, large: PointResults, names: list[str]) -> float:
    gap = large.llf - small.llf
    if gap < -1e-6 * max(1.0, abs(small.llf)):
        warn(f"{names[1]} has a lower log-likelihood than {names[0]}, which it contains: it is not at its maximum")
    return likelihood_ratio(large.llf, small.llf)


def _edge_p(
    small: PointResults, large: PointResults, names: list[str], nesting: Nesting, chisq: float, notes: list[str]
) -> float:
    """The p-value of the mixture of chi-squares; NaN, with a note, where that is not known."""
    cone = nesting.cone
    if cone is None:
        notes.append(
            f"{names[1]}: a patterned covariance is zero in {names[0]}; the law of the ratio is not known, and "
            "P(>Chi2) may be far off: boot= gives one"
        )
        return np.nan
    if cone.size > 1:
        assert nesting.theta is not None
        kind = default_kind(large.spec, large.estimate.likelihood)
        information = np.asarray(getattr(large._evaluator.at(nesting.theta), f"{kind}_information"))
        known = np.concatenate(
            [
                np.full(len(term.structure.pairs), bool(large.estimate.fixed[of].all()))
                for term, of in zip(large.spec.all_terms, par_slices(large.spec), strict=True)
            ]
        )
        cone = cone_metric(cone, nesting, large.spec, information, known)
    found = tail(chisq, cone, SIMULATIONS, np.random.default_rng(0))
    notes.append(f"{names[1]}: variances are zero in {names[0]}; P(>mixture) is by the {found.law}.")
    return found.p
