"""A load on a stand-in for a service: what is counted, what is dropped, what is refused."""

import asyncio
import contextlib
import json

import pytest
from ansible_collections.inference.host.plugins.module_utils import bench_load, bench_stream
from ansible_collections.inference.host.plugins.module_utils.bench_shapes import shapes_of
from completion_server import KEY, completing
from hypothesis import given
from hypothesis import strategies as st

FIRST, NEXT = 0.03, 0.01


def shape(**wishes):
    return shapes_of([dict({"name": "mine", "users": 2, "prompt_tokens": 40, "max_tokens": 4, "requests": 4,
                            "repeats": 2, "limit_seconds": 20}, **wishes)])[0]


def ask(url, max_tokens=4, seconds=5, key=None):
    return asyncio.run(bench_stream.ask(bench_stream.target_of(url, "chat", key), "one two", max_tokens, seconds))


def measure(url, **wishes):
    return asyncio.run(bench_load.Load(bench_stream.target_of(url, "chat"), shape(**wishes), 1).run())


def test_the_times_are_those_of_the_tokens():
    with completing(FIRST, NEXT) as server:
        found = ask(server.url + "/good")
    assert (found["error"], found["tokens"], found["prompt_tokens"]) == (None, 4, 3)
    # A busy machine makes them longer. Nothing comes before it is sent.
    last = found["ttft_ms"] + 3 * found["tpot_ms"]
    assert 1000 * FIRST <= found["ttft_ms"] < last <= found["request_ms"]
    assert last >= 1000 * (FIRST + 3 * NEXT)


def test_tokens_are_counted_as_they_come_where_the_engine_does_not_tell():
    with completing() as server:
        found = ask(server.url + "/untold")
    assert (found["error"], found["tokens"], found["prompt_tokens"]) == (None, 4, None)


@pytest.mark.parametrize(("behaviour", "said"), [
    ("401", 'status 401: {"error": "the server repeats what it was told"}'),
    ("no-http", "no HTTP: who are you"),
    ("cut", "the connection ended in the middle"),
    ("short", "3 tokens came of 4"),
    ("no-done", "it ended after 4 tokens without its last event"),
    ("no-reason", "it ended after 4 tokens without its last event"),
    ("no-events", "it ended after 0 tokens without its last event"),
    ("error-event", '{"message": "the slot is gone"}'),
])
def test_answers_that_are_not_whole_count_for_nothing(behaviour, said):
    with completing() as server:
        found = ask("%s/%s" % (server.url, behaviour))
    assert found["error"] == said
    assert [found[name] for name in ("ttft_ms", "tpot_ms", "request_ms")] == [None] * 3


def test_an_answer_that_is_no_json_is_an_error():
    with completing() as server:
        assert ask(server.url + "/no-json")["error"].startswith("JSONDecodeError: ")


def test_a_slow_answer_is_left():
    with completing(following=1.0) as server:
        found = ask(server.url + "/good", seconds=0.2)
    assert found["error"] == "not whole after 0.2 s" and found["end"] - found["start"] < 1


def test_a_server_that_is_not_there_is_an_error():
    with completing() as server:
        url = server.url
    assert ask(url + "/good")["error"].startswith("ConnectionRefusedError: ")


def test_the_key_is_shown_to_the_server_alone():
    with completing() as server:
        assert ask(server.url + "/keyed")["error"].startswith("status 401")
        assert ask(server.url + "/keyed", key=KEY)["error"] is None


@pytest.mark.parametrize(("url", "said"), [
    ("ftp://x/y", "url is 'ftp://x/y'; it must be one such as http://127.0.0.1:8080."),
    ("chat", "url is 'chat'; it must be one such as http://127.0.0.1:8080."),
    ("http://x:port/", "url is 'http://x:port/'; it must be one such as http://127.0.0.1:8080."),
    ("http://[::1", "url is 'http://[::1'; it must be one such as http://127.0.0.1:8080."),
    (["http://x"], "url is a list; it must be one such as http://127.0.0.1:8080."),
    ("http://me:secret@x/", "url has a user or a password in it, which nobody asks for; leave them out."),
    ("ftp://me:secret@", "url has a user or a password in it, which nobody asks for; leave them out."),
    ("https://me:secret@[::1/", "url has a user or a password in it, which nobody asks for; leave them out."),
])
def test_wrong_urls_are_refused(url, said):
    with pytest.raises(ValueError) as error:
        bench_stream.target_of(url, "chat")
    assert str(error.value) == said


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=8))
def test_events_are_the_same_however_the_bytes_are_cut(tail, cuts):
    whole = (b'data: {"choices": [{"text": " a", "finish_reason": null}]}\n\n'
             b'data: {"choices": [{"text": " \xc3\xa4", "finish_reason": "length"}]}\n\n'
             b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}\n\n'
             b'data: [DONE]\n\n: ' + tail.replace(b"\n", b""))
    events, places = bench_stream.Events(), sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    for start, end in zip(places, places[1:], strict=False):
        events.take(whole[start:end], float(end))
    events.check(2)
    assert (events.arrived, events.told, events.prompt_tokens, events.reason) == (2, 2, 3, "length")
    assert 0 < events.first <= events.last


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner) |
                    st.dictionaries(st.sampled_from(["choices", "usage", "text", "finish_reason", "prompt_tokens",
                                                     "completion_tokens"]), inner), max_leaves=8))
