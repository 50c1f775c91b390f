"""The plan as a whole: from host and wishes to instances, ports, memory and nginx."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from plan_topologies import model, service, topology

COMPUTE_MIB = 512


def instances(host, *services, **policy):
    """The plan's instances by name."""
    return {instance["name"]: instance for instance in make_plan(host, list(services), policy)["instances"]}


def refused(host, *services, **policy):
    """The sentence with which the plan refuses."""
    with pytest.raises(PlanError) as error:
        make_plan(host, list(services), policy)
    assert "\n" not in str(error.value)
    return str(error.value)


# Threads and CPUs


def test_an_instance_has_everything_that_others_rely_on():
    instance = instances(topology(cores=4, threads=2), service(threads=3))["chat-0"]
    assert instance["cpus"] == [1, 2, 3]
    assert (instance["cpu_range"], instance["cpu_mask"]) == ("1-3", "e")
    assert (instance["service"], instance["index"], instance["unit"]) == ("chat", 0, "inference-chat@0.service")
    assert (instance["numa_policy"], instance["numa_nodes"], instance["numa_range"]) == ("none", [0], "0")
    assert (instance["threads"], instance["threads_batch"]) == (3, 3)
    assert instance["model_file"] == "m/000000000000/m.gguf"
    assert set(instance["memory_mib"]) == {"weights", "kv_cache", "compute", "prompt_cache"}
    assert set(instance["reasons"]) == {"threads", "cpus", "numa", "port", "memory"}
    defaults = {"context": 4096, "parallel": 1, "batch": 2048, "ubatch": 512, "cache_type": "f16"}
    assert defaults.items() <= instance.items()


@pytest.mark.parametrize(("numbering", "cpus", "kept"), [("split", [1, 2, 3], [0, 4]), ("adjacent", [2, 4, 6], [0, 1])])
def test_one_thread_a_physical_core_whatever_the_numbering(numbering, cpus, kept):
    plan = make_plan(topology(cores=4, threads=2, numbering=numbering), [service()])
    assert plan["instances"][0]["cpus"] == cpus
    assert plan["housekeeping_cpus"] == kept


def test_threads_for_batches_may_be_set_on_their_own():
    instance = instances(topology(), service(threads=4, threads_batch=2))["chat-0"]
    assert (instance["threads"], instance["threads_batch"]) == (4, 2)


def test_two_instances_never_share_a_core():
    found = instances(topology(cores=9, threads=2, numbering="adjacent"), service(instances=2))
    assert [found["chat-%d" % index]["cpus"] for index in (0, 1)] == [[2, 4, 6, 8], [10, 12, 14, 16]]


def test_a_host_with_one_cpu_serves():
    plan = make_plan(topology(cores=1), [service()])
    assert plan["instances"][0]["cpus"] == [0]
    assert plan["housekeeping_cpus"] == []


def test_no_services_are_a_plan_too():
    plan = make_plan(topology(), [])
    assert plan["instances"] == plan["services"] == plan["nginx"]["upstreams"] == []


def test_a_quota_caps_the_threads():
    assert instances(topology(cores=16, quota=3.5), service())["chat-0"]["threads"] == 3
    assert "chat 4 = 4 threads, host has 3 physical cores" in refused(topology(cores=16, quota=3.5), service(threads=4))


def test_a_cpuset_restricts_the_cpus():
    assert instances(topology(cores=16, allowed=[5, 9]), service())["chat-0"]["cpus"] == [5, 9]


def test_more_threads_than_the_host_has_are_refused_with_the_sum():
    sentence = refused(topology(cores=44, threads=2), service("whisper", cpu_share=0.73), service("llm", threads=10),
                       housekeeping_cores=4)
    assert "whisper 32 + llm 10 + housekeeping 4 = 46 threads, host has 44 physical cores" in sentence
    assert "lower threads, cpu_share or instances" in sentence


def test_smt_siblings_are_no_physical_cores():
    assert "chat 5 = 5 threads, host has 3 physical cores" in refused(topology(cores=3, threads=2), service(threads=5))


def test_more_instances_than_cores_are_refused():
    assert "chat 3 (3 x 1) = 3 threads, host has 2" in refused(topology(cores=2), service(instances=3))


