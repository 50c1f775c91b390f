"""Module gguf_info as Ansible runs it: facts out, nothing changed, one sentence for what cannot be read."""

import os

import pytest
from ansible_collections.inference.host.plugins.module_utils.gguf import read_model
from ansible_collections.inference.host.plugins.module_utils.gguf_facts import model_facts
from gguf_models import of_architecture, write_gguf

SMALL = {"block_count": 2, "embedding_length": 8, "attention__head_count": 2}
TENSORS = [("token_embd.weight", (8, 50), "float16"), ("blk.0.a", (8, 2), "float32"), ("blk.1.a", (8,), "float32")]


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("big", [False, True])
def test_facts_and_file(run_module, snapshot, tmp_path, check, big):
    path = write_gguf(tmp_path / "m.gguf", tensors=TENSORS, big=big, **of_architecture("llama", **SMALL))
    before = snapshot(tmp_path)
    result = run_module("gguf_info", {"path": path}, check=check)
    assert result["changed"] is False and snapshot(tmp_path) == before
    assert result["facts"] == model_facts(read_model(path))
    assert result["shards"] == [{"path": path, "size_bytes": os.path.getsize(path), "tensors": 3}]
    assert (result["version"], result["byte_order"]) == (3, "big" if big else "little")
    assert result["size_bytes"] == os.path.getsize(path)


def test_all_parts_of_a_model_count(run_module, tmp_path):
    for number, tensor in enumerate(TENSORS[1:]):
        part = of_architecture("llama", **SMALL)
        part["values"] += [("split.no", "uint16", number), ("split.count", "uint16", 2)]
        path = write_gguf(tmp_path / ("m-%05d-of-00002.gguf" % (number + 1)), tensors=[tensor], **part)
    result = run_module("gguf_info", {"path": path})
    assert result["facts"]["layer_bytes"] == [64, 32] and len(result["shards"]) == 2


@pytest.mark.parametrize(("content", "words"), [
    (None, "cannot be read: No such file or directory."),
    (b"GGUF", "it ends too early: the fixed part of the header would take 24 bytes, 4 are left."),
    (b"{}" * 50, "it is no GGUF file; it begins with b'{}{}' instead of b'GGUF'."),
    (b"GGUF\x03\0\0\0" + bytes(16), "general.architecture is None; it must be a name."),
])
def test_what_cannot_be_read_fails_with_a_sentence(run_module, tmp_path, content, words):
    path = tmp_path / "m.gguf"
    if content is not None:
        path.write_bytes(content)
    result = run_module("gguf_info", {"path": str(path)})
    assert result["failed"] and result["msg"].startswith(str(path)) and words in result["msg"]
    assert "exception" not in result and "Traceback" not in result["msg"]
