"""Releases on a real disk: names, room, what is found again, and how a file becomes the current release."""

import hashlib
import json
import os
import pwd
import stat
import tempfile
import time
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils import release as release_file
from ansible_collections.inference.host.plugins.module_utils.release import Found, Release, ReleaseError
from hypothesis import given
from hypothesis import strategies as st

DATA = b"GGUF" + bytes(range(256)) * 40
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def make(tmp_path):
    """A function that returns a Release of DATA below tmp_path."""

    def make(**changes):
        values = {"models_dir": str(tmp_path / "models"), "name": "m", "source": "/a/x.gguf", "sha256": SHA256}
        return Release(**dict(values, **changes))

    return make


@pytest.fixture
def installed(make):
    release = make()
    put(release)
    release.make_current()
    return release


def put(release, data=DATA):
    """Install `data` as the release's file."""
    with release.locked():
        Path(release.partial).write_bytes(data)
        release.install()
        release.record()


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("/a/b?c.gguf", "/a/b?c.gguf"),
        ("https://h.org/a/x.gguf?token=secret#part", "https://h.org/a/x.gguf"),
        ("https://user:secret@h.org:8443/a/x.gguf", "https://h.org:8443/a/x.gguf"),
        ("https://user:se/cret@h.org/a/x.gguf", "https://…"),
        ("https://user:se?cret@h.org/a/x.gguf", "https://…"),
        ("https://user:sec@ret@h.org/x.gguf", "https://h.org/x.gguf"),
        ("http://user:secret@[::1]:80/x.gguf", "http://[::1]:80/x.gguf"),
        ("http://[bad/x.gguf", "http://…"),
    ],
)
def test_a_source_is_shown_without_what_may_be_secret(source, shown):
    assert release_file.redact(source) == shown


def test_the_defaults_of_release_and_filename(make):
    release = make(source="https://h.org/a/x.gguf?b=/c.gguf", sha256=SHA256.upper())
    assert (release.release, release.filename) == (SHA256[:12], "x.gguf")
    assert release.source == "https://h.org/a/x.gguf"


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
        ({"filename": "model.bin"}, "filename is 'model.bin'; allowed are .gguf and .safetensors"),
        ({"source": "/a/model.pt"}, "filename is 'model.pt'; allowed are .gguf and .safetensors"),
        ({"source": "s3://key:secret@bucket/x.gguf"}, "source is s3://bucket/x.gguf; it must be a path on the contr"),
        ({"sha256": "12"}, "sha256 is '12'; it must be 64 hexadecimal digits"),
    ],
)
def test_what_is_refused_by_name(make, changes, sentence):
    with pytest.raises(ReleaseError, match=sentence) as raised:
        make(**changes)
    assert "secret" not in str(raised.value)


@given(name=st.text(), filename=st.text(), release=st.text())
def test_no_name_leads_out_of_the_folder_of_the_models(name, filename, release):
    try:
        made = Release("/nowhere/models", name, "/a", SHA256, filename + ".gguf", release)
    except ReleaseError:
        return
    for path in (made.path, made.manifest, made.current):
        assert os.path.normpath(path) == path
        assert path.startswith(f"/nowhere/models/{name}/")
    assert made.current not in (made.folder, made.path)


@pytest.mark.parametrize(
    ("size", "already", "mib"),
    [(0, 0, 64), (100 << 20, 0, 164), (2000 << 20, 0, 2100), (2000 << 20, 1500 << 20, 600)],
)
def test_room_is_the_size_and_five_percent_or_64_mib(size, already, mib):
    assert release_file.room_needed(size, already) == mib << 20


def test_missing_room_is_said_with_both_numbers(make, tmp_path):
    free = release_file.free_bytes(str(tmp_path))
    make().check_room(1)
    with pytest.raises(ReleaseError) as raised:
        make().check_room(2 * free + (1 << 40))
    words = str(raised.value).split()
    assert str(raised.value).startswith(f"models_dir ({tmp_path}/models) has ")
    assert abs(int(words[3]) - (free >> 20)) < 1000
    assert int(words[6]) > int(words[3])
    assert not (tmp_path / "models").exists()


def test_an_installed_release(installed):
    assert Path(installed.current, "x.gguf").read_bytes() == DATA
    assert os.readlink(installed.current) == SHA256[:12]
    modes = {path: stat.S_IMODE(os.stat(path).st_mode) for path in (installed.folder, installed.path)}
    assert modes == {installed.folder: 0o755, installed.path: 0o644}
    assert json.loads(Path(installed.manifest).read_text()) == {
        "name": "m",
        "release": SHA256[:12],
        "source": "/a/x.gguf",
        "files": [{
            "path": "x.gguf",
            "size": len(DATA),
            "sha256": SHA256,
            "mtime_ns": os.stat(installed.path).st_mtime_ns,
        }],
    }
    assert os.listdir(installed.incoming) == ["lock"]
    assert (installed.find(), installed.is_current()) == (Found(len(DATA), True), True)


def test_the_file_is_not_read_while_the_manifest_agrees(installed):
    then = os.stat(installed.path).st_mtime_ns
    Path(installed.path).write_bytes(DATA[::-1])
    os.utime(installed.path, ns=(then, then))
    assert installed.find() == Found(len(DATA), True)


def test_a_touched_file_is_hashed_and_found_right(installed):
    os.utime(installed.path, ns=(5, 5))
    assert installed.find() == Found(len(DATA), False)
    installed.record()
    assert installed.find() == Found(len(DATA), True)


@pytest.mark.parametrize("data", [DATA[::-1], DATA[:-1]])
def test_a_file_with_another_content_is_not_found(installed, data):
    Path(installed.path).write_bytes(data)
    assert installed.find() is None


