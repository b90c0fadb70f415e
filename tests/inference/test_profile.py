"""Profile likelihoods against lme4's stored intervals, brute force under a constraint, and closed forms."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize

import mixedvc as mv
from mixedvc.errors import MixedVCWarning, OptionError
from mixedvc.estimators.reml import REML
from mixedvc.estimators.start import units_of
from mixedvc.inference.intervals import normal_quantile
from mixedvc.inference.parameters import parameters
from mixedvc.inference.profile import Profiler
from mixedvc.inference.profile_fixed import HeldEffect
from mixedvc.inference.profile_space import space_at
from mixedvc.inference.profile_targets import select
from mixedvc.likelihood import choose
from mixedvc.testing import assemble, problems
from mixedvc.testing.brute import Brute
from tests.reference.load import matrix, reference
from tests.reference_numbers.test_lme4 import CASES
from tests.tolerances import COMPONENT, IDENTITY, OBJECTIVE, PARAMETER

Z = normal_quantile(0.95)
LME4 = {**CASES, "dyestuff2/batch_boundary": "Yield ~ 1 + (1 | Batch)"}


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

    def theta(self, q):
        return self.spec.theta(self.sigmas(q))

    def fall(self, q):
        """−ℓ and its gradient; a wall where V is not positive definite."""
        try:
            at = self.brute.at(self.theta(q))
            value, score = at.loglik, at.score
        except (ValueError, np.linalg.LinAlgError):
            return 1e6, np.zeros(len(q))
        steps = 1e-6 * np.eye(len(q))
        J = np.stack([(self.theta(q + h) - self.theta(q - h)) / 2e-6 for h in steps])
        return (-value, -J @ score) if np.isfinite(value) else (1e6, np.zeros(len(q)))

    def highest(self, quantity, value, starts=2, seed=0):
        """max ℓ given quantity(Σ's) = value, by a general-purpose constrained minimiser from several places."""
        rng = np.random.default_rng(seed)
        best = -np.inf
        for _ in range(starts):
            held = {"type": "eq", "fun": lambda q: quantity(self.sigmas(q)) - value}
            q = rng.uniform(0.2, 0.9, sum(self.sizes))
            options = {"maxiter": 200, "ftol": 1e-12}
            q = minimize(self.fall, q, jac=True, method="SLSQP", constraints=[held], options=options).x
            if abs(held["fun"](q)) < 1e-7 * max(abs(value), 1e-3):
                best = max(best, -self.fall(q)[0])
        return best


def quantity_of(spec, target):
    """A target as a function of every term's Σ, from its definition alone."""
    p = target.parameter
    if target.kind == "share":
        return lambda S: (target.w @ spec.theta(S)) / (target.d @ spec.theta(S))
    names = spec.all_terms[p.term].effects
    a = names.index(p.effect) if p.effect in names else 0
    b = names.index(p.effect2) if p.effect2 in names else 1  # "any two", "next"
    if target.kind == "sd":
        return lambda S: np.sqrt(S[p.term][a, a])
    if target.kind == "covariance":
        return lambda S: S[p.term][a, b]
    return lambda S: S[p.term][a, b] / np.sqrt(max(S[p.term][a, a] * S[p.term][b, b], 1e-300))


CASES = [
    ("slopes", "reml", ["covariances", "corr(id[Intercept, t])", "share(id)"]),
    ("two_kernels", "ml", ["sd(id2)", "share(id2)"]),
    ("autoregressive", "ml", ["sd", "correlations"]),
    ("residual_variances", "reml", ["sd"]),
    pytest.param("slopes", "ml", ["sd", "covariances", "correlations", "shares"], marks=pytest.mark.slow),
    pytest.param("crossed_weights_offset", "reml", ["sd", "share(a)"], marks=pytest.mark.slow),
    pytest.param("compound_symmetry", "reml", ["sd", "correlations"], marks=pytest.mark.slow),
    pytest.param("residual_autoregressive", "ml", ["sd", "correlations"], marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "method", "wanted"), CASES)
def test_the_ends_of_profile_intervals_are_just_rejected_by_brute_force(name, method, wanted):
    spec = problems.bound(name)
    fit = quietly_fitted(spec, method)
    brute = Roots(spec, method == "reml")
    table = fit.profile(wanted)
    crossed = 0
    for target in table.targets:
        for end in table.ends(target, 0.95):
            if end.kind == "crossed":
                highest = brute.highest(quantity_of(spec, target), end.t)
                assert_allclose(2 * (fit.llf - highest), Z**2, rtol=0, atol=2e-5, err_msg=f"{target.name} at {end.t}")
                crossed += 1
    assert crossed >= 2


def quietly_fitted(spec, method="reml", **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        return spec.fit(method, **options)


@pytest.mark.parametrize("name", ["nested", "kinship_slopes", "pedigree", "families"])
@pytest.mark.parametrize("method", ["reml", "ml"])
def test_fits_with_a_variance_held_at_an_end_are_just_rejected(name, method):
    spec = problems.bound(name)
    fit = quietly_fitted(spec, method)
    table = fit.profile([t.name for t in spec.all_terms if t.k == 1]).conf_int()
    for row in table.itertuples():
        for value, edge in ((row.lower, "lower"), (row.upper, "upper")):
            if value > 0.0:
                held = quietly_fitted(spec, method, fixed_varcomp={row.Index: value})
                assert_allclose(2 * (fit.llf - held.llf), Z**2, rtol=0, atol=1e-6, err_msg=f"{row.Index} {edge}")
            else:
                assert "lower limit is the edge" in row.note


def held_out(spec, j, b):
    """The specification without column j of X, b times it taken out of the response."""
    rest = [i for i in range(spec.p) if i != j]
    names = tuple(spec.x_names[i] for i in rest)
    return replace(spec, X=spec.X[:, rest].copy(), y=spec.y - b * spec.X[:, j], x_names=names)


@pytest.mark.parametrize("name", ["slopes", "crossed_weights_offset", "one_way_unbalanced"])
@pytest.mark.parametrize("method", ["reml", "ml"])
def test_fixed_effects_are_profiled_on_the_unrestricted_likelihood(name, method):
    spec = problems.bound(name)
    top = quietly_fitted(spec, "ml")
    table = quietly_fitted(spec, method).profile("fixed").conf_int()
    assert_allclose(table["estimate"], top.params, **PARAMETER)
    for j, row in enumerate(table.itertuples()):
        for b in (row.lower, row.upper):
            held = quietly_fitted(held_out(spec, j, b), "ml")
            assert_allclose(2 * (top.llf - held.llf), Z**2, rtol=0, atol=1e-6, err_msg=row.Index)


@pytest.mark.parametrize("name", ["slopes", "kinship_slopes", "residual_variances", "one_way_unbalanced"])
def test_a_held_fixed_effect_leaves_the_model_without_its_column(name):
    spec = problems.bound(name)
    theta = np.array([0.7 if w.a == w.b else 0.2 for w in spec.index])
    evaluation = choose(spec, reml=False)[0].at(theta)
    b = float(evaluation.beta[-1]) + 0.4
    held = HeldEffect(spec, evaluation, np.eye(spec.p)[-1], b)
    want = Brute(held_out(spec, spec.p - 1, b), reml=False).at(theta)
    assert_allclose(held.loglik, want.loglik, **OBJECTIVE)
    for what in ("score", "average_information", "observed_information"):
        size = np.abs(getattr(want, what)).max()
        assert_allclose(getattr(held, what), getattr(want, what), rtol=1e-8, atol=1e-9 * size, err_msg=what)
    step = 1e-5
    up, down = (HeldEffect(spec, evaluation, np.eye(spec.p)[-1], b + h) for h in (step, -step))
    assert_allclose(held.slope, (up.loglik - down.loglik) / (2 * step), rtol=1e-6, atol=1e-8)
    assert_allclose(held.bend, -(up.slope - down.slope) / (2 * step), rtol=1e-6, atol=1e-8)
    assert_allclose(held.cross, (up.score - down.score) / (2 * step), rtol=1e-5, atol=1e-7)


# ---- closed forms -----------------------------------------------------------------------------------------------


def test_a_linear_model_has_closed_profiles():
    """2(ℓ̂ − ℓ(β_j)) = n log(1 + t²/(n − p)); 2(ℓ̂ − ℓ(σ)) = ν(r − 1 − log r), r = σ̂²/σ², ν = n (ML) or n − p (REML)."""
    rng = np.random.default_rng(4)
    X = np.column_stack([np.ones(30), rng.standard_normal((30, 2))])
    spec = assemble.spec(X @ [1.0, 2.0, -1.0] + rng.standard_normal(30), X, [])
    for method, nu in (("reml", 27), ("ml", 30)):
        fit = quietly_fitted(spec, method)
        table = fit.profile(["variances", "fixed"]).conf_int()
        row = table.loc["Residual"]
        for value in (row["lower"], row["upper"]):
            r = row["estimate"] / value
            assert_allclose(nu * (r - 1 - np.log(r)), Z**2, rtol=1e-6, atol=0)
        beta = np.linalg.lstsq(X, spec.y, rcond=None)[0]
        s2 = np.sum((spec.y - X @ beta) ** 2) / 27
        half = np.sqrt(27 * np.expm1(Z**2 / 30)) * np.sqrt(s2 * np.diag(np.linalg.inv(X.T @ X)))
        assert_allclose(table["lower"].iloc[1:], beta - half, rtol=1e-8, atol=1e-10)
        assert_allclose(table["upper"].iloc[1:], beta + half, rtol=1e-8, atol=1e-10)


def test_functions_of_one_quantity_have_the_same_interval():
    """Intervals of a profile go through monotone transformations: variance, sd, log; share and ratio."""
    fit = quietly_fitted(problems.bound("one_way"))
    functions = {
        "log": lambda v: math.log(v["g"]),
        "ratio": lambda v: v["g"] / v["Residual"],
        "whole": lambda v: v["g"] / (v["g"] + v["Residual"]),
    }
    table = fit.profile(["g", "sd(g)", "shares", functions]).conf_int(0.9)
    low, high = table.loc["g", ["lower", "upper"]]
    assert low > 0
    assert_allclose(table.loc["sd(g)", ["lower", "upper"]].to_list(), np.sqrt([low, high]), **IDENTITY)
    assert_allclose(table.loc["log", ["lower", "upper"]].to_list(), np.log([low, high]), **COMPONENT)
    share = table.loc["share(g)", ["lower", "upper"]].to_numpy(dtype=float)
    assert_allclose(table.loc["whole", ["lower", "upper"]].to_list(), share, **COMPONENT)
    assert_allclose(table.loc["ratio", ["lower", "upper"]].to_list(), share / (1 - share), **COMPONENT)
    rest = table.loc["share(Residual)", ["lower", "upper"]].to_numpy(dtype=float)
    assert_allclose(1 - rest[::-1], share, **COMPONENT)


def test_heritabilities_and_functions_take_profile_intervals():
    fit = quietly("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"))
    low, high = fit.profile("share(Batch)").conf_int().loc["share(Batch)", ["lower", "upper"]]
    whole = fit.heritability("Batch", interval="profile")
    assert_allclose([whole.lower, whole.upper], [low, high], **IDENTITY)
    assert "95 % profile-likelihood interval" in str(whole)
    odds = fit.heritability("Batch", ["Residual"], interval="profile")  # not below one: no share
    assert_allclose([odds.lower, odds.upper], [low / (1 - low), high / (1 - high)], **COMPONENT)
    ratio = fit.derived(lambda v: v["Batch"] / v["Residual"], interval="profile")
    assert_allclose([ratio.lower, ratio.upper], [odds.lower, odds.upper], **COMPONENT)
    assert_allclose(ratio.se, fit.derived(lambda v: v["Batch"] / v["Residual"]).se, **IDENTITY)
    with pytest.raises(OptionError, match="method='bca' is not one of 'logit', 'profile'"):
        fit.heritability("Batch", interval="bca")


def test_a_function_that_ends_where_a_variance_is_zero_has_its_own_limit():
    fit = quietly("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff2"))
    row = fit.profile({"ratio": lambda v: v["Batch"] / v["Residual"]}).conf_int().loc["ratio"]
    whole = fit.profile("share(Batch)").conf_int().loc["share(Batch)"]
    assert row["estimate"] == 0.0
    assert_allclose(row["lower"], 0.0, rtol=0, atol=1e-9)
    assert "no values beyond the lower limit" in row["note"]
    assert_allclose(row["upper"], whole["upper"] / (1 - whole["upper"]), **COMPONENT)


