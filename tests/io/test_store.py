"""Saved models: what comes back is the fit, to the last bit where it was stored, and it works like the one saved."""

import json
import os
import zipfile

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import mixedvc as mv
from mixedvc.errors import CovarianceError, OptionError, StoredModelError
from mixedvc.io.archive import MANIFEST
from mixedvc.io.store import load, save, stored_kinds

from ..tolerances import OBJECTIVE

Q, N = 12, 60
IDS = [f"id{i:02d}" for i in range(Q)]


def data():
    rng = np.random.default_rng(11)
    frame = pd.DataFrame({"id": np.repeat(IDS, N // Q), "x": rng.standard_normal(N), "w": rng.uniform(0.5, 2, N)})
    frame["f"] = pd.Categorical(rng.choice(["low", "mid", "high"], N), categories=["low", "mid", "high"], ordered=True)
    frame["row"] = rng.choice([1, 2, 3, 4, 5], N)
    frame["y"] = 1 + frame.x + np.repeat(rng.standard_normal(Q), N // Q) + 0.7 * frame.row + rng.standard_normal(N)
    return frame.set_axis([f"r{i}" for i in range(N)], axis=0)


def kernel():
    B = np.random.default_rng(5).standard_normal((Q + 2, 40))
    labels = [*IDS, "relative", "stranger"]
    return pd.DataFrame(B @ B.T / 40, labels, labels)


def covariances():
    K = kernel()
    W = np.random.default_rng(6).standard_normal((Q, 5))
    tree = pd.DataFrame({"id": IDS, "sire": [None, None, *["id00"] * 10], "dam": [None, None, *["id01"] * 10]})
    precision = sp.diags_array([np.full(Q - 1, -0.4), np.full(Q, 1.3), np.full(Q - 1, -0.4)], offsets=[-1, 0, 1])
    halves = sp.block_diag([np.array([[1.0, 0.5], [0.5, 1.0]])] * (Q // 2))
    return {
        "frame": K,
        "pair": (K.to_numpy(), list(K.index)),
        "identity": mv.Identity(IDS),
        "sparse": mv.Sparse(sp.csr_array(halves), IDS),
        "precision": mv.Precision(sp.csc_array(precision), IDS),
        "features": mv.Features(W, IDS),
        "pedigree": mv.pedigree(tree),
        "marginal": mv.pedigree(tree).restrict(np.arange(Q)[::-1]),
    }


def check_same(fit, again):
    assert again.llf == fit.llf
    assert again.estimate.theta.tolist() == fit.estimate.theta.tolist()
    assert again.estimate.par.tolist() == fit.estimate.par.tolist()
    assert again.estimate.converged == fit.estimate.converged
    assert len(again.estimate.trace) == len(fit.estimate.trace)
    for one, other in zip(again.estimate.trace, fit.estimate.trace, strict=True):
        assert one.loglik == other.loglik
        assert one.theta.tolist() == other.theta.tolist()
    assert again.spec.x_names == fit.spec.x_names
    assert again.spec.notes == fit.spec.notes
    assert again.spec.row_labels.tolist() == fit.spec.row_labels.tolist()
    assert str(again.summary()) == str(fit.summary())
    pd.testing.assert_frame_equal(again.varcomp, fit.varcomp, **OBJECTIVE)
    pd.testing.assert_series_equal(again.fittedvalues, fit.fittedvalues, **OBJECTIVE)
    for name, u in fit.random_effects.items():
        pd.testing.assert_frame_equal(again.random_effects[name], u, **OBJECTIVE)


def through_a_file(fit, tmp_path):
    fit.save(tmp_path / "model.mvc")
    return mv.load(tmp_path / "model.mvc")


CASES = {
    "slopes": ("y ~ x + (x | id)", {}),
    "uncorrelated": ("y ~ x + (x || id)", {"method": "ml"}),
    "several terms": ("y ~ f + (1 | id) + (1 | row)", {}),
    "nested": ("y ~ x + (1 | row/id)", {}),
    "transforms": ("y ~ poly(x, 2) + scale(w) + (1 | id)", {}),
    "interaction and contrasts": ("y ~ f * x + (1 | id)", {"contrasts": {"f": "sum"}}),
    "matrix contrasts": ("y ~ f + (1 | id)", {"contrasts": {"f": np.array([[0.0, 0], [1, 0], [1, 1]])}}),
    "weights and offset columns": ("y ~ x + (1 | id)", {"weights": "w", "offset": "row"}),
    "weights and offset numbers": ("y ~ x + (1 | id)", {"weights": np.linspace(1, 2, N), "offset": np.arange(N) / 9}),
    "offset in the formula": ("y ~ x + offset(log(w)) + (1 | id)", {}),
    "dot": ("y ~ . - id + (1 | id)", {}),
    "held components": ("y ~ x + (1 | id)", {"fixed_varcomp": {"id": 0.5, "residual": 1.5}}),
    "options": ("y ~ x + (1 | id)", {"tol": 1e-9, "start": {"id": 2.0}}),
    "response given apart": ("Y ~ x + (1 | id)", {"responses": {"Y": np.sin(np.arange(N))}}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore::mixedvc.errors.BoundaryWarning")
def test_a_loaded_fit_is_the_fit_that_was_saved(case, tmp_path):
    formula, options = CASES[case]
    fit = mv.fit(formula, data(), **options)
    check_same(fit, through_a_file(fit, tmp_path))


@pytest.mark.parametrize("kind", list(covariances()))
@pytest.mark.filterwarnings("ignore::mixedvc.errors.MixedVCWarning")
def test_every_kind_of_covariance_is_stored(kind, tmp_path):
    fit = mv.fit("y ~ x + (1 | id:A)", data(), cov={"A": covariances()[kind]})
    again = through_a_file(fit, tmp_path)
    check_same(fit, again)
    stored, given = again.spec.terms[0].covariance, fit.spec.terms[0].covariance
    assert stored.fingerprint() == given.fingerprint()
    assert stored.labels.tolist() == given.labels.tolist()


def test_every_registered_covariance_has_a_case_here():
    from mixedvc.covariance.base import covariances as registered

    used = {mv.model("y ~ x + (1 | id:A)", data(), cov={"A": c}).terms[0].covariance.kind for c in _quietly()}
    assert used | {"kronecker"} >= set(registered.names())


def _quietly():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from covariances().values()


@pytest.mark.filterwarnings("ignore::mixedvc.errors.MixedVCWarning")
def test_a_kronecker_covariance_is_stored(tmp_path):
    frame = data().assign(t=lambda d: d["row"].astype(str))
    K, T = kernel().loc[IDS, IDS], pd.DataFrame(np.eye(5) + 0.3, list("12345"), list("12345"))
    cov = mv.Kronecker(mv.Dense(K.to_numpy(), IDS), mv.Dense(T.to_numpy(), list("12345")))
    fit = mv.fit("y ~ x + (1 | gr(id:t, cov=KT))", frame, cov={"KT": cov})
    check_same(fit, through_a_file(fit, tmp_path))


@pytest.mark.filterwarnings("ignore::mixedvc.errors.BoundaryWarning")
def test_prediction_and_refit_work_after_loading(tmp_path):
    frame = data()
    fit = mv.fit("y ~ poly(x, 2) + (1 | id:A)", frame, cov={"A": kernel()})
    again = through_a_file(fit, tmp_path)
    new = pd.DataFrame({"x": [0.1, 0.2], "id": ["id03", "relative"]})
    for options in ({"new_levels": "conditional", "se": True}, {"random": "none"}, {"new_levels": "zero"}):
        left, right = again.predict(new, **options), fit.predict(new, **options)
        np.testing.assert_allclose(left, right, **OBJECTIVE)
    y2 = np.cos(np.arange(N))
    np.testing.assert_allclose(again.refit(y2).llf, fit.refit(y2).llf, **OBJECTIVE)


def test_a_refit_is_saved_with_its_own_response(tmp_path):
    fit = mv.fit("y ~ x + (1 | id)", data()).refit(np.sin(data()["y"].to_numpy() ** 2) + np.repeat(range(Q), N // Q))
    again = through_a_file(fit, tmp_path)
    np.testing.assert_array_equal(again.spec.y, fit.spec.y)
    assert not again.spec.y.flags.writeable
    check_same(fit, again)


def test_dropped_rows_and_padding_come_back(tmp_path):
    frame = data()
    frame.loc["r3", "x"] = np.nan
    frame.loc["r9", "id"] = None
    with pytest.warns(mv.errors.DroppedRowsWarning, match="2 of 60"):
        fit = mv.fit("y ~ x + (1 | id)", frame, missing="exclude")
    again = through_a_file(fit, tmp_path)  # without a second warning
    assert again.spec.dropped.by_variable == fit.spec.dropped.by_variable
    assert again.resid.isna().sum() == 2
    check_same(fit, again)


def test_a_singular_fit_stays_singular(tmp_path):
    with pytest.warns(mv.errors.BoundaryWarning):
        fit = mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff2"))
    again = through_a_file(fit, tmp_path)
    assert again.is_singular
    assert again.estimate.at_bound.tolist() == fit.estimate.at_bound.tolist()
    check_same(fit, again)


def test_notes_of_the_specification_come_back(tmp_path):
    fit = mv.fit("y ~ x + (1 | id:A)", data(), cov={"A": kernel(), "unused": kernel()})
    assert any("unused" in note for note in fit.spec.notes)
    check_same(fit, through_a_file(fit, tmp_path))


def test_tables_of_other_libraries_are_stored_as_their_values(tmp_path):
    pl = pytest.importorskip("polars")
    frame = data().drop(columns="f")
    fit = mv.fit("y ~ x + (1 | id)", pl.from_pandas(frame.reset_index(drop=True)))
    check_same(fit, through_a_file(fit, tmp_path))


def test_only_the_columns_in_use_are_in_the_file(tmp_path):
    frame = data().assign(secret="do not keep me")
    mv.fit("y ~ x + (1 | id)", frame).save(tmp_path / "m.mvc")
    content = (tmp_path / "m.mvc").read_bytes()
    assert b"do not keep me" not in content
    assert b"secret" not in content


def test_the_file_is_a_zip_of_json_and_npy_that_numpy_reads(tmp_path):
    fit = mv.fit("y ~ x + (1 | id)", data())
    fit.save(tmp_path / "m.mvc")
    with zipfile.ZipFile(tmp_path / "m.mvc") as archive:
        manifest = json.loads(archive.read(MANIFEST))
        names = [name for name in archive.namelist() if name != MANIFEST]
        shapes = [np.load(archive.open(name), allow_pickle=False).shape for name in names]
    assert manifest["format"] == "mixedvc model"
    assert manifest["written_by"]["numpy"] == np.__version__
    assert manifest["content"]["kind"] == "point"
    assert (N, 2) in shapes


def test_equal_fits_give_equal_bytes(tmp_path):
    fit = mv.fit("y ~ x + (1 | id)", data())
    fit.save(tmp_path / "a")
    fit.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_saving_keeps_permissions_and_follows_links(tmp_path):
    fit = mv.fit("y ~ x + (1 | id)", data())
    real, link = tmp_path / "real.mvc", tmp_path / "link.mvc"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    fit.save(link)
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert mv.load(real).llf == fit.llf
    mask = os.umask(0o022)
    try:
        fit.save(tmp_path / "new.mvc")
    finally:
        os.umask(mask)
    assert (tmp_path / "new.mvc").stat().st_mode & 0o777 == 0o644


def test_save_takes_results_only(tmp_path):
    with pytest.raises(OptionError, match="save takes the results of a fit, not dict"):
        save({}, tmp_path / "x")
    assert stored_kinds.names() == ["point", "posterior"]


def test_a_covariance_changed_in_place_is_noticed_on_saving(tmp_path):
    numbers = kernel().to_numpy().copy()
    fit = mv.fit("y ~ x + (1 | id:A)", data(), cov={"A": mv.Dense(numbers, list(kernel().index))})
    numbers *= 2
    with pytest.raises(CovarianceError, match=r"cov\['A'\] was changed in place"):
        fit.save(tmp_path / "m.mvc")


def test_a_method_that_is_not_installed_still_loads_but_does_not_refit(tmp_path, monkeypatch):
    from mixedvc.estimators.base import estimators

    fit = mv.fit("y ~ x + (1 | id)", data())
    fit.save(tmp_path / "m.mvc")
    monkeypatch.delitem(estimators._things, "reml")
    again = load(tmp_path / "m.mvc")
    assert again.llf == fit.llf
    with pytest.raises(OptionError, match="does not carry its estimator"):
        again.refit(fit.spec.y)


def test_a_value_that_cannot_be_stored_is_named_and_no_file_appears(tmp_path):
    fit = mv.fit("y ~ x + (1 | id)", data())
    odd = type(fit)(fit.spec, fit.estimate, fit.likelihood, mv.REML(start={"id": np.float64(1.0)}), fit.information)
    odd.save(tmp_path / "fine.mvc")
    estimate = fit.estimate
    estimate.extra["callback"] = print
    with pytest.raises(StoredModelError, match=r"the estimate, 'extra', 'callback'.*cannot be stored"):
        fit.save(tmp_path / "odd.mvc")
    assert [path.name for path in tmp_path.iterdir()] == ["fine.mvc"]
