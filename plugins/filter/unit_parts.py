# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: unit_parts
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: The texts that the unit of one planned instance is made of
description:
  - Command line, warm-up, environment file, JSON configuration and the lines of a Quadlet file, each from the plan.
  - Refuses a command line that would place the process elsewhere than the plan does.
options:
  engines:
    description: The engines by runtime, as role P(inference.host.runtime#role) finds them.
    type: dict
    required: true
extends_documentation_fragment: inference.host.instance
"""

EXAMPLES = """
- name: Show the environment files
  ansible.builtin.debug:
    msg: "{{ (item | inference.host.unit_parts(runtime_engines, '/var/lib/inference/models')).environment }}"
  loop: "{{ inference_plan.instances }}"
"""

RETURN = """
_value:
  description:
    - C(kind) is C(service), or for containers C(podman), C(docker) or C(quadlet), where podman is found to have it.
    - C(compiled) tells whether the engine makes no code at run time and keeps no files, which no Python package's does.
    - C(exec_start), C(warm_up), C(environment), C(config) and C(tool) are texts or null; C(container) has the keys and
      values of a Quadlet file's section of that name.
  type: dict
"""

from ansible_collections.inference.host.plugins.module_utils.unit_parts import unit_parts
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"unit_parts": as_filter("unit_parts", unit_parts)}
