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
from ansible_collections.inference.host.plugins.module_utils import release as release_file
from ansible_collections.inference.host.plugins.module_utils.release import Release, ReleaseError
from model_server import serving

DATA = b"GGUF" + random.Random(1).randbytes(3_000_000)


@pytest.fixture
def server():
    with serving(DATA) as server:
        yield server


@pytest.fixture
def release(tmp_path):
    release = Release(str(tmp_path / "models"), "m", "http://h/x.gguf", "0" * 64)
    with release.locked():
        yield release


def fetch(server, behaviour, release, budget_seconds=20, headers=None):
    return downloading.download(f"{server.url}/{behaviour}/x.gguf", headers or {}, release, budget_seconds)


def ranges(server):
    return [headers["Range"] for _path, headers in server.asked]


@pytest.mark.parametrize("behaviour", ["good", "no-range", "chunked", "no-length"])
def test_one_connection_is_enough(server, release, behaviour):
    progress = fetch(server, behaviour, release)
    assert (progress.received_bytes, progress.finished, progress.reason) == (len(DATA), True, None)
    assert progress.size_bytes == (len(DATA) if behaviour in ("good", "no-range") else None)
    assert Path(release.partial).read_bytes() == DATA
    assert os.stat(release.partial).st_mode & 0o777 == 0o600
    assert ranges(server) == ["bytes=0-"]


def test_a_server_that_drops_every_connection_is_asked_for_the_rest(server, release):
    assert fetch(server, "drops", release).finished is True
    assert ranges(server) == ["bytes=0-", "bytes=1000000-", "bytes=2000000-", "bytes=3000000-"]
    assert Path(release.partial).read_bytes() == DATA


def test_a_later_call_goes_on_where_the_earlier_one_ended(server, release):
    first = fetch(server, "stalls", release, budget_seconds=1)
    assert (first.received_bytes, first.size_bytes, first.finished) == (1_000_000, len(DATA), False)
    assert "broke off at byte 1000000: timed out" in first.reason
    assert fetch(server, "good", release).finished is True
    assert ranges(server) == ["bytes=0-", "bytes=1000000-"]
    assert server.asked[1][1]["If-Range"] == server.tag
    assert Path(release.partial).read_bytes() == DATA


def test_the_time_is_kept_where_the_server_can_go_on(server, release):
    progress = fetch(server, "good", release, budget_seconds=0)
    assert 0 < progress.received_bytes < len(DATA)
    assert (progress.finished, progress.reason) == (False, None)


def test_a_server_that_cannot_go_on_is_not_interrupted(server, release):
    assert fetch(server, "no-range", release, budget_seconds=0).finished is True


def test_a_file_that_changed_on_the_server_starts_anew(server, release):
    server.data = DATA[::-1]
    fetch(server, "stalls", release, budget_seconds=1)
    server.data, server.tag = DATA, '"two"'
    assert fetch(server, "good", release).finished is True
    assert Path(release.partial).read_bytes() == DATA


def test_another_size_without_a_tag_starts_anew(server, release):
    server.tag = None
    fetch(server, "stalls", release, budget_seconds=1)
    server.data = DATA + b"more"
    changed = fetch(server, "good", release)
    assert (changed.received_bytes, changed.finished) == (0, False)
    assert changed.reason.endswith("/good/x.gguf has another file than before")
    assert fetch(server, "good", release).finished is True
    assert Path(release.partial).read_bytes() == server.data


def test_a_weak_tag_is_no_promise_of_the_same_bytes(server, release):
    server.tag = 'W/"one"'
    fetch(server, "stalls", release, budget_seconds=1)
    fetch(server, "good", release)
    assert "If-Range" not in server.asked[1][1]


def test_a_server_that_begins_anew_and_drops_makes_no_progress(server, release):
    first, second = fetch(server, "no-range-drops", release), fetch(server, "no-range-drops", release)
    assert [p.received_bytes for p in (first, second)] == [1_000_000, 1_000_000]
    assert (second.finished, second.reason) == (False, f"{server.url}/no-range-drops/x.gguf ended at byte 1000000 of"
                                                       f" {len(DATA)}")


def test_a_length_that_is_too_long_is_no_end(server, release):
    progress = fetch(server, "lies-long", release)
    assert (progress.received_bytes, progress.finished) == (len(DATA), False)


def test_a_length_that_is_too_short_is_believed_and_left_to_the_checksum(server, release):
    progress = fetch(server, "lies-short", release)
    assert (progress.received_bytes, progress.finished) == (len(DATA) - 1000, True)


def test_a_whole_partial_file_is_not_asked_for_again(server, release):
    fetch(server, "good", release)
    assert fetch(server, "good", release).finished is True
    assert len(server.asked) == 1


