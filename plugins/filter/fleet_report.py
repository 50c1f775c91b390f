# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: fleet_report
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: A fleet as one HTML page
description:
  - The front page has the hosts as rows, those that need somebody first. Each host has its plan as a picture, its
    settings as they were wanted, found and persisted, its models and releases, and charts of its benchmarks.
  - The page has no scripts, needs no network, follows the reader's light or dark theme, and can be printed.
  - All texts are escaped. What is missing or broken in the input is said on the page, and never makes the filter fail.
  - Pure. The same input gives the same text.
options:
  _input:
    description: What lookup P(inference.host.report_files#lookup) returns.
    type: dict
    required: true
  title:
    description: Heading of the page.
    type: str
    required: false
    default: ""
  hosts:
    description: Names of hosts that are listed also where nothing is known of them.
    type: list
    elements: str
    required: false
"""

EXAMPLES = """
- name: Write the report
  ansible.builtin.copy:
    content: "{{ files | inference.host.fleet_report(title='Lab') }}"
    dest: "{{ playbook_dir }}/report.html"
    mode: "0644"
  delegate_to: localhost
  vars:
    files: "{{ lookup('inference.host.report_files', plans='plans', reports='reports', benchmarks='benchmarks') }}"
"""

RETURN = """
_value:
  description: Text of an HTML document.
  type: str
"""

from ansible_collections.inference.host.plugins.module_utils.report_page import fleet_report
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"fleet_report": as_filter("fleet_report", fleet_report)}
