"""Kernel settings on trees below tmp_path, and on files of /proc/self that a real kernel clips or refuses."""

import os
import stat
import tempfile
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils import overrides, tunables_host, tunables_report
from ansible_collections.inference.host.plugins.module_utils.baseline import BaselineError
from ansible_collections.inference.host.plugins.module_utils.tunable_kinds import values
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
    first_values,
    foresee,
    ids,
    kept,
    put,
    small_host,
    statuses,
    sysctl,
    sysfs,
)

HEADER = tunables_host.HEADER


@pytest.fixture
def host(tmp_path):
    return small_host(tmp_path)


def changed(outcome):
    return tunables_report.changed(outcome)


def test_a_file_that_is_set_twice_is_refused_before_anything_is_written(host, snapshot):
    before = snapshot(host)
    with pytest.raises(tunables_host.TunablesError, match="vm.swappiness: /proc/sys/vm/swappiness is set twice"):
        apply([sysctl(), sysctl(value="20")], host)
    one = GOVERNORS.replace("*", "1")
    with pytest.raises(tunables_host.TunablesError, match=r"policy1/scaling_governor is set twice"):
        apply([sysfs(GOVERNORS, "performance"), sysfs(one, "schedutil")], host)
    assert snapshot(host) == before


# Applied


def test_settings_are_applied_to_every_file_persisted_and_then_at_rest(host, snapshot):
    settings = [
        sysctl(reason="keep\nmemory", evidence="convention"),
        sysfs(value="madvise", reason="who asks"),
        sysfs(GOVERNORS, "performance", evidence="vendor"),
    ]
    first = apply(settings, host)
    assert statuses(first.rows) == ["changed"] * 5
    assert [(row["before"], row["after"]) for row in first.rows] == [("60", "10"), ("always", "madvise")] + [
        ("powersave", "performance")
    ] * 3
    assert all(row["persisted"] for row in first.rows)
    assert (host / "proc/sys/vm/swappiness").read_text() == "10\n"
    assert changed(first)
    assert (host / "etc/sysctl.d/60-test.conf").read_text() == (
        HEADER + "# keep memory (convention)\nvm.swappiness = 10\n"
    )
    assert (host / "etc/tmpfiles.d/60-test.conf").read_text() == (
        HEADER + f"# who asks\nw {THP} - - - - madvise\n# (vendor)\nw {GOVERNORS} - - - - performance\n"
    )
    settled = snapshot(host)
    second = apply(settings, host)
    assert statuses(second.rows) == ["ok"] * 5
    assert not changed(second)
    assert snapshot(host) == settled


def test_what_is_already_so_is_only_persisted_and_has_no_first_value(host):
    outcome = apply([sysctl(value="60")], host)
    assert statuses(outcome.rows) == ["ok"]
    assert [item.path for item in outcome.files] == ["/etc/sysctl.d/60-test.conf"]
    assert changed(outcome)
    assert first_values(host) == {}
    assert kept(host)["files"]["/etc/sysctl.d/60-test.conf"]["before"] == {"kind": "absent"}


def test_foresee_tells_what_apply_does_and_changes_nothing(host, snapshot):
    settings = [
        sysctl(),
        sysfs("/sys/not/here"),
        sysfs(GOVERNORS, "performance"),
        sysctl("a.b", applies=False),
        file("/etc/x", "text", ["true"]),
    ]
    before = snapshot(host)
    foreseen = foresee(settings, host)
    assert snapshot(host) == before
    assert [row["persisted"] for row in foreseen.rows] == [False, None, False, False, False, None, False]
    done = apply(settings, host)
    assert ids(done.rows) == ids(foreseen.rows)
    assert done[1:] == foreseen[1:]
    assert [row["persisted"] for row in done.rows] == [True, None, True, True, True, None, True]


def test_what_does_not_apply_is_reported_and_neither_written_nor_persisted(host):
    settings = [
        sysctl(applies=False, why_not="container"),
        sysctl("vm.not_here"),
        sysfs("/sys/no*/where"),
        file("/etc/x", applies=False),
        sysfs(THP, "never"),
    ]
    rows = apply(settings, host).rows
    assert statuses(rows) == ["not_applicable"] * 4 + ["changed"]
    assert [row["detail"] for row in rows[:4]] == [
        "container",
        "/proc/sys/vm/not_here does not exist here",
        "/sys/no*/where does not exist here",
        "does not apply here",
    ]
    assert (host / "proc/sys/vm/swappiness").read_text() == "60\n"
    assert not (host / "etc/sysctl.d").exists()
    assert not (host / "etc/x").exists()


def test_nothing_applicable_makes_no_folder(host, snapshot):
    before = snapshot(host)
    outcome = apply([sysctl(applies=False, why_not="container"), sysfs("/sys/not/here")], host)
    assert statuses(outcome.rows) == ["not_applicable"] * 2
    assert not changed(outcome)
    assert outcome.reboot_required is None
    assert snapshot(host) == before


