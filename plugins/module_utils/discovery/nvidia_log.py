# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors of NVIDIA cards (Xid) in the kernel log. The log is read to its end and never waited for."""

from __future__ import annotations

import os
import re
import stat
import time

KERNEL_LOG = "/dev/kmsg"
MAX_BYTES = 16 << 20
MAX_RECORDS = 200000
MAX_SECONDS = 5

# No record is longer; a shorter buffer makes the kernel refuse the reading.
_CHUNK = 64 * 1024
_MAX_KINDS = 200
# Priority and facility, number, time, flags (Documentation/ABI/testing/dev-kmsg).
_RECORD = re.compile(r"([0-9]{1,6}),[0-9]{1,20},[0-9]{1,20},[^;]{0,200};(.*)\Z")
_ADDRESS = r"([0-9a-fA-F]{4,8}):([0-9a-fA-F]{2}:[0-9a-fA-F]{2})"
_XID = re.compile(r"NVRM: Xid \((?:PCI:)?" + _ADDRESS + r"(?:\.([0-7]))?(?: [^)]{0,80})?\): ([0-9]{1,4})(?![0-9])")
# Said in place of Xid 79 for a card that is gone before the driver has taken it.
_GONE = re.compile(r"NVRM: The NVIDIA GPU " + _ADDRESS + r"\.([0-7]).{0,400}?fallen off the bus")
_OFF_THE_BUS = 79


def read_xid(tree, path=None):
    """Return [{"address", "code", "count"}] of the kernel log, or None with a note where it cannot be read."""
    if path is None and not tree.live:
        return tree.note("nvidia.xid", "Not read: this is a recorded tree, and the kernel log is the live machine's.")
    try:
        text, whole = read_log(path or KERNEL_LOG)
    except (OSError, ValueError) as error:
        return tree.note("nvidia.xid", "The kernel log cannot be read: %s." % (
            os.strerror(error.errno) if getattr(error, "errno", None) else error))
    if not whole:
        tree.note("nvidia.xid", "Only the first part of the kernel log was read; it is very long.")
    return parse_xid(text)


def read_log(path):
    """Return (text of the log, whether that is all of it). Raises OSError or ValueError."""
    kind = os.stat(path).st_mode
    if not (stat.S_ISCHR(kind) or stat.S_ISREG(kind)):
        raise ValueError("it is no log")
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    pieces, size, deadline = [], 0, time.monotonic() + MAX_SECONDS
    try:
        while size <= MAX_BYTES and len(pieces) < MAX_RECORDS and time.monotonic() < deadline:
            try:
                piece = os.read(handle, _CHUNK)
            except BlockingIOError:
                piece = b""
            except BrokenPipeError:  # records were overwritten before they were read: go on with the oldest
                continue
            if not piece:
                return b"".join(pieces).decode("utf-8", "replace"), True
            pieces.append(piece)
            size += len(piece)
    finally:
        os.close(handle)
    return b"".join(pieces).decode("utf-8", "replace"), False


def parse_xid(text):
    """Return [{"address": PCI address, "code": Xid, "count": how often}] by address and code.

    Only records of the kernel itself count: any program may write others into the log.
    """
    counts = {}
    for line in text.split("\n"):
        record = _RECORD.match(line)
        if not record or int(record.group(1)) >> 3:
            continue
        for domain, place, function, code in _errors(record.group(2)):
            key = "%04x:%s.%s" % (int(domain, 16), place.lower(), function or 0), int(code)
            if key in counts or len(counts) < _MAX_KINDS:
                counts[key] = counts.get(key, 0) + 1
    return [{"address": address, "code": code, "count": counts[address, code]} for address, code in sorted(counts)]


def _errors(message):
    found = _XID.match(message)
    if found:
        return [found.groups()]
    found = _GONE.match(message)
    return [found.groups() + (_OFF_THE_BUS,)] if found else []
