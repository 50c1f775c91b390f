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
    assert pages_beside(SERVICES, COUNTS, wished) == beside


@pytest.mark.parametrize(("wished", "beside"), [(None, None), (0, 0), (100, 100)])
def test_nothing_is_reserved_where_nobody_asks(wished, beside):
    assert pages_beside(check_services([service()]), {"chat": 1}, wished) == beside


def test_fewer_than_the_services_need_are_refused():
    with pytest.raises(PlanError) as error:
        pages_beside(SERVICES, COUNTS, 7)
    assert str(error.value) == ("hugepages_count is 7; services need 8 pages of 2 MiB (hugepages_mib); raise it, or "
                                "leave it to the plan.")


# What they take


@pytest.mark.parametrize(("beside", "reserved"), [
    # Left alone, they stay as they are.
    (None, {0: 1024 + 200, 1: 20}),
    # Set by the plan, those of its size are no longer what they are today; larger ones are not the plan's.
    (0, {0: 1024, 1: 0}),
    (101, {0: 1024 + 102, 1: 100}),
])
def test_what_is_reserved_today_counts_unless_the_plan_sets_it(beside, reserved):
    host = reserved_today(TWO, {"1048576": 1, "2048": 100}, {"2048": 10, "1048576": None})
    answer = reserved_before(host, beside)
    assert {node: answer.get(node, 0) for node in (0, 1)} == reserved


def test_a_host_without_numbers_has_none_reserved():
    for host in (TWO, reserved_today(TWO, None, {})):
        assert not any(reserved_before(host, None).values())


def test_pages_take_memory_only_where_there_is_some():
    assert {node: mib for node, mib in reserved_before(MEMORY_APART, 3).items() if mib} == {0: 4, 2: 2}


# Where they lie


def instance(nodes, mib):
    return {"numa_nodes": nodes, "hugepages_mib": mib}


@pytest.mark.parametrize(("host", "instances", "beside", "answer"), [
    (TWO, [instance([0], 100)], None, {}),
    (TWO, [instance([1], 100)], 0, {"0": {"2048": 0}, "1": {"2048": 50}}),
    (TWO, [instance([0, 1], 6), instance([1], 1)], 5, {"0": {"2048": 2 + 3}, "1": {"2048": 1 + 1 + 2}}),
    (TWO, [], 0, {"0": {"2048": 0}, "1": {"2048": 0}}),
    (MEMORY_APART, [instance([1], 8), instance([0, 1], 2)], 2, {"0": {"2048": 2 + 1 + 1}, "2": {"2048": 2 + 1}}),
    # The only node may be given no memory of its own.
    (topology(node_memory={0: None}), [instance([0], 8)], 3, {"0": {"2048": 7}}),
])
def test_pages_lie_on_the_instances_nodes_and_the_others_everywhere(host, instances, beside, answer):
    assert plan_hugepages(host, instances, beside) == answer
