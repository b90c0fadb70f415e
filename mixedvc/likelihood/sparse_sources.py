"""What a term's levels are made of: a sparse map of effects whose inverse covariance is sparse.

u = J w, Cov(w) = Q⁻¹ with J and Q sparse.  Independent levels: J = Q = I.  A pedigree or a precision: J picks levels,
Q = A⁻¹.  Animals with next to no Mendelian sampling (offspring of completely inbred parents) are averages of their
parents and that little, so that A may be singular.  Small unrelated families: J holds a root of each family's block,
Q = I.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..covariance.base import Can, Covariance, Positions
from ..covariance.common import members
from ..covariance.marginal import Marginal
from ..covariance.pedigree import Pedigree
from ..design.spec import Term
from ..linalg.roots import pivoted_root
from .covariance_blocks import blocks_at

Float = NDArray[np.float64]
LARGEST_FAMILY = 400  # levels of a family of a sparse covariance that is still taken apart


@dataclass(frozen=True)
class Source:
    """u = J w, Cov(w) = Q⁻¹.

    Attributes
    ----------
    everyone : sparse (L, s)
        Rows of J for all labels of a pedigree or precision, for the levels in the data otherwise.
    seen : (q,) intp
        Rows of the levels in the data among them.
    Q : sparse (s, s)
    logdet : float
        log|Q⁻¹|.
    all_labels : bool
        Whether `everyone` has a row for each label of the covariance, in its order.
    """

    everyone: sp.csr_array
    seen: Positions
    Q: sp.csc_array
    logdet: float
    all_labels: bool

    @cached_property
    def size(self) -> int:
        """Effects w of one column of the term."""
        return self.Q.shape[0]


def source_size(term: Term) -> tuple[int, float] | None:
    """Effects w and entries of Q and J of a term, cheaply; None where it has no sparse source."""
    covariance = _whole(term)
    if term.cov_name is None or covariance.kind == "identity":
        return term.q, float(term.q)
    if isinstance(covariance, Pedigree):
        return len(covariance.labels), 6.0 * len(covariance.labels)
    if Can.PRECISION in covariance.can:
        return len(covariance.labels), float(covariance.precision().nnz)
    if not term.covariance.can & (Can.SPARSE | Can.BLOCKS):
        return None
    sizes = np.bincount(term.covariance.components(term.positions)).astype(np.float64)
    if sizes.max() > LARGEST_FAMILY:
        return None
    return term.q, float((sizes**2).sum())


def source_of(term: Term) -> Source:
    """The source of a term of which `source_size` knows the size."""
    covariance = _whole(term)
    if term.cov_name is None or covariance.kind == "identity":
        eye = sp.csr_array(sp.eye_array(term.q, format="csr"))
        return Source(eye, np.arange(term.q), sp.csc_array(eye), 0.0, False)
    if isinstance(covariance, Pedigree):
        return _pedigree(covariance, _labels(term), term.positions)
    if Can.PRECISION in covariance.can:
        everyone = _rows_of_identity(_labels(term), len(covariance.labels))
        return Source(everyone, term.positions, covariance.precision(), covariance.logdet(), True)
    return _families(term)


def _whole(term: Term) -> Covariance:
    """The covariance that has the precision: the one behind a marginal one."""
    return term.covariance.base if isinstance(term.covariance, Marginal) else term.covariance


def _labels(term: Term) -> Positions:
    """Positions, in that covariance, of all labels that the term knows."""
    covariance = term.covariance
    return covariance.rows if isinstance(covariance, Marginal) else np.arange(len(covariance.labels))


def _rows_of_identity(rows: Positions, s: int) -> sp.csr_array:
    return sp.csr_array((np.ones(len(rows)), rows, np.arange(len(rows) + 1)), shape=(len(rows), s))


def _pedigree(pedigree: Pedigree, labels: Positions, seen: Positions) -> Source:
    made, Q, logdet = pedigree.regular_precision()
    return Source(sp.csr_array(made[labels]), seen, Q, logdet, True)


def _families(term: Term) -> Source:
    """A root of the covariance of each unrelated family among the levels in the data; equal families share theirs."""
    families = members(term.covariance.components(term.positions))
    sizes = np.array([len(family) for family in families])
    rows, cols, values, width = [], [], [], 0
    for size in np.unique(sizes).tolist():
        alike = np.stack([family for family in families if len(family) == size])
        stack = blocks_at(term.covariance, term.positions[alike]).reshape(len(alike), -1)
        kinds, which = np.unique(stack, axis=0, return_inverse=True)
        for kind, block in enumerate(kinds):
            own = alike[which.reshape(-1) == kind]  # (families, size)
            root = pivoted_root(block.reshape(size, size))
            i, j = np.nonzero(root)
            rows.append(own[:, i].ravel())
            cols.append((width + root.shape[1] * np.arange(len(own))[:, None] + j).ravel())
            values.append(np.tile(root[i, j], len(own)))
            width += root.shape[1] * len(own)
    places: Any = (np.concatenate(rows), np.concatenate(cols))
    J = sp.csr_array(sp.coo_array((np.concatenate(values), places), shape=(term.q, width)))
    return Source(J, np.arange(term.q), sp.csc_array(sp.eye_array(width, format="csc")), 0.0, False)
