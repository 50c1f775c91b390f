# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: summary
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: What answers where, for the end of a run
description:
  - Shows the plan as a table, then each service's address, completion and tokens per second.
options:
  _input:
    description: The plan.
    type: dict
    required: true
  answers:
    description: Results of C(ansible.builtin.uri), one completion a service.
    type: list
    required: true
    elements: dict
  host:
    description: Address at which clients reach the host.
    type: str
    required: true
"""

EXAMPLES = """
- name: Show the end
  ansible.builtin.debug:
    msg: "{{ inference_plan | inference.host.summary(answers.results, 'gpu1.example.org') }}"
"""

RETURN = """
_value:
  description: Lines of text.
  type: str
"""

from ansible_collections.inference.host.plugins.module_utils.plan_table import summary
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"summary": as_filter("summary", summary)}
