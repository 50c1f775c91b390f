"""One instance of the plan: GPUs, memory, nodes, CPUs and port, each with its reason."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.gguf_facts import model_facts
from ansible_collections.inference.host.plugins.module_utils.instances import memory_parts
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from ansible_collections.inference.host.plugins.module_utils.services import check_services
from plan_topologies import gpu, model, service, topology

COMPUTE = 512
"""MiB of compute buffers of a model without a header."""


def planned(host, *services, **policy):
    return make_plan(host, list(services), policy)


def instances(host, *services, **policy):
    """The plan's instances by name."""
    return {instance["name"]: instance for instance in planned(host, *services, **policy)["instances"]}


def lone(host, policy=None, **wish):
    """The only instance of the only service, which has no prompt cache."""
    (instance,) = planned(host, service(**dict({"cache_ram_mib": 0}, **wish)), **(policy or {}))["instances"]
    return instance


def refused(host, *services, **policy):
    """The sentence with which the plan refuses."""
    with pytest.raises(PlanError) as error:
        planned(host, *services, **policy)
    assert "\n" not in str(error.value)
    return str(error.value)


def sized(mib, name="m", **other):
    """A model of so many MiB in 10 layers."""
    return model(name, weights_mib=mib, layers=10, **other)


def warned(host, *services, **policy):
    """What is warned of beyond what is not known of the models."""
    found = planned(host, *services, **policy)["warnings"]
    return [warning for warning in found if "KV cache" not in warning and "compute buffers" not in warning]


# CPUs


@pytest.mark.parametrize(("numbering", "cpus", "kept"), [("split", [1, 2, 3], [0, 4]), ("adjacent", [2, 4, 6], [0, 1])])
def test_one_thread_a_physical_core_whatever_the_numbering(numbering, cpus, kept):
    plan = planned(topology(cores=4, threads=2, numbering=numbering), service())
    assert plan["instances"][0]["cpus"] == cpus
    assert plan["instances"][0]["reasons"]["cpus"] == "first thread of each of 3 physical cores of its own"
    assert plan["housekeeping_cpus"] == kept


def test_two_instances_never_share_a_core():
    found = instances(topology(cores=9, threads=2, numbering="adjacent"), service(instances=2))
    assert [found["chat-%d" % index]["cpus"] for index in (0, 1)] == [[2, 4, 6, 8], [10, 12, 14, 16]]


def test_with_smt_threads_run_on_all_siblings_of_whole_cores():
    found = instances(topology(cores=4, threads=2), service("a", threads=3), service("b"), smt=True)
    assert [(found[name]["cpus"], found[name]["threads"]) for name in ("a-0", "b-0")] == [([1, 2, 5], 3), ([3, 7], 2)]
    assert found["a-0"]["reasons"]["cpus"] == "3 hardware threads of whole cores of its own (topology_smt)"


@pytest.mark.parametrize(("host", "wishes", "policy", "sentence"), [
    # Each takes two cores of two threads, and there are three.
    (topology(cores=3, threads=2), [service(threads=3, instances=2)], {"smt": True},
     "chat-1 needs 3 CPUs of whole cores on NUMA node(s) 0; 2 are left; lower threads or instances."),
    # Node 1 has CPUs and no memory: nothing is interleaved over it.
    (topology(sockets=2, cores=4, node_memory={1: 0}), [service(threads=6, numa="interleave")],
     {"housekeeping_cores": 0},
     "chat-0 needs 6 CPUs of whole cores on NUMA node(s) 0; 4 are left; lower threads, or set numa: off."),
])
def test_too_few_whole_cores_are_refused(host, wishes, policy, sentence):
    assert refused(host, *wishes, **policy) == sentence


def test_threads_for_batches_may_be_fewer():
    for wish in ({"threads": 4}, {"threads": 4, "threads_batch": 4}):
        assert lone(topology(), **wish)["threads_batch"] == 4
    instance = lone(topology(), threads=4, threads_batch=2)
    assert (instance["threads"], instance["threads_batch"]) == (4, 2)
    assert refused(topology(), service(threads=4, threads_batch=5)) == (
        "chat-0: threads_batch is 5; it must be at most threads (4), which are the CPUs it has.")


# Memory


