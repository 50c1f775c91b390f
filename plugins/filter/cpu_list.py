# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: cpu_list
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: A set of CPUs as a list of ids
description:
  - Takes a list, a range or a mask and gives the list, sorted and each id once.
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
- name: Show the CPUs of a range
  ansible.builtin.debug:
    msg: "{{ '0-3,8' | inference.host.cpu_list }}"
  # => [0, 1, 2, 3, 8]

- name: Show the CPUs of a mask that the kernel wrote
  ansible.builtin.debug:
    msg: "{{ ('0x' ~ '00000001,00000003') | inference.host.cpu_list }}"
  # => [0, 1, 32]
"""

RETURN = """
_value:
  description: CPU ids, sorted.
  type: list
  elements: int
"""

from ansible_collections.inference.host.plugins.module_utils.cpulist import cpu_list
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"cpu_list": as_filter("cpu_list", cpu_list)}
