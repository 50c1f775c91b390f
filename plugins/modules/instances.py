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
    revision than their unit files have, or on other CPUs or with another memory policy than planned.
  - Whether a restart is needed is read from the running process, so an interrupted run can be repeated.
  - Reads back where each process runs and fails when that is not as planned. Check mode reads it too, of what runs
    already, and does not fail.
options:
  instances:
    description:
      - The instances wanted, as they stand in the plan. Of each are read C(unit), C(cpus), C(numa_policy) and
        C(numa_range).
    type: list
    elements: dict
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
    instances: "{{ inference_plan.instances }}"

- name: Stop and disable all
  inference.host.instances:
    instances: []
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
    moved:
      description: How the process ran elsewhere than planned, where that alone is why it is restarted; else null.
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

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.inference.host.plugins.module_utils import systemd, unit_work


def main():
    module = AnsibleModule(
        argument_spec={
            "instances": {"type": "list", "elements": "dict", "required": True},
            "others": {"type": "str", "default": "inference-*@*.service"},
        },
        supports_check_mode=True,
    )
    try:
        result = unit_work.run(systemd.Systemd(module.run_command), module.params["instances"],
                               module.params["others"], module.check_mode)
    except systemd.UnitError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
