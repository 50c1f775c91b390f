# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: benchmark_compare
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: What is better, worse or no different between two results of hosts
description:
  - Compares the runs of two labels, metric by metric, with the ratio of the medians and how low and high the spreads
    let it be. Where the spreads overlap there is V(no difference); a run that is not judged is not compared.
  - Says besides what else has changed between the two, in engines and in the plan's instances.
options:
  _input:
    description: The texts of two files, C(before) and C(after), by host; empty where there is none.
    type: dict
    required: true
  before:
    description: Label of the first.
    type: str
    required: true
  after:
    description: Label of the second.
    type: str
    required: true
"""

EXAMPLES = """
- name: Show what became of the speed
  ansible.builtin.debug:
    msg: "{{ ({'box1': {'before': one | to_json, 'after': two | to_json}}
              | inference.host.benchmark_compare('before', 'after')).hosts[0].rows[0].verdict }}"
  vars:
    one:
      version: 1
      host: box1
      label: before
      when: "2026-11-21T20:00:00Z"
      engine: {}
      plan: {digest: a, services: []}
      runs:
        - {level: service, service: chat, shape: short-u1, parameters: {}, repeats: [], judged: true, why_not: null,
           summary: {tokens_per_second: {median: 15.2, low: 15.0, high: 15.6, n: 5, unit: tokens/s, better: more}}}
    two:
      version: 1
      host: box1
      label: after
      when: "2026-11-21T20:00:00Z"
      engine: {}
      plan: {digest: a, services: []}
      runs:
        - {level: service, service: chat, shape: short-u1, parameters: {}, repeats: [], judged: true, why_not: null,
           summary: {tokens_per_second: {median: 20.1, low: 19.8, high: 20.2, n: 5, unit: tokens/s, better: more}}}
  # => better
"""

RETURN = """
_value:
  description: C(before), C(after), and C(hosts) with C(host), C(missing), C(changes) and C(rows) of each.
  type: dict
"""

from ansible_collections.inference.host.plugins.module_utils.bench_compare import benchmark_compare
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"benchmark_compare": as_filter("benchmark_compare", benchmark_compare)}