@pytest.mark.parametrize(("runtime", "numbers", "kv_cache"), [
    ("llama_cpp", {}, 0), ("vllm", {}, 4096), ("vllm", {"kv_bytes_per_token": 10000}, 1024),
    ("vllm", {"kv_bytes_per_token": 50000}, 2048), ("whisper", {}, 0),
    ("llama_cpp", {"kv_bytes_per_token": 10000}, 235)])
def test_vllm_has_a_cache_of_its_own_default_and_whole_gib(runtime, numbers, kv_cache):
    # 8192 x 3 x 10000 bytes are 234.375 MiB, x 50000 1171.875 MiB.
    (wish,) = check_services([service(runtime=runtime, context=8192, parallel=3, cache_ram_mib=100,
                                      model=model(weights_mib=1000, **numbers))])
    assert memory_parts(wish) == {"weights": 1000, "kv_cache": kv_cache, "compute": COMPUTE, "prompt_cache": 100}


def test_the_reason_is_the_sum_and_where_it_comes_from():
    sum_ = "weights %d + KV cache 0 + compute 512 + prompt cache 0 MiB by %s"
    assert lone(topology())["reasons"]["memory"] == sum_ % (0, "no numbers")
    assert lone(topology(), model=sized(700))["reasons"]["memory"] == sum_ % (700, "numbers in the service")


def tensor(name, mib):
    return {"name": name, "shape": [mib << 20], "type": "I8", "elements": mib << 20, "bytes": mib << 20}


HEADER = model_facts({
    "path": "m.gguf", "array_lengths": {},
    "metadata": {"general.architecture": "unheard-of", "unheard-of.block_count": 2, "unheard-of.embedding_length": 64},
    "tensors": [tensor("token_embd.weight", 100), tensor("blk.0.ffn.weight", 100), tensor("blk.1.ffn.weight", 100)]})
"""A model whose head is its token embedding, 100 MiB."""


def test_a_header_tells_the_weights():
    instance = lone(topology(), model=model(header=HEADER))
    assert instance["memory_mib"]["weights"] == 300
    assert instance["reasons"]["memory"].endswith(" MiB by the model's header")


def test_a_header_that_is_none_is_refused_with_the_services_name():
    assert refused(topology(), service(model=model(header={"layers": 1}))).startswith("chat: model.header has no ")


def one_gib_short(**other):
    """A host of 8 GiB; the instance needs 7168 MiB, which is all but the headroom."""
    return topology(cores=4, memory_mib=8192, **other), service(cache_ram_mib=0, model=sized(7168 - COMPUTE))


def test_memory_may_be_used_up_to_the_headroom():
    assert instances(*one_gib_short())["chat-0"]["host_memory_mib"] == 7168
    assert refused(*one_gib_short(), memory_headroom_mib=1025) == (
        "chat-0 needs 7168 MiB (weights 6656 + KV cache 0 + compute 512 + prompt cache 0); the host has 7167 MiB left "
        "of 8192; choose a smaller model, context, parallel, cache_ram_mib or fewer instances.")


def test_a_memory_limit_of_services_counts():
    assert "the host has 6976 MiB left of 8000" in refused(*one_gib_short(memory_limit=8000))
    assert instances(*one_gib_short(memory_limit=99999))
    host, wish = one_gib_short()
    host["memory_limit_mib"] = 8000
    assert instances(host, wish), "the limit of the reading process is not one of services"


def test_instances_share_the_memory():
    host = topology(cores=4, memory_mib=8192)
    wish = service(instances=2, cache_ram_mib=0, model=sized(4000 - COMPUTE))
    assert refused(host, wish).startswith("chat-1 needs 4000 MiB")
    assert len(instances(host, wish, memory_headroom_mib=192)) == 2


def test_a_host_below_the_headroom_says_that_nothing_is_left():
    assert "has 0 MiB left of 512" in refused(topology(cores=1, memory_mib=512), service())


def test_huge_pages_are_part_of_what_an_instance_needs():
    assert lone(topology(), hugepages_mib=100)["host_memory_mib"] == 512 + 100
    assert refused(topology(memory_mib=2048), service(hugepages_mib=700, cache_ram_mib=0)).startswith(
        "chat-0 needs 1212 MiB (weights 0 + KV cache 0 + compute 512 + prompt cache 0 + huge pages 700); the host has "
        "1024 MiB left of 2048;")


def test_huge_pages_that_are_reserved_today_are_no_free_memory():
    host, wish = one_gib_short()
    host["numa_nodes"][0]["hugepages"] = {"2048": 5}
    assert "the host has 7158 MiB left of 8192" in refused(host, wish)


