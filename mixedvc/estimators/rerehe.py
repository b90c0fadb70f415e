"""Resampled restricted Haseman-Elston regression: second moments of small subsamples of rows only (MATH: 4).

    S̄ = mean_s S_s,   q̄ = mean_s q_s,   θ̂ = argmax q̄ᵀθ − ½ θᵀS̄θ over Σ ⪰ 0

E q_s = S_s θ in every subsample, so S̄⁻¹q̄ is unbiased and one constrained solution has the bias of the full one.  The
published form solves under the constraint in each subsample and averages: where a subsample says little, most of its
solutions lie at a zero, and their mean is biased toward equal shares.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec, Term
from ..design.subset import take_rows
from ..errors import OptionError, warn
from ..likelihood.base import Likelihood
from ..likelihood.rows import working_rows
from ..linalg.memory import require
from ..moments import Moments, Variant, choose_moments
from ..progress import Progress
from .admissible import admissible
from .base import PointEstimate, Sampling, estimators
from .given import given_parameters
from .moment_fit import INTERRUPTED, LARGE_NOISE, described, exact_fit, fits_exactly, point_estimate
from .moment_options import one_of, whole, yes_or_no
from .moment_sampling import draw_error, draw_responses, from_draws
from .moment_solve import Problem, Solution, solution_at

Float = NDArray[np.float64]
Rows = NDArray[np.intp]
ROWS_PER_PARAMETER = 4  # least rows of a subsample for each fixed effect and variance component


@estimators.register("rerehe")
@dataclass(frozen=True)
class ReREHE:
    """Restricted Haseman-Elston regression on subsamples: of a stored kernel only their rows are ever read.

    Parameters
    ----------
    ratio : float
        Part of the families (or rows) in each subsample; small data take more, four rows a parameter at least.
    n_subsamples : int
    combine : "pooled" | "mean" | "median"
        "pooled": average S and q over the subsamples, solve once.  "mean", "median": the published form, solve each
        subsample and combine the solutions; biased where a subsample is small.
    unit : "auto" | "families" | "rows"
        Draw whole families (rows that the model ties together) or single rows; "auto" draws families where none is
        larger than a subsample.
    projection, entries, fixed, fixed_varcomp
        As in `HE`.
    se : str
        "sandwich": the covariance of the unconstrained solution, from `n_boot` responses drawn from the fitted model
        and the same subsamples; "bootstrap": those responses estimated again as the data were; "none".  "auto" is the
        sandwich, for "mean" and "median" the bootstrap.
    n_boot : int

    References
    ----------
    Yue et al. (2021) Genetic Epidemiology 45:171.
    """

    ratio: float = 0.1
    n_subsamples: int = 50
    combine: str = "pooled"
    unit: str = "auto"
    projection: bool = True
    entries: str = "all"
    se: str = "auto"
    n_boot: int = 200
    fixed: str = "gls"
    fixed_varcomp: Mapping[str, Any] | None = None

    name: ClassVar[str] = "rerehe"
    title: ClassVar[str] = "resampled restricted Haseman-Elston regression"
    needs: ClassVar[frozenset[str]] = frozenset({"moments", "draws"})
    provides: ClassVar[frozenset[str]] = frozenset({"theta", "beta", "blup"})

    def __post_init__(self) -> None:
        number = isinstance(self.ratio, int | float | np.number) and not isinstance(self.ratio, bool)
        if not number or not 0.0 < self.ratio <= 1.0:
            raise OptionError(f"ratio={self.ratio!r:.60}: a part of the rows, above 0 and at most 1, is needed")
        whole("n_subsamples", self.n_subsamples, 2, "so that their error can be told")
        whole("n_boot", self.n_boot, 20, "for a standard error that means something")
        one_of("combine", self.combine, ("pooled", "mean", "median"))
        one_of("unit", self.unit, ("auto", "families", "rows"))
        one_of("entries", self.entries, ("all", "upper"))
        one_of("se", self.se, ("auto", "sandwich", "bootstrap", "none"))
        one_of("fixed", self.fixed, ("gls", "ols"))
        yes_or_no("projection", self.projection)
        if self.combine != "pooled" and self.se == "sandwich":
            raise OptionError(
                f"se='sandwich' is that of one linear system, and combine={self.combine!r} solves many under a "
                "constraint: use se='bootstrap'"
            )

    @property
    def wanted_se(self) -> str:
        """The kind of standard errors."""
        if self.se != "auto":
            return self.se
        return "sandwich" if self.combine == "pooled" else "bootstrap"

    def fit(
        self,
        spec: ModelSpec,
        *,
        rng: np.random.Generator | None = None,
        progress: Progress | None = None,
        likelihood: Likelihood | None = None,
    ) -> PointEstimate:
        """Draw subsamples of `spec` from `rng` (a fixed seed where None) and solve their moment equations."""
        rng = np.random.default_rng(0) if rng is None else rng
        return _Subsampling(self, spec, rng, progress).fit()


class _Subsampling:
    """The workspace of one fit."""

    def __init__(self, o: ReREHE, spec: ModelSpec, rng: np.random.Generator, progress: Progress | None):
        self.o, self.spec, self.rng, self.progress = o, spec, rng, progress
        self.variant = Variant(bool(o.projection), o.entries)  # type: ignore[arg-type]
        self.held = given_parameters(spec, o.fixed_varcomp, "fixed_varcomp")
        if o.combine == "median" and any(len(t.structure.pairs) > t.k for t in spec.all_terms):
            raise OptionError(
                "combine='median' takes medians entry by entry, and those of covariance matrices need not be one: use "
                "combine='pooled'"
            )
        self.unit, self.subsamples = draw_subsamples(spec, float(o.ratio), int(o.n_subsamples), o.unit, rng)

    def fit(self) -> PointEstimate:
        """The estimate, and how it varies."""
        o, spec = self.o, self.spec
        header = self._header()
        if fits_exactly(working_rows(spec)):
            return exact_fit(spec, o.name, header)
        found = [moments.equations(self.variant) for _, moments in self._moments()]
        S, q = np.array([e.S for e in found]), np.array([e.q for e in found])
        pooled = Problem(spec, S.mean(axis=0), q.mean(axis=0), self.held)
        free = pooled.unconstrained()
        solution, noise = self._combined(pooled, S, q)
        sampling = self._sampling(pooled, free, solution, S, noise)
        return point_estimate(o.name, pooled, solution, sampling, o.fixed, self._notes(sampling), header)

    def _moments(self) -> Iterator[tuple[Rows, Moments]]:
        """Second moments of one subsample after the other; none is kept."""
        for rows in self.subsamples:
            yield rows, choose_moments(with_own_levels(take_rows(self.spec, rows)), covariance=False)
            if self.progress is not None:
                self.progress.step()

    def _combined(self, pooled: Problem, S: Float, q: Float) -> tuple[Solution, Float]:
        """The estimate from all subsamples and its Monte-Carlo standard error."""
        root = np.sqrt(len(S))
        if self.o.combine == "pooled":
            solution = pooled.constrained()
            moved = (q - S @ solution.theta) @ solution.noise_gain.T
            return solution, np.asarray(moved.std(axis=0, ddof=1) / root)
        pars = np.array([self._one(S_s, q_s).par for S_s, q_s in zip(S, q, strict=True)])
        middle, inflation = (np.mean, 1.0) if self.o.combine == "mean" else (np.median, np.sqrt(0.5 * np.pi))
        noise = inflation * pars.std(axis=0, ddof=1) / root
        return solution_at(pooled, np.asarray(middle(pars, axis=0))), np.asarray(noise)

    def _one(self, S: Float, q: Float) -> Solution:
        """The constrained solution of one subsample, whose S may be singular."""
        return Problem(self.spec, S, q, self.held, told=True).constrained()

    def _sampling(self, pooled: Problem, free: Solution, solution: Solution, S: Float, noise: Float) -> Sampling | None:
        kind = self.o.wanted_se
        if kind == "none":
            return None
        try:
            qs = self._redrawn(admissible(self.spec, solution.theta))
        except KeyboardInterrupt:
            return None
        if kind == "sandwich":
            cov = free.gain @ np.atleast_2d(np.cov(qs.mean(axis=0).T)) @ free.gain.T
            about = f"S^-1 Cov(q) S^-1 from {self.o.n_boot} responses drawn from the fitted model "
            about += f"({draw_error(self.o.n_boot)})"
            return Sampling("sandwich", free.par, np.asarray(0.5 * (cov + cov.T)), noise=noise, about=about)
        if self.o.combine == "pooled":
            draws = [pooled.with_q(q).constrained().par for q in qs.mean(axis=0)]
        else:
            middle = np.mean if self.o.combine == "mean" else np.median
            draws = [
                middle([self._one(S_s, q_s).par for S_s, q_s in zip(S, q, strict=True)], axis=0)
                for q in qs.transpose(1, 0, 2)
            ]
        return from_draws(np.array(draws), solution, int(self.o.n_boot), noise)

    def _redrawn(self, omega: Float) -> Float:
        """(subsamples, n_boot, m): q of every subsample for responses drawn from N(0, V(omega))."""
        count = int(self.o.n_boot)
        require(8 * self.spec.n * count, f"{count} drawn responses", "Use a smaller n_boot, or se='none'.")
        Y = draw_responses(self.spec, omega, self.rng, count)
        return np.array([m.quadratic(self.variant, Y[rows] * m.rows.scale[:, None]).T for rows, m in self._moments()])

    def _header(self) -> tuple[tuple[str, str], ...]:
        return (
            ("Equations", described(self.o.projection, self.o.entries)),
            (
                "Combined",
                {"pooled": "S and q pooled", "mean": "mean of solutions"}.get(self.o.combine, "median of solutions"),
            ),
            ("Std errors", self.o.wanted_se),
            ("Computed by", f"{len(self.subsamples)} subsamples of {self.unit}"),
        )

    def _notes(self, sampling: Sampling | None) -> tuple[str, ...]:
        """What was drawn, how much the draws matter, and what is known of the published form."""
        sizes = [len(rows) for rows in self.subsamples]
        size = f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
        said = f"{len(sizes)} subsamples of {size} of {self.spec.n} rows, {self.unit} drawn without replacement"
        if sampling is None:
            found = [f"{said}."] + ([INTERRUPTED] if self.o.wanted_se != "none" else [])
        else:
            se = np.sqrt(np.maximum(np.diagonal(sampling.cov), 0.0))
            noise = np.zeros_like(se) if sampling.noise is None else sampling.noise
            share = float(np.max(np.divide(noise, se, out=np.zeros_like(noise), where=se > 0)))
            found = [f"{said}: other draws would move an estimate by up to {100 * share:.0f}% of its standard error."]
            if share > 3 * LARGE_NOISE:
                warn(f"the choice of subsamples moves estimates by {100 * share:.0f}% of a standard error: take more")
        if self.o.combine != "pooled":
            found.append(
                f"The {self.o.combine} of constrained solutions of small subsamples is biased toward equal shares; "
                "combine='pooled' is not."
            )
        return tuple(found)


def with_own_levels(spec: ModelSpec) -> ModelSpec:
    """The same model with covariances among the levels in it alone, where those are numbers that can be taken out."""
    return replace(spec, terms=tuple(_cut(term) for term in spec.terms))


def _cut(term: Term) -> Term:
    inner = term.covariance.restrict(term.positions)
    if type(inner) is not type(term.covariance):  # a view of the whole, which saves nothing
        return term
    return replace(term, covariance=inner, positions=np.arange(term.q))


def draw_subsamples(
    spec: ModelSpec, ratio: float, count: int, unit: str, rng: np.random.Generator
) -> tuple[str, list[Rows]]:
    """What is drawn, "families" or "rows", and the rows of each subsample (sorted)."""
    label = spec.families
    sizes = np.bincount(label)
    least = min(spec.n, max(round(ratio * spec.n), ROWS_PER_PARAMETER * (spec.p + len(spec.index))))
    if unit == "families" and len(sizes) == 1:
        raise OptionError("unit='families': the model ties all rows into one family; use unit='rows'")
    chosen = unit
    if unit == "auto":
        chosen = "families" if len(sizes) > 1 and sizes.max() <= least else "rows"
    if chosen == "rows":
        return chosen, [np.sort(rng.choice(spec.n, least, replace=False)) for _ in range(count)]
    number = min(len(sizes), max(2, int(np.ceil(least * len(sizes) / spec.n))))
    order = np.argsort(label, kind="stable")
    start = np.concatenate([[0], np.cumsum(sizes)])
    subsamples = []
    for _ in range(count):
        drawn = rng.choice(len(sizes), number, replace=False)
        subsamples.append(np.sort(np.concatenate([order[start[g] : start[g + 1]] for g in drawn])))
    return chosen, subsamples
