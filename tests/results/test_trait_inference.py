"""What else a fit of several traits offers: each number against single traits, a closed form or explicit matrices."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import mixedvc as mv
from mixedvc.errors import OptionError
from mixedvc.inference.diagnostics import slope
from mixedvc.inference.nesting import nest
from mixedvc.inference.resample import resampler
from tests.inference import trait_cases as cases
from tests.inference.kr_brute import BruteKenwardRoger
from tests.tolerances import IDENTITY, OBJECTIVE, PARAMETER

NAMES = ["y1", "y2"]


@pytest.fixture(scope="module")
def gaps():
    """Two traits, a quarter of the cells missing, two terms."""
    _, frame, A = cases.data()
    return frame, A, *cases.fitted(frame, A)


@pytest.fixture(scope="module")
def apart():
    """Traits independent of each other, and each trait fitted alone to the records that have it."""
    _, frame, A = cases.data()
    fit = mv.fit("cbind(y1, y2) ~ x * f + diag(1|id:A)", frame, cov={"A": A}, residual="diag")
    alone = {name: mv.fit(f"{name} ~ x * f + (1|id:A)", frame.dropna(subset=[name]), cov={"A": A}) for name in NAMES}
    return fit, alone


# ---- fixed effects ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "df"), [(1, "satterthwaite"), (2, "kenward-roger"), (3, "satterthwaite")])
def test_an_analysis_of_variance_of_independent_traits_is_that_of_each_alone(apart, kind, df):
    fit, alone = apart
    found = fit.anova(kind, df).frame
    assert list(found.index.unique("trait")) == ["y1", "y2", "all"]
    for name, one in alone.items():
        want = one.anova(kind, df).frame[list(found.columns)]
        assert_allclose(found.xs(name, level="trait").to_numpy(), want.to_numpy(), **PARAMETER)


def test_the_joint_test_of_a_term_is_hotelling_and_lawleys(apart):
    """Without random terms the residual covariance is E/(n − p), so that Wald's χ² is (n − p) tr(H E⁻¹)."""
    frame, _, _ = cases.data()
    fit = mv.fit("cbind(y1, y2) ~ x + f", frame)
    found = fit.anova().frame
    n, Y = len(frame), frame[NAMES].to_numpy()
    columns = {"x": [1], "f": [2, 3]}
    X = np.column_stack([np.ones(n), frame["x"], frame["f"] == "b", frame["f"] == "c"]).astype(float)
    left = Y - X @ np.linalg.lstsq(X, Y, rcond=None)[0]
    E = left.T @ left
    for name, own in columns.items():
        without = np.delete(X, own, axis=1)
        more = Y - without @ np.linalg.lstsq(without, Y, rcond=None)[0]
        trace = np.trace((more.T @ more - E) @ np.linalg.inv(E))
        test = found.loc[(name, "all")]
        assert test["NumDF"] == 2 * len(own)
        assert_allclose(test["F value"] * test["NumDF"], (n - X.shape[1]) * trace, **PARAMETER)


def test_terms_that_the_traits_share_are_tested_once_and_terms_of_one_trait_alone_there(gaps):
    frame, A, _, _ = gaps
    fit = mv.fit("cbind(y1, y2) ~ common(x) + at(y1, f) + (1|id:A)", frame, cov={"A": A})
    for kind in (1, 2, 3):
        table = fit.anova(kind)
        assert list(table.frame.index) == [("f", "y1"), ("x", "common")]
        t = fit.contrast({"x": 1}).frame
        assert_allclose(table.frame.loc[("x", "common"), "F value"], t["t"].iloc[0] ** 2, **PARAMETER)
        assert_allclose(table.frame.loc[("x", "common"), "DenDF"], t["df"].iloc[0], **PARAMETER)
    L = table.hypotheses["y1: f"]
    assert list(L.columns[(L != 0).any()]) == ["y1: f[T.b]", "y1: f[T.c]"]
    assert "common" in str(table)


