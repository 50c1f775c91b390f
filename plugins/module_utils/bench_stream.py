# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""One completion asked for as an event stream, and when its tokens came. Standard library alone.

The stream is that of OpenAI's /v1/completions as llama.cpp and vLLM speak it: events that begin with `data: `, the last
of which is [DONE]. Times are from before the connection is made, so that they hold what a new client waits for.
"""

from __future__ import annotations

import asyncio
import collections
import json
import ssl
import time
from urllib.parse import urlsplit

from ansible_collections.inference.host.plugins.module_utils.checks import kind

LONGEST_LINE = 1 << 20
SHOWN = 160

Target = collections.namedtuple("Target", "host port path netloc tls key model")
"""Where is asked. tls: an ssl.SSLContext or None. key: what clients show, or None."""


class Broken(Exception):
    """What is wrong with an answer."""


def url_parts(url, variable):
    """Return (the parts of a URL as urllib has them, its port). Raises ValueError, which never shows a password."""
    if isinstance(url, str) and "@" in url.partition("//")[2].partition("/")[0]:
        raise ValueError("%s has a user or a password in it, which nobody asks for; leave them out." % variable)
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        known = parts.scheme in ("http", "https") and parts.hostname
    except (ValueError, TypeError, AttributeError):
        known = False
    if not known:
        raise ValueError("%s is %s; it must be one such as http://127.0.0.1:8080." % (variable, kind(url)))
    return parts, port


def target_of(url, model, key=None, ca_file=None, validate_certs=True):
    """Return the Target of a service at such a URL as http://127.0.0.1:8080/chat. Raises ValueError, and OSError for a
    ca_file that cannot be used."""
    parts, port = url_parts(url, "url")
    tls = None
    if parts.scheme == "https":
        tls = ssl.create_default_context(cafile=ca_file)
        if not validate_certs:
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    return Target(parts.hostname, port, parts.path.rstrip("/"), parts.netloc, tls, key, model)


def request_bytes(target, prompt, max_tokens):
    """Return the HTTP request. Engines are told to go on after their end of text, so that all answers are as long."""
    body = json.dumps({
        "model": target.model, "prompt": prompt, "max_tokens": max_tokens, "stream": True,
        "stream_options": {"include_usage": True}, "temperature": 0, "ignore_eos": True}).encode()
    lines = ["POST %s/v1/completions HTTP/1.1" % target.path, "Host: " + target.netloc,
             "Content-Type: application/json", "Content-Length: %d" % len(body), "Connection: close"]
    if target.key:
        lines.append("Authorization: Bearer " + target.key)
    return "\r\n".join(lines + ["", ""]).encode("latin-1") + body


class Events:
    """What has come of an event stream."""

    def __init__(self):
        self.first = self.last = None
        self.arrived, self.told, self.prompt_tokens = 0, None, None
        self.reason, self.done, self.rest = None, False, b""

    def take(self, part, now):
        """Take bytes that came at a time. Raises Broken for an event that says an error, ValueError for no JSON."""
        *lines, self.rest = (self.rest + part).split(b"\n")
        if len(self.rest) > LONGEST_LINE:
            raise Broken("an event has no end")
        for line in lines:
            if line.startswith(b"data: [DONE]"):
                self.done = True
            elif line.startswith(b"data: "):
                self.event(json.loads(line[6:].decode("utf-8")), now)
            elif line.startswith(b"error"):
                raise Broken(shown(line))

    def event(self, event, now):
        if "error" in event:
            raise Broken(shown(json.dumps(event["error"]).encode()))
        for choice in event.get("choices") or []:
            self.reason = self.reason or choice.get("finish_reason")
            if choice.get("text"):
                self.arrived += 1
                self.first, self.last = self.first or now, now
        usage = event.get("usage") or {}
        # An event may bear several tokens, or none where a letter takes two: what the engine counts wins.
        self.told = count(usage.get("completion_tokens")) or self.told
        self.prompt_tokens = count(usage.get("prompt_tokens")) or self.prompt_tokens

    def tokens(self):
        return self.told or self.arrived

    def check(self, wanted):
        """Raise Broken where the answer is not whole."""
        if not self.done or not self.reason:
            raise Broken("it ended after %d tokens without its last event" % self.tokens())
        if self.first is None:
            raise Broken("it had no text")
        if self.tokens() != wanted:
            raise Broken("%d tokens came of %d" % (self.tokens(), wanted))


def count(value):
    """Return a number of tokens that a server tells, or None for what is no such number."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def shown(said):
    """Return the beginning of what a server says, bytes, as one line that can be printed."""
    text = " ".join(said[:4 * SHOWN].decode("utf-8", "replace").split())
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:SHOWN] or "nothing"


async def read_head(reader):
    """Return (status, {header in lower case: value})."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    words = first.split()
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        raise Broken("no HTTP: %s" % shown(head))
    return int(words[1]), {name.strip().lower(): value.strip() for name, value in pairs}


async def read_body(reader, headers):
    """Yield the parts of the body as they come; raise where the connection ends before the body does."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while True:
            size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
            part = await reader.readexactly(size + 2)
            if not size:
                return
            yield part[:-2]
    elif headers.get("content-length", "").isdigit():
        yield await reader.readexactly(int(headers["content-length"]))
    else:
        # It ends with the connection; a stream says by its [DONE] whether that was its end.
        while True:
            part = await reader.read(1 << 16)
            if not part:
                return
            yield part


async def _read_answer(target, request, events, clock):
    reader, writer = await asyncio.open_connection(target.host, target.port, ssl=target.tls, limit=LONGEST_LINE)
    try:
        writer.write(request)
        await writer.drain()
        status, headers = await read_head(reader)
        said = b""
        async for part in read_body(reader, headers):
            if status == 200:
                events.take(part, clock())
            elif len(said) < 4 * SHOWN:
                said += part
        if status != 200:
            raise Broken("status %d: %s" % (status, shown(said)))
    finally:
        writer.close()


async def ask(target, prompt, max_tokens, seconds, clock=time.monotonic):
    """Ask once and return what came, also of an answer that is not whole: nothing is raised for that.

    {"start", "end": of `clock`, "tokens", "prompt_tokens": None where not told, "ttft_ms", "tpot_ms", "request_ms":
    None where there was no such time, "error": None or why the answer counts for nothing}
    """
    events, error, start = Events(), None, clock()
    try:
        await asyncio.wait_for(
            _read_answer(target, request_bytes(target, prompt, max_tokens), events, clock), max(0.001, seconds))
        events.check(max_tokens)
    except asyncio.TimeoutError:
        error = "not whole after %g s" % round(seconds, 1)
    except asyncio.IncompleteReadError:
        error = "the connection ended in the middle"
    except asyncio.LimitOverrunError:
        error = "a header or a chunk's size has no end"
    except Broken as broken:
        error = str(broken)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as broken:
        error = "%s: %s" % (type(broken).__name__, shown(str(broken).encode()))
    end = clock()
    tokens, known = events.tokens(), error is None
    return {
        "start": start, "end": end, "tokens": tokens, "prompt_tokens": events.prompt_tokens, "error": error,
        "ttft_ms": 1000 * (events.first - start) if known else None,
        "tpot_ms": 1000 * (events.last - events.first) / (tokens - 1) if known and tokens > 1 else None,
        "request_ms": 1000 * (end - start) if known else None,
    }
