# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is said of NVIDIA cards."""

from __future__ import annotations

PCI_VENDOR = "0x10de"


def nvidia_report(topology):
    """Return one sentence for each NVIDIA card, or why there is nothing to report."""
    cards = [gpu for gpu in topology["gpus"] if gpu["vendor"] == PCI_VENDOR]
    if not cards:
        return ["not applicable: no NVIDIA card on PCI"]
    return ["%s: NUMA node %s, driver %s" % (
        card["address"],
        "unknown" if card["numa_node"] is None else card["numa_node"],
        card.get("driver") or "none",
    ) for card in cards]
