# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
module: instances
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: Bring inference units to what their unit files say and read back where they run
description:
  - Enables the units, starts those that do not run and restarts, one after the other, those that run with another
    revision than their unit files have.
  - Whether a restart is needed is read from the running process, so an interrupted run can be repeated.
  - Reads the effective CPUs of each process back and fails when they are not the planned ones. Check mode reads them
    too, of what runs already, and does not fail.
options:
  instances:
    description: The units wanted, each with the logical CPU ids that the plan gives to it.
    type: dict
    required: true
  others:
    description: Pattern of the units that this list owns; those that match and are not in it are stopped and disabled.
    type: str
    default: inference-*@*.service
attributes:
  check_mode:
    support: full
    description: Says what would be started, restarted and stopped, and where the units run now.
  diff_mode:
    support: none
    description: States are returned, not compared as text.
"""

EXAMPLES = """
- name: Run two instances
  inference.host.instances:
    instances:
      inference-chat@0.service: [2, 3, 4]
      inference-chat@1.service: [5, 6, 7]
"""

RETURN = """
instances:
  description: What was found and done, a unit each.
  returned: success
  type: list
  elements: dict
  contains:
    unit:
      description: Name of the unit.
      type: str
    action:
      description: C(start), C(restart), or null when nothing was needed.
      type: str
    enabled:
      description: Whether the unit had to be enabled.
      type: bool
    state:
      description: What systemd called the unit before, such as C(active) or C(failed); null where it cannot load it.
      type: str
    effective_cpus:
      description: CPUs that the kernel lets the process use, as a list such as C(0-3); null where none runs.
      type: str
    effective_memory_nodes:
      description: NUMA nodes that the kernel lets the process use; null where none runs.
      type: str
    memory_policy:
      description:
        - The process's NUMA policy in the kernel's words, such as C(bind:0), C(interleave:0-1) or C(default).
        - Null where none runs and on a kernel without NUMA.
      type: str
stopped:
  description: Units that were stopped and disabled because they are no longer wanted.
  returned: success
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.inference.host.plugins.module_utils import units


class Units:
    """The few systemctl calls that the module needs."""

    def __init__(self, module):
        self.module = module

    def systemctl(self, *arguments):
        return self.module.run_command(["systemctl", "--no-pager"] + list(arguments))

    def must(self, unit, *arguments):
        status, _out, error = self.systemctl(*(arguments + (unit,)))
        if status:
            _status, journal, _error = self.module.run_command(
                ["journalctl", "--no-pager", "-n", "20", "-o", "cat", "-u", unit])
            self.module.fail_json(msg="%s could not %s: %s The last lines of its journal:\n%s" % (
                unit, arguments[0], error.strip(), journal.strip()))

    def show(self, names):
        _status, out, _error = self.systemctl("show", "--property=" + ",".join(units.PROPERTIES), *names)
        return units.parse_show(out)

    def remove(self, unit):
        """Stop and disable a unit. Where its unit file is gone already, `disable` leaves the target's link."""
        self.systemctl("stop", unit)
        self.systemctl("disable", unit)
        self.systemctl("reset-failed", unit)
        link = "/etc/systemd/system/multi-user.target.wants/" + unit
        if os.path.islink(link):
            os.unlink(link)

    def strangers(self, pattern, names):
        """Units of the pattern that run, have failed or are enabled, and are not wanted."""
        alive = "--state=active,activating,deactivating,reloading,failed"
        _status, active, _error = self.systemctl("list-units", alive, "--plain", "--no-legend", pattern)
        _status, files, _error = self.systemctl("list-unit-files", "--state=enabled", "--plain", "--no-legend", pattern)
        found = {line.split()[0] for line in (active + files).splitlines() if line.strip()}
        return sorted(name for name in found if name not in names and "@." not in name)


def read(path, size=-1):
    """The file's bytes, or as many of them; nothing when the process has just gone.

    Unbuffered, for the kernel makes no more of `numa_maps` than is read, and all of it takes long for a large model.
    """
    try:
        with open(path, "rb", buffering=0) as handle:
            return handle.read(size)
    except OSError:
        return b""


def process(properties):
    """The texts `status` and the beginning of `numa_maps` of a unit's process; empty where none runs."""
    folder = "/proc/%s/" % properties.get("MainPID", "0")
    return tuple(read(folder + name, size).decode("utf-8", "replace") for name, size in (
        ("status", -1), ("numa_maps", 4096)))


def main():
    module = AnsibleModule(
        argument_spec={
            "instances": {"type": "dict", "required": True},
            "others": {"type": "str", "default": "inference-*@*.service"},
        },
        supports_check_mode=True,
    )
    systemd = Units(module)
    wanted = module.params["instances"]
    stopped = systemd.strangers(module.params["others"], wanted)
    if not module.check_mode:
        for unit in stopped:
            systemd.remove(unit)
        left = systemd.strangers(module.params["others"], wanted)
        if left:
            module.fail_json(msg="%s could not be stopped and disabled." % ", ".join(left))
    found = systemd.show(wanted) if wanted else {}
    if not module.check_mode and any(unit["NeedDaemonReload"] == "yes" for unit in found.values()):
        systemd.systemctl("daemon-reload")
        found = systemd.show(wanted)
    results = [bring_up(module, systemd, unit, cpus, found.get(unit, {})) for unit, cpus in wanted.items()]
    changed = bool(stopped) or any(result["action"] or result["enabled"] for result in results)
    module.exit_json(changed=changed, instances=results, stopped=stopped)


def bring_up(module, systemd, unit, cpus, properties):
    """Enable and (re)start one unit if needed, then read back where it runs."""
    if properties.get("LoadState") != "loaded" and not module.check_mode:
        module.fail_json(msg="%s is not a unit that systemd can load; its unit file is missing or wrong." % unit)
    environ = read("/proc/%s/environ" % properties.get("MainPID", "0"))
    texts = [read(path).decode("utf-8", "replace") for path in units.unit_files(properties)]
    credentials = [(read(source), read("/run/credentials/%s/%s" % (unit, name)))
                   for text in texts for name, source in units.credentials(text)]
    result = {
        "unit": unit,
        "action": units.action_needed(properties, environ, credentials),
        "enabled": properties.get("UnitFileState") != "enabled",
        "state": properties.get("ActiveState") if properties.get("LoadState") == "loaded" else None,
    }
    if module.check_mode:
        return dict(result, **units.effective(*process(properties)))
    if result["enabled"]:
        systemd.must(unit, "enable")
    if result["action"]:
        systemd.systemctl("reset-failed", unit)
        systemd.must(unit, "restart")
        properties = systemd.show([unit])[unit]
    status, numa_maps = process(properties)
    fault = units.placement_fault(unit, cpus, status)
    if fault:
        module.fail_json(msg=fault)
    return dict(result, **units.effective(status, numa_maps))


if __name__ == "__main__":
    main()
