"""Rows 97 and 98: files from the future, truncated, altered or malicious; places that cannot be written."""

import errno
import hashlib
import io
import json
import os
import pickle
import resource
import tempfile
import zipfile

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.errors import StoredModelError
from mixedvc.io.archive import MANIFEST


@pytest.fixture(scope="module")
def fit():
    return mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"))


@pytest.fixture
def saved(fit, tmp_path):
    fit.save(tmp_path / "model.mvc")
    return tmp_path / "model.mvc"


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, parts, *, seal=True, compression=zipfile.ZIP_STORED):
    """A model file of these members; `seal` makes its checksums agree, as a careful forger would."""
    parts = dict(parts)
    if seal and MANIFEST in parts:
        manifest = json.loads(parts[MANIFEST])
        for name, data in parts.items():
            if name != MANIFEST and isinstance(manifest["arrays"], dict):
                short = name.removeprefix("arrays/").removesuffix(".npy")
                manifest["arrays"][short] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        parts[MANIFEST] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
        archive.comment = b"sha256:" + hashlib.sha256(parts.get(MANIFEST, b"")).hexdigest().encode()
    return path


def edited(path, edit):
    """The file with its manifest changed by `edit`, checksums made to agree."""
    parts = members(path)
    manifest = json.loads(parts[MANIFEST])
    edit(manifest)
    parts[MANIFEST] = json.dumps(manifest).encode()
    return write(path, parts)


class Evil:
    """Unpickling this makes a folder."""

    def __init__(self, where):
        self.where = str(where)

    def __reduce__(self):
        return os.mkdir, (self.where,)


def test_97_the_forger_of_these_tests_writes_files_that_load(saved, fit):
    assert mv.load(edited(saved, lambda manifest: None)).llf == fit.llf


def test_97_a_file_of_a_future_version_names_both_versions(saved):
    def from_the_future(manifest):
        manifest["version"] = 2
        manifest["written_by"]["mixedvc"] = "7.1.0"

    edited(saved, from_the_future)
    with pytest.raises(
        StoredModelError, match=r"mixedvc 7\.1\.0 in format version 2; this is mixedvc .*pip install --up"
    ):
        mv.load(saved)


@pytest.mark.parametrize("version", [0, -1, "1", None, True, 1.5])
def test_97_a_version_that_is_no_version_is_refused(saved, version):
    edited(saved, lambda manifest: manifest.update(version=version))
    with pytest.raises(StoredModelError, match="format version"):
        mv.load(saved)


def test_97_a_truncated_file_is_named_wherever_it_ends(saved, fit):
    data = saved.read_bytes()
    for size in [0, 1, 4, 30, 100, *range(200, len(data), 211), len(data) - 1]:
        saved.write_bytes(data[:size])
        with pytest.raises(StoredModelError, match=r"model\.mvc"):
            mv.load(saved)
    saved.write_bytes(data)
    assert mv.load(saved).llf == fit.llf


def test_97_no_altered_byte_changes_a_number_or_escapes_as_another_error(saved, fit):
    data = saved.read_bytes()
    refused: list[str] = []
    rng = np.random.default_rng(97)
    for position in np.unique(np.r_[rng.integers(0, len(data), 350), np.arange(60), len(data) - 1 - np.arange(120)]):
        altered = bytearray(data)
        altered[position] ^= 1 << int(rng.integers(8))
        saved.write_bytes(bytes(altered))
        try:
            again = mv.load(saved)
        except StoredModelError as error:
            refused.append(str(error))
        else:  # a date or a flag of the zip container that holds nothing of the model
            assert again.llf == fit.llf
            assert again.estimate.theta.tolist() == fit.estimate.theta.tolist()
            assert again.spec.y.tolist() == fit.spec.y.tolist()
    assert len(refused) > 300
    assert all("model.mvc" in message for message in refused)


def test_97_an_altered_array_is_named_by_its_checksum(saved):
    parts = members(saved)
    name = next(name for name in parts if name != MANIFEST)
    parts[name] = parts[name][:-1] + bytes([parts[name][-1] ^ 1])
    write(saved, parts, seal=False)
    with pytest.raises(
        StoredModelError, match=rf"checksum of '{name}' does not match, it was altered: nothing was loaded"
    ):
        mv.load(saved)


