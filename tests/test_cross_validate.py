"""Cross-validation: every fold is a fit to the other rows and a prediction of these, as done by hand."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import mixedvc as mv
from mixedvc.design.folds import make_folds
from mixedvc.errors import (
    BoundaryWarning,
    ConvergenceWarning,
    DataError,
    MixedVCError,
    MixedVCWarning,
    OptionError,
    RankWarning,
)
from mixedvc.estimators import REML, estimators
from tests.tolerances import IDENTITY, OBJECTIVE

N_IDS = 30
IDS = [f"id{j}" for j in range(N_IDS)]


def features(m: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.standard_normal((N_IDS, m)), IDS, [f"f{j}" for j in range(m)])


V, W = features(6, 1), features(45, 2)


@pytest.fixture(scope="module")
def data():
    """Three records of each individual but the last two, rows in no order, labels that are not positions."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"id": np.repeat(IDS[:-2], 3)})
    n = len(frame)
    frame["x"], frame["w"], frame["o"] = rng.standard_normal(n), rng.uniform(0.5, 2, n), 3 * rng.standard_normal(n)
    frame["g"] = rng.integers(0, 6, n).astype(str)
    frame["z"] = frame["id"]
    frame["t"] = np.tile([0.0, 1.0, 2.0], n // 3)
    u = (W @ rng.standard_normal(45) / 6 + V @ rng.standard_normal(6) / 2).loc[frame["id"]].to_numpy()
    frame["y"] = 2 + 0.5 * frame["x"] + frame["o"] + u + 0.7 * frame["g"].astype(float)
    frame["y"] += np.repeat(rng.standard_normal(n // 3), 3) * frame["t"] + 0.7 * rng.standard_normal(n)
    return frame.sample(frac=1, random_state=4).set_axis([f"row{j}" for j in range(n)])


CASES = {
    "one kernel": ("y ~ x + (1 | id:K)", {}),
    "one kernel, weights and offset": ("y ~ x + (1 | id:K)", {"weights": "w", "offset": "o"}),
    "two feature sets": ("y ~ x + (1 | id:V) + (1 | z:W)", {"weights": "w"}),
    "a grouping factor": ("y ~ x + (1 | g)", {"offset": "o"}),
    "slopes, a kernel and a factor": ("y ~ x + t + (0 + t | z) + (1 | id:K) + (1 | g)", {}),
    "no fixed effects": ("y ~ 0 + (1 | id:W)", {}),
}


def covariances(formula):
    G = mv.Features(W).block()
    known = {"K": pd.DataFrame(G, IDS, IDS), "V": mv.Features(V), "W": mv.Features(W)}
    return {name: value for name, value in known.items() if f":{name})" in formula}


@pytest.mark.parametrize("groups", [None, "term"])
@pytest.mark.parametrize("case", CASES)
def test_each_fold_is_a_fit_without_it_and_a_prediction_of_it(data, case, groups):
    formula, options = CASES[case]
    cov = covariances(formula)
    spec = mv.model(formula, data, cov=cov, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundaryWarning)
        cv = mv.cross_validate(spec, folds=4, seed=7, groups=spec.terms[0].name if groups else None)
    assert cv.complete
    assert list(cv.table.index) == [1, 2, 3, 4]
    predicted = pd.Series(np.nan, data.index)
    for label in cv.table.index:
        test = cv.fold[cv.fold == label].index
        train, held = data.drop(test), data.loc[test]
        if groups:
            group = spec.terms[0].group
            assert not set(train[group]) & set(held[group])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BoundaryWarning)
            fit = mv.fit(formula, train, cov=cov, **options)
        predicted[test] = fit.predict(held, new_levels="conditional")
        row, o_train, o_test = cv.table.loc[label], 0.0, 0.0
        if "offset" in options:
            o_train, o_test = train["o"], held["o"]
        sse = float(((held["y"] - predicted[test]) ** 2).sum())
        sst = float(((held["y"] - o_test - (train["y"] - o_train).mean()) ** 2).sum())
        assert (row["n_train"], row["n_test"]) == (len(train), len(held))
        assert_allclose(row["mse"], sse / len(held), **OBJECTIVE)
        assert_allclose(row["r2"], 1 - sse / sst, **OBJECTIVE)
        if predicted[test].std() > 1e-9:
            assert_allclose(row["correlation"], np.corrcoef(held["y"], predicted[test])[0, 1], **OBJECTIVE)
        else:
            assert np.isnan(row["correlation"])
        assert_allclose(cv.varcomp.loc[label], fit.estimate.par, **OBJECTIVE)
    assert_allclose(cv.predictions.loc[data.index], predicted, **OBJECTIVE)
    assert_allclose(cv.observed.loc[data.index], data["y"], **IDENTITY)


def test_individuals_without_records_are_predicted_by_their_relatives(data):
    """Dense algebra at given variances, written out."""
    formula = "y ~ x + (1 | id:K)"
    cov = covariances(formula)
    spec = mv.model(formula, data, cov=cov)
    held = {"fixed_varcomp": {"id": 1.5, "residual": 0.5}}
    cv = mv.cross_validate(spec, folds=3, seed=1, groups="id", **held)
    A = cov["K"].loc[data["id"], data["id"]].to_numpy()
    X = np.column_stack([np.ones(len(data)), data["x"]])
    y = data["y"].to_numpy()
    for label in cv.table.index:
        test = (cv.fold == label).to_numpy()
        train = ~test
        Vinv = np.linalg.inv(1.5 * A[np.ix_(train, train)] + 0.5 * np.eye(train.sum()))
        beta = np.linalg.solve(X[train].T @ Vinv @ X[train], X[train].T @ Vinv @ y[train])
        rest = Vinv @ (y[train] - X[train] @ beta)
        want = X[test] @ beta + 1.5 * A[np.ix_(test, train)] @ rest
        assert_allclose(cv.predictions[test], want, **OBJECTIVE)


def test_overall_numbers_are_those_of_the_folds_and_of_all_rows(data):
    spec = mv.model("y ~ x + (1 | g)", data, offset="o")
    cv = mv.cross_validate(spec, folds=3, seed=2)
    scores = cv.table[["mse", "r2", "correlation"]]
    assert_allclose(cv.overall.loc["mean"], scores.mean(), **IDENTITY)
    assert_allclose(cv.overall.loc["se"], scores.std() / np.sqrt(3), **IDENTITY)
    error = cv.observed - cv.predictions
    pooled = cv.overall.loc["pooled"]
    assert_allclose(pooled["mse"], np.mean(error**2), **IDENTITY)
    about = pd.Series(0.0, data.index)
    for label in (1, 2, 3):
        rows = cv.fold == label
        about[rows] = (data["y"] - data["o"])[~rows].mean() + data["o"][rows]
    assert_allclose(pooled["r2"], 1 - np.sum(error**2) / np.sum((data["y"] - about) ** 2), **IDENTITY)
    assert_allclose(pooled["correlation"], np.corrcoef(cv.observed, cv.predictions)[0, 1], **OBJECTIVE)
    assert (cv.mse, cv.r2) == (cv.overall.loc["mean", "mse"], cv.overall.loc["mean", "r2"])


def test_one_seed_gives_the_same_folds_to_every_method(data):
    spec = mv.model("y ~ x + (1 | id:W)", data, cov={"W": mv.Features(W)})
    a, b = (mv.cross_validate(spec, method, seed=5) for method in ("reml", "ml"))
    assert (a.fold == b.fold).all()
    assert a.fold.value_counts().between(len(data) // 5, len(data) // 5 + 1).all()
    assert not (a.fold == mv.cross_validate(spec, seed=6).fold).all()
    again = mv.cross_validate(spec, REML(), a.fold)
    assert again.method == "reml"
    assert_allclose(again.predictions, a.predictions, **OBJECTIVE)


@pytest.mark.parametrize("method", estimators.names())
def test_every_registered_method_can_be_cross_validated(data, method):
    spec = mv.model("y ~ x + (1 | id:W)", data, cov={"W": mv.Features(W)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundaryWarning)
        a, b, reml = (mv.cross_validate(spec, name, 3, seed=5, groups="id") for name in (method, method, "reml"))
    assert a.complete
    assert a.method == method
    assert_allclose(a.predictions, b.predictions, **IDENTITY)  # those that draw have their own seed
    assert np.corrcoef(a.predictions, reml.predictions)[0, 1] > 0.9
    assert list(a.varcomp.columns) == ["id", "Residual"]


def test_labels_and_lists_of_rows_say_the_folds(data):
    spec = mv.model("y ~ x + (1 | id:W)", data, cov={"W": mv.Features(W)})
    cv = mv.cross_validate(spec, folds=data["g"])
    assert list(cv.table.index) == sorted(set(data["g"]))
    assert (cv.fold == data["g"]).all()
    part = mv.cross_validate(spec, folds=[np.array([3, 1]), [5, 6, 7], np.arange(len(data)) == 9])
    assert part.table["n_test"].tolist() == [2, 3, 1]
    assert part.table["n_train"].tolist() == [len(data) - k for k in (2, 3, 1)]
    assert part.predictions.notna().sum() == 6
    assert part.fold.iloc[[1, 3, 5, 9]].tolist() == [1, 1, 2, 3]
    assert part.fold.isna().sum() == len(data) - 6
    assert np.isnan(part.table.loc[3, "correlation"])  # of one row
    assert part.complete


def test_labels_of_the_data_handed_in_count_the_rows_dropped(data):
    gaps = data.copy()
    gaps.loc[["row3", "row8"], "y"] = np.nan
    with pytest.warns(mv.errors.DroppedRowsWarning):
        spec = mv.model("y ~ x + (1 | id:W)", gaps, cov={"W": mv.Features(W)})
    short = mv.cross_validate(spec, folds=gaps["g"])
    assert (short.fold == gaps["g"].drop(["row3", "row8"])).all()
    assert list(short.predictions.index) == list(short.fold.index)


def test_groups_stay_whole_and_folds_even(data):
    spec = mv.model("y ~ x + (1 | id:W) + (1 | g)", data, cov={"W": mv.Features(W)})
    rng = np.random.default_rng(0)
    for groups in ("id", "g", data["w"] > 1, np.arange(len(data)) // 2):
        codes = pd.factorize(data[groups] if isinstance(groups, str) else np.asarray(groups))[0]
        folds = make_folds(spec, min(4, len(set(codes))), groups, rng)
        of = np.full(len(data), -1)
        for j, fold in enumerate(folds):
            of[fold.held_out] = j
        assert (of >= 0).all()
        assert all(len(set(of[codes == g])) == 1 for g in set(codes))
        sizes = np.bincount(of)
        assert sizes.max() - sizes.min() <= np.bincount(codes).max()
    uneven = np.where(np.arange(len(data)) < 40, -1, np.arange(len(data)))  # one group of 40, 44 of one
    largest = [max(len(fold.held_out) for fold in make_folds(spec, 4, uneven, rng)) for _ in range(30)]
    assert np.mean(largest) < 48  # counting groups instead of rows would make it 51
    each = make_folds(spec, len(data), None, rng)
    assert sorted(int(fold.held_out[0]) for fold in each) == list(range(len(data)))


def test_wrong_folds_and_groups_are_refused(data):
    spec = mv.model("y ~ x + (1 | g)", data)
    n = len(data)

    def refused(message, error=OptionError, **options):
        with pytest.raises(error, match=message):
            mv.cross_validate(spec, **options)

    refused(f"folds=1: between 2 and {n}, the number of rows", folds=1)
    refused("folds=7: between 2 and 6, the number of groups", folds=7, groups="g")
    refused(r"folds='g': .*; a column is given as data\['g'\]", folds="g")
    refused("folds=0.2: a number of folds, a label for each row", folds=0.2)
    refused("folds=True", folds=True)
    refused(rf"folds= has shape \(3,\); the model has {n} rows", folds=["a", "b", "a"])
    refused("folds= puts every row into fold 1", folds=np.ones(n))
    refused("groups= goes with a number of folds", folds=data["g"], groups="g")
    refused("groups='id': the model has no random term of this name; its terms are 'g'", groups="id")
    refused("row 2 has no label", DataError, groups=data["g"].where(np.arange(n) != 2, None))
    refused(f"fold 2 holds out row {n}; the model has rows 0 to {n - 1}", folds=[[1], [n]])
    refused(r"row 4 is held out twice \(1 such rows\)", folds=[[1, 4], [4]])
    refused("fold 1 holds out no row", folds=[np.array([], dtype=int), [1]])
    refused("fold 2 holds out every row", folds=[[1], np.arange(n)])
    refused("fold 1 is not an array of row positions", folds=[["row1", "row2"]])
    refused("no estimator is called 'remle'|unknown estimator 'remle'", MixedVCError, method="remle")
    refused("'tolerance': no option", tolerance=3)
    with pytest.raises(OptionError, match="takes a specification"):
        mv.cross_validate("y ~ x", data)


def test_columns_that_the_training_rows_do_not_tell_apart_are_said_once(data):
    frame = data.assign(f=np.where(np.arange(len(data)) < 4, "rare", np.where(data["x"] > 0, "a", "b")))
    spec = mv.model("y ~ f + x + (1 | g)", frame)
    folds = np.where(np.arange(len(data)) < 4, 1, np.where(np.arange(len(data)) % 2, 2, 3))
    with pytest.warns(RankWarning, match=r"in fold 1: columns that .* count zero: f\[rare\]|f\[T.rare\]") as caught:
        cv = mv.cross_validate(spec, folds=folds)
    assert sum(issubclass(w.category, RankWarning) for w in caught) == 1
    assert list(spec.x_names).index("x") > 2  # after the column that is dropped
    fit = mv.fit("y ~ f + x + (1 | g)", frame.iloc[4:])
    # coded for the whole: "a" stands for the level that no training row has
    want = fit.params["Intercept"] + fit.params["x"] * frame["x"].iloc[:4].to_numpy()
    want = want + fit.random_effects["g"].loc[frame["g"].iloc[:4], "Intercept"].to_numpy()
    assert_allclose(cv.predictions.iloc[:4], want, **OBJECTIVE)


def test_warnings_of_the_folds_are_said_once_with_their_folds(data):
    spec = mv.model("y ~ x + (1 | id:W)", data, cov={"W": mv.Features(W)})
    with pytest.warns(ConvergenceWarning, match=r"in folds 1, 2, 3: ") as caught:
        cv = mv.cross_validate(spec, REML(max_iter=1), 3, seed=1)
    assert len(caught) == 1
    assert not cv.table["converged"].any()
    assert "Not converged in fold 1, 2, 3." in str(cv)
    within = np.random.default_rng(2).standard_normal((len(data) // 3, 3))
    within -= within.mean(axis=1, keepdims=True)  # the levels' means are equal: no variance among them
    spec = mv.model("y ~ 1 + (1 | z)", data.sort_values("z").assign(y=within.ravel()))
    with pytest.warns(BoundaryWarning, match=r"^in folds 1, 2, 3: singular fit: .* in z$") as caught:
        mv.cross_validate(spec, folds=np.tile([1, 2, 3], len(data) // 3))
    assert len(caught) == 1


def test_a_fold_that_cannot_be_fitted_is_named(data):
    flat = data.assign(y=np.where(np.arange(len(data)) < 5, data["y"], 1.0), g=data["g"])
    spec = mv.model("y ~ x + (1 | g)", flat)

    class Broken(REML):
        name = "broken"

        def fit(self, spec, **given):
            if spec.n == len(flat) - 5:
                raise MixedVCError("nothing varies")
            return super().fit(spec, **given)

    folds = [np.arange(10, 20), np.arange(5)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(MixedVCError, match=rf"fold 2 \({len(flat) - 5} training rows\): nothing varies"):
            mv.cross_validate(spec, Broken(), folds)


@pytest.mark.parametrize("inside", [True, False])
def test_an_interruption_keeps_the_finished_folds(data, monkeypatch, inside):
    """Whether the estimator notices it (and gives its last point) or not."""
    spec = mv.model("y ~ x + (1 | id:W)", data, cov={"W": mv.Features(W)})
    whole, fit, done = mv.cross_validate(spec, seed=1), REML.fit, []

    def interrupted(self, given, **options):
        done.append(1)
        if len(done) == 4:
            if not inside:
                raise KeyboardInterrupt
            return replace(fit(self, given, **options), converged=False, message="interrupted after 2 iterations")
        return fit(self, given, **options)

    monkeypatch.setattr(REML, "fit", interrupted)
    with pytest.warns(MixedVCWarning, match="3 of 5 folds are finished"):
        cv = mv.cross_validate(spec, seed=1)
    assert len(done) == 4
    assert not cv.complete
    kept = cv.fold.isin([1, 2, 3])
    assert_allclose(cv.predictions[kept], whole.predictions[kept], **OBJECTIVE)
    assert cv.predictions[~kept].isna().all()
    assert_allclose(cv.overall.loc["se"], cv.table[["mse", "r2", "correlation"]].std() / np.sqrt(3), **IDENTITY)
    assert_allclose(cv.overall.loc["pooled", "mse"], ((cv.observed - cv.predictions)[kept] ** 2).mean(), **IDENTITY)
    assert "INTERRUPTED after 3 of 5 folds" in str(cv)
    done[:] = [1] * 3
    with pytest.raises(KeyboardInterrupt):
        mv.cross_validate(spec, seed=1)


def test_features_can_be_standardised_by_the_training_individuals_only(data):
    cov = mv.Features(W)
    spec = mv.model("y ~ x + (1 | id:G)", data, cov={"G": cov})
    options = {"folds": 3, "seed": 1, "groups": "id"}
    cv = mv.cross_validate(spec, restandardize=True, **options)
    assert np.abs(cv.predictions - mv.cross_validate(spec, **options).predictions).max() > 1e-4
    for label in cv.table.index:
        test = data[cv.fold == label]
        train = data.drop(test.index)
        known = W.loc[sorted(set(train["id"]))]
        fit = mv.fit("y ~ x + (1 | id:G)", train, cov={"G": mv.Features(known)})
        want = fit.predict(test, features={"G": W.loc[sorted(set(test["id"]))]})
        assert_allclose(cv.predictions[test.index], want, **OBJECTIVE)
    some = np.arange(N_IDS - 1)[::-1]
    part = mv.model("y ~ x + (1 | id:G)", data, cov={"G": cov.restrict(some)})
    again = mv.cross_validate(part, folds=cv.fold, restandardize=True)
    assert_allclose(again.predictions, cv.predictions, **OBJECTIVE)


def test_the_specification_is_left_as_it_was(data):
    spec = mv.model("y ~ x + (1 | id:W)", data, cov={"W": mv.Features(W)})
    before, A = spec.fit().llf, spec.terms[0].covariance.block()
    mv.cross_validate(spec, seed=1, restandardize=True)
    assert spec.fit().llf == before
    assert_allclose(spec.terms[0].covariance.block(), A, **IDENTITY)


def test_text_html_and_repr_show_the_same_numbers(data):
    spec = mv.model("y ~ x + (1 | g)", data)
    cv = mv.cross_validate(spec, folds=3, seed=11)
    text, page = str(cv), cv._repr_html_()
    for part in ("Cross-validation", "3 (seed 11)", "std err", "all rows", "R2: 1 - SSE/SST"):
        assert part in text
        assert part in page
    assert repr(cv) == f"<CrossValidation of reml: 3 folds, r2 {cv.r2:.3f}; print() shows it>"
    line = next(line for line in text.splitlines() if line.startswith("mean"))
    assert_allclose([float(cell) for cell in line.split()[1:]], cv.overall.loc["mean"], rtol=1e-3, atol=0)
    many = mv.cross_validate(spec, folds=25, seed=1)
    assert len(str(many).splitlines()) < 25
    assert max(map(len, str(many).splitlines())) <= 100


def test_the_plot_shows_every_prediction_by_fold(data):
    plt = pytest.importorskip("matplotlib.pyplot")
    spec = mv.model("y ~ x + (1 | g)", data)
    for folds in (3, 8):
        cv = mv.cross_validate(spec, folds=folds, seed=1)
        ax = cv.plot()
        points = np.concatenate([np.c_[line.get_data()] for line in ax.lines if line.get_marker() != "None"])
        order, want = np.lexsort(points.T), np.c_[cv.predictions, cv.observed]
        assert_allclose(points[order], want[np.lexsort(want.T)], **IDENTITY)
        legend = ax.get_legend()
        if folds == 3:
            shown = [t.get_text() for t in legend.get_texts()]
            assert shown == [f"{j}: {r2:.2f}" for j, r2 in cv.table["r2"].items()]
        else:
            assert legend is None
            assert ax.get_title() == f"R² {cv.r2:.2f} (standard error {cv.overall.loc['se', 'r2']:.2f}) over 8 folds"
        assert cv.plot(ax=ax) is ax
        plt.close("all")


def test_predictions_of_a_posterior_are_posterior_means(data):
    """Variances held: the same predictions as with them held in a REML fit, but for the mean of the draws of β."""
    spec = mv.model("y ~ x + (1 | id:W)", data, cov={"W": mv.Features(W)})
    priors = {"id": mv.priors.Fixed(1.5), "residual": mv.priors.Fixed(0.5)}
    got = mv.cross_validate(spec, "gibbs", 3, seed=2, priors=priors, draws=400, chains=2, workers=1)
    want = mv.cross_validate(spec, "reml", got.fold, fixed_varcomp={"id": 1.5, "Residual": 0.5})
    assert_allclose(got.predictions, want.predictions, rtol=0, atol=0.15 * want.predictions.std())
    assert np.corrcoef(got.predictions, want.predictions)[0, 1] > 0.995
    assert_allclose(got.varcomp, want.varcomp, **IDENTITY)


def test_a_fold_whose_chains_were_interrupted_ends_the_work(data, monkeypatch):
    from mixedvc.estimators.gibbs import Gibbs

    fit, count = Gibbs.fit, []

    def stopped(self, spec, **options):
        made = fit(self, spec, **options)
        count.append(1)
        if len(count) < 2:
            return made
        return replace(made, draws=replace(made.draws, interrupted=True))

    monkeypatch.setattr(Gibbs, "fit", stopped)
    spec = mv.model("y ~ x + (1 | g)", data)
    with pytest.warns(MixedVCWarning, match="interrupted: 1 of 3 folds are finished"):
        cv = mv.cross_validate(spec, "gibbs", 3, seed=2, draws=50, chains=1, workers=1)
    assert len(cv.table) == 1 and not cv.complete
