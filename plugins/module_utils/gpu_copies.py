# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps what copies between GPUs came to in a file that the next reading of the host finds."""

from __future__ import annotations

import os

from ansible_collections.inference.host.plugins.module_utils.atomic import write
from ansible_collections.inference.host.plugins.module_utils.discovery import copies, pci
from ansible_collections.inference.host.plugins.module_utils.discovery.nvidia_driver import read_driver

MIB = 1 << 20


def refresh_copies(tree, compare, again=False, check_mode=False):
    """Make the copies that are not known yet and keep them; return {"changed", "copies", "skipped"}.

    tree: sysfs.Tree. compare: a function of PCI addresses that returns what compare_copies does. again: make them also
    where they are known. skipped: why none were made now, or None. What was found before under the same driver, GPUs
    and IOMMU mode stays where a card was busy now.
    """
    gpus = pci.read_gpus(tree, [])
    driver = read_driver(tree)["driver_version"]
    now = copies.conditions(driver, gpus, pci.read_iommu(tree, gpus))
    kept = copies.read_copies(tree, now)
    why = _why_not(now, kept, again, check_mode)
    made = []
    if why is None:
        made, why = compare(now["gpus"])
    if not made:
        return {"changed": False, "copies": kept, "skipped": why}
    before = {(copy["from"], copy["to"]): copy for copy in kept}
    results = [copy if is_known(copy) else before.get((copy["from"], copy["to"]), copy) for copy in made]
    return {"changed": _keep(tree, copies.as_text(now, results)), "copies": results, "skipped": None}


def is_known(copy):
    """Tell whether a result says something of the cards: that CUDA gives no access does, that one was busy does not."""
    return copy["ok"] is not None or copy["access"] is False


def _why_not(now, kept, again, check_mode):
    if now["driver_version"] is None:
        return "the NVIDIA driver is not loaded"
    if len(now["gpus"]) < 2:
        return "fewer than two NVIDIA GPUs"
    wanted = len(now["gpus"]) * (len(now["gpus"]) - 1)
    if not again and sum(map(is_known, kept)) == wanted:
        return "they are known for this driver, these GPUs and this IOMMU mode"
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
