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
# # Is this variance zero?
#
# "Do I need this random effect?" is the most common question about a mixed model, and the one whose usual
# answers are most often wrong. A variance cannot be negative, so under the null hypothesis it sits on the edge
# of what is possible, and the rules made for parameters in the open do not hold there. This page shows what
# holds instead: which test to use, what its p-value means, what an interval says when the estimate is zero, and
# what to do then.

# %%
import warnings

import numpy as np
import pandas as pd
from scipy.stats import chi2, norm

import mixedvc as mv

pd.set_option("display.width", 120, "display.max_columns", 20)

# %% [markdown]
# ## One variance: six batches of dye
#
# Five samples of dyestuff from each of six batches. Do batches differ?

# %%
dye = mv.load_data("dyestuff")
fit = mv.fit("Yield ~ 1 + (1 | Batch)", dye)
print(fit.varcomp[["group", "variance", "se", "lower", "upper"]].round(1).to_string())

# %% [markdown]
# The tempting test divides the estimate by its standard error:

# %%
batch = fit.varcomp.iloc[0]
z = batch["variance"] / batch["se"]
print(f"z = {z:.2f}, one-sided p = {norm.sf(z):.2f}: no evidence of batches?")

# %% [markdown]
# That is wrong, and not by a little. The estimate of a variance from six batches is skewed: when it is large by
# chance its standard error is large too, so z hardly grows. `test_varcomp` compares the restricted
# log-likelihood with and without the batches.

# %%
print(fit.test_varcomp("Batch", seed=1).T.to_string())

# %% [markdown]
# ## Where the p-value comes from
#
# In a regular problem twice the difference of log-likelihoods is compared with χ² on one degree of freedom.
# Here, when the batches are all alike, about half of all samples have their highest likelihood exactly at
# variance zero, and the statistic is then exactly 0. There are three ways to take that into account:
#
# - `method="chi2"` does not: p-values are about twice what they should be.
# - `method="mixture"` halves them, ½χ²₀ + ½χ²₁: right when there are very many batches.
# - `method="exact"` draws the statistic's law for this design and this number of batches (Crainiceanu and Ruppert
#   2004). With one variance beside the residual it costs milliseconds, because all that is needed is the
#   eigenvalues of the design. This is what `"auto"`, the default, takes where it applies.
#
# A parametric bootstrap (`method="boot"`) refits both models to simulated responses; it needs no theory, and time.

# %%
for method in ("chi2", "mixture", "exact"):
    row = fit.test_varcomp("Batch", method=method, seed=1).iloc[0]
    print(f"{method:8s} p = {row['p_value']:.4f}  (± {row['mc_error']:.4f} of simulation)")

# %% [markdown]
# How much does it matter? We let batches be all alike 400 times and count how often each test says at the 5 %
# level that they are not. A correct test says it in 5 % of the samples.

# %%
rng = np.random.default_rng(7)
means = dye["Yield"].mean()
rejected = {"z": 0, "chi2": 0, "mixture": 0, "exact": 0}
zeros, n_samples = 0, 400
spec = mv.model("Yield ~ 1 + (1 | Batch)", dye)
null = mv.fit("Yield ~ 1", dye)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", mv.errors.BoundaryWarning)
    for _ in range(n_samples):
        y = means + 50 * rng.standard_normal(len(dye))
        one = fit.refit(y)
        statistic = max(2 * (one.llf - null.refit(y).llf), 0.0)
        row = one.varcomp.iloc[0]
        zeros += row["variance"] == 0
        rejected["z"] += bool(row["variance"] / row["se"] > 1.645)
        rejected["chi2"] += chi2.sf(statistic, 1) < 0.05
        rejected["mixture"] += 0.5 * chi2.sf(statistic, 1) < 0.05
        rejected["exact"] += statistic > 2.3287  # the exact 5 % point for six batches of five
print(f"estimates that are exactly zero: {zeros / n_samples:.0%}")
for name, count in rejected.items():
    print(f"{name:8s} says 'not zero' in {count / n_samples:.1%} of the samples without batches")

# %% [markdown]
# The z test never finds anything: with six batches z cannot exceed √(5/2) = 1.58, whatever the truth. χ²₁ finds
# too little, the mixture a little too little, the exact law what it should. (400 samples leave an error of about
# one per cent in each figure.)
#
# ## An estimate of exactly zero

# %%
dye2 = mv.load_data("dyestuff2")
with warnings.catch_warnings():
    warnings.simplefilter("ignore", mv.errors.BoundaryWarning)
    singular = mv.fit("Yield ~ 1 + (1 | Batch)", dye2)
