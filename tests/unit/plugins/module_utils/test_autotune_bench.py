"""How one trial is run: where, for how long, again where others disturb it, and with which pages of the model."""

import json
import os

import pytest
from ansible_collections.inference.host.plugins.module_utils import autotune_bench
from ansible_collections.inference.host.plugins.module_utils.autotune_bench import Bench
from ansible_collections.inference.host.plugins.module_utils.autotune_search import Cut
from ansible_collections.inference.host.plugins.module_utils.autotune_tune import Noisy, TrialFailed
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from autotune_machines import space
from plan_topologies import service, topology

FOUND = "generate", 4, False, "bind", None


class Host:
    """Answers as systemd-run does: the disturbances that each run sees, the seconds that it takes, its status."""

    def __init__(self, monkeypatch, others=(), seconds=1.0, status=0):
        self.others, self.seconds, self.status, self.commands, self.now = list(others), seconds, status, [], 1000.0
        monkeypatch.setattr(autotune_bench.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(autotune_bench.bench_state.Watch, "during", lambda *_args: {
            "stolen_percent": 0, "others_percent": self.others.pop(0) if self.others else 0, "client_percent": 99})

    def run(self, words):
        self.commands.append(" ".join(words))
        self.now += self.seconds
        return self.status, json.dumps([{"build_number": 1, "n_prompt": 0, "n_gen": 128, "n_threads": 1, "n_batch": 1,
                                         "n_ubatch": 1, "samples_ts": [10.0]}]), "out of\nmemory"


def bench_of(host, tmp_path, **wishes):
    """The bench of an instance that is bound to the first of two nodes."""
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    instance = make_plan(topology(sockets=2, cores=8), [service(cpu_share=0.25)])["instances"][0]
    found = Bench(host, instance, space(cores=4, nodes=2), "/opt/llama-bench", str(tmp_path / "m.gguf"), **wishes)
    found.allow(100)
    return found


def test_a_trial_runs_where_the_instance_does(monkeypatch, tmp_path):
    host = Host(monkeypatch)
    assert bench_of(host, tmp_path).speeds(FOUND, 2) == [10.0]
    (command,) = host.commands
    assert "AllowedCPUs=0-3 " in command and "NUMAPolicy=bind " in command and "RuntimeMaxSec=100 " in command
    assert command.endswith("--numa numactl --n-prompt 0 --n-gen 128 --threads 4") and "--repetitions 2 " in command


def test_a_trial_that_is_disturbed_is_made_again_once(monkeypatch, tmp_path):
    host = Host(monkeypatch, others=[50, 0, 50, 60])
    bench = bench_of(host, tmp_path, noise_percent=10)
    assert bench.speeds(FOUND, 1) == [10.0] and len(host.commands) == 2
    with pytest.raises(Noisy) as error:
        bench.speeds(FOUND, 1)
    assert str(error.value) == ("the machine is too busy to measure on it: other programs took 60 % of these CPUs' "
                                "time, more than autotune_noise_percent 10.")


def test_a_full_cache_is_asked_for(monkeypatch, tmp_path):
    host = Host(monkeypatch)
    bench_of(host, tmp_path).speeds(FOUND, 1, 3968)
    assert host.commands[0].endswith(" --n-depth 3968")


def test_what_does_not_run_is_no_error_of_the_search(monkeypatch, tmp_path):
    with pytest.raises(TrialFailed) as error:
        bench_of(Host(monkeypatch, status=1), tmp_path).speeds(FOUND, 1)
    assert str(error.value) == "out of memory"


def test_a_trial_that_is_much_slower_is_ended(monkeypatch, tmp_path):
    host = Host(monkeypatch, seconds=20.0)
    bench = bench_of(host, tmp_path)
    bench.allow(1000)
    bench.speeds(FOUND, 1)
    host.seconds, host.status = 80.0, 1
    with pytest.raises(TrialFailed) as error:
        bench.speeds(("generate", 1, False, "bind", None), 1)
    assert str(error.value) == "it took longer than 80 s" and "RuntimeMaxSec=80 " in host.commands[1]


def test_what_the_time_ended_is_a_cut(monkeypatch, tmp_path):
    host = Host(monkeypatch, seconds=100.0, status=1)
    bench = bench_of(host, tmp_path)
    for _attempt in range(2):
        with pytest.raises(Cut) as error:
            bench.speeds(FOUND, 1)
        assert str(error.value) == "the time of 100 s was over"
    assert len(host.commands) == 1 and bench.left() == 0


def test_pages_of_the_model_are_let_go_where_the_policy_changes(monkeypatch, tmp_path):
    let_go = []
    monkeypatch.setattr(os, "posix_fadvise", lambda handle, *words: let_go.append(
        (os.path.basename(os.readlink("/proc/self/fd/%d" % handle)), words)))
    bench = bench_of(Host(monkeypatch), tmp_path)
    for policy in ("bind", "interleave", "interleave", "bind"):
        bench.speeds(("generate", 4, False, policy, None), 1)
    assert let_go == [("m.gguf", (0, 0, os.POSIX_FADV_DONTNEED))] * 2
