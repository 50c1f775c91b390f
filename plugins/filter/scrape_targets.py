# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: scrape_targets
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: Service discovery for a Prometheus from the inventory
description:
  - Takes the plan that this run made of a host (C(inference_plan)), else the one that is kept. Of a host of which none
    is known the engines are left out, and that is said.
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
  plans:
    description: Texts of kept C(plan.json) by the hosts' names, empty where there is none.
    type: dict
"""

EXAMPLES = """
- name: Show where the engines' metrics are
  ansible.builtin.debug:
    msg: "{{ (['gpu1'] | inference.host.scrape_targets(known)).targets.inference_engine[0].targets[0] }}"
  vars:
    chat: {name: chat-0, service: chat, runtime: llama_cpp, port: 18080, gpus: []}
    plan: {nginx: {listen_port: 8080}, instances: ["{{ chat }}"]}
    # Mostly hostvars, and the names groups.inference_hosts.
    known: {gpu1: {ansible_host: 192.0.2.9, inference_plan: "{{ plan }}"}}
  # => 192.0.2.9:9180
"""

RETURN = """
_value:
  description: C(targets), entries of C(file_sd) by the job's name, and C(notes), what there is to say.
  type: dict
"""

from ansible_collections.inference.host.plugins.module_utils.scrape_targets import targets_of
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"scrape_targets": as_filter("scrape_targets", targets_of)}
