"""Bad covariances and pedigrees; the numbers are the rows of the list of bad inputs."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from mixedvc.covariance import (
    Dense,
    Features,
    Identity,
    Kronecker,
    Pedigree,
    Precision,
    Sparse,
    as_covariance,
    pedigree,
)
from mixedvc.errors import CovarianceError, CovarianceWarning, MemoryLimitError, OptionError, PedigreeError
from tests.covariance.examples import families, full, names, singular, tabular
from tests.tolerances import IDENTITY, OBJECTIVE

ABC = ["a", "b", "c"]
GOOD = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, 0.3], [0.2, 0.3, 1.0]])


def frame(A, labels=None):
    labels = names(len(A)) if labels is None else labels
    return pd.DataFrame(A, index=labels, columns=labels)


# 41-44: labels and shape


@pytest.mark.parametrize("make", [Dense, lambda A, labels: as_covariance((A, labels), "A")])
def test_041_a_duplicate_label_is_named(make):
    with pytest.raises(CovarianceError, match=r"1 label\(s\) more than once: 'a'"):
        make(GOOD, ["a", "b", "a"])


def test_041_a_duplicate_label_of_a_frame_is_named():
    with pytest.raises(CovarianceError, match=r"cov\['A'\] has 1 label.*more than once: 'b'"):
        as_covariance(frame(GOOD, ["b", "b", "c"]), "A")


def test_041_a_missing_label_is_located():
    with pytest.raises(CovarianceError, match=r"1 missing label\(s\), at position 1"):
        Dense(GOOD, ["a", None, "c"])
    with pytest.raises(CovarianceError, match=r"1 missing label\(s\), at position 2"):
        Dense(GOOD, [1.0, 2.0, np.nan])


def test_042_an_unlabelled_matrix_is_refused():
    with pytest.raises(CovarianceError, match=r"cov\['A'\] has no labels.*align='position'"):
        as_covariance(GOOD, "A")
    with pytest.raises(CovarianceError, match=r"cov\['A'\] has no labels.*align='position'"):
        as_covariance(sp.csr_array(GOOD), "A", levels=ABC)


def test_042_an_unlabelled_matrix_takes_the_levels_when_position_is_said():
    for given in (GOOD, sp.csr_array(GOOD), pd.DataFrame(GOOD)):
        cov = as_covariance(given, "A", align="position", levels=np.array(ABC, dtype=object))
        assert list(cov.labels) == ABC
        np.testing.assert_allclose(cov.block(), GOOD, **IDENTITY)


def test_042_position_needs_one_row_for_each_level():
    with pytest.raises(CovarianceError, match="3 × 3 but there are 2 levels"):
        as_covariance(GOOD, "A", align="position", levels=["a", "b"])
    with pytest.raises(CovarianceError, match="needs the levels"):
        as_covariance(GOOD, "A", align="position")
    with pytest.raises(OptionError, match="align must be 'labels' or 'position', not 'rows'"):
        as_covariance(GOOD, "A", align="rows")


def test_042_labels_win_over_position():
    shuffled = frame(GOOD, ABC).loc[["c", "a", "b"], ["c", "a", "b"]]
    assert list(as_covariance(shuffled, "A", align="position", levels=ABC).labels) == ["c", "a", "b"]


def test_043_columns_in_another_order_are_put_right():
    given = frame(GOOD, ABC)[["c", "a", "b"]]
    cov = as_covariance(given, "A")
    assert list(cov.labels) == ABC
    np.testing.assert_allclose(cov.block(), GOOD, **IDENTITY)


def test_043_different_names_on_rows_and_columns_are_listed():
    given = pd.DataFrame(GOOD, index=["a", "b", "x"], columns=ABC)
    with pytest.raises(CovarianceError, match=r"cov\['A'\] has different names.*'x' only on rows, 'c' only on columns"):
        as_covariance(given, "A")


def test_043_a_frame_whose_rows_were_never_named_says_how():
    with pytest.raises(CovarianceError, match=r"set A\.index = A\.columns"):
        as_covariance(pd.DataFrame(GOOD, columns=ABC), "A")
    with_names = frame(GOOD, ABC).rename_axis("line").reset_index()
    with pytest.raises(CovarianceError, match=r"3 × 4 .*first column, 'line'.*index_col=0"):
        as_covariance(with_names, "A")


def test_043_whole_number_names_survive_a_csv_file(tmp_path):
    frame(GOOD, [11, 12, 13]).to_csv(tmp_path / "A.csv")
    cov = as_covariance(pd.read_csv(tmp_path / "A.csv", index_col=0), "A")
    assert cov.labels.tolist() == [11, 12, 13]


def test_044_a_matrix_that_is_not_square_gives_its_shape():
    with pytest.raises(CovarianceError, match=r"square matrix, its shape is 2 × 3"):
        Dense(GOOD[:2], ["a", "b"])
    with pytest.raises(CovarianceError, match=r"square matrix, its shape is 2 × 3"):
        as_covariance((sp.csr_array(GOOD[:2]), ["a", "b"]), "A")
    with pytest.raises(CovarianceError, match=r"square matrix, its shape is 3$"):
        Dense(np.ones(3), ABC)
    with pytest.raises(CovarianceError, match="3 rows but 2 labels"):
        Dense(GOOD, ["a", "b"])
    with pytest.raises(CovarianceError, match="empty"):
        Dense(np.empty((0, 0)), [])


# 45-48: the numbers


@pytest.mark.parametrize("kind", [np.array, sp.csr_array])
def test_045_asymmetry_names_the_two_ids_and_the_difference(kind):
    A = full(400, seed=3)
    A[300, 7] += 0.25
    with pytest.raises(CovarianceError, match=r"not symmetric: .*'id(300|7)' and 'id(300|7)'.*symmetrize=True") as told:
        as_covariance((kind(A), names(400)), "A")
    assert f"{A[300, 7]:.6g}" in str(told.value)
    assert f"{A[7, 300]:.6g}" in str(told.value)


@pytest.mark.parametrize(("make", "kind"), [(Dense, np.array), (Sparse, sp.coo_array)])
def test_045_symmetrize_takes_the_mean(make, kind):
    A = GOOD.copy()
    A[0, 1] = 0.6
    cov = make(kind(A), ABC, symmetrize=True)
    np.testing.assert_allclose(cov.block(), (A + A.T) / 2, **IDENTITY)
    assert A[0, 1] == 0.6


def test_045_rounding_is_no_asymmetry():
    A = GOOD + np.triu(np.full((3, 3), 1e-10), 1)
    assert Dense(A, ABC).matrix[0, 1] == A[0, 1]


@pytest.mark.parametrize(("filled", "triangle"), [("lower", np.tril), ("upper", np.triu)])
@pytest.mark.parametrize(("make", "kind"), [(Dense, np.array), (Sparse, sp.csr_array)])
def test_046_a_matrix_with_one_triangle_is_recognised_and_mirrored(filled, triangle, make, kind):
    with pytest.raises(CovarianceError, match=f"only its {filled} triangle filled.*symmetrize='{filled}'"):
        make(kind(triangle(GOOD)), ABC)
    with pytest.raises(CovarianceError, match=f"only its {filled} triangle"):
        make(kind(triangle(GOOD)), ABC, symmetrize=True)
    np.testing.assert_allclose(make(kind(triangle(GOOD)), ABC, symmetrize=filled).block(), GOOD, **IDENTITY)


def test_046_a_triangle_of_missing_values_is_mirrored_too():
    A = np.where(np.tri(3) > 0, GOOD, np.nan)
    np.testing.assert_allclose(Dense(A, ABC, symmetrize="lower").block(), GOOD, **IDENTITY)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [np.array, sp.csr_array])
def test_047_a_value_that_is_not_finite_names_its_pair(value, kind):
    A = GOOD.copy()
    A[1, 2] = A[2, 1] = value
    with pytest.raises(CovarianceError, match=r"cov\['K'\] has (nan|inf|-inf) between 'b' and 'c'"):
        as_covariance((kind(A), ABC), "K")


def test_047_large_finite_numbers_are_not_infinite():
    with pytest.warns(CovarianceWarning, match=r"mean diagonal of 1\.1e\+300"):
        Dense(1e300 * np.eye(3) + 1e299, ABC)


def indefinite():
    A = GOOD.copy()
    A[0, 1] = A[1, 0] = 1.4
    return A


def test_048_an_indefinite_matrix_lists_its_eigenvalues():
    value = np.linalg.eigvalsh(indefinite())[0]
    with pytest.raises(CovarianceError, match=rf"1 of 3 eigenvalues are negative \({value:.4g};.*psd='clip'"):
        Dense(indefinite(), ABC)
    with pytest.raises(CovarianceError, match=r"1 of 3 eigenvalues are negative"):
        Sparse(sp.csr_array(indefinite()), ABC)


def test_048_clip_gives_the_nearest_semi_definite_matrix():
    with pytest.warns(CovarianceWarning, match="1 negative eigenvalues, the smallest -0.40"):
        cov = Dense(indefinite(), ABC, psd="clip")
    values, vectors = np.linalg.eigh(indefinite())
    np.testing.assert_allclose(cov.block(), (vectors * values.clip(0)) @ vectors.T, **OBJECTIVE)


def test_048_jitter_adds_to_the_diagonal_what_it_says():
    with pytest.warns(CovarianceWarning, match="was added to its diagonal"):
        cov = Dense(indefinite(), ABC, psd="jitter")
    added = cov.block() - indefinite()
    np.testing.assert_allclose(added, np.eye(3) * added[0, 0], **OBJECTIVE)
    assert 0 <= np.linalg.eigvalsh(cov.block())[0] < 1e-6


def test_048_allow_keeps_the_matrix_and_says_so():
    cov = Dense(indefinite(), ABC, psd="allow")
    np.testing.assert_array_equal(cov.block(), indefinite())
    assert "not checked" in cov.describe()
    assert "not checked" in cov.restrict(np.array([1, 0])).describe()


def test_048_a_sparse_matrix_is_not_filled_in_by_a_repair():
    with pytest.raises(CovarianceError, match=r"would fill a sparse matrix in\. Use Dense"):
        Sparse(sp.eye_array(3), ABC, psd="clip")


def test_048_a_large_indefinite_sparse_matrix_is_refused_without_eigenvalues():
    A = sp.block_diag([np.array([[1.0, 1.2], [1.2, 1.0]])] * 1200)
    with pytest.raises(CovarianceError, match="not positive semi-definite beyond rounding"):
        Sparse(A, names(2400))


def test_048_unknown_choices_are_refused():
    with pytest.raises(OptionError, match="psd must be one of 'error', 'clip', 'jitter', 'allow', not 'fix'"):
        Dense(GOOD, ABC, psd="fix")
    with pytest.raises(OptionError, match="symmetrize must be True, False, 'lower' or 'upper'"):
        Dense(GOOD, ABC, symmetrize="both")
    with pytest.raises(TypeError, match="jitter"):
        Dense(GOOD, ABC, jitter=True)


@pytest.mark.parametrize("decimals", [6, 8])
def test_049_a_singular_matrix_printed_with_few_digits_passes(decimals):
    W = np.random.default_rng(0).standard_normal((200, 50))
    W -= W.mean(axis=0)
    Dense((W @ W.T / 50).round(decimals), names(200))


def test_049_clones_and_centred_kernels_pass():
    S = singular()
    np.testing.assert_allclose(Dense(S, names(6)).block(), S, **IDENTITY)
    np.testing.assert_allclose(Sparse(sp.csr_array(S), names(6)).block(), S, **IDENTITY)
    C = np.eye(5) - 0.2
    np.testing.assert_allclose(Dense(C, names(5)).block(), C, **IDENTITY)
    with pytest.raises(CovarianceError, match="singular"):
        Dense(S, names(6)).logdet()


@pytest.mark.parametrize("kind", [np.array, sp.csr_array])
def test_050_a_zero_matrix_has_no_variance(kind):
    with pytest.raises(CovarianceError, match=r"cov\['A'\] is zero everywhere: a term with it has no variance"):
        as_covariance((kind(np.zeros((3, 3))), ABC), "A")


def test_050_features_that_are_zero_have_no_variance():
    with pytest.raises(CovarianceError, match="zero everywhere"):
        Features(np.zeros((3, 4)), ABC, standardize=False)


# 53-56: scale and kind


@pytest.mark.parametrize("kind", [np.array, sp.csr_array])
def test_053_a_kinship_is_recognised_by_its_diagonal(kind):
    with pytest.warns(CovarianceWarning, match=r"cov\['K'\] has a mean diagonal of 0\.5, like a kinship.*by 2"):
        cov = as_covariance((kind(families() / 2), names(10)), "K")
    np.testing.assert_allclose(cov.block(), families() / 2, **IDENTITY)


def test_053_a_correlation_or_relationship_matrix_gets_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Dense(GOOD, ABC)
        Dense(2 * GOOD, ABC)


@pytest.mark.parametrize("scale", [37.0, 0.01])
def test_054_an_unusual_scale_is_reported(scale):
    with pytest.warns(CovarianceWarning, match=f"mean diagonal of {scale:.4g}, not near 1.*divide the matrix"):
        Dense(scale * GOOD, ABC)


def test_054_the_warning_points_at_the_line_that_made_the_covariance():
    with pytest.warns(CovarianceWarning) as told:
        Dense(37 * GOOD, ABC)
    assert told[0].filename == __file__


@pytest.mark.parametrize("kind", [np.array, sp.csr_array])
def test_055_a_distance_matrix_is_recognised(kind):
    D = 1 - GOOD
    with pytest.raises(CovarianceError, match=r"looks like a distance: its diagonal is zero"):
        as_covariance((kind(D), ABC), "D")


def test_055_a_distance_matrix_with_rounding_on_its_diagonal_is_recognised():
    with pytest.raises(CovarianceError, match="looks like a distance"):
        Dense(1 - GOOD + 1e-16 * np.eye(3), ABC)


def test_055_a_negative_variance_names_its_level():
    A = GOOD.copy()
    A[1, 1] = -0.1
    with pytest.raises(CovarianceError, match=r"negative variance, -0\.1, for 'b'"):
        Dense(A, ABC)


def animals():
    rng = np.random.default_rng(8)
    sire = np.array([-1] * 10 + [int(rng.integers(0, i - 5)) for i in range(10, 60)])
    dam = np.array([-1] * 10 + [int(rng.integers(0, i - 5)) for i in range(10, 60)])
    return Pedigree(names(60), sire, dam)


def test_056_an_inverse_given_as_a_covariance_is_suspected():
    Q = animals().precision()
    for given in (Q, Q.toarray(), np.linalg.inv(tabular(animals().sire, animals().dam))):
        with pytest.warns(CovarianceWarning, match=r"cov\['A'\] looks like a precision.*Precision\(A, labels\)"):
            as_covariance((given, names(60)), "A")


def test_056_a_relationship_matrix_is_not_suspected():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        as_covariance((animals().block(), names(60)), "A")
        W = np.random.default_rng(1).standard_normal((60, 200))
        as_covariance((np.corrcoef(W - W.mean(axis=0)), names(60)), "A")


def test_056_a_precision_that_is_not_positive_definite_is_refused():
    with pytest.raises(CovarianceError, match="precision is not positive definite"):
        Precision(np.array([[1.0, -1.0], [-1.0, 1.0]]), ["a", "b"])
    with pytest.raises(CovarianceError, match="precision is not positive definite"):
        Precision(np.array([[1.0, 2.0], [2.0, 1.0]]), ["a", "b"])
    with pytest.raises(CovarianceError, match=r"precision is not symmetric: .*'a'"):
        Precision(np.array([[1.0, 0.2], [0.1, 1.0]]), ["a", "b"])


def test_056_a_block_of_a_precision_is_marginal_not_the_inverse_of_a_block():
    A = full()
    Q = Precision(np.linalg.inv(A), names(7))
    rows = np.array([4, 1])
    np.testing.assert_allclose(Q.block(rows), A[np.ix_(rows, rows)], **OBJECTIVE)
    np.testing.assert_allclose(Q.restrict(rows).block(), A[np.ix_(rows, rows)], **OBJECTIVE)
    assert np.abs(np.linalg.inv(Q.precision().toarray()[np.ix_(rows, rows)]) - A[np.ix_(rows, rows)]).max() > 0.1


# 57-59: storage


def test_057_duplicate_entries_are_summed_and_stored_zeros_dropped():
    i, j = np.array([0, 0, 1, 1, 0, 2, 0, 2]), np.array([0, 0, 1, 0, 1, 2, 2, 0])
    v = np.array([0.5, 0.5, 1.0, 0.3, 0.3, 1.0, 0.0, 0.0])
    given = sp.coo_array((v, (i, j)), shape=(3, 3))
    cov = as_covariance((given, ABC), "A")
    np.testing.assert_allclose(cov.block(), [[1, 0.3, 0], [0.3, 1, 0], [0, 0, 1]], **IDENTITY)
    assert cov.sparse_block().nnz == 5
    assert cov.components().tolist() == [0, 0, 1]
    assert given.nnz == 8
    unsorted = sp.csr_array((np.array([0.3, 1.0, 1.0, 0.3]), np.array([1, 0, 1, 0]), np.array([0, 2, 4])))
    np.testing.assert_allclose(Sparse(unsorted, ["a", "b"]).block(), [[1, 0.3], [0.3, 1]], **IDENTITY)
    assert unsorted.indices.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"])
@pytest.mark.parametrize("make", [sp.coo_array, sp.coo_matrix])
def test_057_any_sparse_format_is_read(kind, make):
    cov = as_covariance((make(families()).asformat(kind), names(10)), "A")
    np.testing.assert_allclose(cov.block(), families(), **IDENTITY)


def test_057_a_sparse_frame_stays_sparse():
    cov = as_covariance(frame(families()).astype(pd.SparseDtype(float, 0.0)), "A")
    assert cov.kind == "sparse"
    np.testing.assert_allclose(cov.block(), families(), **IDENTITY)


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint8, np.float16, np.float32, np.bool_, object, ">f8"])
def test_058_other_types_of_numbers_are_converted(dtype):
    A = np.eye(3, dtype=int).astype(dtype)
    np.testing.assert_array_equal(Dense(A, ABC).block(), np.eye(3))
    assert A.dtype == dtype


def test_058_an_entry_that_is_no_number_names_its_pair():
    A = GOOD.astype(object)
    A[1, 2] = "0,3"
    with pytest.raises(CovarianceError, match=r"cov\['A'\] holds something that is not a number.*'b' and 'c': '0,3'"):
        as_covariance(frame(A, ABC), "A")
    with pytest.raises(CovarianceError, match="complex"):
        Dense(GOOD + 0j, ABC)


def test_058_numbers_kept_as_text_are_converted():
    np.testing.assert_array_equal(Dense(GOOD.astype(str).astype(object), ABC).block(), GOOD)


def layouts(tmp_path):
    readonly = GOOD.copy()
    readonly.flags.writeable = False
    wide = np.zeros((6, 6))
    wide[::2, ::2] = GOOD
    mapped = np.memmap(tmp_path / "A.bin", dtype=np.float64, mode="w+", shape=(3, 3))
    mapped[:] = GOOD
    return {
        "fortran": np.asfortranarray(GOOD),
        "read-only": readonly,
        "negative strides": GOOD[::-1, ::-1].copy()[::-1, ::-1],
        "strided": wide[::2, ::2],
        "memmap": mapped,
        "frame": frame(GOOD, ABC),
    }


@pytest.mark.parametrize("layout", ["fortran", "read-only", "negative strides", "strided", "memmap", "frame"])
def test_059_any_layout_is_read_without_a_copy_and_never_written_to(layout, tmp_path):
    given = layouts(tmp_path)[layout]
    cov = as_covariance(given if layout == "frame" else (given, ABC), "A")
    memory = given.to_numpy() if layout == "frame" else np.asarray(given)
    assert np.shares_memory(cov.block(), memory)
    assert np.shares_memory(cov.block(np.arange(3)), memory)
    cov.draw(np.random.default_rng(0), 2)
    cov.factor(np.array([2, 0]))
    cov.logdet()
    cov.fingerprint()
    np.testing.assert_array_equal(memory, GOOD)
    with pytest.raises(ValueError, match="read-only"):
        cov.block()[0, 0] = 9.0


# 60-64: pedigrees


def test_060_parents_that_are_not_rows_become_founders_and_are_listed():
    with pytest.warns(CovarianceWarning, match=r"2 parent\(s\) without a row.*founders: 's', 'd'"):
        ped = pedigree({"id": ["x", "y"], "sire": ["s", "s"], "dam": ["d", None]})
    at = ped.positions(["s", "d", "x", "y"])
    want = [[1, 0, 0.5, 0.5], [0, 1, 0.5, 0], [0.5, 0.5, 1, 0.25], [0.5, 0, 0.25, 1]]
    np.testing.assert_allclose(ped.block(at), want, **IDENTITY)


@pytest.mark.parametrize("code", ["", "0", "NA", None, np.nan, 0, 0.0, " ", ".", "*", pd.NA])
def test_060_codes_of_an_unknown_parent(code):
    ped = pedigree({"id": ["a", "b"], "sire": [code, "a"], "dam": [code, code]})
    assert ped.dam.tolist() == [-1, -1]
    assert ped.sire.tolist() == [-1, 0]


def test_061_offspring_may_stand_before_their_parents():
    table = pd.DataFrame({"id": ["z", "x", "s", "d"], "sire": ["s", "s", None, None], "dam": ["x", "d", None, None]})
    ped = pedigree(table)
    assert list(ped.labels) == ["s", "d", "x", "z"]
    np.testing.assert_allclose(ped.inbreeding, [0, 0, 0, 0.25], **IDENTITY)


def test_062_a_loop_is_printed():
    table = {"id": ["d", "a", "b", "c"], "sire": [None, "b", "c", "a"], "dam": [None, "d", "d", None]}
    with pytest.raises(PedigreeError, match=r"loop of 3 animals.*'a' ← 'b' ← 'c' ← 'a'"):
        pedigree(table)


def test_062_animals_below_a_loop_are_not_blamed():
    table = {"id": ["y", "x", "a", "b"], "sire": ["x", "a", "b", "a"], "dam": [None] * 4}
    with pytest.raises(PedigreeError, match=r"loop of 2 animals.*: ('a' ← 'b' ← 'a'|'b' ← 'a' ← 'b')\. No"):
        pedigree(table)


def test_062_a_long_loop_is_shortened():
    n = 1000
    with pytest.raises(PedigreeError, match=r"loop of 1000 animals.* more … ←") as told:
        pedigree({"id": names(n), "sire": np.roll(names(n), 1), "dam": [None] * n})
    assert len(str(told.value)) < 500


def test_063_an_animal_that_is_its_own_parent_is_named():
    with pytest.raises(PedigreeError, match="'b' stand as their own parent"):
        pedigree({"id": ["a", "b"], "sire": [None, "a"], "dam": [None, "b"]})


def test_063_an_id_that_is_sire_and_dam_is_right_for_plants():
    with pytest.warns(CovarianceWarning, match=r"1 id\(s\) are both a sire and a dam: 'a'\. Right for plants"):
        ped = pedigree({"id": ["a", "s"], "sire": [None, "a"], "dam": [None, "a"]})
    np.testing.assert_allclose(ped.block(), [[1, 1], [1, 1.5]], **IDENTITY)


def test_064_a_second_pair_of_parents_is_refused():
    table = {"id": ["a", "b", "c", "c"], "sire": [None, None, "a", "a"], "dam": [None, None, "b", None]}
    with pytest.raises(
        PedigreeError, match=r"'c' has two different pairs.*'a' × 'b' in row 2 and 'a' × unknown in row 3"
    ):
        pedigree(table)


def test_064_rows_that_repeat_are_merged():
    table = {"id": ["a", "c", "c"], "sire": [None, "a", "a"], "dam": ["", "0", None]}
    assert list(pedigree(table).labels) == ["a", "c"]


def test_064_a_missing_id_is_located():
    with pytest.raises(PedigreeError, match=r"column 'id'.*no id in 1 row\(s\), the first is row 1 \('0'\)"):
        pedigree({"id": ["a", "0"], "sire": ["", ""], "dam": ["", ""]})
    with pytest.raises(PedigreeError, match="empty"):
        pedigree({"id": [], "sire": [], "dam": []})


def test_064_text_and_numbers_never_match_silently():
    with pytest.raises(PedigreeError, match=r"mixes text and numbers in its ids, e\.g\. '7' and 8"):
        pedigree({"id": ["7", "8", "9"], "sire": [0, 0, 8], "dam": [None, None, None]})


def test_064_an_absent_column_names_the_nearest():
    with pytest.raises(PedigreeError, match="no column 'sire': did you mean 'Sire'"):
        pedigree(pd.DataFrame({"id": ["a"], "Sire": [None], "dam": [None]}))


# 68, 94: features


def test_068_constant_features_are_dropped_and_counted():
    W = np.array([[0.0, 5.0, 1.0], [1.0, 5.0, 3.0], [2.0, 5.0, 1.0]])
    with pytest.warns(CovarianceWarning, match=r"1 of 3 features are constant.*column 1;.*by the 2 left"):
        cov = Features(W, ABC)
    G = W[:, [0, 2]]
    G = (G - G.mean(axis=0)) / G.std(axis=0, ddof=0)
    np.testing.assert_allclose(cov.block(), G @ G.T / 2, **IDENTITY)
    with pytest.raises(CovarianceError, match="none of the 2 features varies"):
        Features(np.ones((3, 2)), ABC)


def test_068_a_missing_feature_names_level_and_column():
    W = np.arange(6.0).reshape(3, 2)
    W[2, 1] = np.nan
    with pytest.raises(CovarianceError, match=r"feature 1 of level 'c' is nan: impute"):
        Features(W, ABC)


def test_068_features_of_the_wrong_shape_are_refused():
    with pytest.raises(CovarianceError, match="3 rows but 2 labels"):
        Features(np.ones((3, 2)), ["a", "b"])
    with pytest.raises(CovarianceError, match="levels × features"):
        Features(np.ones(3), ABC)
    with pytest.raises(CovarianceError, match=r"dense matrix: give W\.toarray"):
        Features(sp.eye_array(3), ABC)
    with pytest.raises(OptionError, match="standardize must be True, 'sample', 'center' or False, not 'scale'"):
        Features(np.eye(3), ABC, standardize="scale")


# 99, 100


def test_099_every_edit_of_one_entry_changes_the_fingerprint():
    A = full(30)
    for given in (A, np.asfortranarray(A), np.kron(A, np.ones((2, 2)))[::2, ::2]):
        cov = Dense(given, names(30))
        before, memory = cov.fingerprint(), given
        for i, j in ((0, 0), (17, 3), (29, 29)):
            old = memory[i, j]
            memory[i, j] = np.nextafter(old, 9)
            assert cov.fingerprint() != before
            memory[i, j] = old
        assert cov.fingerprint() == before


def test_099_exchanged_levels_change_the_fingerprint():
    A, swap = full(5), np.array([1, 0, 2, 3, 4])
    before = Dense(A, names(5)).fingerprint()
    assert Dense(A[np.ix_(swap, swap)], names(5)).fingerprint() != before
    assert Dense(A, names(5)[swap]).fingerprint() != before
    cov = Dense(A, names(5))
    A[0, [1, 2]] = A[0, [2, 1]]  # the row keeps its sum
    assert cov.fingerprint() != before
    W = np.arange(12.0).reshape(4, 3) ** 2
    features = Features(W, names(4))
    before = features.fingerprint()
    W[2, 1] += 1e-9
    assert features.fingerprint() != before


def test_100_counts_of_pairs_beyond_32_bits_are_right(monkeypatch):
    monkeypatch.setattr("mixedvc.linalg.memory.available_bytes", lambda: 8 * 2**30)  # whatever this machine has
    n = 70_000
    big = Identity(np.arange(n))
    pairs = Kronecker(Identity(np.arange(n)), Identity(np.arange(n)))
    far = np.array([n * n - 1, 5])
    assert pairs.block(far).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert pairs.diagonal(far).tolist() == [1.0, 1.0]
    for whole in (big, pairs, Sparse(sp.eye_array(n), np.arange(n)), Pedigree(np.arange(n), [-1] * n, [-1] * n)):
        with pytest.raises(MemoryLimitError, match=r"needs \d+\.\d GiB"):
            whole.block()
    with pytest.raises(MemoryLimitError, match="pairs of levels"):
        _ = pairs.labels


# what is no covariance at all


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3.0, "is a float: give a labelled data frame"),
        ([[1.0]], "is a list, which has no labels"),
        (Dense, "is the class Dense: make one"),
        ((GOOD, "abc"), "list of names, not 'abc'"),
        (("A", ABC), "square matrix with labels, not str"),
    ],
)
def test_something_else_is_refused_by_name(value, message):
    with pytest.raises(CovarianceError, match=message) as told:
        as_covariance(value, "A")
    assert "cov['A']" in str(told.value)


def test_a_polars_table_has_no_labels():
    polars = pytest.importorskip("polars")
    with pytest.raises(CovarianceError, match=r"cov\['A'\] is a polars table, which has no row labels"):
        as_covariance(polars.DataFrame(GOOD), "A")


def test_a_covariance_is_handed_on_as_it_is():
    cov = Dense(GOOD, ABC)
    assert as_covariance(cov, "A") is cov
    with pytest.raises(CovarianceError, match="the right factor of a Kronecker product"):
        Kronecker(cov, GOOD)


def test_labels_of_several_levels_are_refused():
    index = pd.MultiIndex.from_product([["a"], [1, 2, 3]])
    with pytest.raises(CovarianceError, match="several levels of row or column labels"):
        as_covariance(pd.DataFrame(GOOD, index=index, columns=index), "A")


def test_a_label_that_json_cannot_hold_is_named_when_saved():
    cov = Dense(GOOD, ["a", "b", frozenset("c")])
    with pytest.raises(CovarianceError, match="cannot be saved: use text or numbers"):
        cov.state()
