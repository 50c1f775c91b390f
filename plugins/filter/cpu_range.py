# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: cpu_range
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: A set of CPUs as a range such as 0-3,8
description:
  - Takes a list, a range or a mask and gives the shortest range, as systemd, C(taskset), cpusets and the kernel's
    command line take it.
options:
  _input:
    description:
      - The CPUs as a list of ids, as a range such as C(0-3,8), or as a hexadecimal mask.
      - A mask starts with C(0x), which tells the mask C(0x10) from the CPU C(10); commas between groups of 32 bits are
        allowed. Set C(0x) before a mask of the plan or of the kernel, which have none.
    type: raw
    required: true
"""

EXAMPLES = """
- name: Show the range of a list
  ansible.builtin.debug:
    msg: "{{ [8, 0, 1, 2, 3] | inference.host.cpu_range }}"
  # => "0-3,8"

- name: Show the range of a mask
  ansible.builtin.debug:
    msg: "{{ '0xff' | inference.host.cpu_range }}"
  # => "0-7"
"""

RETURN = """
_value:
  description: The range; the empty text for no CPU.
  type: str
"""

from ansible_collections.inference.host.plugins.module_utils.cpulist import cpu_range
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"cpu_range": as_filter("cpu_range", cpu_range)}
