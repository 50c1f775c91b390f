# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: services
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: The wished services, checked and complete
description:
  - Checks each key of C(inference_services) by name and type and fills in the defaults.
  - Fills in the size and the header's facts of each model where they were found.
options:
  _input:
    description: The services wanted, as in the variable C(inference_services).
    type: list
    required: true
    elements: dict
  releases:
    description: Results of module M(inference.host.model_release), for the models' sizes and facts.
    type: list
    required: false
    elements: dict
  keys:
    description: Keys of the services by name, as in the variable C(service_api_keys); checked, not returned.
    type: dict
    required: false
"""

EXAMPLES = """
- name: Show the models
  ansible.builtin.debug:
    msg: "{{ inference_services | inference.host.services | map(attribute='model') }}"
"""

RETURN = """
_value:
  description: The services with every key.
  type: list
  elements: dict
"""

from ansible_collections.inference.host.plugins.module_utils.services import check_keys, with_releases
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


def services(wanted, releases=(), keys=None):
    complete = with_releases(wanted, releases)
    check_keys(complete, keys or {})
    return complete


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"services": as_filter("services", services)}
