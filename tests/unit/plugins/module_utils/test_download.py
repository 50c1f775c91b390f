"""Downloads from a real server, one that behaves and several that do not."""

import base64
import http.client
import os
import random
import ssl
import subprocess
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils import download as downloading
from ansible_collections.inference.host.plugins.module_utils import incoming as incoming_file
from ansible_collections.inference.host.plugins.module_utils.errors import ReleaseError
from ansible_collections.inference.host.plugins.module_utils.http_range import Interrupted
from ansible_collections.inference.host.plugins.module_utils.incoming import Incoming, locked
from ansible_collections.inference.host.plugins.module_utils.model_sources import Address, addresses
from model_server import REGISTRY_TOKEN, S3_KEYS, serving

DATA = b"GGUF" + random.Random(1).randbytes(3_000_000)


@pytest.fixture
def server():
    with serving(DATA) as server:
        yield server


@pytest.fixture
def incoming(tmp_path):
    with locked(str(tmp_path / "models")):
        yield Incoming(str(tmp_path / "models"), "0" * 64, "x.gguf")


def fetch(server, behaviour, incoming, budget_seconds=20, headers=None):
    return from_url(f"{server.url}/{behaviour}/x.gguf", incoming, budget_seconds, headers)


def from_url(url, incoming, budget_seconds=20, headers=None):
    return downloading.download([Address(url, headers or {})], incoming, budget_seconds)


def probed(url):
    return downloading.probe([Address(url, {})], "x.gguf")[0]


def ranges(server):
    return [headers["Range"] for _path, headers in server.asked]


@pytest.mark.parametrize("behaviour", ["good", "no-range", "chunked", "no-length"])
def test_one_connection_is_enough(server, incoming, behaviour):
    progress = fetch(server, behaviour, incoming)
    assert (progress.received_bytes, progress.finished, progress.reason) == (len(DATA), True, None)
    assert progress.size_bytes == (len(DATA) if behaviour in ("good", "no-range") else None)
    assert Path(incoming.partial).read_bytes() == DATA
    assert os.stat(incoming.partial).st_mode & 0o777 == 0o600
    assert ranges(server) == ["bytes=0-"]


def test_a_server_that_drops_every_connection_is_asked_for_the_rest(server, incoming):
    assert fetch(server, "drops", incoming).finished is True
    assert ranges(server) == ["bytes=0-", "bytes=1000000-", "bytes=2000000-", "bytes=3000000-"]
    assert Path(incoming.partial).read_bytes() == DATA


def test_a_later_call_goes_on_where_the_earlier_one_ended(server, incoming):
    first = fetch(server, "stalls", incoming, budget_seconds=1)
    assert (first.received_bytes, first.size_bytes, first.finished) == (1_000_000, len(DATA), False)
    assert "broke off at byte 1000000: timed out" in first.reason
    assert fetch(server, "good", incoming).finished is True
    assert ranges(server) == ["bytes=0-", "bytes=1000000-"]
    assert server.asked[1][1]["If-Range"] == server.tag
    assert Path(incoming.partial).read_bytes() == DATA


def test_the_time_is_kept_where_the_server_can_go_on(server, incoming):
    progress = fetch(server, "good", incoming, budget_seconds=0)
    assert 0 < progress.received_bytes < len(DATA)
    assert (progress.finished, progress.reason) == (False, None)


def test_a_server_that_cannot_go_on_is_not_interrupted(server, incoming):
    assert fetch(server, "no-range", incoming, budget_seconds=0).finished is True


def test_a_file_that_changed_on_the_server_starts_anew(server, incoming):
    server.data = DATA[::-1]
    fetch(server, "stalls", incoming, budget_seconds=1)
    server.data, server.tag = DATA, '"two"'
    assert fetch(server, "good", incoming).finished is True
    assert Path(incoming.partial).read_bytes() == DATA


def test_another_size_without_a_tag_starts_anew(server, incoming):
    server.tag = None
    fetch(server, "stalls", incoming, budget_seconds=1)
    server.data = DATA + b"more"
    changed = fetch(server, "good", incoming)
    assert (changed.received_bytes, changed.finished) == (0, False)
    assert changed.reason.endswith("/good/x.gguf has another file than before")
    assert fetch(server, "good", incoming).finished is True
    assert Path(incoming.partial).read_bytes() == server.data


