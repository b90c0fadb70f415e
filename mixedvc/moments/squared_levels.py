"""Cov(q) among the levels: with L the designs of all terms side by side, V_j = L A_j Lᵀ, and one matrix E is enough.

G = LᵀM L = N − J Jᵀ,  N = LᵀL,  J = LᵀQ,   Ω' = M Ω M,   E = LᵀΩ'L = G A_θ G + σ² G
tr(V_jΩ'V_kΩ') = tr(A_j E A_k E),   tr(Ω'V_kΩ') = tr(A_k (G A_θ + σ²) E),
    tr(Ω'²) = tr((A_θG)²) + 2σ² tr(A_θG) + σ⁴(n − p)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..linalg.memory import require
from .levels import Levels

if TYPE_CHECKING:
    from .factors import FactorMoments

Float = NDArray[np.float64]
_BLOCK = 512


def level_count(levels: Sequence[Levels]) -> int:
    """Columns of L."""
    return sum(len(level.Z) * level.width for level in levels)


class Places:
    """Where each parameter's A_j sits among the columns of L."""

    def __init__(self, levels: Sequence[Levels]):
        self.levels = levels
        self.at: list[list[slice]] = []  # of each term, of each effect
        end = 0
        for level in levels:
            w = level.width
            self.at.append([slice(end + a * w, end + (a + 1) * w) for a in range(len(level.Z))])
            end += len(level.Z) * w
        self.size = end
        self.owner = [(i, a, b) for i, level in enumerate(levels) for a, b in level.pairs]

    def rows(self, j: int) -> slice:
        """Rows in which A_j is not zero: its term's."""
        spans = self.at[self.owner[j][0]]
        return slice(spans[0].start, spans[-1].stop)

    def times(self, j: int, X: Any) -> Any:
        """(A_j X)[rows(j)], X dense."""
        i, a, b = self.owner[j]
        A, spans, base = self.levels[i].A, self.at[i], self.at[i][0].start
        if len(spans) == 1:
            return X[spans[0]] if A is None else A @ X[spans[0]]
        out = np.zeros((spans[-1].stop - base, X.shape[1]))
        for into, of in {(a, b), (b, a)}:
            part = X[spans[of]]
            out[spans[into].start - base : spans[into].stop - base] = part if A is None else A @ part
        return out

    def weighted(self, theta: Float, X: Any) -> Any:
        """A_θ X, dense or sparse like X."""
        parts = []
        for i, (level, spans) in enumerate(zip(self.levels, self.at, strict=True)):
            own = [X[span] if level.A is None else level.A @ X[span] for span in spans]
            Sigma = np.zeros((len(spans), len(spans)))
            for value, (term, a, b) in zip(theta, self.owner, strict=False):
                if term == i:
                    Sigma[a, b] = Sigma[b, a] = value
            for row in Sigma:
                parts.append(sum(s * part for s, part in zip(row, own, strict=True)))
        return sp.vstack(parts, format="csr") if sp.issparse(parts[0]) else np.vstack(parts)


def level_covariance(moments: FactorMoments, theta: Float) -> Float:
    """Cov(q) over all entries, an identity residual."""
    levels, rows, sigma2 = moments.levels, moments.rows, float(theta[-1])
    places = Places(levels)
    m = len(places.owner) + 1
    if m == 1:  # no random term
        return np.array([[2.0 * sigma2**2 * (rows.n - rows.p)]])
    require(24 * places.size**2, f"the covariance of q among {places.size:,} levels", "Use se='none' or probes.")
    N, J = _gram(levels), _against(levels, rows.Q)
    AN, AJ = places.weighted(theta, N), places.weighted(theta, J)
    E = _inner_variance(N, AN, J, AJ, sigma2)
    C = np.empty((m, m))
    AE = [places.times(j, E) for j in range(m - 1)]
    for j in range(m - 1):
        for k in range(j, m - 1):
            C[j, k] = C[k, j] = _trace(AE[j][:, places.rows(k)], AE[k][:, places.rows(j)])
        # tr(A_j (G A_θ + σ²) E) = Σ (A_j E) ∘ (A_θ N − A_θ J Jᵀ)ᵀ… + σ² tr(A_j E)
        own = places.rows(j)
        value = _mixed(AE[j], AN[:, own]) - float(np.einsum("ip,ip->", AE[j] @ AJ, J[own]))
        C[j, -1] = C[-1, j] = value + sigma2 * float(np.trace(AE[j][:, own]))
    C[-1, -1] = _residual_part(AN, AJ, J, sigma2, rows.n - rows.p)
    return 2.0 * C


def _gram(levels: Sequence[Levels]) -> Any:
    """N = LᵀL: sparse where every block and every A is."""
    roots = [level.factor.T if level.low_rank else None for level in levels]
    designs = [(root, Z) for root, level in zip(roots, levels, strict=True) for Z in level.Z]
    blocks = []
    for F, Z in designs:
        row = []
        for H, Y in designs:
            block = (Z.T @ Y).tocsr()
            block = block if F is None else F @ block
            row.append(block if H is None else block @ H.T)
        blocks.append(row)
    if any(level.low_rank or isinstance(level.A, np.ndarray) for level in levels):
        return np.block([[b.toarray() if sp.issparse(b) else b for b in row] for row in blocks])
    return sp.block_array(blocks, format="csr")


def _against(levels: Sequence[Levels], U: Float) -> Float:
    """LᵀU."""
    return np.vstack([level.factor.T @ (Z.T @ U) if level.low_rank else Z.T @ U for level in levels for Z in level.Z])


def _inner_variance(N: Any, AN: Any, J: Float, AJ: Float, sigma2: float) -> Float:
    """E = G A_θ G + σ²G, dense: a product of sparse matrices and a correction of rank 2p."""
    T = N @ AJ - 0.5 * J @ (J.T @ AJ) + 0.5 * sigma2 * J
    E = np.empty(N.shape)
    for start in range(0, len(E), _BLOCK):
        some = slice(start, start + _BLOCK)
        part = N[some] @ AN + sigma2 * N[some]
        E[some] = part.toarray() if sp.issparse(part) else part
        E[some] -= J[some] @ T.T + T[some] @ J.T
    return E


def _trace(A: Float, B: Float) -> float:
    """tr(A B)."""
    return float(sum(np.einsum("ij,ji->", A[i : i + _BLOCK], B[:, i : i + _BLOCK]) for i in range(0, len(A), _BLOCK)))


def _mixed(A: Float, B: Any) -> float:
    """tr(A B) with B perhaps sparse."""
    if not sp.issparse(B):
        return _trace(A, B)
    B = B.tocoo()
    return float(B.data @ A[B.col, B.row])


def _residual_part(AN: Any, AJ: Float, J: Float, sigma2: float, df: int) -> float:
    """tr(Ω'²) = tr((A_θG)²) + 2σ² tr(A_θG) + σ⁴ df, G = N − JJᵀ."""
    JAJ = J.T @ AJ
    JANAJ = J.T @ (AN @ AJ)
    square = AN.multiply(AN.T).sum() if sp.issparse(AN) else _trace(AN, AN)
    square += float(np.einsum("pq,qp->", JAJ, JAJ)) - 2.0 * float(np.trace(JANAJ))
    trace = float(AN.trace() if sp.issparse(AN) else np.trace(AN)) - float(np.trace(JAJ))
    return float(square) + 2.0 * sigma2 * trace + sigma2**2 * df