# NUMA


def test_one_instance_a_node():
    found = instances(topology(sockets=2, cores=4), service(instances="per_numa_node"), housekeeping_cores=0)
    assert [(one["cpu_range"], one["numa_policy"], one["numa_nodes"], one["reasons"]["numa"])
            for one in found.values()] == [
        ("0-3", "bind", [0], "one instance a NUMA node: node 0"),
        ("4-7", "bind", [1], "one instance a NUMA node: node 1")]


def test_one_instance_a_node_on_a_host_of_one():
    found = instances(topology(cores=4), service(instances="per_numa_node"))
    assert list(found) == ["chat-0"] and found["chat-0"]["numa_policy"] == "none"


def test_one_instance_a_node_where_services_may_have_cpus():
    host = topology(sockets=2, cores=4, allowed=[4, 5])
    found = instances(host, service(instances="per_numa_node"))
    assert [(one["cpus"], one["numa_nodes"]) for one in found.values()] == [([4, 5], [1])]


def test_one_instance_a_node_that_does_not_fit_is_told_so():
    host = topology(sockets=2, cores=4, node_memory={1: 400})
    assert refused(host, service(instances="per_numa_node", cache_ram_mib=0)) == (
        "chat-1: instances is per_numa_node, and node 1 has 4 CPUs and 0 MiB free; the instance needs 3 and 512; "
        "lower threads or context, keep fewer housekeeping cores, or set a number of instances.")


def test_an_instance_that_fits_no_node_is_interleaved_with_a_warning():
    host = topology(sockets=2, cores=8, memory_mib=8192)
    instance = lone(host, {"housekeeping_cores": 0}, threads=12)
    assert (instance["numa_policy"], instance["numa_range"], len(instance["cpus"])) == ("interleave", "0-1", 12)
    assert lone(host, threads=2, model=sized(9000))["numa_policy"] == "interleave"
    (warning,) = warned(host, service(threads=2, model=sized(9000)))
    assert warning.startswith("chat-0 is interleaved over NUMA nodes 0-1: 2 CPUs and 10536 MiB fit no single node")
    assert warning.endswith(").")


def test_nodes_are_listed_by_id_whatever_their_cpus():
    host = topology(sockets=2, cores=8)
    host["numa_nodes"] = [dict(node, id=1 - node["id"]) for node in host["numa_nodes"]]
    assert lone(host, threads=12)["numa_nodes"] == [0, 1]


def test_an_instance_whose_threads_the_plan_chose_is_told_how_many_would_fit():
    host = topology(sockets=2, cores=8)
    # The first two take six cores of node 0 and five of node 1.
    (warning,) = warned(host, service("a", threads=6, priority=1), service("b", threads=5, priority=1), service("c"),
                        housekeeping_cores=0)
    assert warning == ("c-0 is interleaved over NUMA nodes 0-1: 5 CPUs and 1536 MiB fit no single node (free: node 0: "
                       "2 CPUs, 63488 MiB, node 1: 3 CPUs, 63488 MiB). With threads: 3 it is bound to node 1.")


def test_an_instance_whose_threads_the_user_chose_is_not_advised_to_have_others():
    (warning,) = warned(topology(sockets=2, cores=8), service(threads=12))
    assert warning.endswith(").")


# GPUs


TWO_CARDS = topology(sockets=2, cores=8, gpus=[gpu(0, 0), gpu(1, 1)])


def test_an_instance_is_bound_to_the_node_of_its_gpu():
    instance = lone(TWO_CARDS, gpus=1, threads=4, model=sized(1000))
    assert (instance["gpus"], instance["numa_policy"], instance["numa_nodes"]) == (["0000:10:00.0"], "bind", [0])
    assert instance["reasons"]["numa"] == "node 0 is its GPU's own"
    assert instance["reasons"]["gpus"] == "0000:10:00.0 (node 0)"
    assert (instance["gpu_layers"], instance["gpu_memory_mib"], instance["host_memory_mib"]) == (11, 1512, 512)
    assert instance["reasons"]["gpu_layers"] == "the output and 10 of 10 layers fit 14848 MiB (1000 with KV cache)"
    assert instance["reasons"]["memory"].endswith("; 512 MiB in RAM, 1512 MiB on each of 1 GPU(s)")


