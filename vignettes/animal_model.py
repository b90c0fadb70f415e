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
# # The animal model, frequentist and Bayesian
#
# A pedigree says who shares genes with whom. The animal model takes the phenotype of every individual apart into
# what is inherited, what their mother or their place did to them, and the rest. One specification is fitted twice
# here: by REML, which gives the best single answer and an error for it, and by sampling the posterior, which gives
# everything the data and a prior leave possible.
#
# First birds from a simulation, whose truth we know, then lines of a plant.

# %%
import warnings

import numpy as np
import pandas as pd

import mixedvc as mv

pd.set_option("display.width", 110, "display.max_columns", 12)

# %% [markdown]
# ## A population
#
# 40 founders and four generations of 90 birds. A chick's breeding value is the mean of its parents' plus half of
# the genetic variance; chicks of a nest share what the nest gave them. Founders were never measured.

# %%
rng = np.random.default_rng(20)
TRUTH = {"animal": 0.40, "nest": 0.15, "residual": 0.45}


def population(per_generation: int, generations: int = 4, founders: int = 40) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pedigree and records; the true breeding values stay in the records for later."""
    ids, dams, sires = [f"f{i}" for i in range(founders)], [None] * founders, [None] * founders
    value = dict(zip(ids, rng.standard_normal(founders) * TRUTH["animal"] ** 0.5, strict=True))
    parents, records = ids[:], []
    for g in range(1, generations + 1):
        half = len(parents) // 2
        pairs = list(zip(rng.permutation(parents[:half]), rng.permutation(parents[half:]), strict=False))
        nest_effect = rng.standard_normal(len(pairs)) * TRUTH["nest"] ** 0.5
        chicks = []
        for i in range(per_generation):
            nest = i % len(pairs)
            dam, sire = (str(p) for p in pairs[nest])
            chick, sex = f"g{g}-{i}", "male" if rng.random() < 0.5 else "female"
            mendel = rng.standard_normal() * (0.5 * TRUTH["animal"]) ** 0.5
            value[chick] = (value[dam] + value[sire]) / 2 + mendel
            noise = rng.standard_normal() * TRUTH["residual"] ** 0.5
            mass = 12 + 0.5 * (sex == "male") + value[chick] + nest_effect[nest] + noise
            records.append((chick, f"{g}:{nest}", sex, mass, value[chick]))
            chicks.append(chick)
            ids.append(chick), dams.append(dam), sires.append(sire)
        parents = list(rng.permutation(chicks))
    pedigree = pd.DataFrame({"id": ids, "dam": dams, "sire": sires})
    return pedigree, pd.DataFrame(records, columns=["animal", "nest", "sex", "mass", "breeding"])


pedigree, birds = population(90)
A = mv.pedigree(pedigree)
print(birds.head())

# %% [markdown]
# ## REML
#
# `(1 | animal:A)` gives every animal an effect with the covariance of the pedigree. Founders are in the pedigree and
# not in the table: they take part.

# %%
formula = "mass ~ sex + (1 | animal:A) + (1 | nest)"
reml = mv.fit(formula, birds, cov={"A": A})
print(reml.summary())

# %% [markdown]
# Heritability is a ratio of estimates. Its interval comes from the delta method or from the profile of the
# likelihood; they differ when the likelihood is skewed.

# %%
print(reml.heritability("animal"))
print(reml.heritability("animal", interval="profile"))

# %% [markdown]
# ## The posterior
#
# The same formula, the same data, another method. Fixed and random effects are integrated out of the posterior, and
# what remains, a density of three variances, is sampled by independent proposals: successive draws hardly depend on
# each other, so there is nothing to thin and 4 × 1000 draws are worth nearly as many. Effects are drawn afterwards,
# exactly.

# %%
bayes = mv.fit(formula, birds, cov={"A": A}, method="gibbs", seed=1)
print(bayes.summary())

# %% [markdown]
# Where REML has an estimate and a standard error, the posterior has draws. Any function of the variances is a posterior
# too, and so is any statement about them.

# %%
h2 = bayes.heritability("animal")
print(h2)
print(bayes.probability(lambda v: v["animal"] > v["nest"]))

# %%
ax = bayes.plot_density()

# %% [markdown]
# ### Three things to look at before believing it
#
# Do the chains agree (R-hat near 1), are the draws worth enough (ESS in the hundreds), and what did the prior say?
# `diagnose` looks; the trace and the ranks show.

# %%
print(bayes.diagnose())
ax = bayes.plot_rank()

# %% [markdown]
# ## What the prior does
#
# Priors are small objects, given by the name of a term; one alone stands for all. By default the standard deviation
# of each component has a half-t prior as wide as the data, which says very little. MCMCglmm's scripts often use
# `V = 1, nu = 0.002`, an inverse gamma that is vague about the logarithm of a variance and puts a spike at zero;
# parameter-expanded priors mend that. A geneticist may rather say something about heritability: `VarianceShare` is a
# discrete prior on the shares of the variance, whatever its scale.

# %%
p = mv.priors
choices = {
    "half-t (default)": None,
    "inverse gamma, nu = 0.002": p.InverseWishart(V=1, nu=0.002),
    "parameter-expanded": {
        "animal": p.ParameterExpanded(),
        "nest": p.ParameterExpanded(),
        "residual": p.InverseWishart(V=1, nu=0.002),
    },
    "flat on the sd": p.Flat(on="sd"),
    "shares on a grid of 1/40": p.VarianceShare(grid=40),
}


def with_priors(data: pd.DataFrame) -> pd.DataFrame:
    """Posterior of the heritability under each prior."""
    rows = {}
    for name, prior in choices.items():
        fit = mv.fit(formula, data, cov={"A": A}, method="gibbs", priors=prior, seed=2)
        share = fit.heritability("animal")
        rows[name] = {"mean": share.mean, "sd": share.sd, "lower": share.lower, "upper": share.upper}
    point = mv.fit(formula, data, cov={"A": A}).heritability("animal", interval="profile")
    rows["REML, profile"] = {"mean": point.estimate, "sd": point.se, "lower": point.lower, "upper": point.upper}
    return pd.DataFrame(rows).T.round(3)


print(with_priors(birds))

# %% [markdown]
# With 360 records the priors hardly matter. With 80 of them they do, and REML may answer 0 or 1, the edges of what is
# possible, with an interval that is hard to make sense of. The posterior says how little is known:

# %%
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # REML at zero says so
    print(with_priors(birds.sample(80, random_state=1)))

# %% [markdown]
# ## Breeding values
#
# BLUPs are the means of the breeding values at the REML estimates. The posterior mean also averages over what the
# variances might be; with this much data it is nearly the same.

# %%
blup = reml.random_effects["animal"].iloc[:, 0]
mean = bayes.random_effects["animal"].iloc[:, 0]
truth = birds.set_index("animal")["breeding"]
table = pd.DataFrame({"truth": truth, "BLUP": blup, "posterior mean": mean}).dropna()
print(table.corr().round(3))

# %% [markdown]
# Their uncertainty is not the same. Who belongs to the best tenth? A ranking of BLUPs has no error; the draws do:

# %%
best = bayes.rank_probabilities("animal", top=0.1)
print(best.head(8))

# %% [markdown]
# Prediction of a bird that was never weighed, and of one whose parents are known but that is not in the pedigree at
# all, works as for REML; intervals are those of the posterior.

# %%
unweighed = pd.DataFrame({"animal": ["f0", "g4-1"], "nest": ["new", "4:1"], "sex": ["female", "male"]})
print(bayes.predict(unweighed, interval="prediction", new_levels="conditional").round(2))

# %% [markdown]
# ## Real data: metabolites of a plant
#
# 162 inbred lines of *Arabidopsis* with 117 markers (Keurentjes et al. 2006; see `data/README.md`). The markers make
# the covariance of the lines. One metabolite first: how much of it is in the markers?

# %%
names = {"X3.Butenyl": "butenyl", "Quercetin.deoxyhexosyl.hexoside": "quercetin"}
lines = mv.load_data("multitrait").rename(columns=names).set_index("line")
lines = np.log(lines[["butenyl", "quercetin"]]).dropna().reset_index()
markers = mv.load_data("multitrait_markers").set_index("line")
K = {"K": mv.Features(markers.fillna(markers.mean()))}

one = "quercetin ~ 1 + (1 | line:K)"
by_reml = mv.fit(one, lines, cov=K)
by_draws = mv.fit(one, lines, cov=K, method="gibbs", seed=3)
print(by_reml.heritability("line", interval="profile"))
print(by_draws.heritability("line"))

# %% [markdown]
# Two at once: `cbind` makes every variance a covariance matrix, and the genetic correlation has a posterior of its
# own. Fisher's z, the profile and the posterior put their limits differently; with 158 lines that is visible.

# %%
both = "cbind(butenyl, quercetin) ~ 1 + (1 | line:K)"
pair_reml = mv.fit(both, lines, cov=K)
pair = mv.fit(both, lines, cov=K, method="gibbs", seed=4)
print(pair_reml.correlations("line", interval="profile").round(3).to_string(index=False))
print(pair.correlations("line").round(3).to_string(index=False))

# %% [markdown]
# ## Which of the two?
#
# REML is exact about where the likelihood is highest, takes milliseconds, and tests a variance against zero. The
# posterior costs a second or so, says what is known where little is known, and carries uncertainty into anything
# computed from it: rankings, ratios, predictions. They share the specification, the likelihood and the names, so
# nothing has to be decided in advance.
#
# `fit.extend(1000)` goes on where a fit ended, `fit.posterior` hands the draws to ArviZ, and
# [Coming from MCMCglmm](coming_from_mcmcglmm.py) ports a script line by line.
