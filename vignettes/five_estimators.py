# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Five estimators, one model
#
# A variance component can be estimated by REML, by an EM or MM algorithm, by Haseman-Elston regression. In most
# software each of these is a program of its own, with its own idea of the model. Here the model is bound once,
# and the methods take turns. This page does that on a trial of wheat-like lines and on twins, and asks of each
# method what it costs, where it differs from the others, and why.
#
# The five:
#
# | method | what it does | elsewhere |
# |---|---|---|
# | `reml` | Newton steps on the average information | ASReml, GCTA |
# | `mm` | updates θ ← θ√(quad/trace) that never go down | VCM |
# | `pxem` | EM with an extra scale parameter for each term | VCM |
# | `he` | regresses yᵢyⱼ on the kinships: one linear system | GCTA `--HEreg` |
# | `rehe` | the same, with variances held at zero or above | REHE |
#
# (`mv.estimators.names()` lists the rest: `ml`, `em`, `fisher`, `rerehe`, and what other packages bring.)

# %%
import numpy as np
import pandas as pd
import scipy.sparse as sp

import mixedvc as mv
from mixedvc.estimators import EM, HE, MM, PXEM

# %% [markdown]
# ## Lines and markers
#
# 600 lines are scored at some 1300 markers, present or absent, as DArT markers are. They come from two breeding
# pools, and the allele frequencies of the pools have drifted apart a little (F_ST = 0.1). The grain yield has
# as many small marker effects and a heritability of one half **within** pools. But both pools were bred to the
# same standard: their **means** do not differ. Keep that in mind; real breeding material is often like this,
# and it will matter.

# %%
rng = np.random.default_rng(2024)
n, m, fst = 600, 1300, 0.1
pool = rng.choice(2, n, p=[0.6, 0.4])
ancestral = rng.uniform(0.1, 0.9, m)
drift = (1 - fst) / fst
frequency = np.array([rng.beta(ancestral * drift, (1 - ancestral) * drift) for _ in range(2)])
markers = (rng.random((n, m)) < frequency[pool]).astype(float)
markers = markers[:, (markers.mean(axis=0) > 0.05) & (markers.mean(axis=0) < 0.95)]

W = (markers - markers.mean(axis=0)) / markers.std(axis=0)
breeding_value = W @ rng.standard_normal(W.shape[1])
for k in (0, 1):
    breeding_value[pool == k] -= breeding_value[pool == k].mean()
breeding_value *= np.sqrt(0.5) / breeding_value.std()

lines = [f"line{i:03d}" for i in range(n)]
trial = pd.DataFrame({"line": lines, "pool": np.array(["east", "west"])[pool]})
trial["grain"] = 5 + breeding_value + np.sqrt(0.5) * rng.standard_normal(n)
print(trial.head(3))
print(markers.shape)

# %% [markdown]
# The markers are handed over as they are: `Features` standardises them and stands for the relationship matrix G
# = WWᵀ/m. `model` binds formula, table and covariance, and fits nothing yet.

# %%
G = mv.Features(markers, lines)
spec = mv.model("grain ~ 1 + (1 | line:G)", trial, cov={"G": G})
print(spec.explain())

# %% [markdown]
# ## Side by side
#
# `compare` fits every method on that one specification. Each cell is an estimate with its standard error. The
# log-likelihood is the same function for all, evaluated at each method's estimate: it says how far from REML's
# optimum a method ended, whatever the method itself wanted.

# %%
five = mv.compare(spec, ["reml", "mm", "pxem", "he", "rehe"], seed=1)
print(five)

# %%
axes = five.plot()

# %% [markdown]
# The first three agree to every printed digit. They must: they maximise the same function, by different routes,
# and that the routes end at one point is a good reason to believe it. Where they do not agree, one of them has
# not converged.
#
# The moment methods are somewhere else altogether.

# %%
likelihood_methods = ["reml", "mm", "pxem"]
share = {label: five[label].heritability().estimate for label in five.labels}
print({label: round(value, 3) for label, value in share.items()})

