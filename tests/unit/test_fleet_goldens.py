"""The five reference fleets: their recorded hosts, and the whole plans for them.

goldens/HOST.json has each host's whole plan, goldens/HOST.FILE.json the one with a file of further variables that the
fleet's inventory has. After a change that is meant to change plans, renew them and read the difference line by line:

    INFERENCE_HOST_RENEW_GOLDENS=1 .venv/bin/pytest tests/unit/test_fleet_goldens.py; git diff tests/unit/goldens

A recording that is not what record_fleets.py makes is renewed by that script.
"""

import os
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.json_text import json_text
from fleet_machines import HOSTS
from fleet_plans import fleet_plan, topology, variable_files
from record_fleets import path_of, record

GOLDENS = Path(__file__).parent / "goldens"
GOLDEN_PLANS = [(f"{name}.json", name, []) for name in HOSTS] + [
    (f"{name}.{path.stem}.json", name, [path.name]) for name in HOSTS for path in variable_files(name)]


@pytest.mark.parametrize("name", HOSTS)
def test_recording_is_what_the_script_makes(name):
    assert path_of(name).read_text(encoding="utf-8") == record(name)


@pytest.mark.parametrize(("golden", "name", "files"), GOLDEN_PLANS)
def test_plan_is_the_golden_one(golden, name, files):
    golden, text = GOLDENS / golden, json_text(fleet_plan(name, *files))
    if os.environ.get("INFERENCE_HOST_RENEW_GOLDENS"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_there_is_no_golden_without_a_plan():
    assert {path.name for path in GOLDENS.iterdir()} == {golden for golden, _name, _files in GOLDEN_PLANS}


@pytest.mark.parametrize(("name", "cores", "threads_per_core", "nodes", "gpus"), [
    ("alfavoice-2s", 88, 2, 2, []),
    ("alfavoice-snc2", 44, 2, 2, []),
    ("xaichat", 8, 2, 1, []),
    ("wicore", 32, 1, 2, [("0000:65:00.0", 0, 16384), ("0000:b3:00.0", 1, 16384)]),
    ("zigai", 24, 1, 2, [("000%d:00:00.0" % number, node, 16384) for number, node in enumerate((0, 0, 1, 1), 1)]),
    ("ragserver", 8, 2, 1, [("0000:01:00.0", None, 8192)]),
])
def test_recorded_hosts_are_as_their_owners_say(name, cores, threads_per_core, nodes, gpus):
    host = topology(name)
    assert len(host["cores"]) == cores and {len(core) for core in host["cores"]} == {threads_per_core}
    assert len(host["numa_nodes"]) == nodes
    cards = [gpu for gpu in host["gpus"] if gpu["nvidia"]]
    assert [(gpu["address"], gpu["numa_node"], gpu["nvidia"]["memory_mib"]) for gpu in cards] == gpus
    assert host["platform"]["kind"] == ("vm" if name == "zigai" else "bare_metal")
