# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The settings of memory and of huge pages."""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils.checks import integer, matching, one_of, yes_or_no
from ansible_collections.inference.host.plugins.module_utils.hugepages import GIGANTIC_KIB, SIZE_KIB
from ansible_collections.inference.host.plugins.module_utils.setting_rows import Rows, allowed
from ansible_collections.inference.host.plugins.module_utils.tunable_kinds import swap


def swap_path(value):
    return isinstance(value, str) and allowed(swap, {"name": "swap file", "path": value, "value": "1"})


MEMORY_WISHES = {
    "memory_swappiness": integer(0, 200),
    "memory_overcommit": integer(0, 2),
    "memory_overcommit_ratio": integer(0, 100),
    "memory_numa_balancing": integer(0, 2),
    "memory_zone_reclaim": integer(0, 7),
    "memory_dirty_ratio": integer(1, 100),
    "memory_dirty_background_ratio": integer(0, 100),
    "memory_swap_file": (swap_path, "the absolute path of a file on a disk"),
    "memory_swap_file_mib": integer(1, 1 << 24),
    "memory_lock_limit": matching(re.compile(r"(infinity|[0-9]+[KMGT]?)\Z"), "infinity, or a number with K, M, G or T"),
}
HUGEPAGES_WISHES = {
    "hugepages_count": integer(0, 1 << 24),
    "hugepages_gigantic_count": integer(0, 1 << 16),
    "hugepages_at_boot": yes_or_no(),
    "hugepages_group_id": integer(0, 1 << 31),
    "hugepages_transparent": one_of("always", "madvise", "never"),
    "hugepages_defrag": one_of("always", "defer", "defer+madvise", "madvise", "never"),
}
THP = "/sys/kernel/mm/transparent_hugepage/"
NODE = "/sys/devices/system/node/node%s/hugepages/hugepages-%skB/nr_hugepages"
BOOT_SIZES = {SIZE_KIB: "2M", GIGANTIC_KIB: "1G"}
PAGE_WISHES = {SIZE_KIB: "hugepages_count", GIGANTIC_KIB: "hugepages_gigantic_count"}
RETRY_SECONDS = 60
"""How long the kernel gets to free contiguous memory for the pages."""


def memory_rows(topology, wishes, why_not):
    """Return the rows of role memory. why_not: why none applies, or None."""
    rows = Rows("memory", wishes, why_not)
    several = len(topology["numa_nodes"]) > 1
    rows.add("vm.swappiness", rows.value("memory_swappiness", 10),
             "keep the engine's own memory in RAM under page cache pressure", "memory_swappiness")
    rows.add("vm.overcommit_memory", rows.value("memory_overcommit"), "", "memory_overcommit")
    rows.add("vm.overcommit_ratio", rows.value("memory_overcommit_ratio"), "", "memory_overcommit_ratio")
    rows.add("kernel.numa_balancing", rows.value("memory_numa_balancing", 0 if several else None),
             "instances are bound to their node; the scan only costs, and ggml warns of it", "memory_numa_balancing",
             evidence="vendor")
    rows.add("vm.zone_reclaim_mode", rows.value("memory_zone_reclaim", 0 if several else None),
             "a node's page cache holds the model: it must not be dropped while other nodes have room",
             "memory_zone_reclaim")
    rows.add("vm.dirty_ratio", rows.value("memory_dirty_ratio"), "", "memory_dirty_ratio")
    rows.add("vm.dirty_background_ratio", rows.value("memory_dirty_background_ratio"), "",
             "memory_dirty_background_ratio")
    rows.add("swap file", rows.value("memory_swap_file_mib"), "", "memory_swap_file_mib", kind="swap",
             path=rows.value("memory_swap_file", "/swapfile"))
    limit = rows.value("memory_lock_limit")
    rows.add("DefaultLimitMEMLOCK", limit and "[Manager]\nDefaultLimitMEMLOCK=%s\n" % limit, "", "memory_lock_limit",
             kind="file", path="/etc/systemd/system.conf.d/60-inference-memory.conf",
             after=[["systemctl", "daemon-reexec"]])
    return rows.rows


