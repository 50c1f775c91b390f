"""The environment of an instance: the plan's variables, and what the user wrote."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.environment import filled
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from plan_topologies import gpu, model, service, topology

HOST = topology(sockets=2, cores=8, gpus=[gpu(1, 1), gpu(0, 0), gpu(2, 1, vendor="0x1002")])


def environment(host=HOST, **wish):
    """The environment of the only instance."""
    (instance,) = make_plan(host, [service(**wish)], {"housekeeping_cores": 0})["instances"]
    return instance["environment"]


# What the plan says


def test_llama_cpp_gets_its_threads_by_arguments():
    assert environment(threads=4) == {}


@pytest.mark.parametrize("runtime", ["whisper", "command"])
def test_other_runtimes_read_their_threads(runtime):
    assert environment(runtime=runtime, threads=4) == {"OMP_NUM_THREADS": "4"}


@pytest.mark.parametrize(("wish", "threads", "bound", "gib"), [
    ({"threads": 4}, "3", "0-2", "4"),
    ({"threads": 1}, "1", "0", "4"),
    ({"threads": 4, "numa": 1}, "3", "8-10", "4"),
    # 4096 tokens of 1 MiB are 4 GiB, 4097 one MiB more.
    ({"threads": 2, "model": model(kv_bytes_per_token=1 << 20)}, "1", "0", "4"),
    ({"threads": 2, "model": model(kv_bytes_per_token=1 << 20), "context": 4352}, "1", "0", "5"),
])
def test_vllm_on_cpus_leaves_one_core_to_its_scheduler(wish, threads, bound, gib):
    assert environment(runtime="vllm", **wish) == {
        "OMP_NUM_THREADS": threads, "VLLM_CPU_OMP_THREADS_BIND": bound, "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
        "VLLM_CPU_KVCACHE_SPACE": gib}


def test_vllm_on_gpus_binds_nothing_by_itself():
    assert environment(runtime="vllm", gpus=1, threads=4) == {
        "OMP_NUM_THREADS": "4", "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "0"}


@pytest.mark.parametrize(("wish", "devices"), [({"gpus": 1}, "0"), ({"gpus": 2}, "0,1"), ({"gpus": 1, "numa": 1}, "1")])
def test_gpus_are_named_by_their_place_in_pci_order(wish, devices):
    assert environment(model=model(layers=4, weights_mib=9), **wish) == {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": devices}


# Profiles


@pytest.mark.parametrize(("profile", "context", "batch", "ubatch", "temperature", "rag_k", "max_context"), [
    ("speed", "2048", "1024", "512", "0.1", "3", "2000"), ("balanced", "4096", "512", "512", "0.2", "5", "4000"),
    ("quality", "8192", "256", "256", "0.3", "8", "6000")])
def test_a_profile_is_told_to_the_application(profile, context, batch, ubatch, temperature, rag_k, max_context):
    assert environment(profile=profile, threads=4) == {
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
    ("-t {threads} -p {port} {threads}", "-t 4 -p 9000 4"),
    ('{"a": {threads}}', '{"a": 4}'),
    ("{{threads}}", "{4}"),
    ("{thread} {} {0} ${HOME} {Threads} { threads }", "{thread} {} {0} ${HOME} {Threads} { threads }"),
    ("\\1 \\g<0> %s", "\\1 \\g<0> %s"),
])
def test_names_in_braces_stand_for_the_plans_values(text, filled_in):
    found = environment(threads=4, threads_batch=2, gpus=1, numa=1, port=9000, environment={"A": text})
    assert found["A"] == filled_in


def test_a_value_is_not_filled_in_twice():
    instance = {"threads": 1, "threads_batch": 1, "cpu_range": "{port}", "numa_range": "", "gpus": ["a", "b"],
                "port": 7}
    assert filled("{cpu_range} {gpus}", instance) == "{port} a,b"


def test_what_the_user_wrote_wins():
    assert environment(runtime="whisper", threads=4, environment={"OMP_NUM_THREADS": "2"}) == {"OMP_NUM_THREADS": "2"}
    assert environment(gpus=1, environment={"CUDA_VISIBLE_DEVICES": "GPU-1"})["CUDA_VISIBLE_DEVICES"] == "GPU-1"


def test_each_instance_has_its_own_environment():
    wish = service(threads=2, instances=2, environment={"A": "{cpu_range}:{port}"})
    plan = make_plan(topology(cores=4), [wish], {"housekeeping_cores": 0})
    found = [instance["environment"] for instance in plan["instances"]]
    assert found == [{"A": "0-1:18080"}, {"A": "2-3:18081"}]
