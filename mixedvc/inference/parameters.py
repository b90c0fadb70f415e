"""Where each structure parameter of a specification sits, what it is called and what kind of quantity it is."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Parameter:
    """One structure parameter, in the layout of ``PointEstimate.par``.

    Attributes
    ----------
    term : int
        Position in ``spec.all_terms`` (the residual is last).
    group : str
        ``Term.name``.
    effect, effect2 : str, str or None
        As the structure names them; `effect2` is None for a variance.
    kind : str
        "variance" | "covariance" | "correlation" | "loading" (the last two only in non-linear structures).
    a, b : int
        Entry of Σ for a linear structure; −1 where the parameter is not an entry of Σ.
    single : bool
        The term has no other parameter.
    """

    term: int
    group: str
    effect: str
    effect2: str | None
    kind: str
    a: int
    b: int
    single: bool = False

    @property
    def name(self) -> str:
        """Unique name: ``kin`` (a term of one parameter), ``Subject[Days]``, ``Subject[Intercept, Days]``."""
        if self.single:
            return self.group
        return (
            f"{self.group}[{self.effect}]" if self.effect2 is None else f"{self.group}[{self.effect}, {self.effect2}]"
        )


def parameters(spec: ModelSpec) -> tuple[Parameter, ...]:
    """Every structure parameter, term by term, the residual last."""
    out: list[Parameter] = []
    for i, term in enumerate(spec.all_terms):
        structure = term.structure
        kinds = getattr(structure, "kinds", None)
        for j, (effect, effect2) in enumerate(structure.names(term.effects)):
            a, b = structure.pairs[j] if structure.linear else (-1, -1)
            kind = "variance" if effect2 is None else ("covariance" if structure.linear else "correlation")
            kind = kind if kinds is None else kinds[j]
            out.append(Parameter(i, term.name, effect, effect2, kind, a, b, structure.n_par == 1))
    return tuple(out)


def par_slices(spec: ModelSpec) -> list[slice]:
    """Each term's stretch of the structure parameters, the residual last."""
    return _slices([term.structure.n_par for term in spec.all_terms])


def theta_slices(spec: ModelSpec) -> list[slice]:
    """Each term's stretch of the linear parameters θ, the residual last."""
    return _slices([len(term.structure.pairs) for term in spec.all_terms])


def _slices(sizes: list[int]) -> list[slice]:
    stops = np.cumsum([0, *sizes])
    return [slice(int(start), int(stop)) for start, stop in pairwise(stops)]


def linear_parameters(spec: ModelSpec, par: Float) -> Float:
    """θ (m,) of the structure parameters."""
    return spec.theta([t.structure.build(par[of]) for t, of in zip(spec.all_terms, par_slices(spec), strict=True)])


def jacobian(spec: ModelSpec, par: Float) -> Float:
    """J (m × n_par) = ∂θ/∂par, block-diagonal over terms."""
    rows, columns = theta_slices(spec), par_slices(spec)
    J = np.zeros((rows[-1].stop, columns[-1].stop))
    for term, at, of in zip(spec.all_terms, rows, columns, strict=True):
        G = term.structure.gradient(par[of])
        first, second = np.array(term.structure.pairs).T
        J[at, of] = G[:, first, second].T
    return J
