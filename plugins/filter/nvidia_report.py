# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: nvidia_report
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: The NVIDIA cards of a host in words
description:
  - Says what state the driver is in, and for each card its address, NUMA node, driver, persistence mode, MIG, ECC and
    power limit as far as C(nvidia-smi) tells them; then errors of cards in the kernel log, and which variables would
    make direct copies between cards possible, with what that costs. Or says that there is no card.
options:
  _input:
    description: The host, as module M(inference.host.topology) returns it.
    type: dict
    required: true
"""

EXAMPLES = """
- name: Show the cards
  ansible.builtin.debug:
    msg: "{{ inference_topology | inference.host.nvidia_report }}"
"""

RETURN = """
_value:
  description: Sentences, that on what a person must do first.
  type: list
  elements: str
"""

from ansible_collections.inference.host.plugins.module_utils.nvidia_report import nvidia_report
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"nvidia_report": as_filter("nvidia_report", nvidia_report)}
