"""Swap files: really made and marked by mkswap; swapon and swapoff are scripts that keep the tree's /proc/swaps."""

import os
import shutil

import pytest
from ansible_collections.inference.host.plugins.module_utils import tunables, tunables_report
from ansible_collections.inference.host.plugins.module_utils.tunable_kinds import swap as kind
from ansible_collections.inference.host.plugins.module_utils.tunables_host import TunablesError
from tunable_trees import STEM, apply, file_on_path, foresee, put, restore, statuses

FSTAB = "# no swap here\n/dev/vda / ext4 defaults 0 1"
SWAPON = """set -e
[ "$(stat -c %a "$1")" = 600 ]
[ "$(dd if="$1" bs=1 skip=4086 count=10 2>/dev/null)" = SWAPSPACE2 ]
[ "$(du --block-size=1 "$1" | cut -f1)" -ge "$(stat -c %s "$1")" ]
echo "$1 file 1020 0 -2" | sed 's/swap file/swap\\\\040file/' >> {0}/proc/swaps
"""
SWAPOFF = """[ -e "$1" ]
grep -v "^$(echo "$1" | sed 's/ .*//')" {0}/proc/swaps > {0}/swaps; cp {0}/swaps {0}/proc/swaps; rm {0}/swaps
"""

pytestmark = pytest.mark.skipif(not shutil.which("mkswap", path="/usr/sbin:/sbin"), reason="mkswap is not installed")


@pytest.fixture
def host(tmp_path, monkeypatch):
    put(tmp_path, "/etc/fstab", FSTAB)
    put(tmp_path, "/proc/swaps", "Filename Type Size Used Priority\n")
    put(tmp_path, "/proc/self/mounts", "/dev/vda / ext4 rw 0 0\n")
    (tmp_path / "var").mkdir()
    file_on_path(tmp_path, monkeypatch, "swapon", SWAPON.format(tmp_path))
    file_on_path(tmp_path, monkeypatch, "swapoff", SWAPOFF.format(tmp_path))
    return tmp_path


def swap(mib="2", path="/var/swap file", **more):
    return dict({"name": "swap", "kind": "swap", "path": path, "value": mib}, **more)


def size(root):
    return os.path.getsize(root / "var/swap file") >> 20


@pytest.mark.parametrize("file_system", ["ext4", "ext3"])
def test_a_swap_file_is_made_used_kept_and_taken_back(host, file_system, snapshot):
    put(host, "/proc/self/mounts", f"/dev/vda / {file_system} rw 0 0\n")
    before = snapshot(host)
    foreseen = foresee([swap()], host)
    assert snapshot(host) == before
    outcome = apply([swap()], host)
    row = outcome.rows[0]
    assert (row["before"], row["after"], row["status"], row["persisted"]) == ("absent", "2", "changed", True)
    assert foreseen.rows[0]["after"] == "2"
    assert (host / "etc/fstab").read_text() == FSTAB + "\n/var/swap\\040file none swap sw 0 0\n"
    assert not tunables_report.changed(apply([swap()], host))
    assert sorted(os.listdir(host / "var")) == ["lib", "swap file"]
    restore(host)
    assert (host / "etc/fstab").read_text() == FSTAB
    assert os.listdir(host / "var") == ["lib"]
    assert "swap" not in (host / "proc/swaps").read_text()


def test_another_size_is_a_new_file(host):
    apply([swap()], host)
    outcome = apply([swap("3")], host)
    assert statuses(outcome.rows) == ["changed"]
    assert (outcome.rows[0]["before"], outcome.rows[0]["after"]) == ("2", "3")
    assert size(host) == 3
    assert (host / "proc/swaps").read_text().count("swap\\040file") == 1
    restore(host)
    assert os.listdir(host / "var") == ["lib"]


def test_a_swap_file_that_is_only_off_is_used_and_then_off_again(host):
    apply([swap()], host, "60-other")
    put(host, "/proc/swaps", "Filename Type Size Used Priority\n")
    shutil.rmtree(host / "var/lib")
    outcome = apply([swap()], host)
    assert (outcome.rows[0]["before"], outcome.rows[0]["after"]) == ("off", "2")
    restore(host)
    assert size(host) == 2
    assert "swap" not in (host / "proc/swaps").read_text()


def test_what_a_killed_run_left_half_made_goes(host):
    put(host, "/var/.swap file.inference-host-new~", "half")
    apply([swap()], host)
    assert sorted(os.listdir(host / "var")) == ["lib", "swap file"]


@pytest.mark.parametrize("command", ["mkswap", "swapon"])
def test_a_command_that_fails_is_refused_and_fstab_stays(host, monkeypatch, command):
    file_on_path(host, monkeypatch, command, "echo no such luck; exit 4")
    outcome = apply([swap()], host)
    assert statuses(outcome.rows) == ["refused"]
    assert outcome.rows[0]["detail"].endswith("ended with status 4: no such luck")
    assert (host / "etc/fstab").read_text() == FSTAB
    assert os.listdir(host / "var") == ["lib"]
    assert os.listdir(host / "var/lib/inference.host/baseline") == [".lock"]


