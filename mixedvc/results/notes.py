"""The notes under a summary: plain words, each only when it applies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..inference.parameters import parameters

if TYPE_CHECKING:
    from .point import PointResults


def notes(fit: PointResults, df: str, interval: str, information: str | None) -> tuple[str, ...]:
    """All notes that apply, in the order in which they are printed."""
    found = [
        *_errors(fit, interval, information),
        *_tests(fit, df),
        *_meaning(fit),
        *_edges(fit),
        *_rows(fit),
        *_levels(fit),
        *fit.spec.notes,
        *_constant(fit),
    ]
    return tuple(found)


def _errors(fit: PointResults, interval: str, information: str | None) -> list[str]:
    cov = fit.covariance(information)
    if cov.problem:
        return [f"{cov.problem[0].upper()}{cov.problem[1:]}."]
    if not cov.free.any():
        return []
    kinds = {p.kind for p, free in zip(parameters(fit.spec), cov.free, strict=True) if free}
    names = {"chi2": "Satterthwaite's chi-square for variances", "wald": "Wald for variances"}
    how = [names[interval]] if "variance" in kinds else []
    how += ["Wald for covariances"] if "covariance" in kinds else []
    how += ["Fisher's z for correlations"] if "correlation" in kinds else []
    return [f"Standard errors of variances: {cov.kind} information. Intervals: {', '.join(how)}."]


def _tests(fit: PointResults, df: str) -> list[str]:
    if not fit.spec.p:
        return []
    if df == "satterthwaite":
        kind = fit.df_covariance.kind
        return [f"t tests use Satterthwaite's degrees of freedom ({kind} information)."]
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
    if not spec.terms:
        return out
    plain = all(np.all(term.basis == 1.0) for term in spec.all_terms)
    total = " + ".join(term.label for term in spec.all_terms)
    if plain:
        out.append(f"share: of the total variance, {total}.")
    else:
        out.append("share: of the average variance of an observation, each effect at its mean square in these rows.")
    return out


def _edges(fit: PointResults) -> list[str]:
    spec, e, out = fit.spec, fit.estimate, []
    rows = parameters(spec)
    zero = [p.name for p, at, v in zip(rows, e.at_bound, e.par, strict=True) if at and p.kind == "variance" and v == 0]
    variances = [p for p in rows if p.kind == "variance" and p.term < len(spec.terms)]
    if zero and len([name for name in zero if name != spec.residual.name]) == len(variances):
        out.append(
            "boundary: every random variance is estimated as exactly zero, so this is the ordinary least-squares fit. "
            "A zero has no standard error; test_varcomp() tests it with the mixture of chi-squares."
        )
    elif zero:
        out.append(
            f"boundary: {', '.join(zero)} {'is' if len(zero) == 1 else 'are'} estimated as exactly zero, the edge of "
            "what a variance can be. A zero has no standard error; test_varcomp() tests it with the mixture of "
            "chi-squares. The other standard errors are those of the model without it."
        )
    edge = [
        p.name for p, at in zip(rows, e.at_bound, strict=True) if at and p.kind != "variance" and p.name not in zero
    ]
    inside = [name for name in edge if not any(z.split("[")[0] == name.split("[")[0] for z in zero)]
    if inside:
        out.append(f"boundary: the correlation in {', '.join(inside)} is at the edge of its range: a singular fit.")
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


def _levels(fit: PointResults) -> list[str]:
    out = []
    for term in fit.spec.terms:
        extra = len(term.covariance.labels) - term.q
        if extra > 0 and term.cov_name is not None:
            out.append(
                f"cov {term.cov_name!r} has {extra} level{'s' * (extra > 1)} of {term.group} without rows in the data: "
                "random_effects predicts them too."
            )
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
