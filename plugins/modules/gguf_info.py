#!/usr/bin/python
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the header of a GGUF model on the host; the thinking is in module_utils/gguf.py and gguf_facts.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: gguf_info
short_description: Reads the header of a GGUF model
version_added: 0.1.0
author:
  - inference.host contributors (@inference-host)
description:
  - Returns what a model's memory and placement are planned from, such as bytes of each layer, heads and windows.
  - Reads the header of versions 2 and 3 in both byte orders, never the weights. A file that is broken or was made to
    harm is refused with a sentence.
  - Of a split model (C(NAME-00001-of-00003.gguf)) all parts are read, which must lie in the same folder.
options:
  path:
    description: The model's file on the host, or any part of a split model.
    type: path
    required: true
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - inference.host.attributes.reads
"""

EXAMPLES = r"""
- name: Read the model's header
  inference.host.gguf_info:
    path: /var/lib/inference/models/gemma-3-270m/current/gemma-3-270m-q4_k_m.gguf
  register: model

- name: Show the memory that it takes with four slots
  ansible.builtin.debug:
    msg: "{{ model.facts | inference.host.model_memory(context=8192, parallel=4) }}"
"""

RETURN = r"""
facts:
  description: The model's numbers, for filters and for C(model.header) of a service.
  returned: success
  type: dict
  contains:
    architecture:
      description: Name of the architecture.
      type: str
      sample: gemma3
    known:
      description: Whether it is known what this architecture's layers keep of the past.
      type: bool
    name:
      description: The model's own name, or null.
      type: str
      sample: Gemma 3 270m
    quantisation:
      description: Name of the quantisation, or null.
      type: str
      sample: Q4_K_M
    parameters:
      description: Number of weights.
      type: int
      sample: 268098176
    layers:
      description: Number of layers.
      type: int
      sample: 18
    context_length:
      description: Tokens of the context that the model was trained with, or null.
      type: int
      sample: 32768
    embedding_length:
      description: Width of the model.
      type: int
      sample: 640
    vocabulary:
      description: Number of tokens.
      type: int
      sample: 262144
    query_length:
      description: Numbers of all query heads of the widest layer.
      type: int
      sample: 1024
    feed_forward_length:
      description: Width of the widest feed-forward layer.
      type: int
      sample: 2048
    recurrent_length:
      description: Numbers that a state space layer computes of a token; 0 in models without.
      type: int
    experts:
      description: C(used) experts of C(length) each for one token; null in a dense model.
      type: dict
    weights_bytes:
      description: Bytes of all tensors.
      type: int
      sample: 246587904
    layer_bytes:
      description: Bytes of the tensors of each layer.
      type: list
      elements: int
    input_bytes:
      description: Bytes of the token embedding.
      type: int
      sample: 178257920
    output_bytes:
      description: Bytes of all other tensors. The output is not among them where it is the token embedding.
      type: int
      sample: 2560
    attention:
      description: What each layer keeps of the past; null for an unknown architecture.
      type: list
      elements: dict
      contains:
        kind:
          description: C(full), C(window), C(chunk), C(latent), C(recurrent), C(shared) (with another layer) or C(none).
          type: str
        kv_heads:
          description: Number of key/value heads.
          type: int
        key_length:
          description: Numbers of one head's key.
          type: int
        value_length:
          description: Numbers of one head's value.
          type: int
        window:
          description: Tokens of the sliding window, or null.
          type: int
        state_bytes:
          description: Bytes of the recurrent state of one sequence.
          type: int
shards:
  description: The model's files.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: Path of the file.
      type: str
    size_bytes:
      description: Its size.
      type: int
    tensors:
      description: Number of its tensors.
      type: int
size_bytes:
  description: Size of all files.
  returned: success
  type: int
  sample: 253113024
version:
  description: Version of the format.
  returned: success
  type: int
  sample: 3
byte_order:
  description: V(little) or V(big).
  returned: success
  type: str
  sample: little
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.inference.host.plugins.module_utils.gguf import GgufError, read_model
from ansible_collections.inference.host.plugins.module_utils.gguf_facts import model_facts


def main():
    """Carry the path in and the facts out."""
    module = AnsibleModule(argument_spec={"path": {"type": "path", "required": True}}, supports_check_mode=True)
    path = module.params["path"]
    try:
        header = read_model(path)
        facts = model_facts(header)
    except GgufError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg="%s cannot be read: %s." % (error.filename or path, error.strerror))
    shown = {key: header[key] for key in ("shards", "size_bytes", "version", "byte_order")}
    module.exit_json(changed=False, facts=facts, **shown)


if __name__ == "__main__":
    main()
