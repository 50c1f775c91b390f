# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copies between two GPUs, compared byte for byte with what was sent.

Each direction is copied in three ways: by a context of the sender, by one of the receiver, and by CUDA's own copy
between contexts. Before each copy the receiver's memory is filled with one byte, so that what never arrives is seen,
and what is written beside the place as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import operator

from ansible_collections.inference.host.plugins.module_utils.cuda_driver import (
    ALREADY_ENABLED,
    OUT_OF_MEMORY,
    CudaError,
)

FILL = 0xA5
WAYS = ("sender", "receiver", "peer")
PAGE = 4096
SMALLEST = 1 << 18
"""Bytes that a copy has at least, so that all pieces fit."""


def pieces(size):
    """Return (offset at the sender, offset at the receiver, bytes): whole pages, odd places and lengths, and all."""
    return [(0, 0, size), (0, PAGE, PAGE), (PAGE, 3 * PAGE, 16 * PAGE), (PAGE + 1, 777, 65537), (13, size - 8, 7),
            (size // 2 + 3, PAGE - 1, 2)]


def pattern(size, source, target, way):
    """Return bytes that are the same in every run and differ with the direction, the way and the place."""
    return hashlib.shake_128(("%s %s %s" % (source, target, way)).encode()).digest(size)


def difference(got, sent, start, target, length):
    """Return what is wrong with the receiver's memory, or None. start, target: see pieces; sent: the sender's."""
    there, wanted = got[target:target + length], sent[start:start + length]
    if there != wanted:
        # Without a list of the places: all bytes may be wrong, and the host's memory is the engines'.
        first = next(place for place in range(length) if there[place] != wanted[place])
        return "%d of %d bytes came back different, the first at %d" % (
            sum(map(operator.ne, there, wanted)), length, first)
    beside = len(got) - length
    if got[:target].count(FILL) + got[target + length:].count(FILL) != beside:
        return "bytes beside the %d that were copied were changed" % length
    return None


def copy_direction(cuda, source, target, size):
    """Copy from one GPU to another in all ways and return {"from", "to", "ok", "access", "bytes", "reason"}.

    ok: True where all arrived, False where something did not or a copy failed, None where nothing was copied. source,
    target: PCI addresses. size: bytes. Memory, contexts and peer access are given back.
    """
    answer = {"from": source, "to": target, "ok": None, "access": None, "bytes": 0, "reason": None}
    tried = False
    try:
        devices = cuda.device(source), cuda.device(target)
        answer["access"] = cuda.reaches(*devices) and cuda.reaches(*reversed(devices))
        if not answer["access"]:
            return dict(answer, reason="CUDA gives no access")
        with contextlib.ExitStack() as stack:
            contexts = [_retain(cuda, device, stack) for device in devices]
            places = [_allocate(cuda, context, size, stack) for context in contexts]
            tried = True
            _enable(cuda, contexts, stack)
            wrong = _copies(cuda, contexts, places, (source, target), size)
    except CudaError as error:
        # Before it was tried nothing is known of P2P; a card that is full tells nothing either.
        failed = tried and error.status != OUT_OF_MEMORY
        return dict(answer, ok=False if failed else None, reason=str(error))
    return dict(answer, ok=not wrong, bytes=0 if wrong else size, reason=wrong)


def _retain(cuda, device, stack):
    context = cuda.retain(device)
    stack.callback(_quietly, cuda.release, device)
    return context


def _allocate(cuda, context, size, stack):
    place = cuda.allocate(context, size)
    stack.callback(_quietly, _free, cuda, context, place)
    return place


def _free(cuda, context, place):
    cuda.call("cuCtxSetCurrent", context)
    cuda.call("cuMemFree_v2", place)


def _enable(cuda, contexts, stack):
    """Let each context use the other's memory; without it CUDA would copy through the RAM, and prove nothing."""
    for context, peer in (contexts, contexts[::-1]):
        cuda.call("cuCtxSetCurrent", context)
        cuda.call("cuCtxEnablePeerAccess", peer, 0, allow=(ALREADY_ENABLED,))
        stack.callback(_quietly, _disable, cuda, context, peer)


def _disable(cuda, context, peer):
    cuda.call("cuCtxSetCurrent", context)
    cuda.call("cuCtxDisablePeerAccess", peer)


def _quietly(function, *arguments):
    """After a failed copy nothing more may work; the process ends soon, and the driver takes all back."""
    with contextlib.suppress(CudaError):
        function(*arguments)


def _copies(cuda, contexts, places, addresses, size):
    """Return what was wrong with the first copy that did not arrive, or None."""
    for way in WAYS:
        sent = pattern(size, addresses[0], addresses[1], way)
        cuda.write(contexts[0], places[0], sent)
        for start, target, length in pieces(size):
            cuda.fill(contexts[1], places[1], FILL, size)
            _copy(cuda, way, contexts, (places[0] + start, places[1] + target), length)
            wrong = difference(cuda.read(contexts[1], places[1], size), sent, start, target, length)
            if wrong:
                return "%s (copied by %s)" % (wrong, {"peer": "CUDA"}.get(way, "the " + way))
    return None


def _copy(cuda, way, contexts, places, length):
    if way == "peer":
        cuda.call("cuMemcpyPeer", places[1], contexts[1], places[0], contexts[0], length)
    else:
        cuda.call("cuCtxSetCurrent", contexts[0] if way == "sender" else contexts[1])
        cuda.call("cuMemcpyDtoD_v2", places[1], places[0], length)
    # Copies between devices may still be on their way when the call returns.
    for context in contexts:
        cuda.call("cuCtxSetCurrent", context)
        cuda.call("cuCtxSynchronize")
