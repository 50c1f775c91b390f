# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The physical cores of a host: which ones services may use, and which ones are kept for everything else.

A core is the list of its usable CPUs, its first thread first. Every function here takes and returns plain lists and
dicts; cores are taken in a fixed order, so the same input always gives the same placement.
"""

from __future__ import annotations

import math

from ansible_collections.inference.host.plugins.module_utils.errors import PlanError


def check_topology(topology):
    """Raise PlanError for something that module `topology` did not return."""
    wanted = {"cpus": dict, "cores": list, "allowed_cpus": list, "numa_nodes": list, "cpu": dict}
    if not isinstance(topology, dict):
        raise PlanError("The topology is no mapping; give what module inference.host.topology returns.")
    for key, shape in wanted.items():
        if not isinstance(topology.get(key), shape):
            raise PlanError("The topology has no %s; give what module inference.host.topology returns." % key)
    if not topology["cpus"].get("online"):
        raise PlanError("The topology has no online CPUs; give what module inference.host.topology returns.")
    for place, node in enumerate(topology["numa_nodes"] or [None]):
        for key in ("id", "cpus", "memory_mib"):
            if not isinstance(node, dict) or key not in node:
                raise PlanError("The topology has no numa_nodes[%d].%s; give what module inference.host.topology "
                                "returns." % (place, key))


def service_limit(topology, name):
    """Return a limit of system services; that of the reading process, such as a login session, is not theirs and
    counts only where the topology has none of services. None is no limit."""
    return (topology.get("services") or topology).get(name, topology.get(name))


def without_siblings(topology):
    """Return the topology as it is read once SMT is off: each core with its first thread alone, the others offline.

    So a plan that turns SMT off stays the same after it has done so.
    """
    gone = {cpu for core in topology["cores"] for cpu in sorted(core)[1:]}

    def rest(cpus):
        return [cpu for cpu in cpus if cpu not in gone]

    changed = dict(topology, cores=[rest(core) for core in topology["cores"]],
                   allowed_cpus=rest(topology["allowed_cpus"]),
                   numa_nodes=[dict(node, cpus=rest(node["cpus"])) for node in topology["numa_nodes"]])
    changed["cpus"] = dict(topology["cpus"], online=rest(topology["cpus"]["online"]),
                           offline=sorted(set(topology["cpus"].get("offline") or []) | gone))
    if topology.get("services"):
        services = topology["services"]
        changed["services"] = dict(services, allowed_cpus=rest(services.get("allowed_cpus") or []))
    if topology.get("core_kinds"):
        changed["core_kinds"] = [rest(cpus) for cpus in topology["core_kinds"]]
    return changed


def core_ranks(topology):
    """Return {CPU: 0 for the most capable kind, 1 for the next, ...}; {} where all cores are alike."""
    return {cpu: rank for rank, kind in enumerate(topology.get("core_kinds") or []) for cpu in kind}


def usable_cores(topology, smt=False):
    """Return the physical cores that system services may use, performance cores first, then by lowest CPU.

    Usable CPUs are online and allowed (cpuset, affinity); a CPU quota then caps their number, at least one core:
    one CPU a core, or with `smt` each of its siblings.
    Sibling sets are the kernel's own (`thread_siblings_list`); shape: list of sorted lists of logical CPU ids.
    """
    allowed = set(topology["cpus"]["online"]) & set(service_limit(topology, "allowed_cpus"))
    known = topology["cores"] or [[cpu] for cpu in topology["cpus"]["online"]]
    cores = [sorted(allowed.intersection(core)) for core in known]
    ranks = core_ranks(topology)
    cores = sorted((core for core in cores if core), key=lambda core: (ranks.get(core[0], 0), core[0]))
    quota = service_limit(topology, "quota_cpus")
    return cores[: within_quota(cores, quota, smt)] if quota else cores


def within_quota(cores, quota, smt):
    """Return how many of the cores, in their order, a quota of so many CPUs keeps busy; at least one."""
    count, left = 0, math.floor(quota)
    for core in cores:
        left -= len(core) if smt else 1
        if left < 0:
            break
        count += 1
    return max(1, count)


def default_housekeeping(core_count):
    """Cores kept for the OS, nginx and interrupts: none below 4 cores, one below 16, else two (convention)."""
    return 0 if core_count < 4 else 1 if core_count < 16 else 2


def node_order(topology):
    """Return the NUMA nodes by their lowest CPU, those without CPUs last: an order that numbering them anew keeps."""
    return sorted(topology["numa_nodes"], key=lambda node: (not node["cpus"], min(node["cpus"] or [0]), node["id"]))


def home_nodes(topology):
    """Return the ids of the nodes with CPUs and memory, in node_order: the only ones that an instance is bound to or
    spread over. The only node of a host is one even where dumps and containers give it no memory of its own."""
    nodes = node_order(topology)
    return [node["id"] for node in nodes if len(nodes) == 1 or (node["cpus"] and node["memory_mib"])]


def memory_nodes(topology):
    """Return the ids of the nodes with memory, with or without CPUs; of one node alone whatever it is said to have."""
    nodes = topology["numa_nodes"]
    return [node["id"] for node in nodes if len(nodes) == 1 or node["memory_mib"]]


def node_of_cpus(topology):
    """Return {CPU: NUMA node id}. Where the kernel names a CPU in several nodes, it belongs to the first in order."""
    owner = {}
    for node in node_order(topology):
        for cpu in node["cpus"]:
            owner.setdefault(cpu, node["id"])
    return owner


def split_housekeeping(topology, cores, count, spare=None):
    """Return (housekeeping cores, the rest in their order).

    Kept are cores of the least capable kind, evenly from the nodes, on each the one with the lowest CPU first, where
    interrupts land by default; of a node no more than `spare` ({node id: cores}) says. Raises PlanError when nothing
    would be left for the services.
    """
    if not cores:
        raise PlanError("The host has no CPU that system services may use (cpuset, affinity).")
    if count >= len(cores):
        raise PlanError("topology_housekeeping_cores is %d; the host has %d usable physical cores and services need "
                        "at least one." % (count, len(cores)))
    ranks, owner = core_ranks(topology), node_of_cpus(topology)
    turn, keys = {}, {}
    for core in sorted(cores):
        group = (-ranks.get(core[0], 0), owner.get(core[0]))
        keys[core[0]] = (group[0], turn.get(group, 0), core[0])
        turn[group] = turn.get(group, 0) + 1
    kept, spare = [], spare and dict(spare)
    for core in sorted(cores, key=lambda core: keys[core[0]]):
        node = owner.get(core[0], node_order(topology)[0]["id"])
        if len(kept) < count and (spare is None or spare.get(node, 0) > 0):
            kept.append(core)
            if spare is not None:
                spare[node] -= 1
    return sorted(kept), [core for core in cores if core not in kept]
