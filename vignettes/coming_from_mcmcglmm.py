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
# # Coming from MCMCglmm
#
# You have a script for `MCMCglmm`. This page runs such a script in Python, line by line: above each cell stands the
# line in R, below it the same line here. Models, priors, names and layout are MCMCglmm's (2.36); the draws are of the
# same posterior, sampled in another way.
#
# One import brings the R names. What changes is spelling that Python cannot have:
#
# | R | Python |
# |--|--|
# | `MCMCglmm(y ~ x, random = ~ animal, data = d)` | `MCMCglmm("y ~ x", random="~animal", data=d)`: formulas are text |
# | `list(R = list(V = 1, nu = 0.002))` | `{"R": {"V": 1, "nu": 0.002}}` |
# | `alpha.mu`, `alpha.V` | the same in quotes, or `alpha_mu`, `alpha_V` |
# | `diag(2)` | `np.eye(2)` |
# | `m$VCV[, "animal"]`, `m$VCV[, 1:4]` | `m.VCV["animal"]`, `m.VCV.iloc[:, :4]` |
# | `posterior.mode(x)`, `heidel.diag(x)` | `posterior_mode(x)`, `heidel_diag(x)` |
# | `set.seed(1)` | `MCMCglmm(…, seed=1)` |
#
# `mixedvc translate script.R` rewrites a whole script this way, and names what it cannot.

# %%
# ruff: noqa: F403, F405
import numpy as np
import pandas as pd

from mixedvc.porting.mcmcglmm import *
from mixedvc.porting.translate import translate

# %% [markdown]
# ## Data: a pedigree, two traits
#
# Three generations, simulated: 20 sires and 40 dams, their 160 offspring, and 80 of the next generation. `rbv` draws
# breeding values as it does in R, here with variances 1 and 0.8 and a genetic correlation of 0.67. Mass and wing have
# residual variances 0.6 and 0.7; a fifth of the wings was not measured.

