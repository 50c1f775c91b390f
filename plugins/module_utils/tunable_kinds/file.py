# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings of kind file: a whole file of configuration (a drop-in, modprobe.d, a mount unit) with commands after it.

Rows tell of a text by its length and digest; the diff has it in full.
"""

from __future__ import annotations

import hashlib
import os
import stat

from ansible_collections.inference.host.plugins.module_utils import atomic
from ansible_collections.inference.host.plugins.module_utils.tunable_kinds import values
from ansible_collections.inference.host.plugins.module_utils.tunables_host import TAKEN, TunablesError, WantedFile, row

_NOT_BELOW = ("/proc/", "/sys/", "/dev/", "/run/")


def check(setting):
    """Raise TunablesError for a path that is not that of a lasting file, or a text that no file can hold."""
    values.check_text(setting, value=False)
    path = setting.get("path")
    says = f"settings: {setting['name']}: path is {path!r}"
    if not path or atomic.plain(path) != path or path.startswith(_NOT_BELOW):
        raise TunablesError(f"{says}; it must be the absolute path of a file that outlasts a reboot")
    if "\0" in setting["value"]:
        raise TunablesError(f"settings: {setting['name']}: value has a NUL in it")
    if any(not argv for argv in setting.get("after") or []):
        raise TunablesError(f"settings: {setting['name']}: after has a command without words")


def target(setting):
    """Return the path."""
    return setting["path"]


def key(found):
    """Return what tells this row from others."""
    return found["path"]


def described(text):
    """Return a text in short, such as `3 lines, sha256 0123456789ab`."""
    if text is None:
        return "absent"
    lines = len(text.splitlines())
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return f"{lines} line{'' if lines == 1 else 's'}, sha256 {digest}"


def read(setting, host):
    """Return the row in a list."""
    path, wanted = setting["path"], described(setting["value"])
    setting = dict(setting, value=wanted)
    try:
        if os.path.lexists(host.place(path)) and not stat.S_ISREG(os.lstat(host.place(path)).st_mode):
            return [row(setting, path, "refused", detail=f"{path} is there and is not a regular file")]
        before = described(host.text(path))
    except OSError as error:
        return [row(setting, path, "refused", detail=f"reading: {atomic.words(error)}")]
    return [row(setting, path, "ok" if before == wanted else "changed", before, wanted)]


def write(found, _host):
    """Return the row as it is: the file is written with all others."""
    return found


def entry(_found):
    """Return None: the baseline keeps the file."""


def commands(setting, _host):
    """Return the commands to be run after a change."""
    return setting.get("after") or []


def wanted_files(pairs, _stem, host, _state):
    """Return the files."""
    return [
        WantedFile(setting["path"], setting["value"], commands(setting, host), setting.get("reboot"))
        for setting, found in pairs
        if found["status"] in TAKEN
    ]


def survives(setting, found, _stem, boot):
    """Return (what the file is, its path)."""
    return described(boot.text(setting["path"])), found["path"]
