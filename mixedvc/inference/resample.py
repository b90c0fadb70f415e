"""New responses for a bootstrap: drawn from the fitted model, or put together from its residuals and BLUPs.

Residual bootstrap (Carpenter, Goldstein & Rasbash 2003, Appl. Statist. 52:431).  BLUPs û (q×k) vary less than effects
do, S = ûᵀû/q ≺ Σ̂ (Morris 2002); so they are spread out first,

    ũ = (û − mean) T,   T = S^-½ (S^½ Σ̂ S^½)^½ S^-½,   so that ũᵀũ/q = Σ̂,

in units in which S has ones on its diagonal: T is the linear map nearest to the identity that does this.  Residuals are
centred and scaled to variance σ̂²; then levels and rows are drawn with replacement.  Effects with a known covariance
A = F Fᵀ are whitened by F first, and coloured again after drawing.  Of several traits the residuals of a record are
drawn together, treated as BLUPs are: in a missing cell ê is predicted from the record's other cells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..covariance.base import Can
from ..design.spec import ModelSpec, Term
from ..errors import OptionError
from ..likelihood.base import Evaluation
from ..linalg import dense as la
from ..linalg.memory import require
from ..linalg.roots import pivoted_root
from .impute import record_residuals

Float = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Float]  # (q, k, B) effects of one term
KINDS = ("parametric", "residual")
_CELLS = 2e7  # of an (n, k, B) array that is still made at once


@dataclass(frozen=True)
class Resampler:
    """Draws responses (n, B): a mean, and effects of some terms."""

    mean: Float
    parts: tuple[tuple[Term, Draw], ...]

    def draw(self, rng: np.random.Generator, count: int) -> Float:
        """(n, count) responses."""
        out = np.repeat(self.mean[:, None], count, axis=1)
        for term, effects in self.parts:
            u = effects(rng, count)
            if term.k * out.size <= _CELLS:
                out += term.spread(u)
            else:
                for b in range(count):
                    out[:, b] += term.spread(u[:, :, b])
        return out


def resampler(spec: ModelSpec, evaluation: Evaluation, kind: str, random: str) -> Resampler:
    """How responses are made from the model at `evaluation`.

    Parameters
    ----------
    kind : str
        "parametric" draws from normal distributions, "residual" from residuals and BLUPs.
    random : str
        "new" draws every term's effects; "fitted" keeps the predicted ones, so that only residuals are new.
    """
    sigmas = spec.sigmas(evaluation.theta)
    mean = spec.X @ evaluation.beta + (0.0 if spec.offset is None else spec.offset)
    keep, parts = random == "fitted", []
    fitted = [np.asarray(evaluation.blup(i)) for i in range(len(spec.terms))] if keep or kind == "residual" else []
    around = mean + sum((term.spread(u) for term, u in zip(spec.terms, fitted, strict=False)), np.zeros(spec.n))
    for i, term in enumerate(spec.terms):
        if not keep and sigmas[i].any():
            parts.append(
                (term, _normal(term, sigmas[i]) if kind == "parametric" else _levels(term, sigmas[i], fitted[i]))
            )
    e: Draw
    if kind == "parametric":
        e = _normal(spec.residual, sigmas[-1])
    elif spec.traits is not None:  # records stay together
        e = _levels(spec.residual, sigmas[-1], record_residuals(spec, evaluation))
    else:
        e = _residuals(spec, sigmas[-1], spec.y - around)
    return Resampler(around if keep else mean, (*parts, (spec.residual, e)))


@dataclass(frozen=True)
class Normal:
    """u* ~ N(0, Σ ⊗ A); a dense A comes with a root of its own, so that it is factored once."""

    term: Term
    root: Float  # (k, k) of Σ
    F: Float | None

    def __call__(self, rng: np.random.Generator, count: int) -> Float:
        term, columns = self.term, self.root.shape[0] * count
        if self.F is None:
            base = np.asarray(term.covariance.draw(rng, columns))[term.positions]
        else:
            base = self.F @ rng.standard_normal((self.F.shape[1], columns))
        return self.root @ base.reshape(term.q, term.k, count)


def _normal(term: Term, Sigma: Float) -> Normal:
    cov = term.covariance
    dense = Can.DENSE in cov.can and Can.DIAGONAL not in cov.can
    return Normal(term, la.small_root(Sigma), pivoted_root(cov.block(term.positions)) if dense else None)


@dataclass(frozen=True)
class Levels:
    """u* drawn with replacement from the rows of `spread`, then coloured: by F, or by each level's own size."""

    spread: Float  # (r, k)
    F: Float | None  # (q, r)
    size: Float | None  # (q,), where F is None

    def __call__(self, rng: np.random.Generator, count: int) -> Float:
        some = rng.integers(len(self.spread), size=(len(self.spread), count))
        drawn = self.spread[some].transpose(0, 2, 1)  # (r, k, B)
        if self.F is not None:
            return np.tensordot(self.F, drawn, axes=1)
        assert self.size is not None
        return drawn * self.size[:, None, None]


