"""What role nginx does where something is wrong: the old configuration stays, and nginx's sentence is said."""

import json

import pytest

REVISION = "python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080/-/revision').read().decode())\""
PLAYBOOK = """---
- hosts: inference_hosts
  gather_facts: false
  become: true
  tasks:
    - ansible.builtin.import_role:
        name: inference.host.topology
        tasks_from: plan
    - ansible.builtin.import_role:
        name: inference.host.nginx
        tasks_from: preflight
    - ansible.builtin.import_role:
        name: inference.host.nginx
"""


@pytest.fixture
def role(play, tmp_path):
    """Run role nginx alone."""
    playbook = tmp_path / "role.yml"
    playbook.write_text(PLAYBOOK, encoding="utf-8")
    return lambda *arguments, **variables: play(str(playbook), *arguments, **variables)


@pytest.fixture
def state(host):
    """What nginx is written and loaded, as one text."""

    def read():
        files = host.check_output("find /etc/nginx /etc/systemd/system/nginx* -type f | sort | xargs sha256sum")
        return files + host.check_output(REVISION) + host.check_output("systemctl show -P MainPID nginx")

    return read


def said(done):
    return " ".join(done.stdout.split())


@pytest.fixture
def certificate(host):
    host.check_output("mkdir -p /tmp/tls && cd /tmp/tls && openssl req -x509 -newkey rsa:2048 -nodes -days 2"
                      " -subj /CN=x -keyout key.pem -out cert.pem 2>/dev/null && chmod 600 key.pem")
    yield {"nginx_tls_certificate": "/tmp/tls/cert.pem", "nginx_tls_key": "/tmp/tls/key.pem"}
    host.check_output("rm -rf /tmp/tls")


def test_what_nginx_does_not_accept_never_goes_live(role, state, certificate):
    before = state()
    done = role(nginx_tls_ciphers="NO-SUCH-CIPHER", **certificate)
    assert done.returncode != 0 and 'SSL_CTX_set_cipher_list("NO-SUCH-CIPHER") failed' in said(done), done.stdout
    assert "everything is as it was before" in said(done)
    assert state() == before


def test_a_port_that_another_program_holds_is_said_and_the_old_one_stays(role, state, host):
    before = state()
    host.check_output("systemd-run --quiet --collect --unit=holder python3 -m http.server 9181 && sleep 0")
    wait = "python3 -c \"import socket, time\nwhile socket.socket().connect_ex(('127.0.0.1', 9181)): time.sleep(0.05)\""
    host.check_output(wait)
    done = role(nginx_listen_port=9181)
    host.check_output("systemctl stop holder")
    assert done.returncode != 0, done.stdout
    assert "bind() to 0.0.0.0:9181 failed (98: Address already in use)" in said(done), done.stdout
    assert state() == before
    assert "changed=0 " in role().stdout


@pytest.mark.parametrize(("wish", "sentence"), [
    ({"nginx_open_files": 5000}, "nginx_open_files is 5000 and nginx_worker_connections 4096; it must be at least"),
    ({"nginx_tls_certificate": "/x"}, "nginx_tls_certificate is set and nginx_tls_key is not"),
    ({"nginx_gzip_types": ["text/event-stream"]}, "nginx_gzip_types has text/event-stream"),
    ({"nginx_clients": {"a": "short-4c2"}}, "nginx_clients.a is not fit for a key"),
])
def test_a_wrong_value_stops_the_site_before_anything_changes(play, state, wish, sentence):
    before = state()
    done = play("site.yml", **wish)
    assert sentence in said(done) and "changed=0 " in done.stdout and "short-4c2" not in done.stdout
    assert state() == before


def test_a_key_that_others_can_read_is_refused(role, state, certificate, host):
    before = state()
    host.check_output("chmod 644 /tmp/tls/key.pem")
    done = role(**certificate)
    assert "nginx_tls_key is /tmp/tls/key.pem, whose mode is 0644" in said(done) and state() == before
    done = role(nginx_tls_certificate="/tmp/tls/none.pem", nginx_tls_key="/tmp/tls/key.pem")
    assert "nginx_tls_certificate is /tmp/tls/none.pem, which cannot be used: No such file" in said(done)
    assert state() == before


def test_keys_of_clients_are_seen_nowhere_and_a_renewed_certificate_is_loaded(play, role, certificate, host):
    key = "key-of-a-client-0c1d2e3f"
    wishes = dict(certificate, nginx_clients={"frontend": key}, nginx_tls_stapling=True)
    done = role("-vvv", "--diff", **wishes)
    assert done.returncode == 0 and key not in done.stdout and json.dumps(key)[1:-1] not in done.stdout
    assert "OCSP stapling is left out: /tmp/tls/cert.pem does not say whom to ask" in said(done)
    assert host.file("/etc/nginx/inference/clients.map").mode == 0o600
    assert key not in host.check_output("journalctl --no-pager; ps -eo args; nginx -T 2>/dev/null | grep -v '\"~^'")
    assert "changed=0 " in role(**wishes).stdout
    loaded = host.check_output(REVISION)
    host.check_output("cd /tmp/tls && openssl req -x509 -key key.pem -days 3 -subj /CN=y -out cert.pem 2>/dev/null")
    assert "changed=1 " in role(**wishes).stdout and host.check_output(REVISION) != loaded
    subject = "openssl s_client -connect $(hostname -I | cut -d' ' -f1):8080 </dev/null 2>/dev/null | grep -c CN.*y"
    assert int(host.check_output(subject)) > 0
    assert role().returncode == 0
    assert not host.file("/etc/nginx/inference/clients.map").exists


def test_an_installation_that_was_cut_off_is_repaired(role, host):
    host.check_output("sed -i '/^Package: nginx-light$/,/^$/s/^Status: .*/Status: install ok half-configured/'"
                      " /var/lib/dpkg/status")
    assert "half-configured" in host.check_output("dpkg-query --show --showformat='${Status}' nginx-light")
    done = role()
    assert done.returncode == 0, done.stdout
    assert host.check_output("dpkg-query --show --showformat='${Status}' nginx-light") == "install ok installed"
    assert "changed=0 " in role().stdout


def test_a_registered_copy_that_was_lost_comes_back(role, host):
    registry = "/run/inference.host/nginx/chat"
    names = host.check_output(f"ls {registry}")
    assert names.split() == ["0.server", "1.server"]
    host.check_output(f"rm {registry}/1.server && systemctl reload nginx")
    assert "changed=1 " in role().stdout
    assert host.check_output(f"ls {registry}") == names
