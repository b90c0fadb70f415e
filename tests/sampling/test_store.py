"""Draws on disk: the same as in memory, there after a crash, gone on with, and read with suspicion."""

import json
import os
import shutil
import subprocess
import sys
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mixedvc as mv
from mixedvc.errors import MixedVCWarning, OptionError, StoredModelError
from mixedvc.sampling import chains, store
from mixedvc.sampling.base import ROWS

OPTIONS = {"method": "gibbs", "chains": 2, "seed": 3, "workers": 1}
PRIORS = {"Batch": mv.priors.InverseWishart(1000, 1)}


def fitted(**options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        return mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"), priors=PRIORS, **{**OPTIONS, **options})


def equal(one, other, effects=True):
    for name in ROWS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    if effects:
        for mine, theirs in zip(one.effects, other.effects, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.fixture(scope="module")
def whole():
    return fitted(draws=260, save_random=True)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept") / "draws"
    return fitted(draws=60, save_random=True, store=folder), folder


@pytest.fixture
def copy(kept, tmp_path):
    """A folder of one's own to spoil."""
    return Path(shutil.copytree(kept[1], tmp_path / "copy"))


def test_draws_on_disk_are_those_in_memory_and_effects_stay_there(kept, whole):
    fit, folder = kept
    equal(fit.draws, replace(whole.draws, **rows_of(whole.draws, 60)))
    assert isinstance(fit.draws.effects[0], np.memmap)
    assert not fit.draws.effects[0].flags.writeable
    assert fit.draws.folder == str(folder)
    np.testing.assert_array_equal(np.load(folder / "theta.npy")[:60].swapaxes(0, 1), fit.draws.theta)
    assert any(str(folder) in note for note in fit.estimate.notes)


def rows_of(draws, count):
    rows = {name: getattr(draws, name)[:, :count] for name in ROWS}
    return {**rows, "effects": tuple(u[:, :count] for u in draws.effects)}


def test_a_folder_is_loaded_with_its_model_and_gone_on_with_bit_for_bit(copy, kept, whole):
    again = mv.load(copy)
    equal(again.draws, kept[0].draws)
    assert again.tidy(conf_int=True).equals(kept[0].tidy(conf_int=True))
    longer = again.extend(200)
    equal(longer.draws, whole.draws)
    assert not longer.draws.interrupted
    assert isinstance(longer.draws.effects[0], np.memmap)
    equal(mv.load(copy).draws, whole.draws)
    assert mv.load(copy).estimator.priors == PRIORS


def test_a_saved_file_is_loaded_and_gone_on_with_bit_for_bit(tmp_path, whole):
    first = fitted(draws=60, save_random=True)
    first.save(tmp_path / "fit.mvc")
    again = mv.load(tmp_path / "fit.mvc")
    equal(again.draws, first.draws)
    assert str(again.summary()) == str(first.summary())
    assert again.converged == first.converged
    equal(again.extend(200).draws, whole.draws)


@pytest.mark.parametrize(
    ("options", "more"),
    [
        ({"scheme": "conjugate", "burnin": 30, "thin": 2}, 70),
        ({"proposal": "slice", "burnin": 10}, 70),
        ({"priors": mv.priors.VarianceShare(10)}, 300),
        ({"priors": {"Batch": mv.priors.Fixed(1000.0), "fixed": mv.priors.Normal(1500.0, 50.0)}}, 300),
        ({"priors": None, "fixed_varcomp": {"Batch": 1000.0, "residual": 2500.0}}, 1000),
    ],
    ids=["conjugate", "slice", "shares", "fixed and normal", "all held"],
)
def test_every_scheme_and_prior_comes_back_and_goes_on(options, more, tmp_path):
    data = mv.load_data("dyestuff")
    settings = {"priors": PRIORS, **OPTIONS, "draws": 20, **options}
    first = mv.fit("Yield ~ 1 + (1 | Batch)", data, **settings)
    first.save(tmp_path / "fit.mvc")
    again = mv.load(tmp_path / "fit.mvc")
    equal(
        again.extend(more).draws,
        mv.fit("Yield ~ 1 + (1 | Batch)", data, **{**settings, "draws": 20 + more}).draws,
        False,
    )
    assert again.prior_words() == first.prior_words()


def test_a_folder_of_a_file_saved_elsewhere_is_not_needed(copy, tmp_path):
    mv.load(copy).save(tmp_path / "fit.mvc")
    shutil.rmtree(copy)
    assert mv.load(tmp_path / "fit.mvc").draws.effects[0].shape == (2, 60, 6, 1)


CRASH = """
import os, sys, time
import mixedvc as mv
from mixedvc.sampling import chains, store
store._EVERY = 0.0
took, calls = chains._Runner._took, [0]
def counted(self, *given):
    took(self, *given)
    calls[0] += 1
    if calls[0] == 5:
        os._exit(9)
chains._Runner._took = counted
mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"), method="gibbs", chains=2, seed=3, draws=5000, workers=1,
       priors={"Batch": mv.priors.InverseWishart(1000, 1)}, save_random=True, store=sys.argv[1])
"""


def test_a_run_that_crashed_is_opened_and_gone_on_with(tmp_path, whole):
    folder = tmp_path / "crashed"
    done = subprocess.run([sys.executable, "-c", CRASH, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 9, done.stderr
    again = mv.load(folder)
    assert 0 < again.draws.count < 5000
    assert again.draws.blocks[0] - again.draws.blocks[1] == 1
    assert again.draws.interrupted
    assert "interrupted" in str(again.summary())
    if again.draws.count < 260:
        again = again.extend(260 - again.draws.count)
    equal(replace(again.draws, **rows_of(again.draws, 260)), whole.draws)


def test_a_run_that_crashed_before_its_first_draws_says_so(copy):
    (copy / "chains.mvc").unlink()
    with pytest.raises(StoredModelError, match="holds no draws: the run ended before the first were safe"):
        mv.load(copy)


def test_an_interrupted_run_is_in_the_folder(tmp_path, monkeypatch, whole):
    real, calls = chains.advance, [0]

    def stopped(*arguments):
        calls[0] += 1
        if calls[0] == 6:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(chains, "advance", stopped)
    with pytest.warns(
        MixedVCWarning, match=r"interrupted: each of the 2 chains has \d+ of 5,000 draws; fit.extend\(\d+\)"
    ):
        fit = mv.fit(
            "Yield ~ 1 + (1 | Batch)",
            mv.load_data("dyestuff"),
            **{**OPTIONS, "priors": PRIORS, "draws": 5000, "save_random": True, "store": tmp_path / "draws"},
        )
    monkeypatch.setattr(chains, "advance", real)
    assert fit.draws.interrupted
    again = mv.load(tmp_path / "draws")
    equal(again.draws, fit.draws)
    n = min(260, again.draws.count)
    np.testing.assert_array_equal(again.draws.theta[:, :n], whole.draws.theta[:, :n])


@pytest.mark.parametrize("there", ["file", "files", "fit"])
def test_a_place_that_is_taken_is_refused_before_sampling(there, tmp_path, kept):
    place = tmp_path / "place"
    if there == "file":
        place.write_text("x")
    elif there == "files":
        place.mkdir()
        (place / "mine.txt").write_text("x")
    else:
        place = kept[1]
    words = {"file": "is a file", "files": "holds files already", "fit": r"holds a fit.*mixedvc\.load"}[there]
    with pytest.raises(OptionError, match=rf"store=.*{words}"):
        fitted(draws=10, store=place)


def test_a_specification_without_data_cannot_be_stored(tmp_path):
    from mixedvc.estimators.gibbs import Gibbs
    from mixedvc.testing import assemble

    with pytest.raises(StoredModelError, match=r"store= needs a model that carries its data: use mixedvc\.fit"):
        Gibbs(draws=10, store=tmp_path / "x").fit(assemble.one_way(6, 5, seed=1))


def test_a_disk_without_room_is_noticed_before_sampling(tmp_path, monkeypatch):
    class Full:
        free = 1000

    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: Full)
    monkeypatch.setattr(chains, "advance", lambda *_: pytest.fail("sampled"))
    with pytest.raises(StoredModelError, match=r"need .* GiB more, and the disk has"):
        fitted(draws=1000, save_random=True, store=tmp_path / "x")


def cut(path):
    path.write_bytes(path.read_bytes()[:-8])


def grown(path):
    """A header that announces what is not there."""
    data = path.read_bytes()
    path.write_bytes(store._header((10**12, *np.load(path, mmap_mode="r").shape[1:])) + data[128:])


def object_array(path):
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)


def other_shape(path):
    np.save(path, np.zeros((60, 2, 7)))


def single(path):
    np.save(path, np.load(path).astype(np.float32))


def version_two(path):
    data = path.read_bytes()
    path.write_bytes(data[:6] + b"\x02" + data[7:])


def short(path):
    """A file that is sound and has fewer rows than were written."""
    data = path.read_bytes()
    shape = np.load(path, mmap_mode="r").shape
    row = 8 * int(np.prod(shape[1:]))
    path.write_bytes(store._header((5, *shape[1:])) + data[128 : 128 + 5 * row])


@pytest.mark.parametrize("name", ["theta.npy", "effects-0.npy"])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (cut, "truncated or altered: its header announces"),
        (grown, "truncated or altered: its header announces"),
        (object_array, "not the array it should be"),
        (other_shape, "not the array it should be"),
        (single, "not the array it should be"),
        (version_two, "header cannot be read"),
        (short, "truncated: it has 5 rows"),
        (Path.unlink, "there is no file"),
    ],
)
def test_an_array_that_is_not_what_it_should_be_is_refused(copy, name, spoil, words):
    spoil(copy / name)
    with pytest.raises(StoredModelError, match=words) as caught:
        mv.load(copy)
    assert name in str(caught.value)


