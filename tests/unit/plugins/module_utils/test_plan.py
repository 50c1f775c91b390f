"""The plan as a whole: from host and wishes to who gets what, in which order, with which warnings."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.plan import freedom, make_plan
from ansible_collections.inference.host.plugins.module_utils.services import check_services
from plan_topologies import cores_of, gpu, model, service, topology


def instances(host, *services, **policy):
    """The plan's instances by name."""
    return {instance["name"]: instance for instance in make_plan(host, list(services), policy)["instances"]}


def refused(host, *services, **policy):
    """The sentence with which the plan refuses."""
    with pytest.raises(PlanError) as error:
        make_plan(host, list(services), policy)
    return str(error.value)


def places(found):
    return {name: (instance["cpu_range"], instance["numa_policy"], instance["numa_range"])
            for name, instance in found.items()}


# What others rely on


def test_a_plan_has_everything_that_others_rely_on():
    assert set(make_plan(topology(), [])) == {
        "services", "instances", "device_groups", "housekeeping_cpus", "irq_cpus", "hugepages", "nginx", "settings",
        "warnings"}


def test_an_instance_has_everything_that_others_rely_on():
    instance = instances(topology(cores=4, threads=2), service(threads=3, arguments=["--seed", "1"]))["chat-0"]
    reasons = instance.pop("reasons")
    assert instance == {
        "name": "chat-0", "service": "chat", "index": 0, "unit": "inference-chat@0.service", "runtime": "llama_cpp",
        "model": "m", "model_file": "m/000000000000/m.gguf",
        "cpus": [1, 2, 3], "cpu_range": "1-3", "cpu_mask": "e", "threads": 3, "threads_batch": 3,
        "numa_policy": "none", "numa_nodes": [0], "numa_range": "0", "gpus": [], "gpu_layers": None, "port": 18080,
        "memory_mib": {"weights": 0, "kv_cache": 0, "compute": 512, "prompt_cache": 1024}, "host_memory_mib": 1536,
        "gpu_memory_mib": 0, "hugepages_mib": 0, "environment": {}, "arguments": ["--seed", "1"],
        "context": 4096, "parallel": 1, "batch": 2048, "ubatch": 512, "cache_type": "f16", "cache_ram_mib": 1024,
        "environment_file": "/etc/inference.host/environment/chat-0.env", "config": None, "config_file": None,
        "command": [], "image": None, "container_port": None, "health": "/health", "prefix": "none", "load_mode": None,
        "warm_up": False, "allocator": None, "memory_lock": None, "open_files": None, "tasks": None, "gpu_indexes": [],
        "gpu_share": None, "p2p": False, "p2p_verdict": None, "tensor_parallel": None,
    }
    assert set(reasons) == {"threads", "cpus", "numa", "port", "memory"}
    assert all(reasons.values())


def test_what_applies_has_its_reason_too():
    host = topology(gpus=[gpu(0)])
    wish = service(gpus=1, profile="speed", model=model(layers=2, weights_mib=9))
    reasons = instances(host, wish)["chat-0"]["reasons"]
    assert set(reasons) == {"threads", "cpus", "numa", "port", "memory", "gpus", "gpu_layers", "gpu_memory",
                            "profile"}
    assert reasons["profile"] == "profile: speed was set by the user; what the service sets itself wins"


@pytest.mark.parametrize("missing", ["source", "sha256"])
def test_a_model_that_is_not_to_be_deployed_has_no_file(missing):
    assert instances(topology(), service(model=model(**{missing: None})))["chat-0"]["model_file"] is None


def test_no_services_are_a_plan_too():
    plan = make_plan(topology(), [])
    assert plan["instances"] == plan["services"] == plan["nginx"]["upstreams"] == plan["warnings"] == []


# What is refused


