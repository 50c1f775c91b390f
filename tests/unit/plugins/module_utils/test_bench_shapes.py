"""The loads by name, and the prompts."""

from pathlib import Path

import pytest
import yaml
from ansible_collections.inference.host.plugins.module_utils.bench_prompts import WORDS, Prompts, words_for
from ansible_collections.inference.host.plugins.module_utils.bench_shapes import GROUPS, in_words, shapes_of
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from hypothesis import given
from hypothesis import strategies as st


def names(wishes):
    return [shape["name"] for shape in shapes_of(wishes)]


def test_throughput_is_each_batch_with_each_length():
    found = {(shape["users"], shape["prompt_tokens"]) for shape in shapes_of(["throughput"])}
    assert found == {(batch, length) for batch in (1, 4, 8, 16) for length in (128, 256, 512, 1024, 2048)}
    assert "throughput-b4-p512" in names(["throughput"])


def test_latency_and_stress_are_the_fleets():
    assert [shape["users"] for shape in shapes_of("latency")] == [1, 5, 10, 20, 32]
    hour, minutes = shapes_of("stress")
    assert (hour["users"], hour["ramp_seconds"]) == (64, 300)
    assert hour["ramp_seconds"] + hour["hold_seconds"] + hour["down_seconds"] == 3600
    assert (minutes["users"], minutes["ramp_seconds"], minutes["hold_seconds"]) == (100, 60, 300)


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_each_group_is_complete_and_fits_its_limit(name):
    for shape in shapes_of([name]):
        assert shapes_of([shape]) == [shape] and in_words(shape)
        assert shape["repeats"] >= 4


def test_a_shape_is_taken_once_and_in_order():
    assert names("short-u4, short") == ["short-u4", "short-u1"]
    assert names(["short-u1", {"name": "mine", "users": 2}]) == ["short-u1", "mine"]
    assert names(["engine", "short-engine", "engine"]) == ["engine", "short-engine"]


@pytest.mark.parametrize(("wishes", "sentence"), [
    ([], "benchmark_shapes is a list; it must be a list of names such as [short]."),
    (3, "benchmark_shapes is 3; it must be a list of names such as [short]."),
    ("", "benchmark_shapes is ''; it must be a list of names such as [short]."),
    (["shrot"], "benchmark_shapes[0] is 'shrot'; did you mean short?"),
    ([{"users": 2}], "benchmark_shapes[0].name is missing; it must be lower case letters, digits, ., _ and -, 64 at "
                     "most."),
    ([{"name": "a/b"}], "benchmark_shapes[0].name is 'a/b'; it must be lower case letters, digits, ., _ and -, 64 at "
                        "most."),
    ([{"name": "a", "users": "4"}], "benchmark_shapes[0].users is '4'; it must be a whole number from 1 to 1024."),
    ([{"name": "a", "level": "engine"}],
     "benchmark_shapes[0] has level engine and neither prompts nor generate; give lengths in tokens."),
    ([{"name": "a", "hold_seconds": 60, "ramp_seconds": 5, "limit_seconds": 20}],
     "benchmark_shapes[0].limit_seconds is 20; ramp, hold and down alone take 65."),
    ([{"name": "a", "users": 12}],
     "benchmark_shapes[0].requests is 8; with 12 users it must be 12 or more, else some would have nothing to ask."),
    (["short", {"name": "short-u1", "users": 2}],
     "benchmark_shapes[1].name is short-u1, as that of another shape; give each its own."),
    (["engine", {"name": "mine", "level": "engine", "prompts": [64, 512]}],
     "benchmark_shapes: prompts of engine and of mine both have 512; leave it out of one."),
    ([{"name": "a", "level": "engine", "generate": [32, 32]}],
     "benchmark_shapes: generate of a and of a both have 32; leave it out of one."),
])
def test_wrong_wishes_are_refused(wishes, sentence):
    with pytest.raises(PlanError) as error:
        shapes_of(wishes)
    assert str(error.value) == sentence


@pytest.mark.parametrize(("name", "words"), [
    ("short-u4", "4 at a time, 5 times 8 requests, 32 tokens after 64"),
    ("short-stress-u4", "4 users within 2 s, then 30 s in 5 parts, 32 tokens after 64"),
    ("engine", "prompts of 128, 512, 2048 and 128 generated tokens, 5 times each"),
])
def test_in_words(name, words):
    assert in_words(shapes_of([name])[0]) == words


def test_words_are_many_and_each_once():
    assert len(set(WORDS)) == len(WORDS) > 300


@given(st.integers(0, 2**64), st.integers(3, 40), st.integers(2, 60))
def test_no_prompt_begins_as_another_one(seed, words, count):
    prompts = Prompts(seed)
    texts = [prompts.text(words).split() for _number in range(count)]
    assert {len(text) for text in texts} == {words}
    assert len({tuple(text[:12]) for text in texts}) == count


def test_another_run_has_other_prompts():
    assert Prompts(1).text(20) != Prompts(2).text(20)


@given(st.integers(1, 4096), st.integers(1, 3), st.integers(0, 4))
def test_the_length_in_words_makes_the_tokens(wanted, a_word, without):
    words = words_for(wanted, 72, 72 * a_word + without, without)
    assert words == 1 or abs(words * a_word + without - wanted) <= a_word


@pytest.mark.parametrize("tokens", [None, 0, 1])
def test_what_the_engine_does_not_tell_is_a_token_a_word(tokens):
    assert words_for(512, 72, tokens, without=1) == 512


ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize("path", ["docs/benchmark.md", "roles/benchmark/meta/argument_specs.yml",
                                  "plugins/filter/benchmark_jobs.py"])
def test_each_group_is_documented(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    assert [name for name in GROUPS if f"`{name}`" not in text and f"V({name})" not in text] == []


def test_what_the_role_measures_unasked_is_a_group_and_the_documents_shapes_can_be_taken():
    defaults = yaml.safe_load((ROOT / "roles/benchmark/defaults/main.yml").read_text(encoding="utf-8"))
    assert set(defaults["benchmark_shapes"]) <= set(GROUPS)
    example = (ROOT / "docs/benchmark.md").read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    assert names(yaml.safe_load(example)["benchmark_shapes"])[-3:] == ["our-chat", "our-hour", "our-engine"]
