# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: recording
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: A host as the text of a file from which it can be planned
description:
  - The topology in JSON and, as C(models), the name, size and facts of each model that was found.
options:
  _input:
    description: The host, as module M(inference.host.topology) returns it.
    type: dict
    required: true
  models:
    description: Results of module M(inference.host.model_release).
    type: list
    required: false
    elements: dict
"""

EXAMPLES = """
- name: Show a host as a recording
  ansible.builtin.debug:
    msg: "{{ inference_topology | inference.host.recording }}"
"""

RETURN = """
_value:
  description: The text for the file that the variable C(topology_recorded) names.
  type: str
"""

from ansible_collections.inference.host.plugins.module_utils.recording import recording
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"recording": as_filter("recording", recording)}