@pytest.mark.parametrize(("left", "finished"), [(DATA, True), (DATA + b"more", False)])
def test_a_refused_range_means_whole_or_wrong(server, release, left, finished):
    Path(release.partial).write_bytes(left)
    progress = fetch(server, "good", release)
    assert progress.finished is finished
    assert progress.received_bytes == (len(DATA) if finished else 0)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_final(server, release, status):
    with pytest.raises(ReleaseError) as raised:
        fetch(server, f"{status}", release)
    assert f"/{status}/x.gguf answers {status} ({http.client.responses[status]})" in str(raised.value)
    assert ("give the authorisation in headers" in str(raised.value)) is (status in (401, 403))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_may_be_asked_again(server, release, status):
    progress = fetch(server, f"{status}", release)
    assert (progress.received_bytes, progress.finished) == (0, False)
    assert f"answers {status}" in progress.reason


def test_no_server_may_be_asked_again(release):
    with serving(DATA) as gone:
        pass
    progress = fetch(gone, "good", release)
    assert (progress.finished, "cannot be reached" in progress.reason) == (False, True)


def test_missing_room_is_known_before_a_byte_is_written(server, release, monkeypatch):
    monkeypatch.setattr(release_file, "free_bytes", lambda path: len(DATA))
    with pytest.raises(ReleaseError, match=r"models_dir \(.*\) has 2 MiB free; 67 MiB are needed"):
        fetch(server, "good", release)
    assert not os.path.exists(release.partial)


def test_a_body_without_an_end_or_a_length_does_not_fill_the_disk(server, release, monkeypatch):
    monkeypatch.setattr(downloading, "free_bytes", lambda path: (64 << 20) + 1000)
    with pytest.raises(ReleaseError, match=r"has less than 64 MiB free, and .*/chunked/x.gguf does not tell how much"):
        fetch(server, "chunked", release)
    assert os.listdir(release.incoming) == ["lock"]


def test_user_and_password_become_a_header_and_are_nowhere_shown(server, release):
    url = server.url.replace("://", "://user:pass%2Fword@") + "/404/x.gguf?token=query-secret"
    with pytest.raises(ReleaseError) as raised:
        downloading.download(url, {}, release, 20)
    assert not any(secret in str(raised.value) for secret in ("user", "pass", "query-secret"))
    path, headers = server.asked[0]
    assert path == "/404/x.gguf?token=query-secret"
    assert base64.b64decode(headers["Authorization"].split()[1]) == b"user:pass/word"


def test_headers_stay_with_their_server_when_it_redirects(server, release):
    with serving(DATA) as other:
        server.target = other.url + "/good/x.gguf"
        assert fetch(server, "redirect", release, headers={"authorization": "Bearer t", "X-Key": "k"}).finished is True
        assert server.asked[0][1]["X-Key"] == "k"
        assert not {"Authorization", "X-Key"} & set(other.asked[0][1])
        assert other.asked[0][1]["Range"] == "bytes=0-"


def test_headers_go_along_on_the_same_server(server, release):
    server.target = "/good/x.gguf"
    assert fetch(server, "redirect", release, headers={"Authorization": "Bearer t"}).finished is True
    assert server.asked[1][1]["Authorization"] == "Bearer t"


@pytest.mark.parametrize("value", ["Bearer secret\n", "Bearer secr\u00e9t"])
def test_a_header_that_cannot_be_sent_is_named_without_its_value(server, release, value):
    with pytest.raises(ReleaseError, match="headers has a line break or a letter outside ASCII in 'Authorization'"):
        fetch(server, "good", release, headers={"Authorization": value})


@pytest.mark.parametrize("url", ["http://user:pa/ss@h/x", "http:///x", "http://h/a b", "http://[::1/x", "http://h:x/"])
def test_what_is_no_url_is_said_without_repeating_it(url, release):
    with pytest.raises(ReleaseError, match="source is no URL"):
        downloading.download(url, {}, release, 20)


def test_a_probe_tells_the_size_and_takes_nothing(server):
    assert downloading.probe(server.url + "/good/x.gguf", {}, "x.gguf") == len(DATA)
    assert downloading.probe(server.url + "/no-range/x.gguf", {}, "x.gguf") == len(DATA)
    assert downloading.probe(server.url + "/chunked/x.gguf", {}, "x.gguf") is None


@pytest.mark.parametrize(
    ("behaviour", "data", "sentence"),
    [
        ("404", DATA, "answers 404"),
        ("503", DATA, "answers 503"),
        ("good", b"<html>", "is no GGUF file: it begins with b'<htm'"),
        ("good", b"", "is empty"),
    ],
)
def test_a_probe_finds_what_would_fail(server, behaviour, data, sentence):
    server.data = data
    with pytest.raises(ReleaseError, match=sentence):
        downloading.probe(f"{server.url}/{behaviour}/x.gguf", {}, "x.gguf")


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


def test_a_certificate_that_is_not_trusted_is_final(tls_server, release):
    with pytest.raises(ReleaseError, match="has a certificate that is not trusted here: self.signed certificate"):
        fetch(tls_server, "good", release)
    assert tls_server.asked == []


def test_tls_is_not_left_by_a_redirect(tls_server, server, release, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert fetch(tls_server, "good", release).finished is True
    release.drop_partial()
    tls_server.target = server.url + "/good/x.gguf"
    with pytest.raises(ReleaseError, match="redirects to http://127.0.0.1:.*, which is not HTTPS"):
        fetch(tls_server, "redirect", release)
    assert server.asked == []
