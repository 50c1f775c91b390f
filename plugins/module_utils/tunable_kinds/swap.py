# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings of kind swap: a swap file of so many MiB, without holes, for its owner only, in use and in /etc/fstab.

The value of a row is the size of the file that is in use, `off` where it is not in use, `absent` where there is none.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import struct

from ansible_collections.inference.host.plugins.module_utils import atomic, fstab
from ansible_collections.inference.host.plugins.module_utils.tunable_kinds.mount import FSTAB, MOUNTS
from ansible_collections.inference.host.plugins.module_utils.tunables_host import (
    TunablesError,
    WantedFile,
    remembered,
    row,
)

SWAPS = "/proc/swaps"
MIB = 1 << 20

_SIZE = re.compile(r"[1-9][0-9]{0,7}\Z")
_ALLOCATING = ("ext4", "xfs", "btrfs")
"""File systems on which swap works in space that was only allocated (swapon(8))."""
_REFUSING = ("tmpfs", "ramfs", "overlay", "zfs", "nfs", "nfs4", "squashfs", "fuse", "9p", "virtiofs", "vfat")
_GET_FLAGS, _SET_FLAGS, _NO_COPY_ON_WRITE = 0x80086601, 0x40086602, 0x00800000  # linux/fs.h
_SIGNATURE, _PAGE = b"SWAPSPACE2", os.sysconf("SC_PAGE_SIZE")


def check(setting):
    """Raise TunablesError for a path that is not that of a file, or a size that is none."""
    path, name = setting.get("path"), setting["name"]
    if not path or atomic.plain(path) != path or re.search(r"[\x00-\x1f]", path):
        raise TunablesError(f"settings: {name}: path is {path!r}; it must be the absolute path of the swap file")
    if path.startswith(("/proc/", "/sys/", "/dev/", "/run/")):
        raise TunablesError(f"settings: {name}: path is {path!r}; it must lie on a disk, as a file")
    if not _SIZE.match(setting["value"]):
        raise TunablesError(f"settings: {name}: value is {setting['value']!r}; it must be the size in MiB, 1 or more")


def target(setting):
    """Return what tells this setting from others."""
    return "swap " + setting["path"]


def key(found):
    """Return the name of the baseline's entry."""
    return "swap:" + found["path"]


def _in_use(host, path):
    """Tell whether the kernel swaps to the file."""
    lines = (host.text(SWAPS) or "").splitlines()
    names = (fstab.decoded(line.split()[0]) for line in lines[1:] if line.strip())
    return host.place(path) in names


def _value(host, path):
    """Return the value of a row as it is now."""
    size = _size(host, path)
    if size is None:
        return "absent"
    return str(size) if _in_use(host, path) else "off"


def _size(host, path):
    """Return the MiB of the file, None where there is none, -1 for what is no file."""
    try:
        now = os.lstat(host.place(path))
    except FileNotFoundError:
        return None
    return now.st_size // MIB if stat.S_ISREG(now.st_mode) else -1


def read(setting, host):
    """Return the row in a list."""
    path, wanted = setting["path"], setting["value"]
    if host.text(SWAPS) is None:
        return [row(setting, path, "not_applicable", detail="this kernel has no swap: /proc/swaps does not exist here")]
    before = _value(host, path)
    if before == wanted:
        return [row(setting, path, "ok", before, before)]
    refused = _why_not(host, path, _size(host, path), int(wanted))
    if refused:
        return [row(setting, path, "refused", before, before, refused)]
    return [row(setting, path, "changed", before, wanted)]


def _why_not(host, path, size, wanted):
    """Return why a swap file cannot be made at `path`, or None."""
    if size is not None and not _is_swap(host, path):
        return f"{path} is there and is not a swap file"
    folder = os.path.dirname(path)
    if not os.path.isdir(host.place(folder)):
        return f"the folder {folder} is missing"
    kind, point = fstab.file_system_of(host.text(MOUNTS) or "", host.place(path))
    if kind.startswith(_REFUSING):
        return f"{path} lies on {kind} ({point}), which does not hold swap files"
    if size == wanted:
        return None
    free = os.statvfs(host.place(folder))
    free_mib = free.f_bavail * free.f_frsize // MIB
    if free_mib <= wanted:
        beside = " beside the present one" if size else ""
        return f"{path} needs {wanted} MiB{beside}, and {free_mib} MiB are free"
    return None


