"""``predict`` and ``plot`` for models fitted by `MCMCglmm`, and for chains."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import OptionError
from ..sampling.effects import draws_of_effects
from .coda import as_chain, hpd, mcpar
from .mcresult import MCMCglmmFit, need_fit
from .rvalues import RVector, frame

Float = NDArray[np.float64]


def predict(
    m: MCMCglmmFit,
    newdata: Any = None,
    marginal: Any = "all",
    type: str = "response",
    interval: str = "none",
    level: float = 0.95,
    it: None = None,
    posterior: str = "all",
    verbose: bool = False,
    approx: str = "numerical",
) -> Any:
    """MCMCglmm's ``predict``: posterior means of the rows, with HPD intervals.

    Parameters
    ----------
    m : MCMCglmmFit
    newdata : table, optional
        The rows of the fit by default: those with a response, several responses cell by cell.
    marginal : "all" | None | formula
        Random terms that are averaged out, ``"~animal"``; all by default, as in R, None for none.
    interval : "none" | "confidence" | "prediction"
    type, approx
        Identity link: without effect.
    it, posterior
        Have no counterpart; all draws are used.

    Returns
    -------
    Series, or with `interval` a frame with columns fit, lwr, upr.
    """
    need_fit(m, "predict")
    if interval not in ("none", "confidence", "prediction"):
        raise OptionError(f"interval={interval!r:.40}: 'none', 'confidence' or 'prediction'")
    if type not in ("response", "terms"):
        raise OptionError(f"type={type!r:.40}: 'response' or 'terms', which are the same here")
    if not 0 < level < 1:
        raise OptionError(f"level={level!r}: a number between 0 and 1")
    if it is not None or posterior != "all":
        raise OptionError("it= and posterior= are not available: predictions are means over all draws")
    del verbose, approx
    out = _marginal(m, marginal)
    draws, labels = _drawn(m, newdata, out, interval)
    mean = pd.Series(draws[0].mean(axis=0), index=labels)
    if interval == "none":
        return RVector(mean)
    ends = np.array([hpd(column, level) for column in draws[1].T])
    return frame(pd.DataFrame({"fit": mean, "lwr": ends[:, 0], "upr": ends[:, 1]}, index=labels))


def _marginal(m: MCMCglmmFit, marginal: Any) -> set[int]:
    """Terms of the specification that are averaged out."""
    blocks = m.model.random
    if marginal is None:
        return set()
    if isinstance(marginal, str) and marginal == "all":
        return {block.place for block in blocks}
    if isinstance(marginal, str) and marginal.lstrip().startswith("~"):
        asked = [text.strip() for text in marginal.replace("~", "", 1).split("+")]
        known = {block.text.removeprefix("~").replace(" ", ""): block.place for block in blocks}
        joined = _rejoined(asked, known)
        return {known[text] for text in joined}
    raise OptionError(f"marginal={marginal!r:.60}: 'all', None, or a formula such as '~animal'")


def _rejoined(pieces: list[str], known: dict[str, int]) -> list[str]:
    """Terms as in ``random=``; a ``+`` inside a variance function belongs to its term."""
    out: list[str] = []
    current = ""
    for piece in pieces:
        current = f"{current}+{piece}" if current else piece
        current = current.replace(" ", "")
        if current.count("(") == current.count(")"):
            if current not in known:
                raise OptionError(f"marginal=: {current!r} is no random term; there are {', '.join(known)}")
            out.append(current)
            current = ""
    return out


def _drawn(m: MCMCglmmFit, newdata: Any, out: set[int], interval: str) -> tuple[tuple[Float, Float], Any]:
    """Draws of the expectation, and of what the interval is for; labels of the rows."""
    spec = m.fit.spec
    inside = [term.name for i, term in enumerate(spec.terms) if i not in out]
    if newdata is not None:
        if m.model.wide or "MCMC_y" in spec.y_names or any("at_level_" in name for name in spec.x_names):
            raise OptionError("predict(newdata=): of several responses, or with at.level(), use m.fit.predict(newdata)")
        if interval == "prediction" and out:
            raise OptionError(
                "predict(newdata=, interval='prediction') with random terms averaged out is not available: say "
                "marginal=None, or use m.fit.predict(newdata, interval='prediction', new_levels='conditional')"
            )
        asked = {"random": inside or "none", "draws": True}
        expected = m.fit.predict(newdata, **asked)
        new = m.fit.predict(newdata, **asked, interval="prediction") if interval == "prediction" else expected
        return (expected.to_numpy(), new.to_numpy()), list(expected.columns)
    expected = m.draws.beta.reshape(-1, spec.p) @ spec.X.T
    if inside:
        for i, u in enumerate(draws_of_effects(m._evaluator, m.draws)):
            for place, (term, effects) in enumerate(zip(spec.terms, u, strict=True)):
                if place not in out:
                    expected[i] += term.spread(effects)
    if interval != "prediction":
        return (expected, expected), list(spec.row_labels)
    return (expected, expected + _noise(m, out)), list(spec.row_labels)


def _noise(m: MCMCglmmFit, out: set[int]) -> Float:
    """(D, n) residuals, and effects of the terms averaged out, drawn anew for every row."""
    spec = m.fit.spec
    theta = m.draws.theta.reshape(-1, m.draws.theta.shape[-1])
    rng = np.random.default_rng([11, m.draws.seed])
    scale = {i: spec.terms[i].covariance.diagonal(spec.terms[i].positions)[spec.terms[i].codes] for i in out}
    made = np.empty((len(theta), spec.n))
    for d, row in enumerate(theta):
        sigmas, variance = spec.sigmas(row), spec.residual_variances(row)
        for i in out:
            B = spec.terms[i].basis
            variance = variance + scale[i] * np.sum((B @ sigmas[i]) * B, axis=1)
        made[d] = np.sqrt(variance) * rng.standard_normal(spec.n)
    return made


def plot(x: Any, ask: bool = False, random: bool = False) -> Any:
    """Traces and densities of a chain, as ``plot(m$VCV)``; of a model, of its fixed effects and (co)variances.

    Parameters
    ----------
    x : chain, or MCMCglmmFit
    random : bool
        Of a model: its random effects too (``pr=True``).

    Returns
    -------
    matplotlib.figure.Figure; of a model a list of two.
    """
    from ..results.plots.style import axes as axes_of

    del ask
    if isinstance(x, MCMCglmmFit):
        sol = x.Sol if random else x.chain(x.location, list(x.model.x_names))
        return [plot(sol), plot(x.VCV)]
    chain = as_chain(x, "plot", 2)
    first, _, thin = mcpar(chain)
    k = chain.shape[1]
    axes = axes_of(2 * k, None, "plot()", 9.0, 1.9, across=2)
    iterations = first + thin * np.arange(len(chain))
    for left, right, name in zip(axes[::2], axes[1::2], chain.columns, strict=True):
        values = chain[name].to_numpy(dtype=np.float64)
        left.plot(iterations, values, lw=0.5, color="0.25")
        left.set_title(f"Trace of {name}", fontsize=9)
        _density(right, values)
        right.set_title(f"Density of {name}", fontsize=9)
    axes[-2].set_xlabel("Iterations")
    axes[-1].set_xlabel(f"N = {len(chain)}")
    return axes[0].figure


def _density(axis: Any, values: Float) -> None:
    sd = float(values.std(ddof=1))
    if sd == 0.0:
        axis.axvline(values[0], color="0.25")
        return
    spread = min(sd, float(np.subtract(*np.quantile(values, [0.75, 0.25]))) / 1.34) or sd
    width = 1.06 * spread * len(values) ** -0.2
    low = 0.0 if values.min() >= 0 else -np.inf  # reflected at zero, as coda does for variances
    grid = np.linspace(max(values.min() - 3 * width, low), values.max() + 3 * width, 200)
    density = _kernel(grid, values, width) + (_kernel(-grid, values, width) if low == 0.0 else 0.0)
    axis.plot(grid, density, color="0.25")
    axis.plot(values, np.zeros(len(values)), "|", ms=4, color="0.25", alpha=0.3)


def _kernel(grid: Float, values: Float, width: float) -> Float:
    z = (grid[:, None] - values[None]) / width
    made: Float = np.exp(-0.5 * z * z).mean(axis=1) / (width * np.sqrt(2 * np.pi))
    return made
