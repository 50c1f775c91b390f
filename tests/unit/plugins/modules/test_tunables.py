"""The module `tunables`, run in a process of its own: results, check mode, faults, two runs at once."""

import errno
import json
import os
import resource
import time
from pathlib import Path

import pytest
import yaml
from ansible_collections.inference.host.plugins.modules import tunables as module_tunables

SWAPPINESS = {"name": "vm.swappiness", "kind": "sysctl", "value": "10", "reason": "a reason", "evidence": "convention"}
NOT_HERE = {"name": "governor", "kind": "sysfs", "path": "/sys/no*", "value": "performance", "role": "cpu"}


@pytest.fixture
def host(tmp_path):
    root = tmp_path / "host"
    (root / "proc/sys/vm").mkdir(parents=True)
    (root / "proc/sys/vm/swappiness").write_text("60\n")
    return root


def arguments(root, *settings, **more):
    return dict({"root": str(root), "persist_to": "60-test", "settings": settings or [SWAPPINESS, NOT_HERE]}, **more)


def test_it_applies_once_and_then_has_nothing_to_do(host, run_module):
    first = run_module("tunables", arguments(host))
    assert first["changed"] is True
    assert first["summary"] == {"ok": 0, "changed": 1, "partial": 0, "not_applicable": 1, "refused": 0}
    assert first["results"][0] == {
        "name": "vm.swappiness",
        "kind": "sysctl",
        "pattern": "/proc/sys/vm/swappiness",
        "path": "/proc/sys/vm/swappiness",
        "before": "60",
        "wanted": "10",
        "after": "10",
        "status": "changed",
        "reason": "a reason",
        "evidence": "convention",
        "detail": "",
    }
    second = run_module("tunables", arguments(host))
    assert second["changed"] is False
    assert second["summary"]["ok"] == 1


def test_check_mode_tells_the_same_and_writes_nothing(host, run_module, snapshot):
    before = snapshot(host)
    foretold = run_module("tunables", arguments(host), check=True, diff=True)
    assert snapshot(host) == before
    done = run_module("tunables", arguments(host), diff=True)
    for key in ("changed", "results", "summary", "diff"):
        assert foretold[key] == done[key]
    assert done["diff"][0]["before"] == "vm.swappiness = 60\n"


def test_a_plan_for_a_container_does_nothing_but_report(host, run_module, snapshot):
    before = snapshot(host)
    settings = [dict(SWAPPINESS, applies=False, why_not="container", role="memory", path=None)]
    result = run_module("tunables", arguments(host, *settings))
    assert result["changed"] is False
    assert result["results"][0]["detail"] == "container"
    assert snapshot(host) == before


def test_a_refused_setting_fails_the_module_at_the_end_unless_that_is_not_wanted(host, run_module):
    (host / "proc/sys/kernel").mkdir()
    (host / "proc/sys/kernel/osrelease").symlink_to("/proc/sys/kernel/osrelease")
    settings = [{"name": "kernel.osrelease", "kind": "sysctl", "value": "1"}, SWAPPINESS]
    failed = run_module("tunables", arguments(host, *settings))
    assert failed["failed"] is True
    assert failed["msg"].startswith("refused by the system: kernel.osrelease = 1 (")
    assert failed["summary"]["changed"] == 1
    assert (host / "proc/sys/vm/swappiness").read_text() == "10\n"
    lenient = run_module("tunables", arguments(host, *settings, fail_on_refused=False))
    assert "failed" not in lenient
    assert lenient["summary"]["refused"] == 1
    assert lenient["changed"] is False


def test_a_wrong_name_is_refused_by_name_in_check_mode_too(host, run_module, snapshot):
    before = snapshot(host)
    for check in (True, False):
        result = run_module("tunables", arguments(host, dict(SWAPPINESS, name="vm..x")), check=check)
        assert result["msg"].startswith("settings: 'vm..x': name is 'vm..x'")
    assert snapshot(host) == before


def small_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))


