# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compiler switches for the processor that an engine will run on, from the flags that each of its CPUs has."""

from __future__ import annotations

import hashlib
import json

from ansible_collections.inference.host.plugins.module_utils.checks import kind
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.placement import check_topology

# ggml's CMake option -> the kernel's names of the instructions that it emits (ggml/src/ggml-cpu/CMakeLists.txt).
X86_OPTIONS = {
    "GGML_SSE42": ("sse4_2",),
    "GGML_AVX": ("avx",),
    "GGML_AVX2": ("avx2",),
    "GGML_FMA": ("fma",),
    "GGML_F16C": ("f16c",),
    "GGML_BMI2": ("bmi2",),
    "GGML_AVX_VNNI": ("avx_vnni",),
    "GGML_AVX512": ("avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"),
    "GGML_AVX512_VBMI": ("avx512vbmi",),
    "GGML_AVX512_VNNI": ("avx512_vnni",),
    "GGML_AVX512_BF16": ("avx512_bf16",),
    "GGML_AMX_TILE": ("amx_tile",),
    "GGML_AMX_INT8": ("amx_int8",),
    "GGML_AMX_BF16": ("amx_bf16",),
}

# The kernel's name of an instruction set (arch/x86/include/asm/cpufeatures.h) -> (gcc's after -m, rustc's, the sets
# that a compiler takes as present with it, which stand before it). These are the sets that numeric code is compiled to
# and that gcc 11 and rustc 1.89 know: gcc's manual, "x86 Options"; `rustc --print target-features`.
X86_SETS = {
    "pni": ("sse3", "sse3", ()),
    "ssse3": ("ssse3", "ssse3", ("pni",)),
    "sse4_1": ("sse4.1", "sse4.1", ("ssse3",)),
    "popcnt": ("popcnt", "popcnt", ()),
    "sse4_2": ("sse4.2", "sse4.2", ("sse4_1", "popcnt")),
    "abm": ("lzcnt", "lzcnt", ()),
    "bmi1": ("bmi", "bmi1", ()),
    "bmi2": ("bmi2", "bmi2", ()),
    "avx": ("avx", "avx", ("sse4_2",)),
    "f16c": ("f16c", "f16c", ("avx",)),
    "fma": ("fma", "fma", ("avx",)),
    "avx2": ("avx2", "avx2", ("avx",)),
    "avx_vnni": ("avxvnni", "avxvnni", ("avx2",)),
    "avx512f": ("avx512f", "avx512f", ("avx2", "fma", "f16c")),
    "avx512cd": ("avx512cd", "avx512cd", ("avx512f",)),
    "avx512bw": ("avx512bw", "avx512bw", ("avx512f",)),
    "avx512dq": ("avx512dq", "avx512dq", ("avx512f",)),
    "avx512vl": ("avx512vl", "avx512vl", ("avx512f",)),
    "avx512ifma": ("avx512ifma", "avx512ifma", ("avx512f",)),
    "avx512vbmi": ("avx512vbmi", "avx512vbmi", ("avx512bw",)),
    "avx512_vbmi2": ("avx512vbmi2", "avx512vbmi2", ("avx512bw",)),
    "avx512_vnni": ("avx512vnni", "avx512vnni", ("avx512f",)),
    "avx512_bf16": ("avx512bf16", "avx512bf16", ("avx512bw",)),
    "avx512_bitalg": ("avx512bitalg", "avx512bitalg", ("avx512bw",)),
    "avx512_vpopcntdq": ("avx512vpopcntdq", "avx512vpopcntdq", ("avx512f",)),
    "amx_tile": ("amx-tile", "amx-tile", ()),
    "amx_int8": ("amx-int8", "amx-int8", ("amx_tile",)),
    "amx_bf16": ("amx-bf16", "amx-bf16", ("amx_tile",)),
}

# Architecture -> gcc's option for the processor that it runs on; gcc has none, or another, on others.
GCC_NATIVE = {"x86_64": "-march=native", "aarch64": "-mcpu=native"}


