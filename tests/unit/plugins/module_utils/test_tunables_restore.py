"""First-seen values and files put back: exactly, in any order of roles, and telling what others did."""

import errno
import os
import tempfile
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils import (
    atomic,
    baseline,
    overrides,
    tunables_report,
    tunables_restore,
)
from ansible_collections.inference.host.plugins.module_utils.tunables_host import Host, TunablesError
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tunable_trees import (
    FOLDER,
    GOVERNORS,
    SWAPPINESS,
    THP,
    apply,
    file,
    foresee_restore,
    kept,
    put,
    restore,
    small_host,
    statuses,
    sysctl,
    sysfs,
)

SMT = "/sys/devices/system/cpu/smt/control"


@pytest.fixture
def host(tmp_path):
    return small_host(tmp_path)


def contents(root):
    """Return all files below `root` with mode and text, and all folders, but for /var with the baseline."""
    found = {}
    for path in sorted(Path(root).rglob("*")):
        if str(path).startswith(f"{root}/var"):
            continue
        found[str(path)] = (path.lstat().st_mode, path.read_text() if path.is_file() else None)
    return found


def test_the_host_is_as_it_was(host):
    put(host, "/etc/x.conf", "theirs\n").chmod(0o640)
    put(host, "/etc/sysctl.d/60-test.conf", "vm.swappiness = 5\n")
    put(host, "/sys/block/sda/queue/scheduler", "mq-deadline\n")
    scheduler = sysfs("/sys/block/sd*/queue/scheduler", "none", persist="udev")
    before = contents(host)
    settings = [sysctl(), sysfs(GOVERNORS, "performance"), scheduler, file("/etc/x.conf", "ours\n"), file()]
    apply(settings, host)
    assert contents(host) != before
    foreseen = foresee_restore(host)
    outcome = restore(host)
    assert contents(host) == before
    assert outcome.warnings == []
    assert set(statuses(outcome.rows)) == {"changed"}
    assert foreseen.rows == outcome.rows
    assert foreseen.files == outcome.files
    values = [row for row in outcome.rows if row["kind"] == "sysctl"]
    assert [(row["before"], row["wanted"], row["after"]) for row in values] == [("10", "60", "60")]
    assert os.listdir(f"{host}{FOLDER}") == [".lock"]
    again = restore(host)
    assert again.rows == []
    assert not tunables_report.changed(again)


class Disk(Host):
    """A host on which a change of the scheduler sets nr_requests anew, as blk_mq_init_sched in the kernel does."""

    def put(self, path, text):
        same = self.text(path).strip() == text
        super().put(path, text)
        if path.endswith("/scheduler") and not same:
            super().put(path.replace("/scheduler", "/nr_requests"), "1023")


def test_a_value_that_another_ones_return_sets_anew_is_written_again(tmp_path):
    queue = "/sys/block/nvme0n1/queue/"
    files = [put(tmp_path, queue + "nr_requests", "200\n"), put(tmp_path, queue + "scheduler", "none\n")]
    host = Disk(str(tmp_path))
    apply([sysfs(queue + "scheduler", "mq-deadline"), sysfs(queue + "nr_requests", "64")], host)
    assert [file.read_text() for file in files] == ["64\n", "mq-deadline\n"]
    rows = {row["path"]: row for row in restore(host).rows}
    assert [file.read_text() for file in files] == ["200\n", "none\n"]
    row = rows[queue + "nr_requests"]
    assert (row["before"], row["after"], row["status"], row["detail"]) == ("64", "200", "changed", "")


def test_a_value_that_was_right_and_another_ones_change_sets_anew_is_written_again(tmp_path):
    queue = "/sys/block/nvme0n1/queue/"
    files = [put(tmp_path, queue + "nr_requests", "64\n"), put(tmp_path, queue + "scheduler", "none\n")]
    host = Disk(str(tmp_path))
    settings = [sysfs(queue + "scheduler", "mq-deadline"), sysfs(queue + "nr_requests", "64")]
    rows = apply(settings, host).rows
    assert [file.read_text() for file in files] == ["64\n", "mq-deadline\n"]
    assert statuses(rows) == ["changed", "ok"]
    assert not tunables_report.changed(apply(settings, host))
    restore(host)
    assert [file.read_text() for file in files] == ["64\n", "none\n"]


