"""A selection index of a fit of several traits: levels ranked, and what selecting the best is expected to give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..design.frames import listed, nearest
from ..design.spec import ModelSpec, Term
from ..errors import OptionError
from ..inference import blup
from ..inference.selection_index import expected_gain, index
from ..inference.trait_effects import INTERCEPT, split_effect
from .listing import listing
from .support import only_kernel

if TYPE_CHECKING:
    import pandas as pd

    from .point import PointResults
    from .render import ModelSummary

Float = NDArray[np.float64]


@dataclass(frozen=True)
class SelectionIndex:
    """What `fit.selection_index` returns; printing shows the best levels and the gain.

    Attributes
    ----------
    frame : DataFrame
        Levels, the best first: index, pev, accuracy, rank; `selected` where a fraction was asked for.
    gain : DataFrame or None
        One row a trait, and the index: weight, selected (mean û of those selected minus that of all candidates),
        expected (intensity · Cov(u_a, I)/√Var(I)).
    weights : Series
        Of every effect of the term.
    term : str
    notes : tuple of str
    """

    frame: pd.DataFrame
    gain: pd.DataFrame | None
    weights: pd.Series
    term: str
    notes: tuple[str, ...]

    def top(self, n: int = 10) -> pd.DataFrame:
        """The `n` best levels."""
        return self.frame.head(n)

    def summary(self, n: int = 10) -> ModelSummary:
        """The `n` best levels, as text, HTML and LaTeX."""
        said = ", ".join(f"{value:g} {name}" for name, value in self.weights.items() if value)
        more = (f"The best {min(n, len(self.frame))} of {len(self.frame)}.",) if n < len(self.frame) else ()
        gains: tuple[str, ...] = ()
        if self.gain is not None:
            parts = [f"{name} {row['selected']:+.4g} ({row['expected']:+.4g})" for name, row in self.gain.iterrows()]
            gains = (f"Gain of those selected (expected of such a selection): {', '.join(parts)}.",)
        shown = self.top(n)[["rank", "index", "pev", "accuracy"]]
        title = f"Selection index of {self.term}"
        return listing(
            title, shown, [str(shown.index.name), "rank"], (f"Index: {said}.", *gains, *more, *self.notes), {}
        )

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary().as_html()


def selection_index(
    fit: PointResults,
    weights: Mapping[str, float],
    term: str | None,
    select: float | int | None,
    candidates: Sequence[Any] | None,
) -> SelectionIndex:
    """See `TraitPrediction.selection_index`."""
    import pandas as pd

    spec = fit.spec
    i = _term(spec, term)
    own, name = spec.terms[i], spec.terms[i].name
    w = _weights(spec, own, weights)
    everyone = blup.roster(own).labels
    some = candidates_of(everyone, candidates, own)
    u = np.asarray(fit.random_effects[name].to_numpy())[some]
    pev, prior = np.asarray(fit._pev[i])[some], blup.prior_covariance(spec, fit.theta, i)[some]
    found = index(u, pev, prior, w)
    order = np.argsort(-found.value, kind="stable")
    frame = pd.DataFrame(
        {"index": found.value, "pev": found.pev, "accuracy": found.accuracy},
        index=pd.Index(everyone[some], name=own.group),
    ).iloc[order]
    frame["rank"] = frame["index"].rank(ascending=False, method="min").astype(int)
    gain = None
    notes: tuple[str, ...] = ()
    if select is not None:
        count = count_of(select, len(some))
        frame["selected"] = np.arange(len(frame)) < count
        moved = u[order[:count]].mean(axis=0) - u.mean(axis=0)
        expected = expected_gain(pev, prior, w, count / len(some))
        gain = pd.DataFrame(
            {"weight": [*w, np.nan], "selected": [*moved, moved @ w], "expected": [*expected, expected @ w]},
            index=pd.Index([*own.effects, "index"], name="effect"),
        )
        notes = (f"{count} of {len(some)} candidates selected.",)
    return SelectionIndex(frame, gain, pd.Series(w, index=list(own.effects), name="weight"), name, notes)


def _term(spec: ModelSpec, name: str | None) -> int:
    """Place of the term called `name`, or of the only one that can be meant."""
    names = [term.name for term in spec.terms]
    if name is None:
        if not names:
            raise OptionError("selection_index(): the model has no random terms, so there is nothing to select")
        known = [term.name for term in spec.terms if term.cov_name is not None] or names
        if len(known) > 1:
            raise OptionError(f"selection_index() of which term? Name one: term={listed(known)}")
        return names.index(only_kernel(spec))
    if name not in names:
        near = nearest(name, names)
        raise OptionError(
            f"no random term is called {name!r}{near if near.startswith('; did') else f'; {listed(names)}'}"
        )
    return names.index(name)


def _weights(spec: ModelSpec, term: Term, given: Mapping[str, float]) -> Float:
    """(k,) weights of the effects; a trait stands for its intercept."""
    if not isinstance(given, Mapping):
        raise OptionError(
            f"weights= is a dictionary from traits to numbers, e.g. {{'y1': 1, 'y2': -0.5}}, not {given!r:.60}"
        )
    place = {effect: a for a, effect in enumerate(term.effects)}
    for a, effect in enumerate(term.effects):
        trait, what = split_effect(effect, spec.traits.names)
        if trait >= 0 and what in INTERCEPT:
            place.setdefault(spec.traits.names[trait], a)
    w = np.zeros(term.k)
    for name, value in given.items():
        if name not in place:
            near = nearest(str(name), place)
            hint = near if near.startswith("; did") else f"; there are {listed(place)}"
            if name in spec.traits.names:
                hint = ": its effects are in another term; write a term with all traits, as (1 | g), to index them"
            raise OptionError(f"weights= names {name!r}, which is no trait or effect of {term.text}{hint}")
        try:
            w[place[name]] += float(value)
        except (TypeError, ValueError):
            raise OptionError(f"weights[{name!r}] = {value!r:.60} is not a number") from None
    if not np.isfinite(w).all():
        raise OptionError("weights= holds numbers that are missing or infinite")
    if not w.any():
        raise OptionError("weights= are all zero: the index would be zero for every level")
    return w


def candidates_of(everyone: Any, given: Sequence[Any] | None, term: Term) -> Any:
    """Places of the levels that can be selected."""
    if given is None:
        return np.arange(len(everyone))
    if isinstance(given, str):
        given = [given]
    where = {label: j for j, label in enumerate(everyone.tolist())}
    unknown = [label for label in given if label not in where]
    if unknown:
        raise OptionError(f"candidates= names {listed(unknown, 5)}: no level of {term.group!r} that the fit predicts")
    if len(given) < 2:
        raise OptionError("candidates= names fewer than two levels: there is nothing to choose from")
    return np.array([where[label] for label in dict.fromkeys(given)], dtype=np.intp)


def count_of(select: float | int, n: int, what: str = "select") -> int:
    """How many of n are selected."""
    if isinstance(select, bool) or not isinstance(select, int | float | np.number):
        raise OptionError(f"{what}={select!r:.60}: a fraction between 0 and 1, or a number of levels")
    whole = isinstance(select, int | np.integer)
    count = int(select) if whole else max(1, round(float(select) * n)) if 0.0 < select < 1.0 else 0
    if not 1 <= count <= n:
        raise OptionError(f"{what}={select!r}: a fraction between 0 and 1, or a number of levels from 1 to {n}")
    return count
