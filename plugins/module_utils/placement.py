# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which physical cores and NUMA nodes each instance gets.

A core is the list of its usable CPUs, its first thread first. Every function here takes and returns plain lists and
dicts; cores are taken in a fixed order, so the same input always gives the same placement.
"""

from __future__ import annotations

import itertools
import math

from ansible_collections.inference.host.plugins.module_utils.errors import PlanError


def service_limit(topology, name):
    """Return a limit of system services; that of the reading process, such as a login session, is not theirs and
    counts only where the topology has none of services. None is no limit."""
    return (topology.get("services") or topology).get(name, topology.get(name))


def usable_cores(topology):
    """Return the physical cores that system services may use, performance cores first, then by lowest CPU.

    Usable CPUs are online and allowed (cpuset, affinity); a CPU quota then caps the number of cores, at least one.
    Sibling sets are the kernel's own (`thread_siblings_list`); shape: list of sorted lists of logical CPU ids.
    """
    allowed = set(topology["cpus"]["online"]) & set(service_limit(topology, "allowed_cpus"))
    known = topology["cores"] or [[cpu] for cpu in topology["cpus"]["online"]]
    cores = [sorted(allowed.intersection(core)) for core in known]
    # Where kinds differ the topology lists the most capable first.
    rank = {cpu: place for place, kind in enumerate(topology.get("core_kinds") or []) for cpu in kind}
    cores = sorted((core for core in cores if core), key=lambda core: (rank.get(core[0], 0), core[0]))
    quota = service_limit(topology, "quota_cpus")
    return cores[: max(1, math.floor(quota))] if quota else cores


def default_housekeeping(core_count):
    """Cores kept for the OS, nginx and interrupts: none below 4 cores, one below 16, else two (convention)."""
    return 0 if core_count < 4 else 1 if core_count < 16 else 2


def split_housekeeping(cores, wanted):
    """Return (housekeeping cores, the rest): the lowest-numbered cores, where interrupts land by default.

    Raises PlanError when nothing would be left for the services.
    """
    if wanted >= len(cores):
        raise PlanError(
            "topology_housekeeping_cores is %d; the host has %d usable physical cores and services need at least one."
            % (wanted, len(cores))
        )
    kept = sorted(cores, key=lambda core: core[0])[:wanted]
    return kept, [core for core in cores if core not in kept]


def threads_wanted(services, core_count, free_count):
    """Return {service name: (threads of each instance, reason)}.

    `threads` set by the user wins. `cpu_share` is a fraction of the host's physical cores, rounded down, at least one
    a service, split evenly over its instances. Services that say neither share equally what is left.
    """
    answer, left = {}, free_count
    for service in services:
        if service["threads"]:
            threads = service["threads"]
            reason = "threads: %d was set by the user" % threads
        elif service["cpu_share"]:
            # Rounded first: 0.29 x 100 is a hair below 29 in binary.
            share = max(1, math.floor(round(service["cpu_share"] * core_count, 6)))
            threads = max(1, share // service["instances"])
            reason = "cpu_share %g of %d physical cores, over %d instance(s)" % (
                service["cpu_share"], core_count, service["instances"])
        else:
            continue
        answer[service["name"]] = threads, reason
        left -= threads * service["instances"]
    open_ended = [service for service in services if service["name"] not in answer]
    for service in open_ended:
        threads = max(1, left // len(open_ended) // service["instances"])
        reason = "one thread a physical core: an equal part of the %d that are free" % max(left, 0)
        answer[service["name"]] = threads, reason
    return answer


def check_sum(services, threads, kept, core_count):
    """Raise PlanError, showing the sum, when the instances' threads exceed the physical cores."""
    parts, total = [], kept
    for service in services:
        count = threads[service["name"]][0] * service["instances"]
        total += count
        label = "%s %d" % (service["name"], count)
        parts.append(label if service["instances"] == 1 else "%s (%d x %d)" % (
            label, service["instances"], threads[service["name"]][0]))
    if total > core_count:
        parts += ["housekeeping %d" % kept] if kept else []
        raise PlanError(
            "inference_services want %s = %d threads, host has %d physical cores; "
            "lower threads, cpu_share or instances."
            % (" + ".join(parts), total, core_count)
        )


