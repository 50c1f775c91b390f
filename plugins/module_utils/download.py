# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Download into a partial file that a later call goes on with (RFC 9110: Range, If-Range, Content-Range)."""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
import time
import urllib.error
import urllib.request
from collections import namedtuple
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from ansible_collections.inference.host.plugins.module_utils import atomic
from ansible_collections.inference.host.plugins.module_utils.release import (
    MIB,
    ReleaseError,
    check_start,
    free_bytes,
    open_private,
    redact,
    room_needed,
)

BLOCK = 1 << 18
PROBE_SECONDS = 10
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
"""HTTP answers after which it is worth to ask again."""

Progress = namedtuple("Progress", "received_bytes size_bytes finished reason")
"""What is there, the whole size or None, whether that is all, and why the last connection ended early, or None."""


class Interrupted(Exception):
    """The connection ended early, for a reason that may pass. The text is fit to be shown."""


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but takes the caller's headers to no other server and never leaves TLS."""

    def __init__(self, private):
        self.private = {name.capitalize() for name in private}

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        old, new = urlsplit(req.full_url), urlsplit(urljoin(req.full_url, newurl))
        if new.scheme != "https" and (old.scheme == "https" or new.scheme != "http"):
            raise ReleaseError("%s redirects to %s, which is not HTTPS" % (redact(req.full_url), redact(newurl)))
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        if following is not None and (old.scheme, old.netloc) != (new.scheme, new.netloc):
            for name in self.private:
                following.remove_header(name)
        return following


def split_credentials(url):
    """Return (URL without user and password, headers that carry them instead).

    Raises ReleaseError for what is no URL of a server, without showing the parts that may be secret.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ReleaseError("source is no URL: its host or port cannot be read") from None
    if not parts.hostname or re.search(r"[^\x21-\x7e]", url):
        raise ReleaseError("source is no URL: it must have a host, and no blanks or letters outside ASCII")
    host = "[%s]" % parts.hostname if ":" in parts.hostname else parts.hostname
    netloc = "%s:%d" % (host, port) if port else host
    headers = {}
    if parts.username is not None:
        pair = "%s:%s" % (unquote(parts.username), unquote(parts.password or ""))
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    return urlunsplit((parts.scheme, netloc, parts.path, parts.query, "")), headers


def secrets_of(url):
    """Return the strings of a URL that must not be shown: user, password, and the query and its values."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return {url}
    texts = {value for pair in parts.query.split("&") for value in (pair, pair.partition("=")[2])}
    login = parts.netloc.rpartition("@")[0]
    texts.update({login, login.partition(":")[0], login.partition(":")[2], parts.query})
    return {form for text in texts if text for form in (text, unquote(text))}


