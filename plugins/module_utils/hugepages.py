# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reserved huge pages: how many each NUMA node gets, and what they take from its memory.

They are reserved only for a service that says it uses them (`hugepages_mib`, of 2 MiB), or because the user set a
number (`hugepages_count`, `hugepages_gigantic_count`).
"""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.placement import memory_nodes

SIZE_KIB = "2048"
PAGE_MIB = 2
GIGANTIC_KIB = "1048576"
SIZE_WORDS = {SIZE_KIB: "2 MiB", GIGANTIC_KIB: "1 GiB"}


def pages(mib):
    """Return how many pages hold so many MiB."""
    return -(-mib // PAGE_MIB)


def spread(count, nodes):
    """Return {node: pages}, as evenly as it goes, the first ones getting the rest."""
    each, rest = divmod(count, len(nodes)) if nodes else (0, 0)
    return {node: each + (place < rest) for place, node in enumerate(nodes)}


def pages_of_services(services, counts):
    return sum(pages(service["hugepages_mib"]) * counts[service["name"]] for service in services)


def pages_beside(services, counts, wishes):
    """Return {page size in KiB: pages beyond those of the services} of the sizes that are to be reserved.

    wishes: what the user set. Raises PlanError for a `hugepages_count` below what the services need.
    """
    needed, wished = pages_of_services(services, counts), wishes.get("hugepages_count")
    beside = {}
    if wished is not None and wished < needed:
        raise PlanError("hugepages_count is %d; services need %d pages of 2 MiB (hugepages_mib); raise it, or leave it "
                        "to the plan." % (wished, needed))
    if needed or wished is not None:
        beside[SIZE_KIB] = (wished or needed) - needed
    if wishes.get("hugepages_gigantic_count") is not None:
        beside[GIGANTIC_KIB] = wishes["hugepages_gigantic_count"]
    return beside


def spread_beside(topology, beside):
    """Return {node id: {page size in KiB: pages}} of pages_beside's answer, evenly on the nodes with memory."""
    with_memory = memory_nodes(topology)
    shares = {size: spread(beside[size], with_memory) for size in sorted(beside, key=int)}
    return {node: {size: share[node] for size, share in shares.items()} for node in with_memory} if beside else {}


def on_node(node, planned):
    """Return {page size in KiB: pages} of a node: the planned ones, and as they are today those of sizes that the plan
    leaves alone."""
    today = {size: count or 0 for size, count in (node.get("hugepages") or {}).items()}
    return dict(today, **planned.get(node["id"], {}))


def total_mib(sizes):
    return sum(count * int(size) // 1024 for size, count in sizes.items())


def check_room(topology, planned, headroom_mib):
    """Raise PlanError with the sum where a node cannot spare the planned pages and its part of the headroom."""
    kept = headroom_mib // max(1, len(planned))
    for node in topology["numa_nodes"]:
        sizes, memory = on_node(node, planned), node["memory_mib"]
        if memory and any(planned.get(node["id"], {}).values()) and total_mib(sizes) > memory - kept:
            parts = " + ".join("%d pages of %s" % (sizes[size], SIZE_WORDS.get(size, size + " KiB"))
                               for size in sorted(sizes, key=int) if sizes[size])
            raise PlanError(
                "node %d cannot spare its huge pages: %s = %d MiB, and it has %d MiB, of which %d stay free "
                "(topology_memory_headroom_mib); lower hugepages_count, hugepages_gigantic_count or hugepages_mib."
                % (node["id"], parts, total_mib(sizes), memory, kept))


def reserved_before(topology, beside, headroom_mib):
    """Return {node id: MiB} that huge pages take before any instance is placed.

    beside: pages_beside's answer. Pages that are reserved today and that the plan leaves alone count as they are.
    Raises PlanError with the sum where a node cannot spare them.
    """
    planned = spread_beside(topology, beside)
    check_room(topology, planned, headroom_mib)
    return {node["id"]: total_mib(on_node(node, planned)) for node in topology["numa_nodes"]}


def plan_hugepages(topology, instances, beside, headroom_mib):
    """Return {node id as text: {page size in KiB: pages}}; {} where nothing is to be reserved.

    An instance's pages lie on its own nodes, those beside on all nodes with memory. Raises PlanError with the sum where
    a node cannot spare them: of several nodes that an instance is spread over each gets its part, however small it is.
    """
    planned = spread_beside(topology, beside)
    for instance in instances if SIZE_KIB in beside else ():
        homes = [node for node in instance["numa_nodes"] if node in planned] or list(planned)
        for node, count in spread(pages(instance["hugepages_mib"]), homes).items():
            planned[node][SIZE_KIB] += count
    check_room(topology, planned, headroom_mib)
    return {str(node): planned[node] for node in sorted(planned)}
