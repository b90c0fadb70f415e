"""Profiles as a user meets them: frames, intervals of other levels, words, files, pictures."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

import mixedvc as mv
from mixedvc.cli import main
from mixedvc.errors import ConvergenceWarning, MixedVCWarning, NotProvided, OptionError
from mixedvc.inference.intervals import normal_quantile
from mixedvc.results import profile as module
from tests.tolerances import COMPONENT, IDENTITY

SLOPES = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def reml():
    return mv.fit(SLOPES, mv.load_data("sleepstudy"))


@pytest.fixture(scope="module")
def ml():
    return mv.fit(SLOPES, mv.load_data("sleepstudy"), method="ml")


def held(fit, variance):
    return mv.fit(SLOPES, mv.load_data("sleepstudy"), method=fit.method, fixed_varcomp={"residual": variance})


def test_by_default_sds_correlations_and_fixed_effects_are_profiled(reml):
    table = reml.profile().conf_int()
    assert list(table.index) == [
        "sd(Subject[Intercept])",
        "corr(Subject[Intercept, Days])",
        "sd(Subject[Days])",
        "sd(Residual)",
        "Intercept",
        "Days",
    ]
    assert list(table["kind"]) == ["sd", "correlation", "sd", "sd", "fixed", "fixed"]
    assert list(table["criterion"]) == ["REML"] * 4 + ["ML"] * 2
    row = table.loc["corr(Subject[Intercept, Days])"]
    assert (row["group"], row["effect"], row["effect2"]) == ("Subject", "Intercept", "Days")
    assert_allclose(table["estimate"].iloc[:4], reml.varcomp["sd"], **COMPONENT)
    assert (table["note"] == "").all()


def test_another_level_is_solved_for(reml):
    table = reml.profile("Residual", level=0.9)
    for level in (0.5, 0.9, 0.99):
        for value in table.conf_int(level).loc["Residual", ["lower", "upper"]]:
            deviance = 2 * (reml.llf - held(reml, value).llf)
            assert_allclose(deviance, normal_quantile(level) ** 2, rtol=0, atol=1e-6)
    assert_allclose(table.conf_int()["lower"], table.conf_int(0.9)["lower"], **IDENTITY)
    with pytest.raises(OptionError, match="level=95 must lie strictly between 0 and 1"):
        table.conf_int(95)


def test_points_lie_on_the_profile(ml):
    frame = ml.profile("Residual").frame
    assert list(frame.columns) == ["parameter", "kind", "value", "zeta"]
    assert frame["value"].is_monotonic_increasing
    assert len(frame) >= 5
    for row in frame.itertuples():
        root = np.sqrt(max(2 * (ml.llf - held(ml, row.value).llf), 0.0))
        assert_allclose(abs(row.zeta), root, rtol=0, atol=1e-5)
        assert np.sign(row.zeta) == np.sign(row.value - ml.scale) or abs(row.zeta) < 1e-5


def test_the_curve_between_the_points_is_close_to_the_profile(ml):
    table = ml.profile("sd(Residual)")
    value, zeta = table.curve("sd(Residual)", n=9)
    for t, z in zip(value, zeta, strict=True):
        root = np.sqrt(max(2 * (ml.llf - held(ml, t**2).llf), 0.0))
        assert_allclose(abs(z), root, rtol=0, atol=2e-3)
    with pytest.raises(OptionError, match="'Days' was not profiled; there are 'sd\\(Residual\\)'"):
        table.curve("Days")


def test_the_other_criterion_can_be_profiled(reml, ml):
    own = ml.profile().conf_int()[["estimate", "lower", "upper"]].astype(float)
    other = reml.profile(criterion="ml").conf_int()[["estimate", "lower", "upper"]].astype(float)
    assert_allclose(other, own, **COMPONENT)
    restricted = ml.profile("sd", criterion="reml").conf_int()
    assert_allclose(restricted["upper"], reml.profile("sd").conf_int()["upper"], **COMPONENT)
    with pytest.raises(OptionError, match="criterion='aic' is not one of 'reml', 'ml'"):
        reml.profile(criterion="aic")


def test_the_table_of_variances_takes_profile_limits(reml):
    frame = reml.variances(interval="profile", level=0.9)
    table = reml.profile("variances").conf_int(0.9)
    assert_allclose(frame["lower"], table["lower"], **IDENTITY)
    assert_allclose(frame["upper"], table["upper"], **IDENTITY)
    chi2 = reml.variances(level=0.9)
    assert_allclose(frame["se"], chi2["se"], **IDENTITY)
    assert not np.allclose(frame["upper"], chi2["upper"], rtol=1e-2)
    text = " ".join(str(reml.summary(interval="profile", level=0.9)).split())
    assert "Intervals: profile of the restricted likelihood." in text
    assert f"{frame['upper'].iloc[0]:.0f}" in text


def test_fixed_effects_take_profile_limits(reml, ml):
    by_ml = ml.conf_int(method="profile")
    assert_allclose(reml.conf_int(method="profile"), by_ml, **COMPONENT)
    table = ml.profile("fixed").conf_int()
    assert_allclose(by_ml, table[["lower", "upper"]], **IDENTITY)
    assert list(by_ml.index) == ["Intercept", "Days"]
    assert (reml.conf_int(alpha=0.5, method="profile")[0] > by_ml[0]).all()
    with pytest.raises(OptionError, match="method='chi' is not one of 'wald', 'profile'"):
        reml.conf_int(method="chi")


def test_tidy_takes_profile_limits_of_sds_and_correlations(reml):
    tidy = reml.tidy("ran_pars", conf_int=True, interval="profile")
    table = reml.profile(["sd(Subject[Intercept])", "correlations", "sd(Subject[Days])", "sd(Residual)"]).conf_int()
    assert_allclose(tidy[["conf.low", "conf.high"]], table[["lower", "upper"]], **IDENTITY)


def test_held_variances_have_no_limits():
    fit = mv.fit("diameter ~ 1 + (1 | plate) + (1 | sample)", mv.load_data("penicillin"), fixed_varcomp={"plate": 0.5})
    frame = fit.variances(interval="profile")
    assert np.isnan(frame["lower"].iloc[0])
    assert frame["lower"].iloc[1] < frame["variance"].iloc[1] < frame["upper"].iloc[1]
    given = mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"), fixed_varcomp={"Batch": 1, "residual": 2})
    assert np.isnan(given.variances(interval="profile")["upper"]).all()
    with pytest.raises(OptionError, match="parameters='sd': this model has none that were estimated"):
        given.profile("sd")
    assert given.profile().names == ["Intercept"]


def test_methods_without_a_likelihood_are_refused():
    fit = mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"), method="he")
    with pytest.raises(NotProvided, match="method 'he' has no likelihood, so no profile: fit with method='reml'"):
        fit.profile()
    with pytest.raises(NotProvided, match="no likelihood, so no profile"):
        fit.variances(interval="profile")
    with pytest.raises(NotProvided, match="no likelihood, so no profile"):
        fit.conf_int(method="profile")


def test_a_profile_prints_its_intervals_and_what_was_maximised(reml, ml):
    table = reml.profile()
    text = str(table)
    assert text.splitlines()[1].strip() == "Profile-likelihood intervals"
    assert re.search(r"^sd\(Subject\[Days\]\) +REML +5\.922 +3\.927 +9\.152$", text, re.M)
    assert "[0.025" in text
    assert "profile of the unrestricted likelihood" in " ".join(text.split())
    assert "Fixed effects: profile of the unrestricted likelihood" in table._repr_html_()
    assert max(map(len, text.splitlines())) <= 100
    assert repr(table).startswith("<Profile: 6 parameters by ML and REML")
    assert ml.profile().notes == ()
    assert reml.profile("sd", criterion="ml").notes[0].startswith("Profile of the unrestricted likelihood")


def test_an_interruption_keeps_what_is_finished(reml, monkeypatch):
    own = type(reml.profiler).ends

    def ends(self, target, z, reml=None):
        if target.name == "sd(Residual)":
            raise KeyboardInterrupt
        return own(self, target, z, reml)

    monkeypatch.setattr(type(reml.profiler), "ends", ends)
    with pytest.warns(ConvergenceWarning, match="interrupted: 2 of 3 profiles were finished"):
        table = reml.profile("sd")
    assert table.names == ["sd(Subject[Intercept])", "sd(Subject[Days])"]
    assert table.notes[-1] == "Interrupted: without sd(Residual)."
    with pytest.raises(KeyboardInterrupt):
        reml.profile("sd(Residual)")


def test_a_refit_has_its_own_profiles(ml):
    rng = np.random.default_rng(2)
    y = 1e3 * rng.standard_normal(180) + 5e3
    data = mv.load_data("sleepstudy").assign(Reaction=y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        again, fresh = ml.refit(y), mv.fit(SLOPES, data, method="ml")
    columns = ["estimate", "lower", "upper"]
    wanted = ["sd", "share(Subject)", "fixed"]
    got, want = (f.profile(wanted).conf_int()[columns].astype(float) for f in (again, fresh))
    assert_allclose(got, want, rtol=1e-5, atol=1e-3)


def test_progress_counts_the_parameters(reml, monkeypatch):
    seen = []

    class Counting(module.Progress):
        def step(self, done=1, **facts):
            seen.append(facts["parameter"])

    monkeypatch.setattr(module, "Progress", Counting)
    assert reml.profile("sd").names == seen


def test_profiles_are_kept(ml):
    fit = mv.fit(SLOPES, mv.load_data("sleepstudy"), method="ml")
    count = fit.profile("sd").n_evaluations
    assert fit.profile("variances", level=0.95).n_evaluations > count  # the covariance was new
    after = fit.profile("all").n_evaluations
    assert fit.profile("all").n_evaluations == after
    assert after < 400


def test_the_command_line_writes_profile_intervals(tmp_path, capsys, reml):
    out = tmp_path / "t.csv"
    assert main(["fit", SLOPES, "sleepstudy", "--interval", "profile", "--tidy", str(out)]) == 0
    assert "profile of the restricted likelihood" in " ".join(capsys.readouterr().out.split())
    import pandas as pd

    written = pd.read_csv(out)
    upper = written.loc[written["term"] == "sd__Observation", "conf.high"]
    assert_allclose(upper, reml.profile("sd(Residual)").conf_int()["upper"], **COMPONENT)
    assert main(["fit", SLOPES, "sleepstudy", "--interval", "exact", "--quiet", "--tidy", str(out)]) == 2
    assert "method='exact' is not one of 'chi2', 'wald', 'profile'" in capsys.readouterr().err


# ---- pictures ---------------------------------------------------------------------------------------------------

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize("kind", ["zeta", "abs", "density"])
def test_a_picture_has_a_panel_for_each_parameter(reml, kind):
    panels = reml.plot_profile(kind=kind)
    table = reml.profile()
    assert [panel.get_title() for panel in panels] == table.names
    for panel, row in zip(panels, table.conf_int().itertuples(), strict=True):
        value, zeta = next(line.get_data() for line in panel.lines if line.get_color() == "#0072B2")
        assert value.min() <= row.lower * (1 + (1e-2 if kind == "density" else 1e-6)) or row.lower < 0
        assert value.max() >= row.upper * (1 - (1e-2 if kind == "density" else 1e-6))
        if kind == "density":
            assert (zeta > 0).all()
            assert 0.9 < np.sum(zeta[1:] * np.diff(value)) < 1.0
        else:
            assert np.abs(zeta).max() >= 1.9599
    assert panels[0].get_ylabel() == {"zeta": "ζ", "abs": "|ζ|", "density": "Density"}[kind]


def test_one_parameter_has_one_panel_and_one_without_a_profile_says_so(reml):
    ax = reml.plot_profile("Residual", ax=plt.subplots()[1])
    assert ax.get_title() == "Residual"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        fit = mv.fit("distance ~ age * Sex + (age | Subject)", mv.load_data("orthodont"))
    ax = fit.plot_profile("correlations")
    assert [text.get_text() for text in ax.texts] == ["no profile"]


def test_bad_pictures_are_refused(reml):
    with pytest.raises(OptionError, match="kind='pairs' is not one of 'zeta', 'abs', 'density'"):
        reml.plot_profile("sd", kind="pairs")
    with pytest.raises(OptionError, match="draws 3 panels: ax= takes 3 matplotlib axes"):
        reml.plot_profile("sd", ax=plt.subplots()[1])
