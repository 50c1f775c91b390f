# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Unlike cores: performance and efficiency cores, big and little ones."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.discovery.cpuinfo import CPUINFO
from ansible_collections.inference.host.plugins.module_utils.discovery.cpus import CPU_DIR, group_by

_GAP = 1.1
"""Figures that follow each other within a tenth belong to one kind: turbo limits of favoured cores differ by less."""


def read_core_kinds(tree, online, info, policies):
    """Return the CPU lists of unlike cores, the most capable first; [] where all are alike or nothing tells them apart.

    Which are more capable: by `cpu_capacity`, else by maximum, else by base frequency; without any of these Intel's
    `cpu_atom` comes last and other kinds stand by their lowest CPU.

    Rule: the first source that tells two kinds apart decides, from what the cores are to how fast they are set:

    1. the part number of each CPU (Arm) or its microarchitecture (RISC-V), from /proc/cpuinfo;
    2. the CPU lists of the core PMUs (`/sys/devices/cpu_core/cpus` and `cpu_atom` on Intel, `armv8_*` on Arm),
       when they are disjoint and cover all online CPUs;
    3. `base_frequency` (intel_pstate);
    4. `cpu_capacity`;
    5. the hardware's maximum frequency.

    The figures of 3 to 5 are cut where one is over a tenth above the next lower: GB10 has five capacities for two
    kinds of cores. A CPU without the figure makes its source unusable. `info` is what cpuinfo.read_cpuinfo returns,
    `policies` are those of the cpufreq discovery. A source that is there and cannot be used gives a note, since a
    better one may have been lost.
    """
    parts = info["parts"]
    capacity = {cpu: tree.read_int(f"{CPU_DIR}/cpu{cpu}/cpu_capacity") for cpu in online}
    maximum, base = _by_policy(policies, "max_khz"), _by_policy(policies, "base_khz")
    kinds = group_by(online, parts.get) if all(cpu in parts for cpu in online) else []
    if len(kinds) < 2:
        kinds = _by_pmu(tree, online)
    _add_note(tree, online, info, {"cpu_capacity": capacity, "max_khz": maximum, "base_khz": base})
    for figure in (base, capacity, maximum):
        if len(kinds) < 2 and _complete(figure, online):
            kinds = cut_at_gaps({cpu: figure[cpu] for cpu in online})
    if len(kinds) < 2:
        return []
    for figure in (capacity, maximum, base):
        if _complete(figure, online):
            return sorted(kinds, key=lambda cpus, figure=figure: -max(figure[cpu] for cpu in cpus))
    return kinds


def _complete(figure, online):
    return all((figure.get(cpu) or 0) > 0 for cpu in online)


def _add_note(tree, online, info, figures):
    if not info["readable"]:
        tree.note("core_kinds", f"May be wrong: {tree.why(CPUINFO)}.")
    elif info["parts"] and not all(cpu in info["parts"] for cpu in online):
        tree.note("core_kinds", f"May be wrong: /{CPUINFO} does not tell the part of each CPU.")
    for name, figure in figures.items():
        if any(figure.values()) and not _complete(figure, online):
            tree.note("core_kinds", f"May be wrong: {name} is not known of each CPU.")


def cut_at_gaps(values):
    """Return the CPUs of {cpu: figure} in groups of like figures, cut where a figure is over a tenth above the last."""
    kind, kinds, last = -1, {}, None
    for value in sorted(set(values.values())):
        if last is None or value > last * _GAP:
            kind += 1
        kinds[value] = kind
        last = value
    return group_by(values, lambda cpu: kinds[values[cpu]])


def _by_policy(policies, key):
    return {cpu: policy[key] for policy in policies for cpu in policy["cpus"]}


def _by_pmu(tree, online):
    """Return the CPU lists of the core PMUs, `cpu_atom` last; [] unless they are a partition of the online CPUs."""
    wanted, sets = set(online), []
    names = tree.names("sys/devices", r"(cpu_|armv|apple_)[A-Za-z0-9_.-]+")
    for name in sorted(names, key=lambda name: (name == "cpu_atom", name)):
        path = f"sys/devices/{name}/cpus"
        cpus = wanted.intersection(tree.read_list(path) or [])
        if cpus:
            sets.append(sorted(cpus))
    covered = set().union(*sets)
    if covered == wanted and len(covered) == sum(map(len, sets)):
        return sets
    if sets:
        tree.note("core_kinds", "May be wrong: the CPU lists of the core PMUs are not a partition of the online CPUs.")
    return []
