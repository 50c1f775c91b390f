"""Commands after files, retries and orders: what happens around the writing of a value."""

import os
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils import tunables_report
from ansible_collections.inference.host.plugins.module_utils.tunables_host import Host, TunablesError
from tunable_trees import apply, file, foresee, kept, put, restore, small_host, statuses, sysctl, sysfs


@pytest.fixture
def host(tmp_path):
    return small_host(tmp_path)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


def note(log, word):
    return ["sh", "-c", f"echo {word} >> {log}"]


def test_commands_run_once_for_all_files_after_them_and_only_after_a_change(host, log):
    reload, restart = note(log, "reload"), ["sh", "-c", f"cat {host}/etc/one {host}/etc/two >> {log}"]
    settings = [file("/etc/one", "1\n", reload, restart), file("/etc/two", "2\n", reload)]
    outcome = apply(settings, host)
    assert log.read_text() == "reload\n1\n2\n"
    assert outcome.commands == [reload, restart]
    assert statuses(outcome.rows) == ["changed"] * 2
    again = apply(settings, host)
    assert log.read_text() == "reload\n1\n2\n"
    assert not tunables_report.changed(again)
    assert kept(host)["pending"] == []


def test_a_command_that_fails_is_refused_and_run_again_by_the_next_run(host, tmp_path):
    command = ["sh", "-c", f"test -e {tmp_path}/works || {{ echo is not there; exit 3; }}"]
    settings = [file("/etc/one", "1\n", command), sysctl()]
    outcome = apply(settings, host)
    assert statuses(outcome.rows) == ["refused", "changed"]
    assert outcome.rows[0]["detail"].endswith("ended with status 3: is not there")
    assert (host / "etc/one").read_text() == "1\n"
    foreseen = foresee(settings, host)
    assert statuses(foreseen.rows) == ["changed", "ok"]
    assert foreseen.rows[0]["detail"].startswith("still to be run after an earlier change: sh -c ")
    assert tunables_report.changed(foreseen)
    (tmp_path / "works").write_text("")
    second = apply(settings, host)
    assert statuses(second.rows) == ["changed", "ok"]
    assert second.commands == [command]
    assert not tunables_report.changed(apply(settings, host))


def test_a_command_that_is_not_there_is_refused_in_words(host):
    rows = apply([file("/etc/one", "1\n", ["/no/such/command"])], host).rows
    assert rows[0]["detail"] == "/no/such/command cannot be run: no such file or directory"


def test_a_value_that_a_command_sets_back_is_partial(host):
    setter = ["sh", "-c", f"echo 60 > {host}/proc/sys/vm/swappiness"]
    rows = apply([sysctl(), file("/etc/one", "1\n", setter)], host).rows
    assert statuses(rows) == ["partial", "changed"]
    assert rows[0]["detail"] == "the kernel has 60 after 10 was written and the commands were run"


@pytest.mark.parametrize("make", [os.mkdir, lambda path: os.symlink("/etc/hostname", path), os.mkfifo])
def test_what_is_no_regular_file_is_never_written_through(host, make):
    (host / "etc").mkdir()
    make(host / "etc/one")
    rows = apply([file("/etc/one", "1\n")], host).rows
    assert statuses(rows) == ["refused"]
    assert rows[0]["detail"] == "/etc/one is there and is not a regular file"


def test_a_file_keeps_its_mode(host):
    put(host, "/etc/one", "theirs").chmod(0o600)
    apply([file("/etc/one", "ours")], host)
    assert (host / "etc/one").stat().st_mode & 0o777 == 0o600
    restore(host)
    assert (host / "etc/one").read_text() == "theirs"


# Huge pages

NODE = "/sys/devices/system/node/node{}/hugepages/hugepages-2048kB/nr_hugepages"


class Machine(Host):
    """A kernel with so many free huge pages on each node, of which compaction finds more; its clock is its own."""

    def __init__(self, root, free, found_by_compaction=0):
        super().__init__(str(root))
        self.free, self.found, self.time, self.log = free, found_by_compaction, 0.0, []

    def now(self):
        return self.time

    def sleep(self, seconds):
        assert seconds > 0
        self.time += seconds

    def put(self, path, text):
        self.log.append((path, text))
        if path == "/proc/sys/vm/compact_memory":
            self.free += self.found
        elif path.endswith("nr_hugepages"):
            have = int(self.text(path))
            text = str(min(int(text), have + self.free))
            self.free -= int(text) - have
        super().put(path, text)


@pytest.fixture
def machine(tmp_path):
    def make(*pages, **more):
        for node, count in enumerate(pages):
            put(tmp_path, NODE.format(node), f"{count}\n")
        put(tmp_path, "/proc/sys/vm/compact_memory", "")
        return Machine(tmp_path, **more)

    return make


def pages(node, count, seconds=60):
    return sysfs(NODE.format(node), str(count), retry_seconds=seconds)


def test_pages_are_asked_for_again_after_compaction_until_they_are_there(machine):
    host = machine(0, free=10, found_by_compaction=20)
    rows = apply([pages(0, 64)], host).rows
    assert statuses(rows) == ["changed"]
    assert rows[0]["after"] == "64"
    assert [text for path, text in host.log if path.endswith("compact_memory")] == ["1"] * 3
    assert host.time < 5


