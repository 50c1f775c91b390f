"""Module autotune with stand-ins for systemctl, systemd-run, tail's guard and llama-bench, as real processes."""

import json
import os
import signal
import time

import pytest
from engines import open_folder
from fleet_plans import fleet_plan

UNIT = "inference-chat@0.service"
GUARD, BENCH = "inference-autotune-chat-0.service", "inference-benchmark-chat-0.service"

SYSTEMCTL = """#!/bin/sh
shift
echo "systemctl $*" >> {0}/calls
case "$1 $3" in
"show inference-autotune"*) echo "Id=$3"; [ -e {0}/guard ] && echo "ActiveState=active"; exit 0 ;;
"show "*) echo "Id=$3"; echo "ActiveState=$(cat {0}/state)" ;;
esac
case "$1 $2" in
"stop inference-chat@0.service") echo inactive > {0}/state ;;
"start inference-chat@0.service") echo active > {0}/state ;;
"stop inference-autotune"*) rm -f {0}/guard ;;
"stop inference-benchmark"*) [ -e {0}/pid ] && kill "$(cat {0}/pid)"; true ;;
esac
"""
SYSTEMD_RUN = """#!/bin/sh
echo "systemd-run beside $(cat {0}/state): $*" >> {0}/calls
case "$*" in *unit=inference-autotune*)
    [ -e {0}/locked ] && {{ echo "Unit exists already." >&2; exit 1; }}
    touch {0}/guard; exit 0 ;;
esac
while [ "$1" != "--" ]; do shift; done
shift
"$@" || {{ status=$?; echo "it says why" >&2; exit $status; }}
echo "CPU time consumed: 20ms" >&2
"""
# Isolated: the module's PYTHONPATH is for another Python.
LLAMA_BENCH = """#!/usr/bin/python3 -I
import json, os, sys, time
if "--help" in sys.argv:
    sys.exit(0)
how = open("{0}/how").read()
if how == "fails":
    sys.exit(3)
if how == "hangs":
    open("{0}/pid", "w").write(str(os.getpid()))
    time.sleep(600)
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
prompt, made, threads = int(words["--n-prompt"]), int(words["--n-gen"]), int(words["--threads"])
speed = {{1: 8.0, 2: 16.0, 3: 12.0}}[threads] if made else 100.0 * threads + int(words["--ubatch-size"]) / 1000
with open("{0}/benched", "a") as log:
    log.write("%s %s\\n" % ("generate" if made else "prompt", threads))
speeds = [speed + number / 100 for number in range(int(words["--repetitions"]))]
print(json.dumps([{{"build_number": 1, "n_prompt": prompt, "n_gen": made, "n_threads": threads, "n_batch": 1,
                   "n_ubatch": 1, "samples_ts": speeds}}]))
"""


class Host:
    """The folder with the stand-ins."""

    def __init__(self, folder, run_module, start_module):
        self.folder, self.run_module, self.start_module = folder, run_module, start_module
        for name, text in (("systemctl", SYSTEMCTL), ("systemd-run", SYSTEMD_RUN), ("llama-bench", LLAMA_BENCH)):
            (folder / name).write_text(text.format(folder))
            (folder / name).chmod(0o755)
        (folder / "m/1").mkdir(parents=True)
        (folder / "m/1/m.gguf").write_bytes(b"GGUF")
        self.set(state="active", how="good", calls="", benched="")

    def set(self, **texts):
        for name, text in texts.items():
            (self.folder / name).write_text(text)

    def read(self, name):
        return (self.folder / name).read_text().strip()

    def calls(self):
        """What was called, but for the questions."""
        return [line for line in self.read("calls").splitlines() if not line.startswith("systemctl show")]

    def arguments(self, **wishes):
        instance = dict(fleet_plan("xaichat")["instances"][0], model_file="m/1/m.gguf")
        found = {"threads": 3, "threads_batch": 3, "batch": 64, "ubatch": 64, "smt": False, "numa": "none",
                 "gpu_layers": None}
        space = {"found": found, "cpus": [[0, 1, 2], None], "fixed": [], "numa": {"none": [0]}, "gpu_layers": None,
                 "prompt_tokens": 64, "generate_tokens": 16}
        return dict({"instance": instance, "space": space, "engine_path": str(self.folder / "llama-server"),
                     "models_dir": str(self.folder), "state": str(self.folder / "kept"), "stop": True,
                     "noise_percent": 100}, **wishes)

    def run(self, check=False, **wishes):
        return self.run_module("autotune", self.arguments(**wishes), check=check)


@pytest.fixture
def host(monkeypatch, run_module, start_module):
    with open_folder() as folder:
        monkeypatch.setenv("PATH", "%s:%s" % (folder, os.environ["PATH"]))
        yield Host(folder, run_module, start_module)