def request(url, headers, byte_range, timeout, extra=None):
    """Ask for `byte_range` ("0-3", "500-") of `url` and return the response: the whole file, or that range of it.

    Raises urllib.error.HTTPError with status 416, Interrupted for what may pass, ReleaseError for the rest.
    """
    plain, private = split_credentials(url)
    for name, value in headers.items():
        if re.search(r"[^\x20-\x7e]", "%s%s" % (name, value)):
            raise ReleaseError("headers has a line break or a letter outside ASCII in '%s'" % name.strip())
        private[name] = str(value)
    asked = {"User-Agent": "inference.host", "Range": "bytes=" + byte_range}
    asked.update(extra or {})
    asked.update(private)
    opener = urllib.request.build_opener(Redirects(private))
    try:
        return opener.open(urllib.request.Request(plain, headers=asked), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            raise
        raise _refusal(url, error.code) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(url, getattr(error, "reason", error)) from None


def _refusal(url, code):
    """Return the exception for an HTTP status. The server's own words are not shown: they may repeat the request."""
    says = "%s answers %d (%s)" % (redact(url), code, http.client.responses.get(code, "unknown"))
    if code in TRANSIENT:
        return Interrupted(says)
    if code in (401, 403):
        says += "; give the authorisation in headers"
    return ReleaseError(says)


def _unreachable(url, reason):
    if isinstance(reason, ssl.SSLCertVerificationError):
        return ReleaseError("%s has a certificate that is not trusted here: %s" % (redact(url), reason.verify_message))
    return Interrupted("%s cannot be reached: %s" % (redact(url), _words(reason)))


def _words(error):
    """Return a network error in words, of its kind only where its text may come from the server."""
    return str(error) if isinstance(error, (OSError, str)) and str(error) else type(error).__name__


def content_range(response):
    """Return (first byte, whole size or None) of a response's Content-Range; (None, None) when it has no sound one."""
    value = response.headers.get("Content-Range") or ""
    found = re.match(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)\Z", value.strip())
    if not found:
        return None, None
    first, size = found.groups()
    return (None if first is None else int(first)), (None if size == "*" else int(size))


def whole_size(response):
    """Return the size of the file in bytes as the response tells it, or None."""
    if response.getcode() == 206:
        return content_range(response)[1]
    length = response.headers.get("Content-Length") or ""
    return int(length) if length.isdigit() else None


def probe(url, headers, filename):
    """Return the size that the server tells, or None, after a look at the first bytes.

    Raises ReleaseError when the server refuses or does not answer soon, or when this is not the kind of file.
    """
    try:
        with request(url, headers, "0-3", PROBE_SECONDS) as response:
            check_start(filename, response.read(4), redact(url))
            return whole_size(response)
    except urllib.error.HTTPError:
        raise ReleaseError("%s is empty" % redact(url)) from None
    except Interrupted as error:
        raise ReleaseError(str(error)) from None
    except (OSError, http.client.HTTPException) as error:
        raise ReleaseError("%s cannot be read: %s" % (redact(url), _words(error))) from None


def download(url, headers, release, budget_seconds):
    """Append to the release's partial file and return Progress.

    Broken connections are taken up again as long as each brought something. After `budget_seconds` this returns,
    unless the server cannot go on in the middle; a connection that was silent for so long is given up.
    Raises ReleaseError when the server refuses or room is missing, and OSError when the file cannot be written.
    """
    deadline = time.monotonic() + budget_seconds
    while True:
        before = release.partial_size()
        reason = None
        try:
            finished = _connection(url, headers, release, deadline, max(1, budget_seconds))
        except Interrupted as error:
            finished, reason = False, str(error)
        received = release.partial_size()
        if finished or received <= before or time.monotonic() >= deadline:
            size = _noted(release).get("size")
            if received == 0:
                release.drop_partial()
            return Progress(received, size, finished, reason)


def _noted(release):
    """Return what was noted of the download: {"size": bytes or None, "validator": text or None}, or {}."""
    try:
        with open(release.note, encoding="utf-8") as stream:
            noted = json.load(stream)
        return noted if isinstance(noted, dict) else {}
    except (OSError, ValueError):
        return {}


def _connection(url, headers, release, deadline, timeout):
    """Take what one connection brings; return whether the file is whole."""
    have, noted = release.partial_size(), _noted(release)
    if have and have == noted.get("size"):
        return True
    extra = {"If-Range": noted["validator"]} if have and noted.get("validator") else None
    try:
        response = request(url, headers, "%d-" % have, timeout, extra)
    except urllib.error.HTTPError as error:
        if have and content_range(error)[1] == have:
            return True
        release.drop_partial()
        raise Interrupted("%s refuses to go on at byte %d" % (redact(url), have)) from None
    with response:
        return _receive(response, url, release, have, noted, deadline)


def _receive(response, url, release, have, noted, deadline):
    size = whole_size(response)
    resumable = response.getcode() == 206
    if not resumable:
        have = 0
    elif content_range(response)[0] != have or (have and noted.get("size") not in (None, size)):
        release.drop_partial()
        raise Interrupted("%s has another file than before" % redact(url))
    if size is not None:
        release.check_room(size, have)
    with open_private(release.partial) as partial:
        partial.truncate(have)
        if have == 0:
            _note(release, response, size)
        partial.seek(have)
        return _copy(response, partial, release, size, deadline if resumable else None, url)


def _note(release, response, size):
    """Keep what the next request needs in order to ask for the rest of the same file."""
    tag = response.headers.get("ETag") or ""
    # A weak tag does not promise the same bytes (RFC 9110, 13.1.5).
    validator = response.headers.get("Last-Modified") if tag.startswith("W/") or not tag else tag
    atomic.write(release.note, json.dumps({"size": size, "validator": validator}).encode(), mode=0o600)


def _copy(response, partial, release, size, deadline, url):
    """Copy until all is there, and return True, or until the deadline (None: there is none), and return False.

    Raises Interrupted when it ends early. Without a known size the room is watched on the way.
    """
    while size is None or partial.tell() < size:
        try:
            # Not read(): that waits for the whole block, however slowly it comes.
            block = response.read1(BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise Interrupted("%s broke off at byte %d: %s" % (redact(url), partial.tell(), _words(error))) from None
        if not block:
            if size is not None:
                raise Interrupted("%s ended at byte %d of %d" % (redact(url), partial.tell(), size))
            return True
        if size is None and free_bytes(release.partial) < room_needed(len(block)):
            release.drop_partial()
            raise ReleaseError("models_dir (%s) has less than %d MiB free, and %s does not tell how much it needs" % (
                release.models_dir, room_needed(0) // MIB, redact(url)))
        partial.write(block)
        if deadline is not None and time.monotonic() >= deadline:
            break
    return partial.tell() == size
