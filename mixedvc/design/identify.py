"""Can the data tell the components apart?  V_j v for random v, one matrix-vector product a component, says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import IdentifiabilityError, IdentifiabilityWarning, warn
from ..linalg.columns import least_singular, orthogonalising
from .frames import listed
from .spec import Term

Float = NDArray[np.float64]
EXACT = 1e-10  # relative distance from linear dependence that counts as dependence
NEARLY = 1e-6
MANY = 10_000  # rows from which one random vector tells enough


def check_groups(terms: Sequence[Term]) -> None:
    """Refuse a grouping with one level; warn about two, and about slopes constant within their groups."""
    for term in terms:
        if term.q == 1:
            raise IdentifiabilityError(
                f"{term.text}: {term.group!r} has only one level, {term.levels[0]!r}: a variance among levels cannot "
                "be estimated from one. Leave the term out"
            )
        if term.q == 2:
            _warn(
                f"{term.text}: {term.group!r} has only two levels, so its variance is estimated from one degree of "
                f"freedom; a fixed effect of {term.group} would say as much"
            )
        if term.cov_name is None:
            _check_slopes(term)


def _check_slopes(term: Term) -> None:
    """A slope on a covariate that does not vary within groups is an intercept under another name."""
    size = np.bincount(term.codes, minlength=term.q)
    constant = [bool((column == column[0]).all()) for column in term.basis.T]
    if size.max() < 2 or term.k < 2 or not any(constant):
        return
    for effect, column, same in zip(term.effects, term.basis.T, constant, strict=True):
        if effect == "Intercept":
            continue
        mean = np.bincount(term.codes, column, minlength=term.q) / size
        spread = np.abs(column - mean[term.codes]).max()
        if same or spread <= 1e-12 * np.abs(column).max():
            where = "is constant" if same else "does not vary within any level"
            _warn(
                f"{term.text}: {effect!r} {where} of {term.group!r}, so its variance cannot be told from that of the "
                "intercept; leave the slope out"
            )


def check_components(terms: Sequence[Term], residual: Term, Q: Float) -> None:
    """Refuse components whose covariance matrices V_j are zero or linearly dependent; warn where they nearly are.

    Parameters
    ----------
    terms, residual : Term
    Q : (n, p)
        Orthonormal basis of the fixed effects.

    Notes
    -----
    V_j v for random v are linearly dependent (almost surely) exactly if the V_j are.  With M = I − QQᵀ, M V_j M v says
    the same of what REML sees.
    """
    if not terms and residual.structure.n_par == 1:
        return
    every = (*terms, residual)
    index = [(i, a, b) for i, term in enumerate(terms) for a, b in term.structure.pairs]
    moves = _directions(residual)
    index += [(len(terms), j, j) for j in range(len(moves))]
    n = len(residual.codes)
    probes = 1 + (n < MANY) + max(((term.k + 1) // (2 * term.q) for term in terms), default=0) + len(index) // n
    v = np.random.default_rng(20).standard_normal((n, probes))
    Mv = v - Q @ (Q.T @ v)
    both = np.concatenate([v, Mv], axis=1)
    of_terms = [image for term in terms for image in _apply_all(term, both)]
    images = np.stack([*of_terms, *_moved(residual, moves, both)])
    _refuse_zero(every, index, images[:, :, :probes])
    seen = images[:, :, probes:]
    flat = seen.transpose(1, 0, 2).reshape(n, len(seen) * probes)
    seen = seen - (Q @ (Q.T @ flat)).reshape(n, len(seen), probes).transpose(1, 0, 2)
    if not _dependent(every, index, _of_orthogonal(terms, index, images[:, :, :probes], v)):
        _explained_by_fixed(every, index, images[:, :, probes:], seen)


def _apply_all(term: Term, v: Float) -> list[Float]:
    """V_ab v (n, c) with V_ab = Z_a A Z_bᵀ (+ its transpose off the diagonal), of every pair of the structure."""
    n, c = v.shape
    wide = (term.basis[:, :, None] * v[:, None, :]).reshape(n, term.k * c)
    met = _between(term, wide).reshape(n, term.k, c)  # A is read once for all effects
    out = []
    for a, b in term.structure.pairs:
        image = term.basis[:, a, None] * met[:, b]
        out.append(image if a == b else image + term.basis[:, b, None] * met[:, a])
    return out


def _of_orthogonal(terms: Sequence[Term], index: list[tuple[int, int, int]], images: Float, v: Float) -> Float:
    """Images of the components of free terms in effects orthogonal over the rows.

    An intercept and the slope of a year span the same effects as with the year counted from its mean; as they are,
    their three components differ in the sixth digit only.
    """
    out = images
    for i, term in enumerate(terms):
        own = [j for j, (owner, _, _) in enumerate(index) if owner == i]
        free = term.structure.name == "us" and term.k > 1 and (np.abs(images[own]).max(axis=(1, 2)) > 0.0).all()
        C = orthogonalising(term.basis) if free else None
        if C is not None:
            turned = replace(term, basis=term.basis / np.sqrt(np.mean(term.basis**2, axis=0)) @ C)
            out = out.copy() if out is images else out
            out[own] = _apply_all(turned, v)
    return out


def _directions(residual: Term) -> list[Float | None]:
    """Directions in which the residual's Σ (k×k) can move, at parameters inside; None for its only variance.

    A pattern is told from other terms by how V moves with its parameters: the entries of an ar1 or cs matrix, taken
    freely, add up to the covariance of a random intercept.
    """
    structure = residual.structure
    if structure.n_par == 1:
        return [None]
    inside = structure.build(structure.start(np.eye(residual.k)))
    par = structure.start(inside)
    if not structure.linear:
        par = np.append(np.linspace(1.0, 1.5, len(par) - 1), 0.37)
    return list(structure.gradient(par))


def _moved(residual: Term, directions: list[Float | None], v: Float) -> list[Float]:
    """Z (D ⊗ I) Zᵀ v (n, c) of each direction D of the residual's Σ."""
    collected = np.empty((0, 1, 0)) if directions[0] is None else residual.collect(v)
    out = []
    for D in directions:
        if D is None:
            out.append(residual.basis**2 * v)
        else:
            out.append(residual.spread(np.einsum("ab,qbc->qac", D, collected)))
    return out


