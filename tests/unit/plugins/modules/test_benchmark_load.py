"""Module benchmark_load as Ansible runs it, on a stand-in for a service."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from completion_server import KEY, completing

SHAPE = {"name": "mine", "users": 2, "prompt_tokens": 20, "max_tokens": 8, "requests": 4, "repeats": 4,
         "limit_seconds": 60}
# Whatever this machine does besides.
ANY = {"noise_percent": 100, "spread_percent": 10000}

SYSTEMCTL = """#!/bin/sh
echo "Id=inference-chat@0.service"
echo "ActiveState=active"
echo "MainPID=%d"
"""


def arguments(url, **changes):
    return dict({"url": url, "service": "chat", "shape": SHAPE}, **ANY, **changes)


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """A process that stands for the engine of inference-chat@0.service, and a systemctl that says so."""
    with subprocess.Popen(["sleep", "600"]) as process:
        (tmp_path / "systemctl").write_text(SYSTEMCTL % process.pid)
        (tmp_path / "systemctl").chmod(0o755)
        monkeypatch.setenv("PATH", "%s:%s" % (tmp_path, os.environ["PATH"]))
        yield process
        process.kill()


def instances():
    return [{"name": "chat-0", "unit": "inference-chat@0.service", "cpus": sorted(os.sched_getaffinity(0))}]


def test_a_run_has_repeats_a_summary_and_what_was_asked(run_module):
    # Slow enough for the asking program to wait most of the time, else the run is not judged.
    with completing(0.02, 0.02) as server:
        answer = run_module("benchmark_load", arguments(server.url + "/good"))
        models = {asked["model"] for _path, _headers, asked in server.asked}
    run = answer["run"]
    assert not answer["changed"] and models == {"chat"}
    assert (run["level"], run["service"], run["shape"], run["judged"], run["why_not"], run["state"]) == (
        "service", "chat", "mine", True, None, None)
    assert run["parameters"] == {"users": 2, "prompt_tokens": 20, "max_tokens": 8, "requests": 4, "ramp_seconds": 0,
                                 "hold_seconds": 0, "down_seconds": 0, "prompt_tokens_told": 20}
    assert len(run["repeats"]) == 4
    speed = run["summary"]["tokens_per_second"]
    assert speed["low"] <= speed["median"] <= speed["high"] and speed["n"] == 4
    assert run["summary"]["ttft_ms"]["p99"] >= run["summary"]["ttft_ms"]["p50"] >= 20


def test_the_machine_is_watched(run_module, engine):
    with completing(0.02, 0.02) as server:
        run = run_module("benchmark_load", arguments(server.url + "/good", instances=instances()))["run"]
    assert set(run["state"]) == {"before", "after", "during"}
    assert list(run["state"]["before"]["pages_per_node_mib"]) == ["chat-0"]
    assert run["state"]["during"]["client_percent"] > 0


def test_an_engine_that_ends_makes_the_run_worthless(start_module, engine):
    with completing(0.02, 0.05) as server:
        process = start_module("benchmark_load", arguments(server.url + "/good", instances=instances()))
        while len(server.asked) < 6:
            assert process.poll() is None
            time.sleep(0.01)
        engine.kill()
        engine.wait()
        with process.stdout:
            run = json.loads(process.stdout.read())["run"]
        process.wait()
    assert not run["judged"] and run["why_not"].startswith("an engine ended, or was started anew, during the run.")


def test_a_run_that_the_limit_cuts_is_not_judged(run_module):
    with completing(following=0.05) as server:
        run = run_module("benchmark_load", arguments(
            server.url + "/good", shape=dict(SHAPE, repeats=50, limit_seconds=3)))["run"]
    assert not run["judged"] and run["why_not"].startswith("the limit of 3 s came after ")


def test_requests_that_fail_are_counted_and_the_first_reason_kept(run_module):
    with completing() as server:
        run = run_module("benchmark_load", arguments(server.url + "/some-fail", shape=dict(SHAPE, users=1)))["run"]
    assert run["first_error"] == "status 503: no slot is free" and not run["judged"]
    assert "requests failed." in run["why_not"]
    assert sum(repeat["errors"] for repeat in run["repeats"]) >= 4


@pytest.mark.parametrize(("behaviour", "said"), [
    ("401", "no answer came: status 401: "),
    ("cut", "no answer came: the connection ended in the middle."),
    ("no-http", "no answer came: no HTTP: who are you."),
])
def test_a_service_that_does_not_answer_fails_the_module(run_module, behaviour, said):
    with completing() as server:
        answer = run_module("benchmark_load", arguments("%s/%s" % (server.url, behaviour)))
    assert answer["failed"] and answer["msg"].startswith("mine at %s/%s: %s" % (server.url, behaviour, said))


def test_the_key_gets_to_the_service_and_nowhere_else(start_module):
    with completing(following=0.05) as server:
        process = start_module("benchmark_load", arguments(server.url + "/keyed", api_key=KEY))
        while len(server.asked) < 4:
            assert process.poll() is None
            time.sleep(0.01)
        seen = [Path("/proc/%d/%s" % (process.pid, name)).read_bytes() for name in ("cmdline", "environ")]
        with process.stdout:
            answer = process.stdout.read()
        process.wait()
    assert json.loads(answer)["run"]["judged"]
    assert KEY not in answer and not any(KEY.encode() in text for text in seen)


def test_a_certificate_is_checked_unless_told_otherwise(run_module, tmp_path):
    path = tmp_path / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=lab", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", f"{path}.crt"],
        check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    with completing(0.02, 0.02, certificate=path) as server:
        url = server.url + "/good"
        assert "certificate verify failed" in run_module("benchmark_load", arguments(url))["msg"]
        assert run_module("benchmark_load", arguments(url, ca_file=f"{path}.crt"))["run"]["judged"]
        assert run_module("benchmark_load", arguments(url, validate_certs=False))["run"]["judged"]


def test_check_mode_asks_nothing(run_module):
    with completing() as server:
        answer = run_module("benchmark_load", arguments(server.url + "/good"), check=True)
        assert (answer["run"], answer["changed"], server.asked) == (None, False, [])


@pytest.mark.parametrize(("changes", "said"), [
    ({"url": "chat"}, "url is 'chat'; it must be one such as http://127.0.0.1:8080."),
    # The password is not shown.
    ({"url": "http://me:secret@x"}, "url has a user or a password in it, which nobody asks for; leave them out."),
    ({"url": "https://x", "ca_file": "/not/there.pem"},
     "benchmark_ca_file is '/not/there.pem', which cannot be used (No such file or directory); it must be a file with "
     "certificates."),
    ({"shape": {"name": "a", "user": 2}}, "benchmark_shapes[0].user is not known; did you mean users?"),
    ({"shape": {"name": "a", "level": "engine", "prompts": [8]}},
     "shape a has level engine; module benchmark_engine measures that."),
])
def test_wrong_wishes_are_refused(run_module, changes, said):
    assert run_module("benchmark_load", dict(arguments("http://127.0.0.1:1/x"), **changes))["msg"] == said
