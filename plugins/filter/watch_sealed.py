# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: watch_sealed
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: Files with the hash for what is secret in them
description:
  - Fills in the options that M(inference.host.files) has for each file. Of a file that is C(sensitive) the C(content)
    is left out, and C(sha256) tells what it is to be.
options:
  _input:
    description: Files as M(inference.host.files) takes them.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = """
- name: Show what is kept of a secret
  ansible.builtin.debug:
    msg: "{{ (files | inference.host.watch_sealed | first).sha256[:8] }}"
  vars:
    files: [{path: /etc/key, content: secret, sensitive: true}]
  # => 2bb80d53
"""

RETURN = """
_value:
  description: The files.
  type: list
  elements: dict
"""

from ansible_collections.inference.host.plugins.module_utils.watch_sealed import sealed
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"watch_sealed": as_filter("watch_sealed", sealed)}
