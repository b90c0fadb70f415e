"""The draws of a fit by name: arrays, a tidy frame, and ArviZ data with named dimensions."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec, Term
from ..errors import MissingExtra
from ..inference.parameters import Parameter, par_slices, parameters, theta_slices
from ..inference.posterior import one_by_one
from ..inference.ratios import weights
from ..inference.traits import effects_of, parameter_shares, share_forms
from ..linalg.memory import require
from ..sampling.effects import draws_of_effects
from ..structures.base import entries_of
from .posterior_notes import acceptance

if TYPE_CHECKING:
    import pandas as pd

    from .posterior import PosteriorResults

Float = NDArray[np.float64]


# ---- arrays -----------------------------------------------------------------------------------------------------


def sigma_draws(spec: ModelSpec, theta: Float, i: int) -> Float:
    """Σ (…, k, k) of term `i` (the residual is the last) at θ (…, m)."""
    term, where = spec.all_terms[i], theta_slices(spec)[i]
    out = np.zeros((*theta.shape[:-1], term.k, term.k))
    for j in range(len(term.structure.pairs)):
        for a, b in entries_of(term.structure, j):
            out[..., a, b] = out[..., b, a] = theta[..., where.start + j]
    return out


def correlation_draws(Sigma: Float) -> Float:
    """(…, k, k) correlations of Σ; NaN where a variance is zero, ones on the diagonal."""
    d = np.sqrt(np.einsum("...kk->...k", Sigma))
    with np.errstate(invalid="ignore", divide="ignore"):
        R = Sigma / d[..., :, None] / d[..., None, :]
    R = np.clip(R, -1.0, 1.0)
    own = np.arange(Sigma.shape[-1])
    R[..., own, own] = 1.0
    return np.asarray(R)


def sd_draws(fit: PosteriorResults) -> Float:
    """(C, D, n_par) square roots of variances, correlations of covariances, the others as they are."""
    spec, out = fit.spec, fit.draws.par.copy()
    for i, of in enumerate(par_slices(spec)):
        rows = parameters(spec)[of]
        if any(p.kind == "covariance" for p in rows):
            R = correlation_draws(sigma_draws(spec, fit.draws.theta, i))
        for j, p in enumerate(rows, of.start):
            if p.kind == "variance":
                out[..., j] = np.sqrt(out[..., j])
            elif p.kind == "covariance":
                out[..., j] = R[..., p.a, p.b]
    return out


def share_draws(fit: PosteriorResults) -> Float:
    """(C, D, n_par) part of each parameter in the average variance of an observation, as `frames.share_column`."""
    spec, theta, par = fit.spec, fit.draws.theta, fit.draws.par
    rows = parameters(spec)
    contribution = parameter_shares(spec, theta) if spec.traits is not None else weights(spec) * theta
    out = np.full(par.shape, np.nan)
    for term, of, at in zip(spec.all_terms, par_slices(spec), theta_slices(spec), strict=True):
        if term.structure.linear:
            out[..., of] = contribution[..., at]
            continue
        own = np.array([a == b for a, b in term.structure.pairs])
        if hasattr(term.structure, "loadings"):
            out[..., of] = _factor_shares(term.structure, par[..., of], contribution[..., at][..., own])
            continue
        variances = [j for j in range(of.start, of.stop) if rows[j].kind == "variance"]
        if len(variances) == own.sum():
            out[..., variances] = contribution[..., at][..., own]
        elif len(variances) == 1:
            out[..., variances[0]] = contribution[..., at][..., own].sum(axis=-1)
        others = [j for j in range(of.start, of.stop) if rows[j].kind != "variance"]
        if len(others) == 1:
            out[..., others[0]] = contribution[..., at][..., ~own].sum(axis=-1)
    if spec.traits is not None:
        return out
    total = contribution.sum(axis=-1, keepdims=True)
    return np.asarray(out / np.where(total > 0, total, np.nan))


def _factor_shares(structure: Any, par: Float, of_effects: Float) -> Float:
    """As `frames._factor_shares`, of many draws."""
    squares = np.where([kind == "variance" for kind in structure.kinds], par, par**2)
    n = squares.shape[-1]
    rows = np.concatenate([np.arange(n - len(structure.loadings)), structure.loadings.entries[0]])
    member = np.zeros((n, structure.k))
    member[np.arange(n), rows] = 1.0
    total = (squares @ member)[..., rows]
    return np.where(total > 0, of_effects[..., rows] * squares / np.where(total > 0, total, 1.0), 0.0)


def term_shares(fit: PosteriorResults) -> tuple[list[str], Float]:
    """Names of the terms and (C, D, terms[, traits]) their shares; of several traits, of each trait's variance."""
    spec, theta = fit.spec, fit.draws.theta
    if spec.traits is None:
        value = weights(spec) * theta
        parts = np.stack([value[..., at].sum(axis=-1) for at in theta_slices(spec)], axis=-1)
        total = parts.sum(axis=-1, keepdims=True)
        return [t.name for t in spec.all_terms], np.asarray(parts / np.where(total > 0, total, np.nan))
    from ..inference.traits import RESIDUAL, families_of

    names = [*families_of(spec), RESIDUAL]
    made = []
    for name in names:
        above, below = share_forms(spec, name)
        made.append((theta @ above.T) / (theta @ below.T))
    return names, np.stack(made, axis=-2)


