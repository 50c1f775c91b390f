"""What counts as a completion, and what a manifest asks for."""

import json
import socket
import threading

import pytest
from ansible_collections.inference.host.plugins.module_utils.completion import (
    DEFAULT,
    CompletionError,
    check_of,
    complete,
    text_of,
)

CHECK = {"prompt": "Where?", "expect": "Paris", "max_tokens": 4}


def answer(text="in Paris", reason="stop"):
    return json.dumps({"choices": [{"text": text, "finish_reason": reason}]}).encode()


@pytest.mark.parametrize(("manifest", "check"), [
    (json.dumps({"check": CHECK}), CHECK),
    (json.dumps({"check": {"prompt": "Where?", "expect": None}}), dict(DEFAULT, prompt="Where?")),
    (json.dumps({"check": None}), DEFAULT),
    (json.dumps({}), DEFAULT),
    ("[]", DEFAULT),
    ("", DEFAULT),
])
def test_a_manifest_says_what_is_asked(manifest, check):
    assert check_of(manifest) == check


def test_an_answer_as_expected_is_its_text():
    assert text_of(answer(), CHECK) == "in Paris"
    assert text_of(answer("Rome", "length"), dict(CHECK, expect=None)) == "Rome"


@pytest.mark.parametrize(("said", "why"), [
    (answer("Rome"), "to 'Where[?]' is 'Rome'; 'Paris' is expected in it"),
    (answer(""), "is not whole"),
    (answer(reason=None), "is not whole"),
    (answer(["in Paris"]), "is not whole: text a list"),
    (b"", "is no completion: nothing"),
    (b"<html>\n502", "is no completion: <html> 502"),
    (b'{"choices": []}', "is no completion"),
    (b'{"choices": 3}', "is no completion"),
    (b'{"error": "busy"}', "is no completion"),
    (b"\xff", "is no completion"),
])
def test_another_answer_is_said(said, why):
    with pytest.raises(CompletionError, match=why):
        text_of(said, CHECK)


@pytest.mark.parametrize("said", [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", b"who are you\r\n\r\n", b""])
def test_an_answer_that_breaks_off_did_not_come(said):
    def answer_once():
        with server.accept()[0] as client:
            client.recv(1000)
            client.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer_once)
        thread.start()
        with pytest.raises(CompletionError, match="did not come"):
            complete(server.getsockname()[1], CHECK, "chat")
        thread.join()
