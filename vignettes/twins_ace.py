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
# # Twins: an ACE model
#
# How much of the variation of body mass is inherited? Twins answer it: identical (MZ) pairs share all their
# genes, fraternal (DZ) pairs half of them on average, and both kinds share a home. The ACE model splits the
# variance into
#
# - **A**, additive genetic: correlation 1 within MZ pairs, ½ within DZ pairs;
# - **C**, common environment: correlation 1 within every pair;
# - **E**, each twin's own: correlation 0. It is the residual.
#
# In OpenMx or `mets::twinlm` this is a model of pairs. Here it is a mixed model of persons with two known
# covariances, so the same lines work for sibs, parents and unrelated people.

# %%
import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.stats import chi2

import mixedvc as mv

wide = mv.load_data("twins")
print(wide[["fam", "zygosity", "cohort", "age", "htwt1", "htwt2", "bmi1", "bmi2"]].head())

# %% [markdown]
# The data (3808 Australian pairs, from OpenMx) have one row for a pair. `bmi` is 7 log(BMI), which is closer
# to normal than BMI itself. A mixed model wants one row for a person. `person` is the label under which rows
# and covariances meet.

# %%
long = pd.concat(
    [
        pd.DataFrame(
            {
                "person": wide["fam"].astype(str) + f"-{twin}",
                "fam": wide["fam"].astype(str),
                "zygosity": wide["zygosity"],
                "cohort": wide["cohort"],
                "age": wide["age"],
                "woman": wide["zygosity"].isin(["MZFF", "DZFF", "DZOS"] if twin == 1 else ["MZFF", "DZFF"]).astype(int),
                "bmi": wide[f"bmi{twin}"],
            }
        )
        for twin in (1, 2)
    ],
    ignore_index=True,
)
long = long.dropna(subset=["bmi", "age"]).reset_index(drop=True)
print(len(long), "twins of", long["fam"].nunique(), "pairs")

# %% [markdown]
# Before any model, the correlations within pairs. If A were all, DZ pairs would correlate half as much as MZ
# pairs; C pushes the two towards each other. Here the DZ correlation is *less* than half: a hint that C will
# have nothing to explain.

# %%
pairs = wide.dropna(subset=["bmi1", "bmi2"])
print(pairs.groupby("zygosity", observed=True)[["bmi1", "bmi2"]].apply(lambda g: g.corr().iloc[0, 1]).round(3))

# %% [markdown]
# ## A and C from zygosity and family
#
# Both matrices are zero between families, so we build them sparse, block by block: 2 × 2 blocks with A = 1 or
# ½ and C = 1 beside a diagonal of ones. All 7616 twins get a label, also those whose BMI is missing: a
# covariance may know more people than the data.

# %%
people = pd.concat([wide["fam"].astype(str) + "-1", wide["fam"].astype(str) + "-2"], ignore_index=True)
m = len(wide)
first, second = np.arange(m), np.arange(m) + m
identical = wide["zygosity"].str.startswith("MZ").to_numpy()


def within_pairs(correlation: np.ndarray) -> mv.Sparse:
    """Covariance with ones on the diagonal and `correlation` between the twins of a pair."""
    rows = np.concatenate([first, second, first, second])
    columns = np.concatenate([first, second, second, first])
    values = np.concatenate([np.ones(2 * m), correlation, correlation])
    return mv.Sparse(sp.csr_array((values, (rows, columns)), shape=(2 * m, 2 * m)), people)


A = within_pairs(np.where(identical, 1.0, 0.5))
C = within_pairs(np.ones(m))

# %% [markdown]
# ## The fit
#
# `(1 | person:A)` is one effect for a person, with covariance σ²A between persons. Identical twins make A
# singular; that is fine, no inverse of it is needed. Because the kernels fall into families, the likelihood
# is computed family by family.

# %%
formula = "bmi ~ age + woman + cohort + (1 | person:A) + (1 | person:C)"
ace = mv.fit(formula, long, cov={"A": A, "C": C})
print(ace.summary())

