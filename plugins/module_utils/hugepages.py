# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reserved huge pages: how many of 2 MiB each NUMA node gets, and what they take from its memory.

They are reserved only for a service that says it uses them (`hugepages_mib`), or because the user set a number.
"""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.placement import memory_nodes

SIZE_KIB = "2048"
PAGE_MIB = 2


def pages(mib):
    """Return how many pages hold so many MiB."""
    return -(-mib // PAGE_MIB)


def spread(count, nodes):
    """Return {node: pages}, as evenly as it goes, the first ones getting the rest."""
    each, rest = divmod(count, len(nodes)) if nodes else (0, 0)
    return {node: each + (place < rest) for place, node in enumerate(nodes)}


def pages_of_services(services, counts):
    return sum(pages(service["hugepages_mib"]) * counts[service["name"]] for service in services)


def pages_beside(services, counts, wished):
    """Return how many pages the user wishes beyond those of the services, or None where nothing is to be reserved.

    Raises PlanError for a wish (`hugepages_count`) below what the services need.
    """
    needed = pages_of_services(services, counts)
    if wished is None:
        return 0 if needed else None
    if wished < needed:
        raise PlanError("hugepages_count is %d; services need %d pages of 2 MiB (hugepages_mib); raise it, or leave it "
                        "to the plan." % (wished, needed))
    return wished - needed


def reserved_before(topology, beside):
    """Return {node id: MiB} that huge pages take before any instance is placed.

    beside: pages_beside's answer. Pages that are reserved today and that the plan leaves alone count as they are.
    """
    reserved = {}
    with_memory = memory_nodes(topology)
    for node in topology["numa_nodes"]:
        for size, count in (node.get("hugepages") or {}).items():
            if beside is None or size != SIZE_KIB:
                reserved[node["id"]] = reserved.get(node["id"], 0) + (count or 0) * int(size) // 1024
    for node, count in spread(beside or 0, with_memory).items():
        reserved[node] = reserved.get(node, 0) + count * PAGE_MIB
    return reserved


def plan_hugepages(topology, instances, beside):
    """Return {node id as text: {page size in KiB: pages}}; {} where nothing is to be reserved.

    An instance's pages lie on its own nodes, those beside on all nodes with memory.
    """
    if beside is None:
        return {}
    with_memory = memory_nodes(topology)
    total = spread(beside, with_memory)
    for instance in instances:
        homes = [node for node in instance["numa_nodes"] if node in with_memory] or with_memory
        for node, count in spread(pages(instance["hugepages_mib"]), homes).items():
            total[node] += count
    return {str(node): {SIZE_KIB: count} for node, count in sorted(total.items())}
