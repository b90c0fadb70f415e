"""Hypotheses "this variance is zero": which terms and effects can be left out of a model, and what each leaves out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .. import structures
from ..design.spec import ModelSpec, Term
from ..errors import OptionError
from ..estimators.base import PointEstimate
from ..likelihood.base import Evaluation
from ..linalg import dense as la
from .chibar import Cone
from .parameters import par_slices
from .reduce import INTERCEPT, reducible, without_effects
from .se import default_kind
from .trait_effects import split_effect, traits_of

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Hypothesis:
    """Some effects of a random term have no variance.

    Attributes
    ----------
    name : str
        ``Subject``, ``Subject[Days]``.
    term : int
    effects : tuple of int
        Those that are left out.
    group : str
        What is left out of the term, as the formula says it; empty where that is the whole term.
    """

    name: str
    term: int
    effects: tuple[int, ...]
    group: str = ""

    def null(self, spec: ModelSpec) -> ModelSpec:
        """The model under the hypothesis."""
        return without_effects(spec, self.term, self.effects)

    def whole(self, spec: ModelSpec) -> bool:
        """Whether nothing of the term is left."""
        return len(self.effects) == spec.terms[self.term].k

    def df(self, spec: ModelSpec) -> int:
        """Parameters that the hypothesis takes away."""
        null = self.null(spec)
        return sum(t.structure.n_par for t in spec.terms) - sum(t.structure.n_par for t in null.terms)

    def single(self, spec: ModelSpec) -> bool:
        """Whether it takes away one variance and nothing else."""
        return len(self.effects) == 1 and self.df(spec) == 1

    def alone(self, spec: ModelSpec) -> ModelSpec:
        """The model with the tested effect as its only random one (`single` hypotheses)."""
        term, (a,) = spec.terms[self.term], self.effects
        own = replace(
            term,
            effects=(term.effects[a],),
            basis=np.ascontiguousarray(term.basis[:, [a]]),
            structure=structures.make("us", 1),
        )
        return replace(spec, terms=(own,))


def effect_groups(spec: ModelSpec, i: int) -> list[tuple[str, tuple[int, ...]]]:
    """Effects of a term as the formula groups them: a factor's columns belong together; (label, positions)."""
    term = spec.terms[i]
    if spec.traits is not None:
        return _by_trait(spec, term)
    coders = getattr(spec.source, "coders", ())
    coder = coders[i] if i < len(coders) else None
    if coder is None or tuple(coder.names) != term.effects:
        return [(name, (a,)) for a, name in enumerate(term.effects)]
    out, at = [], 0
    for texts, full in zip(coder.terms, coder.full, strict=True):
        width = 1
        for text, dummies in zip(texts, full, strict=True):
            width *= len(coder.variables[text].names(dummies))
        out.append((":".join(texts) or "Intercept", tuple(range(at, at + width))))
        at += width
    return out


def _by_trait(spec: ModelSpec, term: Term) -> list[tuple[str, tuple[int, ...]]]:
    """The effects of each trait together, under its name, and one by one where it has several."""
    of, out = traits_of(term.effects, spec.traits.names), []
    for a, name in enumerate(spec.traits.names):
        own = tuple(np.flatnonzero(of == a).tolist())
        out += [(name, own)] if own else []
        out += [(term.effects[j], (j,)) for j in own if len(own) > 1]
    return out


def droppable(spec: ModelSpec, i: int) -> list[tuple[str, tuple[int, ...]]]:
    """Groups of effects that can be left out alone: not an intercept beside correlated slopes, no margin of another.

    With several traits: every trait, and the slopes of each.
    """
    groups, term = effect_groups(spec, i), spec.terms[i]
    if spec.traits is not None:
        names = spec.traits.names
        return [g for g in groups if g[0] in names or split_effect(g[0], names)[1] not in INTERCEPT]
    free = term.structure.name == "diag"
    out = []
    for label, members in groups:
        factors = set(label.split(":"))
        margin = any(factors < set(other.split(":")) for other, _ in groups)
        if not margin and (free or label not in INTERCEPT or len(groups) == 1):
            out.append((label, members))
    return out


def default_hypotheses(spec: ModelSpec, estimate: PointEstimate) -> list[Hypothesis]:
    """One for each estimated term of one effect, and for each group of effects of the others.

    With several traits one for the term as well.
    """
    out = []
    for i, (term, of) in enumerate(zip(spec.terms, par_slices(spec), strict=False)):
        if estimate.fixed[of].any():
            continue
        everything = Hypothesis(term.name, i, tuple(range(term.k)))
        if term.k == 1:
            out.append(replace(everything, group=_slope(term.effects[0])))
            continue
        groups = droppable(spec, i) if reducible(term) else []
        found = [_of_group(term.name, i, term.k, label, members) for label, members in groups]
        if not found or (spec.traits is not None and not any(h.whole(spec) for h in found)):
            found.insert(0, everything)
        out += found
    return out


