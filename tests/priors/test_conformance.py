"""Every registered prior, on every structure it binds to, satisfies its contract."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest

from mixedvc import priors as P
from mixedvc.errors import OptionError
from mixedvc.priors.turned import BoundTurned
from mixedvc.structures import make
from mixedvc.structures.serial import Serial
from mixedvc.testing.prior_checks import prior_checks

V2, V3 = np.array([[2.0, 0.6], [0.6, 1.0]]), np.diag([2.0, 1.0, 0.5]) + 0.2
STRUCTURES = {
    "scalar": make("us", 1),
    "us2": make("us", 2),
    "us3": make("us", 3),
    "diag": make("diag", 2),
    "cs": make("cs", 3),
    "hom cs": make("cs", 4, (("hom", True),)),
    "ar1": make("ar1", 3),
    "het ar1": make("ar1", 3, (("hom", False),)),
    "fa1": make("fa", 3),
    "fa2": make("fa", 5, (("factors", 2),)),
    "rr1": make("rr", 3),
    "rr2": make("rr", 3, (("factors", 2),)),
    "serial": Serial("ar1", (0, 1, 3, 4), (0, 0, 1, 1), ("a", "b")),
}
PRIORS: dict[str, Any] = {
    "IG": P.InverseGamma(2.5, 1.5),
    "IG(0, 0)": P.InverseGamma(0.0, 0.0),
    "IW": P.InverseWishart(1.3, 4.5),
    "IW matrix 2": P.InverseWishart(V2, 3.0),
    "IW matrix 3": P.InverseWishart(V3, 4.0),
    "IW improper": P.InverseWishart(V3, 1.5, improper=True),
    "IW nu = 0": P.InverseWishart(1.0, 0.0),
    "PX": P.ParameterExpanded(1.5, 3.5, 0.0, 4.0),
    "PX off zero": P.ParameterExpanded(1.5, 4.0, 1.5, 2.0),
    "PX matrix 2": P.ParameterExpanded(V2, 3.0, 0.0, [[4.0, 1.0], [1.0, 2.0]]),
    "PX matrix 3": P.ParameterExpanded(V3, 4.0, 0.0, np.diag([1.0, 2.0, 4.0]) + 0.5),
    "half-t": P.HalfT(3.0, 2.0),
    "half-t of the data": P.HalfT(),
    "half-Cauchy": P.HalfCauchy(0.7),
    "Huang-Wand": P.HuangWand(2.0, 1.5),
    "Huang-Wand of the data": P.HuangWand(3.0),
    "LKJ": P.LKJ(1.0, P.HalfT(4.0, 1.0)),
    "LKJ(2.5)": P.LKJ(2.5, P.InverseGamma(3.0, 2.0)),
    "LKJ(0.7)": P.LKJ(0.7),
    "flat": P.Flat(),
    "flat sd": P.Flat("sd"),
    "flat log": P.Flat("log"),
    "held": P.Fixed(1.7),
    "patterned": P.Patterned(),
    "patterned sd": P.Patterned(sd=P.HalfT(5.0, 1.0)),
    "patterned eta": P.Patterned(eta=2.0),
    "patterned loading": P.Patterned(loading=0.8),
    "Normal": P.Normal(0.0, sd=1.0),
    "shares": P.VarianceShare(10),
}

THREE = ("IW matrix 3", "PX matrix 3", "PX off zero", "LKJ(2.5)", "Huang-Wand")  # the others of three effects: slow
ALIKE = ("hom cs", "ar1", "het ar1", "rr1", "rr2")  # priors of one variance bind as they do to cs and fa1


def _bound(prior: str, structure: str) -> Any:
    s = STRUCTURES[structure]
    return PRIORS[prior].bind(s, "g", np.linspace(0.8, 1.6, s.k), [f"e{a}" for a in range(s.k)])


def _pairs() -> list[Any]:
    out = []
    for prior in PRIORS:
        for structure in STRUCTURES:
            try:
                _bound(prior, structure)
            except OptionError:
                continue
            if STRUCTURES[structure].n_par > 9:  # a mean of ratios over so many dimensions says little
                continue
            if structure in ALIKE and not prior.startswith(("patterned", "LKJ")):
                continue
            quick = prior in THREE if structure == "us3" else structure != "us2" or not prior.endswith("of the data")
            out.append(pytest.param(prior, structure, marks=() if quick else pytest.mark.slow))
    return out


@pytest.mark.parametrize(("prior", "structure"), _pairs())
def test_a_prior_keeps_its_promises(prior: str, structure: str):
    seed = zlib.crc32(f"{prior} {structure}".encode())
    draws = 1000 if STRUCTURES[structure].n_par <= 3 else 2000
    assert prior_checks(_bound(prior, structure), seed=seed, draws=draws)


def test_a_prior_of_turned_effects_keeps_its_promises():
    s = STRUCTURES["us2"]
    T = np.array([[1.5, -0.8], [0.0, 0.4]])
    bound = BoundTurned(s, P.LKJ(1.0, P.HalfT(3.0, 1.0)).bind(s, "g"), T, "of turned effects")
    assert "density and draws" in prior_checks(bound, seed=3, draws=2000)


def test_every_registered_prior_is_checked():
    assert {type(prior).kind for prior in PRIORS.values()} == set(P.names())


@pytest.mark.parametrize("structure", list(STRUCTURES))
def test_every_structure_has_a_proper_default_prior(structure: str):
    from mixedvc.priors.defaults import default_prior

    s = STRUCTURES[structure]
    bound = default_prior(s).bind(s, "g", np.linspace(0.8, 1.6, s.k))
    assert bound.proper
    assert np.isfinite(bound.logpdf(bound.draw(np.random.default_rng(1))[None])).all()


@pytest.mark.parametrize("prior", list(PRIORS))
def test_what_a_prior_refuses_names_the_term(prior: str):
    for structure, s in STRUCTURES.items():
        try:
            _bound(prior, structure)
        except OptionError as error:
            assert "priors['g']" in str(error), (structure, s)


@pytest.mark.parametrize("prior", list(PRIORS))
def test_a_stored_prior_comes_back(prior: str):
    import json

    again = P.from_state(json.loads(json.dumps(P.to_state(PRIORS[prior]))))
    assert again == PRIORS[prior]
    hash(again)
