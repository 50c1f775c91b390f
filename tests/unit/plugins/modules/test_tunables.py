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
        "role": None,
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
        "persisted": True,
        "overridden_by": None,
    }
    assert first["reboot_required"] == []
    assert "ansible_facts" not in first
    second = run_module("tunables", arguments(host))
    assert second["changed"] is False
    assert second["summary"]["ok"] == 1


def test_check_mode_tells_the_same_and_writes_nothing(host, run_module, snapshot):
    before = snapshot(host)
    foretold = run_module("tunables", arguments(host), check=True, diff=True)
    assert snapshot(host) == before
    done = run_module("tunables", arguments(host), diff=True)
    assert [row.pop("persisted") for row in foretold["results"]] == [False, None]
    assert [row.pop("persisted") for row in done["results"]] == [True, None]
    for key in ("changed", "results", "summary", "diff", "reboot_required"):
        assert foretold[key] == done[key]
    assert done["diff"][0]["before"] == "vm.swappiness = 60\n"


def test_a_plan_for_a_container_does_nothing_but_report(host, run_module, snapshot):
    before = snapshot(host)
    settings = [dict(SWAPPINESS, applies=False, why_not="container", role="memory", path=None)]
    result = run_module("tunables", arguments(host, *settings))
    assert result["changed"] is False
    assert result["results"][0]["detail"] == "container"
    assert snapshot(host) == before


def test_others_that_need_nothing_are_told_and_left_alone(host, run_module, snapshot):
    def others(value, **more):
        group = {"persist_to": "60-other", "digest": "of-the-others"}
        return dict(group, settings=[dict(SWAPPINESS, name="vm.dirty_ratio", value=value, **more)])

    (host / "proc/sys/vm/dirty_ratio").write_text("20\n")
    run_module("tunables", arguments(host))
    before = snapshot(host)
    told = [run_module("tunables", arguments(host, also_read=[others(value)])) for value in ("20", "30")]
    assert [(one["changed"], one["as_planned"]) for one in told] == [(False, []), (False, [])]
    assert snapshot(host) == before
    # Persisted as well, they are as planned.
    run_module("tunables", arguments(host, dict(SWAPPINESS, name="vm.dirty_ratio", value="20"), persist_to="60-other"))
    assert run_module("tunables", arguments(host, also_read=[others("20")]))["as_planned"] == ["of-the-others"]
    assert run_module("tunables", arguments(host, also_read=[others("30")]))["as_planned"] == []
    assert run_module("tunables", arguments(host, also_read=[others("20", persist="udev")]))["as_planned"] == []


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
def held(host, start_module):
    """A function that starts the module with more settings and returns it and a pipe in the place of a file.

    The run is held when it opens the pipe to read; closing the pipe ends the hold.
    """

    def start(place, *settings):
        (host / place).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(host / place)
        process = start_module("tunables", arguments(host, *settings))
        return process, until(lambda: open_pipe(host / place))

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


def end(process):
    with process.stdout:
        answer = process.stdout.read()
    process.wait()
    return json.loads(answer) if answer else None


def test_a_run_killed_before_it_persists_is_made_right_by_the_next(host, held, run_module):
    (host / "var/lib/inference.host/baseline").mkdir(parents=True)
    process, pipe = held("etc/sysctl.d/60-test.conf", SWAPPINESS)
    assert (host / "proc/sys/vm/swappiness").read_text() == "10\n"
    process.kill()
    end(process)
    os.close(pipe)
    (host / "etc/sysctl.d/60-test.conf").unlink()
    result = run_module("tunables", arguments(host, SWAPPINESS))
    assert result["changed"] is True
    assert (host / "etc/sysctl.d/60-test.conf").read_text().endswith("vm.swappiness = 10\n")
    back = run_module("tunables", {"root": str(host), "state": "restored", "persist_to": "60-test"})
    assert (host / "proc/sys/vm/swappiness").read_text() == "60\n"
    assert back["summary"] == {"ok": 0, "changed": 2, "partial": 0, "not_applicable": 0, "refused": 0}


def a_file(host, *commands):
    return {"name": "a file", "kind": "file", "path": "/etc/x", "value": "text\n", "after": commands}


