# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: benchmark_result
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: What was measured on a host, as it is written to a file
description:
  - Puts what the modules have measured beside the plan and the engines that it was measured with.
options:
  _input:
    description: The host's plan.
    type: dict
    required: true
  host:
    description: Name of the host.
    type: str
    required: true
  label:
    description: Name of the results, such as V(before); letters, digits, C(.), C(_) and C(-).
    type: str
    required: true
  when:
    description: When it began, such as V(2026-11-21T20:00:00Z).
    type: str
    required: true
  engines:
    description: The engines by runtime, as module M(inference.host.engine_info) returns them.
    type: dict
    required: true
  jobs:
    description: What filter P(inference.host.benchmark_jobs#filter) returned.
    type: dict
    required: true
  answers:
    description: The modules' results in the order of the jobs, under C(load) and C(engine).
    type: dict
    required: true
"""

EXAMPLES = """
- name: Show which runs may be compared
  ansible.builtin.debug:
    msg: "{{ result.runs | selectattr('judged') | map(attribute='shape') }}"
  vars:
    result: "{{ inference_plan | inference.host.benchmark_result('box1', 'before', began, {}, jobs, done) }}"
    began: "2026-11-21T20:00:00Z"
    jobs: "{{ inference_plan | inference.host.benchmark_jobs('short-u1') }}"
    done:
      load: [{run: {level: service, service: chat, shape: short-u1, judged: true}}]
      engine: []
  # => [short-u1]
"""

RETURN = """
_value:
  description: The results, with C(version), C(host), C(label), C(when), C(plan), C(engine) and C(runs).
  type: dict
"""

from ansible_collections.inference.host.plugins.module_utils.bench_result import benchmark_result
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"benchmark_result": as_filter("benchmark_result", benchmark_result)}
