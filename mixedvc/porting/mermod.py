"""The fitted model under lme4's names and in lme4's order; it prints itself as lme4 prints it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec, Term
from ..errors import OptionError
from ..inference.parameters import par_slices
from ..likelihood.choose import choose
from ..linalg.dense import logdet_from_cholesky, small_cholesky
from ..results.point import PointResults
from . import coding
from .formulas import LmeFormula
from .rdeparse import formula_lines
from .rnumbers import format_numbers, number, rounded
from .rtables import grid, named_vector, wrapped

Float = NDArray[np.float64]
METHODS = {True: "Linear mixed model fit by REML", False: "Linear mixed model fit by maximum likelihood "}


@dataclass(frozen=True)
class Call:
    """What `lmer` was called with, for printing and for `update`.

    Attributes
    ----------
    arguments : mapping
        Keywords of `lmer`, the formula and data included.
    data : str or None
        Name of the data in the caller's code, where it has one.
    weights, offset, subset : str or None
        As text, where they were given as text or have a name.
    """

    arguments: Mapping[str, Any]
    data: str | None = None
    weights: str | None = None
    offset: str | None = None
    subset: str | None = None


@dataclass(frozen=True)
class Block:
    """One random term as lme4 counts them.

    Attributes
    ----------
    name : str
        Unique: ``Subject``, ``Subject.1``.
    group : str
        The grouping factor.
    effects : tuple of str
        R's names.
    place : int
        Position in ``spec.terms``.
    Sigma : (k, k)
    linked : bool
        Effects are correlated; False for ``diag(…)``.
    """

    name: str
    group: str
    effects: tuple[str, ...]
    place: int
    Sigma: Float
    linked: bool = True

    @property
    def sd(self) -> Float:
        """(k,) standard deviations."""
        return np.sqrt(np.diagonal(self.Sigma))

    @property
    def correlation(self) -> Float:
        """(k, k); NaN beside a standard deviation of zero."""
        with np.errstate(invalid="ignore", divide="ignore"):
            R = self.Sigma / np.outer(self.sd, self.sd)
        np.fill_diagonal(R, 1.0)
        return R

    @property
    def entries(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns of the parameters of Λ: a lower triangle column by column, or its diagonal."""
        k = len(self.effects)
        columns, rows = np.triu_indices(k) if self.linked else (np.arange(k), np.arange(k))
        return rows, columns

    def root(self, scale: float) -> Float:
        """(k, k) lower Λ with ΛΛᵀ = Σ/scale."""
        return semidefinite_root(self.Sigma / scale)


def semidefinite_root(A: Float) -> Float:
    """Lower triangular L (k×k) with L Lᵀ = A; a pivot of zero leaves a column of zeros."""
    k, L = len(A), np.zeros_like(A)
    tiny = 1e-13 * max(float(np.diagonal(A).max()), 1e-300)
    for j in range(k):
        left = A[j:, j] - L[j:, :j] @ L[j, :j]
        if left[0] > tiny:
            L[j:, j] = left / np.sqrt(left[0])
    return L


