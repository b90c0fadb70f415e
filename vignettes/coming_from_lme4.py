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
# # Coming from lme4
#
# You have a script for `lmer`. This page runs such a script in Python, line by line: above each cell stands the
# line in R with what R printed (R 4.2.2, lme4 1.1-31, lmerTest 3.1-3), below it the same line here. Names,
# numbers and layout are lme4's.
#
# One import brings the R names. What changes is spelling that Python cannot have:
#
# | R | Python |
# |--|--|
# | `lmer(y ~ x + (1 \| g), d)` | `lmer("y ~ x + (1 \| g)", d)`: the formula is text |
# | `model.matrix(m)`, `re.form =`, `allow.new.levels =` | `model_matrix(m)`, `re_form=`, `allow_new_levels=` |
# | `weights = w`, `subset = age > 8` | `weights="w"`, `subset="age > 8"`: columns are named as text |
# | `ranef(m)$Subject` | `ranef(m)["Subject"]` |
# | `list(id = K)` | `{"id": K}` |
# | `TRUE`, `NA`, `NULL` | `True`, `NA`, `None` |
#
# `print` shows R's layout. Values are pandas objects and compute as such; a bare number prints as Python prints
# it, and `rprint(x)` prints anything as R does.

# %%
# ruff: noqa: F403, F405
import numpy as np

import mixedvc as mv
from mixedvc.porting.lme4 import *
from mixedvc.porting.translate import translate

sleepstudy = mv.load_data("sleepstudy")

# %% [markdown]
# ## A model

# %% [markdown]
# `m <- lmer(Reaction ~ Days + (Days | Subject), sleepstudy)`. `print(m)` gives the short form, `summary(m)` the
# long one.
#
# ```r
# > summary(m)
# Linear mixed model fit by REML ['lmerMod']
# Formula: Reaction ~ Days + (Days | Subject)
#    Data: sleepstudy
#
# REML criterion at convergence: 1743.6
#
# Scaled residuals:
#     Min      1Q  Median      3Q     Max
# -3.9536 -0.4634  0.0231  0.4634  5.1793
#
# Random effects:
#  Groups   Name        Variance Std.Dev. Corr
#  Subject  (Intercept) 612.09   24.740
#           Days         35.07    5.922   0.07
#  Residual             654.94   25.592
# Number of obs: 180, groups:  Subject, 18
#
# Fixed effects:
#             Estimate Std. Error t value
# (Intercept)  251.405      6.825  36.838
# Days          10.467      1.546   6.771
#
# Correlation of Fixed Effects:
#      (Intr)
# Days -0.138
# ```

# %%
m = lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
print(summary(m))

# %% [markdown]
# To the last digit. (With its default settings lme4 stops a little before the optimum and prints 24.741 for the
# first standard deviation; the R output on this page comes from a tighter `lmerControl`. Here Newton's method
# goes to the optimum by itself, and `control=` is refused: there is nothing to control.)
#
# ## What is in it

# %% [markdown]
# ```r
# > fixef(m)
# (Intercept)        Days
#   251.40510    10.46729
# ```

# %%
print(fixef(m))

# %% [markdown]
# ```r
# > VarCorr(m)
#  Groups   Name        Std.Dev. Corr
#  Subject  (Intercept) 24.7404
#           Days         5.9221  0.066
#  Residual             25.5918
# ```

# %%
print(VarCorr(m))

# %% [markdown]
# ```r
# > as.data.frame(VarCorr(m))
#        grp        var1 var2       vcov       sdcor
# 1  Subject (Intercept) <NA> 612.089748 24.74044762
# 2  Subject        Days <NA>  35.071662  5.92213326
# 3  Subject (Intercept) Days   9.604335  0.06555134
# 4 Residual        <NA> <NA> 654.941041 25.59181589
# ```

# %%
print(as_data_frame(VarCorr(m)))

# %% [markdown]
# `ranef(m)` and `coef(m)` are lists of tables by grouping factor; conditional variances come along, as an
# attribute or as the column `condsd`:
#
# ```r
# > as.data.frame(ranef(m))[1:4, ]
#    grpvar        term grp    condval   condsd
# 1 Subject (Intercept) 308   2.258566 12.07084
# 2 Subject (Intercept) 309 -40.398577 12.07084
# 3 Subject (Intercept) 310 -38.960246 12.07084
# 4 Subject (Intercept) 330  23.690498 12.07084
# ```

