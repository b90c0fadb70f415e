"""Pictures of several traits draw the numbers of the fit."""

import numpy as np
import pytest

from mixedvc.errors import OptionError

from ..results.test_traits import quiet
from ..results.traits_brute import data
from ..tolerances import IDENTITY

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def fit():
    frame, A = data(t=3, n=40, seed=8)
    return quiet("cbind(y1, y2, y3) ~ x + (1|id:A)", frame, A)


def cells(ax):
    return np.ma.filled(ax.images[0].get_array(), np.nan)


def test_the_heat_map_has_one_matrix_below_and_one_above(fit):
    ax = fit.plot_correlations("id", above="phenotypic")
    low, high = np.tril_indices(3, -1), np.triu_indices(3, 1)
    np.testing.assert_allclose(cells(ax)[low], fit.correlation_matrix("id").to_numpy()[low], **IDENTITY)
    np.testing.assert_allclose(cells(ax)[high], fit.correlation_matrix("phenotypic").to_numpy()[high], **IDENTITY)
    assert np.isnan(np.diag(cells(ax))).all()
    assert " ".join(ax.get_title(loc="left").split()) == "Correlations: id below, phenotypic above the diagonal"
    assert ax.images[0].get_clim() == (-1, 1)  # zero is the middle of the scale
    assert [label.get_text() for label in ax.get_yticklabels()] == ["y1", "y2", "y3"]


def test_the_heat_map_writes_numbers_errors_and_shares(fit):
    ax = fit.plot_correlations()
    np.testing.assert_allclose(cells(ax), cells(ax).T, **IDENTITY)
    rows = fit.correlations("id")
    words = {text.get_position(): text for text in ax.texts}
    said = [text.get_text() for text in words.values()]
    for row in rows.itertuples():
        assert said.count(f"{row.correlation:.2f}".replace("-", "−")) >= 2
        assert f"({row.se:.2f})" in said
    for share in fit.heritabilities()["heritability"]:
        assert f"{100 * share:.0f} %" in said
    bold = [t.get_text() for t in ax.texts if t.get_fontweight() == "bold"]
    clear = rows[(rows["lower"] > 0) | (rows["upper"] < 0)]
    assert len(bold) == 2 * len(clear)


def test_it_draws_on_the_user_s_axes_and_refuses_what_is_none(fit):
    _figure, ax = plt.subplots()
    assert fit.plot_correlations("Residual", ax) is ax
    with pytest.raises(OptionError, match="takes 1 matplotlib axes"):
        fit.plot_correlations(ax="here")


def test_shares_are_stacked_to_the_whole(fit):
    ax = fit.plot_shares()
    bars = np.array([[bar.get_width() for bar in group] for group in ax.containers])
    np.testing.assert_allclose(bars.sum(axis=0), 1.0, **IDENTITY)
    np.testing.assert_allclose(bars[0], fit.heritabilities("id")["heritability"], **IDENTITY)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["y1", "y2", "y3"]
    segments = np.array([segment[:, 0] for segment in ax.collections[0].get_segments()])
    np.testing.assert_allclose(segments, fit.heritabilities("id")[["lower", "upper"]], **IDENTITY)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["id (cov A)", "Residual"]