@dataclass(frozen=True, eq=False, repr=False)
class LmerMod:
    """A linear mixed model as `lmer` returns it.

    Attributes
    ----------
    fit : PointResults
        Everything mixedvc knows about the fit: ``m.fit.varcomp``, ``m.fit.profile()``, …
    formula : LmeFormula
    call : Call
    """

    fit: PointResults
    formula: LmeFormula
    call: Call
    cache: dict[str, Any] = field(default_factory=dict)

    @property
    def spec(self) -> ModelSpec:
        """The specification."""
        return self.fit.spec

    @property
    def reml(self) -> bool:
        """Fitted by REML."""
        return bool(self.fit.estimate.reml)

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return float(np.sqrt(self.fit.scale))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """R's names of the fixed effects."""
        return coding.coefficient_names(self.spec)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The random terms in lme4's order: by decreasing number of levels where the formula is not in that order."""
        terms, groups = self.spec.terms, self.formula.groups
        sizes = [term.q for term in terms]
        order = list(range(len(terms)))
        if any(b > a for a, b in pairwise(sizes)):
            order = sorted(order, key=sizes.__getitem__)[::-1]
        Sigmas = self.spec.sigmas(self.fit.theta)
        seen: dict[str, int] = {}
        out = []
        for i in order:
            count = seen[groups[i]] = seen.get(groups[i], -1) + 1
            effects = tuple(coding.coder_names(self.spec.source.coders[i]))
            name = f"{groups[i]}.{count}" if count else groups[i]
            linked = terms[i].structure.name != "diag"
            out.append(Block(name, groups[i], effects, i, Sigmas[i], linked))
        return tuple(out)

    @cached_property
    def groups(self) -> dict[str, list[Block]]:
        """Blocks by grouping factor."""
        out: dict[str, list[Block]] = {}
        for block in self.blocks:
            out.setdefault(block.group, []).append(block)
        return out

    def term(self, block: Block) -> Term:
        """The core's term of a block."""
        return self.spec.terms[block.place]

    @cached_property
    def theta(self) -> Float:
        """Entries of the lower triangles of Λ, column by column, as ``getME(m, "theta")``."""
        parts = [block.root(self.fit.scale)[block.entries] for block in self.blocks]
        return np.concatenate(parts) if parts else np.zeros(0)

    @property
    def n_parameters(self) -> int:
        """Fixed effects, variance parameters and the residual variance."""
        held = self.fit.estimate.fixed
        return int(self.spec.p + sum((~held[of]).sum() for of in par_slices(self.spec)))

    @property
    def df_residual(self) -> int:
        """Rows less parameters, as lme4 counts."""
        return self.spec.n - self.n_parameters

    @cached_property
    def parts(self) -> dict[str, float]:
        """lme4's ``devcomp$cmp``: log-determinants, penalised sums of squares, criteria, scales."""
        spec, scale, n = self.spec, self.fit.scale, self.spec.n
        evaluation = choose(spec, reml=False)[0].at(self.fit.theta)
        e = self.fit.evaluation
        weighted = float(spec.response @ e.Py - (spec.X @ e.beta) @ e.Py)  # rᵀV⁻¹r, since V⁻¹r = Py
        log_w = 0.0 if spec.weights is None else float(np.log(spec.weights).sum())
        logdet = -2 * evaluation.loglik - n * np.log(2 * np.pi) - weighted - n * np.log(scale)
        precision = -logdet_from_cholesky(small_cholesky(e.beta_cov)) + spec.p * np.log(scale) if spec.p else 0.0
        pwrss = scale * weighted
        w = np.ones(n) if spec.weights is None else spec.weights
        wrss = float(w @ self.fit.resid_values**2)
        return {
            "ldL2": float(logdet + log_w),
            "ldRX2": float(precision),
            "wrss": wrss,
            "ussq": pwrss - wrss,
            "pwrss": pwrss,
            "drsum": float("nan"),
            "REML": -2 * self.fit.llf if self.reml else float("nan"),
            "dev": float("nan") if self.reml else -2 * self.fit.llf,
            "sigmaML": float(np.sqrt(pwrss / n)),
            "sigmaREML": float(np.sqrt(pwrss / (n - spec.p))),
        }

    def criterion(self, reml: bool) -> float:
        """−2 log-likelihood by REML or ML at this fit's Λ, the residual variance profiled out."""
        if reml == self.reml:
            return -2 * self.fit.llf
        cmp, n = self.parts, self.spec.n
        log_w = 0.0 if self.spec.weights is None else float(np.log(self.spec.weights).sum())
        size = n - self.spec.p if reml else n
        return float(
            cmp["ldL2"] - log_w + reml * cmp["ldRX2"] + size * (1 + np.log(2 * np.pi * cmp["pwrss"]) - np.log(size))
        )

    @property
    def is_singular(self) -> bool:
        """Some θ on the diagonal of Λ is below 1e-4."""
        return bool((self.theta[self.lower == 0] < 1e-4).any())

    @cached_property
    def lower(self) -> Float:
        """Lower bounds of θ: 0 for diagonal entries, −∞ for the others."""
        parts = [np.where(np.equal(*b.entries), 0.0, -np.inf) for b in self.blocks]
        return np.concatenate(parts) if parts else np.zeros(0)

    def __str__(self) -> str:
        return model_text(self)

    __repr__ = __str__


def need_model(m: object, function: str) -> LmerMod:
    """`m`, if `lmer` made it."""
    if not isinstance(m, LmerMod):
        raise OptionError(f"{function}() takes a model fitted by lmer(), not a {type(m).__name__}")
    return m


