"""Runs killed at every point, each in a process of its own that a trace function kills: the next run makes it right."""

import os
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from test_tunables_restore import contents
from tunable_trees import FOLDER, THP, apply, file, put, restore, statuses, sysctl, sysfs

POINTS = 60
"""How many points are tried, evenly over the run."""


class Counting:
    """Traces the lines of the collection; at line number `last` the process kills itself."""

    def __init__(self, last=None):
        self.count, self.last = 0, last

    def __call__(self, frame, _event, _arg):
        return self.line if "module_utils" in frame.f_code.co_filename else None

    def line(self, _frame, event, _arg):
        if event == "line":
            self.count += 1
            if self.count == self.last:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.line


def lines_of(work):
    """Return how many lines `work` runs."""
    counting = Counting()
    sys.settrace(counting)
    try:
        work()
    finally:
        sys.settrace(None)
    return counting.count


def killed_at(line, work):
    """Run `work` in a child that is killed at this line; return whether it was."""
    child = os.fork()
    if child == 0:
        sys.settrace(Counting(line))
        try:
            work()
        finally:
            os._exit(0)
    _pid, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def host_below(folder):
    put(folder, "/proc/sys/vm/swappiness", "60\n")
    put(folder, THP, "always\n")
    put(folder, "/etc/x.conf", "theirs\n")
    put(folder, "/proc/sys/kernel/random/boot_id", "1\n")
    return folder


def settings(folder):
    command = ["cp", f"{folder}/etc/x.conf", f"{folder}/reloaded"]
    files = [file("/etc/x.conf", "ours\n", command, reboot="why"), file("/etc/new/y.conf", "y\n")]
    return [sysctl(), sysfs(value="never"), *files]


def warnings(outcome):
    """Return the warnings, but for a file of the tree that is empty between open and write; a kernel's never is."""
    return [sentence for sentence in outcome.warnings if " was , " not in sentence]


def points(total):
    return sorted({1 + number * (total - 1) // (POINTS - 1) for number in range(POINTS)})


@pytest.fixture(scope="module")
def lengths():
    """How many lines an apply and a restore take."""
    with tempfile.TemporaryDirectory() as folder:
        host_below(folder)
        counts = [lines_of(lambda: apply(settings(folder), folder)), lines_of(lambda: restore(folder))]
    assert min(counts) > POINTS
    return counts


def test_an_apply_killed_anywhere_is_finished_by_the_next_and_can_be_undone(lengths, tmp_path):
    for line in points(lengths[0]):
        folder = str(tmp_path / str(line))
        before = contents(host_below(folder))
        assert killed_at(line, lambda folder=folder: apply(settings(folder), folder))
        apply(settings(folder), folder)
        assert Path(folder, "reloaded").read_text() == "ours\n", line
        again = apply(settings(folder), folder)
        assert set(statuses(again.rows)) == {"ok"}
        assert again.reboot_required == ["/etc/x.conf was changed: why"]
        assert all(row["persisted"] for row in again.rows)
        assert not again.files and not again.commands
        restore(folder)
        assert Path(folder, "reloaded").read_text() == "theirs\n"
        os.unlink(folder + "/reloaded")
        assert contents(folder) == before, line


def test_an_apply_killed_anywhere_can_be_undone_at_once(lengths, tmp_path):
    for line in points(lengths[0]):
        folder = str(tmp_path / str(line))
        before = contents(host_below(folder))
        killed_at(line, lambda folder=folder: apply(settings(folder), folder))
        assert warnings(restore(folder)) == [], line
        if os.path.exists(folder + "/reloaded"):
            assert Path(folder, "reloaded").read_text() == "theirs\n"
            os.unlink(folder + "/reloaded")
        assert contents(folder) == before, line


def test_a_restore_killed_anywhere_is_finished_by_the_next(lengths, tmp_path):
    for line in points(lengths[1]):
        folder = str(tmp_path / str(line))
        before = contents(host_below(folder))
        apply(settings(folder), folder)
        assert killed_at(line, lambda folder=folder: restore(folder))
        outcome = restore(folder)
        assert warnings(outcome) == [], line
        assert outcome.reboot_required == ["/etc/x.conf was put back: why"], line
        assert Path(folder, "reloaded").read_text() == "theirs\n"
        os.unlink(folder + "/reloaded")
        assert contents(folder) == before, line
        assert [name for name in os.listdir(folder + FOLDER) if name.endswith(".json")] == ["reboot.json"]
