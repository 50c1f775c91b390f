# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: rollout_instances
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: The plan's instances of one service, or of all
description:
  - A service of which the plan has no instance is refused.
options:
  _input:
    description: The plan.
    type: dict
    required: true
  service:
    description: Name of the service; by default all.
    type: str
"""

EXAMPLES = """
- name: Name the units of one service
  ansible.builtin.debug:
    msg: "{{ inference_plan | inference.host.rollout_instances('chat') | map(attribute='unit') }}"
"""

RETURN = """
_value:
  description: The instances.
  type: list
  elements: dict
"""

from ansible_collections.inference.host.plugins.module_utils.rollout_wishes import rollout_instances
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"rollout_instances": as_filter("rollout_instances", rollout_instances)}
