# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machine's memory and the kernel's settings for it."""

from __future__ import annotations

import re

MEMINFO = "proc/meminfo"
_THP_DIR = "sys/kernel/mm/transparent_hugepage"

_FIELDS = {
    "total_mib": "MemTotal",
    "free_mib": "MemFree",
    "available_mib": "MemAvailable",
    "swap_total_mib": "SwapTotal",
    "swap_free_mib": "SwapFree",
}
_SETTINGS = {
    "swappiness": "proc/sys/vm/swappiness",
    "overcommit_memory": "proc/sys/vm/overcommit_memory",
    "overcommit_ratio": "proc/sys/vm/overcommit_ratio",
    "numa_balancing": "proc/sys/kernel/numa_balancing",
    "zone_reclaim_mode": "proc/sys/vm/zone_reclaim_mode",
}


def meminfo_mib(text, field):
    """Return a field of a meminfo table (the machine's or a node's) in MiB, rounded down, or None."""
    found = re.search(rf"^(?:Node +[0-9]+ +)?{field}:\s+([0-9]{{1,18}}) kB", text, re.MULTILINE)
    return int(found.group(1)) // 1024 if found else None


def read_memory(tree):
    """Return sizes in MiB rounded down, transparent hugepages and the settings of /proc/sys, each None with a note."""
    text = tree.read(MEMINFO)
    memory = {key: meminfo_mib(text or "", field) for key, field in _FIELDS.items()}
    memory.update((key, tree.read_int(path)) for key, path in _SETTINGS.items())
    for key in _FIELDS:
        if memory[key] is None:
            tree.missing("memory." + key, MEMINFO)
    if memory["total_mib"] is None:
        tree.missing("memory_mib", MEMINFO)
    for key, path in _SETTINGS.items():
        if memory[key] is None:
            tree.missing("memory." + key, path)
    memory["transparent_hugepage"] = {}
    for name in ("enabled", "defrag"):
        path = f"{_THP_DIR}/{name}"
        chosen, choices = tree.read_choice(path)
        memory["transparent_hugepage"].update({name: chosen, name + "_choices": choices})
        for key, value in ((name, chosen), (name + "_choices", choices)):
            if not value:
                tree.missing("memory.transparent_hugepage." + key, path)
    return memory
