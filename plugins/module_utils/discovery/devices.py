# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which groups of character devices the kernel has drivers for: what a unit's device allow-list is made of."""

from __future__ import annotations

import os

DEVICES = "proc/devices"
HEADING = "Character devices:"


def read_device_groups(tree):
    """Return the sorted names in the first part of `/proc/devices`, or None with a note."""
    text = tree.read(DEVICES)
    if text is None:
        return tree.missing("device_groups", DEVICES)
    names, reading = set(), False
    for line in text.splitlines():
        if line.endswith(":"):
            reading = line == HEADING
        elif reading and len(line.split()) == 2:
            names.add(line.split()[1])
    if not names:
        tree.note("device_groups", "Not known: /proc/devices lists no character devices.")
    return sorted(names) or None


def look_for(tree, paths):
    """Return {path: whether a file is there} for absolute paths; links are followed."""
    return {path: os.path.isfile(tree.at(path)) for path in paths}
