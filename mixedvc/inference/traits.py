"""Covariance matrices among traits as linear functions of θ: Σ of a term, of the residual, of a record as a whole.

    C = L θ  (t×t),     phenotypic  P_jl = Σ_terms mean_r z_rjᵀ Σ z_rl + R_jl mean_r w_r⁻¹

with the mean over the records in which both traits were seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec, Term
from ..errors import OptionError
from ..structures.base import entries_of
from .parameters import theta_slices
from .ratios import SCALES
from .trait_effects import split_effect

Float = NDArray[np.float64]
INTERCEPT = "Intercept"
RESIDUAL, PHENOTYPIC = "Residual", "phenotypic"


@dataclass(frozen=True)
class TraitMatrix:
    """A covariance matrix among traits, linear in θ.

    Attributes
    ----------
    name : str
        ``"line"``, ``"Subject: Days"`` (another effect than the intercept), ``"Residual"``, ``"phenotypic"``.
    traits : (t,) tuple of str
        Those that have the effect.
    L : (t, t, m)
        C = L θ.
    entries : (t,) tuple of (term, effect), or ()
        Where in which term's Σ each trait stands; empty for the phenotypic matrix.
    """

    name: str
    traits: tuple[str, ...]
    L: Float
    entries: tuple[tuple[int, int], ...] = ()

    @property
    def t(self) -> int:
        return len(self.traits)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Pairs of different traits, (0, 1), (0, 2), … in the order of the upper triangle."""
        return [(j, k) for j in range(self.t) for k in range(j + 1, self.t)]

    def at(self, trait: str) -> int:
        """Position of a trait."""
        if trait not in self.traits:
            raise OptionError(f"{trait!r} is no trait of {self.name!r}; it has {', '.join(map(repr, self.traits))}")
        return self.traits.index(trait)

    def value(self, theta: Float) -> Float:
        """C (t, t)."""
        return np.asarray(self.L @ theta)

    def correlations(self, theta: Float) -> Float:
        """(t, t) correlations; NaN (off the diagonal too) where a variance is not positive."""
        C = self.value(theta)
        with np.errstate(invalid="ignore", divide="ignore"):
            d = np.sqrt(np.where(np.diagonal(C) > 0, np.diagonal(C), np.nan))
            R = C / d[:, None] / d
        R = np.where(np.abs(np.abs(R) - 1.0) < 1e-12, np.sign(R), R)  # rounding of a singular Σ
        return np.where(np.abs(R) < 1 + 1e-6, np.clip(R, -1.0, 1.0), R)  # beyond: an unconstrained estimate

    def correlation_slope(self, theta: Float) -> Float:
        """(t, t, m) ∂(correlations)/∂θ."""
        C, R = self.value(theta), self.correlations(theta)
        v = np.where(np.diagonal(C) > 0, np.diagonal(C), np.nan)
        own = np.einsum("jjm->jm", self.L) / v[:, None]
        d = np.sqrt(v)
        out = self.L / d[:, None, None] / d[:, None] - 0.5 * R[:, :, None] * (own[:, None] + own)
        out[np.arange(self.t), np.arange(self.t)] = 0.0
        return np.asarray(out)


def errors(slope: Float, theta_cov: Float) -> Float:
    """√(sᵀ Cov(θ̂) s) of every entry of `slope` (…, m); 0 where nothing moves."""
    with np.errstate(invalid="ignore"):
        return np.sqrt(np.maximum(np.einsum("...m,mk,...k->...", slope, theta_cov, slope), 0.0))


# ---- which matrices there are ----------------------------------------------------------------------------------


def effects_of(spec: ModelSpec, i: int) -> dict[str, dict[str, int]]:
    """Effect → trait → its place in Σ of term `i` (the residual is the last)."""
    out: dict[str, dict[str, int]] = {}
    for a, name in enumerate(spec.all_terms[i].effects):
        trait, effect = split_effect(name, spec.traits.names)
        if trait >= 0:
            out.setdefault(effect, {})[spec.traits.names[trait]] = a
    return out


def component_name(term: str, effect: str) -> str:
    """``line``, or ``Subject: Days`` for another effect than the intercept."""
    return term if effect == INTERCEPT else f"{term}: {effect}"


def families_of(spec: ModelSpec) -> dict[str, list[int]]:
    """Name → terms that make one matrix: a term a trait (``g: y1``, ``g: y2``) are together their group's."""
    out: dict[str, list[int]] = {}
    for i, term in enumerate(spec.terms):
        traits = {trait for own in effects_of(spec, i).values() for trait in own}
        alone = len(traits) == 1 and spec.traits.t > 1 and term.name != term.group
        out.setdefault(term.group if alone else term.name, []).append(i)
    return out


