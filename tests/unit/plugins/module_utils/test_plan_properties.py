"""What holds of every plan, whatever the host and the wishes."""

import copy
import itertools
import json

from ansible_collections.inference.host.plugins.module_utils.cpulist import parse_cpu_list, parse_cpu_mask
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.p2p import TRUSTED, p2p_pairs
from ansible_collections.inference.host.plugins.module_utils.placement import usable_cores
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plan_topologies import service, topologies, wishes

POLICIES = st.fixed_dictionaries({"housekeeping_cores": st.none() | st.integers(0, 3), "smt": st.booleans()})
MANY = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])


def planned(host, services, policy):
    """The plan, or None where it refuses: in one sentence, which the property tests hold it to."""
    try:
        return make_plan(host, services, policy)
    except PlanError as error:
        assert str(error).endswith(".") and "\n" not in str(error)
        return None


def instances_of(host, services, policy):
    plan = planned(host, services, policy)
    return plan["instances"] if plan else []


def in_order(services):
    return [wish["name"] for wish in sorted(services, key=lambda wish: -wish["priority"])]


@MANY
@given(topologies(), wishes(), POLICIES)
def test_cores_are_given_once_and_only_where_allowed(host, services, policy):
    plan = planned(host, services, policy)
    if plan is None:
        return
    core_of = {cpu: core for core, cpus in enumerate(host["cores"]) for cpu in cpus}
    owner = {core_of[cpu]: "housekeeping" for cpu in plan["housekeeping_cpus"]}
    for instance in plan["instances"]:
        assert set(instance["cpus"]) <= set(host["services"]["allowed_cpus"]) & set(host["cpus"]["online"])
        assert len(instance["cpus"]) == instance["threads"] >= 1
        if not policy["smt"]:
            assert instance["threads"] == len({core_of[cpu] for cpu in instance["cpus"]})
        for cpu in instance["cpus"]:
            assert owner.setdefault(core_of[cpu], instance["name"]) == instance["name"]
    assert len(owner) <= len(usable_cores(host, policy["smt"]))
    if policy["housekeeping_cores"] is not None:
        assert list(owner.values()).count("housekeeping") == policy["housekeeping_cores"]
    found = [instance["service"] for instance in plan["instances"]]
    assert sorted(set(found), key=found.index) == [name for name in in_order(services) if name in found]
    assert [instance["index"] for instance in plan["instances"]] == [
        index for name in in_order(services) for index in range(found.count(name))]


@MANY
@given(topologies(), wishes(), POLICIES)
def test_policies_name_nodes_that_have_what_they_promise(host, services, policy):
    nodes = {node["id"]: node for node in host["numa_nodes"]}
    found = instances_of(host, services, policy)
    for instance in found:
        where = [nodes[node] for node in instance["numa_nodes"]]
        if instance["numa_policy"] != "none":
            assert all(node["cpus"] and node["memory_mib"] for node in where)
            assert set(instance["cpus"]) <= {cpu for node in where for cpu in node["cpus"]}
        if instance["numa_policy"] == "bind":
            assert len(where) == 1
    for node in nodes.values():
        bound = [instance for instance in found
                 if instance["numa_policy"] == "bind" and instance["numa_nodes"] == [node["id"]]]
        assert not bound or sum(instance["host_memory_mib"] for instance in bound) <= node["memory_mib"]


@MANY
@given(topologies(), wishes(), POLICIES)
def test_gpus_are_given_once_and_a_bound_instance_is_at_its_gpus_node(host, services, policy):
    nodes = {node["id"] for node in host["numa_nodes"]}
    # A node that the host does not have is no better than none.
    node_of = {gpu["address"]: gpu["numa_node"] if gpu["numa_node"] in nodes else None for gpu in host["gpus"]}
    found = instances_of(host, services, policy)
    given_out = [address for instance in found for address in instance["gpus"]]
    assert len(given_out) == len(set(given_out)) and set(given_out) <= set(node_of)
    for instance in found:
        if instance["gpus"] and instance["numa_policy"] == "bind":
            # A node by the user's own wish is bound to even where the GPU's is not known.
            assert {node_of[address] for address in instance["gpus"]} <= {*instance["numa_nodes"], None}
        assert bool(instance["gpus"]) == bool(instance["environment"].get("CUDA_VISIBLE_DEVICES"))


@MANY
@given(topologies(), wishes(), POLICIES)
def test_a_plan_is_the_same_every_time_and_json_can_carry_it(host, services, policy):
    before = copy.deepcopy((host, services, policy))
    plan = planned(host, services, policy)
    assert (host, services, policy) == before
    assert planned(host, services, policy) == plan
    if plan is None:
        return
    assert json.loads(json.dumps(plan)) == plan
    shuffled = dict(host, cores=host["cores"][::-1], numa_nodes=host["numa_nodes"][::-1], gpus=host["gpus"][::-1])
    shuffled["cpus"] = {key: cpus[::-1] for key, cpus in host["cpus"].items()}
    assert make_plan(shuffled, services, policy)["instances"] == plan["instances"]
    for instance in plan["instances"]:
        assert parse_cpu_list(instance["cpu_range"]) == parse_cpu_mask(instance["cpu_mask"]) == instance["cpus"]
        assert parse_cpu_list(instance["numa_range"]) == sorted(instance["numa_nodes"])
    used = [instance["port"] for instance in plan["instances"]] + [plan["nginx"]["listen_port"]]
    assert len(used) == len(set(used))


