"""``lmer`` with R's arguments: each reaches the core, or is refused by name with what to do instead."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ..covariance import pedigree as make_pedigree
from ..design.bind import bind
from ..design.expressions import Categories, Evaluator
from ..design.frames import column_names, frame_of
from ..design.random import column_reader
from ..errors import CovarianceError, DataError, MixedVCWarning, OptionError
from ..formula.parse import parse
from ..io.covariance_files import with_files
from ..results.point import PointResults
from . import formulas
from .mermod import Call, LmerMod, need_model
from .rdeparse import deparse1
from .rexpr import RSyntaxError, parse_one

MISSING = {"na.omit": "omit", "na.exclude": "exclude", "na.fail": "fail"}
NOT_HERE = {
    "control": "lme4's optimizers do not run here: Newton's method stops at a decrement of 1e-13. Leave control= out",
    "start": "the fit needs no starting values: leave start= out",
    "verbose": "the fit prints nothing on its way: leave verbose= out; m.fit.computation says how it went",
    "devFunOnly": "there is no deviance function of theta; m.fit.likelihood.at(theta) evaluates the model at any "
    "variances",
    "family": "lmer() fits Gaussian responses: generalised models (glmer, family=) are not available",
}


def lmer(
    formula: str,
    data: Any = None,
    REML: bool = True,
    control: None = None,
    start: None = None,
    verbose: int | bool = 0,
    subset: Any = None,
    weights: Any = None,
    na_action: str = "na.omit",
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    devFunOnly: bool = False,
    *,
    relmat: Mapping[str, Any] | None = None,
    pedigree: Mapping[str, Any] | None = None,
    family: None = None,
) -> LmerMod:
    """Fit a linear mixed model: lme4's ``lmer``, lme4qtl's ``relmatLmer``, pedigreemm's ``pedigreemm``.

    Parameters
    ----------
    formula : str
        R's formula as text.
    data : table
    REML : bool
    subset : str or (n,) bool, optional
        Rows to use: a comparison of columns as text (``"age > 8"``), or a mask.
    weights, offset : str or (n,), optional
        A column, an expression of columns as text (``"size / 10"``), or numbers.
    na_action : "na.omit" | "na.exclude" | "na.fail"
    contrasts : mapping, optional
        ``{"f": "contr.sum"}``.
    relmat : mapping of str to covariance, optional
        Relationship matrix of the levels of a grouping factor, as ``relmat = list(id = K)`` in lme4qtl.
    pedigree : mapping of str to pedigree, optional
        A table of id and parents, or what `mixedvc.pedigree` returns, by grouping factor.
    control, start, verbose, devFunOnly, family
        Have no counterpart here; giving them is an error that says so.

    Returns
    -------
    LmerMod
        ``print`` shows it as lme4 does; ``m.fit`` is mixedvc's own result.

    Examples
    --------
    >>> from mixedvc import load_data
    >>> m = lmer("Yield ~ 1 + (1 | Batch)", load_data("dyestuff"))
    >>> round(m.sigma, 2)
    49.51
    """
    given = {"control": control, "start": start, "verbose": verbose, "devFunOnly": devFunOnly, "family": family}
    for name, value in given.items():
        if value is not None and value is not False and not (name == "verbose" and value == 0):
            raise OptionError(f"{name}=: {NOT_HERE[name]}")
    if not isinstance(REML, bool):
        raise OptionError(f"REML={REML!r:.60}: True or False is needed")
    arguments = {
        "formula": formula, "data": data, "REML": REML, "subset": subset, "weights": weights, "na_action": na_action,
        "offset": offset, "contrasts": contrasts, "relmat": relmat, "pedigree": pedigree,
    }  # fmt: skip
    return fitted(arguments, _call(arguments))


def fitted(arguments: Mapping[str, Any], call: Call) -> LmerMod:
    """The model of checked arguments."""
    if not isinstance(arguments["formula"], str):
        raise OptionError(f"the formula is text, e.g. 'y ~ x + (1 | g)', not a {type(arguments['formula']).__name__}")
    if arguments["na_action"] not in MISSING:
        raise OptionError(f"na_action={arguments['na_action']!r} is not one of {', '.join(map(repr, MISSING))}")
    read = formulas.read(arguments["formula"], tuple(_known(arguments["relmat"], arguments["pedigree"])))
    if len(parse(read.core).response) > 1:
        raise OptionError(
            f"lmer() takes one response, and {arguments['formula']!r} has {len(parse(read.core).response)}: "
            "mixedvc.fit() takes several"
        )
    if not parse(read.core).bars:
        raise OptionError(f"no random term is in {arguments['formula']!r}: lmer() needs one, e.g. (1 | g)")
    return LmerMod(fit_core(arguments, read.core), read, call)


def fit_core(arguments: Mapping[str, Any], core: str) -> PointResults:
    """mixedvc's fit of a formula in its own spelling, with the other arguments of `lmer`."""
    cov = with_files(core, arguments["data"], _covariances(arguments["relmat"], arguments["pedigree"]))
    data, weights, offset, formula = _rows(arguments, core)
    try:
        spec = bind(
            formula,
            data,
            cov={name: A for name, A in cov.items() if name in formula} or None,
            weights=weights,
            offset=offset,
            missing=MISSING[arguments["na_action"]],
            contrasts=arguments["contrasts"],
        )
    except CovarianceError as error:
        if formulas.RELMAT not in str(error):
            raise
        raise CovarianceError(str(error).replace(f"cov['{formulas.RELMAT}", "relmat['")) from None
    fit: PointResults = spec.fit("reml" if arguments["REML"] else "ml")
    return fit


