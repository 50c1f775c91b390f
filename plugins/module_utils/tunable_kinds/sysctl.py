# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings of kind sysctl: a key below /proc/sys, persisted in /etc/sysctl.d.

A key that is not there is not_applicable and is not persisted: at boot systemd-sysctl would only log it. Who wants the
key of a kernel module loads the module first.
"""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils import overrides
from ansible_collections.inference.host.plugins.module_utils.tunable_kinds import values
from ansible_collections.inference.host.plugins.module_utils.tunables_host import (
    TAKEN,
    TunablesError,
    WantedFile,
    comment,
    of_lines,
)

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@/-]*\Z")

write, entry, undo, restore = values.write, values.entry, values.undo, values.restore


def check(setting):
    """Raise TunablesError for what is not the name of a sysctl or could leave its line."""
    values.check_text(setting)
    if not _NAME.match(setting["name"]):
        raise TunablesError(f"settings: {setting['name']!r} is not the name of a sysctl, such as vm.swappiness")
    if setting.get("path"):
        says = f"settings: {setting['name']}: path is {setting['path']!r}"
        raise TunablesError(f"{says}; a sysctl's path follows from its name, leave it out")
    if setting.get("persist") not in (None, "none"):
        raise TunablesError(f"settings: {setting['name']}: persist is {setting['persist']!r}; leave it out, or none")


def target(setting):
    """Return the file of a sysctl: vm.swappiness is /proc/sys/vm/swappiness."""
    return overrides.sysctl_path(setting["name"])


def key(found):
    """Return the name of the baseline's entry."""
    return found["path"]


def read(setting, host):
    """Return the row in a list."""
    return [values.read_file(setting, target(setting), target(setting), host)]


def commands(_setting, _host):
    """Return the commands that belong to a change of a persistent file of this kind."""
    return []


def wanted_files(pairs, stem, _host, _state):
    """Return the file in /etc/sysctl.d that holds the settings which were taken."""
    lines = []
    for setting, found in pairs:
        if found["status"] in TAKEN and setting.get("persist") != "none":
            lines += [comment(setting), f"{setting['name']} = {setting['value']}\n"]
    return [WantedFile(f"/etc/sysctl.d/{stem}.conf", of_lines(lines), [])]


def survives(_setting, found, _stem, boot):
    """Return (value at the next boot or None, the file that sets it), as systemd-sysctl decides."""
    return boot.sysctl(found["path"])
