# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A tiny whisper model with random weights and a second of silence, with which whisper-server has to prove itself.

One layer each, whisper's own vocabulary (its special tokens have fixed numbers), weights in half precision: 8 MB, of
which the vocabulary is 7. Layout: whisper.cpp's public converter, models/convert-pt-to-ggml.py (ggml's first format).
"""

from __future__ import annotations

import random
import struct

MAGIC = 0x67676D6C
VOCABULARY = 51864
"""Tokens of the English models."""
AUDIO_CONTEXT = 1500
TEXT_CONTEXT = 448
WIDTH = 64
HEADS = 1
MELS = 80
FREQUENCIES = 201
F32, F16 = 0, 1
SAMPLE_RATE = 16000


def tiny_whisper():
    """Return the bytes of the model's file; always the same."""
    numbers = random.Random(1)  # weights, not secrets
    parts = [struct.pack("<12i", MAGIC, VOCABULARY, AUDIO_CONTEXT, WIDTH, HEADS, 1, TEXT_CONTEXT, WIDTH, HEADS, 1, MELS,
                         F16)]
    parts.append(struct.pack("<2i", MELS, FREQUENCIES))
    parts.append(struct.pack("<f", 0.01) * (MELS * FREQUENCIES))
    # The engine names what is not listed.
    parts.append(struct.pack("<i", 256))
    parts += [struct.pack("<I", 1) + bytes([number]) for number in range(256)]
    parts += [_tensor(name, shape, kind, numbers) for name, shape, kind in _tensors()]
    return b"".join(parts)


def _tensors():
    """Yield (name, shape with the dimension that lies together first, type)."""
    yield "encoder.positional_embedding", (WIDTH, AUDIO_CONTEXT), F32
    yield "encoder.conv1.weight", (3, MELS, WIDTH), F16
    yield "encoder.conv1.bias", (1, WIDTH), F32
    yield "encoder.conv2.weight", (3, WIDTH, WIDTH), F16
    yield "encoder.conv2.bias", (1, WIDTH), F32
    yield from _norm("encoder.ln_post")
    yield from _block("encoder.blocks.0", ("attn",))
    yield "decoder.positional_embedding", (WIDTH, TEXT_CONTEXT), F32
    yield "decoder.token_embedding.weight", (WIDTH, VOCABULARY), F16
    yield from _norm("decoder.ln")
    yield from _block("decoder.blocks.0", ("attn", "cross_attn"))


def _norm(name):
    return [(name + ".weight", (WIDTH,), F32), (name + ".bias", (WIDTH,), F32)]


def _block(name, attentions):
    for attention in attentions:
        yield from _norm("%s.%s_ln" % (name, attention))
        for part in ("query", "key", "value", "out"):
            yield "%s.%s.%s.weight" % (name, attention, part), (WIDTH, WIDTH), F16
            if part != "key":
                yield "%s.%s.%s.bias" % (name, attention, part), (WIDTH,), F32
    yield from _norm(name + ".mlp_ln")
    yield name + ".mlp.0.weight", (WIDTH, 4 * WIDTH), F16
    yield name + ".mlp.0.bias", (4 * WIDTH,), F32
    yield name + ".mlp.2.weight", (4 * WIDTH, WIDTH), F16
    yield name + ".mlp.2.bias", (WIDTH,), F32


def _tensor(name, shape, kind, numbers):
    count = 1
    for length in shape:
        count *= length
    head = struct.pack("<3i", len(shape), len(name), kind) + struct.pack("<%di" % len(shape), *shape) + name.encode()
    if kind == F32:
        return head + struct.pack("<f", 1.0 if name.endswith("ln.weight") else 0.0) * count
    # One row of random weights over and over: what they are does not matter.
    row = struct.pack("<64e", *[numbers.uniform(-0.1, 0.1) for _index in range(64)])
    return head + (row * (count // 64 + 1))[:2 * count]


def silence(seconds=1):
    """Return a WAV file of silence, 16 bits, mono."""
    data = bytes(2 * SAMPLE_RATE * seconds)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)
    head = struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE") + form
    return head + struct.pack("<4sI", b"data", len(data)) + data
