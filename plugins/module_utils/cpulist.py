# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""CPU and node sets in the kernel's two spellings: lists such as `0-3,8` and hexadecimal masks such as `ff`.

Both spellings are described in the kernel's documentation of `cpuset` ("List Format" and "Mask Format").
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_ID = 65535
"""The largest id that is believed. The kernel's own limit is 8192 CPUs; more is junk, not a machine."""

_NUMBER = re.compile(r"[0-9]{1,20}\Z")
_HEX = re.compile(r"[0-9a-fA-F]+\Z")
_PADDING = " \t\r\n\0"
_PREFIXES = ("0x", "0X")


def parse_cpu_list(text):
    """Return the sorted ids of a list such as `0-3,8`; the empty text is the empty list.

    Blanks and NUL bytes around entries, and empty entries, are ignored, as some kernels write them.
    Raises ValueError with a sentence for anything else: words, negative ids, ranges that run backwards and
    ids above MAX_ID (a range is checked before it is expanded, so that `0-4294967295` costs nothing).
    """
    ids = set()
    for entry in text.strip(_PADDING).split(","):
        entry = entry.strip(_PADDING)
        if entry:
            first, last = _parse_range(entry)
            ids.update(range(first, last + 1))
    return sorted(ids)


def _parse_range(entry):
    """Return the first and the last id of one entry, `8` or `0-3`."""
    first, dash, last = entry.partition("-")
    numbers = [part.strip(_PADDING) for part in ((first, last) if dash else (first, first))]
    if not all(_NUMBER.match(part) for part in numbers):
        raise ValueError(f"CPU list entry {_shorten(entry)} is neither an id nor a range such as 0-3.")
    low, high = int(numbers[0]), int(numbers[1])
    if low > high:
        raise ValueError(f"CPU list range {_shorten(entry)} runs backwards; the smaller id comes first.")
    if high > MAX_ID:
        raise ValueError(f"CPU list entry {_shorten(entry)} names an id above {MAX_ID}.")
    return low, high


def format_cpu_list(ids):
    """Return ids (any order, duplicates allowed) as the shortest list, such as `0-3,8`; `""` for none.

    Raises ValueError for an id that is not an integer from 0 to MAX_ID.
    """
    ranges = []
    for number in _checked(ids):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)


def parse_cpu_mask(text):
    """Return the sorted ids of a hexadecimal mask such as `ff`, `0xff` or `00000001,ffffffff`.

    Comma-separated groups hold 32 bits each, the lowest ids in the last group. Blanks and NUL bytes around it
    are ignored; the empty text is the empty list. Raises ValueError for anything that is not such a mask.
    """
    text = text.strip(_PADDING)
    if not text:
        return []
    digits = text[2:] if text[:2] in _PREFIXES else text
    if len(digits) > (MAX_ID + 1) // 4 * 9 // 8:
        raise ValueError(f"CPU mask {_shorten(text)} has bits above {MAX_ID}.")
    groups = digits.split(",")
    if not all(_HEX.match(group) for group in groups) or (len(groups) > 1 and max(map(len, groups)) > 8):
        raise ValueError(f"CPU mask {_shorten(text)} is not hexadecimal groups of 32 bits, such as ff or 1,ffffffff.")
    bits = int("".join(group.zfill(8) for group in groups), 16)
    ids = _bit_numbers(bits)
    if ids and ids[-1] > MAX_ID:
        raise ValueError(f"CPU mask {_shorten(text)} has bits above {MAX_ID}.")
    return ids


def _bit_numbers(bits):
    """Return the numbers of the set bits, lowest first."""
    return [position for position, digit in enumerate(reversed(bin(bits)[2:])) if digit == "1"]


def format_cpu_mask(ids):
    """Return ids as a hexadecimal mask without commas or prefix, such as `ff`; `0` for none.

    Raises ValueError for an id that is not an integer from 0 to MAX_ID.
    """
    bits = 0
    for number in _checked(ids):
        bits |= 1 << number
    return f"{bits:x}"


def cpu_list(value):
    """Return the sorted ids of a set that is spelled in any way: `[0, 1]`, `0-1`, or a mask with `0x` before it, which
    tells the mask `0x10` from the CPU `10`. Raises ValueError with a sentence for anything else.
    """
    if isinstance(value, str):
        is_mask = value.strip(_PADDING)[:2] in _PREFIXES
        return parse_cpu_mask(value) if is_mask else parse_cpu_list(value)
    if isinstance(value, (bytes, dict)) or not isinstance(value, Iterable):
        raise ValueError(
            f"CPUs {_shorten(str(value))} are neither a list of ids, a range such as 0-3,8 nor a mask such as 0xff.")
    return _checked(value)


def cpu_range(cpus):
    """Return CPUs, spelled as `cpu_list` takes them, as the shortest range, such as `0-3,8`."""
    return format_cpu_list(cpu_list(cpus))


def cpu_mask(cpus, groups=False):
    """Return CPUs, spelled as `cpu_list` takes them, as a mask such as `0xff`, which `cpu_list` takes again.

    With `groups` it is spelled as the kernel's files below /proc/irq want it, without `0x`: groups of 32 bits in eight
    digits each, such as `00000001,ffffffff`.
    """
    if not isinstance(groups, bool):
        raise ValueError(f"groups is {_shorten(str(groups))}; it must be true or false.")
    digits = format_cpu_mask(cpu_list(cpus))
    if not groups:
        return "0x" + digits
    digits = digits.zfill(-(-len(digits) // 8) * 8)
    return ",".join(digits[start:start + 8] for start in range(0, len(digits), 8))


def _checked(ids):
    """Return the sorted distinct ids, or raise ValueError for one that is no id."""
    ids = list(ids)
    for number in ids:
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MAX_ID:
            raise ValueError(f"CPU id {_shorten(str(number))} is not an integer from 0 to {MAX_ID}.")
    return sorted(set(ids))


def _shorten(text):
    """Quote a text for a message, cut to a length that a person reads."""
    return repr(text if len(text) <= 40 else text[:40] + "...")