def test_a_persistent_file_of_ours_that_is_not_needed_any_more_goes(host):
    apply([sysctl(), sysfs()], host)
    assert changed(apply([sysctl(applies=False), sysfs()], host))
    assert not (host / "etc/sysctl.d/60-test.conf").exists()
    assert (host / "etc/tmpfiles.d/60-test.conf").exists()


def test_a_persistent_file_goes_also_where_the_baseline_was_lost(host):
    put(host, "/etc/sysctl.d/60-test.conf", HEADER + "vm.swappiness = 10\n")
    assert changed(apply([sysctl(applies=False)], host))
    assert os.listdir(host / "etc/sysctl.d") == []
    assert os.listdir(f"{host}{FOLDER}") == [".lock"]


def test_a_file_that_somebody_else_wrote_under_our_name_is_not_removed(host):
    theirs = put(host, "/etc/sysctl.d/60-test.conf", "vm.swappiness = 1\n")
    assert not changed(apply([sysctl(applies=False)], host))
    assert theirs.read_text() == "vm.swappiness = 1\n"


def test_percent_and_backslash_survive_tmpfiles(host):
    put(host, "/sys/a%b", "old")
    rows = apply([sysfs("/sys/a%b", r"5% \n")], host).rows
    assert (host / "sys/a%b").read_text() == "5% \\n\n"
    assert r"w /sys/a%%b - - - - 5%% \\n" + "\n" in (host / "etc/tmpfiles.d/60-test.conf").read_text()
    assert rows[0]["persisted"]


def test_a_setting_that_is_not_to_persist_is_only_live(host):
    rows = apply([sysctl(persist="none"), sysfs(persist="none")], host).rows
    assert statuses(rows) == ["changed"] * 2
    assert [row["persisted"] for row in rows] == [False, False]
    assert not (host / "etc").exists()


def test_a_mask_in_another_spelling_is_as_wanted(host):
    put(host, "/proc/irq/default_smp_affinity", "00000000,00000003\n")
    rows = apply([sysfs("/proc/irq/default_smp_affinity", "3")], host).rows
    assert statuses(rows) == ["ok"]


# What the kernel does not take


def real(host, path, target):
    """Let `path` of the tree be a real kernel file."""
    link = Path(str(host) + path)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)


def test_a_value_that_the_kernel_clips_is_partial_and_says_what_it_took(host):
    comm = Path("/proc/self/comm").read_text()
    real(host, "/sys/comm", "/proc/self/comm")
    try:
        first = apply([sysfs("/sys/comm", "longer-than-fifteen")], host)
        again = apply([sysfs("/sys/comm", "longer-than-fifteen")], host)
    finally:
        Path("/proc/self/comm").write_text(comm)
    assert statuses(first.rows) == ["partial"]
    assert first.rows[0]["after"] == "longer-than-fif"
    assert first.rows[0]["detail"] == "the kernel has longer-than-fif after longer-than-fifteen was written"
    assert changed(first)
    assert "longer-than-fifteen" in (host / "etc/tmpfiles.d/60-test.conf").read_text()
    entry = {"kind": "sysfs", "name": "a name", "path": "/sys/comm", "before": comm.strip()}
    assert kept(host)["values"] == {"/sys/comm": dict(entry, written="longer-than-fif")}
    assert statuses(again.rows) == ["partial"]
    assert not changed(again)


def test_a_refused_setting_is_named_with_the_reason_and_the_others_are_done(host):
    real(host, "/proc/sys/kernel/osrelease", "/proc/sys/kernel/osrelease")
    real(host, "/sys/oom", "/proc/self/oom_score_adj")
    settings = [sysctl("kernel.osrelease", "1"), sysfs("/sys/oom", "never"), sysctl()]
    rows = apply(settings, host).rows
    assert statuses(rows) == ["refused", "refused", "changed"]
    assert tunables_report.refusal(rows) in (
        "refused by the system: kernel.osrelease = 1 (permission denied), /sys/oom = never (invalid argument)",
        "refused by the system: kernel.osrelease = 1 (read-only file system), /sys/oom = never (invalid argument)",
    )
    assert rows[0]["after"] == rows[0]["before"]
    assert tunables_report.summary(rows) == {"ok": 0, "changed": 1, "partial": 0, "not_applicable": 0, "refused": 2}
    assert first_values(host) == {SWAPPINESS: "60"}
    assert "osrelease" not in (host / "etc/sysctl.d/60-test.conf").read_text()
    assert not (host / "etc/tmpfiles.d").exists()


