#!/usr/bin/python
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waits until a balancer's nginx sends to a host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: balancer_ready
short_description: Waits until a balancer's nginx sends requests to a host
version_added: 0.1.0
author:
  - inference.host contributors (@inference-host)
description:
  - Asks the nginx of the balancer on which it runs for the health of services, until the host has answered for each.
  - Changes nothing. Where role P(inference.host.nginx#role) has not been there is nobody to wait for.
options:
  host:
    description: Name of the host in the inventory, with which its nginx answers.
    type: str
    required: true
  services:
    description: Names of the services.
    type: list
    elements: str
    required: true
  seconds:
    description: Longest wait. Then the module fails.
    type: int
    default: 60
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - inference.host.attributes.reads
"""

EXAMPLES = r"""
- name: Wait until the balancer sends to this host
  inference.host.balancer_ready:
    host: "{{ inventory_hostname }}"
    services: [chat]
  delegate_to: "{{ groups.inference_balancers | first }}"
"""

RETURN = r"""
waited_seconds:
  description: How long it took.
  returned: success
  type: float
  sample: 0.2
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.inference.host.plugins.module_utils import nginx_registry
from ansible_collections.inference.host.plugins.module_utils.systemd import read

POLL_SECONDS = 0.1


def main():
    """Ask until all have answered, or the time is over."""
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "services": {"type": "list", "elements": "str", "required": True},
            "seconds": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    host, missing, began = module.params["host"], set(module.params["services"]), time.monotonic()
    if nginx_registry.Registry().sources():
        # In the address of a delegate `inventory_hostname` is the host that delegates.
        module.fail_json(msg="%s asks a host with engines, which is no balancer; write the ansible_host of the "
                             "balancers without inventory_hostname." % host)
    url = read(nginx_registry.CONTROL).decode("utf-8", "replace").strip()
    while url and missing:
        for service in sorted(missing):
            if nginx_registry.ask_header("%s/-/ready/%s" % (url, service), "X-Inference-Host") == host:
                missing.discard(service)
        if missing and time.monotonic() - began > module.params["seconds"]:
            module.fail_json(msg="%s does not answer behind this balancer after %d s, for %s; nginx's log says why." % (
                host, module.params["seconds"], ", ".join(sorted(missing))))
        if missing:
            time.sleep(POLL_SECONDS)
    module.exit_json(changed=False, waited_seconds=round(time.monotonic() - began, 1))


if __name__ == "__main__":
    main()