def test_a_weak_tag_is_no_promise_of_the_same_bytes(server, incoming):
    server.tag = 'W/"one"'
    fetch(server, "stalls", incoming, budget_seconds=1)
    fetch(server, "good", incoming)
    assert "If-Range" not in server.asked[1][1]


def test_a_server_that_begins_anew_and_drops_makes_no_progress(server, incoming):
    first, second = fetch(server, "no-range-drops", incoming), fetch(server, "no-range-drops", incoming)
    assert [p.received_bytes for p in (first, second)] == [1_000_000, 1_000_000]
    assert (second.finished, second.reason) == (False, f"{server.url}/no-range-drops/x.gguf ended at byte 1000000 of"
                                                       f" {len(DATA)}")


def test_a_length_that_is_too_long_is_no_end(server, incoming):
    progress = fetch(server, "lies-long", incoming)
    assert (progress.received_bytes, progress.finished) == (len(DATA), False)


def test_a_length_that_is_too_short_is_believed_and_left_to_the_checksum(server, incoming):
    progress = fetch(server, "lies-short", incoming)
    assert (progress.received_bytes, progress.finished) == (len(DATA) - 1000, True)


def test_a_whole_partial_file_is_not_asked_for_again(server, incoming):
    fetch(server, "good", incoming)
    assert fetch(server, "good", incoming).finished is True
    assert len(server.asked) == 1


@pytest.mark.parametrize(("left", "finished"), [(DATA, True), (DATA + b"more", False)])
def test_a_refused_range_means_whole_or_wrong(server, incoming, left, finished):
    Path(incoming.partial).write_bytes(left)
    progress = fetch(server, "good", incoming)
    assert progress.finished is finished
    assert progress.received_bytes == (len(DATA) if finished else 0)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_final(server, incoming, status):
    with pytest.raises(ReleaseError) as raised:
        fetch(server, f"{status}", incoming)
    assert f"/{status}/x.gguf answers {status} ({http.client.responses[status]})" in str(raised.value)
    assert ("give the authorisation in headers" in str(raised.value)) is (status in (401, 403))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_may_be_asked_again(server, incoming, status):
    progress = fetch(server, f"{status}", incoming)
    assert (progress.received_bytes, progress.finished) == (0, False)
    assert f"answers {status}" in progress.reason


def test_no_server_may_be_asked_again(incoming):
    with serving(DATA) as gone:
        pass
    progress = fetch(gone, "good", incoming)
    assert (progress.finished, "cannot be reached" in progress.reason) == (False, True)


def test_missing_room_is_known_before_a_byte_is_written(server, incoming, monkeypatch):
    monkeypatch.setattr(incoming_file, "free_bytes", lambda path: len(DATA))
    with pytest.raises(ReleaseError, match=r"models_dir \(.*\) has 2 MiB free; 67 MiB are needed"):
        fetch(server, "good", incoming)
    assert not os.path.exists(incoming.partial)


def test_a_body_without_an_end_or_a_length_does_not_fill_the_disk(server, incoming, monkeypatch):
    monkeypatch.setattr(downloading, "free_bytes", lambda path: (64 << 20) + 1000)
    with pytest.raises(ReleaseError, match=r"has less than 64 MiB free, and .*/chunked/x.gguf does not tell how much"):
        fetch(server, "chunked", incoming)
    assert os.listdir(incoming.folder) == ["lock"]


def test_user_and_password_become_a_header_and_are_nowhere_shown(server, incoming):
    url = server.url.replace("://", "://user:pass%2Fword@") + "/404/x.gguf?token=query-secret"
    with pytest.raises(ReleaseError) as raised:
        from_url(url, incoming)
    assert not any(secret in str(raised.value) for secret in ("user", "pass", "query-secret"))
    path, headers = server.asked[0]
    assert path == "/404/x.gguf?token=query-secret"
    assert base64.b64decode(headers["Authorization"].split()[1]) == b"user:pass/word"


def test_headers_stay_with_their_server_when_it_redirects(server, incoming):
    with serving(DATA) as other:
        server.target = other.url + "/good/x.gguf"
        assert fetch(server, "redirect", incoming, headers={"authorization": "Bearer t", "X-Key": "k"}).finished is True
        assert server.asked[0][1]["X-Key"] == "k"
        assert not {"Authorization", "X-Key"} & set(other.asked[0][1])
        assert other.asked[0][1]["Range"] == "bytes=0-"


