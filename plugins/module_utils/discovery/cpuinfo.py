# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `/proc/cpuinfo` says: vendor, model, flags and, on Arm and RISC-V, the part of each CPU."""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils.cpulist import MAX_ID
from ansible_collections.inference.host.plugins.module_utils.sysfs import LARGE

CPUINFO = "proc/cpuinfo"

# The names of one thing differ by architecture; the first that is there counts.
_FIELDS = {
    "vendor": ("vendor_id", "vendor", "CPU implementer", "mvendorid"),
    "model_name": ("model name", "Model Name", "cpu model", "cpu", "uarch", "CPU part", "Processor", "machine"),
    "family": ("cpu family", "CPU Family", "family", "CPU architecture"),
    "model": ("model", "CPU part"),
    "stepping": ("stepping", "CPU revision", "revision"),
}
_FLAG_FIELDS = ("flags", "Features", "features", "isa")

# Flags that choose an engine build, as /proc/cpuinfo spells them on x86, Arm and RISC-V.
_ENGINE_FLAGS = frozenset(
    "pni ssse3 sse4_1 sse4_2 f16c fma avx avx2 avx_vnni avx_vnni_int8 avx_vnni_int16 avx_ifma "
    "avx512f avx512cd avx512bw avx512dq avx512vl avx512_vnni avx512_bf16 avx512_fp16 avx512vbmi avx512_vbmi2 "
    "avx512ifma avx512_vpopcntdq avx512_bitalg amx_tile amx_int8 amx_bf16 amx_fp16 bmi2 "
    "asimd asimddp asimdhp fphp i8mm bf16 sve sve2 svei8mm svebf16 svef32mm sme sme2 rvv zvfh zvfbfwma".split()
)

_NUMBER = re.compile(r"[0-9]{1,9}\Z")
_S390_PROCESSOR = re.compile(r"processor ([0-9]{1,5})\Z")
_RISCV_BASE = re.compile(r"rv(?:32|64|128)([a-z]*)")


def read_cpuinfo(tree):
    """Return {"cpu": {...}, "processors": [ids], "parts": {id: part}, "places": {...}, "readable": bool}.

    "cpu" is the answer's part of that name: vendor, model_name, family, model and stepping as text, as the
    first CPU has them; flags, sorted, that every CPU has; features, those of them that choose an engine build.
    "parts" tells unlike cores on Arm (implementer and part) and RISC-V (microarchitecture). "places" has
    {id: (`physical id`, `core id` or None)}, for machines whose sysfs has no topology files. "readable" is whether
    the file told anything at all.
    """
    text = tree.read(CPUINFO, LARGE)
    shared, blocks = parse_cpuinfo(text or "")
    cpu = _describe(tree, shared, blocks)
    return {
        "cpu": cpu,
        "processors": sorted(blocks),
        "parts": _parts(shared, blocks),
        "places": _places(blocks),
        "readable": bool(shared or blocks),
    }


def parse_cpuinfo(text):
    """Return ({field: value} that stands outside any CPU's lines, {CPU id: {field: value}}).

    Fields outside are from the machine's lines (POWER, s390) or, on old Arm kernels, what all CPUs share. A CPU's
    lines begin with `processor : ID`; s390 writes `processor ID: field = value, ...` in one line instead.
    """
    shared, blocks, current = {}, {}, None
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        name, value = name.strip(), value.strip()
        if not colon:
            current = None if not name else current
            continue
        s390 = _S390_PROCESSOR.match(name)
        if s390 and int(s390.group(1)) <= MAX_ID:
            pairs = (part.partition("=") for part in value.split(","))
            blocks[int(s390.group(1))] = {key.strip(): item.strip() for key, _equals, item in pairs}
        elif name == "processor" and re.match(r"[0-9]{1,5}\Z", value) and int(value) <= MAX_ID:
            current = blocks.setdefault(int(value), {})
        elif current is None:
            shared.setdefault(name, value)
        else:
            current.setdefault(name, value)
    return shared, blocks


def _describe(tree, shared, blocks):
    """Return the answer's "cpu", with a note for each field that the file does not have."""
    sources = [blocks[number] for number in sorted(blocks)] + [shared]
    cpu = {}
    for key, names in _FIELDS.items():
        cpu[key] = next((source[name] for name in names for source in sources if source.get(name)), None)
        if cpu[key] is None:
            _note_absent(tree, "cpu." + key)
    cpu["flags"] = _common_flags(shared, blocks)
    if cpu["flags"] is None:
        _note_absent(tree, "cpu.flags")
        _note_absent(tree, "cpu.features")
    cpu["features"] = sorted(_ENGINE_FLAGS.intersection(cpu["flags"] or []))
    return cpu


def _note_absent(tree, key):
    if tree.read(CPUINFO, LARGE):
        tree.note(key, f"Not known: /{CPUINFO} of this kind of CPU does not tell it.")
    else:
        tree.missing(key, CPUINFO)


def _common_flags(shared, blocks):
    """Return the sorted flags that every CPU has, or None where no CPU tells any."""
    lines = set()
    for block in blocks.values() or [{}]:
        line = next((block[name] for name in _FLAG_FIELDS if name in block), None)
        if line is None:
            line = next((shared[name] for name in _FLAG_FIELDS if name in shared), None)
        lines.add(line)
    lines.discard(None)
    if not lines:
        return None
    # Most CPUs have the same line: each distinct line is taken apart once.
    return sorted(set.intersection(*[set(_flags(line)) for line in lines]))


def _flags(line):
    """Return the flags of one line; a RISC-V `isa` such as rv64imafdcv_zba is taken apart, its `v` named rvv."""
    isa = _RISCV_BASE.match(line)
    if not isa:
        return line.split()
    letters = ["rvv" if letter == "v" else letter for letter in isa.group(1)]
    return letters + [part for part in line[isa.end() :].split("_") if part]


def _parts(shared, blocks):
    """Return {CPU id: what kind of core it says it is} for the CPUs that say it."""
    parts = {}
    for number, block in blocks.items():
        part = block.get("CPU part")
        if part:
            parts[number] = "{} {}".format(block.get("CPU implementer", shared.get("CPU implementer", "")), part)
        elif block.get("uarch"):
            parts[number] = block["uarch"]
    return parts


def _places(blocks):
    """Return {CPU id: (physical id, core id or None)} for the CPUs that tell the first; old kernels only do that."""
    places = {}
    for number, block in blocks.items():
        package, core = (_NUMBER.match(block.get(name, "")) for name in ("physical id", "core id"))
        if package:
            places[number] = (int(package.group()), int(core.group()) if core else None)
    return places
