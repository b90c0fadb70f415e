"""MCMCglmm's prior lists, with its defaults, as mixedvc's priors: ``{"R": {"V": 1, "nu": 0.002}, "G": {"G1": …}}``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import priors as core
from ..errors import OptionError

Float = NDArray[np.float64]

NAMES = {"n": "nu", "alpha.mu": "alpha_mu", "alpha.V": "alpha_V", "beta.mu": "beta_mu", "beta.V": "beta_V"}
KNOWN = ("V", "nu", "alpha_mu", "alpha_V", "fix")
LATER = {
    "beta_mu": "beta.mu belongs to antedependence, which is not available",
    "beta_V": "beta.V belongs to antedependence, which is not available",
    "covu": "covu (a covariance between random terms and residuals) is not available",
}
B_VARIANCE = 1e10  # MCMCglmm's default: N(0, 1e10 I)
NEARLY_NIL = 1e-8  # a scale matrix below it stands for none, as in list(V = 1e-16, nu = -2)


@dataclass(frozen=True)
class VariancePrior:
    """One element of G or R.

    Attributes
    ----------
    where : str
        ``"G$G1"``, for messages.
    V : (k, k)
    nu : float
    alpha_mu : (k,)
    alpha_V : (k, k) or None
        None without parameter expansion.
    fixed : bool
        ``fix = 1``: held at V.
    """

    where: str
    V: Float
    nu: float
    alpha_mu: Float
    alpha_V: Float | None
    fixed: bool

    @property
    def pole(self) -> bool:
        """Density with a pole at zero that cannot be integrated: MCMCglmm's default, V = 1 and nu = 0."""
        return not self.fixed and self.alpha_V is None and self.nu == 0.0

    def core(self) -> Any:
        """mixedvc's prior."""
        k = len(self.V)
        if self.fixed:
            return core.Fixed(float(self.V[0, 0]) if k == 1 else self.V)
        if self.alpha_V is not None:
            return core.ParameterExpanded(_plain(self.V), self.nu, _plain(self.alpha_mu), _plain(self.alpha_V))
        if self.nu <= 0 and np.abs(np.diagonal(self.V)).max() * -self.nu < NEARLY_NIL:
            return core.InverseWishart(1.0, self.nu, improper=True)
        if self.nu < 0:
            raise OptionError(
                f"prior${self.where}: nu = {self.nu:g} with V = {self.V[0, 0]:g} has a density that grows without "
                "bound at zero; flat priors have V = 1e-16 and nu = -1 (standard deviation) or -2 (variance)"
            )
        return core.InverseWishart(_plain(self.V), self.nu, improper=True)


def _plain(values: Float) -> Any:
    return float(values.reshape(-1)[0]) if values.size == 1 else values


@dataclass(frozen=True)
class FixedEffectsPrior:
    """``B``: β ~ N(mu, V) in R's parameters."""

    mu: Float
    V: Float


def read_prior(
    prior: Any, sizes: Sequence[int], residual_sizes: Sequence[int], p: int, kinds: Sequence[str]
) -> tuple[list[VariancePrior], list[VariancePrior], FixedEffectsPrior]:
    """Priors of the random terms, of the residual's, and of the fixed effects.

    Parameters
    ----------
    prior : mapping or None
    sizes, residual_sizes : list of int
        Number of effects of each term.
    p : int
        Fixed effects.
    kinds : list of str
        "us" or "idh" of every random term, then of every residual one.
    """
    if prior is None:
        prior = {}
    if not isinstance(prior, Mapping):
        raise OptionError(f"prior= is a dictionary, {{'R': …, 'G': {{'G1': …}}}}, not a {type(prior).__name__}")
    unknown = [name for name in prior if name not in ("R", "G", "B", "S")]
    if unknown:
        raise OptionError(f"prior=: {unknown[0]!r} is none of R, G and B")
    if "S" in prior:
        raise OptionError("prior$S belongs to theta_scale, which is not available")
    if "R" in prior and "G" not in prior and sizes:
        raise OptionError("prior=: either both or neither of R and G: G has no prior")
    random = _elements(prior.get("G"), "G", sizes)
    residual = _elements(_wrapped_residual(prior.get("R")), "R", residual_sizes)
    made = [
        _variance(given, where, k, kind)
        for (where, given), k, kind in zip(random + residual, [*sizes, *residual_sizes], kinds, strict=True)
    ]
    for one in made[len(sizes) :]:
        if one.alpha_V is not None:
            raise OptionError(f"prior${one.where}: parameter expansion is not for the residual (nor is it in MCMCglmm)")
    return made[: len(sizes)], made[len(sizes) :], _fixed(prior.get("B"), p)


def _wrapped_residual(given: Any) -> Any:
    """``R = list(V=, nu=)`` is one structure; ``R = list(R1 = …, R2 = …)`` several."""
    if isinstance(given, Mapping) and not any(isinstance(value, Mapping) for value in given.values()):
        return {"R": given}
    return given


