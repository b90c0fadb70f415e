"""The blue tits of MCMCglmm's own example: the port against MCMCglmm's long runs (skipped without the data)."""

import numpy as np
import pandas as pd
import pytest

from mixedvc.porting.mcmcglmm import MCMCglmm, effectiveSize
from tests.reference.load import input_or_skip, reference

IG = {"V": 1, "nu": 0.002}
PX = {"V": 1, "nu": 1, "alpha.mu": 0, "alpha.V": 1000}
QUANTILES = (0.025, 0.25, 0.5, 0.75, 0.975)
T3 = {"V": np.eye(2) / 3, "nu": 2}


@pytest.fixture(scope="module")
def birds():
    data = pd.read_csv(input_or_skip("kinship/btdata/data.csv"))
    pedigree = pd.read_csv(input_or_skip("kinship/btdata/pedigree.csv"))
    return data, pedigree


def worst(chain, want):
    """Largest |z| of the shares of our draws below the quantiles of the stored run."""
    assert list(chain.columns) == want["names"]
    found = 0.0
    for j, quantiles in enumerate(want["quantiles"]):
        values = chain.iloc[:, j].to_numpy()
        for p, q in zip(QUANTILES, quantiles, strict=True):
            below = (values < q).astype(float)
            ours = max(float(effectiveSize(below).iloc[0]), 20.0)
            found = max(found, abs(below.mean() - p) / np.sqrt(p * (1 - p) * (1 / ours + 1 / want["ess"][j])))
    return found


def means(chain, want):
    """Largest |z| of the means of the fixed effects."""
    ours = chain.std() ** 2 / effectiveSize(chain)
    theirs = np.array(want["sd"]) ** 2 / np.array(want["ess"])
    return float(np.abs((chain.mean() - np.array(want["mean"])) / np.sqrt(ours + theirs)).max())


@pytest.mark.slow
@pytest.mark.parametrize(("case", "prior"), [("mcmcglmm_uni_IG_103k", IG), ("mcmcglmm_uni_PX_13k", PX)])
def test_the_animal_model_of_tarsus(birds, case, prior):
    data, pedigree = birds
    m = MCMCglmm(
        "tarsus ~ sex",
        random="~animal + fosternest",
        pedigree=pedigree,
        data=data,
        prior={"R": IG, "G": {"G1": prior, "G2": prior}},
        seed=3,
        verbose=False,
    )
    want = reference(f"kinship/btdata/{case}")
    assert worst(m.VCV, want["VCV"]) < 4.5
    assert list(m.Sol.columns) == want["fixed"]["names"]
    assert means(m.Sol, want["fixed"]) < 4.5
    error = np.sqrt(m.Deviance.var() / effectiveSize(m.Deviance).iloc[0])
    assert abs(m.DIC - want["DIC"]) < 4.5 * 2 * error * np.sqrt(2)  # the runs are of like length


@pytest.mark.slow
def test_tarsus_and_back_colour_together(birds):
    data, pedigree = birds
    m = MCMCglmm(
        "cbind(tarsus, back) ~ trait:sex + trait:hatchdate - 1",
        random="~us(trait):animal + us(trait):fosternest",
        rcov="~us(trait):units",
        pedigree=pedigree,
        data=data,
        prior={"R": T3, "G": {"G1": T3, "G2": T3}},
        nitt=9000,
        seed=3,
        verbose=False,
        DIC=False,
    )
    assert m.model.wide
    assert worst(m.VCV, reference("kinship/btdata/mcmcglmm_biv_us_23k")["VCV"]) < 4.5