@pytest.mark.parametrize(("host", "wish", "policy", "sentence"), [
    ({}, service(), {}, "The topology has no cpus;"),
    (topology(), "chat", {}, "inference_services[0] is 'chat';"),
    (topology(), service(), {"smt": "yes"}, "topology_smt is 'yes';"),
    (topology(), service(), {"settings": {"cpu_governor": "fast"}}, "cpu_governor is 'fast';"),
    (topology(), service(instances="per_gpu"), {}, "chat: instances is per_gpu with gpus 1; the host has 0 usable"),
    (topology(gpus=[gpu(0)]), service(gpus=1, instances=2), {}, "inference_services want chat 2 = 2 GPUs, host"),
    (topology(cores=8), service(), {"housekeeping_cores": 8}, "topology_housekeeping_cores is 8; the host"),
    (topology(cores=4, allowed=[9]), service(), {}, "The host has no CPU that system services may use"),
    (topology(cores=4, allowed=[9]), service(), {"smt": True}, "The host has no CPU that system services may use"),
    (topology(), service(hugepages_mib=4), {"settings": {"hugepages_count": 1}}, "hugepages_count is 1; services"),
    (topology(cores=3, threads=2), service(threads=4), {}, "inference_services want chat 4 = 4 threads, host has 3"),
    (topology(cores=2), service(instances=3), {}, "inference_services want chat 3 (3 x 1) = 3 threads, host"),
    (topology(cores=16, quota=3.5), service(threads=4), {},
     "inference_services want chat 4 = 4 threads, host has 3 physical cores within its CPU quota of 3.5; lower"),
])
def test_what_is_wrong_is_refused_in_one_sentence(host, wish, policy, sentence):
    found = refused(host, wish, **policy)
    assert found.startswith(sentence) and found.endswith(".") and "\n" not in found


# CPUs that services may have


def test_a_quota_caps_the_threads():
    assert instances(topology(cores=16, quota=3.5), service())["chat-0"]["threads"] == 3


def test_a_cpuset_restricts_the_cpus():
    assert instances(topology(cores=16, allowed=[5, 9]), service())["chat-0"]["cpus"] == [5, 9]


def test_a_host_with_one_cpu_serves():
    plan = make_plan(topology(cores=1), [service()])
    assert (plan["instances"][0]["cpus"], plan["housekeeping_cpus"]) == ([0], [])


@pytest.mark.parametrize(("policy", "kept"), [
    ({}, 1), ({"housekeeping_cores": None}, 1), ({"housekeeping_cores": 0}, 0), ({"housekeeping_cores": 7}, 7)])
def test_housekeeping_is_kept_by_default_or_as_set(policy, kept):
    plan = make_plan(topology(cores=8), [service()], policy)
    assert plan["housekeeping_cpus"] == plan["irq_cpus"] == list(range(kept))
    assert plan["instances"][0]["cpus"] == list(range(kept, 8))


def test_housekeeping_has_whole_cores_of_each_node():
    plan = make_plan(topology(sockets=2, cores=8, threads=2), [service()])
    assert plan["housekeeping_cpus"] == [0, 8, 16, 24]


def test_housekeeping_has_efficiency_cores_and_services_have_the_others():
    plan = make_plan(topology(cores=6, kinds=[[2, 3, 4, 5], [0, 1]]), [service(threads=4)])
    assert (plan["housekeeping_cpus"], plan["instances"][0]["cpus"]) == ([0], [2, 3, 4, 5])


def test_housekeeping_gives_way_to_threads_with_a_warning():
    plan = make_plan(topology(cores=8), [service(runtime="command", threads=8)])
    assert (plan["housekeeping_cpus"], len(plan["instances"][0]["cpus"])) == ([], 8)
    assert plan["warnings"] == ["0 core(s) instead of 1 are kept for the OS, nginx and interrupts, since the services "
                                "want 8 of the 8 physical cores."]


