"""Module benchmark_engine with stand-ins for systemctl, systemd-run and llama-bench, as real processes."""

import json
import os
import signal
import time

import pytest
from engines import open_folder
from fleet_plans import fleet_plan

UNIT, BENCH = "inference-chat@0.service", "inference-benchmark-chat-0.service"
SHAPE = {"name": "mine", "level": "engine", "prompts": [64], "generate": [16], "repeats": 4}
ANY = {"noise_percent": 100, "spread_percent": 10000}

SYSTEMCTL = """#!/bin/sh
shift
echo "systemctl $*" >> {0}/calls
case "$1 $2" in
show*) echo "Id=inference-chat@0.service"; echo "ActiveState=$(cat {0}/state)"; echo "MainPID=0" ;;
"stop inference-chat@0.service") echo inactive > {0}/state ;;
"start inference-chat@0.service") [ -e {0}/broken ] || [ -e {0}/too-often ] && exit 1; echo active > {0}/state ;;
"reset-failed inference-chat@0.service") rm -f {0}/too-often ;;
"stop inference-benchmark"*) [ -e {0}/pid ] && kill "$(cat {0}/pid)"; true ;;
esac
"""
SYSTEMD_RUN = """#!/bin/sh
echo "systemd-run beside $(cat {0}/state): $*" >> {0}/calls
while [ "$1" != "--" ]; do shift; done
shift
echo $$ > {0}/pid
"$@" || {{ status=$?; echo "it says why" >&2; exit $status; }}
echo "CPU time consumed: 20ms" >&2
"""
LLAMA_BENCH = """#!/bin/sh
[ "$1" = "--help" ] && {{ echo "  -lm, --load-mode <mode>"; exit 0; }}
case "$(cat {0}/how)" in
fails) exit 3 ;;
hangs) echo $$ > {0}/pid; exec sleep 600 ;;
works) sleep 1.1 ;;
babbles) echo "who are you"; exit 0 ;;
esac
test() {{ echo "{{\\"build_number\\": 11312, \\"n_prompt\\": $1, \\"n_gen\\": $2, \\"n_threads\\": 3,
 \\"n_batch\\": 2048, \\"n_ubatch\\": 512, \\"samples_ts\\": [10.0, 10.1, 10.2, 10.3]}}"; }}
echo "["; test 64 0; echo ","; test 0 16; echo "]"
"""


class Host:
    """The folder with the stand-ins."""

    def __init__(self, folder, run_module, start_module):
        self.folder, self.run_module, self.start_module = folder, run_module, start_module
        for name, text in (("systemctl", SYSTEMCTL), ("systemd-run", SYSTEMD_RUN), ("llama-bench", LLAMA_BENCH)):
            (folder / name).write_text(text.format(folder))
            (folder / name).chmod(0o755)
        self.set(state="active", how="good", calls="")

    def set(self, **texts):
        for name, text in texts.items():
            (self.folder / name).write_text(text)

    def state(self):
        return (self.folder / "state").read_text().strip()

    def calls(self):
        """What was called, but for the questions."""
        lines = (self.folder / "calls").read_text().splitlines()
        return [line for line in lines if not line.startswith(("systemctl show", "systemctl reset-failed"))]

    def arguments(self, stop=True, **instance):
        plan = dict(fleet_plan("xaichat")["instances"][0], model_file="m/1/m.gguf",
                    cpus=sorted(os.sched_getaffinity(0)), **instance)
        return dict({"instance": plan, "engine_path": str(self.folder / "llama-server"), "models_dir": "/srv/models",
                     "shape": SHAPE, "stop": stop}, **ANY)

    def run(self, check=False, **wishes):
        return self.run_module("benchmark_engine", self.arguments(**wishes), check=check)


@pytest.fixture
def host(monkeypatch, run_module, start_module):
    with open_folder() as folder:
        monkeypatch.setenv("PATH", "%s:%s" % (folder, os.environ["PATH"]))
        yield Host(folder, run_module, start_module)


