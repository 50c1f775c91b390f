# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Running a program that may hang, fail or print without end, such as one that waits for a driver."""

from __future__ import annotations

import collections
import os
import re
import select
import signal
import subprocess
import time

MAX_OUTPUT = 1 << 20
"""Bytes that a program may print in all before it is stopped."""

_CHUNK = 64 * 1024
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_LINES = 3
_LINE = 160
_LATE = "it did not end in time"

Ran = collections.namedtuple("Ran", "output reason hung")
"""output: what the program printed, None where it was stopped or never started. reason: why that is no answer (with the
first lines that it printed), None for one that ended with status 0. hung: whether it was stopped for its time."""


def run_bounded(arguments, timeout_seconds):
    """Run a program and return Ran. One that fails may have printed a part of the answer: `output` has it.

    A program that hangs is killed with its children; one that cannot even be killed (it waits for a driver) is left.
    """
    try:
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=dict(os.environ, LC_ALL="C"),
        )
    except (OSError, ValueError) as error:
        return Ran(None, "it cannot be started (%s)" % error, False)
    try:
        return _answer(process, time.monotonic() + timeout_seconds)
    finally:
        process.stdout.close()
        process.stderr.close()


def _answer(process, deadline):
    printed, reason, hung = _collect(process, deadline)
    if printed is not None and not _ended(process, deadline):
        reason, hung = _LATE, True
    if reason:
        _kill(process)
        return Ran(None, reason, hung)
    output, errors = [text.decode("utf-8", "replace") for text in printed]
    if process.returncode == 0:
        return Ran(output, None, False)
    return Ran(output, "it ended with status %d%s" % (process.returncode, in_brackets(errors + "\n" + output)), False)


def _collect(process, deadline):
    """Return ([its output, its errors], None, False) when it has closed both, else (None, why to stop it, hung)."""
    handles = [process.stdout.fileno(), process.stderr.fileno()]
    pieces, waiting, size = {handle: [] for handle in handles}, list(handles), 0
    while waiting:
        left = deadline - time.monotonic()
        ready = select.select(waiting, [], [], left)[0] if left > 0 else []
        if not ready:
            return None, _LATE, True
        for handle in ready:
            piece = os.read(handle, _CHUNK)
            if not piece:
                waiting.remove(handle)
            pieces[handle].append(piece)
            size += len(piece)
        if size > MAX_OUTPUT:
            return None, "it printed more than %d bytes" % MAX_OUTPUT, False
    return [b"".join(pieces[handle]) for handle in handles], None, False


def _ended(process, deadline):
    try:
        process.wait(timeout=max(0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def _kill(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=1)
    except (OSError, subprocess.TimeoutExpired):
        pass


def in_brackets(text):
    """Return the first lines of what a program printed as ` (line; line)`, short and printable, or nothing."""
    lines = [_UNPRINTABLE.sub("?", line.strip())[:_LINE] for line in text[:MAX_OUTPUT].splitlines() if line.strip()]
    return " (%s)" % "; ".join(lines[:_LINES]) if lines else ""