def test_a_swap_file_that_made_room_for_one_that_is_refused_comes_back(host, monkeypatch):
    apply([swap()], host, "60-other")
    shutil.rmtree(host / "var/lib")
    file_on_path(host, monkeypatch, "swapon", "echo no such luck; exit 4")
    assert statuses(apply([swap("3")], host).rows) == ["refused"]
    file_on_path(host, monkeypatch, "swapon", SWAPON.format(host))
    restore(host)
    assert size(host) == 2
    assert "swap\\040file" in (host / "proc/swaps").read_text()


def test_a_line_of_fstab_for_swap_that_was_in_use_before_is_taken_back(host):
    apply([swap()], host, "60-other")
    put(host, "/etc/fstab", FSTAB)
    shutil.rmtree(host / "var/lib")
    outcome = apply([swap()], host)
    assert statuses(outcome.rows) == ["ok"] and outcome.rows[0]["persisted"]
    restore(host)
    assert (host / "etc/fstab").read_text() == FSTAB
    assert size(host) == 2
    assert "swap\\040file" in (host / "proc/swaps").read_text()


def test_a_restore_removes_what_a_killed_run_left_half_made(host):
    apply([swap()], host)
    put(host, "/var/.swap file.inference-host-new~", "half")
    restore(host)
    assert os.listdir(host / "var") == ["lib"]


def test_a_swap_file_that_cannot_be_removed_is_refused_in_words_and_kept_for_the_next_run(host, monkeypatch):
    apply([swap()], host)
    unlink = os.unlink

    def refuse(path):
        if str(path).endswith("swap file"):
            raise PermissionError(1, "no", path)
        unlink(path)

    monkeypatch.setattr(os, "unlink", refuse)
    row = restore(host).rows[-1]
    assert (row["status"], row["detail"]) == ("refused", "/var/swap file cannot be removed: operation not permitted")
    monkeypatch.undo()
    restore(host)
    assert os.listdir(host / "var") == ["lib"]


@pytest.mark.parametrize(
    ("file_system", "says"),
    [
        ("tmpfs", "lies on tmpfs (/), which does not hold swap files"),
        ("fuse.sshfs", "lies on fuse.sshfs (/), which"),
        ("nfs4", "lies on nfs4 (/), which"),
    ],
)
def test_file_systems_that_cannot_hold_swap_are_refused_in_words(host, file_system, says, snapshot):
    put(host, "/proc/self/mounts", f"x / {file_system} rw 0 0\n")
    outcome = apply([swap()], host)
    assert statuses(outcome.rows) == ["refused"]
    assert says in outcome.rows[0]["detail"]
    assert os.listdir(host / "var") == ["lib"] or not os.listdir(host / "var")


def test_a_btrfs_that_does_not_take_its_flag_is_refused_and_nothing_is_left(host):
    put(host, "/proc/self/mounts", "x / btrfs rw 0 0\n")  # which it is not, so the kernel refuses the flag
    outcome = apply([swap()], host)
    assert statuses(outcome.rows) == ["refused"]
    assert outcome.rows[0]["detail"].startswith("/var/swap file cannot be made: ")
    assert os.listdir(host / "var") == ["lib"]


def test_room_is_asked_for_before(host):
    outcome = apply([swap("9999999")], host)
    assert statuses(outcome.rows) == ["refused"]
    assert "needs 9999999 MiB, and " in outcome.rows[0]["detail"]


def test_another_file_is_never_overwritten(host):
    put(host, "/var/swap file", "precious")
    outcome = apply([swap()], host)
    assert outcome.rows[0]["detail"] == "/var/swap file is there and is not a swap file"
    assert (host / "var/swap file").read_text() == "precious"


def test_a_kernel_without_swap_is_not_applicable(host):
    (host / "proc/swaps").unlink()
    assert statuses(apply([swap()], host).rows) == ["not_applicable"]


def test_the_file_has_no_holes(tmp_path):
    for number, file_system in enumerate(("ext4", "other")):
        path = tmp_path / str(number)
        kind._make(str(path), 2, file_system)
        now = path.stat()
        assert now.st_size == 2 << 20 <= now.st_blocks * 512
        assert now.st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        (swap("0"), "must be the size in MiB"),
        (swap("1.5"), "must be the size in MiB"),
        (swap("1G"), "must be the size in MiB"),
        (swap(path="/dev/sda"), "must lie on a disk, as a file"),
        (swap(path="swap"), "absolute path"),
        (swap(path="//swap"), "absolute path"),
        (swap(path=None), "absolute path"),
    ],
)
def test_what_is_no_size_or_place_is_refused(setting, says):
    with pytest.raises(TunablesError) as caught:
        tunables.check_settings([setting], STEM)
    assert says in str(caught.value)
