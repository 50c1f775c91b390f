# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: benchmark_compare_table
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: A comparison of two results as a table for a terminal
description:
  - Shows a line for each metric of each run, then what else has changed, which hosts lack results, and a count.
options:
  _input:
    description: What filter P(inference.host.benchmark_compare#filter) returns.
    type: dict
    required: true
"""

EXAMPLES = """
- name: Show how many are better
  ansible.builtin.debug:
    msg: "{{ ({} | inference.host.benchmark_compare('before', 'after') | inference.host.benchmark_compare_table)
             .splitlines() | last }}"
  # => 0 better, 0 worse, 0 no difference, 0 not judged
"""

RETURN = """
_value:
  description: Lines of text.
  type: str
"""

from ansible_collections.inference.host.plugins.module_utils.bench_compare import compare_table
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"benchmark_compare_table": as_filter("benchmark_compare_table", compare_table)}
