# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: verify_report
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: The rows of all hosts, sorted by host and counted
description:
  - Gives each host its rows, how many of them have each status, and an outcome, which is its worst status.
  - Whatever the user has to look at makes the outcome of the host, and of the fleet, another one than C(ok).
options:
  _input:
    description: Rows of any number of hosts, as filter P(inference.host.verify_rows#filter) returns them.
    type: list
    elements: dict
    required: true
  hosts:
    description: Names of all hosts that were asked. One of them without rows is reported as not read.
    type: list
    elements: str
    required: false
  pairs:
    description: >-
      For each host C(host) and C(pairs), as filter P(inference.host.p2p_pairs#filter) returns them. A host with pairs
      of GPUs gets them as C(p2p).
    type: list
    elements: dict
    required: false
"""

EXAMPLES = """
- name: Show what the fleet came to
  ansible.builtin.debug:
    msg: "{{ (rows | inference.host.verify_report).outcome }}"
  vars:
    rows:
      - {host: gpu1, area: memory, setting: vm.swappiness, wanted: "10", found: "60", persisted: "no", status: drift,
         note: "-"}
      - {host: gpu1, area: nvme, setting: scheduler, wanted: none, found: "-", persisted: "-", status: not_applicable,
         note: no NVMe disk}
  # => drift
"""

RETURN = """
_value:
  description: C(outcome) of the fleet and C(hosts), each with C(host), C(outcome), C(counts), C(rows) and, with
    several GPUs, C(p2p).
  type: dict
"""

from ansible_collections.inference.host.plugins.module_utils.verify_report import verify_report
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"verify_report": as_filter("verify_report", verify_report)}