def test_a_node_that_just_holds_the_instance_is_bound_to():
    host = topology(sockets=2, cores=8, node_memory={0: 1024}, gpus=[gpu(0, 0)])
    instance = lone(host, {"housekeeping_cores": 0}, gpus=1, threads=8, model=sized(1000))
    assert (instance["numa_policy"], instance["numa_nodes"]) == ("bind", [0])


def test_one_instance_a_gpu_is_at_each_gpus_node():
    found = instances(TWO_CARDS, service(instances="per_gpu", model=sized(1000)))
    assert [(instance["gpus"], instance["numa_nodes"], len(instance["cpus"])) for instance in found.values()] == [
        (["0000:10:00.0"], [0], 7), (["0000:11:00.0"], [1], 7)]


def test_an_instance_without_gpus_has_nothing_on_them():
    instance = lone(TWO_CARDS, model=sized(1000))
    assert (instance["gpus"], instance["gpu_layers"], instance["gpu_memory_mib"]) == ([], None, 0)
    assert not {"gpus", "gpu_layers"} & set(instance["reasons"])


def test_gpus_at_two_nodes_spread_the_instance_over_these():
    instance = lone(topology(sockets=3, cores=4, gpus=[gpu(0, 0), gpu(1, 2)]), gpus=2, threads=6, model=sized(1000))
    assert (instance["numa_policy"], instance["numa_nodes"]) == ("interleave", [0, 2])
    assert instance["cpus"] == [1, 2, 3, 8, 9, 10]
    assert instance["reasons"]["numa"] == "its GPUs are at nodes 0,2"
    assert (instance["gpu_memory_mib"], instance["host_memory_mib"]) == (500 + 512, 512)


@pytest.mark.parametrize(("host", "wish", "why"), [
    (topology(sockets=2, cores=8, gpus=[gpu(0, None)]), {}, "the NUMA node of its GPU is not known"),
    (topology(sockets=2, cores=8, gpus=[gpu(0, 1), gpu(1, None)]), {"gpus": 2},
     "the NUMA node of its GPU is not known"),
    (TWO_CARDS, {"threads": 9}, "node(s) 0 of its GPUs have less free than 9 CPUs and 512 MiB"),
    (topology(sockets=2, cores=8, node_memory={0: 511}, gpus=[gpu(0, 0)]), {},
     "node(s) 0 of its GPUs have less free than 4 CPUs and 512 MiB"),
    (topology(sockets=2, cores=8, node_memory={0: 0}, gpus=[gpu(0, 0)]), {},
     "node(s) 0 of its GPUs have less free than 4 CPUs and 512 MiB"),
    (topology(sockets=3, cores=4, gpus=[gpu(0, 0), gpu(1, 1)]), {"gpus": 2, "threads": 9},
     "node(s) 0-1 of its GPUs have less free than 9 CPUs and 512 MiB"),
])
def test_where_the_gpus_node_is_not_known_or_full_nothing_is_bound_and_it_is_said(host, wish, why):
    wish = service(**dict({"gpus": 1, "threads": 4, "cache_ram_mib": 0, "model": sized(1000)}, **wish))
    (instance,) = planned(host, wish, housekeeping_cores=0)["instances"]
    assert (instance["numa_policy"], instance["reasons"]["numa"]) == ("none", why + ": not bound")
    assert instance["numa_nodes"] == [node["id"] for node in host["numa_nodes"]]
    assert warned(host, wish, housekeeping_cores=0) == ["chat-0 is not bound to a NUMA node: %s." % why]


def test_who_is_not_bound_still_has_its_cpus_together():
    host = topology(sockets=2, cores=8, gpus=[gpu(0, None)])
    assert lone(host, {"housekeeping_cores": 0}, gpus=1, threads=4, model=sized(1))["cpus"] == [0, 1, 2, 3]


def test_on_one_node_a_gpu_of_unknown_node_is_nothing_to_speak_of():
    host = topology(cores=8, gpus=[gpu(0, None)])
    assert warned(host, service(gpus=1, model=sized(1000))) == []
    instance = lone(host, gpus=1, model=sized(1000))
    assert (instance["numa_policy"], instance["reasons"]["gpus"]) == ("none", "0000:10:00.0 (NUMA node not known)")


@pytest.mark.parametrize(("nodes", "wish", "where"), [
    ((0,), {"gpus": 1}, "0"), ((0, 1), {"gpus": 2}, "0-1"), ((0, None), {"gpus": 2}, "0")])
