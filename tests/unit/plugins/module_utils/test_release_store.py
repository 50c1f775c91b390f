"""The releases that a host has: the list, which one is current, and which may go."""

import json
import os
import shutil
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import ReleaseError
from ansible_collections.inference.host.plugins.module_utils.release_store import (
    installed_models,
    installed_releases,
    prune,
    read_unit_files,
    served_releases,
    superfluous,
    switch,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def models(tmp_path):
    """A folder with releases a (oldest) to d of model m, the current one being b, and one release of model n."""
    for number, (name, release) in enumerate([("m", "a"), ("m", "b"), ("m", "c"), ("m", "d"), ("n", "x")]):
        folder = tmp_path / name / release
        folder.mkdir(parents=True)
        (folder / "x.gguf").write_bytes(b"GGUF")
        (folder / "manifest.json").write_text(json.dumps({
            "name": name, "release": release, "source": "/x.gguf", "opened": "x.gguf", "check": None,
            "installed": f"2026-01-0{number + 1}T00:00:00Z",
            "files": [{"path": "x.gguf", "size": 4, "sha256": "0" * 64, "mtime_ns": 1}]}))
    os.symlink("b", tmp_path / "m/current")
    (tmp_path / ".incoming").mkdir()
    (tmp_path / "others-folder").mkdir()
    return str(tmp_path)


def names(models, name="m"):
    return [one["release"] for one in installed_releases(models, name)]


def test_the_list_is_newest_first(models):
    assert installed_models(models) == ["m", "n"]
    found = installed_releases(models, "m")
    assert [one["release"] for one in found] == ["d", "c", "b", "a"]
    assert found[2] == {
        "release": "b", "installed": "2026-01-02T00:00:00Z", "current": True, "source": "/x.gguf", "opened": "x.gguf",
        "check": None, "files": {"x.gguf": "0" * 64}, "size_bytes": 4}
    assert [one["current"] for one in found] == [False, False, True, False]
    assert installed_releases(models, "absent") == []


def test_what_has_no_sound_manifest_is_no_release(models):
    Path(models, "m/d/manifest.json").write_text("{")
    Path(models, "m/c/manifest.json").unlink()
    os.symlink("a", Path(models, "m/link"))
    assert names(models) == ["b", "a"]


@pytest.mark.parametrize(("keep", "needed", "left"), [
    (1, set(), ["d", "b"]), (2, set(), ["d", "c", "b"]), (1, {("m", "a")}, ["d", "b", "a"]), (9, set(), list("dcba")),
    (1, {("n", "c")}, ["d", "b"])])
def test_the_newest_the_current_and_the_needed_stay(models, keep, needed, left):
    foretold = prune(models, keep, needed, only_look=True)
    assert names(models) == list("dcba")
    assert prune(models, keep, needed) == foretold == ["m/" + one for one in "dcba" if one not in left]
    assert names(models) == left
    assert names(models, "n") == ["x"]
    assert prune(models, keep, needed) == []
    assert sorted(os.listdir(models)) == [".incoming", "m", "n", "others-folder"]


def test_a_removal_that_was_killed_is_finished(models):
    os.rename(Path(models, "m/a"), Path(models, "m/.going.a"))
    assert names(models) == ["d", "c", "b"]
    assert prune(models, 9, set()) == []
    assert not Path(models, "m/.going.a").exists()


def test_a_removal_that_was_killed_is_not_in_the_way_of_the_next(models):
    shutil.copytree(Path(models, "m/a"), Path(models, "m/.going.a"))
    assert prune(models, 3, set()) == ["m/a"]
    assert not Path(models, "m/.going.a").exists()


@given(st.lists(st.sampled_from("abcdefg"), unique=True), st.integers(0, 8), st.sets(st.sampled_from("abcdefg")),
       st.sampled_from("abcdefg"))
def test_what_may_go_is_never_needed_and_the_rest_is_enough(releases, keep, needed, current):
    listed = [{"release": name, "current": name == current} for name in releases]
    gone = superfluous(listed, keep, needed)
    left = [name for name in releases if name not in gone]
    assert not set(gone) & (needed | {current})
    assert releases[:keep] == left[:keep]
    assert set(left) <= set(releases[:keep]) | needed | {current}


def test_unit_files_say_what_is_served(tmp_path):
    unit = tmp_path / "inference-chat@0.service.d"
    unit.mkdir()
    (unit / "placement.conf").write_text(
        "# /srv/models/m/old\nExecStart=/opt/llama-server --model /srv/models/m/a5fd/x.gguf --port 1\n")
    (tmp_path / "inference-chat@.service").write_text("ReadOnlyPaths=/srv/models\nX=/srv/modelsx/m/no/x\n")
    texts = read_unit_files([f"{tmp_path}/inference-*", f"{tmp_path}/inference-*/*"])
    assert len(texts) == 2
    assert served_releases("/srv/models/", texts) == {("m", "old"), ("m", "a5fd")}


def test_current_is_switched_to_what_is_installed(models):
    assert switch(models, {"m": "d", "n": "x"}, only_look=True) == ["m", "n"]
    assert os.readlink(Path(models, "m/current")) == "b"
    assert switch(models, {"m": "d", "n": "x"}) == ["m", "n"]
    assert [os.readlink(Path(models, name, "current")) for name in "mn"] == ["d", "x"]
    assert switch(models, {"m": "d"}) == []


def test_who_only_looks_may_name_a_release_that_an_earlier_task_would_install(models):
    assert switch(models, {"m": "e", "o": "x"}, only_look=True) == ["m", "o"]
    assert os.readlink(Path(models, "m/current")) == "b" and not Path(models, "o").exists()


@pytest.mark.parametrize(("wanted", "sentence"), [
    ({"n": "x", "m": "e"}, "release 'e' is not installed; there are d, c, b, a"),
    ({"o": "x"}, "release 'x' is not installed; there are none"),
    ({"../m": "a"}, "current has the model '../m'; a model's name is letters"),
])
def test_nothing_is_switched_when_one_is_missing(models, wanted, sentence):
    with pytest.raises(ReleaseError, match=sentence):
        switch(models, wanted)
    assert not Path(models, "n/current").exists()