def components(spec: ModelSpec) -> list[TraitMatrix]:
    """Every effect of every random term, then the residual."""
    made = []
    for name, terms in families_of(spec).items():
        effects = list(dict.fromkeys(effect for i in terms for effect in effects_of(spec, i)))
        made += [_of_terms(spec, name, terms, effect) for effect in effects]
    return [*made, residual(spec)]


def residual(spec: ModelSpec) -> TraitMatrix:
    """Σ_e, of a record of weight 1."""
    return _of_terms(spec, RESIDUAL, [len(spec.terms)], INTERCEPT)


def _of_terms(spec: ModelSpec, name: str, terms: Sequence[int], effect: str) -> TraitMatrix:
    """One effect of all traits, in one term or in a term a trait."""
    place = {trait: (i, a) for i in terms for trait, a in effects_of(spec, i).get(effect, {}).items()}
    traits = tuple(trait for trait in spec.traits.names if trait in place)
    entries = tuple(place[trait] for trait in traits)
    L = np.zeros((len(traits), len(traits), len(spec.index)))
    slices = theta_slices(spec)
    for i in dict.fromkeys(i for i, _ in entries):
        at = {a: j for j, (term, a) in enumerate(entries) if term == i}
        structure = spec.all_terms[i].structure
        for m in range(len(structure.pairs)):
            for a, b in entries_of(structure, m):
                if a in at and b in at:
                    L[at[a], at[b], slices[i].start + m] = L[at[b], at[a], slices[i].start + m] = 1.0
    return TraitMatrix(component_name(name, effect), traits, L, entries)


def component(spec: ModelSpec, which: str, effect: str | None = None, scale: str = "variance") -> TraitMatrix:
    """The matrix called `which`: a term (its intercepts, or another `effect`), "Residual" or "phenotypic"."""
    if which == PHENOTYPIC:
        if effect is not None:
            raise OptionError("effect= chooses among the effects of a random term; 'phenotypic' is of a whole record")
        return phenotypic(spec, scale)
    made = components(spec)
    wanted = which if effect is None else component_name(which, effect)
    for one in made:
        if one.name == wanted:
            return one
    groups = [one for one in made if effect is not None and _of_group(spec, one, which, effect)]
    if len(groups) == 1:  # (1 + x || g): slopes are a term of their own
        return groups[0]
    of_term = [one for one in made if one.name.startswith(f"{which}: ")]
    if effect is None and len(of_term) == 1:  # (0 + x | g): no intercepts, so there is nothing to choose
        return of_term[0]
    if effect is None and of_term:
        names = ", ".join(repr(one.name[len(which) + 2 :]) for one in of_term)
        raise OptionError(f"{which!r} has no intercepts; choose among its effects with effect=: {names}")
    known = ", ".join(repr(one.name) for one in made)
    raise OptionError(f"no covariance among traits is called {wanted!r}; there are {known}, 'phenotypic'")


def _of_group(spec: ModelSpec, matrix: TraitMatrix, group: str, effect: str) -> bool:
    """Whether a matrix is that of `effect` in a term of the group, whatever the term's own name is."""
    i = matrix.entries[0][0]
    return spec.all_terms[i].group == group and matrix.name.endswith(f": {effect}")


def main_component(spec: ModelSpec) -> str:
    """The term that G means: the first with a known covariance, else the only one."""
    families = families_of(spec)
    kernels = [name for name, terms in families.items() if any(spec.terms[i].cov_name is not None for i in terms)]
    names = kernels[:1] or list(families)
    if len(names) != 1:
        what = f"the model has {', '.join(map(repr, names))}" if names else "the model has no random terms"
        raise OptionError(f"which term? Name one: {what}")
    return names[0]


# ---- the phenotypic matrix --------------------------------------------------------------------------------------


def phenotypic(spec: ModelSpec, scale: str = "variance") -> TraitMatrix:
    """Covariance of the traits of a record, averaged over the records.

    `scale` is that of `ratios.weights`: "variance" counts kernels as if of unit diagonal, "pve" with their own,
    centred as GEMMA does.
    """
    return TraitMatrix(PHENOTYPIC, tuple(spec.traits.names), np.concatenate(parts(spec, scale), axis=2))


