# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What copies between GPUs came to when module `gpu_copy` last made them on this host."""

from __future__ import annotations

import json

from ansible_collections.inference.host.plugins.module_utils.discovery.pci import REDIRECTS
from ansible_collections.inference.host.plugins.module_utils.nvidia import cards_of
from ansible_collections.inference.host.plugins.module_utils.p2p_options import peer_options

FILE = "var/lib/inference.host/p2p.json"
"""Where they are kept; a plan made from them is the same until what is between the cards changes."""
CONDITIONS = {"driver_version": "driver", "gpus": "set of GPUs", "translating": "IOMMU mode",
              "redirecting": "set of redirecting bridges", "options": "set of module options"}
_BYTES = 1 << 20
_TEXT = 400
_MOST = 4096


def conditions(driver, gpus, iommu):
    """Return what copies depend on: {"driver_version", "gpus": addresses, "translating", "redirecting": addresses of
    bridges, "options": those about peers}. driver: with "driver_version" and "params"; all as the topology has them."""
    return {"driver_version": driver["driver_version"], "translating": iommu["translating"],
            "gpus": [gpu["address"] for gpu in cards_of({"gpus": gpus})],
            "redirecting": sorted(bridge["address"] for bridge in iommu["acs"] if REDIRECTS & set(bridge["enabled"])),
            "options": peer_options(driver["params"])}


def read_copies(tree, now):
    """Return the results that were kept and still hold; [] with a note where they are there and do not hold.

    now: see conditions. A result is {"from", "to": addresses, "ok": bool or None (not compared), "access": bool or
    None, "bytes", "reason": text or None}.
    """
    text = tree.read(FILE, _BYTES)
    if text is None:
        if not tree.absent(FILE):
            tree.missing("nvidia.copies", FILE)
        return []
    kept = parse(text)
    if kept is None:
        tree.note("nvidia.copies", f"/{FILE} is not what module gpu_copy writes, and does not count.")
        return []
    changed = [name for name in CONDITIONS if kept[name] != now[name]]
    if changed:
        tree.note("nvidia.copies", "The copies in /{} were made with another {}, and do not count.".format(
            FILE, ", ".join(CONDITIONS[name] for name in changed)))
        return []
    return kept["copies"]


def parse(text):
    """Return "copies" and the keys of CONDITIONS of the file's text, or None for anything else."""
    try:
        kept = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(kept, dict) or not isinstance(kept.get("copies"), list) or not set(CONDITIONS) <= set(kept):
        return None
    gpus = kept["gpus"]
    if not isinstance(gpus, list) or len(kept["copies"]) > _MOST or not all(
            _is_copy(copy, gpus) for copy in kept["copies"]):
        return None
    copies = [{key: copy.get(key) for key in ("from", "to", "ok", "access", "bytes", "reason")}
              for copy in kept["copies"]]
    return dict({name: kept[name] for name in CONDITIONS}, copies=copies)


def _is_copy(copy, gpus):
    """Tell whether a result is one of a pair of these GPUs, with values of the right kinds."""
    if not isinstance(copy, dict) or copy.get("from") not in gpus or copy.get("to") not in gpus:
        return False
    switches = all(copy.get(key) is None or isinstance(copy[key], bool) for key in ("ok", "access"))
    size, reason = copy.get("bytes"), copy.get("reason")
    return (switches and isinstance(size, int) and not isinstance(size, bool) and size >= 0
            and (reason is None or isinstance(reason, str) and len(reason) <= _TEXT))


def as_text(now, copies):
    """Return the text of the file."""
    return json.dumps(dict(now, copies=copies), indent=2, sort_keys=True) + "\n"
