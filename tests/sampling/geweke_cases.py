"""Small models with proper priors for the tests of the joint law: every prior, covariance and residual there is."""

import warnings

import numpy as np
import pandas as pd

import mixedvc as mv
from mixedvc import priors as pr
from mixedvc.likelihood import likelihoods
from mixedvc.priors.resolve import resolve
from mixedvc.testing import assemble

from .joint_law import JointLaw

BETA = pr.Normal(0.3, 1.0)
WIDE = pr.InverseGamma(1.0, 0.8)  # so wide that a degree of freedom of few levels shows
RESIDUAL = pr.InverseGamma(4.0, 3.0)


def law(spec, given, kind="dense"):
    return JointLaw(spec, likelihoods.get(kind)(spec, reml=True), resolve(spec, {"fixed": BETA, **given}))


def groups(levels=3, each=4, slope=False, structure="us", seed=1):
    rng = np.random.default_rng(seed)
    n = levels * each
    x = rng.standard_normal(n)
    basis = np.column_stack([np.ones(n), x]) if slope else None
    term = assemble.term("g", np.repeat(np.arange(levels), each), basis=basis, structure=structure)
    return assemble.spec(rng.standard_normal(n), np.column_stack([np.ones(n), x]), [term])


def kernel(kind, seed=2):
    rng = np.random.default_rng(seed)
    ids = np.array([f"a{i}" for i in range(9)], dtype=object)
    if kind == "features":
        A = mv.Features(pd.DataFrame(rng.integers(0, 3, (9, 3)).astype(float), index=ids))
    else:
        F = rng.standard_normal((9, 4 if kind == "singular" else 12))
        A = mv.Dense(F @ F.T / F.shape[1], ids)
    who = ids[np.append(np.arange(7), [0, 3, 3])]  # repeated records, and two labels without any
    return assemble.spec(rng.standard_normal(10), np.ones((10, 1)), [assemble.term("a", who, covariance=A)])


def pedigree():
    """Animals with records, ancestors without, and a descendant that says nothing."""
    parent = [None, None, None, None, "a0", "a0", "a2", "a4", "a4", "a5", "a7"]
    mother = [None, None, None, None, "a1", "a1", "a3", "a6", "a6", "a6", "a9"]
    ids = [f"a{i}" for i in range(11)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mv.errors.CovarianceWarning)
        return ids, mv.pedigree(pd.DataFrame({"id": ids, "sire": parent, "dam": mother}))


def animals(seed=3, weights=False):
    rng = np.random.default_rng(seed)
    ids, A = pedigree()
    who = np.array(ids, dtype=object)[[4, 5, 6, 7, 8, 9, 7, 9]]
    term = assemble.term("a", who, covariance=A)
    w = rng.uniform(0.3, 3.0, 8) if weights else None
    return assemble.spec(rng.standard_normal(8), np.ones((8, 1)), [term], weights=w)


def traits(seed=4, missing=True, structure="us"):
    rng = np.random.default_rng(seed)
    Y = rng.standard_normal((8, 2))
    if missing:
        Y[[0, 3], 0] = np.nan
        Y[[5, 6], 1] = np.nan
    term = assemble.term("g", np.repeat(np.arange(4), 2))
    return assemble.traits_spec(Y, np.ones((8, 1)), [term], structure=structure)


IW2 = pr.InverseWishart(np.array([[1.0, 0.3], [0.3, 0.7]]), 3.0)
PX = pr.ParameterExpanded(V=0.8, nu=2.0, alpha_mu=0.4, alpha_V=0.7)
PX2 = pr.ParameterExpanded(
    V=np.array([[1.0, 0.2], [0.2, 0.6]]), nu=3.0, alpha_mu=[0.3, -0.5], alpha_V=np.array([[0.8, 0.1], [0.1, 0.5]])
)
T = pr.HalfT(3.0, 0.8)

CASES = {
    "inverse gamma": lambda: law(groups(), {"g": WIDE, "residual": RESIDUAL}),
    "inverse gamma, rotated": lambda: law(groups(), {"g": WIDE, "residual": RESIDUAL}, "spectral"),
    "inverse gamma, sparse": lambda: law(groups(), {"g": WIDE, "residual": RESIDUAL}, "sparse"),
    "inverse Wishart": lambda: law(groups(5, 3, slope=True), {"g": IW2, "residual": RESIDUAL}),
    "half-t of a term and the residual": lambda: law(groups(), {"g": T, "residual": T}),
    "Huang-Wand": lambda: law(groups(5, 3, slope=True), {"g": pr.HuangWand(4.0, 0.8), "residual": RESIDUAL}),
    "expanded": lambda: law(groups(), {"g": PX, "residual": RESIDUAL}),
    "expanded, two effects": lambda: law(groups(5, 3, slope=True), {"g": PX2, "residual": RESIDUAL}),
    "expanded, independent effects": lambda: law(groups(5, 3, True, "diag"), {"g": PX, "residual": RESIDUAL}),
    "LKJ, sliced": lambda: law(groups(5, 3, slope=True), {"g": pr.LKJ(2.0, sd=T), "residual": RESIDUAL}),
    "compound symmetry, sliced": lambda: law(groups(5, 3, True, "cs"), {"g": pr.Patterned(sd=T), "residual": RESIDUAL}),
    "kernel, rotated": lambda: law(kernel("full"), {"a": WIDE, "residual": RESIDUAL}, "spectral"),
    "singular kernel": lambda: law(kernel("singular"), {"a": WIDE, "residual": RESIDUAL}),
    "features, rotated": lambda: law(kernel("features"), {"a": PX, "residual": RESIDUAL}, "spectral"),
    "pedigree": lambda: law(animals(), {"a": WIDE, "residual": RESIDUAL}, "sparse"),
    "pedigree with weights, expanded": lambda: law(animals(weights=True), {"a": PX, "residual": RESIDUAL}, "sparse"),
    "two traits, missing cells": lambda: law(traits(), {"g": IW2, "residual": IW2}, "sparse"),
    "two traits, independent parts": lambda: law(
        traits(structure="diag"), {"g": T, "residual": pr.HuangWand(4.0, 0.8)}
    ),
    "two traits, sliced residual": lambda: law(traits(), {"g": IW2, "residual": pr.LKJ(1.5, sd=T)}),
}
