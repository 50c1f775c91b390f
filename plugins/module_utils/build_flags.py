# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compiler switches for the processor that an engine will run on, from the flags that each of its CPUs has."""

from __future__ import annotations

import hashlib
import json

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


def cmake_args(topology):
    """Return llama.cpp's CMake arguments, a sorted list of `-DNAME=ON|OFF`, for the host's processor.

    On x86-64 each instruction set is named, so that one build serves every host with the same list; elsewhere the
    compiler asks the processor (GGML_NATIVE).
    """
    architecture = (topology.get("platform") or {}).get("architecture")
    flags = set(topology["cpu"]["flags"] or [])
    if architecture != "x86_64" or not flags:
        return ["-DGGML_NATIVE=ON"]
    switches = {name: flags.issuperset(needed) for name, needed in X86_OPTIONS.items()}
    return sorted(["-D%s=%s" % (name, "ON" if on else "OFF") for name, on in switches.items()] + ["-DGGML_NATIVE=OFF"])


def build_id(topology, ingredients=()):
    """Return 12 hexadecimal digits that name a build: equal for hosts that can share the binary.

    `ingredients` are what else goes in (source checksum, arguments); the distribution stands for its C library.
    """
    platform = topology.get("platform") or {}
    distribution = platform.get("distribution") or {}
    flags = cmake_args(topology)
    parts = [platform.get("architecture"), distribution.get("id"), distribution.get("version_id")]
    parts += [flags, list(ingredients)]
    if "-DGGML_NATIVE=ON" in flags:
        parts.append(topology["cpu"]["model_name"])
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
