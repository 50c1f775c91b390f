# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: thread_count
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: Threads for a share of a host's physical cores
description:
  - Counts the physical cores that system services may use, one thread a core, and takes a share of them, rounded down,
    at least one.
  - The cores are online, allowed by cpuset and affinity, and no more than the CPU quota. They are the plan's, so that
    O(share) and O(node) give what a service of one instance gets by its C(cpu_share) and C(numa). Housekeeping cores
    are among them.
options:
  _input:
    description: The host, as module M(inference.host.topology) returns it.
    type: dict
    required: true
  share:
    description: Part of the cores, above 0 and at most 1.
    type: float
    required: false
    default: 1.0
  smt:
    description:
      - Whether the cores' usable CPUs (SMT siblings) are counted instead. More threads than one core runs are rounded
        down to whole cores.
    type: bool
    required: false
    default: false
  node:
    description: Number of the NUMA node whose cores count; null counts those of all nodes.
    type: int
    required: false
"""

EXAMPLES = """
# The values are those of a host with two sockets (NUMA nodes) of 8 cores and 16 CPUs each.
- name: Show one thread for each physical core
  ansible.builtin.debug:
    msg: "{{ inference_topology | inference.host.thread_count }}"
  # => 16

- name: Show the threads for 80 % of the cores
  ansible.builtin.debug:
    msg: "{{ inference_topology | inference.host.thread_count(share=0.8) }}"
  # => 12

- name: Show the threads for all of node 1, siblings included
  ansible.builtin.debug:
    msg: "{{ inference_topology | inference.host.thread_count(smt=true, node=1) }}"
  # => 16
"""

RETURN = """
_value:
  description: Number of threads, at least 1.
  type: int
"""

from ansible_collections.inference.host.plugins.module_utils.host_parts import thread_count
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"thread_count": as_filter("thread_count", thread_count)}
