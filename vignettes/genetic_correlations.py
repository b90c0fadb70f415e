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
# # Genetic correlations
#
# Tall people weigh more. Is that because the same genes make people tall and heavy, or because both come from
# what they ate? A model of several traits answers it: every variance of a mixed model becomes a covariance
# matrix among the traits, one for the genes, one for the home, one for all the rest.
#
# This page fits three such models: height and weight of twins, four metabolites of a plant with markers, and
# all 24 of them.

# %%
import warnings

import numpy as np
import pandas as pd
import scipy.sparse as sp

import mixedvc as mv

pd.set_option("display.width", 110, "display.max_columns", 12)

# %% [markdown]
# ## Two traits of twins
#
# 3808 Australian pairs (from OpenMx). The model wants one row for a person; a covariance among the persons says
# what twins share. [Twins: an ACE model](twins_ace.py) explains the two matrices.

# %%
wide = mv.load_data("twins")
twins = pd.concat(
    [
        pd.DataFrame(
            {
                "person": wide["fam"].astype(str) + f"-{twin}",
                "age": wide["age"],
                "cohort": wide["cohort"],
                "woman": wide["zygosity"].isin(["MZFF", "DZFF", "DZOS"] if twin == 1 else ["MZFF", "DZFF"]).astype(int),
                "height": 100 * wide[f"ht{twin}"],
                "logweight": 100 * np.log(wide[f"wt{twin}"]),
            }
        )
        for twin in (1, 2)
    ],
    ignore_index=True,
).dropna(subset=["age"])

m = len(wide)
first, second = np.arange(m), np.arange(m) + m
people = pd.concat([wide["fam"].astype(str) + "-1", wide["fam"].astype(str) + "-2"], ignore_index=True)


def within_pairs(correlation: np.ndarray) -> mv.Sparse:
    """Covariance with ones on the diagonal and `correlation` between the twins of a pair."""
    rows = np.concatenate([first, second, first, second])
    columns = np.concatenate([first, second, second, first])
    values = np.concatenate([np.ones(2 * m), correlation, correlation])
    return mv.Sparse(sp.csr_array((values, (rows, columns)), shape=(2 * m, 2 * m)), people)


A = within_pairs(np.where(wide["zygosity"].str.startswith("MZ"), 1.0, 0.5))
C = within_pairs(np.ones(m))
print(twins[["height", "logweight"]].describe().round(1).loc[["count", "mean", "std"]])

# %% [markdown]
# `cbind(…)` names the traits. Everything right of `~` then holds for each of them: fixed effects have a
# coefficient a trait, and every random term, like the residual, a covariance matrix among the traits.
#
# Some have a height and no weight, or a weight and no height. No person is dropped for that: the likelihood is
# that of the cells that are there.

# %%
ace = "cbind(height, logweight) ~ age + woman + cohort + (1 | person:A) + (1 | person:C)"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # C is at zero: see below
    full = mv.fit(ace, twins, cov={"A": A, "C": C})
print(full.trait_cov("person:C"))

# %% [markdown]
# The home that twins share explains neither trait of these adults: both variances of C are exactly zero, and the
# fit says so with a warning (kept quiet here). So the model is AE:

# %%
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # 79 twins with neither
    ae = mv.fit("cbind(height, logweight) ~ age + woman + cohort + (1 | person:A)", twins, cov={"A": A})
print(ae.summary())

# %% [markdown]
# Below the diagonal stand covariances, above it correlations. Shares of A are the heritabilities.
#
# The matrices are frames: G of the genes (the term with a known covariance), R of the residual, P of both together.
# Correlations come with standard errors (delta method) and intervals (Fisher's z):

# %%
print(ae.G.round(2), ae.R.round(2), ae.P.round(2), sep="\n\n")
print(ae.correlations().round(4).to_string(index=False))
print(ae.heritabilities().round(4).to_string())

# %% [markdown]
# The genetic correlation is 0.54, that of the rest 0.18: height and weight go together because they share genes,
# rather than meals. How much of the phenotypic covariance is genetic ("bivariate heritability")? Any function of the
# parameters has a standard error by `derived`:

# %%
names = ae.cov_varcomp().index.tolist()
genetic, rest = (name for name in names if "," in name)
print(names)
print(ae.derived(lambda v: v[genetic] / (v[genetic] + v[rest]), name="genetic part of the covariance"))

# %% [markdown]
# Is the genetic correlation zero? Is it one, the same genes with effects in proportion? Both are likelihood-ratio
# tests; at one, an edge, the reference distribution is a mixture.

# %%
print(ae.test_correlation("height", "logweight", rho=0.0))
print(ae.test_correlation("height", "logweight", rho=1.0))
print(ae.correlations("person", interval="profile").round(4).to_string(index=False))

# %% [markdown]
# A person whose weight is missing still has a prediction, from their height and from their twin's height and
# weight. Its standard error is smaller where the twin is identical and known.

