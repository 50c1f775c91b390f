# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What role `nvidia` says of the cards of a host, and what it offers."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.nvidia import nvidia_gpus, on_or_off, versions_disagree
from ansible_collections.inference.host.plugins.module_utils.nvidia_xid import xid_words
from ansible_collections.inference.host.plugins.module_utils.p2p import p2p_pairs
from ansible_collections.inference.host.plugins.module_utils.p2p_offers import p2p_offers

NO_CARD = "not applicable: no NVIDIA card on PCI"


def nvidia_report(topology):
    """Return sentences: the driver's state, one a card, errors of cards in the kernel log, offers; or why there is
    nothing to report. topology: as module `topology` returns it, also one that an older release has recorded."""
    cards = nvidia_gpus(topology)
    if not cards:
        return [NO_CARD]
    state = topology.get("nvidia") or {}
    lines = driver_lines(topology, state) + [card_line(card) for card in cards]
    lines += ["%s: %s" % (error["address"], xid_words(error)) for error in state.get("xid") or []]
    return lines + ["{what} {wish}: {value} would change that. {cost}".format(**offer)
                    for offer in p2p_offers(p2p_pairs(topology), topology)]


def driver_lines(topology, state):
    """The problem that a person must act on is said first."""
    lines = ["to be done: " + state["problem"]] if state.get("problem") else []
    version = state.get("driver_version")
    if version is None:
        return lines + ["the NVIDIA driver is not loaded"]
    module = {True: "open module", False: "closed module"}.get(state.get("open_module"), "module")
    said = "driver: %s %s" % (module, version)
    if state.get("library_version"):
        said += ", and its library is %s: they must agree" % state["library_version"] if versions_disagree(
            topology) else ", library of the same version"
    lines.append(said)
    if "persistenced" in state:
        lines.append("persistence daemon: %s" % (state["persistenced"] or "not installed"))
    if state.get("nvswitches"):
        lines.append(fabric_line(state))
    if state.get("xid") is None and "xid" in state:
        lines.append("errors of cards: the kernel log could not be read")
    return lines


def fabric_line(state):
    """The fabric manager has to be of the driver's exact version; packages carry the first part in their name."""
    manager, version = state.get("fabric_manager") or {}, state["driver_version"]
    said = "fabric manager of %d NVSwitches: " % len(state["nvswitches"])
    if manager.get("unit") and manager.get("version") in (None, version):
        return said + (manager["version"] or "version not known")
    return "%s%s; the host needs version %s (package nvidia-fabricmanager-%s)" % (
        said, manager.get("version") or "not installed", version, version.split(".")[0])


def card_line(card):
    """Return one sentence of a card; what nvidia-smi does not tell of it is left out."""
    node = "unknown" if card["numa_node"] is None else card["numa_node"]
    told = card.get("nvidia") or {}
    words = ["NUMA node %s" % node, "driver %s" % (card.get("driver") or "none")]
    if told.get("name"):
        words.insert(0, "%s" % told["name"])
    if told.get("memory_mib"):
        words.append("%d MiB" % told["memory_mib"])
    if told:
        words.append("persistence mode %s" % on_or_off(told.get("persistence")))
    if told.get("mig") is not None:
        words.append("MIG %s" % on_or_off(told["mig"]))
    if told.get("ecc") is not None:
        errors = told.get("ecc_errors")
        words.append("ECC %s" % on_or_off(told["ecc"]) + (
            ", %d uncorrected errors" % errors if told["ecc"] and errors is not None else ""))
    if told.get("power_limit_w") is not None:
        words.append("%g W" % told["power_limit_w"])
    return "%s: %s" % (card["address"], ", ".join(words))