@pytest.mark.parametrize(("wishes", "kept", "cpus"), [
    ([{"cpu_share": 1, "numa": 0}], [8, 9], "0-7"), ([{"threads": 7, "numa": 0}], [0, 8], "1-7"),
    ([{"cpu_share": 1, "numa": 1}], [0, 1], "8-15"),
    ([{"cpu_share": 1, "numa": 1}, {"threads": 7, "numa": 0}], [0], "8-15"),
])
def test_housekeeping_goes_where_the_services_that_name_a_node_leave_room(wishes, kept, cpus):
    services = [service("s%d" % number, **wish) for number, wish in enumerate(wishes)]
    plan = make_plan(topology(sockets=2, cores=8), services)
    assert (plan["housekeeping_cpus"], plan["instances"][0]["cpu_range"]) == (kept, cpus)


def test_the_users_housekeeping_stays_where_it_is():
    assert "numa is 0, whose free part is 7 CPUs" in refused(
        topology(sockets=2, cores=8), service(cpu_share=1, numa=0), housekeeping_cores=2)


def test_with_smt_a_core_for_each_instance_is_found_where_there_is_one():
    plan = make_plan(topology(cores=4, threads=2), [service(instances=4)], {"smt": True})
    assert [instance["cpus"] for instance in plan["instances"]] == [[0, 4], [1, 5], [2, 6], [3, 7]]


# Who comes first


def test_both_services_of_a_large_speech_and_chat_host_fit_the_first_socket():
    host = topology(sockets=2, cores=44, threads=2, memory_mib=262144)
    found = instances(host, service("whisper", threads=32, numa=0, priority=1), service("llm", threads=10, numa=0))
    assert places(found) == {"whisper-0": ("1-32", "bind", "0"), "llm-0": ("33-42", "bind", "0")}


def test_the_same_on_two_nodes_in_one_socket_is_refused():
    host = topology(nodes=2, cores=22, threads=2, memory_mib=262144)
    assert refused(host, service("whisper", threads=32, numa=0)).startswith(
        "whisper-0: numa is 0, whose free part is 22 CPUs and 261632 MiB; the instance needs 32 and 1536;")


def test_the_plan_lists_the_highest_priority_first_and_among_equals_as_given():
    services = [service("a"), service("b", priority=2), service("c", priority=-1),
                service("d", priority=2, instances=2)]
    plan = make_plan(topology(cores=32), services)
    assert [wish["name"] for wish in plan["services"]] == ["b", "d", "a", "c"]
    assert [instance["name"] for instance in plan["instances"]] == ["b-0", "d-0", "d-1", "a-0", "c-0"]
    assert [upstream["service"] for upstream in plan["nginx"]["upstreams"]] == ["b", "d", "a", "c"]
    assert [instance["port"] for instance in plan["instances"]] == [18080, 18081, 18082, 18083, 18084]


def test_priority_chooses_first():
    host = topology(sockets=2, cores=4)
    wishes = [service("late", threads=2), service("first", threads=4, priority=5)]
    assert places(instances(host, *wishes, housekeeping_cores=0)) == {
        "first-0": ("0-3", "bind", "0"), "late-0": ("4-5", "bind", "1")}


@pytest.mark.parametrize(("wish", "rank"), [
    ({"numa": 0}, 0), ({"numa": 0, "gpus": 1}, 0), ({"instances": "per_numa_node"}, 0), ({"gpus": 1}, 1),
    ({"gpus": 1, "numa": "off"}, 1), ({}, 2), ({"numa": "interleave"}, 3), ({"numa": "off"}, 3)])
def test_who_is_less_free_to_go_elsewhere_is_placed_first(wish, rank):
    assert freedom(check_services([service(**wish)])[0]) == rank


def test_who_names_a_node_finds_it_free_even_with_low_priority():
    host = topology(sockets=2, cores=4)
    wishes = [service("any", threads=4, priority=9), service("all", threads=1, numa="off", priority=8),
              service("here", threads=3, numa=0)]
    assert places(instances(host, *wishes, housekeeping_cores=0)) == {
        "any-0": ("4-7", "bind", "1"), "all-0": ("3", "none", "0-1"), "here-0": ("0-2", "bind", "0")}


