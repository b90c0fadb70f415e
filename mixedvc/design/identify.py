"""Can the data tell the components apart?  V_j v for random v, one matrix-vector product a component, says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import scipy.sparse as sp
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


def check_components(terms: Sequence[Term], residual: Term, Q: Float, traits: bool = False) -> None:
    """Refuse components whose covariance matrices V_j are zero or linearly dependent; warn where they nearly are.

    Parameters
    ----------
    terms, residual : Term
    Q : (n, p)
        Orthonormal basis of the fixed effects.
    traits : bool
        Whether effects are of several responses.

    Notes
    -----
    V_j v for random v are linearly dependent (almost surely) exactly if the V_j are.  With M = I − QQᵀ, M V_j M v says
    the same of what REML sees.
    """
    if not terms and residual.structure.n_par == 1:
        return
    every = (*terms, residual)
    ways = [_directions(term) for term in every]
    index = [(i, j) for i, moves in enumerate(ways) for j in range(len(moves))]
    n = len(residual.codes)
    probes = 1 + (n < MANY) + max(((term.k + 1) // (2 * term.q) for term in terms), default=0) + len(index) // n
    v = np.random.default_rng(20).standard_normal((n, probes))
    both = np.concatenate([v, v - Q @ (Q.T @ v)], axis=1)
    fold = _fold(n, len(index))
    zero, images, gone = np.zeros(len(index), dtype=bool), [], []
    each = (image for term, moves in zip(every, ways, strict=True) for image in _images(term, moves, both))
    for at, ((i, j), image) in enumerate(zip(index, each, strict=True)):
        zero[at] = not image[:, :probes].any()
        images.append(fold(image[:, :probes]))
        if _is_variance(ways[i][j]) and _vanishes(image[:, probes:], Q):
            gone.append((i, j))
    _refuse_zero(every, [index[at] for at in np.flatnonzero(zero)], traits)
    found = np.stack(images)
    for i, term in enumerate(terms):
        own = [at for at, (owner, _) in enumerate(index) if owner == i]
        turned = None if zero[own].any() else _orthogonal(term)
        if turned is not None:
            found[own] = [fold(image) for image in _images(turned, ways[i], v)]
    if not _dependent(every, index, found):
        _explained_by_fixed(every, gone)


def _directions(term: Term) -> list[Float]:
    """Directions D (k×k) in which Σ can move, at parameters inside.

    A pattern is told from other terms by how V moves with its parameters: the entries of an ar1 or cs matrix, taken
    freely, add up to the covariance of a random intercept.
    """
    structure = term.structure
    inside = structure.build(structure.start(np.eye(term.k)))
    par = structure.start(inside)
    if not structure.linear:
        par = np.append(np.random.default_rng(21).uniform(0.7, 1.5, len(par) - 1), 0.37)
    return list(structure.gradient(par))


def _is_variance(D: Float) -> bool:
    """Whether a direction adds to the variance of some effect."""
    return bool(np.diagonal(D).any())


def _images(term: Term, directions: list[Float], v: Float) -> Iterator[Float]:
    """Z (D ⊗ A) Zᵀ v (n, c) of each direction D."""
    n, c = v.shape
    wide = (term.basis[:, :, None] * v[:, None, :]).reshape(n, term.k * c)
    met = _between(term, wide).reshape(n, term.k, c)  # A is read once for all effects
    rows = [np.flatnonzero(column) if term.k > 1 else slice(None) for column in term.basis.T]
    parts = [met[there] * term.basis[there, a, None, None] for a, there in enumerate(rows)]
    for D in directions:
        image = np.zeros((n, c))
        for a in np.flatnonzero(D.any(axis=1)):
            some = np.flatnonzero(D[a])
            image[rows[a]] += np.einsum("b,nbc->nc", D[a, some], parts[a][:, some])
        yield image


def _orthogonal(term: Term) -> Term | None:
    """A free term in effects orthogonal over the rows; None where that changes little.

    An intercept and the slope of a year span the same effects as with the year counted from its mean; as they are,
    their three components differ in the sixth digit only.
    """
    C = orthogonalising(term.basis) if term.structure.name == "us" and term.k > 1 else None
    if C is None:
        return None
    return replace(term, basis=term.basis / np.sqrt(np.mean(term.basis**2, axis=0)) @ C)


def _fold(n: int, m: int) -> Callable[[Float], Float]:
    """What shortens images of many rows: rows with random signs, added up in m² heaps or more.

    Linear dependence stays, independence stays up to factors of about two.
    """
    size = max(m * m, 2000)
    if n <= 2 * size:
        return lambda image: image
    rng = np.random.default_rng(22)
    signs: Float = rng.choice([-1.0, 1.0], n)
    heaps = sp.csr_array((signs, rng.integers(0, size, n), np.arange(n + 1)), shape=(n, size)).T.tocsr()
    return lambda image: np.asarray(heaps @ image)


def _vanishes(image: Float, Q: Float) -> bool:
    """Whether the fixed effects take all of M V_j M v."""
    left = image - Q @ (Q.T @ image)
    return bool(np.sum(left**2) <= 1e-18 * np.sum(image**2))


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


def _refuse_zero(every: Sequence[Term], zero: list[tuple[int, int]], traits: bool) -> None:
    """V_j = 0: no variance, or no level with both effects."""
    for i, j in zero:
        term = every[i]
        first, second = term.structure.names(term.effects)[j]
        if i == len(every) - 1:
            raise IdentifiabilityError(
                f"residual {term.text}: no group has rows in both {first!r} and {second!r}, so nothing tells their "
                "covariance. ar1() and cs() need fewer covariances"
            )
        if second is None and term.cov_name is not None and not term.covariance.diagonal(term.positions).any():
            raise IdentifiabilityError(
                f"{term.text}: cov[{term.cov_name!r}] is zero among the levels in the data: the term has no variance"
            )
        if second is None:
            raise IdentifiabilityError(f"{term.text}: the effect {first!r} is zero in every row: leave it out")
        if traits:
            related = " or relatives with them" if term.cov_name is not None else ""
            raise IdentifiabilityError(
                f"{term.text}: no level of {term.group!r} has records of both {first!r} and {second!r}{related}, so "
                f"nothing tells their covariance: write diag({term.text[term.text.index('(') + 1 : -1]})"
            )
        _warn(
            f"{term.text}: no level of {term.group!r} has both {first!r} and {second!r}, so their "
            f"covariance cannot be estimated; write diag({term.text.strip('()')})"
        )


def _dependent(every: Sequence[Term], index: list[tuple[int, int]], images: Float) -> bool:
    """Whether components are (nearly) linearly dependent; raises or warns if so."""
    flat = images.reshape(len(index), -1)
    lengths = np.sqrt((flat**2).sum(axis=1))
    there = np.flatnonzero(lengths > 0)
    s, Vt = least_singular((flat[there] / lengths[there, None]).T)
    if s[-1] > NEARLY * s[0]:
        return False
    involved = [index[there[j]] for j in np.flatnonzero(np.abs(Vt[-1]) > 1e-3)]
    owners = list(dict.fromkeys(i for i, _ in involved))
    if len(owners) == 1:
        term = every[owners[0]]
        _warn(f"{term.text}: its {term.structure.n_par} (co)variances cannot all be told apart from these data")
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


def _explained_by_fixed(every: Sequence[Term], gone: list[tuple[int, int]]) -> None:
    """Warn of terms that vanish within the fixed effects."""
    named = [(i, every[i].structure.names(every[i].effects)[j][0]) for i, j in gone]
    lost = [f"{every[i].text} {effect!r}" for i, effect in named if i < len(every) - 1]
    lost += [f"residual {every[i].text}" for i, _ in named if i == len(every) - 1]
    if lost:
        _warn(
            f"the fixed effects explain all that these random effects could: {listed(lost)}. Their variances are not "
            "estimable by REML; leave out the fixed or the random effect"
        )


def _warn(message: str) -> None:
    warn(message, IdentifiabilityWarning)