class Siblings(Host):
    """A host whose policy 1 is of a sibling: cpufreq says nothing of it while SMT is off."""

    def text(self, path):
        if path.endswith("/policy1/scaling_governor") and "off" in super().text(SMT):
            raise OSError(errno.EBUSY, "busy", path)
        return super().text(path)


def test_a_siblings_governor_goes_back_once_smt_has_brought_it_back(host):
    put(host, SMT, "on\n")
    kernel = Siblings(str(host))
    apply([sysfs(GOVERNORS, "performance")], kernel)
    apply([sysfs(GOVERNORS, "performance"), sysfs(SMT, "off")], kernel)
    rows = {row["path"]: row for row in restore(kernel).rows}
    assert (host / SMT.strip("/")).read_text() == "on\n"
    governor = GOVERNORS.replace("*", "1")
    assert (host / governor.strip("/")).read_text() == "powersave\n"
    assert (rows[governor]["before"], rows[governor]["after"]) == ("performance", "powersave")
    assert (rows[governor]["status"], rows[governor]["detail"]) == ("changed", "")


def test_restoring_where_nothing_was_ever_done_makes_nothing(host, snapshot):
    before = snapshot(host)
    assert restore(host).rows == []
    assert foresee_restore(host).rows == []
    assert snapshot(host) == before


def test_one_role_is_restored_and_the_other_stays(host):
    apply([sysctl()], host, "60-one")
    apply([sysfs()], host, "60-two")
    rows = restore(host, "60-one").rows
    assert {row["path"] for row in rows} == {SWAPPINESS, "/etc/sysctl.d/60-one.conf"}
    assert (host / "proc/sys/vm/swappiness").read_text() == "60\n"
    assert (host / THP.strip("/")).read_text() == "madvise\n"
    assert (host / "etc/tmpfiles.d/60-two.conf").exists()


def test_what_another_role_has_set_too_is_left_to_it(host):
    apply([sysctl(value="10"), file("/etc/x", "one")], host, "60-a")
    apply([sysctl(value="20"), file("/etc/x", "two")], host, "60-b")
    rows = restore(host, "60-a").rows
    assert {(row["role"], row["path"]) for row in rows} == {("60-a", "/etc/sysctl.d/60-a.conf")}
    assert (host / "proc/sys/vm/swappiness").read_text() == "20\n"
    assert (host / "etc/x").read_text() == "two"
    restore(host, "60-b")
    assert (host / "proc/sys/vm/swappiness").read_text() == "60\n"
    assert not (host / "etc").exists()


def test_roles_that_set_the_same_are_undone_together(host):
    apply([sysctl(value="10"), file("/etc/x", "one")], host, "60-b")
    apply([sysctl(value="20"), file("/etc/x", "two")], host, "60-a")
    restore(host)
    assert (host / "proc/sys/vm/swappiness").read_text() == "60\n"
    assert not (host / "etc").exists()


def test_what_another_tool_changed_since_goes_back_and_is_told(host):
    put(host, "/etc/x", "first\n")
    apply([sysctl(), file("/etc/x", "ours\n")], host)
    put(host, SWAPPINESS, "33\n")
    put(host, "/etc/x", "theirs\n")
    outcome = restore(host)
    assert (host / "proc/sys/vm/swappiness").read_text() == "60\n"
    assert (host / "etc/x").read_text() == "first\n"
    assert any(
        sentence.startswith("vm.swappiness was 33, which is neither the first-seen value nor 10 as written here")
        for sentence in outcome.warnings
    )
    assert any(sentence.startswith("/etc/x is neither the first-seen file") for sentence in outcome.warnings)
    (copy,) = os.listdir(host / "var/lib/inference.host/replaced")
    assert (host / "var/lib/inference.host/replaced" / copy).read_text() == "theirs\n"


def test_what_is_already_back_is_ok(host):
    apply([sysctl()], host)
    put(host, SWAPPINESS, "60\n")
    (host / "etc/sysctl.d/60-test.conf").unlink()
    outcome = restore(host)
    assert set(statuses(outcome.rows)) == {"ok"}
    assert not tunables_report.changed(outcome)
    assert os.listdir(f"{host}{FOLDER}") == [".lock"]


