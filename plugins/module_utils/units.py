# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What systemd and the kernel say of running units, and what must be done about it."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.cpulist import format_cpu_list, parse_cpu_list

REVISION = "INFERENCE_REVISION"
"""Environment variable that each unit sets to a digest of itself: what runs is compared with what is written."""

PROPERTIES = (
    "Id", "LoadState", "ActiveState", "UnitFileState", "MainPID", "InvocationID", "Environment", "NeedDaemonReload",
    "FragmentPath", "DropInPaths")


def parse_show(text):
    """Return {unit: {property: value}} from the output of `systemctl show` for several units."""
    units = {}
    for block in text.strip().split("\n\n"):
        pairs = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in pairs:
            units[pairs["Id"]] = pairs
    return units


def wanted_revision(properties):
    """Return the revision that the unit files ask for, or None where the unit sets none."""
    for word in properties.get("Environment", "").split():
        if word.startswith(REVISION + "="):
            return word[len(REVISION) + 1:]
    return None


def running_revision(environ):
    """Return the revision in a process's environment (`/proc/PID/environ`, bytes), or None."""
    for entry in environ.split(b"\0"):
        if entry.startswith(REVISION.encode() + b"="):
            return entry.split(b"=", 1)[1].decode("ascii", "replace")
    return None


def is_enabled(properties):
    """Return whether a unit starts at boot. One that a generator has made, as for a Quadlet file, cannot be enabled."""
    return properties.get("UnitFileState") in ("enabled", "generated")


def unit_files(properties):
    """Return the paths of the files that make up a unit, the fragment first."""
    return (properties.get("FragmentPath", "") + " " + properties.get("DropInPaths", "")).split()


def credentials(text):
    """Return the credentials that a unit file's `LoadCredential=` lines load, as (name, path of the source) pairs.

    They are read from the file because `systemctl show` (version 252) prints LoadCredential as `[unprintable]`.
    """
    values = [line.split("=", 1)[1].strip() for line in text.splitlines() if line.startswith("LoadCredential=")]
    return [tuple(value.split(":", 1)) for value in values if ":" in value]


def action_needed(properties, environ, loaded_credentials=()):
    """Return `start`, `restart` or None for one unit.

    The decision rests on what runs, not on what this run changed, so that an interrupted run can be repeated.
    `loaded_credentials`: (content of the source, content that the process got) pairs.
    """
    if properties.get("ActiveState") != "active":
        return "start"
    if wanted_revision(properties) != running_revision(environ):
        return "restart"
    return "restart" if any(wanted != got for wanted, got in loaded_credentials) else None


def status_field(status, name):
    """Return a field of `/proc/PID/status`, such as Cpus_allowed_list, or None."""
    for line in status.splitlines():
        if line.startswith(name + ":"):
            return line.split(":", 1)[1].strip()
    return None


def memory_policy(numa_maps):
    """Return the policy in the first line of `/proc/PID/numa_maps`, such as `bind:0`, or None where there is none.

    The kernel shows the process's own policy for memory that has no other; mode flags, as in `bind=static:0`, are
    left out.
    """
    words = numa_maps.split("\n", 1)[0].split()
    if len(words) < 2:
        return None
    mode, colon, nodes = words[1].partition(":")
    return mode.split("=", 1)[0] + colon + nodes


def effective(status, numa_maps):
    """Return where a process runs, from the texts of its `/proc/PID/status` and the beginning of its `numa_maps`."""
    return {
        "effective_cpus": status_field(status, "Cpus_allowed_list"),
        "effective_memory_nodes": status_field(status, "Mems_allowed_list"),
        "memory_policy": memory_policy(numa_maps),
    }


def wanted_policy(instance):
    """Return the memory policy that the plan gives to an instance, in the kernel's words: see `memory_policy`."""
    if instance["numa_policy"] == "none":
        return "default"
    return "%s:%s" % (instance["numa_policy"], instance["numa_range"])


def placement_fault(instance, status, numa_maps=""):
    """Return a sentence when a process does not run where the plan says, or None.

    instance: of the plan, with unit, cpus, numa_policy and numa_range. status, numa_maps: the texts of
    `/proc/PID/status` and the beginning of `/proc/PID/numa_maps`; "" where no process runs. What the kernel does not
    tell is no fault.
    """
    found = effective(status, numa_maps)
    cpus, nodes, policy = found["effective_cpus"], found["effective_memory_nodes"], found["memory_policy"]
    unit = instance["unit"]
    if cpus is not None and parse_cpu_list(cpus) != sorted(instance["cpus"]):
        return "%s runs on CPUs %s; the plan says %s: its cpuset or CPUAffinity= did not take effect." % (
            unit, cpus, format_cpu_list(instance["cpus"]))
    if policy is not None and policy != wanted_policy(instance):
        return "%s runs with the memory policy %s; the plan says %s: its NUMAPolicy= did not take effect." % (
            unit, policy, wanted_policy(instance))
    if withheld_nodes(instance, nodes):
        return "%s may use memory of NUMA nodes %s; the plan says %s: a cpuset above it withholds %s." % (
            unit, nodes, instance["numa_range"], format_cpu_list(withheld_nodes(instance, nodes)))
    return None


def withheld_nodes(instance, allowed):
    """Return the NUMA nodes of an instance that are not in the list `allowed` (None: not known), such as `0-1`."""
    if instance["numa_policy"] == "none" or allowed is None:
        return []
    return sorted(set(parse_cpu_list(instance["numa_range"])) - set(parse_cpu_list(allowed)))