def named_draws(fit: PosteriorResults) -> dict[str, Float]:
    """(C, D) draws of fixed effects and variance parameters by name; those of `cov_varcomp` come first."""
    out = {p.name: fit.draws.par[..., j] for j, p in enumerate(parameters(fit.spec))}
    for j, name in enumerate(fit.spec.x_names):
        out.setdefault(name, fit.draws.beta[..., j])
    return out


def draws_frame(fit: PosteriorResults) -> pd.DataFrame:
    """See `PosteriorResults.draws_frame`."""
    import pandas as pd

    d = fit.draws
    chain, draw = np.divmod(np.arange(d.chains * d.count), d.count)
    columns: dict[Any, Any] = {"chain": chain, "draw": draw}
    taken = {p.name for p in parameters(fit.spec)} | {"chain", "draw", "lp"}
    for j, name in enumerate(fit.spec.x_names):
        columns[f"fixed: {name}" if name in taken else name] = d.beta[..., j].ravel()
    for j, p in enumerate(parameters(fit.spec)):
        columns[p.name] = d.par[..., j].ravel()
    columns["lp"] = d.lp.ravel()
    return pd.DataFrame(columns)


def effect_draws(fit: PosteriorResults) -> tuple[Float, ...]:
    """(C, D, q, k) random effects of every term at the levels in the data: those kept, or drawn anew, always alike."""
    d, terms = fit.draws, fit.spec.terms
    if d.effects is not None or not terms:
        return d.effects or ()
    size = 8 * d.chains * d.count * sum(term.q * term.k for term in terms)
    require(size, "the draws of all random effects", "random_effects_draws(draws=…) gives some of them.")
    out = tuple(np.empty((d.chains * d.count, term.q, term.k)) for term in terms)
    with one_by_one(fit.spec):
        for at, found in enumerate(draws_of_effects(fit.sampled_by, d)):
            for own, u in zip(out, found, strict=True):
                own[at] = u
    return tuple(own.reshape(d.chains, d.count, *own.shape[1:]) for own in out)


# ---- ArviZ ------------------------------------------------------------------------------------------------------


def arviz_data(fit: PosteriorResults, effects: bool | None, log_likelihood: bool) -> Any:
    """See `PosteriorResults.to_arviz`."""
    try:
        import xarray  # noqa: F401
        from arviz_base import from_dict
    except ImportError:
        raise MissingExtra("arviz-base", "bayes", "the posterior as ArviZ data") from None
    book = _Book()
    _parameters(fit, book)
    if effects or (effects is None and fit.draws.effects is not None):
        for i, u in enumerate(effect_draws(fit)):
            _effects(fit, book, i, u)
    groups: dict[str, dict[str, Any]] = {"posterior": book.values, "sample_stats": _sample_stats(fit)}
    if log_likelihood:
        from .posterior_criteria import pointwise_log_likelihood

        found = pointwise_log_likelihood(fit)
        name = "y" if found.unit == "row" else f"y of a {found.unit}"
        groups["log_likelihood"] = {name: found.values}
        book.dims[name] = [found.unit]
        book.coords[found.unit] = [str(label) for label in found.labels]
    groups["observed_data"] = {"y": np.asarray(fit.spec.y)}
    book.dims["y"] = ["row"]
    book.coords["row"] = [str(label) for label in fit.spec.row_labels]
    attrs = {"posterior": described(fit)}
    return from_dict(groups, coords=book.coords, dims=book.dims, attrs=attrs)


class _Book:
    """Variables with their dimensions and coordinates, as they are collected."""

    def __init__(self) -> None:
        self.values: dict[str, Float] = {}
        self.dims: dict[str, list[str]] = {}
        self.coords: dict[str, list[str]] = {}

    def add(self, name: str, values: Float, **dims: Any) -> None:
        self.values[name] = values
        self.dims[name] = list(dims)
        self.coords |= {dim: [str(label) for label in labels] for dim, labels in dims.items()}