# %%
print(as_data_frame(ranef(m))[0:4])

# %% [markdown]
# ```r
# > vcov(m)
# 2 x 2 Matrix of class "dpoMatrix"
#             (Intercept)      Days
# (Intercept)   46.574562 -1.451096
# Days          -1.451096  2.389463
# ```

# %%
print(vcov(m))

# %% [markdown]
# ```r
# > logLik(m)
# 'log Lik.' -871.8141 (df=6)
# ```

# %%
rprint(logLik(m))
rprint([AIC(m), BIC(m), REMLcrit(m)])

# %% [markdown]
# `getME` knows lme4's names: X, Z, Lambda, theta, u, b, beta, devcomp, flist, cnms, lower, …
#
# ```r
# > getME(m, "theta")
#      Subject.(Intercept) Subject.Days.(Intercept)             Subject.Days
#               0.96673279               0.01516906               0.23090960
# ```

# %%
print(getME(m, "theta"))

# %% [markdown]
# ## Tests: lmerTest and pbkrtest
#
# Degrees of freedom are asked for by name. `"Kenward-Roger"` adjusts the standard errors too.

# %% [markdown]
# ```r
# > anova(m, ddf = "Kenward-Roger")
# Type III Analysis of Variance Table with Kenward-Roger's method
#      Sum Sq Mean Sq NumDF DenDF F value    Pr(>F)
# Days  30031   30031     1    17  45.853 3.264e-06 ***
# ---
# Signif. codes:  0 ‘***’ 0.001 ‘**’ 0.01 ‘*’ 0.05 ‘.’ 0.1 ‘ ’ 1
# ```

# %%
print(anova(m, ddf="Kenward-Roger"))

# %% [markdown]
# ```r
# > print(anova(lmerTest::lmer(distance ~ age * Sex + (age | Subject), Orthodont), type = 1))
# Type I Analysis of Variance Table with Satterthwaite's method
#          Sum Sq Mean Sq NumDF DenDF F value    Pr(>F)
# age     170.668 170.668     1    25 99.4451 3.392e-10 ***
# Sex      15.947  15.947     1    25  9.2921  0.005375 **
# age:Sex   8.785   8.785     1    25  5.1186  0.032614 *
# ---
# Signif. codes:  0 ‘***’ 0.001 ‘**’ 0.01 ‘*’ 0.05 ‘.’ 0.1 ‘ ’ 1
# ```

# %%
Orthodont = mv.load_data("orthodont")
growth = lmer("distance ~ age * Sex + (age | Subject)", Orthodont)
print(anova(growth, type=1, ddf="Satterthwaite"))

# %% [markdown]
# Is a random term needed? (A variance cannot be negative, so these p-values are conservative;
# `m.fit.test_varcomp()` knows that.)
#
# ```r
# > lmerTest::ranova(m)
# ANOVA-like table for random-effects: Single term deletions
#
# Model:
# Reaction ~ Days + (Days | Subject)
#                          npar  logLik    AIC    LRT Df Pr(>Chisq)
# <none>                      6 -871.81 1755.6
# Days in (Days | Subject)    4 -893.23 1794.5 42.837  2   4.99e-10 ***
# ---
# Signif. codes:  0 ‘***’ 0.001 ‘**’ 0.01 ‘*’ 0.05 ‘.’ 0.1 ‘ ’ 1
# ```

# %%
print(ranova(m))

# %% [markdown]
# RLRsim's exact test, whose p-value is simulated:
#
# ```r
# > exactRLRT(lmer(Yield ~ 1 + (1 | Batch), Dyestuff))
#
# 	simulated finite sample distribution of RLRT.
#
# 	(p-value based on 10000 simulated values)
#
# data:
# RLRT = 6.369, p-value = 0.004
# ```

# %%
print(exactRLRT(lmer("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff")), seed=1))

# %% [markdown]
# Two models: `m0 <- lmer(Reaction ~ 1 + (Days | Subject), sleepstudy)`. As in R, REML fits are first refitted by
# ML, and a message on standard error says so.
#
# ```r
# > anova(m0, m)
# Data: sleepstudy
# Models:
# m0: Reaction ~ 1 + (Days | Subject)
# m: Reaction ~ Days + (Days | Subject)
#    npar    AIC    BIC  logLik deviance  Chisq Df Pr(>Chisq)
# m0    5 1785.5 1801.4 -887.74   1775.5
# m     6 1763.9 1783.1 -875.97   1751.9 23.537  1  1.226e-06 ***
# ---
# Signif. codes:  0 ‘***’ 0.001 ‘**’ 0.01 ‘*’ 0.05 ‘.’ 0.1 ‘ ’ 1
# ```

