"""Files on their way: room, uploads, partial files that are links, and what killed runs leave."""

import hashlib
import os
import pwd
import stat
import tempfile
import time
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils import incoming as incoming_file
from ansible_collections.inference.host.plugins.module_utils.errors import ReleaseError
from ansible_collections.inference.host.plugins.module_utils.incoming import Incoming, locked, sweep_abandoned

DATA = b"GGUF" + bytes(range(256)) * 40
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def incoming(tmp_path):
    """An Incoming of DATA below tmp_path, whose lock is held."""
    with locked(str(tmp_path / "models")):
        yield Incoming(str(tmp_path / "models"), SHA256, "x.gguf")


def left(incoming):
    return sorted(os.listdir(incoming.folder))


@pytest.mark.parametrize(
    ("size", "already", "mib"),
    [(0, 0, 64), (100 << 20, 0, 164), (2000 << 20, 0, 2100), (2000 << 20, 1500 << 20, 600)],
)
def test_room_is_the_size_and_five_percent_or_64_mib(size, already, mib):
    assert incoming_file.room_needed(size, already) == mib << 20


def test_missing_room_is_said_with_both_numbers(tmp_path):
    free = incoming_file.free_bytes(str(tmp_path))
    models_dir = str(tmp_path / "models")
    incoming_file.check_room(models_dir, 1)
    with pytest.raises(ReleaseError) as raised:
        incoming_file.check_room(models_dir, 2 * free + (1 << 40))
    words = str(raised.value).split()
    assert str(raised.value).startswith(f"models_dir ({models_dir}) has ")
    assert abs(int(words[3]) - (free >> 20)) < 1000
    assert int(words[6]) > int(words[3])
    assert not (tmp_path / "models").exists()


def test_a_right_file_becomes_whole(incoming):
    assert (incoming.size(), incoming.is_whole()) == (0, False)
    Path(incoming.partial).write_bytes(DATA[:10])
    assert (incoming.size(), incoming.is_whole()) == (10, False)
    Path(incoming.partial).write_bytes(DATA)
    Path(incoming.note).write_text("{}")
    incoming.finish("PLACE")
    assert (incoming.size(), incoming.is_whole()) == (len(DATA), True)
    assert left(incoming) == [SHA256 + ".whole", "lock"]
    assert stat.S_IMODE(os.stat(incoming.whole).st_mode) == 0o644


@pytest.mark.parametrize(("data", "sentence"), [
    (DATA[:-1], f"sha256 {SHA256} is expected, but PLACE has [0-9a-f]{{64}}"),
    (b"<html>", "PLACE is no GGUF file: it begins with b'<htm' instead of b'GGUF'"),
])
def test_a_wrong_file_is_removed(incoming, data, sentence):
    Path(incoming.partial).write_bytes(data)
    with pytest.raises(ReleaseError, match=sentence):
        incoming.finish("PLACE")
    assert left(incoming) == ["lock"]


def test_a_partial_file_that_is_a_link_is_not_written_through(incoming, tmp_path):
    (tmp_path / "victim").write_text("as it was")
    os.symlink(tmp_path / "victim", incoming.partial)
    with pytest.raises(OSError, match="symbolic link"):
        incoming_file.open_private(incoming.partial)
    assert (tmp_path / "victim").read_text() == "as it was"


def test_a_link_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models/.incoming").symlink_to(tmp_path)
    with pytest.raises(ReleaseError, match="incoming is no folder; move it away"), locked(str(tmp_path / "models")):
        pass


def test_what_killed_uploads_left_is_removed_and_a_living_one_is_not(incoming):
    dead, living = incoming.make_upload_folder(""), incoming.make_upload_folder("")
    Path(dead, "model").write_bytes(DATA)
    for path in (f"{dead}/model", dead):
        os.utime(path, (0, time.time() - incoming_file.UPLOAD_IDLE_SECONDS - 1))
    os.utime(living, (0, 0))
    Path(living, "model").write_bytes(DATA)
    mine = incoming.make_upload_folder("")
    assert [os.path.exists(folder) for folder in (dead, living, mine)] == [False, True, True]
    incoming.take_upload(f"{living}/model")
    incoming.finish("PLACE")
    assert left(incoming) == [SHA256 + ".whole", "lock"]


def test_a_user_that_the_host_does_not_know_gets_no_folder(incoming):
    assert incoming.make_upload_folder("no-such-user") is None
    assert left(incoming) == ["lock"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_another_user_gets_a_folder_where_it_can_reach_it(mode):
    nobody = pwd.getpwnam("nobody").pw_uid
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, mode)
        incoming = Incoming(folder + "/models", SHA256, "x.gguf")
        with locked(folder + "/models"):
            upload = incoming.make_upload_folder("nobody")
            assert (upload is not None) is (mode == 0o755)
            if upload is None:
                return
            assert (os.stat(upload).st_uid, stat.S_IMODE(os.stat(upload).st_mode)) == (nobody, 0o700)
            Path(upload, "model").write_bytes(DATA)
            os.chown(upload + "/model", nobody, -1)
            incoming.take_upload(upload + "/model")
            incoming.finish("PLACE")
        assert os.stat(incoming.whole).st_uid == os.geteuid()


def test_a_link_for_an_upload_is_refused(incoming, tmp_path):
    (tmp_path / "secret").write_bytes(DATA)
    upload = incoming.make_upload_folder("")
    os.symlink(tmp_path / "secret", upload + "/model")
    with pytest.raises(ReleaseError, match="model is no file"):
        incoming.take_upload(upload + "/model")
    assert (tmp_path / "secret").read_bytes() == DATA


def test_an_upload_in_another_place_is_copied(incoming, tmp_path):
    (tmp_path / "x").write_bytes(DATA)
    incoming.take_upload(str(tmp_path / "x"))
    assert stat.S_IMODE(os.stat(incoming.partial).st_mode) == 0o600
    incoming.drop_upload(str(tmp_path / "x"))
    assert (tmp_path / "x").exists()


def test_what_nobody_went_on_with_goes_after_a_week(incoming):
    now = time.time()
    old = now - incoming_file.ABANDONED_SECONDS - 60
    for name in ("1.partial", "1.note", "2.partial", "3.whole"):
        Path(incoming.folder, name).write_bytes(DATA)
        os.utime(Path(incoming.folder, name), (old, old if name[0] != "2" else now))
    upload = incoming.make_upload_folder("")
    Path(upload, "model").write_bytes(DATA)
    os.utime(upload, (old, old))
    os.utime(Path(incoming.folder, "lock"), (old, old))
    sweep_abandoned(incoming.models_dir, now)
    assert left(incoming) == sorted(["2.partial", "lock", os.path.basename(upload)])
    os.utime(f"{upload}/model", (old, old))
    sweep_abandoned(incoming.models_dir, now)
    assert left(incoming) == ["2.partial", "lock"]
