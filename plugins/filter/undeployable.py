# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: undeployable
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: Which services can be planned but not deployed
description:
  - A service is deployed when its model has a source and a checksum, or when its program serves none of ours.
extends_documentation_fragment: inference.host.services
"""

EXAMPLES = """
- name: Say what stands in the way
  ansible.builtin.debug:
    msg: "{{ inference_services | inference.host.services | inference.host.undeployable }}"
"""

RETURN = """
_value:
  description: One sentence, or an empty text where all can be deployed.
  type: str
"""

from ansible_collections.inference.host.plugins.module_utils.deployable import undeployable
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"undeployable": as_filter("undeployable", undeployable)}
