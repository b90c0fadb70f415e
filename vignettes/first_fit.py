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
# # First fit
#
# This is for readers who know `lmer`. We fit one model from start to end: read the formula, the table, the
# variances, the random effects; predict a new subject; simulate; save and load. The data are the sleep
# deprivation study that comes with lme4: 18 people, three hours in bed a night, reaction times over ten days.

# %%
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf

import mixedvc as mv

sleep = mv.load_data("sleepstudy")
print(sleep.head())
print(sleep["Subject"].dtype)

# %% [markdown]
# `Subject` is a categorical, as it is a factor in R. A column of strings or integers would do as well: what
# stands to the right of a bar is a grouping factor, whatever its type.
#
# ## How the formula is read
#
# `(Days | Subject)` is one intercept and one slope for each subject, with a free 2 × 2 covariance matrix: the
# same as in lme4. `mv.model` binds formula and data without fitting, and `explain` says what was understood.

# %%
spec = mv.model("Reaction ~ Days + (Days | Subject)", sleep)
print(spec.explain())

# %% [markdown]
# ## The fit
#
# REML is the default, as in `lmer`. `spec.fit()` and `mv.fit(formula, data)` are the same thing.

# %%
fit = spec.fit()
print(fit.summary())

# %% [markdown]
# The header has the restricted log-likelihood with lme4's constants, so −871.814 is the number
# `logLik(lmer(...))` prints. The fixed effects come with Satterthwaite's degrees of freedom, as in lmerTest.
#
# The lower table is the part that lme4 does not print: for each variance its standard error, an interval, and
# its share of the total. lme4 shows standard deviations only (24.741, 5.922, 25.592) and the correlation
# (0.066); they stand in the column `sd`.

# %%
print(fit.varcomp.round(3).to_string())

# %% [markdown]
# All numbers are attributes; names follow statsmodels. `params` are the fixed effects, `bse` their standard
# errors.

# %%
print(fit.params)
print(fit.bse)
print(fit.conf_int())
print("log-likelihood", fit.llf, " AIC", fit.aic, " rows", fit.nobs)

# %% [markdown]
# ## What the standard errors of the variances mean
#
# The standard error of a variance is the square root of the inverse information of the restricted likelihood,
# for the variance itself, in squared milliseconds. By default it is the expected information, and the notes
# under the table say so.
#
# A variance cannot be negative and its estimate is skewed, the more so the fewer groups there are. So do not form
# estimate ± 2 SE, nor divide by the SE to test "variance = 0". The intervals of the table match a chi-square
# distribution to each variance and its SE (Satterthwaite), and stay above zero; tests of zero are made by
# `fit.test_varcomp()`.
#
# If you compare with `MixedLM` of statsmodels: its estimates agree with ours, but beside its variances it prints
# the standard error of the ratio variance / residual variance, times the residual standard deviation. That is
# neither the SE of a ratio nor that of a variance, and here far too small. The cell below shows both.

# %%
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    other = smf.mixedlm("Reaction ~ Days", sleep, groups="Subject", re_formula="~Days").fit(reml=True)

ours = fit.varcomp.set_index(["group", "effect"]).loc[("Subject", "Intercept")].query("effect2.isna()").iloc[0]
print(f"variance of the intercepts: mixedvc {ours['variance']:.2f}, statsmodels {other.cov_re.iloc[0, 0]:.2f}")
print(f"its standard error:         mixedvc {ours['se']:.2f}, statsmodels prints {other.bse_re.iloc[0]:.2f}")

# %% [markdown]
# ## Random effects
#
# `random_effects` are the BLUPs, a table for each grouping factor, as `ranef()` in R. `random_effects_cov` is what
# lme4 calls `condVar`, the covariance of each subject's intercept and slope given the data with the fixed effects
# taken as known; `pev` adds the uncertainty of the fixed effects.

# %%
subjects = fit.random_effects["Subject"]
print(subjects.head())
first = sleep["Subject"].iloc[0]
print(fit.random_effects_cov["Subject"].loc[first])
print(fit.pev["Subject"].head(3))

# %% [markdown]
# A caterpillar plot orders them. (Plots need matplotlib: `pip install "mixedvc[plots]"`.)

# %%
fit.plot_effects("Subject")

# %% [markdown]
# ## Prediction
#
# By default a prediction uses the random effects. A subject who was not in the data is an error, because the
# two possible answers are different: the population line (`new_levels="zero"`) has that subject's random
# effects at their expectation.

# %%
new = pd.DataFrame({"Days": [0.0, 5.0, 9.0], "Subject": ["308", "308", "newcomer"]})
try:
    fit.predict(new)
except mv.errors.MixedVCError as problem:
    print(problem)
print(fit.predict(new, new_levels="zero"))
print("without any random effect:", np.asarray(fit.predict(new, random="none")))

# %% [markdown]
# ## Simulation
#
# `simulate` draws new responses from the fitted model. Here: is the spread of the subjects' mean reaction
# times what the model says it should be?

# %%
draws = np.asarray(fit.simulate(200, seed=1))
codes = sleep["Subject"].cat.codes.to_numpy()
observed = sleep.groupby("Subject", observed=True)["Reaction"].mean().std()
by_subject = np.stack([draws[codes == s].mean(axis=0) for s in range(18)])
print(f"sd of the subjects' means: observed {observed:.1f}, simulated {by_subject.std(axis=0, ddof=1).mean():.1f}")

# %% [markdown]
# ## ML, and comparing models
#
# A likelihood ratio between models with different fixed effects needs ML fits. The specification is reused.

# %%
ml = spec.fit("ml")
uncorrelated = mv.fit("Reaction ~ Days + (Days || Subject)", sleep, method="ml")
print(f"ML log-likelihood: correlated {ml.llf:.4f}, uncorrelated {uncorrelated.llf:.4f}")
print(f"twice the difference: {2 * (ml.llf - uncorrelated.llf):.4f} on one degree of freedom")

# %% [markdown]
# ## Save and load
#
# The file is a zip of text and arrays. Nothing in it is executed when it is read.

# %%
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "sleep.mvc"
    fit.save(path)
    again = mv.load(path)
assert again.llf == fit.llf
print(again.varcomp[["group", "effect", "variance", "se"]])

# %% [markdown]
# ## From the shell
#
#     mixedvc fit "Reaction ~ Days + (Days|Subject)" data/sleepstudy.csv
#
# prints the same table. What this page says is checked here, so that it stays true:

# %%
assert abs(fit.llf - -871.8141) < 1e-4
np.testing.assert_allclose(fit.varcomp["variance"], [612.1002, 9.6044, 35.0717, 654.9400], rtol=2e-5, atol=0)
np.testing.assert_allclose(fit.varcomp["se"], [288.786, 46.6788, 14.7821, 77.1854], rtol=2e-5, atol=0)
np.testing.assert_allclose(other.cov_re.iloc[0, 0], ours["variance"], rtol=1e-3, atol=0)