def test_shared_terms_in_sequence_come_after_every_traits_own(gaps):
    """Type I of the first shared term: its slope on the second, both adjusted for the traits' own columns."""
    frame, _, _, _ = gaps
    z = frame["x"] + 0.5 * frame["o"] + (frame["f"] == "b")
    fit = mv.fit("cbind(y1, y2) ~ f + common(x + z)", frame.assign(z=z))
    spec = fit.spec
    own, shared = spec.X[:, :6], spec.X[:, 6:]
    left = shared - own @ np.linalg.lstsq(own, shared, rcond=None)[0]
    slope_of_z = (left[:, 0] @ left[:, 1]) / (left[:, 0] @ left[:, 0])
    table = fit.anova(1)
    assert_allclose(table.hypotheses["x"].to_numpy()[0, 6:], [1.0, slope_of_z], **OBJECTIVE)
    assert_allclose(table.hypotheses["z"].to_numpy()[0, 6:], [0.0, 1.0], **OBJECTIVE)
    value = fit.params["x"] + slope_of_z * fit.params["z"]
    se = fit.contrast({"x": 1.0, "z": slope_of_z}).frame["se"].iloc[0]
    assert_allclose(table.frame.loc[("x", "common"), "F value"], (value / se) ** 2, **PARAMETER)


def test_kenward_and_rogers_method_agrees_with_its_definition(gaps):
    _, _, fit, _ = gaps
    brute = BruteKenwardRoger(fit.spec, fit.theta)
    assert_allclose(fit.cov_params("kenward-roger").to_numpy(), brute.PhiA, **PARAMETER)
    L = np.zeros((4, fit.spec.p))
    names = list(fit.spec.x_names)
    for row, name in enumerate(["y1: f[T.b]", "y1: f[T.c]", "y2: f[T.b]", "y2: f[T.c]"]):
        L[row, names.index(name)] = 1.0
    m, scale = brute.f_moments(L)
    found = fit.anova(df="kenward-roger").frame.loc[("f", "all")]
    value = L @ fit.params.to_numpy()
    F = scale * value @ np.linalg.solve(L @ brute.PhiA @ L.T, value) / 4
    assert_allclose([found["F value"], found["DenDF"]], [F, m], **PARAMETER)


def test_marginal_means_are_predictions_of_each_trait_on_the_grid(gaps):
    frame, _, fit, _ = gaps
    grid = pd.DataFrame({"f": ["a", "b", "c"], "x": frame["x"].mean()})
    want = fit.predict(grid, random="none", se=True)
    means = fit.emmeans("f")
    for name in NAMES:
        own = means.frame[means.frame["trait"] == name]
        assert list(own["f"]) == ["a", "b", "c"]
        assert_allclose(own["estimate"], want[name]["predicted"], **OBJECTIVE)
        assert_allclose(own["se"], want[name]["se"], **OBJECTIVE)
    pairs = means.contrast("pairwise").frame
    assert list(pairs["trait"]) == ["y1"] * 3 + ["y2"] * 3  # traits are not compared with each other
    between = fit.emmeans(["trait"], by="f").contrast("pairwise").frame
    assert list(between["contrast"]) == ["y1 - y2"] * 3
    gap = want["y1"]["predicted"] - want["y2"]["predicted"]
    assert_allclose(between["estimate"], gap, **OBJECTIVE)
    assert list(fit.emmeans([], by="f").frame.columns[:2]) == ["f", "trait"]
    slopes = fit.emmeans([], var="x").frame
    assert_allclose(slopes["estimate"], fit.params[["y1: x", "y2: x"]], **PARAMETER)
    with pytest.raises(OptionError, match="rename that column"):
        mv.fit("cbind(y1, y2) ~ trait", frame.rename(columns={"f": "trait"})).emmeans("trait")


def test_marginal_means_of_a_shared_effect_belong_to_every_trait(gaps):
    frame, A, _, _ = gaps
    fit = mv.fit("cbind(y1, y2) ~ common(f) + at(y2, x) + (1|id:A)", frame, cov={"A": A})
    means = fit.emmeans("f", at={"x": 1.0}).frame
    b = fit.params
    assert_allclose(means["estimate"].iloc[1], b["y1: Intercept"] + b["f[T.b]"], **OBJECTIVE)
    assert_allclose(means["estimate"].iloc[5], b["y2: Intercept"] + b["f[T.c]"] + b["y2: x"], **OBJECTIVE)


