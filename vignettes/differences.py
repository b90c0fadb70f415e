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
# # Differences from lme4, SAS and statsmodels
#
# Two programs that fit the same model should print the same numbers. When they do not, it is usually a convention,
# sometimes an optimiser that stopped early, and now and then a mistake. This page lists the differences a
# reader of both outputs will meet, with the numbers, so that nobody has to wonder which one is right.

# %%
import warnings

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf

import mixedvc as mv

pd.set_option("display.width", 120, "display.max_columns", 20)
sleep = mv.load_data("sleepstudy")
fit = mv.fit("Reaction ~ Days + (Days | Subject)", sleep)

# %% [markdown]
# ## 1. The log-likelihood's constant
#
# Every program maximises the same function, up to a constant that depends on the data alone. Within one
# program it cancels when models are compared; between programs it does not. With n rows and p fixed effects:

# %%
n, p = fit.spec.X.shape
half_log_XX = 0.5 * np.linalg.slogdet(fit.spec.X.T @ fit.spec.X)[1]
pi_term = (n - p) / 2 * np.log(2 * np.pi)
constants = pd.Series(
    {
        "lme4, nlme's lme, statsmodels, mixedvc": fit.llf,
        "GEMMA, rrBLUP:  + ½ log|XᵀX|": fit.llf + half_log_XX,
        "gaston:  + (n − p)/2 log 2π": fit.llf + pi_term,
        "sommer, regress:  + both": fit.llf + half_log_XX + pi_term,
    },
    name="REML log-likelihood",
)
print(constants.round(4).to_string())

# %% [markdown]
# lme4 also calls −2 times the restricted log-likelihood the "REML criterion". It is no deviance: restricted
# likelihoods of models with different fixed effects cannot be compared at all, because each is the
# likelihood of other contrasts of the data. `mv.lrt` refits such models by ML, as `anova()` in lme4 does.
#
# ## 2. Counting parameters: AIC and BIC
#
# lme4 counts fixed effects, variances, covariances and the residual variance, for REML fits too; so do we. SAS's
# PROC MIXED counts only the variance parameters of a REML fit. BIC needs a number of observations: rows in
# lme4 and here, rows minus p for a REML fit of nlme, subjects in SAS. statsmodels gives none for REML.

# %%
orthodont = mv.load_data("orthodont")
growth = mv.fit("distance ~ age * Sex + (1 | Subject)", orthodont)
k, rows, fixed = growth.n_parameters, growth.nobs, growth.spec.p
subjects = growth.spec.terms[0].q
bic = pd.Series(
    {
        "lme4 and mixedvc (108 rows)": -2 * growth.llf + k * np.log(rows),
        "nlme (108 − 4)": -2 * growth.llf + k * np.log(rows - fixed),
        "SAS (27 subjects, 2 parameters)": -2 * growth.llf + (k - fixed) * np.log(subjects),
    },
    name="BIC",
)
print(bic.round(3).to_string())

# %% [markdown]
# None of this matters when models are compared within a program. All of it matters when numbers of two are.
#
# ## 3. statsmodels prints standard errors of variances on a wrong scale
#
# The estimates of `MixedLM` agree with ours:

# %%
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    other = smf.mixedlm("Reaction ~ Days", sleep, groups="Subject", re_formula="~Days").fit(reml=True)
names = ["Subject[Intercept]", "Subject[Intercept, Days]", "Subject[Days]"]
ours = fit.varcomp.iloc[:3]
lower = np.tril_indices(2)
table = pd.DataFrame(
    {
        "mixedvc": ours["variance"].to_numpy(),
        "statsmodels": other.cov_re.to_numpy()[lower],
        "SE, mixedvc": ours["se"].to_numpy(),
        "SE, statsmodels": other.bse_re.to_numpy(),
    },
    index=names,
)
print(table.round(3).to_string())

# %% [markdown]
# but the standard errors beside them are 24 times too small. What is printed there is the standard error of
# the *ratio* of the variance to the residual variance, multiplied by the residual standard deviation, which is the SE
# of nothing. (Multiplied by the residual variance it would be that of the variance if the residual's were
# known.) We can make the same numbers by the delta method:

# %%
sigma = np.sqrt(fit.scale)
ratios = [fit.derived(lambda v, name=name: v[name] / v["Residual"]).se for name in names]
table["SE of the ratio × σ"] = np.array(ratios) * sigma
print(table[["SE, statsmodels", "SE of the ratio × σ"]].round(3).to_string())

# %% [markdown]
# So a "612 ± 12" of `MixedLM` is really 612 ± 289. lme4 prints no standard errors of variances, on purpose:
# their distribution is skewed. We print them with intervals that are skewed too, and
# `fit.profile()` follows the likelihood itself.
#
# ## 4. Optimisers that stop early
#
# lme4 looks for the maximum without derivatives and stops when the criterion changes little. That leaves
# the estimates a few units off in the fifth digit; enough to make a comparison to all digits fail, and of no other
# consequence. Penicillin's variance of samples is 3.73113 by `lmer`:

# %%
penicillin = mv.fit("diameter ~ 1 + (1 | plate) + (1 | sample)", mv.load_data("penicillin"))
print(f"mixedvc: {penicillin.varcomp['variance'].iloc[1]:.5f}, where the restricted likelihood is highest")

