"""The physical cores of a host: which ones services may use, and which ones are kept for everything else."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.placement import (
    check_topology,
    core_ranks,
    default_housekeeping,
    home_nodes,
    memory_nodes,
    node_of_cpus,
    node_order,
    service_limit,
    split_housekeeping,
    usable_cores,
    within_quota,
)
from hypothesis import given
from plan_topologies import topologies, topology

NODES_WITH_GAPS = topology(sockets=2, cores=4, node_memory={1: 0, 2: 8000})
"""Node 0 has both, node 1 CPUs only, node 2 memory only."""


def named_anew(host, ids):
    """The host with other ids of its nodes, listed in another order."""
    nodes = [dict(node, id=ids[node["id"]]) for node in host["numa_nodes"]]
    return dict(host, numa_nodes=nodes[::-1])


# What is no topology


@pytest.mark.parametrize(("host", "sentence"), [
    (None, "The topology is no mapping;"),
    ([], "The topology is no mapping;"),
    ({}, "The topology has no cpus;"),
    (dict(topology(), cpus=[0, 1]), "The topology has no cpus;"),
    (dict(topology(), cpus={}), "The topology has no online CPUs;"),
    (dict(topology(), cpus={"online": []}), "The topology has no online CPUs;"),
    (dict(topology(), cores=None), "The topology has no cores;"),
    (dict(topology(), allowed_cpus="0-3"), "The topology has no allowed_cpus;"),
    (dict(topology(), numa_nodes={}), "The topology has no numa_nodes;"),
    (dict(topology(), numa_nodes=[]), "The topology has no numa_nodes[0].id;"),
    (dict(topology(), numa_nodes=["0"]), "The topology has no numa_nodes[0].id;"),
    (dict(topology(), numa_nodes=[{"id": 0, "cpus": [], "memory_mib": 1}, {"id": 1, "memory_mib": 1}]),
     "The topology has no numa_nodes[1].cpus;"),
    (dict(topology(), numa_nodes=[{"id": 0, "cpus": []}]), "The topology has no numa_nodes[0].memory_mib;"),
    (dict(topology(), cpu=None), "The topology has no cpu;"),
])
def test_what_is_no_topology_is_refused_by_the_name_of_what_lacks(host, sentence):
    with pytest.raises(PlanError) as error:
        check_topology(host)
    assert str(error.value) == sentence + " give what module inference.host.topology returns."


@given(topologies())
def test_a_topology_is_taken(host):
    check_topology(host)


# Usable cores


def test_siblings_are_taken_from_the_kernel_whatever_their_numbers():
    assert usable_cores(topology(cores=2, threads=2, numbering="split")) == [[0, 2], [1, 3]]
    assert usable_cores(topology(cores=2, threads=2, numbering="adjacent")) == [[0, 1], [2, 3]]
    assert usable_cores(topology(cores=2, threads=4, numbering="split")) == [[0, 2, 4, 6], [1, 3, 5, 7]]


def test_a_cpuset_leaves_only_its_own_cpus():
    assert usable_cores(topology(cores=4, threads=2, allowed=[1, 2, 6])) == [[1], [2, 6]]
    assert usable_cores(topology(cores=4, allowed=[9])) == []


def test_offline_cpus_are_not_used_even_when_they_are_allowed():
    host = topology(cores=2, threads=2, offline=[0], allowed=[0, 1, 2])
    assert usable_cores(host) == [[1], [2]]


@pytest.mark.parametrize(("services", "cpus", "quota"), [
    ({"allowed_cpus": [1, 2, 3], "quota_cpus": None}, [1, 2, 3], None),
    ({"allowed_cpus": [1, 2, 3], "quota_cpus": 2.5}, [1, 2, 3], 2.5),
    ({"quota_cpus": None}, [0, 1], None),
    ({}, [0, 1], 1.0),
    (None, [0, 1], 1.0),
])
def test_limits_of_services_count_before_those_of_the_reading_process(services, cpus, quota):
    host = dict(topology(cores=4), services=services, allowed_cpus=[0, 1], quota_cpus=1.0)
    assert service_limit(host, "allowed_cpus") == cpus
    assert service_limit(host, "quota_cpus") == quota
    assert usable_cores(host) == [[cpu] for cpu in cpus][:int(quota) if quota else None]


@pytest.mark.parametrize(("quota", "count"), [(None, 8), (8.0, 8), (2.9, 2), (1.0, 1), (0.3, 1), (64.0, 8)])
def test_a_quota_caps_the_number_of_cores_but_leaves_one(quota, count):
    assert len(usable_cores(topology(cores=8, quota=quota))) == count


@pytest.mark.parametrize(("quota", "smt", "count"), [
    (4.0, False, 3), (4.0, True, 2), (3.9, True, 1), (5.0, True, 3), (1.0, True, 1), (0.5, True, 1), (99.0, True, 3)])
def test_with_smt_a_quota_counts_each_sibling(quota, smt, count):
    assert within_quota([[0, 3], [1, 4], [2]], quota, smt) == count


def test_without_a_word_on_smt_a_quota_counts_cores():
    host = topology(cores=4, threads=2, quota=4.0)
    assert (len(usable_cores(host)), len(usable_cores(host, smt=True))) == (4, 2)


def test_performance_cores_come_first_on_a_hybrid_host():
    host = topology(cores=6, kinds=[[3, 4, 5], [0, 1, 2]])
    assert core_ranks(host) == {3: 0, 4: 0, 5: 0, 0: 1, 1: 1, 2: 1}
    assert usable_cores(host) == [[3], [4], [5], [0], [1], [2]]
    assert usable_cores(topology(cores=6, kinds=host["core_kinds"], quota=3.0)) == [[3], [4], [5]]
    assert core_ranks(dict(host, core_kinds=None)) == core_ranks(topology()) == {}


def test_a_topology_without_cores_takes_each_cpu_as_one():
    assert usable_cores(dict(topology(cores=3), cores=[])) == [[0], [1], [2]]


@given(topologies())
def test_cores_are_disjoint_online_and_allowed(host):
    cpus = [cpu for core in usable_cores(host) for cpu in core]
    assert len(cpus) == len(set(cpus)) > 0
    assert set(cpus) <= set(host["cpus"]["online"]) & set(host["services"]["allowed_cpus"])


# NUMA nodes


def test_nodes_are_in_the_order_of_their_cpus_whatever_their_ids():
    host = named_anew(topology(sockets=3, cores=2, node_memory={3: 8000}), {0: 7, 1: 2, 2: 5, 3: 0})
    assert [node["id"] for node in node_order(host)] == [7, 2, 5, 0]


def test_homes_have_cpus_and_memory():
    assert home_nodes(NODES_WITH_GAPS) == [0]
    assert home_nodes(named_anew(topology(sockets=2), {0: 1, 1: 0})) == [1, 0]
    assert home_nodes(topology(sockets=2, node_memory={0: None, 1: 0})) == []


def test_memory_nodes_have_memory():
    assert memory_nodes(NODES_WITH_GAPS) == [0, 2]
    assert memory_nodes(topology(sockets=2, node_memory={0: None, 1: 0})) == []


@pytest.mark.parametrize("memory", [None, 0, 1000])
def test_the_only_node_is_a_home_whatever_memory_it_is_said_to_have(memory):
    host = topology(node_memory={0: memory})
    assert home_nodes(host) == memory_nodes(host) == [0]


def test_a_cpu_that_two_nodes_name_belongs_to_the_first():
    host = topology(sockets=2, cores=2)
    host["numa_nodes"][1]["cpus"] = [1, 2, 3]
    assert node_of_cpus(host) == {0: 0, 1: 0, 2: 1, 3: 1}


# Housekeeping


@pytest.mark.parametrize(("cores", "kept"), [(1, 0), (2, 0), (3, 0), (4, 1), (15, 1), (16, 2), (88, 2)])
def test_housekeeping_grows_with_the_host(cores, kept):
    assert default_housekeeping(cores) == kept


@pytest.mark.parametrize(("host", "count", "kept"), [
    (topology(cores=4, threads=2), 0, []),
    (topology(cores=4, threads=2), 2, [[0, 4], [1, 5]]),
    (topology(cores=4, allowed=[1, 2, 3]), 1, [[1]]),
    (topology(sockets=2, cores=4), 1, [[0]]),
    (topology(sockets=2, cores=4), 2, [[0], [4]]),
    (topology(sockets=2, cores=4), 3, [[0], [1], [4]]),
    (topology(sockets=2, cores=4, allowed=[0, 1, 2, 7]), 3, [[0], [1], [7]]),
    # Efficiency cores first, though they have the highest numbers.
    (topology(cores=6, kinds=[[0, 1, 2, 3], [4, 5]]), 1, [[4]]),
    (topology(cores=6, kinds=[[0, 1, 2, 3], [4, 5]]), 3, [[0], [4], [5]]),
    (topology(sockets=2, cores=3, kinds=[[0, 1, 3, 4], [2, 5]]), 2, [[2], [5]]),
])
def test_housekeeping_is_spread_over_nodes_from_the_least_capable_kind(host, count, kept):
    cores = usable_cores(host)
    assert split_housekeeping(host, cores, count) == (kept, [core for core in cores if core not in kept])


def test_the_rest_keeps_its_order():
    host = topology(cores=6, kinds=[[3, 4, 5], [0, 1, 2]])
    assert split_housekeeping(host, usable_cores(host), 1) == ([[0]], [[3], [4], [5], [1], [2]])


@pytest.mark.parametrize("count", [4, 5])
def test_housekeeping_that_leaves_nothing_is_refused(count):
    host = topology(cores=4)
    with pytest.raises(PlanError) as error:
        split_housekeeping(host, usable_cores(host), count)
    assert str(error.value) == ("topology_housekeeping_cores is %d; the host has 4 usable physical cores and services "
                                "need at least one." % count)


def test_a_host_without_a_cpu_for_services_is_refused():
    with pytest.raises(PlanError) as error:
        split_housekeeping(topology(), [], 0)
    assert str(error.value) == "The host has no CPU that system services may use (cpuset, affinity)."
