"""Two specifications joined into one: the model by hand, what is carried over, what is refused."""

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.covariance import Dense, Identity
from mixedvc.design.joint import Joint, join
from mixedvc.errors import BindError, DroppedRowsWarning, IdentifiabilityError, OptionError
from mixedvc.testing.brute import Brute
from tests.tolerances import IDENTITY, MONTE_CARLO, OBJECTIVE, PARAMETER

N1, N2 = 44, 36
IDS = [f"p{i}" for i in range(N1 + N2)]


def kernel(seed=1, n=N1 + N2):
    rng = np.random.default_rng(seed)
    B = rng.standard_normal((n, 15))
    return pd.DataFrame(B @ B.T / 15 + 0.1 * np.eye(n), index=IDS[:n], columns=IDS[:n])


def tables(seed=2, unit=1.0):
    """Data of two samples that share genetic effects; the second in other units."""
    rng = np.random.default_rng(seed)
    b = rng.standard_normal((N1 + N2, 2)) @ np.array([[1.0, 0.6], [0.0, 0.8]])
    g = np.linalg.cholesky(kernel().to_numpy()) @ b
    order = rng.permutation(N1)
    one = pd.DataFrame({"id": IDS[:N1], "x": rng.standard_normal(N1), "w": rng.uniform(0.5, 2, N1)}).iloc[order]
    one["y"] = 1 + one["x"] + g[:N1, 0][order] + 0.7 * rng.standard_normal(N1)
    two = pd.DataFrame({"id": IDS[N1:], "home": [f"h{i % 6}" for i in range(N2)], "o": rng.standard_normal(N2)})
    two["y"] = unit * (g[N1:, 1] + rng.standard_normal(6)[np.arange(N2) % 6] + 0.9 * rng.standard_normal(N2))
    return one, two


def models(**options):
    one, two = tables(**options)
    A = Dense(kernel().to_numpy(), IDS)
    first = mv.model("y ~ x + (1 | id:A)", one, cov={"A": A}, weights="w")
    second = mv.model("y ~ 1 + (1 | id:A) + (1 | home)", two, cov={"A": A}, offset="o")
    return first, second, A


def joined(how="us", **options):
    first, second, A = models(**options)
    return join(first, second, Joint(("id", "id"), A, ("a", "b"), structure=how))


def test_the_covariance_of_the_joint_rows_is_that_of_the_model_written_out():
    one, two = tables()
    s11, s12, s22, home, e1, e2 = theta = np.array([1.3, 0.4, 0.8, 0.3, 0.5, 0.9])
    spec = joined()
    assert [spec.all_terms[w.term].name for w in spec.index] == ["id"] * 3 + ["b: home"] + ["Residual"] * 2
    A = kernel().loc[[*one["id"], *two["id"]], [*one["id"], *two["id"]]].to_numpy()
    Sigma = np.array([[s11, s12], [s12, s22]])
    sample = np.repeat([0, 1], [N1, N2])
    V = Sigma[sample][:, sample] * A
    V[N1:, N1:] += home * (two["home"].to_numpy()[:, None] == two["home"].to_numpy())
    V += np.diag(np.concatenate([e1 / one["w"], np.full(N2, e2)]))
    np.testing.assert_allclose(Brute(spec).at(theta).V, V, **IDENTITY)
    np.testing.assert_allclose(spec.X[:N1, :2], np.column_stack([np.ones(N1), one["x"]]), **IDENTITY)
    np.testing.assert_allclose(spec.X[N1:, 2], 1.0, **IDENTITY)
    assert not spec.X[:N1, 2].any() and not spec.X[N1:, :2].any()
    np.testing.assert_array_equal(spec.response, np.concatenate([one["y"], two["y"] - two["o"]]))


def test_everything_carries_the_name_of_its_sample():
    spec = joined()
    assert spec.x_names == ("a: Intercept", "a: x", "b: Intercept")
    assert spec.y_names == ("y, in two samples",)
    assert [t.group for t in spec.terms] == ["id", "b: home"]
    assert spec.residual.effects == spec.terms[0].effects == ("a", "b")
    assert spec.row_labels[0].startswith("a: ") and len(set(spec.row_labels)) == N1 + N2
    np.testing.assert_array_equal(spec.weights[N1:], 1.0)
    np.testing.assert_array_equal(spec.offset[:N1], 0.0)