def test_the_best_is_found_alone_and_the_unit_runs_again(host):
    answer = host.run()
    tuned = answer["tuned"]
    assert (answer["stopped"], answer["changed"], host.read("state")) == (True, False, "active")
    assert (tuned["verdict"], tuned["kept"]["threads"], tuned["kept"]["threads_batch"]) == ("better", 2, 3)
    assert tuned["after"]["median"] > tuned["before"]["median"] and tuned["known"] == 0
    clean, guard, stop, *trials = host.calls()
    assert clean == "systemctl stop " + BENCH and stop == "systemctl stop " + UNIT
    assert guard.startswith("systemd-run beside active: ") and "--unit=" + GUARD in guard
    assert "ExecStopPost=+/bin/systemctl start --no-block " + UNIT in guard
    assert "-- /usr/bin/tail --pid=" in guard and "ExecStopPost=+/bin/systemctl stop " + BENCH in guard
    assert trials[-3:] == ["systemctl stop " + BENCH, "systemctl stop " + GUARD, "systemctl start " + UNIT]
    assert {call.split(":")[0] for call in trials[:-3]} == {"systemd-run beside inactive"}
    assert "AllowedCPUs=0-2 " in trials[0] and "ExecStopPost" not in trials[0]


def test_a_repeat_measures_nothing_again(host):
    first = host.run()["tuned"]
    benched = host.read("benched")
    second = host.run()["tuned"]
    assert host.read("benched") == benched
    assert second.pop("known") > 0 == first.pop("known") and first == second
    assert json.loads(host.read("kept/chat.json"))["version"] == 1


@pytest.mark.parametrize("wishes", [{"forget": True}, {"engine_version": "other"}, {"cpu": "other"}])
def test_what_the_trials_do_not_hold_for_is_measured_anew(host, wishes):
    host.run()
    assert host.run(**wishes)["tuned"]["known"] == 0


def test_beside_the_running_engine_nothing_is_measured(host):
    assert host.run(stop=False)["msg"] == (
        UNIT + " runs, and beside it its engine cannot be measured; autotune_stop_instances is false: set it to true.")
    assert host.calls() == []


def test_a_unit_that_does_not_run_is_not_started_and_needs_no_guard(host):
    host.set(state="inactive")
    answer = host.run(stop=False)
    assert answer["tuned"]["verdict"] == "better" and not answer["stopped"] and host.read("state") == "inactive"
    assert not any(GUARD in call for call in host.calls())


def test_without_its_guard_the_unit_is_not_stopped(host):
    host.set(locked="")
    answer = host.run()
    assert answer["msg"] == GUARD + " could not be started, so that " + UNIT + " is left running: Unit exists already."
    assert host.read("state") == "active" and "systemctl stop " + UNIT not in host.calls()


@pytest.mark.parametrize("check", [False, True])
def test_beside_another_search_nothing_is_touched(host, check):
    # It has stopped the unit, and measures.
    host.set(state="inactive", guard="")
    assert host.run(check=check)["msg"] == (
        GUARD + " runs: another search of chat-0 has not ended; wait for it, or stop that unit, which starts the "
        "service again.")
    assert host.calls() == []


def test_an_engine_that_cannot_be_measured_is_said_and_the_unit_runs_again(host):
    host.set(how="fails")
    assert host.run()["msg"] == "what the service has now cannot be measured: it says why"
    assert host.read("state") == "active"
    host.set(how="good")
    assert host.run()["tuned"]["verdict"] == "better"


def test_no_time_is_said(host):
    tuned = host.run(limit_seconds=0)["tuned"]
    assert tuned["verdict"] == "not judged" and tuned["cut"] == "the time of 0 s was over" and tuned["known"] == 0


def hanging(host):
    host.set(how="hangs")
    process = host.start_module("autotune", host.arguments())
    while not (host.folder / "pid").exists() or not host.read("pid"):
        assert process.poll() is None
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_module_that_is_told_to_stop_brings_the_unit_back(host, number):
    process = hanging(host)
    process.send_signal(number)
    with process.stdout:
        answer = json.loads(process.stdout.read())
    process.wait()
    assert answer["msg"] == "stopped by %s" % number.name
    assert host.read("state") == "active" and host.calls()[-1] == "systemctl start " + UNIT


def test_a_connection_that_is_lost_ends_the_search(host):
    process = hanging(host)
    process.stdout.close()
    os.kill(int(host.read("pid")), signal.SIGKILL)
    process.wait()
    assert host.read("state") == "active" and host.calls()[-1] == "systemctl start " + UNIT
    assert not (host.folder / "kept/chat.json").exists()


def test_a_guard_that_has_gone_ends_the_search(host):
    process = hanging(host)
    (host.folder / "guard").unlink()
    os.kill(int(host.read("pid")), signal.SIGKILL)
    with process.stdout:
        answer = json.loads(process.stdout.read())
    process.wait()
    assert answer["msg"] == GUARD + " has ended, and the service runs again; a repeat goes on from here"


def test_check_mode_stops_nothing(host):
    answer = host.run(check=True)
    assert (answer["tuned"], answer["stopped"], host.calls()) == (None, True, [])
    assert not (host.folder / "kept").exists()


def test_an_engine_without_llama_bench_is_said_before_anything_is_stopped(host):
    (host.folder / "llama-bench").unlink()
    assert host.run()["msg"].startswith("%s/llama-bench is not there, " % host.folder)
    assert host.calls() == []
