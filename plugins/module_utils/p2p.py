# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether GPUs may copy into each other's memory without the RAM between: what speaks against it on this host.

A verdict of "trusted" is one of the tables alone; what copies arrive is only told by a copy that is compared.
"""

from __future__ import annotations

REDIRECTS = ("request_redirect", "completion_redirect")
"""ACS bits that send PCI traffic between devices up to the root, where an IOMMU may stop it (nccl #2079)."""


def p2p_verdict(topology, addresses):
    """Return (trusted, reason) for the GPUs of one instance.

    topology: as module `topology` returns it; addresses: PCI addresses of at least two GPUs. Trusted are pairs whose
    driver says OK, over NVLink, or over PCI where neither an IOMMU translates nor ACS redirects.
    """
    smi = (topology.get("nvidia") or {}).get("smi") or {}
    names = {card.get("address"): "GPU%s" % card.get("index") for card in smi.get("gpus") or []}
    pairs = [(names.get(one), names.get(other)) for one in addresses for other in addresses if one != other]
    words = [_word(smi.get("p2p_read"), pair) for pair in pairs]
    if not all(words):
        return False, "nvidia-smi does not tell whether its GPUs reach each other"
    wrong = sorted(set(words) - {"OK"})
    if wrong:
        return False, "nvidia-smi says %s for its GPUs" % ", ".join(wrong)
    if all((_word(smi.get("topology"), pair) or "").startswith("NV") for pair in pairs):
        return True, "its GPUs are linked by NVLink"
    iommu = topology.get("iommu") or {}
    if iommu.get("translating") is not False:
        return False, "an IOMMU translates between its GPUs" if iommu.get("translating") else (
            "whether an IOMMU translates between its GPUs is not known")
    redirecting = [bridge["address"] for bridge in iommu.get("acs") or [] if set(REDIRECTS) & set(bridge["enabled"])]
    if redirecting:
        return False, "ACS redirects at %s" % ", ".join(redirecting)
    return True, "nothing between its GPUs redirects or translates"


def _word(matrix, pair):
    return ((matrix or {}).get(pair[0]) or {}).get(pair[1])
