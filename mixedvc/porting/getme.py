"""``getME``: the parts of a fitted model by lme4's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ..errors import OptionError
from ..linalg.dense import inverse_psd, small_cholesky
from .coding import level_text
from .mermod import Block, LmerMod, need_model
from .rvalues import RList, RVector, as_sequence, frame

Float = NDArray[np.float64]


def random_design(m: LmerMod) -> sp.csr_array:
    """Z (n×q), columns in lme4's order: term by term, level by level, the effects of a level together."""
    parts = [_block_design(m, b) for b in m.blocks]
    return sp.csr_array(sp.hstack(parts, format="csr"))


def _block_design(m: LmerMod, block: Block) -> sp.csr_array:
    term = m.term(block)
    n, k = term.basis.shape
    columns = (term.codes[:, None] * k + np.arange(k)).reshape(-1)
    return sp.csr_array((term.basis.reshape(-1), columns, np.arange(0, n * k + 1, k)), shape=(n, term.q * k))


def relative_root(m: LmerMod) -> sp.csr_array:
    """Λ (q×q): block-diagonal, one lower triangle for each level."""
    _no_relmat(m, "Lambda")
    parts = [sp.kron(sp.eye_array(m.term(b).q), b.root(m.fit.scale)) for b in m.blocks]
    return sp.csr_array(sp.block_diag(parts, format="csr"))


def _no_relmat(m: LmerMod, name: str) -> None:
    known = [b.group for b in m.blocks if m.term(b).cov_name is not None]
    if known:
        raise OptionError(
            f"getME(m, {name!r}): the levels of {known[0]!r} have a known covariance, whose root is no part of Λ; "
            "m.fit.spec.terms holds it"
        )


def spherical_effects(m: LmerMod) -> Float:
    """u (q,) with b = Λu: u = ΛᵀZᵀ V⁻¹(y − Xβ) σ²."""
    _no_relmat(m, "u")
    Py = m.fit.evaluation.Py
    parts = [(m.term(b).collect(Py) @ b.root(m.fit.scale)).reshape(-1) * m.fit.scale for b in m.blocks]
    return np.concatenate(parts)


def conditional_modes(m: LmerMod) -> Float:
    """b (q,)."""
    return np.concatenate([np.asarray(m.fit.evaluation.blup(b.place)).reshape(-1) for b in m.blocks])


def fixed_root(m: LmerMod) -> Float:
    """RX (p×p) upper triangular with RXᵀRX = σ² Cov(β̂)⁻¹."""
    return np.asarray(small_cholesky(inverse_psd(np.array(m.fit.evaluation.beta_cov)) * m.fit.scale)).T


def _theta_names(m: LmerMod) -> list[str]:
    names = []
    for b in m.blocks:
        for i, j in zip(*b.entries, strict=True):
            pair = [b.effects[i]] if i == j else [b.effects[i], b.effects[j]]
            names.append(".".join([b.group, *pair]))
    return names


def _devcomp(m: LmerMod) -> RList:
    cmp = RVector(pd.Series(m.parts))
    sizes = {
        "N": m.spec.n, "n": m.spec.n, "p": m.spec.p, "nmp": m.spec.n - m.spec.p, "q": _q(m), "nth": len(m.theta),
        "REML": m.spec.p if m.reml else 0,
    }  # fmt: skip
    return RList({"cmp": cmp, "dims": RVector(pd.Series(sizes))})


def _q(m: LmerMod) -> int:
    return sum(m.term(b).q * len(b.effects) for b in m.blocks)


def _factors(m: LmerMod) -> RList:
    made = RList()
    for group, blocks in m.groups.items():
        term = m.term(blocks[0])
        codes, levels = term.codes.tolist(), [level_text(v) for v in term.levels]
        made[group] = pd.Categorical([levels[code] for code in codes], categories=levels)
    return made


def _pointers(m: LmerMod) -> NDArray[np.intp]:
    return np.cumsum([0, *[m.term(b).q * len(b.effects) for b in m.blocks]])


