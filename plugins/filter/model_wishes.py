# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: model_wishes
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: The models of services, as module model_release wants them
description:
  - Each model once, in the order of the services, with what its download needs.
  - A model without source and checksum can only be planned with, and is left out.
options:
  headers:
    description: HTTP headers by model name, as in the variable C(model_headers).
    type: dict
    required: false
extends_documentation_fragment: inference.host.services
"""

EXAMPLES = """
- name: Show the models of all services, as module inference.host.model_release takes them
  ansible.builtin.debug:
    msg: "{{ inference_services | inference.host.services | inference.host.model_wishes }}"
"""

RETURN = """
_value:
  description: For O(inference.host.model_release#module:models).
  type: list
  elements: dict
"""

from ansible_collections.inference.host.plugins.module_utils.service_models import model_wishes
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"model_wishes": as_filter("model_wishes", model_wishes)}