def test_the_robust_covariance_sums_over_records_by_default(gaps):
    frame, _, _, _ = gaps
    fit = mv.fit("cbind(y1, y2) ~ x", frame)
    found = fit.cov_robust(kind="CR0")
    assert found.n_clusters == len(frame)
    spec, W = fit.spec, np.linalg.inv(_V(fit))
    M = np.linalg.inv(spec.X.T @ W @ spec.X)
    e = spec.y - spec.X @ fit.params.to_numpy()
    scores = np.zeros((len(frame), spec.p))
    np.add.at(scores, spec.traits.record, spec.X * (W @ e)[:, None])  # W is block-diagonal over records
    assert_allclose(found.cov.to_numpy(), M @ scores.T @ scores @ M, **PARAMETER)
    by_label = fit.cov_robust(frame["batch"], "CR0")
    groups = pd.DataFrame(scores).groupby(frame["batch"].to_numpy()).sum().to_numpy()
    assert_allclose(by_label.cov.to_numpy(), M @ groups.T @ groups @ M, **PARAMETER)
    with pytest.raises(OptionError, match=r"the model has 60 records"):
        fit.cov_robust(np.arange(7))


def _V(fit):
    from mixedvc.testing.brute import Brute

    return sum(t * V for t, V in zip(fit.theta, Brute(fit.spec).patterns, strict=True))


def test_influence_is_the_deletion_of_whole_records(gaps):
    frame, A, fit, _ = gaps
    found = fit.influence()
    assert list(found.frame.index) == list(frame.index)
    assert list(found.frame["rows"]) == list(frame[NAMES].notna().sum(axis=1))
    *G, R = fit.spec.sigmas(fit.theta)
    for record in ("r0", "r17"):
        without = frame.copy()
        without.loc[record, NAMES] = np.nan
        law = cases.law(without, A, G, R)
        assert_allclose(found.params.loc[record], law.beta, **OBJECTIVE)
    groups = fit.influence("batch")
    without = frame.copy()
    without.loc[frame["batch"] == "b3", NAMES] = np.nan
    assert_allclose(groups.params.loc["b3"], cases.law(without, A, G, R).beta, **OBJECTIVE)


def test_influence_by_refits_is_the_fit_to_the_other_records(gaps):
    frame, A, _, _ = gaps
    fit = mv.fit("cbind(y1, y2) ~ x + (1|id:A)", frame, cov={"A": A})
    labels = np.where(frame.index.isin(["r1", "r2", "r3"]), "out", "in")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without the many others little is left
        found = fit.influence(labels, refit=True)
    again = mv.fit("cbind(y1, y2) ~ x + (1|id:A)", frame[labels == "in"], cov={"A": A})
    assert_allclose(found.varcomp.loc["out"], again.estimate.par, rtol=1e-4)
    assert_allclose(found.params.loc["out"], again.params, rtol=1e-4)


# ---- variances -------------------------------------------------------------------------------------------------------


def test_leaving_a_trait_out_of_a_term_leaves_out_its_row_of_the_covariance(gaps):
    """With independent residuals the rest is each trait alone: y1 by least squares, y2 with its own term."""
    frame, A, _, _ = gaps
    fit = mv.fit("cbind(y1, y2) ~ x + (1|id:A)", frame, cov={"A": A}, residual="diag")
    tests = fit.test_varcomp(seed=1)
    assert list(tests.index) == ["id", "id[y1]", "id[y2]"]
    plain, kin = (
        {name: mv.fit(f"{name} ~ x{right}", frame.dropna(subset=[name]), cov=cov).llf for name in NAMES}
        for right, cov in (("", None), (" + (1|id:A)", {"A": A}))
    )
    null = {"id": plain["y1"] + plain["y2"], "id[y1]": plain["y1"] + kin["y2"], "id[y2]": kin["y1"] + plain["y2"]}
    for name, llf in null.items():
        assert_allclose(tests.loc[name, "llf_null"], llf, **OBJECTIVE)
        assert_allclose(tests.loc[name, "statistic"], 2 * (fit.llf - llf), rtol=1e-7)
    assert list(tests["df"]) == [3, 2, 2]
    x = tests.loc["id[y1]", "statistic"]
    assert_allclose(tests.loc["id[y1]", "p_value"], 0.5 * (stats.chi2.sf(x, 1) + stats.chi2.sf(x, 2)), **OBJECTIVE)


