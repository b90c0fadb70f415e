"""Pedigrees against the tabular method, Mrode's book and a published relationship matrix."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedvc.covariance import Can, Marginal, Pedigree, pedigree
from mixedvc.covariance.inbreeding import generations, inbreeding, mendelian, relationships
from mixedvc.errors import CovarianceError, CovarianceWarning, PedigreeError
from tests.covariance.examples import inbred, names, tabular
from tests.reference.load import input_or_skip
from tests.tolerances import IDENTITY, OBJECTIVE, printed


@st.composite
def pedigrees(draw, most=30):
    """Random parents with unknown ones, selfing, and matings of every closeness; at times in one line."""
    n = draw(st.integers(1, most))
    near = draw(st.sampled_from([2, 5, most]))
    parents = [
        [draw(st.integers(max(-1, i - near), i - 1)) if i and draw(st.integers(0, 9)) else -1 for i in range(n)]
        for _ in range(2)
    ]
    return np.array(parents[0], dtype=np.intp), np.array(parents[1], dtype=np.intp)


@settings(max_examples=150, deadline=None)
@given(pedigrees())
def test_relationships_and_inbreeding_equal_the_tabular_method(parents):
    sire, dam = parents
    A = tabular(sire, dam)
    for how in ("traced", "tabular"):
        F = inbreeding(sire, dam, how)
        np.testing.assert_allclose(F, np.diagonal(A) - 1, **IDENTITY)
    np.testing.assert_allclose(relationships(sire, dam, F), A, **IDENTITY)


@settings(max_examples=100, deadline=None)
@given(pedigrees(), st.integers(0, 2**32 - 1))
def test_every_view_of_a_pedigree_is_the_same_matrix(parents, seed):
    sire, dam = parents
    A, ped = tabular(sire, dam), Pedigree(names(len(sire)), sire, dam)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(A))[: rng.integers(1, len(A) + 1)]
    block = A[np.ix_(rows, rows)]
    np.testing.assert_allclose(ped.block(rows), block, **IDENTITY)
    np.testing.assert_allclose(ped._columns(rows, rows), block, **IDENTITY)
    np.testing.assert_allclose(ped.sparse_block(rows).toarray(), block, **IDENTITY)
    np.testing.assert_allclose(ped.restrict(rows).block(), block, **IDENTITY)
    groups = ped.components(rows)
    assert np.all(block[groups[:, None] != groups] == 0)
    if Can.PRECISION in ped.can:
        np.testing.assert_allclose(ped.precision().toarray() @ A, np.eye(len(A)), rtol=0, atol=1e-8)
        np.testing.assert_allclose(ped.logdet(), np.linalg.slogdet(A)[1], **OBJECTIVE)


@settings(max_examples=50, deadline=None)
@given(pedigrees(), st.integers(0, 2**32 - 1))
def test_the_order_of_the_rows_does_not_matter(parents, seed):
    sire, dam = parents
    n = len(sire)
    ids, order = names(n), np.random.default_rng(seed).permutation(n)
    texts = [[ids[p] if p >= 0 else "NA" for p in parent] for parent in parents]
    table = {"id": ids[order], "sire": np.array(texts[0])[order], "dam": np.array(texts[1])[order]}
    if set(texts[0]) & set(texts[1]) - {"NA"}:
        with pytest.warns(CovarianceWarning, match="both a sire and a dam"):
            ped = pedigree(table)
    else:
        ped = pedigree(table)
    np.testing.assert_allclose(ped.block(ped.positions(ids)), tabular(sire, dam), **IDENTITY)


def test_the_two_ways_to_inbreeding_agree_on_a_large_selected_population():
    rng = np.random.default_rng(5)
    per, depth = 200, 12
    sire, dam = [np.full(per, -1)], [np.full(per, -1)]
    for g in range(1, depth):
        older = np.arange(max(0, g - 2) * per, g * per)
        sire.append(rng.choice(rng.choice(older, 12), per))
        dam.append(rng.choice(rng.choice(older, 60), per))
    sire, dam = np.concatenate(sire), np.concatenate(dam)
    traced = inbreeding(sire, dam, "traced")
    assert traced.max() > 0.1
    np.testing.assert_allclose(traced, inbreeding(sire, dam, "tabular"), **IDENTITY)
    np.testing.assert_allclose(traced, np.diagonal(relationships(sire, dam, traced)) - 1, **IDENTITY)


def test_a_hundred_generations_of_selfing_end_in_a_clone():
    n = 60
    line = np.arange(-1, n - 1)
    ped = Pedigree(names(n), line, line)
    np.testing.assert_allclose(ped.inbreeding, 1 - 0.5 ** np.arange(n), **IDENTITY)
    assert Can.PRECISION not in ped.can
    with pytest.raises(CovarianceError, match=r"singular: 'id3\d'.*completely inbred"):
        ped.logdet()
    with pytest.raises(CovarianceError, match="singular"):
        ped.precision()
    assert np.isfinite(ped.block()).all()


def test_mendelian_variances_of_known_cases():
    sire, dam = np.array([-1, -1, 0, 0, 2, 3]), np.array([-1, -1, 1, -1, 3, 3])
    F = inbreeding(sire, dam)
    np.testing.assert_allclose(mendelian(sire, dam, F), [1, 1, 0.5, 0.75, 0.5, 0.5], **IDENTITY)
    np.testing.assert_allclose(F, [0, 0, 0, 0, 0.125, 0.5], **IDENTITY)


def mrode():
    """Mrode & Thompson (2005), Linear Models for the Prediction of Animal Breeding Values, Example 3.1."""
    return pedigree(
        {"calf": [4, 5, 6, 7, 8], "sire": [1, 3, 1, 4, 3], "dam": [None, 2, 2, 5, 6]}, id="calf", sire="sire", dam="dam"
    )


def test_mrode_example_3_1_through_the_mixed_model_equations():
    with pytest.warns(CovarianceWarning, match=r"3 parent\(s\).*added as founders: 1, 3, 2"):
        ped = mrode()
    y = np.array([4.5, 2.9, 3.9, 3.5, 5.0])
    X = np.array([[1, 0], [0, 1], [0, 1], [1, 0], [1, 0]])
    animals = np.arange(1, 9)
    at = ped.positions(animals)
    Z = (np.array([4, 5, 6, 7, 8])[:, None] == animals).astype(float)
    Ainv = ped.precision().toarray()[np.ix_(at, at)]
    C = np.block([[X.T @ X, X.T @ Z], [Z.T @ X, Z.T @ Z + 2 * Ainv]])
    solution = np.linalg.solve(C, np.concatenate([X.T @ y, Z.T @ y]))
    np.testing.assert_allclose(solution[:2], [4.3585, 3.4044], **printed(4))
    want = [0.0984, -0.0188, -0.0411, -0.0087, -0.1857, 0.1769, -0.2495, 0.1826]
    np.testing.assert_allclose(solution[2:], want, **printed(4))
    reliability = 1 - 2 * np.diagonal(np.linalg.inv(C))[2:]
    want = [0.0578, 0.0158, 0.0871, 0.1446, 0.1438, 0.1154, 0.1163, 0.1553]
    np.testing.assert_allclose(reliability, want, **printed(4))


def test_henderson_rules_give_the_book_coefficients():
    with pytest.warns(CovarianceWarning, match="founders"):
        ped = mrode()
    at = ped.positions([1, 2, 3, 4])
    Q = ped.precision().toarray()[np.ix_(at, at)]
    want = [[11 / 6, 0.5, 0, -2 / 3], [0.5, 2, 0.5, 0], [0, 0.5, 2, 0], [-2 / 3, 0, 0, 11 / 6]]
    np.testing.assert_allclose(Q, want, **IDENTITY)


def test_blue_tit_relationships_equal_the_published_ones():
    with input_or_skip("kinship/btdata/pedigree.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    ped = pedigree({key: [row[key] for row in rows] for key in ("animal", "sire", "dam")}, id="animal")
    with input_or_skip("kinship/btdata/A_triplets_lower.csv").open() as lines:
        triplets = list(csv.DictReader(lines))
    i, j = (ped.positions([t[key] for t in triplets]) for key in "ij")
    want = np.array([float(t["a"]) for t in triplets])
    observed = np.unique(np.concatenate([i, j]))
    A = ped.block(observed)
    where = np.searchsorted(observed, i), np.searchsorted(observed, j)
    np.testing.assert_allclose(A[where], want, **IDENTITY)
    assert np.count_nonzero(np.tril(A)) == len(want)
    assert Can.BLOCKS in ped.can


def test_the_restriction_to_some_animals_is_marginal_and_drops_the_rest():
    sire, dam = inbred()
    ped, A = Pedigree(names(11), sire, dam), tabular(sire, dam)
    part = ped.restrict(np.array([5, 6]))
    assert isinstance(part, Marginal) and len(part.base.labels) == 7
    np.testing.assert_allclose(part.block(), A[5:7, 5:7], **IDENTITY)
    with pytest.raises(CovarianceError, match="keep all 7 levels"):
        part.precision()
    whole = ped.restrict(np.arange(7))
    assert isinstance(whole, Pedigree) and Can.PRECISION in whole.can
    np.testing.assert_allclose(whole.precision().toarray() @ A[:7, :7], np.eye(7), rtol=0, atol=1e-10)


def test_few_animals_of_a_large_pedigree_cost_only_their_ancestors():
    n = 300_000
    parent = np.where(np.arange(n) < 1000, -1, np.arange(n) - 1000)
    ped = Pedigree(np.arange(n), parent, np.full(n, -1))
    rows = np.array([5, 1005, 2005, 6])
    want = np.array([[1, 0.5, 0.25, 0], [0.5, 1, 0.5, 0], [0.25, 0.5, 1, 0], [0, 0, 0, 1]])
    np.testing.assert_allclose(ped.block(rows), want, **IDENTITY)
    assert len(ped.ancestors(rows)) == 4


def test_generations_count_the_longest_line():
    level, looped = generations(np.array([-1, 0, 1, 0]), np.array([-1, -1, 0, 2]))
    assert level.tolist() == [0, 1, 2, 3]
    assert len(looped) == 0


def test_a_pedigree_made_by_position_must_have_parents_first():
    with pytest.raises(PedigreeError, match="the sire of 'a' does not stand before it"):
        Pedigree(["a", "b"], [1, -1], [-1, -1])
    with pytest.raises(PedigreeError, match="one entry for each of 2 animals"):
        Pedigree(["a", "b"], [-1], [-1, -1])


def test_the_order_of_a_sorted_table_is_kept():
    ped = pedigree({"id": ["z", "a", "m"], "sire": ["", "z", "z"], "dam": ["", "", "a"]})
    assert list(ped.labels) == ["z", "a", "m"]


def test_numeric_parents_with_gaps_match_whole_numbers():
    import pandas as pd

    table = pd.DataFrame({"id": [1, 2, 3], "sire": [np.nan, np.nan, 1], "dam": [np.nan, np.nan, 2]})
    ped = pedigree(table)
    assert ped.labels.tolist() == [1, 2, 3]
    assert ped.block()[2].tolist() == [0.5, 0.5, 1.0]
    assert [type(x) for x in ped.labels] == [int, int, int]
    with pytest.warns(CovarianceWarning, match="founders: 7$"):
        added = pedigree(table.assign(dam=[np.nan, np.nan, 7.0]))
    assert {type(x) for x in added.labels} == {int}


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_tables_of_other_libraries_are_read(library):
    columns = {"id": ["s", "d", "x"], "sire": [None, None, "s"], "dam": [None, None, "d"]}
    module = pytest.importorskip(library)
    table = module.DataFrame(columns) if library == "polars" else module.table(columns)
    assert pedigree(table).block()[2].tolist() == [0.5, 0.5, 1.0]
    with pytest.raises(PedigreeError, match="no column 'dma': did you mean 'dam'"):
        pedigree(table, dam="dma")