# ---- edges ------------------------------------------------------------------------------------------------------


def test_a_variance_of_zero_has_a_lower_limit_of_zero():
    fit = quietly("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff2"))
    table = fit.profile(["Batch", "share(Batch)", "sd"]).conf_int()
    assert (table.loc[["Batch", "share(Batch)", "sd(Batch)"], "lower"] == 0.0).all()
    assert table.loc["Batch", "note"] == "lower limit is the edge of the range"
    value = table.loc["Batch", "upper"]
    held = mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff2"), fixed_varcomp={"Batch": value})
    assert_allclose(2 * (fit.llf - held.llf), Z**2, rtol=0, atol=1e-7)


def test_a_lower_limit_is_zero_just_as_long_as_zero_is_not_rejected():
    fit = quietly("strength ~ 1 + (1 | batch/cask)", mv.load_data("pastes"), method="ml")
    without = quietly("strength ~ 1 + (1 | batch:cask)", mv.load_data("pastes"), method="ml")
    root = np.sqrt(2 * (fit.llf - without.llf))
    level = 1 - 2 * (1 - mv_cdf(root))
    table = fit.profile("batch")
    assert table.conf_int(level + 1e-4)["lower"].iloc[0] == 0.0
    assert table.conf_int(level - 1e-4)["lower"].iloc[0] > 0.0
    points = table.frame
    assert_allclose(points.loc[points["value"] == 0.0, "zeta"], -root, rtol=1e-7, atol=0)


