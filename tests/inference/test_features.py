"""Features as random regression: effects of the columns, and prediction of levels that only their features describe."""

from __future__ import annotations

import gzip
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import mixedvc as mv
from mixedvc.covariance import Marginal
from mixedvc.covariance.new_features import NewFeatures
from mixedvc.errors import CovarianceError, CovarianceWarning, DataError, OptionError
from tests.reference.load import input_or_skip, reference
from tests.tolerances import IDENTITY, OBJECTIVE

Q, UNSEEN = 26, 5
IDS = [f"id{j}" for j in range(Q)]
STANDARDIZE = [True, "sample", "center", False]


def genotypes(m: int, seed: int = 1, ids: list[str] = IDS) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.binomial(2, rng.uniform(0.2, 0.8, m), (len(ids), m)), ids, [f"snp{j}" for j in range(m)])


def records(W: pd.DataFrame, seed: int = 2) -> pd.DataFrame:
    """Three records of all but the last few levels; intercept and slope depend on the features."""
    rng = np.random.default_rng(seed)
    seen = W.index[: len(W) - UNSEEN]
    data = pd.DataFrame({"id": np.tile(seen, 3)})
    data["x"], data["w"] = rng.standard_normal(len(data)), rng.uniform(0.5, 2, len(data))
    data["o"], data["g"] = rng.standard_normal(len(data)), rng.integers(0, 5, len(data)).astype(str)
    centred = (W - W.mean()).loc[data["id"]].to_numpy() / np.sqrt(W.shape[1])
    b = rng.standard_normal((W.shape[1], 2)) * [3.0, 1.5]
    data["y"] = 2 + data["o"] + centred @ b[:, 0] + (1 + centred @ b[:, 1]) * data["x"]
    data["y"] += data["g"].astype(float) - 2 + 0.5 * rng.standard_normal(len(data)) / np.sqrt(data["w"])
    return data


def fitted(formula: str, W: pd.DataFrame, method: str = "reml", standardize: object = True) -> mv.results.PointResults:
    return mv.fit(
        formula, records(W), cov={"G": mv.Features(W, standardize=standardize)}, weights="w", offset="o", method=method
    )


def standardised(W: pd.DataFrame, how: object) -> np.ndarray:
    values = W.to_numpy(dtype=float)
    if how:
        values = values[:, W.std() > 0]
        values = values - values.mean(0)
    return values / values.std(0, ddof=int(how == "sample")) if how in (True, "sample") else values


@pytest.mark.parametrize("standardize", STANDARDIZE)
@pytest.mark.parametrize("m", [7, 60])
@pytest.mark.parametrize("formula", ["y ~ x + (1 | id:G)", "y ~ x + (1 + x | id:G) + (1 | g)"])
def test_effects_are_those_of_the_mixed_model_equations_of_the_regression(formula, m, standardize):
    W = genotypes(m)
    fit = fitted(formula, W, standardize=standardize)
    spec, theta = fit.spec, fit.theta
    term, Sigma = spec.terms[0], spec.sigmas(theta)[0]
    k, G = term.k, standardised(W, standardize)
    rows = G[[IDS.index(level) for level in term.levels]][term.codes]
    Z = np.hstack([rows * term.basis[:, [a]] for a in range(k)])  # effects fastest over features
    parts, prior = [spec.X, Z], [np.zeros((spec.p, spec.p)), np.kron(np.linalg.inv(Sigma), np.eye(m)) * m]
    for other in spec.terms[1:]:
        parts.append(other.Z().toarray())
        prior.append(np.eye(other.q) / theta[-2])
    D, R = np.hstack(parts), theta[-1] / spec.weights
    C = D.T @ (D / R[:, None])
    at = 0
    for block in prior:
        C[at : at + len(block), at : at + len(block)] += block
        at += len(block)
    inverse = np.linalg.inv(C)
    solution = inverse @ (D.T @ (spec.response / R))
    alpha = solution[spec.p : spec.p + k * m].reshape(k, m).T
    pev = np.diagonal(inverse)[spec.p : spec.p + k * m].reshape(k, m).T
    sd = W.std(ddof=int(standardize == "sample")).to_numpy()[:, None] if standardize in (True, "sample") else 1.0
    out = fit.feature_effects(se=True)
    assert list(out.index) == list(W.columns)
    got = {name: out[name].to_numpy().reshape(m, k) for name in ("effect", "standardised", "se", "reliability")}
    assert_allclose(got["standardised"], alpha, **OBJECTIVE)
    assert_allclose(got["effect"], alpha / sd, **OBJECTIVE)
    assert_allclose(got["se"], np.sqrt(pev) / sd, **OBJECTIVE)
    assert_allclose(got["reliability"], 1 - pev / (np.diagonal(Sigma) / m), **OBJECTIVE)


