"""llama-bench: its command lines, the unit that it runs in, and what it says."""

import json
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils import bench_unit, llama_bench
from ansible_collections.inference.host.plugins.module_utils.bench_shapes import shapes_of
from fleet_plans import fleet_plan
from hypothesis import given
from hypothesis import strategies as st

(SHAPE,) = shapes_of([{"name": "engine", "level": "engine", "prompts": [128, 512], "generate": [32]}])


def instance(**changes):
    return dict(fleet_plan("xaichat")["instances"][0], **changes)


def words(**changes):
    return llama_bench.bench_commands(instance(**changes), "/opt/bin/llama-bench", "/m.gguf", SHAPE)


def test_the_words_are_the_plans():
    assert words() == [
        "/opt/bin/llama-bench --output json --repetitions 5 --model /m.gguf --batch-size 2048 --ubatch-size 512 "
        "--cache-type-k f16 --cache-type-v f16 --n-prompt 128,512 --n-gen 32 --threads 3".split()]


def test_prompts_with_threads_of_their_own_are_a_call_of_their_own():
    prompts, generate = words(threads=3, threads_batch=6)
    assert prompts[-6:] == ["--n-prompt", "128,512", "--n-gen", "0", "--threads", "6"]
    assert generate[-6:] == ["--n-prompt", "0", "--n-gen", "32", "--threads", "3"]


def test_prompts_alone_take_the_threads_for_prompts():
    (shape,) = shapes_of([{"name": "a", "level": "engine", "prompts": [64]}])
    (found,) = llama_bench.bench_commands(instance(threads_batch=6), "b", "m", shape)
    assert found[-6:] == ["--n-prompt", "64", "--n-gen", "0", "--threads", "6"]


def test_memory_policy_layers_and_load_mode_are_the_plans():
    (found,) = words(numa_policy="bind", gpu_layers=20, load_mode="mmap")
    assert found[found.index("--numa") + 1] == "numactl"
    assert found[found.index("--n-gpu-layers") + 1] == "20" and found[found.index("--load-mode") + 1] == "mmap"


def test_it_is_never_told_to_pin_threads_itself():
    given_up = {"--cpu-mask", "-C", "--cpu-strict", "--cpu-range", "--prio"}
    (found,) = words(numa_policy="bind", arguments=["--cpu-mask", "ff", "--cpu-strict=1", "--prio", "2"])
    assert not given_up & {word.split("=")[0] for word in found}


@pytest.mark.parametrize(("arguments", "taken", "left"), [
    ([], [], []),
    (["-fa", "on", "--mlock", "--poll=0"], ["--flash-attn", "on", "--poll", "0"], ["--mlock"]),
    (["--seed", "-1", "--n-cpu-moe", "4"], ["--n-cpu-moe", "4"], ["--seed"]),
    (["--flash-attn"], [], []),
    # A comma begins another test.
    (["-ts", "3,1", "--device=CUDA0,CUDA1"], ["--tensor-split", "3/1", "--device", "CUDA0/CUDA1"], []),
    (["-ot", "a=CPU,b=CUDA0"], ["--override-tensor", "a=CPU;b=CUDA0"], []),
])
def test_arguments_that_both_programs_have(arguments, taken, left):
    assert llama_bench.shared_arguments(arguments) == (taken, left)


def test_the_unit_has_the_instances_placement_and_nothing_of_the_network():
    found = bench_unit.transient_words(
        instance(numa_policy="bind", numa_range="1", memory_lock="infinity"), ["llama-bench", "-x"], 300, nice=-5,
        bring_back="inference-chat@0.service")
    assert found[:2] == ["systemd-run", "--pipe"] and found[-3:] == ["--", "llama-bench", "-x"]
    properties = [word.split("=", 1)[1] for word in found if word.startswith("--property=")]
    assert {"AllowedCPUs=1-3", "CPUAffinity=1-3", "NUMAPolicy=bind", "NUMAMask=1", "AllowedMemoryNodes=1",
            "LimitMEMLOCK=infinity", "Nice=-5", "RuntimeMaxSec=300", "PrivateNetwork=yes", "PrivateDevices=yes",
            "ExecStopPost=+/bin/systemctl start --no-block inference-chat@0.service"} <= set(properties)


def test_systemd_puts_no_variable_into_the_words():
    assert bench_unit.transient_words(instance(), ["x", "a$${HOME}$"], 300)[-2:] == ["x", "a$$$${HOME}$$"]


def test_the_unit_of_a_card_sees_it_and_nothing_is_brought_back_that_did_not_run():
    found = bench_unit.transient_words(instance(gpus=["0000:65:00.0"]), ["x"], 300)
    assert not [word for word in found if "PrivateDevices" in word or "ExecStopPost" in word or "NUMA" in word]


def test_the_unit_is_not_taken_for_an_instance():
    assert bench_unit.transient_unit(instance()) == "inference-benchmark-chat-0.service"


@pytest.mark.parametrize(("said", "seconds"), [
    ("Running as unit: a.service\nCPU time consumed: 1min 2.500s\n", 62.5),
    ("CPU time consumed: 950ms", 0.95),
    ("CPU time consumed: 2h 3s", 7203.0),
    ("CPU time consumed: 1month 1w 1d 1min 1s 1ms 1us", 2629800 + 604800 + 86400 + 61.001001),
    ("Service runtime: 3s", None),
    ("CPU time consumed: none", None),
    ("", None),
])
def test_the_cpu_time_that_systemd_tells(said, seconds):
    assert bench_unit.cpu_seconds(said) == (seconds if seconds is None else pytest.approx(seconds))


def said(**changes):
    test = {"build_number": 11312, "n_prompt": 512, "n_gen": 0, "n_threads": 3, "n_batch": 2048, "n_ubatch": 512,
            "samples_ns": [1, 2], "samples_ts": [301.23456, 299.0]}
    return json.dumps([dict(test, **changes)])


def test_each_length_is_a_run():
    (run,) = llama_bench.parse(said())
    assert run == {"shape": "engine-p512",
                   "repeats": [{"tokens_per_second": 301.2, "errors": 0}, {"tokens_per_second": 299.0, "errors": 0}],
                   "parameters": {"prompt_tokens": 512, "max_tokens": 0, "threads": 3, "batch": 2048, "ubatch": 512,
                                  "build": 11312}}
    assert llama_bench.parse(said(n_prompt=0, n_gen=32))[0]["shape"] == "engine-n32"


def test_what_a_real_one_said():
    text = (Path(__file__).parents[2] / "engine_help/llama-bench-b11312.json").read_text(encoding="utf-8")
    found = {run["shape"]: [one["tokens_per_second"] for one in run["repeats"]] for run in llama_bench.parse(text)}
    assert found == {"engine-p32": [357.1, 193.3], "engine-n8": [91.04, 28.95]}


@pytest.mark.parametrize("output", [
    "", "{}", "[", "null", "3", '[{"n_prompt": 1}]', "[3]", said(samples_ts=[]), said(samples_ts=[0.0]),
    said(samples_ts=["x"]), said(n_threads=None), said()[:-20]])
def test_what_is_no_list_of_results_is_refused(output):
    with pytest.raises(llama_bench.BenchError, match="llama-bench did not end with its list|measured nothing"):
        llama_bench.parse(output)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner) |
                    st.dictionaries(st.text(max_size=5), inner), max_leaves=8))
def test_any_other_json_is_refused_with_a_sentence(value):
    with pytest.raises(llama_bench.BenchError):
        llama_bench.parse(json.dumps(value))
