"""Kernel settings on trees below tmp_path, and on files of /proc/self that a real kernel clips or refuses."""

import json
import os
import stat
import tempfile
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils import tunables
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

STEM = "60-test"
THP = "/sys/kernel/mm/transparent_hugepage/enabled"
GOVERNORS = "/sys/devices/system/cpu/cpufreq/policy*/scaling_governor"


def sysctl(name="vm.swappiness", value="10", **more):
    return dict({"name": name, "kind": "sysctl", "path": None, "value": value, "applies": True}, **more)


def sysfs(path=THP, value="madvise", **more):
    return dict({"name": "a name", "kind": "sysfs", "path": path, "value": value, "applies": True}, **more)


def put(root, path, text):
    """Make the file `path` of the tree `root`, and return where it is."""
    target = Path(str(root) + path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    return target


@pytest.fixture
def host(tmp_path):
    """A small host: a sysctl, a choice, and a governor for each of three CPUs."""
    put(tmp_path, "/proc/sys/vm/swappiness", "60\n")
    put(tmp_path, THP, "[always] madvise never\n")
    for cpu in (0, 1, 10):
        put(tmp_path, f"/sys/devices/system/cpu/cpufreq/policy{cpu}/scaling_governor", "powersave\n")
    return tmp_path


def apply(settings, root):
    tunables.check_settings(settings, STEM)
    return tunables.apply(settings, STEM, str(root))


def statuses(rows):
    return [row["status"] for row in rows]


def baseline(root):
    return json.loads((root / "var/lib/inference.host/baseline" / f"{STEM}.json").read_text())


# Names and values


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("vm.swappiness", "/proc/sys/vm/swappiness"),
        ("net.ipv4.tcp_rmem", "/proc/sys/net/ipv4/tcp_rmem"),
        ("net/ipv4/conf/eth0.100/rp_filter", "/proc/sys/net/ipv4/conf/eth0.100/rp_filter"),
        ("net.ipv4.conf.eth0/100.rp_filter", "/proc/sys/net/ipv4/conf/eth0.100/rp_filter"),
    ],
)
def test_the_path_of_a_sysctl_follows_from_its_name(name, path):
    assert tunables.pattern_of(sysctl(name)) == path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10\n", "10"),
        ("[none] mq-deadline kyber\n", "none"),
        ("always [madvise] never\n", "madvise"),
        ("[only]\n", "only"),
        ("4096\t131072\t6291456\n", "4096 131072 6291456"),
        ("\n", ""),
        ("[a] [b]\n", "[a] [b]"),
        ("", ""),
    ],
)
def test_values_are_read_as_the_kernel_means_them(text, value):
    assert tunables.shown(text) == value


@pytest.mark.parametrize(
    ("value", "wanted", "equal"),
    [
        ("10", "10", True),
        ("10", "010", True),
        ("-1", "-1", True),
        ("4096 131072", "4096\t131072 ", True),
        ("10", "100", False),
        ("10", "10 20", False),
        ("0a", "a", False),
        ("none", "None", False),
    ],
)
def test_values_are_compared_by_words_and_numbers(value, wanted, equal):
    assert tunables.same(value, wanted) is equal


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        (sysctl(value="1\nkernel.core_pattern=|/bin/sh"), "value is '1\\nkernel"),
        (sysctl(value="1\0"), "value is '1\\x00'"),
        (sysctl(value=" "), "value is ' '"),
        (sysctl(value="1..2"), "value is '1..2'"),
        (sysctl("vm..swappiness"), "name is 'vm..swappiness'"),
        (sysctl("vm.swap\npiness"), "name is 'vm.swap\\npiness'"),
        (sysctl("vm.*"), "'vm.*' is not the name of a sysctl"),
        (sysctl("/etc/passwd"), "'/etc/passwd' is not the name of a sysctl"),
        (sysctl(path="/proc/sys/vm/swappiness"), "a sysctl's path follows from its name"),
        (sysfs("/sys/../etc/passwd"), "path is '/sys/../etc/passwd'"),
        (sysfs("/etc/passwd"), "below /sys or /proc"),
        (sysfs("sys/x"), "below /sys or /proc"),
        (sysfs(None), "path is None"),
        (sysfs("/sys/a b"), "plain path or glob"),
        (sysfs("/sys//a"), "plain path or glob"),
        (sysfs("/sys/bus/pci/devices/0000:01:00.0/numa_node", "0"), "taints the kernel"),
        (sysfs("/sys/bus/pci/devices/*/numa_n*", "0"), "taints the kernel"),
    ],
)
def test_names_paths_and_values_that_could_do_harm_are_refused(setting, says):
    with pytest.raises(tunables.TunablesError) as caught:
        tunables.check_settings([setting], STEM)
    assert says in str(caught.value)


