"""The pictures draw the numbers of the fit, on the user's axes or new ones, without a display."""

import sys
from dataclasses import replace

import numpy as np
import pytest

import mixedvc as mv
from mixedvc.errors import MissingExtra, OptionError
from mixedvc.estimators.base import Sampling

from ..tolerances import IDENTITY

plt = pytest.importorskip("matplotlib.pyplot")

from mixedvc.results.plots import caterpillar, comparison, residuals, varshare  # noqa: E402
from mixedvc.results.plots.style import BLUE, GREY, ORANGE  # noqa: E402
from mixedvc.results.plots.varshare import shares  # noqa: E402


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def slopes():
    return mv.fit("Reaction ~ Days + (Days | Subject)", mv.load_data("sleepstudy"))


@pytest.fixture(scope="module")
def crossed():
    return mv.fit("diameter ~ 1 + (1 | plate) + (1 | sample)", mv.load_data("penicillin"))


@pytest.fixture(scope="module")
def singular():
    with pytest.warns(mv.errors.BoundaryWarning):
        return mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff2"))


def points(ax):
    return np.concatenate([np.c_[line.get_data()] for line in ax.lines if line.get_marker() in ("o", "x")])


def test_a_caterpillar_shows_every_level_of_every_effect(slopes):
    panels = caterpillar(slopes)
    u = slopes.random_effects["Subject"]
    assert [panel.get_title() for panel in panels] == ["Intercept", "Days"]
    for panel, effect in zip(panels, u.columns, strict=True):
        x, y = points(panel).T
        order = np.argsort(u["Intercept"].to_numpy())
        np.testing.assert_allclose(x[np.argsort(y)], u[effect].to_numpy()[order], **IDENTITY)
    labels = [text.get_text() for text in panels[0].get_yticklabels()]
    assert labels == [str(u.index[i]) for i in order]


def test_a_caterpillar_s_intervals_are_those_of_tidy(crossed):
    ax = caterpillar(crossed, "sample", level=0.8)
    segments = np.concatenate([lines.get_segments() for lines in ax.collections])
    tidy = crossed.tidy("ran_vals", conf_int=True, level=0.8).query("group == 'sample'").sort_values("estimate")
    segments = segments[np.argsort(segments[:, 0, 1])]
    np.testing.assert_allclose(segments[:, 0, 0], tidy["conf.low"], **IDENTITY)
    np.testing.assert_allclose(segments[:, 1, 0], tidy["conf.high"], **IDENTITY)


def test_intervals_by_pev_are_wider_than_conditional_ones(slopes):
    def width(**options):
        return np.ptp(
            np.concatenate([c.get_segments() for c in caterpillar(slopes, **options)[0].collections])[..., 0], 1
        )

    assert (width(variance="pev").mean()) > width().mean()


def test_many_levels_are_drawn_without_their_names():
    rng = np.random.default_rng(2)
    data = {"g": np.repeat(np.arange(150), 3), "y": np.repeat(rng.standard_normal(150), 3) + rng.standard_normal(450)}
    ax = caterpillar(mv.fit("y ~ 1 + (1 | g)", data))
    assert len(points(ax)) == 150
    assert ax.get_ylabel() == "g: 150 levels, sorted"
    assert not ax.get_yticklabels()


def test_what_a_caterpillar_cannot_draw_it_names(crossed, slopes):
    with pytest.raises(OptionError, match="several terms have effects: term= is one of 'plate', 'sample'"):
        caterpillar(crossed)
    with pytest.raises(OptionError, match="no term is called 'plot'"):
        caterpillar(crossed, "plot")
    with pytest.raises(OptionError, match="variance='posterior' is not one of 'conditional', 'pev'"):
        caterpillar(slopes, variance="posterior")
    with pytest.raises(OptionError, match="draws 2 panels: ax= takes 2 matplotlib axes"):
        caterpillar(slopes, ax=plt.subplots()[1])
    with pytest.raises(OptionError, match="ax= takes 1 matplotlib axes"):
        varshare(crossed, ax="here")


def test_residual_plots_show_the_residuals(slopes):
    left, right = residuals(slopes)
    x, y = points(left).T
    np.testing.assert_allclose(x, slopes.fittedvalues, **IDENTITY)
    np.testing.assert_allclose(y, slopes.resid, **IDENTITY)
    z = np.sort(points(right)[:, 1])
    r = np.sort(slopes.resid.to_numpy())
    np.testing.assert_allclose(z, (r - r.mean()) / r.std(ddof=1), **IDENTITY)
    assert left.get_xlabel() == "Fitted Reaction"