def safe(name: str) -> str:
    """A name that files of arrays take: without the separator of groups."""
    return name.replace("/", "_")


def effect_dims(spec: ModelSpec, term: Term, i: int) -> tuple[str, str, tuple[str, ...]]:
    """Two names of dimensions and the labels of a term's effects: its traits where those are the effects."""
    of = {} if spec.traits is None else effects_of(spec, i)
    own = of.get("Intercept", {}) if len(of) == 1 else {}
    if own and tuple(own) == tuple(spec.traits.names) and list(own.values()) == list(range(term.k)):
        return "trait", "trait2", tuple(own)
    return f"effect_{safe(term.name)}", f"effect2_{safe(term.name)}", term.effects


def _parameters(fit: PosteriorResults, book: _Book) -> None:
    spec, d = fit.spec, fit.draws
    if spec.p and fit.estimate.fixed_effects != "none":
        book.add("beta", d.beta, fixed=spec.x_names)
    whole = sd_draws(fit)
    for i, term in enumerate(spec.all_terms):
        name = safe(term.name)
        if term.k == 1:
            book.add(f"var_{name}", d.theta[..., theta_slices(spec)[i].start])
            book.add(f"sd_{name}", np.sqrt(d.theta[..., theta_slices(spec)[i].start]))
            continue
        first, second, labels = effect_dims(spec, term, i)
        Sigma = sigma_draws(spec, d.theta, i)
        book.add(f"cov_{name}", Sigma, **{first: labels, second: labels})
        book.add(f"sd_{name}", np.sqrt(np.einsum("...kk->...k", Sigma)), **{first: labels})
        pairs = [(a, b) for a in range(term.k) for b in range(a + 1, term.k) if Sigma[..., a, b].any()]
        if pairs:
            R = correlation_draws(Sigma)
            names = [f"{labels[a]}, {labels[b]}" for a, b in pairs]
            book.add(f"cor_{name}", np.stack([R[..., a, b] for a, b in pairs], axis=-1), **{f"pair_{name}": names})
        own = [(j, p) for j, p in enumerate(parameters(spec)) if p.term == i and _is_own(p)]
        if own:
            book.add(f"par_{name}", whole[..., [j for j, _ in own]], **{f"par_of_{name}": [_short(p) for _, p in own]})
    names, shares = term_shares(fit)
    if spec.terms:
        if spec.traits is None:
            book.add("share", shares, term=names)
        else:
            book.add("share", np.swapaxes(shares, -1, -2), trait=spec.traits.names, term=names)


def _is_own(p: Parameter) -> bool:
    """A parameter that is no entry of Σ: a correlation or a loading of a structure."""
    return p.kind in ("correlation", "loading")


def _short(p: Parameter) -> str:
    return p.effect if p.effect2 is None else f"{p.effect}, {p.effect2}"


def _effects(fit: PosteriorResults, book: _Book, i: int, u: Float) -> None:
    spec, term = fit.spec, fit.spec.terms[i]
    name, labels = safe(term.name), term.levels
    if term.k == 1:
        book.add(f"u_{name}", u[..., 0], **{f"level_{name}": labels})
        return
    first, _, effects = effect_dims(spec, term, i)
    book.add(f"u_{name}", u, **{f"level_{name}": labels, first: effects})


def _sample_stats(fit: PosteriorResults) -> dict[str, Any]:
    d = fit.draws
    out: dict[str, Any] = {"lp": d.lp, "loglik": d.loglik}
    rate = acceptance(d)
    if rate is not None:
        out["acceptance_rate"] = np.repeat(rate[:, None], d.count, axis=1)
    return out


def described(fit: PosteriorResults) -> dict[str, Any]:
    """What ran and what was believed, for the attributes."""
    d, spec = fit.draws, fit.spec
    out: dict[str, Any] = {
        "inference_library": "mixedvc",
        "inference_library_version": _version(),
        "formula": getattr(spec.source, "formula", None) or " + ".join(t.text for t in spec.terms),
        "scheme": str(getattr(d.plan, "name", "")),
        "sampler": str(d.plan.describe()) if hasattr(d.plan, "describe") else "",
        "likelihood": fit.estimate.likelihood,
        "seed": str(d.seed),
        "burnin": int(d.burnin),
        "thin": int(d.thin),
        "interrupted": int(d.interrupted),
    }
    for name, words in fit.prior_words().items():
        out[f"prior of {name}"] = words
    return out


def _version() -> str:
    try:
        return version("mixedvc")
    except PackageNotFoundError:
        return ""
