"""Releases on a real disk: names, what is found again, and how files become the current release."""

import hashlib
import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import ReleaseError
from ansible_collections.inference.host.plugins.module_utils.incoming import locked
from ansible_collections.inference.host.plugins.module_utils.release import (
    Found,
    Release,
    default_release,
    read_manifest,
    release_file,
)
from hypothesis import given
from hypothesis import strategies as st

DATA = b"GGUF" + bytes(range(256)) * 40
SHA256 = hashlib.sha256(DATA).hexdigest()
CONFIG = b'{"a": 1}'
TENSORS = (30).to_bytes(8, "little") + b'{"__metadata__":{"a":"b"}}' + b" " * 4
SEVERAL = {"model.safetensors": TENSORS, "config.json": CONFIG, "sub/config.json": CONFIG}
SUMS = {path: hashlib.sha256(data).hexdigest() for path, data in SEVERAL.items()}


@pytest.fixture
def make(tmp_path):
    """A function that returns a Release of DATA below tmp_path."""

    def make(**changes):
        values = {"models_dir": str(tmp_path / "models"), "name": "m", "source": "/a/x.gguf", "sha256": SHA256}
        return Release(**dict(values, **changes))

    return make


@pytest.fixture
def several(make):
    """A function that returns a Release of SEVERAL."""
    return lambda **changes: make(**dict({"source": "/a", "sha256": None, "files": SUMS}, **changes))


@pytest.fixture
def installed(make):
    release = make()
    put(release)
    release.make_current()
    return release


def put(release, contents=None):
    """Install the release's files; contents: {path: bytes}, else DATA for its one file."""
    with locked(release.models_dir):
        missing = release.find().missing
        for path in missing:
            incoming = release.incoming(path)
            Path(incoming.partial).write_bytes((contents or {path: DATA})[path])
            incoming.finish("PLACE")
        release.place(missing)
        release.record()


def files_of(release):
    return sorted(str(path.relative_to(release.folder)) for path in Path(release.folder).rglob("*") if path.is_file())


def test_the_defaults_of_release_and_filename(make):
    release = make(source="https://h.org/a/x.gguf?b=/c.gguf", sha256=SHA256.upper())
    assert (release.release, release.opened) == (SHA256[:12], "x.gguf")
    assert release.source == "https://h.org/a/x.gguf"


def test_several_files_are_named_after_their_list(several):
    """The name is what `sha256sum` makes of its own output."""
    lines = "".join(f"{SUMS[path]}  {path}\n" for path in sorted(SUMS))
    assert several().release == default_release(files=SUMS) == hashlib.sha256(lines.encode()).hexdigest()[:12]
    assert several(files=dict(reversed(SUMS.items()))).release == several().release
    assert several(files=dict(SUMS, **{"config.json": "0" * 64})).release != several().release


@pytest.mark.parametrize(("model", "place"), [
    ({"source": "/a/x.gguf", "sha256": SHA256}, f"m/{SHA256[:12]}/x.gguf"),
    ({"source": "/a/x.gguf", "sha256": SHA256, "filename": "y.gguf"}, f"m/{SHA256[:12]}/y.gguf"),
    ({"source": "/a", "files": SUMS}, f"m/{default_release(files=SUMS)}"),
    ({"source": "/a", "files": {f"q/b-0000{n}-of-00002.gguf": SHA256 for n in (1, 2)}}, "q/b-00001-of-00002.gguf"),
    ({"source": "/a"}, None), ({"sha256": SHA256}, None), ({"files": SUMS}, None),
])
def test_what_an_engine_opens(model, place):
    found = release_file(dict(dict.fromkeys(("source", "sha256", "files", "filename")), name="m", **model))
    assert found == place or found.endswith("/" + place)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"models_dir": "models"}, "models_dir is 'models'; it must be an absolute path"),
        ({"name": "../x"}, "name is '../x'; it must be letters, digits"),
        ({"name": ".incoming"}, "name is '.incoming'; .* no '.' in front"),
        ({"name": "x\n"}, "name is 'x\n'; it must be"),
        ({"release": ".."}, "release is '..'; it must be"),
        ({"release": "current"}, "release is 'current'; that name is the link"),
        ({"filename": "a/x.gguf"}, "filename is 'a/x.gguf'; it must be"),
        ({"filename": "model.bin"}, "filename is 'model.bin'; allowed are .gguf, .safetensors and .ggml, which hold"),
        ({"source": "/a/model.pt"}, "filename is 'model.pt'; allowed are .gguf"),
        ({"source": "ftp://key:secret@h/x.gguf"}, "source is ftp://h/x.gguf; it must be a path on the contr"),
        ({"sha256": "12"}, "sha256 is '12'; it must be 64 hexadecimal digits"),
        ({"sha256": None}, "a model has either sha256, of its one file, or files"),
        ({"files": SUMS}, "a model has either sha256, of its one file, or files"),
        ({"sha256": None, "files": {}}, "files has 0 entries"),
        ({"sha256": None, "files": {"x.gguf": None}}, "files has 'none' for x.gguf; it must be 64"),
        ({"filename": "m-00001-of-00002.gguf"}, "is a part of a split model"),
    ],
)
def test_what_is_refused_by_name(make, changes, sentence):
    with pytest.raises(ReleaseError, match=sentence) as raised:
        make(**changes)
    assert "secret" not in str(raised.value)


