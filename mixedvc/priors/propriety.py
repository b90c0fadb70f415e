"""Is the posterior proper?  Improper priors are accepted where it is, and refused before anything is sampled.

With β flat and u integrated out, log L(θ) is piecewise linear in log v along rays v_i = t^{w_i}, t → ∞: every group
of variances S that grows takes ½ w rank([X Z_S]) − ½ w rank(X) from it, and a group T that vanishes leaves it finite
if the others still span all rows, and sends it to −∞ (data off that span) if they do not.  A prior with
p(v) ~ v^r adds (r + 1) w.  On each cone of orderings that sum is linear, so the posterior is proper if and only if,
for every group S and T of variances,

    Σ_S (r_∞ + 1) < ½ (rank [X Z_S] − rank X),
    Σ_T (r_0 + 1) > 0   where the terms outside T span all rows,

which for grouping factors is the theorem of Hobert & Casella (1996).  So a prior that is flat in log v (r_0 = −1:
IG(0, 0), inverse Wishart with nu = 0) is always improper for a random term, because the residual spans the rows; for
the residual it is proper unless the random terms span them (an animal model of one record each).  A prior flat in v
needs three levels more than the fixed effects absorb, one flat in σ two (Gelman 2006).  An unstructured k×k Σ with
density |Σ|^{−(ν+k+1)/2} far out has r_∞ + 1 = ½ (k − 1 − ν) in each direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..covariance.base import Can
from ..design.spec import ModelSpec, Term
from ..errors import IdentifiabilityError, IdentifiabilityWarning, warn
from ..linalg import dense as la
from .base import BoundPrior, Tail
from .normal import FixedPrior
from .numbers import joined
from .variances import is_variances

Float = NDArray[np.float64]
_DENSE = 2000  # rows up to which spanning is settled by eigenvalues
_TINY = 1e-9  # relative singular value that counts as zero


@dataclass(frozen=True)
class _Part:
    """One improper direction of a term's prior."""

    term: int
    tail: Tail


def check_posterior(
    spec: ModelSpec,
    names: Sequence[str],
    terms: Sequence[BoundPrior],
    fixed: FixedPrior | None,
    asked: Mapping[str, Any],
) -> None:
    """Refuse improper priors under which the posterior is improper; warn where the user said ``improper=True``.

    Raises
    ------
    IdentifiabilityError
        Naming the term, why, and what to use instead.
    """
    parts = [
        _Part(i, tail)
        for i, bound in enumerate(terms)
        if not bound.proper
        for tail in getattr(bound, "tails", tuple)()
        if tail.up >= 0.0 or tail.down <= 0.0
    ]
    if not parts:
        return
    space = _Space(spec, fixed)
    for why, involved in _failures(spec, names, terms, parts, space):
        text = f"{why} The posterior would be improper: {_remedy(spec.all_terms[min(involved)])}"
        if all(getattr(asked.get(names[i]), "improper", False) for i in involved):
            warn(f"{text}; with improper=True the chain describes what it visits only", IdentifiabilityWarning)
        else:
            raise IdentifiabilityError(text)


def _remedy(term: Term) -> str:
    k = term.structure.k
    if is_variances(term.structure):
        return "use a proper prior, such as HalfT(3) or InverseWishart(V, nu) with nu > 0"
    if term.structure.name == "us":
        return f"use a proper prior, such as LKJ(1) or InverseWishart(V, nu) with nu > {k - 1}"
    return "use a proper prior, such as Patterned(sd=HalfT(3))"


def _failures(
    spec: ModelSpec, names: Sequence[str], terms: Sequence[BoundPrior], parts: Sequence[_Part], space: _Space
) -> list[tuple[str, set[int]]]:
    """What makes the posterior improper, and by which terms."""
    out: list[tuple[str, set[int]]] = []
    last = len(terms) - 1
    for i in dict.fromkeys(part.term for part in parts if part.tail.down <= 0.0):
        name, words = names[i], terms[i].describe()
        if i < last:
            why = (
                f"priors[{name!r}] ({words}) has infinite mass at a variance of zero, where the likelihood of a random "
                "term is not zero."
            )
            out.append((why, {i}))
        elif space.spanned:
            why = (
                f"priors[{name!r}] ({words}) has infinite mass at a variance of zero, and {space.spanning} can explain "
                "every row without a residual."
            )
            out.append((why, {i}))
    growing = [part for part in parts if part.tail.up >= 0.0]
    for group in _groups(growing):
        need = 2.0 * sum(part.tail.up for part in group)
        have = space.gain(group, int(need) + 2)
        if have <= need:
            involved = {part.term for part in group}
            who = joined([names[i] for i in sorted(involved)])
            where = f"priors[{who}] ({terms[group[0].term].describe()})"
            levels = f"{need:g} independent level{'' if need == 1 else 's'}"
            why = f"{where} needs more than {levels} beyond what the fixed effects absorb, and the data have {have}."
            out.append((why, involved))
            break
    return out


