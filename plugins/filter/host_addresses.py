# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: host_addresses
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: IP addresses at which hosts reach each other
description:
  - Takes C(nginx_address) of each host, else C(ansible_host), else its name. Refuses what is no IP address.
options:
  _input:
    description: Names of hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: Variables of hosts by name.
    type: dict
    required: true
"""

EXAMPLES = """
- name: Show where the balancers are
  ansible.builtin.debug:
    msg: "{{ ['lb1'] | inference.host.host_addresses(known) | first }}"
  vars:
    # Mostly hostvars, and the names groups.inference_balancers.
    known: {lb1: {ansible_host: lb1.example.org, nginx_address: 192.0.2.9}}
  # => 192.0.2.9
"""

RETURN = """
_value:
  description: The addresses in the order of the names.
  type: list
  elements: str
"""

from ansible_collections.inference.host.plugins.module_utils.nginx_balancer import numeric
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"host_addresses": as_filter("host_addresses", numeric)}
