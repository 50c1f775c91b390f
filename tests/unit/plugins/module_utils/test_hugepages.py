"""Reserved huge pages: how many each node gets, and what they take from its memory."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.hugepages import (
    pages,
    pages_beside,
    pages_of_services,
    plan_hugepages,
    reserved_before,
    spread,
)
from ansible_collections.inference.host.plugins.module_utils.services import check_services
from hypothesis import given
from hypothesis import strategies as st
from plan_topologies import service, topology

SERVICES = check_services([service("a", hugepages_mib=5), service("b", hugepages_mib=4), service("c")])
COUNTS = {"a": 2, "b": 1, "c": 3}
"""8 pages: twice 3, and 2."""

TWO = topology(sockets=2)
MEMORY_APART = topology(sockets=2, node_memory={1: 0, 2: 8000})
"""Node 1 has CPUs only, node 2 memory only."""


def reserved_today(host, *pages_by_size):
    """The host with {size in KiB: pages} reserved on its nodes."""
    nodes = [dict(node, hugepages=sizes) for node, sizes in zip(host["numa_nodes"], pages_by_size)]
    return dict(host, numa_nodes=nodes)


@pytest.mark.parametrize(("mib", "count"), [(0, 0), (1, 1), (2, 1), (3, 2), (1024, 512)])
def test_pages_hold_so_many_mib(mib, count):
    assert pages(mib) == count


@pytest.mark.parametrize(("count", "nodes", "answer"), [
    (5, [0], {0: 5}), (5, [4, 2], {4: 3, 2: 2}), (1, [0, 1, 2], {0: 1, 1: 0, 2: 0}), (5, [], {})])
def test_pages_are_spread_as_evenly_as_it_goes(count, nodes, answer):
    assert spread(count, nodes) == answer


@given(st.integers(0, 1000), st.integers(1, 20))
def test_no_page_gets_lost(count, nodes):
    answer = spread(count, range(nodes)).values()
    assert sum(answer) == count and max(answer) - min(answer) <= 1


# How many


def test_each_instance_has_whole_pages_of_its_own():
    assert pages_of_services(SERVICES, COUNTS) == 8


@pytest.mark.parametrize(("wished", "beside"), [(None, 0), (8, 0), (100, 92)])
def test_the_users_number_holds_the_pages_of_services_too(wished, beside):
    assert pages_beside(SERVICES, COUNTS, {"hugepages_count": wished}) == {"2048": beside}


@pytest.mark.parametrize(("wishes", "beside"), [
    ({}, {}),
    ({"hugepages_count": 0}, {"2048": 0}),
    ({"hugepages_count": 100}, {"2048": 100}),
    ({"hugepages_gigantic_count": 0}, {"1048576": 0}),
    ({"hugepages_count": 1, "hugepages_gigantic_count": 3}, {"2048": 1, "1048576": 3}),
    ({"hugepages_at_boot": True, "hugepages_group_id": 5}, {}),
])
def test_only_sizes_that_somebody_asks_for_are_reserved(wishes, beside):
    assert pages_beside(check_services([service()]), {"chat": 1}, wishes) == beside


def test_pages_of_services_are_of_2_mib_also_beside_gigantic_ones():
    assert pages_beside(SERVICES, COUNTS, {"hugepages_gigantic_count": 2}) == {"2048": 0, "1048576": 2}


def test_fewer_than_the_services_need_are_refused():
    with pytest.raises(PlanError) as error:
        pages_beside(SERVICES, COUNTS, {"hugepages_count": 7})
    assert str(error.value) == ("hugepages_count is 7; services need 8 pages of 2 MiB (hugepages_mib); raise it, or "
                                "leave it to the plan.")


# What they take


@pytest.mark.parametrize(("beside", "reserved"), [
    # Left alone, they stay as they are.
    ({}, {0: 1024 + 200, 1: 20}),
    # Of a size that the plan sets they are no longer what they are today.
    ({"2048": 0}, {0: 1024, 1: 0}),
    ({"2048": 101}, {0: 1024 + 102, 1: 100}),
    ({"1048576": 3}, {0: 2048 + 200, 1: 1024 + 20}),
    ({"2048": 0, "1048576": 1}, {0: 1024, 1: 0}),
])
def test_what_is_reserved_today_counts_unless_the_plan_sets_it(beside, reserved):
    host = reserved_today(TWO, {"1048576": 1, "2048": 100}, {"2048": 10, "1048576": None})
    assert reserved_before(host, beside, 0) == reserved


def test_a_host_without_numbers_has_none_reserved():
    for host in (TWO, reserved_today(TWO, None, {})):
        assert not any(reserved_before(host, {}, 1024).values())


def test_pages_take_memory_only_where_there_is_some():
    assert reserved_before(MEMORY_APART, {"2048": 3}, 0) == {0: 4, 1: 0, 2: 2}


# Where they lie


def instance(nodes, mib):
    return {"numa_nodes": nodes, "hugepages_mib": mib}


@pytest.mark.parametrize(("host", "instances", "beside", "answer"), [
    (TWO, [instance([0], 100)], {}, {}),
    (TWO, [instance([1], 100)], {"2048": 0}, {"0": {"2048": 0}, "1": {"2048": 50}}),
    (TWO, [instance([0, 1], 6), instance([1], 1)], {"2048": 5}, {"0": {"2048": 2 + 3}, "1": {"2048": 1 + 1 + 2}}),
    (TWO, [], {"2048": 0}, {"0": {"2048": 0}, "1": {"2048": 0}}),
    (TWO, [], {"1048576": 3}, {"0": {"1048576": 2}, "1": {"1048576": 1}}),
    (TWO, [instance([1], 4)], {"1048576": 0, "2048": 1},
     {"0": {"2048": 1, "1048576": 0}, "1": {"2048": 2, "1048576": 0}}),
    (MEMORY_APART, [instance([1], 8), instance([0, 1], 2)], {"2048": 2},
     {"0": {"2048": 2 + 1 + 1}, "2": {"2048": 2 + 1}}),
    # The only node may be given no memory of its own.
    (topology(node_memory={0: None}), [instance([0], 8)], {"2048": 3}, {"0": {"2048": 7}}),
])
def test_pages_lie_on_the_instances_nodes_and_the_others_everywhere(host, instances, beside, answer):
    assert plan_hugepages(host, instances, beside, 0) == answer


# What a node can spare

SMALL = topology(sockets=2, node_memory={0: 5000, 1: 4000})


@pytest.mark.parametrize(("beside", "headroom_mib"), [
    ({"2048": 4000}, 0), ({"2048": 3600}, 800), ({"1048576": 6}, 0), ({"2048": 400, "1048576": 6}, 100),
    # Nothing is taken, whatever the headroom.
    ({"2048": 0, "1048576": 0}, 100000)])
def test_a_node_may_be_filled_up_to_its_headroom(beside, headroom_mib):
    assert sum(reserved_before(SMALL, beside, headroom_mib).values()) == sum(
        count * int(size) // 1024 for size, count in beside.items())


@pytest.mark.parametrize(("beside", "headroom_mib", "said"), [
    ({"2048": 4002}, 0, "2001 pages of 2 MiB = 4002 MiB, and it has 4000 MiB, of which 0 stay free"),
    ({"2048": 3601}, 802, "1800 pages of 2 MiB = 3600 MiB, and it has 4000 MiB, of which 401 stay free"),
    ({"1048576": 7, "2048": 0}, 0, "3 pages of 1 GiB = 3072 MiB, and it has 3000 MiB, of which 0 stay free"),
    ({"2048": 402, "1048576": 6}, 1100,
     "201 pages of 2 MiB + 3 pages of 1 GiB = 3474 MiB, and it has 4000 MiB, of which 550 stay free"),
])
def test_what_a_node_cannot_spare_is_refused_with_the_sum(beside, headroom_mib, said):
    memory = int(said.partition("it has ")[2].partition(" ")[0])
    host = topology(sockets=2, node_memory={0: 10000, 1: memory})
    with pytest.raises(PlanError) as error:
        reserved_before(host, beside, headroom_mib)
    assert str(error.value) == (
        "node 1 cannot spare its huge pages: %s (topology_memory_headroom_mib); lower hugepages_count, "
        "hugepages_gigantic_count or hugepages_mib." % said)


def test_pages_of_a_size_that_is_left_alone_are_in_the_sum():
    host = reserved_today(SMALL, {}, {"1048576": 3, "64": 16})
    with pytest.raises(PlanError) as error:
        reserved_before(host, {"2048": 1000}, 0)
    assert "node 1 cannot spare its huge pages: 16 pages of 64 KiB + 500 pages of 2 MiB + 3 pages of 1 GiB = 4073 " in (
        str(error.value))


def test_a_spread_instances_pages_are_refused_where_one_of_its_nodes_is_too_small():
    assert plan_hugepages(SMALL, [instance([0, 1], 8000)], {"2048": 0}, 0)["1"] == {"2048": 2000}
    with pytest.raises(PlanError) as error:
        plan_hugepages(SMALL, [instance([0, 1], 8001)], {"2048": 1}, 2)
    assert str(error.value).startswith(
        "node 1 cannot spare its huge pages: 2000 pages of 2 MiB = 4000 MiB, and it has 4000 MiB, of which 1 stay free")
