"""The memory formulas against what the engine itself reported, and what they say of wrong or missing numbers."""

import json
import os
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.gguf import read_model
from ansible_collections.inference.host.plugins.module_utils.gguf_facts import model_facts
from ansible_collections.inference.host.plugins.module_utils.model_memory import (
    compute_bytes,
    instance_memory,
    kv_cache_bytes,
    memory_gaps,
)
from engine_reports import GEMMA_VOCABULARY, REPORTS
from gguf_models import header_of
from hypothesis import given
from hypothesis import strategies as st

MIB = 1 << 20
MODEL = Path(os.path.expanduser("~/.cache/inference.host/models/gemma-3-270m-q4_k_m.gguf"))
ROUNDING = 0.03
"""The engine reports hundredths of a MiB, in up to four buffers."""


def facts_of(name):
    architecture, numbers, _reports = REPORTS[name]
    facts = model_facts(header_of(architecture, **numbers))
    return dict(facts, vocabulary=GEMMA_VOCABULARY if name == "gemma-3-270m" else 1000)


@pytest.mark.parametrize("name", REPORTS)
def test_kv_cache_is_what_the_engine_reports(name):
    facts = facts_of(name)
    for context, parallel, ubatch, cache_type, kv_mib, _compute in REPORTS[name][2]:
        computed = kv_cache_bytes(facts, context, parallel, cache_type, ubatch) / MIB
        assert computed == pytest.approx(kv_mib, abs=ROUNDING), (context, parallel, ubatch, cache_type)


@pytest.mark.parametrize("name", REPORTS)
def test_compute_buffers_are_near_what_the_engine_reports(name):
    facts = facts_of(name)
    # What the docstring of compute_bytes promises.
    low, high = (0.97, 1.01) if name == "gemma-3-270m" else (0.94, 1.45)
    for context, parallel, ubatch, cache_type, _kv, compute_mib in REPORTS[name][2]:
        ratio = compute_bytes(facts, ubatch, context, parallel) / MIB / compute_mib
        assert low <= ratio <= high, (context, parallel, ubatch, cache_type, ratio)


def test_the_real_model_is_what_the_engine_reports():
    if not MODEL.exists():
        pytest.skip("%s is not there; molecule/lab/sample-model fetches it" % MODEL)
    facts = model_facts(read_model(str(MODEL)))
    assert facts["weights_bytes"] / MIB == pytest.approx(235.16, abs=0.01)  # "CPU_Mapped model buffer size"
    assert facts["quantisation"] == "Q4_K_M" and facts["parameters"] == 268098176 and facts["layers"] == 18
    numbers = ("attention", "embedding_length", "vocabulary", "query_length", "feed_forward_length", "experts")
    # So that the recorded reports are of this model.
    assert {key: facts[key] for key in numbers} == {key: facts_of("gemma-3-270m")[key] for key in numbers}


def test_llama_31_8b_takes_128_kib_a_token():
    facts = model_facts(header_of("llama", block_count=32, embedding_length=4096, feed_forward_length=14336,
                                  attention__head_count=32, attention__head_count_kv=8))
    assert kv_cache_bytes(facts, 8192) == 8192 * 128 * 1024
    assert kv_cache_bytes(facts, 8192, cache_type="q8_0") == 8192 * 128 * 1024 * 34 // 64


def test_rwkv_keeps_its_token_shifts_and_states():
    facts = model_facts(header_of("rwkv7", block_count=24, embedding_length=2048, wkv__head_size=64))
    # src/llama-hparams.cpp: two shifted tokens, and a matrix of head_size for each head.
    assert kv_cache_bytes(facts, 99999, parallel=3) == 3 * 24 * 4 * (2 * 2048 + 2048 * 64)


LAYOUT = {"embedding_length": 64, "attention__head_count": 4, "attention__head_count_kv": 2}


