# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is still free on each NUMA node while instances are placed, and which nodes an instance gets."""

from __future__ import annotations

import itertools

from ansible_collections.inference.host.plugins.module_utils.cpulist import format_cpu_list
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.placement import (
    home_nodes,
    node_of_cpus,
    node_order,
    service_limit,
)

EXACT_NODES = 16
"""Up to so many nodes every set of them is tried; beyond, those with most memory are taken."""


class Nodes:
    """The free CPUs (whole cores) and the free memory of each NUMA node.

    `order`: node ids by lowest CPU, which every choice among equals follows. `homes`: see home_nodes. `owner`: {CPU:
    node id}.
    """

    def __init__(self, topology, cores, smt, headroom_mib, reserved_mib):
        """cores: what services may have. smt: whether siblings count as CPUs of their own.

        headroom_mib: kept free on the host, evenly on its nodes. reserved_mib: {node id: MiB that huge
        pages take from it}.
        """
        nodes = node_order(topology)
        owner = self.owner = node_of_cpus(topology)
        self.order = [node["id"] for node in nodes]
        self.lanes = {node: [] for node in self.order}
        for core in cores:
            self.lanes[owner.get(core[0], self.order[0])].append(core if smt else core[:1])
        memory = {node["id"]: node["memory_mib"] or 0 for node in nodes}
        limit = service_limit(topology, "memory_limit_mib")
        total = topology.get("memory_mib") or sum(memory.values())
        self.total_mib = min(total, limit) if limit else total
        if len(memory) == 1:
            # Dumps and containers may give the only node no memory of its own; then the machine's counts.
            memory = dict.fromkeys(memory, self.total_mib)
        self.homes = home_nodes(topology)
        self.memory_mib = {node: memory[node] - reserved_mib.get(node, 0) for node in self.order}
        if len(memory) > 1:
            # Each node keeps its part: memory that is bound to a full node is not taken from another one.
            for node in self.homes:
                self.memory_mib[node] = max(0, self.memory_mib[node] - headroom_mib // len(self.homes))
        # Huge pages take from the machine's memory and do not count towards a control group's limit.
        unreserved = total - sum(reserved_mib.values())
        self.left_mib = (min(unreserved, limit) if limit else unreserved) - headroom_mib
        self.distance = distances(topology)

    def free(self, node):
        """How many CPUs the node has left."""
        return sum(map(len, self.lanes[node]))

    def holding_mib(self, memory_mib):
        """Return the nodes, with CPUs, that have so much memory free."""
        return [node for node in self.homes if self.memory_mib[node] >= memory_mib]

    def holding(self, threads, memory_mib):
        """Return the smallest set of nodes with that many free CPUs and that much memory, or None.

        One node: the fullest that holds it. Several: those nearest to each other, then with most memory.
        """
        usable = [node for node in self.homes if self.lanes[node] and self.memory_mib[node] > 0]
        fitting = [node for node in usable if self.free(node) >= threads and self.memory_mib[node] >= memory_mib]
        if fitting:
            return [min(fitting, key=self.free)]
        if len(usable) > EXACT_NODES:
            return self._most_memory(usable, threads, memory_mib)
        for count in range(2, len(usable) + 1):
            sets = [chosen for chosen in itertools.combinations(usable, count)
                    if self._hold(chosen, threads, memory_mib)]
            if sets:
                return list(min(sets, key=self._spread))
        return None

    def _hold(self, nodes, threads, memory_mib):
        return (sum(map(self.free, nodes)) >= threads
                and sum(self.memory_mib[node] for node in nodes) >= memory_mib)

    def _spread(self, nodes):
        """How far the nodes are from each other, then how little memory they have."""
        far = sum(self.distance.get(pair, 0) for pair in itertools.permutations(nodes, 2))
        return far, -sum(self.memory_mib[node] for node in nodes)

    def _most_memory(self, usable, threads, memory_mib):
        ranked = sorted(usable, key=lambda node: -self.memory_mib[node])
        for count in range(2, len(ranked) + 1):
            if self._hold(ranked[:count], threads, memory_mib):
                return sorted(ranked[:count], key=self.order.index)
        return None

    def take(self, nodes, threads, memory_mib):
        """Take whole cores for so many threads evenly from `nodes`, and memory; return the CPUs, sorted.

        They are fewer than `threads` where the nodes have no more.
        """
        cpus = []
        while len(cpus) < threads and any(self.lanes[node] for node in nodes):
            for node in nodes:
                if self.lanes[node] and len(cpus) < threads:
                    cpus += self.lanes[node].pop(0)
        self._take_memory([node for node in nodes if node in self.homes] or self.homes or nodes, memory_mib)
        return sorted(cpus[:threads])

    def _take_memory(self, nodes, memory_mib):
        """Evenly, but from a node no more than it has: the kernel goes on to the others when one is full."""
        self.left_mib -= memory_mib
        for place, node in enumerate(sorted(nodes, key=self.memory_mib.get)):
            part = min(memory_mib // (len(nodes) - place), max(0, self.memory_mib[node]))
            self.memory_mib[node] -= part
            memory_mib -= part


def distances(topology):
    """Return {(node, other node): distance} as far as the kernel says."""
    known = topology.get("distances") or {}
    ids, matrix = known.get("nodes") or [], known.get("matrix") or []
    return {(ids[row], ids[column]): far for row, line in enumerate(matrix[:len(ids)])
            for column, far in enumerate(line[:len(ids)])}


def choose_nodes(nodes, numa, name, threads, memory_mib, one_a_node=False):
    """Return (policy, nodes, reason, warning or None) for one instance: policy is bind, interleave or none.

    numa: the service's wish, or with `one_a_node` (instances: per_numa_node) the node whose turn it is. Raises
    PlanError for a node that cannot hold the instance.
    """
    everywhere = list(nodes.order)
    if len(everywhere) == 1 and numa in ("auto", "interleave", everywhere[0]):
        return "none", everywhere, "one NUMA node: nothing to bind", None
    if numa == "off":
        return "none", everywhere, "numa: off was set by the user", None
    if not nodes.homes and numa in ("auto", "interleave"):
        return "none", everywhere, "no NUMA node has both CPUs and memory: nothing to bind to", None
    if numa == "interleave":
        return "interleave", list(nodes.homes), "numa: interleave was set by the user", None
    if numa != "auto":
        check_node(nodes, numa, name, threads, memory_mib, one_a_node)
        reason = "one instance a NUMA node: node %d" if one_a_node else "numa: %d was set by the user"
        return "bind", [numa], reason % numa, None
    chosen = nodes.holding(threads, memory_mib)
    if chosen is None:
        raise PlanError(
            "%s needs %d CPUs and %d MiB; the NUMA nodes have %s free; lower threads, context or cache_ram_mib, or set "
            "numa: off." % (name, threads, memory_mib, free_parts(nodes)))
    if len(chosen) == 1:
        return "bind", chosen, "%d CPUs and %d MiB fit node %d" % (threads, memory_mib, chosen[0]), None
    reason = "%d CPUs and %d MiB fit no single node (free: %s): spread over the fewest that hold it" % (
        threads, memory_mib, free_parts(nodes))
    warning = "%s is interleaved over NUMA nodes %s: %d CPUs and %d MiB fit no single node (free: %s)." % (
        name, format_cpu_list(chosen), threads, memory_mib, free_parts(nodes))
    return "interleave", chosen, reason, warning


def check_node(nodes, numa, name, threads, memory_mib, one_a_node):
    """Raise PlanError when the node that was named, or whose turn it is, cannot hold the instance."""
    if numa not in nodes.homes:
        raise PlanError("%s: numa is %s; nodes with CPUs and memory are %s." % (
            name, numa, ", ".join(map(str, sorted(nodes.homes))) or "none"))
    if nodes.free(numa) < threads or nodes.memory_mib[numa] < memory_mib:
        wish = "instances is per_numa_node, and node %d has %d CPUs and %d MiB free" if one_a_node else (
            "numa is %d, whose free part is %d CPUs and %d MiB")
        raise PlanError("%s: %s; the instance needs %d and %d; lower threads or context, keep fewer housekeeping "
                        "cores, or set %s." % (name, wish % (numa, nodes.free(numa), nodes.memory_mib[numa]), threads,
                                               memory_mib, "a number of instances" if one_a_node else "numa: auto"))


def free_parts(nodes):
    """Return what is free in words: on each of two nodes, else the most that any node has."""
    if len(nodes.homes) <= 2:
        return ", ".join("node %d: %d CPUs, %d MiB" % (node, nodes.free(node), nodes.memory_mib[node])
                         for node in nodes.homes) or "nothing"
    return "at most %d CPUs and %d MiB on any of %d nodes" % (
        max(map(nodes.free, nodes.homes)), max(nodes.memory_mib[node] for node in nodes.homes), len(nodes.homes))
