"""Command lines of engines: what the plan says, in each engine's words."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.engine import engine_command
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from plan_topologies import IMAGE, gpu, model, service, topology

SERVER = {"path": "/opt/llama-server", "options": []}
VLLM = {"path": "/opt/vllm/bin/vllm"}
WHISPER = {"path": "/opt/whisper-server"}


def options_of(host, **wish):
    """The command line of the first instance as {option: value}, flags with None."""
    instance = make_plan(host, [service(**wish)])["instances"][0]
    command = engine_command(instance, SERVER, "/models")
    assert command[0] == "/opt/llama-server" and all(isinstance(word, str) for word in command)
    answer = {}
    for word in command[1:]:
        if word.startswith("--"):
            name = word
            answer[name] = None
        else:
            answer[name] = word
    return answer


def test_the_command_line_says_what_the_plan_says():
    wish = dict(threads=3, threads_batch=2, port=9000, context=1024, parallel=4, batch=64, ubatch=32, cache_type="q8_0",
                cache_ram_mib=0)
    assert options_of(topology(), **wish) == {
        "--host": "127.0.0.1", "--port": "9000", "--model": "/models/m/000000000000/m.gguf", "--alias": "chat",
        "--threads": "3", "--threads-batch": "2", "--ctx-size": "4096", "--parallel": "4", "--batch-size": "64",
        "--ubatch-size": "32", "--cache-type-k": "q8_0", "--cache-type-v": "q8_0", "--cache-ram": "0",
        "--metrics": None, "--offline": None, "--no-ui": None, "--cors-origins": "localhost"}


@pytest.mark.parametrize(("numa", "option"), [(0, "numactl"), ("interleave", "numactl"), ("off", None)])
def test_the_engine_keeps_the_placement_that_systemd_gave(numa, option):
    assert options_of(topology(sockets=2), threads=2, numa=numa).get("--numa") == option


@pytest.mark.parametrize(("wish", "layers"), [
    ({}, None),
    ({"gpus": 1, "model": model(layers=4, weights_mib=9)}, "5"),
    ({"gpus": 1, "gpu_layers": 0, "model": model(layers=4, weights_mib=9)}, "0"),
    # What is not known is left to the engine.
    ({"gpus": 1}, None),
])
def test_the_engine_is_told_its_layers_on_gpus(wish, layers):
    options = options_of(topology(gpus=[gpu(0)]), **wish)
    assert options.get("--gpu-layers") == layers
    assert ("--gpu-layers" in options) == (layers is not None)


def test_the_users_arguments_come_last_and_as_they_are():
    wish = service(threads=2, arguments=["--seed", "1", "a b"])
    instance = make_plan(topology(), [wish])["instances"][0]
    assert engine_command(instance, {"path": "x"}, "/m")[-3:] == ["--seed", "1", "a b"]


def command_of(engine, host=None, **wish):
    instance = make_plan(host or topology(sockets=2), [service(**wish)])["instances"][0]
    return engine_command(instance, engine, "/models")


# llama.cpp


@pytest.mark.parametrize(("load_mode", "options", "words"), [
    (None, [], []),
    ("mmap", [], ["--load-mode", "mmap"]),
    ("mlock", ["--load-mode"], ["--load-mode", "mlock"]),
    ("mlock", ["--no-mmap", "--mlock"], ["--no-mmap", "--mlock"]),
    ("dio", ["--direct-io"], ["--direct-io"]),
])
def test_the_model_is_loaded_as_the_service_says_in_the_words_of_the_version(load_mode, options, words):
    command = command_of({"path": "x", "options": options}, load_mode=load_mode)
    flags = {"--load-mode", "--mlock", "--no-mmap", "--direct-io"}
    found = [place for place, word in enumerate(command) if word in flags]
    assert command[found[0]:found[0] + len(words)] == words if words else not found


def test_locking_the_model_takes_the_right_to_do_so():
    (instance,) = make_plan(topology(), [service(load_mode="mlock")])["instances"]
    assert instance["memory_lock"] == "infinity"
    assert make_plan(topology(), [service(load_mode="mmap")])["instances"][0]["memory_lock"] is None


def test_pages_that_may_ask_the_engine_are_the_users_business_if_he_says_so():
    assert command_of(SERVER, arguments=["--cors-origins", "https://a"]).count("--cors-origins") == 1
    assert command_of(SERVER, arguments=["--cors-origins=https://a"])[-1] == "--cors-origins=https://a"


def test_an_argument_that_this_engine_does_not_know_is_refused():
    known = ["--seed", "--no-ui"]
    assert command_of({"path": "x", "options": known}, arguments=["--seed", "-1"])[-2:] == ["--seed", "-1"]
    with pytest.raises(PlanError, match=r"^chat-0: arguments has --sede, which the engine on the host does not know"):
        command_of({"path": "x", "options": known}, arguments=["--sede", "1"])


# Others


def test_vllm_serves_a_folder_as_the_plan_says():
    folder = {"name": "m", "source": "/srv/m.safetensors", "sha256": "0" * 64}
    host = topology(gpus=[gpu(0), gpu(1)])
    assert command_of(VLLM, host, runtime="vllm", gpus=2, parallel=8, context=2048, threads=4, model=folder) == [
        "/opt/vllm/bin/vllm", "serve", "/models/m/000000000000/m.safetensors", "--host", "127.0.0.1", "--port", "18080",
        "--served-model-name", "chat", "--tensor-parallel-size", "2", "--max-model-len", "2048", "--max-num-seqs", "8",
        "--gpu-memory-utilization", "0.93", "--disable-custom-all-reduce"]


def test_vllms_own_all_reduce_is_for_gpus_that_reach_each_other():
    cards = [gpu(0), gpu(1)]
    peers = {"GPU0": {"GPU1": "OK"}, "GPU1": {"GPU0": "OK"}}
    told = [{"index": place, "address": card["address"]} for place, card in enumerate(cards)]
    linked = dict(topology(gpus=cards), nvidia={"smi": {
        "gpus": told, "p2p_read": peers, "topology": {"GPU0": {"GPU1": "NV4"}}}})
    assert "--disable-custom-all-reduce" not in command_of(VLLM, linked, runtime="vllm", gpus=2)
    assert "--disable-custom-all-reduce" not in command_of(VLLM, topology(gpus=cards), runtime="vllm", gpus=1)


@pytest.mark.parametrize(("memory", "wish", "share"), [
    (16384, {}, "0.93"), (16384, {"gpu_memory_mib": 8192}, "0.5"), (16384, {"gpu_memory_mib": 99999}, "0.93"),
    (None, {}, None)])
def test_vllm_takes_of_its_cards_what_the_plan_leaves_it(memory, wish, share):
    command = command_of(VLLM, topology(gpus=[gpu(0, 0, memory)]), runtime="vllm", gpus=1, **wish)
    assert command[command.index("--gpu-memory-utilization") + 1] == share if share else (
        "--gpu-memory-utilization" not in command)


@pytest.mark.parametrize(("wish", "ranks"), [
    ({"threads": 4}, "1"), ({"threads": 12}, "2"), ({"threads": 12, "numa": "off"}, "1"),
    ({"threads": 4, "tensor_parallel": 2}, "2")])
def test_vllm_on_cpus_is_split_over_the_nodes_it_is_spread_over(wish, ranks):
    command = command_of(VLLM, runtime="vllm", **wish)
    assert command[command.index("--tensor-parallel-size") + 1] == ranks
    assert "--gpu-memory-utilization" not in command


def test_whispers_server_has_the_plans_threads():
    assert command_of(WHISPER, runtime="whisper", threads=4, arguments=["--language", "de"]) == [
        "/opt/whisper-server", "--host", "127.0.0.1", "--port", "18080", "--threads", "4", "--processors", "1",
        "--model", "/models/m/000000000000/m.gguf", "--no-gpu", "--language", "de"]
    host = topology(gpus=[gpu(0)])
    assert "--no-gpu" not in command_of(WHISPER, host, runtime="whisper", gpus=1)


def test_whispers_model_may_be_one_that_is_on_the_host():
    command = command_of(WHISPER, runtime="whisper", model={"name": "m"}, arguments=["--model", "/srv/ggml-base.bin"])
    assert command.count("--model") == 1 and command[-1] == "/srv/ggml-base.bin"


def test_a_python_packages_server_gets_the_users_words_alone():
    words = ["--host", "127.0.0.1", "--port", "{port}", "--model", "{model_file}", "--cpu-threads={threads}"]
    package = dict(WHISPER, package="a-server")
    assert command_of(package, runtime="whisper", threads=4, arguments=words) == [
        "/opt/whisper-server", "--host", "127.0.0.1", "--port", "18080", "--model", "/models/m/000000000000/m.gguf",
        "--cpu-threads=4"]
    with pytest.raises(PlanError, match="^chat-0: arguments has --host, which the plan sets for whisper.cpp's server"):
        command_of(WHISPER, runtime="whisper", threads=4, arguments=words)


def test_any_program_gets_its_own_words_filled_in():
    words = ["/srv/app", "--port", "{port}", "--model", "{model_file}", "--threads={threads}", "{other}"]
    assert command_of(None, runtime="command", threads=2, command=words, arguments=["-v"]) == [
        "/srv/app", "--port", "18080", "--model", "/models/m/000000000000/m.gguf", "--threads=2", "{other}", "-v"]


@pytest.mark.parametrize(("prefix", "numa", "words"), [
    ("numactl", 1, ["/usr/bin/numactl", "--physcpubind=9-10", "--membind=1", "--"]),
    ("numactl", "off", ["/usr/bin/numactl", "--physcpubind=1,9", "--"]),
    ("taskset", 1, ["/usr/bin/taskset", "--cpu-list", "9-10"]),
])
@pytest.mark.parametrize("runtime", ["llama_cpp", "whisper", "vllm", "command"])
def test_a_prefix_places_the_engine_where_the_plan_does(prefix, numa, words, runtime):
    engine = {"path": "/opt/engine"}
    plain = command_of(engine, runtime=runtime, threads=2, numa=numa)
    assert command_of(engine, runtime=runtime, threads=2, numa=numa, prefix=prefix) == words + plain


@pytest.mark.parametrize("runtime", ["llama_cpp", "vllm", "whisper", "container"])
@pytest.mark.parametrize("engine", [None, {}, {"path": None}])
def test_an_engine_that_is_not_known_is_said(runtime, engine):
    with pytest.raises(PlanError, match="^chat-0: the engine of runtime %s is not known; role inference.host.runtime "
                                        "sets it in runtime_engines.$" % runtime):
        command_of(engine, runtime=runtime)


@pytest.mark.parametrize("runtime", ["llama_cpp", "vllm"])
def test_a_model_without_a_file_has_no_command_line(runtime):
    with pytest.raises(PlanError, match="^chat-0: its model m has no file; give model.source and model.sha256.$"):
        command_of({"path": "x"}, runtime=runtime, model={"name": "m"})


def test_a_command_that_would_move_itself_is_refused():
    words = ["/usr/bin/numactl", "--physcpubind=0-3", "/srv/app"]
    with pytest.raises(PlanError, match=r"^chat-0: numactl has --physcpubind=0-3, and the plan gives it CPUs 1\.$"):
        command_of(None, runtime="command", threads=1, command=words)


def test_a_container_has_words_of_its_own():
    assert command_of({"path": "/usr/bin/docker"}, runtime="container")[-1] == IMAGE