@pytest.mark.parametrize(("architecture", "numbers", "kinds"), [
    ("llama", {"block_count": 3}, "full full full"),
    ("gemma3", {"block_count": 7, "attention__sliding_window": 512},
     "window window window window window full window"),
    ("gemma3", {"block_count": 3, "attention__sliding_window": 512, "attention__sliding_window_pattern": 2},
     "window full window"),
    ("gemma3", {"block_count": 3, "attention__sliding_window": 512,
                "attention__sliding_window_pattern": [True, False, False]}, "window full full"),
    ("gemma3", {"block_count": 3}, "full full full"),
    ("gemma2", {"block_count": 3}, "window full window"),
    ("gemma3n", {"block_count": 22, "attention__sliding_window": 512},
     "window window window window full " * 4 + "shared shared"),
    ("gemma4", {"block_count": 4, "attention__sliding_window": 512, "attention__shared_kv_layers": 1,
                "attention__sliding_window_pattern": [True, True, False, True]}, "window window full shared"),
    ("cohere2moe", {"block_count": 5, "attention__sliding_window": 512}, "full window window window full"),
    ("llama4", {"block_count": 5}, "chunk chunk chunk full chunk"),
    ("llama4", {"block_count": 2, "attention__sliding_window": 0}, "full full"),
    ("glm4moe", {"block_count": 3, "nextn_predict_layers": 1}, "full full none"),
    ("qwen35", {"block_count": 5, "nextn_predict_layers": 1}, "recurrent recurrent recurrent full none"),
    ("qwen3next", {"block_count": 3, "attention__recurrent_layers": [1, 0, 1]}, "recurrent full recurrent"),
    ("nomic-bert", {"block_count": 2}, "none none"),
])
def test_layers_are_of_the_kinds_that_llama_cpp_gives_them(architecture, numbers, kinds):
    facts = model_facts(header_of(architecture, **{**LAYOUT, **numbers}))
    assert [layer["kind"] for layer in facts["attention"]] == kinds.split()


@pytest.mark.parametrize(("architecture", "numbers"), [
    ("brand-new", {}), ("kimi-linear", {}), ("deepseek32", {}), ("t5", {}),
    ("gemma4", {"attention__sliding_window": 512}),  # without its pattern
])
def test_an_unknown_architecture_is_said_to_be_unknown(architecture, numbers):
    facts = model_facts(header_of(architecture, block_count=2, **LAYOUT, **numbers))
    assert facts["known"] is False and facts["attention"] is None
    with pytest.raises(PlanError, match="^the model's architecture %s is not known; " % architecture):
        kv_cache_bytes(facts, 4096)
    model = {"header": facts, "weights_mib": None, "kv_bytes_per_token": None, "layers": None}
    assert instance_memory(model, 4096, 1, "f16", 512, 0)["kv_cache"] == 0
    assert memory_gaps(model) == ["the model's architecture %s is not known: its KV cache counts as 0 MiB; give "
                                  "model.kv_bytes_per_token." % architecture]
    model["kv_bytes_per_token"] = 1024
    assert instance_memory(model, 4096, 2, "f16", 512, 0)["kv_cache"] == 8
    assert memory_gaps(model) == []


def test_own_numbers_win_over_the_header():
    facts = facts_of("gemma-3-270m")
    model = {"header": facts, "weights_mib": None, "kv_bytes_per_token": None, "layers": None}
    assert instance_memory(model, 8192, 4, "f16", 512, 1024) == {
        "weights": 0, "kv_cache": 156, "compute": 31, "prompt_cache": 1024}
    model.update(weights_mib=7, kv_bytes_per_token=1 << 20)
    assert instance_memory(model, 8192, 4, "f16", 512, 0) == {
        "weights": 7, "kv_cache": 32768, "compute": 31, "prompt_cache": 0}
    assert instance_memory(model, 8192, 4, "q8_0", 512, 0)["kv_cache"] == 32768 * 34 // 64
    assert instance_memory(model, 8192, 4, "q4_0", 512, 0)["kv_cache"] == 32768 * 18 // 64


