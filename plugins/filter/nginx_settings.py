# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: nginx_settings
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: All that nginx's configuration sets, from the plan and what the user says
description:
  - Checks each value by type and range, and that values agree, such as connections and open files.
  - Fills in what follows from the plan, such as timeouts from the longest answer and keepalive from the slots.
  - Made for role P(inference.host.nginx#role), whose templates only set what is found here.
options:
  _input:
    description: The plan's C(nginx).
    type: dict
    required: true
  wishes:
    description: What the user says, by the names of the role's variables without C(nginx_).
    type: dict
    required: true
  clients:
    description: Keys of clients by their names. Shown in no error.
    type: dict
    required: false
  engine_keys:
    description: Keys of the engines by service, which nginx presents where clients have keys of their own.
    type: dict
    required: false
  host:
    description: Name of the host, which it tells balancers.
    type: str
    required: false
  balancers:
    description: Addresses of the balancers in front of the host.
    type: list
    elements: str
    required: false
"""

EXAMPLES = """
- name: Show how many files a worker may open
  ansible.builtin.debug:
    msg: "{{ (inference_plan.nginx | inference.host.nginx_settings({'worker_connections': 32768})).open_files }}"
  # => 66048
"""

RETURN = """
_value:
  description: The settings.
  type: dict
"""

from ansible_collections.inference.host.plugins.module_utils.nginx_settings import nginx_settings
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"nginx_settings": as_filter("nginx_settings", nginx_settings)}
