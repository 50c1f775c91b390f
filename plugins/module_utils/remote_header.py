# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The header of a GGUF file that is still on a server, read by ranges: a plan knows the model before it is here."""

from __future__ import annotations

import http.client
import time
import urllib.error

from ansible_collections.inference.host.plugins.module_utils.errors import ReleaseError
from ansible_collections.inference.host.plugins.module_utils.gguf import GgufError, join_shards, read_header
from ansible_collections.inference.host.plugins.module_utils.gguf_facts import facts_of
from ansible_collections.inference.host.plugins.module_utils.http_range import (
    Interrupted,
    content_range,
    request,
    words,
)
from ansible_collections.inference.host.plugins.module_utils.model_sources import redact

BLOCK = 1 << 22
"""Most headers, with a vocabulary of hundreds of thousands of tokens, are two or three such blocks."""
LIMIT_BYTES = 1 << 27
LIMIT_SECONDS = 30
PROBE_SECONDS = 10


class RangeStream:
    """A file on a server to seek and read in; holds one block of it."""

    def __init__(self, place, size, deadline):
        """place: model_sources.Address. deadline: of time.monotonic()."""
        self._place, self._size, self._deadline = place, size, deadline
        self._at = self._start = self._taken = 0
        self._block = b""

    def seek(self, at):
        self._at = at

    def read(self, count):
        """Return the next `count` bytes, or those to the end of the file. Raises GgufError where they cannot be had."""
        count = max(0, min(count, self._size - self._at))
        if not self._start <= self._at <= self._at + count <= self._start + len(self._block):
            self._fetch(max(count, BLOCK))
        first = self._at - self._start
        self._at += count
        return self._block[first : first + count]

    def _fetch(self, count):
        """Fill the block from here on; a connection that breaks off is taken up again if it brought something."""
        self._taken += count
        if self._taken > LIMIT_BYTES:
            raise GgufError("its header is longer than %d MiB" % (LIMIT_BYTES >> 20))
        block, end = bytearray(), min(self._at + count, self._size)
        while self._at + len(block) < end:
            brought = len(block)
            self._connection(block, self._at + brought, end)
            if len(block) == brought:
                raise GgufError("its server ended early")
        self._start, self._block = self._at, bytes(block)

    def _connection(self, block, first, end):
        """Append to the block what one connection brings of the bytes from `first` to before `end`."""
        try:
            with request(self._place, "%d-%d" % (first, end - 1), PROBE_SECONDS) as response:
                if response.getcode() != 206 or content_range(response)[0] != first:
                    raise GgufError("its server gives no parts of it")
                left = end - first
                while left:
                    part = response.read1(min(left, BLOCK))
                    if not part:
                        return
                    block += part
                    left -= len(part)
                    if time.monotonic() > self._deadline:
                        raise GgufError("its header took longer than %d seconds" % LIMIT_SECONDS)
        except (urllib.error.HTTPError, ReleaseError, Interrupted, OSError, http.client.HTTPException) as error:
            shown = str(error) if isinstance(error, (ReleaseError, Interrupted)) else words(error)
            raise GgufError("its header could not be read: " + shown) from None


def remote_facts(parts, deadline=None):
    """Return {"facts", "facts_note"} as `gguf_facts.facts_of_file` does, of a GGUF file or all parts of a split one.

    parts: [(model_sources.Address, size in bytes)].
    """
    deadline = time.monotonic() + LIMIT_SECONDS if deadline is None else deadline
    shown = redact(parts[0][0].url)

    def read():
        return join_shards(shown, [
            read_header(RangeStream(place, size, deadline), size, redact(place.url)) for place, size in parts])

    return facts_of(read, shown)