def test_slopes_and_whole_traits_can_be_left_out_of_a_term_with_slopes():
    from mixedvc.inference.hypothesis import default_hypotheses, hypothesis

    _, frame, A = cases.data()
    spec = mv.model("cbind(y1, y2) ~ x + (1 + x|id:A)", frame, cov={"A": A})
    estimate = _still(spec)
    assert [h.name for h in default_hypotheses(spec, estimate)] == [
        "id", "id[y1]", "id[y1: x]", "id[y2]", "id[y2: x]",
    ]  # fmt: skip
    h = hypothesis(spec, estimate, "id[y2]")
    assert h.effects == (2, 3)
    assert h.df(spec) == 7
    assert h.null(spec).terms[0].effects == ("y1: Intercept", "y1: x")


def _still(spec):
    from types import SimpleNamespace

    count = sum(term.structure.n_par for term in spec.all_terms)
    return SimpleNamespace(fixed=np.zeros(count, dtype=bool), at_bound=np.zeros(count, dtype=bool))


def test_the_ratio_of_a_reduced_rank_covariance_is_referred_to_the_cone_of_its_null_space():
    rng = np.random.default_rng(12)
    g = np.repeat(np.arange(30), 5)
    Y = rng.standard_normal(30)[g][:, None] * [1.0, 0.8, 0.6] + rng.standard_normal((150, 3))
    frame = pd.DataFrame(Y, columns=["a", "b", "c"]).assign(g=[f"g{j}" for j in g])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the covariance has rank two
        two, all_ = (mv.fit(f"cbind(a, b, c) ~ 1 + {term}", frame) for term in ("rr(1|g, 2)", "(1|g)"))
        one = mv.fit("cbind(a, b) ~ 1 + rr(1|g, 1)", frame)
        both = mv.fit("cbind(a, b) ~ 1 + (1|g)", frame)
    for small, large in ((two, all_), (one, both)):
        row = mv.lrt(small, large).frame.iloc[1]
        x = max(2 * (large.llf - small.llf), 0.0)
        want = 1.0 if x < 1e-9 else 0.5 * stats.chi2.sf(x, 1)
        assert row["df"] == 1
        assert_allclose(row["p_mixture"], want, rtol=1e-4)


def test_the_edge_of_a_reduced_rank_covariance_is_its_null_space():
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(30), 5)
    Y = rng.standard_normal(30)[g][:, None] * [1.0, 0.8, 0.6] + rng.standard_normal((150, 3))
    frame = pd.DataFrame(Y, columns=["a", "b", "c"]).assign(g=[f"g{j}" for j in g])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        small, large = (mv.fit(f"cbind(a, b, c) ~ 1 + {term}", frame) for term in ("rr(1|g, 1)", "(1|g)"))
    found = nest(small.spec, small.estimate, large.spec, large.estimate)
    assert found.df == 3
    assert found.cone.blocks == (2,)
    assert found.cone.extra == 0
    Sigma = small.spec.sigmas(small.theta)[0]
    assert_allclose(Sigma @ found.edges[0], 0.0, atol=1e-8 * np.trace(Sigma))
    assert_allclose(found.edges[0].T @ found.edges[0], np.eye(2), atol=1e-10)


@pytest.mark.slow
def test_ratios_of_rank_one_against_any_covariance_are_half_zero_half_chi_square():
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(60), 4)
    X = []
    for _ in range(150):
        Y = rng.standard_normal(60)[g][:, None] * [1.0, 0.8] + rng.standard_normal((240, 2))
        frame = pd.DataFrame(Y, columns=["a", "b"]).assign(g=[f"g{j}" for j in g])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            small, large = (mv.fit(f"cbind(a, b) ~ 1 + {term}", frame).llf for term in ("rr(1|g, 1)", "(1|g)"))
        X.append(2 * (large - small))
    X = np.maximum(X, 0.0)
    for level in (0.5, 0.2, 0.1):  # quantiles of the mixture: half the mass is at zero
        share = np.mean(max(stats.chi2.isf(2 * level, 1), 1e-6) < X)
        assert abs(share - level) < 4 * np.sqrt(level * (1 - level) / 150)
    beyond = np.sum(np.asarray(X) >= stats.chi2.isf(0.2, 1)) / 150
    assert beyond < 0.2 - 2 * np.sqrt(0.16 / 150)  # χ²(1) would be conservative


# ---- bootstrap -------------------------------------------------------------------------------------------------------


