"""playbooks/benchmark.yml and playbooks/compare.yml, run for real on this machine, with a stand-in for the service."""

import hashlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from completion_server import KEY, completing

ROOT = Path(__file__).resolve().parents[3]
SHAPE = {"name": "mine", "users": 1, "prompt_tokens": 8, "max_tokens": 4, "requests": 3, "repeats": 4,
         "limit_seconds": 60}
# Whatever this machine does besides.
ANY = {"benchmark_noise_percent": 100, "benchmark_spread_percent": 10000}


class Controller:
    """A folder to work in, with an inventory of this machine."""

    def __init__(self, folder):
        self.folder = folder
        # The least that is a GGUF file: version 3, no tensors, the architecture.
        key, value = b"general.architecture", b"llama"
        model = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", len(key)) + key + struct.pack(
            "<IQ", 8, len(value)) + value
        (folder / "m.gguf").write_bytes(model)
        service = {"name": "chat", "runtime": "llama_cpp", "threads": 1, "cache_ram_mib": 0, "model": {
            "name": "m", "source": str(folder / "m.gguf"), "sha256": hashlib.sha256(model).hexdigest()}}
        host = dict(ANY, ansible_connection="local", ansible_become=False, ansible_python_interpreter=sys.executable,
                    model_dir=str(folder / "models"), runtime_llama_cpp_dir=str(folder / "engines"),
                    inference_services=[service], service_api_keys={"chat": KEY}, benchmark_shapes=[SHAPE])
        (folder / "hosts.json").write_text(json.dumps({"inference_hosts": {"hosts": {"here": host}}}))
        self.environment = dict(
            os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".collections"),
            ANSIBLE_LOCAL_TEMP=str(folder / "tmp"), ANSIBLE_NOCOLOR="1", LC_ALL="C.UTF-8")

    def play(self, playbook, *words, **variables):
        """Run a playbook; return its exit status and all that it said in one line."""
        command = [sys.executable, "-m", "ansible", "playbook", "-i", str(self.folder / "hosts.json"), *words,
                   str(ROOT / "playbooks" / playbook), "-e", json.dumps(variables)]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode, " ".join(done.stdout.split())

    def result(self, label):
        return self.folder / "benchmarks" / "here" / (label + ".json")


@pytest.fixture(name="controller")
def controller_fixture(tmp_path):
    return Controller(tmp_path)


def test_before_after_and_what_became_of_it(controller):
    with completing(0.1, 0.1) as slow:
        status, said = controller.play("benchmark.yml", label="before", benchmark_url=slow.url)
    assert status == 0 and "changed=0" in said, said
    assert "SERVICE SHAPE TOKENS/S" in said and KEY not in said
    found = json.loads(controller.result("before").read_text())
    assert (found["host"], found["label"], [run["judged"] for run in found["runs"]]) == ("here", "before", [True])
    assert found["plan"]["services"][0]["threads"] == 1 and KEY not in controller.result("before").read_text()
    assert {headers["Authorization"] for _path, headers, _asked in slow.asked} == {"Bearer " + KEY}

    with completing(0.01, 0.01) as fast:
        status, said = controller.play("benchmark.yml", label="after", benchmark_url=fast.url)
    assert status == 0, said

    # Names of models and what servers say are in it as they are.
    path = controller.result("after")
    path.write_text(path.read_text().replace('"first_error": null', '"first_error": "\U0001f600 {{ 1 }}"'))
    assert "\U0001f600" in path.read_text()

    status, said = controller.play("compare.yml", before="before", after="after")
    assert status == 0 and "0 not judged" in said, said
    assert "HOST SERVICE SHAPE METRIC BEFORE AFTER RATIO VERDICT" in said
    comparison = json.loads((controller.folder / "benchmarks" / "before-to-after.json").read_text())
    rows = {row["metric"]: row for row in comparison["hosts"][0]["rows"]}
    assert rows["tokens_per_second"]["verdict"] == rows["tpot_ms"]["verdict"] == "better"
    assert comparison["hosts"][0]["changes"] == []

    status, said = controller.play("compare.yml", before="before", after="never")
    assert status == 0 and "missing: here has no results with label never." in said

    before = controller.result("before").read_text()
    status, said = controller.play("benchmark.yml", label="before", benchmark_url=fast.url)
    assert status == 2 and "here: the label is 'before', and " in said and "set benchmark_replace to true." in said
    assert controller.result("before").read_text() == before