def test_headers_go_along_on_the_same_server(server, incoming):
    server.target = "/good/x.gguf"
    assert fetch(server, "redirect", incoming, headers={"Authorization": "Bearer t"}).finished is True
    assert server.asked[1][1]["Authorization"] == "Bearer t"


@pytest.mark.parametrize("value", ["Bearer secret\n", "Bearer secr\u00e9t"])
def test_a_header_that_cannot_be_sent_is_named_without_its_value(server, incoming, value):
    with pytest.raises(ReleaseError, match="headers has a line break or a letter outside ASCII in 'Authorization'"):
        fetch(server, "good", incoming, headers={"Authorization": value})


@pytest.mark.parametrize("url", ["http://user:pa/ss@h/x", "http:///x", "http://h/a b", "http://[::1/x", "http://h:x/"])
def test_what_is_no_url_is_said_without_repeating_it(url, incoming):
    with pytest.raises(ReleaseError, match="source is no URL"):
        from_url(url, incoming)


def test_a_probe_tells_the_size_and_takes_nothing(server):
    assert probed(server.url + "/good/x.gguf") == len(DATA)
    assert probed(server.url + "/no-range/x.gguf") == len(DATA)
    assert probed(server.url + "/chunked/x.gguf") is None


@pytest.mark.parametrize(
    ("behaviour", "data", "sentence"),
    [
        ("404", DATA, "answers 404"),
        ("503", DATA, "answers 503"),
        ("good", b"<html>", "is no GGUF file: it begins with b'<htm'"),
        ("good", b"", "is empty"),
        ("drops", DATA, "ended at byte 0 of 3000004"),
    ],
)
def test_a_probe_finds_what_would_fail(server, behaviour, data, sentence):
    server.data, server.piece = data, 0
    with pytest.raises((ReleaseError, Interrupted), match=sentence):
        probed(f"{server.url}/{behaviour}/x.gguf")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A file with a self-signed certificate for 127.0.0.1 and its key."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=lab", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", f"{path}.crt"],
        check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@pytest.fixture
