"""nginx as role nginx configures it, asked over the network as clients do, with a stand-in for engines behind it."""

import gzip
import json
import socket
import ssl
import subprocess
import threading

import pytest
from nginx_box import PORT, ROOT, Box, context, plan, render

KEY, OTHER, ENGINE = "key-of-the-frontend-5e0f1c", "key-of-the-batch-77aa01", "key-of-the-engine-991b"
ADMINISTRATIVE = ["/slots", "/metrics", "/props", "/lora-adapters", "/models/load", "/v1/load_lora_adapter", "//slots",
                  "/completion", "/v1/models/../../slots", "/v1/models/%2e%2e/%2e%2e/slots", "/v1/completions/x", "/"]


@pytest.fixture(scope="module")
def box(host):
    made = Box(host)
    yield made
    made.stop()
    host.check_output(f"rm -rf {ROOT} /tmp/nginx-box-tls")


@pytest.fixture
def serve(box, tmp_path):
    """Start nginx with some variables; return the box."""

    def start(nginx=None, service_api_keys=None, **wishes):
        variables = {f"nginx_{name}": value for name, value in wishes.items()}
        files = render(tmp_path, inference_plan={"nginx": nginx or plan()}, service_api_keys=service_api_keys or {},
                       **variables)
        return box.start(files["lab1"])

    return start


@pytest.fixture(scope="module")
def plain(box, tmp_path_factory):
    """nginx with the defaults and two instances."""
    files = render(tmp_path_factory.mktemp("plain"), inference_plan={"nginx": plan()}, service_api_keys={})
    return box.start(files["lab1"])


def test_streams_arrive_word_by_word(plain):
    with socket.create_connection((plain.address, PORT), timeout=20) as client:
        client.sendall(b"GET /chat/v1/completions HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")
        seen = b""
        for number in range(5):
            plain.engines("/step")
            while b"data: %d" % number not in seen:
                part = client.recv(4096)
                assert part, seen
                seen += part
            assert b"data: %d" % (number + 1) not in seen
    assert b"text/event-stream" in seen and b"gzip" not in seen


@pytest.mark.parametrize("path", ADMINISTRATIVE)
@pytest.mark.parametrize("prefix", ["", "/chat"])
def test_what_is_not_for_clients_cannot_be_reached(plain, prefix, path):
    status, headers, body = plain.ask(prefix + path)
    assert status == 404 and headers["Content-Type"] == "application/json"
    assert json.loads(body)["error"]["type"] == "not_found_error"


def test_what_is_for_clients_reaches_the_engine(plain):
    for path in ("/v1/models", "/chat/v1/models", "/chat/health", "//v1//models"):
        status, headers, body = plain.ask(path, Origin="https://evil.example", Authorization="Bearer engine")
        assert status == 200, body
        assert json.loads(body)["path"] == path.replace("//", "/").replace("/chat", "")
        assert json.loads(body)["headers"]["Authorization"] == "Bearer engine"
        # The engine allows every origin, nginx none.
        assert "Access-Control-Allow-Origin" not in headers and headers["Server"] == "nginx"


def test_what_only_the_host_may_ask(plain):
    for path in ("/-/revision", "/-/generation", "/-/status", "/-/ready/chat", "/-/answers"):
        assert plain.ask(path)[0] == 403
    assert plain.inside("/-/revision") == (200, "box")
    assert plain.inside("/-/status")[1].startswith("Active connections")
    assert plain.inside("/-/generation")[0] == plain.inside("/-/other")[0] == 404
    status, said = plain.inside("/-/ready/chat")
    assert status == 200 and json.loads(said)["path"] == "/health"
    assert plain.inside("/chat/v1/models")[0] == 200


def test_long_answers_are_packed_and_an_engine_cannot_redirect_nginx(plain):
    _status, headers, body = plain.ask("/v1/long", Accept_Encoding="gzip")
    assert headers["Content-Encoding"] == "gzip" and len(json.loads(gzip.decompress(body))) == 1000
    assert "Content-Encoding" not in plain.ask("/v1/models", Accept_Encoding="gzip")[1]
    assert plain.ask("/v1/elsewhere")[2] == b"kept"


