"""What each runtime needs of its service and what it takes not, and what it stands for where nothing is said."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.engine import engine_command
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.nginx_plan import PATHS
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from ansible_collections.inference.host.plugins.module_utils.service_fields import RUNTIMES, SERVICE_FIELDS
from ansible_collections.inference.host.plugins.module_utils.service_runtimes import (
    HEALTH,
    KEYS_OF,
    PLANNED_OPTIONS,
    has_file,
)
from ansible_collections.inference.host.plugins.module_utils.services import check_services
from plan_topologies import IMAGE, gpu, model, service, topology

CHAT = "inference_services[0] (chat)"
EVERY = ["llama_cpp", "vllm", "whisper", "command", "container"]
VALUES = {"command": ["/srv/app"], "image": IMAGE, "container_port": 80, "load_mode": "mmap", "tensor_parallel": 2,
          "allocator": "/usr/lib/libjemalloc.so.2", "prefix": "taskset"}


def refused(**wish):
    with pytest.raises(PlanError) as error:
        check_services([service(**wish)])
    return str(error.value)


def checked(**wish):
    return check_services([service(**wish)])[0]


def test_each_runtime_is_told_of_everywhere():
    assert set(EVERY) == set(RUNTIMES) == set(HEALTH) == set(PATHS)


@pytest.mark.parametrize("runtime", EVERY)
@pytest.mark.parametrize("key", sorted(VALUES))
def test_a_key_is_for_its_runtimes_alone(runtime, key):
    assert set(KEYS_OF) == set(VALUES) and set(KEYS_OF) <= set(SERVICE_FIELDS)
    if runtime in KEYS_OF[key]:
        assert checked(runtime=runtime, **{key: VALUES[key]})[key] == VALUES[key]
    else:
        sentence = refused(runtime=runtime, **{key: VALUES[key]})
        assert sentence.startswith(CHAT + ".%s is set and its runtime is %s; " % (key, runtime))


@pytest.mark.parametrize(("wish", "sentence"), [
    ({"runtime": "command", "command": None}, ".command is missing; runtime command needs it."),
    ({"runtime": "command", "command": []}, ".command is missing; runtime command needs it."),
    ({"runtime": "container", "image": None}, ".image is missing; runtime container needs it."),
    ({"runtime": "command", "command": ["serve"]},
     ".command begins with 'serve'; it must be the absolute path of a program on the host."),
    ({"allocator": "/usr/lib/a.so", "environment": {"LD_PRELOAD": "/usr/lib/b.so"}},
     ".environment has LD_PRELOAD, and allocator is /usr/lib/a.so; set one of the two."),
    ({"runtime": "vllm", "gpus": 3, "tensor_parallel": 2},
     ".tensor_parallel is 2 and gpus is 3; gpus must be a multiple of it."),
])
def test_what_a_runtime_needs_is_said(wish, sentence):
    assert refused(**wish) == CHAT + sentence


@pytest.mark.parametrize("runtime", EVERY)
def test_only_programs_of_others_go_without_a_model(runtime):
    if runtime in ("command", "container"):
        found = checked(runtime=runtime, model=None)["model"]
        assert (found["name"], has_file(found)) == ("none", False)
        assert len(check_services([service("a", runtime=runtime, model=None), service("b", runtime=runtime)])) == 2
    else:
        assert refused(runtime=runtime, model=None) == (
            "inference_services[0].model is missing; it must be a mapping with a name.")


@pytest.mark.parametrize(("runtime", "health"), [
    ("llama_cpp", "/health"), ("vllm", "/health"), ("whisper", "/health"), ("command", "tcp"), ("container", "tcp")])
def test_health_is_asked_for_where_the_engine_tells_it(runtime, health):
    assert checked(runtime=runtime)["health"] == health
    assert checked(runtime=runtime, health="/ready")["health"] == "/ready"


@pytest.mark.parametrize(("runtime", "word"), [
    ("llama_cpp", "--threads"), ("llama_cpp", "-t"), ("llama_cpp", "--ctx-size=4096"), ("llama_cpp", "-ngl"),
    ("llama_cpp", "--numa"), ("llama_cpp", "--numa=distribute"), ("llama_cpp", "--numa=isolate"),
    ("llama_cpp", "--api-key"), ("llama_cpp", "--mlock"), ("llama_cpp", "--prio"), ("llama_cpp", "--rpc"),
    ("vllm", "--api-key"), ("vllm", "--host"), ("vllm", "-tp"), ("vllm", "--gpu-memory-utilization=0.9"),
    ("vllm", "--numa-bind"), ("whisper", "-t"), ("whisper", "--model=/srv/m.bin"), ("whisper", "--host")])
def test_an_argument_that_the_plan_sets_is_refused(runtime, word):
    assert refused(runtime=runtime, arguments=["--seed", "1", word]) == (
        CHAT + ".arguments has %s; the plan sets that, use the service's own key for it." % word)
    assert checked(arguments=[word], runtime="command")["arguments"] == [word]


def test_whisper_without_a_file_may_name_its_model_and_nothing_else():
    own = {"runtime": "whisper", "model": {"name": "m"}}
    assert checked(arguments=["--model", "/srv/ggml-base.bin"], **own)
    assert ".arguments has --host;" in refused(arguments=["--host", "::"], **own)


def test_a_python_packages_command_line_is_its_users():
    words = ["--port", "{port}", "--model", "{model_file}", "--threads={threads}"]
    assert checked(runtime="whisper", arguments=words)["arguments"] == words


@pytest.mark.parametrize(("runtime", "other"), [
    ("llama_cpp", {"--metrics", "--offline", "--no-ui", "--cors-origins"}), ("vllm", set()), ("whisper", set())])
def test_every_option_that_an_engine_gets_from_the_plan_is_one_of_those(runtime, other):
    host = topology(sockets=2, gpus=[gpu(0)])
    for gpus in (0, 1):
        wish = service(runtime=runtime, gpus=gpus, model=model(layers=4, weights_mib=9))
        if runtime == "llama_cpp":
            wish["load_mode"] = "mmap"
        (instance,) = make_plan(host, [wish])["instances"]
        command = engine_command(instance, {"path": "/opt/engine"}, "/models")
        assert {word for word in command if word.startswith("--")} - other - PLANNED_OPTIONS[runtime] == set()
