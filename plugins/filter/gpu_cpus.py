# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: gpu_cpus
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: The CPUs near to a GPU
description:
  - Gives the online CPUs that share a NUMA node with a GPU.
  - Where the firmware does not tell the GPU's node (null or -1) the kernel calls every CPU near. That is not
    believed; the answer is O(default), or an error without one.
options:
  _input:
    description: The host, as module M(inference.host.topology) returns it.
    type: dict
    required: true
  gpu:
    description:
      - PCI address of the GPU, as C(inference_topology.gpus) has it, or its number from 0 among NVIDIA's GPUs in PCI
        order.
      - The number is the plan's and CUDA's with C(CUDA_DEVICE_ORDER=PCI_BUS_ID). A server's display chip has none.
    type: raw
    required: true
  default:
    description: The answer where no near CPU is known; null is none.
    type: list
    elements: int
    required: false
"""

EXAMPLES = """
# The values are those of a host with a GPU on each of two NUMA nodes; node 1 has the CPUs 8-15 and 24-31.
- name: Show the CPUs near to a GPU
  ansible.builtin.debug:
    msg: "{{ inference_topology | inference.host.gpu_cpus('0000:b3:00.0') | inference.host.cpu_range }}"
  # => "8-15,24-31"

- name: Show the CPUs near to the first GPU, or all where that is not known
  ansible.builtin.debug:
    msg: "{{ inference_topology | inference.host.gpu_cpus(0, default=inference_topology.cpus.online) }}"
  # => [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]
"""

RETURN = """
_value:
  description: CPU ids, sorted; O(default) as it was given.
  type: list
  elements: int
"""

from ansible_collections.inference.host.plugins.module_utils.host_parts import gpu_cpus
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"gpu_cpus": as_filter("gpu_cpus", gpu_cpus)}
