"""Several responses: stacked columns against single responses and by hand, terms, missing cells, new rows."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedvc.design import identify
from mixedvc.design.bind import bind, bind_request
from mixedvc.errors import (
    BindError,
    DataError,
    DroppedRowsWarning,
    FormulaError,
    IdentifiabilityError,
    IdentifiabilityWarning,
    OptionError,
    RankWarning,
    StructureError,
)
from mixedvc.testing import assemble
from tests.tolerances import IDENTITY, OBJECTIVE


def table(n=48, missing=True):
    """Four responses, three of them with cells missing, covariates, factors and groups."""
    rng = np.random.default_rng(3)
    g = np.arange(n) % 8
    data = pd.DataFrame(
        {
            "x": rng.standard_normal(n),
            "z": rng.uniform(1, 2, n),
            "f": np.array(["a", "b", "c"])[np.arange(n) % 3],
            "h": np.array(["u", "v"])[(np.arange(n) // 3) % 2],
            "g": [f"g{i}" for i in g],
            "w": rng.uniform(0.5, 2, n),
        },
        index=[f"r{i}" for i in range(n)],
    )
    shared = rng.standard_normal((8, 4))[g] + 0.5 * rng.standard_normal((n, 1))
    Y = shared + rng.standard_normal((n, 4))
    if missing:
        Y[3:9, 0], Y[12:14, 1], Y[5, 2] = np.nan, np.nan, np.nan
    for a in range(4):
        data[f"y{a + 1}"] = Y[:, a]
    return data


def by_hand(data, names, fixed, own, shared):
    """{column name: {(record, trait): value}} from bindings of single responses, all of whose columns R checks."""
    full = data.assign(**{name: np.random.default_rng(9).standard_normal(len(data)) for name in names})
    out = {}

    def columns(text):
        spec = bind(f"{names[0]} ~ {text}", full)
        return dict(zip(spec.x_names, spec.X.T, strict=True))

    for a, name in enumerate(names):
        for label, column in columns(" + ".join([fixed, *own.get(name, ())])).items():
            out[f"{name}: {label}"] = {(i, a): column[i] for i in range(len(data))}
    if shared:
        every = columns(fixed) if fixed != "0" else {}
        for label, column in columns(f"{fixed} + {shared}").items():
            if label not in every:
                out[label] = {(i, a): column[i] for i in range(len(data)) for a in range(len(names))}
    return out


FIXED = st.sampled_from(["1", "0", "x", "0 + x", "f", "0 + f", "x*f", "f + h", "0 + f:h", "poly(z, 2)", "0 + h + x:h"])
SHARED = st.sampled_from(["", "log(z)", "w", "w:z", "w + log(z)", "w:x"])
OWN = st.sampled_from(["sqrt(z)", "w:x", "x:z", "x:f + x", "h"])


@settings(max_examples=30, deadline=None)
@given(FIXED, SHARED, st.dictionaries(st.sampled_from(["y1", "y2", "y3"]), OWN, max_size=2))
def test_stacked_columns_are_those_of_each_response_alone(fixed, shared, own):
    data, names = table(), ["y1", "y2", "y3"]
    parts = [fixed, *([f"common({shared})"] if shared else []), *(f"at({name}, {text})" for name, text in own.items())]
    if fixed == "0" and not shared and len(own) < 3:
        return  # a response without any fixed effect is fine, all of them leave nothing to compare
    try:
        spec = bind(f"cbind(y1, y2, y3) ~ {' + '.join(parts)}", data, rank="error")
    except BindError as error:
        assert re.search("rank|no residual", str(error))  # the words of a design that is not of full rank
        return
    want = by_hand(data, names, fixed, {name: [text] for name, text in own.items()}, shared)
    assert list(spec.x_names) == list(want)
    Y = data[names].to_numpy()
    cells = [(i, a) for i in range(len(data)) for a in range(3) if not np.isnan(Y[i, a])]
    assert list(zip(spec.traits.record.tolist(), spec.traits.trait.tolist(), strict=True)) == cells
    np.testing.assert_array_equal(spec.y, [Y[cell] for cell in cells])
    for name, column in zip(spec.x_names, spec.X.T, strict=True):
        np.testing.assert_allclose(column, [want[name].get(cell, 0.0) for cell in cells], **IDENTITY)
    of = [names.index(name.partition(":")[0]) if name.partition(":")[0] in names else -1 for name in spec.x_names]
    np.testing.assert_array_equal(spec.traits.columns, of)


def covariance(spec, sigmas):
    """V by a loop over pairs of rows: Cov = z_iᵀ Σ z_j where levels meet."""
    V = np.zeros((spec.n, spec.n))
    for term, Sigma in zip(spec.all_terms, sigmas, strict=True):
        A = np.asarray(term.covariance.block(term.positions, term.positions))
        V += A[np.ix_(term.codes, term.codes)] * (term.basis @ Sigma @ term.basis.T)
    return V


def test_the_covariance_of_cells_is_that_of_the_model_written_out():
    """Cov(y_ia, y_jb) = A[g_i, g_j] (1, x_i) Σ_ab (1, x_j)ᵀ + 1[i = j] R_ab / w_i."""
    data, rng = table(), np.random.default_rng(4)
    A = rng.standard_normal((8, 20))
    A = pd.DataFrame(A @ A.T / 20, *[[f"g{i}" for i in range(8)]] * 2)
    spec = bind("cbind(y1, y2, y3) ~ 1 + (1 + x | gr(g, cov=A))", data, cov={"A": A}, weights="w")
    S, R = (B @ B.T for B in (rng.standard_normal((6, 6)), rng.standard_normal((3, 3))))
    V = covariance(spec, [S, R])
    x, w, g = (data[name].to_numpy() for name in ("x", "w", "g"))

    def written_out(row, other):
        (i, a), (j, b) = ((spec.traits.record[r], spec.traits.trait[r]) for r in (row, other))
        block = S[2 * a : 2 * a + 2, 2 * b : 2 * b + 2]
        genetic = A.loc[g[i], g[j]] * (np.array([1.0, x[i]]) @ block @ np.array([1.0, x[j]]))
        return genetic + (i == j) * R[a, b] / np.sqrt(w[i] * w[j])

    some = range(0, spec.n, 7)
    want = [[written_out(row, other) for other in range(spec.n)] for row in some]
    np.testing.assert_allclose(V[some], want, **OBJECTIVE)
    assert spec.terms[0].effects == ("y1: Intercept", "y1: x", "y2: Intercept", "y2: x", "y3: Intercept", "y3: x")


@pytest.mark.parametrize(
    ("bar", "found"),
    [
        ("(1 | g)", [("g", "(1 | g)", ("y1", "y2"), "us")]),
        ("diag(1 | g)", [("g", "diag(1 | g)", ("y1", "y2"), "diag")]),
        ("us(1 | g, traits='diag')", [("g", "us(1 | g, traits='diag')", ("y1", "y2"), "diag")]),
        ("cs(1 | g)", [("g", "cs(1 | g)", ("y1", "y2"), "cs")]),
        ("rr(1 | g, 1)", [("g", "rr(1 | g, factors=1)", ("y1", "y2"), "rr")]),
        ("diag(1 + x | g)", [("g", "diag(1 + x | g)", ("y1: Intercept", "y1: x", "y2: Intercept", "y2: x"), "diag")]),
        ("(1 + x || g)", [("g", "(1 | g)", ("y1", "y2"), "us"), ("g.1", "(0 + x | g)", ("y1: x", "y2: x"), "us")]),
        (
            "(0 + h || g)",
            [
                ("g", "(0 + h || g)", ("y1: h[u]", "y2: h[u]"), "us"),
                ("g.1", "(0 + h || g)", ("y1: h[v]", "y2: h[v]"), "us"),
            ],
        ),
        (
            "us(1 + x | g, traits='diag')",
            [
                ("g: y1", "us(1 + x | g, traits='diag')", ("y1: Intercept", "y1: x"), "us"),
                ("g: y2", "us(1 + x | g, traits='diag')", ("y2: Intercept", "y2: x"), "us"),
            ],
        ),
        (
            "(1 | h:f) + (1 + x || g)",
            [
                ("h:f", "(1 | gr(h:f))", ("y1", "y2"), "us"),
                ("g", "(1 | g)", ("y1", "y2"), "us"),
                ("g.1", "(0 + x | g)", ("y1: x", "y2: x"), "us"),
            ],
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::mixedvc.errors.IdentifiabilityWarning")
def test_bars_make_these_terms(bar, found):
    data = table()
    spec = bind(f"cbind(y1, y2) ~ 1 + {bar}", data)
    named = [(t.name, t.text.replace("(1 | h:f)", "(1 | gr(h:f))"), t.effects, t.structure.name) for t in spec.terms]
    assert named == found
    assert [part.name for part in spec.source.parts] == [t.name for t in spec.terms]
    x, of = data["x"].to_numpy()[spec.traits.record], spec.traits.trait
    for term in spec.terms:
        for effect, column in zip(term.effects, term.basis.T, strict=True):
            trait, _, rest = effect.partition(": ")
            value = x if rest == "x" else 1.0
            if rest.startswith("h["):
                value = (data["h"] == rest[2]).to_numpy()[spec.traits.record].astype(float)
            np.testing.assert_array_equal(column, np.where(of == ("y1", "y2").index(trait), value, 0.0))


@pytest.mark.filterwarnings("ignore::mixedvc.errors.BoundaryWarning")
def test_independent_traits_are_single_fits():
    data = table(missing=False)
    both = bind("cbind(y1, y2) ~ x + diag(1 | g)", data, residual="diag", weights="w").fit()
    alone = [bind(f"{y} ~ x + (1 | g)", data, weights="w").fit() for y in ("y1", "y2")]
    np.testing.assert_allclose(both.llf, sum(fit.llf for fit in alone), **OBJECTIVE)
    part = bind("cbind(y1, y2) ~ 1 + us(1 + x | g, traits='diag')", data, residual="diag").fit()
    alone = [bind(f"{y} ~ 1 + (1 + x | g)", data).fit() for y in ("y1", "y2")]
    np.testing.assert_allclose(part.llf, sum(fit.llf for fit in alone), **OBJECTIVE)


def test_double_bars_are_the_terms_written_out():
    data = table()
    short = bind("cbind(y1, y2) ~ x + (1 + x || g)", data)
    long = bind("cbind(y1, y2) ~ x + (1 | g) + (0 + x | g)", data)
    for a, b in zip(short.all_terms, long.all_terms, strict=True):
        assert (a.name, a.text, a.label, a.effects, a.structure) == (b.name, b.text, b.label, b.effects, b.structure)
        np.testing.assert_array_equal(a.basis, b.basis)


def test_a_matrix_of_responses_is_cbind_of_its_columns():
    data = table()
    named = bind("cbind(y1, y2) ~ x + at(y2, z) + (1 + x || g)", data)
    matrix = bind("Y ~ x + at(y2, z) + (1 + x || g)", data, responses={"Y": data[["y1", "y2"]]})
    assert (matrix.x_names, matrix.y_names) == (named.x_names, named.y_names)
    assert [t.text for t in matrix.all_terms] == [t.text for t in named.all_terms]
    for attribute in ("y", "X"):
        np.testing.assert_array_equal(getattr(matrix, attribute), getattr(named, attribute))
    unnamed = bind("Y ~ x + at('Y[2]', z)", data, responses={"Y": data[["y1", "y2"]].to_numpy()})
    assert unnamed.x_names[-1] == "Y[2]: z"
    quoted = bind("cbind(`y 1`, y2) ~ at(`y 1`, x) + at('y2', z)", data.rename(columns={"y1": "y 1"}))
    assert quoted.x_names == ("y 1: Intercept", "y 1: x", "y2: Intercept", "y2: z")
    assert quoted.y_names == quoted.traits.names == ("y 1", "y2")  # columns by their own names, without back-quotes
    positive = data.assign(y1=np.exp(data["y1"]))
    assert bind("cbind(log(y1), y2) ~ at(log(y1), x)", positive).x_names[1] == "log(y1): x"


def test_offsets_weights_contrasts_and_dots_are_of_records():
    data = table()
    spec = bind("cbind(y1, y2) ~ . + common(z) + offset(w)", data[["y1", "y2", "x", "f", "z", "w"]], weights="z")
    assert spec.x_names[:4] == ("y1: Intercept", "y1: x", "y1: f[T.b]", "y1: f[T.c]")
    assert spec.x_names[-1] == "z"
    np.testing.assert_array_equal(spec.offset, data["w"].to_numpy()[spec.traits.record])
    np.testing.assert_array_equal(spec.weights, data["z"].to_numpy()[spec.traits.record])
    np.testing.assert_allclose(spec.residual.basis.sum(axis=1), spec.weights**-0.5, **IDENTITY)
    coded = bind("cbind(y1, y2) ~ f + at(y1, h)", data, contrasts={"f": "sum", "h": "helmert"})
    names = ["Intercept", "f[S.a]", "f[S.b]"]
    assert coded.x_names == (*(f"y1: {name}" for name in [*names, "h[H.v]"]), *(f"y2: {name}" for name in names))
    with pytest.raises(OptionError, match=r"contrasts\['x'\]: 'x' is numeric"):
        bind("cbind(y1, y2) ~ f + at(y1, x)", data, contrasts={"x": "sum"})


def test_columns_that_a_response_cannot_tell_are_dropped_by_name():
    data = table()
    data.loc[data["f"] == "c", "y1"] = np.nan
    with pytest.warns(RankWarning, match=r"'y1: f\[T.c\]' is zero in every row"):
        spec = bind("cbind(y1, y2) ~ f + common(x)", data)
    assert spec.aliased == ("y1: f[T.c]",)
    assert len(spec.traits.columns) == spec.p == 6
    np.testing.assert_array_equal(spec.traits.columns, [0, 0, 1, 1, 1, -1])
    with pytest.warns(RankWarning, match="'x' is a linear combination of 'y1: x', 'y2: x'"):
        bind("cbind(y1, y2) ~ at(y1, x) + at(y2, x) + common(x)", table())


# ---- missing cells -----------------------------------------------------------------------------------------------


def test_a_record_stays_as_long_as_it_has_a_response():
    data = table()
    data.loc["r5", ["y1", "y2", "y3"]] = np.nan
    data.loc["r40", "x"] = np.nan
    with pytest.warns(DroppedRowsWarning, match="2 of 48 rows left out for missing values: x 1, all responses 1"):
        spec = bind("cbind(y1, y2, y3) ~ x", data)
    assert (spec.traits.n, spec.n) == (46, 46 * 3 - 7)
    assert spec.dropped.rows.tolist() == [5, 40]
    assert spec.notes == ("7 of 138 cells are missing (y1 5, y2 2); a record stays as long as it has one response.",)
    assert spec.row_labels[:2].tolist() == ["r0, y1", "r0, y2"]
    assert spec.traits.labels.tolist() == [f"r{i}" for i in range(48) if i not in (5, 40)]
    want = data.drop(index=["r5", "r40"])[["y1", "y2", "y3"]].to_numpy()
    np.testing.assert_array_equal(spec.traits.table(spec.y), want)
    only = data.drop(index=["r40"])
    with pytest.warns(DroppedRowsWarning, match="1 of 47 rows left out: no response is observed in it"):
        bind("cbind(y1, y2, y3) ~ x", only)
    assert bind("cbind(y1, y4) ~ 1", table().assign(y1=lambda d: d["y1"].fillna(0.0))).notes == ()


def test_missing_cells_fail_where_nothing_may_be_missing():
    data = table()
    with pytest.raises(DataError, match="missing=\"fail\" and values are missing: y1 6, y2 2; rows 'r3'"):
        bind("cbind(y1, y2) ~ x", data, missing="fail")
    with pytest.raises(DataError, match=r"values are missing: Y\[1\] 6"):
        bind("Y ~ x", data, responses={"Y": data[["y1", "y4"]].to_numpy()}, missing="fail")
    assert bind("cbind(y1, y2) ~ x", data, missing="exclude").missing == "exclude"


def test_a_cell_that_a_transform_loses_is_an_error_and_not_missing():
    data = table()
    with pytest.raises(
        DataError, match=r"log\(y1\) is nan in row 'r\d+' \(and in \d+ more rows\) \(computed from y1\)"
    ):
        bind("cbind(log(y1), y2) ~ x", data)
    data["y1"] = data["y1"].abs()
    spec = bind("cbind(log(y1), y2) ~ x", data)
    assert spec.notes[0].startswith("8 of 96 cells are missing (log(y1) 6, y2 2)")
    data.loc["r20", "y2"] = np.inf
    with pytest.raises(DataError, match="y2 is inf in row 'r20'"):
        bind("cbind(log(y1), y2) ~ x", data)
    with pytest.raises(DataError, match=r"Y\[2\] is inf in row 'r20'"):
        bind("Y ~ x", data, responses={"Y": data[["y1", "y2"]].to_numpy()})


def test_explain_reads_well():
    data = table()
    said = bind("cbind(y1, y2, y3) ~ x + common(z) + at(c(y1, y3), f) + fa(1 | g)", data, residual="diag", weights="w")
    assert said.explain().splitlines() == [
        "Formula: cbind(y1, y2, y3) ~ x + common(z) + at(c(y1, y3), f) + fa(1 | g)",
        "Responses (3): y1, y2, y3",
        "Fixed effects (11):",
        "  of each response: Intercept, x",
        "  of y1 and y3: f[T.b], f[T.c]",
        "  one for all responses: z",
        "  f: factor with levels a, b, c, by contrasts",
        "Random term 'g': fa(1 | g)",
        "  effects: y1, y2, y3; structure fa (6 parameters)",
        "  levels: 8 of 'g' in the data, independent",
        "Residual: independent among responses, a variance for each / w",
        "Records: 48",
        "Cells: 135 of 144",
        "Note: 9 of 144 cells are missing (y1 6, y2 2, y3 1); a record stays as long as it has one response.",
    ]
    plain = bind("cbind(y1, y2) ~ 1", table(missing=False)).explain()
    assert "Residual: any covariance among the responses of a record (3 parameters)\nRecords: 48" in plain
    assert plain.endswith("Cells: 96, none missing")
    other = bind("cbind(y1, y2, y3) ~ 1", data, residual="fa(1)").explain()
    assert "Residual: fa(factors=1) covariance among the responses of a record (6 parameters)" in other


# ---- new rows, binding again ---------------------------------------------------------------------------------------

MODELS = [
    "cbind(y1, y2, y3) ~ x*f + common(scale(z)) + at(c(y1, y3), h) + at(y2, z:x) + (1 + x | g)",
    "cbind(y1, y2) ~ 0 + f + poly(z, 2) + (1 + x || g) + offset(w)",
    "cbind(y1, y2, y3) ~ common(x) + us(1 + x | g, traits='diag') + diag(1 | h:f)",
]


@pytest.mark.parametrize("formula", MODELS)
@pytest.mark.filterwarnings("ignore::mixedvc.errors.IdentifiabilityWarning")
def test_new_rows_are_coded_as_the_cells_of_the_fit(formula):
    data = table()
    spec = bind(formula, data, weights="w")
    found = spec.source.new_rows(data.drop(columns=["y1", "y2", "y3", "y4"]), residual=True)
    t = spec.traits.t
    at = spec.traits.record * t + spec.traits.trait
    np.testing.assert_array_equal(found.X[at], spec.X)
    np.testing.assert_array_equal(found.traits.record, np.repeat(np.arange(48), t))
    np.testing.assert_array_equal(found.traits.trait, np.tile(np.arange(t), 48))
    np.testing.assert_array_equal(found.traits.columns, spec.traits.columns)
    np.testing.assert_array_equal(found.residual[at], spec.traits.trait)
    np.testing.assert_array_equal(found.weights[at], spec.weights)
    if spec.offset is not None:
        np.testing.assert_array_equal(found.offset[at], spec.offset)
    assert found.labels.tolist() == data.index.tolist()
    for term, rows in zip(spec.terms, found.rows, strict=True):
        assert rows.name == term.name
        assert rows.levels[at].tolist() == term.levels[term.codes].tolist()
        np.testing.assert_array_equal(rows.basis[at], term.basis)
    some = spec.source.new_rows(data.iloc[:2], terms=[spec.terms[-1].name])
    np.testing.assert_array_equal(some.rows[0].basis, found.rows[-1].basis[: 2 * t])
    assert some.residual is None


def test_new_rows_need_no_responses_and_say_what_they_need():
    data = table()
    source = bind("cbind(y1, y2) ~ x + common(z) + at(y2, h) + (1 | g) + offset(w)", data).source
    new = data.iloc[:3].drop(columns=["y1", "y2"])
    with pytest.raises(BindError, match="3 columns are needed to predict and not in the new data: 'h', 'z', 'w'"):
        source.new_rows(new[["x", "g"]])
    assert source.new_rows(new.drop(columns=["w", "g"]), terms=False, offset=False).offset is None
    with pytest.raises(DataError, match=r"h has 1 level\(s\) that the fit did not see: 'new'"):
        source.new_rows(new.assign(h="new"))
    holes = source.new_rows(new.assign(z=[1.0, np.nan, 2.0], g=["g0", None, "g1"]))
    assert np.isnan(holes.X).any(axis=1).tolist() == [False, False, True, True, False, False]
    assert holes.rows[0].levels.tolist() == ["g0", "g0", None, None, "g1", "g1"]
    with pytest.raises(DataError, match=r"z is inf in row 'r1' "):
        source.new_rows(new.assign(z=[1.0, np.inf, 2.0]))


@pytest.mark.parametrize("formula", MODELS)
@pytest.mark.filterwarnings("ignore::mixedvc.errors.IdentifiabilityWarning")
def test_a_specification_binds_again(formula):
    spec = bind(formula, table(), residual="fa(1)" if "y3" in formula else "diag")
    again = bind_request(spec.source.request)
    for attribute in ("y", "X", "offset"):
        np.testing.assert_array_equal(getattr(again, attribute), getattr(spec, attribute))
    assert (again.x_names, again.y_names, again.notes) == (spec.x_names, spec.y_names, spec.notes)
    for a, b in zip(again.all_terms, spec.all_terms, strict=True):
        assert (a.name, a.text, a.effects, a.structure) == (b.name, b.text, b.effects, b.structure)
        np.testing.assert_array_equal(a.basis, b.basis)
    np.testing.assert_array_equal(again.traits.record, spec.traits.record)


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "words", "formula", "options"),
    [
        (FormulaError, "there is one, y1: write x alone", "y1 ~ common(x) + (1 | g)", {}),
        (FormulaError, "there is one, y1: write x alone", "y1 ~ at(y1, x)", {}),
        (FormulaError, "there is one, y1: leave it out", "y1 ~ us(1 + x | g, traits='diag')", {}),
        (FormulaError, r"no response is called q\. The", "cbind(longname, y2) ~ at(q, x)", {}),
        (
            FormulaError,
            "no response is called longnam; did you mean longname",
            "cbind(longname, y2) ~ at(longnam, x)",
            {},
        ),
        (BindError, "no column is called 'trait': every response has its own", "cbind(y1, y2) ~ trait:x", {}),
        (
            FormulaError,
            "the residual is a covariance among those of a record",
            "cbind(y1, y2) ~ x",
            {"residual": "ar1(1|g)"},
        ),
        (FormulaError, "'us', 'diag', 'cs' or 'fa\\(1\\)'", "cbind(y1, y2) ~ x", {"residual": "diag(0 + f | rows)"}),
        (FormulaError, "of reduced rank leaves y without a density", "cbind(y1, y2) ~ x", {"residual": "rr(1)"}),
        (FormulaError, "with several responses 'us', 'diag'", "cbind(y1, y2) ~ x", {"residual": "unstructured"}),
        (FormulaError, "several responses, and there is one, y1", "y1 ~ x", {"residual": "fa(1)"}),
        (StructureError, r"residual='fa\(1\)': .*use us\(\)", "cbind(y1, y2) ~ x", {"residual": "fa(1)"}),
        (StructureError, r"fa\(1 \| g, factors=2\): .*more than the 6", "cbind(y1, y2, y3) ~ fa(1 | g, 2)", {}),
        (StructureError, r"fa\(1 \| g, k=2\): fa\(\) has no option 'k'", "cbind(y1, y2, y3) ~ fa(1 | g, k=2)", {}),
    ],
)
def test_what_several_responses_cannot_have_is_refused(error, words, formula, options):
    with pytest.raises(error, match=words):
        bind(formula, table(missing=False).assign(longname=lambda d: d["y4"]), **options)


def test_more_effects_than_levels_are_warned_of():
    words = (
        r"\(1 \+ x \| s\): any covariance among 6 effects has 21 parameters, and 's' has 4 levels, .* fa\(1 \+ x \| s"
    )
    with pytest.warns(IdentifiabilityWarning, match=words):
        bind("cbind(y1, y2, y3) ~ 1 + (1 + x | s)", table().assign(s=lambda d: [f"s{i % 4}" for i in range(len(d))]))


@pytest.mark.filterwarnings("ignore:.*cannot all be told apart")
def test_a_constant_slope_is_warned_of():
    with pytest.warns(IdentifiabilityWarning, match=r"\(1 \+ c \| g\): 'c' is constant of 'g'"):
        bind("cbind(y1, y2) ~ 1 + (1 + c | g)", table().assign(c=1.0))


# ---- components ----------------------------------------------------------------------------------------------------


def test_repeated_records_without_a_kernel_are_told_apart(recwarn):
    bind("cbind(y1, y2) ~ x + (1 | g)", table(), weights="w")
    bind("cbind(y1, y2) ~ x + (1 + x | g)", table(), residual="diag")
    bind("cbind(y1, y2, y3) ~ x + fa(1 | g) + diag(1 | h:f)", table(), residual="fa(1)")
    assert not [w for w in recwarn if "(y1" not in str(w.message)]


def test_a_term_with_a_level_for_each_record_is_confounded_with_the_residual():
    data = table().assign(own=lambda d: d.index)
    with pytest.raises(IdentifiabilityError, match=r"\(1 \| own\) is confounded with the residual"):
        bind("cbind(y1, y2) ~ x + (1 | own)", data)
    with pytest.raises(IdentifiabilityError, match=r"diag\(1 \| own\) is confounded with the residual"):
        bind("cbind(y1, y2) ~ x + diag(1 | own)", data)
    bind("cbind(y1, y2) ~ x + (1 | g)", data, residual="diag")


def two_terms(n, q, other):
    rng = np.random.default_rng(7)
    group = rng.integers(0, q, n)
    terms = [assemble.term("g", group), assemble.term("h", other(rng, group))]
    return assemble.spec(rng.standard_normal(n), np.ones((n, 1)), terms)


def test_images_of_many_rows_are_told_apart_in_heaps(recwarn):
    """Above some thousands of rows the images are added up in fewer heaps."""
    n = 30_000
    fold = identify._fold(n, 3)
    assert fold(np.ones((n, 2))).shape == (2000, 2)
    spec = two_terms(n, 400, lambda rng, group: rng.integers(0, 300, n))
    identify.check_components(spec.terms, spec.residual, np.ones((n, 1)) / np.sqrt(n))
    assert not recwarn.list
    same = two_terms(n, 400, lambda rng, group: group * 7 % 401)
    with pytest.raises(IdentifiabilityError, match="confounded: their covariance matrices are linearly dependent"):
        identify.check_components(same.terms, same.residual, np.ones((n, 1)) / np.sqrt(n))
    close = two_terms(n, 400, lambda rng, group: np.where(np.arange(n) == 0, (group + 1) % 400, group))
    identify.check_components(close.terms, close.residual, np.ones((n, 1)) / np.sqrt(n))


def test_a_structure_is_judged_by_its_parameters():
    """Covariances of cs are tied: cs needs no group with a certain pair; us does, and fa with as many parameters."""
    rng = np.random.default_rng(8)
    cells = [(f, g) for f, some in {"a": range(10), "b": range(20), "c": range(10, 20)}.items() for g in some] * 2
    data = pd.DataFrame({"f": [f for f, _ in cells], "g": [f"g{g}" for _, g in cells]})
    data["y"] = rng.standard_normal(len(data))
    with pytest.warns(IdentifiabilityWarning, match=r"no level of 'g' has both 'f\[a\]' and 'f\[c\]'"):
        bind("y ~ f + (0 + f | g)", data)
    bind("y ~ f + cs(0 + f | g)", data)
    with pytest.warns(IdentifiabilityWarning, match=r"fa\(.*\): its 6 \(co\)variances cannot all be told apart"):
        bind("y ~ f + fa(0 + f | g, 1)", data)