def test_what_is_gone_is_not_applicable_and_dropped(host):
    apply([sysfs(GOVERNORS, "performance")], host)
    (host / "sys/devices/system/cpu/cpufreq/policy1/scaling_governor").unlink()
    rows = {row["path"][-26:]: row["status"] for row in restore(host).rows if row["kind"] == "sysfs"}
    assert sorted(rows.values()) == ["changed", "changed", "not_applicable"]
    assert os.listdir(f"{host}{FOLDER}") == [".lock"]


class Stubborn(Host):
    """A kernel that refuses some files."""

    refused = ()

    def put(self, path, text):
        if path in self.refused:
            raise PermissionError(1, "no", path)
        super().put(path, text)


def test_what_is_refused_stays_in_the_baseline_for_the_next_run(host):
    apply([sysctl(), sysfs()], host)
    kernel = Stubborn(str(host))
    kernel.refused = (THP,)
    outcome = restore(kernel)
    assert tunables_report.refusal(outcome.rows) == f"refused by the system: {THP} = always (operation not permitted)"
    assert list(kept(host)["values"]) == [THP]
    kernel.refused = ()
    assert [row["path"] for row in restore(kernel).rows] == [THP]
    assert (host / THP.strip("/")).read_text() == "always\n"
    assert os.listdir(f"{host}{FOLDER}") == [".lock"]


class Mute(Host):
    """A kernel that takes a value and does not tell it afterwards."""

    written = False

    def put(self, path, text):
        self.written = True
        super().put(path, text)

    def text(self, path):
        if self.written and path == SWAPPINESS:
            raise OSError(5, "no", path)
        return super().text(path)


def test_what_was_written_and_could_not_be_read_back_is_put_back(host):
    assert statuses(apply([sysctl()], Mute(str(host))).rows) == ["refused"]
    restore(host)
    assert (host / "proc/sys/vm/swappiness").read_text() == "60\n"


def test_what_a_killed_module_files_has_kept_for_itself_does_not_stay(host):
    kept_file = put(host, "/etc/x", "first\n")
    apply([file("/etc/x", "ours\n")], host)
    atomic.keep(str(kept_file))
    restore(host)
    assert os.listdir(host / "etc") == ["x"]
    assert kept_file.read_text() == "first\n"


def test_commands_of_files_are_run_and_a_failing_one_is_run_again(host, tmp_path):
    log = tmp_path / "log"
    command = ["sh", "-c", f"echo x >> {log}; test -e {tmp_path}/works"]
    (tmp_path / "works").write_text("")
    apply([file("/etc/x", "text", command)], host)
    (tmp_path / "works").unlink()
    outcome = restore(host)
    assert statuses(outcome.rows) == ["refused"]
    assert "ended with status 1" in outcome.rows[0]["detail"]
    assert not (host / "etc").exists() or not (host / "etc/x").exists()
    (tmp_path / "works").write_text("")
    assert statuses(restore(host).rows) == ["ok"]
    assert log.read_text() == "x\n" * 3
    assert os.listdir(f"{host}{FOLDER}") == [".lock"]


@pytest.mark.parametrize("names", [[], ["all", "60-test"], ["../x"]])
def test_stems_that_are_none_are_refused(names):
    with pytest.raises((TunablesError, baseline.BaselineError), match="stems"):
        tunables_restore.check_stems(names)


NAMES = st.sampled_from(["vm.a", "vm.b", "net.core.c"])
NUMBERS = st.dictionaries(NAMES, st.integers(0, 9).map(str))
STEMS = st.sampled_from(["60-one", "50-two", "70-three"])


@hypothesis_settings(max_examples=60, deadline=None)
@given(first=NUMBERS, runs=st.lists(st.tuples(STEMS, NUMBERS), max_size=6))
def test_whatever_roles_did_in_any_order_all_is_given_back(first, runs):
    with tempfile.TemporaryDirectory() as folder:
        for name, value in first.items():
            put(folder, overrides.sysctl_path(name), value + "\n")
        before = contents(folder)
        for stem, wanted in runs:
            apply([sysctl(name, value) for name, value in wanted.items()], folder, stem)
        restore(folder)
        assert contents(folder) == before
