# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: cpu_mask
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: A set of CPUs as a hexadecimal mask
description:
  - Takes a list, a range or a mask and gives the mask, bit N for CPU N.
options:
  _input:
    description:
      - The CPUs as a list of ids, as a range such as C(0-3,8), or as a hexadecimal mask.
      - A mask starts with C(0x), which tells the mask C(0x10) from the CPU C(10); commas between groups of 32 bits are
        allowed. Set C(0x) before a mask of the plan or of the kernel, which have none.
    type: raw
    required: true
  groups:
    description:
      - Whether the mask is spelled as the kernel's files want it, such as C(/proc/irq/24/smp_affinity) and C(rps_cpus).
        That is without C(0x), in groups of 32 bits with eight digits each.
    type: bool
    required: false
    default: false
"""

EXAMPLES = """
- name: Show the mask of a range
  ansible.builtin.debug:
    msg: "{{ '0-7' | inference.host.cpu_mask }}"
  # => "0xff"

- name: Show the mask of 33 CPUs as a file below /proc/irq takes it
  ansible.builtin.debug:
    msg: "{{ '0-32' | inference.host.cpu_mask(groups=true) }}"
  # => "00000001,ffffffff"
"""

RETURN = """
_value:
  description: The mask; C(0x0), or C(00000000) with O(groups), for no CPU.
  type: str
"""

from ansible_collections.inference.host.plugins.module_utils.cpulist import cpu_mask
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"cpu_mask": as_filter("cpu_mask", cpu_mask)}
