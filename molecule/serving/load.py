# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A constant load of completions, of which each answer is checked to be whole.

    load.py --streams 2 --plain 2 --output requests.jsonl --ca ca.crt https://10.89.85.13:8443/chat

So many event streams and so many plain answers are asked for at any time, each over a connection of its own, until
SIGTERM or SIGINT; then those that run are awaited. Each request becomes a line of JSON in the output when it has ended:

    {"id", "kind": stream or plain, "start", "head" (of an answer with status 200, null without), "end": seconds since
     1970, "tokens", "outcome": "ok" or what is wrong}

A whole answer has status 200, ends as HTTP says it must, has as many tokens as were asked for and a finish_reason; a
stream also ends in [DONE].
"""

import argparse
import asyncio
import itertools
import json
import signal
import ssl
import sys
import time
from urllib.parse import urlsplit

TOKENS = {"stream": 24, "plain": 12}
SECONDS = 120
"""What takes longer has failed."""
PAUSE_SECONDS = 0.2
"""After a failure, so that one that comes at once is not asked for a thousand times."""


class Broken(Exception):
    """What is wrong with an answer."""


async def read_head(reader):
    """Return (status, {header in lower case: value})."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return int(first.split()[1]), {name.strip().lower(): value.strip() for name, value in pairs}


async def read_body(reader, headers):
    """Yield the parts of the body as they come; raise where the connection ends before the body does."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while True:
            size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
            part = await reader.readexactly(size + 2)
            if not size:
                return
            yield part[:-2]
    elif "content-length" in headers:
        yield await reader.readexactly(int(headers["content-length"]))
    else:
        raise Broken("neither a length nor chunks: its end cannot be told")


def check_plain(body, tokens):
    """Return the number of tokens of a plain answer; raise Broken where it is not whole."""
    answer = json.loads(body)
    choice, count = answer["choices"][0], answer["usage"]["completion_tokens"]
    if not choice["text"] or not choice["finish_reason"]:
        raise Broken("no text or no finish_reason")
    if count != tokens:
        raise Broken(f"{count} tokens of {tokens}")
    return count


class Stream:
    """What has come of an event stream."""

    def __init__(self):
        self.rest, self.tokens, self.reason, self.done = b"", 0, None, False

    def take(self, part):
        *lines, self.rest = (self.rest + part).split(b"\n")
        for line in lines:
            if line.startswith(b"data: [DONE]"):
                self.done = True
            elif line.startswith(b"data: "):
                self.event(json.loads(line[6:]))
            elif line.startswith(b"error"):
                raise Broken(line.decode("utf-8", "replace"))

    def event(self, event):
        if "error" in event:
            raise Broken(str(event["error"])[:200])
        for choice in event["choices"]:
            self.reason = self.reason or choice["finish_reason"]
        # What is told last counts all; before that each event is a token.
        told = (event.get("timings") or {}).get("predicted_n") or (event.get("usage") or {}).get("completion_tokens")
        self.tokens = told or self.tokens + 1

    def check(self, tokens):
        if not self.done or not self.reason:
            raise Broken(f"it ended after {self.tokens} tokens without its last event")
        if self.tokens != tokens:
            raise Broken(f"{self.tokens} tokens of {tokens}")


class Load:
    """The clients, and what they have seen."""

    def __init__(self, url, key, output, authority=None):
        """url: of the service. key: that clients show, or None. authority: file of certificates, for https."""
        self.url, self.key, self.output = urlsplit(url), key, output
        self.tls = ssl.create_default_context(cafile=authority) if self.url.scheme == "https" else None
        self.numbers, self.stopped = itertools.count(1), asyncio.Event()

    def request(self, number, kind):
        body = json.dumps({
            "prompt": f"{number} is a number, and", "max_tokens": TOKENS[kind], "stream": kind == "stream",
            "temperature": 0, "ignore_eos": True, "cache_prompt": False}).encode()
        lines = [f"POST {self.url.path}/v1/completions HTTP/1.1", f"Host: {self.url.netloc}",
                 "Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close"]
        lines += [f"Authorization: Bearer {self.key}"] if self.key else []
        return "\r\n".join([*lines, "", ""]).encode() + body

    async def ask(self, number, kind, record):
        """Ask once; fill the record; raise where the answer is not whole."""
        reader, writer = await asyncio.open_connection(self.url.hostname, self.url.port, ssl=self.tls)
        try:
            writer.write(self.request(number, kind))
            await writer.drain()
            status, headers = await read_head(reader)
            record["head"] = time.time() if status == 200 else None
            stream, body = Stream(), b""
            async for part in read_body(reader, headers):
                body += part
                if kind == "stream" and status == 200:
                    stream.take(part)
                    record["tokens"] = stream.tokens
            if status != 200:
                raise Broken(f"status {status}: {body[:200].decode('utf-8', 'replace')}")
            if kind == "stream":
                stream.check(TOKENS[kind])
            else:
                record["tokens"] = check_plain(body, TOKENS[kind])
        finally:
            writer.close()

    async def once(self, kind):
        number = next(self.numbers)
        record = {"id": number, "kind": kind, "start": time.time(), "head": None, "end": None, "tokens": 0,
                  "outcome": "ok"}
        try:
            await asyncio.wait_for(self.ask(number, kind, record), SECONDS)
        except TimeoutError:
            record["outcome"] = f"not whole after {SECONDS} s"
        except asyncio.IncompleteReadError:
            record["outcome"] = "the connection ended in the middle"
        except (Broken, OSError, ValueError, LookupError, TypeError) as error:
            record["outcome"] = f"{type(error).__name__}: {error}"
        record["end"] = time.time()
        print(json.dumps(record), file=self.output, flush=True)
        return record["outcome"] == "ok"

    async def client(self, kind):
        while not self.stopped.is_set():
            if not await self.once(kind):
                await asyncio.sleep(PAUSE_SECONDS)

    async def run(self, streams, plain):
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.stopped.set)
        await asyncio.gather(*(self.client("stream") for _number in range(streams)),
                             *(self.client("plain") for _number in range(plain)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="the service behind nginx with its port, such as http://HOST:8080/chat")
    parser.add_argument("--streams", type=int, default=2)
    parser.add_argument("--plain", type=int, default=2)
    parser.add_argument("--key-file", type=argparse.FileType(), help="file with the key that clients show")
    parser.add_argument("--ca", help="file with the certificates of who is trusted")
    parser.add_argument("--output", type=argparse.FileType("a"), default=sys.stdout)
    chosen = parser.parse_args()
    key = chosen.key_file.read().strip() if chosen.key_file else None
    asyncio.run(start(chosen, key))


async def start(chosen, key):
    await Load(chosen.url, key, chosen.output, chosen.ca).run(chosen.streams, chosen.plain)


if __name__ == "__main__":
    main()