def _elements(given: Any, what: str, sizes: Sequence[int]) -> list[tuple[str, Any]]:
    if given is None:
        return [(f"{what}{i + 1}", None) for i in range(len(sizes))]
    if isinstance(given, Mapping):
        parts = [(f"{what}${name}" if name != what else what, value) for name, value in given.items()]
    elif isinstance(given, Sequence) and not isinstance(given, str):
        parts = [(f"{what}${what}{i + 1}", value) for i, value in enumerate(given)]
    else:
        raise OptionError(f"prior${what} is a dictionary {{'{what}1': {{'V': 1, 'nu': 0.002}}}}, not {given!r:.40}")
    if len(parts) != len(sizes) or not all(isinstance(value, Mapping) for _, value in parts):
        raise OptionError(
            f"prior${what} has the wrong number of structures: {len(parts)} for {len(sizes)} term"
            f"{'s' * (len(sizes) != 1)}; write {{{', '.join(f'{what}{i + 1!s}: …' for i in range(len(sizes)))}}}"
        )
    return parts


def _variance(given: Any, where: str, k: int, kind: str) -> VariancePrior:
    if given is None:  # MCMCglmm's defaults
        return VariancePrior(where, np.eye(k), 0.0, np.zeros(k), None, False)
    values = {NAMES.get(str(name), str(name)): value for name, value in given.items()}
    for name in values:
        if name not in KNOWN:
            none = f"{name!r} is none of {', '.join(KNOWN)}"
            raise OptionError(f"prior${where}: {LATER.get(name, none)}")
    if "V" not in values:
        raise OptionError(f"prior${where}: V is not given")
    V = _matrix(values["V"], k, f"prior${where}$V")
    fixed = _fix(values.get("fix"), where, k)
    if "nu" not in values and not fixed:
        raise OptionError(f"prior${where}: nu is not given")
    nu = _number(values.get("nu", 0.0), f"prior${where}$nu")
    if kind == "idh":
        V = np.diag(np.diagonal(V))
    alpha_mu = np.asarray(values.get("alpha_mu", np.zeros(k)), dtype=np.float64).reshape(-1)
    if alpha_mu.shape != (k,):
        raise OptionError(f"prior${where}$alpha.mu has {len(alpha_mu)} entries and the term {k} effect{'s' * (k > 1)}")
    alpha_V = None
    if "alpha_V" in values:
        alpha_V = _matrix(values["alpha_V"], k, f"prior${where}$alpha.V")
        alpha_V = None if not alpha_V.any() else np.diag(np.diagonal(alpha_V)) if kind == "idh" else alpha_V
    if alpha_V is None and alpha_mu.any():
        raise OptionError(f"prior${where}: alpha.mu without alpha.V has no effect: give alpha.V, or leave it out")
    return VariancePrior(where, V, nu, alpha_mu, None if fixed else alpha_V, fixed)


def _fix(given: Any, where: str, k: int) -> bool:
    if given is None or given is False:
        return False
    place = _number(given, f"prior${where}$fix")
    if place == 1:
        return True
    if place in range(2, k + 1):
        raise OptionError(
            f"prior${where}$fix = {place:g} holds a part of the matrix, which is not available: fix = 1 holds all of it"
        )
    raise OptionError(f"prior${where}$fix = {place:g}: 1 holds the whole {k}×{k} matrix")


def _number(given: Any, where: str) -> float:
    try:
        value = float(given)
    except (TypeError, ValueError):
        value = float("nan")
    if not np.isfinite(value):
        raise OptionError(f"{where} = {given!r:.40}: a number is needed")
    return value


def _matrix(given: Any, k: int, where: str) -> Float:
    try:
        V = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise OptionError(f"{where} = {given!r:.40}: a number or a {k}×{k} matrix is needed") from None
    V = V.reshape(1, 1) if V.ndim == 0 else V
    if V.shape != (k, k):
        shape = "×".join(map(str, V.shape))
        raise OptionError(
            f"{where} is {shape} and the term has {k} effect{'s' * (k > 1)}: give a {k}×{k} matrix, e.g. np.eye({k})"
        )
    if not np.isfinite(V).all() or not np.allclose(V, V.T):
        raise OptionError(f"{where} is no symmetric matrix of finite numbers")
    return V


def _fixed(given: Any, p: int) -> FixedEffectsPrior:
    if given is None:
        return FixedEffectsPrior(np.zeros(p), B_VARIANCE * np.eye(p))
    if not isinstance(given, Mapping) or set(given) - {"mu", "V"}:
        raise OptionError("prior$B is {'mu': vector, 'V': matrix}")
    mu = np.asarray(given.get("mu", np.zeros(p)), dtype=np.float64).reshape(-1)
    if mu.shape != (p,):
        raise OptionError(f"prior$B$mu has {len(mu)} entries and the model {p} fixed effect{'s' * (p != 1)}")
    V = _matrix(given.get("V", B_VARIANCE * np.eye(p)), p, "prior$B$V")
    return FixedEffectsPrior(mu, V)