def test_each_host_of_several_is_compared(controller):
    hosts = {name: {"ansible_connection": "local"} for name in ("one", "two", "three")}
    (controller.folder / "hosts.json").write_text(json.dumps({"inference_hosts": {"hosts": hosts}}))
    status, said = controller.play("compare.yml", before="a", after="b")
    assert status == 0, said
    assert [name for name in hosts if f"missing: {name} has no results with label a and b." not in said] == []


def test_check_mode_says_what_it_would_measure_and_measures_nothing(controller):
    with completing() as server:
        status, said = controller.play("benchmark.yml", "--check", label="before", benchmark_url=server.url,
                                       benchmark_shapes="short,throughput-b16-p128,engine")
        assert server.asked == []
    assert status == 0, said
    assert "chat short-u1 300 1 at a time, 5 times 3 requests, 32 tokens after 64" in said
    assert "chat throughput-b16-p128 - not measured: it needs 16 slots, and the service has 1" in said
    assert "chat engine 3600 prompts of 128, 512, 2048 and 128 generated tokens, 5 times each" in said
    assert not (controller.folder / "benchmarks").exists()


def test_what_could_not_be_measured_is_kept_and_fails_the_host(controller):
    with completing() as server:
        status, said = controller.play("benchmark.yml", label="before", benchmark_url=server.url + "/503")
    assert status == 2 and "here: mine at " in said and "no answer came: status 503" in said
    (run,) = json.loads(controller.result("before").read_text())["runs"]
    assert not run["judged"] and "status 503" in run["why_not"]


@pytest.mark.parametrize(("playbook", "variables", "said"), [
    ("benchmark.yml", {}, "label is missing; name the results with -e label=before, say."),
    ("benchmark.yml", {"label": "../up"}, "benchmark_label is '../up'; it must be letters, digits, ., _ and -"),
    ("compare.yml", {"before": "a", "after": ""}, "benchmark_after is ''; it must be letters, digits, ., _ and -"),
    ("compare.yml", {"before": "a"}, "before and after are missing; name two labels, as -e before=before -e after="),
])
def test_a_label_that_is_missing_or_wrong_is_said(controller, playbook, variables, said):
    status, found = controller.play(playbook, **variables)
    assert status != 0 and said in found
    assert not (controller.folder / "benchmarks").exists()


SSH = """#!/bin/sh
# The last word is the command, and what it runs comes on stdin. Shape `lost` loses its connection, once.
for last; do :; done
cat > {0}/stdin
grep -q '"lost"' {0}/stdin && [ ! -e {0}/was-lost ] && touch {0}/was-lost && exit 255
exec sh -c "$last" < {0}/stdin
"""


def test_a_connection_that_is_lost_takes_nothing_else_with_it(controller):
    (controller.folder / "ssh").write_text(SSH.format(controller.folder))
    (controller.folder / "ssh").chmod(0o755)
    with completing(0.01, 0.01) as server:
        status, said = controller.play(
            "benchmark.yml", label="before", benchmark_url=server.url, ansible_connection="ssh",
            ansible_ssh_executable=str(controller.folder / "ssh"),
            benchmark_shapes=[dict(SHAPE, name=name) for name in ("first", "lost", "last")])
    assert status != 0 and (controller.folder / "was-lost").exists(), said
    runs = json.loads(controller.result("before").read_text())["runs"]
    assert [(run["shape"], run["judged"], run.get("failed")) for run in runs] == [
        ("first", True, None), ("lost", False, True), ("last", True, None)], said
    assert "here: the connection was lost: " in said and "not judged: the connection was lost: " in said
