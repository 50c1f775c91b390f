# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: cflags
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: CFLAGS for a host's processor
description:
  - Names each instruction set that every CPU of the host has (C(-mavx2 -mfma ...)), so that hosts with the same sets
    can share a build. The names are those of gcc 11 or newer; clang has the same.
  - C(-march=native) on x86-64 where the flags are not known, C(-mcpu=native) on Arm; no option on other architectures.
  - Optimisation levels are not among them.
options:
  _input:
    description: The host, as module M(inference.host.topology) returns it.
    type: dict
    required: true
  lto:
    description: Whether C(-flto=auto), link-time optimisation, is added. It must then be among the linker's flags, too.
    type: bool
    required: false
    default: false
"""

EXAMPLES = """
# The values are those of a host whose CPUs have AVX2 and no AVX-512.
- name: Show the variable of the environment
  ansible.builtin.debug:
    msg: "CFLAGS={{ inference_topology | inference.host.cflags | join(' ') }}"
  # => "CFLAGS=-msse3 -mssse3 -msse4.1 -mpopcnt -msse4.2 -mlzcnt -mbmi -mbmi2 -mavx -mf16c -mfma -mavx2"

- name: Check that link-time optimisation can be had
  ansible.builtin.assert:
    that: "'-flto=auto' in inference_topology | inference.host.cflags(lto=true)"
"""

RETURN = """
_value:
  description: Words such as C(-mavx2), in a fixed order.
  type: list
  elements: str
"""

from ansible_collections.inference.host.plugins.module_utils.build_flags import cflags
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"cflags": as_filter("cflags", cflags)}