@pytest.mark.parametrize("stem", ["", "../x", "a/b", ".hidden", "a b", "a\n"])
def test_a_file_stem_that_is_no_plain_name_is_refused(stem):
    with pytest.raises(tunables.TunablesError, match="persist_to is"):
        tunables.check_settings([], stem)


def test_a_file_that_is_set_twice_is_refused_before_anything_is_written(host, snapshot):
    before = snapshot(host)
    with pytest.raises(tunables.TunablesError, match="vm.swappiness: /proc/sys/vm/swappiness is set twice"):
        apply([sysctl(), sysctl(value="20")], host)
    one = GOVERNORS.replace("*", "1")
    with pytest.raises(tunables.TunablesError, match=r"policy1/scaling_governor is set twice"):
        apply([sysfs(GOVERNORS, "performance"), sysfs(one, "schedutil")], host)
    assert snapshot(host) == before


# Applied


def test_settings_are_applied_to_every_file_persisted_and_then_at_rest(host, snapshot):
    settings = [
        sysctl(reason="keep\nmemory", evidence="convention"),
        sysfs(value="madvise", reason="who asks"),
        sysfs(GOVERNORS, "performance", evidence="vendor"),
    ]
    rows, pending = apply(settings, host)
    assert statuses(rows) == ["changed"] * 5
    assert [(row["before"], row["after"]) for row in rows] == [("60", "10"), ("always", "madvise")] + [
        ("powersave", "performance")
    ] * 3
    assert (host / "proc/sys/vm/swappiness").read_text() == "10\n"
    assert tunables.changed(rows, pending)
    assert (host / "etc/sysctl.d/60-test.conf").read_text() == (
        tunables.HEADER + "# keep memory (convention)\nvm.swappiness = 10\n"
    )
    assert (host / "etc/tmpfiles.d/60-test.conf").read_text() == (
        tunables.HEADER + f"# who asks\nw {THP} - - - - madvise\n# (vendor)\nw {GOVERNORS} - - - - performance\n"
    )
    settled = snapshot(host)
    rows, pending = apply(settings, host)
    assert statuses(rows) == ["ok"] * 5
    assert not tunables.changed(rows, pending)
    assert snapshot(host) == settled


def test_what_is_already_so_is_only_persisted_and_has_no_baseline(host):
    rows, pending = apply([sysctl(value="60")], host)
    assert statuses(rows) == ["ok"]
    assert [path for path, _now, _wanted in pending] == ["/etc/sysctl.d/60-test.conf"]
    assert tunables.changed(rows, pending)
    assert os.listdir(host / "var/lib/inference.host/baseline") == [".lock"]


def test_foresee_tells_what_apply_does_and_changes_nothing(host, snapshot):
    settings = [sysctl(), sysfs("/sys/not/here"), sysfs(GOVERNORS, "performance"), sysctl("a.b", applies=False)]
    before = snapshot(host)
    foreseen = tunables.foresee(settings, STEM, str(host))
    assert snapshot(host) == before
    assert apply(settings, host) == foreseen


