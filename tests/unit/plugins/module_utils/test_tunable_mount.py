"""Mount options, on real file systems in a mount name space of the test's own, and on trees."""

import ctypes
import os
import pickle
import subprocess
import traceback
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils import tunables, tunables_report
from ansible_collections.inference.host.plugins.module_utils.tunables_host import TunablesError
from tunable_trees import STEM, apply, foresee, put, restore, statuses

FSTAB = "# ours\nLABEL=models /srv ext4 defaults 0 2\n"
NEW_MOUNTS = 0x00020000  # CLONE_NEWNS


def in_own_mounts(work):
    """Return what `work` returns, done by a child whose mounts nobody else sees."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        with os.fdopen(send, "wb") as stream:
            try:
                if ctypes.CDLL(None, use_errno=True).unshare(NEW_MOUNTS):
                    raise PermissionError(ctypes.get_errno(), "unshare")
                subprocess.run(["mount", "--make-rprivate", "/"], check=True)
                answer = work()
            except BaseException as error:
                answer = error if isinstance(error, PermissionError) else AssertionError(traceback.format_exc())
            pickle.dump(answer, stream)
            stream.flush()
        os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as stream:
        answer = pickle.load(stream)
    os.waitpid(child, 0)
    if isinstance(answer, PermissionError):
        pytest.skip("this user cannot make mount name spaces")
    if isinstance(answer, BaseException):
        raise answer
    return answer


def mount(*argv):
    subprocess.run(["mount", *map(str, argv)], check=True, capture_output=True)


@pytest.fixture
def host(tmp_path):
    """A tree whose /proc/self/mounts is the real one of whoever looks."""
    put(tmp_path, "/etc/fstab", FSTAB)
    (tmp_path / "srv").mkdir()
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mounts").symlink_to("/proc/self/mounts")
    return tmp_path


@pytest.fixture(params=["tmpfs", "ext4"])
def mounted(request, host):
    """A function that does something while a file system of this type is mounted at /srv."""
    image = host / "image"
    if request.param == "ext4":
        image.write_bytes(b"")
        os.truncate(image, 8 << 20)
        subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)

    def do(work):
        def mounts_first():
            options = ["-o", "loop", image] if request.param == "ext4" else ["none"]
            mount("-t", request.param, *options, host / "srv")
            return work()

        return in_own_mounts(mounts_first)

    return do


def option(value="noatime", path="/srv", **more):
    return dict({"name": "models", "kind": "mount", "path": path, "value": value, "reason": "a reason"}, **more)


def live(root):
    lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [words[3] for words in lines if words[1] == f"{root}/srv"][-1].split(",")


def test_an_option_is_tried_then_kept_in_fstab_and_taken_back(host, mounted):
    def work():
        foreseen = foresee([option()], host)
        first = apply([option()], host)
        now, text = live(host), (host / "etc/fstab").read_text()
        second = apply([option()], host)
        back = restore(host)
        return foreseen, first, now, text, second, back, live(host)

    foreseen, first, now, text, second, back, at_last = mounted(work)
    assert statuses(foreseen.rows) == statuses(first.rows) == ["changed"]
    assert "noatime" in now and "relatime" not in now
    assert first.rows[0]["before"].split(",").count("relatime") == 1
    assert first.rows[0]["after"] == ",".join(now) == foreseen.rows[0]["after"]
    assert [foreseen.rows[0]["persisted"], first.rows[0]["persisted"]] == [False, True]
    assert text == FSTAB.replace("defaults", "defaults,noatime")
    assert statuses(second.rows) == ["ok"]
    assert not tunables_report.changed(second)
    assert set(statuses(back.rows)) == {"changed"}
    assert "relatime" in at_last and "noatime" not in at_last
    assert (host / "etc/fstab").read_text() == FSTAB


def test_an_option_that_the_file_system_does_not_know_never_reaches_fstab(host, mounted):
    rows = mounted(lambda: apply([option("noatime,direct")], host).rows)
    assert statuses(rows) == ["refused"]
    assert "bad option" in rows[0]["detail"]
    assert (host / "etc/fstab").read_text() == FSTAB


def test_without_a_line_in_fstab_the_option_holds_until_the_next_boot(host, mounted):
    put(host, "/etc/fstab", "# nothing\n")
    rows = mounted(lambda: apply([option()], host).rows)
    assert (rows[0]["status"], rows[0]["persisted"]) == ("changed", False)
    assert rows[0]["detail"] == "/etc/fstab has no line for /srv: the options hold until the next boot"
    assert (host / "etc/fstab").read_text() == "# nothing\n"


def test_nothing_mounted_there_is_not_applicable(host):
    rows = apply([option(path="/srv/not/mounted")], host).rows
    assert statuses(rows) == ["not_applicable"]
    assert rows[0]["detail"] == "nothing is mounted at /srv/not/mounted"


def test_an_option_of_fstab_that_the_mount_had_before_is_taken_back(host):
    (host / "proc/self/mounts").unlink()
    put(host, "/proc/self/mounts", f"/dev/vdb {host}/srv ext4 rw,noatime 0 0\n")
    assert statuses(apply([option()], host).rows) == ["ok"]
    assert (host / "etc/fstab").read_text() == FSTAB.replace("defaults", "defaults,noatime")
    assert set(statuses(restore(host).rows)) == {"ok", "changed"}
    assert (host / "etc/fstab").read_text() == FSTAB


def test_two_roles_share_fstab_and_are_undone_one_by_one(host, mounted):
    def work():
        apply([option("noatime")], host, "60-one")
        apply([option("nodiratime,nosuid")], host, "60-two")
        texts = [(host / "etc/fstab").read_text()]
        restore(host, "60-one")
        return texts + [(host / "etc/fstab").read_text(), live(host), restore(host), live(host)]

    both, one, now, _back, at_last = mounted(work)
    assert "defaults,noatime,nodiratime,nosuid 0 2" in both
    assert "defaults,nodiratime,nosuid 0 2" in one
    assert "nosuid" in now and "noatime" not in now
    assert "nosuid" not in at_last
    assert (host / "etc/fstab").read_text() == FSTAB


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        (option("no atime"), "must be mount options"),
        (option("a,,b"), "must be mount options"),
        (option(""), "must be mount options"),
        (option("noatime,nofail"), "'nofail', which is no option that a remount can add"),
        (option("x-systemd.automount"), "no option that a remount can add"),
        (option("ro"), "no option that a remount can add"),
        (option(path="srv"), "absolute mount point"),
        (option(path="//srv"), "absolute mount point"),
        (option(path="/srv/../x"), "absolute mount point"),
        (option(path=None), "absolute mount point"),
        (option(persist="none"), "persist is only for kinds sysctl and sysfs"),
    ],
)
def test_what_is_no_option_of_a_running_mount_is_refused(setting, says):
    with pytest.raises(TunablesError) as caught:
        tunables.check_settings([setting], STEM)
    assert says in str(caught.value)
