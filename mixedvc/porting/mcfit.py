"""``MCMCglmm`` with R's arguments: each reaches the core, or is refused by name with what to do instead."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .. import priors as core
from ..covariance import Precision
from ..errors import IdentifiabilityWarning, OptionError, warn
from ..sampling.collapsed import collapsed_is_cheap
from .mcmodel import Asked, Model, build
from .mcpedigree import InverseA, inverseA
from .mcpriors import FixedEffectsPrior, VariancePrior, read_prior
from .mcresult import MCMCglmmFit

SCHEMES = ("auto", "collapsed", "conjugate")
FAMILIES = (
    "poisson", "categorical", "multinomial", "ordinal", "threshold", "exponential", "geometric", "cengaussian",
    "cenpoisson", "cenexponential", "zipoisson", "zapoisson", "ztpoisson", "hupoisson", "zibinomial", "nzbinom", "ncst",
    "msst", "hubinomial", "ztmb", "ztmultinomial",
)  # fmt: skip
NOT_HERE = {
    "start": "chains start at the REML estimate: leave start= out",
    "tune": "Gaussian models have no Metropolis steps to tune: leave tune= out",
    "nodes": "ancestors are integrated out whichever they are: leave nodes= out; m.Sol has the effects of all of them",
    "pl": "Gaussian models have no latent variables: leave pl= out; m.fit.impute() has values of missing cells",
    "singular_ok": "linearly dependent fixed effects are dropped, as with singular.ok=FALSE",
    "slice": "slice=TRUE samples binary traits, which are not available",
    "trunc": "trunc=TRUE is for binary traits, which are not available",
    "theta_scale": "scaling location effects by theta_scale is not available",
}
SAVED = ("saveX", "saveZ", "saveXL", "saveWS")


def MCMCglmm(
    fixed: str,
    random: str | None = None,
    rcov: str = "~units",
    family: Any = "gaussian",
    mev: Any = None,
    data: Any = None,
    start: None = None,
    prior: Mapping[str, Any] | None = None,
    tune: None = None,
    pedigree: Any = None,
    nodes: str = "ALL",
    scale: bool = True,
    nitt: int = 13000,
    thin: int = 10,
    burnin: int = 3000,
    pr: bool = False,
    pl: bool = False,
    verbose: bool = True,
    DIC: bool = True,
    singular_ok: bool = False,
    saveX: bool = True,
    saveZ: bool = True,
    saveXL: bool = True,
    slice: bool = False,
    ginverse: Mapping[str, Any] | None = None,
    trunc: bool = False,
    theta_scale: None = None,
    saveWS: bool = True,
    *,
    scheme: str = "auto",
    chains: int = 1,
    seed: int | None = None,
) -> MCMCglmmFit:
    """Fit a Gaussian mixed model by sampling its posterior: MCMCglmm's call, models and priors.

    Parameters
    ----------
    fixed : str
        ``"y ~ x"``, or of several responses ``"cbind(y1, y2) ~ trait - 1 + trait:x"``.
    random : str, optional
        ``"~animal + us(1 + x):id + idh(sex):nest"``.
    rcov : str
        ``"~units"``, ``"~idh(f):units"``, ``"~us(trait):units"``, ``"~idh(trait):units"``.
    family : "gaussian", or a list of it
    mev : column or (n,), optional
        Known variances of measurement errors.
    data : table
    prior : mapping, optional
        ``{"R": {"V": 1, "nu": 0.002}, "G": {"G1": {"V": 1, "nu": 1, "alpha_mu": 0, "alpha_V": 1000}}}``, and
        ``"B"``; what is not given has MCMCglmm's default: V = 1 and nu = 0, β ~ N(0, 1e10).
    pedigree : table, optional
        Columns id, dam, sire: the relationship of the levels of ``animal``.
    ginverse : mapping, optional
        Inverse relationship matrices by grouping: what `inverseA` returns, its ``["Ainv"]``, a labelled frame, or any
        covariance of mixedvc.
    nitt, thin, burnin : int
        (nitt − burnin)/thin draws are kept.  The conjugate scheme runs these iterations; the collapsed scheme, whose
        draws are nearly independent, draws as many as are kept after a burn-in of its own.
    pr : bool
        ``m.Sol`` has the random effects too.
    scheme : "auto" | "collapsed" | "conjugate"
        "conjugate" is MCMCglmm's own algorithm; all sample the same posterior.  By default the collapsed one where its
        evaluations are cheap.
    chains, seed : int
        One chain by default, as MCMCglmm; `seed` makes a run repeatable.
    verbose : bool
        Show a progress bar on long runs.
    start, tune, nodes, scale, pl, singular_ok, slice, trunc, theta_scale
        Have no counterpart here; giving them is an error that says so.  saveX, saveZ, saveXL, saveWS have no effect:
        the specification keeps the design.

    Returns
    -------
    MCMCglmmFit
        ``VCV``, ``Sol``, ``Deviance``, ``DIC``; ``print`` shows MCMCglmm's summary; ``m.fit`` is mixedvc's own result.

    Examples
    --------
    >>> from mixedvc import load_data
    >>> prior = {"R": {"V": 1, "nu": 0.002}, "G": {"G1": {"V": 1, "nu": 1, "alpha_mu": 0, "alpha_V": 1e5}}}
    >>> m = MCMCglmm("Yield ~ 1", random="~Batch", data=load_data("dyestuff"), prior=prior, seed=1)
    >>> m.VCV.shape
    (1000, 2)
    """
    given = {
        "start": start, "tune": tune, "pl": pl, "singular_ok": singular_ok, "slice": slice, "trunc": trunc,
        "theta_scale": theta_scale,
    }  # fmt: skip
    for name, value in given.items():
        if value is not None and value is not False:
            raise OptionError(f"{name}=: {NOT_HERE[name]}")
    if nodes != "ALL":
        raise OptionError(f"nodes=: {NOT_HERE['nodes']}")
    if scale is not True:
        raise OptionError("scale= is for phylogenies: give ginverse= a matrix on the scale that is wanted")
    _family(family)
    _flags({"pr": pr, "DIC": DIC, "verbose": verbose})
    if scheme not in SCHEMES:
        raise OptionError(f"scheme={scheme!r:.40}: one of {', '.join(map(repr, SCHEMES))}")
    kept = _kept(nitt, burnin, thin)
    known, orders = _known(ginverse, pedigree)
    model = build(Asked(fixed, random, rcov, data, known, mev))
    kinds = [b.kind for b in (*model.random[: len(model.sizes)], *model.residual)]
    read = read_prior(prior, model.sizes, model.residual_sizes, len(model.x_names), kinds)
    priors = _priors(model, *read)
    _say_improper(model, read[0])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*infinite mass at a variance of zero", IdentifiabilityWarning)  # said above
        fit = _sampled(model, priors, scheme, (nitt, burnin, thin, kept), chains, seed, bool(verbose))
    return MCMCglmmFit(fit, model, nitt, burnin, thin, random, rcov, bool(pr), bool(DIC), priors, orders)


def _flags(given: Mapping[str, Any]) -> None:
    for name, flag in given.items():
        if not isinstance(flag, (bool, np.bool_)):
            raise OptionError(f"{name}={flag!r:.40}: True or False is needed")


def _family(family: Any) -> None:
    names = [family] if isinstance(family, str) else family
    if not isinstance(names, (list, tuple, np.ndarray)) or not len(names):
        raise OptionError("family=: 'gaussian', or a list of it with one for each response")
    for name in names:
        base = str(name).rstrip("0123456789")
        if base in FAMILIES:
            raise OptionError(
                f"family={name!r} is not available: mixedvc fits Gaussian responses. A transformed response may "
                "do, log(y + 1); for generalised models stay with MCMCglmm or brms"
            )
        if base != "gaussian":
            raise OptionError(f"family={name!r} is no family of MCMCglmm, and only 'gaussian' is available here")


def _kept(nitt: Any, burnin: Any, thin: Any) -> int:
    """How many draws MCMCglmm keeps."""
    for name, value, least in (("nitt", nitt, 1), ("burnin", burnin, 0), ("thin", thin, 1)):
        whole = isinstance(value, (int, np.integer)) or (isinstance(value, float) and value.is_integer())
        if not whole or isinstance(value, bool) or value < least:
            raise OptionError(f"{name}={value!r:.40}: a whole number from {least} is needed")
    if nitt <= burnin:
        raise OptionError(f"nitt={nitt} leaves nothing after burnin={burnin}: nitt counts the burn-in too")
    return math.ceil((int(nitt) - int(burnin)) / int(thin))


def _known(ginverse: Any, pedigree: Any) -> tuple[dict[str, Any], dict[str, tuple[Any, ...]]]:
    """Covariances of groupings, and the order of their levels in R."""
    known: dict[str, Any] = {}
    orders: dict[str, tuple[Any, ...]] = {}
    if ginverse is not None and not isinstance(ginverse, Mapping):
        raise OptionError("ginverse= is a dictionary from groupings, e.g. {'animal': inverseA(ped)}")
    for name, value in (ginverse or {}).items():
        known[str(name)] = inverse_of(value, f"ginverse[{name!r}]")
    if pedigree is not None:
        if "animal" in known:
            raise OptionError("pedigree= and ginverse= both say how 'animal' is related")
        made = pedigree if isinstance(pedigree, InverseA) or hasattr(pedigree, "fingerprint") else inverseA(pedigree)
        known["animal"] = inverse_of(made, "pedigree")
    for name, A in known.items():
        orders[name] = tuple(A.labels)
    for name, value in {**(ginverse or {}), **({} if pedigree is None else {"animal": pedigree})}.items():
        if isinstance(value, InverseA):
            orders[str(name)] = value.names
        elif isinstance(value, pd.DataFrame) and name == "animal" and pedigree is not None:
            orders["animal"] = tuple(value.iloc[:, 0])
    return known, orders


def inverse_of(value: Any, where: str) -> Any:
    """The covariance whose inverse is given."""
    if isinstance(value, InverseA):
        return value.relationship
    if hasattr(value, "fingerprint"):
        return value
    if isinstance(value, pd.DataFrame):
        if value.shape[0] != value.shape[1]:
            raise OptionError(f"{where} is {value.shape[0]}×{value.shape[1]}: an inverse relationship matrix is square")
        return Precision(value.to_numpy(dtype=np.float64), value.index.to_numpy(dtype=object))
    if isinstance(value, tuple) and len(value) == 2:
        return Precision(value[0], np.asarray(value[1], dtype=object))
    raise OptionError(
        f"{where}: give what inverseA(ped) returns, a labelled frame, (matrix, labels), or a covariance such as "
        f"mixedvc.pedigree(ped), not a {type(value).__name__}"
    )


def _priors(
    model: Model, random: list[VariancePrior], residual: list[VariancePrior], fixed: FixedEffectsPrior
) -> dict[str, Any]:
    """mixedvc's priors by the names of the specification's terms."""
    made: dict[str, Any] = {}
    for block, prior in zip(model.random, random, strict=False):
        made[model.spec.terms[block.place].name] = _ordered(prior, block.order).core()
    if model.meta:
        made[model.spec.terms[model.random[-1].place].name] = core.Fixed(1.0)
    made["residual"] = _ordered(residual[0], model.residual[0].order).core()
    if model.x_names:
        T = model.T
        made["fixed"] = core.Normal(T @ fixed.mu, cov=T @ fixed.V @ T.T)
    return made


def _ordered(prior: VariancePrior, order: tuple[int, ...]) -> VariancePrior:
    """In the core's order of the effects."""
    from dataclasses import replace

    back = np.argsort(order)
    alpha_V = None if prior.alpha_V is None else prior.alpha_V[np.ix_(back, back)]
    return replace(prior, V=prior.V[np.ix_(back, back)], alpha_mu=prior.alpha_mu[back], alpha_V=alpha_V)


