"""How many instances and threads each service gets, and when they are too many."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.gpus import gpus_by_node, usable_gpus
from ansible_collections.inference.host.plugins.module_utils.placement import (
    home_nodes,
    split_housekeeping,
    usable_cores,
)
from ansible_collections.inference.host.plugins.module_utils.services import check_services
from ansible_collections.inference.host.plugins.module_utils.sizing import (
    Room,
    check_sum,
    count_instances,
    fitting_threads,
    housekeeping_count,
    threads_wanted,
    whole_cores,
)
from hypothesis import given
from hypothesis import strategies as st
from plan_topologies import gpu, service, topology

TWO = topology(sockets=2, cores=8)


def room_of(host, smt=False, keep=0):
    cores = usable_cores(host, smt)
    room = Room(host, cores, smt, gpus_by_node(usable_gpus(host)))
    room.keep(split_housekeeping(host, cores, keep)[0])
    return room


def counted(host, services):
    """Checked services, and how many instances each has."""
    services = check_services(list(services))
    homes, gpus = home_nodes(host), len(usable_gpus(host))
    return services, {wish["name"]: count_instances(wish, homes, gpus) for wish in services}


def answers(host, *services, keep=0, smt=False, holding=None):
    """(threads of each instance, reason) by service. holding: nodes with memory for one of each; by default all."""
    services, counts = counted(host, services)
    holding = home_nodes(host) if holding is None else holding
    return threads_wanted(services, counts, room_of(host, smt, keep), {name: holding for name in counts})


def wanted(host, *services, **how):
    return {name: threads for name, (threads, _reason) in answers(host, *services, **how).items()}


def checked_sum(host, *services, keep=0, smt=False):
    services, counts = counted(host, services)
    room = room_of(host, smt, keep)
    check_sum(services, counts, threads_wanted(services, counts, room, {name: [0] for name in counts}), room)


def kept(host, *services, wish=None, smt=False):
    """(cores, warning)"""
    services, counts = counted(host, services)
    count, _spare, warning = housekeeping_count(wish, services, counts, room_of(host, smt))
    return count, warning


# Instances


@pytest.mark.parametrize(("wish", "homes", "gpus", "count"), [
    ({}, [0, 1], 4, 1),
    ({"instances": 3}, [0], 0, 3),
    ({"instances": "per_numa_node"}, [0, 1], 0, 2),
    ({"instances": "per_numa_node"}, [], 0, 1),
    ({"instances": "per_gpu"}, [0, 1], 4, 4),
    ({"instances": "per_gpu"}, [0, 1], 1, 1),
    ({"instances": "per_gpu", "gpus": 2}, [0, 1], 5, 2),
])
def test_instances_are_a_number_or_one_a_node_or_one_a_gpu(wish, homes, gpus, count):
    assert count_instances(check_services([service(**wish)])[0], homes, gpus) == count


@pytest.mark.parametrize(("each", "gpus"), [(1, 0), (2, 1)])
def test_one_a_gpu_needs_gpus(each, gpus):
    wish = check_services([service(instances="per_gpu", gpus=each)])[0]
    with pytest.raises(PlanError) as error:
        count_instances(wish, [0], gpus)
    assert str(error.value) == "chat: instances is per_gpu with gpus %d; the host has %d usable GPUs." % (each, gpus)


# Room


def test_a_room_counts_cores_or_all_their_siblings_by_node():
    host = topology(sockets=2, cores=4, threads=2, allowed=[1, 2, 4, 5, 9, 10, 12])
    room = room_of(host, keep=1)
    assert (room.total, room.free, room.width, room.cores) == ({0: 2, 1: 2}, {0: 1, 1: 2}, 1, 4)
    assert (room.count(), room.free_count(), room.unit) == (4, 3, "physical core")
    room = room_of(host, smt=True, keep=1)
    assert (room.total, room.free, room.width, room.cores) == ({0: 4, 1: 3}, {0: 2, 1: 3}, 2, 4)
    assert (room.count(), room.free_count(), room.unit) == (7, 5, "hardware thread")


def test_cpus_of_no_node_count_on_the_first():
    host = topology(sockets=2, cores=2)
    host["numa_nodes"][1]["cpus"] = []
    assert room_of(host).total == {0: 4}


@pytest.mark.parametrize(("quota", "smt", "words"), [
    (None, False, ""), (2.5, False, " within its CPU quota of 2.5"), (4.0, False, " within its CPU quota of 4"),
    (5.0, False, ""), (64.0, False, ""), (4.0, True, " within its CPU quota of 4"), (64.0, True, "")])
def test_a_quota_is_named_where_it_is_what_limits_the_host(quota, smt, words):
    assert room_of(topology(cores=4, threads=2, quota=quota), smt).limit == words


# Housekeeping gives way


@pytest.mark.parametrize(("host", "services", "count"), [
    (topology(cores=3), [service()], 0),
    (topology(cores=8), [service()], 1),
    (topology(cores=8), [service(threads=7)], 1),
    (topology(cores=8), [service(cpu_share=0.9)], 1),
    (topology(cores=16), [service(threads=10), service("b", threads=4)], 2),
    (topology(cores=16), [service(instances=7, threads=2)], 2),
])
def test_the_default_is_kept_where_the_services_leave_room(host, services, count):
    assert kept(host, *services) == (count, None)


@pytest.mark.parametrize(("services", "spare"), [
    ([], {0: 8, 1: 8}), ([service(threads=9)], {0: 8, 1: 8}), ([service(threads=5, numa=1)], {0: 8, 1: 3}),
    ([service(threads=2, numa=1, instances=2), service("b", cpu_share=0.5, numa=1)], {0: 8, 1: 0}),
    ([service(threads=3, instances="per_numa_node")], {0: 5, 1: 5}), ([service(threads=20, numa=0)], {0: 0, 1: 8}),
    ([service(numa=0)], {0: 8, 1: 8}),
])
def test_of_a_node_that_services_name_is_kept_what_they_leave(services, spare):
    services, counts = counted(TWO, services)
    assert housekeeping_count(None, services, counts, room_of(TWO))[1] == spare
    assert housekeeping_count(2, services, counts, room_of(TWO))[1] is None


@pytest.mark.parametrize(("host", "services", "count", "wanted"), [
    (topology(cores=8), [service(threads=8)], 0, "0 core(s) instead of 1 {}8 of the 8"),
    (topology(cores=16), [service(threads=15)], 1, "1 core(s) instead of 2 {}15 of the 16"),
    (topology(cores=16), [service(threads=5, instances=3)], 1, "1 core(s) instead of 2 {}15 of the 16"),
    # Who says nothing needs one core.
    (topology(cores=4), [service(cpu_share=0.75), service("b")], 0, "0 core(s) instead of 1 {}4 of the 4"),
])
def test_the_default_gives_way_with_a_warning(host, services, count, wanted):
    reason = "are kept for the OS, nginx and interrupts, since the services want "
    assert kept(host, *services) == (count, wanted.format(reason) + " physical cores.")


def test_with_smt_the_default_gives_way_by_whole_cores():
    host = topology(cores=4, threads=2)
    assert kept(host, service(threads=6), smt=True) == (1, None)
    warning = ("0 core(s) instead of 1 are kept for the OS, nginx and interrupts, since the services want 8 of the 8 "
               "hardware threads.")
    assert kept(host, service(threads=7), smt=True) == (0, warning)
    assert kept(topology(cores=16, threads=2), service(threads=29), smt=True)[0] == 1
    # Each has a core to itself.
    assert kept(host, service(instances=4), smt=True) == (0, warning)


def test_with_smt_the_default_still_rests_on_cores():
    # 8 cores of two threads and 8 of one.
    host = topology(cores=16, threads=2, offline=range(24, 32), kinds=[[*range(8), *range(16, 24)], list(range(8, 16))])
    assert kept(host, service(), smt=True) == (2, None)


def test_what_does_not_fit_anyway_is_no_reason_for_a_warning():
    assert kept(topology(cores=8), service(threads=9)) == (0, None)


@pytest.mark.parametrize("wish", [0, 3, 99])
def test_the_users_number_holds(wish):
    assert kept(topology(cores=8), service(threads=8), wish=wish) == (wish, None)


# Threads that a service says


def test_threads_set_by_the_user_win_over_a_share():
    assert answers(topology(), service("a", threads=5, cpu_share=0.1)) == {"a": (5, "threads: 5 was set by the user")}


@pytest.mark.parametrize(
    ("share", "cores", "threads"),
    # 0.29 x 100, 0.57 x 100 and 0.58 x 50 are a hair below the whole number in binary.
    [(0.73, 44, 32), (0.8, 8, 6), (1, 8, 8), (1.0, 8, 8), (0.01, 8, 1), (0.999, 8, 7), (0.29, 100, 29), (0.57, 100, 57),
     (0.58, 50, 29), (1e-9, 4, 1)],
)
def test_a_share_is_rounded_down_and_at_least_one(share, cores, threads):
    assert wanted(topology(cores=cores), service("a", cpu_share=share)) == {"a": threads}


@given(st.integers(1, 100), st.integers(1, 96))
def test_a_share_in_percent_is_what_whole_numbers_say(percent, cores):
    assert wanted(topology(cores=cores), service("a", cpu_share=percent / 100)) == {"a": max(1, percent * cores // 100)}


def test_a_share_is_of_the_host_and_not_of_what_is_free():
    assert wanted(topology(cores=16), service("a", cpu_share=0.5), keep=2) == {"a": 8}


@pytest.mark.parametrize(("numa", "threads", "reason"), [
    ("auto", 6, "cpu_share 0.5 of 12 physical cores"),
    ("off", 6, "cpu_share 0.5 of 12 physical cores"),
    (0, 4, "cpu_share 0.5 of 8 physical cores of node 0"),
    (1, 2, "cpu_share 0.5 of 4 physical cores of node 1"),
    (7, 1, "cpu_share 0.5 of 0 physical cores of node 7"),
])
def test_a_share_with_a_node_is_of_that_node(numa, threads, reason):
    host = topology(sockets=2, cores=8, allowed=range(12))
    assert answers(host, service("a", cpu_share=0.5, numa=numa), keep=1) == {"a": (threads, reason)}


@pytest.mark.parametrize(("wish", "threads"), [
    ({"cpu_share": 0.5, "instances": 3}, 2), ({"cpu_share": 0.1, "instances": 3}, 1),
    ({"cpu_share": 0.75, "instances": "per_numa_node"}, 6)])
def test_a_share_is_split_over_the_instances(wish, threads):
    assert wanted(TWO, service("a", **wish)) == {"a": threads}


def test_a_share_says_over_how_many_instances():
    assert answers(TWO, service("a", cpu_share=0.25, instances=2))["a"][1] == (
        "cpu_share 0.25 of 16 physical cores, over 2 instances")


# Threads that the plan chooses


def test_services_that_say_nothing_share_equally_what_is_left():
    one = topology(cores=16)
    assert wanted(one, service("a", threads=3), service("b"), service("c"), keep=2) == {"a": 3, "b": 5, "c": 5}
    assert wanted(one, service("a", threads=3, instances=2), service("b"), keep=2) == {"a": 3, "b": 8}
    assert wanted(topology(cores=9), service("a", instances=2), service("b")) == {"a": 2, "b": 4}
    assert answers(one, service("a", threads=3), service("b"), keep=2)["b"][1] == (
        "one thread a physical core: an equal part of the 11 that are free")


def test_services_get_one_thread_where_nothing_is_left():
    found = answers(topology(cores=8), service("a", threads=9), service("b"))
    assert found["b"] == (1, "one thread a physical core: an equal part of the 0 that are free")


@pytest.mark.parametrize(("services", "holding", "threads", "why"), [
    # One alone: a node to itself, unless its memory fits none.
    ([service("a")], [0, 1], 8, ", no more than fit one NUMA node"),
    ([service("a")], [], 16, ""),
    ([service("a", numa="off")], [0, 1], 16, ""),
    ([service("a", numa="interleave")], [0, 1], 16, ""),
    ([service("a", numa=1)], [0, 1], 8, ", no more than node 1 has"),
    ([service("a", numa=1, instances=2)], [0, 1], 4, ", no more than node 1 has"),
    ([service("a", numa=1), service("b", numa=1)], [0, 1], 4, ", no more than node 1 has"),
    ([service("a", numa=1), service("b", instances="per_numa_node")], [0, 1], 4, ", no more than node 1 has"),
    ([service("a", numa=1), service("b", numa=0)], [0, 1], 8, ""),
    # Three share 16 by 5 each, and only one of 5 fits a node.
    ([service("a"), service("b"), service("c")], [0, 1], 4, ", no more than fit one NUMA node"),
    ([service("a", instances=3)], [0, 1], 4, ", no more than fit one NUMA node"),
    ([service("a", instances=3)], [1], 2, ", no more than fit one NUMA node"),
    ([service("a"), service("b", numa="off"), service("c", numa="interleave")], [0, 1], 5, ""),
    ([service("a", instances="per_numa_node")], [0, 1], 8, ""),
    # One instance a node takes its part of each node.
    ([service("a"), service("b", instances="per_numa_node", threads=6)], [0, 1], 2, ", no more than fit one NUMA node"),
    ([service("a"), service("b", threads=4, numa=0)], [0, 1], 8, ", no more than fit one NUMA node"),
    ([service("a"), service("b", threads=8, numa=0), service("c", threads=4, numa=1)], [0, 1], 4, ""),
    ([service("a", numa=0), service("b", threads=3, numa=0, instances=2)], [0, 1], 2, ", no more than node 0 has"),
    # More than there are cores: a sum that is refused later.
    ([service("a", instances=20)], [0, 1], 1, ""),
])
def test_no_more_threads_than_keep_an_instance_within_one_node(services, holding, threads, why):
    found, reason = answers(TWO, *services, holding=holding)["a"]
    assert found == threads
    assert reason.partition("that are free")[2] == why


def test_one_instance_a_node_has_no_more_than_the_smallest_node_has():
    host = topology(sockets=2, cores=8, allowed=range(10))
    assert answers(host, service("a", instances="per_numa_node")) == {
        "a": (2, "one thread a physical core: an equal part of the 10 that are free, no more than the smallest node "
                 "has")}
    both = answers(host, service("a", instances="per_numa_node"), service("b", instances="per_numa_node"))
    assert {name: threads for name, (threads, _reason) in both.items()} == {"a": 1, "b": 1}
    # The memory of no node holds one: what is refused later is told with the threads it would have had.
    assert wanted(host, service("a", instances="per_numa_node"), holding=[]) == {"a": 5}


@pytest.mark.parametrize(("gpus", "services", "threads"), [
    ([gpu(0, 0)], [service("a", gpus=1)], 8),
    ([gpu(0, 0), gpu(1, 0)], [service("a", gpus=1, instances=2)], 4),
    ([gpu(0, 0), gpu(1, 0)], [service("a", gpus=2)], 8),
    ([gpu(0, 0), gpu(1, 0), gpu(2, 0), gpu(3, 0)], [service("a", gpus=2, instances=2)], 4),
    ([gpu(0, 0), gpu(1, 1)], [service("a", gpus=1, instances=2)], 8),
    ([gpu(0, 0), gpu(1, 0), gpu(2, 1), gpu(3, 1)], [service("a", instances="per_gpu")], 4),
    ([gpu(0, 0), gpu(1, 0)], [service("a", gpus=1), service("b", gpus=1)], 4),
    # Where no GPU's node is known, the memory decides.
    ([gpu(0, None)], [service("a", gpus=1)], 8),
    ([gpu(0, None), gpu(1, 0)], [service("a", gpus=1)], 8),
    ([gpu(0, 0)], [service("a", gpus=1, numa="off")], 16),
    ([gpu(0, 0)], [service("a", gpus=1, numa=1)], 8),
    # Beside one that says its size, where it can come to the same node.
    ([gpu(0, 0), gpu(1, 0)], [service("a", gpus=1), service("b", gpus=1, threads=6)], 2),
    ([gpu(0, 0), gpu(1, 1)], [service("a", gpus=1), service("b", gpus=1, threads=6)], 8),
    ([gpu(0, 0), gpu(1, 0)], [service("a", gpus=1), service("b", gpus=1, threads=6, numa="off")], 8),
    ([gpu(0, 0), gpu(1, 0), gpu(2, 0)], [service("a", gpus=1), service("b", gpus=1, threads=2, instances=2)], 4),
    ([gpu(0, 0), gpu(1, 0), gpu(2, 0)], [service("a", gpus=1), service("b", gpus=1, threads=5), service(
        "c", gpus=1, threads=1)], 2),
])
def test_instances_with_gpus_have_no_more_than_the_nodes_of_these_give(gpus, services, threads):
    assert wanted(topology(sockets=2, cores=8, gpus=gpus), *services)["a"] == threads


def test_the_smallest_of_the_nodes_with_gpus_sets_the_measure():
    host = topology(sockets=2, cores=8, allowed=range(11), gpus=[gpu(0, 0), gpu(1, 1)])
    assert wanted(host, service("a", instances="per_gpu")) == {"a": 3}


def test_instances_with_gpus_leave_out_what_others_are_pinned_to():
    host = topology(sockets=2, cores=8, gpus=[gpu(0, 0)])
    assert answers(host, service("a", gpus=1), service("b", threads=5, numa=0))["a"] == (
        3, "one thread a physical core: an equal part of the 11 that are free, no more than the nodes of its GPUs have")


# Siblings


@pytest.mark.parametrize(("threads", "width", "whole"), [
    (0, 1, 1), (1, 1, 1), (7, 1, 7), (0, 2, 1), (1, 2, 1), (2, 2, 2), (3, 2, 2), (8, 2, 8), (9, 4, 8), (3, 4, 3)])
def test_threads_are_rounded_down_to_whole_cores(threads, width, whole):
    assert whole_cores(threads, width) == whole


def test_with_smt_siblings_run_threads_too():
    host = topology(cores=8, threads=2)
    assert answers(host, service("a", cpu_share=0.5), service("b", threads=3), service("c"), keep=1, smt=True) == {
        "a": (8, "cpu_share 0.5 of 16 hardware threads"),
        "b": (3, "threads: 3 was set by the user"),
        "c": (2, "one thread a hardware thread: an equal part of the 2 that are free"),
    }
    assert wanted(host, service("a", cpu_share=0.2), smt=True) == {"a": 2}


def test_with_smt_a_part_of_a_core_takes_it_all():
    host = topology(cores=8, threads=2)
    assert wanted(host, service("a", threads=3, instances=2), service("b"), keep=1, smt=True) == {"a": 3, "b": 6}
    assert wanted(host, service("a", threads=1, instances=4), service("b"), keep=1, smt=True) == {"a": 1, "b": 6}


# Equal instances on nodes


@pytest.mark.parametrize(("sizes", "count", "threads"), [
    ([8], 1, 8), ([8], 3, 2), ([8, 8], 3, 4), ([8, 2], 2, 4), ([8, 8, -3], 2, 8), ([2], 3, 0), ([0], 1, 0), ([], 1, 0)])
def test_the_most_threads_with_which_all_fit(sizes, count, threads):
    assert fitting_threads(sizes, count) == threads


@given(st.lists(st.integers(0, 40), max_size=4), st.integers(1, 12))
def test_one_thread_more_does_not_fit(sizes, count):
    threads = fitting_threads(sizes, count)
    assert sum(size // (threads + 1) for size in sizes) < count
    assert not threads or sum(size // threads for size in sizes) >= count


# Sums


@pytest.mark.parametrize(("host", "services", "how", "sentence"), [
    (topology(cores=44), [service("whisper", cpu_share=0.73), service("llm", threads=10)], {"keep": 4},
     "whisper 32 + llm 10 + housekeeping 4 = 46 threads, host has 44 physical cores; lower threads, cpu_share or "
     "instances, or topology_housekeeping_cores."),
    (topology(cores=8), [service(threads=4, instances=3)], {},
     "chat 12 (3 x 4) = 12 threads, host has 8 physical cores; lower threads, cpu_share or instances."),
    (topology(cores=8, quota=2.5), [service(threads=3)], {},
     "chat 3 = 3 threads, host has 2 physical cores within its CPU quota of 2.5; lower threads, cpu_share or "
     "instances."),
    (topology(cores=2, threads=2), [service(threads=5)], {"smt": True},
     "chat 5 = 5 threads, host has 4 hardware threads; lower threads, cpu_share or instances."),
    (topology(cores=4, threads=2), [service(threads=7)], {"smt": True, "keep": 1},
     "chat 7 + housekeeping 2 = 9 threads, host has 8 hardware threads; lower threads, cpu_share or instances, or "
     "topology_housekeeping_cores."),
])
def test_a_sum_that_does_not_fit_is_shown(host, services, how, sentence):
    with pytest.raises(PlanError) as error:
        checked_sum(host, *services, **how)
    assert str(error.value) == "inference_services want " + sentence


@pytest.mark.parametrize("how", [{}, {"keep": 1}])
def test_what_fits_to_the_last_core_is_taken(how):
    checked_sum(topology(cores=8), service(threads=4), service("b", threads=4 - how.get("keep", 0)), **how)
