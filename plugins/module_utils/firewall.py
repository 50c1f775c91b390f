# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rules of an optional host firewall: a table of nftables of its own, so that nobody else's rules are touched."""

from __future__ import annotations

import hashlib
import ipaddress

TABLE = "inet inference_host"
NET_ADMIN = 12
"""Bit of CAP_NET_ADMIN in a process's capabilities (capability.h)."""

_RULES = """\
# Written by role firewall of inference.host.
table %(table)s
delete table %(table)s
table %(table)s {
    counter revision_%(revision)s { }
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        ct state invalid drop
        iif lo accept
        # ICMP of both families, by number: small hosts have no /etc/protocols.
        meta l4proto { 1, 58 } accept
        # Answers of DHCP servers, which belong to no connection.
        udp sport 67 udp dport 68 accept
        ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept
%(accepted)s
    }
}
"""


class FirewallError(Exception):
    """What is wrong, in one sentence for the person who must act."""


def rules(ssh_ports, nginx_ports, tcp_ports, udp_ports, sources, monitoring_ports=(), scrapers=()):
    """Return (revision, text of the rules). sources: networks that may reach nginx, empty for all. scrapers: networks
    that may reach the monitoring ports, empty for none.

    What is not named is dropped. Raises FirewallError without a port for SSH: the host could not be reached any more;
    and for a source that is no network.
    """
    if not ssh_ports:
        raise FirewallError("the port of the SSH connection is not known, so the firewall would cut it off; set "
                            "ansible_port in the inventory")
    lines = [accept("tcp", ssh_ports)]
    lines += from_networks("firewall_nginx_sources", sources, nginx_ports) or [accept("tcp", nginx_ports)]
    if monitoring_ports:
        lines += from_networks("monitoring_scrapers", scrapers, monitoring_ports)
    lines += [accept(protocol, ports) for protocol, ports in (("tcp", tcp_ports), ("udp", udp_ports)) if ports]
    accepted = "\n".join("        " + line for line in lines)
    revision = hashlib.sha256((_RULES + accepted).encode()).hexdigest()[:16]
    return revision, _RULES % {"table": TABLE, "revision": revision, "accepted": accepted}


def from_networks(variable, sources, ports):
    """Return the rules that let some networks come in at some ports, one a family; `variable` named the networks."""
    try:
        networks = [ipaddress.ip_network(source) for source in sources]
    except ValueError as error:
        raise FirewallError("%s: %s; name networks such as 10.0.0.0/8" % (variable, error)) from None
    mine = {family: sorted(str(network) for network in networks if network.version == version)
            for family, version in (("ip", 4), ("ip6", 6))}
    return ["%s saddr { %s } %s" % (family, ", ".join(found), accept("tcp", ports))
            for family, found in mine.items() if found]


def accept(protocol, ports):
    """Return the rule that lets some ports in."""
    return "%s dport { %s } accept" % (protocol, ", ".join(map(str, sorted(set(ports)))))


def is_loaded(listed, revision):
    """Tell whether `nft list table` shows the rules of a revision."""
    return "counter revision_%s {" % revision in listed and "policy drop" in listed


def may_filter(status):
    """Tell from /proc/self/status whether the process may change the kernel's rules."""
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> NET_ADMIN & 1)
    return False


def connection_port(environs):
    """Return the port of this host in the first SSH_CONNECTION of some processes' environments (bytes), or None.

    sudo does not hand the variable on, so a module looks at the processes above its own.
    """
    for environ in environs:
        for entry in environ.split(b"\0"):
            words = entry.partition(b"SSH_CONNECTION=")[2].split() if entry.startswith(b"SSH_CONNECTION=") else []
            if len(words) == 4 and words[3].isdigit():
                return int(words[3])
    return None


def listening_ports(text):
    """Return the ports in what `sshd -T` prints; an address may have one of its own."""
    pairs = [line.split()[:2] for line in text.splitlines()]
    found = [pair[1].rpartition(":")[2] for pair in pairs if len(pair) == 2 and pair[0] in ("port", "listenaddress")]
    return sorted({int(port) for port in found if port.isdigit()})