def test_a_body_that_is_too_large_is_refused_in_json(plain):
    with socket.create_connection((plain.address, PORT), timeout=20) as client:
        client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
        seen = b""
        while not seen.endswith(b"}}\n"):
            seen += client.recv(4096)
    assert b" 413 " in seen.split(b"\r\n")[0] and json.loads(seen.rpartition(b"\r\n\r\n")[2])["error"]["code"] == 413


def test_more_than_the_slots_are_told_to_come_again(plain):
    answers = []
    held = [threading.Thread(target=lambda: answers.append(plain.ask("/v1/hold")[0])) for _number in range(2)]
    for one in held:
        one.start()
    wait_for(lambda: plain.engines("/held"), lambda count: count == "2")
    excess = plain.ask("/v1/models")
    assert excess[0] == 503
    assert json.loads(excess[2])["error"]["code"] == 503 and excess[1]["Retry-After"] == "5"
    plain.engines("/release")
    for one in held:
        one.join()
    assert answers == [200, 200] and plain.ask("/v1/models")[0] == 200


def wait_for(ask, good):
    """Ask until the answer is good, at most 200 times."""
    for _number in range(200):
        answer = ask()
        if good(answer):
            return answer
    raise AssertionError(answer)


def test_an_engine_that_has_gone_is_left_out_and_without_any_there_is_503(serve):
    box = serve()
    box.host.check_output("systemctl stop nginx-box-engines")
    status, headers, body = wait_for(lambda: box.ask("/v1/models"), lambda answer: answer[0] == 503)
    assert headers["Retry-After"] and json.loads(body)["error"]["type"] == "unavailable_error"


def test_no_registered_instance_is_503_from_the_first_request_on(box, tmp_path):
    files = render(tmp_path, inference_plan={"nginx": plan(instances=0)}, service_api_keys={})["lab1"]
    assert box.start(files).ask("/v1/models")[0] == 503


def test_clients_need_a_key_and_the_engine_gets_its_own(serve):
    box = serve(clients={"frontend": KEY, "batch": OTHER}, service_api_keys={"chat": ENGINE}, log_format="json",
                cors_origins=["https://app.example.org"])
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": KEY}, {"Authorization": f"Bearer {KEY}x"},
                    {"Authorization": f"Bearer {KEY.upper()}"}, {"Authorization": f"Bearer {ENGINE}"},
                    {"X_Api_Key": KEY.upper()}):
        status, answered, body = box.ask("/v1/models", **headers)
        assert (status, answered["WWW-Authenticate"]) == (401, "Bearer"), headers
        assert json.loads(body)["error"]["type"] == "authentication_error"
    for headers in ({"Authorization": f"Bearer {KEY}"}, {"Authorization": f"bearer {OTHER}"}, {"X_Api_Key": KEY}):
        status, _answered, body = box.ask("/chat/v1/models", **headers)
        seen = json.loads(body)["headers"]
        assert status == 200 and seen["Authorization"] == f"Bearer {ENGINE}"
        assert KEY not in str(seen) and OTHER not in str(seen)
    assert box.ask("/health")[0] == 200
    lines = [json.loads(line) for line in box.log()]
    assert [line["client"] for line in lines[-4:]] == ["frontend", "batch", "frontend", ""]
    assert {line["status"] for line in lines[-4:]} == {"200"} and lines[-2]["path"] == "/chat/v1/models"
    assert float(lines[-2]["upstream_time"]) >= 0 and isinstance(lines[-2]["request_time"], float)
    everything = box.host.check_output(f"cat {ROOT}/log/*.log")
    assert not [key for key in (KEY, OTHER, ENGINE) if key in everything]
    # A browser asks first, without a key; only pages of the origin that was named may use the answers.
    status, answered, _body = box.ask("/v1/models", Origin="https://app.example.org", Authorization=f"Bearer {KEY}")
    assert (status, answered["Access-Control-Allow-Origin"]) == (200, "https://app.example.org")
    assert "Access-Control-Allow-Origin" not in box.ask("/v1/models", Origin="https://evil.example")[1]