def _by_block(make: Callable[[LmerMod, Block], Any]) -> Callable[[LmerMod], RList]:
    return lambda m: RList({b.name: make(m, b) for b in m.blocks})


PARTS: dict[str, Callable[[LmerMod], Any]] = {
    "X": lambda m: frame(pd.DataFrame(np.array(m.spec.X), list(m.spec.row_labels), list(m.names))),
    "y": lambda m: np.array(m.spec.y),
    "Z": random_design,
    "Zt": lambda m: sp.csr_array(random_design(m).T),
    "Ztlist": _by_block(lambda m, b: sp.csr_array(_block_design(m, b).T)),
    "mmList": _by_block(lambda m, b: pd.DataFrame(np.array(m.term(b).basis), columns=list(b.effects))),
    "mu": lambda m: np.array(m.spec.y - m.fit.resid_values),
    "u": spherical_effects,
    "b": conditional_modes,
    "beta": lambda m: np.array(m.fit.evaluation.beta),
    "fixef": lambda m: RVector(np.array(m.fit.evaluation.beta), index=list(m.names)),
    "sigma": lambda m: m.sigma,
    "theta": lambda m: RVector(m.theta, index=_theta_names(m)),
    "lower": lambda m: RVector(m.lower, index=_theta_names(m)),
    "Lambda": relative_root,
    "Lambdat": lambda m: sp.csr_array(relative_root(m).T),
    "Tlist": _by_block(lambda m, b: b.root(m.fit.scale)),
    "RX": fixed_root,
    "devcomp": _devcomp,
    "flist": _factors,
    "cnms": lambda m: RList({b.name: list(b.effects) for b in m.blocks}),
    "Gp": _pointers,
    "offset": lambda m: np.zeros(m.spec.n) if m.spec.offset is None else np.array(m.spec.offset),
    "weights": lambda m: np.ones(m.spec.n) if m.spec.weights is None else np.array(m.spec.weights),
    "REML": lambda m: m.spec.p if m.reml else 0,
    "is_REML": lambda m: m.reml,
    "n": lambda m: m.spec.n,
    "N": lambda m: m.spec.n,
    "p": lambda m: m.spec.p,
    "q": _q,
    "m": lambda m: len(m.theta),
    "n_rtrms": lambda m: len(m.blocks),
    "n_rfacs": lambda m: len(m.groups),
    "l_i": lambda m: RVector([m.term(b).q for b in m.blocks], index=[b.name for b in m.blocks]),
    "p_i": lambda m: RVector([len(b.effects) for b in m.blocks], index=[b.name for b in m.blocks]),
    "q_i": lambda m: RVector([m.term(b).q * len(b.effects) for b in m.blocks], index=[b.name for b in m.blocks]),
}


def getME(m: LmerMod, name: Any) -> Any:
    """A part of the model by lme4's name, or several as a list.

    Known are X, y, Z, Zt, Ztlist, mmList, mu, u, b, beta, fixef, sigma, theta, lower, Lambda, Lambdat, Tlist, RX,
    devcomp, flist, cnms, Gp, offset, weights, REML, is_REML, n, N, p, q, m, n_rtrms, n_rfacs, l_i, p_i, q_i and "ALL".

    Raises
    ------
    OptionError
        Another name: the factorisation is not lme4's, so L, RZX, A and their permutation do not exist here.
    """
    need_model(m, "getME")
    wanted = list(PARTS) if isinstance(name, str) and name == "ALL" else as_sequence(name)
    unknown = [w for w in wanted if w not in PARTS]
    if unknown:
        own = " (lme4's own factorisation; here the likelihood has another)" if unknown[0] in ("L", "RZX", "A") else ""
        raise OptionError(f"getME(m, {unknown[0]!r}): no such part{own}; there are {', '.join(PARTS)}")
    return PARTS[name](m) if isinstance(name, str) and name != "ALL" else RList({w: PARTS[w](m) for w in wanted})