def _levels(term: Term, Sigma: Float, u: Float) -> Levels:
    """From the BLUPs of a term's levels, whitened, centred where levels are independent, and spread out to Σ."""
    F = size = None
    if Can.DIAGONAL in term.covariance.can:
        size = np.sqrt(term.covariance.diagonal(term.positions))
        white = u / size[:, None]
        white = white - white.mean(axis=0)
    else:
        require(24 * term.q**2, f"whitening the {term.q:,} levels of {term.name!r}", "Use kind='parametric'.")
        values, vectors = la.eigh(np.array(term.covariance.block(term.positions)))
        kept = values > 1e-10 * max(float(values[-1]), 0.0)
        F = vectors[:, kept] * np.sqrt(values[kept])
        white = (vectors[:, kept] / np.sqrt(values[kept])).T @ u
    return Levels(white @ inflation(white.T @ white / max(len(white), 1), Sigma), F, size)


def inflation(S: Float, Sigma: Float) -> Float:
    """T with Tᵀ S T = Σ (on the range of S), each effect in units of its own standard deviation in S.

    In those units T is symmetric: the linear map nearest to the identity that does this.
    """
    sd = np.sqrt(np.maximum(np.diagonal(S), 0.0))
    unit = np.where(sd > 0, sd, 1.0)
    values, vectors = la.small_eigh(S / unit / unit[:, None])
    kept = values > 1e-13 * max(float(values[-1]), 1e-300)
    half = (vectors[:, kept] * np.sqrt(values[kept])) @ vectors[:, kept].T
    back = (vectors[:, kept] / np.sqrt(values[kept])) @ vectors[:, kept].T
    inner, turn = la.small_eigh(half @ (Sigma / unit / unit[:, None]) @ half)
    T = back @ (turn * np.sqrt(np.maximum(inner, 0.0))) @ turn.T @ back
    return T / unit[:, None] * unit


@dataclass(frozen=True)
class Residuals:
    """e* drawn with replacement from standardised residuals, and given each cell's standard deviation."""

    residual: Term
    standard: Float  # (n,)
    sd: Float  # (k,)

    def __call__(self, rng: np.random.Generator, count: int) -> Float:
        n = len(self.standard)
        some = rng.integers(n, size=(n, count))
        out = np.zeros((self.residual.q, self.residual.k, count))
        out[self.residual.codes] = self.sd[None, :, None] * self.standard[some][:, None, :]
        return out


def _residuals(spec: ModelSpec, Sigma: Float, left: Float) -> Residuals:
    """From the residuals, standardised, centred and scaled to variance one."""
    residual = spec.residual
    if np.any(Sigma != np.diag(np.diagonal(Sigma))) or np.bincount(residual.codes, minlength=1).max() > 1:
        raise OptionError(
            "kind='residual' draws rows with replacement, and the residuals of this model are correlated "
            f"({residual.text}): use kind='parametric'"
        )
    standard = left / np.sqrt(spec.residual_variances(spec.theta([*_zeros(spec), Sigma])))
    standard = standard - standard.mean()
    return Residuals(residual, standard / np.sqrt(np.mean(standard**2)), np.sqrt(np.diagonal(Sigma)))


def _zeros(spec: ModelSpec) -> list[Float]:
    return [np.zeros((term.k, term.k)) for term in spec.terms]
