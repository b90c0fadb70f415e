"""Sampled posteriors as plain values and back: in one file, or with their draws in a folder beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import StoredModelError
from ..estimators.base import PosteriorEstimate
from ..estimators.gibbs_summary import posterior_estimate
from ..estimators.stored import pack_estimator, pack_spec, unpack_estimator, unpack_spec
from ..io.packing import Packer, unpack
from ..io.store import stored_kinds
from ..linalg.memory import require
from ..sampling.base import ROWS, Draws, piece_of
from ..sampling.plans import pack_plan, unpack_plan
from ..sampling.store import read_chains
from .stored import likelihood_of

Array = NDArray[Any]
_PLAIN = ("seed", "burnin", "thin", "states", "blocks", "facts", "interrupted")


class PosteriorKind:
    """Stores `PosteriorResults`."""

    def handles(self, results: Any) -> bool:
        return isinstance(getattr(results, "estimate", None), PosteriorEstimate)

    def pack(self, results: Any, packer: Packer) -> dict[str, Any]:
        estimate = results.estimate
        estimator = results.estimator
        if hasattr(estimator, "stated") and estimate.priors is not None:
            estimator = estimator.stated(estimate.priors)
        values = {f.name: getattr(estimate, f.name) for f in fields(estimate) if f.name not in ("draws", "priors")}
        return {
            **pack_spec(results.spec, packer),
            "estimator": pack_estimator(estimator, packer),
            "estimate": packer.pack({**values, "trace": (), "sampling": None}, "the estimate"),
            "draws": _pack_draws(estimate.draws, packer),
            "information": results.information,
        }

    def unpack(self, content: Mapping[str, Any], arrays: Mapping[str, Array]) -> Any:
        """From one file, or (``content["folder"]``) from the file `estimators.gibbs_store` left beside the draws."""
        from .made import made

        spec = unpack_spec(content, arrays)
        estimator = unpack_estimator(content["estimator"], arrays)
        priors = estimator.bound_priors(spec) if hasattr(estimator, "bound_priors") else None
        if content.get("draws") is None:
            draws = read_chains(Path(content["folder"]))
            estimate = posterior_estimate(spec, draws, priors, unpack(content["run"], arrays))
        else:
            draws = _unpack_draws(content["draws"], arrays)
            estimate = PosteriorEstimate(**unpack(content["estimate"], arrays), draws=draws, priors=priors)
        _check(spec, draws, estimate)
        information = content.get("information", "auto")
        return made(spec, estimate, likelihood_of(spec, estimate), estimator, information)


stored_kinds.register("posterior")(PosteriorKind())


def _pack_draws(draws: Draws, packer: Packer) -> dict[str, Any]:
    effects = draws.effects
    if effects is not None:  # in memory twice: as arrays and as what is written
        size = sum(u.nbytes for u in effects)
        instead = f"They are in {draws.folder!r}, which mixedvc.load opens." if draws.folder else "Give store= to fit."
        require(3 * size, "the random effects of all draws in one file", instead)
        effects = tuple(np.asarray(u) for u in effects)
    rows = {name: np.asarray(getattr(draws, name)) for name in ROWS}
    surplus = [{**{name: getattr(p, name) for name in ROWS}, "effects": _whole(p.effects)} for p in draws.surplus]
    values = {name: getattr(draws, name) for name in _PLAIN}
    packed = packer.pack({**values, "rows": rows, "effects": effects, "surplus": surplus}, "the draws")
    return {"values": packed, "plan": pack_plan(draws.plan, packer)}


def _whole(effects: tuple[Array, ...] | None) -> tuple[Array, ...] | None:
    return None if effects is None else tuple(np.asarray(u) for u in effects)


def _unpack_draws(packed: Mapping[str, Any], arrays: Mapping[str, Array]) -> Draws:
    values = unpack(packed["values"], arrays)
    rows, surplus = values.pop("rows"), values.pop("surplus")
    pieces = tuple(piece_of(one, one["effects"]) for one in surplus)
    return Draws(**rows, **values, surplus=pieces, plan=unpack_plan(packed["plan"], arrays))


def _check(spec: ModelSpec, draws: Draws, estimate: PosteriorEstimate) -> None:
    """Refuse draws of another model."""
    C, D = draws.lp.shape
    n_par = sum(term.structure.n_par for term in spec.all_terms)
    expected = {"par": (C, D, n_par), "theta": (C, D, len(spec.index)), "beta": (C, D, spec.p), "loglik": (C, D)}
    good = all(getattr(draws, name).shape == shape for name, shape in expected.items())
    good &= len(draws.states) == len(draws.surplus) == len(draws.blocks) == C and len(estimate.theta) == len(spec.index)
    if draws.effects is not None:
        good &= [u.shape for u in draws.effects] == [(C, D, term.q, term.k) for term in spec.terms]
    if not good:
        raise StoredModelError("the draws do not fit the model: another number of parameters, levels or chains")
