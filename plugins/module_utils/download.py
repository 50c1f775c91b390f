# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Download into a partial file that a later call goes on with."""

from __future__ import annotations

import http.client
import os
import time
import urllib.error
import urllib.request

from ansible_collections.inference.host.plugins.module_utils.release import ReleaseError, redact

BLOCK = 1 << 18
SILENCE_SECONDS = 30


def ask(url, headers, first_byte):
    """Open `url` from `first_byte` on and return (response, whole size in bytes or None, byte that it begins with).

    A server that does not know ranges begins at 0. Raises ReleaseError, without credentials in its text.
    """
    request = urllib.request.Request(url, headers=dict(headers))
    if first_byte:
        request.add_header("Range", "bytes=%d-" % first_byte)
    try:
        response = urllib.request.urlopen(request, timeout=SILENCE_SECONDS)
    except urllib.error.HTTPError as error:
        raise ReleaseError("%s answers %d %s." % (redact(url), error.code, error.reason)) from None
    except OSError as error:
        raise ReleaseError("%s cannot be reached: %s." % (redact(url), getattr(error, "reason", error))) from None
    length = response.headers.get("Content-Length")
    begins = first_byte if response.status == 206 else 0
    return response, int(length) + begins if length else None, begins


def download(url, headers, partial, budget_seconds, check_room):
    """Append to `partial` for at most `budget_seconds` and return (bytes there, whole size or None, finished).

    `check_room(size, already)` is called before the first byte is written. A connection that breaks is no error: the
    next call goes on where it ended. Raises ReleaseError when the server refuses.
    """
    have = os.path.getsize(partial) if os.path.exists(partial) else 0
    try:
        response, size, begins = ask(url, headers, have)
    except ReleaseError:
        if not have:
            raise
        # What is there may be all, or longer than the file: the server then refuses the range.
        response, size, begins = ask(url, headers, 0)
        if size == have:
            return have, size, True
    with response, open(partial, "r+b" if begins else "wb") as out:
        os.chmod(partial, 0o600)
        out.seek(begins)
        out.truncate()
        if size is not None:
            check_room(size, begins)
        ended = copy_for(response, out, time.monotonic() + budget_seconds)
        have = out.tell()
    return have, size, have == size if size is not None else ended


def copy_for(response, out, deadline):
    """Copy until the end, the deadline or a broken connection; return whether the end was reached."""
    while time.monotonic() < deadline:
        try:
            block = response.read(BLOCK)
        except (OSError, http.client.HTTPException):
            return False
        if not block:
            return True
        out.write(block)
    return False
