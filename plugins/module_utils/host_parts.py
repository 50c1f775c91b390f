# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Single answers about a host for those who want no whole plan: a number of threads, the CPUs near to a GPU."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.checks import integer, kind
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.gpus import usable_gpus
from ansible_collections.inference.host.plugins.module_utils.placement import (
    check_topology,
    node_of_cpus,
    usable_cores,
)
from ansible_collections.inference.host.plugins.module_utils.service_fields import fraction
from ansible_collections.inference.host.plugins.module_utils.sizing import share_of


def thread_count(topology, share=1.0, smt=False, node=None):
    """Return the threads for a share of the physical cores that system services may use: one a core, at least one.

    The cores are the plan's (online, allowed by cpuset and affinity, within the CPU quota), with `node` those of that
    NUMA node; the share of them is rounded down. With `smt` their CPUs are counted instead, and more threads than one
    core runs are rounded down to whole cores, as the plan does it.
    Raises PlanError for a value that is not allowed, and where there is no such core.
    """
    check_topology(topology)
    if not fraction(share):
        raise PlanError("share is %s; it must be a number above 0 and at most 1." % kind(share))
    if not isinstance(smt, bool):
        raise PlanError("smt is %s; it must be true or false." % kind(smt))
    cores = usable_cores(topology, smt)
    width = max(map(len, cores), default=1) if smt else 1
    if node is not None:
        check_node(topology, node)
        owner = node_of_cpus(topology)
        cores = [core for core in cores if owner.get(core[0]) == node]
    if not cores:
        where = "The host" if node is None else "NUMA node %d" % node
        raise PlanError("%s has no CPU that system services may use (cpuset, affinity, quota)." % where)
    count = sum(map(len, cores)) if smt else len(cores)
    return share_of(share, count, 1, width)


def check_node(topology, node):
    """Raise PlanError for what is not the number of one of the host's NUMA nodes."""
    known = sorted(entry["id"] for entry in topology["numa_nodes"])
    if not integer(0, 1023)[0](node) or node not in known:
        raise PlanError("node is %s; the host's NUMA nodes are %s." % (
            kind(node), ", ".join(map(str, known)) or "not known"))


def gpu_cpus(topology, gpu, default=None):
    """Return the CPUs near to a GPU, sorted.

    gpu: its PCI address, or its number among NVIDIA's GPUs in PCI order, as the plan and CUDA with
    CUDA_DEVICE_ORDER=PCI_BUS_ID count. Where the firmware does not tell the GPU's NUMA node, the kernel calls every
    CPU near; then the answer is `default`, or PlanError without one. PlanError also for a GPU that is not there.
    """
    check_topology(topology)
    card = find_gpu(topology, gpu)
    nodes = {node["id"]: node["cpus"] for node in topology["numa_nodes"]}
    node = card.get("numa_node")
    near = (card.get("local_cpus") or nodes[node]) if node in nodes else []
    if near:
        return sorted(near)
    if default is None:
        raise PlanError("The CPUs near to GPU %s are not known (its numa_node is %s); give the ones that it shall "
                        "have as default." % (card["address"], "null" if node is None else node))
    return default


def find_gpu(topology, gpu):
    """Return the topology's entry of a GPU that is named by address or number."""
    cards = {card["address"]: card for card in topology.get("gpus") or []}
    if isinstance(gpu, str):
        if gpu not in cards:
            raise PlanError("gpu is %s; the host's GPUs are at %s." % (
                kind(gpu), ", ".join(sorted(cards)) or "no address: it has none"))
        return cards[gpu]
    numbered = [card["address"] for card in usable_gpus(topology)]
    if not integer(0, len(numbered) - 1)[0](gpu):
        allowed = "a number from 0 to %d" % (len(numbered) - 1) if numbered else "no number: it has no NVIDIA GPU"
        raise PlanError("gpu is %s; on this host it must be a PCI address or %s." % (kind(gpu), allowed))
    return cards[numbered[gpu]]
