"""Compiler switches for a processor, and the name of a build."""

import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.build_flags import (
    X86_OPTIONS,
    X86_SETS,
    build_id,
    cflags,
    cmake_args,
    rustflags,
)
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_topologies import FLAGS, topology

ROOT = Path(__file__).resolve().parents[4]
INSTRUCTIONS = sorted({flag for needed in X86_OPTIONS.values() for flag in needed})


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True)


def compiler_is(name, oldest, *ask):
    """Whether a compiler is installed and at least so new, by the first version in its answer."""
    if not shutil.which(name):
        return False
    return tuple(map(int, re.search(r"(\d+)\.(\d+)", run(name, *ask).stdout).groups())) >= oldest


NEEDS_GCC = pytest.mark.skipif(
    not (platform.machine() == "x86_64" and compiler_is("gcc", (11, 0), "-dumpfullversion")),
    reason="gcc 11 or newer for x86-64 is not installed")
NEEDS_RUSTC = pytest.mark.skipif(
    not compiler_is("rustc", (1, 89), "--version"), reason="rustc 1.89 or newer is not installed")

# What /proc/cpuinfo says of a Xeon Platinum 8458P (Sapphire Rapids) of the sets that compilers know, and some more.
XEON_8458P = (
    "sse sse2 pni pclmulqdq ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes avx f16c abm bmi1 avx2 bmi2 erms avx512f "
    "avx512dq adx avx512ifma clflushopt clwb avx512cd sha_ni avx512bw avx512vl avx_vnni avx512_bf16 avx512vbmi "
    "avx512_vbmi2 gfni vaes vpclmulqdq avx512_vnni avx512_bitalg avx512_vpopcntdq amx_bf16 avx512_fp16 amx_tile "
    "amx_int8").split()
I7_10700 = "pni ssse3 fma sse4_1 sse4_2 movbe popcnt aes avx f16c abm bmi1 avx2 bmi2 adx".split()


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
    assert {"AVX512", "AVX512_VNNI", "AMX_TILE", "AMX_INT8"} <= switched_on(*XEON_8458P)
    words = cflags(topology(flags=XEON_8458P))
    assert {"-mavx512" + part for part in ("f", "dq", "vl", "bw", "vnni")} | {"-mamx-int8", "-mamx-tile"} <= set(words)
    names = features(rustflags(topology(flags=XEON_8458P)))
    assert {"avx512" + part for part in ("f", "dq", "vl", "bw", "vnni")} <= set(names)


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


def features(words):
    """The features that RUSTFLAGS name."""
    option, _equals, names = words[1].partition("=")
    assert words[0] == "-C" and option == "target-feature" and len(words) == 2
    assert all(name.startswith("+") for name in names.split(","))
    return [name[1:] for name in names.split(",")]


def test_a_desktop_gets_avx2_in_each_compilers_words():
    host = topology(flags=I7_10700)
    assert cflags(host) == (
        "-msse3 -mssse3 -msse4.1 -mpopcnt -msse4.2 -mlzcnt -mbmi -mbmi2 -mavx -mf16c -mfma -mavx2").split()
    assert rustflags(host) == [
        "-C", "target-feature=+sse3,+ssse3,+sse4.1,+popcnt,+sse4.2,+lzcnt,+bmi1,+bmi2,+avx,+f16c,+fma,+avx2"]


def test_equal_hosts_have_equal_words():
    host, other = topology(flags=XEON_8458P), topology(
        sockets=2, flags=[*reversed(XEON_8458P), "hypervisor"], kind="vm", model_name="Another")
    assert cflags(host) == cflags(other) and rustflags(host) == rustflags(other)


def test_what_is_only_there_when_asked_for():
    host = topology(flags=XEON_8458P)
    assert cflags(host, lto=True) == [*cflags(host), "-flto=auto"]
    assert not [name for name in features(rustflags(host)) if name.startswith("amx")]
    assert features(rustflags(host, unstable=True)) == [
        *features(rustflags(host)), "amx-tile", "amx-int8", "amx-bf16"]
    assert "lto" not in " ".join(rustflags(host, unstable=True))


@pytest.mark.parametrize(("host", "c_words", "rust_words"), [
    (topology(flags=None), ["-march=native"], ["-C", "target-cpu=native"]),
    (topology(flags=[]), ["-march=native"], ["-C", "target-cpu=native"]),
    (topology(architecture="aarch64", flags=["asimd", "avx2"]), ["-mcpu=native"], ["-C", "target-cpu=native"]),
    (topology(architecture="riscv64", flags=["rvv"]), [], ["-C", "target-cpu=native"]),
    (dict(topology(), platform=None), [], ["-C", "target-cpu=native"]),
    (topology(flags=["fpu", "sse2"]), [], []),
])
def test_where_no_set_is_to_be_named(host, c_words, rust_words):
    assert cflags(host) == c_words
    assert cflags(host, lto=True) == [*c_words, "-flto=auto"]
    assert rustflags(host) == rust_words