def mv_cdf(x):
    from scipy.special import ndtr

    return float(ndtr(x))


def test_a_correlation_is_anything_where_a_variance_may_be_zero():
    """The path at fixed ρ crosses −1.96 at −0.91, but a model without slopes (deviance .83) has any correlation."""
    fit = quietly("distance ~ age * Sex + (age | Subject)", mv.load_data("orthodont"), method="ml")
    without = quietly("distance ~ age * Sex + (1 | Subject)", mv.load_data("orthodont"), method="ml")
    table = fit.profile("correlations")
    row = table.conf_int().iloc[0]
    assert (row["lower"], row["upper"]) == (-1.0, 1.0)
    assert "a variance may be zero" in row["note"]
    deviance = 2 * (fit.llf - without.llf)
    assert deviance < Z**2
    low = table.ends(table.targets[0], 0.95)[0]
    assert_allclose(low.zeta**2, deviance, rtol=1e-6, atol=0)
    narrow = table.conf_int(0.5).iloc[0]
    assert -1.0 < narrow["lower"] < row["estimate"] < narrow["upper"] < 1.0


def test_every_point_of_a_profile_has_the_value_it_stands_for():
    """Far out on the other side of a clear correlation too, where a root of a variance would rather change its sign."""
    rng = np.random.default_rng(11)
    g = np.repeat(np.arange(30), 10)
    x = rng.standard_normal(300)
    u = rng.standard_normal((30, 2)) @ np.linalg.cholesky([[1.0, -0.8], [-0.8, 1.0]]).T
    fit = mv.fit("y ~ x + (x | g)", {"g": g, "x": x, "y": u[g, 0] + u[g, 1] * x + rng.standard_normal(300)})
    table = fit.profile(["corr(g[Intercept, x])", "sd(g[x])", "g[Intercept, x]", "share(g)"], level=0.99)
    for target in table.targets:
        quantity, path = quantity_of(fit.spec, target), fit.profiler.path(target)
        if target.kind == "correlation":
            top = next(p for p in path.points if p.zeta == 0.0)
            for t in (0.2, 0.6, 0.9, 0.99):
                path.point(t, top)
        points = [p for p in path.points if abs(p.zeta) < path.ceiling]
        got = [quantity(fit.spec.sigmas(p.stand.theta)) for p in points]
        assert_allclose(got, [p.t for p in points], rtol=1e-7, atol=1e-7, err_msg=target.name)
        for p in points:
            assert_allclose(2 * (fit.llf - fit.likelihood.at(p.stand.theta).loglik), p.zeta**2, rtol=1e-5, atol=1e-6)


