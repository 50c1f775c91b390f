# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: autotune_measured
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: What autotune has found, as the variable inference_measured
description:
  - Puts what module M(inference.host.autotune) has found better beside what an earlier run has kept.
  - A service for which nothing was better than the plan's own choice has no entry; one that could not be judged keeps
    what it had.
options:
  _input:
    description: What an earlier run has written, C(inference_measured).
    type: dict
    required: true
  jobs:
    description: What filter P(inference.host.autotune_jobs#filter) returned.
    type: list
    elements: dict
    required: true
  answers:
    description: The module's results in the order of the jobs.
    type: list
    elements: dict
    required: true
  when:
    description: When it began, such as V(2026-11-21T20:00:00Z).
    type: str
    required: true
  engine:
    description: The engine of llama.cpp, as module M(inference.host.engine_info) returns it.
    type: dict
    required: false
"""

EXAMPLES = """
- name: Show what is kept of a run in which nothing could be judged
  ansible.builtin.debug:
    msg: "{{ {'other': {}} | inference.host.autotune_measured([], [], '2026-11-21T20:00:00Z') }}"
  # => {other: {}}
"""

RETURN = """
_value:
  description: The variable's new value.
  type: dict
"""

from ansible_collections.inference.host.plugins.module_utils.autotune_result import autotune_measured
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"autotune_measured": as_filter("autotune_measured", autotune_measured)}
