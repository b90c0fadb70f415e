"""The calls of tests/reference/mcmcglmm/simulated/fit.R in Python, and their data."""

from functools import cache

import numpy as np
import pandas as pd

from mixedvc.porting.mcmcglmm import inverseA
from tests.reference.load import HERE, reference

FOLDER = HERE / "mcmcglmm" / "simulated"
I2 = np.eye(2)
IG = {"V": 1, "nu": 0.002}
PX = {"V": 1, "nu": 1, "alpha_mu": 0, "alpha_V": 1000}
UNI = {"fixed": "y ~ sex + x", "random": "~animal + nest"}
TWO = {"R": {"V": I2, "nu": 2}}


@cache
def data():
    return pd.read_csv(FOLDER / "data.csv")


@cache
def pedigree():
    return pd.read_csv(FOLDER / "pedigree.csv")


def cases():
    """Arguments by case."""
    ped = {"pedigree": pedigree()}
    return {
        "uni_ig": {**UNI, **ped, "prior": {"R": IG, "G": {"G1": IG, "G2": IG}}},
        "uni_px": {**UNI, **ped, "prior": {"R": IG, "G": {"G1": PX, "G2": PX}}},
        "default_residual": {"fixed": "y ~ sex * x"},
        "ginverse": {
            "fixed": "y ~ sex",
            "random": "~animal",
            "ginverse": {"animal": inverseA(pedigree())["Ainv"]},
            "prior": {"R": {"V": 0.5, "nu": 4}, "G": {"G1": {"V": 0.5, "nu": 4}}},
        },
        "slopes_us": {
            "fixed": "y ~ x",
            "random": "~us(1 + x):nest",
            "prior": {"R": IG, "G": {"G1": {"V": I2 * 0.2, "nu": 3}}},
        },
        "slopes_us_px": {
            "fixed": "y ~ x",
            "random": "~us(1 + x):nest",
            "prior": {"R": IG, "G": {"G1": {"V": I2, "nu": 2, "alpha.mu": [0, 0], "alpha.V": I2 * 25}}},
        },
        "slopes_idh": {
            "fixed": "y ~ x",
            "random": "~idh(1 + x):nest",
            "prior": {"R": IG, "G": {"G1": {"V": I2 * 0.2, "nu": 2}}},
        },
        "sexes": {
            "fixed": "y ~ sex + x - 1",
            "random": "~idh(sex):nest + year",
            "rcov": "~idh(sex):units",
            "prior": {"R": {"V": I2, "nu": 2}, "G": {"G1": {"V": I2 * 0.3, "nu": 2}, "G2": PX}},
        },
        "fixed_variance": {**UNI, **ped, "prior": {"R": IG, "G": {"G1": {"V": 0.5, "fix": 1}, "G2": PX}}},
        "fixed_residual": {**UNI, **ped, "prior": {"R": {"V": 0.6, "fix": 1}, "G": {"G1": PX, "G2": PX}}},
        "informative_fixed": {
            "fixed": "y ~ sex + x",
            "random": "~nest + sex:year",
            "prior": {
                "B": {"mu": [1, 0, 0], "V": np.diag([0.01, 0.05, 0.002])},
                "R": IG,
                "G": {"G1": IG, "G2": PX},
            },
        },
        "known_errors": {
            "fixed": "y ~ sex + x",
            "random": "~nest",
            "mev": "known",
            "prior": {"R": IG, "G": {"G1": PX}},
        },
        "biv_us": {
            "fixed": "cbind(y2, z) ~ trait - 1 + trait:sex",
            "random": "~us(trait):animal",
            "rcov": "~us(trait):units",
            **ped,
            "prior": {**TWO, "G": {"G1": {"V": I2 / 2, "nu": 2}}},
        },
        "biv_idh": {
            "fixed": "cbind(y2, z) ~ trait + trait:x - 1",
            "random": "~idh(trait):animal + us(trait):nest",
            "rcov": "~idh(trait):units",
            **ped,
            "prior": {
                **TWO,
                "G": {
                    "G1": {"V": I2 / 2, "nu": 2},
                    "G2": {"V": I2, "nu": 2, "alpha.mu": [0, 0], "alpha.V": I2 * 100},
                },
            },
        },
        "biv_mixed": {
            "fixed": "cbind(y2, z) ~ trait + at.level(trait, 1):x + sex",
            "random": "~us(trait):nest + us(at.level(trait, 2)):year",
            "rcov": "~us(trait):units",
            "prior": {**TWO, "G": {"G1": {"V": I2 / 2, "nu": 3}, "G2": PX}},
        },
    }


def numbers(name, part):
    """(names, {statistic: array}) of a stored chain; of one variable R writes no list."""
    block = reference(f"mcmcglmm/simulated/{name}")[part]
    listed = {what: value if isinstance(value, list) else [value] for what, value in block.items()}
    names = listed.pop("names")
    return names, {what: np.array(value, dtype=float) for what, value in listed.items()}
