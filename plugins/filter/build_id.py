# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: build_id
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: Name of an engine build, equal where the binary can be shared
description:
  - Digests the processor's instruction sets, the distribution and whatever else goes into the build.
options:
  _input:
    description: The host, as module M(inference.host.topology) returns it.
    type: dict
    required: true
  ingredients:
    description:
      - What else goes in, such as the source's checksum and the build arguments, as texts, numbers, lists and mappings.
    type: list
    required: false
"""

EXAMPLES = """
- name: Show the name
  ansible.builtin.debug:
    msg: "{{ inference_topology | inference.host.build_id([source_sha256, cmake_args]) }}"

- name: Check that another source gives another name
  ansible.builtin.assert:
    that: inference_topology | inference.host.build_id(['a']) != inference_topology | inference.host.build_id(['b'])
"""

RETURN = """
_value:
  description: 12 hexadecimal digits.
  type: str
"""

from ansible_collections.inference.host.plugins.module_utils.build_flags import build_id
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"build_id": as_filter("build_id", build_id)}
