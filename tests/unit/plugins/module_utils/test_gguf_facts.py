"""A model's facts from its header: sums, names, and values that no model can have."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.gguf import GgufError, read_model
from ansible_collections.inference.host.plugins.module_utils.gguf_facts import facts_of_file, model_facts
from gguf_models import header_of, of_architecture, write_gguf
from hypothesis import given
from hypothesis import strategies as st

TENSORS = [("token_embd.weight", (8, 50), "float16"), ("blk.0.a", (8, 2), "float32"), ("blk.0.b", (8,), "float32"),
           ("blk.1.a", (8, 3), "float32"), ("output_norm.weight", (8,), "float32"), ("blk.7.a", (8,), "float32")]
SMALL = {"block_count": 2, "embedding_length": 8, "attention__head_count": 2}


def test_bytes_are_summed_where_they_lie(tmp_path):
    given_values = of_architecture("llama", **SMALL, context_length=2048)
    given_values["values"] += [("general.name", "string", "Tiny"), ("general.file_type", "uint32", 15)]
    facts = model_facts(read_model(write_gguf(tmp_path / "m.gguf", tensors=TENSORS, **given_values)))
    assert facts["layer_bytes"] == [64 + 32, 96] and facts["input_bytes"] == 800
    assert facts["output_bytes"] == 32 + 32  # blk.7 is no layer of a model with two
    assert facts["weights_bytes"] == 800 + 96 + 96 + 64
    assert facts["parameters"] == 400 + 16 + 8 + 24 + 8 + 8
    assert (facts["name"], facts["quantisation"], facts["vocabulary"]) == ("Tiny", "Q4_K_M", 50)
    assert (facts["layers"], facts["context_length"], facts["known"]) == (2, 2048, True)


def test_experts_count_as_many_as_are_used():
    facts = model_facts(header_of("qwen3moe", **SMALL, expert_count=8, expert_used_count=2,
                                  expert_feed_forward_length=24))
    assert facts["experts"] == {"used": 2, "length": 24}
    assert model_facts(header_of("llama", **SMALL))["experts"] is None


@pytest.mark.parametrize(("architecture", "numbers", "words"), [
    ("llama", {"block_count": 2**32 - 1}, "llama.block_count is 4294967295; llama.cpp takes at most 512"),
    ("llama", {**SMALL, "attention__head_count_kv": [1]}, "attention.head_count_kv has 1 values; there are 2 layers"),
    ("llama", {**SMALL, "attention__head_count_kv": [1, -1]}, "llama.attention.head_count_kv is -1; it must be a"),
    ("llama", {**SMALL, "embedding_length": 2.5}, "llama.embedding_length is 2.5; it must be a whole number"),
    ("", {}, "general.architecture is ''; it must be a name"),
    ("a\nb", {}, "general.architecture is 'a\\\\nb'; it must be a name"),
])
def test_values_that_no_model_can_have_are_refused(architecture, numbers, words):
    with pytest.raises(GgufError) as error:
        model_facts(header_of(architecture, **numbers))
    assert words.replace("\\\\", "\\") in str(error.value)
    assert str(error.value).startswith("/m.gguf: ") and "\n" not in str(error.value)


KEYS = ("block_count", "nextn_predict_layers", "embedding_length", "feed_forward_length", "attention__head_count",
        "attention__head_count_kv", "attention__key_length", "attention__sliding_window", "ssm__inner_size",
        "attention__sliding_window_pattern", "full_attention_interval", "shortconv__l_cache", "wkv__head_size",
        "attention__shared_kv_layers", "expert_used_count", "attention__recurrent_layers", "ssm__conv_kernel")
JUNK = st.one_of(st.integers(-3, 3), st.integers(0, 2**64 - 1), st.booleans(), st.floats(), st.text(max_size=4),
                 st.none(), st.lists(st.one_of(st.integers(-1, 600), st.floats()), max_size=6))


@given(st.sampled_from(["llama", "gemma3", "gemma4", "exaone4", "qwen3next", "nemotron_h", "lfm2", "rwkv7", "deepseek2",
                        "mamba2", "falcon-h1", "smallthinker", "unheard-of"]),
       st.dictionaries(st.sampled_from(KEYS), JUNK))
def test_junk_gives_facts_or_a_sentence(architecture, numbers):
    header = header_of(architecture, **{**SMALL, **numbers})
    header["metadata"]["general.file_type"] = numbers.get("block_count")
    header["metadata"]["general.name"] = numbers.get("embedding_length")
    try:
        facts = model_facts(header)
    except GgufError as error:
        assert str(error).startswith("/m.gguf: ")
    else:
        assert facts["attention"] is None or len(facts["attention"]) == facts["layers"]
        for layer in facts["attention"] or []:
            assert all(isinstance(layer[key], int) and layer[key] >= 0 for key in layer if key not in (
                "kind", "window"))


def test_a_file_has_facts_or_a_note(tmp_path):
    whole = write_gguf(tmp_path / "m.gguf", tensors=TENSORS, **of_architecture("llama", **SMALL))
    assert facts_of_file(whole) == {"facts": model_facts(read_model(whole)), "facts_note": None}
    part = of_architecture("llama", **SMALL)
    part["values"].append(("split.count", "uint16", 2))
    cases = {
        write_gguf(tmp_path / "part.gguf", tensors=TENSORS, **part): "split.no and split.count are 0 and 2",
        str(tmp_path / "missing.gguf"): "cannot be read: No such file or directory.",
        str(tmp_path / "m.safetensors"): "is no GGUF file",
        str(tmp_path / "broken.gguf"): "it ends too early",
    }
    (tmp_path / "broken.gguf").write_bytes(b"GGUF")
    for path, words in cases.items():
        answer = facts_of_file(path)
        assert answer["facts"] is None and path in answer["facts_note"] and words in answer["facts_note"]
