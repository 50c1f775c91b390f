# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: monitoring_endpoints
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: What a host shows to a Prometheus
description:
  - One entry for each exporter and each engine that has metrics; refuses ports that are taken, and keys
    that nginx cannot present.
options:
  _input:
    description: The plan of a host with engines.
    type: dict
    required: true
  ports:
    description: Ports by the names of role P(inference.host.monitoring#role). What is left out has its default.
    type: dict
  dcgm:
    description: Whether its GPUs have an exporter.
    type: bool
    default: false
  keys:
    description: Keys of the engines by service, which nginx presents.
    type: dict
"""

EXAMPLES = """
- name: Show which paths a Prometheus may ask
  ansible.builtin.debug:
    msg: "{{ known | inference.host.monitoring_endpoints | map(attribute='path') | join(' ') }}"
  vars:
    # Mostly inference_plan.
    known: {nginx: {listen_port: 8080}, instances: [{name: chat-0, service: chat, runtime: llama_cpp, port: 18080}]}
  # => /node /nginx /engine/chat-0
"""

RETURN = """
_value:
  description: Entries with C(path), C(port) of loopback, C(job), C(service), C(instance) and C(runtime).
  type: list
  elements: dict
"""

from ansible_collections.inference.host.plugins.module_utils.monitoring_endpoints import monitoring_endpoints
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"monitoring_endpoints": as_filter("monitoring_endpoints", monitoring_endpoints)}