def _slope(effect: str) -> str:
    return "" if effect in INTERCEPT else effect


def _of_group(name: str, i: int, k: int, label: str, members: tuple[int, ...]) -> Hypothesis:
    if len(members) == k:
        return Hypothesis(name, i, members, _slope(label))
    return Hypothesis(f"{name}[{label}]", i, members, label)


def hypothesis(spec: ModelSpec, estimate: PointEstimate, component: str) -> Hypothesis:
    """The one that `component` names: a term, or a term and one of its effects in brackets."""
    found: dict[str, Hypothesis] = {}
    held: list[str] = []
    for i, (term, of) in enumerate(zip(spec.terms, par_slices(spec), strict=False)):
        own = {term.name: Hypothesis(term.name, i, tuple(range(term.k)))}
        if reducible(term):
            for label, members in [*((e, (a,)) for a, e in enumerate(term.effects)), *effect_groups(spec, i)]:
                one = Hypothesis(f"{term.name}[{label}]", i, members, label)
                own.setdefault(one.name, one)
        if estimate.fixed[of].any():
            held += list(own)
        else:
            found |= own
    if component in found:
        return found[component]
    have = f"what can be tested: {', '.join(map(repr, found))}" if found else "nothing here can be tested"
    if component in held:
        raise OptionError(f"{component!r} is held fixed; {have}")
    raise OptionError(f"no random term or effect is called {component!r}; {have}")


def cone_of(h: Hypothesis, spec: ModelSpec) -> Cone | None:
    """The edge on which the hypothesis lies, without its metric; None for structures whose law is not known."""
    term, r = spec.terms[h.term], len(h.effects)
    if term.structure.name == "us" or term.k == 1:
        return Cone((r,), r * (term.k - r))
    if term.structure.name == "diag":
        return Cone((1,) * r)
    return None


def with_metric(
    h: Hypothesis, cone: Cone, spec: ModelSpec, null: PointEstimate, evaluate: object, likelihood: str
) -> Cone:
    """The cone with the asymptotic covariance of the tested entries, from the information of the larger model at the
    smaller one's estimate; entries at an edge there count as known."""
    term = spec.terms[h.term]
    theta, known = embed(h, spec, null)
    evaluation: Evaluation = evaluate(theta)  # type: ignore[operator]
    kind = default_kind(spec, likelihood)
    information = np.asarray(getattr(evaluation, f"{kind}_information"))
    scale = 1.0 / np.sqrt(np.maximum(np.diagonal(information), 1e-300))
    free = np.flatnonzero(~known)
    inverse = la.inverse_psd((information * scale * scale[:, None])[np.ix_(free, free)])
    covariance = inverse * scale[free] * scale[free][:, None]
    start = sum(len(t.structure.pairs) for t in spec.terms[: h.term])
    tested = [start + j for j, (a, b) in enumerate(term.structure.pairs) if a in h.effects and b in h.effects]
    place = np.searchsorted(free, tested)
    return replace(cone, covariance=covariance[np.ix_(place, place)])


def embed(h: Hypothesis, spec: ModelSpec, null: PointEstimate) -> tuple[Float, NDArray[np.bool_]]:
    """θ of the larger model at the smaller one's estimate, and which of its entries count as known there."""
    small = h.null(spec)
    sigmas, bounds = small.sigmas(null.theta), [null.at_bound[of] | null.fixed[of] for of in par_slices(small)]
    out, known, j = [], [], 0
    for i, term in enumerate(spec.all_terms):
        whole = i == h.term and h.whole(spec)
        Sigma = np.zeros((term.k, term.k))
        kept = [a for a in range(term.k) if i != h.term or a not in h.effects]
        edge = np.zeros(len(term.structure.pairs), dtype=bool)
        if not whole:
            Sigma[np.ix_(kept, kept)] = sigmas[j]
            inside = np.array([a in kept and b in kept for a, b in term.structure.pairs])
            own = bounds[j]
            edge[inside] = own if term.structure.linear and len(own) == inside.sum() else bool(own.any())
            j += 1
        out.append(Sigma)
        known.append(edge)
    return spec.theta(out), np.concatenate(known)