def test_a_link_in_the_place_of_the_file_is_not_the_file(installed, tmp_path):
    os.rename(installed.path, tmp_path / "x.gguf")
    os.symlink(tmp_path / "x.gguf", installed.path)
    assert installed.find() is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": [1]}', '{"files": [{"path": "x.gguf"}]}'])
def test_without_a_sound_manifest_the_file_is_hashed(installed, text):
    Path(installed.manifest).write_text(text)
    assert installed.find() == Found(len(DATA), False)


def test_a_release_never_changes_its_content(make):
    put(make(release="v1"))
    other = make(release="v1", sha256=hashlib.sha256(b"GGUF").hexdigest())
    with pytest.raises(ReleaseError, match=f"release 'v1' has x.gguf with sha256 {SHA256}, and a release never chang"):
        other.find()


def test_a_second_file_name_is_added_to_the_release(installed, make):
    put(make(filename="y.gguf"))
    assert make().find() == make(filename="y.gguf").find() == Found(len(DATA), True)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (DATA[:-1], f"sha256 {SHA256} is expected, but the file from /a/x.gguf has [0-9a-f]{{64}}"),
        (b"<html>", "the file from /a/x.gguf is no GGUF file: it begins with b'<htm' instead of b'GGUF'"),
    ],
)
def test_a_wrong_file_is_removed_and_the_current_one_stays(installed, make, data, sentence, snapshot):
    before = snapshot(installed.models_dir)
    with pytest.raises(ReleaseError, match=sentence):
        put(make(release="v2"), data)
    after = snapshot(installed.models_dir)
    assert {path: what for path, what in after.items() if path != ".incoming"} == {
        path: what for path, what in before.items() if path != ".incoming"}


def test_safetensors_need_no_magic(make):
    put(make(source="/a/x.safetensors"))
    assert make(source="/a/x.safetensors").find() == Found(len(DATA), True)


def test_current_is_swapped_also_after_a_killed_swap(installed, make):
    put(make(release="v2"))
    os.symlink("half", os.path.join(installed.model_dir, ".current.new"))
    make(release="v2").make_current()
    assert os.readlink(installed.current) == "v2"
    assert sorted(os.listdir(installed.model_dir)) == sorted([SHA256[:12], "current", "v2"])


@pytest.mark.parametrize("place", [".incoming", "m", f"m/{SHA256[:12]}"])
def test_a_link_that_leads_elsewhere_is_refused(make, tmp_path, place):
    path = tmp_path / "models" / place
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path)
    with pytest.raises(ReleaseError, match=f"{path} is no folder; move it away"):
        make()


def test_a_folder_in_the_place_of_current_is_refused(make, tmp_path):
    (tmp_path / "models/m/current").mkdir(parents=True)
    with pytest.raises(ReleaseError, match="current is no symbolic link; move it away"):
        make()


def test_a_partial_file_that_is_a_link_is_not_written_through(make, tmp_path):
    (tmp_path / "victim").write_text("as it was")
    release = make()
    with release.locked():
        os.symlink(tmp_path / "victim", release.partial)
        with pytest.raises(OSError, match="symbolic link"):
            release_file.open_private(release.partial)


def test_what_killed_uploads_left_is_removed_and_a_living_one_is_not(make):
    release = make()
    with release.locked():
        left, living = release.make_upload_folder(""), release.make_upload_folder("")
        Path(left, "model").write_bytes(DATA)
        for path in (f"{left}/model", left):
            os.utime(path, (0, time.time() - release_file.UPLOAD_IDLE_SECONDS - 1))
        os.utime(living, (0, 0))
        Path(living, "model").write_bytes(DATA)
        mine = release.make_upload_folder("")
        assert [os.path.exists(folder) for folder in (left, living, mine)] == [False, True, True]
        release.take_upload(f"{living}/model")
        release.install()
    assert os.listdir(release.incoming) == ["lock"]


def test_a_user_that_the_host_does_not_know_gets_no_folder(make):
    release = make()
    with release.locked():
        assert release.make_upload_folder("no-such-user") is None
    assert os.listdir(release.incoming) == ["lock"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_another_user_gets_a_folder_where_it_can_reach_it(mode):
    nobody = pwd.getpwnam("nobody").pw_uid
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, mode)
        release = Release(folder + "/models", "m", "/a/x.gguf", SHA256)
        with release.locked():
            upload = release.make_upload_folder("nobody")
            assert (upload is not None) is (mode == 0o755)
            if upload is None:
                return
            assert (os.stat(upload).st_uid, stat.S_IMODE(os.stat(upload).st_mode)) == (nobody, 0o700)
            Path(upload, "model").write_bytes(DATA)
            os.chown(upload + "/model", nobody, -1)
            release.take_upload(upload + "/model")
            release.install()
        assert os.stat(release.path).st_uid == os.geteuid()


def test_a_link_for_an_upload_is_refused(make, tmp_path):
    (tmp_path / "secret").write_bytes(DATA)
    release = make()
    with release.locked():
        upload = release.make_upload_folder("")
        os.symlink(tmp_path / "secret", upload + "/model")
        with pytest.raises(ReleaseError, match="model is no file"):
            release.take_upload(upload + "/model")
    assert (tmp_path / "secret").read_bytes() == DATA


def test_an_upload_in_another_place_is_copied(make, tmp_path):
    (tmp_path / "x").write_bytes(DATA)
    release = make()
    with release.locked():
        release.take_upload(str(tmp_path / "x"))
        assert stat.S_IMODE(os.stat(release.partial).st_mode) == 0o600
        release.install()
    assert (tmp_path / "x").exists()
    assert release.find() == Found(len(DATA), False)
