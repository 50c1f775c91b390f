# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: plan
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: The plan of one host from what it is and what is wanted
description:
  - Computes where each instance of each service runs (threads, CPUs, NUMA node, port) and which kernel settings
    apply, each with its reason.
  - Pure. The same input gives the same output and nothing is read or changed.
options:
  _input:
    description: The host, as module M(inference.host.topology) returns it.
    type: dict
    required: true
  services:
    description: The services wanted, as in the variable C(inference_services).
    type: list
    required: true
    elements: dict
  policy:
    description:
      - Housekeeping cores, memory headroom, ports and kernel settings; what is absent or null is chosen by the plan.
    type: dict
    required: false
  measured:
    description:
      - What C(playbooks/autotune.yml) has measured on the host, as in the variable C(inference_measured). It fills what
        the services leave to the plan, where it holds for this host; else a warning says why not.
    type: dict
    required: false
"""

EXAMPLES = """
- name: Show the threads of each instance
  ansible.builtin.debug:
    msg: "{{ (inference_topology | inference.host.plan(inference_services)).instances | map(attribute='threads') }}"
"""

RETURN = """
_value:
  description: Instances, housekeeping CPUs, nginx, settings and warnings.
  type: dict
"""

from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"plan": as_filter("plan", make_plan)}
