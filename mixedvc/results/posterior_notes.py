"""The notes under the summary of a posterior: priors, sampler, what the numbers mean, what is wrong and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..inference.parameters import parameters
from . import posterior_numbers as pn

if TYPE_CHECKING:
    from .posterior import PosteriorResults

ENOUGH = 400  # effective draws of all chains (Vehtari et al. 2021)
AGREE, BAD = 1.01, 1.05  # R-hat
NEAR = 0.01  # of the upper limit: a lower limit below it touches zero


def notes(fit: PosteriorResults, level: float, interval: str) -> tuple[str, ...]:
    """All notes that apply, in the order in which they are printed."""
    return (
        *problems(fit),
        *_meaning(fit, level, interval),
        *_priors(fit),
        *fit.estimate.notes,
        *_sampler(fit),
        *_edges(fit, level, interval),
        *_held(fit),
        *_rows(fit),
        *fit.spec.notes,
    )


def problems(fit: PosteriorResults) -> list[str]:
    """What stands against using these draws, with the remedy."""
    d, out = fit.draws, []
    if not pn.there():
        out.append(
            "Effective sample sizes, R-hat and Monte-Carlo errors are missing because arviz-stats is not installed: "
            "pip install 'mixedvc[bayes]'."
        )
        return out
    every = fit.all_numbers()
    apart = {} if independent(d) else {name: n.rhat for name, n in every.items() if n.rhat > AGREE}
    if apart:
        worst = max(apart, key=lambda name: apart[name])
        halves = " (of one chain: its halves)" if d.chains == 1 else ""
        loud = "NOT MIXED: " if apart[worst] > BAD else ""
        out.append(
            f"{loud}R-hat of {_some(apart)} is above {AGREE}{halves}, at most {apart[worst]:.3f} ({worst}): the "
            f"chains do not agree yet. More draws (fit.extend({_more(d.count, 2)})) or a longer "
            "burn-in; see diagnose()."
        )
    few = {name: min(n.ess_bulk, n.ess_tail) for name, n in every.items() if min(n.ess_bulk, n.ess_tail) < ENOUGH}
    if few:
        least = min(few, key=lambda name: few[name])
        factor = ENOUGH / max(few[least], 1.0) - 1
        out.append(
            f"FEW EFFECTIVE DRAWS: {_some(few)} {'has' if len(few) == 1 else 'have'} fewer than {ENOUGH}, the least "
            f"{few[least]:.0f} ({least}): means are vague and limits vaguer. fit.extend({_more(d.count, factor)}) adds "
            "what is missing."
        )
    return out


def independent(draws: Any) -> bool:
    """Whether the scheme draws independently, so that chains have nothing to agree on."""
    return getattr(draws.plan, "name", "") in ("shares", "held")


def _some(names: object, most: int = 4) -> str:
    listed = list(names)  # type: ignore[call-overload]
    more = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {more} more" if more > 0 else "")


def _more(count: int, factor: float) -> int:
    """A round number of draws: `factor` times as many again."""
    wanted = max(count * factor, 100.0)
    size = 10 ** int(np.floor(np.log10(wanted)))
    return int(np.ceil(wanted / size) * size)


def _meaning(fit: PosteriorResults, level: float, interval: str) -> list[str]:
    kind = "highest posterior density" if interval == "hdi" else "equal tails"
    out = [
        f"Intervals hold {100 * level:g}% of the posterior ({kind}). Digits are those that Monte-Carlo error supports."
    ]
    if fit.spec.terms:
        what = "variance of the trait" if fit.spec.traits is not None else "average variance of an observation"
        out.append(f"share: posterior mean of the part of the {what}.")
    if pn.there():
        out.append("ESS: independent draws these are worth, in the bulk and in the tails; R-hat: 1 where chains agree.")
    return out


def prior_words(fit: PosteriorResults) -> dict[str, str]:
    """Priors in words, by term; those nobody asked for are called default."""
    priors = fit.priors
    if priors is None:
        return {}
    out: dict[str, str] = {}
    if priors.shares is not None:
        out["variance shares"] = priors.shares.describe()
    else:
        for term, bound in zip(fit.spec.all_terms, priors.terms, strict=True):
            own = "residual" if term is fit.spec.residual else term.name
            default = "" if {own, term.name} & set(priors.given) or bound.held is not None else " (default)"
            out[term.name] = bound.describe() + default
    if fit.spec.p:
        words = "flat" if priors.fixed is None else _fixed_words(priors.fixed)
        out["fixed effects"] = words + ("" if "fixed" in priors.given else " (default)")
    return out


def _fixed_words(prior: object) -> str:
    describe = getattr(prior, "describe", None)
    return str(describe()) if describe is not None else "normal"


def _priors(fit: PosteriorResults) -> list[str]:
    words = prior_words(fit)
    if not words:
        return []
    alike: dict[str, list[str]] = {}
    for name, text in words.items():
        alike.setdefault(text, []).append(name)
    return [" ".join(f"Prior of {', '.join(names)}: {text}." for text, names in alike.items())]


def _sampler(fit: PosteriorResults) -> list[str]:
    """How often proposals were accepted, where that can fail."""
    rate = acceptance(fit.draws)
    if rate is None or not rate.mean() < 1.0:
        return []
    return [f"{100 * rate.mean():.0f}% of the proposals were accepted."]


def acceptance(draws: Any) -> NDArray[np.float64] | None:
    """(C,) the part of each chain's proposals that was accepted; None where a scheme cannot reject."""
    facts, mode = draws.facts, getattr(draws.plan, "mode", "independence")
    if mode != "independence" or "accepted" not in facts or "iterations" not in facts:
        return None
    tried = np.asarray(facts["iterations"], dtype=np.float64)
    return np.asarray(facts["accepted"], dtype=np.float64) / np.maximum(tried, 1.0) if (tried > 0).all() else None


def _edges(fit: PosteriorResults, level: float, interval: str) -> list[str]:
    """Variances whose interval begins at zero."""
    touching = []
    for j, p in enumerate(parameters(fit.spec)):
        if p.kind != "variance" or fit.estimate.fixed[j]:
            continue
        n = fit.summary_of("par", j, level, interval)
        if n.lower < NEAR * n.upper:
            touching.append(p.name)
    if not touching:
        return []
    return [
        f"The interval of {_some(touching)} begins at zero: the data leave room for a variance that is next to "
        "nothing. The posterior of a variance has no mass at zero itself, so such an interval can never "
        "exclude it, nor is one away from zero a test; compare the fit "
        "without the term (loo(), waic()), and with another prior."
    ]


def _held(fit: PosteriorResults) -> list[str]:
    held = [p.name for p, fixed in zip(parameters(fit.spec), fit.estimate.fixed, strict=True) if fixed]
    return [f"fixed: {', '.join(held)} {'was' if len(held) == 1 else 'were'} given, not sampled."] if held else []


def _rows(fit: PosteriorResults) -> list[str]:
    spec, out = fit.spec, []
    if spec.dropped.count:
        why = ", ".join(f"{count} in {name}" for name, count in spec.dropped.by_variable)
        about = f": {why}." if why else "."
        out.append(
            f"{spec.dropped.count} of {spec.dropped.n_given} rows were left out because of missing values{about}"
        )
    if spec.aliased:
        out.append(f"Not estimable, left out (linear combinations of others): {', '.join(spec.aliased)}.")
    return out
