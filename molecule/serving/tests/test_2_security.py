"""What a client outside reaches, asked from a third host, and where the key can be read."""

import json
import ssl
import urllib.error
import urllib.request

import pytest
from conftest import BUILD, address

HOSTS = ("lab1", "lab2", "lab3")
ENGINES = [(host, port) for host in ("lab1", "lab2") for port in (18080, 18081)]
NOT_FOR_CLIENTS = ("/slots", "/metrics", "/props", "/lora-adapters", "/completion", "/v1/completions/../../slots",
                   "/chat/slots", "/chat/metrics", "/chat/props", "/chat//slots", "/chat/v1/%2e%2e/slots",
                   "/-/revision", "/-/generation", "/-/status", "/-/ready/chat", "/")


@pytest.fixture
def status():
    """Ask nginx of a host as a client does; return the status."""

    def ask(url, key=None, body=None, version=None):
        context = ssl.create_default_context(cafile=BUILD / "balancer.crt")
        if version:
            context.minimum_version = context.maximum_version = version
            context.set_ciphers("ALL:@SECLEVEL=0")
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            with opener.open(urllib.request.Request(url, data=body, headers=headers), timeout=60) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    return ask


@pytest.mark.parametrize(("host", "port"), ENGINES)
def test_no_engine_is_reached_from_another_host(ask, host, port):
    line = f"bash -c \"exec 3<>/dev/tcp/{address(host)}/{port}\" 2>&1 || true"
    assert "Connection refused" in ask("lab3", line)


@pytest.mark.parametrize("host", HOSTS)
def test_hosts_listen_for_ssh_and_nginx_alone(ask, host):
    lines = ask(host, "ss -Hltn").splitlines()
    places = [line.split()[3] for line in lines]
    ports = {place.rsplit(":", 1)[1] for place in places if not place.startswith(("127.", "[::1]"))}
    assert ports == {"22", "8443" if host == "lab3" else "8080"}


@pytest.mark.parametrize("path", NOT_FOR_CLIENTS)
def test_administrative_paths_lead_nowhere(status, site, path):
    for base in (f"https://{address('lab3')}:8443", f"http://{address('lab1')}:8080"):
        assert status(base + path, site.key) in (400, 403, 404)
        assert status(base + path, site.key, b"{}") in (400, 403, 404)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_a_real_client_speaks_tls_and_needs_the_key(status, site):
    url = f"https://{address('lab3')}:8443/chat/v1/completions"
    body = json.dumps({"prompt": "The", "max_tokens": 1}).encode()
    assert status(url, site.key, body) == 200
    assert status(url, "another", body) == status(url, None, body) == 401
    assert status(url.replace("https", "http"), site.key, body) == 400
    with pytest.raises(urllib.error.URLError, match="(?i)protocol version"):
        status(url, site.key, body, ssl.TLSVersion.TLSv1_1)


@pytest.mark.parametrize("host", HOSTS)
def test_the_key_is_seen_by_root_alone(ask, site, host):
    # A process may end before its environment is read.
    said = ask(host, "ps -eo args; journalctl --no-pager;"
                     " cat /proc/[0-9]*/environ /var/log/nginx/* 2>/dev/null || true")
    assert "sshd" in said
    # Not compared in the assertion, which would print all of it.
    seen = site.key in said
    assert not seen
    # From its input, so that it stands in no command line of ours.
    found = ask(host, "grep --recursive --files-with-matches --text --fixed-strings --devices=skip --file=-"
                      " --exclude=*.gguf --exclude=llama-server /etc /opt /run /tmp /usr/local /var 2>/dev/null |"
                      " xargs --no-run-if-empty stat --format=%a:%n || true", site.key + "\n").splitlines()
    assert [row for row in found if int(row.split(":")[0], 8) & 0o177] == []
    # It is where it has to be, so that the search is one.
    assert bool(found) == (host != "lab3"), found