def test_what_does_not_apply_is_reported_and_neither_written_nor_persisted(host):
    settings = [
        sysctl(applies=False, why_not="container"),
        sysctl("vm.not_here"),
        sysfs("/sys/no*/where"),
        sysfs(THP, "never"),
    ]
    rows, _pending = apply(settings, host)
    assert statuses(rows) == ["not_applicable"] * 3 + ["changed"]
    assert [row["detail"] for row in rows[:3]] == [
        "container",
        "/proc/sys/vm/not_here does not exist here",
        "/sys/no*/where does not exist here",
    ]
    assert (host / "proc/sys/vm/swappiness").read_text() == "60\n"
    assert not (host / "etc/sysctl.d").exists()


def test_nothing_applicable_makes_no_folder(host, snapshot):
    before = snapshot(host)
    settings = [sysctl(applies=False, why_not="container"), sysfs("/sys/not/here")]
    rows, pending = apply(settings, host)
    assert statuses(rows) == ["not_applicable"] * 2
    assert not tunables.changed(rows, pending)
    assert snapshot(host) == before


def test_a_persistent_file_of_ours_that_is_not_needed_any_more_goes(host):
    apply([sysctl(), sysfs()], host)
    rows, pending = apply([sysctl(applies=False), sysfs()], host)
    assert tunables.changed(rows, pending)
    assert not (host / "etc/sysctl.d/60-test.conf").exists()
    assert (host / "etc/tmpfiles.d/60-test.conf").exists()


def test_a_persistent_file_goes_also_where_there_is_no_baseline(host):
    put(host, "/etc/sysctl.d/60-test.conf", tunables.HEADER + "vm.swappiness = 10\n")
    rows, pending = apply([sysctl(applies=False)], host)
    assert tunables.changed(rows, pending)
    assert os.listdir(host / "etc/sysctl.d") == []
    assert not (host / "var").exists()


def test_a_file_that_somebody_else_wrote_under_our_name_is_not_removed(host):
    theirs = put(host, "/etc/sysctl.d/60-test.conf", "vm.swappiness = 1\n")
    rows, pending = apply([sysctl(applies=False)], host)
    assert not tunables.changed(rows, pending)
    assert theirs.read_text() == "vm.swappiness = 1\n"


def test_percent_and_backslash_survive_tmpfiles(host):
    put(host, "/sys/a%b", "old")
    apply([sysfs("/sys/a%b", r"5% \n")], host)
    assert (host / "sys/a%b").read_text() == "5% \\n\n"
    assert r"w /sys/a%%b - - - - 5%% \\n" + "\n" in (host / "etc/tmpfiles.d/60-test.conf").read_text()


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
        rows, pending = apply([sysfs("/sys/comm", "longer-than-fifteen")], host)
        again, nothing = apply([sysfs("/sys/comm", "longer-than-fifteen")], host)
    finally:
        Path("/proc/self/comm").write_text(comm)
    assert statuses(rows) == ["partial"]
    assert rows[0]["after"] == "longer-than-fif"
    assert rows[0]["detail"] == "the kernel has longer-than-fif after longer-than-fifteen was written"
    assert tunables.changed(rows, pending)
    assert "longer-than-fifteen" in (host / "etc/tmpfiles.d/60-test.conf").read_text()
    assert baseline(host) == {"/sys/comm": {"name": "a name", "kind": "sysfs", "before": comm.strip()}}
    assert statuses(again) == ["partial"]
    assert not tunables.changed(again, nothing)