def _groups(parts: Sequence[_Part]) -> list[tuple[_Part, ...]]:
    """Groups of variances that may grow together: every one, of many variances only one, two, and all."""
    sizes = range(1, len(parts) + 1) if len(parts) <= 5 else (1, 2, len(parts))
    return [group for size in sizes for group in combinations(parts, size)]


class _Space:
    """Ranks of what terms add to the rows, from products of their V_j with a few random vectors."""

    def __init__(self, spec: ModelSpec, fixed: FixedPrior | None):
        self.spec = spec
        self._sketches: dict[_Part, Float] = {}
        flat = np.setdiff1d(np.arange(spec.p), [] if fixed is None else fixed.which)
        self.Q = la.qr(spec.X[:, flat])[0] if len(flat) else np.empty((spec.n, 0))

    def gain(self, group: Sequence[_Part], most: int) -> int:
        """rank [X Z_S] − rank X, or `most` where it is at least that; X the columns with a flat prior."""
        most = min(most, self.spec.n)
        total = np.zeros((self.spec.n, most))
        for part in group:
            total += self._sketch(part, most)
        size = np.sqrt((total**2).sum(axis=0).max())
        total -= self.Q @ (self.Q.T @ total)
        values = la.svd(la.small_qr(total)[1])[1]
        return int((values > _TINY * size).sum()) if len(values) else 0

    def _sketch(self, part: _Part, most: int) -> Float:
        """(n, most) products of the part's V_j with random vectors, of size one; kept, as groups share them."""
        have = self._sketches.get(part)
        if have is None or have.shape[1] < most:
            G = np.random.default_rng(11 + part.term).standard_normal((self.spec.n, max(most, 8)))
            image = _image(self.spec.all_terms[part.term], part.tail.effects, G)
            have = self._sketches[part] = image / max(float(np.abs(image).max()), 1e-300)
        return have[:, :most]

    @property
    def spanning(self) -> str:
        """The terms that do."""
        return joined([term.name for term in self.spec.terms])

    @cached_property
    def spanned(self) -> bool:
        """Whether fixed effects and random terms span all rows; as far as that can be told cheaply."""
        spec = self.spec
        if sum(_most_rank(term) for term in spec.terms) + spec.p < spec.n:
            return False
        if any(_one_each(term) for term in spec.terms):
            return True
        if spec.n > _DENSE:
            return False
        V = spec.X @ spec.X.T / max(float((spec.X**2).sum(axis=1).max()), 1e-300) if spec.p else 0.0
        for term in spec.terms:
            image = _image(term, tuple(range(term.k)), np.eye(spec.n))
            V = V + image / max(float(np.abs(image).max()), 1e-300)
        values = la.eigvalsh(np.asarray(V))
        return bool(values[0] > _TINY * values[-1])


def _image(term: Term, effects: tuple[int, ...], G: Float) -> Float:
    """Σ_a Z_a A Z_aᵀ G."""
    keep = np.zeros(term.k)
    keep[list(effects)] = 1.0
    sums = term.collect(G) * keep[None, :, None]  # (q, k, c)
    q, k, c = sums.shape
    full = np.zeros((len(term.covariance.labels), k * c))
    full[term.positions] = sums.reshape(q, k * c)
    out = np.asarray(term.covariance.matmat(full))[term.positions].reshape(q, k, c)
    return term.spread(out)


def _most_rank(term: Term) -> int:
    """No less than the rank of what a term adds."""
    rank = term.q
    if Can.LOW_RANK in term.covariance.can:
        rank = min(rank, int(getattr(term.covariance, "rank", rank)))
    return rank * term.k


def _one_each(term: Term) -> bool:
    """Whether every row has a level of its own, with effects that are linearly independent among levels."""
    proper = bool(term.covariance.can & (Can.PRECISION | Can.DIAGONAL))
    return proper and term.q == len(term.codes) and bool(term.basis.any(axis=1).all())
