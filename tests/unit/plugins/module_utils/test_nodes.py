"""What is free on each NUMA node, and which nodes an instance gets."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.nodes import Nodes, choose_nodes, distances, free_parts
from ansible_collections.inference.host.plugins.module_utils.placement import usable_cores
from plan_topologies import topology

TWO = topology(sockets=2, cores=8, memory_mib=1000)
FOUR = topology(sockets=4, cores=8, memory_mib=1000, node_memory={0: 4000})
NODES_WITH_GAPS = topology(sockets=2, cores=4, memory_mib=1000, node_memory={1: 0, 2: 8000})
"""Node 0 has both, node 1 CPUs only, node 2 memory only."""


def nodes_of(host, smt=False, headroom=0, reserved=None):
    return Nodes(host, usable_cores(host, smt), smt, headroom, reserved or {})


def chosen(nodes, threads, memory_mib, numa="auto"):
    policy, where, _reason, _warning = choose_nodes(nodes, numa, "chat-0", threads, memory_mib)
    return policy, where


def refused(nodes, numa, threads, memory_mib, **how):
    with pytest.raises(PlanError) as error:
        choose_nodes(nodes, numa, "chat-0", threads, memory_mib, **how)
    return str(error.value)


# What there is


def test_memory_is_what_reservations_and_headroom_leave():
    nodes = nodes_of(TWO, headroom=300, reserved={1: 400})
    assert (nodes.memory_mib, nodes.total_mib, nodes.left_mib) == ({0: 850, 1: 450}, 2000, 1300)
    assert nodes.holding_mib(450) == [0, 1]
    assert nodes.holding_mib(451) == [0]


def test_a_node_below_its_part_of_the_headroom_has_nothing_left():
    nodes = nodes_of(topology(sockets=2, memory_mib=1000, node_memory={1: 100}), headroom=300)
    assert nodes.memory_mib == {0: 850, 1: 0}


@pytest.mark.parametrize(("limit", "total"), [(None, 2000), (1500, 1500), (9000, 2000)])
def test_a_limit_of_services_counts_where_it_is_below_the_hosts_memory(limit, total):
    assert nodes_of(topology(sockets=2, memory_mib=1000, memory_limit=limit)).total_mib == total


def test_huge_pages_take_from_the_machine_and_not_from_a_limit():
    host = topology(memory_mib=10000, memory_limit=4000)
    nodes = nodes_of(host, headroom=100, reserved={0: 5000})
    assert (nodes.total_mib, nodes.left_mib) == (4000, 3900)
    assert nodes_of(host, headroom=100, reserved={0: 7000}).left_mib == 2900


def test_a_host_that_does_not_say_its_memory_has_that_of_its_nodes():
    assert nodes_of(dict(TWO, memory_mib=None)).total_mib == 2000


def test_the_only_node_has_the_memory_of_the_machine_where_its_own_is_unknown():
    host = dict(topology(cores=4, node_memory={0: None}), memory_mib=5000)
    assert nodes_of(host).memory_mib == {0: 5000}


def test_cpus_are_the_first_of_each_core_or_with_smt_all():
    host = topology(sockets=2, cores=2, threads=2)
    assert nodes_of(host).lanes == {0: [[0], [1]], 1: [[2], [3]]}
    nodes = nodes_of(host, smt=True)
    assert nodes.lanes == {0: [[0, 4], [1, 5]], 1: [[2, 6], [3, 7]]}
    assert nodes.free(0) == 4


def test_a_cpu_that_two_nodes_name_is_there_once():
    host = topology(sockets=2, cores=2)
    host["numa_nodes"][1]["cpus"] = [1, 2, 3]
    nodes = nodes_of(host)
    assert nodes.lanes == {0: [[0], [1]], 1: [[2], [3]]}
    assert nodes.take([0, 1], 4, 0) == [0, 1, 2, 3]


def test_a_cpu_of_no_node_is_the_first_nodes():
    host = topology(sockets=2, cores=2)
    host["numa_nodes"][1]["cpus"] = [3]
    assert nodes_of(host).lanes == {0: [[0], [1], [2]], 1: [[3]]}


# Taking


def test_cores_are_taken_from_the_nodes_in_turn():
    nodes = nodes_of(TWO)
    assert nodes.take([0, 1], 5, 500) == [0, 1, 2, 8, 9]
    assert (nodes.free(0), nodes.free(1)) == (5, 6)
    assert (nodes.memory_mib, nodes.left_mib) == ({0: 750, 1: 750}, 1500)
    assert nodes.take([1], 2, 50) == [10, 11]
    assert nodes.memory_mib == {0: 750, 1: 700}


def test_a_node_that_has_no_more_leaves_the_rest_to_the_others():
    nodes = nodes_of(topology(sockets=2, cores=4, memory_mib=1000, node_memory={1: 300}))
    nodes.take([1], 3, 0)
    assert nodes.take([0, 1], 4, 1000) == [0, 1, 2, 7]
    assert nodes.memory_mib == {0: 300, 1: 0}
    assert nodes.take([0, 1], 9, 5000) == [3]
    assert (nodes.memory_mib, nodes.left_mib) == ({0: 0, 1: 0}, 1300 - 6000)


def test_with_smt_whole_cores_are_taken():
    nodes = nodes_of(topology(cores=4, threads=2), smt=True)
    assert nodes.take([0], 3, 0) == [0, 1, 4]
    assert nodes.free(0) == 4
    assert nodes.take([0], 2, 0) == [2, 6]


def test_memory_comes_from_nodes_that_have_some():
    nodes = nodes_of(NODES_WITH_GAPS)
    assert nodes.take([0, 1, 2], 4, 600) == [0, 1, 4, 5]
    assert nodes.memory_mib == {0: 400, 1: 0, 2: 8000}
    assert nodes.take([1], 1, 100) == [6]
    assert nodes.memory_mib == {0: 300, 1: 0, 2: 8000}


# No choice


@pytest.mark.parametrize(("host", "numa", "reason"), [
    (topology(cores=8), "auto", "one NUMA node: nothing to bind"),
    (topology(cores=8), "interleave", "one NUMA node: nothing to bind"),
    (topology(cores=8), 0, "one NUMA node: nothing to bind"),
    (topology(cores=8), "off", "numa: off was set by the user"),
    (TWO, "off", "numa: off was set by the user"),
    (topology(sockets=2, memory_mib=0), "auto", "no NUMA node has both CPUs and memory: nothing to bind to"),
    (topology(sockets=2, memory_mib=0), "interleave", "no NUMA node has both CPUs and memory: nothing to bind to"),
])
def test_where_nothing_is_bound_the_reason_says_why(host, numa, reason):
    everywhere = [node["id"] for node in host["numa_nodes"]]
    assert choose_nodes(nodes_of(host), numa, "chat-0", 4, 0) == ("none", everywhere, reason, None)


def test_interleaving_by_wish_leaves_nodes_without_memory_or_cpus_out():
    reason = "numa: interleave was set by the user"
    assert choose_nodes(nodes_of(TWO), "interleave", "chat-0", 2, 100) == ("interleave", [0, 1], reason, None)
    nodes = nodes_of(NODES_WITH_GAPS)
    nodes.take([0], 4, 1000)
    assert chosen(nodes, 2, 100, "interleave") == ("interleave", [0])


# One node


def test_what_fits_one_node_is_bound_to_the_fullest_that_holds_it():
    nodes = nodes_of(TWO)
    assert choose_nodes(nodes, "auto", "chat-0", 5, 500) == ("bind", [0], "5 CPUs and 500 MiB fit node 0", None)
    nodes.take([1], 2, 100)
    assert chosen(nodes, 5, 500) == ("bind", [1])
    assert chosen(nodes, 6, 900) == ("bind", [1])
    assert chosen(nodes, 7, 500) == ("bind", [0])
    assert chosen(nodes, 5, 901) == ("bind", [0])


def test_a_node_without_memory_or_without_cpus_is_not_chosen():
    assert chosen(nodes_of(NODES_WITH_GAPS), 4, 1000) == ("bind", [0])
    for threads, memory in ((5, 100), (1, 1001)):
        assert refused(nodes_of(NODES_WITH_GAPS), "auto", threads, memory).startswith("chat-0 needs %d CPUs" % threads)


@pytest.mark.parametrize(("one_a_node", "reason"), [(False, "numa: 1 was set by the user"),
                                                    (True, "one instance a NUMA node: node 1")])
def test_a_node_by_wish_is_bound_to(one_a_node, reason):
    assert choose_nodes(nodes_of(TWO), 1, "chat-0", 8, 1000, one_a_node) == ("bind", [1], reason, None)


@pytest.mark.parametrize("numa", [1, 2, 3])
def test_a_node_by_wish_must_have_cpus_and_memory(numa):
    sentence = "chat-0: numa is %d; nodes with CPUs and memory are 0." % numa
    assert refused(nodes_of(NODES_WITH_GAPS), numa, 1, 10) == sentence
    if numa == 1:
        assert refused(nodes_of(topology()), numa, 1, 10) == sentence
    assert refused(nodes_of(topology(sockets=2, memory_mib=0)), numa, 1, 10).endswith("are none.")


@pytest.mark.parametrize(("one_a_node", "wish", "way_out"), [
    (False, "numa is 1, whose free part is 6 CPUs and 900 MiB", "numa: auto"),
    (True, "instances is per_numa_node, and node 1 has 6 CPUs and 900 MiB free", "a number of instances")])
@pytest.mark.parametrize(("threads", "memory"), [(7, 10), (1, 901)])
def test_a_node_by_wish_must_hold_the_instance(one_a_node, wish, way_out, threads, memory):
    nodes = nodes_of(TWO)
    nodes.take([1], 2, 100)
    assert refused(nodes, 1, threads, memory, one_a_node=one_a_node) == (
        "chat-0: %s; the instance needs %d and %d; lower threads or context, keep fewer housekeeping cores, or set %s."
        % (wish, threads, memory, way_out))


# Several nodes


@pytest.mark.parametrize(("threads", "memory"), [(9, 100), (1, 1001), (16, 2000)])
def test_what_does_not_fit_one_node_is_spread_with_a_warning(threads, memory):
    free = "(free: node 0: 8 CPUs, 1000 MiB, node 1: 8 CPUs, 1000 MiB)"
    what = "%d CPUs and %d MiB fit no single node %s" % (threads, memory, free)
    assert choose_nodes(nodes_of(TWO), "auto", "chat-0", threads, memory) == (
        "interleave", [0, 1], what + ": spread over the fewest that hold it",
        "chat-0 is interleaved over NUMA nodes 0-1: %s." % what)


@pytest.mark.parametrize(("host", "threads", "memory", "free"), [
    (TWO, 17, 100, "node 0: 8 CPUs, 1000 MiB, node 1: 8 CPUs, 1000 MiB"),
    (TWO, 1, 2001, "node 0: 8 CPUs, 1000 MiB, node 1: 8 CPUs, 1000 MiB"),
    (NODES_WITH_GAPS, 5, 1, "node 0: 4 CPUs, 1000 MiB"),
    (topology(sockets=3, cores=8, memory_mib=1000), 25, 1, "at most 8 CPUs and 1000 MiB on any of 3 nodes"),
    (FOUR, 33, 1, "at most 8 CPUs and 4000 MiB on any of 4 nodes"),
])
def test_what_fits_no_set_of_nodes_is_refused_with_its_numbers(host, threads, memory, free):
    assert refused(nodes_of(host), "auto", threads, memory) == (
        "chat-0 needs %d CPUs and %d MiB; the NUMA nodes have %s free; lower threads, context or cache_ram_mib, or set "
        "numa: off." % (threads, memory, free))


def test_nothing_free_is_said_in_words():
    assert free_parts(nodes_of(topology(sockets=2, memory_mib=0))) == "nothing"


def test_the_fewest_nodes_are_taken():
    assert chosen(nodes_of(FOUR), 4, 4500) == ("interleave", [0, 1])
    assert chosen(nodes_of(FOUR), 10, 100) == ("interleave", [0, 1])
    # The node with most memory has no free cores to speak of: it must not be one of three where two would do.
    nodes = nodes_of(FOUR)
    nodes.take([0], 7, 100)
    nodes.take([1], 7, 0)
    assert chosen(nodes, 16, 100) == ("interleave", [2, 3])


def test_a_node_without_free_cpus_or_memory_is_not_one_of_several():
    nodes = nodes_of(topology(sockets=3, cores=4, memory_mib=1000, node_memory={1: 3000}))
    nodes.take([0], 4, 0)
    assert chosen(nodes, 5, 100) == ("interleave", [1, 2])
    nodes = nodes_of(topology(sockets=3, cores=4, memory_mib=1000))
    nodes.take([0], 0, 1000)
    assert chosen(nodes, 5, 100) == ("interleave", [1, 2])


FAR = [[10, 31, 21, 31], [31, 10, 31, 21], [21, 31, 10, 31], [31, 21, 31, 10]]


def test_near_nodes_are_preferred_and_then_those_with_most_memory():
    known = dict(FOUR, distances={"nodes": [0, 1, 2, 3], "matrix": FAR})
    assert chosen(nodes_of(known), 10, 100) == ("interleave", [0, 2])
    nodes = nodes_of(known)
    nodes.take([0], 8, 0)
    assert chosen(nodes, 10, 100) == ("interleave", [1, 3])
    more = dict(topology(sockets=4, cores=8, memory_mib=1000, node_memory={3: 1500}), distances=known["distances"])
    assert chosen(nodes_of(more), 10, 100) == ("interleave", [1, 3])
    assert chosen(nodes_of(dict(more, distances=None)), 10, 100) == ("interleave", [0, 3])


@pytest.mark.parametrize(("known", "pairs"), [
    (None, {}),
    ({}, {}),
    ({"nodes": [0, 2], "matrix": [[10, 21], [22, 10]]}, {(0, 0): 10, (0, 2): 21, (2, 0): 22, (2, 2): 10}),
    ({"nodes": [0], "matrix": [[10, 21], [21, 10]]}, {(0, 0): 10}),
    ({"nodes": [0, 1], "matrix": [[10]]}, {(0, 0): 10}),
])
def test_distances_are_known_as_far_as_the_kernel_says(known, pairs):
    assert distances({"distances": known}) == pairs


def test_many_equal_nodes_are_chosen_at_once():
    many = topology(sockets=32, cores=2, memory_mib=100, node_memory={31: 200, 30: 0})
    assert chosen(nodes_of(many), 34, 100) == ("interleave", [*range(16), 31])
    assert chosen(nodes_of(many), 62, 100) == ("interleave", [*range(30), 31])
    assert chosen(nodes_of(many), 3, 250) == ("interleave", [0, 31])
    assert refused(nodes_of(many), "auto", 63, 100).startswith("chat-0 needs 63 CPUs and 100 MiB; the NUMA nodes have")
