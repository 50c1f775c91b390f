"""The models with which engines are tried: what independent readers say of them."""

import io
import struct
import wave

import gguf
from ansible_collections.inference.host.plugins.module_utils.gguf import read_model
from ansible_collections.inference.host.plugins.module_utils.gguf_facts import model_facts
from ansible_collections.inference.host.plugins.module_utils.tiny_gguf import TOKENS, tiny_model
from ansible_collections.inference.host.plugins.module_utils.tiny_whisper import silence, tiny_whisper


def test_the_tiny_model_is_small_and_always_the_same():
    assert tiny_model() == tiny_model()
    assert len(tiny_model()) < 150000


def test_two_readers_find_the_tiny_model_whole(tmp_path):
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_model())
    facts = model_facts(read_model(str(path)))
    assert (facts["architecture"], facts["layers"], facts["vocabulary"]) == ("llama", 2, len(TOKENS))
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(str(path)).tensors}
    assert len(tensors) == 2 * 9 + 3
    assert list(tensors["output.weight"].shape) == [64, 288]
    last = tensors["output.weight"]
    assert last.data_offset + last.n_bytes == path.stat().st_size
    assert abs(gguf.quants.dequantize(last.data, last.tensor_type)).max() < 0.2


def test_the_tiny_whisper_model_is_as_long_as_its_tensors_say():
    data = tiny_whisper()
    assert data == tiny_whisper() and len(data) < 9000000
    assert data[:4] == b"lmgg"
    place = 48 + 8 + 4 * 80 * 201
    (words,) = struct.unpack_from("<i", data, place)
    place += 4 + 5 * words
    names = []
    while place < len(data):
        dimensions, length, kind = struct.unpack_from("<3i", data, place)
        shape = struct.unpack_from("<%di" % dimensions, data, place + 12)
        place += 12 + 4 * dimensions
        names.append(data[place:place + length].decode())
        place += length
        count = 1
        for part in shape:
            count *= part
        place += count * (2 if kind else 4)
    assert place == len(data)
    # whisper.cpp: 5 of the encoder's input, 15 and 24 a layer, 2 norms, 2 of the decoder's input.
    assert len(names) == len(set(names)) == 5 + 2 + 15 + 2 + 2 + 24


def test_silence_is_a_second_of_nothing():
    with wave.open(io.BytesIO(silence())) as sound:
        assert (sound.getframerate(), sound.getnframes(), sound.getnchannels()) == (16000, 16000, 1)
        assert not any(sound.readframes(16000))