def test_a_singular_fit_has_profiles_that_leave_the_edge():
    fit = quietly_fitted(problems.bound("factor_unstructured"))
    assert fit.is_singular
    table = fit.profile(["sd", "correlations", "share(g)", "g[f[p], f[q]]"]).conf_int()
    assert np.isfinite(table[["lower", "upper"]].to_numpy(dtype=float)).all()
    inside = table.dropna(subset="estimate")
    assert (inside["lower"] <= inside["estimate"] + 1e-9).all()
    assert (inside["estimate"] <= inside["upper"] + 1e-9).all()
    assert not table["note"].str.contains("converge").any()


def test_a_covariate_far_from_zero_changes_nothing_but_the_intercept():
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(25), 8)
    x = rng.uniform(-4, 4, 200)
    y = 10 + 0.3 * x + 2 * rng.standard_normal(25)[g] + 0.5 * rng.standard_normal(25)[g] * x + rng.standard_normal(200)
    data = {"g": g, "x": x, "year": x + 2000, "y": y}
    near = mv.fit("y ~ x + (x | g)", data).profile(["g[x]", "Residual", "share(g)", "x"]).conf_int()
    table = mv.fit("y ~ year + (year | g)", data).profile(["g[year]", "Residual", "year", "g[Intercept]"])
    far = table.conf_int().drop("g[Intercept]")
    assert table.n_evaluations < 200  # not thousands: coordinates belong to effects that are orthogonal in the rows
    rows = ["g[x]", "Residual", "x"]
    assert_allclose(far[["lower", "upper"]], near.loc[rows, ["lower", "upper"]], **PARAMETER)


