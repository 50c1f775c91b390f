# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps what copies between GPUs came to in a file that the next reading of the host finds."""

from __future__ import annotations

import itertools
import os

from ansible_collections.inference.host.plugins.module_utils.atomic import write
from ansible_collections.inference.host.plugins.module_utils.discovery import copies, pci
from ansible_collections.inference.host.plugins.module_utils.discovery.nvidia_driver import read_driver

MIB = 1 << 20


def refresh_copies(tree, compare, again=False, check_mode=False):
    """Make the copies that are not known yet and keep them; return {"changed", "copies", "skipped"}.

    tree: sysfs.Tree. compare: a function of directions (see ways_between) that returns what compare_copies does.
    again: make them also where they are known. skipped: why none were made now, or None. Known is a direction in which
    something was copied, or failed to be, under the same conditions; that stays where a card is busy now. That CUDA
    gives no access is asked anew, which takes no context of a card: MIG mode or a new bridge of NVLink changes it.
    """
    gpus = pci.read_gpus(tree, [])
    now = copies.conditions(read_driver(tree), gpus, pci.read_iommu(tree, gpus))
    kept = copies.read_copies(tree, now)
    known = {(copy["from"], copy["to"]): copy for copy in kept if copy["ok"] is not None}
    ways = [way for way in ways_between(now["gpus"]) if again or way not in known]
    why = _why_not(now, ways, check_mode)
    made = []
    if why is None:
        made, why = compare(ways)
    if not made:
        return {"changed": False, "copies": kept, "skipped": why}
    found = {(copy["from"], copy["to"]): copy for copy in made
             if (copy["from"], copy["to"]) not in known or copy["ok"] is not None or copy["access"] is False}
    results = [found.get(way) or known[way] for way in ways_between(now["gpus"])]
    return {"changed": _keep(tree, copies.as_text(now, results)), "copies": results, "skipped": None}


def ways_between(addresses):
    """Return both directions of each pair."""
    return [way for pair in itertools.combinations(addresses, 2) for way in (pair, pair[::-1])]


def _why_not(now, ways, check_mode):
    if now["driver_version"] is None:
        return "the NVIDIA driver is not loaded"
    if len(now["gpus"]) < 2:
        return "fewer than two NVIDIA GPUs"
    if not ways:
        return "they are known, and nothing between the GPUs has changed"
    return "check mode: no copy is made" if check_mode else None


def _keep(tree, text):
    """Write the file where its text is another one; return whether it was."""
    path = tree.at(copies.FILE)
    try:
        with open(path, encoding="utf-8") as stream:
            if stream.read() == text:
                return False
    except (OSError, ValueError):
        pass
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    write(path, text.encode())
    return True
