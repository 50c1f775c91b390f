# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: model_memory
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: Memory that one llama-server needs for a model
description:
  - Computes weights, KV cache (with recurrent states) and compute buffers from the numbers in the model's GGUF header,
    each in MiB, rounded up. The prompt cache (C(--cache-ram)) is not in it.
  - Weights and KV cache are what llama-server reports with a KV cache of its own for each slot (C(--parallel N)) and
    flash attention, which are its defaults. The compute buffer is an estimate for CPUs.
  - A model of an unknown architecture is refused, since its KV cache cannot be known; give numbers then.
options:
  _input:
    description:
      - The C(facts) that module M(inference.host.gguf_info) returns,
      - or numbers, C({"weights_mib", "kv_bytes_per_token"}); the latter is of f16 over all layers. Without facts the
        compute buffer counts as 512 MiB.
    type: dict
    required: true
  context:
    description: Tokens of each slot.
    type: int
    default: 4096
  parallel:
    description: Number of slots.
    type: int
    default: 1
  cache_type:
    description: Type of the KV cache's keys and values.
    type: str
    choices: [f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl]
    default: f16
  ubatch:
    description: Tokens that are computed at once (C(--ubatch-size)).
    type: int
    default: 512
"""

EXAMPLES = """
- name: Show what four slots of 8192 tokens take
  vars:
    numbers: {weights_mib: 4693, kv_bytes_per_token: 131072}
  ansible.builtin.debug:
    msg: "{{ numbers | inference.host.model_memory(context=8192, parallel=4, cache_type='q8_0') }}"
  # => {"weights": 4693, "kv_cache": 2176, "compute": 512}
"""

RETURN = """
_value:
  description: MiB by part.
  type: dict
  sample: {"weights": 236, "kv_cache": 39, "compute": 28}
  contains:
    weights:
      description: All tensors.
      type: int
    kv_cache:
      description: KV cache and recurrent states of all slots.
      type: int
    compute:
      description: Compute and output buffers.
      type: int
"""

from ansible_collections.inference.host.plugins.module_utils.model_sizes import model_memory
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"model_memory": as_filter("model_memory", model_memory)}
