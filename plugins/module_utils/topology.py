# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the host is: one reading of `/sys` and `/proc`."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.discovery import (
    block,
    cgroup,
    copies,
    cpufreq,
    cpuinfo,
    cpus,
    devices,
    kinds,
    memory,
    mounts,
    numa,
    nvidia,
    pci,
    platform_info,
)
from ansible_collections.inference.host.plugins.module_utils.sysfs import Tree

TopologyError = cpus.TopologyError


def read_topology(root="/", look_for=()):
    """Return what the machine whose `/sys` and `/proc` lie below `root` is, as a dictionary that JSON can carry.

    The module `inference.host.topology` documents each key with its unit. CPUs and nodes are the kernel's numbers in
    sorted lists. An answer that could not be had is None (an empty list where a list is expected), and `notes` says
    why under the dotted key (the module's RETURN has the rule of the keys). Reads only, each file once; the only
    programs that it starts are NVIDIA's, on the live machine (root "/") with a loaded NVIDIA driver, each for a limited
    time. `look_for`: absolute paths of which `files` is to say whether they are there. Raises TopologyError where no
    CPU is to be found.
    """
    tree = Tree(root)
    info = cpuinfo.read_cpuinfo(tree)
    present, online = cpus.read_present_and_online(tree, info["processors"])
    table = mounts.read_mounts(tree)
    limits = cgroup.read_limits(tree, online, table)
    memory_facts = memory.read_memory(tree)
    frequency = cpufreq.read_cpufreq(tree, online)
    nodes = numa.read_nodes(tree, online, memory_facts)
    cores = cpus.read_cores(tree, online, info["places"])
    l2, l3 = cpus.read_caches(tree, online, cores)
    gpus = pci.read_gpus(tree, online)
    answer = {
        "cpus": {"present": present, "online": online, "offline": sorted(set(present) - set(online))},
        "cpu": info["cpu"],
        "cores": cores,
        "threads_per_core": max(map(len, cores)),
        "packages": cpus.read_packages(tree, online, info),
        "dies": cpus.read_dies(tree, online),
        "l2": l2,
        "l3": l3,
        "core_kinds": kinds.read_core_kinds(tree, online, info, frequency["policies"]),
        "services": limits["services"],
        "numa_nodes": nodes,
        "distances": numa.read_distances(tree, nodes),
        "memory": memory_facts,
        "memory_mib": memory_facts["total_mib"],
        "cpufreq": frequency,
        "block_devices": block.read_block_devices(tree, table),
        "filesystems": mounts.read_filesystems(tree, table),
        "iommu": pci.read_iommu(tree, gpus),
        "device_groups": devices.read_device_groups(tree),
        "files": devices.look_for(tree, look_for),
        "platform": platform_info.read_platform(tree, info, cgroup.cgroup_version(table)),
    }
    answer["nvidia"], answer["gpus"] = nvidia.read_nvidia(
        tree, gpus, pci.read_nvswitches(tree), contained=answer["platform"]["kind"] == "container")
    now = copies.conditions(answer["nvidia"], gpus, answer["iommu"])
    answer["nvidia"]["copies"] = copies.read_copies(tree, now)
    answer.update(limits["own"])
    answer["notes"] = tree.notes
    return answer
