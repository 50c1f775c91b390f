# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What could be changed so that P2P becomes possible, and what that costs. Nothing of it is done unasked."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.p2p import is_nvlink, redirecting_bridges

PASSTHROUGH = "nvidia_iommu_passthrough"
NO_REDIRECT = "nvidia_disable_acs_redirect"


def p2p_offers(pairs, topology):
    """Return [{"what", "wish", "cost"}] for pairs that are unsafe; [] where there is nothing to offer.

    what, cost: sentences. wish: the variable that turns it on, by a parameter of the kernel command line.
    pairs: of p2p_pairs, for the same topology.
    """
    unsafe = [pair for pair in pairs if pair["verdict"] == "unsafe" and not is_nvlink(pair)]
    offers = []
    if unsafe and (topology.get("iommu") or {}).get("translating"):
        offers.append({
            "what": "An IOMMU translates what GPUs send to each other; passed through, they reach each other as they "
                    "are.",
            "wish": PASSTHROUGH,
            "cost": "Devices of the host are then not kept from memory that is not theirs; takes a reboot.",
        })
    bridges = sorted({bridge for pair in unsafe for bridge in redirecting_bridges(topology, *pair["gpus"])})
    if bridges:
        offers.append({
            "what": "ACS sends what GPUs send to each other up to the root at %s; without it, it goes the short way." %
                    ", ".join(bridges),
            "wish": NO_REDIRECT,
            "cost": "Devices below these bridges are then not kept from each other, and may not be given to different "
                    "virtual machines; takes a reboot, and %s where an IOMMU translates." % PASSTHROUGH,
        })
    return offers
