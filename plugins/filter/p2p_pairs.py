# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: p2p_pairs
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: Whether the GPUs of a host may copy into each other's memory
description:
  - Judges each pair of NVIDIA GPUs. V(works) means that copies were compared and nothing speaks against it,
    V(reported_only) that the driver says so and nothing speaks against it, V(unsafe) that something does, and V(absent)
    that the driver says no, or nothing.
options:
  _input:
    description: The host, as module M(inference.host.topology) returns it; an empty mapping has no pairs.
    type: dict
    required: true
  copies:
    description: >-
      Results of module M(inference.host.gpu_copy). Without them those count that the host was found with.
    type: list
    elements: dict
    required: false
"""

EXAMPLES = """
- name: Show the pairs that nobody should rely on
  ansible.builtin.debug:
    msg: "{{ inference_topology | inference.host.p2p_pairs | selectattr('verdict', 'in', ['unsafe', 'absent']) }}"
"""

RETURN = """
_value:
  description: For each pair C(gpus), C(link), C(path), C(driver_says), C(verdict) and C(reason).
  type: list
  elements: dict
"""

from ansible_collections.inference.host.plugins.module_utils.p2p import p2p_pairs
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"p2p_pairs": as_filter("p2p_pairs", p2p_pairs)}
