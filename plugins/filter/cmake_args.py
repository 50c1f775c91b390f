# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: cmake_args
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: CMake arguments of llama.cpp for a host's processor
description:
  - Names each instruction set that every CPU of the host has, so that equal hosts can share one build.
options:
  _input:
    description: The host, as module M(inference.host.topology) returns it.
    type: dict
    required: true
"""

EXAMPLES = """
- name: Show the arguments
  ansible.builtin.debug:
    msg: "{{ inference_topology | inference.host.cmake_args }}"

# That host's CPUs have AVX2 and no AVX-512.
- name: Check single arguments
  ansible.builtin.assert:
    that:
      - "'-DGGML_AVX2=ON' in inference_topology | inference.host.cmake_args"
      - "'-DGGML_AVX512=OFF' in inference_topology | inference.host.cmake_args"
"""

RETURN = """
_value:
  description: Arguments such as C(-DGGML_AVX2=ON), sorted.
  type: list
  elements: str
"""

from ansible_collections.inference.host.plugins.module_utils.build_flags import cmake_args
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"cmake_args": as_filter("cmake_args", cmake_args)}
