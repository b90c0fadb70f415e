"""What can be profiled of a covariance among traits: its variances, covariances, correlations and heritabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from .parameters import Parameter, parameters
from .profile_climb import Fraction
from .profile_space import Space
from .profile_targets import Target
from .traits import RESIDUAL, TraitMatrix, families_of, share_forms

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Correlation:
    """nᵀθ / √(aᵀθ bᵀθ): a correlation of any matrix that is linear in θ."""

    n: Float
    a: Float
    b: Float

    def value(self, space: Space, q: Float) -> float:
        theta = space.theta(q)
        below = float(self.a @ theta) * float(self.b @ theta)
        return float(self.n @ theta) / float(np.sqrt(below)) if below > 0.0 else np.nan

    def derivatives(self, space: Space, q: Float, charts: list[Any], J: Float) -> tuple[Float, Float | None]:
        theta = space.theta(q)
        first, second = float(self.a @ theta), float(self.b @ theta)
        if not (first > 0.0 and second > 0.0):
            return np.zeros(len(q)), None
        s = float(np.sqrt(first * second))
        n, u = self.n / s, self.a / first + self.b / second
        r = float(n @ theta)
        slope = n - 0.5 * r * u
        own = np.outer(self.a, self.a) / first**2 + np.outer(self.b, self.b) / second**2
        bend = 0.25 * r * np.outer(u, u) + 0.5 * r * own - 0.5 * (np.outer(n, u) + np.outer(u, n))
        return J @ slope, J @ bend @ J.T + space.curvature(charts, slope)


def parameter_of(spec: ModelSpec, matrix: TraitMatrix, j: int, k: int) -> Parameter | None:
    """The structure parameter that entry (j, k) of a linear structure is; None where it is not one of its own."""
    if not matrix.entries or matrix.entries[j][0] != matrix.entries[k][0]:
        return None
    term, (a, b) = matrix.entries[j][0], sorted((matrix.entries[j][1], matrix.entries[k][1]))
    return next((p for p in parameters(spec) if p.term == term and (p.a, p.b) == (a, b)), None)


def covariance_target(spec: ModelSpec, matrix: TraitMatrix, j: int, k: int) -> Target:
    """A variance (j = k) or a covariance."""
    p = parameter_of(spec, matrix, j, k)
    name = f"{matrix.name}[{matrix.traits[j]}]" if j == k else f"{matrix.name}[{matrix.traits[j]}, {matrix.traits[k]}]"
    if p is not None:
        return Target(p.name, p.kind, p.group, p.effect, p.effect2, p)
    lower = 0.0 if j == k else -np.inf
    return Target(name, "level", matrix.name, level=Fraction(matrix.L[j, k]), bounds=(lower, np.inf))


def correlation_target(spec: ModelSpec, matrix: TraitMatrix, j: int, k: int) -> Target:
    """A correlation: of an unstructured Σ and where it is a parameter as such, else as a function of θ."""
    name = f"corr({matrix.name}[{matrix.traits[j]}, {matrix.traits[k]}])"
    if matrix.entries and matrix.entries[j][0] == matrix.entries[k][0]:
        term = matrix.entries[j][0]
        kind = spec.all_terms[term].structure.name
        p = parameter_of(spec, matrix, j, k)
        if kind == "us" and p is not None:
            return Target(f"corr({p.name})", "correlation", p.group, p.effect, p.effect2, p)
        own = [p for p in parameters(spec) if p.term == term and p.kind == "correlation"]
        if kind == "cs" and len(own) == 1:
            return Target(own[0].name, "correlation", own[0].group, own[0].effect, own[0].effect2, own[0])
    level = Correlation(matrix.L[j, k], matrix.L[j, j], matrix.L[k, k])
    return Target(name, "level", matrix.name, level=level, bounds=(-1.0, 1.0))


def fraction_target(name: str, n: Float, d: Float) -> Target:
    """nᵀθ / dᵀθ, a share."""
    return Target(name, "level", name, level=Fraction(n, d), bounds=(0.0, 1.0))


def share_targets(spec: ModelSpec) -> list[Target]:
    """Every term's share of every trait's variance: ``share(line[y1])``."""
    if not spec.terms:
        return []
    out = []
    for name in (*families_of(spec), RESIDUAL):
        top, bottom = share_forms(spec, name)
        rows = zip(spec.traits.names, top, bottom, strict=True)
        out += [fraction_target(f"share({name}[{trait}])", n, d) for trait, n, d in rows if n.any()]
    return out