# %%
missing = ae.impute()
print(missing.query("trait == 'logweight'").head().to_string(index=False))

# %% [markdown]
# OpenMx writes this model as two groups of pairs with 4 × 4 covariance matrices of paths, GCTA as a bivariate REML
# of `--reml-bivar`. Families are independent here, so each evaluation is a stack of small matrices: the fit of
# 14,891 cells takes a fraction of a second.

# %% [markdown]
# ## Metabolites of a plant, with markers
#
# 162 inbred lines of *Arabidopsis*, 24 metabolites, 117 markers (Keurentjes et al. 2006; from R/qtl). The markers
# make the kinship: `Features` standardises their columns, and the covariance among lines is W Wᵀ/m.

# %%
metabolites = mv.load_data("multitrait").rename(columns=lambda name: name.removeprefix("X"))
markers = mv.load_data("multitrait_markers").set_index("line")
columns = [name for name in metabolites if name != "line"]
metabolites[columns] = np.log(metabolites[columns])
K = mv.Features(markers.fillna(markers.mean()))

# %%
metabolites = metabolites.rename(
    columns={
        "3.Butenyl": "butenyl",
        "2.Propenyl": "propenyl",
        "4.Methylsulfinylbutyl": "sulfinyl",
        "Quercetin.deoxyhexosyl.hexoside": "quercetin",
    }
).dropna()
cov = {"K": K}
four = "cbind(butenyl, propenyl, sulfinyl, quercetin)"
fit = mv.fit(f"{four} ~ 1 + (1 | line:K)", metabolites, cov=cov)
print(fit.summary())

# %% [markdown]
# One kernel and no missing cell: the kinship is decomposed once, and an evaluation of four traits costs less than a
# millisecond. The two standard programs for this model are sommer, `mmer(cbind(…) ~ 1, random = ~ vsr(line, Gu = K,
# Gtc = unsm(4)), rcov = ~ vsr(units, Gtc = unsm(4)))`, and GEMMA, `gemma -g … -p … -n 1 2 3 4 -k K -lmm`; both have the
# same maximum (GEMMA up to a constant in the log-likelihood).
#
# The picture, with the genetic correlations below the diagonal and those of the residual above it:

# %%
ax = fit.plot_correlations("line", above="Residual")

# %% [markdown]
# Propenyl and sulfinyl glucosinolates have a genetic correlation of −0.8: the two loci that decide over the length of a
# glucosinolate's side chain and over its last step (MAM and AOP) segregate in this cross. What the markers leave over
# hardly correlates, but for propenyl and quercetin.
#
# ### How many dimensions has G?
#
# An eigenvalue near zero is a combination of traits that hardly varies genetically.

# %%
print(fit.eigen("line"))

# %% [markdown]
# Fewer parameters say something similar: a factor-analytic Σ = ΛΛᵀ + Ψ, here with one factor, or a Σ of reduced rank,
# `rr`. They are nested in the unstructured one.

# %%
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # a reduced rank is a singular Σ, on purpose
    one_factor = mv.fit(f"{four} ~ 1 + fa(1 | line:K, 1)", metabolites, cov=cov)
    rank_three = mv.fit(f"{four} ~ 1 + rr(1 | line:K, 3)", metabolites, cov=cov)
print(mv.lrt(one_factor, fit))
print(mv.lrt(rank_three, fit))

# %% [markdown]
# ### Selection
#
# An index weighs the traits. `gain` is what each trait gains if the best tenth of the lines are kept.

# %%
print(fit.selection_index({"butenyl": 1.0, "quercetin": -0.5}, select=0.1))

# %% [markdown]
# ### Is it right?
#
# Simulate from known matrices, fit, and look. With 158 lines a genetic correlation has a standard error above
# 0.1, so single answers scatter; their mean and their intervals should not.

# %%
truth = fit.correlations("line").set_index(["trait1", "trait2"])["correlation"]
covered, estimates = [], []
for seed in range(20):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = fit.refit(fit.simulate(1, seed=seed)["sim_1"])
    found = again.correlations("line").set_index(["trait1", "trait2"])
    estimates.append(found["correlation"])
    covered.append((found["lower"] <= truth) & (truth <= found["upper"]))
table = pd.DataFrame({"truth": truth, "mean of 20": pd.concat(estimates, axis=1).mean(axis=1)})
print(table.round(3))
print(f"{np.mean(covered):.0%} of {20 * len(truth)} intervals hold the truth")

# %% [markdown]
# ## All 24, one by one
#
# Nobody fits one model of thousands of responses with a covariance for every pair. `fit_each` fits a model to each;
# the kinship is decomposed once for all of them, and 5,000 responses take seconds.

# %%
each = mv.fit_each(metabolites.drop(columns="line"), "~ 1 + (1 | line:K)", metabolites, cov=cov)
print(each.summary())
print(each.frame[["response", "loglik", "h2", "se.h2"]].sort_values("h2").round(3).to_string(index=False))
