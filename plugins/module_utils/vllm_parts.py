# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What vLLM alone is told of an instance: its ranks and their CPUs, its KV cache in whole GiB, its part of a card."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.gpu_memory import free_mib

MIB_PER_GIB = 1024


def ranks_of(service, numa_policy, nodes):
    """How many ranks vLLM splits the model into: what the user says, else one a GPU, else one a node of its CPUs."""
    return service["tensor_parallel"] or service["gpus"] or (len(nodes) if numa_policy == "interleave" else 1)


def rank_cpus(cpus, ranks, nodes):
    """Return the CPUs of each rank on CPUs: those of one node each, or else even parts. nodes: nodes.Nodes."""
    by_node = {}
    for cpu in cpus:
        by_node.setdefault(nodes.owner.get(cpu), []).append(cpu)
    if len(by_node) == ranks:
        return [by_node[node] for node in sorted(by_node, key=nodes.order.index)]
    each = max(1, len(cpus) // ranks)
    return [part for part in (cpus[rank * each:(rank + 1) * each] for rank in range(ranks)) if part]


def in_whole_gib(parts, ranks):
    """Round the KV cache up to what vLLM takes on CPUs, whole GiB for each rank; return how many MiB that adds."""
    step = MIB_PER_GIB * ranks
    added = -parts["kv_cache"] % step
    parts["kv_cache"] += added
    return added


def gpu_share(service, gpus, policy):
    """Return the part of each card's memory that vLLM may take, in hundredths rounded down; None where it is not
    known, and on CPUs."""
    shares = []
    for gpu in gpus:
        if not gpu["memory_mib"]:
            return None
        free = free_mib(gpu, policy)
        shares.append(min(free, service["gpu_memory_mib"] or free) * 100 // gpu["memory_mib"])
    return max(1, min(shares)) / 100 if shares else None
