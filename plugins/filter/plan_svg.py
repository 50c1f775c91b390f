# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: plan_svg
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: A plan as a picture
description:
  - Draws a host's NUMA nodes with their memory, CPUs, GPUs and NVMe disks, what each of them is used for, and a table
    of the instances.
  - The answer is an SVG document that can be a file of its own or stand in an HTML page. It has light and dark
    colours, grows to the width that it is given, and has neither scripts nor outside references; all texts of the
    host and of the services are escaped.
  - Pure. The same input gives the same text.
options:
  _input:
    description: The host, as module M(inference.host.topology) returns it.
    type: dict
    required: true
  plan:
    description: The host's plan, as filter P(inference.host.plan#filter) returns it.
    type: dict
    required: true
  title:
    description: Heading of the picture, such as the name of the host.
    type: str
    required: false
    default: ""
"""

EXAMPLES = """
- name: Draw the plan
  ansible.builtin.copy:
    content: "{{ inference_topology | inference.host.plan_svg(inference_plan, title=inventory_hostname) }}"
    dest: "{{ playbook_dir }}/{{ inventory_hostname }}.svg"
    mode: "0644"
  delegate_to: localhost
"""

RETURN = """
_value:
  description: Text of an SVG document.
  type: str
"""

from ansible_collections.inference.host.plugins.module_utils.plan_svg import plan_svg
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"plan_svg": as_filter("plan_svg", plan_svg)}
