"""Headers of models that are still on a server: the same facts, few bytes, and no harm from what is no model."""

import random
import struct
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils import remote_header
from ansible_collections.inference.host.plugins.module_utils.gguf_facts import facts_of_file
from ansible_collections.inference.host.plugins.module_utils.model_sources import Address
from ansible_collections.inference.host.plugins.module_utils.remote_header import remote_facts
from gguf_models import of_architecture, raw_header, text, write_gguf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_server import serving

SMALL = {"block_count": 1, "embedding_length": 8, "attention__head_count": 2}


def part(path, number, count, tensor):
    """Write one part of a split model, with a vocabulary that is longer than a window."""
    model = of_architecture("llama", **SMALL)
    model["values"] += [("split.no", "uint16", number), ("split.count", "uint16", count)]
    tokens = [f"token-{index}" for index in range(30_000 if number == 0 else 1)]
    model["arrays"].append(("tokenizer.ggml.tokens", tokens))
    return write_gguf(path, tensors=[(tensor, (8, 5000), "float32")], **model)


@pytest.fixture
def server():
    with serving(None) as server:
        yield server


def facts_from(server, behaviour="good"):
    return remote_facts([(Address(f"{server.url}/{behaviour}/{name}", {}), len(data))
                         for name, data in sorted(server.files.items())])


def test_a_header_on_a_server_has_the_facts_of_the_file(server, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_header, "BLOCK", 1 << 18)
    path = write_gguf(tmp_path / "m.gguf", tensors=[("blk.0.a", (8, 500_000), "float32")],
                      **of_architecture("llama", **SMALL))
    server.files["m.gguf"] = Path(path).read_bytes()
    assert facts_from(server) == {"facts": facts_of_file(path)["facts"], "facts_note": None}
    assert [headers["Range"] for _path, headers in server.asked] == ["bytes=0-262143"]


def test_all_parts_of_a_split_model_are_read(server, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_header, "BLOCK", 1 << 18)
    for number in range(2):
        path = part(tmp_path / f"m-0000{number + 1}-of-00002.gguf", number, 2, f"blk.0.{number}")
        server.files[Path(path).name] = Path(path).read_bytes()
    found = facts_from(server)
    assert found == facts_of_file(path) and found["facts"]["weights_bytes"] == 2 * 8 * 5000 * 4
    assert len(server.asked) == 4  # the first part's header is longer than two blocks


@pytest.mark.parametrize(("behaviour", "words"), [
    ("no-range", "its server gives no parts of it"), ("404", "its header could not be read: "),
    ("503", "answers 503"), ("drops", "its server ended early"), ("lies-long", "gives no parts")])
def test_a_server_that_gives_no_parts_gives_no_facts(server, tmp_path, behaviour, words):
    server.piece = 0
    server.files["m.gguf"] = Path(write_gguf(tmp_path / "m.gguf", **of_architecture("llama", **SMALL))).read_bytes()
    found = facts_from(server, behaviour)
    assert found["facts"] is None and words in found["facts_note"] and server.url in found["facts_note"]


def test_a_server_that_drops_every_connection_is_asked_for_the_rest(server, tmp_path):
    model = of_architecture("llama", **SMALL)
    path = write_gguf(tmp_path / "m.gguf", tensors=[("blk.0.a", (8, 8), "float32")], **model)
    server.piece, server.files["m.gguf"] = 100, Path(path).read_bytes()
    assert facts_from(server, "drops") == facts_of_file(path)
    assert len(server.asked) == -(-len(server.files["m.gguf"]) // 100)


def test_a_server_that_is_slow_is_not_waited_for(server, monkeypatch):
    server.files["m.gguf"] = b"GGUF" * 100
    found = remote_facts([(Address(server.url + "/good/m.gguf", {}), 400)], deadline=0)
    assert "its header took longer than 30 seconds" in found["facts_note"]


HOSTILE = {
    "endless vocabulary": raw_header(keys=1) + text(b"tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 1 << 60),
    "endless text": raw_header(keys=1) + struct.pack("<Q", (1 << 64) - 1),
    "endless keys": raw_header(keys=(1 << 64) - 1),
    "endless tensors": raw_header(tensors=(1 << 64) - 1),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("size", [1 << 10, 1 << 62])
def test_a_hostile_header_is_only_said(server, kind, size):
    """size: of the file, as the server says it."""
    server.files["m.gguf"] = HOSTILE[kind] + bytes((1 << 10) - len(HOSTILE[kind]))
    found = remote_facts([(Address(server.url + "/good/m.gguf", {}), size)])
    assert found["facts"] is None and found["facts_note"]
    assert len(server.asked) <= 2


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flips=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6), length=st.integers(0, 2000))
def test_a_damaged_header_has_facts_or_a_note(server, tmp_path, flips, length):
    path = tmp_path / "m.gguf"
    if not path.exists():
        write_gguf(path, tensors=[("blk.0.a", (8, 8), "float32")], **of_architecture("llama", **SMALL))
        path.with_suffix(".whole").write_bytes(path.read_bytes())
    data = bytearray(path.with_suffix(".whole").read_bytes())
    for place, value in flips:
        data[place % len(data)] = value
    data = bytes(data[:length])
    path.write_bytes(data)
    server.files["m.gguf"] = data
    for found in (facts_of_file(str(path)), facts_from(server) if data else {"facts": None, "facts_note": "empty"}):
        assert (found["facts"] is None) is (found["facts_note"] is not None)


def test_random_bytes_are_no_model(server):
    server.files["m.gguf"] = b"GGUF" + random.Random(2).randbytes(100_000)
    assert facts_from(server)["facts"] is None