def _say_improper(model: Model, random: list[VariancePrior]) -> None:
    poles = [block.text.removeprefix("~") for block, prior in zip(model.random, random, strict=False) if prior.pole]
    if poles:
        warn(
            f"{', '.join(poles)}: MCMCglmm's default prior (V = 1, nu = 0) has density 1/variance, with which no data "
            "give a random term a proper posterior: a chain that comes near zero stays there. Give prior=, e.g. "
            "{'V': 1, 'nu': 1, 'alpha_mu': 0, 'alpha_V': 1000}"
        )


def _closed(model: Model, priors: dict[str, Any]) -> bool:
    """Whether a prior has no density that can be evaluated, so that only the conjugate scheme samples it."""
    terms = [(term.name, term) for term in model.spec.terms] + [("residual", model.spec.residual)]
    return any(getattr(priors[name].bind(term.structure, name), "closed", "") for name, term in terms)


def _sampled(
    model: Model,
    priors: dict[str, Any],
    scheme: str,
    run: tuple[int, int, int, int],
    chains: int,
    seed: int | None,
    verbose: bool,
) -> Any:
    """Run the chain: the conjugate scheme with R's iterations, the collapsed one with as many draws as are kept."""
    _, burnin, thin, kept = run
    if scheme == "auto" and (_closed(model, priors) or not collapsed_is_cheap(model.spec)):
        scheme = "conjugate"
    own = {"burnin": int(burnin), "thin": int(thin)} if scheme == "conjugate" else {}
    return model.spec.fit(
        "gibbs",
        priors=priors,
        draws=kept,
        chains=chains,
        scheme=scheme,
        seed=seed,
        progress=None if verbose else False,
        **own,
    )