@given(name=st.text(), filename=st.text(), release=st.text(), path=st.text())
def test_no_name_leads_out_of_the_folder_of_the_models(name, filename, release, path):
    for what in ({"sha256": SHA256, "filename": filename + ".gguf"}, {"files": {path + ".gguf": SHA256}}):
        try:
            made = Release("/nowhere/models", name, "/a", release=release, **what)
        except ReleaseError:
            continue
        for place in (made.path, made.manifest, made.current):
            assert os.path.normpath(place) == place
            assert place.startswith(f"/nowhere/models/{name}/")
        assert made.current not in (made.folder, made.path)


def test_an_installed_release(installed):
    assert Path(installed.current, "x.gguf").read_bytes() == DATA
    assert os.readlink(installed.current) == SHA256[:12]
    modes = {path: stat.S_IMODE(os.stat(path).st_mode) for path in (installed.folder, installed.path)}
    assert modes == {installed.folder: 0o755, installed.path: 0o644}
    manifest = json.loads(Path(installed.manifest).read_text())
    when = datetime.strptime(manifest.pop("installed"), "%Y-%m-%dT%H:%M:%S.%f%z")
    assert abs(when - datetime.now(UTC)).total_seconds() < 600
    assert manifest == {
        "name": "m",
        "release": SHA256[:12],
        "source": "/a/x.gguf",
        "opened": "x.gguf",
        "check": None,
        "files": [{
            "path": "x.gguf",
            "size": len(DATA),
            "sha256": SHA256,
            "mtime_ns": os.stat(installed.path).st_mtime_ns,
        }],
    }
    assert os.listdir(Path(installed.models_dir, ".incoming")) == ["lock"]
    assert (installed.find(), installed.is_current()) == (Found({"x.gguf": len(DATA)}, [], True, True), True)


def test_a_release_of_several_files(several):
    """Two of them have the same content, which comes once."""
    release = several()
    put(release, SEVERAL)
    assert files_of(release) == ["config.json", "manifest.json", "model.safetensors", "sub/config.json"]
    assert release.path == release.folder
    assert Path(release.folder, "sub/config.json").read_bytes() == CONFIG
    assert stat.S_IMODE(os.stat(Path(release.folder, "sub")).st_mode) == 0o755
    assert release.find() == Found({path: len(data) for path, data in SEVERAL.items()}, [], True, True)
    assert os.listdir(Path(release.models_dir, ".incoming")) == ["lock"]
    entries = read_manifest(release.folder)["files"]
    assert [(entry["path"], entry["sha256"], entry["size"]) for entry in entries] == [
        (path, SUMS[path], len(SEVERAL[path])) for path in sorted(SUMS)]


def test_of_several_files_only_the_wrong_one_is_missing(several):
    release = several()
    put(release, SEVERAL)
    Path(release.folder, "config.json").write_bytes(CONFIG + b" ")
    found = release.find()
    assert (found.missing, sorted(found.sizes)) == (["config.json"], ["model.safetensors", "sub/config.json"])
    put(release, SEVERAL)
    assert release.find().missing == []


