# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings of kind mount: options of a mounted file system, by a remount first and only then in /etc/fstab.

An option that the file system does not know would stop the next boot; the remount refuses it before it gets there.
"""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils import atomic, fstab
from ansible_collections.inference.host.plugins.module_utils.tunables_host import (
    TunablesError,
    WantedFile,
    remembered,
    row,
)

FSTAB = "/etc/fstab"
MOUNTS = "/proc/self/mounts"

_OPTIONS = re.compile(r"[A-Za-z0-9_.:/+-]+(=[A-Za-z0-9_.:/+-]+)?(,[A-Za-z0-9_.:/+-]+(=[A-Za-z0-9_.:/+-]+)?)*\Z")
_FSTAB_ONLY = re.compile(r"(auto|noauto|nofail|_netdev|users?|nousers?|owner|group|defaults|comment=.*|[xX]-.*)\Z")
_NEVER = ("remount", "bind", "rbind", "move", "ro", "loop")
_ATIME = ("noatime", "relatime", "strictatime", "atime")


def check(setting):
    """Raise TunablesError for what is no mount point, or no option of a running mount."""
    path, name = setting.get("path"), setting["name"]
    if not path or atomic.plain(path) != path or "\n" in path:
        raise TunablesError(f"settings: {name}: path is {path!r}; it must be an absolute mount point")
    if not _OPTIONS.match(setting["value"]):
        says = f"settings: {name}: value is {setting['value']!r}"
        raise TunablesError(f"{says}; it must be mount options such as noatime")
    for option in setting["value"].split(","):
        if _FSTAB_ONLY.match(option) or option in _NEVER:
            raise TunablesError(f"settings: {name}: value has {option!r}, which is no option that a remount can add")


def target(setting):
    """Return what tells this setting from others."""
    return "mount " + setting["path"]


def key(found):
    """Return the name of the baseline's entry: one for the options of each role, which are taken back one by one."""
    return f"mount:{found['path']} {found['wanted']}"


def _live(host, path):
    """Return the options that a mount has, or None. The kernel names it as this process sees it."""
    return fstab.options_at(host.text(MOUNTS) or "", host.place(path), last=True)


def _missing(live, options):
    return [option for option in options.split(",") if option not in live]


def _foretold(live, missing):
    """Return the options after a remount, as far as they are known before."""
    atime = any(option in _ATIME for option in missing)
    return [option for option in live if not (atime and option in _ATIME)] + missing


def read(setting, host):
    """Return the row in a list; its values are all options of the mount."""
    path = setting["path"]
    live = _live(host, path)
    if live is None:
        return [row(setting, path, "not_applicable", detail=f"nothing is mounted at {path}")]
    lost = fstab.options_at(host.text(FSTAB) or "", path) is None
    detail = f"{FSTAB} has no line for {path}: the options hold until the next boot" if lost else ""
    missing = _missing(live, setting["value"])
    before = ",".join(live)
    if not missing:
        return [row(setting, path, "ok", before, before, detail)]
    return [row(setting, path, "changed", before, ",".join(_foretold(live, missing)), detail)]


def write(found, host):
    """Remount with the wanted options and return the row with those that the mount then has."""
    failed = _remount(host, found["path"], found["wanted"])
    live = _live(host, found["path"]) or []
    found = dict(found, after=",".join(live))
    missing = _missing(live, found["wanted"])
    if failed and host.is_container():
        return dict(found, status="not_applicable", detail=f"container: {failed}")
    if failed:
        return dict(found, status="refused", detail=failed)
    if missing:
        return dict(found, status="partial", detail=f"the mount does not show {','.join(missing)} after the remount")
    return found


def _remount(host, path, options):
    return host.run(["mount", "-o", "remount," + options, host.place(path)])


def entry(found):
    """Return what the baseline keeps of a row."""
    return remembered(found, found["wanted"])


def commands(_setting, _host):
    """Return the commands that belong to a change of fstab: none, the remount was first."""
    return []


def wanted_files(pairs, _stem, _host, _state):
    """Return fstab with the options that the running mounts have taken."""
    taken = [setting for setting, found in pairs if found["status"] in ("ok", "changed")]
    return [
        WantedFile(FSTAB, lambda text, setting=setting: _added(text, setting), [])
        for setting in taken
    ]


def _added(text, setting):
    return text if text is None else fstab.with_options(text, setting["path"], setting["value"].split(","))


def take_back(kept, path, text, first):
    """Return fstab without the options that were not in its first-seen text."""
    if path != FSTAB:
        return text
    there = fstab.options_at(first or "", kept["path"]) or []
    return fstab.without_options(text, kept["path"], [option for option in _ours(kept) if option not in there])


def _ours(kept):
    return kept["written"].split(",")


def survives(setting, found, _stem, boot):
    """Return (value at the next boot or None, fstab)."""
    text = boot.text(FSTAB)
    options = fstab.options_at(text or "", found["path"])
    if options is None or _missing(options, setting["value"]):
        return None, None
    return found["wanted"], FSTAB


def undo(kept, host):
    """Return the row that puts the first-seen options back."""
    setting = {"name": kept["name"], "kind": kept["kind"], "value": kept["before"], "reason": "as first seen"}
    live = _live(host, kept["path"])
    if live is None:
        return row(setting, kept["path"], "not_applicable", detail=f"nothing is mounted at {kept['path']}")
    options = _inverse(kept, live)
    before = ",".join(live)
    if not options:
        return row(setting, kept["path"], "ok", before, before)
    return row(setting, kept["path"], "changed", before, kept["before"])


def _inverse(kept, live):
    """Return the options whose remount takes ours back; of an option with a value we know only what was shown."""
    first, inverse = kept["before"].split(","), []
    for option in _ours(kept):
        if option in first or option not in live:
            continue
        name = option.partition("=")[0]
        if option in _ATIME:
            shown = next((one for one in first if one in _ATIME), "strictatime")
            back = ["atime", shown] if shown == "relatime" else [shown]  # noatime stays in force beside relatime
        elif "=" in option:
            back = [one for one in first if one.startswith(name + "=")]
        else:
            back = [option[2:] if option.startswith("no") else "no" + option]
        inverse += [one for one in back if one not in inverse]
    return inverse


def restore(kept, found, host):
    """Remount as first seen; return the row."""
    failed = _remount(host, kept["path"], ",".join(_inverse(kept, found["before"].split(","))))
    live = _live(host, kept["path"]) or []
    found = dict(found, after=",".join(live))
    if failed:
        return dict(found, status="refused", detail=failed)
    return found
