"""The firewall's rules as text, and what is read of a host; with real packets they are tried in molecule's tests."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.firewall import (
    FirewallError,
    connection_port,
    is_loaded,
    listening_ports,
    may_filter,
    rules,
)


def test_rules_let_in_what_is_named_and_drop_the_rest():
    revision, text = rules([2222, 22], [8080, 443], [9100], [53], [])
    lines = [line.strip() for line in text.splitlines()]
    assert "type filter hook input priority filter; policy drop;" in lines
    assert [line for line in lines if " dport {" in line] == [
        "tcp dport { 22, 2222 } accept", "tcp dport { 443, 8080 } accept", "tcp dport { 9100 } accept",
        "udp dport { 53 } accept"]
    # One transaction: an older table goes and the new one comes at once.
    assert lines[1:3] == ["table inet inference_host", "delete table inet inference_host"]
    assert is_loaded(text, revision)


def test_nginx_may_be_for_some_networks_alone():
    _revision, text = rules([22], [443], [], [], ["fd00::/8", "10.0.0.0/8", "192.0.2.1"])
    assert "ip saddr { 10.0.0.0/8, 192.0.2.1/32 } tcp dport { 443 } accept" in text
    assert "ip6 saddr { fd00::/8 } tcp dport { 443 } accept" in text
    assert "\n        tcp dport { 443 } accept" not in text


def test_other_rules_are_another_revision():
    assert len({rules([22], [port], [], [], [])[0] for port in (80, 443)}) == 2
    assert rules([22], [80], [], [], [])[0] == rules([22, 22], [80], [], [], [])[0]


def test_without_a_way_in_there_are_no_rules():
    with pytest.raises(FirewallError, match="set ansible_port in the inventory"):
        rules([], [80], [], [], [])


def test_a_table_that_was_opened_by_hand_is_not_loaded():
    revision, text = rules([22], [80], [], [], [])
    assert not is_loaded(text.replace("policy drop", "policy accept"), revision)
    assert not is_loaded("", revision)


@pytest.mark.parametrize("source", ["10.0.0.1/8", "inside"])
def test_a_source_that_is_no_network_is_said(source):
    with pytest.raises(FirewallError, match=f"firewall_nginx_sources: '?{source}.*; name networks such as"):
        rules([22], [80], [], [], [source])


@pytest.mark.parametrize(("effective", "may"), [
    ("000001ffffffffff", True), ("0000000000001000", True), ("00000000a80425fb", False), ("0000000000000000", False)])
def test_who_may_filter(effective, may):
    assert may_filter(f"Name:\tpython3\nCapEff:\t{effective}\n") is may
    assert not may_filter("")


def test_the_port_of_the_connection_is_that_of_the_nearest_process_that_has_it():
    ssh = b"HOME=/root\0SSH_CONNECTION=192.0.2.9 50000 192.0.2.1 2222\0"
    assert connection_port([b"", b"A=b\0", ssh, ssh.replace(b"2222", b"22")]) == 2222
    assert connection_port([b"SSH_CONNECTION=\0", b"XSSH_CONNECTION=1 2 3 4\0"]) is None


def test_ports_of_sshd():
    assert listening_ports("port 22\nlistenaddress [::]:22\nlistenaddress 192.0.2.1:2022\n") == [22, 2022]
    assert listening_ports("port 22\nport 2222\naddressfamily any\nportly 3\nport x\n") == [22, 2222]


def test_scrapers_alone_reach_the_monitoring_port():
    plain = rules([22], [443], [], [], [])
    assert rules([22], [443], [], [], [], [], ["10.0.0.0/8"]) == plain == rules([22], [443], [], [], [], [9180], [])
    _revision, text = rules([22], [443], [], [], [], [9180], ["10.0.0.9", "fd00::/8"])
    lines = [line.strip() for line in text.splitlines() if "9180" in line]
    assert lines == ["ip saddr { 10.0.0.9/32 } tcp dport { 9180 } accept",
                     "ip6 saddr { fd00::/8 } tcp dport { 9180 } accept"]
    with pytest.raises(FirewallError, match="monitoring_scrapers: 'inside'"):
        rules([22], [443], [], [], [], [9180], ["inside"])