def test_a_refused_setting_is_named_with_the_reason_and_the_others_are_done(host):
    real(host, "/proc/sys/kernel/osrelease", "/proc/sys/kernel/osrelease")
    real(host, "/sys/oom", "/proc/self/oom_score_adj")
    settings = [sysctl("kernel.osrelease", "1"), sysfs("/sys/oom", "never"), sysctl()]
    rows, _pending = apply(settings, host)
    assert statuses(rows) == ["refused", "refused", "changed"]
    assert tunables.refusal(rows) in (
        "refused by the system: kernel.osrelease = 1 (permission denied), /sys/oom = never (invalid argument)",
        "refused by the system: kernel.osrelease = 1 (read-only file system), /sys/oom = never (invalid argument)",
    )
    assert rows[0]["after"] == rows[0]["before"]
    assert tunables.summary(rows) == {"ok": 0, "changed": 1, "partial": 0, "not_applicable": 0, "refused": 2}
    assert list(baseline(host)) == ["/proc/sys/vm/swappiness"]
    assert "osrelease" not in (host / "etc/sysctl.d/60-test.conf").read_text()
    assert not (host / "etc/tmpfiles.d").exists()


def test_a_file_that_cannot_be_read_is_refused(host):
    (host / "sys/folder").mkdir()
    rows, _pending = apply([sysfs("/sys/folder", "1")], host)
    assert statuses(rows) == ["refused"]
    assert rows[0]["detail"] == "reading: is a directory"


def test_all_refused_leaves_no_baseline_file(host):
    real(host, "/proc/sys/kernel/osrelease", "/proc/sys/kernel/osrelease")
    apply([sysctl("kernel.osrelease", "1")], host)
    assert os.listdir(host / "var/lib/inference.host/baseline") == [".lock"]
    assert not (host / "etc").exists()


# First-seen values


def test_the_first_seen_value_is_kept_once_and_for_its_owner_only(host):
    apply([sysctl(value="10")], host)
    apply([sysctl(value="20"), sysfs(THP, "never")], host)
    assert baseline(host) == {
        "/proc/sys/vm/swappiness": {"name": "vm.swappiness", "kind": "sysctl", "before": "60"},
        THP: {"name": "a name", "kind": "sysfs", "before": "always"},
    }
    kept = host / "var/lib/inference.host/baseline/60-test.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


@pytest.mark.parametrize("junk", ["", "{", "[1]", "7"])
def test_a_broken_baseline_stops_the_run_before_anything_is_written(host, junk, snapshot):
    put(host, "/var/lib/inference.host/baseline/60-test.json", junk)
    put(host, "/var/lib/inference.host/baseline/.lock", "")
    before = snapshot(host)
    with pytest.raises(tunables.TunablesError, match="60-test.json is not the JSON that first-seen values are"):
        apply([sysctl()], host)
    assert snapshot(host) == before


# Told


def test_the_diff_has_the_live_values_and_each_file(host):
    rows, pending = tunables.foresee([sysctl(), sysfs(THP, "always")], STEM, str(host))
    live, first, second = tunables.diff(rows, pending)
    assert live["before"] == f"vm.swappiness = 60\n{THP} = always\n"
    assert live["after"] == f"vm.swappiness = 10\n{THP} = always\n"
    assert first["before_header"] == "/etc/sysctl.d/60-test.conf"
    assert first["before"] == ""
    assert first["after"].endswith("vm.swappiness = 10\n")
    assert second["after"].endswith(f"w {THP} - - - - always\n")


def test_no_refusal_is_no_sentence(host):
    assert tunables.refusal(tunables.read([sysctl()], str(host))) is None


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
            put(root, tunables.pattern_of(sysctl(name)), value + "\n")
        rows, _pending = apply(settings, root)
        assert {row["name"] for row in rows if row["status"] == "not_applicable"} == wanted.keys() - now.keys()
        again, pending = apply(settings, root)
        assert not tunables.changed(again, pending)
        assert set(statuses(again)) <= {"ok", "not_applicable"}
        if any(row["status"] == "changed" for row in rows):
            first = {entry["name"]: entry["before"] for entry in baseline(root).values()}
            assert first == {row["name"]: row["before"] for row in rows if row["status"] == "changed"}
            assert all(value == tunables.shown(now[name]) for name, value in first.items())
