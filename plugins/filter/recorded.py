# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: recorded
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: A host from the text of its recording
description:
  - The reverse of filter P(inference.host.recording#filter). A text that is no recording is refused with one sentence.
options:
  _input:
    description: The text of the file, or null where there is none.
    type: str
    required: true
  path:
    description: The file's path, for the sentence.
    type: str
    required: true
"""

EXAMPLES = """
- name: Show how many physical cores a recorded host has
  ansible.builtin.debug:
    msg: "{{ (text | inference.host.recorded('gpu1.json')).topology.cores | length }}"
  vars:
    text: "{{ inference_topology | inference.host.recording }}"
"""

RETURN = """
_value:
  description: C(topology) as module M(inference.host.topology) returns it, and the list C(models).
  type: dict
"""

from ansible_collections.inference.host.plugins.module_utils.recording import recorded
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"recorded": as_filter("recorded", recorded)}