class Nodes:
    """The free cores and the free memory of each NUMA node while instances are placed."""

    def __init__(self, topology, cores, limit_mib, headroom_mib):
        """`limit_mib`: what services may use in all, or None; the headroom is kept free on the host as a whole.

        `homes` are the nodes with CPUs and memory, the only ones that an instance is bound to or spread over.
        """
        self.cores = {}
        self.memory_mib = {}
        for node in topology["numa_nodes"]:
            cpus = set(node["cpus"])
            self.cores[node["id"]] = [core for core in cores if core[0] in cpus]
            # The kernel may name a CPU in several nodes; here it belongs to the first.
            cores = [core for core in cores if core[0] not in cpus]
            self.memory_mib[node["id"]] = node["memory_mib"] or 0
        self.homes = sorted(node["id"] for node in topology["numa_nodes"] if node["cpus"] and node["memory_mib"])
        total = topology["memory_mib"] or sum(self.memory_mib.values())
        self.total_mib = min(total, limit_mib) if limit_mib else total
        self.left_mib = self.total_mib - headroom_mib
        if len(self.memory_mib) == 1:
            # Dumps and containers may give the only node no memory of its own; then the machine's counts.
            self.memory_mib = dict.fromkeys(self.memory_mib, self.total_mib)
            self.homes = list(self.memory_mib)

    def free_cores(self, nodes):
        return [core for node in nodes for core in self.cores[node]]

    def holding(self, threads, memory_mib):
        """Return the smallest set of nodes with that many free cores and that much memory: fullest fit for one node,
        most memory first for several; None when all together do not hold it."""
        cores = {node: len(self.cores[node]) for node in self.homes if self.cores[node] and self.memory_mib[node] > 0}
        memory = {node: self.memory_mib[node] for node in cores}
        fitting = [node for node in cores if cores[node] >= threads and memory[node] >= memory_mib]
        if fitting:
            return [min(fitting, key=lambda node: (cores[node], node))]
        most_memory_first = sorted(cores, key=lambda node: (-memory[node], node))
        for count in range(2, len(cores) + 1):
            # Where even the best of each kind fall short, no set of this size needs to be tried.
            if sum(sorted(cores.values())[-count:]) < threads or sum(sorted(memory.values())[-count:]) < memory_mib:
                continue
            for chosen in itertools.combinations(most_memory_first, count):
                enough_cores = sum(cores[node] for node in chosen) >= threads
                if enough_cores and sum(memory[node] for node in chosen) >= memory_mib:
                    return sorted(chosen)
        return None

    def take(self, nodes, threads, memory_mib):
        """Take cores and memory from `nodes` and return the cores."""
        taken = self.free_cores(nodes)[:threads]
        for node in self.cores:
            self.cores[node] = [core for core in self.cores[node] if core not in taken]
        for node in nodes:
            self.memory_mib[node] -= memory_mib // len(nodes)
        self.left_mib -= memory_mib
        return taken


def choose_nodes(nodes, service, name, threads, memory_mib):
    """Return (policy, nodes, reason) for one instance: policy is bind, interleave or none.

    Raises PlanError for a node that the user named and that cannot hold the instance.
    """
    everywhere = sorted(nodes.cores)
    numa = service["numa"]
    if len(everywhere) == 1 and numa in ("auto", "interleave", everywhere[0]):
        return "none", everywhere, "one NUMA node: nothing to bind"
    if numa == "off":
        return "none", everywhere, "numa: off was set by the user"
    if numa == "interleave":
        return "interleave", list(nodes.homes), "numa: interleave was set by the user"
    if numa != "auto":
        if numa not in nodes.homes:
            raise PlanError("%s: numa is %s; nodes with CPUs and memory are %s." % (
                name, numa, ", ".join(str(node) for node in nodes.homes) or "none"))
        if len(nodes.cores[numa]) < threads or nodes.memory_mib[numa] < memory_mib:
            raise PlanError("%s: numa is %d, whose free part is %d cores and %d MiB; the instance needs %d and %d." % (
                name, numa, len(nodes.cores[numa]), nodes.memory_mib[numa], threads, memory_mib))
        return "bind", [numa], "numa: %d was set by the user" % numa
    chosen = nodes.holding(threads, memory_mib)
    if chosen is None:
        raise PlanError("%s needs %d cores and %d MiB; no set of NUMA nodes has that free." % (
            name, threads, memory_mib))
    if len(chosen) == 1:
        return "bind", chosen, "%d cores and %d MiB fit node %d" % (threads, memory_mib, chosen[0])
    return "interleave", chosen, "does not fit one node: spread over the fewest that hold it"
