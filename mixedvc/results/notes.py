"""The notes under a summary: plain words, each only when it applies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..inference.parameters import par_slices, parameters
from ..linalg.dense import small_eigh
from .moment_notes import error_notes, reml_note, sign_notes, test_notes, zero_note

if TYPE_CHECKING:
    from .point import PointResults
    from .traits import TraitResults


def notes(fit: PointResults, df: str, interval: str, information: str | None) -> tuple[str, ...]:
    """All notes that apply, in the order in which they are printed."""
    moments = fit.estimate.loglik is None
    found = [
        *_errors(fit, interval, information),
        *(fit.estimate.notes if moments else ()),
        *_tests(fit, df),
        *_meaning(fit),
        *_edges(fit),
        *((*sign_notes(fit), *reml_note(fit)) if moments else fit.estimate.notes),
        *_rows(fit),
        *fit.spec.notes,
        *_constant(fit),
    ]
    return tuple(found)


def trait_notes(fit: TraitResults, df: str, interval: str, matrices: bool) -> tuple[str, ...]:
    """All notes under the summary of several traits; `matrices`: whether it shows them."""
    moments = fit.estimate.loglik is None
    found = [
        *_errors(fit, interval, None),
        *(fit.estimate.notes if moments else ()),
        *_tests(fit, df),
        *_trait_meaning(fit, matrices),
        *_edges(fit),
        *((*sign_notes(fit), *reml_note(fit)) if moments else fit.estimate.notes),
        *_rows(fit),
        *fit.spec.notes,
        *_constant(fit),
    ]
    return tuple(found)


def _trait_meaning(fit: TraitResults, matrices: bool) -> list[str]:
    spec, out = fit.spec, []
    if matrices and len(fit.traits) > 1:
        out.append("Columns of traits: covariances below the diagonal, correlations above it.")
    if spec.terms:
        whole = " + ".join(term.label for term in {t.label: t for t in spec.all_terms}.values())
        known = any(term.cov_name is not None for term in spec.terms)
        as_if = ", known covariances as if their diagonal were 1 (heritabilities(scale='pve') takes it as it is)"
        out.append(f"share: of the variance of the trait, {whole}{as_if if known else ''}.")
    if len(fit.traits) > 1 and not matrices:
        out.append("Covariances and correlations of the traits: correlations(), trait_cov(), eigen(), varcomp.")
    elif len(fit.traits) > 1:
        phenotypic = " phenotypic: of a record, everything together." if spec.terms else ""
        out.append(f"Errors of covariances: varcomp. Profile intervals: correlations(interval='profile').{phenotypic}")
    return out


def _errors(fit: PointResults, interval: str, information: str | None) -> list[str]:
    cov = fit.covariance(information)
    if cov.problem and fit.estimate.loglik is not None:
        return [f"{cov.problem[0].upper()}{cov.problem[1:]}."]
    if not cov.free.any():
        return []
    kinds = {p.kind for p, free in zip(parameters(fit.spec), cov.free, strict=True) if free}
    names = {
        "chi2": "Satterthwaite's chi-square for variances",
        "wald": "Wald for variances",
        "profile": "profile likelihood for variances",
        "boot": "percentiles of bootstrap refits for variances",
        "percentile": "percentiles of the draws for variances",
    }
    how = [names[interval]] if "variance" in kinds else []
    if fit.spec.traits is None:
        how += ["Wald for covariances"] if "covariance" in kinds else []
        how += ["Fisher's z for correlations"] if "correlation" in kinds else []
    else:
        how = [names[interval], "Fisher's z for correlations"]
    if interval == "boot":
        how = ["percentiles of 1,000 parametric bootstrap refits (seed 0)"]
    if interval == "profile":
        how = [f"profile of the {'restricted ' if fit.estimate.reml else ''}likelihood"]
    if fit.estimate.loglik is None:
        return error_notes(fit, "Wald" if interval == "wald" and "correlation" not in kinds else ", ".join(how))
    barely = [
        p.name
        for p, se, v in zip(parameters(fit.spec), cov.se, fit.estimate.par, strict=True)
        if p.kind == "variance" and se > v
    ]
    costly = information is None and fit.information == "auto" and cov.kind == "average"
    why = " (the expected one takes long here; information='expected' asks for it)" if costly else ""
    found = [f"Standard errors of variances: {cov.kind} information{why}. Intervals: {', '.join(how)}."]
    if barely and interval == "chi2":
        found.append(
            f"The data hardly inform {', '.join(barely)}: the standard error exceeds the estimate, and the upper limit "
            "may be any large number."
        )
    return found


def _tests(fit: PointResults, df: str) -> list[str]:
    if not fit.spec.p or fit.estimate.fixed_effects == "none":
        return []
    return [*test_notes(fit), *_test_kind(fit, df)]


def _test_kind(fit: PointResults, df: str) -> list[str]:
    if df == "kenward-roger":
        curved = [t.label for t in fit.spec.all_terms if not t.structure.linear]
        form = f", first-order form because of {', '.join(curved)}" if curved else ""
        found = [f"Standard errors and t tests of fixed effects are Kenward and Roger's (expected information{form})."]
        if any(t.structure.linear for t in fit.spec.terms) and np.any(fit.estimate.at_bound & ~fit.estimate.fixed):
            found.append(
                "A variance at zero counts as estimated there (as in pbkrtest), which is cautious; Satterthwaite's "
                "degrees of freedom leave it out."
            )
        return found
    if df == "satterthwaite":
        if fit.estimate.loglik is None and fit.estimate.sampling is None:
            return ["Tests of fixed effects are normal: without their standard errors the variances count as known."]
        if not fit.covariance().free.any():
            return ["Tests of fixed effects are normal: the variances are given, so they count as known."]
        kind = fit.df_covariance.kind + (" information" if fit.estimate.loglik is not None else "")
        return [f"t tests use Satterthwaite's degrees of freedom ({kind})."]
    if df == "residual":
        return ["t tests use the residual degrees of freedom, n - p: too many where groups are few."]
    return ["z tests take the variances as known: p-values are too small where groups are few."]


def _meaning(fit: PointResults) -> list[str]:
    spec, out = fit.spec, []
    kinds = {p.kind for p in parameters(spec)}
    if "covariance" in kinds:
        out.append("Rows with two effects: a covariance, with the correlation under sd | corr.")
    if "correlation" in kinds:
        out.append("Rows that say corr.: the correlation under sd | corr, with its own standard error and interval.")
    if "loading" in kinds:
        out.append("ψ: the specific variance of a trait; λ: its loading on a factor, under sd | corr.")
    if not spec.terms:
        return out
    if all(np.all(term.basis == 1.0) for term in spec.all_terms):
        return [*out, f"share: of the total variance, {' + '.join(term.label for term in spec.all_terms)}."]
    text = "share: of the average variance of an observation in these rows"
    text += ", each effect at its mean square" if any(np.any(term.basis != 1.0) for term in spec.terms) else ""
    text += ", the residual at its mean over the weights" if spec.weights is not None else ""
    if "covariance" in kinds:
        text += ". Shares add up to 100%, covariances included; where effects are correlated, some may be negative"
    return [*out, f"{text}."]


def _edges(fit: PointResults) -> list[str]:
    spec, e, out = fit.spec, fit.estimate, []
    rows = parameters(spec)
    at_zero = [p for p, at, v in zip(rows, e.at_bound, e.par, strict=True) if at and p.kind == "variance" and v == 0]
    zero = [p.name for p in at_zero if p.term < len(spec.terms)]
    advice = "A zero has no standard error; test_varcomp() tests it with the mixture of chi-squares."
    if zero and e.sampling is not None:
        out.append(zero_note(zero, len(zero) == sum(p.kind == "variance" and p.term < len(spec.terms) for p in rows)))
    elif zero and len(zero) == sum(p.kind == "variance" and p.term < len(spec.terms) for p in rows):
        out.append(f"boundary: every random variance is exactly zero, so this is the least-squares fit. {advice}")
    elif zero:
        out.append(
            f"boundary: {', '.join(zero)} {'is' if len(zero) == 1 else 'are'} exactly zero, the edge of what a "
            f"variance can be. {advice} The other standard errors are those of the model without it."
        )
    if len(at_zero) > len(zero):
        out.append("boundary: the residual variance is exactly zero: the random terms leave nothing to it.")
    return [*out, *(_ranks(fit) if spec.traits is not None else _correlations(fit)), *_held(fit)]


def _ranks(fit: PointResults) -> list[str]:
    """Terms of several traits with a singular covariance among the effects that vary."""
    out, e = [], fit.estimate
    for term, of, Sigma in zip(fit.spec.all_terms, par_slices(fit.spec), fit.spec.sigmas(e.theta), strict=True):
        some = np.flatnonzero(np.diagonal(Sigma) > 0)
        free = e.at_bound[of] & ~e.fixed[of]
        if len(some) < 2 or not free.any() or getattr(term.structure, "degenerate", False):
            continue
        d = np.sqrt(np.diagonal(Sigma)[some])
        rank = int((small_eigh(Sigma[np.ix_(some, some)] / d[:, None] / d)[0] > 1e-7).sum())
        if rank == len(some):
            continue
        names = f"{term.effects[some[0]]} and {term.effects[some[1]]}"
        what = f"the correlation of {names} in {term.label} is {'1' if Sigma[some[0], some[1]] > 0 else '-1'}"
        if len(some) > 2:
            what = f"the covariance of {term.label} is singular, of rank {rank} with {len(some)} effects"
        out.append(
            f"boundary: {what}. Standard errors are those along this edge; rr({rank}) says it with fewer numbers."
        )
    return out


def _correlations(fit: PointResults) -> list[str]:
    """Correlations at the edge of their range."""
    e, rows, out = fit.estimate, parameters(fit.spec), []
    dead = {
        (p.group, p.effect)
        for p, at, v in zip(rows, e.at_bound, e.par, strict=True)
        if at and p.kind == "variance" and v == 0
    }
    inside = [
        f"{p.effect} and {p.effect2} in {p.group}"
        for p, at in zip(rows, e.at_bound, strict=True)
        if at and p.kind != "variance" and not dead & {(p.group, p.effect), (p.group, p.effect2)}
    ]
    if inside:
        out.append(
            f"boundary: the correlation of {', of '.join(inside)} is at the edge of its range, so the fit is singular: "
            "the data support fewer random effects."
        )
    return out


def _held(fit: PointResults) -> list[str]:
    """Parameters that were given."""
    rows, e, out = parameters(fit.spec), fit.estimate, []
    held = [p.name for p, fixed in zip(rows, e.fixed, strict=True) if fixed]
    if held:
        out.append(f"fixed: {', '.join(held)} {'was' if len(held) == 1 else 'were'} given, not estimated.")
    return out


def _rows(fit: PointResults) -> list[str]:
    spec, out = fit.spec, []
    if spec.dropped.count:
        why = ", ".join(f"{count} in {name}" for name, count in spec.dropped.by_variable)
        out.append(
            f"{spec.dropped.count} of {spec.dropped.n_given} rows were left out because of missing values"
            + (f": {why}." if why else ".")
        )
    if spec.aliased:
        out.append(f"Not estimable, left out (linear combinations of others): {', '.join(spec.aliased)}.")
    return out


def _constant(fit: PointResults) -> list[str]:
    if fit.estimate.loglik is None:
        return []
    if fit.estimate.reml and fit.spec.p:
        return [
            "Log-likelihood constants are lme4's: (n - p) log 2pi, no log|X'X|. Restricted likelihoods compare only "
            "between models with the same fixed effects."
        ]
    return ["Log-likelihood with all constants, as lme4."]
