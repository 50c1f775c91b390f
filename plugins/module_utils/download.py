# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Download into a partial file that a later call goes on with, from the first of several addresses that serves."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
from collections import namedtuple

from ansible_collections.inference.host.plugins.module_utils import atomic
from ansible_collections.inference.host.plugins.module_utils.errors import ReleaseError
from ansible_collections.inference.host.plugins.module_utils.http_range import (
    Interrupted,
    content_range,
    request,
    whole_size,
    words,
)
from ansible_collections.inference.host.plugins.module_utils.incoming import MIB, free_bytes, open_private, room_needed
from ansible_collections.inference.host.plugins.module_utils.model_formats import START, check_start
from ansible_collections.inference.host.plugins.module_utils.model_sources import redact

BLOCK = 1 << 18
PROBE_SECONDS = 10

Progress = namedtuple("Progress", "received_bytes size_bytes finished reason server")
"""What is there, the whole size or None, whether that is all, why the last connection ended early, or None, and the
redacted URL that the last bytes came from, or None."""


def first_that_serves(places, ask):
    """Return what `ask(place)` returns for the first of the addresses that raises neither ReleaseError nor Interrupted.

    Raises what the last one raised; of several, a ReleaseError with all their sentences.
    """
    failures = []
    for place in places:
        try:
            return ask(place)
        except (ReleaseError, Interrupted) as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    # Where one of them may yet serve, asking again is worth it.
    kind = Interrupted if any(isinstance(error, Interrupted) for error in failures) else ReleaseError
    raise kind("; ".join(dict.fromkeys(map(str, failures))))


def probe(places, filename):
    """Return (size that the server tells or None, the address that serves) after a look at the first bytes.

    Raises ReleaseError when no server gives the file, or when this is not the kind of file, and Interrupted when none
    answers soon.
    """
    return first_that_serves(places, lambda place: (_probe(place, filename), place))


def _probe(place, filename):
    try:
        with request(place, "0-%d" % (START - 1), PROBE_SECONDS) as response:
            size, start = whole_size(response), response.read(START)
            if size is not None and len(start) < min(START, size):
                raise Interrupted("%s ended at byte %d of %d" % (redact(place.url), len(start), size))
            check_start(filename, start, redact(place.url))
            return size
    except urllib.error.HTTPError:
        raise ReleaseError("%s is empty" % redact(place.url)) from None
    except (OSError, http.client.HTTPException) as error:
        raise Interrupted("%s cannot be read: %s" % (redact(place.url), words(error))) from None


def download(places, incoming, budget_seconds):
    """Append to the incoming file and return Progress.

    Broken connections are taken up again as long as each brought something. After `budget_seconds` this returns,
    unless the server cannot go on in the middle; a connection that was silent for so long is given up.
    Raises ReleaseError when the servers refuse or room is missing, and OSError when the file cannot be written.
    """
    deadline = time.monotonic() + budget_seconds
    while True:
        before = incoming.size()
        reason = None
        try:
            finished, reason = first_that_serves(
                _last_first(places, _noted(incoming).get("from")),
                lambda place: _try(place, incoming, deadline, max(1, budget_seconds)))
        except Interrupted as error:
            finished, reason = False, str(error)
        received = incoming.size()
        if finished or received <= before or time.monotonic() >= deadline:
            noted = _noted(incoming)
            if received == 0:
                incoming.drop()
            return Progress(received, noted.get("size"), finished, reason, noted.get("from"))


def _last_first(places, last):
    """Return the addresses in the order to try them: the one that brought the last bytes need not be found again."""
    return sorted(places, key=lambda place: redact(place.url) != last)


def _server(url):
    """Return scheme and host of a redacted URL."""
    return url.split("/")[:3]


def _noted(incoming):
    """Return what was noted of the download: {"size": bytes or None, "validator": text or None, "from": redacted URL},
    or {}."""
    try:
        with open(incoming.note, encoding="utf-8") as stream:
            noted = json.load(stream)
        return noted if isinstance(noted, dict) else {}
    except (OSError, ValueError):
        return {}


def _try(place, incoming, deadline, timeout):
    """Return (whether the file is whole, why the connection ended early or None); raise where it brought nothing."""
    before = incoming.size()
    try:
        return _connection(place, incoming, deadline, timeout), None
    except Interrupted as error:
        if incoming.size() <= before:
            raise
        return False, str(error)


def _connection(place, incoming, deadline, timeout):
    """Take what one connection brings; return whether the file is whole."""
    have, noted = incoming.size(), _noted(incoming)
    if have and have == noted.get("size"):
        return True
    # Another server's word for the file means nothing here. What it sent is kept, for the checksum judges the whole.
    same = _server(noted.get("from") or "") == _server(redact(place.url))
    extra = {"If-Range": noted["validator"]} if have and same and noted.get("validator") else None
    try:
        response = request(place, "%d-" % have, timeout, extra)
    except urllib.error.HTTPError as error:
        if have and content_range(error)[1] == have:
            return True
        incoming.drop()
        raise Interrupted("%s refuses to go on at byte %d" % (redact(place.url), have)) from None
    with response:
        return _receive(response, place, incoming, have, noted, deadline)


def _receive(response, place, incoming, have, noted, deadline):
    size = whole_size(response)
    resumable = response.getcode() == 206
    if not resumable:
        have = 0
    elif content_range(response)[0] != have or (have and noted.get("size") not in (None, size)):
        incoming.drop()
        raise Interrupted("%s has another file than before" % redact(place.url))
    if size is not None:
        incoming.check_room(size, have)
    with open_private(incoming.partial) as partial:
        partial.truncate(have)
        if have == 0 or noted.get("from") != redact(place.url):
            _note(incoming, response, size, place)
        partial.seek(have)
        return _copy(response, partial, incoming, size, deadline if resumable else None, place)


def _note(incoming, response, size, place):
    """Keep what the next request needs in order to ask for the rest of the same file."""
    tag = response.headers.get("ETag") or ""
    # A weak tag does not promise the same bytes (RFC 9110, 13.1.5).
    validator = response.headers.get("Last-Modified") if tag.startswith("W/") or not tag else tag
    noted = {"size": size, "validator": validator, "from": redact(place.url)}
    atomic.write(incoming.note, json.dumps(noted).encode(), mode=0o600)


def _copy(response, partial, incoming, size, deadline, place):
    """Copy until all is there, and return True, or until the deadline (None: there is none), and return False.

    Raises Interrupted when it ends early. Without a known size the room is watched on the way.
    """
    while size is None or partial.tell() < size:
        try:
            # Not read(): that waits for the whole block, however slowly it comes.
            block = response.read1(BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise Interrupted("%s broke off at byte %d: %s" % (
                redact(place.url), partial.tell(), words(error))) from None
        if not block:
            if size is not None:
                raise Interrupted("%s ended at byte %d of %d" % (redact(place.url), partial.tell(), size))
            return True
        if size is None and free_bytes(incoming.partial) < room_needed(len(block)):
            incoming.drop()
            raise ReleaseError("models_dir (%s) has less than %d MiB free, and %s does not tell how much it needs" % (
                incoming.models_dir, room_needed(0) // MIB, redact(place.url)))
        partial.write(block)
        if deadline is not None and time.monotonic() >= deadline:
            break
    return partial.tell() == size
