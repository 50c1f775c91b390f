"""What the plan computes of a model's memory, against the buffers that the engine on the host reports."""

import json
import re
import shlex

import pytest

ROUNDING_MIB = 1
"""The plan rounds each part up to whole MiB."""
# The engine says its buffer sizes from log level 4 on. It is ended as soon as it has said the last of them.
REPORT = """
log=$(mktemp)
timeout 60 %s >"$log" 2>&1 &
while kill -0 $! 2>/dev/null && ! grep -q 'compute buffer size' "$log"; do sleep 0.1; done
kill $!
cat "$log"
rm "$log"
"""
PLAYBOOK = """
- hosts: lab1
  gather_facts: false
  tasks:
    - inference.host.gguf_info:
        path: "{{ path }}"
      register: model
    - ansible.builtin.copy:
        dest: "{{ answer }}"
        mode: "0600"
        content: "{{ {'changed': model.changed, 'facts': model.facts,
          'memory': model.facts | inference.host.model_memory(**sizes)} | to_json }}"
      delegate_to: localhost
      become: false
"""


SAME = ("--model", "--ctx-size", "--parallel", "--batch-size", "--ubatch-size", "--cache-type-k", "--cache-type-v")


@pytest.fixture(scope="module")
def options(host):
    """What the running instance was started with: {"binary": its path, option of SAME: value}."""
    pid = host.check_output("systemctl show --property=MainPID --value inference-chat@0.service")
    words = host.check_output(f"tr '\\0' ' ' </proc/{pid}/cmdline").split()
    return {"binary": words[0], **{name: words[words.index(name) + 1] for name in SAME}}


@pytest.fixture(scope="module")
def reported(host, options):
    """MiB by kind of buffer, as an engine says that is started with the instance's sizes."""
    words = [options["binary"], "--port", "18999", "--fit", "off", "--log-verbosity", "4", "--offline"]
    for name in SAME:
        words += [name, options[name]]
    output = host.check_output(REPORT % shlex.join(words))
    found = {}
    for kind, mib in re.findall(r"(CPU_Mapped model|KV|compute|output) buffer size\s*=\s*([\d.]+) MiB", output):
        found[kind] = found.get(kind, 0) + float(mib)
    assert set(found) == {"CPU_Mapped model", "KV", "compute", "output"}, output
    return found


@pytest.fixture(scope="module")
def computed(options, play, tmp_path_factory):
    """What gguf_info reads on the host, and filter model_memory makes of it."""
    folder = tmp_path_factory.mktemp("memory")
    (folder / "play.yml").write_text(PLAYBOOK)
    parallel = int(options["--parallel"])
    sizes = {"context": int(options["--ctx-size"]) // parallel, "parallel": parallel,
             "cache_type": options["--cache-type-k"], "ubatch": int(options["--ubatch-size"])}
    done = play(str(folder / "play.yml"), path=options["--model"], answer=str(folder / "answer.json"), sizes=sizes)
    assert done.returncode == 0, done.stdout
    return json.loads((folder / "answer.json").read_text())


def test_the_header_is_the_sample_models(computed):
    facts = computed["facts"]
    assert not computed["changed"]
    assert (facts["architecture"], facts["layers"], facts["quantisation"]) == ("gemma3", 18, "Q4_K_M")
    assert [layer["kind"] for layer in facts["attention"]].count("full") == 3


def test_weights_are_what_the_engine_maps(computed, reported):
    mib = computed["facts"]["weights_bytes"] / (1 << 20)
    assert mib == pytest.approx(reported["CPU_Mapped model"], rel=0.02)
    assert 0 <= computed["memory"]["weights"] - mib < ROUNDING_MIB


def test_kv_cache_is_what_the_engine_allocates(computed, reported):
    assert 0.98 * reported["KV"] <= computed["memory"]["kv_cache"] <= 1.02 * reported["KV"] + ROUNDING_MIB


def test_compute_buffers_are_near_what_the_engine_allocates(computed, reported):
    # For this model they were within 3 % in all measured settings; for others the estimate is up to 45 % too high.
    buffers = reported["compute"] + reported["output"]
    assert 0.97 * buffers <= computed["memory"]["compute"] <= 1.03 * buffers + ROUNDING_MIB
