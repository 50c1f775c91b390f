# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: numactl_args
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: Arguments of numactl that place a command as the plan places an instance
description:
  - Renders the instance's CPUs as C(--physcpubind) and its memory policy as C(--membind) (bind) or C(--interleave)
    (interleave); with the policy none, only the CPUs.
  - CPUs go by number and not by node (C(--cpunodebind)), since an instance seldom has all CPUs of its nodes.
  - The words hold neither C(numactl) itself nor anything that a shell would change. They say what the unit says, so
    that under the unit they change nothing; they are for what runs beside it, such as a benchmark.
options:
  _input:
    description: One element of the plan's C(instances).
    type: dict
    required: true
"""

EXAMPLES = """
- name: Show the command lines that measure where each instance runs
  ansible.builtin.debug:
    msg: "numactl {{ item | inference.host.numactl_args | join(' ') }} llama-bench --threads {{ item.threads }}"
  loop: "{{ inference_plan.instances }}"

- name: Show the arguments of an instance that is bound to node 0
  ansible.builtin.debug:
    msg: "{{ instance | inference.host.numactl_args }}"
  vars:
    instance: {name: chat-0, cpu_range: "0-7", numa_policy: bind, numa_range: "0"}
  # => ["--physcpubind=0-7", "--membind=0"]

- name: Show the arguments of an instance that is spread over two nodes
  ansible.builtin.debug:
    msg: "{{ instance | inference.host.numactl_args }}"
  vars:
    instance: {name: chat-0, cpu_range: "0-7,16-23", numa_policy: interleave, numa_range: "0-1"}
  # => ["--physcpubind=0-7,16-23", "--interleave=0-1"]
"""

RETURN = """
_value:
  description: Words such as C(--physcpubind=0-7) and C(--membind=0).
  type: list
  elements: str
"""

from ansible_collections.inference.host.plugins.module_utils.command_prefix import numactl_args
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"numactl_args": as_filter("numactl_args", numactl_args)}