@pytest.mark.parametrize("flags", [["avx512_vnni", "amx_int8", "avx2"], ["avx512f", "avx", "sse4_2"], ["avx_vnni"]])
def test_a_set_without_what_compilers_take_as_present_with_it_is_left_out(flags):
    assert cflags(topology(flags=flags)) == [] == rustflags(topology(flags=flags), unstable=True)


@pytest.mark.parametrize(("ask", "sentence"), [
    (lambda: cflags(topology(), lto="thin"), "lto is 'thin'; it must be true or false."),
    (lambda: cflags(topology(), lto=None), "lto is None; it must be true or false."),
    (lambda: rustflags(topology(), unstable=1), "unstable is 1; it must be true or false."),
    (lambda: build_id(topology(), "ab"), "ingredients is 'ab'; it must be a list, such as [source_sha256]."),
    (lambda: build_id(topology(), {"a": 1}), "ingredients is a mapping; it must be a list, such as [source_sha256]."),
    (lambda: build_id(topology(), [b"a"]), "ingredients hold what is neither text, number, list nor mapping "
     "(Object of type bytes is not JSON serializable)."),
    (lambda: cmake_args("host"), "The topology is no mapping; give what module inference.host.topology returns."),
    (lambda: cflags({}), "The topology has no cpus; give what module inference.host.topology returns."),
])
def test_wrong_input_is_refused_by_name(ask, sentence):
    with pytest.raises(PlanError) as error:
        ask()
    assert str(error.value) == sentence


SOME_FLAGS = st.sets(st.sampled_from(sorted(X86_SETS))) | st.sets(st.sampled_from(sorted(X86_SETS))).map(
    lambda left_out: set(X86_SETS) - left_out)


def macro_of(name):
    """The macro that gcc defines where it may use a set: __AVX512VNNI__ for -mavx512vnni."""
    return "__%s__" % re.sub(r"[.-]", "_", X86_SETS[name][0]).upper()


@NEEDS_GCC
@settings(max_examples=25, deadline=None)
@given(SOME_FLAGS)
def test_gcc_uses_no_set_that_the_host_lacks(flags):
    words = cflags(topology(flags=[*flags, "fpu"]))
    defined = set(re.findall(r"#define (\w+)", run("gcc", *words, "-dM", "-E", "-x", "c", "/dev/null").stdout))
    used = {name for name in X86_SETS if macro_of(name) in defined}
    assert used == {name for name, (word, _rustc, _needed) in X86_SETS.items() if "-m" + word in words} <= flags


@NEEDS_GCC
@pytest.mark.parametrize("host", [topology(flags=XEON_8458P), topology(flags=I7_10700), topology(flags=None)])
def test_gcc_compiles_with_the_words(host, tmp_path):
    source = tmp_path / "a.c"
    source.write_text("int add(int a, int b) { return a + b; }\n")
    done = run("gcc", *cflags(host, lto=True), "-c", str(source), "-o", str(tmp_path / "a.o"))
    assert done.stderr == ""


@NEEDS_RUSTC
@settings(max_examples=15, deadline=None)
@given(SOME_FLAGS)
def test_rustc_uses_no_set_that_the_host_lacks(flags):
    words = rustflags(topology(flags=[*flags, "fpu"]))
    done = run("rustc", "--print", "cfg", "--target", "x86_64-unknown-linux-gnu", *words)
    # A name that rustc does not know, or knows as unstable, is a warning.
    assert done.stderr == ""
    enabled = set(re.findall(r'target_feature="(.*)"', done.stdout))
    assert {name for name, (_gcc, feature, _needed) in X86_SETS.items() if feature in enabled} <= flags
    assert not words or set(features(words)) <= enabled


@NEEDS_RUSTC
def test_rustc_knows_the_unstable_names():
    known = run("rustc", "--print", "target-features", "--target", "x86_64-unknown-linux-gnu").stdout.split()
    assert set(features(rustflags(topology(flags=list(X86_SETS)), unstable=True))) <= set(known)


@pytest.mark.parametrize(("host", "ingredients", "name"), [
    (topology(), ["source", ["-DX=ON"]], "219fe9a61b54"),
    (topology(architecture="aarch64", model_name="0xd0c"), [], "530cc2567e63"),
    (topology(flags=None), [], "bbf01a8a8c6e"),
    (dict(topology(), platform=None), ["a"], "462de8e5a6a2"),
])
def test_names_of_builds_stay_since_caches_hold_them(host, ingredients, name):
    assert build_id(host, ingredients) == name


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