def hugepages_rows(wishes, hugepages, why_not):
    """Return the rows of role hugepages. hugepages: the plan's pages, {node id: {size in KiB: pages}}."""
    rows = Rows("hugepages", wishes, why_not)
    rows.add("transparent_hugepage", rows.value("hugepages_transparent", "madvise"),
             "programs that ask get huge pages, others do not pay for compaction", "hugepages_transparent",
             path=THP + "enabled")
    rows.add("transparent_hugepage defrag", rows.value("hugepages_defrag"), "", "hugepages_defrag", path=THP + "defrag")
    add_pages(rows, hugepages)
    group = rows.value("hugepages_group_id")
    if group is not None:
        rows.add("vm.hugetlb_shm_group", group, "", "hugepages_group_id")
        rows.add("/dev/hugepages", "[Mount]\nOptions=%s\n" % mount_options(group), "",
                 "hugepages_group_id", kind="file", path="/etc/systemd/system/dev-hugepages.mount.d/60-inference.conf",
                 after=[["systemctl", "daemon-reload"], ["systemctl", "try-restart", "dev-hugepages.mount"]])
    if any(pages.get(GIGANTIC_KIB) for pages in hugepages.values()):
        add_gigantic_mount(rows, group)
    return rows.rows


def mount_options(group):
    return "nosuid,nodev" + (",mode=1770,gid=%d" % group if group is not None else "")


def add_gigantic_mount(rows, group):
    """systemd mounts hugetlbfs for one size alone; the other's mount starts with it.

    What has to be done after a change does as well after the files have gone: then the mount is stopped.
    """
    reason = "programs map pages of 1 GiB from a mount of that size"
    rows.add("/dev/hugepages1G", "[Unit]\nDefaultDependencies=no\nConditionPathExists=/sys/kernel/mm/hugepages\n\n"
             "[Mount]\nWhat=hugetlbfs\nWhere=/dev/hugepages1G\nType=hugetlbfs\nOptions=pagesize=1G,%s\n"
             % mount_options(group), reason, kind="file", path="/etc/systemd/system/dev-hugepages1G.mount",
             after=[["systemctl", "daemon-reload"], ["systemctl", "stop", "dev-hugepages1G[.]mount"]])
    rows.add("start of /dev/hugepages1G", "[Unit]\nWants=dev-hugepages1G.mount\n", reason, kind="file",
             path="/etc/systemd/system/dev-hugepages.mount.d/60-inference-1G.conf",
             after=[["systemctl", "daemon-reload"], ["systemctl", "stop", "dev-hugepages1G[.]mount"],
                    ["systemctl", "start", "dev-hugepages.mount"]])


def add_pages(rows, hugepages):
    """One row for each node and size: of a machine-wide number other nodes would make up for one that is short.

    At boot one row holds all, since the order of these parameters counts (hugetlbpage.rst in the kernel's tree).
    """
    sizes = sorted({size for pages in hugepages.values() for size in pages}, key=int)
    nodes = sorted(hugepages, key=int)
    if rows.value("hugepages_at_boot"):
        words = " ".join("hugepagesz=%s hugepages=%s" % (
            BOOT_SIZES[size], ",".join("%s:%d" % (node, hugepages[node].get(size, 0)) for node in nodes))
            for size in sizes)
        rows.add("hugepagesz", words.partition("=")[2] or None, "reserved before memory is fragmented",
                 "hugepages_at_boot", kind="kernel_parameter")
        return
    for node in nodes:
        for size in sizes:
            rows.add("hugepages-%skB node%s" % (size, node), hugepages[node].get(size, 0),
                     "services ask for them with hugepages_mib", PAGE_WISHES[size], path=NODE % (node, size),
                     retry_seconds=RETRY_SECONDS)
