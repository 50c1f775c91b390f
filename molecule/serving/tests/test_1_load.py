"""What happens to a constant load of real requests while the site changes and breaks. The tests are one story."""

import os
import re
import signal
import subprocess
import time

import pytest
from conftest import SAMPLE, windows

MODELS = "/var/lib/inference/models/gemma-3-270m"
UNITS = ("inference-chat@0.service", "inference-chat@1.service")


@pytest.fixture
def running(ask):
    """The releases that the instances of all hosts run, as their processes say."""
    line = ("for pid in $(pidof llama-server); do cat /proc/$pid/cmdline; done |"
            f" grep --text --only-matching {MODELS}/............")
    return lambda: {release.rsplit("/", 1)[1] for host in ("lab1", "lab2") for release in ask(host, line).split()}


@pytest.fixture
def wait_until():
    def wait(condition, seconds=120):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.2)

    return wait


def test_a_new_release_is_rolled_out(site, load, ask, running):
    release = site.wish("new.gguf")
    with load.event("deploy a new release"):
        status, said = site.play("deploy_model")
    assert status == 0, said
    assert running() == {release}
    assert len(re.findall(r"inference-chat@\d.service: drained in [\d.]+ s, restarted, and answers", said)) == 4
    last, first = "changed: [lab1] => (item=inference-chat@1", "changed: [lab2] => (item=inference-chat@0"
    assert said.index(last) < said.index(first)
    assert ask("lab1", f"readlink {MODELS}/current") == release
    assert load.failures("deploy a new release") == []


def test_a_second_run_changes_nothing(site, load, running):
    status, said = site.play("deploy_model")
    assert status == 0 and len(re.findall("changed=0 ", said)) == 2, said


def test_the_release_before_comes_back(site, load, ask, running):
    with load.event("roll back"):
        status, said = site.play("rollback", service="chat")
    assert status == 0, said
    assert running() == {SAMPLE[:12]}
    assert ask("lab2", f"readlink {MODELS}/current") == SAMPLE[:12]
    assert load.failures("roll back") == []


def test_a_hosts_service_is_restarted_by_hand(load, ask):
    before = ask("lab1", "pidof llama-server").split()
    with load.event("restart a host's service"):
        ask("lab1", "systemctl restart inference-chat.target")
    assert not set(before) & set(ask("lab1", "pidof llama-server").split())
    assert load.failures("restart a host's service") == []


# What fails


def test_a_release_that_no_engine_can_load_is_taken_back(site, load, running):
    site.wish("unloadable.gguf")
    with load.event("deploy what cannot load"):
        status, said = site.play("deploy_model")
    assert status != 0 and "inference-chat@0.service did not take the new release" in said, said
    assert "It is back on what it ran before, and answers." in said and "output_norm" in said
    assert "inference-chat@1.service did not take" not in said  # the others stay as they are
    assert running() == {SAMPLE[:12]}
    assert load.failures("deploy what cannot load") == []


def test_a_release_that_answers_something_else_is_taken_back(site, load, running):
    site.wish("strange.gguf", expect="Timbuktu")
    with load.event("deploy what answers wrongly"):
        status, said = site.play("deploy_model", service="chat")
    assert status != 0 and "'Timbuktu' is expected in it" in said, said
    assert running() == {SAMPLE[:12]}
    assert load.failures("deploy what answers wrongly") == []


def test_a_killed_run_is_repeated(site, load, running, wait_until):
    release = site.wish("new.gguf")
    with load.event("kill a deployment, repeat it"):
        with site.start("deploy_model") as process:
            assert any("Bring the instances to their release" in line for line in process.stdout)
            wait_until(lambda: running() != {SAMPLE[:12]})
            os.killpg(process.pid, signal.SIGKILL)
        status, said = site.play("deploy_model")
    assert status == 0, said
    assert running() == {release}
    assert load.failures("kill a deployment, repeat it") == []


def test_what_nginx_does_not_accept_never_goes_live(site, load, ask):
    files = "find /etc/nginx -type f -printf \"%p %T@ %s\\n\" | sort"
    before = ask("lab3", files)
    with load.event("a wrong value for nginx"):
        status, said = site.play("site", "--limit", "lab3", nginx_tls_ciphers="NONSENSE")
    assert status != 0 and "nginx does not accept the configuration" in said and "no cipher match" in said, said
    assert ask("lab3", files) == before
    assert load.failures("a wrong value for nginx") == []


# What ends at once


def test_an_engine_is_killed(load, ask, wait_until):
    connections = "ss -Htn state established sport = :18080 | wc -l"
    line = (f"pid=$(systemctl show --property=MainPID --value {UNITS[0]});"
            f" until [ $({connections}) -ge 1 ]; do :; done; {connections}; date +%s.%N; kill -9 $pid; echo $pid")
    with load.event("kill -9 an engine"):
        at_work, moment, pid = ask("lab1", line).split()
        again = f"systemctl is-active {UNITS[0]}; ls /run/inference.host/nginx/chat; pidof llama-server"
        wait_until(lambda: not {pid, "activating"} & set(found := ask("lab1", again).split()) and "0.server" in found
                   and "active" in found and len(found) == 5)
    failures = load.failures("kill -9 an engine")
    assert len(failures) <= int(at_work)
    assert [one for one in failures if not windows.was_streaming(one, float(moment))] == []


def test_a_host_is_stopped(load):
    container = f"inference-host-{os.environ['INFERENCE_LAB_ID']}-lab2"
    prefix = [] if os.geteuid() == 0 else ["sudo"]
    with load.event("stop a host"):
        moment = time.time()
        stopped = subprocess.run([*prefix, "podman", "stop", "--time", "120", container], check=False,
                                 capture_output=True)
        load.await_requests(time.time())
    assert stopped.returncode == 0, stopped.stderr
    failures = load.failures("stop a host")
    assert [one for one in failures if not windows.was_streaming(one, moment)] == []


def test_a_host_comes_back_by_itself(load, ask, lab, wait_until):
    with load.event("start it again"):
        lab("up", "lab2")
        wait_until(lambda: ask("lab2", "ls /run/inference.host/nginx/chat").split() == ["0.server", "1.server"])
        log = "grep --count \"POST /chat/v1/completions\" /var/log/nginx/access.log || true"
        before = int(ask("lab2", log))
        wait_until(lambda: int(ask("lab2", log)) > before)
    assert load.failures("start it again") == []


def test_the_load_was_what_it_says(load):
    requests = load.requests()
    assert {one["kind"] for one in requests} == {"stream", "plain"}
    assert all(one["tokens"] for one in requests if one["outcome"] == "ok")