@pytest.mark.parametrize(("policy", "kept"), [
    ({}, 1), ({"housekeeping_cores": None}, 1), ({"housekeeping_cores": 0}, 0), ({"housekeeping_cores": 7}, 7)])
def test_housekeeping_is_kept_by_default_or_as_set(policy, kept):
    plan = make_plan(topology(cores=8), [service()], policy)
    assert plan["housekeeping_cpus"] == list(range(kept))
    assert plan["instances"][0]["cpus"] == list(range(kept, 8))


def test_housekeeping_that_leaves_nothing_is_refused():
    assert refused(topology(cores=8), service(), housekeeping_cores=8).startswith("topology_housekeeping_cores is 8")


# Two services on two sockets, as on a large speech and chat host


def test_both_services_fit_the_first_socket():
    host = topology(sockets=2, cores=44, threads=2, memory_mib=262144)
    found = instances(host, service("whisper", threads=32, numa=0, priority=1), service("llm", threads=10, numa=0))
    assert (found["whisper-0"]["cpu_range"], found["llm-0"]["cpu_range"]) == ("2-33", "34-43")
    assert all(instance["numa_policy"] == "bind" and instance["numa_nodes"] == [0] for instance in found.values())


def test_the_same_on_two_nodes_in_one_socket_is_refused():
    host = topology(nodes=2, cores=22, threads=2, memory_mib=262144)
    sentence = refused(host, service("whisper", threads=32, numa=0))
    assert "whisper-0: numa is 0, whose free part is 20 cores" in sentence and "needs 32" in sentence


def test_priority_chooses_first_and_the_answer_keeps_the_users_order():
    host = topology(sockets=2, cores=4)
    services = [service("late", threads=2), service("first", threads=4, priority=5)]
    plan = make_plan(host, services, {"housekeeping_cores": 0})
    assert [instance["name"] for instance in plan["instances"]] == ["late-0", "first-0"]
    assert [instance["cpus"] for instance in plan["instances"]] == [[4, 5], [0, 1, 2, 3]]


def test_an_instance_is_bound_to_the_node_that_its_cpus_are_of():
    host = topology(sockets=2, cores=8, threads=2)
    found = instances(host, service("a", threads=7), service("b", threads=7), housekeeping_cores=1)
    assert (found["a-0"]["cpu_range"], found["a-0"]["numa_policy"], found["a-0"]["numa_range"]) == ("1-7", "bind", "0")
    assert (found["b-0"]["cpu_range"], found["b-0"]["numa_policy"], found["b-0"]["numa_range"]) == ("8-14", "bind", "1")


def test_an_instance_that_fits_no_node_is_interleaved():
    instance = instances(topology(sockets=2, cores=8), service(threads=12))["chat-0"]
    assert (instance["numa_policy"], instance["numa_range"], instance["threads"]) == ("interleave", "0-1", 12)
    assert len(instance["cpus"]) == 12


def test_weights_beyond_a_node_are_interleaved():
    host = topology(sockets=2, cores=8, memory_mib=8192)
    instance = instances(host, service(threads=2, model=model(weights_mib=9000)))["chat-0"]
    assert (instance["numa_policy"], instance["numa_nodes"]) == ("interleave", [0, 1])


@pytest.mark.parametrize(("numa", "policy"), [("off", "none"), ("interleave", "interleave"), (1, "bind")])
def test_the_users_numa_wins_and_the_reason_says_so(numa, policy):
    instance = instances(topology(sockets=2, cores=8), service(threads=2, numa=numa))["chat-0"]
    assert instance["numa_policy"] == policy
    assert instance["reasons"]["numa"] == "numa: %s was set by the user" % numa


# Memory


def test_memory_is_the_sum_of_its_parts():
    wish = service(context=8192, parallel=3, cache_ram_mib=100, model=model(weights_mib=1000, kv_bytes_per_token=10000))
    memory = instances(topology(), wish)["chat-0"]["memory_mib"]
    # 8192 x 3 x 10000 bytes are 234.375 MiB.
    assert memory == {"weights": 1000, "kv_cache": 235, "compute": COMPUTE_MIB, "prompt_cache": 100}


def one_gib_short(**other):
    """A host of 8 GiB; the instance needs 7168 MiB, which is all but the headroom."""
    wish = service(cache_ram_mib=0, model=model(weights_mib=7168 - COMPUTE_MIB))
    return topology(cores=4, memory_mib=8192, **other), wish