def test_97_an_altered_manifest_is_noticed(saved):
    parts = members(saved)
    text = parts[MANIFEST].replace(b"Yield", b"yield")
    with zipfile.ZipFile(saved) as archive:
        comment = archive.comment
    with zipfile.ZipFile(saved, "w") as archive:
        for name, data in (parts | {MANIFEST: text}).items():
            archive.writestr(name, data)
        archive.comment = comment
    with pytest.raises(StoredModelError, match=r"checksum of 'manifest\.json' does not match"):
        mv.load(saved)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m.update(format="other"), "not a model saved by mixedvc"),
        (lambda m: m.update(arrays=[]), "lists no arrays"),
        (
            lambda m: m["arrays"].update(a99={"bytes": 1, "sha256": ""}),
            r"its arrays are not those its manifest lists \(a99\)",
        ),
        (lambda m: m.update(content=None), "holds no results"),
        (
            lambda m: m["content"].update(kind="spectrum"),
            "results of the kind 'spectrum', which this version does not know",
        ),
        (lambda m: m["content"]["results"].pop("estimate"), "cannot be made into results"),
        (lambda m: m["content"]["results"]["request"].update(odd=1), "options this version does not know: odd"),
        (lambda m: m["content"]["results"].update(estimate={"$": "odd"}), "unknown kind 'odd'"),
        (lambda m: m["content"]["results"].update(estimate={"$": "array", "name": "a0"}), "model.mvc"),
        (lambda m: m["content"]["results"]["request"].update(formula="Yield ~ __import__('os')"), "cannot be made"),
    ],
)
def test_97_a_manifest_that_says_nonsense_is_refused(saved, edit, message):
    edited(saved, edit)
    with pytest.raises(StoredModelError, match=message):
        mv.load(saved)


def test_97_a_covariance_of_an_unknown_kind_is_named(tmp_path):
    data = pd.DataFrame({"y": [1.0, 2, 4, 3, 2, 6], "g": list("aabbcc")})
    A = pd.DataFrame(np.eye(3) + 0.2, list("abc"), list("abc"))
    mv.fit("y ~ 1 + (1 | g:A)", data, cov={"A": A}).save(tmp_path / "k.mvc")

    def rename(manifest):
        manifest["content"]["results"]["request"]["covariances"][0]["kind"] = "graph"

    edited(tmp_path / "k.mvc", rename)
    with pytest.raises(StoredModelError, match=r"cov\['A'\] is of the kind 'graph', which is not installed"):
        mv.load(tmp_path / "k.mvc")


def test_97_an_array_that_carries_a_pickle_is_refused_unopened(saved, tmp_path):
    parts = members(saved)
    array = np.empty(1, dtype=object)
    array[0] = Evil(tmp_path / "pwned")
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    name = next(name for name in parts if name != MANIFEST)
    parts[name] = stream.getvalue()
    write(saved, parts)
    with pytest.raises(StoredModelError, match=rf"'{name}'.*Python objects.*pickles are never loaded"):
        mv.load(saved)
    parts[name] = pickle.dumps(Evil(tmp_path / "pwned"))
    write(saved, parts)
    with pytest.raises(StoredModelError, match=rf"'{name}'.*npy header cannot be read"):
        mv.load(saved)
    assert not (tmp_path / "pwned").exists()


def test_97_a_header_that_announces_more_than_there_is_allocates_nothing(saved):
    parts = members(saved)
    name = next(name for name in parts if name != MANIFEST)
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (10**7, 10**7)})
    parts[name] = stream.getvalue() + bytes(16)
    write(saved, parts)
    with pytest.raises(StoredModelError, match=rf"'{name}'.*announces 800000000000000 bytes .*but 16 are there"):
        mv.load(saved)


def test_97_a_zip_bomb_is_refused_before_it_is_opened(saved):
    parts = members(saved)
    parts["arrays/a999.npy"] = bytes(50_000_000)
    write(saved, parts, compression=zipfile.ZIP_DEFLATED)
    assert saved.stat().st_size < 200_000
    with pytest.raises(StoredModelError, match="is compressed, which mixedvc never does"):
        mv.load(saved)


