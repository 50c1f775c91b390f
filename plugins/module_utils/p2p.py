# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether GPUs may copy into each other's memory without the RAM between: one verdict a pair, with what it rests on.

works: copies in both directions were compared byte for byte, and nothing speaks against it. reported_only: the driver
says so, and nothing speaks against it. unsafe: the driver says so, and something does; PCI transfers that an IOMMU
translates can lose data silently. absent: the driver says no, or says nothing.
"""

from __future__ import annotations

import itertools

from ansible_collections.inference.host.plugins.module_utils.discovery.pci import REDIRECTS
from ansible_collections.inference.host.plugins.module_utils.gpus import usable_gpus
from ansible_collections.inference.host.plugins.module_utils.p2p_options import forced_p2p, options_beside

VERDICTS = ("works", "reported_only", "unsafe", "absent")
"""From the best to the worst: a group of GPUs is as bad as its worst pair."""
TRUSTED = ("works", "reported_only")
LLAMA_SWITCH = "GGML_CUDA_P2P"
NCCL_SWITCH = "NCCL_P2P_DISABLE"

# What `nvidia-smi topo` says of a pair, in words.
PATHS = {"PIX": "same PCIe switch", "PXB": "several PCIe switches", "PHB": "same root", "NODE": "same node, two roots",
         "SYS": "across sockets"}
REFUSALS = {"CNS": "chipset not supported", "GNS": "GPU not supported", "TNS": "topology not supported",
            "NS": "not supported", "DR": "disabled by a module option", "U": "unknown"}
PREFIXES = {"works": "used", "reported_only": "not forbidden", "unsafe": "not used", "absent": "not used"}
MOST_REASONS = 3
"""So many different reasons of a group's pairs are told."""


def p2p_pairs(topology, copies=None):
    """Return one dict for each pair of usable GPUs, in PCI order.

    {"gpus": [address, address], "link": word of `nvidia-smi topo -m` or None, "path": the same in words, "driver_says":
    "OK", the words that are not, or None, "verdict": see VERDICTS, "reason": why, without a full stop}.
    topology: as module `topology` returns it. copies: results of module `gpu_copy`, else those that the topology has.
    """
    if not topology.get("gpus"):
        return []
    facts = _Facts(topology, copies)
    cards = [card["address"] for card in usable_gpus(topology)]
    return [facts.pair(one, other) for one, other in itertools.combinations(cards, 2)]


def pairs_of(pairs, addresses):
    """Return those of the pairs that lie between these GPUs."""
    return [pair for pair in pairs if set(pair["gpus"]) <= set(addresses)]


def p2p_verdict(pairs, addresses):
    """Return (verdict, reason) for the GPUs of one instance, at least two: those of their worst pairs."""
    between = pairs_of(pairs, addresses)
    verdict = max((pair["verdict"] for pair in between), key=VERDICTS.index)
    reasons = list(dict.fromkeys(pair["reason"] for pair in between if pair["verdict"] == verdict))
    more = len(reasons) - MOST_REASONS
    told = "; ".join(reasons[:MOST_REASONS]) + ("; and %d more" % more if more > 0 else "")
    return verdict, "%s: %s" % (PREFIXES[verdict], told)


def p2p_warnings(service, name, verdict):
    """Return sentences on what the user wrote in an instance's environment that P2P does not bear.

    llama.cpp only asks whether GGML_CUDA_P2P is there: 0, or nothing, turns it on as well. Its server may run under any
    runtime, by a command or in a container.
    """
    value = service["environment"].get(LLAMA_SWITCH)
    if value is not None and value.strip().lower() in ("", "0", "off", "no", "false"):
        return ["%s: environment.%s is '%s', which turns P2P on: llama.cpp only asks whether the variable is there; "
                "leave it out." % (name, LLAMA_SWITCH, value)]
    switch = switched_on(service["environment"])
    if switch is None or verdict in (None, "works") or (switch == NCCL_SWITCH and verdict in TRUSTED):
        return []
    return ["%s: environment.%s was set by the user, and the verdict on its GPUs is %s: answers may be wrong; "
            "reasons.p2p says why." % (name, switch, verdict)]


def switched_on(environment):
    """Return the variable by which programs use P2P whatever the plan says, or None. Only 1 keeps NCCL from it."""
    if LLAMA_SWITCH in environment:
        return LLAMA_SWITCH
    return NCCL_SWITCH if environment.get(NCCL_SWITCH, "1").strip() != "1" else None


def redirecting_bridges(topology, one, other):
    """Return the bridges between two GPUs (addresses) that ACS has redirect; of a topology that does not tell which
    bridges are above which GPU, all that do."""
    above = {gpu["address"]: gpu.get("bridges") for gpu in topology.get("gpus") or []}
    way = None
    if above.get(one) is not None and above.get(other) is not None:
        # Traffic turns at the first bridge that is above both.
        way = set(above[one]) ^ set(above[other])
    return [bridge["address"] for bridge in (topology.get("iommu") or {}).get("acs") or []
            if REDIRECTS & set(bridge["enabled"]) and (way is None or bridge["address"] in way)]


def is_nvlink(pair):
    """Tell whether two GPUs are joined by NVLink. pair: with "link"."""
    return (pair["link"] or "").startswith("NV")


