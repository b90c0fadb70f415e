"""What `MCMCglmm` returns: chains of (co)variances and effects under R's names, deviance and DIC."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import NotProvided, OptionError
from ..likelihood.choose import choose, rank_choices
from ..linalg.dense import stacked_inverse
from ..sampling.base import Draws
from ..sampling.effects import draws_of_effects, labels_of
from . import coding
from .mcdeviance import Cells, cells_of
from .mcmodel import Block, Model

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """``m$Fixed``, ``m$Random`` or ``m$Residual``: the formula, sizes of the covariance matrices, numbers of levels."""

    formula: str
    nfl: tuple[int, ...]
    nrl: tuple[int, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


@dataclass(frozen=True, eq=False, repr=False)
class MCMCglmmFit:
    """A fitted model in MCMCglmm's words.

    Attributes
    ----------
    fit : PosteriorResults
        mixedvc's own result: ``m.fit.summary()``, ``m.fit.posterior``, ``m.fit.heritability("animal")``.
    model : Model
    nitt, burnin, thin : int
        Iterations that the printed header counts.
    pr, DIC_wanted : bool
        Random effects in ``Sol``; deviance and DIC.
    """

    fit: Any
    model: Model
    nitt: int
    burnin: int
    thin: int
    random: str | None
    rcov: str
    pr: bool = False
    wants_dic: bool = True
    priors: Mapping[str, Any] = field(default_factory=dict)
    orders: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def draws(self) -> Draws:
        """The core's draws: one chain."""
        made: Draws = self.fit.draws
        return made

    @property
    def mcpar(self) -> tuple[int, int, int]:
        """First iteration, last iteration, thinning."""
        first = self.burnin + 1
        return first, first + (self.draws.count - 1) * self.thin, self.thin

    def chain(self, values: Any, columns: Any) -> pd.DataFrame:
        """Draws × variables with iterations attached."""
        made = pd.DataFrame(values, columns=columns)
        made.attrs["mcpar"] = self.mcpar
        return made

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Covariance matrices in the order of VCV."""
        return (*self.model.random, *self.model.residual)

    @cached_property
    def VCV(self) -> pd.DataFrame:
        """Draws of all variances and covariances."""
        spec = self.fit.spec
        where = {}
        for j, index in enumerate(spec.index):
            where[index.term, index.a, index.b] = where[index.term, index.b, index.a] = j
        theta = self.draws.theta.reshape(-1, self.draws.theta.shape[-1])
        names, columns = [], []
        for block in self.blocks:
            for name, a, b in block.columns:
                names.append(name)
                columns.append(theta[:, where[block.place, a, b]])
        return self.chain(np.stack(columns, axis=1), names)

    @cached_property
    def location(self) -> Float:
        """(D, p) fixed effects in R's parameters."""
        beta = self.draws.beta.reshape(-1, self.draws.beta.shape[-1])
        T = self.model.T
        if not len(T) or np.array_equal(T, np.eye(len(T))):
            return beta
        made: Float = beta @ stacked_inverse(T[None])[0].T
        return made

    @cached_property
    def Sol(self) -> pd.DataFrame:
        """Draws of the fixed effects; with ``pr=True`` of the random effects too, ``animal.123``."""
        if not self.pr:
            return self.chain(self.location, list(self.model.x_names))
        pieces, names = [self.location], list(self.model.x_names)
        for block, u, labels in self._effects():
            order = self._level_order(block, labels)
            for effect, name in zip(block.order, block.names, strict=True):
                pieces.append(u[:, order, effect])
                names += [f"{name}.{_level(labels[i])}" for i in order]
        return self.chain(np.hstack(pieces), names)

    def _level_order(self, block: Block, labels: NDArray[Any]) -> list[int]:
        """Levels in the order of the pedigree or inverse that was given."""
        wanted = self.orders.get(block.term.group, ())
        place = {str(label): i for i, label in enumerate(labels)}
        named = [place[str(label)] for label in wanted if str(label) in place]
        return named if len(named) == len(labels) else list(range(len(labels)))

    def _effects(self) -> Iterator[tuple[Block, Float, NDArray[Any]]]:
        """Draws (D, q, k) of each block's effects, with their levels."""
        made = list(draws_of_effects(self._evaluator, self.draws, relatives=True))
        for block in self.model.random:
            term = self.fit.spec.terms[block.place]
            yield block, np.stack([u[block.place] for u in made]), labels_of(term, True)

    @cached_property
    def _evaluator(self) -> Any:
        """The likelihood that effects are drawn by: sparse equations where the one that sampled is made for many θ."""
        used = self.fit.likelihood
        names = [choice.name for choice in rank_choices(self.fit.spec, "fit")]
        if used is not None and (used.name not in ("woodbury", "dense") or "sparse" not in names):
            return used
        return choose(self.fit.spec, reml=True, name="sparse" if "sparse" in names else None)[0]

    @cached_property
    def _fitted(self) -> Float:
        """(D, n) Xβ + Zu of every draw."""
        spec = self.fit.spec
        out = self.draws.beta.reshape(-1, self.draws.beta.shape[-1]) @ spec.X.T
        for i, u in enumerate(draws_of_effects(self._evaluator, self.draws)):
            for term, effects in zip(spec.terms, u, strict=True):
                out[i] += term.spread(effects)
        return out

    @cached_property
    def _deviances(self) -> tuple[Float, float]:
        if not self.wants_dic:
            raise OptionError("the model was fitted with DIC=False: deviances were not wanted")
        spec = self.fit.spec
        cells: Cells = cells_of(spec)
        theta = self.draws.theta.reshape(-1, self.draws.theta.shape[-1])
        R = np.stack([spec.sigmas(row)[-1] for row in theta])
        return cells.deviances(spec.response - self._fitted, R, np.random.default_rng([7, self.draws.seed]))

    @cached_property
    def Deviance(self) -> pd.Series:
        """−2 log p(y | β, u, R) of every draw; of a record with missing cells, given values drawn for them."""
        made = pd.Series(self._deviances[0], name="Deviance")
        made.attrs["mcpar"] = self.mcpar
        return made

    @property
    def DIC(self) -> float:
        """Deviance information criterion: 2 D̄ − D(θ̄)."""
        each, at_mean = self._deviances
        return float(2 * each.mean() - at_mean)

    @property
    def Fixed(self) -> Part:
        """Formula and number of fixed effects."""
        return Part(self.model.fixed, (len(self.model.x_names),))

    @property
    def Random(self) -> Part:
        """Formula, sizes and levels of the random terms."""
        return self._part(self.random or "", self.model.random)

    @property
    def Residual(self) -> Part:
        """Formula, sizes and levels of the residual."""
        return self._part(self.rcov, self.model.residual)

    def _part(self, formula: str, blocks: tuple[Block, ...]) -> Part:
        nfl: list[int] = []
        nrl: list[int] = []
        for block in blocks:
            term = self.fit.spec.all_terms[block.place]
            k = len(block.order)
            residual = block.place == len(self.fit.spec.terms)
            levels = term.q if residual else len(labels_of(term, True))
            if block.kind == "idh":
                nfl += [1] * k
                nrl += (term.basis != 0).sum(axis=0).tolist() if residual else [levels] * k
            else:
                nfl.append(k)
                nrl.append(levels)
        return Part(formula, tuple(nfl), tuple(nrl))

    @property
    def X(self) -> pd.DataFrame:
        """R's fixed-effect columns, in the rows of the fit."""
        return pd.DataFrame(self.model.X, columns=list(self.model.x_names), index=self.fit.spec.row_labels)

    def __getattr__(self, name: str) -> Any:
        remedy = ABSENT.get(name)
        if remedy is None:
            raise AttributeError(f"{name!r} is no part of a fitted MCMCglmm model; it has VCV, Sol, Deviance, DIC, fit")
        raise NotProvided(f"m.{name}: {remedy}")

    def summary(self, random: bool = False) -> Any:
        """As MCMCglmm prints it."""
        from .mcsummary import summary_of

        return summary_of(self, random)

    def __repr__(self) -> str:
        return str(self.summary())

    __str__ = __repr__


ABSENT = {
    "Liab": "there are no latent variables in Gaussian models; values of missing cells are in m.fit.impute()",
    "CP": "cut-points belong to ordinal models, which are not available",
    "Lambda": "structural parameters belong to sir() and path(), which are not available",
    "ThetaS": "theta_scale is not available",
    "Tune": "nothing is tuned by hand; m.fit.computation says what ran",
    "Z": "the specification has each term's: m.fit.spec.terms[0].Z(0)",
    "XL": "structural parameters belong to sir() and path(), which are not available",
    "ginverse": "the specification has each term's: m.fit.spec.terms[0].covariance",
}


def _level(label: Any) -> str:
    return coding.level_text(label).replace(":", ".")


def need_fit(m: object, function: str) -> MCMCglmmFit:
    """`m`, if `MCMCglmm` made it."""
    if not isinstance(m, MCMCglmmFit):
        raise OptionError(f"{function}() takes a model fitted by MCMCglmm(), not a {type(m).__name__}")
    return m