# %%
m0 = lmer("Reaction ~ 1 + (Days | Subject)", sleepstudy)
print(anova(m0, m))

# %% [markdown]
# ## Intervals

# %% [markdown]
# Profile intervals, of the ML criterion as in lme4. lme4 interpolates their ends; here they are solved for, so
# the last digits differ.
#
# ```r
# > confint(m, quiet = TRUE)
#                   2.5 %     97.5 %
# .sig01       14.3814677  37.715996
# .sig02       -0.4815007   0.684986
# .sig03        3.8011641   8.753383
# .sigma       22.8982669  28.857997
# (Intercept) 237.6806955 265.129515
# Days          7.3586533  13.575919
# ```

# %%
print(confint(m))

# %% [markdown]
# ```r
# > confint(m, "Days", level = 0.9, method = "Wald")
#           5 %     95 %
# Days 7.924689 13.00988
# ```

# %%
print(confint(m, "Days", level=0.9, method="Wald"))

# %% [markdown]
# The bootstrap draws its own numbers, so only `seed=` makes it repeatable.

# %%
print(confint(m, method="boot", nsim=200, seed=1))

# %% [markdown]
# ## Prediction, simulation, other models

# %% [markdown]
# `nd <- data.frame(Days = c(0, 5, 9), Subject = c("308", "309", "new"))`. `re_form=NA` leaves the random effects
# out, `re_form="~(1 | Subject)"` keeps some.
#
# ```r
# > predict(m, nd, allow.new.levels = TRUE)
#        1        2        3
# 253.6637 220.2444 345.6107
# ```

# %%
nd = data_frame(Days=c(0, 5, 9), Subject=c("308", "309", "new"))
print(predict(m, nd, allow_new_levels=True))

# %% [markdown]
# ```r
# > predict(m, nd, re.form = NA)
#        1        2        3
# 251.4051 303.7415 345.6107
# ```

# %%
print(predict(m, nd, re_form=NA))

# %% [markdown]
# ```r
# > update(m, . ~ . - Days)
# Linear mixed model fit by REML ['lmerMod']
# Formula: Reaction ~ (Days | Subject)
#    Data: sleepstudy
# REML criterion at convergence: 1769.845
# Random effects:
#  Groups   Name        Std.Dev. Corr
#  Subject  (Intercept) 25.53
#           Days        11.93    -0.18
#  Residual             25.59
# Number of obs: 180, groups:  Subject, 18
# Fixed Effects:
# (Intercept)
#       257.8
# ```

# %%
print(update(m, ". ~ . - Days"))

# %%
draws = simulate(m, 2, seed=1)
print(fixef(refit(m, draws["sim_1"])))
print(bootMer(m, lambda b: [sigma(b)], nsim=50, seed=1))

# %% [markdown]
# ## Crossed and nested groups
#
# `a/b` is `a` and `b` within `a`, and the terms come in lme4's order: most levels first.

# %% [markdown]
# ```r
# > print(m)
# Linear mixed model fit by maximum likelihood  ['lmerMod']
# Formula: strength ~ 1 + (1 | batch/cask)
#    Data: Pastes
#       AIC       BIC    logLik  deviance  df.resid
#  255.9945  264.3718 -123.9972  247.9945        56
# Random effects:
#  Groups     Name        Std.Dev.
#  cask:batch (Intercept) 2.9041
#  batch      (Intercept) 1.0951
#  Residual               0.8234
# Number of obs: 60, groups:  cask:batch, 30; batch, 10
# Fixed Effects:
# (Intercept)
#       60.05
# ```

# %%
Pastes = mv.load_data("pastes")
casks = lmer("strength ~ 1 + (1 | batch/cask)", Pastes, REML=False)
print(casks)

# %% [markdown]
# ## Singular fits
#
# A variance of zero is exactly zero here. `isSingular` says so, and the fit warns.

# %% [markdown]
# ```r
# > VarCorr(m)
#  Groups   Name        Std.Dev.
#  Batch    (Intercept) 0.0000
#  Residual             3.7157
# ```

# %%
Dyestuff2 = mv.load_data("dyestuff2")
zero = lmer("Yield ~ 1 + (1 | Batch)", Dyestuff2)
print(VarCorr(zero))
print(isSingular(zero))