def test_a_node_by_wish_that_is_not_the_gpus_is_refused(nodes, wish, where):
    host = topology(sockets=2, cores=8, gpus=[gpu(number, node) for number, node in enumerate(nodes)])
    assert refused(host, service(numa=1, **wish)) == (
        "chat-0: numa is 1 and its GPUs are at node(s) %s; leave numa at auto, or set it to off." % where)


def test_one_instance_a_node_with_gpus_at_one_node_is_refused_in_its_own_words():
    host = topology(sockets=2, cores=8, gpus=[gpu(0, 0), gpu(1, 0)])
    assert refused(host, service(instances="per_numa_node", gpus=1)) == (
        "chat-1: instances is per_numa_node and the GPUs left for node 1 are at node(s) 0; set instances: per_gpu, or "
        "a number.")


def test_one_instance_a_node_with_a_gpu_at_each_says_so():
    host = topology(sockets=2, cores=8, gpus=[gpu(0, 1), gpu(1, 0)])
    found = instances(host, service(instances="per_numa_node", gpus=1, model=sized(1000)))
    assert [(instance["gpus"], instance["numa_nodes"], instance["reasons"]["numa"]) for instance in found.values()] == [
        (["0000:11:00.0"], [0], "one instance a NUMA node: node 0"),
        (["0000:10:00.0"], [1], "one instance a NUMA node: node 1")]


@pytest.mark.parametrize(("gpus", "numa", "policy", "nodes"), [
    ([gpu(0, 1)], 1, "bind", [1]), ([gpu(0, None)], 1, "bind", [1]), ([gpu(0, 0)], "off", "none", [0, 1]),
    ([gpu(0, 0)], "interleave", "interleave", [0, 1])])
def test_the_users_word_on_nodes_holds_with_gpus_too(gpus, numa, policy, nodes):
    instance = lone(topology(sockets=2, cores=8, gpus=gpus), gpus=1, numa=numa, threads=2, model=sized(1000))
    assert (instance["numa_policy"], instance["numa_nodes"]) == (policy, nodes)
    assert instance["reasons"]["numa"] == "numa: %s was set by the user" % numa


def test_who_names_a_node_has_its_gpu_before_who_takes_any():
    host = topology(sockets=2, cores=8, gpus=[gpu(0, 1), gpu(1, 0)])
    found = instances(host, service("any", gpus=1, threads=2, priority=9), service("here", gpus=1, threads=2, numa=1))
    assert (found["here-0"]["gpus"], found["any-0"]["gpus"]) == (["0000:10:00.0"], ["0000:11:00.0"])


# Memory of GPUs


@pytest.mark.parametrize(("cards", "wish", "policy", "layers", "each", "ram"), [
    # 1000 MiB in 10 layers and 512 of compute buffers; 4096 - 1024 - 512 leave 2560.
    ([4096], {}, {}, 11, 1512, 512),
    ([4096], {"model": sized(5000)}, {}, 6, 2500 + 512, 2500 + 512),
    ([4096], {"model": sized(5000)}, {"gpu_headroom_mib": 0}, 8, 3500 + 512, 1500 + 512),
    ([4096], {"model": sized(5000), "gpu_memory_mib": 1600}, {}, 3, 1000 + 512, 4000 + 512),
    # No more than the card has, whatever the user grants.
    ([4096], {"model": sized(5000), "gpu_memory_mib": 9999}, {}, 6, 2500 + 512, 2500 + 512),
    ([None], {"model": sized(5000), "gpu_memory_mib": 1600}, {}, 3, 1000 + 512, 4000 + 512),
    ([1024], {"model": sized(5000)}, {}, 1, 0, 5512),
    # Two cards: the smaller one sets the measure of each.
    ([4096, 4096], {"model": sized(5000), "gpus": 2}, {}, 11, 2500 + 512, 512),
    ([4096, 2048], {"model": sized(5000), "gpus": 2}, {}, 3, 500 + 512, 4000 + 512),
    ([4096], {"gpu_layers": 0}, {}, 0, 0, 1512),
    ([4096], {"gpu_layers": 4}, {}, 4, 300 + 512, 700 + 512),
    # The token embedding is on the GPU as the head, and in RAM as itself.
    ([4096], {"model": model(header=HEADER)}, {}, 3, None, None),
])
def test_layers_go_where_there_is_room(cards, wish, policy, layers, each, ram):
    host = topology(cores=8, gpus=[gpu(number, 0, mib) for number, mib in enumerate(cards)])
    instance = lone(host, policy, **dict({"gpus": 1, "model": sized(1000)}, **wish))
    compute = instance["memory_mib"]["compute"]
    each, ram = (300 + compute, 100 + compute) if each is None else (each, ram)
    assert (instance["gpu_layers"], instance["gpu_memory_mib"], instance["host_memory_mib"]) == (layers, each, ram)


