# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""How many instances each service has and how many threads each of them gets, before any of them has a place.

The numbers rest on the host and on all wishes together, never on where something was placed. So one service more can
take threads from the others, and never gives them any.
"""

from __future__ import annotations

import math

from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.gpus import gpu_cap, gpu_loads
from ansible_collections.inference.host.plugins.module_utils.placement import (
    default_housekeeping,
    node_of_cpus,
    node_order,
    service_limit,
)


def count_instances(service, homes, gpu_count):
    """Return how many instances a checked service has on a host with so many usable GPUs.

    homes: ids of the nodes with CPUs for services and memory. Raises PlanError for one a GPU on a host without.
    """
    if service["instances"] == "per_numa_node":
        return max(1, len(homes))
    if service["instances"] == "per_gpu":
        if gpu_count < service["gpus"]:
            raise PlanError("%s: instances is per_gpu with gpus %d; the host has %d usable GPUs." % (
                service["name"], service["gpus"], gpu_count))
        return gpu_count // service["gpus"]
    return service["instances"]


class Room:
    """The CPUs that services may have, by NUMA node: one a core, or with `smt` all siblings of it.

    total: {node id: CPUs}; free: the same without housekeeping. cores: how many cores they are of. width: CPUs of the
    widest one. gpus: {node id or None: usable GPUs there}. unit, limit: what a CPU is here and what limits their
    number, in words.
    """

    def __init__(self, topology, cores, smt, gpus):
        self.owner = node_of_cpus(topology)
        self.first = node_order(topology)[0]["id"]
        self.smt = smt
        self.cores = len(cores)
        self.width = max(map(len, cores), default=1) if smt else 1
        self.total = self.by_node(cores)
        self.free = dict(self.total)
        self.gpus = gpus
        self.unit = "hardware thread" if smt else "physical core"
        quota = service_limit(topology, "quota_cpus")
        # A quota that one core more would exceed is why there are no more.
        caps = quota and quota < self.count() + self.width
        self.limit = " within its CPU quota of %g" % quota if caps else ""

    def by_node(self, cores):
        """Return {node id: CPUs} of some cores."""
        counts = {}
        for core in cores:
            node = self.owner.get(core[0], self.first)
            counts[node] = counts.get(node, 0) + (len(core) if self.smt else 1)
        return counts

    def keep(self, housekeeping):
        """Take the housekeeping cores out of what is free."""
        for node, count in self.by_node(housekeeping).items():
            self.free[node] -= count

    def count(self):
        return sum(self.total.values())

    def free_count(self):
        return sum(self.free.values())


def housekeeping_count(wish, services, counts, room):
    """Return (cores kept for the OS, nginx and interrupts, {node: how many at most} or None, warning or None).

    The user's number holds, wherever its cores are. The default gives way to what services say they want, of the host
    and of the nodes that they name.
    """
    if wish is not None:
        return wish, None, None
    wanted = 0
    for service in services:
        count = counts[service["name"]]
        wanted += count * occupied((stated(service, count, room) or (1, ""))[0], room.width)
    default = default_housekeeping(room.cores)
    spare = spare_cores(services, counts, room)
    kept = max(0, min(default, (room.count() - wanted) // room.width, sum(spare.values())))
    if kept == default or wanted > room.count():
        return kept, spare, None
    return kept, spare, (
        "%d core(s) instead of %d are kept for the OS, nginx and interrupts, since the services want %d of the %d "
        "%ss." % (kept, default, wanted, room.count(), room.unit))


def spare_cores(services, counts, room):
    """Return {node: whole cores} that services leave which name the node and say how many threads they want."""
    answer = {service["name"]: stated(service, counts[service["name"]], room) for service in services}
    pinned = pinned_cpus(services, counts, {name: wish for name, wish in answer.items() if wish}, room)
    return {node: max(0, count - pinned[node]) // room.width for node, count in room.total.items()}


def threads_wanted(services, counts, room, holding):
    """Return {service name: (threads of each instance, reason)}.

    counts: {service name: instances}. holding: {service name: ids of the nodes whose memory holds an instance}.
    `threads` set by the user wins. `cpu_share` is a fraction of the host's physical cores, with `numa: N` of that
    node's, rounded down, at least one a service, split evenly over its instances. Services that say neither share
    equally what is left, each no more than keeps its instances within one NUMA node.
    """
    answer = {}
    for service in services:
        wish = stated(service, counts[service["name"]], room)
        if wish:
            answer[service["name"]] = wish
    open_ended = [service for service in services if service["name"] not in answer]
    sized = dict(answer)
    left = room.free_count() - sum(occupied(threads, room.width) * counts[name]
                                   for name, (threads, _reason) in answer.items())
    pinned = pinned_cpus(services, counts, answer, room)
    free = {node: count - pinned[node] for node, count in room.free.items()}
    for service in open_ended:
        equal = left // len(open_ended) // counts[service["name"]]
        cap, why = node_cap(service, services, sized, counts, room, free, holding[service["name"]])
        reason = "one thread a %s: an equal part of the %d that are free" % (room.unit, max(left, 0))
        if cap is not None and cap < equal:
            equal, reason = cap, reason + ", " + why
        answer[service["name"]] = whole_cores(equal, room.width), reason
    return answer


def stated(service, count, room):
    """Return (threads, reason) of a service that says how many it wants, or None."""
    if service["threads"]:
        return service["threads"], "threads: %d was set by the user" % service["threads"]
    if not service["cpu_share"]:
        return None
    node = service["numa"] if isinstance(service["numa"], int) else None
    of = room.total.get(node, 0) if node is not None else room.count()
    threads = share_of(service["cpu_share"], of, count, room.width)
    reason = "cpu_share %g of %d %ss" % (service["cpu_share"], of, room.unit)
    reason += " of node %d" % node if node is not None else ""
    return threads, reason + (", over %d instances" % count if count > 1 else "")


def share_of(share, cpus, count, width):
    """Return the threads of each of `count` instances for a share of so many CPUs, in whole cores, at least one."""
    # Rounded first: 0.29 x 100 is a hair below 29 in binary.
    return whole_cores(math.floor(round(share * cpus, 6)) // count, width)


def occupied(threads, width):
    """CPUs that an instance with so many threads keeps from others: it has its cores to itself."""
    return -(-threads // width) * width


def whole_cores(threads, width):
    """Round down to whole cores where siblings run threads; at least one thread."""
    return max(1, threads - threads % width if threads > width else threads)


def instances_at(service, node, counts):
    """How many of the service's instances must be at a node: all that name it, one of those with one a node."""
    if service["instances"] == "per_numa_node":
        return 1
    return counts[service["name"]] if service["numa"] == node else 0