@pytest.mark.parametrize("standardize", STANDARDIZE)
def test_the_random_effects_are_the_features_times_their_effects(standardize):
    W = genotypes(9)
    W["same"] = 2
    with pytest.warns(CovarianceWarning, match="at column 'same'") if standardize else warnings.catch_warnings():
        fit = fitted("y ~ x + (1 + x | id:G)", W, standardize=standardize)
    b = fit.feature_effects()
    assert list(b["effect"].columns) == ["Intercept", "x"]
    if standardize:
        assert (b.loc["same"] == 0.0).all()
    centred = W - W.mean() if standardize else W
    u = fit.random_effects["id"]
    assert len(u) == Q  # those without records too
    assert_allclose(u, centred.loc[u.index] @ b["effect"], **OBJECTIVE)
    used = W.columns if not standardize else W.columns[:-1]
    assert_allclose(u, standardised(W, standardize) @ b["standardised"].loc[used], **OBJECTIVE)


def test_effects_of_one_effect_have_flat_columns_and_count_what_has_no_names():
    W = genotypes(4)
    fit = mv.fit("y ~ x + (1 | id:G)", records(W), cov={"G": mv.Features(W.to_numpy(), IDS)})
    out = fit.feature_effects("id")
    assert list(out.columns) == ["effect", "standardised"]
    assert list(out.index) == [0, 1, 2, 3]
    assert out.index.name == "feature"


def test_each_of_several_feature_sets_has_its_own_effects():
    V, W = genotypes(8, 3), genotypes(40, 4)
    cov = {"V": mv.Features(V), "W": mv.Features(W)}
    data = records(W)
    data["id2"] = data["id"]
    fit = mv.fit("y ~ x + (1 | id:V) + (1 | id2:W)", data, cov=cov)
    for name, set_ in (("id", V), ("id2", W)):
        u = fit.random_effects[name]["Intercept"]
        assert_allclose(u, ((set_ - set_.mean()) @ fit.feature_effects(name)["effect"]).loc[u.index], **OBJECTIVE)
    with pytest.raises(OptionError, match=r"of which term\? Terms with features: 'id', 'id2'"):
        fit.feature_effects()


def test_a_restriction_of_features_keeps_their_columns():
    W = genotypes(6)
    cov = mv.Features(W)
    some = np.arange(Q - 1, -1, -2)
    data = records(W).loc[lambda d: d["id"].isin(W.index[some])]
    whole, part = (
        mv.fit("y ~ x + (1 | id:G)", data, cov={"G": c}, fixed_varcomp={"id": 2.0, "residual": 0.3})
        for c in (cov, cov.restrict(some))
    )
    assert isinstance(part.spec.terms[0].covariance, Marginal)
    assert_allclose(part.feature_effects(se=True), whole.feature_effects(se=True), **OBJECTIVE)
    new = genotypes(6, 9, ["n0", "n1"])
    rows = pd.DataFrame({"id": ["n1", "n0", "n1"], "x": [0.1, 0.2, 0.3]})
    got, want = (fit.predict(rows, features={"G": new}, se=True) for fit in (part, whole))
    assert_allclose(got, want, **OBJECTIVE)


def test_a_variance_of_zero_leaves_no_effects():
    W = genotypes(6)
    fit = mv.fit("y ~ x + (1 | id:G)", records(W), cov={"G": mv.Features(W)}, fixed_varcomp={"id": 0.0})
    out = fit.feature_effects(se=True)
    assert (out[["effect", "standardised", "se"]] == 0.0).all(axis=None)
    assert out["reliability"].isna().all()


