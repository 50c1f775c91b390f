# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was found of NVIDIA cards as rows of `verify` (see verify_rows.py), beside those of the files of role nvidia."""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils.nvidia import (
    cards_of,
    driver_is_loaded,
    module_params,
    on_or_off,
    versions_disagree,
)
from ansible_collections.inference.host.plugins.module_utils.nvidia_xid import needs_person, xid_words
from ansible_collections.inference.host.plugins.module_utils.settings_nvidia import (
    MODULES_FILE,
    OPTIONS_FILE,
    PERSISTENCE,
    UNIT,
    UNIT_FILE,
)

NOT_TOLD = "nvidia-smi does not tell it"


def nvidia_verify_rows(plan, topology, mig=None):
    """Return the rows; none for a host without an NVIDIA card of its own.

    plan: with `settings` and `instances`. topology: the host as it was read now. mig: nvidia_mig, null where it is left
    as it is. What nvidia-smi does not tell is not_applicable, which is no fault.
    """
    cards = cards_of(topology)
    if not cards:
        return []
    state = topology.get("nvidia") or {}
    if not driver_is_loaded(topology):
        used = any(instance["gpus"] for instance in plan["instances"])
        return [_row("driver", "loaded" if used else "-", "not loaded", "drift" if used else "not_applicable",
                     "" if used else "the NVIDIA driver is not loaded, and no instance has a GPU")]
    rows = [_driver_row(topology, state), _row("problem", "none", "none", "ok") if not state.get("problem") else
            _row("problem", "none", "found", "drift", state["problem"])]
    planned = {row["path"]: row for row in plan["settings"] if row["role"] == "nvidia" and row["applies"]}
    for card in cards:
        rows += _card_rows(card, PERSISTENCE in planned, mig)
        rows += _limit_rows(card, planned[UNIT_FILE]["value"] if UNIT_FILE in planned else "")
    rows += _xid_rows(state) + (_peermem_rows(state) if MODULES_FILE in planned else [])
    return rows + (_option_rows(topology, planned[OPTIONS_FILE]["value"]) if OPTIONS_FILE in planned else [])


def _row(setting, wanted, found, status, note="", persisted="-"):
    return {"area": "nvidia", "setting": setting, "wanted": wanted, "found": found, "persisted": persisted,
            "status": status, "note": note}


def _driver_row(topology, state):
    wanted, found = "library %s" % state["driver_version"], "library %s" % (state.get("library_version") or "not known")
    if versions_disagree(topology):
        return _row("driver", wanted, found, "drift", "the loaded module is of another version: reboot, or reload it")
    return _row("driver", wanted, found, "ok" if state.get("library_version") else "not_applicable")


def _card_rows(card, persistent, mig):
    told = card.get("nvidia")
    if told is None:
        return [_row(card["address"], "answers nvidia-smi", "no answer", "drift", "it is lost, or nvidia-smi failed")]
    rows = [_row(card["address"], "answers nvidia-smi", "answers", "ok")]
    if persistent:
        rows.append(_switch_row(card["address"] + " persistence mode", True, told.get("persistence")))
    if mig is not None:
        rows.append(_switch_row(card["address"] + " MIG mode", mig, told.get("mig")))
    errors = told.get("ecc_errors") if told.get("ecc") else None
    if errors is not None:
        rows.append(_row(card["address"] + " uncorrected ECC errors", 0, errors, "drift" if errors else "ok",
                         "since the driver was loaded; a reset retires the memory" if errors else ""))
    return rows


def _limit_rows(card, text):
    """The power limit that the card has. text: of the unit that sets it, "" without one."""
    wanted = re.search(r"^ExecStart=nvidia-smi -i %s -pl ([0-9]+)$" % re.escape(card["address"]), text, re.MULTILINE)
    found = (card.get("nvidia") or {}).get("power_limit_w")
    if not wanted:
        return []
    setting, watts = card["address"] + " power limit", int(wanted.group(1))
    if found is None:
        return [_row(setting, "%d W" % watts, "not known", "not_applicable", NOT_TOLD)]
    return [_row(setting, "%d W" % watts, "%g W" % found, "ok" if found == watts else "drift",
                 "" if found == watts else "see systemctl status %s" % UNIT)]


def _switch_row(setting, wanted, found):
    status = "not_applicable" if found is None else "ok" if found == wanted else "drift"
    return _row(setting, on_or_off(wanted), on_or_off(found), status, NOT_TOLD if found is None else "")


def _xid_rows(state):
    """An error of a program is told; one of a card is no state to leave a host in."""
    if state.get("xid") is None:
        return [_row("errors in the kernel log", "none", "-", "not_applicable", "the kernel log could not be read")]
    if not state["xid"]:
        return [_row("errors in the kernel log", "none", "none", "ok")]
    return [_row("%s Xid %d" % (error["address"], error["code"]), "none", error["count"],
                 "drift" if needs_person(error["code"]) else "ok", xid_words(error)) for error in state["xid"]]


def _peermem_rows(state):
    loaded = "nvidia_peermem" in (state.get("modules") or [])
    return [_row("module nvidia_peermem", "loaded", "loaded" if loaded else "not loaded", "ok" if loaded else "drift",
                 "" if loaded else "see the kernel log, and load it with modprobe", "yes")]


def _option_rows(topology, text):
    """The options that the loaded module has. text: of the file that holds those that it is to have."""
    params, rows = module_params(topology), []
    # Each line has the same for another name of the module.
    for option in (text.splitlines() or [""])[0].split()[2:]:
        name, _equals, wanted = option.partition("=")
        found = params.get(name)
        note = "" if found == wanted else "takes effect when the module is loaded anew: reboot; if it is in the " \
                                          "initial RAM disk, update that first"
        rows.append(_row("module option " + name, wanted, "not known" if found is None else found,
                         "ok" if found == wanted else "drift", note, "yes"))
    return rows