def test_the_file_is_not_read_while_the_manifest_agrees(installed):
    then = os.stat(installed.path).st_mtime_ns
    Path(installed.path).write_bytes(DATA[::-1])
    os.utime(installed.path, ns=(then, then))
    assert installed.find() == Found({"x.gguf": len(DATA)}, [], True, True)


def test_a_touched_file_is_hashed_and_found_right(installed):
    since = read_manifest(installed.folder)["installed"]
    os.utime(installed.path, ns=(5, 5))
    assert installed.find() == Found({"x.gguf": len(DATA)}, [], False, True)
    Path(installed.manifest).write_text(Path(installed.manifest).read_text().replace(since, "2020-01-02T03:04:05Z"))
    installed.record()
    assert installed.find() == Found({"x.gguf": len(DATA)}, [], True, True)
    assert read_manifest(installed.folder)["installed"] == "2020-01-02T03:04:05Z"


def test_another_check_is_another_description(installed, make):
    check = {"prompt": "1+1=", "expect": "2", "max_tokens": 4}
    assert make(check=check).find() == Found({"x.gguf": len(DATA)}, [], True, False)
    make(check=check).record()
    assert make(check=check).find().described is True
    assert read_manifest(installed.folder)["check"] == check


@pytest.mark.parametrize("data", [DATA[::-1], DATA[:-1]])
def test_a_file_with_another_content_is_not_found(installed, data):
    Path(installed.path).write_bytes(data)
    assert installed.find().missing == ["x.gguf"]


def test_a_link_in_the_place_of_the_file_is_not_the_file(installed, tmp_path):
    os.rename(installed.path, tmp_path / "x.gguf")
    os.symlink(tmp_path / "x.gguf", installed.path)
    assert installed.find().missing == ["x.gguf"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": [1]}', '{"files": [{"path": "x.gguf"}]}', '{"files": 1}'])
def test_without_a_sound_manifest_the_file_is_hashed(installed, text):
    Path(installed.manifest).write_text(text)
    found = installed.find()
    assert (found.sizes, found.recorded, found.described) == ({"x.gguf": len(DATA)}, False, False)


def test_a_release_never_changes_its_content(make):
    put(make(release="v1"))
    other = make(release="v1", sha256=hashlib.sha256(b"GGUF").hexdigest())
    with pytest.raises(ReleaseError, match=f"release 'v1' has x.gguf with sha256 {SHA256}, and a release never chang"):
        other.find()


def test_a_second_file_name_is_added_to_the_release(installed, make):
    put(make(filename="y.gguf"))
    assert make(filename="y.gguf").find() == Found({"y.gguf": len(DATA)}, [], True, True)
    assert make().find() == Found({"x.gguf": len(DATA)}, [], True, False)


def test_current_is_swapped_also_after_a_killed_swap(installed, make):
    put(make(release="v2"))
    os.symlink("half", os.path.join(installed.model_dir, ".current.new"))
    make(release="v2").make_current()
    assert os.readlink(installed.current) == "v2"
    assert sorted(os.listdir(installed.model_dir)) == sorted([SHA256[:12], "current", "v2"])


@pytest.mark.parametrize("place", ["m", f"m/{SHA256[:12]}"])
def test_a_link_that_leads_elsewhere_is_refused(make, tmp_path, place):
    path = tmp_path / "models" / place
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path)
    with pytest.raises(ReleaseError, match=f"{path} is no folder; move it away"):
        make()


def test_a_link_below_a_release_is_refused(several, tmp_path):
    release = several()
    Path(release.folder).mkdir(parents=True)
    Path(release.folder, "sub").symlink_to(tmp_path)
    with pytest.raises(ReleaseError, match="sub is no folder; move it away"):
        several()


def test_a_folder_in_the_place_of_current_is_refused(make, tmp_path):
    (tmp_path / "models/m/current").mkdir(parents=True)
    with pytest.raises(ReleaseError, match="current is no symbolic link; move it away"):
        make()
