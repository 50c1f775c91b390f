"""The load generator of scenario `serving`: it must not call an answer whole that is not."""

import asyncio
import io
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "molecule/serving"))

import load  # noqa: E402
import windows  # noqa: E402

PLAIN = json.dumps({"choices": [{"text": "x", "finish_reason": "length"}],
                    "usage": {"completion_tokens": load.TOKENS["plain"]}}).encode()


def event(text="x", reason=None, **more):
    return b"data: " + json.dumps({"choices": [{"text": text, "finish_reason": reason}], **more}).encode() + b"\n\n"


TOKENS = load.TOKENS["stream"]
DONE = b"data: [DONE]\n\n"
LAST = event("", "length", timings={"predicted_n": TOKENS})
STREAM = event() * TOKENS + LAST + DONE


def sized(body, status=b"200 OK", more=0):
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body) + more, body)


def chunked(*parts, end=b"0\r\n\r\n"):
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(
        b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + end


def outcome(kind, answer):
    """Ask a server that sends these bytes and closes; return the record."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async def ask():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            output = io.StringIO()
            port = server.sockets[0].getsockname()[1]
            good = await load.Load(f"http://127.0.0.1:{port}/chat", "key", output).once(kind)
        record = json.loads(output.getvalue())
        assert good is (record["outcome"] == "ok")
        return record

    return asyncio.run(ask())


@pytest.mark.parametrize(("kind", "answer"), [
    ("plain", sized(PLAIN)),
    ("plain", chunked(PLAIN[:10], PLAIN[10:])),
    ("stream", chunked(STREAM)),
    ("stream", chunked(*(STREAM[start:start + 7] for start in range(0, len(STREAM), 7)))),
    ("stream", sized(event() * (TOKENS - 1) + event(reason="stop", usage={"completion_tokens": TOKENS}) + DONE)),
])
def test_a_whole_answer_is_ok(kind, answer):
    record = outcome(kind, answer)
    assert record["outcome"] == "ok"
    assert record["tokens"] == load.TOKENS[kind]
    assert record["start"] <= record["head"] <= record["end"]


@pytest.mark.parametrize(("kind", "answer", "said"), [
    ("plain", b"", "in the middle"),
    ("plain", b"HTTP/1.1 200 OK\r\n", "in the middle"),
    ("plain", sized(PLAIN, more=1), "in the middle"),
    ("plain", b"HTTP/1.1 200 OK\r\n\r\n" + PLAIN, "its end cannot be told"),
    ("plain", sized(b"busy", b"503 Service Unavailable"), "status 503: busy"),
    ("plain", sized(PLAIN, b"500 Oh"), "status 500"),
    ("plain", sized(PLAIN.replace(b'"x"', b'""')), "no text"),
    ("plain", sized(PLAIN.replace(b'"length"', b"null")), "no finish_reason"),
    ("plain", sized(PLAIN.replace(b"12", b"11")), "11 tokens of 12"),
    ("plain", sized(b"nonsense"), "JSONDecodeError"),
    ("plain", sized(b"[]"), "TypeError"),
    ("stream", chunked(STREAM, end=b""), "in the middle"),
    ("stream", chunked(STREAM[:-40], end=b""), "in the middle"),
    ("stream", chunked(event() * TOKENS + LAST), "without its last event"),
    ("stream", chunked(event() * TOKENS + DONE), "without its last event"),
    ("stream", chunked(event() * 5 + LAST.replace(b"24", b"5") + DONE), "5 tokens of 24"),
    ("stream", chunked(event() * 5, b'data: {"error": {"message": "slot gone"}}\n\n'), "slot gone"),
    ("stream", chunked(event() * 5, b"error: gone\n\n"), "error: gone"),
    ("stream", sized(STREAM, b"503 Oh"), "status 503"),
])
def test_an_answer_that_is_not_whole_has_failed(kind, answer, said):
    record = outcome(kind, answer)
    assert said in record["outcome"]


def test_a_stream_has_begun_with_its_head():
    assert outcome("stream", chunked(end=b""))["head"]
    assert outcome("stream", b"")["head"] is None
    assert outcome("stream", sized(b"busy", b"503 Service Unavailable"))["head"] is None


def test_where_nobody_listens_it_has_failed():
    output = io.StringIO()
    assert not asyncio.run(load.Load("http://127.0.0.1:1/chat", None, output).once("plain"))
    assert "ConnectionRefused" in json.loads(output.getvalue())["outcome"]


def test_an_answer_that_takes_too_long_has_failed(monkeypatch):
    monkeypatch.setattr(load, "SECONDS", 0.2)

    async def ask():
        gone, kept = asyncio.Event(), []

        async def silent(_reader, writer):
            kept.append(writer)  # one that nobody holds is closed
            await gone.wait()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        output = io.StringIO()
        port = server.sockets[0].getsockname()[1]
        await load.Load(f"http://127.0.0.1:{port}/chat", None, output).once("stream")
        gone.set()
        server.close()
        return json.loads(output.getvalue())["outcome"]

    assert "not whole after 0.2 s" in asyncio.run(ask())


# Windows


def request(start, end, kind="stream", result="ok", head=None):
    return {"start": start, "end": end, "kind": kind, "outcome": result, "head": head, "tokens": 1}


def test_requests_belong_to_each_event_that_they_touched():
    ran = [request(0, 5), request(4, 11), request(12, 13), request(6, 30, "plain")]
    assert windows.during(ran, 5, 12) == [ran[1], ran[3]]


@pytest.mark.parametrize(("one", "streaming"), [
    (request(1, 9, head=3), True), (request(1, 9, head=6), False), (request(1, 4, head=3), False),
    (request(1, 9), False), (request(1, 9, "plain", head=3), False),
])
def test_what_was_streaming_at_a_moment_had_begun_and_not_ended(one, streaming):
    assert windows.was_streaming(one, 5) is streaming


def test_the_table_tells_cut_streams_from_other_failures():
    ran = [request(0, 5), request(1, 2, result="status 503"), request(1, 4, result="in the middle", head=2),
           request(1, 7, "plain", "in the middle", head=2)]
    assert windows.table(ran, [("all", 0, 10), ("none", 20, 30)]).splitlines() == [
        "event  seconds  streams  plain  failed  streams cut  slowest",
        "all    10       3        1      2       1            6.0 s",
        "none   10       0        0      0       0            0.0 s"]