def _known(relmat: Any, pedigree: Any) -> dict[str, Any]:
    """Relationship matrices and pedigrees as given, by grouping factor."""
    given: dict[str, Any] = {}
    for what, values in (("relmat", relmat), ("pedigree", pedigree)):
        if values is None:
            continue
        if not isinstance(values, Mapping):
            raise OptionError(f"{what}= is a dictionary from grouping factors, e.g. {what}={{'id': …}}")
        twice = [name for name in values if name in given]
        if twice:
            raise OptionError(f"relmat= and pedigree= both name {twice[0]!r}")
        for name, value in values.items():
            given[str(name)] = value if what == "relmat" or hasattr(value, "fingerprint") else _Pedigree(value)
    return given


@dataclass(frozen=True)
class _Pedigree:
    """A table of id and parents, not yet a covariance."""

    table: Any


def _covariances(relmat: Any, pedigree: Any) -> dict[str, Any]:
    """Known covariances by their names in the core formula."""
    return {
        f"{formulas.RELMAT}{name}": make_pedigree(value.table) if isinstance(value, _Pedigree) else value
        for name, value in _known(relmat, pedigree).items()
    }


def _rows(arguments: Mapping[str, Any], core: str) -> tuple[Any, Any, Any, str]:
    """Data of the subset, weights and offset for the core, and the formula with an offset term where it has one."""
    data, weights, offset = arguments["data"], arguments["weights"], arguments["offset"]
    if data is None:
        raise OptionError("lmer() needs data=: columns are not looked up among the variables of the caller")
    if isinstance(offset, str) and offset not in column_names(data):
        core, offset = f"{core} + offset({offset})", None
    if isinstance(weights, str) and weights not in column_names(data):
        weights = _numbers(data, weights, "weights")
    if arguments["subset"] is None:
        return data, weights, offset, core
    frame = frame_of(data)
    rows = np.flatnonzero(_mask(frame, arguments["subset"]))
    picked = [v if v is None or isinstance(v, str) else np.asarray(v)[rows] for v in (weights, offset)]
    return frame.iloc[rows], picked[0], picked[1], core


def _numbers(data: Any, text: str, what: str) -> Any:
    frame = frame_of(data)
    return Evaluator(column_reader(frame)).numbers(_canonical(text), what)


def _canonical(text: str) -> str:
    """An expression in the core's spelling."""
    return parse(f"I({text}) ~ 1").response[0]


def _mask(frame: pd.DataFrame, subset: Any) -> Any:
    if isinstance(subset, str):
        value = Evaluator(column_reader(frame)).value(parse(f"y ~ I({subset})").fixed[-1].factors[0])
        if not (isinstance(value, Categories) and value.logical):
            raise OptionError(f"subset={subset!r} is no comparison; write e.g. 'age > 8', or give a mask")
        return value.codes == 1
    mask = np.asarray(subset)
    if mask.dtype != bool or mask.shape != (len(frame),):
        raise DataError(
            f"subset= is {mask.dtype} of shape {mask.shape}; True or False for each of the {len(frame)} rows is needed"
        )
    return mask


def update(m: LmerMod, formula: str | None = None, **changes: Any) -> LmerMod:
    """R's ``update``: the same call with another formula (``". ~ . - x"``) or other arguments."""
    old = need_model(m, "update").call.arguments
    arguments = {**old, **changes}
    unknown = [name for name in changes if name not in old]
    if unknown:
        raise OptionError(f"update() has no argument {unknown[0]!r}; lmer() takes {', '.join(old)}")
    if formula is not None:
        arguments["formula"] = formulas.updated(m.formula.shown, formula)
    return fitted(
        arguments, replace(_call(arguments), data=name_of(changes["data"]) if "data" in changes else m.call.data)
    )


def refit(m: LmerMod, newresp: Any) -> LmerMod:
    """The same model for another response."""
    need_model(m, "refit")
    values = newresp.iloc[:, 0] if isinstance(newresp, pd.DataFrame) else newresp
    return LmerMod(m.fit.refit(values), m.formula, m.call)


def refit_ml(m: LmerMod) -> LmerMod:
    """The model by maximum likelihood, without set-up where it is one already."""
    if not m.reml:
        return m
    if "ml" not in m.cache:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedVCWarning)  # they were shown when the model was fitted
            fit = m.spec.fit("ml")
        m.cache["ml"] = LmerMod(fit, m.formula, replace(m.call, arguments={**m.call.arguments, "REML": False}))
    made: LmerMod = m.cache["ml"]
    return made


def _call(arguments: Mapping[str, Any]) -> Call:
    """Names and texts that lme4 would print."""
    return Call(
        arguments,
        data=name_of(arguments["data"]),
        weights=_spelt(arguments["weights"]),
        offset=_spelt(arguments["offset"]),
        subset=_spelt(arguments["subset"]),
    )


def _spelt(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        return name_of(value) or "…"
    try:
        return deparse1(parse_one(value))
    except RSyntaxError:  # a column whose name is no R expression
        return value


def name_of(value: Any) -> str | None:
    """What the code that called this package calls `value`: the nearest variable that is this very object, if any."""
    frame = sys._getframe(1)
    while frame is not None and value is not None:
        if not frame.f_globals.get("__name__", "").startswith("mixedvc."):
            for scope in (frame.f_locals, frame.f_globals):
                for name, other in scope.items():
                    if other is value and name.isidentifier() and not name.startswith("_"):
                        return str(name)
        frame = frame.f_back  # type: ignore[assignment]
    return None
