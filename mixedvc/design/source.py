"""Where a specification came from: enough to bind it again, to code new rows, and to see that nothing changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BindError, CovarianceError
from ..formula.terms import BarTerm, Formula
from .expressions import Evaluator, names_in
from .fixed import Coder
from .frames import column_names, frame_of, listed, row_labels
from .missing import refuse_infinite
from .parts import Part
from .random import Grouping, column_reader, grouping, is_rows
from .request import Binder, Request
from .residual import ResidualSource
from .spec import ModelSpec
from .trait_columns import TraitCoders
from .traits import Traits, every_cell, stacked_basis
from .transforms import Memory

Float = NDArray[np.float64]


@dataclass(frozen=True)
class NewRandom:
    """One random term on new rows.

    Attributes
    ----------
    name : str
        Of the term.
    levels : (n,) object
        Label of each row's level; None where a grouping cell is missing.
    basis : (n, k) float
        NaN where a cell is missing.
    """

    name: str
    levels: NDArray[np.object_]
    basis: Float


@dataclass(frozen=True)
class NewRows:
    """New rows coded as the fit was; with several responses, every cell of the new records as a row.

    Attributes
    ----------
    X : (n, p)
        The columns kept in the fit; rows with a missing cell are NaN.
    rows : tuple of NewRandom
        The random terms asked for, in the order of the specification.
    offset : (n,) or None
    weights : (n,) or None
        Where ``weights=`` was a column and the new data have it.
    labels : object
        Labels of the rows of the new data.
    residual : (n,) intp or None
        The effect of the residual whose variance a new observation has, −1 where a cell is missing; None where the
        residual has one variance, or was not asked for.
    traits : Traits or None
        Record and trait of each row: record by record, every trait in order.
    """

    X: Float
    rows: tuple[NewRandom, ...]
    offset: Float | None
    weights: Float | None
    labels: NDArray[np.object_]
    residual: NDArray[np.intp] | None = None
    traits: Traits | None = None


@dataclass(frozen=True)
class Source:
    """Origin of a ModelSpec; opaque to estimators.

    Attributes
    ----------
    request : Request
        Formula, the data columns used (before rows were dropped), covariances by name, all options.
    binder : callable
        `mixedvc.design.bind.bind_request`.
    parsed, bars
        The formula as read, with the final groups and covariances.
    coder, kept : Coder, (p,) intp
        Coding of the fixed part (with several responses, of what each has), and the columns of X that were kept.
    coders : tuple of Coder
        Of the effects of each bar.
    parts : tuple of Part
        Which bar, and what of it, each term of the specification is.
    memory : mapping
        What remembering transforms (scale, poly, …) learned.
    fingerprints : mapping of str to str
        Of each covariance when the specification was made.
    residual : ResidualSource or None
        Of a residual with a structure.
    fixed : TraitCoders or None
        Coding of the fixed part of several responses.
    """

    request: Request
    binder: Binder
    parsed: Formula
    bars: tuple[BarTerm, ...]
    coder: Coder
    kept: NDArray[np.intp]
    coders: tuple[Coder, ...]
    parts: tuple[Part, ...]
    memory: Mapping[str, Memory]
    fingerprints: Mapping[str, str]
    residual: ResidualSource | None = None
    fixed: TraitCoders | None = None

    @property
    def formula(self) -> str:
        """As the user wrote it."""
        return self.request.formula

    @property
    def frame(self) -> Any:
        """The data columns used, all rows given."""
        return self.request.frame

    @property
    def covariances(self) -> Mapping[str, Any]:
        """Known covariances by name."""
        return self.request.covariances

    def rebind(self) -> ModelSpec:
        """The same specification made again from the stored copy of the data."""
        spec: ModelSpec = self.binder(self.request)
        return spec

    def check_unchanged(self) -> None:
        """Raise CovarianceError where the numbers of a covariance were changed since the specification was made."""
        for name, covariance in self.covariances.items():
            if covariance.fingerprint() != self.fingerprints[name]:
                raise CovarianceError(
                    f"cov[{name!r}] was changed in place after the model was specified: make the specification again "
                    "(mixedvc.model) so that labels and checks hold for the new numbers"
                )

    def new_rows(
        self, newdata: Any, terms: bool | Collection[str] = True, *, residual: bool = False, offset: bool = True
    ) -> NewRows:
        """Code new rows with the contrasts, knots and means of the fit.

        Parameters
        ----------
        newdata : table
            With every column that the fixed part, the offsets and the chosen terms read; responses are not read.
        terms : bool or collection of str
            True for all random terms, False for none, or their names.
        residual : bool
            Whether to find the variance of each row's residual.
        offset : bool
            False to leave the offset out (and not to need its columns).

        Raises
        ------
        BindError
            Columns that are absent.
        DataError
            Levels of a fixed factor that the fit did not see, infinite values.
        """
        chosen = self._chosen(terms)
        of_residual = self.residual.factors if residual and self.residual is not None else ()
        frame = self._frame(newdata, chosen, (*of_residual, *(self.parsed.offsets if offset else ())))
        labels = row_labels(frame)
        evaluator = Evaluator(column_reader(frame), dict(self.memory))
        traits = self._cells(labels)
        rows = tuple(self._random(part, evaluator, labels, frame) for part in chosen)
        which = None
        if of_residual and self.residual is not None:
            which = self.residual.effects_of({text: evaluator.value(text) for text in of_residual}, labels)
        made = NewRows(
            X=self._fixed(evaluator, labels, traits),
            rows=rows,
            offset=self._offset(evaluator, frame) if offset else None,
            weights=self._weights(evaluator, frame),
            labels=labels,
            residual=which,
        )
        return made if traits is None else self._stacked(made, chosen, traits, residual)

    def _cells(self, labels: NDArray[np.object_]) -> Traits | None:
        """Every cell of records called `labels`, with several responses."""
        if self.fixed is None:
            return None
        return every_cell(self.fixed.traits, labels, self.fixed.columns[self.kept])

    def _fixed(self, evaluator: Evaluator, labels: NDArray[np.object_], traits: Traits | None) -> Float:
        """(n, p) columns of X that were kept."""
        if self.fixed is not None and traits is not None:
            X, names = self.fixed.matrix(evaluator, labels, traits), self.fixed.names
            labels = labels[traits.record]
        else:
            X, names = self.coder.matrix(evaluator, labels), self.coder.names
        _refuse_inf(X[:, self.kept], tuple(names[j] for j in self.kept.tolist()), labels)
        return X[:, self.kept]

    def _stacked(self, made: NewRows, chosen: list[Part], traits: Traits, residual: bool) -> NewRows:
        """What was found for records, for their cells."""
        record = traits.record
        rows = tuple(
            NewRandom(own.name, own.levels[record], stacked_basis(own.basis, traits, part.trait))
            for part, own in zip(chosen, made.rows, strict=True)
        )
        return replace(
            made,
            rows=rows,
            offset=None if made.offset is None else made.offset[record],
            weights=None if made.weights is None else made.weights[record],
            residual=traits.trait if residual else None,
            traits=traits,
        )

    def _chosen(self, terms: bool | Collection[str]) -> list[Part]:
        names = [part.name for part in self.parts]
        if isinstance(terms, bool):
            return list(self.parts) if terms else []
        unknown = [name for name in terms if name not in names]
        if unknown:
            raise BindError(f"no random term is called {listed(unknown)}; the model has {listed(names)}")
        return [part for part in self.parts if part.name in terms]

    def _frame(self, newdata: Any, chosen: list[Part], more: tuple[str, ...] = ()) -> Any:
        """The needed columns of the new data; all that are absent are named at once."""
        texts = [*(self.coder if self.fixed is None else self.fixed).variables, *more]
        texts += [text for part in chosen for text in self.coders[part.bar].variables]
        need = [name for text in texts for name in names_in(text)]
        bars = [self.bars[part.bar] for part in chosen]
        need += [g for bar in bars if not is_rows(bar, self.frame) for g in bar.group]
        optional = [v for v in (self.request.weights, self.request.offset) if isinstance(v, str)]
        have = column_names(newdata)
        absent = [name for name in dict.fromkeys(need) if name not in have]
        if absent:
            what = "column is" if len(absent) == 1 else "columns are"
            raise BindError(f"{len(absent)} {what} needed to predict and not in the new data: {listed(absent)}")
        return frame_of(newdata, dict.fromkeys([*need, *(v for v in optional if v in have)]))

    def _random(self, part: Part, evaluator: Evaluator, labels: NDArray[np.object_], frame: Any) -> NewRandom:
        bar, coder = self.bars[part.bar], self.coders[part.bar]
        group: Grouping = grouping(bar, evaluator, labels, is_rows(bar, self.frame))
        basis = coder.matrix(evaluator, labels)[:, list(part.columns)]
        _refuse_inf(basis, tuple(coder.names[j] for j in part.columns), labels)
        return NewRandom(part.name, group.of_rows(), basis)

    def _offset(self, evaluator: Evaluator, frame: Any) -> Float | None:
        given = self.request.offset
        if given is None and not self.parsed.offsets:
            return None
        total = np.zeros(len(frame))
        for text in self.parsed.offsets:
            total += evaluator.numbers(text, "the offset")
        if isinstance(given, str):
            if given not in frame.columns:
                raise BindError(f"the offset column {given!r} is needed to predict and not in the new data")
            total += evaluator.column(given).values
        elif given is not None:
            raise BindError(
                "the model was specified with offset= as numbers, which say nothing about new rows: make it a column "
                "of the data and give its name"
            )
        return total

    def _weights(self, evaluator: Evaluator, frame: Any) -> Float | None:
        name = self.request.weights
        if not isinstance(name, str) or name not in frame.columns:
            return None
        return np.array(evaluator.column(name).values, dtype=np.float64)


def _refuse_inf(X: Float, names: tuple[str, ...], labels: NDArray[Any]) -> None:
    """Infinite values are errors; NaN is a missing cell, and its prediction is NaN."""
    if np.isinf(X).any():
        for name, column in zip(names, X.T, strict=True):
            refuse_infinite(name, np.where(np.isnan(column), 0.0, column), labels)