def _between(term: Term, v: Float) -> Float:
    """K A Kᵀ v with K the incidence of levels."""
    if term.q == len(term.codes) and (term.codes[1:] > term.codes[:-1]).all():
        sums = v
    else:
        sums = np.stack([np.bincount(term.codes, column, minlength=term.q) for column in v.T], axis=1)
    if term.cov_name is None:
        return sums[term.codes]
    wide = np.zeros((len(term.covariance.labels), v.shape[1]))
    wide[term.positions] = sums
    return np.asarray(term.covariance.matmat(wide))[term.positions][term.codes]


def _refuse_zero(every: Sequence[Term], index: list[tuple[int, int, int]], images: Float) -> None:
    """V_j = 0: no variance, or no level with both effects."""
    zero = np.abs(images).max(axis=(1, 2)) == 0.0
    for j in np.flatnonzero(zero):
        i, a, b = index[j]
        term = every[i]
        if i == len(every) - 1:
            first, second = term.structure.names(term.effects)[a]
            raise IdentifiabilityError(
                f"residual {term.text}: no group has rows in both {first!r} and {second!r}, so nothing tells their "
                "covariance. ar1() and cs() need fewer covariances"
            )
        if a == b and term.cov_name is not None and not term.covariance.diagonal(term.positions).any():
            raise IdentifiabilityError(
                f"{term.text}: cov[{term.cov_name!r}] is zero among the levels in the data: the term has no variance"
            )
        if a == b:
            raise IdentifiabilityError(
                f"{term.text}: the effect {term.effects[a]!r} is zero in every row: leave it out"
            )
        _warn(
            f"{term.text}: no level of {term.group!r} has both {term.effects[a]!r} and {term.effects[b]!r}, so their "
            f"covariance cannot be estimated; write diag({term.text.strip('()')})"
        )


def _dependent(every: Sequence[Term], index: list[tuple[int, int, int]], images: Float) -> bool:
    """Whether components are (nearly) linearly dependent; raises or warns if so."""
    flat = images.reshape(len(index), -1)
    lengths = np.sqrt((flat**2).sum(axis=1))
    there = np.flatnonzero(lengths > 0)
    s, Vt = least_singular((flat[there] / lengths[there, None]).T)
    if s[-1] > NEARLY * s[0]:
        return False
    involved = [index[there[j]] for j in np.flatnonzero(np.abs(Vt[-1]) > 1e-3)]
    owners = list(dict.fromkeys(i for i, _, _ in involved))
    if len(owners) == 1:
        term = every[owners[0]]
        _warn(f"{term.text}: its {len(term.structure.pairs)} (co)variances cannot all be told apart from these data")
        return True
    message = _confounded([every[i] for i in owners])
    if s[-1] <= EXACT * s[0]:
        raise IdentifiabilityError(message)
    _warn(f"{message} (nearly: relative difference {s[-1] / s[0]:.0e})")
    return True


def _confounded(terms: list[Term]) -> str:
    names = [term.text for term in terms if term.name != "Residual"]
    if len(names) < len(terms) and len(names) == 1:
        term = terms[0]
        n, why = len(term.codes), ""
        if term.q == n:
            why = f": the number of levels of {term.group!r} equals the number of rows, {n}"
        if term.cov_name is not None:
            why += f", and cov[{term.cov_name!r}] is proportional to the identity" if why else ""
        return (
            f"{names[0]} is confounded with the residual{why}. Leave the term out, or give its levels a known "
            "covariance that differs from the identity"
        )
    among = " and ".join(names) + (" and the residual" if len(names) < len(terms) else "")
    return (
        f"{among} are confounded: their covariance matrices are linearly dependent (equal or proportional, "
        "if two), so the data cannot tell their variances apart. Leave one out"
    )


def _explained_by_fixed(every: Sequence[Term], index: list[tuple[int, int, int]], images: Float, seen: Float) -> None:
    """Warn of terms that vanish within the fixed effects."""
    before = np.sqrt((images**2).sum(axis=(1, 2)))
    after = np.sqrt((seen**2).sum(axis=(1, 2)))
    gone = [index[j] for j in np.flatnonzero(after <= 1e-9 * np.maximum(before, 1e-300)) if index[j][1] == index[j][2]]
    lost = [f"{every[i].text} {every[i].effects[a]!r}" for i, a, _ in gone if i < len(every) - 1]
    lost += [f"residual {every[i].text}" for i, _, _ in gone if i == len(every) - 1]
    if lost:
        _warn(
            f"the fixed effects explain all that these random effects could: {listed(lost)}. Their variances are not "
            "estimable by REML; leave out the fixed or the random effect"
        )


def _warn(message: str) -> None:
    warn(message, IdentifiabilityWarning)
