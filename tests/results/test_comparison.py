"""Several methods on one specification: one table, one common log-likelihood, failures that stay in their column."""

import itertools
import re
import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc import estimators
from mixedvc.errors import BoundaryWarning, ConvergenceWarning, MixedVCError, MixedVCWarning, OptionError
from mixedvc.estimators import HE
from mixedvc.estimators.base import PointEstimate, Sampling
from mixedvc.inference.parameters import parameters
from mixedvc.linalg.dense import NotPositiveDefinite
from mixedvc.results import comparison as module
from mixedvc.results.comparison_table import comparison_table, decimals, shown
from mixedvc.results.render import LIMIT
from mixedvc.testing.brute import Brute

from ..tolerances import IDENTITY, OBJECTIVE

SLOPES = "Reaction ~ Days + (Days | Subject)"


@dataclass(frozen=True)
class Anova:
    """Batch means against their residuals: unbiased, negative if it likes; it has no likelihood."""

    wrong: bool = False
    restricted: bool = True

    name: ClassVar[str] = "anova"
    needs: ClassVar[frozenset[str]] = frozenset({"moments"})
    provides: ClassVar[frozenset[str]] = frozenset({"theta", "beta", "blup"})

    def fit(self, spec, *, rng=None, progress=None, likelihood=None):
        if self.wrong:
            raise ZeroDivisionError("no batches")
        groups = spec.y.reshape(-1, 5)
        within, between = groups.var(axis=1, ddof=1).mean(), 5 * groups.mean(axis=1).var(ddof=1)
        theta = np.array([(between - within) / 5, within])
        cov = np.diag([9.0, 4.0])
        no = np.zeros(2, dtype=bool)
        return PointEstimate(
            method="anova",
            theta=theta,
            par=theta,
            at_bound=no,
            fixed=no,
            singular=False,
            loglik=None,
            reml=None,
            converged=True,
            n_evaluations=0,
            sampling=Sampling("sandwich", theta, cov),
            notes=("mean squares of a balanced layout.",),
        )


@pytest.fixture(scope="module")
def sleep():
    return mv.model(SLOPES, mv.load_data("sleepstudy"))


@pytest.fixture(scope="module")
def dyes():
    return mv.model("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff2"))


@pytest.fixture(scope="module")
def two(sleep):
    return mv.compare(sleep, ["reml", "ml"])


@pytest.fixture(scope="module")
def mixed(dyes):
    with pytest.warns(MixedVCWarning, match="broken failed and is left out of the comparison: no batches"):
        return mv.compare(dyes, {"reml": "reml", "ml": "ml", "anova": Anova(), "broken": Anova(wrong=True)})


def test_each_column_is_the_fit_by_that_method(sleep, two):
    assert two.labels == tuple(two.fits) == ("reml", "ml")
    for method in two.labels:
        want = mv.fit(SLOPES, mv.load_data("sleepstudy"), method=method)
        got = two.table[two.table["method"] == method]
        variances = got[got["kind"] != "fixed"]
        assert variances["parameter"].tolist() == [p.name for p in parameters(sleep)]
        for column, frame_column in (("estimate", "variance"), ("se", "se"), ("lower", "lower"), ("upper", "upper")):
            np.testing.assert_allclose(variances[column], want.varcomp[frame_column], **IDENTITY)
        fixed = got[got["kind"] == "fixed"].set_index("parameter")
        np.testing.assert_allclose(fixed["estimate"], want.params, **IDENTITY)
        np.testing.assert_allclose(fixed["se"], want.bse, **IDENTITY)
        np.testing.assert_allclose(fixed[["lower", "upper"]], want.conf_int(), **IDENTITY)
        np.testing.assert_allclose(two[method].llf, want.llf, **OBJECTIVE)
        assert two[method].summary().as_text()


@pytest.mark.parametrize("restricted", [True, False])
def test_the_common_loglik_is_one_criterion_at_every_estimate(sleep, restricted):
    got = mv.compare(sleep, ["reml", "ml"], restricted=restricted)
    brute = Brute(sleep, restricted)
    for label in got.labels:
        np.testing.assert_allclose(got.loglik[label], brute.at(got.fits[label].estimate.theta).loglik, **OBJECTIVE)
    assert got.best == ("reml" if restricted else "ml")
    name = "REML" if restricted else "ML"
    assert f"Log-likelihood ({name})" in str(got)
    below = got.glance()["below_best"]
    assert below[got.best] == 0
    assert (below >= 0).all() and below.max() > 0


