# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: restore_report
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: What was put back on each host
description:
  - Shows the values and files that were put back, first those that another tool has changed since, and what
    stands in the way.
  - Made for role P(inference.host.restore#role).
options:
  _input:
    description:
      - A mapping a host, with C(host), C(failure) (the result of the task that failed, or empty), C(values) (the result
        of M(inference.host.tunables)), C(instances) (that of M(inference.host.instances)) and C(did), sentences.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = """
- name: Tell whether all is back
  ansible.builtin.debug:
    msg: "{{ (answers | inference.host.restore_report).done }}"
  vars:
    answers:
      - host: gpu1
        failure: {}
        values:
          results:
            - {name: vm.swappiness, kind: sysctl, wanted: "60", before: "10", after: "60", status: changed, detail: ""}
        instances: {stopped: [inference-chat@0.service]}
        did: []
  # => true
"""

RETURN = """
_value:
  description: C(done), whether all is back on all hosts, and C(text), lines for a terminal.
  type: dict
"""

from ansible_collections.inference.host.plugins.module_utils.restore_report import restore_report
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"restore_report": as_filter("restore_report", restore_report)}
