"""Module rollout on a host of stand-ins: what is restarted, what is put back, and what a killed run leaves."""

import contextlib
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
import stand_in_host

UNIT = "inference-chat@0.service"
LINE = "server 127.0.0.1:%d max_conns=1;\n"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Host:
    """One instance of a service on a host of stand-ins."""

    def __init__(self, root, run_module, start_module):
        self.root, self.run_module, self.start_module = root, run_module, start_module
        self.port = free_port()
        self.placement = root / f"units/{UNIT}.d/placement.conf"
        self.cpus = sorted(os.sched_getaffinity(0))
        (root / "run").mkdir()
        (root / "etc/nginx/inference").mkdir(parents=True)
        (root / "etc/nginx/inference/chat-0.server").write_text(LINE % self.port)
        (root / "units/inference-chat@.service").write_text("[Service]\n")

    def model(self, release, behaviour, check=None):
        """Put a release on the host."""
        folder = self.root / "models/m" / release
        folder.mkdir(parents=True)
        (folder / "file").write_text(behaviour)
        (folder / "manifest.json").write_text(json.dumps({"name": "m", "check": check}))

    def arguments(self, release, **more):
        program = f"{sys.executable} {stand_in_host.PROGRAM}"
        file = self.root / "models/m" / release / "file"
        content = "\n".join([
            "[Service]", f"Environment=INFERENCE_REVISION={release}",
            f"ExecStart={sys.executable} {self.root}/programs/engine.py {self.port} {file}",
            f"ExecStartPost={program} wait $MAINPID {self.port} /health",
            f"ExecStartPost=+{program} register chat 0", f"ExecStop=+{program} drain chat 0 {self.port} 30", ""])
        instance = {
            "unit": UNIT, "service": "chat", "index": 0, "runtime": "llama_cpp", "port": self.port, "health": "/health",
            "model_file": f"m/{release}/file", "cpus": self.cpus, "numa_policy": "none", "numa_range": "0"}
        return {
            "instance": dict(instance, **more.pop("instance", {})), "drain_seconds": 30,
            "files": [{"path": str(self.placement), "content": content}],
            "directories": [{"path": str(self.placement.parent)}],
            "models_dir": str(self.root / "models"), "baseline": str(self.root / "baseline"),
            "baseline_name": "60-inference-service", **more}

    def roll(self, release, check=False, **more):
        return self.run_module("rollout", self.arguments(release, **more), check=check, diff=True)

    def start(self, release, **more):
        return self.start_module("rollout", self.arguments(release, **more), start_new_session=True)

    def state(self):
        return json.loads((self.root / "state" / UNIT).read_text())

    def pid(self):
        return self.state()["pid"]

    def running(self):
        """The release that runs, or None."""
        with contextlib.suppress(OSError):
            environ = Path(f"/proc/{self.pid()}/environ").read_text()
            return environ.partition("INFERENCE_REVISION=")[2].partition("\0")[0] or None
        return None

    def registered(self):
        return (self.root / "run/inference.host/nginx/chat/0.server").exists()

    def leftovers(self):
        return [path.name for path in self.placement.parent.iterdir() if path.name != "placement.conf"]

    def is_as(self, release):
        """Whether that release runs, is in, is what the files say, and nothing else is left."""
        assert (self.running(), self.registered(), self.leftovers()) == (release, True, [])
        assert f"INFERENCE_REVISION={release}\n" in self.placement.read_text()
        assert self.state()["state"] == "active"
        return True


@pytest.fixture
def new_host(tmp_path, monkeypatch, run_module, start_module):
    with stand_in_host.systemd(tmp_path, monkeypatch):
        it = Host(tmp_path, run_module, start_module)
        with stand_in_host.nginx(tmp_path):
            yield it


@pytest.fixture
def host(new_host):
    """The same with release one."""
    new_host.model("one", "good Paris, of course")
    first = new_host.roll("one")
    assert first.get("changed"), first
    assert new_host.is_as("one")
    return new_host


# What goes well


def test_an_instance_that_runs_as_wanted_is_left_alone(host):
    before = host.pid()
    result = host.roll("one")
    assert not result["changed"] and result["diff"] == []
    assert host.pid() == before


def test_a_new_release_is_drained_started_asked_and_let_in(host):
    host.model("two", "good Paris", {"prompt": "Where?", "expect": "Paris", "max_tokens": 4})
    result = host.roll("two")
    assert result["changed"] and result["answer"] == "Paris" and result["drained"].startswith("drained in ")
    assert result["diff"][0]["before_header"] == str(host.placement)
    assert host.is_as("two")
    assert not host.roll("two")["changed"]