def test_the_common_loglik_is_reml_unless_every_method_maximised_ml(sleep, dyes):
    assert mv.compare(sleep, ["reml", "ml"]).reml
    assert not mv.compare(sleep, ["ml"]).reml
    assert not mv.compare(dyes, ["ml", Anova()]).reml
    assert mv.compare(dyes, [Anova()]).reml


def test_restricted_reaches_the_methods_named_that_can_maximise_either(dyes, monkeypatch):
    monkeypatch.setitem(estimators.estimators._things, "anova", Anova)
    for restricted in (True, False):
        chosen = mv.compare(dyes, ["anova", "reml"], restricted=restricted)
        assert chosen["anova"].estimator == Anova(restricted=restricted)
    assert mv.compare(dyes, [Anova(restricted=False)], restricted=True)["anova"].estimator.restricted is False


def test_a_method_that_fails_keeps_its_error_and_the_others_their_answers(mixed):
    assert mixed.labels == ("reml", "ml", "anova", "broken")
    assert tuple(mixed.fits) == ("reml", "ml", "anova")
    assert mixed.errors == {"broken": "ZeroDivisionError: no batches"}
    text = str(mixed)
    assert "broken failed: ZeroDivisionError: no batches" in " ".join(text.split())
    assert re.search(r"Converged +yes +yes +yes +FAILED", text)
    with pytest.raises(OptionError, match="broken failed: ZeroDivisionError: no batches"):
        mixed["broken"]
    with pytest.raises(OptionError, match="no method here is called 'mm'; there are 'reml', 'ml', 'anova', 'broken'"):
        mixed["mm"]
    row = mixed.glance().loc["broken"]
    assert row["error"] == "ZeroDivisionError: no batches"
    assert np.isnan(row["loglik"]) and row["converged"] is np.False_


def test_where_every_method_fails_the_first_error_is_raised(dyes):
    with pytest.raises(ZeroDivisionError, match="no batches"):
        mv.compare(dyes, [Anova(wrong=True)])


def test_a_negative_estimate_is_shown_and_judged_at_zero(dyes, mixed):
    theta = mixed["anova"].estimate.theta
    assert theta[0] < 0
    row = mixed.table.query("method == 'anova' and parameter == 'Batch'").iloc[0]
    assert (row["estimate"], row["se"]) == (theta[0], 3.0)
    raised = Brute(dyes, True).at(np.array([0.0, theta[1]])).loglik
    np.testing.assert_allclose(mixed.loglik["anova"], raised, **OBJECTIVE)
    glance = mixed.glance()
    assert glance["admissible"].tolist() == [True, True, False, False]
    assert glance["se"].tolist() == ["expected information", "expected information", "sandwich", None]
    assert glance["criterion"].tolist() == ["REML", "ML", None, None]
    notes = " ".join(comparison_table(mixed).notes)
    assert "The estimate by anova is no covariance (a negative variance)" in notes
    assert "anova solved other equations" in notes
    assert "expected information (reml, ml); sandwich (anova)" in notes
    assert "anova: mean squares of a balanced layout." in notes
    assert re.search(r"Batch .* -1\.32 +\(3\.00\)", str(mixed))


def test_two_criteria_are_said(two, sleep):
    notes = " ".join(comparison_table(two).notes)
    assert "Two criteria: ml maximised ML, reml REML" in notes
    assert "shown is not the one that ml maximised" in notes
    by_ml = mv.compare(sleep, ["reml", "ml"], restricted=False)
    assert "shown is not the one that reml maximised" in " ".join(comparison_table(by_ml).notes)
    assert "Two criteria" not in " ".join(comparison_table(mv.compare(sleep, ["reml"])).notes)
    alone = mv.compare(sleep, ["ml"], restricted=True)
    assert "ml maximised ML, not the log-likelihood shown." in " ".join(comparison_table(alone).notes)


