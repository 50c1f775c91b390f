# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: json_text
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: JSON that people read and compare line by line
description:
  - Keys are sorted; a list of numbers, and whatever else has no mapping in it or fits a line, stands on one line.
options:
  _input:
    description: A value that JSON can carry, such as a plan.
    type: raw
    required: true
"""

EXAMPLES = """
- name: Show the plan as it is written to a file
  ansible.builtin.debug:
    msg: "{{ inference_plan | inference.host.json_text }}"
"""

RETURN = """
_value:
  description: The text, with an end of line.
  type: str
"""

from ansible_collections.inference.host.plugins.module_utils.json_text import json_text
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"json_text": as_filter("json_text", json_text)}
