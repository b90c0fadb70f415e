"""Profile likelihoods against lme4's stored intervals, brute force under a constraint, and closed forms."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize

import mixedvc as mv
from mixedvc.errors import MixedVCWarning
from mixedvc.inference.intervals import normal_quantile
from mixedvc.testing import problems
from mixedvc.testing.brute import Brute
from tests.reference.load import matrix, reference

Z = normal_quantile(0.95)
LME4 = {
    "dyestuff/batch": "Yield ~ 1 + (1 | Batch)",
    "dyestuff2/batch_boundary": "Yield ~ 1 + (1 | Batch)",
    "penicillin/crossed": "diameter ~ 1 + (1 | plate) + (1 | sample)",
    "pastes/nested": "strength ~ 1 + (1 | batch/cask)",
    "sleepstudy/intercept": "Reaction ~ Days + (1 | Subject)",
    "sleepstudy/slope_correlated": "Reaction ~ Days + (Days | Subject)",
    "sleepstudy/slope_uncorrelated": "Reaction ~ Days + (Days || Subject)",
    "orthodont/lmer_intercept": "distance ~ age * Sex + (1 | Subject)",
    "orthodont/lmer_slope": "distance ~ age * Sex + (age | Subject)",
}


def quietly(formula, data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        return mv.fit(formula, data, **options)


def key_of(row, intercepts=("(Intercept)", "Intercept")):
    """A row's name in lme4's words: sd_x|g, cor_y.x|g, sigma, or a fixed effect."""

    def word(effect):
        return "(Intercept)" if effect in intercepts else effect

    if row.kind == "sd":
        group = ":".join(sorted(row.group.split(":")))
        return "sigma" if row.group == "Residual" else f"sd_{word(row.effect)}|{group}"
    if row.kind == "correlation":
        return f"cor_{word(row.effect2)}.{word(row.effect)}|{row.group}"
    return word(row.effect).replace("Sex[T.Female]", "SexFemale")


# ---- other software ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize("case", LME4)
def test_profile_intervals_are_lme4s(case, method):
    """lme4 interpolates between a dozen points: its ends are off by up to 5e-4 of the interval, 1e-3 near an edge."""
    fit = quietly(LME4[case], mv.load_data(case.split("/")[0]), method=method)
    want = matrix(reference(f"lme4/{case}")["ML"]["confint_profile"])
    want.index = [
        f"{name.split('|')[0]}|{':'.join(sorted(name.split('|')[1].split(':')))}" if "|" in name else name
        for name in want.index
    ]
    got = fit.profile(criterion="ml").conf_int()
    assert len(got) == len(want)
    assert set(got["criterion"]) == {"ML"}
    for row in got.itertuples():
        low, high = want.loc[key_of(row)]
        allowed = (1e-3 if case.startswith("dyestuff2") else 5e-4) * (high - low)
        assert_allclose([row.lower, row.upper], [low, high], rtol=0, atol=allowed, err_msg=row.Index)


# ---- brute force ------------------------------------------------------------------------------------------------


class Roots:
    """Every Σ of a specification as B Bᵀ (structures: roots of variances and a squeezed correlation), one vector q."""

    def __init__(self, spec, reml):
        self.spec, self.brute = spec, Brute(spec, reml)
        self.unit = float(np.var(spec.response))
        self.sizes = [t.k * (t.k + 1) // 2 if t.structure.name == "us" else t.structure.n_par for t in spec.all_terms]

    def sigmas(self, q):
        out = []
        for term, part in zip(self.spec.all_terms, np.split(q, np.cumsum(self.sizes)[:-1]), strict=True):
            structure = term.structure
            if structure.name == "us":
                B = np.zeros((term.k, term.k))
                B[np.tril_indices(term.k)] = part
                out.append(self.unit * B @ B.T)
            elif structure.linear:
                out.append(structure.build(self.unit * part**2))
            else:
                low, high = structure.bounds()
                rho = low[-1] + (high[-1] - low[-1]) * (0.5 + np.arctan(part[-1]) / np.pi)
                out.append(structure.build(np.append(self.unit * part[:-1] ** 2, rho)))
        return out

    def fall(self, q):
        try:
            value = self.brute.at(self.spec.theta(self.sigmas(q))).loglik
        except (ValueError, np.linalg.LinAlgError):
            return 1e6
        return -value if np.isfinite(value) else 1e6

    def highest(self, quantity, value, starts=4, seed=0):
        """max ℓ given quantity(Σ's) = value, by a general-purpose constrained minimiser from several places."""
        rng = np.random.default_rng(seed)
        best = -np.inf
        for _ in range(starts):
            held = {"type": "eq", "fun": lambda q: quantity(self.sigmas(q)) - value}
            q = rng.uniform(0.2, 0.9, sum(self.sizes))
            for _ in range(2):
                found = minimize(
                    self.fall, q, method="SLSQP", constraints=[held], options={"maxiter": 300, "ftol": 1e-12}
                )
                q = found.x
            if abs(held["fun"](q)) < 1e-7 * max(abs(value), 1e-3):
                best = max(best, -float(found.fun))
        return best


def quantity_of(spec, target):
    """A target as a function of every term's Σ, from its definition alone."""
    p = target.parameter
    if target.kind == "share":
        return lambda S: (target.w @ spec.theta(S)) / (target.d @ spec.theta(S))
    names = spec.all_terms[p.term].effects
    a = names.index(p.effect) if p.effect in names else 0
    b = names.index(p.effect2) if p.effect2 in names else 1
    if target.kind == "sd":
        return lambda S: np.sqrt(S[p.term][a, a])
    if target.kind == "covariance":
        return lambda S: S[p.term][a, b]
    return lambda S: S[p.term][a, b] / np.sqrt(max(S[p.term][a, a] * S[p.term][b, b], 1e-300))


@pytest.mark.parametrize(
    ("name", "method", "wanted"),
    [
        ("slopes", "reml", ["sd", "covariances", "corr(id[Intercept, t])", "shares"]),
        ("crossed_weights_offset", "reml", ["sd", "share(a)"]),
        ("two_kernels", "ml", ["sd(id2)", "share(id2)"]),
        ("compound_symmetry", "reml", ["variances"]),
        ("autoregressive", "ml", ["variances"]),
    ],
)
def test_the_ends_of_profile_intervals_are_just_rejected_by_brute_force(name, method, wanted):
    if name not in problems.names():
        pytest.fail(f"no problem is called {name}: {problems.names()}")
    spec = problems.bound(name)
    fit = quietly_fitted(spec, method)
    brute = Roots(spec, method == "reml")
    table = fit.profile(
        [w for w in wanted if w != "variances"] if "variances" not in wanted else ["sd", "correlations"]
    )
    crossed = 0
    for target in table.targets:
        for end in table.ends(target, 0.95):
            if end.kind == "crossed":
                highest = brute.highest(quantity_of(spec, target), end.t)
                assert_allclose(2 * (fit.llf - highest), Z**2, rtol=0, atol=2e-5, err_msg=f"{target.name} at {end.t}")
                crossed += 1
    assert crossed >= 2


def quietly_fitted(spec, method):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        return spec.fit(method)