def test_an_instance_is_bound_to_the_node_that_its_cpus_are_of():
    host = topology(sockets=2, cores=8, threads=2)
    assert places(instances(host, service("a", threads=7), service("b", threads=7), housekeeping_cores=2)) == {
        "a-0": ("1-7", "bind", "0"), "b-0": ("9-15", "bind", "1")}


def test_memory_that_a_spread_instance_took_is_not_given_to_another():
    # What is spread over nodes 0 and 1 fills node 1 and leaves 600 MiB on node 0.
    host = topology(sockets=3, cores=8, memory_mib=1000, node_memory={0: 3000})
    spread = service("spread", threads=2, cache_ram_mib=0, model=model(weights_mib=3400 - 512))
    other = service("other", threads=2, cache_ram_mib=0, model=model("n", weights_mib=900 - 512))
    assert places(instances(host, spread, other, memory_headroom_mib=0, housekeeping_cores=0)) == {
        "spread-0": ("0,8", "interleave", "0-1"), "other-0": ("16-17", "bind", "2")}


# Huge pages


def test_pages_lie_where_the_instances_are():
    host = topology(sockets=2, cores=4)
    vllm = dict(runtime="vllm", threads=2, cache_ram_mib=0)
    wishes = [service("a", numa=1, hugepages_mib=101, **vllm), service("b", numa=0, hugepages_mib=4, **vllm)]
    plan = make_plan(host, wishes)
    assert plan["hugepages"] == {"0": {"2048": 2}, "1": {"2048": 51}}
    rows = {setting["name"]: setting["value"] for setting in plan["settings"] if "hugepages-" in setting["name"]}
    assert rows == {"hugepages-2048kB node0": "2", "hugepages-2048kB node1": "51"}
    assert plan["instances"][0]["host_memory_mib"] == 4096 + 512 + 101


def test_the_users_pages_are_spread_and_warned_of():
    plan = make_plan(topology(sockets=2, cores=4), [], {"settings": {"hugepages_count": 9}})
    assert plan["hugepages"] == {"0": {"2048": 5}, "1": {"2048": 4}}
    assert [warning[:20] for warning in plan["warnings"]] == ["hugepages_count is 9"]


def test_without_a_wish_nothing_is_reserved():
    plan = make_plan(topology(), [service()])
    assert plan["hugepages"] == {}
    assert [setting["name"] for setting in plan["settings"] if "hugepages-" in setting["name"]] == []


def test_pages_of_both_sizes_take_memory_and_what_a_node_cannot_spare_is_refused():
    host = topology(sockets=2, cores=4, memory_mib=4096)
    plan = make_plan(host, [], {"settings": {"hugepages_count": 9, "hugepages_gigantic_count": 6}})
    assert plan["hugepages"] == {"0": {"2048": 5, "1048576": 3}, "1": {"2048": 4, "1048576": 3}}
    for settings, sum_mib in (({"hugepages_gigantic_count": 7}, 4096),
                              ({"hugepages_gigantic_count": 6, "hugepages_count": 600}, 3072 + 600)):
        with pytest.raises(PlanError) as error:
            make_plan(host, [], {"settings": settings})
        assert " = %d MiB, and it has 4096 MiB, of which 512 stay free" % sum_mib in str(error.value)


def test_interrupts_have_the_housekeeping_cpus():
    plan = make_plan(topology(cores=40, threads=2), [service()])
    masks = [setting["value"] for setting in plan["settings"] if setting["name"] == "default_smp_affinity"]
    assert (plan["irq_cpus"], masks) == ([0, 1, 40, 41], ["00000300,00000003"])


def test_pages_count_where_threads_are_kept_within_a_node():
    host = topology(sockets=2, cores=8, memory_mib=2000)
    for mib, threads in ((1, 7), (1600, 14)):
        assert instances(host, service(cache_ram_mib=0, hugepages_mib=mib))["chat-0"]["threads"] == threads


