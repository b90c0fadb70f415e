"""A folder for the draws of a run: the model is written there before the first of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..design.spec import ModelSpec
from ..errors import StoredModelError
from ..io.archive import write_archive
from ..io.packing import Packer
from ..sampling.base import Draws
from ..sampling.chains import Run
from ..sampling.store import MODEL, Folder, new_folder
from .stored import pack_estimator, pack_spec


def opened(store: Any, spec: ModelSpec, estimator: Any, plan: Any, asked: Run, about: Mapping[str, Any]) -> Folder:
    """The folder, with the model in it.

    Parameters
    ----------
    store : str or Path
    about : mapping
        The words of `gibbs_summary.posterior_estimate`: method, likelihood, reason, why.

    Raises
    ------
    OptionError, StoredModelError
        A folder that is not empty or cannot be written; a specification that does not carry its data.
    """
    if spec.source is None:
        raise StoredModelError("store= needs a model that carries its data: use mixedvc.fit or mixedvc.model")
    path = new_folder(store)
    packer = Packer()
    content = {
        **pack_spec(spec, packer),
        "estimator": pack_estimator(estimator, packer),
        "run": packer.pack(dict(about), "the run"),
        "draws": None,
    }
    write_archive(path / MODEL, {"kind": "posterior", "results": content}, packer.arrays)
    return Folder(
        path, _facts(asked.seed, asked.skip * asked.thin, asked.thin, plan), _widths(spec, asked), asked.chains
    )


def opened_again(draws: Draws) -> Folder | None:
    """The folder of draws that are gone on with; None where they are in memory."""
    if draws.folder is None:
        return None
    widths = {name: getattr(draws, name).shape[2:] for name in ("par", "theta", "beta", "lp", "loglik")}
    widths |= {f"effects-{i}": u.shape[2:] for i, u in enumerate(draws.effects or ())}
    return Folder(Path(draws.folder), _facts(draws.seed, draws.burnin, draws.thin, draws.plan), widths, draws.chains)


def _facts(seed: int, burnin: int, thin: int, plan: Any) -> dict[str, Any]:
    return {"seed": seed, "burnin": burnin, "thin": thin, "plan": plan}


def _widths(spec: ModelSpec, asked: Run) -> dict[str, tuple[int, ...]]:
    n_par = sum(term.structure.n_par for term in spec.all_terms)
    widths: dict[str, tuple[int, ...]] = {
        "par": (n_par,),
        "theta": (len(spec.index),),
        "beta": (spec.p,),
        "lp": (),
        "loglik": (),
    }
    if asked.save_random:
        widths |= {f"effects-{i}": (term.q, term.k) for i, term in enumerate(spec.terms)}
    return widths
