"""Every line of the stored R sessions, run with the R names: the same numbers, and the same text."""

import warnings

import pytest

from .sessions import closeness, lines, run, said, workspace

SESSIONS = list(dict.fromkeys(line.session for line in lines()))
DIFFERENT = {  # R line: why ours differs
    'getME(m, "cnms")': "a dictionary cannot hold the name Subject twice: the second term is Subject.1, as in VarCorr",
}
PROFILES = 3e-4  # lme4 interpolates the ends of profile intervals
RELATIVE = 5e-6  # lme4 stops this close to the optimum
TAILS = 2e-5  # and so p-values far out are this close


def results(session):
    """(line, closeness) of a session run from its start."""
    space, out = workspace(), []
    for line in lines():
        if line.session == session:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                got = run(line, space)
            rtol = TAILS if "coef(summary" in line.r else RELATIVE
            rtol = PROFILES if line.r.startswith("confint") and "Wald" not in line.r else rtol
            if got or line.out:
                out.append((line, closeness(said(line.out), got, rtol)))
    return out


@pytest.mark.parametrize("session", SESSIONS)
def test_a_session_prints_what_r_printed(session, capsys, record_property):
    found = results(session)
    wrong = {
        line.r: how
        for line, how in found
        if how not in ("same", "near") and not (line.r in DIFFERENT and session == "sleepstudy ML uncorrelated")
    }
    assert wrong == {}, "\n\n".join(f"> {r}\n{how}" for r, how in wrong.items())
    exact = sum(how == "same" for _, how in found)
    record_property("lines equal to the last character", f"{exact} of {len(found)}")
    assert exact >= 0.6 * len(found)