def test_pages_take_memory_before_any_instance_is_placed():
    host = topology(sockets=2, cores=4, memory_mib=4096)
    wish = service(cache_ram_mib=0, threads=2, model=model(weights_mib=3000))
    assert instances(host, wish)["chat-0"]["numa_policy"] == "bind"
    assert instances(host, wish, settings={"hugepages_count": 1000})["chat-0"]["numa_policy"] == "interleave"


# nginx


def test_nginx_works_on_the_housekeeping_cores():
    nginx = make_plan(topology(cores=16, threads=2), [service("a", instances=2, parallel=4), service("b")])["nginx"]
    assert (nginx["listen_port"], nginx["workers"], nginx["cpus"]) == (8080, 2, [0, 1, 16, 17])
    assert [(upstream["service"], [(server["port"], server["max_conns"]) for server in upstream["servers"]])
            for upstream in nginx["upstreams"]] == [("a", [(18080, 4), (18081, 4)]), ("b", [(18082, 1)])]


@pytest.mark.parametrize(("cores", "policy", "workers", "port"), [
    (2, {}, 1, 8080), (16, {}, 2, 8080), (16, {"workers": 1, "listen_port": 80}, 1, 80), (2, {"workers": 3}, 3, 8080)])
def test_nginx_has_a_worker_a_core_at_least_one_or_as_many_as_wished(cores, policy, workers, port):
    nginx = make_plan(topology(cores=cores), [service()], policy)["nginx"]
    assert (nginx["workers"], nginx["listen_port"]) == (workers, port)


# Warnings


def test_warnings_go_from_the_host_over_the_instances_to_the_policy():
    host = topology(sockets=2, cores=4)
    plan = make_plan(host, [service(threads=8, runtime="whisper", model=model(weights_mib=1))],
                     {"settings": {"memory_overcommit": 1}})
    assert [warning.split(" ")[0] for warning in plan["warnings"]] == ["0", "chat-0", "chat:", "memory_overcommit"]


@pytest.mark.parametrize("numbering", ["split", "adjacent"])
def test_a_plan_that_turns_smt_off_stays_the_same_after_it_has_done_so(numbering):
    host = topology(sockets=2, cores=4, threads=2, numbering=numbering, driver="acpi-cpufreq")
    siblings = [cpu for core in cores_of(8, 2, numbering) for cpu in core[1:]]
    after = topology(sockets=2, cores=4, threads=2, numbering=numbering, driver="acpi-cpufreq", offline=siblings)
    policy = {"settings": {"cpu_smt": False}}
    first, second = (make_plan(read, [service()], policy) for read in (host, after))
    assert first == second
    assert not set(siblings) & set(first["irq_cpus"])


@pytest.mark.parametrize(("wish", "with_it", "sentence"), [
    ({"memory_swap_file": "/swap"}, {"memory_swap_file_mib": 64},
     "memory_swap_file is set, and memory_swap_file_mib is not: no swap file is made."),
    ({"hugepages_at_boot": True}, {"hugepages_count": 8}, "hugepages_at_boot is set, and no huge pages are wanted."),
])
def test_a_wish_that_changes_nothing_is_said(wish, with_it, sentence):
    alone, together = (make_plan(topology(), [service()], {"settings": wishes})["warnings"]
                       for wishes in (wish, {**wish, **with_it}))
    assert sentence in alone and sentence not in together


def test_interrupts_without_housekeeping_cpus_are_said():
    wishes = {"settings": {"cpu_irq_affinity": True}}
    sentence = "cpu_irq_affinity is set, and no CPUs are kept for interrupts (topology_housekeeping_cores)."
    assert sentence in make_plan(topology(cores=2), [service()], wishes)["warnings"]
    assert sentence not in make_plan(topology(cores=8), [service()], wishes)["warnings"]