def test_a_full_disk_leaves_the_old_persistent_file_and_says_what_holds(host, run_module):
    run_module("tunables", arguments(host))
    old = (host / "etc/sysctl.d/60-test.conf").read_text()
    longer = dict(SWAPPINESS, value="20", reason="long " * 1000)
    result = run_module("tunables", arguments(host, longer), preexec_fn=small_files)
    says = "etc/sysctl.d/60-test.conf cannot be written: file too large; the settings hold only until the next boot"
    assert result["msg"] == f"{host}/{says}"
    assert (host / "etc/sysctl.d/60-test.conf").read_text() == old
    assert os.listdir(host / "etc/sysctl.d") == ["60-test.conf"]


def test_a_full_disk_stops_the_run_before_a_value_is_lost(host, run_module):
    names = [f"vm.a{number}" for number in range(30)]
    for name in names:
        (host / "proc/sys/vm" / name[3:]).write_text("1\n")
    settings = [{"name": name, "kind": "sysctl", "value": "2"} for name in names]
    result = run_module("tunables", arguments(host, *settings), preexec_fn=small_files)
    assert result["msg"] == f"{host}/var/lib/inference.host/baseline/60-test.json cannot be used: file too large"
    assert {(host / "proc/sys/vm" / name[3:]).read_text() for name in names} == {"1\n"}


@pytest.fixture
def before_it_persists(host, start_module):
    """A function that starts the module and returns it once it has written live values and not yet persisted them.

    It is held there by a pipe in the place of the persistent file; the pipe ends the hold when it is closed.
    """
    (host / "var/lib/inference.host/baseline").mkdir(parents=True)
    (host / "etc/sysctl.d").mkdir(parents=True)
    os.mkfifo(host / "etc/sysctl.d/60-test.conf")

    def start():
        process = start_module("tunables", arguments(host, SWAPPINESS))
        pipe = until(lambda: open_pipe(host / "etc/sysctl.d/60-test.conf"))
        assert (host / "proc/sys/vm/swappiness").read_text() == "10\n"
        return process, pipe

    return start


def open_pipe(path):
    """Return the pipe open for writing, or None as long as nobody reads."""
    try:
        return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        assert error.errno == errno.ENXIO
        return None


def until(condition):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
    raise AssertionError("what was waited for did not come")


def test_a_run_killed_before_it_persists_is_made_right_by_the_next(host, before_it_persists, run_module):
    process, pipe = before_it_persists()
    process.kill()
    process.wait()
    process.stdout.close()
    os.close(pipe)
    (host / "etc/sysctl.d/60-test.conf").unlink()
    result = run_module("tunables", arguments(host, SWAPPINESS))
    assert result["changed"] is True
    assert (host / "etc/sysctl.d/60-test.conf").read_text().endswith("vm.swappiness = 10\n")
    kept = json.loads((host / "var/lib/inference.host/baseline/60-test.json").read_text())
    assert kept["/proc/sys/vm/swappiness"]["before"] == "60"


def test_a_second_run_waits_for_the_first(host, before_it_persists, start_module):
    first, pipe = before_it_persists()
    second = start_module("tunables", arguments(host, dict(SWAPPINESS, value="20")))
    until(lambda: waits_for_a_lock(second.pid))
    assert (host / "proc/sys/vm/swappiness").read_text() == "10\n"
    os.close(pipe)
    results = []
    for process in (first, second):
        with process.stdout:
            results.append(json.loads(process.stdout.read()))
        process.wait()
    assert [result["results"][0]["before"] for result in results] == ["60", "10"]
    assert (host / "etc/sysctl.d/60-test.conf").read_text().endswith("vm.swappiness = 20\n")


def waits_for_a_lock(pid):
    return any("->" in line and str(pid) in line.split() for line in Path("/proc/locks").read_text().splitlines())


def test_the_documentation_names_every_option_with_its_type_default_and_choices():
    documented = yaml.safe_load(module_tunables.DOCUMENTATION)["options"]
    assert spec_of(documented, "suboptions") == spec_of(module_tunables.ARGUMENT_SPEC, "options")


def spec_of(options, below):
    fields = ("type", "elements", "default", "required", "choices")
    return {
        name: dict({key: option[key] for key in fields if key in option}, options=spec_of(option.get(below, {}), below))
        for name, option in options.items()
    }
