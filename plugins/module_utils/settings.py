# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kernel settings of the plan: one row a setting, with its reason, its evidence and whether it applies here."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.checks import kind, suggestion
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.settings_cpu import WISHES as CPU_WISHES
from ansible_collections.inference.host.plugins.module_utils.settings_cpu import cpu_rows
from ansible_collections.inference.host.plugins.module_utils.settings_io import (
    NETWORK_WISHES,
    NVME_WISHES,
    network_rows,
    nvme_rows,
)
from ansible_collections.inference.host.plugins.module_utils.settings_memory import (
    HUGEPAGES_WISHES,
    MEMORY_WISHES,
    hugepages_rows,
    memory_rows,
)
from ansible_collections.inference.host.plugins.module_utils.settings_nvidia import WISHES as NVIDIA_WISHES
from ansible_collections.inference.host.plugins.module_utils.settings_nvidia import nvidia_rows

# What a user may set: variable name -> (check, what is allowed). Null means that the plan chooses.
WISHES = {**CPU_WISHES, **HUGEPAGES_WISHES, **MEMORY_WISHES, **NVME_WISHES, **NETWORK_WISHES, **NVIDIA_WISHES}


def check_wishes(wishes, smt=False):
    """Return the wishes that are set. smt: whether SMT siblings run threads, too.

    Raises PlanError for an unknown name, a value that is not allowed, or siblings that are to run threads offline.
    """
    for name, value in wishes.items():
        if name not in WISHES:
            raise PlanError("%s is not a known setting; %s" % (name, suggestion(name, WISHES)))
        accepts, allowed = WISHES[name]
        if value is not None and not accepts(value):
            raise PlanError("%s is %s; it must be %s." % (name, kind(value), allowed))
    if smt and wishes.get("cpu_smt") is False:
        raise PlanError("topology_smt is true and cpu_smt is false; siblings that are offline run no threads: change "
                        "one of them.")
    return {name: value for name, value in wishes.items() if value is not None}


def plan_settings(topology, wishes, hugepages, irq_cpus):
    """Return the kernel settings, role by role, as setting_rows.Rows describes a row.

    wishes: what check_wishes returned. hugepages: the plan's pages by node and size. irq_cpus: CPUs for interrupts.
    `evidence` is measured, vendor or convention; `why_not` says in words why a setting does not apply here, which is
    not a failure.
    """
    why_not = in_container(topology)
    return [
        *cpu_rows(topology, wishes, irq_cpus, why_not),
        *hugepages_rows(wishes, hugepages, why_not),
        *memory_rows(topology, wishes, why_not),
        *nvme_rows(topology, wishes, why_not),
        *network_rows(wishes, why_not),
        *nvidia_rows(topology, wishes, why_not),
    ]


def idle_wishes(wishes, hugepages, irq_cpus):
    """Return a sentence for each wish that was set and changes nothing, since what it goes with is not there."""
    pages = any(count for sizes in hugepages.values() for count in sizes.values())
    idle = {
        "memory_swap_file": (not wishes.get("memory_swap_file_mib"),
                             "memory_swap_file_mib is not: no swap file is made"),
        "hugepages_at_boot": (not pages, "no huge pages are wanted"),
        "cpu_irq_affinity": (not irq_cpus, "no CPUs are kept for interrupts (topology_housekeeping_cores)"),
    }
    return ["%s is set, and %s." % (name, why) for name, (nothing, why) in idle.items() if wishes.get(name) and nothing]


def in_container(topology):
    """Return why no kernel setting applies inside a container, or None."""
    platform = topology.get("platform") or {}
    if platform.get("kind") != "container":
        return None
    return "container (%s): the kernel belongs to the machine outside" % (platform.get("detail") or "unknown kind")
