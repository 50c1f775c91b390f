#!/usr/bin/python
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host firewall that cannot lock its user out; the rules are in module_utils/firewall.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: firewall
short_description: Lets in SSH, nginx and what else is named, and takes the rules back unless that is confirmed
version_added: 0.1.0
author:
  - inference.host contributors (@inference-host)
description:
  - Loads a table of nftables of its own, C(inet inference_host), that drops all incoming packets but those of
    connections that stand, of loopback, ICMP and DHCP, and to the ports of SSH, nginx and O(tcp_ports), O(udp_ports).
    Rules of others are left as they are.
  - SSH's ports are those of the running connection, of C(ansible_port) and of C(sshd)'s configuration.
  - New rules hold for O(rollback_seconds). Called again with O(state=confirmed) over a new connection, the module
    makes them last, also beyond a reboot; else the host takes them back by itself.
  - Where the host may not filter, as in a container, nothing is done.
options:
  state:
    description: V(present) loads the rules, V(confirmed) makes loaded ones last, V(absent) takes all away.
    type: str
    choices: [present, confirmed, absent]
    default: present
  ssh_port:
    description: C(ansible_port), where the inventory sets it.
    type: int
  nginx_ports:
    description: Ports of nginx.
    type: list
    elements: int
    default: []
  nginx_sources:
    description: Networks that may reach nginx; empty for all.
    type: list
    elements: str
    default: []
  monitoring_ports:
    description: Ports that O(scrapers) may reach.
    type: list
    elements: int
    default: []
  scrapers:
    description: Networks that may reach O(monitoring_ports); empty for none.
    type: list
    elements: str
    default: []
  tcp_ports:
    description: Other ports that may be reached.
    type: list
    elements: int
    default: []
  udp_ports:
    description: Other UDP ports that may be reached.
    type: list
    elements: int
    default: []
  rollback_seconds:
    description: After how long rules that nobody has confirmed are taken back.
    type: int
    default: 60
  baseline:
    required: true
  baseline_name:
    required: true
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - inference.host.attributes
  - inference.host.baseline
"""

EXAMPLES = r"""
- name: Load the rules
  inference.host.firewall:
    nginx_ports: [443]
    baseline: /var/lib/inference.host/baseline
    baseline_name: 60-inference-firewall
  register: rules

- name: Come back over a new connection
  ansible.builtin.meta: reset_connection

- name: Keep them
  inference.host.firewall:
    state: confirmed
    nginx_ports: [443]
    baseline: /var/lib/inference.host/baseline
    baseline_name: 60-inference-firewall
  when: rules.pending
"""

RETURN = r"""
applicable:
  description: Whether the host may filter packets.
  returned: success
  type: bool
pending:
  description: Whether rules were loaded that are yet to be confirmed.
  returned: success
  type: bool
ssh_ports:
  description: Ports of SSH that are let in.
  returned: success
  type: list
  elements: int
"""

import os
import shutil

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.inference.host.plugins.module_utils import (
    atomic,
    baseline,
    file_diff,
    file_set,
    file_set_baseline,
    firewall,
    packages,
)

NEW = "/run/inference.host/firewall.new"
RULES = "/etc/inference.host/firewall.nft"
UNIT = "inference-firewall.service"
UNIT_FILE = "/etc/systemd/system/" + UNIT
ROLLBACK = "inference-firewall-rollback"
UNIT_TEXT = """\
# Written by role firewall of inference.host.
[Unit]
Description=inference.host: firewall
DefaultDependencies=no
# Debian's own service empties all tables when it starts.
After=local-fs.target nftables.service
Before=network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=%(nft)s -f %(rules)s
ExecReload=%(nft)s -f %(rules)s
ExecStop=%(nft)s delete table %(table)s

