"""A host searches what makes its service fastest; a search that is killed gives the service back, and goes on later."""

import json
import re
import time

import pytest
import yaml
from conftest import KEY

UNIT = "inference-chat@0.service"
GUARD = "inference-autotune-chat-0.service"
TRIALS = "/var/lib/inference.host/autotune/chat.json"
# The machine of a test has other work as well: what is tested is that a search ends well, not what wins.
WISHES = {"autotune_prompt_tokens": 64, "autotune_generate_tokens": 16, "autotune_noise_percent": 1000,
          "autotune_spread_percent": 1000, "autotune_limit_seconds": 400, "autotune_stop_instances": True}


def trials(host):
    """Return what the host has measured so far, as it stands in its file."""
    return json.loads(host.check_output(f"cat {TRIALS}"))["trials"] if host.file(TRIALS).exists else {}


def await_true(what, seconds=120):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module", name="killed")
def killed_fixture(host, start, tmp_path_factory):
    """Kill a search in its middle; return the trials that it had, and how the playbook ended."""
    folder = tmp_path_factory.mktemp("killed")
    with start("autotune", autotune_output=str(folder), **WISHES) as process:
        await_true(lambda: len(trials(host)) >= 2)
        assert not host.service(UNIT).is_running
        guard = host.check_output(f"systemctl show --property=ExecStart {GUARD}")
        host.check_output(f"kill -KILL {re.search('--pid=([0-9]+)', guard).group(1)}")
        had = trials(host)
        said = process.communicate(timeout=120)[0]
    assert KEY not in said
    assert list(folder.iterdir()) == []
    return had, process.returncode


def test_a_killed_search_gives_the_service_back(host, killed):
    assert killed[1] != 0
    await_true(lambda: host.service(UNIT).is_running)
    ours = "systemctl list-units --plain --no-legend 'inference-autotune*' 'inference-benchmark*'"
    await_true(lambda: host.check_output(ours) == "")


def test_the_next_one_goes_on_from_there(host, killed, play, kept):
    done = play("autotune", autotune_output=str(kept), **WISHES)
    assert done.returncode == 0, done.stdout
    found = trials(host)
    assert len(found) > len(killed[0])
    # None was measured anew.
    assert {key: found[key] for key in killed[0]} == killed[0]
    assert host.service(UNIT).is_running
    written = kept / "autotune.yml"
    if re.search(r"chat +(no difference|worse) ", done.stdout):
        assert not written.exists()
        return
    entry = yaml.safe_load(written.read_text())["inference_measured"]["chat"]
    speeds = entry["evidence"]["tokens_per_second"]
    assert speeds["after"]["low"] > speeds["before"]["high"]
    planned = play("plan", output=str(kept / "tuned"), inference_measured={"chat": entry})
    assert planned.returncode == 0
    assert "measured: " in planned.stdout


def test_a_third_one_measures_only_the_comparison(host, killed, play, tmp_path):
    before = trials(host)
    done = play("autotune", autotune_output=str(tmp_path), **WISHES)
    assert done.returncode == 0, done.stdout
    assert trials(host) == before