# %%
founders = [f"f{i}" for i in range(60)]
first = [f"a{i}" for i in range(160)]
second = [f"b{i}" for i in range(80)]
dams = [None] * 60 + [founders[20 + i // 4] for i in range(160)] + [first[(i // 4) * 8] for i in range(80)]
sires = (
    [None] * 60 + [founders[(i // 8) % 20] for i in range(160)] + [first[((i // 4) * 8 + 84) % 160] for i in range(80)]
)
ped = pd.DataFrame({"id": founders + first + second, "dam": dams, "sire": sires})

rng = np.random.default_rng(16)
bv = rbv(ped, np.array([[1.0, 0.6], [0.6, 0.8]]), seed=16)
birds = pd.DataFrame({"animal": first + second, "sex": rng.choice(["F", "M"], 240)})
noise = rng.multivariate_normal([0, 0], [[0.6, 0.1], [0.1, 0.7]], 240)
birds["mass"] = 10 + 0.6 * (birds["sex"] == "M") + bv.loc[birds["animal"], 0].to_numpy() + noise[:, 0]
birds["wing"] = 20 + bv.loc[birds["animal"], 1].to_numpy() + noise[:, 1]
birds.loc[rng.random(240) < 0.2, "wing"] = np.nan
birds.head(3)

# %% [markdown]
# ## An animal model
#
# ```r
# prior <- list(R = list(V = 1, nu = 0.002), G = list(G1 = list(V = 1, nu = 0.002)))
# Ainv <- inverseA(ped)$Ainv
# m <- MCMCglmm(mass ~ sex, random = ~ animal, ginverse = list(animal = Ainv), data = birds, prior = prior)
# summary(m)
# ```

# %%
prior = {"R": {"V": 1, "nu": 0.002}, "G": {"G1": {"V": 1, "nu": 0.002}}}
Ainv = inverseA(ped)["Ainv"]
m = MCMCglmm("mass ~ sex", random="~animal", ginverse={"animal": Ainv}, data=birds, prior=prior, seed=1)
print(summary(m))

# %% [markdown]
# The header counts iterations as R does, (13000 − 3000)/10 = 1000 kept draws. They were not made by 13,000 sweeps of
# a Gibbs sampler: by default the variances are drawn with fixed and random effects integrated out, so that one draw
# hardly depends on the last, and ten steps between two of them are not needed. `scheme="conjugate"` runs
# MCMCglmm's own algorithm with exactly these iterations.
#
# Heritability is arithmetic on the chain, as in R.
#
# ```r
# h2 <- m$VCV[, "animal"] / rowSums(m$VCV)
# posterior.mode(h2); HPDinterval(h2); effectiveSize(h2)
# ```

# %%
h2 = m.VCV["animal"] / rowSums(m.VCV)
print(posterior_mode(h2))
print(HPDinterval(h2))
print(effectiveSize(h2))

# %% [markdown]
# ```r
# plot(m$VCV)
# autocorr.diag(m$VCV); heidel.diag(m$VCV); geweke.diag(m$VCV)
# ```

# %%
figure = plot(m.VCV)

# %%
print(autocorr_diag(m.VCV))
print(heidel_diag(m.VCV))
print(geweke_diag(m.VCV))

# %% [markdown]
# These are coda's numbers to the last digit (the tests compare them with R). `effectiveSize` is coda's, from the
# spectral density at zero. The rest of mixedvc reports the rank-normalised effective size of Vehtari and others (2021);
# here it is `effective_size_bulk(m.VCV)`.
#
# ## Priors
#
# The lists mean what they mean in R. In words, for a variance:
#
# | list | belief | mixedvc's own name |
# |--|--|--|
# | `V = 1, nu = 0.002` | inverse gamma(0.001, 0.001): nearly flat on the logarithm | `InverseWishart(1, 0.002)` |
# | `V = 1, nu = 1, alpha.V = 1000` | half-Cauchy on the standard deviation, scale √1000 | `ParameterExpanded(1, 1)` |
# | `V = 1e-16, nu = -1` | flat on the standard deviation | `Flat(on="sd")` |
# | `V = 1e-16, nu = -2` | flat on the variance | `Flat(on="variance")` |
# | `V = 0.5, fix = 1` | held at 0.5 | `Fixed(0.5)` |
# | nothing (V = 1, nu = 0) | flat on the logarithm, not a distribution | `InverseGamma(0, 0)` |
#
# `B` is MCMCglmm's too: N(0, 10¹⁰) for each fixed effect unless you give `{"B": {"mu": …, "V": …}}`.
#
# The last line of the table is MCMCglmm's default. For the residual it is harmless. For a random term no data give it
# a proper posterior: the density is infinite at a variance of zero, and a chain that comes near stays there. R runs it
# without a word; here it runs with a warning.
#
# How much does the prior matter? The same model under two of them:

# %%
px = {"R": {"V": 1, "nu": 0.002}, "G": {"G1": {"V": 1, "nu": 1, "alpha.mu": 0, "alpha.V": 1000}}}
m_px = MCMCglmm("mass ~ sex", random="~animal", ginverse={"animal": Ainv}, data=birds, prior=px, seed=1)
both = {"inverse gamma": m.VCV["animal"], "parameter-expanded": m_px.VCV["animal"]}
pd.DataFrame({name: {"mean": x.mean(), "sd": x.std(), "2.5%": x.quantile(0.025)} for name, x in both.items()}).round(3)

# %% [markdown]
# ## Two traits
#
# ```r
# I2 <- diag(2)
# prior2 <- list(R = list(V = I2, nu = 2), G = list(G1 = list(V = I2, nu = 2, alpha.mu = c(0, 0), alpha.V = I2 * 100)))
# m2 <- MCMCglmm(cbind(mass, wing) ~ trait - 1 + trait:sex, random = ~ us(trait):animal,
#                rcov = ~ us(trait):units, family = c("gaussian", "gaussian"), pedigree = ped, data = birds,
#                prior = prior2, nitt = 8000)
# ```

# %%
I2 = np.eye(2)
prior2 = {
    "R": {"V": I2, "nu": 2},
    "G": {"G1": {"V": I2, "nu": 2, "alpha.mu": [0, 0], "alpha.V": I2 * 100}},
}
m2 = MCMCglmm(
    "cbind(mass, wing) ~ trait - 1 + trait:sex",
    random="~us(trait):animal",
    rcov="~us(trait):units",
    family=["gaussian", "gaussian"],
    pedigree=ped,
    data=birds,
    prior=prior2,
    nitt=8000,
    seed=2,
    DIC=False,
)
print(summary(m2))

# %% [markdown]
# Birds without a wing keep their mass. The genetic correlation (0.67 in the simulation), as a ratio of columns or by
# `posterior.cor`:
#
# ```r
# rg <- m2$VCV[, 2] / sqrt(m2$VCV[, 1] * m2$VCV[, 4])
# posterior.mode(rg); HPDinterval(rg)
# ```

# %%
rg = m2.VCV.iloc[:, 1] / np.sqrt(m2.VCV.iloc[:, 0] * m2.VCV.iloc[:, 3])
print(posterior_mode(rg))
print(HPDinterval(rg))
print(np.allclose(posterior_cor(m2.VCV.iloc[:, :4]).iloc[:, 1], rg))

# %% [markdown]
# ## Random slopes, and a shipped data set
#
# ```r
# MCMCglmm(Reaction ~ Days, random = ~ us(1 + Days):Subject, data = sleepstudy,
#          prior = list(R = list(V = 1, nu = 0.002), G = list(G1 = list(V = diag(2), nu = 2, alpha.mu = c(0, 0),
#                                                                       alpha.V = diag(2) * 1000))), nitt = 8000)
# ```

# %%
sleepstudy = load_data("sleepstudy")
slopes = {
    "R": {"V": 1, "nu": 0.002},
    "G": {"G1": {"V": I2, "nu": 2, "alpha.mu": [0, 0], "alpha.V": I2 * 1000}},
}
m3 = MCMCglmm("Reaction ~ Days", random="~us(1 + Days):Subject", data=sleepstudy, prior=slopes, nitt=8000, seed=3)
print(summary(m3))

# %% [markdown]
# ## What mixedvc adds
#
# `as_mixedvc(m)` (or `m.fit`) is mixedvc's own result of the same draws, with everything in the other pages.

# %%
own = as_mixedvc(m)
print(own.summary())

# %% [markdown]
# The core's words for the same model are an lme4 formula with a known covariance:
#
# ```python
# mv.fit("mass ~ sex + (1 | animal:A)", birds, cov={"A": mv.pedigree(ped)}, method="gibbs",
#        priors={"animal": mv.priors.InverseWishart(1, 0.002), "residual": mv.priors.InverseWishart(1, 0.002)})
# ```
#
# There four chains run by default, so that R-hat can tell whether they agree; in the port it is `chains=4`.
#
# ## A script, translated

# %%
print(
    translate("""
prior <- list(R = list(V = diag(2)/3, nu = 2), G = list(G1 = list(V = diag(2)/3, nu = 2)))
m <- MCMCglmm(cbind(tarsus, back) ~ trait:sex - 1, random = ~us(trait):animal, rcov = ~us(trait):units,
              family = rep("gaussian", 2), pedigree = BTped, data = BTdata, prior = prior)
HPDinterval(m$VCV[, "traittarsus:traittarsus.animal"] / rowSums(m$VCV[, c(1, 5)]))
MCMCglmm(cbind(tarsus, back) ~ trait, random = ~corg(trait):animal, data = BTdata)
""")
)

# %% [markdown]
# ## What differs
#
# | | MCMCglmm | here |
# |--|--|--|
# | families | 21 | Gaussian; the others are refused by name |
# | variance functions | `us idh idv cor ante …` | `us idh idv`; the others are refused by name |
# | `fix = k` | holds a part of a matrix | `fix = 1`, the whole |
# | one `rcov` term | several are allowed | one: `~units`, `~idh(f):units`, `~us(trait):units`, `~idh(trait):units` |
# | missing predictors | an error | an error |
# | parents after offspring in a pedigree | an error | sorted |
# | `MCMCglmm(…, pr = TRUE)` | stores random effects | they are drawn when `Sol` is asked for, always the same ones |
# | start values, tuning | `start`, `tune` | none are needed |
# | `DIC` where `fix = 1` holds the residual | 2.36 counts log\|R\| with the opposite sign | with its sign |
#
# | R | Python |
# |--|--|
# | `m$VCV`, `m$Sol`, `m$Deviance`, `m$DIC` | `m.VCV`, `m.Sol`, `m.Deviance`, `m.DIC` |
# | `summary(m)`, `summary(m$VCV)` | the same |
# | `posterior.mode HPDinterval effectiveSize` | `posterior_mode HPDinterval effectiveSize` |
# | `autocorr autocorr.diag` | `autocorr autocorr_diag` |
# | `heidel.diag geweke.diag raftery.diag batchSE` | `heidel_diag geweke_diag raftery_diag batchSE` |
# | `posterior.cor posterior.evals posterior.inverse` | `posterior_cor posterior_evals posterior_inverse` |
# | `predict(m, marginal = NULL, interval = "confidence")` | `predict(m, marginal=None, interval="confidence")` |
# | `inverseA prunePed rbv sm2asreml` | the same |
# | `mev = v` | `mev="v"`: a column or numbers |
