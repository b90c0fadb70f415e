"""Small covariances of every registered kind, each with the dense numbers it stands for, made independently."""

import numpy as np
import scipy.sparse as sp

from mixedvc.covariance import Dense, Features, Identity, Kronecker, Marginal, Pedigree, Precision, Sparse


def names(q, stem="id"):
    return np.array([f"{stem}{i}" for i in range(q)], dtype=object)


def full(q=7, seed=1):
    """Full rank, entries of both signs, mean diagonal near 1."""
    W = np.random.default_rng(seed).standard_normal((q, 3 * q))
    return W @ W.T / (3 * q)


def singular(q=6):
    """Levels 0 and 1 are clones."""
    A = full(q, seed=5)
    A[1], A[:, 1] = A[0], A[:, 0]
    A[1, 1] = A[0, 0]
    return A


def families(seed=0):
    """Four families of 1 to 4, their members apart."""
    A = np.zeros((10, 10))
    start = 0
    for size in (3, 4, 1, 2):
        A[start : start + size, start : start + size] = 0.5 + 0.5 * np.eye(size)
        start += size
    order = np.random.default_rng(seed).permutation(10)
    return A[np.ix_(order, order)]


def tabular(sire, dam):
    """The tabular method, entry by entry (Emik & Terrill 1949)."""
    n = len(sire)
    A = np.zeros((n, n))
    for i in range(n):
        s, d = sire[i], dam[i]
        for j in range(i):
            A[i, j] = A[j, i] = 0.5 * ((A[s, j] if s >= 0 else 0.0) + (A[d, j] if d >= 0 else 0.0))
        A[i, i] = 1.0 + (0.5 * A[s, d] if s >= 0 and d >= 0 else 0.0)
    return A


def inbred():
    """Half-sib matings, a selfing, an unknown parent and an unrelated family."""
    sire = np.array([-1, -1, -1, 0, 0, 3, 5, 5, -1, -1, 8])
    dam = np.array([-1, -1, -1, 1, 2, 4, 4, 5, 6, -1, 9])
    return sire, dam


def standardised(W):
    return (W - W.mean(axis=0)) / W.std(axis=0)


def genotypes(q=9, m=5, seed=2):
    W = np.random.default_rng(seed).integers(0, 3, (q, m)).astype(np.int8)
    W[:3] = [[0], [1], [2]]  # no column is constant
    return W


def examples():
    """(kind, what is special about it, covariance, dense A)."""
    A, S, F = full(), singular(), families()
    sire, dam = inbred()
    P = tabular(sire, dam)
    W = genotypes()
    wide = np.random.default_rng(4).standard_normal((6, 40)).astype(np.float32)
    G, H = standardised(W.astype(float)), wide.astype(float)
    Q = np.linalg.inv(F)
    Q[np.abs(Q) < 1e-12] = 0.0
    ped = Pedigree(names(len(sire)), sire, dam)
    some = np.array([7, 3, 10])
    left, right = Dense(full(3), ["a", "b", "c"]), Dense(families()[:4, :4], [1, 2, 3, 4])
    return [
        ("identity", "text", Identity(names(5)), np.eye(5)),
        ("identity", "numbers", Identity(np.arange(4)), np.eye(4)),
        ("identity", "one level", Identity(["only"]), np.eye(1)),
        ("dense", "full rank", Dense(A, names(7)), A),
        ("dense", "clones", Dense(S, names(6)), S),
        ("dense", "families", Dense(F, names(10)), F),
        ("dense", "diagonal", Dense(np.diag([1.0, 2.0, 0.5]), names(3)), np.diag([1.0, 2.0, 0.5])),
        ("dense", "column order", Dense(np.asfortranarray(A), [(1, "x"), 2, "2", 4.5, "e", "f", "g"]), A),
        ("sparse", "families", Sparse(sp.coo_array(F), names(10)), F),
        ("sparse", "clones", Sparse(sp.csc_array(S), names(6)), S),
        ("sparse", "diagonal", Sparse(sp.eye_array(4), names(4)), np.eye(4)),
        ("precision", "families", Precision(sp.csr_array(Q), names(10)), F),
        ("precision", "full", Precision(np.linalg.inv(A), names(7)), A),
        ("features", "few", Features(W, names(9)), G @ G.T / 5),
        ("features", "centred", Features(W, names(9), standardize="center"), (W - W.mean(0)) @ (W - W.mean(0)).T / 5),
        ("features", "many, as given", Features(wide, names(6), standardize=False), H @ H.T / 40),
        ("features", "few, as given", Features(wide[:, :4], names(6), standardize=False), H[:, :4] @ H[:, :4].T / 4),
        ("pedigree", "inbred", ped, P),
        ("pedigree", "founders", Pedigree(names(3), [-1] * 3, [-1] * 3), np.eye(3)),
        ("marginal", "of a pedigree", Marginal(ped, some), P[np.ix_(some, some)]),
        ("marginal", "of a precision", Marginal(Precision(Q, names(10)), np.arange(4)), F[:4, :4]),
        ("kronecker", "two dense", Kronecker(left, right), np.kron(left.block(), right.block())),
        ("kronecker", "pedigree and identity", Kronecker(ped, Identity(["u", "v"])), np.kron(P, np.eye(2))),
        ("kronecker", "low rank", Kronecker(Identity([1, 2]), Features(W, names(9))), np.kron(np.eye(2), G @ G.T / 5)),
    ]