def test_too_many_layers_by_wish_are_refused():
    host = topology(cores=8, gpus=[gpu(0, 0, 4096)])
    assert refused(host, service(gpus=1, gpu_layers=99, model=sized(5000))).startswith(
        "chat-0: gpu_layers is 99, which take 5000 MiB (weights and KV cache) of the GPU memory; 2560 MiB are free for "
        "them, enough for 6;")


@pytest.mark.parametrize(("known", "wish", "layers", "warning"), [
    (None, {"model": sized(1000)}, 11, "chat-0: the memory of its GPU is not known; nothing was checked against it."),
    (4096, {"model": model(weights_mib=9000)}, None,
     "chat-0: how many layers fit its GPU is not known; give model.layers and model.weights_mib, or gpu_layers."),
])
def test_what_is_not_known_of_gpus_is_said(known, wish, layers, warning):
    host = topology(cores=8, gpus=[gpu(0, 0, known)])
    assert warned(host, service(gpus=1, **wish)) == [warning]
    assert lone(host, gpus=1, **wish)["gpu_layers"] == layers


def test_memory_on_gpus_is_named_where_the_rest_does_not_fit():
    host = topology(cores=8, memory_mib=3000, gpus=[gpu(0, 0, 4096)])
    assert refused(host, service(gpus=1, cache_ram_mib=0, model=sized(5000))).startswith(
        "chat-0 needs 3012 MiB (weights 5000 + KV cache 0 + compute 512 + prompt cache 0, of which a part lies on its "
        "GPUs); the host has 1976 MiB left of 3000;")


def test_vllm_keeps_everything_on_its_gpus():
    host = topology(cores=8, gpus=[gpu(0), gpu(1)])
    wish = dict(runtime="vllm", model=sized(15000, kv_bytes_per_token=1 << 20), context=4096)
    instance = lone(host, gpus=2, **wish)
    assert (instance["gpu_layers"], instance["gpu_memory_mib"], instance["host_memory_mib"]) == (
        None, (15000 + 4096) // 2 + 512, 512)
    assert "gpu_layers" not in instance["reasons"]
    assert refused(host, service(gpus=1, **wish)) == (
        "chat-0 needs 19096 MiB of GPU memory (weights 15000 + KV cache 4096); its GPUs have 14848 MiB for them; give "
        "it more gpus, or a smaller model, context or parallel.")


# Ports


def ports(*services, **policy):
    return {name: instance["port"] for name, instance in instances(topology(cores=32), *services, **policy).items()}


def test_ports_count_up():
    found = instances(topology(cores=32), service("a", instances=2), service("b", port=9000, instances=2), service("c"))
    assert {name: instance["port"] for name, instance in found.items()} == {
        "a-0": 18080, "a-1": 18081, "b-0": 9000, "b-1": 9001, "c-0": 18082}
    assert found["a-0"]["reasons"]["port"] == "next free port from topology_first_port"
    assert found["b-0"]["reasons"]["port"] == "port was set by the user"


def test_automatic_ports_go_round_what_is_taken():
    assert ports(service("a", instances=3), service("b", port=18081), listen_port=18083) == {
        "a-0": 18080, "a-1": 18082, "a-2": 18084, "b-0": 18081}


def test_a_port_used_twice_is_refused_with_both_names():
    assert refused(topology(), service("a", port=9000, instances=2), service("b", port=9001)) == (
        "b-0: port 9001 is already used by a-1; give one of them another port.")


def test_nginx_has_its_port_to_itself():
    assert refused(topology(), service(port=8080)) == (
        "chat-0: port 8080 is already used by nginx (nginx_listen_port); give one of them another port.")
    assert ports(service(port=8080), listen_port=80) == {"chat-0": 8080}


def test_ports_end():
    assert ports(service(port=65535)) == {"chat-0": 65535}
    assert refused(topology(), service(port=65535, instances=2)) == "chat-1: port is 65536; ports end at 65535."
    assert refused(topology(), service(instances=2), first_port=65535) == "chat-1: port is 65536; ports end at 65535."