def test_resampled_records_keep_the_residuals_of_their_traits_together(gaps):
    _, _, fit, _ = gaps
    spec, traits = fit.spec, fit.spec.traits
    how = resampler(spec, fit.evaluation, "residual", "fitted")
    drawn = how.draw(np.random.default_rng(1), 300) - how.mean[:, None]
    both = np.flatnonzero(np.bincount(traits.record) == 2)
    pairs = np.stack([[drawn[(traits.record == r) & (traits.trait == a)][0] for a in range(2)] for r in both])
    pool = np.unique(np.round(pairs.transpose(0, 2, 1).reshape(-1, 2), 9), axis=0)
    assert len(pool) == traits.n  # each vector that was drawn is one of as many as there are records
    S = pool.T @ pool / traits.n
    assert_allclose(pool.mean(axis=0), 0.0, atol=1e-8)
    assert_allclose(S, spec.sigmas(fit.theta)[-1], rtol=1e-6)


@pytest.mark.slow
def test_a_residual_bootstrap_of_traits_varies_as_the_model_says(gaps):
    _, _, fit, _ = gaps
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        boot = fit.bootstrap(nsim=200, kind="residual", seed=3)
    ratio = boot.se["fixed"] / fit.bse
    assert ratio.between(0.75, 1.3).all()  # the standard deviation of 200 draws has an error of 5 %


def test_a_statistic_of_missing_cells_can_be_bootstrapped(gaps):
    _, _, fit, _ = gaps
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        boot = fit.bootstrap(lambda f: f.impute(se=False)["value"], nsim=3, seed=1)
    assert boot.draws.shape == (3, len(fit.impute()))
    assert not boot.draws.isna().any(axis=None)


# ---- cross-validation ------------------------------------------------------------------------------------------------


def test_records_held_out_are_predicted_by_the_fit_to_the_other_records(gaps):
    frame, A, _, _ = gaps
    spec = mv.model("cbind(y1, y2) ~ x + (1|id:A)", frame, cov={"A": A})
    labels = np.arange(len(frame)) % 3
    cv = mv.cross_validate(spec, folds=labels)
    for label in range(3):
        out = labels == label
        train = mv.fit("cbind(y1, y2) ~ x + (1|id:A)", frame[~out], cov={"A": A})
        want = train.predict(frame[out], new_levels="conditional").where(frame.loc[out, NAMES].notna())
        assert_allclose(cv.predictions[out], want, rtol=1e-5)
        for name in NAMES:
            y, own = frame.loc[out, name], want[name]
            seen = y.notna()
            row = cv.table.loc[(label, name)]
            assert row["n_test"] == seen.sum()
            assert row["n_train"] == frame.loc[~out, name].notna().sum()
            assert_allclose(row["correlation"], np.corrcoef(y[seen], own[seen])[0, 1], rtol=1e-5)
            assert_allclose(row["mse"], np.mean((y[seen] - own[seen]) ** 2), rtol=1e-5)
            mean = frame.loc[~out, name].mean()
            sst = np.sum((y[seen] - mean) ** 2)
            assert_allclose(row["r2"], 1 - np.sum((y[seen] - own[seen]) ** 2) / sst, rtol=1e-5)
    assert_allclose(cv.correlation["y1"], cv.table["correlation"].xs("y1", level="trait").mean(), **IDENTITY)
    assert cv.complete
    assert "All traits of a record are held out together" in str(cv)
    assert list(cv.of("y2").table.index) == [0, 1, 2]


def test_a_hidden_trait_is_predicted_from_the_others_of_its_records(gaps):
    """CV2: the cells of y1 are set missing, the model is fitted to all the rest, and they are imputed."""
    frame, A, _, _ = gaps
    spec = mv.model("cbind(y1, y2) ~ x + (1|id:A)", frame, cov={"A": A})
    labels = np.arange(len(frame)) % 2
    cv = mv.cross_validate(spec, folds=labels, hide="y1")
    plain = mv.cross_validate(spec, folds=labels, hide="y1", residual=False)
    assert cv.predictions["y2"].isna().all()
    for label in range(2):
        hidden = frame.copy()
        hidden.loc[labels == label, "y1"] = np.nan
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # records that had y1 alone are dropped
            train = mv.fit("cbind(y1, y2) ~ x + (1|id:A)", hidden, cov={"A": A})
        imputed = train.impute(se=False).query("trait == 'y1'").set_index("record")["value"]
        for i in np.flatnonzero((labels == label) & frame["y1"].notna()):
            record = frame.index[i]
            bare = train.predict(frame.iloc[[i]], new_levels="conditional")["y1"].iloc[0]
            assert_allclose(plain.predictions["y1"].iloc[i], bare, rtol=1e-5)
            assert_allclose(cv.predictions["y1"].iloc[i], imputed.get(record, bare), rtol=1e-5)
    assert "y2 of a record stay" in str(cv)


