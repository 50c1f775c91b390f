"""Block devices: the udev rule, and how udev is made to follow it. `udevadm` is a script that notes its calls."""

import pytest
from ansible_collections.inference.host.plugins.module_utils import tunables_report
from tunable_trees import apply, file_on_path, foresee, put, restore, statuses, sysfs

RULES = "etc/udev/rules.d/60-test.rules"


@pytest.fixture
def host(tmp_path):
    for disk in ("nvme0n1", "nvme1n1"):
        put(tmp_path, f"/sys/block/{disk}/queue/scheduler", "mq-deadline\n")
        put(tmp_path, f"/sys/block/{disk}/queue/nr_requests", "1023\n")
    return tmp_path


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """A function that returns the calls of udevadm so far; `more` is what it also does."""
    log = tmp_path / "calls"

    def make(more=""):
        file_on_path(tmp_path, monkeypatch, "udevadm", f'echo "$*" >> {log}\n{more}')
        return lambda: log.read_text().splitlines() if log.exists() else []

    return make


def scheduler(value="none"):
    return sysfs("/sys/block/nvme*n*/queue/scheduler", value, persist="udev", reason="NVMe queues in hardware")


def requests(value="64"):
    return sysfs("/sys/block/nvme*n*/queue/nr_requests", value, persist="udev")


TRIGGER = "trigger --settle --action=change --subsystem-match=block --sysname-match=nvme*n*"


def test_disks_are_set_at_once_and_by_a_rule_for_whole_disks(host, calls, snapshot):
    called = calls()
    outcome = apply([scheduler(), requests()], host)
    assert statuses(outcome.rows) == ["changed"] * 4
    assert all(row["persisted"] for row in outcome.rows)
    rule = 'ACTION=="add|change", SUBSYSTEM=="block", ENV{DEVTYPE}=="disk", KERNEL=="nvme*n*", ATTR{queue/%s}="%s"\n'
    lines = (host / RULES).read_text().splitlines(keepends=True)
    assert lines[1:] == ["# NVMe queues in hardware\n", rule % ("scheduler", "none"), rule % ("nr_requests", "64")]
    assert called() == ["control --reload", TRIGGER]
    assert not (host / "etc/tmpfiles.d").exists()
    before = snapshot(host)
    assert not tunables_report.changed(apply([scheduler(), requests()], host))
    assert snapshot(host) == before


def test_another_rule_that_udev_applies_later_shows_in_the_value_and_is_named(host, calls):
    theirs = put(host, "/etc/udev/rules.d/90-theirs.rules", 'ATTR{size}!="0", ATTR{queue/scheduler}="bfq"\n')
    calls(f'[ "$1" != trigger ] || for disk in {host}/sys/block/*; do echo bfq > $disk/queue/scheduler; done')
    rows = apply([scheduler()], host).rows
    assert statuses(rows) == ["partial"] * 2
    assert {row["overridden_by"] for row in rows} == {"/etc/udev/rules.d/90-theirs.rules"}
    assert {row["persisted"] for row in rows} == {False}
    theirs.unlink()


def test_a_udev_that_fails_is_told_and_asked_again(host, calls):
    calls("exit 7")
    rows = apply([scheduler()], host).rows
    assert statuses(rows) == ["changed"] * 2
    assert "udevadm control --reload ended with status 7: it said nothing" in rows[0]["detail"]
    assert statuses(foresee([scheduler()], host).rows) == ["changed"] * 2
    calls()
    assert statuses(apply([scheduler()], host).rows) == ["changed"] * 2
    assert statuses(apply([scheduler()], host).rows) == ["ok"] * 2


def test_without_udev_the_rule_is_written_all_the_same(host, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda *_args, **_more: None)
    rows = apply([scheduler()], host).rows
    assert statuses(rows) == ["changed"] * 2
    assert (host / RULES).exists()


def test_restored_disks_have_no_rule_and_their_first_values(host, calls):
    called = calls()
    apply([scheduler()], host)
    restore(host)
    assert not (host / "etc").exists()
    assert (host / "sys/block/nvme1n1/queue/scheduler").read_text() == "mq-deadline\n"
    assert called() == ["control --reload", TRIGGER] * 2


def test_the_rule_goes_when_no_setting_wants_it(host, calls):
    called = calls()
    apply([scheduler()], host)
    apply([dict(scheduler(), applies=False)], host)
    assert not (host / RULES).exists()
    assert called()[2:] == ["control --reload"]


def test_percent_and_dollar_are_plain_in_rules(host, calls):
    calls()
    rows = apply([scheduler("5%$x")], host).rows
    assert 'ATTR{queue/scheduler}="5%%$$x"' in (host / RULES).read_text()
    assert rows[0]["persisted"]