def test_the_engine_is_measured_alone_and_its_unit_runs_again(host):
    answer = host.run()
    assert (answer["stopped"], answer["changed"], host.state()) == (True, False, "active")
    assert [(run["shape"], run["judged"], run["summary"]["tokens_per_second"]["median"]) for run in answer["runs"]] == [
        ("engine-p64", True, 10.15), ("engine-n16", True, 10.15)]
    run = answer["runs"][0]
    assert (run["level"], run["service"], run["parameters"]["instance"]) == ("engine", "chat", "chat-0")
    assert set(run["state"]) == {"before", "after", "during"}
    stop, bench, *after = host.calls()
    assert stop == "systemctl stop " + UNIT
    assert bench.startswith("systemd-run beside inactive: ") and "AllowedCPUs=1-3" in bench
    assert "--model /srv/models/m/1/m.gguf" in bench and "start --no-block " + UNIT in bench
    assert after == ["systemctl stop " + BENCH, "systemctl start " + UNIT]


def test_beside_the_running_engine_nothing_is_measured(host):
    answer = host.run(stop=False)
    assert answer["msg"] == (
        UNIT + " runs, and beside it its engine cannot be measured; benchmark_stop_instances is false: set it to true, "
        "or leave shapes of level engine out of benchmark_shapes.")
    assert host.calls() == []


def test_a_unit_that_does_not_run_is_not_started(host):
    host.set(state="inactive")
    answer = host.run(stop=False)
    assert len(answer["runs"]) == 2 and not answer["stopped"]
    assert host.state() == "inactive" and "ExecStopPost" not in host.calls()[0]


def test_two_numbers_of_threads_are_two_calls_both_alone(host):
    assert len(host.run(threads_batch=2)["runs"]) == 4
    assert [call.split(":")[0] for call in host.calls() if call.startswith("systemd-run")] == [
        "systemd-run beside inactive"] * 2
    assert host.state() == "active"


def test_two_calls_share_the_limit(host):
    host.set(how="works")
    host.run(threads_batch=2)
    limits = [int(call.split("RuntimeMaxSec=")[1].split()[0]) for call in host.calls() if "RuntimeMaxSec=" in call]
    assert limits[0] == 1800 and limits[1] in range(1700, 1800)


@pytest.mark.parametrize(("how", "said"), [
    ("fails", "llama-bench on the CPUs of chat-0 did not succeed within 1800 s (status 3): it says why"),
    ("babbles", "llama-bench did not end with its list of results."),
])
def test_whatever_fails_the_unit_runs_again(host, how, said):
    host.set(how=how)
    assert host.run()["msg"] == said
    assert host.state() == "active" and host.calls()[-1] == "systemctl start " + UNIT


def test_a_unit_that_was_started_too_often_for_its_limit_comes_back(host):
    host.set(**{"too-often": ""})
    assert "msg" not in host.run() and host.state() == "active"


def test_a_unit_that_does_not_come_back_is_said(host):
    host.set(broken="")
    assert host.run()["msg"].startswith(UNIT + " could not start: ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_module_that_is_told_to_stop_ends_the_measurement_and_brings_the_unit_back(host, number):
    host.set(how="hangs")
    process = host.start_module("benchmark_engine", host.arguments())
    while not any(call.startswith("systemd-run") for call in host.calls()):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    with process.stdout:
        answer = json.loads(process.stdout.read())
    process.wait()
    assert answer["msg"] == "stopped by %s" % number.name
    assert host.state() == "active" and host.calls()[-2:] == ["systemctl stop " + BENCH, "systemctl start " + UNIT]


def test_check_mode_stops_nothing(host):
    answer = host.run(check=True)
    assert (answer["runs"], answer["stopped"], host.calls()) == ([], True, [])


def test_an_engine_without_llama_bench_is_said_before_anything_is_stopped(host):
    (host.folder / "llama-bench").unlink()
    assert host.run()["msg"].startswith("%s/llama-bench is not there; " % host.folder)
    assert host.calls() == []


def test_a_load_is_another_modules(host):
    answer = host.run_module("benchmark_engine", dict(host.arguments(), shape={"name": "a"}))
    assert answer["msg"] == "shape a has level service; module benchmark_load measures that."
