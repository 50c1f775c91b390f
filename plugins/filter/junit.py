# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: junit
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: A report as JUnit XML, for CI systems
description:
  - Gives one test suite a host and one test case a row.
  - What drifted, what the kernel took otherwise and what was refused are failures, a host that did not answer is an
    error, and what does not apply is skipped.
  - All texts are escaped. The same report gives the same text.
options:
  _input:
    description: A report, as filter P(inference.host.verify_report#filter) returns it.
    type: dict
    required: true
"""

EXAMPLES = """
- name: Write the report where the CI system looks for it
  ansible.builtin.copy:
    content: "{{ rows | inference.host.verify_report | inference.host.junit }}"
    dest: "{{ playbook_dir }}/verify.xml"
    mode: "0644"
  delegate_to: localhost
  vars:
    rows:
      - {host: gpu1, area: memory, setting: vm.swappiness, wanted: "10", found: "60", persisted: "no", status: drift,
         note: "-"}
      - {host: gpu1, area: nvme, setting: scheduler, wanted: none, found: "-", persisted: "-", status: not_applicable,
         note: no NVMe disk}
"""

RETURN = """
_value:
  description: Text of an XML document.
  type: str
"""

from ansible_collections.inference.host.plugins.module_utils.verify_report import junit
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"junit": as_filter("junit", junit)}
