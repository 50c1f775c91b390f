"""Cores, threads and NUMA nodes: who gets what, and what does not fit."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.placement import (
    Nodes,
    check_sum,
    choose_nodes,
    default_housekeeping,
    split_housekeeping,
    threads_wanted,
    usable_cores,
)
from ansible_collections.inference.host.plugins.module_utils.services import check_services
from hypothesis import given
from hypothesis import strategies as st
from plan_topologies import service, topologies, topology


def wanted(*services, cores, free=None):
    """Threads of each instance by service name."""
    answer = threads_wanted(check_services(list(services)), cores, cores if free is None else free)
    return {name: threads for name, (threads, _reason) in answer.items()}


# Usable cores


def test_siblings_are_taken_from_the_kernel_whatever_their_numbers():
    assert usable_cores(topology(cores=2, threads=2, numbering="split")) == [[0, 2], [1, 3]]
    assert usable_cores(topology(cores=2, threads=2, numbering="adjacent")) == [[0, 1], [2, 3]]
    assert usable_cores(topology(cores=2, threads=4, numbering="split")) == [[0, 2, 4, 6], [1, 3, 5, 7]]


def test_a_cpuset_leaves_only_its_own_cpus():
    assert usable_cores(topology(cores=4, threads=2, allowed=[1, 2, 6])) == [[1], [2, 6]]


def test_offline_cpus_are_not_used_even_when_they_are_allowed():
    host = topology(cores=2, threads=2, offline=[0], allowed=[0, 1, 2])
    assert usable_cores(host) == [[1], [2]]


def test_services_limits_count_before_those_of_the_reading_process():
    host = dict(topology(cores=4, allowed=[1, 2, 3]), allowed_cpus=[0, 1], quota_cpus=1.0)
    assert usable_cores(host) == [[1], [2], [3]]
    assert usable_cores(dict(host, services=None)) == [[0]]


@pytest.mark.parametrize(("quota", "count"), [(None, 8), (8.0, 8), (2.9, 2), (1.0, 1), (0.3, 1), (64.0, 8)])
def test_a_quota_caps_the_number_of_cores_but_leaves_one(quota, count):
    assert len(usable_cores(topology(cores=8, quota=quota))) == count


def test_performance_cores_come_first_on_a_hybrid_host():
    host = topology(cores=6, kinds=[[3, 4, 5], [0, 1, 2]])
    assert usable_cores(host) == [[3], [4], [5], [0], [1], [2]]
    assert usable_cores(topology(cores=6, kinds=host["core_kinds"], quota=3.0)) == [[3], [4], [5]]


def test_a_topology_without_cores_takes_each_cpu_as_one():
    assert usable_cores(dict(topology(cores=3), cores=[])) == [[0], [1], [2]]


@given(topologies())
def test_cores_are_disjoint_online_and_allowed(host):
    cpus = [cpu for core in usable_cores(host) for cpu in core]
    assert len(cpus) == len(set(cpus)) > 0
    assert set(cpus) <= set(host["cpus"]["online"]) & set(host["services"]["allowed_cpus"])


# Housekeeping


@pytest.mark.parametrize(("cores", "kept"), [(1, 0), (2, 0), (3, 0), (4, 1), (15, 1), (16, 2), (88, 2)])
def test_housekeeping_grows_with_the_host(cores, kept):
    assert default_housekeeping(cores) == kept


def test_housekeeping_takes_the_cores_with_the_lowest_cpus():
    cores = [[4, 5], [6, 7], [0, 1], [2, 3]]
    assert split_housekeeping(cores, 2) == ([[0, 1], [2, 3]], [[4, 5], [6, 7]])
    assert split_housekeeping(cores, 0) == ([], cores)


@pytest.mark.parametrize("count", [4, 5])
def test_housekeeping_that_leaves_nothing_is_refused(count):
    with pytest.raises(PlanError, match=r"topology_housekeeping_cores is %d; the host has 4 usable" % count):
        split_housekeeping([[0], [1], [2], [3]], count)


# Threads


def test_threads_set_by_the_user_win_over_a_share():
    assert wanted(service("a", threads=5, cpu_share=0.1), cores=8) == {"a": 5}


@pytest.mark.parametrize(
    ("share", "cores", "threads"),
    # 0.29 x 100, 0.57 x 100 and 0.58 x 50 are a hair below the whole number in binary.
    [(0.73, 44, 32), (0.8, 8, 6), (1, 8, 8), (1.0, 8, 8), (0.01, 8, 1), (0.999, 8, 7), (0.29, 100, 29), (0.57, 100, 57),
     (0.58, 50, 29), (1e-9, 4, 1)],
)
def test_a_share_is_rounded_down_and_at_least_one(share, cores, threads):
    assert wanted(service("a", cpu_share=share), cores=cores) == {"a": threads}


@given(st.integers(1, 100), st.integers(1, 512))
def test_a_share_in_percent_is_what_whole_numbers_say(percent, cores):
    assert wanted(service("a", cpu_share=percent / 100), cores=cores) == {"a": max(1, percent * cores // 100)}


def test_a_share_is_of_the_host_and_not_of_what_is_free():
    assert wanted(service("a", cpu_share=0.5), cores=16, free=14) == {"a": 8}


def test_a_share_is_split_over_the_instances():
    assert wanted(service("a", cpu_share=0.5, instances=3), cores=16) == {"a": 2}
    assert wanted(service("a", cpu_share=0.1, instances=3), cores=16) == {"a": 1}


def test_services_that_say_nothing_share_equally_what_is_left():
    assert wanted(service("a", threads=3), service("b"), service("c"), cores=16, free=14) == {"a": 3, "b": 5, "c": 5}
    assert wanted(service("a", instances=2), service("b"), cores=9) == {"a": 2, "b": 4}


def test_services_get_one_thread_where_nothing_is_left():
    assert wanted(service("a", threads=8), service("b"), cores=8) == {"a": 8, "b": 1}


def test_each_way_to_the_threads_has_its_reason():
    services = [service("a", threads=3), service("b", cpu_share=0.25, instances=2), service("c")]
    reasons = {name: reason for name, (_threads, reason) in threads_wanted(check_services(services), 16, 14).items()}
    assert reasons["a"] == "threads: 3 was set by the user"
    assert reasons["b"] == "cpu_share 0.25 of 16 physical cores, over 2 instance(s)"
    assert reasons["c"] == "one thread a physical core: an equal part of the 7 that are free"


def test_the_sum_is_shown_when_it_does_not_fit():
    services = check_services([service("whisper", cpu_share=0.73), service("llm", threads=10)])
    with pytest.raises(PlanError) as error:
        check_sum(services, threads_wanted(services, 44, 40), 4, 44)
    assert "whisper 32 + llm 10 + housekeeping 4 = 46 threads, host has 44 physical cores" in str(error.value)
    check_sum(services, threads_wanted(services, 44, 42), 2, 44)


def test_the_sum_shows_instances_and_leaves_housekeeping_of_nothing_out():
    services = check_services([service("chat", threads=4, instances=3)])
    with pytest.raises(PlanError, match=r"want chat 12 \(3 x 4\) = 12 threads, host has 8 physical cores; lower"):
        check_sum(services, threads_wanted(services, 8, 8), 0, 8)


# NUMA nodes


def nodes_of(host, limit=None, headroom=0):
    return Nodes(host, usable_cores(host), limit, headroom)


def chosen(nodes, threads, memory_mib, numa="auto"):
    policy, where, _reason = choose_nodes(nodes, {"numa": numa}, "chat-0", threads, memory_mib)
    return policy, where


TWO = topology(sockets=2, cores=8, memory_mib=1000)


def test_one_node_needs_no_policy():
    one = nodes_of(topology(cores=8))
    for numa in ("auto", "interleave", 0):
        assert choose_nodes(one, {"numa": numa}, "chat-0", 4, 100, )[::2] == ("none", "one NUMA node: nothing to bind")
    assert choose_nodes(one, {"numa": "off"}, "chat-0", 4, 100)[2] == "numa: off was set by the user"


def test_what_fits_one_node_is_bound_to_the_fullest_that_holds_it():
    nodes = nodes_of(TWO)
    assert chosen(nodes, 5, 500) == ("bind", [0])
    nodes.take([1], 2, 100)
    assert chosen(nodes, 5, 500) == ("bind", [1])
    assert chosen(nodes, 7, 500) == ("bind", [0])
    assert chosen(nodes, 5, 901) == ("bind", [0])


@pytest.mark.parametrize(("threads", "memory"), [(9, 100), (1, 1001), (16, 2000)])
def test_what_does_not_fit_one_node_is_spread(threads, memory):
    assert chosen(nodes_of(TWO), threads, memory) == ("interleave", [0, 1])


@pytest.mark.parametrize(("threads", "memory"), [(17, 100), (1, 2001)])
def test_what_fits_no_set_of_nodes_is_refused_with_its_numbers(threads, memory):
    with pytest.raises(PlanError, match=r"chat-0 needs %d cores and %d MiB; no set of NUMA nodes" % (threads, memory)):
        chosen(nodes_of(TWO), threads, memory)


def test_the_fewest_nodes_are_taken():
    four = topology(sockets=4, cores=8, memory_mib=1000, node_memory={0: 4000})
    assert chosen(nodes_of(four), 4, 4500) == ("interleave", [0, 1])
    assert chosen(nodes_of(four), 10, 100) == ("interleave", [0, 1])
    # The node with most memory has no free cores to speak of: it must not be one of three where two would do.
    nodes = nodes_of(four)
    nodes.take([0], 7, 100)
    nodes.take([1], 7, 0)
    assert chosen(nodes, 16, 100) == ("interleave", [2, 3])


def test_many_equal_nodes_are_chosen_at_once():
    many = nodes_of(topology(sockets=32, cores=2, memory_mib=100))
    assert chosen(many, 34, 100) == ("interleave", list(range(17)))


NODES_WITH_GAPS = topology(sockets=2, cores=4, memory_mib=1000, node_memory={1: 0, 2: 8000})
"""Node 0 has both, node 1 CPUs only, node 2 memory only."""


def test_a_node_without_memory_or_without_cpus_is_not_chosen():
    assert chosen(nodes_of(NODES_WITH_GAPS), 4, 1000) == ("bind", [0])
    for threads, memory in ((5, 100), (1, 1001)):
        with pytest.raises(PlanError, match="no set of NUMA nodes"):
            chosen(nodes_of(NODES_WITH_GAPS), threads, memory)


def test_interleaving_by_wish_leaves_nodes_without_memory_or_cpus_out():
    assert chosen(nodes_of(TWO), 2, 100, "interleave") == ("interleave", [0, 1])
    nodes = nodes_of(NODES_WITH_GAPS)
    assert chosen(nodes, 2, 100, "interleave") == ("interleave", [0])
    nodes.take([0], 4, 1000)
    assert chosen(nodes, 2, 100, "interleave") == ("interleave", [0])


@pytest.mark.parametrize("numa", [1, 2, 3])
def test_a_node_by_wish_must_have_cpus_and_memory(numa):
    nodes = nodes_of(NODES_WITH_GAPS)
    nodes.take([0, 1, 2], 1, 300)
    with pytest.raises(PlanError, match=r"chat-0: numa is %d; nodes with CPUs and memory are 0\." % numa):
        chosen(nodes, 1, 10, numa)


def test_a_node_by_wish_must_hold_the_instance():
    assert chosen(nodes_of(TWO), 8, 1000, 1) == ("bind", [1])
    for threads, memory in ((9, 10), (1, 1001)):
        message = "numa is 1, whose free part is 8 cores and 1000 MiB; the instance needs %d and %d"
        with pytest.raises(PlanError, match=message % (threads, memory)):
            chosen(nodes_of(TWO), threads, memory, 1)


def test_a_node_that_is_not_there_is_refused_on_a_host_of_one_node():
    with pytest.raises(PlanError, match=r"chat-0: numa is 1; nodes with CPUs and memory are 0\."):
        chosen(nodes_of(topology(cores=4)), 1, 10, 1)


def test_the_only_node_has_the_memory_of_the_machine_where_its_own_is_unknown():
    host = dict(topology(cores=4, node_memory={0: None}), memory_mib=5000)
    assert nodes_of(host).memory_mib == {0: 5000}
    with pytest.raises(PlanError, match=r"numa is 1; nodes with CPUs and memory are 0\."):
        chosen(nodes_of(host), 1, 10, 1)


def test_a_cpu_that_two_nodes_name_is_taken_once():
    host = topology(sockets=2, cores=2)
    host["numa_nodes"][1]["cpus"] = [1, 2, 3]
    nodes = nodes_of(host)
    assert nodes.cores == {0: [[0], [1]], 1: [[2], [3]]}
    assert nodes.take([0, 1], 4, 0) == [[0], [1], [2], [3]]


def test_what_is_taken_is_gone():
    nodes = nodes_of(TWO)
    assert nodes.take([0, 1], 10, 500) == [[cpu] for cpu in range(10)]
    assert nodes.memory_mib == {0: 750, 1: 750}
    assert nodes.left_mib == 1500
    assert nodes.free_cores([0, 1]) == [[cpu] for cpu in range(10, 16)]