def test_a_run_killed_by_its_own_command_runs_it_again(host, start_module, run_module):
    kill = ["sh", "-c", f"test -e {host}/killed || {{ touch {host}/killed; kill -9 $PPID; }}; touch {host}/ran"]
    assert end(start_module("tunables", arguments(host, a_file(host, kill)))) is None
    assert (host / "etc/x").read_text() == "text\n"
    until((host / "ran").exists)
    (host / "ran").unlink()
    foretold = run_module("tunables", arguments(host, a_file(host, kill)), check=True)
    assert foretold["results"][0]["status"] == "changed"
    done = run_module("tunables", arguments(host, a_file(host, kill)))
    assert done["changed"] is True
    assert (host / "ran").exists()
    assert run_module("tunables", arguments(host, a_file(host, kill)))["changed"] is False


def test_a_second_run_waits_for_the_first(host, start_module):
    os.mkfifo(host / "hold")
    wait = ["sh", "-c", f"cat {host}/hold"]
    first = start_module("tunables", arguments(host, SWAPPINESS, a_file(host, wait)))
    pipe = until(lambda: open_pipe(host / "hold"))
    assert (host / "proc/sys/vm/swappiness").read_text() == "10\n"
    second = start_module("tunables", arguments(host, dict(SWAPPINESS, value="20"), a_file(host, wait)))
    until(lambda: waits_for_a_lock(second.pid))
    assert (host / "proc/sys/vm/swappiness").read_text() == "10\n"
    os.close(pipe)
    results = [end(process) for process in (first, second)]
    assert [result["results"][0]["before"] for result in results] == ["60", "10"]
    assert (host / "etc/sysctl.d/60-test.conf").read_text().endswith("vm.swappiness = 20\n")


def waits_for_a_lock(pid):
    return any("->" in line and str(pid) in line.split() for line in Path("/proc/locks").read_text().splitlines())


def test_another_file_that_wins_at_boot_is_named_in_a_warning(host, run_module):
    (host / "etc/sysctl.d").mkdir(parents=True)
    (host / "etc/sysctl.d/99-theirs.conf").write_text("vm.swappiness=30\n")
    for check in (True, False):
        result = run_module("tunables", arguments(host), check=check)
        row = result["results"][0]
        assert (row["status"], row["persisted"]) == ("changed", False)
        assert row["overridden_by"] == "/etc/sysctl.d/99-theirs.conf"
        says = "/etc/sysctl.d/99-theirs.conf sets vm.swappiness to 30 at boot"
        assert row["detail"] == says
        assert f"{says}, so 10 holds only until then; remove it there." in str(result["warnings"])


def test_restored_tells_what_it_does_and_what_another_tool_had_changed(host, run_module, snapshot):
    run_module("tunables", arguments(host))
    (host / "proc/sys/vm/swappiness").write_text("33\n")
    before = snapshot(host)
    back = {"root": str(host), "state": "restored", "stems": ["all"]}
    foretold = run_module("tunables", back, check=True, diff=True)
    assert snapshot(host) == before
    done = run_module("tunables", back, diff=True)
    for key in ("changed", "results", "summary", "diff", "warnings"):
        assert foretold[key] == done[key]
    assert done["changed"] is True
    assert "vm.swappiness was 33" in str(done["warnings"])
    assert run_module("tunables", back)["changed"] is False


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"state": "present", "settings": []}, "persist_to"),
        ({"state": "restored"}, "persist_to, stems"),
        ({"state": "restored", "stems": ["all", "60-x"]}, "stems: name the stems to be restored, or `all` alone"),
        ({"state": "restored", "persist_to": "../x"}, "stems is '../x'"),
    ],
)
def test_arguments_that_do_not_belong_together_are_refused(host, run_module, wrong, says):
    assert says in run_module("tunables", dict(wrong, root=str(host)))["msg"]


def test_the_documentation_names_every_option_with_its_type_default_and_choices():
    documented = yaml.safe_load(module_tunables.DOCUMENTATION)["options"]
    assert spec_of(documented, "suboptions") == spec_of(module_tunables.ARGUMENT_SPEC, "options")


def spec_of(options, below):
    fields = ("type", "elements", "default", "required", "choices")
    return {
        name: dict({key: option[key] for key in fields if key in option}, options=spec_of(option.get(below, {}), below))
        for name, option in options.items()
    }
