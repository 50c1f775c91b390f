# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Warnings of the plan about NVIDIA cards: wishes that come to nothing, and cards that instances cannot use."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.nvidia import cards_of, nvidia_gpus
from ansible_collections.inference.host.plugins.module_utils.settings_nvidia import PERSISTENCE, UNIT_FILE, WISHES


def nvidia_warnings(topology, wishes, settings, instances):
    """Return sentences. wishes: what the user set. settings, instances: of the plan."""
    cards = cards_of(topology)
    if not cards:
        asked = [name for name in WISHES if wishes.get(name)]
        return ["%s is set, and no NVIDIA card of the host is on PCI." % name for name in asked]
    rows = {row["path"]: row for row in settings if row["role"] == "nvidia"}
    problem = (topology.get("nvidia") or {}).get("problem")
    warnings = [problem] if problem and any(instance["gpus"] for instance in instances) else []
    if applies(rows, UNIT_FILE) and not applies(rows, PERSISTENCE):
        warnings.append("Without the persistence daemon the driver forgets clocks and power limits when the last "
                        "program leaves a card: install nvidia-persistenced, and leave nvidia_persistence at null.")
    return warnings + mig_warnings(topology, wishes, instances)


def applies(rows, path):
    return bool((rows.get(path) or {}).get("applies"))


def mig_warnings(topology, wishes, instances):
    """A card in MIG mode has no memory of its own to give: programs use the parts that it was divided into."""
    used = {address: instance["name"] for instance in instances for address in instance["gpus"]
            if not instance["environment"].get("CUDA_VISIBLE_DEVICES", "").startswith("MIG-")}
    divided = [gpu["address"] for gpu in nvidia_gpus(topology) if (gpu.get("nvidia") or {}).get("mig")]
    if wishes.get("nvidia_mig") is not None:
        divided = [gpu["address"] for gpu in cards_of(topology)] if wishes["nvidia_mig"] else []
    return ["%s has GPU %s, which is in MIG mode, or is to be: the plan knows whole cards only; set nvidia_mig: false, "
            "or name one of its parts in environment.CUDA_VISIBLE_DEVICES." % (used[address], address)
            for address in divided if address in used]
