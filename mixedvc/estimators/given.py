"""Variance components that the user gives: held (`fixed_varcomp`) or to start from (`start`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec, Term
from ..errors import OptionError
from ..linalg import dense as la

Float = NDArray[np.float64]


def given_parameters(spec: ModelSpec, values: Mapping[str, Any] | None, what: str) -> dict[int, Float]:
    """Structure parameters (user's units) of the terms named in `values`, by position in ``spec.all_terms``.

    A value is a variance for a term of one effect, a k×k covariance matrix (or its k variances for diag), or the
    structure's own parameter vector.  "residual" names the residual.
    """
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise OptionError(f"{what} is a mapping from term names to values, not {type(values).__name__}")
    terms = {term.name: i for i, term in enumerate(spec.all_terms)}
    terms["residual"] = terms["Residual"] = len(spec.terms)
    out = {}
    for name, value in values.items():
        if name not in terms:
            known = ", ".join(repr(t.name) for t in spec.terms)
            raise OptionError(f"{what} names {name!r}, which is no term of the model: {known} or 'residual'")
        i = terms[name]
        out[i] = _parameters(spec.all_terms[i], value, f"{what}[{name!r}]")
    return out


def _parameters(term: Term, value: Any, what: str) -> Float:
    structure, k = term.structure, term.k
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise OptionError(f"{what} is not numeric: {value!r:.60}") from None
    if not np.isfinite(array).all():
        raise OptionError(f"{what} is not finite: {value!r:.60}")
    if array.ndim == 0 and k == 1:
        array = array.reshape(1, 1)
    if array.shape == (k, k):
        return _from_matrix(term, array, what)
    if array.shape == (structure.n_par,):
        return _from_vector(term, array, what)
    shapes = "a number" if k == 1 else f"a {k}×{k} matrix, or {structure.n_par} parameters {_names(term)}"
    raise OptionError(f"{what} has shape {array.shape}; {term.text or term.name} takes {shapes}")


def _names(term: Term) -> str:
    return ", ".join(e if e2 is None else f"({e}, {e2})" for e, e2 in term.structure.names(term.effects))


def _from_matrix(term: Term, Sigma: Float, what: str) -> Float:
    if not np.allclose(Sigma, Sigma.T, rtol=1e-10, atol=0):
        raise OptionError(f"{what} is not symmetric")
    if la.small_eigh(Sigma)[0][0] < -1e-10 * max(np.abs(Sigma).max(), 1e-300):
        raise OptionError(f"{what} is not positive semi-definite: variances cannot be negative")
    par = term.structure.start(Sigma)
    if not np.allclose(term.structure.build(par), Sigma, rtol=1e-8, atol=1e-12 * np.abs(Sigma).max()):
        raise OptionError(f"{what} is not a {term.structure.name} covariance; parameters are {_names(term)}")
    return par


def _from_vector(term: Term, par: Float, what: str) -> Float:
    lower, upper = term.structure.bounds()
    bad = np.flatnonzero((par < lower) | (par > upper))
    if len(bad):
        j = int(bad[0])
        raise OptionError(f"{what}: parameter {j + 1} is {par[j]:g}, outside [{lower[j]:g}, {upper[j]:g}]")
    if la.small_eigh(term.structure.build(par))[0][0] < -1e-10 * max(np.abs(par).max(), 1e-300):
        raise OptionError(f"{what} does not give a positive semi-definite covariance; parameters are {_names(term)}")
    return par