def cmake_args(topology):
    """Return llama.cpp's CMake arguments, a sorted list of `-DNAME=ON|OFF`, for the host's processor.

    On x86-64 each instruction set is named, so that one build serves every host with the same list; elsewhere the
    compiler asks the processor (GGML_NATIVE).
    """
    flags = x86_flags(topology)
    if not flags:
        return ["-DGGML_NATIVE=ON"]
    switches = {name: flags.issuperset(needed) for name, needed in X86_OPTIONS.items()}
    return sorted(["-D%s=%s" % (name, "ON" if on else "OFF") for name, on in switches.items()] + ["-DGGML_NATIVE=OFF"])


def x86_flags(topology):
    """Return the set of flags that every CPU of an x86-64 host has; empty where they are not known or it is none."""
    check_topology(topology)
    return set(topology["cpu"].get("flags") or []) if architecture_of(topology) == "x86_64" else set()


def architecture_of(topology):
    return (topology.get("platform") or {}).get("architecture")


def x86_sets(flags):
    """Return the kernel's names of the sets in X86_SETS that may be compiled to, in the table's order.

    A set counts only with all that a compiler takes as present with it: virtual machines may have one without another.
    """
    usable = []
    for name, (_gcc, _rustc, needed) in X86_SETS.items():
        if name in flags and set(needed) <= set(usable):
            usable.append(name)
    return usable


def cflags(topology, lto=False):
    """Return the words of CFLAGS (and CXXFLAGS) for the host's processor, for gcc 11 or newer; clang's names are equal.

    On x86-64 each instruction set is named, so that hosts with the same sets can share a build; where the flags are not
    known, and on Arm, the compiler asks the processor; other architectures get no option. `lto` adds link-time
    optimisation.
    """
    check_switch("lto", lto)
    flags = x86_flags(topology)
    if flags:
        words = ["-m" + X86_SETS[name][0] for name in x86_sets(flags)]
    else:
        native = GCC_NATIVE.get(architecture_of(topology))
        words = [native] if native else []
    return words + ["-flto=auto"] if lto else words


def rustflags(topology, unstable=False):
    """Return the words of RUSTFLAGS for the host's processor.

    As cflags, with rustc's names; where no set is named, rustc asks the processor on every architecture. AMX is left
    out unless `unstable` is set: rustc 1.95 still warns of it as unstable. Link-time optimisation is never here: Cargo
    compiles with `-C embed-bitcode=no`, which rustc refuses together with `-C lto`, unless Cargo's profile asks for it.
    """
    check_switch("unstable", unstable)
    flags = x86_flags(topology)
    if not flags:
        return ["-C", "target-cpu=native"]
    names = [X86_SETS[name][1] for name in x86_sets(flags) if unstable or not name.startswith("amx_")]
    return ["-C", "target-feature=" + ",".join("+" + name for name in names)] if names else []


def check_switch(name, value):
    """Raise PlanError for what is neither true nor false."""
    if not isinstance(value, bool):
        raise PlanError("%s is %s; it must be true or false." % (name, kind(value)))


def build_id(topology, ingredients=()):
    """Return 12 hexadecimal digits that name a build: equal for hosts that can share the binary.

    `ingredients` are what else goes in (source checksum, arguments), a list of texts, numbers, lists and mappings;
    the distribution stands for its C library. Raises PlanError for what is no list, or cannot be written as JSON.
    """
    if not isinstance(ingredients, (list, tuple)):
        raise PlanError("ingredients is %s; it must be a list, such as [source_sha256]." % kind(ingredients))
    flags = cmake_args(topology)
    distribution = (topology.get("platform") or {}).get("distribution") or {}
    parts = [architecture_of(topology), distribution.get("id"), distribution.get("version_id")]
    parts += [flags, list(ingredients)]
    if "-DGGML_NATIVE=ON" in flags:
        parts.append(topology["cpu"].get("model_name"))
    try:
        text = json.dumps(parts, sort_keys=True)
    except TypeError as error:
        raise PlanError("ingredients hold what is neither text, number, list nor mapping (%s)." % error) from error
    return hashlib.sha256(text.encode()).hexdigest()[:12]
