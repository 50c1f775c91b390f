# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: rolled_back
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: The services with one model at an earlier release
description:
  - Replaces source and checksum of a service's model by those of a release that the host still has. Services that share
    the model go back with it.
options:
  _input:
    description: The services, as C(inference_services) has them.
    type: list
    required: true
    elements: dict
  service:
    description: Name of the service.
    type: str
    required: true
  releases:
    description: The installed releases by model, as M(inference.host.model_releases) returns them.
    type: dict
    required: true
  release:
    description: Name of the release; by default the one that was installed last before the current one.
    type: str
"""

EXAMPLES = """
- name: Show the services with the release before
  ansible.builtin.debug:
    msg: "{{ inference_services | inference.host.rolled_back('chat', model_releases) }}"
"""

RETURN = """
_value:
  description: The services.
  type: list
  elements: dict
"""

from ansible_collections.inference.host.plugins.module_utils.rollout_wishes import rolled_back
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"rolled_back": as_filter("rolled_back", rolled_back)}
