"""One file replaced whole or not at all, what is kept of several, and the lock, on real files."""

import os
import resource
import stat
import subprocess
import sys
import time

import pytest
from ansible_collections.inference.host.plugins.module_utils import atomic


def names(folder):
    return sorted(os.listdir(folder))


def test_write_makes_a_file_with_its_mode(tmp_path):
    old_mask = os.umask(0o077)
    try:
        atomic.write(str(tmp_path / "a"), b"new", 0o664)
    finally:
        os.umask(old_mask)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o664
    assert names(tmp_path) == ["a"]


def test_write_replaces_the_file_and_leaves_the_old_one_to_who_has_it_open(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with open(tmp_path / "a", "rb") as reader:
        atomic.write(str(tmp_path / "a"), b"new")
        assert reader.read() == b"old"
    assert (tmp_path / "a").read_bytes() == b"new"


def test_write_replaces_a_symlink_and_not_its_target(tmp_path):
    (tmp_path / "target").write_bytes(b"target")
    (tmp_path / "a").symlink_to("target")
    atomic.write(str(tmp_path / "a"), b"new")
    assert not (tmp_path / "a").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"target"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_write_gives_the_file_away_before_it_sets_the_mode(tmp_path):
    atomic.write(str(tmp_path / "a"), b"new", 0o4755, 1, 2)
    now = (tmp_path / "a").stat()
    assert (stat.S_IMODE(now.st_mode), now.st_uid, now.st_gid) == (0o4755, 1, 2)


def test_write_leaves_the_old_file_when_the_rename_fails(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "inside").write_bytes(b"old")
    with pytest.raises(IsADirectoryError):
        atomic.write(str(tmp_path / "a"), b"new")
    assert names(tmp_path) == ["a"]
    assert names(tmp_path / "a") == ["inside"]


def test_write_leaves_the_old_file_when_the_new_one_does_not_fit(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))  # Python ignores SIGXFSZ, so the write gets EFBIG
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            atomic.write(str(tmp_path / "a"), b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(tmp_path / "a")
    assert atomic.words(caught.value) == "file too large"
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_a_killed_writer_leaves_the_old_file_and_sweep_removes_the_rest(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    code = (
        "import os, signal, sys\n"
        "from ansible_collections.inference.host.plugins.module_utils import atomic\n"
        "os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL)\n"
        "atomic.write(sys.argv[1], b'new')\n"
    )
    search = os.pathsep.join(sys.path)
    done = subprocess.run([sys.executable, "-c", code, str(path)], env=dict(os.environ, PYTHONPATH=search), check=False)
    assert done.returncode == -9
    assert path.read_bytes() == b"old"
    left = [name for name in names(tmp_path) if name != "a"]
    assert len(left) == 1
    assert atomic.is_ours(left[0])
    atomic.sweep(str(path))
    assert names(tmp_path) == ["a"]


def test_what_was_kept_comes_back_as_the_same_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    before = path.stat()
    atomic.keep(str(path))
    atomic.write(str(path), b"new", 0o600)
    assert atomic.kept_paths(str(tmp_path / "*")) == [str(path)]
    assert atomic.put_back(str(path))
    after = path.stat()
    assert path.read_bytes() == b"old"
    assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (before.st_ino, before.st_mode, before.st_mtime_ns)
    assert names(tmp_path) == ["a"]


def test_what_was_kept_and_not_changed_leaves_no_second_name(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    atomic.keep(str(tmp_path / "a"))
    assert atomic.put_back(str(tmp_path / "a"))
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_removed_symlink_comes_back(tmp_path):
    (tmp_path / "a").symlink_to("nowhere")
    atomic.keep(str(tmp_path / "a"))
    (tmp_path / "a").unlink()
    assert atomic.put_back(str(tmp_path / "a"))
    assert os.readlink(tmp_path / "a") == "nowhere"


def test_where_there_are_no_hard_links_a_copy_is_kept(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a").chmod(0o640)
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("a", "link"):
        atomic._keep_copy(str(tmp_path / name), atomic.beside(str(tmp_path / name), atomic.WAS))
        (tmp_path / name).unlink()
        assert atomic.put_back(str(tmp_path / name))
    assert (tmp_path / "a").read_bytes() == b"old"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert os.readlink(tmp_path / "link") == "nowhere"
    assert names(tmp_path) == ["a", "link"]


def test_what_was_absent_becomes_absent_again(tmp_path):
    atomic.keep(str(tmp_path / "a"))
    (tmp_path / "a").write_bytes(b"new")
    assert atomic.put_back(str(tmp_path / "a"))
    assert names(tmp_path) == []


def test_nothing_comes_back_when_nothing_was_kept(tmp_path):
    (tmp_path / "a").write_bytes(b"mine")
    assert not atomic.put_back(str(tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == b"mine"


@pytest.mark.parametrize("existed", [True, False])
def test_forget_leaves_only_the_new_file(tmp_path, existed):
    if existed:
        (tmp_path / "a").write_bytes(b"old")
    atomic.keep(str(tmp_path / "a"))
    atomic.write(str(tmp_path / "a"), b"new")
    atomic.forget(str(tmp_path / "a"))
    assert names(tmp_path) == ["a"]


def test_hidden_names_escape_the_globs_of_those_who_read_the_folder(tmp_path):
    (tmp_path / "a.conf").write_bytes(b"old")
    atomic.keep(str(tmp_path / "a.conf"))
    atomic.keep(str(tmp_path / "b.conf"))
    assert [path.name for path in tmp_path.glob("*.conf")] == ["a.conf"]
    assert all(name.startswith(".") and name.endswith("~") for name in names(tmp_path) if name != "a.conf")


def test_the_lock_keeps_a_second_run_out_until_the_first_ends(tmp_path):
    code = (
        "import sys, time\n"
        "from ansible_collections.inference.host.plugins.module_utils import atomic\n"
        "print('here', flush=True)\n"
        "with atomic.locked(sys.argv[1]):\n"
        "    print(time.monotonic(), flush=True)\n"
    )
    lock = tmp_path / "lock"
    with atomic.locked(str(lock)):
        second = subprocess.Popen(
            [sys.executable, "-c", code, str(lock)],
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
        )
        assert second.stdout.readline() == "here\n"
        wait_until_it_waits(second.pid)
        released = time.monotonic()
    with second.stdout:
        assert float(second.stdout.readline()) >= released
    assert second.wait() == 0
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600


def wait_until_it_waits(pid):
    """Wait until the kernel lists the process among those that wait for a lock (`->` in /proc/locks)."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with open("/proc/locks", encoding="ascii") as stream:
            if any("->" in line and str(pid) in line.split() for line in stream):
                return
    raise AssertionError("the second run never waited for the lock")
