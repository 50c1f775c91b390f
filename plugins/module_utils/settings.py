# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kernel settings of the plan: one row a setting, with its reason, its evidence and whether it applies here."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.checks import integer, kind, one_of, suggestion
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError

THP = "/sys/kernel/mm/transparent_hugepage/enabled"

# What a user may set: variable name -> (check, what is allowed). Null means that the plan chooses.
WISHES = {
    "cpu_governor": one_of("performance", "powersave", "schedutil", "ondemand", "conservative", "userspace"),
    "hugepages_count": integer(0, 1 << 24),
    "hugepages_transparent": one_of("always", "madvise", "never"),
    "memory_swappiness": integer(0, 200),
    "memory_overcommit": integer(0, 2),
    "memory_numa_balancing": integer(0, 2),
    "nvme_scheduler": one_of("none", "mq-deadline", "kyber", "bfq"),
    "nvme_nr_requests": integer(4, 65536),
    "nvme_read_ahead_kib": integer(0, 1 << 16),
    "network_somaxconn": integer(128, 65535),
    "network_slow_start_after_idle": integer(0, 1),
}


def check_wishes(wishes):
    """Return the wishes that are set. Raises PlanError for an unknown name or a value that is not allowed."""
    for name, value in wishes.items():
        if name not in WISHES:
            raise PlanError("%s is not a known setting; %s" % (name, suggestion(name, WISHES)))
        accepts, allowed = WISHES[name]
        if value is not None and not accepts(value):
            raise PlanError("%s is %s; it must be %s." % (name, kind(value), allowed))
    return {name: value for name, value in wishes.items() if value is not None}


def plan_settings(topology, wishes, hugepages):
    """Return the kernel settings; hugepages: the plan's pages by node and size.

    Each setting is {role, name, kind, path, value, reason, evidence, applies, why_not}: `kind` is sysctl (the path
    follows from the name) or sysfs (`path` is a file or a glob); `evidence` is measured, vendor or convention;
    `why_not` says in words why a setting does not apply here, which is not a failure.
    """
    wishes = check_wishes(wishes)
    missing = {
        "cpu": no_governor(topology, wishes.get("cpu_governor", "performance")),
        "nvme": None if nvme_disks(topology) else "no NVMe disk",
    }
    container = in_container(topology)
    settings = []

    def add(role, name, wish, default, reason, path=None, evidence="convention"):
        value = wishes.get(wish, default)
        if value is None:
            return
        why_not = container or missing.get(role)
        settings.append({
            "role": role, "name": name, "kind": "sysfs" if path else "sysctl", "path": path, "value": str(value),
            "reason": "%s was set by the user" % wish if wish in wishes else reason,
            "evidence": "convention" if wish in wishes else evidence, "applies": why_not is None, "why_not": why_not,
        })

    add("cpu", "governor", "cpu_governor", "performance", "steady clock under short bursts of work",
        "/sys/devices/system/cpu/cpufreq/policy*/scaling_governor")
    pages = sum(count for sizes in hugepages.values() for count in sizes.values())
    add("hugepages", "vm.nr_hugepages", "hugepages_count", pages or None, "services ask for them with hugepages_mib")
    add("hugepages", "transparent_hugepage", "hugepages_transparent", "madvise",
        "programs that ask get huge pages, others do not pay for compaction", THP)
    add("memory", "vm.swappiness", "memory_swappiness", 10,
        "keep the engine's own memory in RAM under page cache pressure")
    add("memory", "vm.overcommit_memory", "memory_overcommit", None, "")
    add("memory", "kernel.numa_balancing", "memory_numa_balancing", 0 if len(topology["numa_nodes"]) > 1 else None,
        "instances are bound to their node; the scan only costs, and ggml warns of it", evidence="vendor")
    add("nvme", "scheduler", "nvme_scheduler", "none", "NVMe queues in hardware; distributions keep it",
        "/sys/block/nvme*n*/queue/scheduler", evidence="vendor")
    add("nvme", "nr_requests", "nvme_nr_requests", None, "", "/sys/block/nvme*n*/queue/nr_requests")
    add("nvme", "read_ahead_kb", "nvme_read_ahead_kib", None, "", "/sys/block/nvme*n*/queue/read_ahead_kb")
    add("network", "net.core.somaxconn", "network_somaxconn", 4096, "bursts of new connections wait instead of failing")
    add("network", "net.ipv4.tcp_slow_start_after_idle", "network_slow_start_after_idle", 0,
        "kept-alive streams keep their window between answers")
    return settings


def in_container(topology):
    """Return why no kernel setting applies inside a container, or None."""
    platform = topology.get("platform") or {}
    if platform.get("kind") != "container":
        return None
    return "container (%s): the kernel belongs to the machine outside" % (platform.get("detail") or "unknown kind")


def no_governor(topology, governor):
    """Return why the governor cannot be set here, or None."""
    frequency = topology.get("cpufreq") or {}
    # The driver is null where policies have different ones.
    if frequency.get("driver") or frequency.get("policies"):
        offered = frequency.get("governors")
        if offered and governor not in offered:
            return "the driver offers %s, not %s" % (", ".join(offered), governor)
        return None
    if (topology.get("platform") or {}).get("kind") == "vm":
        return "virtual machine: the clock belongs to its host"
    return "no cpufreq driver"


def nvme_disks(topology):
    return [disk for disk in topology.get("block_devices") or [] if disk["kind"] == "nvme"]