# %% [markdown]
# ## Why they differ: who is asked
#
# Both computations are right; they answer different questions. Let λ₁, λ₂, … be the eigenvalues of G, and z₁,
# z₂, … the response in the coordinates of its eigenvectors. The model says, of every one of them,
#
#     E zᵢ² = σ²_g λᵢ + σ²_e .
#
# It is a regression line through n points, and all methods fit that line. Haseman-Elston does so with equal
# weights, so that a point pulls on the slope (nearly) in proportion to λᵢ². REML weights each point by the
# inverse of its variance, (σ²_g λᵢ + σ²_e)⁻², which leaves a point with a large λ no more voice than its
# information.

# %%
K = W @ W.T / W.shape[1]
eigenvalues, vectors = np.linalg.eigh(K)
eigenvalues, vectors = eigenvalues[::-1], vectors[:, ::-1]
z2 = (vectors.T @ (trial["grain"] - trial["grain"].mean()).to_numpy()) ** 2
sigma_g, sigma_e = five["reml"].varcomp["variance"]
weights = {
    "he": eigenvalues**2,
    "reml": (eigenvalues / (sigma_g * eigenvalues + sigma_e)) ** 2,
}
bands = {"first": slice(0, 1), "2 to 100": slice(1, 100), "101 to 599": slice(100, 599)}
print(
    pd.DataFrame(
        {
            "mean λ": {name: eigenvalues[of].mean() for name, of in bands.items()},
            "mean z²": {name: z2[of].mean() for name, of in bands.items()},
            "by REML's line": {name: (sigma_g * eigenvalues[of] + sigma_e).mean() for name, of in bands.items()},
            **{f"weight, {k}": {name: w[of].sum() / w.sum() for name, of in bands.items()} for k, w in weights.items()},
        }
    ).round(3)
)

# %% [markdown]
# There it is. The first eigenvector separates the pools. Its eigenvalue is many times the others', so it has
# **half of all the weight** in Haseman-Elston regression, and less than a hundredth of it in REML. Along it the
# response hardly varies (the pools have equal means), where the model expects a great deal. HE, asking mostly
# this one direction, answers that markers matter little. REML hears 599 directions, 598 of which say that they
# matter a lot.
#
# If the model were true (if marker effects were independent draws, pools or not), that one direction would look
# like the others up to noise, and the methods would agree up to their standard errors. That they do not is a
# finding about the *model*. Here the remedy is to take the difference of the pools out of the random part:

# %%
within = mv.model("grain ~ pool + (1 | line:G)", trial, cov={"G": G})
repaired = mv.compare(within, ["reml", "he"])
print(repaired)

# %% [markdown]
# With the pools as fixed effects the two agree within HE's standard error. In real data nobody tells the pools;
# the first principal components of the markers take their place. A large difference between `he` and `reml` on
# one kernel is a cheap warning that they are needed.
#
# ## What the standard errors promise
#
# The standard error of `he` is a sandwich: the sampling covariance of the solution of its equations, under the
# estimated variances. REML's comes from the information. Both assume that the model holds. So let it hold: draw
# 200 responses from the model that REML fitted, and fit each of them again by both methods.

# %%
truth = repaired["reml"]
responses = truth.simulate(200, seed=7)
without_se = within.fit(HE(se="none"))
again = {
    "reml": np.array([truth.refit(responses[name]).estimate.theta for name in responses]),
    "he": np.array([without_se.refit(responses[name]).estimate.theta for name in responses]),
}
some = [f"sim_{j}" for j in range(1, 21)]
promised = {
    label: np.mean([repaired[label].refit(responses[k]).varcomp["se"] for k in some], axis=0) for label in again
}
print("simulated from:", truth.estimate.theta.round(3))
for label, theta in again.items():
    print(f"{label:5} mean {theta.mean(axis=0).round(3)}  sd {theta.std(axis=0, ddof=1).round(3)}", end="")
    print(f"  promised {promised[label].round(3)}")

# %% [markdown]
# Both are unbiased, and both keep what they promise. REML's spread is smaller: this is what the iterations buy.
#
# ## Iterations, and how to have fewer
#
# EM is the simplest method of all and the slowest: it creeps. PX-EM and MM creep less. By default all three are
# accelerated by SQUAREM, which extrapolates from two updates and keeps the result only if the likelihood does
# not fall; `accelerate=None` gives the plain iteration. A dictionary names the variants.

