"""Headers of the models that the reference fleets serve, from their public configurations, as gguf.py returns them.

The tensors are those that llama.cpp's converter writes, in the types that its quantisation Q4_K_M gives them: Q4_K, but
Q6_K for the head and, in a part of the layers, for values and the way down. Sizes agree with the published files (Llama
3.1 8B 4.92 GB, Qwen3 1.7B 1.11 GB, Gemma 3 27B 16.5 GB) up to the tokenizer, which stands in the header.
"""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.gguf_facts import model_facts
from ansible_collections.inference.host.plugins.module_utils.gguf_types import TENSOR_TYPES

TYPES = {name: (block, size) for name, block, size in TENSOR_TYPES.values()}
Q4_K_M = 15


def tensor(name, shape, kind):
    elements = 1
    for length in shape:
        elements *= length
    block, size = TYPES[kind]
    return {"name": name, "shape": shape, "type": kind, "elements": elements, "bytes": elements // block * size}


def with_more_bits(layer, layers):
    """Which layers get more bits: the first and the last eighth, and each third of the others."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def header(architecture, name, layers, embedding, forward, heads, kv_heads, head_length, vocabulary, context, norms,
           head_of_its_own=False, **other):
    """norms: {tensor of each layer: its length}. other: further keys of the architecture, "." written "__"."""
    wide, narrow = heads * head_length, kv_heads * head_length
    tensors = [tensor("token_embd.weight", [embedding, vocabulary], "Q4_K" if head_of_its_own else "Q6_K"),
               tensor("output_norm.weight", [embedding], "F32")]
    if head_of_its_own:
        tensors.append(tensor("output.weight", [embedding, vocabulary], "Q6_K"))
    for layer in range(layers):
        better = "Q6_K" if with_more_bits(layer, layers) else "Q4_K"
        parts = {
            "attn_q": ([embedding, wide], "Q4_K"), "attn_k": ([embedding, narrow], "Q4_K"),
            "attn_v": ([embedding, narrow], better), "attn_output": ([wide, embedding], "Q4_K"),
            "ffn_gate": ([embedding, forward], "Q4_K"), "ffn_up": ([embedding, forward], "Q4_K"),
            "ffn_down": ([forward, embedding], better),
        }
        parts.update({norm: ([length], "F32") for norm, length in norms.items()})
        tensors += [tensor(f"blk.{layer}.{part}.weight", *rest) for part, rest in parts.items()]
    values = {"block_count": layers, "embedding_length": embedding, "feed_forward_length": forward,
              "attention.head_count": heads, "attention.head_count_kv": kv_heads, "context_length": context,
              "attention.key_length": head_length, "attention.value_length": head_length}
    values.update({key.replace("__", "."): value for key, value in other.items()})
    metadata = {f"{architecture}.{key}": value for key, value in values.items()}
    metadata.update({"general.architecture": architecture, "general.name": name, "general.file_type": Q4_K_M})
    return {"path": name, "metadata": metadata, "array_lengths": {}, "tensors": tensors}


def found(name, size_bytes, model_header):
    """What module model_release says of a model that is there, as far as a recording keeps it."""
    return {"name": name, "size_bytes": size_bytes, "facts": model_facts(model_header)}


LLAMA = found("llama-3.1-8b", 4920739232, header(
    "llama", "Llama 3.1 8B", 32, 4096, 14336, 32, 8, 128, 128256, 131072, {"attn_norm": 4096, "ffn_norm": 4096},
    head_of_its_own=True))

MODELS = {
    "alfavoice": [LLAMA],
    "xaichat": [found("qwen3-1.7b", 1107409280, header(
        "qwen3", "Qwen3 1.7B", 28, 2048, 6144, 16, 8, 128, 151936, 40960,
        {"attn_norm": 2048, "ffn_norm": 2048, "attn_q_norm": 128, "attn_k_norm": 128}))],
    "wicore": [found("gemma-3-27b", 16546404640, header(
        "gemma3", "Gemma 3 27B", 62, 5376, 21504, 32, 16, 128, 262144, 131072,
        {"attn_norm": 5376, "post_attention_norm": 5376, "ffn_norm": 5376, "post_ffw_norm": 5376, "attn_q_norm": 128,
         "attn_k_norm": 128}, attention__sliding_window=1024))],
    "ragserver": [LLAMA],
}
