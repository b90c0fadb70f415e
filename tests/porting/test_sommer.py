"""sommer's mmer and mmes as mv.fit: translated text that binds and fits, and names for what is not translated."""

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.porting.translate import translate

G = 'cov={"A": A}'


@pytest.mark.parametrize(
    ("call", "want"),
    [
        (
            "mmer(cbind(y1, y2) ~ x, random = ~ vsr(id, Gu=A, Gtc=unsm(2)), rcov = ~ vsr(units, Gtc=unsm(2)), data=d)",
            f'mv.fit("cbind(y1, y2) ~ x + (1 | id:A)", d, {G})',
        ),
        (
            "mmer(cbind(y1, y2) ~ x, random = ~ vsr(id, Gu=A, Gtc=diag(2)), rcov = ~ vsr(units, Gtc=diag(2)), data=d)",
            f'mv.fit("cbind(y1, y2) ~ x + diag(1 | id:A)", d, {G}, residual="diag")',
        ),
        (
            "mmer(y ~ 1, random = ~ vsr(id, Gu=A) + block, rcov = ~ units, data=d, verbose=FALSE)",
            f'mv.fit("y ~ 1 + (1 | id:A) + (1 | block)", d, {G})',
        ),
        (
            "mmes(y ~ trait, random = ~ vsm(usm(trait), ism(id), Gu=A), rcov = ~ vsm(dsm(trait), ism(units)), data=d)",
            f'mv.fit("y ~ trait + (0 + trait | id:A)", d, {G}, residual="diag(0 + trait | rows)")',
        ),
        (
            "mmes(y ~ env, random = ~ vsm(dsm(env), ism(id)) + vsm(ism(row)), data=d)",
            'mv.fit("y ~ env + diag(0 + env | id) + (1 | row)", d)',
        ),
    ],
)
def test_calls_are_translated(call, want):
    made = translate(call)
    assert made.complete, made.report()
    assert str(made).splitlines()[-1] == f"print({want}.summary())"


@pytest.mark.filterwarnings("ignore::mixedvc.errors.BoundaryWarning")
def test_the_translation_of_two_traits_fits():
    rng = np.random.default_rng(0)
    ids = [f"i{j}" for j in range(30)]
    W = rng.standard_normal((30, 60))
    d = pd.DataFrame({"id": ids, "x": rng.standard_normal(30)} | {f"y{k}": rng.standard_normal(30) for k in (1, 2)})
    A = pd.DataFrame(W @ W.T / 60, ids, ids)
    fit = mv.fit("cbind(y1, y2) ~ x + diag(1 | id:A)", d, cov={"A": A}, residual="diag")
    alone = [mv.fit(f"{y} ~ x + (1 | id:A)", d, cov={"A": A}).llf for y in ("y1", "y2")]
    np.testing.assert_allclose(fit.llf, sum(alone), rtol=1e-8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("mmes(y ~ trait, random = ~ vsm(usm(trait), ism(id)), rcov = ~ vsm(usm(trait), ism(units)), data=d)", "cbind"),
        ("mmer(y ~ 1, random = ~ spl2Da(r, c), data=d)", "spl2Da(r, c) in a random term"),
        ("mmer(y ~ 1, random = ~ vsr(at(e), id), data=d)", "the structure at(e)"),
        ("mmer(y ~ 1, random = ~ vsr(id, Gtc=fcm(1)), data=d)", "Gtc=fcm(1): unsm(t) and diag(t)"),
        ("mmer(y ~ 1, random = ~ vsr(id, Gt=S), data=d)", "starting values"),
        ("mmer(y ~ 1, random = ~ id, rcov = ~ vsr(dsr(e), plot), data=d)", "vsm(dsm(f), ism(units))"),
        ("mmer(y ~ 1, random = ~ id, data=d, weights=w)", "mmer(weights=)"),
        ("mmer(random = ~ id, data=d)", "without fixed="),
    ],
)
def test_what_is_not_translated_is_named(call, message):
    made = translate(call)
    assert not made.complete
    assert message in made.report()


def test_settings_without_a_counterpart_are_said():
    assert "# nIters= is left out" in str(translate("mmer(y ~ 1, random = ~ id, data=d, nIters=3)"))