def test_pages_of_all_origins_may_use_the_answers_where_that_is_wanted(serve):
    box = serve(cors_origins=["*"])
    status, answered, _body = box.ask("/v1/models", Origin="https://any.example")
    assert (status, answered["Access-Control-Allow-Origin"]) == (200, "*")


def test_each_client_has_its_rate(serve):
    box = serve(clients={"frontend": KEY, "batch": OTHER}, rate_per_minute=1, rate_burst=2,
                client_limits={"batch": {"rate_per_minute": 1, "rate_burst": 4}})

    def let_through(key):
        answers = [box.ask("/v1/models", Authorization=f"Bearer {key}") for _number in range(8)]
        refused = [answer for answer in answers if answer[0] == 429]
        assert {answer[1]["Retry-After"] for answer in refused} == {"5"}
        assert {json.loads(answer[2])["error"]["type"] for answer in refused} == {"rate_limit_error"}
        return len(answers) - len(refused)

    assert (let_through(KEY), let_through(OTHER)) == (3, 5)


def test_addresses_have_their_connections(serve):
    box = serve(plan(slots=4), connections_per_client=1)
    held = threading.Thread(target=lambda: box.ask("/v1/hold"))
    held.start()
    wait_for(lambda: box.engines("/held"), lambda count: count == "1")
    status, headers, _body = box.ask("/v1/models")
    assert (status, headers["Retry-After"]) == (429, "5")
    box.engines("/release")
    held.join()
    wait_for(lambda: box.ask("/v1/models"), lambda answer: answer[0] == 200)


def test_tls_takes_its_versions_resumes_sessions_and_speaks_http2(box, serve, tmp_path):
    certificate, key = box.certificate()
    serve(tls_certificate=certificate, tls_key=key, redirect_port=9081, tls_session_cache_mib=50)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        assert box.ask("/v1/models", tls=context(version))[0] == 200
    with pytest.raises(OSError, match="ALERT_PROTOCOL_VERSION"):
        box.ask("/v1/models", tls=context(ssl.TLSVersion.TLSv1_1))
    resumed = context(ssl.TLSVersion.TLSv1_2)
    with resumed.wrap_socket(socket.create_connection((box.address, PORT))) as first:
        session = first.session
    with resumed.wrap_socket(socket.create_connection((box.address, PORT)), session=session) as second:
        assert second.session_reused
    curl = ["curl", "--noproxy", "*", "--silent", "--insecure", "--http2", "--write-out", "%{http_version}", "--output",
            str(tmp_path / "answer"), f"https://{box.address}:{PORT}/v1/models"]
    assert subprocess.run(curl, capture_output=True, text=True, check=True).stdout == "2"
    # Plain HTTP is for the host itself, and to be sent away.
    assert box.ask("/v1/models")[0] == 400
    assert box.inside("/-/revision") == (200, "box")
    assert box.inside("/v1/models", 9081)[0] == 308


def test_static_files_are_kept_by_browsers(serve):
    box = serve(static=[{"path": "/outputs/", "folder": f"{ROOT}/outputs/"}])
    box.host.check_output(f"mkdir -p {ROOT}/outputs && echo picture >{ROOT}/outputs/a.txt && chmod 755 {ROOT}")
    status, headers, body = box.ask("/outputs/a.txt")
    assert (status, body) == (200, b"picture\n")
    assert headers["Cache-Control"] == "public, max-age=604800, immutable"
    assert box.ask("/outputs/")[0] == 403 and box.ask("/outputs/../etc/passwd")[0] == 404


def test_workers_run_where_they_should_with_the_files_they_need(plain, serve):
    box = serve(worker_connections=2000, multi_accept=True)
    pids = box.host.check_output("pgrep -P $(systemctl show -P MainPID nginx-box)").split()
    assert len(pids) == 2
    for pid in pids:
        limits = box.host.check_output(f"cat /proc/{pid}/limits")
        assert [line.split()[3] for line in limits.splitlines() if line.startswith("Max open files")] == ["4512"]
        assert box.host.check_output(f"grep Cpus_allowed_list /proc/{pid}/status").split()[1] == "0"
