"""Module instances on a host of stand-ins: what is started, restarted and stopped, and what it refuses to call well."""

import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
import stand_in_host

CPUS = sorted(os.sched_getaffinity(0))


class Host:
    """Instances of a service on a host of stand-ins."""

    def __init__(self, root, run_module):
        self.root, self.run_module = root, run_module
        (root / "model").write_text("good Paris")
        (root / "run").mkdir()

    def write(self, index, revision="one", cpus=None, model="model"):
        """Write the files of an instance; return the instance as a plan has it."""
        unit = f"inference-chat@{index}.service"
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        folder = self.root / f"units/{unit}.d"
        folder.mkdir(exist_ok=True)
        program = f"{sys.executable} {stand_in_host.PROGRAM}"
        (folder / "placement.conf").write_text("\n".join([
            f"Environment=INFERENCE_REVISION={revision}", f"CPUAffinity={' '.join(map(str, cpus or CPUS))}",
            f"ExecStart={sys.executable} {self.root}/programs/engine.py {port} {self.root}/{model}",
            f"ExecStartPost={program} wait $MAINPID {port} /health", ""]))
        return {"unit": unit, "cpus": CPUS, "numa_policy": "none", "numa_range": "0"}

    def run(self, *instances, **options):
        return self.run_module("instances", {"instances": list(instances)}, **options)

    def pid(self, index):
        return json.loads((self.root / f"state/inference-chat@{index}.service").read_text())["pid"]


@pytest.fixture
def host(tmp_path, monkeypatch, run_module):
    with stand_in_host.systemd(tmp_path, monkeypatch):
        yield Host(tmp_path, run_module)


def actions(result):
    return [one["action"] for one in result["instances"]]


def test_instances_are_started_enabled_and_then_left_alone(host):
    wanted = [host.write(0), host.write(1)]
    first = host.run(*wanted)
    assert first["changed"] and actions(first) == ["start", "start"]
    assert all(one["enabled"] for one in first["instances"])
    pids = [host.pid(0), host.pid(1)]
    second = host.run(*wanted)
    assert not second["changed"] and actions(second) == [None, None]
    assert [host.pid(0), host.pid(1)] == pids


def test_what_runs_with_older_files_alone_is_restarted(host):
    wanted = [host.write(0), host.write(1)]
    host.run(*wanted)
    before = [host.pid(0), host.pid(1)]
    wanted[1] = host.write(1, revision="two")
    result = host.run(*wanted)
    assert actions(result) == [None, "restart"] and result["instances"][1]["moved"] is None
    assert host.pid(0) == before[0] and host.pid(1) != before[1]


@pytest.mark.skipif(len(CPUS) < 2, reason="this machine has one CPU")
def test_what_was_moved_from_outside_is_restarted_where_it_belongs(host):
    wanted = host.write(0)
    host.run(wanted)
    os.sched_setaffinity(host.pid(0), CPUS[:1])
    looked = host.run(wanted, check=True)
    assert looked["changed"] and f"runs on CPUs {CPUS[0]};" in looked["instances"][0]["moved"]
    result = host.run(wanted)
    assert actions(result) == ["restart"]
    assert os.sched_getaffinity(host.pid(0)) == set(CPUS)
    assert not host.run(wanted)["changed"]


@pytest.mark.skipif(len(CPUS) < 2, reason="this machine has one CPU")
def test_what_does_not_get_its_cpus_fails_and_says_which(host):
    result = host.run(host.write(0, cpus=CPUS[:1]))
    assert result["failed"] and f"runs on CPUs {CPUS[0]}; the plan says" in result["msg"]


def test_what_cannot_start_fails_with_its_own_words(host):
    (host.root / "broken").write_text("dies")
    result = host.run(host.write(0, model="broken"))
    assert result["failed"] and "could not restart" in result["msg"] and "the model cannot be loaded" in result["msg"]


def test_what_has_died_is_started(host):
    wanted = host.write(0)
    host.run(wanted)
    os.kill(host.pid(0), signal.SIGKILL)
    assert actions(host.run(wanted)) == ["start"]


def test_what_is_no_longer_wanted_is_stopped(host):
    wanted = [host.write(0), host.write(1)]
    host.run(*wanted)
    pid = host.pid(1)
    assert host.run(wanted[0], check=True)["stopped"] == ["inference-chat@1.service"]
    assert host.run(wanted[0])["stopped"] == ["inference-chat@1.service"]
    assert not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes()
    assert host.run()["stopped"] == ["inference-chat@0.service"]


def test_a_unit_without_files_is_said(host):
    result = host.run({"unit": "inference-gone@0.service", "cpus": CPUS, "numa_policy": "none", "numa_range": "0"})
    assert "is not a unit that systemd can load" in result["msg"]
