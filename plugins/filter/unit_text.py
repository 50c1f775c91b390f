# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: unit_text
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: A text for between the quotes of a unit file's Environment line
description:
  - Escapes what systemd would read as its own, and refuses control characters.
options:
  _input:
    description: The text.
    type: str
    required: true
"""

EXAMPLES = """
- name: Show a line
  ansible.builtin.debug:
    msg: 'Environment="RATE={{ "50%" | inference.host.unit_text }}"'
"""

RETURN = """
_value:
  description: The escaped text.
  type: str
"""

from ansible_collections.inference.host.plugins.module_utils.unit_quoting import unit_text
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"unit_text": as_filter("unit_text", unit_text)}