def test_what_is_held_fixed_stays_where_it_is():
    data = mv.load_data("penicillin")
    formula = "diameter ~ 1 + (1 | plate) + (1 | sample)"
    fit = mv.fit(formula, data, fixed_varcomp={"plate": 0.5})
    table = fit.profile(["variances", "fixed"]).conf_int()
    assert list(table.index) == ["sample", "Residual", "Intercept"]
    for value in table.loc["sample", ["lower", "upper"]]:
        held = mv.fit(formula, data, fixed_varcomp={"plate": 0.5, "sample": value})
        assert_allclose(2 * (fit.llf - held.llf), Z**2, rtol=0, atol=1e-6)
    with pytest.raises(OptionError, match="'plate' is held fixed, so it has no profile"):
        fit.profile("plate")


def test_a_fit_below_the_maximum_is_said_to_be_so():
    data = mv.load_data("sleepstudy")
    best = mv.fit("Reaction ~ Days + (Days | Subject)", data)
    start = {"Subject": [[100.0, 0.0], [0.0, 200.0]], "residual": 200.0}
    with pytest.warns(MixedVCWarning, match="did not converge"):
        short = mv.fit("Reaction ~ Days + (Days | Subject)", data, max_iter=1, start=start)
    with pytest.warns(MixedVCWarning, match="above that of the fit, which is not at its maximum"):
        table = short.profile("sd").conf_int()
    assert_allclose(table[["lower", "upper"]], best.profile("sd").conf_int()[["lower", "upper"]], **COMPONENT)


# ---- coordinates ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["slopes", "factor_unstructured", "kinship_slopes", "compound_symmetry"])
def test_coordinates_have_the_derivatives_they_say(name):
    """At Σ's of full rank and of rank one: θ(q), its Jacobian, and the curvature that a score adds."""
    spec = problems.bound(name)
    rng = np.random.default_rng(2)
    for rank in (1, 3):
        sigmas = []
        for term in spec.all_terms:
            root = rng.standard_normal((term.k, min(rank, term.k)))
            Sigma = root @ root.T + (0.0 if term.structure.name == "us" else np.eye(term.k))
            sigmas.append(term.structure.build(term.structure.start(Sigma)))
        theta = spec.theta(sigmas)
        par = np.concatenate([t.structure.start(S) for t, S in zip(spec.all_terms, sigmas, strict=True)])
        space = space_at(spec, units_of(spec, 2.0), theta, par, np.zeros(len(par), dtype=bool))
        assert_allclose(space.theta(space.q), theta, rtol=1e-9, atol=1e-9)
        assert_allclose(space.par(space.q), par, rtol=1e-8, atol=1e-8)
        q = space.q + 0.05 * rng.standard_normal(len(space.q))
        score = rng.standard_normal(len(theta))
        J = space.jacobian(space.at(q))
        steps = 1e-5 * np.eye(len(q))
        slope = np.stack([(space.theta(q + h) - space.theta(q - h)) / 2e-5 for h in steps])
        assert_allclose(J, slope, rtol=1e-6, atol=1e-7)
        bend = np.stack([(space.jacobian(space.at(q + h)) - space.jacobian(space.at(q - h))) @ score for h in steps])
        assert_allclose(space.curvature(space.at(q), score), bend / 2e-5, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["share", "covariance", "function"])
