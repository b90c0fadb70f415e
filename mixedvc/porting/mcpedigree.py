"""MCMCglmm's functions of pedigrees: ``inverseA``, ``prunePed``, ``rbv``, ``sm2asreml``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ..covariance import Pedigree, Precision
from ..covariance import pedigree as make_pedigree
from ..design.frames import frame_of
from ..errors import OptionError, PedigreeError
from ..linalg.dense import psd_root

ROLES = ("id", "dam", "sire")


@dataclass(frozen=True)
class InverseA:
    """What `inverseA` returns; ``A["Ainv"]`` is R's ``A$Ainv``.

    Attributes
    ----------
    relationship : Pedigree
        mixedvc's covariance, which fits use.
    names : tuple
        Individuals, in the order of the pedigree given.
    table : DataFrame
        id, dam, sire.
    """

    relationship: Pedigree
    names: tuple[Any, ...]
    table: pd.DataFrame

    @cached_property
    def Ainv(self) -> Precision:
        """The inverse relationship matrix (sparse, labelled), in the order of the pedigree."""
        at = self._at
        Q = sp.csc_array(self.relationship.precision())[at][:, at]
        return Precision(Q, np.array(self.names, dtype=object))

    @property
    def _at(self) -> Any:
        return self.relationship.positions(np.array(self.names, dtype=object))

    @property
    def inbreeding(self) -> Any:
        """Inbreeding coefficient of each individual."""
        return self.relationship.inbreeding[self._at]

    @property
    def dii(self) -> Any:
        """Mendelian sampling variance of each individual."""
        return self.relationship.mendelian[self._at]

    def __getitem__(self, name: str) -> Any:
        known = {"Ainv": "Ainv", "inbreeding": "inbreeding", "dii": "dii", "node.names": "names", "pedigree": "table"}
        if name not in known:
            raise KeyError(f"{name!r}: inverseA() gives {', '.join(known)}")
        return getattr(self, known[name])


def pedigree_table(pedigree: Any) -> pd.DataFrame:
    """Columns id, dam, sire: by these names (``animal`` for id), else the first three columns in that order."""
    frame = frame_of(pedigree)
    lower = {str(name).lower(): name for name in frame.columns}
    first = next((lower[name] for name in ("id", "animal") if name in lower), None)
    if first is not None and "dam" in lower and "sire" in lower:
        columns = [first, lower["dam"], lower["sire"]]
    elif len(frame.columns) == 3:
        columns = list(frame.columns)
    else:
        raise PedigreeError(
            f"a pedigree has three columns, id, dam and sire, and this table has {', '.join(map(str, frame.columns))}"
        )
    return frame[columns].set_axis(list(ROLES), axis=1).reset_index(drop=True)


def inverseA(pedigree: Any, nodes: str = "ALL", scale: bool = True, reduced: bool = False) -> InverseA:
    """R's ``inverseA``: the inverse relationship matrix of a pedigree, for ``ginverse={"animal": inverseA(ped)}``.

    Parameters
    ----------
    pedigree : table
        Columns id, dam, sire; parents need not come first (in R they must).
    nodes, scale, reduced
        Have no counterpart here; giving them is an error.
    """
    if nodes != "ALL" or scale is not True or reduced is not False:
        raise OptionError(
            "inverseA(): nodes=, scale= and reduced= are not available: ancestors are integrated out in the fit, and "
            "phylogenies are given as covariances, mixedvc.Dense(vcv, labels)"
        )
    table = pedigree_table(pedigree)
    made = make_pedigree(table)
    named = list(table["id"])
    given = set(map(str, named))
    extra = [label for label in made.labels if str(label) not in given]
    return InverseA(made, (*extra, *named), table)


def prunePed(pedigree: Any, keep: Any, make_base: bool = False) -> pd.DataFrame:
    """R's ``prunePed``: the individuals of `keep` and their ancestors.

    Parameters
    ----------
    keep : list
        Individuals.
    make_base : bool
        Take out founders too that link no two of those kept: one known offspring, and not themselves in `keep`.
    """
    table = pedigree_table(pedigree)
    keep = [keep] if isinstance(keep, str) or not np.iterable(keep) else list(keep)
    place = {str(name): i for i, name in enumerate(table["id"])}
    absent = [name for name in keep if str(name) not in place]
    if absent:
        raise PedigreeError(f"prunePed(): {absent[0]!r} is not in the pedigree")
    parents = [
        [place.get(str(p)) for p in row if not pd.isna(p)] for row in zip(table["dam"], table["sire"], strict=True)
    ]
    wanted, stack = set(), [place[str(name)] for name in keep]
    while stack:
        i = stack.pop()
        if i not in wanted:
            wanted.add(i)
            stack += [p for p in parents[i] if p is not None]
    if not make_base:
        return table.iloc[sorted(wanted)]
    return _without_loose_founders(table, wanted, parents, {place[str(name)] for name in keep})


def _without_loose_founders(
    table: pd.DataFrame, wanted: set[int], parents: list[list[int | None]], keep: set[int]
) -> pd.DataFrame:
    wanted = set(wanted)
    while True:
        count: dict[int, int] = dict.fromkeys(wanted, 0)
        for i in wanted:
            for p in parents[i]:
                if p in count:
                    count[p] += 1
        loose = {i for i in wanted if i not in keep and count[i] == 1 and not any(p in wanted for p in parents[i])}
        if not loose:
            break
        wanted -= loose
    made = table.iloc[sorted(wanted)].copy()
    there = set(map(str, made["id"]))
    for role in ROLES[1:]:
        made[role] = [p if not pd.isna(p) and str(p) in there else None for p in made[role]]
    return made


def rbv(pedigree: Any, G: Any, nodes: str = "ALL", seed: int | None = None) -> pd.DataFrame:
    """R's ``rbv``: random breeding values of a pedigree, one column for each trait of G.

    Parameters
    ----------
    pedigree : table, or what `inverseA` returns
    G : float or (k, k)
        Additive covariance matrix.
    seed : int, optional
    """
    if nodes != "ALL":
        raise OptionError("rbv(): nodes= is not available: take the rows wanted from what is returned")
    made = pedigree if isinstance(pedigree, InverseA) else inverseA(pedigree)
    G = np.atleast_2d(np.asarray(G, dtype=np.float64))
    if G.ndim != 2 or G.shape[0] != G.shape[1] or not np.allclose(G, G.T):
        raise OptionError(f"rbv(): G has shape {G.shape}; a variance or a symmetric matrix is needed")
    root = psd_root(G)
    u = made.relationship.draw(np.random.default_rng(seed), root.shape[1])
    return pd.DataFrame((u @ root.T)[made._at], index=list(made.names))


def sm2asreml(A: Any) -> pd.DataFrame:
    """R's ``sm2asreml``: the lower triangle of a sparse inverse as rows Row, Column, Ainverse, counted from 1."""
    Q = A.Ainv if isinstance(A, InverseA) else A
    matrix = sp.coo_array(sp.tril(sp.csr_array(Q.matrix if isinstance(Q, Precision) else Q)))
    order = np.lexsort((matrix.col, matrix.row))
    made = pd.DataFrame({"Row": matrix.row + 1, "Column": matrix.col + 1, "Ainverse": matrix.data})
    return made.iloc[order].reset_index(drop=True)