def test_weighted_residuals_are_standardised_by_their_weights():
    rng = np.random.default_rng(3)
    data = {"g": np.repeat(np.arange(10), 5), "w": rng.uniform(0.2, 4, 50), "y": rng.standard_normal(50)}
    data["y"] += np.repeat(rng.standard_normal(10), 5)
    fit = mv.fit("y ~ 1 + (1 | g)", data, weights="w")
    z = np.sort(points(residuals(fit)[1])[:, 1])
    scaled = np.sort(fit.resid.to_numpy() * np.sqrt(data["w"]))
    np.testing.assert_allclose(z, (scaled - scaled.mean()) / scaled.std(ddof=1), **IDENTITY)


def test_rows_left_out_do_not_break_the_residual_plot():
    data = mv.load_data("sleepstudy")
    data.loc[[3, 40], "Days"] = np.nan
    with pytest.warns(mv.errors.DroppedRowsWarning):
        fit = mv.fit("Reaction ~ Days + (1 | Subject)", data, missing="exclude")
    assert len(points(residuals(fit)[0])) == 178


def test_shares_add_up_and_are_those_of_heritability(crossed):
    s = shares(crossed, 0.9)
    np.testing.assert_allclose(s.share.sum(), 1.0, **IDENTITY)
    ratio = crossed.heritability("sample", level=0.9)
    assert s.names == ("plate", "sample", "Residual")
    np.testing.assert_allclose(
        [s.share[1], s.lower[1], s.upper[1]], [ratio.estimate, ratio.lower, ratio.upper], **IDENTITY
    )
    bars = [patch.get_width() for patch in varshare(crossed).patches]
    np.testing.assert_allclose(bars, s.share, **IDENTITY)


def test_a_share_at_the_boundary_says_so_in_words(singular):
    ax = varshare(singular)
    assert any("0.0 %  at the boundary" in text.get_text() for text in ax.texts)
    assert not shares(singular).boundary[-1]


def test_the_user_s_axes_are_used_and_returned(crossed, slopes):
    figure, axes = plt.subplots(2, 2)
    assert varshare(crossed, ax=axes[0, 0]) is axes[0, 0]
    assert caterpillar(crossed, "plate", ax=axes[0, 1]) is axes[0, 1]
    assert list(residuals(crossed, ax=axes[1])) == list(axes[1])
    assert figure.get_suptitle() == ""
    assert plt.get_fignums() == [figure.number]


def test_every_picture_can_be_written(slopes, tmp_path):
    for name, ax in (("c", caterpillar(slopes)[0]), ("r", residuals(slopes)[0]), ("v", varshare(slopes))):
        for ending in ("png", "svg"):
            ax.figure.savefig(tmp_path / f"{name}.{ending}")
            assert (tmp_path / f"{name}.{ending}").stat().st_size > 3000