# %%
variants = {
    f"{name}, {how}": method(accelerate=accelerate)
    for name, method in (("em", EM), ("pxem", PXEM), ("mm", MM))
    for how, accelerate in (("plain", None), ("squarem", "squarem"))
}
speeds = mv.compare(spec, {"reml": "reml", **variants})
print(speeds.glance()[["below_best", "evaluations", "converged"]].to_string())

# %% [markdown]
# All stand on the same optimum; SQUAREM gets there with about a tenth of the evaluations.
#
# Why iterate by anything but Newton, which needs fewest? MM and EM are a page of code each, cannot step outside
# the parameter space, and never lower the likelihood. When Newton and MM agree, neither has been fooled.
#
# ## What it costs
#
# With one kernel an evaluation costs next to nothing: the kernel is decomposed once, and every θ after that
# costs n. With two kernels each evaluation factorises an n × n matrix, and their number is what you wait for.
# Moment methods never factorise one: they read each kernel once, or, with `trace="hutchinson"`, only multiply
# it by a hundred random vectors. It is their standard errors that cost, and `se="none"` leaves them out.

# %%
size = 1000
ids = [f"id{i}" for i in range(size)]
first_set, second_set = rng.integers(0, 3, (size, 1500)).astype(float), rng.standard_normal((size, 1500))
two_kernels = {"A": mv.Features(first_set, ids), "B": mv.Features(second_set, ids)}
formula = "y ~ 1 + (1 | id:A) + (1 | id:B)"
blank = mv.model(formula, {"id": ids}, cov=two_kernels, responses={"y": rng.standard_normal(size)})
given = blank.fit(fixed_varcomp={"id:A": 0.3, "id:B": 0.2, "residual": 0.5})
response = given.simulate(seed=3)["sim_1"].to_numpy()
larger = mv.model(formula, {"id": ids}, cov=two_kernels, responses={"y": response})
cost = mv.compare(
    larger,
    {
        "reml": "reml",
        "mm": "mm",
        "he": "he",
        "he without errors": HE(se="none"),
        "he by probes": HE(se="none", trace="hutchinson"),
    },
    seed=2,
)
print(cost)

# %% [markdown]
# ## Twins: at the boundary
#
# The second example comes with mixedvc: body mass of 3791 pairs of Australian twins, with additive genetic
# effects A (1 within identical pairs, ½ within fraternal ones) and a common environment, one effect for each
# family. [twins_ace.py](twins_ace.py) builds this model slowly. Fraternal pairs correlate less than half as
# much as identical pairs, so the equations ask for a **negative** variance of the shared home.

# %%
wide = mv.load_data("twins")
first = pd.DataFrame({"fam": wide["fam"].astype(str), "twin": "1", "bmi": wide["bmi1"], "age": wide["age"]})
twins = pd.concat([first, first.assign(twin="2", bmi=wide["bmi2"])], ignore_index=True)
twins["person"] = twins["fam"] + "-" + twins["twin"]
pairs, zygosity = len(wide), wide["zygosity"].to_numpy(dtype=str)
women = {"1": ["MZFF", "DZFF", "DZOS"], "2": ["MZFF", "DZFF"]}
twins["woman"] = np.concatenate([np.isin(zygosity, women["1"]), np.isin(zygosity, women["2"])]).astype(int)

alike = np.where(np.char.startswith(zygosity, "MZ"), 1.0, 0.5)
one, two = np.arange(pairs), np.arange(pairs) + pairs
rows, columns = np.concatenate([one, two, one, two]), np.concatenate([one, two, two, one])
values = np.concatenate([np.ones(2 * pairs), alike, alike])
A = mv.Sparse(sp.csr_array((values, (rows, columns)), shape=(2 * pairs, 2 * pairs)), twins["person"])

known = twins.dropna(subset=["bmi", "age"])
ace = mv.model("bmi ~ age + woman + (1 | person:A) + (1 | fam)", known, cov={"A": A})
home = mv.compare(ace, ["reml", "mm", "pxem", "em", "he", "rehe"])
print(home)

# %%
axes = home.plot("fam")