def test_zeros_are_marked_and_have_no_error(mixed):
    assert re.search(r"Batch +0\* +0\* +-1\.32 +\(3\.00\) +-", str(mixed))
    assert "*: at the edge" in str(mixed)
    assert mixed.table.query("parameter == 'Batch' and method == 'reml'")["boundary"].item()


def test_a_component_given_is_marked(dyes):
    got = mv.compare(dyes, {"free": "reml", "held": mv.REML(fixed_varcomp={"Batch": 2.0})})
    assert re.search(r"Batch +0\* +2\.00 +\(given\)", str(got))
    assert got.table.query("method == 'held' and parameter == 'Batch'")["given"].item()


def test_a_boundary_is_marked_in_the_table_instead_of_warned_of(dyes):
    with warnings.catch_warnings():
        warnings.simplefilter("error", BoundaryWarning)
        mv.compare(dyes, ["reml"])


def test_a_method_that_did_not_converge_says_so(sleep):
    slow = mv.REML(max_iter=1, start={"Subject": [[1.0, 0.0], [0.0, 1.0]]})
    with pytest.warns(ConvergenceWarning, match="reml did not converge"):
        got = mv.compare(sleep, {"fine": "ml", "slow": slow})
    assert re.search(r"Converged +yes +NO", str(got))
    assert "slow did not converge:" in " ".join(comparison_table(got).notes)
    assert got.glance()["converged"].tolist() == [True, False]


def test_fits_of_one_likelihood_share_its_set_up(dyes):
    got = mv.compare(dyes, {"one": "reml", "two": "reml", "ml": "ml", "anova": Anova()})
    kinds = {fit.likelihood for label, fit in got.fits.items() if label != "ml"}
    assert kinds == {got.likelihood}
    assert got["ml"].likelihood is not got.likelihood
    assert not got["ml"].likelihood.reml
    by_ml = mv.compare(dyes, ["ml", Anova()])
    assert not by_ml.reml
    assert by_ml["anova"].evaluation.reml, "what a moment fit conditions on does not depend on its company"


def test_without_a_common_likelihood_estimates_are_still_compared(dyes, monkeypatch):
    def refuse(spec, reml=True, **_):
        raise MixedVCError("an array of 9 TB would not fit")

    monkeypatch.setattr(module, "choose", refuse)
    got = mv.compare(dyes, [Anova()])
    assert got.best is None
    assert got.loglik.isna().all()
    assert got.likelihood is None
    assert "There is no common log-likelihood: an array of 9 TB would not fit" in comparison_table(got).notes
    assert "Log-likelihood (" not in comparison_table(got).grids[0].rows[-1][0]


def test_a_method_without_a_response_has_no_loglik_and_no_fixed_effects(dyes):
    """Haseman-Elston on a given outer product (y y' of another trait, say): variances are all it has."""
    outer = np.outer(dyes.y - dyes.y.mean(), dyes.y - dyes.y.mean())
    got = mv.compare(dyes, {"he": "he", "outer": HE(outer=outer, se="none")})
    np.testing.assert_allclose(got["outer"].estimate.theta, got["he"].estimate.theta, **OBJECTIVE)
    assert np.isnan(got.loglik["outer"])
    assert got.best == "he"
    assert not (got.table.query("method == 'outer'")["kind"] == "fixed").any()
    assert "No standard errors of variances: outer." in comparison_table(got).notes
    assert str(got)


def test_where_the_model_does_not_exist_the_loglik_is_blank(dyes, monkeypatch):
    def nowhere(self, theta):
        raise NotPositiveDefinite(1)

    got = mv.compare(dyes, {"one": Anova(), "two": Anova()})
    monkeypatch.setattr(type(got.likelihood), "at", nowhere)
    assert got.loglik.isna().all()
    assert got.best is None


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (["reml", "remel"], "no estimator is called 'remel'; did you mean 'reml'"),
        ([], "methods is empty"),
        ("reml", "methods='reml': a list of names or estimators"),
        (["reml", 3], "method=3 is neither a registered name nor an estimator"),
        (["reml", "reml"], "two methods are called 'reml'"),
        ([mv.REML(), "reml"], "two methods are called 'reml'"),
    ],
)
def test_a_wrong_method_stops_before_anything_is_fitted(dyes, monkeypatch, methods, message):
    monkeypatch.setattr(mv.REML, "fit", lambda *_, **__: pytest.fail("fitted"))
    with pytest.raises(OptionError, match=re.escape(message)):
        mv.compare(dyes, methods)


