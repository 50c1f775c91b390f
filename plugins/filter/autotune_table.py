# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: autotune_table
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: What autotune would search, or has found, as text
description:
  - A line a service, and below it what else there is to say.
options:
  _input:
    description: What filter P(inference.host.autotune_jobs#filter) returned.
    type: list
    elements: dict
    required: true
  answers:
    description: The module's results in the order of the jobs; without them it is shown what would be searched.
    type: list
    elements: dict
    required: false
"""

EXAMPLES = """
- name: Show what would be searched
  ansible.builtin.debug:
    msg: "{{ jobs | inference.host.autotune_table }}"
  vars:
    jobs: "{{ inference_plan | inference.host.autotune_jobs(inference_topology, inference_services) }}"
"""

RETURN = """
_value:
  description: The text.
  type: str
"""

from ansible_collections.inference.host.plugins.module_utils.autotune_result import autotune_table
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"autotune_table": as_filter("autotune_table", autotune_table)}
