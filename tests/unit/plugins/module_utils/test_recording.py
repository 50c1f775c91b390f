"""Recordings: what is written is read back, and what is no recording is refused with one sentence."""

import json

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.recording import recorded, recording
from plan_topologies import topology

HOST = topology(sockets=2, cores=8, threads=2, nvme=1)
FOUND = {"name": "m", "size_bytes": 7, "facts": {"layers": 2}}


def test_a_recording_is_read_back():
    assert recorded(recording(HOST, [FOUND]), "x.json") == {"topology": HOST, "models": [FOUND]}


def test_only_what_a_plan_needs_of_a_model_is_kept():
    result = dict(FOUND, path="/srv/m.gguf", invocation={"module_args": {"source": "http://user:secret@x/m.gguf"}})
    assert "secret" not in recording(HOST, [result])
    assert recorded(recording(HOST, [result]), "x.json")["models"] == [FOUND]


def test_a_model_that_was_not_read_has_no_facts():
    models = recorded(recording(HOST, [{"name": "m", "size_bytes": None}]), "x.json")["models"]
    assert models == [{"name": "m", "size_bytes": None, "facts": None}]


def test_what_the_module_returns_is_a_recording_without_models():
    assert recorded(json.dumps(HOST), "x.json") == {"topology": HOST, "models": []}


@pytest.mark.parametrize(("text", "problem"), [
    (None, "cannot be read"),
    ("", "is no JSON (Expecting value: line 1 column 1 (char 0))"),
    ("{", "is no JSON ("),
    ("[]", "is no topology (it has no cores, cpus, gpus, numa_nodes, platform, services)"),
    ('{"cores": 1}', "is no topology (it has no cores, cpus, gpus, numa_nodes, platform, services)"),
    (json.dumps(dict(HOST, gpus=None)), "is no topology (it has no gpus)"),
    (json.dumps(dict(HOST, models={})), "has `models` that are no list of mappings with a name"),
    (json.dumps(dict(HOST, models=["m"])), "has `models` that are no list of mappings with a name"),
])
def test_what_is_no_recording_is_refused_with_its_path(text, problem):
    with pytest.raises(PlanError) as error:
        recorded(text, "here/x.json")
    assert str(error.value).startswith("topology_recorded is 'here/x.json', which " + problem)
    assert str(error.value).endswith(
        "; it must be a file that playbooks/plan.yml has recorded with -e record=FOLDER.")


@pytest.mark.parametrize("wrong", [None, [], {}, dict(HOST, cpus=[])])
def test_nothing_else_is_recorded(wrong):
    with pytest.raises(PlanError, match="A recording is made of a topology; this has no .*cpus"):
        recording(wrong)