def test_what_is_not_known_is_zero_or_the_convention_and_said():
    model = {"header": None, "weights_mib": None, "kv_bytes_per_token": None, "layers": None}
    assert instance_memory(model, 4096, 1, "f16", 512, 5) == {
        "weights": 0, "kv_cache": 0, "compute": 512, "prompt_cache": 5}
    assert memory_gaps(model) == [
        "nothing is known of the model's memory: weights and KV cache count as 0 MiB, compute buffers as 512 MiB; give "
        "model.header, or model.weights_mib and model.kv_bytes_per_token."]
    for known, unknown in (("weights_mib", "KV cache is"), ("kv_bytes_per_token", "weights are")):
        (gap,) = memory_gaps(dict(model, **{known: 1}))
        assert gap.startswith("the model's %s not known and count" % unknown)
    assert memory_gaps(dict(model, weights_mib=1, kv_bytes_per_token=1)) == []
    assert memory_gaps(dict(model, header=facts_of("qwen3"))) == []


@pytest.mark.parametrize(("header", "words"), [
    ("text", "model.header is 'text'; it must be the facts that module inference.host.gguf_info returns."),
    ({"architecture": "llama"}, "model.header has no parameters and no layers and no embedding_length"),
    (dict(facts_of("qwen3"), vocabulary="many"), "model.header has vocabulary 'many'; it must be the facts"),
    (dict(facts_of("qwen3"), layer_bytes=[1, None]), "model.header has a layer_bytes that is no list of numbers"),
    (dict(facts_of("qwen3"), experts=[]), "model.header has experts.used None"),
    (dict(facts_of("qwen3"), attention={}), "model.header has an attention that is no list"),
    (dict(facts_of("qwen3"), attention=["full"]), "model.header has attention[].kv_heads None"),
    (dict(facts_of("qwen3"), attention=[{"kv_heads": -1}]), "model.header has attention[].kv_heads -1"),
    (dict(facts_of("qwen3"), attention=[dict(facts_of("qwen3")["attention"][0], window="all")]),
     "model.header has attention[].window 'all'"),
])
def test_a_header_that_is_no_facts_is_refused(header, words):
    with pytest.raises(PlanError) as error:
        instance_memory({"header": header}, 4096, 1, "f16", 512, 0)
    assert words in str(error.value)


def test_cache_types_are_checked():
    with pytest.raises(PlanError, match="cache_type is 'q9'; allowed are f16, bf16, q8_0"):
        kv_cache_bytes(facts_of("qwen3"), 4096, cache_type="q9")
    odd = model_facts(header_of("llama", block_count=1, **LAYOUT))
    with pytest.raises(PlanError, match="cache_type is q8_0, which takes heads of a multiple of 32; this model's"):
        kv_cache_bytes(odd, 4096, cache_type="q8_0")


SIZES = st.tuples(st.integers(128, 1 << 17), st.integers(1, 16), st.integers(1, 2048))


@given(st.sampled_from(sorted(REPORTS)), SIZES, SIZES)
def test_more_of_anything_never_takes_less(name, one, other):
    facts = facts_of(name)
    small = tuple(map(min, one, other))
    large = tuple(map(max, one, other))
    if small[1] != large[1]:
        # Slots share what the context is rounded up to, so a comparison needs contexts that need no rounding.
        small, large = [((context + 255) // 256 * 256, *rest) for context, *rest in (small, large)]
    assert kv_cache_bytes(facts, small[0], small[1], ubatch=small[2]) <= kv_cache_bytes(
        facts, large[0], large[1], ubatch=large[2])
    assert compute_bytes(facts, small[2], small[0], small[1]) <= compute_bytes(facts, large[2], large[0], large[1])


@pytest.mark.parametrize("name", REPORTS)
def test_facts_are_small_and_survive_json(name):
    facts = facts_of(name)
    assert json.loads(json.dumps(facts)) == facts
    assert len(json.dumps(facts)) < 20000