def test_check_mode_says_what_it_would_do_and_does_nothing(host):
    host.model("two", "good Paris")
    before = host.pid()
    assert host.roll("two", check=True)["changed"]
    assert not host.roll("one", check=True)["changed"]
    assert host.pid() == before and host.is_as("one")


def test_what_has_gone_since_is_started_again(host):
    os.kill(host.pid(), signal.SIGKILL)
    assert host.roll("one")["changed"]
    assert host.is_as("one")


def test_an_instance_that_nginx_does_not_send_to_comes_back_in(host):
    (host.root / "run/inference.host/nginx/chat/0.server").unlink()
    assert host.roll("one")["changed"]
    assert host.is_as("one")


def test_an_instance_that_is_not_where_it_should_be_is_restarted(host):
    if len(host.cpus) < 2:
        pytest.skip("this machine has one CPU")
    os.sched_setaffinity(host.pid(), host.cpus[:1])
    assert host.roll("one", check=True)["changed"]
    assert host.roll("one")["changed"]
    assert os.sched_getaffinity(host.pid()) == set(host.cpus)


def test_a_running_answer_ends_before_the_restart(host):
    host.model("two", "good Paris")
    before = host.pid()
    with socket.create_connection(("127.0.0.1", host.port)) as client:
        process = host.start("two")
        until(lambda: not host.registered())
        client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.0 200")
        assert host.pid() == before
    with process.stdout:
        assert json.loads(process.stdout.read())["changed"]
    process.wait()
    assert host.is_as("two")


def test_an_answer_that_does_not_end_is_cut_and_that_is_said(host):
    host.model("two", "good Paris")
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", host.port)):
        result = host.roll("two", drain_seconds=1)
    assert time.monotonic() - began < 20  # the unit's own drain has 30 s, and began long before
    assert "after 1 s 1 connections are still open and are cut" in result["drained"]
    assert host.is_as("two")


def test_the_key_is_shown_to_the_engine_and_to_nobody_else(host):
    host.model("two", "keyed Paris")
    result = host.roll("two", api_key="word")
    assert result["changed"] and "word" not in json.dumps(result)
    host.model("three", "keyed Paris")
    assert "has status 401" in host.roll("three", api_key="wrong-word")["msg"]
    assert host.is_as("two")


def test_what_answers_no_prompts_is_asked_for_its_health_alone(host):
    host.model("two", "refuses")
    result = host.roll("two", instance={"runtime": "whisper"})
    assert result["changed"] and result["answer"] is None
    assert host.is_as("two")


def test_first_seen_files_are_kept(host):
    baseline = json.loads((host.root / "baseline/60-inference-service.json").read_text())
    assert baseline["files"][str(host.placement)]["before"] == {"kind": "absent"}


# What goes wrong


@pytest.mark.parametrize(("behaviour", "check", "said"), [
    ("dies", None, "the model cannot be loaded"),
    ("refuses", None, "its completion has status 500"),
    ("babbles", None, "its completion is no completion: nonsense"),
    ("half Paris", None, "its completion is not whole: text 'Paris', finish_reason None"),
    ("good ", None, "its completion is not whole: text '', finish_reason 'length'"),
    ("crashes", None, "its completion did not come"),
    ("good Rome", {"prompt": "Where?", "expect": "Paris"}, "its completion to 'Where?' is 'Rome'; 'Paris' is expected"),
])
def test_a_release_that_fails_is_taken_back(host, behaviour, check, said):
    host.model("two", behaviour, check)
    result = host.roll("two")
    assert result["failed"] and f"{UNIT} did not take the new release: " in result["msg"] and said in result["msg"]
    assert "It is back on what it ran before, and answers." in result["msg"]
    assert host.is_as("one")
    assert not host.roll("one")["changed"]


def test_a_release_that_never_gets_healthy_is_taken_back_when_its_time_is_over(host):
    host.model("two", "never")
    process = host.start("two")
    until(lambda: host.running() == "two" and host.state()["post"])
    os.kill(host.pid(), signal.SIGKILL)  # as systemd does after TimeoutStartSec
    with process.stdout:
        result = json.loads(process.stdout.read())
    process.wait()
    assert "the engine ended before it could answer" in result["msg"]
    assert host.is_as("one")


