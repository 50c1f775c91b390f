# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes the copies in a process of their own: a driver that hangs or crashes takes only that one with it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time

from ansible_collections.inference.host.plugins.module_utils.cuda_copy import copy_direction
from ansible_collections.inference.host.plugins.module_utils.cuda_driver import LIBRARY, Cuda, CudaError
from ansible_collections.inference.host.plugins.module_utils.parent_death import die_with_parent

_LINE = 1 << 16
_KILL_SECONDS = 2


def compare_copies(ways, size, seconds, library=LIBRARY):
    """Copy in all directions and return (results, None), or ([], why nothing was copied).

    ways: (PCI address of the sender, of the receiver) each. size: bytes of a copy. seconds: longest wait for one
    direction (the start counts as one).
    Results are as copy_direction returns them. After a copy that failed the rest is made by a new process, since a
    context in which something failed may fail at everything; after one that hung nothing more is tried.
    """
    results = []
    while len(results) < len(ways):
        more, why, hung = _run(ways[len(results):], size, seconds, library)
        results += more
        if not results:
            return [], why
        if not more or hung:
            # A later process could not even start, or the driver hangs.
            results += [_result(way, None, why or "not tried after a copy that hung") for way in ways[len(results):]]
    return results, None


def _result(way, ok, reason):
    return {"from": way[0], "to": way[1], "ok": ok, "access": None, "bytes": 0, "reason": reason}


def _run(ways, size, seconds, library):
    """Return (results of the first ways, why there are none, whether it hung) of one process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _child(reading, writing, ways, size, library)
    os.close(writing)
    results, why, at, hung = [], None, None, False
    for message in _messages(reading, seconds):
        if message is None:
            hung = True
        elif "at" in message:
            at = message["at"]
        elif "why" in message:
            why = message["why"]
        else:
            results.append(message)
            at = None
    os.close(reading)
    status = _end(child)
    if at is not None:
        end = "did not end within %d s" % seconds if hung else "ended the process that made it (%s)" % status
        results.append(_result(at, False, "the copy " + end))
    elif not results and why is None:
        why = "CUDA did not start within %d s" % seconds if hung else "the process ended (%s)" % status
    return results, why, hung


def _child(reading, writing, ways, size, library):
    """The process that copies; never returns."""
    status = 1
    try:
        os.setsid()
        os.close(reading)
        die_with_parent()
        # If it cannot be killed, nobody must wait for its outputs.
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        # All GPUs, in whatever order; they are asked for by address.
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        _copy_all(writing, ways, size, library)
        status = 0
    finally:
        os._exit(status)


def _copy_all(writing, ways, size, library):
    def tell(message):
        os.write(writing, (json.dumps(message) + "\n").encode())

    try:
        cuda = Cuda(library)
        if cuda.count() < 2:
            tell({"why": "CUDA shows fewer than two GPUs"})
            return
    except CudaError as error:
        tell({"why": str(error)})
        return
    for way in ways:
        tell({"at": way})
        result = copy_direction(cuda, way[0], way[1], size)
        tell(result)
        if result["ok"] is False:
            return


def _messages(reading, seconds):
    """Yield what the process tells, and None last where it told nothing for too long."""
    rest = b""
    deadline = time.monotonic() + seconds
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reading], [], [], left)[0]:
            yield None
            return
        piece = os.read(reading, _LINE)
        if not piece:
            return
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield json.loads(line.decode())
        deadline = time.monotonic() + seconds


def _end(child):
    """End the process and what it started, and return how it ended in words; one that cannot be ended is left."""
    ended, status = os.waitpid(child, os.WNOHANG)
    if not ended:
        # Its group has its number once it has a session of its own; killing what is ending changes nothing.
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(OSError):
                kill(child, signal.SIGKILL)
    deadline = time.monotonic() + _KILL_SECONDS
    while not ended and time.monotonic() < deadline:
        time.sleep(0.01)
        ended, status = os.waitpid(child, os.WNOHANG)
    if not ended:
        return "it cannot be ended"
    return "signal %d" % os.WTERMSIG(status) if os.WIFSIGNALED(status) else "status %d" % os.WEXITSTATUS(status)
