"""Binding: terms, groups, names, responses, weights, offsets, `.` and rebinding."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

from mixedvc.design.bind import bind
from mixedvc.errors import BindError, DataError, FormulaError, OptionError
from mixedvc.io.datasets import load_data
from tests.tolerances import IDENTITY


def table(n: int = 48) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "y": rng.standard_normal(n),
            "y2": rng.standard_normal(n),
            "x": rng.standard_normal(n),
            "f": rng.choice(["a", "b", "c"], n),
            "g": np.repeat(np.arange(n // 6), 6),
            "s": np.tile(["u", "v", "w"], n // 3),
            "o": rng.standard_normal(n),
            "w": rng.uniform(1, 2, n),
        }
    )


def kinship(ids, seed: int = 5) -> pd.DataFrame:
    W = np.random.default_rng(seed).standard_normal((len(ids), 3 * len(ids)))
    return pd.DataFrame(W @ W.T / W.shape[1], ids, ids)


def test_sleepstudy_binds_to_the_arrays_of_the_textbook():
    data = load_data("sleepstudy")
    spec = bind("Reaction ~ Days + (Days | Subject)", data)
    term = spec.terms[0]
    assert (spec.n, spec.p, term.q, term.k) == (180, 2, 18, 2)
    assert (term.name, term.label, term.text, term.effects) == (
        "Subject",
        "Subject",
        "(1 + Days | Subject)",
        ("Intercept", "Days"),
    )
    np.testing.assert_array_equal(term.basis, spec.X)
    assert [str(v) for v in term.levels[term.codes]] == [str(v) for v in data["Subject"]]
    assert spec.residual.basis.shape == (180, 1)
    assert [(w.term, w.a, w.b) for w in spec.index] == [(0, 0, 0), (0, 0, 1), (0, 1, 1), (1, 0, 0)]


def test_interactions_join_levels_in_rs_order_and_drop_empty_ones():
    data = table()
    data = data[~((data["g"] == 10) | ((data["g"] == 2) & (data["s"] == "v")))]
    term = bind("y ~ x + (1 | g:s)", data).terms[0]
    assert term.group == "g:s"
    assert term.levels[:5].tolist() == ["0:u", "0:v", "0:w", "1:u", "1:v"]
    assert "2:v" not in term.levels.tolist()
    rows = [f"{g}:{s}" for g, s in zip(data["g"], data["s"], strict=True)]
    assert term.levels[term.codes].tolist() == rows


def test_integer_groups_sort_as_numbers_in_interactions_too():
    data = table(72)
    term = bind("y ~ x + (1 | g:s)", data).terms[0]
    assert term.levels[[0, 6, -1]].tolist() == ["0:u", "2:u", "11:w"]


def test_three_groups_cross():
    data = table(96)
    data["h"] = np.where(np.arange(96) % 12 < 6, "p", "q")
    term = bind("y ~ x + (1 | g:h:s)", data).terms[0]
    want = [f"{g}:{h}:{s}" for g, h, s in zip(data["g"], data["h"], data["s"], strict=True)]
    assert term.levels[term.codes].tolist() == want


def test_nesting_gives_two_terms():
    spec = bind("y ~ x + (1 | g/s)", table())
    assert [(t.name, t.q) for t in spec.terms] == [("g", 8), ("g:s", 24)]


def test_factor_effects_are_unstructured_and_coded_as_in_the_fixed_part():
    spec = bind("y ~ f + (0 + s | g)", table())
    term = spec.terms[0]
    assert (term.effects, term.structure.name, term.structure.n_par) == (("s[u]", "s[v]", "s[w]"), "us", 6)
    np.testing.assert_array_equal(term.basis, np.eye(3)[np.tile([0, 1, 2], 16)])


def test_double_bars_are_diagonal_and_a_factor_under_them_gets_a_note():
    spec = bind("y ~ x + (x || g)", table())
    assert (spec.terms[0].structure.name, spec.terms[0].effects) == ("diag", ("Intercept", "x"))
    assert spec.notes == ()
    note = bind("y ~ x + (0 + s || g)", table()).notes
    assert "independent effects here (lme4's || correlates them)" in note[0]


def test_wrappers_reach_their_structure():
    spec = bind("y ~ x + cs(0 + s | g, hom=True)", table())
    assert (spec.terms[0].structure.name, spec.terms[0].structure.n_par) == ("cs", 2)


def test_names_of_terms_are_unique_and_say_the_covariance_where_needed():
    data = table(48).assign(id=np.repeat([f"i{j}" for j in range(16)], 3))
    A = kinship([f"i{j}" for j in range(16)])
    one = bind("y ~ (1 | id:A)", data, cov={"A": A})
    assert (one.terms[0].name, one.terms[0].label, one.terms[0].cov_name) == ("id", "id (cov A)", "A")
    two = bind("y ~ (1 | id:A) + (1 | id)", data, cov={"A": A})
    assert [t.name for t in two.terms] == ["id:A", "id"]
    assert [t.label for t in two.terms] == ["id (cov A)", "id"]
    split = bind("y ~ x + (1 | g) + (0 + x | g)", data)
    assert [t.name for t in split.terms] == ["g", "g.1"]


def test_levels_meet_labels_by_name_in_any_order():
    data = table(48).assign(id=np.repeat([f"i{j}" for j in range(16)], 3))
    A = kinship([f"i{j}" for j in range(16)])
    shuffled = A.sample(frac=1, random_state=2)
    shuffled = shuffled[shuffled.index]
    for cov in (A, shuffled, (shuffled.to_numpy(), list(shuffled.index))):
        term = bind("y ~ (1 | id:A)", data, cov={"A": cov}).terms[0]
        levels = list(term.levels)
        np.testing.assert_allclose(term.covariance.block(term.positions), A.loc[levels, levels].to_numpy(), **IDENTITY)


def test_one_level_per_row_goes_by_the_index():
    data = table(48).set_index(pd.Index([f"r{i}" for i in range(48)]))
    A = kinship([f"r{i}" for i in range(47, -1, -1)])
    data.loc["r5", "y"] = np.nan
    with pytest.warns(UserWarning, match="y 1"):
        term = bind("y ~ (1 | gr(rows, cov=A))", data, cov={"A": A}).terms[0]
    assert term.levels.tolist() == [f"r{i}" for i in range(48) if i != 5]
    assert term.covariance.labels[term.positions].tolist() == term.levels.tolist()
    twice = data.set_index(pd.Index(["r0", "r0", *data.index[2:]]))
    with pytest.raises(BindError, match="one level per row needs unique row labels; these stand twice: 'r0'"):
        bind("x ~ (1 | gr(rows, cov=A))", twice, cov={"A": A})


def test_an_unused_covariance_is_noted():
    data = table()
    spec = bind("y ~ x + (1 | g)", data, cov={"A": kinship(list(range(8)))})
    assert spec.notes == ("cov= has 'A', which the formula does not use.",)


def test_cbind_gives_several_responses():
    data = table()
    spec = bind("cbind(y, log(w)) ~ x + (1 | g)", data)
    assert (spec.y.shape, spec.y_names, spec.traits.t) == ((96,), ("y", "log(w)"), 2)
    np.testing.assert_allclose(spec.traits.table(spec.y), np.column_stack([data["y"], np.log(data["w"])]), **IDENTITY)
    assert spec.x_names == ("y: Intercept", "y: x", "log(w): Intercept", "log(w): x")


def test_responses_are_matrices_by_name_and_frames_go_by_index():
    data = table()
    Y = pd.DataFrame(np.random.default_rng(1).standard_normal((48, 3)), data.index, ["a", "b", "c"])
    spec = bind("Y ~ x", data, responses={"Y": Y.sample(frac=1, random_state=3)})
    assert spec.y_names == ("a", "b", "c")
    np.testing.assert_array_equal(spec.traits.table(spec.y), Y.to_numpy())
    assert bind("Y ~ x", data, responses={"Y": Y.to_numpy()}).y_names == ("Y[1]", "Y[2]", "Y[3]")
    assert bind("Y ~ x", data, responses={"Y": Y["a"].to_numpy()}).y.shape == (48,)
    Y.iloc[4, 1] = np.nan
    spec = bind("Y ~ x", data, responses={"Y": Y})  # a missing cell, not a missing record
    assert (spec.n, spec.traits.n, spec.dropped.count) == (143, 48, 0)
    assert np.isnan(spec.traits.table(spec.y)[4, 1])
    Y.iloc[4] = np.nan
    with pytest.warns(UserWarning, match="1 of 48 rows left out: no response is observed in it"):
        assert bind("Y ~ x", data, responses={"Y": Y}).n == 141
    with pytest.raises(DataError, match=r"responses\['Y'\] has shape \(47, 3\); the data have 48 rows"):
        bind("Y ~ x", data, responses={"Y": Y.to_numpy()[:47]})
    with pytest.raises(OptionError, match="responses= is a dictionary"):
        bind("Y ~ x", data, responses=Y)


def test_offsets_of_the_formula_and_the_option_add_up():
    data = table()
    spec = bind("y ~ x + offset(o) + offset(log(w))", data, offset=np.arange(48.0))
    np.testing.assert_allclose(spec.offset, data["o"] + np.log(data["w"]) + np.arange(48), **IDENTITY)
    np.testing.assert_allclose(spec.response, data["y"] - spec.offset, **IDENTITY)


def test_weights_scale_the_residual():
    data = table()
    spec = bind("y ~ x + (1 | g)", data, weights="w")
    np.testing.assert_allclose(spec.residual.basis[:, 0] ** 2 * data["w"], np.ones(48), **IDENTITY)


def test_a_dot_is_every_other_column():
    data = table()[["y", "x", "f", "g", "w"]]
    spec = bind("y ~ . + (1 | g)", data, weights="w")
    assert spec.x_names == ("Intercept", "x", "f[T.b]", "f[T.c]")
    assert spec.source.rebind().x_names == spec.x_names
    spec = bind("y ~ . - f", data)
    assert spec.x_names == ("Intercept", "x", "g", "w")
    assert spec.source.rebind().x_names == spec.x_names


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ poly(x, 2) * f + (x | g)",
        "y ~ ns(x, 3) + offset(o) + (1 | g/s)",
        "y ~ . - id + (1 | g)",
        "cbind(y, y2) ~ x + (0 + s || g)",
        "Y ~ scale(x) + (1 | id:A)",
    ],
)
def test_binding_again_gives_the_same_specification(formula):
    data = table().assign(id=np.repeat([f"i{j}" for j in range(16)], 3))
    data.loc[[1, 5], "x"] = np.nan
    options = {"cov": {"A": kinship([f"i{j}" for j in range(16)])}, "weights": "w", "contrasts": {"f": "sum"}}
    if "f" not in formula.replace("offset", "") and "." not in formula:
        del options["contrasts"]
    if "offset" in formula:
        options.pop("contrasts", None)
    if formula.startswith("Y"):
        options["responses"] = {"Y": np.random.default_rng(2).standard_normal((48, 2))}
    with pytest.warns(UserWarning, match="2 of 48 rows"):
        spec = bind(formula, data, **options)
    with pytest.warns(UserWarning, match="2 of 48 rows"):
        again = spec.source.rebind()
    for name in ("y", "X", "weights", "offset"):
        np.testing.assert_array_equal(getattr(again, name), getattr(spec, name))
    assert (again.x_names, again.y_names) == (spec.x_names, spec.y_names)
    for old, new in zip(spec.all_terms, again.all_terms, strict=True):
        assert (old.name, old.label, old.text, old.effects) == (new.name, new.label, new.text, new.effects)
        np.testing.assert_array_equal(old.codes, new.codes)
        np.testing.assert_array_equal(old.basis, new.basis)
        np.testing.assert_array_equal(old.positions, new.positions)


def test_options_are_checked():
    data = table()
    with pytest.raises(FormulaError, match="a covariance among several responses, and there is one, y; write"):
        bind("y ~ x", data, residual="ar1")
    with pytest.raises(OptionError, match="residual= is text such as"):
        bind("y ~ x", data, residual=("ar1", "g"))
    assert bind("y ~ x", data, residual="us").residual.structure.name == "us"
    with pytest.raises(OptionError, match=r"contrasts\['h'\]: no factor of the formula has this name"):
        bind("y ~ f", data, contrasts={"h": "sum"})
    with pytest.raises(OptionError, match=r"contrasts\['x'\]: 'x' is numeric; write factor\(x\)"):
        bind("y ~ f + x", data, contrasts={"x": "sum"})
    with pytest.raises(OptionError, match="no contrast is called 'summ'"):
        bind("y ~ f", data, contrasts={"f": "summ"})
    with pytest.raises(OptionError, match="contrasts='sum': a dictionary is needed"):
        bind("y ~ f", data, contrasts="sum")
    with pytest.raises(BindError, match=r"contrast matrix of 'f' has shape \(2, 1\); the factor has 3 levels"):
        bind("y ~ f", data, contrasts={"f": [[1], [-1]]})
    with pytest.raises(OptionError, match="cov= is a dictionary"):
        bind("y ~ f", data, cov=[1])
    with pytest.raises(OptionError, match="the formula is text"):
        bind(3, data)


def test_transforms_refuse_arguments_outside_their_domain():
    data = table()
    for formula, words in {
        "y ~ poly(x, 0)": "the degree is a whole number, at least 1",
        "y ~ poly(g, 8)": "less than the number of distinct values",
        "y ~ bs(x, df=2)": "df is at least 3",
        "y ~ ns(x, knots=99)": "inner knots must lie between",
        "y ~ scale(one)": "without variation",
        "y ~ log(f)": "computes with a factor",
        "y ~ I(f + 1)": "computes with a factor",
        "y ~ I(f > 'a')": "only == and != are defined",
        "y ~ C(f, contr.treatment(base='z'))": "base='z' is no level of",
        "y ~ offset(f)": "the offset 'f' is a factor",
        "f ~ x": "the response 'f' is text",
    }.items():
        with pytest.raises((BindError, DataError), match=words):
            bind(formula, data.assign(one=1.0))


def test_sleepstudy_binds_in_a_few_milliseconds():
    data = load_data("sleepstudy")
    times = []
    for _ in range(30):
        start = time.process_time()
        bind("Reaction ~ Days + (Days | Subject)", data)
        times.append(time.process_time() - start)
    assert min(times) < 0.01  # processor time, whatever else runs: 1.3 ms on a quiet machine
