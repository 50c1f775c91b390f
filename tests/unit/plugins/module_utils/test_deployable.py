"""What can be planned and not deployed is named, service by service, in one sentence."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.deployable import undeployable
from ansible_collections.inference.host.plugins.module_utils.services import check_services
from plan_topologies import model, service

SENTENCE = ("inference_services has what can be planned but not deployed yet: %s; leave it out, or use "
            "playbooks/plan.yml, which only plans.")


def said(*services):
    return undeployable(check_services(list(services)))


def test_llama_cpp_on_cpus_with_a_file_can_be_deployed():
    assert said(service(), service("other", instances=2)) == "" == said()


@pytest.mark.parametrize(("wishes", "why"), [
    ({"runtime": "whisper"}, "runtime whisper"),
    ({"runtime": "command"}, "runtime command"),
    ({"gpus": 2}, "gpus 2"),
    ({"instances": "per_gpu"}, "gpus 1"),
    ({"model": {"name": "m"}}, "model without source and sha256"),
    ({"model": dict(model(), source=None)}, "model without source"),
    ({"model": dict(model(), sha256=None)}, "model without sha256"),
    ({"runtime": "vllm", "gpus": 1, "model": {"name": "m"}}, "runtime vllm, gpus 1, model without source and sha256"),
])
def test_what_cannot_is_named(wishes, why):
    assert said(service("chat", **wishes)) == SENTENCE % f"chat ({why})"


def test_all_services_are_in_the_one_sentence():
    assert said(service("a", gpus=1), service("b"), service("c", runtime="vllm")) == (
        SENTENCE % "a (gpus 1); c (runtime vllm)")