# %% [markdown]
# - The likelihood methods stop at **exactly zero**, mark it (`*`, a hollow point), and give no standard error.
#   EM and MM by themselves only ever approach a zero; here they step onto it when the score says so, and would
#   step off again.
# - `he` reports a negative variance with its standard error, as it is: it is unbiased, and its interval is
#   honest. Where a variance is needed, for fixed effects, predictions and the log-likelihood above, it counts
#   as zero. It lies two standard errors below zero, which says again that this *model* lacks something:
#   [twins_ace.py](twins_ace.py) finds dominance.
# - `rehe` solves the same equations over variances that are zero or more, and moves the other components
#   accordingly. Its standard errors and intervals are those of the unconstrained solution, so that a zero has
#   them too (and a point may lie beside its interval).
#
# Not one n × n matrix was formed: the twins fall into families, and all methods see that.

# %%
se = home.table.query("kind != 'fixed'").pivot(index="parameter", columns="method", values="se")
print(se[["reml", "he", "rehe"]].round(4))

# %% [markdown]
# The moment methods' errors are several times REML's. In part that is the home's doing: REML's are those of the
# model without it, which is where REML ended. The rest is the price of equal weights.
#
# ## Which one, then?
#
# - **`reml`**, unless there is a reason. It needs the fewest steps, and its standard errors are the smallest.
# - **`mm` or `pxem`** to check it by another route. Their answer is REML's, or with `restricted=False` ML's.
# - **`he` or `rehe`** where n is too large for a factorisation, or there are too many kernels. Expect larger
#   standard errors, and look at the leading eigenvectors first.
# - **`rehe`** where a negative estimate cannot be used, **`he`** where estimates will be averaged: a constraint
#   makes a bias.
# - **Several of them** in one table, when the answer matters.
#
# What this page says is checked here, so that it stays true:

# %%
for label in likelihood_methods:
    np.testing.assert_allclose(five[label].estimate.theta, five["reml"].estimate.theta, rtol=1e-6, atol=0)
    assert five.glance().loc[label, "below_best"] < 1e-6
assert share["he"] < 0.2 < 0.4 < share["reml"]
assert five.glance().loc["he", "below_best"] > 5
assert eigenvalues[0] > 8 * eigenvalues[1]
assert 0.4 < weights["he"][0] / weights["he"].sum() < 0.6
assert weights["reml"][0] / weights["reml"].sum() < 0.01
assert z2[0] < 0.02 * (sigma_g * eigenvalues[0] + sigma_e)

gap = repaired["he"].estimate.theta - repaired["reml"].estimate.theta
assert np.all(np.abs(gap) < repaired["he"].varcomp["se"])

for label, theta in again.items():
    z = (theta.mean(axis=0) - truth.estimate.theta) / (theta.std(axis=0, ddof=1) / np.sqrt(len(theta)))
    assert np.all(np.abs(z) < 4), label
    np.testing.assert_allclose(theta.std(axis=0, ddof=1), promised[label], rtol=0.25, atol=0)
assert np.all(again["reml"].std(axis=0) < again["he"].std(axis=0))

counts = speeds.glance()["evaluations"]
assert (speeds.glance()["below_best"] < 1e-6).all() and speeds.glance()["converged"].all()
for name in ("em", "pxem", "mm"):
    assert 6 < counts[f"{name}, plain"] / counts[f"{name}, squarem"] < 16, name
assert counts["em, plain"] > counts["mm, plain"] > counts["pxem, plain"]
assert counts["reml"] == counts.min()

seconds = cost.glance()["seconds"]
assert seconds["he without errors"] < seconds["mm"]
assert seconds["he by probes"] < seconds["mm"]
np.testing.assert_allclose(cost["he"].estimate.theta, cost["he without errors"].estimate.theta, rtol=1e-10, atol=0)

zero = home.table.query("parameter == 'fam'").set_index("method")
for label in ("reml", "mm", "pxem", "em"):
    assert zero.loc[label, "estimate"] == 0 and zero.loc[label, "boundary"] and np.isnan(zero.loc[label, "se"])
assert -3 < zero.loc["he", "estimate"] / zero.loc["he", "se"] < -1.9
assert zero.loc["rehe", "estimate"] == 0 and zero.loc["rehe", "se"] > 0
assert home.glance()["below_best"][["reml", "mm", "pxem", "em"]].max() < 1e-6
assert (se["he"] > 2 * se["reml"])[["person", "Residual"]].all()
assert twins["fam"][known.index].nunique() == 3791
