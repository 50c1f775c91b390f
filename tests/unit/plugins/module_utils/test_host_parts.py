"""Single answers about a host: threads for a share of it, and the CPUs near to a GPU."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.host_parts import gpu_cpus, thread_count
from ansible_collections.inference.host.plugins.module_utils.placement import node_of_cpus, usable_cores
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from hypothesis import assume, given
from hypothesis import strategies as st
from plan_topologies import service, topologies, topology

SHARES = st.floats(0, 1, exclude_min=True)
TWO = topology(sockets=2, cores=8, threads=2)


def card(address="0000:65:00.0", node=0, vendor="0x10de", local=None):
    return {"address": address, "vendor": vendor, "numa_node": node, "local_cpus": local}


def with_gpus(*cards):
    return topology(sockets=2, cores=2, threads=2, gpus=list(cards))


@pytest.mark.parametrize(("host", "options", "threads"), [
    (TWO, {}, 16),
    (TWO, {"share": 1}, 16),
    (TWO, {"share": 0.8}, 12),
    (TWO, {"share": 0.001}, 1),
    (TWO, {"smt": True}, 32),
    (TWO, {"smt": True, "share": 0.5}, 16),
    (TWO, {"node": 1}, 8),
    (TWO, {"node": 0, "share": 0.73}, 5),
    (topology(sockets=2, cores=44, threads=2), {"node": 0, "share": 0.73}, 32),
    (topology(cores=8, threads=2), {"share": 0.8}, 6),
    (topology(cores=100), {"share": 0.29}, 29),
    (topology(cores=8, quota=2.5), {}, 2),
    (topology(cores=8, threads=2, quota=4), {"smt": True}, 4),
    (topology(cores=8, quota=0.2), {}, 1),
    (topology(cores=8, threads=2, allowed=[0, 8, 1]), {}, 2),
    (topology(cores=8, threads=2, allowed=[0, 8, 1]), {"smt": True}, 2),
    (topology(cores=1, threads=2), {"smt": True, "share": 0.5}, 1),
    (topology(cores=3, threads=2), {"smt": True, "share": 0.5}, 2),
    (topology(cores=8, offline=[7]), {}, 7),
    (topology(cores=2, quota=None, allowed=[1]), {"share": 0.1}, 1),
])
def test_threads(host, options, threads):
    assert thread_count(host, **options) == threads


@pytest.mark.parametrize(("options", "sentence"), [
    ({"share": "8"}, "share is '8'; it must be a number above 0 and at most 1."),
    ({"share": -0.5}, "share is -0.5; it must be a number above 0 and at most 1."),
    ({"share": 0}, "share is 0; it must be a number above 0 and at most 1."),
    ({"share": 80}, "share is 80; it must be a number above 0 and at most 1."),
    ({"share": True}, "share is True; it must be a number above 0 and at most 1."),
    ({"share": None}, "share is None; it must be a number above 0 and at most 1."),
    ({"share": float("nan")}, "share is nan; it must be a number above 0 and at most 1."),
    ({"smt": "false"}, "smt is 'false'; it must be true or false."),
    ({"smt": 1}, "smt is 1; it must be true or false."),
    ({"node": 2}, "node is 2; the host's NUMA nodes are 0, 1."),
    ({"node": "0"}, "node is '0'; the host's NUMA nodes are 0, 1."),
    ({"node": False}, "node is False; the host's NUMA nodes are 0, 1."),
])
def test_wrong_wishes_are_refused(options, sentence):
    with pytest.raises(PlanError) as error:
        thread_count(TWO, **options)
    assert str(error.value) == sentence


@pytest.mark.parametrize("ask", [thread_count, lambda host: gpu_cpus(host, 0)])
@pytest.mark.parametrize("host", [None, "host", [], {}, dict(TWO, cpus=None), dict(TWO, numa_nodes=None)])
def test_what_is_no_topology_is_refused(ask, host):
    with pytest.raises(PlanError, match=r"^The topology .*inference\.host\.topology returns\.$"):
        ask(host)


def test_a_node_without_usable_cpus_is_said():
    with pytest.raises(PlanError, match="^NUMA node 1 has no CPU that system services may use"):
        thread_count(topology(sockets=2, cores=2, allowed=[0, 1]), node=1)
    with pytest.raises(PlanError, match="^NUMA node 2 has no CPU that system services may use"):
        thread_count(topology(sockets=2, cores=2, node_memory={2: 1024}), node=2)
    with pytest.raises(PlanError, match="^The host has no CPU that system services may use"):
        thread_count(topology(allowed=[]))


@given(topologies(), SHARES, st.booleans())
def test_threads_are_at_least_one_and_at_most_the_usable_cores(host, share, smt):
    cores = usable_cores(host, smt)
    threads = thread_count(host, share, smt)
    assert 1 <= threads <= (sum(map(len, cores)) if smt else len(cores))
    assert thread_count(host, 1, smt) >= threads


@given(topologies(), SHARES, SHARES, st.booleans())
def test_a_larger_share_is_never_fewer_threads(host, one, other, smt):
    assert thread_count(host, min(one, other), smt) <= thread_count(host, max(one, other), smt)


@given(topologies())
def test_the_nodes_together_are_the_host(host):
    owners = node_of_cpus(host)
    used = {owners[core[0]] for core in usable_cores(host)}
    assert sum(thread_count(host, node=node) for node in used) == thread_count(host)


@given(topologies(), SHARES, st.booleans(), st.none() | st.integers(0, 3))
def test_a_share_is_what_the_plan_gives_a_service_with_that_cpu_share(host, share, smt, node):
    wish = service(cpu_share=share, numa="off" if node is None else node, cache_ram_mib=0)
    try:
        plan = make_plan(host, [wish], {"housekeeping_cores": 0, "smt": smt, "memory_headroom_mib": 0})
    except PlanError:
        assume(False)
    assert plan["instances"][0]["threads"] == thread_count(host, share, smt, node)


def test_the_cpus_near_to_a_gpu():
    host = with_gpus(card(local=[0, 1, 4, 5]), card("0000:b3:00.0", 1), card("0000:03:00.0", 1, "0x1a03", [6, 2]))
    assert gpu_cpus(host, "0000:65:00.0") == gpu_cpus(host, 0) == [0, 1, 4, 5]
    assert gpu_cpus(host, "0000:b3:00.0") == gpu_cpus(host, 1) == [2, 3, 6, 7]
    assert gpu_cpus(host, 1, default=[0]) == [2, 3, 6, 7]
    # A display chip is found by its address only; it is not counted.
    assert gpu_cpus(host, "0000:03:00.0") == [2, 6]


def test_gpus_are_numbered_by_address_whatever_their_order():
    host = with_gpus(card("0000:b3:00.0", 1), card("0000:65:00.0", 0))
    assert gpu_cpus(host, 0) == [0, 1, 4, 5]


@pytest.mark.parametrize("node", [None, -1, 7])
def test_an_unknown_node_is_not_believed_to_be_near_to_all(node):
    host = with_gpus(card(node=node, local=list(range(8))))
    with pytest.raises(PlanError) as error:
        gpu_cpus(host, 0)
    assert str(error.value) == (
        "The CPUs near to GPU 0000:65:00.0 are not known (its numa_node is %s); give the ones that it shall have as "
        "default." % ("null" if node is None else node))
    assert gpu_cpus(host, "0000:65:00.0", default=[3]) == [3]
    assert gpu_cpus(host, 0, default=[]) == []


def test_a_node_without_cpus_is_near_to_none():
    host = topology(cores=2, node_memory={1: 1024}, gpus=[card(node=1, local=[])])
    with pytest.raises(PlanError, match="its numa_node is 1"):
        gpu_cpus(host, 0)


@pytest.mark.parametrize(("gpu", "sentence"), [
    (1, "gpu is 1; on this host it must be a PCI address or a number from 0 to 0."),
    (-1, "gpu is -1; on this host it must be a PCI address or a number from 0 to 0."),
    (True, "gpu is True; on this host it must be a PCI address or a number from 0 to 0."),
    (None, "gpu is None; on this host it must be a PCI address or a number from 0 to 0."),
    ("0", "gpu is '0'; the host's GPUs are at 0000:65:00.0."),
    ("65:00.0", "gpu is '65:00.0'; the host's GPUs are at 0000:65:00.0."),
])
def test_gpus_that_are_not_there(gpu, sentence):
    with pytest.raises(PlanError) as error:
        gpu_cpus(with_gpus(card()), gpu, default=[0])
    assert str(error.value) == sentence


def test_a_host_without_gpus_says_so():
    with pytest.raises(PlanError, match=r"^gpu is 0; .* no number: it has no NVIDIA GPU\.$"):
        gpu_cpus(with_gpus(), 0)
    with pytest.raises(PlanError, match=r"^gpu is '0000:65:00\.0'; .* no address: it has none\.$"):
        gpu_cpus(with_gpus(), "0000:65:00.0")
