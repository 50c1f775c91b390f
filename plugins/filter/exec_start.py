# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: exec_start
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: Command line of one planned instance, quoted for a systemd unit
description:
  - Renders threads, port, context and NUMA option of the instance as the engine's arguments, by the names that the
    engine on the host has, behind C(numactl) or C(taskset) where the service wants it.
  - Refuses a command line that would place the process elsewhere than the plan does.
options:
  engine:
    description:
      - The engine of the instance's runtime as role P(inference.host.runtime#role) finds it, with C(path), C(options)
        and C(package). Runtime C(command) needs none.
    type: dict
    required: true
extends_documentation_fragment: inference.host.instance
"""

EXAMPLES = """
- name: Show the command lines
  ansible.builtin.debug:
    msg: "{{ item | inference.host.exec_start(runtime_engines[item.runtime], '/var/lib/inference/models') }}"
  loop: "{{ inference_plan.instances }}"
"""

RETURN = """
_value:
  description: The value of an C(ExecStart=) line.
  type: str
"""

from ansible_collections.inference.host.plugins.module_utils.engine import engine_command
from ansible_collections.inference.host.plugins.module_utils.unit_quoting import systemd_quote
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


def exec_start(instance, engine, models_dir):
    return systemd_quote(engine_command(instance, engine, models_dir))


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"exec_start": as_filter("exec_start", exec_start)}