def test_effects_and_errors_do_not_depend_on_the_chunks(monkeypatch):
    W = genotypes(23)
    fit = fitted("y ~ x + (1 + x | id:G)", W)
    new, rows = genotypes(23, 5, ["n0", "n1", "n2"]), pd.DataFrame({"id": ["n2", "n0"], "x": [1.0, 2.0], "o": 0.0})
    once = fit.feature_effects(se=True), fit.predict(rows, features={"G": new}, se=True)
    for module in ("features", "feature_table"):
        monkeypatch.setattr(f"mixedvc.covariance.{module}.CHUNK_BYTES", 8 * fit.spec.n * 2 * 3)
    widths, project = [], type(fit.evaluation).project

    def watched(self, C):
        widths.append(C.shape[1])
        return project(self, C)

    monkeypatch.setattr(type(fit.evaluation), "project", watched)
    fit.feature_effects(se=True)
    assert (max(widths), sum(widths)) == (2 * 3, 2 * 23)  # 8·n·k·3 bytes are a chunk
    again = mv.Features(W)
    assert len(list(again.chunks(None, fit.spec.n * 2))) == 8
    assert_allclose(again.mean, fit.spec.terms[0].covariance.mean, **IDENTITY)
    for a, b in zip(once, (fit.feature_effects(se=True), fit.predict(rows, features={"G": new}, se=True)), strict=True):
        assert_allclose(a, b, **OBJECTIVE)


@pytest.mark.parametrize("case", ["basic_n120_p200_q2", "tall_rankdef_n150_p40_q1"])
def test_vcm_finds_the_same_effects(case):
    numbers = reference(f"vcm/{case}/expected")
    frames = []
    for name in ("X", "Z"):
        path = input_or_skip(f"vcm/{case}/{name}.csv")
        with gzip.open(path, "rt") if path.suffix == ".gz" else open(path) as file:
            frames.append(pd.read_csv(file))
    W, Z = frames
    ids = np.arange(len(W))
    y = np.loadtxt(input_or_skip(f"vcm/{case}/y.csv"), skiprows=1, delimiter=",", ndmin=1)
    data = Z.set_axis([f"z{j}" for j in range(Z.shape[1])], axis=1).assign(y=y, id=ids)
    sb2, se2 = numbers["direct_ML"]["theta"]
    fit = mv.fit(
        f"y ~ {' + '.join(data.columns[: Z.shape[1]])} + (1 | id:G)",
        data,
        cov={"G": mv.Features(W.to_numpy(), ids)},
        method="ml",
        fixed_varcomp={"id": sb2, "residual": se2},
    )
    assert_allclose(fit.llf, numbers["direct_ML"]["loglik"], **OBJECTIVE)
    theirs = np.ravel(numbers["PXEM_tight"]["mu_first5"])
    assert_allclose(fit.feature_effects()["effect"].to_numpy()[:5], theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())


# ---- levels that only their features describe ----------------------------------------------------------------


def new_levels(W: pd.DataFrame, seed: int = 8) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features of three new levels, columns in another order, and rows of new, old and unrecorded levels."""
    new = genotypes(W.shape[1], seed, ["n0", "n1", "n2"]).set_axis(W.columns, axis=1)
    rows = pd.DataFrame({"id": ["n1", "id3", "n0", "n1", IDS[-1]], "x": [0.4, 1.0, -1.0, 2.0, 0.3]})
    return new.iloc[:, ::-1], rows.assign(o=[0.0, 1.0, 2.0, 3.0, 4.0], g="1", w=1.0)


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("standardize", STANDARDIZE)
@pytest.mark.parametrize("m", [7, 60])
def test_new_levels_are_predicted_as_by_a_covariance_that_knows_them(m, standardize, method):
    W = genotypes(m)
    new, rows = new_levels(W)
    formula = "y ~ x + (1 + x | id:G) + (1 | g)"
    fit = fitted(formula, W, method, standardize)
    got = fit.predict(rows, features={"G": new}, new_levels="conditional", interval="prediction")
    centre = W.mean() if standardize else 0 * W.mean()
    sd = W.std(ddof=int(standardize == "sample")) if standardize in (True, "sample") else 0 * W.mean() + 1
    everyone = (pd.concat([W, new[W.columns]]) - centre) / sd
    known = mv.fit(
        formula,
        records(W),
        cov={"G": mv.Features(everyone, standardize=False)},
        weights="w",
        offset="o",
        method=method,
        fixed_varcomp=dict(zip(*components(fit), strict=True)),
    )
    want = known.predict(rows, new_levels="conditional", interval="prediction")
    assert_allclose(got, want, rtol=1e-10, atol=1e-10)
    assert_allclose(fit.predict(rows, features={"G": new}, new_levels="conditional"), want["predicted"], rtol=1e-10)


def components(fit: mv.results.PointResults) -> tuple[list[str], list[object]]:
    """Every term's Σ, to be held."""
    sigmas = fit.spec.sigmas(fit.theta)
    return ["id", "g", "residual"], [sigmas[0].tolist(), float(sigmas[1][0, 0]), float(sigmas[2][0, 0])]


