# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: benchmark_file
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: Where the results of a host lie on the controller
description:
  - Refuses a label that cannot name a file.
options:
  _input:
    description: Folder of all results.
    type: str
    required: true
  host:
    description: Name of the host.
    type: str
    required: true
  label:
    description: Name of the results, such as V(before); letters, digits, C(.), C(_) and C(-).
    type: str
    required: true
  variable:
    description: Name of the variable that holds the label, for messages.
    type: str
    required: false
    default: benchmark_label
"""

EXAMPLES = """
- name: Show the path
  ansible.builtin.debug:
    msg: "{{ 'benchmarks' | inference.host.benchmark_file('box1', 'before') }}"
  # => benchmarks/box1/before.json
"""

RETURN = """
_value:
  description: The path.
  type: str
"""

from ansible_collections.inference.host.plugins.module_utils.bench_result import result_file
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"benchmark_file": as_filter("benchmark_file", result_file)}
