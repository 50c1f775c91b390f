# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: plan_table
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: A plan as text for a terminal
description:
  - Draws the instances, the kernel settings and the warnings of a plan as aligned columns.
options:
  _input:
    description: A plan, as filter P(inference.host.plan#filter) returns it.
    type: dict
    required: true
"""

EXAMPLES = """
- name: Show the plan
  ansible.builtin.debug:
    msg: "{{ inference_plan | inference.host.plan_table }}"
"""

RETURN = """
_value:
  description: Lines of text.
  type: str
"""

from ansible_collections.inference.host.plugins.module_utils.plan_table import plan_table
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"plan_table": as_filter("plan_table", plan_table)}