def tls_server(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(DATA, context) as server:
        yield server


def test_a_certificate_that_is_not_trusted_is_final(tls_server, incoming):
    with pytest.raises(ReleaseError, match="has a certificate that is not trusted here: self.signed certificate"):
        fetch(tls_server, "good", incoming)
    assert tls_server.asked == []


def test_tls_is_not_left_by_a_redirect(tls_server, server, incoming, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert fetch(tls_server, "good", incoming).finished is True
    incoming.drop()
    tls_server.target = server.url + "/good/x.gguf"
    with pytest.raises(ReleaseError, match="redirects to http://127.0.0.1:.*, which is not HTTPS"):
        fetch(tls_server, "redirect", incoming)
    assert server.asked == []


# Several addresses


def places(server, *behaviours):
    return [Address(f"{server.url}/{behaviour}/x.gguf", {}) for behaviour in behaviours]


def asked_paths(server):
    return [path.split("/")[1] for path, _headers in server.asked]


@pytest.mark.parametrize("first", ["404", "403", "503"])
def test_the_next_address_is_asked_when_one_does_not_serve(server, incoming, first):
    assert downloading.download(places(server, first, "good"), incoming, 20).finished is True
    assert asked_paths(server) == [first, "good"]
    assert downloading.probe(places(server, first, "good"), "x.gguf") == (len(DATA), places(server, "good")[0])


def test_the_next_address_goes_on_with_what_is_there(server, incoming):
    """Without If-Range: another server's tag says nothing."""
    with serving(DATA) as gone:
        fetch(gone, "stalls", incoming, budget_seconds=1)
    with serving(DATA) as other:
        other.tag = '"two"'
        both = [*places(gone, "good"), *places(other, "good")]
        assert downloading.download(both, incoming, 20).finished is True
    assert ranges(other) == ["bytes=1000000-"] and "If-Range" not in other.asked[0][1]
    assert Path(incoming.partial).read_bytes() == DATA


def test_a_later_call_begins_with_the_address_that_served(server, incoming):
    both = places(server, "404", "drops")
    assert downloading.download(both, incoming, 20).finished is True
    assert asked_paths(server) == ["404", *["drops"] * 4]


def test_when_none_serves_all_are_named(server, incoming):
    with pytest.raises(ReleaseError) as raised:
        downloading.download(places(server, "404", "410"), incoming, 20)
    assert "/404/x.gguf answers 404 (Not Found); " in str(raised.value)
    assert "/410/x.gguf answers 410 (Gone)" in str(raised.value)
    progress = downloading.download(places(server, "404", "503"), incoming, 20)
    assert progress.finished is False
    assert "answers 404" in progress.reason and "answers 503" in progress.reason


def test_missing_room_is_said_once(server, incoming, monkeypatch):
    monkeypatch.setattr(incoming_file, "free_bytes", lambda path: 0)
    with pytest.raises(ReleaseError) as raised:
        downloading.download(places(server, "good", "drops"), incoming, 20)
    assert str(raised.value).count("has 0 MiB free") == 1


# Object stores and registries


def objects(server, **keys):
    access = {"s3": dict(S3_KEYS, endpoint=server.url, **keys)}
    return addresses("s3://s3/a b/x+ü.gguf?versionId=1/2", None, "0" * 64, access)


def test_objects_are_asked_for_with_a_signature(server, incoming):
    """The server's `s3` is the bucket; it verifies the signature of each range."""
    server.piece = 2_000_000
    assert downloading.probe(objects(server), "x.gguf")[0] == len(DATA)
    assert downloading.download(objects(server), incoming, 20).finished is True
    assert server.asked[0][0] == "/s3/a%20b/x%2B%C3%BC.gguf?versionId=1%2F2"
    assert S3_KEYS["secret_key"] not in str(server.asked)


def test_an_object_is_resumed_with_a_signature(server, incoming):
    fetch(server, "stalls", incoming, budget_seconds=1)
    assert downloading.download(objects(server), incoming, 20).finished is True
    assert ranges(server) == ["bytes=0-", "bytes=1000000-"]
    assert Path(incoming.partial).read_bytes() == DATA


@pytest.mark.parametrize("wrong", ["access_key", "secret_key", "region"])
def test_a_wrong_key_is_refused_and_not_shown(server, incoming, wrong):
    sentence = "answers 403 .Forbidden.; check the S3 keys, the region and the host's clock"
    with pytest.raises(ReleaseError, match=sentence) as raised:
        downloading.download(objects(server, **{wrong: "wrong-word"}), incoming, 20)
    assert "wrong-word" not in str(raised.value)


def test_a_public_object_needs_no_signature(server, incoming):
    (place,) = addresses("s3://good/x.gguf", None, "0" * 64, {"s3": {"endpoint": server.url}})
    assert downloading.download([place], incoming, 20).finished is True
    assert "Authorization" not in server.asked[0][1]


def layer(server, **changes):
    """The address of a registry's layer; registries are asked by HTTPS, this one is not."""
    return [Address(server.url + "/v2/a/b/blobs/sha256:0", {}, oci=True)._replace(**changes)]


def test_a_registry_sends_for_a_token_first(server, incoming):
    private = {"Authorization": "Basic dXNlcjpwYXNz"}
    assert downloading.download(layer(server, headers=private), incoming, 20).finished is True
    sent = [(path.split("?")[0], headers.get("Authorization")) for path, headers in server.asked]
    blob = "/v2/a/b/blobs/sha256:0"
    assert sent == [(blob, private["Authorization"]), ("/token", private["Authorization"]),
                    (blob, "Bearer " + REGISTRY_TOKEN)]
    assert server.asked[1][0] == "/token?service=lab&scope=repository%3Aa%2Fb%3Apull"
    assert server.asked[2][1]["Range"] == "bytes=0-"


def test_another_server_for_tokens_does_not_get_the_headers(server, incoming):
    with serving(DATA) as other:
        server.challenge = f'Bearer realm="{other.url}/token",service="lab"'
        place = layer(server, headers={"Authorization": "Basic dXNlcjpwYXNz", "X-Key": "k"})
        assert downloading.download(place, incoming, 20).finished is True
        assert not {"Authorization", "X-Key"} & set(other.asked[0][1])


@pytest.mark.parametrize(("challenge", "sentence"), [
    ("Basic realm=x", "answers 401 .Unauthorized.; give the authorisation in headers"),
    ('Bearer realm="file:///etc/passwd"', "answers 401"), ("", "answers 401"),
    ('Bearer realm="URL/good/token"', "gives no token"), ('Bearer realm="URL/404/token"', "/404/token answers 404"),
])
def test_a_registry_without_a_token_is_refused(server, incoming, challenge, sentence):
    server.challenge = challenge.replace("URL", server.url)
    server.data = b"[1]"
    with pytest.raises(ReleaseError, match=sentence):
        downloading.download(layer(server), incoming, 20)