@MANY
@given(topologies(), wishes(), POLICIES, st.randoms(use_true_random=False))
def test_the_order_of_services_of_different_priority_changes_nothing(host, services, policy, random):
    services = [dict(wish, priority=number) for number, wish in enumerate(services)]
    plan = planned(host, services, policy)
    random.shuffle(services)
    assert planned(host, services, policy) == plan


@MANY
@given(topologies(), wishes(), POLICIES, st.randoms(use_true_random=False))
def test_numbering_the_nodes_anew_gives_the_same_cpus(host, services, policy, random):
    ids = sorted(node["id"] for node in host["numa_nodes"])
    renumbered = dict(zip(ids, random.sample(ids, len(ids))))
    other = copy.deepcopy(host)
    for node in other["numa_nodes"]:
        node["id"] = renumbered[node["id"]]
    for gpu in other["gpus"]:
        gpu["numa_node"] = renumbered.get(gpu["numa_node"])
    wanted = [dict(wish, numa=renumbered.get(wish.get("numa"), wish.get("numa", "auto"))) for wish in services]
    found, again = instances_of(host, services, policy), instances_of(other, wanted, policy)
    assert [instance["name"] for instance in found] == [instance["name"] for instance in again]
    for one, two in zip(found, again):
        assert (one["cpus"], one["numa_policy"], one["gpus"]) == (two["cpus"], two["numa_policy"], two["gpus"])
        assert sorted(renumbered[node] for node in one["numa_nodes"]) == two["numa_nodes"]


@MANY
@given(topologies(), wishes(), POLICIES, wishes())
def test_one_more_service_never_raises_anothers_threads(host, services, policy, others):
    extra = dict(others[0], name="more")
    plan, more = planned(host, services, policy), planned(host, [*services, extra], policy)
    if plan and more:
        threads = {instance["name"]: instance["threads"] for instance in plan["instances"]}
        assert all(instance["threads"] <= threads.get(instance["name"], instance["threads"])
                   for instance in more["instances"])


@MANY
@given(topologies(), wishes(), POLICIES)
def test_threads_never_exceed_what_the_policy_leaves(host, services, policy):
    plan = planned(host, services, policy)
    if plan is None:
        return
    cores = usable_cores(host, policy["smt"])
    kept = set(plan["housekeeping_cpus"])
    lanes = sum((len(core) if policy["smt"] else 1) for core in cores if core[0] not in kept)
    assert sum(instance["threads"] for instance in plan["instances"]) <= lanes


@MANY
@given(topologies(), wishes(), POLICIES)
def test_pages_are_all_on_nodes_with_memory(host, services, policy):
    plan = planned(host, services, policy)
    if plan is None:
        return
    memory = {str(node["id"]): node["memory_mib"] for node in host["numa_nodes"]}
    total = 0
    for node, sizes in plan["hugepages"].items():
        assert not sizes["2048"] or memory[node]
        total += sizes["2048"]
    assert total == sum(-(-instance["hugepages_mib"] // 2) for instance in plan["instances"])
    rows = [int(setting["value"]) for setting in plan["settings"] if "hugepages-2048kB" in setting["name"]]
    assert (len(rows), sum(rows)) == (len(plan["hugepages"]), total)


@MANY
@given(topologies(), POLICIES)
def test_a_lone_service_gets_a_node_to_itself(host, policy):
    (instance,) = instances_of(host, [service(cache_ram_mib=0)], policy) or [None]
    homes = [node for node in host["numa_nodes"] if node["cpus"] and node["memory_mib"]]
    if instance and len(homes) > 1:
        assert instance["numa_policy"] in ("bind", "interleave")
        if instance["numa_policy"] == "interleave":
            assert all(instance["host_memory_mib"] > node["memory_mib"] for node in homes) or instance["threads"] == 1


@MANY
@given(topologies(), wishes(), POLICIES)
def test_gpus_are_given_once_and_rely_on_each_other_only_where_all_pairs_are_trusted(host, services, policy):
    found = instances_of(host, services, policy)
    given_out = [address for instance in found for address in instance["gpus"]]
    assert len(given_out) == len(set(given_out)) and set(given_out) <= {gpu["address"] for gpu in host["gpus"]}
    trusted = {frozenset(pair["gpus"]) for pair in p2p_pairs(host) if pair["verdict"] in TRUSTED}
    for instance in found:
        pairs = list(map(frozenset, itertools.combinations(instance["gpus"], 2)))
        assert instance["p2p"] == (bool(pairs) and set(pairs) <= trusted)
        assert (instance["p2p_verdict"] is None) == (len(instance["gpus"]) < 2) == ("p2p" not in instance["reasons"])
        assert "GGML_CUDA_P2P" not in instance["environment"]
