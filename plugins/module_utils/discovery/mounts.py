# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The mount table, and the room on the local file systems."""

from __future__ import annotations

import os
import re

from ansible_collections.inference.host.plugins.module_utils.sysfs import LARGE

MOUNTINFO = "proc/self/mountinfo"
MOUNTS = "proc/mounts"

# Only these are asked for their room: a dead NFS or FUSE server would hang the whole reading.
_LOCAL_TYPES = frozenset("bcachefs btrfs erofs exfat ext2 ext3 ext4 f2fs jfs overlay tmpfs vfat xfs zfs".split())
# Container managers cover the kernel's own files with empty tmpfs: no place for a model.
_KERNEL_FILES = re.compile(r"/(proc|sys)(/|\Z)")

_OCTAL = re.compile(r"\\([0-7]{3})")
_MIB = 1024 * 1024


def read_mounts(tree):
    """Return the mounts: [{"mount", "root", "number", "type", "source", "options"}], in the table's order.

    `/proc/self/mountinfo` is asked first: it alone has the device number ("8:1") and which directory of the file
    system is mounted ("root"); both are None where only /proc/mounts is there. Options are a set of words.
    """
    mounts = _parse_table(tree, MOUNTINFO, _parse_mountinfo)
    if mounts:
        return mounts
    mounts = _parse_table(tree, MOUNTS, _parse_mounts)
    if mounts:
        tree.note("block_devices.mounts", f"May be more: {tree.why(MOUNTINFO)}, and /{MOUNTS} has no device numbers.")
    else:
        for key in ("block_devices.mounts", "filesystems", "platform.cgroup"):
            tree.missing(key, MOUNTINFO, MOUNTS)
    return mounts


def _parse_table(tree, path, parse):
    return [mount for mount in map(parse, (tree.read(path, LARGE) or "").splitlines()) if mount]


def _parse_mountinfo(line):
    """`36 35 98:0 /root /mnt rw,noatime shared:1 - ext3 /dev/sda1 rw`; the field before the dash may be repeated."""
    before, dash, after = line.partition(" - ")
    left, right = before.split(" "), after.split(" ")
    if not dash or len(left) < 6 or len(right) < 3:
        return None
    return {
        "mount": _plain(left[4]),
        "root": _plain(left[3]),
        "number": left[2],
        "type": right[0],
        "source": _plain(right[1]),
        "options": set(left[5].split(",")) | set(right[2].split(",")),
    }


def _parse_mounts(line):
    words = line.split(" ")
    if len(words) < 4:
        return None
    return {
        "mount": _plain(words[1]),
        "root": None,
        "number": None,
        "type": words[2],
        "source": _plain(words[0]),
        "options": set(words[3].split(",")),
    }


def _plain(field):
    r"""Undo the kernel's escapes: a blank in a mount point is written \040."""
    return _OCTAL.sub(lambda match: chr(int(match.group(1), 8)), field)


def read_filesystems(tree, mounts):
    """Return the room on local file systems: [{"mount", "type", "device", "size_mib", "free_mib"}], by mount point.

    Only on the live machine, since a recorded tree has no file systems to ask. The last mount at a point counts.
    Free is what a process without privileges may use.
    """
    if not tree.live:
        tree.note("filesystems", "Only known on the live machine, not in a recorded tree.")
        return []
    found = {}
    for mount in mounts:
        found.pop(mount["mount"], None)
        if mount["type"] in _LOCAL_TYPES and not _KERNEL_FILES.match(mount["mount"]):
            room = _room(tree, mount["mount"])
            if room:
                found[mount["mount"]] = dict(room, mount=mount["mount"], type=mount["type"], device=mount["source"])
    return [found[point] for point in sorted(found)]


def _room(tree, point):
    try:
        if not os.path.isdir(point):  # single files are mounted into containers
            return None
        figures = os.statvfs(point)
    except (OSError, ValueError) as error:
        tree.note("filesystems." + point, f"Not known: {error}.")
        return None
    return {
        "size_mib": figures.f_blocks * figures.f_frsize // _MIB,
        "free_mib": figures.f_bavail * figures.f_frsize // _MIB,
    }