def head_text(m: LmerMod, method: str | None = None, kind: str = "lmerMod") -> list[str]:
    """Title, formula and the parts of the call that lme4 prints."""
    if method is None:
        lines = [f"{METHODS[m.reml]} ['{kind}']"]
    else:
        lines = [wrapped([method, " [", kind, "]"], "")]
    lines.append(wrapped(["Formula:", *formula_lines(m.formula.shown)]))
    call = m.call
    for label, text in ((
        ("   Data:", call.data), ("Weights:", call.weights), (" Offset:", call.offset), (" Subset:", call.subset)
    )):  # fmt: skip
        if text is not None:
            lines.append(f"{label} {text}")
    return lines


def criterion_text(m: LmerMod, digits: int) -> str:
    """The REML criterion, or the table of AIC, BIC, logLik, deviance and df.resid."""
    if m.reml:
        return f"REML criterion at convergence: {number(rounded(-2 * m.fit.llf, digits))}"
    values = [rounded(v, digits) for v in (m.fit.aic, m.fit.bic, m.fit.llf, -2 * m.fit.llf, m.df_residual)]
    texts = [*format_numbers(values)[:4], number(values[4])]
    return named_vector(["AIC", "BIC", "logLik", "deviance", "df.resid"], texts)


def groups_text(m: LmerMod) -> str:
    """``Number of obs: 180, groups:  Subject, 18``."""
    counts = "; ".join(f"{group}, {m.term(blocks[0]).q}" for group, blocks in m.groups.items())
    return wrapped([f"Number of obs: {m.spec.n}, groups: ", counts])


def varcorr_table(m: LmerMod, digits: int, comp: tuple[str, ...] = ("Std.Dev.",)) -> str:
    """``formatVC``: variances, standard deviations and correlations of every random term."""
    lengths = [len(b.effects) if b.linked else 1 for b in m.blocks]
    sds = [float(s) for b in m.blocks for s in b.sd] + [m.sigma]
    names = [e for b in m.blocks for e in b.effects] + [""]
    groups = [t for b in m.blocks for t in (b.name, *[""] * (len(b.effects) - 1))] + ["Residual"]
    columns, cells = ["Groups", "Name"], [groups, names]
    for wanted in ("Variance", "Std.Dev."):
        if wanted in comp:
            columns.append(wanted)
            cells.append(format_numbers([s * s if wanted == "Variance" else s for s in sds], digits))
    most = max(lengths, default=1)
    for j in range(most - 1):
        columns.append("" if j else "Corr")
        cells.append([t for b in m.blocks for t in _correlations(b, digits)[j]] + [""])
        del j
    return grid([""] * len(groups), columns, cells, right=False)


def _correlations(block: Block, digits: int) -> Any:
    """Columns of formatted correlations below the diagonal; empty beyond the term's own."""
    k, places = len(block.effects), max(2, digits - 2)
    blank: list[str] = [""] * k
    if k == 1 or not block.linked:
        return _Padded([], blank)
    R = block.correlation
    texts = format_numbers([rounded(float(x), places) for x in R.T.reshape(-1)], nsmall=places)
    return _Padded([[texts[j * k + i] if i > j else "" for i in range(k)] for j in range(k - 1)], blank)


class _Padded(list[list[str]]):
    """A list of columns that is blank beyond its end."""

    def __init__(self, columns: list[list[str]], blank: list[str]):
        super().__init__(columns)
        self.blank = blank

    def __getitem__(self, j: Any) -> Any:
        return super().__getitem__(j) if j < len(self) else self.blank


def model_text(m: LmerMod) -> str:
    """``print(m)``."""
    lines = [*head_text(m), criterion_text(m, 4), "Random effects:", varcorr_table(m, 4), groups_text(m)]
    if m.names:
        texts = format_numbers([float(b) for b in m.fit.evaluation.beta], 4)
        lines += ["Fixed Effects:", named_vector(m.names, texts, gap=2)]
    else:
        lines.append("No fixed effect coefficients")
    return "\n".join(lines + warnings_text(m))


def warnings_text(m: LmerMod) -> list[str]:
    """What lme4 prints last: dropped columns, a singular fit, no convergence."""
    lines = rank_note(m)
    if m.is_singular:
        lines.append("boundary (singular) fit: see help('isSingular')")
    if not m.fit.converged:
        lines.append(f"not converged: {m.fit.estimate.message}")
    return lines


def rank_note(m: LmerMod) -> list[str]:
    """What lme4 says of dropped columns."""
    count = len(m.spec.aliased)
    if not count:
        return []
    what = f"{count} column{'s' * (count > 1)} / coefficient{'s' * (count > 1)}"
    return ["fit warnings:", f"fixed-effect model matrix is rank deficient so dropping {what}"]
