"""Module firewall's files. Its rules are tested in module_utils, and with real packets in molecule's tests."""

from types import SimpleNamespace

import pytest
from ansible_collections.inference.host.plugins.module_utils import atomic, file_set
from ansible_collections.inference.host.plugins.modules import firewall


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setattr(firewall, "RULES", str(tmp_path / "firewall.nft"))
    monkeypatch.setattr(firewall, "UNIT_FILE", str(tmp_path / "firewall.service"))
    return firewall.Host(SimpleNamespace(check_mode=False, params={}))


def test_what_a_killed_run_had_half_written_is_put_back_first(host, tmp_path):
    (tmp_path / "firewall.nft").write_text("old")
    for path in (firewall.RULES, firewall.UNIT_FILE):
        atomic.keep(path)
    atomic.write(firewall.RULES, b"new")
    plan = host.plan("newer")
    assert [(change.path, change.before.data) for change in plan.files] == [
        (firewall.RULES, b"old"), (firewall.UNIT_FILE, b"")]
    assert [path.name for path in tmp_path.iterdir()] == ["firewall.nft"]
    file_set.apply(host.plan(None)._replace(directories=[]))
    assert not list(tmp_path.iterdir())