def test_cross_validation_refuses_what_it_cannot_hide(gaps):
    frame, A, _, _ = gaps
    spec = mv.model("cbind(y1, y2) ~ x + (1|id:A)", frame, cov={"A": A})
    with pytest.raises(OptionError, match="no trait is called 'y3'"):
        mv.cross_validate(spec, hide="y3")
    with pytest.raises(OptionError, match=r"hide=\[\] holds out nothing"):
        mv.cross_validate(spec, hide=[])
    with pytest.raises(OptionError, match="the specification has one response"):
        mv.cross_validate(mv.model("x ~ 1 + (1|batch)", frame), hide="x")
    empty = [np.flatnonzero(frame["y1"].isna())[:2], np.flatnonzero(frame["y1"].notna())[:5]]
    with pytest.raises(OptionError, match="fold 1 has no observed cell of y1"):
        mv.cross_validate(spec, folds=empty, hide="y1")
    with pytest.raises(OptionError, match="without fold 1 no record has y1"):
        mv.cross_validate(spec, folds=[np.flatnonzero(frame["y1"].notna())], hide="y1")
    with pytest.raises(OptionError, match=r"folds= has shape \(7,\); the model has 60 rows"):
        mv.cross_validate(spec, folds=np.arange(7))


# ---- features, pictures, words ---------------------------------------------------------------------------------------


def test_features_have_an_effect_on_every_trait_with_the_error_of_the_joint_law():
    complete, _, _ = cases.data()
    rng = np.random.default_rng(3)
    ids = sorted(complete["id"].unique())
    W = pd.DataFrame(rng.standard_normal((len(ids), 9)), index=ids)
    fit = mv.fit("cbind(y1, y2) ~ x + (1|id:W)", complete, cov={"W": mv.Features(W)}, fixed_varcomp=HELD)
    out = fit.feature_effects(se=True)
    G, R = fit.spec.sigmas(fit.theta)
    Z = ((W - W.mean()) / W.std(ddof=0)).to_numpy()
    code = W.index.get_indexer(complete["id"])
    D = np.kron(Z[code], np.eye(2))  # cells by (feature, trait)
    prior = np.kron(np.eye(9), G / 9)
    V = D @ prior @ D.T + np.kron(np.eye(60), R)
    X = np.kron(np.column_stack([np.ones(60), complete["x"]]), np.eye(2))
    Vi = np.linalg.inv(V)
    P = Vi - Vi @ X @ np.linalg.solve(X.T @ Vi @ X, X.T @ Vi)
    a = (prior @ D.T @ P @ complete[NAMES].to_numpy().ravel()).reshape(9, 2)
    error = np.diagonal(prior - prior @ D.T @ P @ D @ prior).reshape(9, 2)
    size = W.std(ddof=0).to_numpy()[:, None]
    for j, name in enumerate(NAMES):
        own = out[[c for c in out.columns if name in (c if isinstance(c, tuple) else str(c).split("."))]]
        assert_allclose(own.iloc[:, 0], (a / size)[:, j], **PARAMETER)
        assert_allclose(own.iloc[:, 2], (np.sqrt(error) / size)[:, j], **PARAMETER)


HELD = {"id": np.array([[1.5, 0.4], [0.4, 0.8]]), "residual": np.array([[1.2, -0.3], [-0.3, 0.9]])}


def test_augment_puts_every_trait_beside_its_record(gaps):
    frame, _, fit, _ = gaps
    table = fit.augment(influence=True)
    assert list(table.index) == list(frame.index)
    assert_allclose(table[".fitted.y2"], fit.fittedvalues["y2"], **IDENTITY)
    assert_allclose(table[".resid.y1"], fit.resid["y1"], **IDENTITY)
    hat = table[[".hat.y1", ".hat.y2"]].to_numpy()
    assert (hat[np.isfinite(hat)] > 0).all()
    assert np.isnan(hat).sum() == frame[NAMES].isna().to_numpy().sum()
    assert {".cooksd.y1", ".fixed.y2", "x", "y1"} <= set(table.columns)