# %% [markdown]
# We iterate with derivatives until the criterion would rise by less than 1e-13. In a balanced design one can check by
# hand: REML is the analysis of variance there. Yates' oats have 214.4771, 106.0618 and 177.0833 for blocks, plots and
# rows, and a fit here has these to ten digits.
#
# Sometimes an early stop is of consequence. Count the days of the sleep study from another origin, as one does
# with years. The model is the same, and so is its likelihood; only the intercept moves to a place far from
# the data, where it is nearly collinear with the slope:

# %%
lmer_ends_at = {0: -871.8141, 100: -881.7045, 500: -893.1275, 2000: -893.2243}  # lme4 1.1.31, default control
for origin, theirs in lmer_ends_at.items():
    moved = mv.fit("Reaction ~ x + (x | Subject)", sleep.assign(x=sleep["Days"] + origin))
    print(f"days from {-origin:6d}: mixedvc {moved.llf:.4f}, lmer {theirs:.4f}")

# %% [markdown]
# lmer loses 21 units of log-likelihood, at 2000 with the message that the fit is singular, which it is not. Centre
# your covariates all the same: variances of an intercept in the year zero mean nothing to anybody.
#
# ## 5. Which fits are singular
#
# lme4's `isSingular` asks whether a standard deviation, relative to the residual's, is below 1e-4. That depends on
# units: measured in metres a slope may be "singular" that in kilometres is not. Here a fit is singular if the
# likelihood is highest at a Σ without full rank, which has no units; a variance at the edge is exactly zero.
# Of the 560 generated models in our test suite the two rules disagree on 26.
#
# ## 6. Degrees of freedom of the fixed effects
#
# | | tests of fixed effects |
# |---|---|
# | lme4 | t values, no p-values |
# | lmerTest, **mixedvc** | Satterthwaite by default, Kenward-Roger on request |
# | SAS | containment by default; `ddfm=satterthwaite`, `ddfm=kenwardroger` |
# | nlme | by the level of grouping at which a term varies |
# | statsmodels | normal: as if there were infinitely many groups |

# %%
degrees = pd.DataFrame(
    {df: fit.df_fixed(df) for df in ("satterthwaite", "kenward-roger", "residual", "normal")}, index=fit.params.index
)
print(degrees.round(2).to_string())

# %% [markdown]
# With 18 subjects the slope has 17 degrees of freedom, whatever the number of rows. Small data are where it matters,
# and where the normal distribution of statsmodels is most optimistic.
#
# ## 7. Which information gave the standard errors
#
# The standard errors of variances come from the inverse of an information matrix, and there are three:
# *expected* (Fisher's; sommer, regress, and our default), *average* (GEMMA, ASReml) and *observed* (the Hessian;
# lmerTest's degrees of freedom). In balanced designs they are equal; otherwise they are not:

# %%
unbalanced = mv.fit("Reaction ~ Days + (Days | Subject)", sleep.sample(frac=0.4, random_state=3))
kinds = {
    kind: unbalanced.with_information(kind).varcomp["se"].to_numpy() for kind in ("expected", "average", "observed")
}
print(pd.DataFrame(kinds, index=[*names, "Residual"]).round(2).to_string())

# %% [markdown]
# The summary names the one it used. The differences are a measure of how much such standard errors are worth.
#
# ## 8. Profile intervals
#
# `confint(m)` of lme4 profiles the *ML* criterion, for a REML fit too. We profile the criterion that was fitted;
# `criterion="ml"` gives lme4's intervals.

# %%
dye = mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"))
for criterion in ("reml", "ml"):
    row = dye.profile("sd", criterion=criterion).conf_int().iloc[0]
    print(f"sd of batches, {criterion.upper():4s}: {row['lower']:.2f} … {row['upper']:.2f}")

# %% [markdown]
# ## 9. Names and small things
#
# | | lme4 | mixedvc |
# |---|---|---|
# | intercept | `(Intercept)` | `Intercept` |
# | a factor's column | `SexFemale` | `Sex[T.Female]` |
# | `(1 \| batch/cask)` | `cask:batch` | `batch:cask` |
# | `(f \|\| g)`, f a factor | correlated levels | independent levels, and a note |
# | new levels in `predict` | error, or `allow.new.levels=TRUE` | error, or `new_levels="zero"` |
# | `condVar` | β known | `random_effects_cov` the same, `pev` with Var(β̂) |
# | missing rows | dropped silently | dropped with a warning that counts them |
# | negative variances | never | never by likelihood; `method="he"` reports them as they are |
#
# SAS's `nobound` lets REML variances be negative. There is no such option here: a negative variance of a likelihood
# means negative correlations within groups, which can be fitted by name, as compound symmetry of the
# residual: `residual="cs(1 | g)"`.
#
# What this page says is checked here:

# %%
np.testing.assert_allclose(other.llf, fit.llf, rtol=1e-8, atol=0)
np.testing.assert_allclose(table["statsmodels"], table["mixedvc"], rtol=1e-3, atol=0)
np.testing.assert_allclose(table["SE of the ratio × σ"], table["SE, statsmodels"], rtol=1e-3, atol=0)
assert 23 < table["SE, mixedvc"].iloc[0] / table["SE, statsmodels"].iloc[0] < 26
assert abs(penicillin.varcomp["variance"].iloc[1] - 3.73092) < 1e-5
assert abs(moved.llf - fit.llf) < 1e-6
np.testing.assert_allclose(bic.iloc[:2], [461.850, 461.624], rtol=0, atol=1e-3)  # lme4's and nlme's
assert np.isnan(other.aic)
assert abs(degrees.loc["Days"].iloc[:2] - 17).max() < 0.01
assert not np.allclose(kinds["expected"], kinds["observed"], rtol=1e-3, atol=0)