def test_levels_have_the_derivatives_they_say(kind):
    spec = problems.bound("slopes")
    fit = quietly_fitted(spec)
    wanted = {"share": "share(id)", "covariance": "id[Intercept, t]", "function": {"f": lambda v: v["id[t]"] ** 2}}
    fit.profile(wanted[kind], level=0.5)
    axis = next(iter(fit.profiler._paths.values())).axis
    space, level = axis.space, axis.level
    q = space.q + 0.03
    a, A = level.derivatives(space, q, space.at(q), space.jacobian(space.at(q)))
    steps = 1e-4 * np.eye(len(q))
    slope = [(level.value(space, q + h) - level.value(space, q - h)) / 2e-4 for h in steps]
    assert_allclose(a, slope, rtol=1e-5, atol=1e-6)

    def gradient(x):
        return level.derivatives(space, x, space.at(x), space.jacobian(space.at(x)))[0]

    bend = np.stack([(gradient(q + h) - gradient(q - h)) / 2e-4 for h in steps])
    assert_allclose(A, bend, rtol=1e-3, atol=1e-4 * np.abs(bend).max())


# ---- what can be asked for --------------------------------------------------------------------------------------


def test_parameters_are_asked_for_by_group_and_by_name():
    spec = problems.bound("slopes")
    free = np.zeros(len(parameters(spec)), dtype=bool)

    def names(wanted):
        return [t.name for t in select(spec, wanted, free)]

    both = ["id[Intercept]", "id[Intercept, t]", "id[t]", "Residual"]
    roots = ["sd(id[Intercept])", "sd(id[t])", "sd(Residual)"]
    assert names("variances") == both
    assert names("sd") == roots
    assert names("correlations") == ["corr(id[Intercept, t])"]
    assert names("covariances") == ["id[Intercept, t]"]
    assert names("shares") == ["share(id)", "share(Residual)"]
    assert names("fixed") == list(spec.x_names)
    assert names(None) == [roots[0], "corr(id[Intercept, t])", *roots[1:], *spec.x_names]
    assert names("id") == both[:3]
    assert names(["sd", "sd(id[t])", "Residual"]) == [*roots, "Residual"]
    assert len(names("all")) == len(both) + len(roots) + 1 + 2 + spec.p
    with pytest.raises(OptionError, match=r"parameters='idd' is neither a parameter nor a group. Parameters: 'id"):
        names("idd")
    with pytest.raises(OptionError, match="a name, a group"):
        names(3)
    with pytest.raises(OptionError, match="a name and a function"):
        names({"f": 2.0})
    single = problems.bound("one_way")
    with pytest.raises(OptionError, match="parameters='correlations': this model has none that were estimated"):
        select(single, "correlations", np.zeros(2, dtype=bool))


# ---- coverage ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_profile_intervals_of_a_variance_cover():
    """REML profile intervals of a one-way layout with 20 groups of 5: 93-97 %."""
    rng = np.random.default_rng(77)
    group = np.repeat(np.arange(20), 5)
    base = assemble.spec(np.zeros(100), np.ones((100, 1)), [assemble.term("g", [f"g{i:02d}" for i in group])])
    likelihood = choose(base, purpose="many")[0]
    targets = select(base, "variances", np.zeros(2, dtype=bool))
    reps, hits = 500, np.zeros(2)
    truth = np.ones(2)
    for _ in range(reps):
        y = rng.standard_normal(20)[group] + rng.standard_normal(100)
        own = likelihood.with_response(y)
        spec = replace(base, y=y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedVCWarning)
            estimate = REML().fit(spec, likelihood=own)
        profiler = Profiler(spec, estimate, lambda _, own=own: own)
        for j, target in enumerate(targets):
            low, high = profiler.ends(target, Z)
            hits[j] += target.value(low.t) <= truth[j] <= target.value(high.t)
    assert ((hits / reps >= 0.93) & (hits / reps <= 0.97)).all(), hits / reps
