# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings of kind sysfs: files or globs below /sys or /proc, persisted in tmpfiles.d or, of disks, by a udev rule."""

from __future__ import annotations

import fnmatch
import os
import re

from ansible_collections.inference.host.plugins.module_utils.tunable_kinds import values
from ansible_collections.inference.host.plugins.module_utils.tunables_host import (
    TAKEN,
    TunablesError,
    WantedFile,
    comment,
    of_lines,
    row,
)

_FILE = re.compile(r"/(sys|proc)/\S+\Z")
_QUEUE = re.compile(r"/sys/block/([A-Za-z0-9_*?\[\]!-]+)/(queue/[a-z0-9_]+)\Z")

write, entry, undo, restore = values.write, values.entry, values.undo, values.restore


def check(setting):
    """Raise TunablesError for a path that could do harm, or that the wanted way of persisting cannot hold."""
    values.check_text(setting)
    path, persist = setting.get("path"), setting.get("persist")
    says = f"settings: {setting['name']}: path is {path!r}"
    if not path or not _FILE.match(path) or os.path.normpath(path) != path:
        raise TunablesError(f"{says}; it must be a plain path or glob below /sys or /proc")
    if fnmatch.fnmatchcase("numa_node", os.path.basename(path)):
        raise TunablesError(f"{says}; writing it does not move the device and taints the kernel")
    if persist == "udev" and not _QUEUE.match(path):
        raise TunablesError(f"{says}; persist: udev is for /sys/block/NAME_OR_GLOB/queue/ATTRIBUTE only")
    if persist == "udev" and '"' in setting["value"]:
        says = f"settings: {setting['name']}: value is {setting['value']!r}"
        raise TunablesError(f"{says}; a udev rule cannot hold a quote")


def target(setting):
    """Return the path or glob."""
    return setting["path"]


def key(found):
    """Return the name of the baseline's entry."""
    return found["path"]


def read(setting, host):
    """Return a row for each file that is there, or one that says that none is."""
    paths = host.glob(setting["path"])
    if not paths:
        return [row(setting, setting["path"], "not_applicable", detail=f"{setting['path']} does not exist here")]
    return [values.read_file(setting, path, setting["path"], host) for path in paths]


def commands(setting, host):
    """Return the commands that make udev apply a changed rule to the disks that it is for."""
    if setting.get("persist") != "udev" or not host.find("udevadm"):
        return []
    pattern, _attribute = _QUEUE.match(setting["path"]).groups()
    return [
        ["udevadm", "control", "--reload"],
        ["udevadm", "trigger", "--settle", "--action=change", "--subsystem-match=block", f"--sysname-match={pattern}"],
    ]


def wanted_files(pairs, stem, host, _state):
    """Return the files in tmpfiles.d and udev/rules.d; a setting is in one if any of its files took it."""
    done, lines, rules, after = set(), [], [], []
    for setting, found in pairs:
        persist = setting.get("persist") or "tmpfiles"
        if found["status"] not in TAKEN or persist == "none" or setting["path"] in done:
            continue
        done.add(setting["path"])
        if persist == "udev":
            rules += [comment(setting), _rule(setting)]
            after += commands(setting, host)
        else:
            lines += [comment(setting), _line(setting)]
    reload = [["udevadm", "control", "--reload"]] if host.find("udevadm") else []
    return [
        WantedFile(f"/etc/tmpfiles.d/{stem}.conf", of_lines(lines), []),
        WantedFile(_rules_file(stem), of_lines(rules), after or reload),
    ]


def _rules_file(stem):
    return f"/etc/udev/rules.d/{stem}.rules"


def _line(setting):
    value = setting["value"].replace("\\", "\\\\")  # tmpfiles.d(5) knows escapes in values, and % in both
    return "w {} - - - - {}\n".format(setting["path"].replace("%", "%%"), value.replace("%", "%%"))


def _rule(setting):
    """Return a rule for whole disks: the kernel's name pattern would match partitions, which have no queue."""
    pattern, attribute = _QUEUE.match(setting["path"]).groups()
    value = setting["value"].replace("%", "%%").replace("$", "$$")
    return (
        f'ACTION=="add|change", SUBSYSTEM=="block", ENV{{DEVTYPE}}=="disk", KERNEL=="{pattern}", '
        f'ATTR{{{attribute}}}="{value}"\n'
    )


def survives(setting, found, stem, boot):
    """Return (value at the next boot or None, the file that sets it)."""
    if setting.get("persist") == "udev":
        disk, attribute = found["path"].split("/", 4)[3:]
        return boot.udev(disk, attribute, found["after"], _rules_file(stem))
    return boot.tmpfiles(found["path"])
