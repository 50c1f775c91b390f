"""The module `topology`, run in a process of its own, and its documentation."""

import json

import yaml
from ansible_collections.inference.host.plugins.module_utils.topology import read_topology
from ansible_collections.inference.host.plugins.modules import topology as module_topology
from builders import Machine


def test_it_returns_the_fact_and_changes_nothing(tmp_path, run_module, snapshot):
    root = Machine(sockets=2, gpus=[1], nvme=[0], cpufreq="intel_pstate").write(tmp_path)
    before = snapshot(root)
    result = run_module("topology", {"root": root})
    assert result["changed"] is False
    assert result["ansible_facts"] == {"inference_topology": json.loads(json.dumps(read_topology(root)))}
    assert run_module("topology", {"root": root}, check=True) == result
    assert snapshot(root) == before


def test_it_reads_the_live_machine_by_default(run_module):
    topology = run_module("topology", {})["ansible_facts"]["inference_topology"]
    assert topology["cpus"] == read_topology()["cpus"]


def test_a_root_without_a_machine_fails_in_a_sentence(tmp_path, run_module):
    result = run_module("topology", {"root": str(tmp_path)})
    assert result["failed"] is True
    assert result["msg"].startswith(f"No CPU is to be found below {tmp_path}: ")


def documented(entry):
    """The keys below a documented dictionary, None where its keys are data."""
    return {name: documented(value) for name, value in entry["contains"].items()} if "contains" in entry else None


def test_every_key_is_documented_and_every_documented_key_is_there(tmp_path):
    returns = yaml.safe_load(module_topology.RETURN)
    answer = read_topology(Machine(sockets=2, gpus=[1], nvme=[0], cpufreq="intel_pstate").write(tmp_path))
    answer["filesystems"] = read_topology()["filesystems"]
    keys = documented(returns["ansible_facts"]["contains"]["inference_topology"])
    assert set(keys) == set(answer)
    for name, inner in keys.items():
        entries = answer[name] if isinstance(answer[name], list) else [answer[name]]
        for entry in entries:
            if inner is not None and entry is not None:
                assert set(inner) == set(entry), name


def test_documentation_is_complete():
    documentation = yaml.safe_load(module_topology.DOCUMENTATION)
    assert set(documentation["options"]) == {"root", "look_for"}
    assert documentation["version_added"] == "0.1.0"
    assert all(
        "inference.host.topology" in task or "debug" in str(task) for task in yaml.safe_load(module_topology.EXAMPLES)
    )

    def described(entry):
        assert entry["description"] and entry["type"]
        for inner in entry.get("contains", {}).values():
            described(inner)

    described(yaml.safe_load(module_topology.RETURN)["ansible_facts"])