def test_levels_that_the_covariance_knows_may_stand_among_the_new_ones():
    W = genotypes(7)
    fit = fitted("y ~ x + (1 | id:G)", W)
    new, rows = new_levels(W)
    both = pd.concat([new[W.columns], W.iloc[[0, 3, -1]]])
    got = fit.predict(rows, features={"G": both}, se=True)  # id25 has no records, but features
    want = fit.predict(rows, features={"G": new}, new_levels="conditional", se=True)
    assert_allclose(got, want, **OBJECTIVE)
    both.loc["id3", "snp2"] += 1
    with pytest.raises(CovarianceError, match=r"features\['G'\]: 1 levels have other features in the fit: 'id3'"):
        fit.predict(rows, features={"G": both})


def test_two_terms_of_one_covariance_share_the_new_features():
    W = genotypes(7)
    new, rows = new_levels(W)
    formula = "y ~ x + (1 | id:G) + (0 + x | id:G)"
    fit = fitted(formula, W)
    assert len(fit.spec.terms) == 2
    b = [fit.feature_effects(term.name)["effect"] for term in fit.spec.terms]
    everyone = (pd.concat([W, new[W.columns]]) - W.mean()).loc[rows["id"]]
    want = fit.predict(rows, random="none") + (everyone @ b[0]).to_numpy() + (everyone @ b[1]).to_numpy() * rows["x"]
    assert_allclose(fit.predict(rows, features={"G": new}, new_levels="conditional"), want, **OBJECTIVE)


def test_new_levels_of_two_feature_sets_need_both():
    V, W = genotypes(8, 3), genotypes(40, 4)
    data = records(W)
    data["id2"] = data["id"]
    fit = mv.fit("y ~ x + (1 | id:V) + (1 | id2:W)", data, cov={"V": mv.Features(V), "W": mv.Features(W)})
    new = {"V": genotypes(8, 5, ["n0", "n1"]), "W": genotypes(40, 6, ["n1", "n0"])}
    rows = pd.DataFrame({"id": ["n1", "n0"], "id2": ["n1", "n0"], "x": [0.0, 1.0]})
    want = fit.predict(rows, random="none")
    for term, name, known in (("id", "V", V), ("id2", "W", W)):
        want = want + ((new[name] - known.mean()) @ fit.feature_effects(term)["effect"]).loc[rows["id"]].to_numpy()
    assert_allclose(fit.predict(rows, features=new), want, **OBJECTIVE)
    with pytest.raises(DataError, match="2 levels of 'id2' had no rows in the fit"):
        fit.predict(rows, features={"V": new["V"]})
    with pytest.raises(DataError, match="2 levels of 'id' had no rows in the fit"):
        fit.predict(rows, features={"W": new["W"]})


def test_features_of_a_constant_column_are_not_needed_of_new_levels():
    W = genotypes(7)
    new, rows = new_levels(W)
    plain = fitted("y ~ x + (1 | id:G)", W).predict(rows, features={"G": new}, new_levels="zero")
    data = records(W)
    W.insert(2, "same", 1)
    with pytest.warns(CovarianceWarning, match="1 of 8 features are constant"):
        fit = mv.fit("y ~ x + (1 | id:G)", data, cov={"G": mv.Features(W)}, weights="w", offset="o")
    for given in (new, new.assign(same=5)):
        assert_allclose(fit.predict(rows, features={"G": given}, new_levels="zero"), plain, **OBJECTIVE)


def test_features_without_names_are_matched_in_order():
    W = genotypes(7)
    new, rows = new_levels(W)
    fit = fitted("y ~ x + (1 | id:G)", W)
    want = fit.predict(rows, features={"G": new}, new_levels="conditional")
    pair = (new[W.columns].to_numpy(dtype=np.int8), list(new.index))
    assert_allclose(fit.predict(rows, features={"G": pair}, new_levels="conditional"), want, **OBJECTIVE)
    with pytest.raises(CovarianceError, match=r"features\['G'\] has 6 columns, the features of the fit have 7"):
        fit.predict(rows, features={"G": (pair[0][:, :6], pair[1])})