# %% [markdown]
# **C is exactly zero**, and the fit says so: a boundary, no standard error, a note. This is not a failure of
# the iteration. The likelihood falls as soon as C leaves zero, as the correlations above made us expect. The
# warning is there so that nobody reports "C = 0 ± 0". The fit to use is then AE, and its heritability the one
# to report. (OpenMx, given paths, prints C = 3 · 10⁻¹¹ for the same data, with no remark.)
#
# A shared home is also what `(1 | fam)` means: pairs as an ordinary grouping factor. The two spellings are
# the same model.

# %%
same = mv.fit("bmi ~ age + woman + cohort + (1 | person:A) + (1 | fam)", long, cov={"A": A})
print(same.llf - ace.llf)

# %% [markdown]
# ## Heritability
#
# A share of a variance needs a denominator, so it has a name. Here it is A / (A + E), of the variation left
# after age, sex and cohort. The interval is made on the logit scale and stays between 0 and 1.

# %%
ae = mv.fit("bmi ~ age + woman + cohort + (1 | person:A)", long, cov={"A": A})
print(ae.heritability())

# %% [markdown]
# ## Which model? ML and likelihood ratios
#
# The usual table of twin studies: ACE, and its submodels AE, CE and E, by maximum likelihood. D, dominance (1
# within MZ pairs, ¼ within DZ pairs), is the usual alternative when DZ pairs are less than half as alike.

# %%
D = within_pairs(np.where(identical, 1.0, 0.25))
cov = {"A": A, "C": C, "D": D}
random_part = {
    "ACE": "(1 | person:A) + (1 | person:C)",
    "AE": "(1 | person:A)",
    "CE": "(1 | person:C)",
    "ADE": "(1 | person:A) + (1 | person:D)",
}
fits = {
    name: mv.fit(f"bmi ~ age + woman + cohort + {part}", long, cov={k: cov[k] for k in name if k in cov}, method="ml")
    for name, part in random_part.items()
}
table = pd.DataFrame({name: {"logLik": f.llf, "AIC": f.aic} for name, f in fits.items()}).T
for name, f in fits.items():
    table.loc[name, list(name)] = f.varcomp["variance"].to_numpy()
print(table.round(4).to_string())

# %% [markdown]
# - ACE and AE have the same likelihood: C adds nothing.
# - CE is far worse: shared environment alone does not explain why MZ pairs are so much more alike.
# - ADE is better than AE. To ask whether D is zero, do not take χ² with one degree of freedom: if D is zero, its
#   estimate lies on the boundary half of the time. The reference distribution is half a point mass at 0 and half
#   a χ²₁, so the p-value is half of the usual one. `test_varcomp` fits the model without the term and does this.

# %%
test = fits["ADE"].test_varcomp("person:D")
print(test.T)
statistic = 2 * (fits["ADE"].llf - fits["AE"].llf)
print(f"by hand: likelihood ratio {statistic:.2f}, p = {chi2.sf(statistic, 1) / 2:.1e}")

# %% [markdown]
# With dominance in the model, "heritability" has two meanings: narrow, A / (A + D + E), and broad,
# (A + D) / (A + D + E). Twins alone determine the first poorly, because A and D differ only in what they predict
# for DZ pairs, and the second well: compare the standard errors. `derived` gives any function of the variances
# with its standard error.

# %%
print(fits["ADE"].derived(lambda v: v["person:A"] / sum(v.values()), name="narrow"))
print(fits["ADE"].derived(lambda v: (v["person:A"] + v["person:D"]) / sum(v.values()), name="broad"))

# %% [markdown]
# ## The same numbers elsewhere
#
# OpenMx 2.21.1, given the same pairs, covariates and models, reports −8792.8828 (ACE and AE), −8997.2814 (CE)
# and −8783.8053 (ADE). What this page says is checked here, so that it stays true:

# %%
openmx = {"ACE": -8792.88282, "AE": -8792.88282, "CE": -8997.28141, "ADE": -8783.80527}
for name, loglik in openmx.items():
    assert abs(fits[name].llf - loglik) < 1e-4, name
assert ace.varcomp["boundary"].tolist() == [False, True, False]
assert ace.varcomp["variance"].iloc[1] == 0
assert abs(same.llf - ace.llf) < 1e-7
np.testing.assert_allclose(test["statistic"], statistic, rtol=1e-6, atol=0)