def _is_swap(host, path):
    """Tell whether the file has the mark of a swap file at the end of its first page."""
    try:
        with open(host.place(path), "rb") as stream:
            return stream.read(_PAGE)[-len(_SIGNATURE) :] == _SIGNATURE
    except OSError:
        return False


def write(found, host):
    """Make the swap file and use it; a file of another size is made anew beside it. Returns the row."""
    path, wanted = found["path"], int(found["wanted"])
    failed = None
    try:
        if _size(host, path) != wanted:
            failed = _replace(host, path, wanted)
    except OSError as error:
        failed = f"{path} cannot be made: {atomic.words(error)}"
    failed = failed or host.run(["swapon", host.place(path)])
    if failed and found["before"] == "absent":
        with contextlib.suppress(FileNotFoundError):
            os.unlink(host.place(path))  # nobody can use it
    after = _value(host, path)
    if failed and host.is_container():
        return dict(found, status="not_applicable", after=after, detail=f"container: {failed}")
    if failed:
        return dict(found, status="refused", after=after, detail=failed)
    if after != found["wanted"]:
        return dict(found, status="partial", after=after, detail=f"{after} MiB are in use after {wanted} were made")
    return dict(found, after=after)


def _replace(host, path, mib):
    """Put a new swap file of so many MiB in the place of the old one; return what went wrong in words, or None."""
    target, staged = host.place(path), atomic.beside(host.place(path), atomic.NEW)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(staged)  # of a killed run
    try:
        kind, _point = fstab.file_system_of(host.text(MOUNTS) or "", target)
        _make(staged, mib, kind)
        failed = host.run(["mkswap", staged])
        if not failed and _in_use(host, path):
            failed = host.run(["swapoff", target])
        if not failed:
            os.replace(staged, target)
        return failed
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(staged)


def _make(path, mib, kind):
    """Make a file of so many MiB without holes. On btrfs it must be free of copies and compression while empty."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if kind == "btrfs":
            flags, rest = struct.unpack("ii", fcntl.ioctl(handle, _GET_FLAGS, bytes(8)))  # the kernel writes an int
            fcntl.ioctl(handle, _SET_FLAGS, struct.pack("ii", flags | _NO_COPY_ON_WRITE, rest))
        if kind in _ALLOCATING:
            os.posix_fallocate(handle, 0, mib * MIB)
        else:
            zeros = bytes(MIB)
            for _block in range(mib):
                os.write(handle, zeros)
        os.fsync(handle)
    finally:
        os.close(handle)


def entry(found):
    """Return what the baseline keeps of a row."""
    return remembered(found, found["wanted"])


def commands(_setting, _host):
    """Return the commands that belong to a change of fstab: none."""
    return []


def wanted_files(pairs, _stem, _host, _state):
    """Return fstab with a line for each swap file that is in use."""
    return [
        WantedFile(FSTAB, lambda text, path=setting["path"]: fstab.with_swap(text or "", path), [])
        for setting, found in pairs
        if found["status"] in ("ok", "changed")
    ]


def take_back(kept, path, text, first):
    """Return fstab without the line of a swap file that was not in its first-seen text."""
    if path != FSTAB or fstab.has_swap(first or "", kept["path"]):
        return text
    return fstab.without_swap(text, kept["path"])


def survives(_setting, found, _stem, boot):
    """Return (value at the next boot or None, fstab)."""
    text = boot.text(FSTAB)
    if fstab.has_swap(text or "", found["path"]):
        return found["after"], FSTAB
    return None, None


def undo(kept, host):
    """Return the row that puts the first-seen size back; a file that was not there is removed."""
    setting = {"name": kept["name"], "kind": kept["kind"], "value": kept["before"], "reason": "as first seen"}
    before = _value(host, kept["path"])
    return row(setting, kept["path"], "ok" if before == kept["before"] else "changed", before, kept["before"])


def restore(kept, found, host):
    """Carry out what `undo` returned; return the row."""
    path = kept["path"]
    if _SIZE.match(kept["before"]):
        return write(found, host)
    failed = host.run(["swapoff", host.place(path)]) if _in_use(host, path) else None
    if failed:
        return dict(found, status="refused", after=found["before"], detail=failed)
    if kept["before"] == "absent":
        try:
            os.unlink(host.place(path))
        except OSError as error:
            says = f"{path} cannot be removed: {atomic.words(error)}"
            return dict(found, status="refused", after=_value(host, path), detail=says)
    return dict(found, after=_value(host, path))
