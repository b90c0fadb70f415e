"""Priors by the names of terms, as users write them, to one bound prior for each term of a specification."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..design.spec import ModelSpec
from ..errors import OptionError
from .base import BoundPrior
from .defaults import default_bound, expected_sds
from .normal import FixedPrior, Normal
from .numbers import joined
from .patterned import Patterned
from .propriety import check_posterior
from .scalars import Flat
from .shares import BoundShares, ShareOfTerm, VarianceShare
from .variances import is_variances

__all__ = ["FixedPrior", "ModelPriors", "resolve"]


@dataclass(frozen=True)
class ModelPriors:
    """Priors of one specification.

    Attributes
    ----------
    terms : tuple of BoundPrior
        One for each of ``spec.all_terms``, the residual last.
    fixed : FixedPrior or None
        None where every fixed effect has a flat prior.
    shares : BoundShares or None
        A bound `VarianceShare`, in whose place the priors of the terms are not used.
    given : tuple of str
        Names of terms, ``"residual"``, ``"fixed"`` for which the user gave a prior; the others have the default.
    stated : mapping
        What the user gave, by those names and without callables: `resolve` makes the same priors of it, and
        `mixedvc.priors.to_state` stores it.
    """

    terms: tuple[BoundPrior, ...]
    fixed: FixedPrior | None = None
    shares: BoundShares | None = None
    given: tuple[str, ...] = ()
    stated: Mapping[str, Any] = field(default_factory=dict)

    def describe(self, spec: ModelSpec) -> tuple[tuple[str, str], ...]:
        """(name, prior in words) of every term, the residual, and the fixed effects."""
        rows = [(name, bound.describe()) for name, bound in zip(term_names(spec), self.terms, strict=True)]
        if self.shares is not None:
            rows = [("shares", self.shares.describe())]
        if spec.p:
            rows.append(("fixed", "flat" if self.fixed is None else self.fixed.describe()))
        return tuple((name, words if name in self.given else f"{words} (default)") for name, words in rows)


def term_names(spec: ModelSpec) -> list[str]:
    """By which priors are given: the terms' names, then ``"residual"``."""
    return [*(term.name for term in spec.terms), "residual"]


def resolve(spec: ModelSpec, given: Any = None) -> ModelPriors:
    """One bound prior for each term.

    Parameters
    ----------
    spec : ModelSpec
    given : mapping or prior, optional
        Priors by the term's name (or its group, for all terms of it), ``"residual"`` and ``"fixed"``; a mapping in the
        place of a prior gives those of single effects (of ``diag`` terms and of fixed effects).  A single prior stands
        for all terms and the residual.  `VarianceShare` is a prior of the whole model.

    Raises
    ------
    OptionError
        An unknown name, a prior that does not fit its term.
    IdentifiabilityError
        An improper prior of what the data do not identify (`mixedvc.priors.propriety`).
    """
    asked = _by_name(spec, given)
    fixed = _fixed(spec, asked.get("fixed"))
    shares = _shares(spec, asked)
    names = term_names(spec)
    if shares is not None:
        if fixed is not None:
            raise OptionError(
                "priors: VarianceShare() integrates the total variance in closed form, which a Normal() prior of the "
                "fixed effects does not allow: leave 'fixed' flat, or use priors of the variances"
            )
        terms: tuple[BoundPrior, ...] = tuple(
            ShareOfTerm(term.structure, "share of variance") for term in spec.all_terms
        )
        return ModelPriors(terms, None, shares[0].bind_model(spec), ("shares",), {"shares": shares[0].plain(spec)})
    expected = expected_sds(spec)
    terms = tuple(
        _bound(asked.get(name), name, term, scale)
        for name, term, scale in zip(names, spec.all_terms, expected, strict=True)
    )
    check_posterior(spec, names, terms, fixed, asked)
    return ModelPriors(terms, fixed, None, tuple(asked), asked)


def _bound(prior: Any, name: str, term: Any, scale: Any) -> BoundPrior:
    structure = term.structure
    if prior is None:
        return default_bound(term, name, scale)
    if isinstance(prior, Mapping):
        prior = _by_effect(prior, structure, name)
    bound: BoundPrior = prior.bind(structure, name, scale, term.effects)
    return bound


def _by_effect(prior: Mapping[str, Any], structure: Any, name: str) -> Any:
    """Priors of single effects: of their standard deviations."""
    if structure.name == "us" and not is_variances(structure):
        raise OptionError(
            f"priors[{name!r}]: priors of single effects are for independent effects, (x || g); for a free matrix say "
            "LKJ(eta=1, sd={…})"
        )
    from .lkj import LKJ

    return LKJ(1.0, dict(prior)) if is_variances(structure) else Patterned(dict(prior))


