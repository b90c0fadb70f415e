"""The residual while it is sampled: what it says of its Σ, missing cells of records drawn where Σ wants whole records.

Missing cells of a record follow their normal law given the cells it has.  They are drawn for this one update and
forgotten: nothing else sees them.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import Term
from ..errors import NotProvided
from ..likelihood.sparse_residual import Records, Sets, has_records, records_of
from ..linalg import dense as la
from .effects_sources import root_of
from .quadratic import Evidence, RecordScatter, Scatter

Float = NDArray[np.float64]


class ResidualRows:
    """The residual of one specification on its rows."""

    def __init__(self, term: Term):
        if not has_records(term):
            raise NotProvided(
                f"scheme='conjugate' needs a residual of records, each row in one cell; {term.text!r} is another: use "
                "scheme='collapsed'"
            )
        self.term = term

    @cached_property
    def records(self) -> Records:
        """How rows make records."""
        return records_of(self.term)

    @cached_property
    def _unit(self) -> Float:
        """(n,) weight^½."""
        return np.asarray(1.0 / self.term.basis[np.arange(len(self.term.codes)), self.records.cell])

    @property
    def independent(self) -> bool:
        """Whether the cells of a record are independent, each with a variance of its own."""
        return self.term.k == 1 or self.term.structure.name == "diag"

    def scatter(self, e: Float, Sigma: Float, rng: np.random.Generator) -> Scatter:
        """S and count of residuals e (n,), for a draw of a Σ of independent cells or an unstructured one."""
        unit, k = e * self._unit, self.term.k
        if k == 1:
            return Scatter(np.array([[unit @ unit]]), len(unit))
        if self.independent:
            counts = np.bincount(self.records.cell, minlength=k)
            return Scatter(np.diag(np.bincount(self.records.cell, unit * unit, k)), counts)
        S, count = np.zeros((k, k)), 0
        for sets in self.records.sets:
            E = self._whole(sets, unit, Sigma, rng)
            S, count = S + E.T @ E, count + len(E)
        return Scatter(S, count)

    def evidence(self, e: Float) -> Evidence:
        """What residuals say of any Σ, missing cells integrated out."""
        if self.independent:
            return self.scatter(e, np.empty((0, 0)), np.random.default_rng(0))  # takes no random numbers
        return RecordScatter.of(self.records, e * self._unit)

    def weighted(self, U: Float, Sigma: Float) -> Float:
        """R⁻¹U for U (n, c)."""
        if self.independent:
            return U * (np.square(self._unit) / np.diagonal(Sigma)[self.records.cell])[:, None]
        inverse: Any = self.records.matrix(self.records.inverse(Sigma)[0])
        return np.asarray(inverse @ (U * self._unit[:, None])) * self._unit[:, None]

    def _whole(self, sets: Sets, e: Float, Sigma: Float, rng: np.random.Generator) -> Float:
        """(b, k) residuals of the records of some sets of cells, missing ones drawn given the others."""
        out = np.zeros((len(sets.rows), self.term.k))
        for g, have in enumerate(sets.cells):
            mine = np.flatnonzero(sets.which == g)
            seen = e[sets.rows[mine]]
            out[np.ix_(mine, have)] = seen
            lack = np.setdiff1d(np.arange(self.term.k), have)
            if len(lack):
                slope, root = _given(Sigma, have, lack)
                out[np.ix_(mine, lack)] = seen @ slope.T + rng.standard_normal((len(mine), len(lack))) @ root.T
        return out


def _given(Sigma: Float, have: NDArray[np.intp], lack: NDArray[np.intp]) -> tuple[Float, Float]:
    """Slope (l, h) and a root of the covariance of the cells `lack` given the cells `have`."""
    size = np.sqrt(np.diagonal(Sigma))
    C = Sigma / size[:, None] / size
    slope = la.small_solve(C[np.ix_(have, have)], C[np.ix_(have, lack)]).T
    rest = C[np.ix_(lack, lack)] - slope @ C[np.ix_(have, lack)]
    return slope * size[lack][:, None] / size[have], root_of(0.5 * (rest + rest.T)) * size[lack][:, None]