def test_fewer_pages_than_asked_are_partial_with_their_number_when_the_time_is_over(machine):
    host = machine(0, 0, free=10)
    rows = apply([pages(0, 64, seconds=60), pages(1, 5, seconds=30)], host).rows
    assert [(row["status"], row["after"]) for row in rows] == [("partial", "10"), ("partial", "0")]
    assert rows[0]["detail"] == "the kernel has 10 after 64 was written, and again for 60 seconds"
    assert 60 <= host.time <= 61
    written = [path for path, _text in host.log]
    assert 12 < written.count(NODE.format(0)) < 30
    assert written.count(NODE.format(1)) < written.count(NODE.format(0))


def test_nothing_is_asked_for_again_without_a_time(machine):
    host = machine(0, free=10)
    assert statuses(apply([pages(0, 64, seconds=0)], host).rows) == ["partial"]
    assert host.time == 0


def test_pages_are_given_back_before_others_are_asked_for(machine):
    host = machine(0, 100, free=0)
    rows = apply([pages(0, 80), pages(1, 20)], host).rows
    assert statuses(rows) == ["changed", "changed"]
    assert [row["after"] for row in rows] == ["80", "20"]
    assert host.time == 0


def test_restored_pages_go_down_before_others_come_back(machine):
    host = machine(0, 100, free=0)
    apply([pages(0, 80), pages(1, 20)], host)
    rows = {row["path"]: row["after"] for row in restore(host).rows if row["kind"] == "sysfs"}
    assert rows == {NODE.format(0): "0", NODE.format(1): "100"}
    assert Path(host.place(NODE.format(1))).read_text() == "100\n"


# Files that count only after a reboot

WHY = "the module reads its options when it is loaded"


def boot(root, number):
    put(root, "/proc/sys/kernel/random/boot_id", f"{number}\n")


def test_a_file_that_needs_a_reboot_says_so_until_the_next_boot(host):
    boot(host, 1)
    settings = [file("/etc/modprobe.d/x.conf", "options x y=1\n", reboot=WHY)]
    sentence = f"/etc/modprobe.d/x.conf was changed: {WHY}"
    assert foresee(settings, host).reboot_required == [sentence]
    assert apply(settings, host).reboot_required == [sentence]
    assert apply(settings, host).reboot_required == [sentence]
    boot(host, 2)
    assert apply(settings, host).reboot_required == []
    assert restore(host).reboot_required == [f"/etc/modprobe.d/x.conf was put back: {WHY}"]
    assert restore(host).reboot_required == [f"/etc/modprobe.d/x.conf was put back: {WHY}"]
    boot(host, 3)
    assert restore(host).reboot_required == []
    assert restore(host).reboot_required is None


def test_only_files_can_ask_for_a_reboot(host):
    with pytest.raises(TunablesError, match="reboot is only for kind file"):
        apply([sysctl(reboot=WHY)], host)


# Files of settings that are no more among them


def test_a_file_that_is_no_more_wanted_goes_with_its_commands(host, log, snapshot):
    before, gone = snapshot(host), ["sh", "-c", f"test -e {host}/etc/new/one || echo gone >> {log}"]
    other = file("/etc/two", "2\n")
    apply([file("/etc/new/one", "1\n", gone), other], host)
    foreseen = foresee([other], host)
    assert [item.path for item in foreseen.files] == ["/etc/new/one"] and tunables_report.changed(foreseen)
    assert (host / "etc/new/one").exists()
    outcome = apply([other], host)
    assert [item.path for item in outcome.files] == ["/etc/new/one"] and not (host / "etc/new/one").exists()
    assert log.read_text() == "gone\n"
    assert list(kept(host)["files"]) == ["/etc/two"] and not tunables_report.changed(apply([other], host))
    restore(host)
    assert {path: found for path, found in snapshot(host).items() if path.startswith("etc")} == {
        path: found for path, found in before.items() if path.startswith("etc")}


def test_a_file_that_was_there_before_is_put_back(host):
    put(host, "/etc/one", "first\n")
    apply([file("/etc/one", "ours\n"), file("/etc/two", "2\n")], host)
    apply([file("/etc/two", "2\n")], host)
    assert (host / "etc/one").read_text() == "first\n" and list(kept(host)["files"]) == ["/etc/two"]


def test_a_file_that_another_tool_has_changed_since_stays(host):
    apply([file("/etc/one", "ours\n")], host)
    put(host, "/etc/one", "theirs\n")
    assert not tunables_report.changed(apply([], host))
    assert (host / "etc/one").read_text() == "theirs\n" and "/etc/one" in kept(host)["files"]


def test_a_command_that_fails_after_a_file_has_gone_is_said_and_run_again(host, tmp_path):
    apply([file("/etc/one", "ours\n", ["sh", "-c", f"test -e {host}/etc/one || test -e {tmp_path}/works"])], host)
    for _run in range(2):
        (said,) = apply([], host).warnings
        assert f"test -e {tmp_path}/works ended with status 1" in said and said.endswith("; the next run tries again.")
    (tmp_path / "works").write_text("")
    assert apply([], host).warnings == [] and not tunables_report.changed(apply([], host))


def test_a_file_of_a_setting_that_does_not_apply_now_stays(host):
    apply([file("/etc/one", "ours\n")], host)
    assert not tunables_report.changed(apply([dict(file("/etc/one", "ours\n"), applies=False)], host))
    assert (host / "etc/one").read_text() == "ours\n"


def test_what_waits_for_a_reboot_waits_again_when_it_is_taken_away(host):
    put(host, "/proc/sys/kernel/random/boot_id", "1\n")
    apply([dict(file("/etc/one", "ours\n"), reboot="it counts at boot")], host)
    put(host, "/proc/sys/kernel/random/boot_id", "2\n")
    assert apply([], host).reboot_required == ["/etc/one was changed: it counts at boot"]