def pinned_cpus(services, counts, answer, room):
    """Return {node: CPUs} that services take which need certain nodes and say how many threads they want."""
    return {node: sum(occupied(answer[service["name"]][0], room.width) * instances_at(service, node, counts)
                      for service in services if service["name"] in answer) for node in room.free}


def node_cap(service, services, sized, counts, room, free, holding):
    """Return (most threads an instance of an open-ended service may have, why), or (None, None) without a bound.

    sized: {name: (threads, reason)} of the services that say how many they want; the others are open-ended. free:
    {node: CPUs} that no service with a stated size is pinned to. holding: nodes whose memory holds an instance.
    """
    open_ended = [other for other in services if other["name"] not in sized]

    def share(node):
        return free.get(node, 0) // sum(instances_at(other, node, counts) for other in open_ended)

    if isinstance(service["numa"], int):
        return share(service["numa"]), "no more than node %d has" % service["numa"]
    if service["numa"] != "auto" or len(free) == 1:
        return None, None
    if service["instances"] == "per_numa_node":
        return min(map(share, holding)) if holding else None, "no more than the smallest node has"
    if service["gpus"] and set(room.gpus) & set(free):
        loads = gpu_loads(services, {name: occupied(wish[0], room.width) for name, wish in sized.items()}, counts)
        wanted = sum(counts[other["name"]] * other["gpus"] for other in open_ended)
        return gpu_cap(service["gpus"], wanted, room.gpus, free, loads), "no more than the nodes of its GPUs have"
    together = sum(counts[other["name"]] for other in open_ended if other["numa"] not in ("interleave", "off"))
    sizes = [free[node] for node in holding if node in free]
    return fitting_threads(sizes, together) if sizes else None, "no more than fit one NUMA node"


def fitting_threads(sizes, count):
    """Return the largest number of threads with which `count` equal instances fit nodes of these sizes, each into one;
    0 where they do not fit with one thread either."""
    for threads in range(max(sizes, default=0), 0, -1):
        if sum(size // threads for size in sizes if size > 0) >= count:
            return threads
    return 0


def check_sum(services, counts, threads, room):
    """Raise PlanError, showing the sum, when the instances' threads exceed the CPUs that services may use."""
    kept = room.count() - room.free_count()
    parts, total = [], kept
    for service in services:
        count, each = counts[service["name"]], threads[service["name"]][0]
        total += count * each
        label = "%s %d" % (service["name"], count * each)
        parts.append(label if count == 1 else "%s (%d x %d)" % (label, count, each))
    if total > room.count():
        parts += ["housekeeping %d" % kept] if kept else []
        raise PlanError(
            "inference_services want %s = %d threads, host has %d %ss%s; lower threads, cpu_share or instances%s."
            % (" + ".join(parts), total, room.count(), room.unit, room.limit,
               ", or topology_housekeeping_cores" if kept else ""))
