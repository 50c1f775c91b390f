# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: benchmark_jobs_table
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: What would be measured, as a table for a terminal
description:
  - Shows each shape with the longest time that it may take, and of those that are not measured why.
options:
  _input:
    description: What filter P(inference.host.benchmark_jobs#filter) returns.
    type: dict
    required: true
"""

EXAMPLES = """
- name: Show what would be measured
  ansible.builtin.debug:
    msg: "{{ inference_plan | inference.host.benchmark_jobs('short') | inference.host.benchmark_jobs_table }}"
"""

RETURN = """
_value:
  description: Lines of text.
  type: str
"""

from ansible_collections.inference.host.plugins.module_utils.bench_jobs import jobs_table
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"benchmark_jobs_table": as_filter("benchmark_jobs_table", jobs_table)}