@pytest.mark.parametrize("mark", ["/run/.containerenv", "/.dockerenv", "/run/systemd/container"])
def test_a_refusal_in_a_container_is_not_applicable(host, mark):
    real(host, "/proc/sys/kernel/osrelease", "/proc/sys/kernel/osrelease")
    put(host, mark, "")
    rows = apply([sysctl("kernel.osrelease", "1")], host).rows
    assert statuses(rows) == ["not_applicable"]
    assert rows[0]["detail"].startswith("container: the kernel belongs to the machine outside (")
    assert not (host / "etc").exists()


def test_a_file_that_cannot_be_read_is_refused(host):
    (host / "sys/folder").mkdir()
    rows = apply([sysfs("/sys/folder", "1")], host).rows
    assert statuses(rows) == ["refused"]
    assert rows[0]["detail"] == "reading: is a directory"


def test_all_refused_leaves_no_baseline_file(host):
    real(host, "/proc/sys/kernel/osrelease", "/proc/sys/kernel/osrelease")
    apply([sysctl("kernel.osrelease", "1")], host)
    assert os.listdir(f"{host}{FOLDER}") == [".lock"]
    assert not (host / "etc").exists()


def test_a_link_in_the_place_of_a_file_of_ours_is_replaced_by_one_that_only_its_owner_writes(host):
    put(host, "/etc/elsewhere", HEADER).chmod(0o640)
    link = host / "etc/sysctl.d/60-test.conf"
    link.parent.mkdir()
    link.symlink_to("../elsewhere")
    apply([sysctl()], host)
    assert not link.is_symlink()
    assert stat.S_IMODE(link.stat().st_mode) == 0o640
    assert (host / "etc/elsewhere").read_text() == HEADER


# First-seen values


def test_the_first_seen_value_is_kept_once_and_for_its_owner_only(host):
    apply([sysctl(value="10")], host)
    apply([sysctl(value="20"), sysfs(THP, "never")], host)
    assert first_values(host) == {SWAPPINESS: "60", THP: "always"}
    assert kept(host)["values"][SWAPPINESS]["written"] == "20"
    file = Path(f"{host}{FOLDER}/60-test.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("junk", ["", "{", "[1]", "7", "{}", '{"/proc/sys/vm/swappiness": {"before": "60"}}'])
def test_a_broken_baseline_stops_the_run_before_anything_is_written(host, junk, snapshot):
    put(host, f"{FOLDER}/60-test.json", junk)
    put(host, f"{FOLDER}/.lock", "")
    before = snapshot(host)
    with pytest.raises(BaselineError, match="60-test.json is not the JSON that first-seen values are"):
        apply([sysctl()], host)
    assert snapshot(host) == before


# Told


def test_the_diff_has_the_live_values_and_each_file(host):
    outcome = foresee([sysctl(), sysfs(THP, "always"), file("/etc/x", "some\ntext\n")], host)
    live, first, second, third = tunables_report.diff(outcome)
    assert live["before"] == f"vm.swappiness = 60\n{THP} = always\n"
    assert live["after"] == f"vm.swappiness = 10\n{THP} = always\n"
    assert first["before_header"] == "/etc/sysctl.d/60-test.conf"
    assert first["before"] == ""
    assert first["after"].endswith("vm.swappiness = 10\n")
    assert second["after"].endswith(f"w {THP} - - - - always\n")
    assert third["after"] == "some\ntext\n"


def test_no_refusal_is_no_sentence(host):
    assert tunables_report.refusal(foresee([sysctl()], host).rows) is None


# Properties

VALUES = st.text("abc019 \t%\\#;=", min_size=1, max_size=8).filter(str.strip)
NAMES = st.sampled_from(["vm.a", "vm.b", "net.core.c", "kernel.d"])


@hypothesis_settings(max_examples=60, deadline=None)
@given(now=st.dictionaries(NAMES, VALUES), wanted=st.dictionaries(NAMES, VALUES, min_size=1))
def test_a_second_run_finds_nothing_and_the_baseline_gives_the_first_values(now, wanted):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        settings = [sysctl(name, value) for name, value in wanted.items()]
        for name, value in now.items():
            put(root, overrides.sysctl_path(name), value + "\n")
        rows = apply(settings, root).rows
        assert {row["name"] for row in rows if row["status"] == "not_applicable"} == wanted.keys() - now.keys()
        again = apply(settings, root)
        assert not changed(again)
        assert set(statuses(again.rows)) <= {"ok", "not_applicable"}
        assert all(row["persisted"] for row in again.rows if row["status"] == "ok")
        if any(row["status"] == "changed" for row in rows):
            first = {entry["name"]: entry["before"] for entry in kept(root)["values"].values()}
            assert first == {row["name"]: row["before"] for row in rows if row["status"] == "changed"}
            assert all(value == values.shown(now[name]) for name, value in first.items())
