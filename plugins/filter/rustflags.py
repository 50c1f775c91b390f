# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: rustflags
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: RUSTFLAGS for a host's processor
description:
  - Names each instruction set that every CPU of the host has (C(-C target-feature=+avx2,+fma,...)), so that hosts with
    the same sets can share a build. The names are rustc's (C(rustc --print target-features)), which differ from the
    kernel's and gcc's, such as C(avx512vnni) and C(bmi1); AVX-512 is stable from rustc 1.89.
  - C(-C target-cpu=native) where the flags are not known, and on other architectures than x86-64.
  - Link-time optimisation is never here. Cargo compiles with C(-C embed-bitcode=no), with which C(-C lto) fails; it and
    the number of codegen units belong in Cargo's profile, as the example shows.
options:
  _input:
    description: The host, as module M(inference.host.topology) returns it.
    type: dict
    required: true
  unstable:
    description: Whether AMX is named, too; rustc 1.95 warns that it is unstable.
    type: bool
    required: false
    default: false
"""

EXAMPLES = """
# The values are those of a host with 16 cores whose CPUs have AVX2 and no AVX-512.
- name: Show the variable of the environment
  ansible.builtin.debug:
    msg: "RUSTFLAGS={{ inference_topology | inference.host.rustflags | join(' ') }}"
  # => "RUSTFLAGS=-C target-feature=+sse3,+ssse3,+sse4.1,+popcnt,+sse4.2,+lzcnt,+bmi1,+bmi2,+avx,+f16c,+fma,+avx2"

- name: Show what a build with link-time optimisation takes besides
  ansible.builtin.debug:
    msg:
      CARGO_PROFILE_RELEASE_LTO: "true"
      CARGO_PROFILE_RELEASE_CODEGEN_UNITS: "{{ inference_topology | inference.host.thread_count }}"
  # => {"CARGO_PROFILE_RELEASE_LTO": "true", "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": 16}
"""

RETURN = """
_value:
  description: The words C(-C) and C(target-feature=...); none where no set is to be named.
  type: list
  elements: str
"""

from ansible_collections.inference.host.plugins.module_utils.build_flags import rustflags
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"rustflags": as_filter("rustflags", rustflags)}
