# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: balancer_plan
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: The plan of a host whose nginx sends to the nginx of others
description:
  - Of each host behind it the balancer knows what its inventory says; where the same run made the host's plan, also how
    many instances that is.
options:
  _input:
    description: The balancer itself, as module M(inference.host.topology) returns it.
    type: dict
    required: true
  names:
    description: Names of the hosts behind it.
    type: list
    elements: str
    required: true
  hostvars:
    description: Variables of hosts by name.
    type: dict
    required: true
  policy:
    description: As for filter P(inference.host.plan#filter).
    type: dict
    required: false
"""

EXAMPLES = """
- name: Show where a balancer would send to
  ansible.builtin.debug:
    msg: "{{ (inference_topology | inference.host.balancer_plan(['gpu1'], known)).nginx.upstreams[0].prefix }}"
  vars:
    # Mostly hostvars, and the names groups.inference_hosts.
    known: {gpu1: {ansible_host: 192.0.2.1, inference_services: "{{ inference_services }}"}}
  # => /chat
"""

RETURN = """
_value:
  description: The plan; it has no instances and no settings.
  type: dict
"""

from ansible_collections.inference.host.plugins.module_utils.nginx_balancer import hosts_behind, plan_balancer
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


def balancer_plan(topology, names, hostvars, policy=None):
    return plan_balancer(topology, hosts_behind(names, hostvars), policy)


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"balancer_plan": as_filter("balancer_plan", balancer_plan)}