def test_without_matplotlib_the_extra_is_named(slopes, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    for draw in (caterpillar, residuals, varshare):
        with pytest.raises(MissingExtra, match=r"plot needs the package 'matplotlib': pip install 'mixedvc\[plots\]'"):
            draw(slopes)


def test_importing_the_plots_does_not_import_matplotlib():
    import subprocess

    code = "import sys, mixedvc.results.plots; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.fixture(scope="module")
def both():
    spec = mv.model("diameter ~ 1 + (1 | plate) + (1 | sample)", mv.load_data("penicillin"))
    return mv.compare(spec, {"by reml": "reml", "by ml": "ml"})


def test_a_comparison_shows_every_estimate_and_interval(both):
    panels = comparison(both, level=0.8)
    assert [panel.get_title() for panel in panels] == ["plate", "sample", "Residual"]
    frame = both.estimates(level=0.8)
    for panel in panels:
        rows = frame[frame["parameter"] == panel.get_title()]
        x, y = points(panel).T
        np.testing.assert_allclose(x, rows["estimate"], **IDENTITY)
        segments = np.concatenate([lines.get_segments() for lines in panel.collections])
        np.testing.assert_allclose(segments[:, :, 0], rows[["lower", "upper"]], **IDENTITY)
        np.testing.assert_array_equal(segments[:, 0, 1], y)
        assert panel.yaxis_inverted(), "the first method stands on top"
    assert [text.get_text() for text in panels[0].get_yticklabels()] == ["by reml", "by ml"]
    assert {text.get_text() for text in panels[1].get_yticklabels()} == {""}


def test_a_comparison_draws_chosen_parameters_on_the_user_s_axes(both):
    _, axes = plt.subplots(1, 2)
    panels = both.plot(["Residual", "Intercept"], ax=axes)
    assert list(panels) == list(axes)
    assert all(panel.get_yticklabels() for panel in panels)
    assert axes[0].figure.get_suptitle() == ""
    alone = both.plot("Intercept")
    np.testing.assert_allclose(points(alone)[:, 0], [both[m].params["Intercept"] for m in both.labels], **IDENTITY)
    with pytest.raises(OptionError, match="no parameter is called 'Days'; there are 'plate', 'sample', 'Residual'"):
        both.plot("Days")
    with pytest.raises(OptionError, match="parameters= is empty"):
        both.plot([])
    with pytest.raises(OptionError, match="draws 3 panels"):
        both.plot(ax=axes)


def test_many_parameters_are_drawn_in_rows_of_four():
    spec = mv.model("Reaction ~ Days + (Days + I(Days^2) | Subject)", mv.load_data("sleepstudy"))
    panels = mv.compare(spec, ["reml"]).plot()
    assert len(panels) == len(panels[0].figure.axes) == 7
    tops = [round(panel.get_subplotspec().get_position(panel.figure).y1, 3) for panel in panels]
    assert [tops.count(top) for top in sorted(set(tops), reverse=True)] == [4, 3]


def test_a_zero_is_hollow_and_a_failed_method_keeps_its_line():
    class Broken:
        name, needs, provides = "broken", frozenset(), frozenset()

        def fit(self, *_, **__):
            raise RuntimeError("no")

    spec = mv.model("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff2"))
    with pytest.warns(mv.errors.MixedVCWarning, match="broken failed"):
        got = mv.compare(spec, ["reml", Broken(), "ml"])
    batch, residual = got.plot()
    assert [line.get_markerfacecolor() for line in batch.lines if line.get_marker() == "o"] == ["white", "white"]
    assert "white" not in [line.get_markerfacecolor() for line in residual.lines if line.get_marker() == "o"]
    assert [text.get_text() for text in batch.get_yticklabels()] == ["reml", "broken (failed)", "ml"]
    np.testing.assert_array_equal(points(residual)[:, 1], [0, 2])
    assert "hollow: at the boundary" in batch.figure.get_suptitle()


@pytest.mark.parametrize("off", [-100, 100])
def test_colours_tell_likelihoods_from_other_equations_and_the_heading_says_what_lies_beside_its_interval(off):
    class Constrained(mv.REML):
        """REML's numbers as if a constraint had moved them away from where their intervals are."""

        name = "constrained"

        def fit(self, spec, **options):
            e = super().fit(spec, **options)
            return replace(e, method="constrained", loglik=None, sampling=Sampling("made up", e.par + off, np.eye(3)))

    spec = mv.model("diameter ~ 1 + (1 | plate) + (1 | sample)", mv.load_data("penicillin"))
    got = mv.compare(spec, ["reml", Constrained()])
    panel = got.plot("plate")
    dots = [line for line in panel.lines if line.get_marker() == "o"]
    assert [line.get_color() for line in dots] == [BLUE, ORANGE]
    heading = " ".join(panel.figure.get_suptitle().split())
    assert heading.startswith(
        "Estimates with 95 % intervals (blue: by likelihood, orange: by other equations; beside its"
    )
    grey = [line for line in panel.lines if line.get_color() == GREY]
    np.testing.assert_allclose(grey[0].get_xdata(), got["reml"].varcomp["variance"].iloc[0], **IDENTITY)
    assert "beside" not in mv.compare(spec, ["reml", "ml"]).plot("plate").figure.get_suptitle()


def test_the_grey_line_is_at_the_best_estimate_wherever_its_method_stands():
    spec = mv.model("diameter ~ 1 + (1 | plate) + (1 | sample)", mv.load_data("penicillin"))
    got = mv.compare(spec, ["ml", "reml"])
    grey = [line for line in got.plot("sample").lines if line.get_color() == GREY]
    np.testing.assert_allclose(grey[0].get_xdata(), got["reml"].varcomp["variance"].iloc[1], **IDENTITY)
