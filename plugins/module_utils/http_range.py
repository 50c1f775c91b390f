# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""One request for a range of a file (RFC 9110), with what it takes to be let in, and none of it in any message."""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
import urllib.error
import urllib.request
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from ansible_collections.inference.host.plugins.module_utils.errors import ReleaseError
from ansible_collections.inference.host.plugins.module_utils.model_sources import redact
from ansible_collections.inference.host.plugins.module_utils.s3_signing import signed_headers

TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
"""HTTP answers after which it is worth to ask again."""
TOKEN_BYTES = 1 << 16


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


def request(address, byte_range, timeout, extra=None):
    """Ask for `byte_range` ("0-3", "500-") of a model_sources.Address and return the response: the whole file, or that
    range of it.

    Raises urllib.error.HTTPError with status 416, Interrupted for what may pass, ReleaseError for the rest.
    """
    plain, private = split_credentials(address.url)
    private.update(_checked(address.headers))
    asked = {"User-Agent": "inference.host", "Range": "bytes=" + byte_range}
    asked.update(extra or {})
    if address.s3:
        private.update(signed_headers(plain, {"range": asked["Range"]}, address.s3))
    try:
        return _open(plain, asked, private, timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            raise
        if error.code != 401 or not address.oci:
            raise _refusal(address, error.code) from None
        challenge = error.headers.get("WWW-Authenticate") or ""
    private["Authorization"] = "Bearer " + _token(address, plain, challenge, private, timeout)
    try:
        return _open(plain, asked, private, timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            raise
        raise _refusal(address, error.code) from None


def _open(url, asked, private, timeout):
    opener = urllib.request.build_opener(Redirects(private))
    try:
        return opener.open(urllib.request.Request(url, headers=dict(asked, **private)), timeout=timeout)
    except urllib.error.HTTPError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(url, getattr(error, "reason", error)) from None


def _checked(headers):
    for name, value in headers.items():
        if re.search(r"[^\x20-\x7e]", "%s%s" % (name, value)):
            raise ReleaseError("headers has a line break or a letter outside ASCII in '%s'" % name.strip())
    return {name: str(value) for name, value in headers.items()}


def _token(address, url, challenge, private, timeout):
    """Return the token that a registry's answer 401 sends us for (the distribution project's token authentication).

    The user's headers go along only to the registry's own server.
    """
    fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    realm, here = urlsplit(fields.get("realm", "")), urlsplit(url)
    if not challenge.lower().startswith("bearer ") or realm.scheme not in ("https", here.scheme):
        raise _refusal(address, 401)
    query = "&".join("%s=%s" % (key, quote(fields[key], "")) for key in ("service", "scope") if key in fields)
    own = (realm.scheme, realm.netloc) == (here.scheme, here.netloc)
    place = fields["realm"] + ("&" if realm.query else "?") + query
    try:
        with _open(place, {"User-Agent": "inference.host"}, private if own else {}, timeout) as response:
            answer = json.loads(response.read(TOKEN_BYTES).decode("utf-8", "replace"))
    except urllib.error.HTTPError as error:
        error.close()
        raise _refusal(address._replace(url=place), error.code) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Interrupted("%s gives no token: %s" % (redact(place), words(error))) from None
    token = answer.get("token") or answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(token, str) or re.search(r"[^\x21-\x7e]", token):
        raise ReleaseError("%s gives no token" % redact(place))
    return token


def _refusal(address, code):
    """Return the exception for an HTTP status. The server's own words are not shown: they may repeat the request."""
    says = "%s answers %d (%s)" % (redact(address.url), code, http.client.responses.get(code, "unknown"))
    if code in TRANSIENT:
        return Interrupted(says)
    if code in (401, 403) and address.s3:
        says += "; check the S3 keys, the region and the host's clock"
    elif code in (401, 403):
        says += "; give the authorisation in headers"
    return ReleaseError(says)


def _unreachable(url, reason):
    if isinstance(reason, ssl.SSLCertVerificationError):
        return ReleaseError("%s has a certificate that is not trusted here: %s" % (redact(url), reason.verify_message))
    return Interrupted("%s cannot be reached: %s" % (redact(url), words(reason)))


def words(error):
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
