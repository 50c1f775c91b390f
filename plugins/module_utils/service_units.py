# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What all instances of a service share of their units, and what the host must have for them."""

from __future__ import annotations

import math

from ansible_collections.inference.host.plugins.module_utils.command_prefix import PROGRAMS
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError

COPIED = ("name", "runtime", "nice", "io", "gpus", "scheduling", "oom_score")
STEPS_SINCE = 254
"""The systemd version whose RestartSteps= and RestartMaxDelaySec= make delays grow."""
GPU_GROUPS = ("nvidia*",)
"""A pattern for where the kernel's names are not known."""
UVM = "nvidia-uvm"
"""CUDA's unified memory: a module that is loaded later than the driver, maybe after the host was read."""


def planned_services(services, systemd_version):
    """Return what units need of each checked service. systemd_version: an int, or None where it is not known."""
    return [dict({key: service[key] for key in COPIED}, restart=planned_restart(service["restart"], systemd_version))
            for service in services]


def planned_restart(restart, systemd_version):
    """Return the checked `restart` with `steps`: in how many steps the delay grows; None where systemd cannot do that,
    and the delay stays as it begins. About doubled in each step."""
    growth = restart["max_delay_seconds"] / restart["delay_seconds"]
    able = systemd_version is not None and systemd_version >= STEPS_SINCE
    return dict(restart, steps=max(1, math.ceil(math.log2(growth))) if able and growth > 1 else None)


def device_groups(topology, services):
    """Return the groups of devices that units with GPUs may open, as `DeviceAllow=char-NAME` takes them; [] without."""
    if not any(service["gpus"] for service in services):
        return []
    names = [name for name in topology.get("device_groups") or [] if name.startswith("nvidia")]
    return sorted(set(names) | {UVM}) if names else list(GPU_GROUPS)


def needed_files(services):
    """Return {path: (service, key)} of the files that checked services need on the host before anything changes.

    Programs of runtime command are not among them: role runtime looks for these with the other engines.
    """
    needed = {}
    for service in services:
        if service["allocator"]:
            needed.setdefault(service["allocator"], (service["name"], "allocator"))
        if service["prefix"] in PROGRAMS:
            needed.setdefault(PROGRAMS[service["prefix"]], (service["name"], "prefix"))
    return needed


def check_files(services, topology):
    """Raise PlanError for a file that is needed and not on the host. What was not looked for is not judged."""
    found = topology.get("files") or {}
    for path, (name, key) in needed_files(services).items():
        if found.get(path, True):
            continue
        raise PlanError("%s: %s needs %s, which is not on the host; install it first, or leave %s out." % (
            name, key, path, key))