class _Facts:
    """What the verdicts rest on."""

    def __init__(self, topology, copies):
        nvidia = topology.get("nvidia") or {}
        smi = nvidia.get("smi") or {}
        self.topology = topology
        self.cards = {gpu["address"]: gpu for gpu in topology["gpus"]}
        self.names = {card.get("address"): "GPU%s" % card.get("index") for card in smi.get("gpus") or []}
        self.mig = {card.get("address") for card in smi.get("gpus") or [] if card.get("mig")}
        self.links, self.reads, self.writes = (
            smi.get(key) or {} for key in ("topology", "p2p_read", "p2p_write"))
        self.forced = forced_p2p(nvidia.get("params"))
        self.beside = options_beside(nvidia.get("params"))
        told = nvidia.get("copies") if copies is None else copies
        self.copies = {(copy["from"], copy["to"]): copy for copy in told or []}
        self.acs_unread = "iommu.acs" in (topology.get("notes") or {})

    def pair(self, one, other):
        link = self._word(self.links, one, other) or self._word(self.links, other, one)
        pair = {"gpus": [one, other], "link": link}
        pair.update(path=self._path(pair), driver_says=self._driver_says(one, other))
        pair["verdict"], pair["reason"] = self._verdict(pair)
        return pair

    def _word(self, matrix, one, other):
        return (matrix.get(self.names.get(one)) or {}).get(self.names.get(other))

    def _path(self, pair):
        if is_nvlink(pair):
            return "NVLink"
        if pair["link"] in PATHS:
            return PATHS[pair["link"]]
        cards = [self.cards[address] for address in pair["gpus"]]
        if set(cards[0].get("bridges") or []) & set(cards[1].get("bridges") or []):
            return PATHS["PIX"]
        nodes = {card.get("numa_node") for card in cards}
        if None in nodes:
            return "not known"
        return "same node" if len(nodes) == 1 else PATHS["SYS"]

    def _driver_says(self, one, other):
        """Reading in both directions has to be told; of writing not every version of the tool tells."""
        reads = [self._word(self.reads, *way) for way in ((one, other), (other, one))]
        if not all(reads):
            return None
        writes = [self._word(self.writes, *way) for way in ((one, other), (other, one))]
        wrong = sorted(set(reads + [word for word in writes if word]) - {"OK"})
        return ", ".join(wrong) or "OK"

    def _verdict(self, pair):
        one, other = pair["gpus"]
        refusal = self._refusal(pair)
        if refusal:
            return "absent", refusal
        copies = [self.copies.get(way) or {} for way in ((one, other), (other, one))]
        failed = [copy for copy in copies if copy.get("ok") is False]
        if failed:
            return "unsafe", "a copy from %s to %s failed: %s" % (
                failed[0]["from"], failed[0]["to"], failed[0].get("reason") or "no reason is known")
        proven = all(copy.get("ok") for copy in copies)
        against = [] if is_nvlink(pair) else self._against(one, other)
        if against:
            return "unsafe", " and ".join(against) + (
                "; that copies arrived does not rule out that data is lost" if proven else "")
        forced = "" if is_nvlink(pair) else self.forced
        if proven:
            return "works", "%s; copies of %d bytes arrived in both directions%s" % (
                self._way(pair), min(copy.get("bytes") or 0 for copy in copies),
                ", though P2P is forced by %s" % forced if forced else "")
        if forced:
            return "unsafe", "P2P is forced by %s, and no copy has shown that it works" % forced
        why = next((copy["reason"] for copy in copies if copy.get("reason")), "")
        return "reported_only", "%s; no copy was compared%s" % (self._way(pair), " (%s)" % why if why else "")

    def _refusal(self, pair):
        """Why the two do not reach each other, or None."""
        split = [address for address in pair["gpus"] if address in self.mig]
        if split:
            return "MIG is on for %s, and parts of a card have no peers" % " and ".join(split)
        if pair["driver_says"] is None:
            return "nvidia-smi does not tell whether they reach each other"
        if pair["driver_says"] != "OK":
            words = pair["driver_says"].split(", ")
            return "nvidia-smi says " + ", ".join(
                "%s (%s)" % (word, REFUSALS[word]) if word in REFUSALS else word for word in words)
        ways = [tuple(pair["gpus"]), tuple(reversed(pair["gpus"]))]
        if any((self.copies.get(way) or {}).get("access") is False for way in ways):
            return "nvidia-smi says OK, and CUDA gives no access"
        return None

    def _against(self, one, other):
        translating = (self.topology.get("iommu") or {}).get("translating")
        found = []
        if (self.topology.get("platform") or {}).get("kind") == "vm" and not translating:
            # A guest does not see it, and has no card without it.
            found.append("the IOMMU outside this virtual machine translates between them")
        elif translating is not False:
            found.append("an IOMMU translates between them" if translating else
                         "whether an IOMMU translates between them is not known")
        redirecting = redirecting_bridges(self.topology, one, other)
        return found + (["ACS redirects at %s" % ", ".join(redirecting)] if redirecting else [])

    def _way(self, pair):
        if is_nvlink(pair):
            return "linked by NVLink"
        unread = " (not all ACS bits could be read)" if self.acs_unread else ""
        return "nothing between them redirects or translates%s%s" % (
            unread, "; module options in force: %s" % self.beside if self.beside else "")