def parts(spec: ModelSpec, scale: str = "variance") -> list[Float]:
    """For every term (the residual last) the (t, t, m_i) that its θ add to the phenotypic covariance."""
    if scale not in SCALES:
        raise OptionError(f"scale={scale!r} is not one of {', '.join(map(repr, SCALES))}")
    last = len(spec.terms)
    return [_part(spec, term, scale if i < last else "variance") for i, term in enumerate(spec.all_terms)]


def _part(spec: ModelSpec, term: Term, scale: str) -> Float:
    products = _products(spec, term, scale)
    out = np.zeros((*products.shape[:2], len(term.structure.pairs)))
    for m in range(len(term.structure.pairs)):
        for a, b in entries_of(term.structure, m):
            both = products[:, :, a, b] if a == b else products[:, :, a, b] + products[:, :, b, a]
            out[:, :, m] += both
    return out


def _products(spec: ModelSpec, term: Term, scale: str) -> Float:
    """(t, t, k, k) mean of z_rj z_rlᵀ over the records with both traits, z_rj the term's effects in a cell.

    Of traits that were never seen together, the product of the means.
    """
    cells, k = spec.traits, term.k
    out = np.zeros((cells.t, cells.t, k, k))
    rows = [np.flatnonzero(cells.trait == j) for j in range(cells.t)]
    own = [np.flatnonzero(term.basis[at].any(axis=0)) for at in rows]
    size = np.sqrt(np.asarray(term.covariance.diagonal(term.positions))) if scale == "pve" else np.ones(term.q)
    means = _level_means(term, rows) if scale == "pve" else None
    for j in range(cells.t):
        for i in range(j, cells.t):
            _, of_j, of_i = np.intersect1d(cells.record[rows[j]], cells.record[rows[i]], return_indices=True)
            first, second = rows[j][of_j], rows[i][of_i]
            if len(first):
                X, Y = (term.basis[np.ix_(at, cols)] for at, cols in ((first, own[j]), (second, own[i])))
                block = X.T @ (Y * (size[term.codes[first]] * size[term.codes[second]])[:, None]) / len(first)
            else:
                means_of = [
                    (term.basis[np.ix_(at, cols)] * size[term.codes[at]][:, None]).mean(axis=0)
                    for at, cols in ((rows[j], own[j]), (rows[i], own[i]))
                ]
                block = np.outer(*means_of)
            if means is not None:
                block = block - means[j][own[j]] @ np.asarray(term.covariance.matmat(means[i][own[i]].T))
            out[j, i][np.ix_(own[j], own[i])] = block
            out[i, j][np.ix_(own[i], own[j])] = block.T
    return out


def _level_means(term: Term, rows: Sequence[NDArray[np.intp]]) -> list[Float]:
    """For every trait (k, labels): sums of its cells' effects by level of the covariance, over their number."""
    out = []
    for at in rows:
        sums = np.zeros((term.k, len(term.covariance.labels)))
        np.add.at(sums.T, term.positions[term.codes[at]], term.basis[at])
        out.append(sums / max(len(at), 1))
    return out


# ---- shares -----------------------------------------------------------------------------------------------------


def share_forms(
    spec: ModelSpec, term: str, denominator: Sequence[str] | None = None, scale: str = "variance"
) -> tuple[Float, Float]:
    """(t, m) numerators and denominators, linear in θ, of a term's share of every trait's variance.

    By default the denominator is everything.
    """
    own = _own_parts(spec, scale)
    for one in (term, *(denominator or ())):
        if one not in own:
            raise OptionError(f"no term is called {one!r}; there are {', '.join(map(repr, own))}")
    below = list(own) if denominator is None else list(denominator)
    return own[term], np.asarray(sum((own[name] for name in below), np.zeros_like(own[RESIDUAL])))


def _own_parts(spec: ModelSpec, scale: str) -> dict[str, Float]:
    """For every term (those of one matrix together) and the residual (t, m) what θ adds to each trait's variance."""
    made, slices = parts(spec, scale), theta_slices(spec)
    out = {}
    for name, terms in {**families_of(spec), RESIDUAL: [len(spec.terms)]}.items():
        out[name] = np.zeros((spec.traits.t, len(spec.index)))
        for i in terms:
            out[name][:, slices[i]] = np.einsum("jjm->jm", made[i])
    return out


def parameter_shares(spec: ModelSpec, theta: Float) -> Float:
    """(…, m) part of each θ in the variance of its trait, of θ (…, m); 0 for covariances of different traits.

    The parts of a trait add up to one.
    """
    own = np.einsum("jjm->jm", np.concatenate(parts(spec), axis=2))
    total = theta @ own.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(theta * ((1.0 / np.where(total > 0, total, np.nan)) @ own))
