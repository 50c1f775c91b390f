# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Arguments of `numactl` and `taskset` that place a command where the plan places an instance.

They say what the unit's drop-in says with AllowedCPUs, NUMAPolicy and NUMAMask, from the same keys of the plan.
"""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.checks import kind
from ansible_collections.inference.host.plugins.module_utils.cpulist import format_cpu_list, parse_cpu_list
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError

PROGRAMS = {"numactl": "/usr/bin/numactl", "taskset": "/usr/bin/taskset"}
"""Where Debian and Red Hat have them."""

# The plan's policy -> option of numactl(8) that takes the nodes.
MEMORY_OPTIONS = {"bind": "--membind", "interleave": "--interleave", "none": None}


def numactl_args(instance):
    """Return numactl's arguments for one of the plan's instances, a list of words.

    CPUs go by number (`--physcpubind`), since the instance seldom has all of its nodes' (`--cpunodebind`).
    Raises PlanError for what is no instance of a plan.
    """
    words = ["--physcpubind=" + part_of(instance, "cpu_range")]
    policy = instance.get("numa_policy")
    if not isinstance(policy, str) or policy not in MEMORY_OPTIONS:
        raise PlanError("%s: numa_policy is %s; it must be one of %s." % (
            instance.get("name", "instance"), kind(policy), ", ".join(MEMORY_OPTIONS)))
    if MEMORY_OPTIONS[policy]:
        words.append("%s=%s" % (MEMORY_OPTIONS[policy], part_of(instance, "numa_range")))
    return words


def taskset_args(instance):
    """Return taskset's arguments for one of the plan's instances, a list of words. Raises PlanError as numactl_args."""
    return ["--cpu-list", part_of(instance, "cpu_range")]


def prefix_words(instance):
    """Return what stands before the instance's command: [], or numactl or taskset with their arguments."""
    prefix = instance["prefix"]
    if prefix not in PROGRAMS:
        return []
    arguments = numactl_args(instance) if prefix == "numactl" else taskset_args(instance)
    # "--" ends the options, so that none of the command's is taken for one.
    return [PROGRAMS[prefix]] + arguments + (["--"] if prefix == "numactl" else [])


def part_of(instance, key):
    """Return the range that the instance has under `key`, or raise PlanError where that is none."""
    if not isinstance(instance, dict):
        raise PlanError("The instance is %s; give one element of the plan's instances." % kind(instance))
    text = instance.get(key)
    try:
        ids = parse_cpu_list(text) if isinstance(text, str) else []
    except ValueError:
        ids = []
    if not ids:
        raise PlanError("%s: %s is %s; it must be a range such as 0-3,8, as in the plan's instances." % (
            instance.get("name", "instance"), key, kind(text)))
    return format_cpu_list(ids)
