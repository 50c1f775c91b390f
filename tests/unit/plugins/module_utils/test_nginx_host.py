"""What role nginx reads of a host."""

import os

import pytest
from ansible_collections.inference.host.plugins.module_utils import nginx_host


@pytest.fixture
def tls(tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_text("certificate")
    key.write_text("key")
    key.chmod(0o640)
    return certificate, key


def test_tls_files_are_there_and_the_key_is_closed(tls):
    certificate, key = tls
    nginx_host.check_tls_files(str(certificate), str(key))
    key.chmod(0o644)
    with pytest.raises(nginx_host.HostError, match="nginx_tls_key is .*key.pem, whose mode is 0644; the key"):
        nginx_host.check_tls_files(str(certificate), str(key))
    key.unlink()
    with pytest.raises(nginx_host.HostError, match="nginx_tls_key is .*key.pem, which cannot be used: No such file"):
        nginx_host.check_tls_files(str(certificate), str(key))
    with pytest.raises(nginx_host.HostError, match="nginx_tls_certificate is .*, which is no file"):
        nginx_host.check_tls_files(str(certificate.parent), str(key))


def test_a_renewed_certificate_has_another_digest(tls):
    paths = [str(path) for path in tls]
    before = nginx_host.digest_of(paths)
    assert nginx_host.digest_of(paths) == before and nginx_host.digest_of([]) == "-"
    tls[0].write_text("renewed")
    assert nginx_host.digest_of(paths) != before


def test_a_revision_is_known_again_by_its_token_and_what_was_read_with_it():
    token = nginx_host.new_revision()
    text = nginx_host.revision_text(token, "abc")
    assert nginx_host.revision_of(text, "abc") == token and nginx_host.new_revision() != token
    assert nginx_host.revision_of(text, "abd") is None
    assert nginx_host.revision_of(text + "# by hand\n", "abc") is None
    assert nginx_host.revision_of("", "abc") is None


@pytest.mark.parametrize(("before", "came"), [
    ("ActiveState=inactive\nUnitFileState=\n", True),
    ("ActiveState=active\nUnitFileState=enabled\n", False),
    ("ActiveState=inactive\nUnitFileState=disabled\n", False),
    ("", False),
])
def test_whether_nginx_came_with_the_first_run(before, came):
    assert nginx_host.came_with_us(before) is came


def test_open_files_are_those_of_the_process():
    limit = nginx_host.open_files([os.getpid()])
    assert isinstance(limit, int) and limit > 0
    assert nginx_host.open_files([]) is None
