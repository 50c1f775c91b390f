# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whole disks: scheduler, queue, place and what is mounted from them."""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils.sysfs import natural

BLOCK_DIR = "sys/block"

_KINDS = (("nvme", r"nvme[0-9]+n[0-9]+\Z"), ("scsi", r"sd[a-z]+\Z"), ("virtio", r"vd[a-z]+\Z"))
# Optical and floppy drives, and what the kernel makes of memory, files, the network or other disks.
_NOT_A_DISK = re.compile(r"(sr|fd|loop|ram|zram|nbd|rbd|drbd|dm-|md|zd)[0-9]")
_DEVICE_NUMBER = re.compile(r"[0-9]{1,10}:[0-9]{1,10}\Z")
_MAX_DEPTH = 8


def read_block_devices(tree, mounts):
    """Return the whole disks: [{"name", "kind", "scheduler", "schedulers", "nr_requests", "read_ahead_kib", ...}].

    Disks without media (size 0), the hidden paths of multipath NVMe and devices without hardware are left out;
    a multipath NVMe head is the disk, though the kernel keeps it with the virtual ones. "size_mib" is rounded
    down. "mounts" has the mount points of the disk, its partitions and the volumes (LVM, RAID, encryption) on them.
    "numa_node" is None with a note where the kernel says -1.
    """
    if not tree.exists(BLOCK_DIR):
        tree.note("block_devices", f"Not known: the kernel shows no /{BLOCK_DIR}.")
    disks = [name for name in sorted(tree.names(BLOCK_DIR), key=natural) if _is_disk(tree, name)]
    return [_read_disk(tree, name, mounts) for name in disks]


def _kind(name):
    return next((kind for kind, pattern in _KINDS if re.match(pattern, name)), "other")


def _is_disk(tree, name):
    folder = f"{BLOCK_DIR}/{name}"
    if _NOT_A_DISK.match(name) or tree.read_int(folder + "/hidden"):
        return False
    place = tree.real(folder)
    if place is None:
        tree.missing("block_devices." + name, folder)
        return False
    if _kind(name) != "nvme" and place.startswith("sys/devices/virtual/"):
        return False
    size = tree.read_int(folder + "/size")
    if size is None:
        tree.missing("block_devices." + name, folder + "/size")
    return bool(size)


def _read_disk(tree, name, mounts):
    folder = f"{BLOCK_DIR}/{name}"
    key = f"block_devices.{name}."
    scheduler, schedulers = tree.read_choice(folder + "/queue/scheduler")
    rotational = tree.read_int(folder + "/queue/rotational")
    disk = {
        "name": name,
        "kind": _kind(name),
        "scheduler": scheduler,
        "schedulers": schedulers,
        "nr_requests": tree.read_int(folder + "/queue/nr_requests"),
        "read_ahead_kib": tree.read_int(folder + "/queue/read_ahead_kb"),
        "rotational": None if rotational is None else bool(rotational),
        "size_mib": tree.read_int(folder + "/size") // 2048,  # always in sectors of 512 bytes
        "numa_node": _numa_node(tree, folder, key),
        "mounts": _mount_points(tree, name, mounts, key + "mounts"),
        "model": tree.read(folder + "/device/model") or None,
    }
    for item, path in (
        ("scheduler", "queue/scheduler"),
        ("nr_requests", "queue/nr_requests"),
        ("model", "device/model"),
        ("read_ahead_kib", "queue/read_ahead_kb"),
        ("rotational", "queue/rotational"),
    ):
        if disk[item] is None:
            tree.missing(key + item, f"{folder}/{path}")
    if not schedulers:
        tree.missing(key + "schedulers", folder + "/queue/scheduler")
    return disk


def _numa_node(tree, folder, key):
    """Return the node of the nearest device above the disk that has one; for NVMe multipath, of its controllers."""
    for place in [tree.real(folder) or ""] + _controllers(tree, folder):
        parts = place.split("/")
        for count in range(len(parts), 2, -1):
            path = "/".join(parts[:count]) + "/numa_node"
            if tree.exists(path):
                node = tree.read_int(path)
                if node is None:
                    return tree.missing(key + "numa_node", path)
                if node >= 0:
                    return node
                tree.note(key + "numa_node", f"The firmware does not tell the node of this disk (/{path}).")
                return None
    tree.note(key + "numa_node", "No device above this disk tells a NUMA node.")
    return None


def _controllers(tree, folder):
    """Return where the controllers of a multipath NVMe disk are; it is in all their subsystem's reach."""
    subsystem = folder + "/device"
    places = [tree.real(f"{subsystem}/{name}") for name in tree.names(subsystem, r"nvme[0-9]{1,5}")]
    return [place for place in places if place]


def _mount_points(tree, name, mounts, key):
    """Return where the disk and all that is on it are mounted; mounts name them by number or by file."""
    volumes, numbers, sources = {}, set(), set()
    _collect(tree, name, f"{BLOCK_DIR}/{name}", volumes, _MAX_DEPTH)
    for volume, folder in volumes.items():
        sources.add("/dev/" + volume)
        number = tree.read(folder + "/dev")
        if _DEVICE_NUMBER.match(number or ""):
            numbers.add(number)
        else:
            tree.note(key, f"May be more: {tree.why(folder + '/dev')}.")
        if volume.startswith("dm-"):
            mapped = tree.read_text(folder + "/dm/name")
            if mapped:
                sources.add("/dev/mapper/" + mapped)
            else:
                tree.note(key, f"May be more: {tree.why(folder + '/dm/name')}.")
    return sorted({mount["mount"] for mount in mounts if mount["number"] in numbers or mount["source"] in sources})


def _collect(tree, name, folder, volumes, depth):
    """Add {name: folder} of a disk, its partitions and the holders of either (LVM, RAID, encryption)."""
    if depth == 0 or name in volumes:
        return
    volumes[name] = folder
    for part in tree.names(folder, re.escape(name) + r"p?[0-9]{1,4}"):
        _collect(tree, part, f"{folder}/{part}", volumes, depth - 1)
    for holder in tree.names(folder + "/holders"):
        _collect(tree, holder, f"{BLOCK_DIR}/{holder}", volumes, depth - 1)
