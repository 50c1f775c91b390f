# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What could be changed so that copies between GPUs become possible, proven or forbidden, and what that costs.

Nothing of it is done unasked.
"""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.p2p import is_nvlink, redirecting_bridges

PASSTHROUGH = "nvidia_iommu_passthrough"
NO_REDIRECT = "nvidia_disable_acs_redirect"
OPTIONS = "nvidia_module_options"
NO_P2P = "{NVreg_RegistryDwords: ForceP2P=0x0}"
"""Forbids reading and writing over PCI (nvrm_registry.h); nvidia-smi then says DR. NVLink is not asked about it."""
COPIES = "topology_gpu_copy_check"


def p2p_offers(pairs, topology):
    """Return [{"what", "wish", "value", "cost"}] for pairs that are unsafe or unproven; [] where all is well.

    what, cost: sentences. wish: the variable that does it, by a parameter of the kernel command line, a file of
    modprobe.d or copies; value: what to set it to. pairs: of p2p_pairs, for the same topology.
    """
    unsafe = [pair for pair in pairs if pair["verdict"] == "unsafe" and not is_nvlink(pair)]
    offers = []
    if any(pair["verdict"] == "reported_only" for pair in pairs) and not (topology.get("nvidia") or {}).get("copies"):
        offers.append({
            "what": "The driver says that GPUs reach each other, and no copy was compared.",
            "wish": COPIES,
            "value": "true",
            "cost": "Takes 16 MiB and a CUDA context on each card for a moment.",
        })
    if unsafe and (topology.get("iommu") or {}).get("translating"):
        offers.append({
            "what": "An IOMMU translates what GPUs send to each other; passed through, they reach each other as they "
                    "are.",
            "wish": PASSTHROUGH,
            "value": "true",
            "cost": "Devices of the host are then not kept from memory that is not theirs; takes a reboot.",
        })
    bridges = sorted({bridge for pair in unsafe for bridge in redirecting_bridges(topology, *pair["gpus"])})
    if bridges:
        offers.append({
            "what": "ACS sends what GPUs send to each other up to the root at %s; without it, it goes the short way." %
                    ", ".join(bridges),
            "wish": NO_REDIRECT,
            "value": "true",
            "cost": "Devices below these bridges are then not kept from each other, and may not be given to different "
                    "virtual machines; takes a reboot, and %s where an IOMMU translates." % PASSTHROUGH,
        })
    if unsafe:
        offers.append({
            "what": "To programs that are not planned here the driver still says that these GPUs reach each other.",
            "wish": OPTIONS,
            "value": NO_P2P,
            "cost": "No program then copies over PCI between any GPUs of the host, and other NVreg_RegistryDwords must "
                    "be named with it; takes a reboot.",
        })
    return offers
