"""Fits the generated models with the PyPI package glmm and lays its log-likelihoods beside lme4's: ``peers.csv``.

python -m tests.peers.collect FOLDER          FOLDER holds lme4_*.csv, written by lme4.R
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pandas as pd

from .generate import COUNT, Model, model


def by_glmm(m: Model) -> float:
    """Its log-likelihood; NaN where it does not fit such a model (``||``, slopes without intercept, three nested)."""
    import glmm

    columns = {name: m.data[name].to_numpy() if name else None for name in (m.weights, m.offset)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = glmm.fit(
                m.data,
                m.formula,
                weights=columns[m.weights],
                offset=columns[m.offset],
                reml=m.reml,
                satterthwaite=False,
            )
    except (ValueError, NotImplementedError):
        return float("nan")
    return float(fit.loglik)


def collect(folder: Path) -> pd.DataFrame:
    """One row a model."""
    theirs = pd.concat([pd.read_csv(path, dtype=str) for path in sorted(folder.glob("lme4_*.csv"))])
    theirs = theirs.set_index(theirs["number"].astype(int)).sort_index()
    rows = []
    for i in range(COUNT):
        m = model(i)
        row = theirs.loc[i]
        assert row["checksum"] == m.checksum, f"model {i} is not the one that lme4 fitted: export again"
        glmm_value = by_glmm(m)
        rows.append(
            {
                "number": i,
                "checksum": m.checksum,
                "rows": len(m.data),
                "lme4_default": row["lme4_default"],
                "lme4_best": row["lme4_best"],
                "lme4_singular": row["lme4_singular"],
                "glmm": "" if glmm_value != glmm_value else f"{glmm_value:.13g}",
            }
        )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    collect(Path(sys.argv[1])).to_csv(Path(__file__).with_name("peers.csv"), index=False)
