"""Compiler switches for a processor, and the name of a build."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.build_flags import X86_OPTIONS, build_id, cmake_args
from hypothesis import given
from hypothesis import strategies as st
from plan_topologies import FLAGS, topology

ROOT = Path(__file__).resolve().parents[4]
INSTRUCTIONS = sorted({flag for needed in X86_OPTIONS.values() for flag in needed})


def switched_on(*flags):
    """The switches that are ON, without their prefix."""
    return {found.group(1) for found in (re.match(r"-DGGML_(.*)=ON\Z", argument)
                                         for argument in cmake_args(topology(flags=list(flags)))) if found}


def test_each_instruction_set_is_named_on_or_off():
    arguments = cmake_args(topology())
    assert arguments == sorted(arguments)
    assert len(arguments) == len(X86_OPTIONS) + 1
    assert switched_on(*FLAGS) == {"AVX", "AVX2", "BMI2", "F16C", "FMA", "SSE42"}
    assert {"-DGGML_NATIVE=OFF", "-DGGML_AVX512=OFF", "-DGGML_AVX2=ON"} <= set(arguments)


def test_a_sapphire_rapids_gets_avx512_and_amx():
    assert {"AVX512", "AVX512_VNNI", "AMX_TILE", "AMX_INT8"} <= switched_on(
        "avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "amx_tile", "amx_int8")


@pytest.mark.parametrize("missing", ["avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"])
def test_avx512_needs_all_of_its_parts(missing):
    assert "AVX512" not in switched_on(*{"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"} - {missing})


@pytest.mark.parametrize("host", [
    topology(architecture="aarch64", flags=["asimd", "avx2"]), topology(flags=[]), topology(flags=None),
    dict(topology(), platform=None)])
def test_elsewhere_the_compiler_asks_the_processor(host):
    assert cmake_args(host) == ["-DGGML_NATIVE=ON"]


@given(st.sets(st.sampled_from(INSTRUCTIONS), min_size=1), st.sampled_from(INSTRUCTIONS))
def test_one_more_instruction_never_switches_anything_off(flags, more):
    assert switched_on(*flags) <= switched_on(*flags, more)


def test_hosts_that_can_share_a_binary_have_one_name():
    name = build_id(topology(), ["source", ["-DX=ON"]])
    assert re.match(r"[0-9a-f]{12}\Z", name)
    other = topology(sockets=2, cores=64, flags=[*reversed(FLAGS), "hypervisor"], kind="vm", model_name="Another")
    assert build_id(other, ["source", ["-DX=ON"]]) == name
    assert build_id(topology(), ("source", ["-DX=ON"])) == name


def altered(*path, value):
    host = topology()
    place = host
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return host


@pytest.mark.parametrize("host", [
    topology(flags=[*FLAGS, "avx_vnni"]),
    topology(architecture="aarch64"),
    altered("platform", "distribution", "version_id", value="13"),
    altered("platform", "distribution", "id", value="ubuntu"),
])
def test_hosts_that_cannot_share_a_binary_have_two(host):
    assert build_id(host) != build_id(topology())


def test_what_goes_in_is_in_the_name():
    various = ([], ["a"], ["b"], ["a", "b"], ["b", "a"], ["ab"], [["a"]])
    assert len({build_id(topology(), ingredients) for ingredients in various}) == len(various)


def test_a_native_build_is_for_one_processor_model():
    arm = {name: topology(architecture="aarch64", model_name=name) for name in ("0xd0c", "0xd4f")}
    assert build_id(arm["0xd0c"]) != build_id(arm["0xd4f"])
    assert build_id(arm["0xd0c"]) == build_id(topology(architecture="aarch64", model_name="0xd0c", cores=2))


def test_the_name_is_the_same_in_another_process():
    code = ("import sys; sys.path[:0] = [%r, %r]; import conftest; from plan_topologies import topology;"
            "from ansible_collections.inference.host.plugins.module_utils.build_flags import build_id;"
            "print(build_id(topology(), ['s']))" % (str(ROOT / "tests" / "unit"), str(ROOT / ".collections")))
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == build_id(topology(), ["s"])