def test_rows_dropped_and_notes_are_told_by_sample():
    one, two = tables()
    one.iloc[3, one.columns.get_loc("x")] = np.nan
    A = Dense(kernel().to_numpy(), IDS)
    two.iloc[[4, 9], two.columns.get_loc("o")] = np.nan
    with pytest.warns(DroppedRowsWarning, match="x 1"):
        first = mv.model("y ~ x + (1 | id:A)", one, cov={"A": A})
    with pytest.warns(DroppedRowsWarning, match="o 2"):
        second = mv.model("y ~ o + (1 | id:A)", two, cov={"A": A, "B": A})
    spec = join(first, second, Joint(("id", "id"), A, ("a", "b")))
    assert spec.dropped.n_given == N1 + N2
    assert spec.dropped.rows.tolist() == [3, N1 + 4, N1 + 9]
    assert spec.dropped.by_variable == (("a: x", 1), ("b: o", 2))
    assert any(note.startswith("b: cov= has 'B'") for note in spec.notes)
    assert not any("without records" in note for note in spec.notes)


def test_without_covariance_the_joint_fit_is_the_two_single_fits():
    first, second, _ = models()
    single = [first.fit(), second.fit()]
    fit = joined("diag").fit()
    np.testing.assert_allclose(fit.llf, single[0].llf + single[1].llf, **OBJECTIVE)
    alone = [*single[0].estimate.theta, *single[1].estimate.theta]  # id, residual; id, home, residual
    np.testing.assert_allclose(fit.estimate.theta, np.array(alone)[[0, 2, 3, 1, 4]], **PARAMETER)
    np.testing.assert_allclose(fit.params.to_numpy(), [*single[0].params, *single[1].params], **PARAMETER)


def test_without_covariance_the_samples_are_independent_groups():
    label = joined("diag").families
    assert len(np.unique(label)) == 2
    assert len(np.unique(label[:N1])) == len(np.unique(label[N1:])) == 1
    assert len(np.unique(joined("us").families)) == 1


def test_a_term_of_one_sample_links_no_rows_of_the_other():
    one, two = tables()
    A = Dense(np.kron(np.eye(20), 0.6 ** np.abs(np.subtract.outer(np.arange(4), np.arange(4)))), IDS)
    two = two.assign(pair=[f"h{i // 4}" for i in range(N2)], t=np.arange(N2) % 4 + 0.0)
    first = mv.model("y ~ 1 + (1 | id:A)", one, cov={"A": A})
    second = mv.model("y ~ 1 + (1 | id:A) + (t | pair)", two, cov={"A": A})
    label = join(first, second, Joint(("id", "id"), A, structure="diag")).families
    np.testing.assert_array_equal(np.bincount(label), np.full(20, 4))


@pytest.mark.parametrize(("unit", "more"), [(1e3, 0), (1e-7, 8)])
def test_samples_in_units_far_apart_have_the_same_fit(unit, more):
    plain = joined().fit()
    first, _, A = models()
    two = tables(unit=unit)[1].assign(o=lambda d: unit * d["o"])
    second = mv.model("y ~ 1 + (1 | id:A) + (1 | home)", two, cov={"A": A}, offset="o")
    far = join(first, second, Joint(("id", "id"), A, ("a", "b"))).fit()
    units = np.array([1.0, unit, unit**2, unit**2, 1.0, unit**2])
    np.testing.assert_allclose(far.estimate.theta / units, plain.estimate.theta, **PARAMETER)
    assert far.estimate.n_evaluations <= plain.estimate.n_evaluations + more