@pytest.mark.parametrize("name", ["chains.mvc", "model.mvc"])
def test_a_note_that_was_altered_is_refused(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(bytes(data))
    with pytest.raises(StoredModelError, match=r"altered|checksum"):
        mv.load(copy)


def rewritten(path, change):
    """A note with other content and right checksums, as somebody who means harm writes it."""
    from mixedvc.io.archive import read_archive, write_archive

    manifest, arrays = read_archive(path)
    content = json.loads(json.dumps(manifest["content"]))
    change(content)
    write_archive(path, content, arrays)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["results"]["plan"].update(name="os.system"), "scheme 'os.system'; this version has"),
        (
            lambda c: c["results"]["plan"]["fields"]["items"].append(["__class__", 1]),
            "fields this version does not have",
        ),
        (lambda c: c.update(kind="point"), "does not describe chains"),
    ],
)
def test_a_note_that_names_what_we_do_not_have_runs_nothing(copy, change, words):
    rewritten(copy / "chains.mvc", change)
    with pytest.raises(StoredModelError, match=words):
        mv.load(copy)


def test_no_member_of_a_folder_is_a_pickle(kept):
    for path in kept[1].iterdir():
        data = path.read_bytes()
        if path.suffix == ".npy":
            assert np.load(path, allow_pickle=False).dtype == np.float64
        else:
            assert zipfile.is_zipfile(path)
        assert b"\x80\x04\x95" not in data[:64]


def test_a_draw_of_a_chain_of_another_model_is_refused(copy, tmp_path):
    other = mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"), **{**OPTIONS, "draws": 20})
    other.save(tmp_path / "other.mvc")

    def fewer(content):
        for pair in content["results"]["draws"]["values"]["items"]:
            if pair[0] == "blocks":
                pair[1]["items"].pop()

    rewritten(tmp_path / "other.mvc", fewer)
    with pytest.raises(StoredModelError, match="draws do not fit the model"):
        mv.load(tmp_path / "other.mvc")


def test_files_end_with_the_last_row_and_hold_no_room_for_more(kept):
    fit, folder = kept
    rows = 60 + max(len(piece) for piece in fit.draws.surplus)
    assert np.load(folder / "effects-0.npy", mmap_mode="r").shape == (rows, 2, 6, 1)
    assert os.path.getsize(folder / "effects-0.npy") == 128 + 8 * rows * 2 * 6
