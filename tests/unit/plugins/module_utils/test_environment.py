"""The environment of an instance: the plan's variables, and what the user wrote."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.environment import (
    filled,
    filled_config,
    with_model_file,
)
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from plan_topologies import gpu, model, service, topology

HOST = topology(sockets=2, cores=8, gpus=[gpu(1, 1), gpu(0, 0), gpu(2, 1, vendor="0x1002")])
CPUS = topology(sockets=2, cores=8)
ALONE = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_HOST_IP": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}


def environment(host=HOST, **wish):
    """The environment of the only instance."""
    (instance,) = make_plan(host, [service(**wish)], {"housekeeping_cores": 0})["instances"]
    return instance["environment"]


# What the plan says


def test_llama_cpp_gets_its_threads_by_arguments():
    assert environment(CPUS, threads=4) == {}


@pytest.mark.parametrize("runtime", ["whisper", "command"])
def test_other_runtimes_read_their_threads(runtime):
    assert environment(CPUS, runtime=runtime, threads=4) == {"OMP_NUM_THREADS": "4"}


def test_who_has_no_gpu_sees_none_of_those_that_the_host_has():
    assert environment(threads=4) == {"CUDA_VISIBLE_DEVICES": ""}


@pytest.mark.parametrize(("wish", "threads", "bound", "gib"), [
    ({"threads": 4}, "3", "0-2", "4"),
    ({"threads": 1}, "1", "0", "4"),
    ({"threads": 4, "numa": 1}, "3", "8-10", "4"),
    # 4096 tokens of 1 MiB are 4 GiB, 4097 one MiB more.
    ({"threads": 2, "model": model(kv_bytes_per_token=1 << 20)}, "1", "0", "4"),
    ({"threads": 2, "model": model(kv_bytes_per_token=1 << 20), "context": 4352}, "1", "0", "5"),
])
def test_vllm_on_cpus_leaves_one_core_to_its_scheduler(wish, threads, bound, gib):
    assert environment(CPUS, runtime="vllm", **wish) == dict(ALONE, **{
        "OMP_NUM_THREADS": threads, "VLLM_CPU_OMP_THREADS_BIND": bound, "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
        "VLLM_CPU_KVCACHE_SPACE": gib})


@pytest.mark.parametrize(("wish", "threads", "bound", "gib"), [
    # 8 and 8 CPUs of two nodes, of which each rank leaves one.
    ({"threads": 16}, "7", "0-6|8-14", "2"),
    ({"threads": 16, "tensor_parallel": 2}, "7", "0-6|8-14", "2"),
    ({"threads": 8, "numa": 0, "tensor_parallel": 2}, "3", "0-2|4-6", "2"),
    # Memory of one rank goes to one node: then its user has said so.
    ({"threads": 16, "tensor_parallel": 1}, "15", "0-14", "4"),
    ({"threads": 4, "numa": 0, "tensor_parallel": 4}, "1", "0|1|2|3", "1"),
    ({"threads": 4, "numa": 0, "tensor_parallel": 4, "model": model(kv_bytes_per_token=1 << 20), "context": 4352},
     "1", "0|1|2|3", "2"),
])
def test_vllm_has_a_rank_for_each_node_that_it_is_spread_over(wish, threads, bound, gib):
    found = environment(CPUS, runtime="vllm", **wish)
    assert (found["OMP_NUM_THREADS"], found["VLLM_CPU_OMP_THREADS_BIND"], found["VLLM_CPU_KVCACHE_SPACE"]) == (
        threads, bound, gib)


def test_each_of_vllms_ranks_has_a_cpu():
    with pytest.raises(PlanError, match=r"^chat-0: tensor_parallel is 3; it must be at most threads \(2\)\.$"):
        environment(CPUS, runtime="vllm", threads=2, tensor_parallel=3)


def test_what_vllm_takes_for_its_cache_is_in_the_sum():
    wish = service(runtime="vllm", threads=2, model=model(kv_bytes_per_token=1 << 20), context=4352)
    (instance,) = make_plan(CPUS, [wish])["instances"]
    # 4352 MiB are five GiB.
    assert instance["memory_mib"]["kv_cache"] == 5 * 1024
    assert instance["host_memory_mib"] == sum(instance["memory_mib"].values())


def test_vllm_on_gpus_binds_nothing_by_itself():
    assert environment(runtime="vllm", gpus=1, threads=4) == dict(ALONE, **{
        "OMP_NUM_THREADS": "4", "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "0"})


def test_gpus_that_may_not_copy_to_each_other_are_told_so():
    linked = dict(HOST, nvidia={"smi": {
        "gpus": [{"index": 0, "address": "0000:10:00.0"}, {"index": 1, "address": "0000:11:00.0"}],
        "p2p_read": {"GPU0": {"GPU1": "OK"}, "GPU1": {"GPU0": "OK"}},
        "topology": {"GPU0": {"GPU1": "NV4"}, "GPU1": {"GPU0": "NV4"}}}})
    found = environment(HOST, runtime="vllm", gpus=2, threads=4)
    assert (found["NCCL_P2P_DISABLE"], found["NCCL_SOCKET_IFNAME"]) == ("1", "lo")
    trusted = environment(linked, runtime="vllm", gpus=2, threads=4)
    assert trusted["NCCL_SOCKET_IFNAME"] == "lo" and "NCCL_P2P_DISABLE" not in trusted
    for runtime in ("command", "container", "llama_cpp"):
        # Whatever runs there may use NCCL, and llama.cpp is built with it where it is found.
        wish = {"runtime": runtime, "model": model(layers=4, weights_mib=9)}
        assert environment(HOST, gpus=2, **wish)["NCCL_P2P_DISABLE"] == "1"
        assert "NCCL_P2P_DISABLE" not in environment(linked, gpus=2, **wish)
        assert "NCCL_P2P_DISABLE" not in environment(HOST, gpus=1, **wish)


@pytest.mark.parametrize(("copies", "iommu", "there"), [
    ([(True, True)], False, True), ([(True, None)], False, False), ([], False, False), ([(True, False)], False, False),
    ([(True, True)], True, False)])
def test_llama_cpp_uses_p2p_only_where_copies_arrived(copies, iommu, there):
    ends = ["0000:10:00.0", "0000:11:00.0"]
    made = [{"from": source, "to": target, "ok": ok, "access": True, "bytes": 1, "reason": None}
            for both in copies for source, target, ok in ((*ends, both[0]), (*ends[::-1], both[1]))]
    host = dict(HOST, iommu={"translating": iommu, "acs": []}, nvidia={"copies": made, "smi": {
        "gpus": [{"index": place, "address": address} for place, address in enumerate(ends)],
        "p2p_read": {"GPU0": {"GPU1": "OK"}, "GPU1": {"GPU0": "OK"}},
        "topology": {"GPU0": {"GPU1": "PHB"}, "GPU1": {"GPU0": "PHB"}}}})
    wish = {"gpus": 2, "model": model(layers=4, weights_mib=9)}
    assert (environment(host, **wish).get("GGML_CUDA_P2P") == "1") is there
    assert ("GGML_CUDA_P2P" in environment(host, **wish)) is there
    # Of one card, and of another runtime, there is nothing to say.
    assert "GGML_CUDA_P2P" not in environment(host, gpus=1, model=wish["model"])
    assert "GGML_CUDA_P2P" not in environment(host, runtime="vllm", threads=4, gpus=2)


def test_turning_p2p_off_by_a_zero_is_a_warning():
    wish = service(environment={"GGML_CUDA_P2P": "0"}, gpus=2, model=model(layers=4, weights_mib=9))
    plan = make_plan(HOST, [wish])
    assert [text for text in plan["warnings"] if "GGML_CUDA_P2P" in text] == [
        "chat-0: environment.GGML_CUDA_P2P is '0', which turns P2P on: llama.cpp only asks whether the variable is "
        "there; leave it out."]


@pytest.mark.parametrize(("wish", "devices"), [({"gpus": 1}, "0"), ({"gpus": 2}, "0,1"), ({"gpus": 1, "numa": 1}, "1")])
def test_gpus_are_named_by_their_place_in_pci_order(wish, devices):
    found = environment(model=model(layers=4, weights_mib=9), **wish)
    assert (found["CUDA_DEVICE_ORDER"], found["CUDA_VISIBLE_DEVICES"]) == ("PCI_BUS_ID", devices)


# Profiles


@pytest.mark.parametrize(("profile", "context", "batch", "ubatch", "temperature", "rag_k", "max_context"), [
    ("speed", "2048", "1024", "512", "0.1", "3", "2000"), ("balanced", "4096", "512", "512", "0.2", "5", "4000"),
    ("quality", "8192", "256", "256", "0.3", "8", "6000")])
def test_a_profile_is_told_to_the_application(profile, context, batch, ubatch, temperature, rag_k, max_context):
    assert environment(CPUS, profile=profile, threads=4) == {
        "LLAMACPP_PROFILE": profile, "LLAMACPP_CTX_SIZE": context, "LLAMACPP_BATCH_SIZE": batch,
        "LLAMACPP_UBATCH_SIZE": ubatch, "LLAMACPP_THREADS": "4", "LLAMACPP_TEMPERATURE": temperature,
        "LLAMACPP_RAG_K": rag_k, "LLAMACPP_MAX_CONTEXT": max_context}


def test_what_the_service_sets_itself_is_what_the_application_hears():
    found = environment(profile="quality", context=1024, gpus=1, model=model(layers=4, weights_mib=9))
    assert (found["LLAMACPP_CTX_SIZE"], found["LLAMACPP_GPU_LAYERS"]) == ("1024", "5")


# What the user says


@pytest.mark.parametrize(("text", "filled_in"), [
    ("{threads}", "4"),
    ("{threads_batch}", "2"),
    ("{cpu_range}", "8-11"),
    ("{numa_nodes}", "1"),
    ("{gpus}", "0000:11:00.0"),
    ("{port}", "9000"),
    ("{index}", "0"),
    ("{config}", "/etc/inference.host/config/chat-0.json"),
    ("{p2p}", "0"),
    ("{gpu_memory_mib}", "0"),
    # Rendering knows it.
    ("{model_file}", "{model_file}"),
    ("-t {threads} -p {port} {threads}", "-t 4 -p 9000 4"),
    ('{"a": {threads}}', '{"a": 4}'),
    ("{{threads}}", "{4}"),
    ("{thread} {} {0} ${HOME} {Threads} { threads }", "{thread} {} {0} ${HOME} {Threads} { threads }"),
    ("\\1 \\g<0> %s", "\\1 \\g<0> %s"),
])
def test_names_in_braces_stand_for_the_plans_values(text, filled_in):
    found = environment(threads=4, threads_batch=2, gpus=1, numa=1, port=9000, config={}, environment={"A": text})
    assert found["A"] == filled_in


def test_a_value_is_not_filled_in_twice():
    instance = {"threads": 1, "threads_batch": 1, "cpu_range": "{port}", "numa_range": "", "gpus": ["a", "b"],
                "port": 7}
    assert filled("{cpu_range} {gpus}", instance) == "{port} a,b"


def test_what_the_user_wrote_wins():
    wish = {"runtime": "whisper", "threads": 4, "environment": {"OMP_NUM_THREADS": "2"}}
    assert environment(CPUS, **wish) == {"OMP_NUM_THREADS": "2"}
    assert environment(gpus=1, environment={"CUDA_VISIBLE_DEVICES": "GPU-1"})["CUDA_VISIBLE_DEVICES"] == "GPU-1"


def test_each_instance_has_its_own_environment():
    wish = service(threads=2, instances=2, environment={"A": "{cpu_range}:{port}"})
    plan = make_plan(topology(cores=4), [wish], {"housekeeping_cores": 0})
    found = [instance["environment"] for instance in plan["instances"]]
    assert found == [{"A": "0-1:18080"}, {"A": "2-3:18081"}]


# Commands and configurations


def test_a_command_and_a_configuration_are_filled_in_too():
    wish = service(runtime="command", threads=2, instances=2, gpus=0, command=["/srv/app", "{index}", "-t={threads}"],
                   config={"port": "{port}", "at": ["{cpu_range}", "{gpus}", 7, None, True], "x": {"t": "t{threads}"}})
    one, two = make_plan(topology(cores=4), [wish], {"housekeeping_cores": 0})["instances"]
    assert (one["command"], two["command"]) == (["/srv/app", "0", "-t=2"], ["/srv/app", "1", "-t=2"])
    # A text that is one name has the value itself, a number or a list.
    assert two["config"] == {"port": 18081, "at": ["2-3", [], 7, None, True], "x": {"t": "t2"}}
    assert two["config_file"] == "/etc/inference.host/config/chat-1.json"
    assert two["environment_file"] == "/etc/inference.host/environment/chat-1.env"


def test_without_a_configuration_there_is_no_file():
    (instance,) = make_plan(CPUS, [service()])["instances"]
    assert (instance["config"], instance["config_file"], instance["command"]) == (None, None, [])


def test_values_keep_their_kind_only_where_they_stand_alone():
    instance = {"gpus": ["a", "b"], "p2p": True, "gpu_memory_mib": 9, "threads": 2}
    assert filled_config(["{gpus}", "{p2p}", "{gpu_memory_mib}", "{threads} "], instance) == [["a", "b"], True, 9, "2 "]
    assert filled("{gpus} {p2p}", instance) == "a,b 1"


def test_the_models_file_is_filled_in_where_it_is_known():
    value = {"a": ["{model_file}", 1], "b": "-m {model_file}"}
    assert with_model_file(value, "/m/x") == {"a": ["/m/x", 1], "b": "-m /m/x"}
    assert with_model_file("{model_file}", None) == ""