def test_normalised_residuals_of_a_record_are_uncorrelated_by_its_own_covariance(gaps):
    frame, _, fit, _ = gaps
    R = fit.spec.sigmas(fit.theta)[-1]
    left, made = fit.resid.to_numpy(), fit.residuals("normalized").to_numpy()
    for i, seen in enumerate(frame[NAMES].notna().to_numpy()):
        L = np.linalg.cholesky(R[np.ix_(seen, seen)])
        assert_allclose(made[i, seen], np.linalg.solve(L, left[i, seen]), **OBJECTIVE)
    assert_allclose(fit.residuals("pearson"), left / np.sqrt(np.diagonal(R)), **OBJECTIVE)


def test_a_diagnosis_names_the_trait_with_the_trouble():
    rng = np.random.default_rng(6)
    g = np.repeat(np.arange(40), 6)
    Y = rng.standard_normal((40, 2))[g] + np.column_stack([rng.standard_normal(240), rng.exponential(size=240) ** 1.5])
    frame = pd.DataFrame(Y, columns=NAMES).assign(g=[f"g{j:02d}" for j in g], x=rng.standard_normal(240))
    frame.loc[:30, "y1"] = np.nan
    findings = mv.fit("cbind(y1, y2) ~ x + (1|g)", frame).diagnose().findings
    found = {f.check: f.state for f in findings}
    assert found["normality of residuals (y2)"] == "warning"
    assert found["normality of residuals (y1)"] == "fine"
    said = next(f.said for f in findings if f.check == "levels of g")
    assert said == "40 levels of 6 to 6 records"  # not of twelve cells


def test_pictures_have_panels_for_every_trait(gaps):
    pytest.importorskip("matplotlib").use("Agg")
    frame, A, fit, _ = gaps
    panels = fit.plot_residuals()
    assert [panel.get_xlabel() for panel in panels[::2]] == ["Fitted y1", "Fitted y2"]
    seen = frame["y2"].notna().sum()
    assert len(panels[2].lines[1].get_xdata()) == seen
    assert len(fit.plot_effects("id")) == 2
    spec = mv.model("cbind(y1, y2) ~ x + (1|id:A)", frame, cov={"A": A})
    assert len(mv.cross_validate(spec, folds=2, seed=1).plot()) == 2


def test_r_names_for_mixed_models_take_one_response():
    from mixedvc.porting import lme4

    frame, _, _ = cases.data()
    with pytest.raises(OptionError, match=r"lmer\(\) takes one response, and .* has 2"):
        lme4.lmer("cbind(y1, y2) ~ x + (1|batch)", frame)


def test_subsets_of_rows_keep_the_cells_of_their_records(gaps):
    from mixedvc.design.subset import take_rows

    _, _, fit, _ = gaps
    spec, traits = fit.spec, fit.spec.traits
    rows = np.array([5, 4, 90, 41, 40])
    part = take_rows(spec, rows)
    assert list(part.traits.trait) == list(traits.trait[rows])
    assert list(part.traits.labels[part.traits.record]) == list(traits.labels[traits.record[rows]])
    same = traits.record[rows][:, None] == traits.record[rows]
    assert (same == (part.residual.codes[:, None] == part.residual.codes)).all()
    assert len(part.traits.columns) == part.p
    assert replace(part, y=part.y).traits.n == part.residual.q


@pytest.mark.parametrize("formula", ["y1 ~ x + (1 + x | g)", "cbind(y1, y2) ~ x + (1 | g)"])
def test_a_singular_fit_at_its_maximum_is_not_said_to_be_short_of_it(formula):
    """On the face of a singular Σ the scores of its variances do not vanish, only those along the face do."""
    rng = np.random.default_rng(1)
    g, x = np.repeat(np.arange(12), 6), rng.standard_normal(72)
    y = rng.standard_normal(12)[g] * (0.5 + 0.25 * x) + rng.standard_normal(72)
    frame = pd.DataFrame({"y1": y, "y2": 0.3 * y + rng.standard_normal(72), "x": x, "g": [f"g{j}" for j in g]})
    with pytest.warns(mv.errors.BoundaryWarning):
        fit = mv.fit(formula, frame)
    found = {f.check: f for f in fit.diagnose().findings}
    assert found["singular fit"].state == "warning"
    assert found["convergence"].state == "fine"
    assert found["convergence"].value < 1e-8
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        early = mv.fit(formula, frame, max_iter=1)
    assert slope(early.spec, early.evaluation, early.estimate).decrement > 1e-3