def _by_name(spec: ModelSpec, given: Any) -> dict[str, Any]:
    """Priors by the names of terms, ``"residual"`` and ``"fixed"``; `VarianceShare` under ``"shares"``."""
    if given is None:
        return {}
    if isinstance(given, VarianceShare):
        return {"shares": given}
    if not isinstance(given, Mapping):
        _check_prior(given, "priors")
        return dict.fromkeys(term_names(spec), given)
    names = term_names(spec)
    out: dict[str, Any] = {}
    for key, prior in given.items():
        places = _places(spec, key, names)
        _check_prior(prior, f"priors[{key!r}]")
        for place in places:
            if place in out:
                raise OptionError(f"priors: {place!r} is given twice, by its name and by its group {key!r}")
            out[place] = prior
    return out


def _places(spec: ModelSpec, key: Any, names: list[str]) -> list[str]:
    """The terms a key means."""
    if key in names or key in ("fixed", "shares"):
        return [key]
    of_group = [term.name for term in spec.terms if key in (term.group, term.label, term.text)]
    if of_group:
        return of_group
    if isinstance(key, str) and key.lower() in ("residual", "units"):
        return ["residual"]
    known = [*names, "fixed"]
    near = difflib.get_close_matches(str(key), known, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    raise OptionError(f"priors: no term is called {key!r}: there are {joined(known)}{meant}")


def _check_prior(prior: Any, what: str) -> None:
    if isinstance(prior, Mapping):
        for effect, one in prior.items():
            if isinstance(one, Mapping):
                raise OptionError(f"{what}[{effect!r}]: a prior is needed, not a mapping")
            _check_prior(one, f"{what}[{effect!r}]")
        return
    if isinstance(prior, type) or not hasattr(prior, "bind"):
        hint = f": write {prior.__name__}(…)" if isinstance(prior, type) else ""
        raise OptionError(
            f"{what}={prior!r:.80} is no prior{hint}. Priors are objects such as InverseWishart(V=1, nu=0.002) or "
            "HalfT(3, scale=1) of mixedvc.priors"
        )


def _shares(spec: ModelSpec, asked: dict[str, Any]) -> tuple[VarianceShare] | None:
    """The prior of shares, for the whole model or under the name of its only term."""
    where = [name for name, prior in asked.items() if isinstance(prior, VarianceShare)]
    if not where:
        if "shares" in asked:
            raise OptionError("priors['shares']: VarianceShare() is needed")
        return None
    prior = asked[where[0]]
    if where[0] != "shares" and len(spec.terms) > 1:
        raise OptionError(
            f"priors[{where[0]!r}]: VarianceShare() is a prior of the shares of all terms together, and there are "
            f"{joined([t.name for t in spec.terms])}: give it as priors=VarianceShare(…), its weights on the whole grid"
        )
    others = [name for name in asked if name not in (where[0], "fixed")]
    if others or where[0] in ("residual", "fixed"):
        raise OptionError(
            f"priors: VarianceShare() is a prior of all variances together: leave {joined(others or where)} out"
        )
    return (prior,)


def _fixed(spec: ModelSpec, prior: Any) -> FixedPrior | None:
    """Normal priors of fixed effects; None where all are flat."""
    if prior is None or isinstance(prior, Flat):
        return None
    if not spec.p:
        raise OptionError("priors['fixed']: the model has no fixed effects")
    if isinstance(prior, Normal):
        b, B = prior.moments(spec.p, "priors['fixed']: Normal")
        return FixedPrior(np.arange(spec.p), b, B, spec.x_names)
    if not isinstance(prior, Mapping):
        raise OptionError(f"priors['fixed']={prior}: fixed effects have a Normal(mean, sd) prior, or Flat()")
    return _fixed_by_column(spec, prior)


def _fixed_by_column(spec: ModelSpec, prior: Mapping[str, Any]) -> FixedPrior | None:
    names = list(spec.x_names)
    which, moments = [], []
    for name, one in prior.items():
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise OptionError(f"priors['fixed']: no fixed effect is called {name!r}: there are {joined(names)}{meant}")
        if isinstance(one, Flat):
            continue
        if not isinstance(one, Normal):
            raise OptionError(f"priors['fixed'][{name!r}]={one}: Normal(mean, sd) or Flat() is needed")
        which.append(names.index(name))
        moments.append(one.scalar(f"priors['fixed'][{name!r}]: Normal"))
    if not which:
        return None
    order = np.argsort(which)
    b, v = np.array(moments)[order].T
    return FixedPrior(np.array(which, dtype=np.intp)[order], b, np.diag(v), spec.x_names)