# %% [markdown]
# ## Relationship matrices
#
# `relmatLmer(..., relmat = list(id = K))` of lme4qtl and `pedigreemm(..., pedigree = list(id = ped))` are
# arguments of `lmer`. A pedigree is a table with the columns id, sire and dam.

# %%
rng = np.random.default_rng(1)
parents = [None] * 10
animals = data_frame(
    id=[f"a{i}" for i in range(60)],
    sire=parents + [f"a{i % 5}" for i in range(50)],
    dam=parents + [f"a{5 + i // 10}" for i in range(50)],
)
A = mv.pedigree(animals)
values = rng.multivariate_normal(np.zeros(60), A.block(np.arange(60), np.arange(60)))
records = data_frame(id=np.repeat(animals["id"], 4).tolist(), y=np.repeat(values, 4) + rng.standard_normal(240))
animal_model = lmer("y ~ 1 + (1 | id)", records, pedigree={"id": animals})
print(VarCorr(animal_model))

# %% [markdown]
# ## nlme, and whole scripts
#
# `mixedvc.porting.translate` (and `mixedvc translate script.R` in a shell) turns R calls into Python for
# mixedvc's own vocabulary: those of lme4, lmerTest, lme4qtl, pedigreemm, and `lme` and `gls` of nlme with their
# correlation and variance structures. R is not needed, and nothing is executed. What has no translation is named,
# with its place.

# %%
script = """
# growth, with a residual variance for each sex
m <- lme(distance ~ age * Sex, data = Orthodont, random = ~ 1 | Subject,
         weights = varIdent(form = ~ 1 | Sex))
summary(m)
predict(m, level = 0)
aov(distance ~ age + Error(Subject), Orthodont)
"""
made = translate(script)
print(made)
print()
print("Not translated:", made.report(), sep="\n")

# %%
m_lme = mv.fit("distance ~ age * Sex + (1 | Subject)", Orthodont, residual="diag(0 + Sex | rows)")
print(m_lme.summary())

# %% [markdown]
# ## What is under the R names
#
# `m.fit` is mixedvc's own result: everything above, and what lme4 does not have. The middle column of this table
# and the right one give the same numbers.
#
# | R | `mixedvc.porting.lme4` | mixedvc |
# |--|--|--|
# | `lmer(f, d, REML = FALSE)` | `lmer(f, d, REML=False)` | `mv.fit(f, d, method="ml")` |
# | `fixef`, `ranef`, `VarCorr` | same | `m.params`, `m.random_effects`, `m.varcomp` |
# | `vcov`, `logLik`, `AIC` | same | `m.cov_params()`, `m.llf`, `m.aic` |
# | `confint(m)` | same | `m.profile().conf_int()` |
# | `anova(m, ddf = "Kenward-Roger")` | same | `m.anova(df="kenward-roger")` |
# | `predict(m, nd, re.form = NA)` | `re_form=NA` | `m.predict(nd, random="none")` |
# | `bootMer(m, f, 500)` | same | `m.bootstrap(f, 500)` |
#
# Here is what lme4 leaves out of its table: standard errors, intervals and shares of the variances.

# %%
print(m.fit.varcomp.round(3).to_string())

# %% [markdown]
# ## What is different
#
# - `control=`, `start=`, `verbose=` and `devFunOnly=` are refused with a reason, not ignored.
# - `glmer`, `nlmer` and `family=` do not exist; calling them says so.
# - `getME` has no `L`, `RZX` or `A`: those are parts of lme4's factorisation, and the likelihood here has
#   another.
# - Draws (`simulate`, `bootMer`, `confint(method="boot")`) come from another generator, so the same seed gives
#   other numbers than R.
# - `exactRLRT` never says that a p-value is below 2.2e-16: of 10,000 simulated values it can say 1e-4.
#
# What this page says is checked here, so that it stays true:

# %%
np.testing.assert_allclose(fixef(m), [251.40510, 10.46729], rtol=1e-6, atol=0)
np.testing.assert_allclose(as_data_frame(VarCorr(m)).sdcor, [24.74045, 5.92213, 0.06555, 25.59182], rtol=1e-3, atol=0)
np.testing.assert_allclose(predict(m, nd, re_form=NA), [251.4051, 303.7415, 345.6107], rtol=1e-6, atol=0)
assert isSingular(zero) and not isSingular(m)
assert len(made.problems) == 1
