"""RLRsim's ``exactRLRT``: the finite-sample test of a variance, printed as R prints a test."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import OptionError
from .mermod import LmerMod, need_model
from .rnumbers import number, p_values


@dataclass(frozen=True, repr=False)
class HTest:
    """A test as R's ``htest``.

    Attributes
    ----------
    statistic, p_value : float
    name : str
        Of the statistic.
    method : str
        Title, lines separated by line feeds.
    mc_error : float
        Monte-Carlo standard error of the p-value.
    """

    statistic: float
    p_value: float
    name: str
    method: str
    mc_error: float

    def __repr__(self) -> str:
        p = p_values([self.p_value], 4)[0]
        p = f"p-value {p}" if p.startswith("<") else f"p-value = {p}"
        title = "\n".join(f"\t{line}" for line in self.method.split("\n"))
        return f"\n{title}\n\ndata:  \n{self.name} = {number(self.statistic, 5)}, {p}\n"


def exactRLRT(
    m: LmerMod, mA: LmerMod | None = None, m0: LmerMod | None = None, seed: int | None = None, nsim: int = 10000
) -> HTest:
    """Test that the variance of a random effect is zero, by the simulated law of the restricted likelihood ratio.

    Parameters
    ----------
    m : LmerMod
        A model with one random effect; with `mA` and `m0`, the model with only the effect to be tested.
    mA, m0 : LmerMod, optional
        The full model, and the one without the effect to be tested.
    seed : int, optional
    nsim : int

    Returns
    -------
    HTest, with ``statistic``, ``p_value`` and its Monte-Carlo error.
    """
    full = need_model(m if mA is None else mA, "exactRLRT")
    if (mA is None) != (m0 is None):
        raise OptionError("exactRLRT() takes m alone, or m, mA and m0 together")
    if not full.reml:
        raise OptionError("exactRLRT() is for REML fits: m.fit.test_varcomp(method='exact') tests an ML fit")
    if m0 is None:
        if len(full.spec.terms) > 1:
            raise OptionError(
                "the model has several random effects: give m (only the tested one), mA (all) and m0 (the others)"
            )
        component = full.spec.terms[0].name
    else:
        component = _tested(m, full, need_model(m0, "exactRLRT"))
    row = full.fit.test_varcomp(component, method="exact", nsim=nsim, seed=seed).iloc[0]
    title = f"simulated finite sample distribution of RLRT.\n\n(p-value based on {nsim} simulated values)"
    return HTest(float(row["statistic"]), float(row["p_value"]), "RLRT", title, float(row["mc_error"]))


def _tested(m: LmerMod, full: LmerMod, null: LmerMod) -> str:
    """The random term of the full model that the null model lacks and `m` has alone."""
    have, without, alone = ([term.text for term in model.spec.terms] for model in (full, null, m))
    gone = [text for text in have if text not in without]
    if len(gone) != 1 or alone != gone or len(without) != len(have) - 1:
        raise OptionError(
            "exactRLRT(m, mA, m0): m0 is mA without the tested term and m has only that, but the random terms are "
            f"{', '.join(alone)} (m), {', '.join(have)} (mA), {', '.join(without) or 'none'} (m0)"
        )
    return full.spec.terms[have.index(gone[0])].name
