# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: benchmark_table
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: Results of a benchmark as a table for a terminal
description:
  - Shows each run with the median of its repeats, the lowest and the highest; of one that is not judged why.
options:
  _input:
    description: What filter P(inference.host.benchmark_result#filter) returns.
    type: dict
    required: true
"""

EXAMPLES = """
- name: Show the speed
  ansible.builtin.debug:
    msg: "{{ (result | inference.host.benchmark_table).split()[-1] }}"
  vars:
    result:
      version: 1
      host: box1
      label: before
      when: "2026-11-21T20:00:00Z"
      engine: {}
      plan: {digest: a, services: []}
      runs:
        - {level: service, service: chat, shape: short-u1, parameters: {}, repeats: [], judged: true, why_not: null,
           summary: {tokens_per_second: {median: 15.2, low: 15.0, high: 15.6, n: 5, unit: tokens/s, better: more}}}
  # => ok
"""

RETURN = """
_value:
  description: Lines of text.
  type: str
"""

from ansible_collections.inference.host.plugins.module_utils.bench_result import result_table
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"benchmark_table": as_filter("benchmark_table", result_table)}
