# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: needed_files
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: Files that services need on the host before anything changes
description:
  - The allocators and command prefixes that C(inference_services) names.
  - Module M(inference.host.topology) looks for them, and filter P(inference.host.plan#filter) refuses what is not
    there.
extends_documentation_fragment: inference.host.services
"""

EXAMPLES = """
- name: Read the host, and whether these files are there
  inference.host.topology:
    look_for: "{{ inference_services | inference.host.services | inference.host.needed_files }}"
"""

RETURN = """
_value:
  description: Absolute paths.
  type: list
  elements: str
"""

from ansible_collections.inference.host.plugins.module_utils.service_units import needed_files as needed
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


def needed_files(services):
    return sorted(needed(services))


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"needed_files": as_filter("needed_files", needed_files)}