def test_wrong_features_are_named():
    W = genotypes(7)
    new, rows = new_levels(W)
    fit = fitted("y ~ x + (1 | id:G) + (1 | g)", W)
    renamed, gap = new.rename(columns={"snp2": "rs7"}), new.astype(float)
    gap.loc["n2", "snp4"] = np.nan
    with pytest.raises(CovarianceError, match=r"1 of the fit are missing: 'snp2'; 1 were not in the fit: 'rs7'"):
        fit.predict(rows, features={"G": renamed})
    with pytest.raises(CovarianceError, match=r"features\['G'\] does not have .*: 1 were not in the fit: 'rs7'$"):
        fit.predict(rows, features={"G": new.assign(rs7=1)})
    with pytest.raises(CovarianceError, match="feature 'snp4' of level 'n2' is nan: impute"):
        fit.predict(rows, features={"G": gap})
    with pytest.raises(OptionError, match="no predicted term has the covariance 'H'; they have 'G'"):
        fit.predict(rows, features={"H": new})
    with pytest.raises(OptionError, match="no predicted term has the covariance 'G'; none has a known one"):
        fit.predict(rows, features={"G": new}, random=["g"])
    with pytest.raises(OptionError, match=r"features= is a mapping from names in cov= .*, not a DataFrame"):
        fit.predict(rows, features=new)
    with pytest.raises(OptionError, match="give newdata= too"):
        fit.predict(features={"G": new})
    with pytest.raises(
        CovarianceError, match=r"the rows of features\['G'\] are not named, only counted: use frame.set"
    ):
        fit.predict(rows, features={"G": new.reset_index(drop=True)})
    with pytest.raises(DataError, match=r"2 levels of 'id' had no rows in the fit: 'n1', 'id25'.* 1 of them is in cov"):
        fit.predict(rows, features={"G": new.loc[["n0", "n2"]]})


def test_covariances_that_are_not_features_have_no_columns():
    W = genotypes(7)
    G = mv.Features(W)
    fit = mv.fit("y ~ x + (1 | id:A) + (1 | g)", records(W), cov={"A": (G.block(), IDS)})
    with pytest.raises(OptionError, match=r"feature_effects\(\) of which term\? No term has features"):
        fit.feature_effects()
    with pytest.raises(OptionError, match="no random term is called 'kin'; no term has features"):
        fit.feature_effects("kin")
    with pytest.raises(
        OptionError, match=r"the covariance of 'id' is dense 26×26.*, not features: .*cov={'A': mixedvc"
    ):
        fit.feature_effects("id")
    new, rows = new_levels(W)
    with pytest.raises(OptionError, match="not features"):
        fit.predict(rows, features={"A": new})


def test_new_features_give_the_rows_of_the_wider_covariance():
    W = genotypes(12)
    new = genotypes(12, 9, ["a", "b", "c"])
    base = mv.Features(W)
    G = np.vstack([W, new])
    G = (G - W.to_numpy().mean(0)) / W.to_numpy().std(0)
    A = G @ G.T / 12
    related = NewFeatures(base, new)
    at, rows = np.array([2, 0]), np.array([5, 1, 7])
    assert_allclose(related.block(at, rows), A[Q + at][:, rows], **IDENTITY)
    assert_allclose(related.diagonal(at), np.diagonal(A)[Q + at], **IDENTITY)
    B = np.arange(6.0).reshape(3, 2)
    assert_allclose(related.times(at, rows, B), A[Q + at][:, rows] @ B, **IDENTITY)
    assert related.positions(np.array(["b", "id0"], dtype=object)).tolist() == [1, -1]


# ---- names, files, memory ------------------------------------------------------------------------------------


def test_a_frame_brings_its_labels_and_names():
    W = genotypes(5)
    cov = mv.Features(W)
    assert cov.labels.tolist() == IDS
    assert cov.names.tolist() == list(W.columns)
    assert_allclose(cov.block(), mv.Features(W.to_numpy(), IDS).block(), **IDENTITY)
    assert mv.Features(pd.DataFrame(W.to_numpy(), IDS)).names is None
    assert mv.Features(W.to_numpy(), IDS, names=list("abcde")).names.tolist() == list("abcde")
    with pytest.raises(CovarianceError, match="the rows of the features are not named, only counted"):
        mv.Features(W.reset_index(drop=True))
    with pytest.raises(CovarianceError, match="the features have no labels"):
        mv.Features(W.to_numpy())
    with pytest.raises(
        CovarianceError, match=r"the list of columns of the features has 1 label\(s\) more than once: 'snp0'"
    ):
        mv.Features(W.set_axis(["snp0", "snp0", "a", "b", "c"], axis=1))
    with pytest.raises(CovarianceError, match="5 columns but 2 names"):
        mv.Features(W.to_numpy(), IDS, names=["a", "b"])
    with pytest.raises(CovarianceError, match=r"not the text 'W\.csv': read a file with"):
        mv.Features("W.csv", IDS)


