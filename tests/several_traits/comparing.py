"""Fits of generated problems, and their numbers in the order of `kronecker`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import mixedvc as mv

from .generate import Problem

Float = NDArray[np.float64]


def fitted(one: Problem, **options: Any) -> Any:
    """The package's fit of a problem, through its formula."""
    cov: dict[str, Any] = dict(one.kernels)
    if one.pedigree is not None:
        cov["A"] = mv.pedigree(one.pedigree, id="id", dam="dam", sire="sire")
    residual = None if one.residual == "us" else one.residual.replace("fa1", "fa(1)")
    return mv.fit(one.formula, one.data, cov=cov, residual=residual, **{"method": one.method, **one.options, **options})


def sigmas(one: Problem, fit: Any) -> list[Float]:
    """Σ of every component and of the residual; terms bound trait by trait put together."""
    found = [np.array(Sigma) for Sigma in fit.spec.sigmas(fit.theta)]
    out, at = [], 0
    for component in one.model.components:
        size = one.model.t * component.basis.shape[1]
        Sigma, filled = np.zeros((size, size)), 0
        while filled < size:
            k = len(found[at])
            Sigma[filled : filled + k, filled : filled + k] = found[at]
            filled, at = filled + k, at + 1
        out.append(Sigma)
    return [*out, found[at]]


def fixed_order(one: Problem, fit: Any) -> list[int]:
    """Where each fixed effect of `kronecker` is in the fit."""
    names = [f"y{a + 1}: {column}" for a in range(one.model.t) for column in ("Intercept", "x")]
    names += [f"y{trait + 1}: w" for trait, _ in one.model.only]
    names += ["z"] if one.model.C is not None else []
    return [list(fit.spec.x_names).index(name) for name in names]


def cells(one: Problem, fit: Any) -> NDArray[np.intp]:
    """Row of the fit's specification of each seen cell of vec(Y), whole traits one after another."""
    traits = fit.spec.traits
    where = np.full((traits.n, traits.t), -1)
    where[traits.record, traits.trait] = np.arange(len(traits.record))
    return where.T.ravel()[where.T.ravel() >= 0]
