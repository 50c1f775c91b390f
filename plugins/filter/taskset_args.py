# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: taskset_args
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: Arguments of taskset that place a command as the plan places an instance
description:
  - Renders the instance's CPUs; C(taskset) knows no memory policy, for which there is
    P(inference.host.numactl_args#filter).
  - The words hold neither C(taskset) itself nor anything that a shell would change.
options:
  _input:
    description: One element of the plan's C(instances).
    type: dict
    required: true
"""

EXAMPLES = """
- name: Show the command lines that measure where each instance runs
  ansible.builtin.debug:
    msg: "taskset {{ item | inference.host.taskset_args | join(' ') }} llama-bench --threads {{ item.threads }}"
  loop: "{{ inference_plan.instances }}"

- name: Show the arguments of one instance
  ansible.builtin.debug:
    msg: "{{ instance | inference.host.taskset_args }}"
  vars:
    instance: {name: chat-0, cpu_range: "0-7"}
  # => ["--cpu-list", "0-7"]
"""

RETURN = """
_value:
  description: The words C(--cpu-list) and the CPUs' range.
  type: list
  elements: str
"""

from ansible_collections.inference.host.plugins.module_utils.command_prefix import taskset_args
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"taskset_args": as_filter("taskset_args", taskset_args)}