def test_a_saved_fit_keeps_the_names_of_its_features(tmp_path):
    W = genotypes(5).set_axis(pd.Index([10, 20, "c", 40, (1, 2)], dtype=object, tupleize_cols=False), axis=1)
    fit = fitted("y ~ x + (1 | id:G)", W)
    fit.save(tmp_path / "fit.mvc")
    again = mv.load(tmp_path / "fit.mvc")
    pd.testing.assert_frame_equal(again.feature_effects(se=True), fit.feature_effects(se=True), **IDENTITY)
    unnamed = mv.fit("y ~ x + (1 | id:G)", records(W), cov={"G": mv.Features(W.to_numpy(), IDS)})
    unnamed.save(tmp_path / "unnamed.mvc")
    assert mv.load(tmp_path / "unnamed.mvc").feature_effects().index.tolist() == [0, 1, 2, 3, 4]


def test_features_standardised_by_some_levels_have_their_moments():
    W = genotypes(6)
    W["rare"] = [0] * (Q - 1) + [1]
    cov, some = mv.Features(W), np.arange(3, 15)
    with pytest.warns(CovarianceWarning, match="1 of 7 features are constant and were dropped, at column 'rare'"):
        again = cov.standardized_by(some)
    V = W.drop(columns="rare")
    G = ((V - V.iloc[some].mean()) / V.iloc[some].std(ddof=0)).to_numpy()
    assert_allclose(again.block(), G @ G.T / 6, **OBJECTIVE)
    assert again.names.tolist() == list(W.columns)
    raw = mv.Features(W, standardize=False)
    assert raw.standardized_by(some) is raw
    with pytest.raises(CovarianceError, match="one level have no variance"):
        cov.standardized_by(some[:1])


@pytest.mark.parametrize("method", ["reml", "ml", "mm", "pxem", "he", "rehe"])
def test_moment_and_em_fits_have_effects_and_predict_new_levels_too(method):
    W = genotypes(9)
    new, rows = new_levels(W)
    fit = fitted("y ~ x + (1 | id:G)", W, method)
    b = fit.feature_effects(se=True)
    u = fit.random_effects["id"]["Intercept"]
    assert_allclose(u, ((W - W.mean()) @ b["effect"]).loc[u.index], **OBJECTIVE)
    got = fit.predict(rows, features={"G": new}, new_levels="conditional", se=True)
    everyone = (pd.concat([W, new[W.columns]]) - W.mean()).loc[rows["id"]]
    want = fit.predict(rows, random="none") + (everyone @ b["effect"]).to_numpy()
    assert_allclose(got["predicted"], want, **OBJECTIVE)
    reml = fitted("y ~ x + (1 | id:G)", W)
    ratio = got["se"] / reml.predict(rows, features={"G": new}, new_levels="conditional", se=True)["se"]
    assert ratio.between(0.7, 1.4).all()  # other variances, the same size


@pytest.mark.parametrize("method", ["reml", "mm", "pxem", "he", "rehe"])
@pytest.mark.parametrize(("q", "m"), [(1800, 12), (60, 2500)])
def test_nothing_of_the_longer_side_squared_is_ever_in_memory(q, m, method):
    """With few features no n×n matrix, with many no m×m one: fits, effects with errors, predictions of new levels."""
    rng = np.random.default_rng(5)
    W = rng.standard_normal((q, m), dtype=np.float32)
    data = {"id": np.arange(q), "y": 2 * W @ rng.standard_normal(m) / np.sqrt(m) + rng.standard_normal(q)}
    new, rows = (rng.standard_normal((4, m)), np.arange(q, q + 4)), {"id": np.arange(q, q + 4)}
    cov = mv.Features(W, np.arange(q))
    warm = mv.fit("y ~ 1 + (1 | id:G)", data, cov={"G": cov}, method=method)  # lazy imports are not counted
    warm.feature_effects(se=True)
    tracemalloc.start()
    fit = mv.fit("y ~ 1 + (1 | id:G)", data, cov={"G": cov}, method=method)
    effects = fit.feature_effects(se=True)
    predicted = fit.predict(rows, features={"G": new}, se=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(effects) == m
    assert len(predicted) == 4
    assert peak < 8 * max(q, m) ** 2 / 2