def test_what_is_no_specification_or_no_criterion_is_refused(dyes):
    with pytest.raises(OptionError, match=r"takes a specification, mixedvc.model\(formula, data\), not str"):
        mv.compare("y ~ x", ["reml"])
    with pytest.raises(OptionError, match="restricted='ml'"):
        mv.compare(dyes, ["reml"], restricted="ml")
    with pytest.raises(OptionError, match="threads=0"):
        mv.compare(dyes, ["reml"], threads=0)


def test_objects_of_one_name_are_told_apart_by_their_options(dyes):
    got = mv.compare(dyes, [mv.REML(), mv.REML(tol=1e-3), mv.ML(max_iter=7)])
    assert got.labels == ("reml", "reml(tol=0.001)", "ml")


def test_every_method_draws_from_the_same_seed(dyes):
    class Drawing(Anova):
        def fit(self, spec, *, rng=None, progress=None, likelihood=None):
            seen.append(rng.standard_normal())
            return super().fit(spec)

    for seen in ([], []):
        mv.compare(dyes, {"a": Drawing(), "b": Drawing()}, seed=5)
        assert seen == [np.random.default_rng(5).standard_normal()] * 2


def test_a_changed_covariance_is_noticed():
    A = np.eye(6) + 0.1
    data = mv.load_data("dyestuff")
    spec = mv.model("Yield ~ 1 + (1 | Batch:A)", data, cov={"A": (A, list("ABCDEF"))})
    held = spec.terms[0].covariance
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(held), "fingerprint", lambda self: "another")
        with pytest.raises(MixedVCError, match="changed"):
            mv.compare(spec, ["reml"])


@pytest.mark.parametrize("k", [1, 2, 3, 5, 8])
def test_no_line_is_longer_than_100_characters_and_every_method_is_named(sleep, k):
    labels = [f"method-{j}" * (1 + j % 2) for j in range(k)]
    got = mv.compare(sleep, dict(zip(labels, itertools.cycle(["reml", "ml"]), strict=False)))
    lines = str(got).splitlines()
    assert max(map(len, lines)) <= LIMIT
    assert "…" not in str(got), "names that fit are whole"
    heads = " ".join(line for line in lines if line.startswith("Variances"))
    assert heads.split() == [word for word in heads.split() if word in (*labels, "Variances")]
    assert [word for word in heads.split() if word != "Variances"] == labels
    sizes = [len(line.split()) - 1 for line in lines if line.startswith("Variances")]
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == {1: 1, 2: 1, 3: 1, 5: 2, 8: 2}[k]


def test_long_names_of_parameters_are_shortened_and_the_width_kept():
    rng = np.random.default_rng(1)
    name = "a_factor_with_an_exceedingly_long_name_that_nobody_should_have_to_type_twice"
    data = pd.DataFrame({name: np.repeat(list("abcdefgh"), 5), "y": rng.standard_normal(40)})
    data["y"] += np.repeat(rng.standard_normal(8), 5)
    got = mv.compare(mv.model(f"y ~ 1 + (1 | {name})", data), {"x" * 60: "reml", "ml": "ml"})
    assert max(map(len, str(got).splitlines())) <= LIMIT
    assert "a_factor_with_an_excee…" in str(got)


def test_decimal_points_stand_under_each_other(two):
    lines = str(two).splitlines()
    rows = [line for line in lines if re.match(r"  (Subject|Residual|Intercept|Days)", line)]
    points = {match.start() for row in rows for match in re.finditer(r"(?<=\d)\.(?=\d+ )", row)}
    assert len(points) == 2, points


def test_numbers_have_three_digits_of_their_standard_error():
    assert decimals([0.498, 0.176], [0.058, 0.076]) == 4
    assert decimals([612.1], [288.8]) == 0
    assert decimals([20.0, 3.1], [np.nan, np.nan]) == 1
    assert decimals([0.0], [np.nan]) == 0
    assert decimals([1e-12], [1e-13]) is None
    assert decimals([1e12], [1e11]) is None
    assert decimals([1.0, 2.0], [1e-4, 1e-2]) == 5
    assert shown(0.49812, 3) == "0.498"
    assert shown(0.00004, 3) == "0.00004000"
    assert shown(1.5e-12, None) == "1.500e-12"


