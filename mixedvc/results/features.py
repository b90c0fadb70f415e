"""Frames of the effects of features, and the features of new levels as `predict` takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..covariance.new_features import NewFeatures
from ..design.spec import ModelSpec
from ..errors import OptionError
from ..inference.features import FeatureEffects, choose_term, feature_effects, features_of, has_features

if TYPE_CHECKING:
    import pandas as pd

    from .point import PointResults


def effects_frame(fit: PointResults, term: str | None, se: bool) -> pd.DataFrame:
    """Effects of the features of a term as `labelled` names them."""
    i = choose_term(fit.spec, term)
    return labelled(fit.spec, i, feature_effects(fit.spec, fit.evaluation, i, se=se))


def labelled(spec: ModelSpec, i: int, found: FeatureEffects) -> pd.DataFrame:
    """One row a feature; columns effect, standardised and, where they were found, se and reliability.

    A term of several effects has a column for each of them under each of these names.
    """
    import pandas as pd

    parts = {"effect": found.raw, "standardised": found.standardised}
    if found.se is not None and found.reliability is not None:
        parts |= {"se": found.se, "reliability": found.reliability}
    names = spec.terms[i].effects
    if len(names) == 1:
        columns: Any = list(parts)
    else:
        columns = pd.MultiIndex.from_product([list(parts), list(names)])
    features, _ = features_of(spec.terms[i])
    count = features.matrix.shape[1]
    index = pd.RangeIndex(count) if features.names is None else pd.Index(features.names, tupleize_cols=False)
    return pd.DataFrame(np.hstack(list(parts.values())), index=index.rename("feature"), columns=columns)


def effects_table(fit: PointResults) -> pd.DataFrame:
    """Effects of the features of all terms, one row a term, effect and feature."""
    import pandas as pd

    parts = []
    for term in fit.spec.terms:
        if has_features(term):
            frame = fit.feature_effects(term.name)
            for effect in term.effects:
                own = frame if term.k == 1 else frame.xs(effect, axis=1, level=1)
                parts.append(own.reset_index().assign(term=term.name, on=effect))
    if not parts:
        raise OptionError("no term of the model has features, so there are no effects of features")
    return pd.concat(parts, ignore_index=True)[["term", "on", "feature", "effect", "standardised"]]


def new_features(spec: ModelSpec, chosen: Sequence[int], given: Mapping[str, Any] | None) -> dict[int, NewFeatures]:
    """New levels' features by term, from those by the name of the covariance."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise OptionError(
            "features= is a mapping from names in cov= to features of new levels, e.g. {'G': frame}, "
            f"not a {type(given).__name__}"
        )
    terms = {i: spec.terms[i] for i in chosen}
    names = {term.cov_name for term in terms.values()} - {None}
    made: dict[int, NewFeatures] = {}
    for name, values in given.items():
        if name not in names:
            has = f"they have {', '.join(map(repr, sorted(map(str, names))))}" if names else "none has a known one"
            raise OptionError(f"features={{{name!r}: …}}: no predicted term has the covariance {name!r}; {has}")
        of = {i: features_of(term)[0] for i, term in terms.items() if term.cov_name == name}
        shared = {id(base): base for base in of.values()}
        read = {key: NewFeatures(base, values, f"features[{name!r}]") for key, base in shared.items()}
        made |= {i: read[id(base)] for i, base in of.items()}
    return made