print("singular:", singular.is_singular)
print(singular.varcomp[["group", "variance", "se", "lower", "upper", "boundary"]].to_string())

# %% [markdown]
# The fit is *singular*: the highest likelihood is at variance zero. It is reported as zero, not as a small
# number; it is flagged; it has no standard error, because there is no normal distribution around an edge.
# `test_varcomp` gives p = 1.
#
# Zero is an estimate, not a finding. The profile likelihood says how large the variance could be all the same:

# %%
profiled = singular.variances(interval="profile")
print(profiled[["group", "variance", "lower", "upper"]].round(2).to_string())

# %% [markdown]
# Six batches cannot exclude a variance of 6 where the residual's is 14. So a singular fit is no reason to drop a
# term that belongs to the design: with the variance at zero it changes no other estimate, and its
# profile interval tells readers what the data can say. Drop it for a reason, such as a model that had more
# terms than the design can carry, and then say so.
#
# Intervals below zero are a sign of the wrong method. Wald's, estimate ± 2 SE, does that; profile
# intervals end at zero, and so do those of a bootstrap:

# %%
for kind in ("wald", "chi2", "profile"):
    row = fit.variances(interval=kind).iloc[0]
    print(f"{kind:8s} {row['lower']:9.1f} … {row['upper']:9.1f}")

# %% [markdown]
# ## One of several variances
#
# Pastes: casks within batches. Each variance is tested beside the other. The law of the statistic then depends
# on the other variance too. By default the mixture is used; `exact` uses the law as if the other term were absent
# (Greven and others 2008, RLRsim's `exactRLRT(m, mA, m0)`), an approximation, and says so in the table.

# %%
pastes = mv.fit("strength ~ 1 + (1 | batch / cask)", mv.load_data("pastes"))
tested = pastes.test_varcomp(method="exact", seed=1)
print(tested[["statistic", "p_value", "mc_error"]].to_string())
print(tested["method"].iloc[0])

# %% [markdown]
# ## A slope
#
# A random slope brings two parameters, its variance and its covariance with the intercept, but only one edge:
# if the variance is zero the covariance is too. The law is ½χ²₁ + ½χ²₂. lmerTest's `ranova` refers the same
# statistic to χ²₂, which is conservative.

# %%
sleep = mv.load_data("sleepstudy")
slopes = mv.fit("Reaction ~ Days + (Days | Subject)", sleep)
row = slopes.test_varcomp("Subject[Days]").iloc[0]
print(f"statistic {row['statistic']:.4f}, p = {row['p_value']:.2e}; by χ²₂ {chi2.sf(row['statistic'], 2):.2e}")

# %% [markdown]
# A correlation is another matter: zero is in the middle of its range, and χ²₁ is right. (Only where a variance
# is nearly zero is its correlation not known at all, and the profile interval runs from −1 to 1.)

# %%
apart = mv.fit("Reaction ~ Days + (Days || Subject)", sleep)
statistic = 2 * (slopes.llf - apart.llf)
print(f"correlation: statistic {statistic:.3f}, p = {chi2.sf(statistic, 1):.2f}")

# %% [markdown]
# ## In short
#
# - Test a variance with `fit.test_varcomp()`. Never divide it by its standard error.
# - Compare restricted likelihoods only of models with the same fixed effects; `test_varcomp` sees to it.
# - `anova(m1, m0)` of lme4 uses χ²₁: with one variance its p-value is about twice too large.
# - Report the profile interval, above all when the estimate is zero.
# - Do not choose random terms by p-values where the design already says what they are. A variance that the
#   design put there is estimated, not tested.
#
# What this page says is checked here:

# %%
exact = fit.test_varcomp("Batch", method="exact", seed=1).iloc[0]
assert abs(exact["statistic"] - 6.369) < 1e-3
assert 0.001 < exact["p_value"] < 0.006
assert z < 1.645
assert rejected["z"] <= rejected["chi2"] <= rejected["mixture"] <= rejected["exact"]
assert abs(rejected["exact"] / n_samples - 0.05) < 4 * np.sqrt(0.05 * 0.95 / n_samples)
assert abs(zeros / n_samples - 0.56) < 4 * np.sqrt(0.56 * 0.44 / n_samples)
assert singular.is_singular
assert profiled["lower"].iloc[0] == 0
assert 6 < profiled["upper"].iloc[0] < 7
assert singular.test_varcomp(seed=1)["p_value"].iloc[0] == 1
assert row["p_value"] < chi2.sf(row["statistic"], 2)
