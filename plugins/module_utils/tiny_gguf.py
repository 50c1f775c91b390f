# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A tiny model with random weights, with which an engine has to prove that it runs on this processor.

It has the architecture "llama", two layers, a vocabulary of single bytes, and weights in Q8_0, so that loading it goes
through the code for the processor's instruction sets. About 150 kB. Layout: the public GGUF specification (ggml,
docs/gguf.md), version 3, little-endian; Q8_0: blocks of 32 numbers, one half-precision scale and 32 signed bytes.
"""

from __future__ import annotations

import random
import struct

WIDTH = 64
HEADS = 2
FEED_FORWARD = 128
LAYERS = 2
CONTEXT = 256
ALIGNMENT = 32
BLOCK = 32

F32, Q8_0 = 0, 8
UINT32, INT32, FLOAT32, STRING, ARRAY = 4, 5, 6, 8, 9
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
"""Kinds of tokens."""

TOKENS = (
    [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)]
    + [("<0x%02X>" % number, BYTE) for number in range(256)]
    + [("\u2581", NORMAL)] + [(letter, NORMAL) for letter in "abcdefghijklmnopqrstuvwxyz"]
    + [("\u2581a", NORMAL), ("th", NORMAL)]
)
"""288 of them, a multiple of the block."""


def tiny_model():
    """Return the bytes of the file; always the same."""
    numbers = random.Random(1)  # weights, not secrets
    tensors = [("token_embd.weight", (WIDTH, len(TOKENS)), Q8_0)]
    for layer in range(LAYERS):
        prefix = "blk.%d." % layer
        tensors.append((prefix + "attn_norm.weight", (WIDTH,), F32))
        tensors += [(prefix + "attn_%s.weight" % part, (WIDTH, WIDTH), Q8_0) for part in ("q", "k", "v", "output")]
        tensors.append((prefix + "ffn_norm.weight", (WIDTH,), F32))
        tensors += [(prefix + "ffn_gate.weight", (WIDTH, FEED_FORWARD), Q8_0),
                    (prefix + "ffn_up.weight", (WIDTH, FEED_FORWARD), Q8_0),
                    (prefix + "ffn_down.weight", (FEED_FORWARD, WIDTH), Q8_0)]
    tensors += [("output_norm.weight", (WIDTH,), F32), ("output.weight", (WIDTH, len(TOKENS)), Q8_0)]
    metadata = _metadata()
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)) + b"".join(metadata)
    data = b""
    for name, shape, kind in tensors:
        header += _text(name) + struct.pack("<I%dQ" % len(shape), len(shape), *shape)
        header += struct.pack("<IQ", kind, len(data))
        data = _aligned(data + (_norm(shape[0]) if kind == F32 else _weights(shape, numbers)))
    return _aligned(header) + data


def _metadata():
    numbers = {"context_length": CONTEXT, "embedding_length": WIDTH, "block_count": LAYERS,
               "feed_forward_length": FEED_FORWARD, "attention.head_count": HEADS, "attention.head_count_kv": HEADS,
               "rope.dimension_count": WIDTH // HEADS, "vocab_size": len(TOKENS)}
    tokenizer = {"bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0}
    pairs = [_pair("general.architecture", STRING, _text("llama")),
             _pair("general.name", STRING, _text("inference.host trial"))]
    pairs += [_pair("llama." + key, UINT32, struct.pack("<I", value)) for key, value in numbers.items()]
    pairs.append(_pair("llama.attention.layer_norm_rms_epsilon", FLOAT32, struct.pack("<f", 1e-5)))
    pairs.append(_pair("tokenizer.ggml.model", STRING, _text("llama")))
    pairs.append(_array("tokenizer.ggml.tokens", STRING, [_text(text) for text, _kind in TOKENS]))
    pairs.append(_array("tokenizer.ggml.scores", FLOAT32, [struct.pack("<f", -n) for n in range(len(TOKENS))]))
    pairs.append(_array("tokenizer.ggml.token_type", INT32, [struct.pack("<i", kind) for _text_, kind in TOKENS]))
    return pairs + [_pair("tokenizer.ggml." + key, UINT32, struct.pack("<I", value))
                    for key, value in tokenizer.items()]


def _text(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _pair(key, kind, value):
    return _text(key) + struct.pack("<I", kind) + value


def _array(key, kind, values):
    return _pair(key, ARRAY, struct.pack("<IQ", kind, len(values)) + b"".join(values))


def _norm(length):
    return struct.pack("<%df" % length, *[1.0] * length)


def _weights(shape, numbers):
    """Random weights of about 1 / square root of the width, as Q8_0."""
    blocks = shape[0] * shape[1] // BLOCK
    scale = struct.pack("<e", 0.001)
    return b"".join(scale + bytes(numbers.getrandbits(8) for _index in range(BLOCK)) for _block in range(blocks))


def _aligned(data):
    return data + bytes(-len(data) % ALIGNMENT)
