# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a model's files come from: what may stand in `source`, how it is shown, and the addresses of each file."""

from __future__ import annotations

import re
from collections import namedtuple
from urllib.parse import quote, unquote, urlsplit

from ansible_collections.inference.host.plugins.module_utils.errors import ReleaseError

SCHEMES = ("http", "https", "file", "hf", "s3", "oci")
SHAPES = {
    "hf": ("hf://OWNER/REPO@COMMIT/PATH with the commit's 40 hexadecimal digits, for branches and tags move",
           re.compile(r"hf://(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)@(?P<commit>[0-9a-f]{40})"
                      r"(?P<path>(?:/[^/?#]+)*)/?\Z", re.ASCII)),
    "s3": ("s3://BUCKET/KEY; credentials do not belong there",
           re.compile(r"s3://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]{1,62})/(?P<key>[^?#]*)"
                      r"(?:\?versionId=(?P<version>[^&#]+))?\Z")),
    "oci": ("oci://REGISTRY/REPOSITORY without a tag or digest, for sha256 names the file",
            re.compile(r"oci://(?P<registry>[A-Za-z0-9.-]+(?::[0-9]+)?)/"
                       r"(?P<repository>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)\Z")),
}
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(:[0-9]*)?\Z")
HF_ENDPOINT = "https://huggingface.co"

Address = namedtuple("Address", "url headers s3 oci", defaults=(None, False))
"""A file's URL, the headers that go with it, S3 credentials (`signed_headers`) or None, and whether a registry may send
us for a token first."""


def scheme(source):
    """Return the scheme of a source in lower case, or "" for a path on the controller."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", source)
    return found.group(1).lower() if found else ""


def is_remote(source):
    """Return whether a source is on another server."""
    return scheme(source) not in ("", "file")


def redact(source):
    """Return a source as scheme://host/path, without user, password, query and fragment, fit to be shown and kept."""
    if not scheme(source):
        return source
    netloc, slash, path = re.split("[?#]", source)[0].partition("://")[2].partition("/")
    host = netloc.rpartition("@")[2]
    # Where a password holds a "/", its first part looks like a port, and the rest cannot be told from secrets.
    return "%s://%s" % (scheme(source), host + slash + path if HOST.match(host) else "…")


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


def last_part(source):
    """Return the file name at the end of a source, without a URL's query."""
    path = re.split("[?#]", source)[0] if scheme(source) else source
    return path.rsplit("/", 1)[-1]


def check_source(source):
    """Raise ReleaseError unless a source is one of those that are known."""
    kind = scheme(source)
    if kind and kind not in SCHEMES:
        raise ReleaseError("source is %s; it must be a path on the controller, or begin with %s" % (
            redact(source), ", ".join(name + "://" for name in SCHEMES)))
    if kind in SHAPES:
        words, shape = SHAPES[kind]
        if not shape.match(source):
            raise ReleaseError("source is %s; it must be %s" % (redact(source), words))


def host_path(source, path=None):
    """Return the path on the managed host that a file:// source names, or of the file `path` below it."""
    parts = urlsplit(source)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise ReleaseError("source is %s; a file on the managed host is file:///PATH" % redact(source))
    return local_path(unquote(parts.path), path)


def local_path(source, path=None):
    """Return the path of a source that is one file, or of the file `path` below a folder."""
    return source if path is None else source.rstrip("/") + "/" + path


def addresses(source, path, sha256, access):
    """Return the Addresses of one file on another server, in the order to try them: mirrors, then the source itself.

    path: the file below `source`, or None where `source` is the file. access: {"headers", "hf_endpoint", "s3":
    {"endpoint", "region", "access_key", "secret_key", "session_token"}, "mirrors": {URL prefix: [URL prefixes]}}.
    Headers and credentials go to the source alone; a mirror gets what its own URL holds.
    """
    own = _address(source, path, sha256, access)
    prefixes = [prefix for prefix in access.get("mirrors") or {} if own.url.startswith(prefix)]
    mirrors = access["mirrors"][max(prefixes, key=len)] if prefixes else []
    rest = own.url[len(max(prefixes, key=len)):] if prefixes else ""
    return [Address(mirror + rest, {}, oci=own.oci) for mirror in mirrors] + [own]


def _address(source, path, sha256, access):
    kind, headers = scheme(source), access.get("headers") or {}
    if kind in ("http", "https"):
        return Address(_below(source, path), headers)
    found = SHAPES[kind][1].match(source)
    if kind == "hf":
        parts = [access.get("hf_endpoint") or HF_ENDPOINT, found.group("repo"), "resolve", found.group("commit")]
        url = "/".join([parts[0].rstrip("/")] + parts[1:]) + quote(found.group("path"), "/-_.~")
        return Address(_below(url, path), headers)
    if kind == "oci":
        return Address("https://%s/v2/%s/blobs/sha256:%s" % (
            found.group("registry"), found.group("repository"), sha256), headers, oci=True)
    s3 = access.get("s3") or {}
    region = s3.get("region") or "us-east-1"
    endpoint = (s3.get("endpoint") or "https://s3.%s.amazonaws.com" % region).rstrip("/")
    url = _below("%s/%s/%s" % (endpoint, found.group("bucket"), quote(found.group("key"), "/-_.~")), path)
    if found.group("version"):
        url += "?versionId=" + quote(found.group("version"), "-_.~")
    return Address(url, headers, dict(s3, region=region) if s3.get("access_key") else None)


def _below(url, path):
    """Return the URL of the file `path` below another; a query stays at the end."""
    if path is None:
        return url
    base, mark, rest = re.match(r"([^?#]*)([?#]?)(.*)\Z", url, re.DOTALL).groups()
    return base.rstrip("/") + "/" + quote(path, "/-_.~") + mark + rest


def check_access(access):
    """Raise ReleaseError unless endpoints and mirrors are URLs of servers, and S3 credentials are a pair."""
    s3 = access.get("s3") or {}
    for option, value in (("hf_endpoint", access.get("hf_endpoint")), ("s3.endpoint", s3.get("endpoint"))):
        if value and scheme(value) not in ("http", "https"):
            raise ReleaseError("%s is '%s'; it must begin with https:// or http://" % (option, redact(value)))
    if bool(s3.get("access_key")) != bool(s3.get("secret_key")):
        raise ReleaseError("s3 has only one of access_key and secret_key; give both, or none for public objects")
    for prefix, mirrors in (access.get("mirrors") or {}).items():
        if not isinstance(mirrors, list):
            raise ReleaseError("mirrors has no list for %s; it must be one of URL prefixes" % redact(str(prefix)))
        for url in [prefix] + mirrors:
            if not isinstance(url, str) or scheme(url) not in ("http", "https") or not url.endswith("/"):
                raise ReleaseError("mirrors has %s; it must begin with https:// or http:// and end with '/'" % (
                    redact(str(url))))