def test_an_instance_on_other_cpus_than_planned_is_taken_back(host):
    host.model("two", "good Paris")
    result = host.roll("two", instance={"cpus": [*host.cpus, 4000]})
    assert "the plan says" in result["msg"] and "did not take effect" in result["msg"]
    assert host.is_as("one")


def refuse(host):
    program = host.root / "usr/sbin/nginx"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "[emerg] unknown directive wrogn"\nexit 1\n')
    program.chmod(0o755)


def test_where_nginx_cannot_be_told_nothing_is_changed(host):
    refuse(host)
    host.model("two", "good Paris")
    before = host.pid()
    result = host.roll("two")
    assert "unknown directive wrogn" in result["msg"] and "Nothing was changed" in result["msg"]
    assert host.pid() == before and host.is_as("one")


def test_where_nginx_would_send_to_another_port_nothing_is_changed(host):
    """After a service was put in front of it, site.yml has to tell nginx first."""
    host.model("two", "good Paris")
    before, port, host.port = host.pid(), host.port, free_port()
    for check in (True, False):
        result = host.roll("two", check=check)
        assert f"listen on port {host.port}, and nginx would send to port {port}; run site.yml" in result["msg"]
    assert host.pid() == before and host.is_as("one")


def test_of_a_new_instance_that_fails_nothing_is_left(new_host):
    new_host.model("two", "refuses")
    result = new_host.roll("two")
    assert "its completion has status 500" in result["msg"] and "There was no such instance before" in result["msg"]
    assert not new_host.placement.parent.exists() and new_host.running() is None
    assert not new_host.state()["enabled"] and not new_host.registered()


def test_an_old_release_that_does_not_run_any_more_is_said(host):
    (host.root / "models/m/one/file").write_text("dies")
    host.model("two", "refuses")
    result = host.roll("two")
    assert "Its old files are back, and with them it does not run either" in result["msg"]
    assert "INFERENCE_REVISION=one\n" in host.placement.read_text() and not host.registered()


# Runs that are cut off


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def killed(host, number, moment):
    """Start a roll-out to release two and send its process group a signal at that moment; return what it said."""
    process = host.start("two")
    until(lambda: moment(host))
    os.killpg(process.pid, number)
    with process.stdout:
        said = process.stdout.read()
    process.wait()
    return said


MOMENTS = {
    "drained": lambda host: not host.registered(),
    "written": lambda host: "=two\n" in host.placement.read_text(),
    "restarting": lambda host: host.running() == "two",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_is_repeated(host, moment):
    host.model("two", "good Paris")
    killed(host, signal.SIGKILL, MOMENTS[moment])
    result = host.roll("two")
    assert result["changed"], result
    assert host.is_as("two")
    assert not host.roll("two")["changed"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_of_a_release_that_fails_is_repeated_and_goes_back(host, moment):
    host.model("two", "refuses")
    killed(host, signal.SIGKILL, MOMENTS[moment])
    result = host.roll("two")
    assert "It is back on what it ran before" in result["msg"]
    assert host.is_as("one")


@pytest.mark.parametrize("moment", MOMENTS)
def test_after_a_killed_run_one_can_stay_with_the_old_release(host, moment):
    host.model("two", "refuses")
    killed(host, signal.SIGKILL, MOMENTS[moment])
    assert host.roll("one")["changed"]
    assert host.is_as("one")


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_is_told_to_stop_goes_back(host, moment):
    host.model("two", "good Paris")
    said = killed(host, signal.SIGTERM, MOMENTS[moment])
    assert "stopped by SIGTERM" in json.loads(said)["msg"]
    assert host.is_as("one")


def test_of_a_new_instance_nothing_is_left_after_a_killed_run_either(new_host):
    new_host.model("two", "refuses")
    killed(new_host, signal.SIGKILL, lambda host: host.running() == "two")
    assert "There was no such instance before" in new_host.roll("two")["msg"]
    assert not list(new_host.placement.parent.iterdir()) and new_host.running() is None
    assert not new_host.state()["enabled"] and not new_host.registered()


def test_what_systemd_was_asked_for_goes_on_without_the_killed_run(host):
    """The new release comes in by itself: its host does not wait for a person."""
    host.model("two", "good Paris")
    killed(host, signal.SIGKILL, MOMENTS["restarting"])
    until(host.registered)
    until(lambda: host.state()["state"] == "active")
    assert host.running() == "two"