def test_97_members_that_announce_more_than_the_file_holds_are_refused(saved):
    data = bytearray(saved.read_bytes())
    entry = data.index(b"PK\x01\x02")
    huge = (2**31).to_bytes(4, "little")
    data[entry + 20 : entry + 28] = huge + huge
    saved.write_bytes(bytes(data))
    with pytest.raises(StoredModelError, match=r"members announce \d+ bytes, the file has \d+"):
        mv.load(saved)


@pytest.mark.parametrize("name", ["../evil.npy", "arrays/../../x.npy", "code.py", "arrays/a1.pkl", "/etc/passwd"])
def test_97_a_member_that_we_do_not_write_is_refused(saved, name):
    parts = members(saved)
    parts[name] = b"x"
    with zipfile.ZipFile(saved, "w") as archive:
        for member, data in parts.items():
            archive.writestr(member, data)
    with pytest.raises(StoredModelError, match="not a model saved by mixedvc, or altered: it holds"):
        mv.load(saved)


def test_97_a_member_that_stands_twice_is_refused(saved):
    parts = members(saved)
    with zipfile.ZipFile(saved, "w") as archive:
        for member, data in parts.items():
            archive.writestr(member, data)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(MANIFEST, parts[MANIFEST])
    with pytest.raises(StoredModelError, match="stands in it twice"):
        mv.load(saved)


def test_97_what_is_no_model_file_says_what_is_wrong(tmp_path):
    (tmp_path / "text.mvc").write_text("hello")
    (tmp_path / "pickle.mvc").write_bytes(pickle.dumps(Evil(tmp_path / "pwned")))
    with zipfile.ZipFile(tmp_path / "zip.mvc", "w") as archive:
        archive.writestr("arrays/a0.npy", b"")
    for name, message in (
        ("absent.mvc", r"there is no file .*absent\.mvc"),
        ("text.mvc", "it is no zip archive"),
        ("pickle.mvc", "it is no zip archive"),
        ("zip.mvc", r"no 'manifest\.json' in it"),
        (".", "is a folder"),
    ):
        with pytest.raises(StoredModelError, match=message):
            mv.load(tmp_path / name)
    assert not (tmp_path / "pwned").exists()


def test_97_other_versions_of_the_packages_that_give_another_design_are_named(saved):
    def another_design(manifest):
        design = manifest["content"]["results"]["design"]["items"]
        y = next(item for item in design if item[0] == "y")
        x = next(item for item in design if item[0] == "X")
        x[1] = {"$": "array", "name": y[1]["name"]}

    edited(saved, another_design)
    with pytest.raises(StoredModelError, match="do not give the design that was fitted"):
        mv.load(saved)


@pytest.fixture
def small_files():
    """A limit of 2000 bytes a file: what is written beyond it fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_98_a_full_disk_keeps_the_original_and_leaves_nothing_behind(saved, fit, small_files):
    before = saved.read_bytes()
    with pytest.raises(StoredModelError, match=r"cannot write .*model\.mvc'.*the file that was there is unchanged"):
        fit.save(saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
    with pytest.raises(StoredModelError, match=r"new\.mvc': File too large$"):
        fit.save(saved.with_name("new.mvc"))
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_98_a_read_only_disk_is_an_error_of_ours(saved, fit, monkeypatch):
    def read_only(*args, **kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    before = saved.read_bytes()
    monkeypatch.setattr(tempfile, "mkstemp", read_only)
    with pytest.raises(StoredModelError, match="Read-only file system; the file that was there is unchanged"):
        fit.save(saved)
    assert saved.read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write into a read-only folder")
def test_98_a_read_only_folder_is_an_error_of_ours(saved, fit):
    saved.parent.chmod(0o500)
    try:
        with pytest.raises(StoredModelError, match="Permission denied; the file that was there is unchanged"):
            fit.save(saved)
    finally:
        saved.parent.chmod(0o700)


def test_98_a_failure_while_replacing_removes_the_temporary_file(saved, fit, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    before = saved.read_bytes()
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(StoredModelError, match="Input/output error"):
        fit.save(saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_98_a_folder_as_target_or_a_missing_folder_is_named(fit, tmp_path):
    with pytest.raises(StoredModelError, match="it is a folder; add a file name"):
        fit.save(tmp_path)
    with pytest.raises(StoredModelError, match=r"the folder .*nowhere' does not exist"):
        fit.save(tmp_path / "nowhere" / "m.mvc")
