"""Sizes for a person who plans: parts of the memory, and the quantisation that fits."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.gguf_facts import model_facts
from ansible_collections.inference.host.plugins.module_utils.model_memory import instance_memory
from ansible_collections.inference.host.plugins.module_utils.model_sizes import (
    BITS_PER_WEIGHT,
    largest_quantisation,
    model_memory,
    weights_mib,
)
from gguf_models import header_of
from hypothesis import given
from hypothesis import strategies as st

LLAMA_8B = {"block_count": 32, "embedding_length": 4096, "feed_forward_length": 14336, "attention__head_count": 32,
            "attention__head_count_kv": 8}
PARAMETERS = 8030261312
FACTS = dict(model_facts(header_of("llama", **LLAMA_8B)), parameters=PARAMETERS, vocabulary=128256,
             weights_bytes=4920739328)
NUMBERS = {"parameters": PARAMETERS, "kv_bytes_per_token": 131072}


def test_parts_of_facts_are_those_of_an_instance():
    parts = model_memory(FACTS, context=8192, parallel=4, cache_type="q8_0")
    instance = instance_memory({"header": FACTS}, 8192, 4, "q8_0", 512, 0)
    assert parts == {key: instance[key] for key in ("weights", "kv_cache", "compute")}
    assert parts["weights"] == 4693 and parts["kv_cache"] == 4 * 8192 * 128 * 34 // 64 // 1024


def test_parts_of_numbers():
    numbers = {"weights_mib": 10, "kv_bytes_per_token": 1024, "layers": 4, "parameters": 5}
    assert model_memory(numbers, context=2048) == {"weights": 10, "kv_cache": 2, "compute": 512}


def test_weights_are_near_the_published_sizes():
    # Llama 3.1 8B in llama.cpp's tools/quantize/README.md: GiB of the files.
    published = {"Q2_K": 2.95, "Q4_K_M": 4.58, "Q5_K_M": 5.33, "Q6_K": 6.14, "Q8_0": 7.95, "F16": 14.96}
    computed = {name: weights_mib(PARAMETERS, bits) / 1024 for name, bits in BITS_PER_WEIGHT}
    assert computed == pytest.approx(published, rel=0.01)


@pytest.mark.parametrize(("memory_mib", "name"), [
    (24576, "F16"), (12288, "Q8_0"), (9216, "Q6_K"), (7680, "Q5_K_M"), (6656, "Q4_K_M"), (5120, "Q2_K")])
def test_the_largest_that_fits(memory_mib, name):
    found = largest_quantisation(NUMBERS, memory_mib, context=8192)
    assert found["name"] == name and found["bits_per_weight"] == dict(BITS_PER_WEIGHT)[name]
    assert found["total_mib"] == found["weights_mib"] + found["kv_cache_mib"] + found["compute_mib"] <= memory_mib


def test_the_sample_of_the_documentation():
    assert largest_quantisation(NUMBERS, 12288, context=16384) == {
        "name": "Q8_0", "bits_per_weight": 8.5, "weights_mib": 8137, "kv_cache_mib": 2048, "compute_mib": 512,
        "total_mib": 10697}


def test_when_nothing_fits_the_sum_is_shown():
    with pytest.raises(PlanError) as error:
        largest_quantisation(NUMBERS, 4000, context=8192)
    assert str(error.value) == ("not even Q2_K fits: weights 3026 + KV cache 1024 + compute 512 = 4562 MiB, memory_mib "
                                "is 4000; lower context or parallel, or take a smaller model.")


@given(st.integers(1, 1 << 17), st.integers(1, 1 << 17), st.integers(128, 1 << 16), st.integers(1, 8))
def test_more_memory_never_gives_less(one, other, context, parallel):
    order = [name for name, _bits in BITS_PER_WEIGHT] + [None]

    def name(memory):
        try:
            found = largest_quantisation(FACTS, memory, context=context, parallel=parallel)
        except PlanError:
            return None
        assert found["total_mib"] <= memory
        return found["name"]

    assert order.index(name(max(one, other))) <= order.index(name(min(one, other)))


UNKNOWN = dict(FACTS, architecture="brand-new", attention=None, known=False)


@pytest.mark.parametrize(("call", "words"), [
    (lambda: model_memory("8B"), "model_memory's model is '8B'; it must be a mapping."),
    (lambda: model_memory({"weights_gib": 1}), "model_memory's model.weights_gib is not known; did you mean weights_"),
    (lambda: model_memory({"weights_mib": "8"}), "model_memory's model.weights_mib is '8'; it must be a whole number"),
    (lambda: model_memory({"weights_mib": 8}), "the model's KV cache is not known"),
    (lambda: model_memory({"kv_bytes_per_token": 8}), "model_memory is given no weights_mib"),
    (lambda: model_memory(UNKNOWN), "the model's architecture brand-new is not known"),
    (lambda: model_memory({"architecture": "llama"}), "model.header has no parameters"),
    (lambda: model_memory(FACTS, context="8k"), "model_memory.context is '8k'; it must be a whole number from 128"),
    (lambda: model_memory(FACTS, context=None), "model_memory.context is missing; it must be a whole number"),
    (lambda: model_memory(FACTS, parallel=0), "model_memory.parallel is 0; it must be a whole number from 1 to 256"),
    (lambda: model_memory(FACTS, cache_type="f32"), "model_memory.cache_type is 'f32'; it must be one of f16"),
    (lambda: model_memory(FACTS, ubatch=True), "model_memory.ubatch is True; it must be a whole number"),
    (lambda: largest_quantisation(NUMBERS, "8 GiB"), "largest_quantisation.memory_mib is '8 GiB'; it must be a whole"),
    (lambda: largest_quantisation({"kv_bytes_per_token": 1}, 1), "largest_quantisation is given no parameters"),
    (lambda: largest_quantisation({"architecture": "llama"}, 1), "model.header has no parameters"),
    (lambda: largest_quantisation({"parameters": 1}, 1), "the model's KV cache is not known"),
])
def test_what_is_wrong_is_named(call, words):
    with pytest.raises(PlanError) as error:
        call()
    assert words in str(error.value)
