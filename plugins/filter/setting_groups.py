# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: setting_groups
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: A role's kernel settings, and beside them those of the other roles
description:
  - What module M(inference.host.tunables) needs to apply one role's settings and to look, in the same remote call,
    whether those of the other roles are as planned.
options:
  _input:
    description: The key C(settings) of a plan.
    type: list
    elements: dict
    required: true
  role:
    description: The role, such as V(memory).
    type: str
    required: true
"""

EXAMPLES = """
- name: Show the settings of role memory, as module inference.host.tunables takes them
  ansible.builtin.debug:
    msg: "{{ inference_plan.settings | inference.host.setting_groups('memory') }}"
"""

RETURN = """
_value:
  description:
    - C(settings), C(persist_to) and C(digest) of the role, and in C(also_read) the same of each other role that the
      plan has settings for.
  type: dict
"""

from ansible_collections.inference.host.plugins.module_utils.setting_groups import setting_groups
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"setting_groups": as_filter("setting_groups", setting_groups)}
