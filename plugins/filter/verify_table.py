# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: verify_table
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: A report as tables for a terminal
description:
  - Shows the hosts with their outcome, the worst first, then the rows that need a person, or all rows.
  - Of hosts with several GPUs it shows the verdicts on copies between them as a matrix, with the reasons below it.
  - Rows that differ only in a number of the setting's name, such as a governor on each CPU, are shown as one.
options:
  _input:
    description: A report, as filter P(inference.host.verify_report#filter) returns it.
    type: dict
    required: true
  show:
    description: V(problems) shows the rows that need a person, V(all) shows all.
    type: str
    required: false
    default: problems
"""

EXAMPLES = """
- name: Show the report
  ansible.builtin.debug:
    msg: "{{ (rows | inference.host.verify_report | inference.host.verify_table).splitlines() | last }}"
  vars:
    rows:
      - {host: gpu1, area: memory, setting: vm.swappiness, wanted: "10", found: "60", persisted: "no", status: drift,
         note: "-"}
      - {host: gpu1, area: nvme, setting: scheduler, wanted: none, found: "-", persisted: "-", status: not_applicable,
         note: no NVMe disk}
  # => "not as planned: 1 of 1 hosts (gpu1)"
"""

RETURN = """
_value:
  description: Lines of text.
  type: str
"""

from ansible_collections.inference.host.plugins.module_utils.verify_report import verify_table
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"verify_table": as_filter("verify_table", verify_table)}
