"""What can be planned and not deployed is named, service by service, in one sentence."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.deployable import undeployable
from ansible_collections.inference.host.plugins.module_utils.services import check_services
from plan_topologies import model, service

SENTENCE = ("inference_services has what can be planned but not deployed: %s; give what is missing, or use "
            "playbooks/plan.yml, which only plans.")


def said(*services):
    return undeployable(check_services(list(services)))


@pytest.mark.parametrize("wishes", [
    {}, {"instances": 2}, {"runtime": "whisper"}, {"runtime": "vllm"}, {"gpus": 2}, {"instances": "per_gpu"},
    {"runtime": "command"}, {"runtime": "command", "model": None}, {"runtime": "command", "model": {"name": "none"}},
    {"runtime": "container"}, {"runtime": "container", "model": None},
    # A model in a format that has no release, such as whisper.cpp's own: its user says where it is.
    {"runtime": "whisper", "model": {"name": "m"}, "arguments": ["--model", "/srv/ggml-large-v3.bin"]},
    {"runtime": "whisper", "model": {"name": "m"}, "arguments": ["--port", "{port}", "--size", "large-v3"]},
    {"runtime": "whisper", "model": {"name": "m"}, "arguments": ["-m=/srv/ggml-large-v3.bin"]},
])
def test_a_service_with_what_its_runtime_needs_can_be_deployed(wishes):
    assert said(service(**wishes)) == "" == said()


@pytest.mark.parametrize(("wishes", "why"), [
    ({"model": {"name": "m"}}, "model without source and sha256"),
    ({"model": dict(model(), source=None)}, "model without source"),
    ({"model": dict(model(), sha256=None)}, "model without sha256"),
    ({"runtime": "vllm", "gpus": 1, "model": {"name": "m"}}, "model without source and sha256"),
    ({"runtime": "whisper", "model": {"name": "m"}}, "model without source and sha256"),
    # Who begins to name a file has to finish.
    ({"runtime": "command", "model": dict(model(), sha256=None)}, "model without sha256"),
    ({"runtime": "container", "model": dict(model(), source=None)}, "model without source"),
])
def test_what_cannot_is_named(wishes, why):
    assert said(service("chat", **wishes)) == SENTENCE % f"chat ({why})"


def test_all_services_are_in_the_one_sentence():
    nothing = {"name": "m"}
    assert said(service("a", model=nothing), service("b", runtime="command", model=nothing), service(
        "c", runtime="vllm", model=nothing)) == (
            SENTENCE % "a (model without source and sha256); c (model without source and sha256)")