def test_a_level_in_both_samples_is_refused_unless_it_is_said_to_be_a_line():
    one, two = tables()
    A = Dense(kernel().to_numpy(), IDS)
    two = two.assign(id=[IDS[0], *two["id"].iloc[1:]])
    first, second = (mv.model("y ~ 1 + (1 | id:A)", t, cov={"A": A}) for t in (one, two))
    with pytest.raises(BindError, match=r"1 of 'id' are in both samples: 'p0'\. Their residuals .* leave them out"):
        join(first, second, Joint(("id", "id"), A))
    spec = join(first, second, Joint(("id", "id"), A, shared=True))
    assert spec.terms[0].q == N1 + N2 - 1
    row = int(np.flatnonzero(one["id"].to_numpy() == IDS[0])[0])
    V = Brute(spec).at(np.array([1.0, 0.5, 1.0, 0.0, 0.0])).V
    np.testing.assert_allclose(V[row, N1], 0.5 * kernel().iloc[0, 0], **IDENTITY)


def test_levels_unknown_to_the_covariance_are_named():
    first, second, _ = models()
    with pytest.raises(BindError, match=r"1 level of 'id' are not in the covariance between .*: 'p79'\. It needs the"):
        join(first, second, Joint(("id", "id"), Dense(kernel(n=79).to_numpy(), IDS[:79])))


def test_samples_that_nothing_relates_are_refused():
    first, second, _ = models()
    with pytest.raises(IdentifiabilityError, match="relates no level of 'id' in sample 1 to one of 'id' in sample 2"):
        join(first, second, Joint(("id", "id"), Identity(IDS)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": ("a", "a")}, "two different names, not 'a' and 'a'"),
        ({"terms": ("id", "house")}, "the model of y has no term called 'house': its terms are 'id', 'home'"),
    ],
)
def test_names_that_do_not_fit_are_refused(change, message):
    first, second, A = models()
    with pytest.raises(OptionError, match=message):
        join(first, second, Joint(**{"terms": ("id", "id"), "covariance": A, **change}))


def test_vector_terms_several_responses_and_joint_models_are_refused():
    _, second, A = models()
    one, _ = tables()
    slopes = mv.model("y ~ 1 + (x | id:A)", pd.concat([one, one.assign(x=2.0)]), cov={"A": A})
    with pytest.raises(OptionError, match="has 2 effects"):
        join(slopes, second, Joint(("id", "id"), A))
    both = mv.model("cbind(y, x) ~ 1 + (1 | id:A)", one, cov={"A": A})
    with pytest.raises(OptionError, match="a model of 2 responses"):
        join(both, second, Joint(("id", "id"), A))
    with pytest.raises(OptionError, match="cannot be joined again"):
        join(joined(), second, Joint(("id", "id"), A))


def test_simulated_residuals_have_the_variance_of_their_sample_over_their_weight():
    held = {"id": np.diag([1e-12, 1e-12]), "b: home": 0.0, "residual": [0.25, 9.0]}
    fit = joined().fit(fixed_varcomp=held)
    y = fit.simulate(4000, seed=3).to_numpy()
    sd = np.concatenate([0.5 / np.sqrt(tables()[0]["w"]), np.full(N2, 3.0)])
    z = (y.std(axis=1, ddof=1) / sd - 1) * np.sqrt(2 * 4000)
    assert np.abs(z).max() < MONTE_CARLO


def test_prediction_intervals_scale_and_residuals_use_the_variance_of_each_sample():
    spec = joined()
    fit = spec.fit()
    e1, e2 = fit.estimate.theta[-2:]
    confidence, prediction = (fit.predict(interval=kind) for kind in ("confidence", "prediction"))
    half = [(frame["upper"] - frame["predicted"]).to_numpy() / 1.959963984540054 for frame in (confidence, prediction)]
    variance = np.concatenate([e1 / tables()[0]["w"], np.full(N2, e2)])
    np.testing.assert_allclose(half[1] ** 2 - half[0] ** 2, variance, **OBJECTIVE)
    np.testing.assert_allclose(fit.scale, (N1 * e1 + N2 * e2) / (N1 + N2), **IDENTITY)
    hat = fit.augment(influence=True)[".hat"].to_numpy()
    P = Brute(spec).at(fit.estimate.theta).P
    np.testing.assert_allclose(hat, 1 - variance * np.diag(P), **OBJECTIVE)
    assert [t for t in fit.tidy("ran_pars")["term"] if t.startswith("sd__")][-2:] == ["sd__a", "sd__b"]