def test_memory_may_be_used_up_to_the_headroom():
    assert instances(*one_gib_short())["chat-0"]["memory_mib"]["weights"] == 7168 - COMPUTE_MIB
    sentence = refused(*one_gib_short(), memory_headroom_mib=1025)
    assert sentence.startswith("chat-0 needs 7168 MiB (weights %d + KV cache 0 + compute %d + prompt cache 0); " % (
        7168 - COMPUTE_MIB, COMPUTE_MIB))
    assert "the host has 7167 MiB left of 8192" in sentence and "choose a smaller model, context" in sentence


def test_a_memory_limit_of_the_control_group_counts():
    assert "the host has 6976 MiB left of 8000" in refused(*one_gib_short(memory_limit=8000))
    assert instances(*one_gib_short(memory_limit=99999))
    host, wish = one_gib_short()
    host["memory_limit_mib"] = 8000
    assert instances(host, wish), "the limit of the reading process is not one of services"


def test_instances_share_the_memory():
    host = topology(cores=4, memory_mib=8192)
    wish = service(instances=2, cache_ram_mib=0, model=model(weights_mib=4000 - COMPUTE_MIB))
    assert refused(host, wish).startswith("chat-1 needs 4000 MiB")
    assert len(instances(host, wish, memory_headroom_mib=192)) == 2


def test_a_host_below_the_headroom_says_that_nothing_is_left():
    assert "has 0 MiB left of 512" in refused(topology(cores=1, memory_mib=512), service())


# Ports


def ports(*services, **policy):
    return {name: instance["port"] for name, instance in instances(topology(cores=32), *services, **policy).items()}


def test_ports_count_up():
    assert ports(service("a", instances=2), service("b", port=9000, instances=2), service("c")) == {
        "a-0": 18080, "a-1": 18081, "b-0": 9000, "b-1": 9001, "c-0": 18082}


def test_automatic_ports_go_round_what_is_taken():
    assert ports(service("a", instances=3), service("b", port=18081), listen_port=18083) == {
        "a-0": 18080, "a-1": 18082, "a-2": 18084, "b-0": 18081}


def test_a_port_used_twice_is_refused_with_both_names():
    assert refused(topology(), service("a", port=9000, instances=2), service("b", port=9001)) == (
        "b-0: port 9001 is already used by a-1; give one of them another port.")


def test_nginx_has_its_port_to_itself():
    assert refused(topology(), service(port=8080)).startswith(
        "chat-0: port 8080 is already used by nginx (nginx_listen_port)")
    assert ports(service(port=8080), listen_port=80) == {"chat-0": 8080}


def test_ports_end():
    assert ports(service(port=65535)) == {"chat-0": 65535}
    assert refused(topology(), service(port=65535, instances=2)) == "chat-1: port is 65536; ports end at 65535."
    assert "port is 65536" in refused(topology(), service(instances=2), first_port=65535)


# nginx


def test_nginx_works_on_the_housekeeping_cores():
    nginx = make_plan(topology(cores=16, threads=2), [service("a", instances=2, parallel=4), service("b")])["nginx"]
    assert (nginx["listen_port"], nginx["workers"], nginx["cpus"]) == (8080, 2, [0, 1, 16, 17])
    assert nginx["upstreams"] == [
        {"service": "a", "servers": [{"address": "127.0.0.1", "port": 18080, "max_conns": 4},
                                     {"address": "127.0.0.1", "port": 18081, "max_conns": 4}]},
        {"service": "b", "servers": [{"address": "127.0.0.1", "port": 18082, "max_conns": 1}]},
    ]


def test_nginx_has_one_worker_on_a_small_host():
    nginx = make_plan(topology(cores=2), [service()])["nginx"]
    assert (nginx["workers"], nginx["cpus"]) == (1, [])


def test_kernel_settings_and_services_are_carried():
    wish = service(nice=-5, io={"class": "idle"})
    plan = make_plan(topology(), [wish], {"settings": {"hugepages_count": 8}})
    assert plan["services"] == [{"name": "chat", "runtime": "llama_cpp", "nice": -5,
                                 "io": {"class": "idle", "priority": 4}}]
    assert any(setting["name"] == "vm.nr_hugepages" for setting in plan["settings"])
    assert len(plan["warnings"]) == 1
