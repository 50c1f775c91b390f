# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: largest_quantisation
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: Largest quantisation of a model that fits a memory
description:
  - Chooses among F16, Q8_0, Q6_K, Q5_K_M, Q4_K_M and Q2_K the largest with which weights, KV cache and compute buffers
    of one llama-server fit. When none does, the error shows the sum.
  - Weights are the parameters times llama.cpp's bits per weight for an 8B model. Small models with a large vocabulary
    take more, because their token embedding is quantised less.
options:
  _input:
    description:
      - The C(facts) that module M(inference.host.gguf_info) returns, of any quantisation of the model,
      - or numbers, C({"parameters", "kv_bytes_per_token"}); the latter is of f16 over all layers. Without facts the
        compute buffer counts as 512 MiB.
    type: dict
    required: true
  memory_mib:
    description: MiB that there are.
    type: int
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
- name: Show what an 8B model may be quantised to on a card of 12 GiB
  vars:
    numbers: {parameters: 8030261312, kv_bytes_per_token: 131072}
  ansible.builtin.debug:
    msg: "{{ (numbers | inference.host.largest_quantisation(12288, context=16384)).name }}"
  # => Q8_0
"""

RETURN = """
_value:
  description: The quantisation and what it takes.
  type: dict
  sample: {"name": "Q8_0", "bits_per_weight": 8.5, "weights_mib": 8137, "kv_cache_mib": 2048, "compute_mib": 512,
           "total_mib": 10697}
  contains:
    name:
      description: Name as in the names of GGUF files.
      type: str
    bits_per_weight:
      description: Bits that one parameter takes on average.
      type: float
    weights_mib:
      description: All tensors.
      type: int
    kv_cache_mib:
      description: KV cache and recurrent states of all slots.
      type: int
    compute_mib:
      description: Compute and output buffers.
      type: int
    total_mib:
      description: Sum of the three.
      type: int
"""

from ansible_collections.inference.host.plugins.module_utils.model_sizes import largest_quantisation
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"largest_quantisation": as_filter("largest_quantisation", largest_quantisation)}
