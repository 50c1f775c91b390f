# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: autotune_jobs
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: What autotune is to search on a host
description:
  - Says for each service what may be chosen of its first instance, and why not where nothing can be measured.
options:
  _input:
    description: The host's plan.
    type: dict
    required: true
  topology:
    description: The host, as module M(inference.host.topology) returns it.
    type: dict
    required: true
  services:
    description: The services as the user wrote them, C(inference_services). What they set themselves is not searched.
    type: list
    elements: dict
    required: true
  prompt_tokens:
    description: Length of a typical prompt.
    type: int
    required: false
    default: 512
  generate_tokens:
    description: Length of a typical answer.
    type: int
    required: false
    default: 128
  smt:
    description: Value of C(topology_smt).
    type: bool
    required: false
    default: false
"""

EXAMPLES = """
- name: Show which services can be tuned
  ansible.builtin.debug:
    msg: "{{ jobs | selectattr('why_not', 'none') | map(attribute='service') }}"
  vars:
    jobs: "{{ inference_plan | inference.host.autotune_jobs(inference_topology, inference_services) }}"
  # => [chat]
"""

RETURN = """
_value:
  description: >-
    A list with C(service), C(instance), C(nice), C(space) and C(for), which module M(inference.host.autotune) and
    filter P(inference.host.autotune_measured#filter) take, C(fixed), C(own), C(points) and C(why_not).
  type: list
  elements: dict
"""

from ansible_collections.inference.host.plugins.module_utils.autotune_jobs import autotune_jobs
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"autotune_jobs": as_filter("autotune_jobs", autotune_jobs)}