def test_many_fixed_effects_are_cut_in_print_and_whole_in_the_table():
    rng = np.random.default_rng(2)
    x = {f"x{j}": rng.standard_normal(60) for j in range(15)}
    data = pd.DataFrame({**x, "g": np.repeat(np.arange(12), 5), "y": rng.standard_normal(60)})
    got = mv.compare(mv.model(f"y ~ {' + '.join(x)} + (1 | g)", data), ["reml", "ml"])
    assert "The first 12 of 16 fixed effects are shown" in " ".join(comparison_table(got).notes)
    assert "  x10" in str(got) and "  x11" not in str(got)
    assert (got.table["kind"] == "fixed").sum() == 32


def test_what_binding_noticed_is_repeated():
    data, labels = mv.load_data("dyestuff"), [*"ABCDEF", "unborn"]
    spec = mv.model("Yield ~ 1 + (1 | Batch:A)", data, cov={"A": (np.eye(7), labels)})
    assert "1 level(s) of 'Batch' without records" in " ".join(str(mv.compare(spec, ["reml"])).split())


def test_variances_are_all_shown_however_many():
    rng = np.random.default_rng(4)
    x = {f"x{j}": rng.standard_normal(60) for j in range(4)}
    data = pd.DataFrame({**x, "g": np.repeat(np.arange(12), 5), "y": rng.standard_normal(60)})
    held = mv.REML(fixed_varcomp={"g": np.eye(5), "residual": 1.0})
    text = str(mv.compare(mv.model("y ~ 1 + (x0 + x1 + x2 + x3 | g)", data), [held]))
    assert text.count("  g[") == 15
    assert "fixed effects are shown" not in text


def test_html_has_every_method_in_one_table_and_escapes_names(sleep):
    got = mv.compare(sleep, {f"<m{j}>": "reml" for j in range(6)})
    html = got._repr_html_()
    assert html.count("<thead>") == 1
    assert all(f"&lt;m{j}&gt;" in html for j in range(6))
    assert "<m0>" not in html
    assert ">\u2003Residual</th>" in html


def test_latex_has_the_estimates(two):
    latex = two.to_latex("tab:both")
    assert r"\label{tab:both}" in latex
    assert "654.9  (77.2)" in latex
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 2


def test_the_frame_is_tidy_and_unrounded(two):
    frame = two.table
    assert not frame.duplicated(["method", "parameter"]).any()
    wide = frame.pivot(index="parameter", columns="method", values="estimate")
    assert list(wide.columns) == ["ml", "reml"]
    assert wide.loc["Residual", "reml"] == two["reml"].scale
    narrow = two.estimates(level=0.5)
    inside = frame["se"].notna().to_numpy()
    assert (narrow["lower"] > frame["lower"])[inside].all()
    with pytest.raises(OptionError, match="level=95"):
        two.estimates(level=95)


def test_a_comparison_shows_itself_without_computing(two):
    assert repr(two) == "<mixedvc comparison of reml, ml; print() shows it>"


def test_a_model_without_fixed_or_random_effects_is_compared():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"g": np.repeat(np.arange(8), 5), "y": rng.standard_normal(40)})
    bare = mv.compare(mv.model("y ~ 0 + (1 | g)", data), ["reml", "ml"])
    assert "Fixed effects" not in str(bare)
    linear = mv.compare(mv.model("y ~ 1", data), ["reml", "ml"])
    assert "Linear model by 2 methods" in str(linear)
    np.testing.assert_allclose(linear["reml"].scale, data["y"].var(ddof=1), **OBJECTIVE)


def test_every_registered_method_stands_in_one_table(dyes):
    """Whatever is registered: a zero variance, ML and REML, with and without a likelihood."""
    names = estimators.names()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        got = mv.compare(dyes, names, seed=1)
    assert not got.errors
    text = str(got)
    assert all(re.search(rf"\b{re.escape(name)}\b", text) for name in names)
    assert got.best in [name for name in names if got[name].estimate.loglik is not None]