[Install]
WantedBy=sysinit.target
"""

PORTS = {"type": "list", "elements": "int", "default": []}
ARGUMENT_SPEC = {
    "state": {"type": "str", "choices": ["present", "confirmed", "absent"], "default": "present"},
    "ssh_port": {"type": "int"},
    "nginx_ports": PORTS,
    "nginx_sources": {"type": "list", "elements": "str", "default": []},
    "monitoring_ports": PORTS,
    "scrapers": {"type": "list", "elements": "str", "default": []},
    "tcp_ports": PORTS,
    "udp_ports": PORTS,
    "rollback_seconds": {"type": "int", "default": 60},
    "baseline": {"type": "path", "required": True},
    "baseline_name": {"type": "str", "required": True},
}


def main():
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    if not firewall.may_filter(read("/proc/self/status").decode()):
        module.exit_json(changed=False, applicable=False, pending=False, ssh_ports=[])
    try:
        if module.check_mode:
            answer = Host(module).run()
        else:
            with atomic.locked(file_set.lock_path()):
                answer = Host(module).run()
    except (firewall.FirewallError, packages.PackageError, file_set.FileSetError, baseline.BaselineError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg="%s cannot be used: %s" % (error.filename, atomic.words(error)))
    module.exit_json(**answer)


class Host:
    """What is loaded and written, and how that is changed; only in check mode without the lock of file_set.py."""

    def __init__(self, module):
        self.module, self.params = module, module.params
        self.nft = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin") or "/usr/sbin/nft"

    def run(self):
        """Return the module's result."""
        if self.params["state"] == "absent":
            return self.remove()
        ports = self.ssh_ports()
        revision, text = firewall.rules(ports, *(self.params[name] for name in (
            "nginx_ports", "tcp_ports", "udp_ports", "nginx_sources", "monitoring_ports", "scrapers")))
        plan = self.plan(text)
        loaded = firewall.is_loaded(self.listed(), revision)
        enabled = self.systemctl("is-enabled", UNIT) == 0
        changed = bool(any(plan)) or not loaded or not enabled
        if changed and not self.module.check_mode:
            if self.params["state"] == "confirmed":
                self.confirm(plan, loaded)
            else:
                self.load(text)
        answer = {"changed": changed, "applicable": True, "pending": changed and self.params["state"] == "present",
                  "ssh_ports": ports}
        if self.module._diff:
            answer["diff"] = file_diff.diff(plan)
        return answer

    def ssh_ports(self):
        """Return every port on which somebody may be connected: nothing is guessed, so there may be none."""
        found = [self.params["ssh_port"], firewall.connection_port(environs(os.getpid()))]
        sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
        if sshd:
            found += firewall.listening_ports(self.module.run_command([sshd, "-T"])[1])
        return sorted(set(filter(None, found)))

    def plan(self, text):
        """Return what of the files that last is not yet as wanted; no text: neither of them. What a killed run had
        half changed is put back first."""
        if not self.module.check_mode:
            file_set.recover([], [RULES, UNIT_FILE])
        unit = UNIT_TEXT % {"nft": self.nft, "rules": RULES, "table": firewall.TABLE}
        wanted = [(RULES, text), (UNIT_FILE, unit)] if text else []
        files = [{"path": path, "content": content, "mode": "0644", "owner": "root", "group": "root",
                  "sensitive": False} for path, content in wanted]
        return file_set.make_plan(files, [RULES, UNIT_FILE], [{"path": os.path.dirname(RULES), "mode": "0755"}],
                                  self.module.check_mode)

    def listed(self):
        if not os.path.exists(self.nft):
            return ""
        status, out, _error = self.module.run_command([self.nft, "list", "table", *firewall.TABLE.split()])
        return out if status == 0 else ""

    def systemctl(self, *words):
        return self.module.run_command(["systemctl", "--no-pager", *words])[0]

    def must(self, argv, words):
        status, out, error = self.module.run_command(argv)
        if status:
            raise firewall.FirewallError("%s: %s" % (words, (error.strip() or out.strip())))

    def load(self, text):
        """Load the rules; a timer of the host takes them back."""
        if not os.path.exists(self.nft):
            packages.install(self.module.run_command, "nftables")
        os.makedirs(os.path.dirname(NEW), mode=0o755, exist_ok=True)
        atomic.write(NEW, text.encode(), 0o600)
        self.must([self.nft, "-c", "-f", NEW], "nft does not accept the rules")
        self.systemctl("stop", ROLLBACK + ".timer", ROLLBACK + ".service")
        before = "%s -f %s || %s delete table %s" % (self.nft, RULES, self.nft, firewall.TABLE)
        self.must(["systemd-run", "--quiet", "--collect", "--unit=" + ROLLBACK, "--timer-property=AccuracySec=1s",
                   "--on-active=%d" % self.params["rollback_seconds"], "/bin/sh", "-c", before],
                  "the timer that takes the rules back could not be started, so they are not loaded")
        self.must([self.nft, "-f", NEW], "nft could not load the rules")

    def confirm(self, plan, loaded):
        """Write what was loaded to where the next boot finds it, then stop the timer."""
        if not loaded:
            raise firewall.FirewallError("the rules were taken back before they were confirmed; raise "
                                         "firewall_rollback_seconds")
        with file_set_baseline.first_seen(
                plan, self.params["baseline"], self.params["baseline_name"], [["systemctl", "daemon-reload"]]):
            file_set.apply(plan)
        self.must(["systemctl", "stop", ROLLBACK + ".timer"], "the timer could not be stopped")
        self.systemctl("daemon-reload")
        self.must(["systemctl", "enable", UNIT], "the firewall's unit could not be enabled")
        # It loads the same rules again; from now on it is systemd's to say that they are there.
        self.must(["systemctl", "start", UNIT], "the firewall's unit could not be started")

    def remove(self):
        plan, there = self.plan(None), bool(self.listed())
        changed = bool(plan.files) or there
        if changed and not self.module.check_mode:
            self.systemctl("stop", ROLLBACK + ".timer")
            self.systemctl("disable", "--now", UNIT)
            if self.listed():
                self.must([self.nft, "delete", "table", *firewall.TABLE.split()], "nft could not remove the table")
            file_set.apply(file_set.Plan([], plan.files, []))
            self.systemctl("daemon-reload")
        return {"changed": changed, "applicable": True, "pending": False, "ssh_ports": []}


def environs(pid):
    """Yield the environments of a process and of those above it."""
    while pid > 1:
        yield read("/proc/%d/environ" % pid)
        fields = read("/proc/%d/stat" % pid).decode("utf-8", "replace").rpartition(")")[2].split()
        pid = int(fields[1]) if len(fields) > 1 else 0


def read(path):
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""


if __name__ == "__main__":
    main()