def test_an_event_that_is_none_is_an_error_of_the_answer_or_tells_nothing(value):
    events = bench_stream.Events()
    with contextlib.suppress(bench_stream.Broken, ValueError, LookupError, TypeError, AttributeError):
        events.take(b"data: " + json.dumps(value).encode() + b"\n", 1.0)
    for told in (events.told, events.prompt_tokens):
        assert told is None or told > 0


@given(st.binary(max_size=2000))
def test_what_a_server_says_is_shown_in_one_line_that_can_be_printed(said):
    found = bench_stream.shown(said)
    assert found and len(found) <= 160 and found.isprintable()


def test_repeats_have_their_requests_and_the_warm_up_is_dropped():
    with completing(FIRST, NEXT) as server:
        found = measure(server.url + "/good")
    assert [(repeat["requests"], repeat["errors"]) for repeat in found.repeats] == [(4, 0), (4, 0)]
    assert found.cut is None and len(found.requests) == 8
    # Two trials of two tokens, one request a user, and the repeats.
    assert [asked["max_tokens"] for _path, _headers, asked in server.asked] == [2, 2] + [4] * 10
    assert server.most == 2
    for repeat in found.repeats:
        # Two rounds of two requests.
        assert repeat["tokens_per_second"] <= 16 / (2 * (FIRST + 3 * NEXT))
        assert repeat["requests_per_second"] == pytest.approx(repeat["tokens_per_second"] / 4, rel=0.01)


def test_prompts_are_as_long_as_wished_and_begin_each_in_its_own_way():
    with completing() as server:
        found = measure(server.url + "/good", prompt_tokens=300)
    assert found.prompt_tokens == 300
    prompts = [asked["prompt"] for _path, _headers, asked in server.asked]
    assert len({tuple(prompt.split()[:8]) for prompt in prompts}) == len(prompts)


def test_where_tokens_are_not_told_a_word_is_one():
    with completing() as server:
        found = measure(server.url + "/untold")
    assert found.prompt_tokens is None
    assert {len(asked["prompt"].split()) for _path, _headers, asked in server.asked[2:]} == {40}


@pytest.mark.parametrize("behaviour", ["401", "503", "cut", "no-json"])
def test_nothing_is_measured_where_nothing_answers(behaviour):
    with completing() as server, pytest.raises(bench_load.LoadError, match="^no answer came: "):
        measure("%s/%s" % (server.url, behaviour))


def test_requests_that_fail_are_counted():
    with completing() as server:
        found = measure(server.url + "/some-fail", users=1, requests=9, repeats=1)
    (repeat,) = found.repeats
    assert (repeat["errors"], repeat["requests"]) == (3, 6)
    assert {one["error"] for one in found.requests} == {None, "status 503: no slot is free"}


def test_the_time_limit_keeps_whole_repeats_alone():
    with completing(following=0.02) as server:
        found = measure(server.url + "/good", requests=4, repeats=50, limit_seconds=2)
    assert 0 < len(found.repeats) < 50 and len(found.requests) == 4 * len(found.repeats)
    assert found.cut == "the limit of 2 s came after %d of 50 repeats" % len(found.repeats)


def test_users_come_hold_and_go_and_the_parts_between_are_the_repeats():
    with completing(FIRST, NEXT) as server:
        found = measure(server.url + "/good", users=3, ramp_seconds=1, hold_seconds=2, down_seconds=1, repeats=4)
    assert len(found.repeats) == 4 and found.cut is None and server.most == 3
    kept = sum(repeat["requests"] for repeat in found.repeats)
    assert kept == len(found.requests) < len(server.asked) - 5
    assert min(repeat["requests"] for repeat in found.repeats) >= 3
    spans = [one["end"] for one in found.requests]
    assert max(spans) - min(spans) < 2
