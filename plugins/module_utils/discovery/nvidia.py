# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the NVIDIA driver, its files and its tools say. Never fails: whatever is absent, hangs or is new has a note."""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils.bounded_run import run_bounded
from ansible_collections.inference.host.plugins.module_utils.discovery.nvidia_driver import (
    FABRIC_MANAGER,
    PERSISTENCED,
    VERSION_FILE,
    find_unit,
    read_driver,
    unit_command,
)
from ansible_collections.inference.host.plugins.module_utils.discovery.nvidia_log import read_xid
from ansible_collections.inference.host.plugins.module_utils.discovery.nvidia_problem import find_problem
from ansible_collections.inference.host.plugins.module_utils.discovery.nvidia_smi import Smi, find_program
from ansible_collections.inference.host.plugins.module_utils.discovery.pci import PCI_DIR
from ansible_collections.inference.host.plugins.module_utils.nvidia import PCI_VENDOR

TIMEOUT_SECONDS = 60
"""What each program may take: without the persistence daemon each call waits while all cards start. One that hangs
costs this once, since none is started after it."""

NOTHING = {
    "driver_version": None,
    "open_module": None,
    "library_version": None,
    "modules": [],
    "params": None,
    "nvswitches": [],
    "persistenced": None,
    "persistenced_command": None,
    "fabric_manager": {"unit": None, "version": None},
    "xid": None,
    "problem": None,
    "smi": None,
}
"""The answer of a host without a driver and without a card."""
_FABRIC_VERSION = re.compile(r"Fabric Manager version is\s*:\s*([0-9]{2,4}\.[0-9.]{1,20})")


def read_nvidia(tree, gpus, nvswitches=(), command=None, fabric_command=None, kernel_log=None,
                contained=False, timeout_seconds=TIMEOUT_SECONDS):
    """Return (the answer's "nvidia", the GPUs each with its "nvidia" or None); the module documents the keys.

    gpus, nvswitches: as pci.read_gpus and pci.read_nvswitches return them. contained: this is a container, which sees
    all cards on PCI and may have been given some of them. No program is started and no log read unless
    the tree is live and the driver loaded (`/proc/driver/nvidia/version`), or a command or log is given (which tests
    do). Started are nvidia-smi (see Smi) and, where there are NVSwitches, `nv-fabricmanager --version`.
    """
    loaded = tree.read(VERSION_FILE) is not None or not tree.absent(VERSION_FILE)
    ours = [gpu for gpu in gpus if gpu["vendor"] in (PCI_VENDOR, None)]
    answer = dict(NOTHING, nvswitches=list(nvswitches))
    smi = None
    if loaded or ours or nvswitches:
        answer.update(read_driver(tree), persistenced=find_unit(tree, PERSISTENCED, "nvidia.persistenced"))
        answer["persistenced_command"] = unit_command(tree, answer["persistenced"], "nvidia.persistenced_command")
    if not loaded:
        tree.note("nvidia", "The NVIDIA driver is not loaded.")
    else:
        answer["xid"] = read_xid(tree, kernel_log)
        smi = _ask(tree, command, timeout_seconds)
        answer["smi"] = smi.answer if smi else None
        hung = bool(smi and smi.hung)
        answer["fabric_manager"] = _fabric_manager(tree, nvswitches, fabric_command, hung, timeout_seconds)
        # A container sees cards and switches on PCI that are others' business.
        driven = [] if contained else [gpu["address"] for gpu in ours if _driven(tree, gpu)]
        answer["problem"] = find_problem(dict(answer, nvswitches=[]) if contained else answer, driven, smi)
    said = {card["address"]: card for card in answer["smi"]["gpus"]} if answer["smi"] else {}
    for card in answer["smi"]["gpus"] if answer["smi"] else ():
        _note_unknown(tree, "nvidia.smi.gpus.%s" % (card["address"] or card["index"]), card, smi.columns)
    for gpu in ours:
        key = "gpus.%s.nvidia" % gpu["address"]
        if gpu["address"] in said:
            _note_unknown(tree, key, said[gpu["address"]], smi.columns)
        elif said:
            tree.note(key, "nvidia-smi does not name this GPU.")
        else:
            tree.note(key, "nvidia-smi said nothing; see the notes of nvidia.")
    return answer, [dict(gpu, nvidia=said.get(gpu["address"])) for gpu in gpus]


def _ask(tree, command, timeout_seconds):
    """Return the Smi that was asked, or None with a note."""
    if not tree.live and not command:
        return tree.note("nvidia.smi", "Not asked: a recorded tree, and nvidia-smi speaks for the live machine.")
    command = command or find_program("nvidia-smi")
    if not command:
        return tree.note("nvidia.smi", "The NVIDIA driver is loaded, but nvidia-smi is not installed.")
    smi = Smi(tree, command, timeout_seconds)
    smi.ask()
    return smi


def _note_unknown(tree, key, card, columns):
    for item, field, _read in columns:
        if card[item] is None:
            tree.note("%s.%s" % (key, item), "nvidia-smi does not tell %s, or in a form that is not known." % field)


def _driven(tree, gpu):
    """Whether nvidia-smi should name this function: a part of a card that is lent to a guest is none."""
    return gpu["driver"] == "nvidia" and tree.link_name("%s/%s/physfn" % (PCI_DIR, gpu["address"])) is None


def _fabric_manager(tree, nvswitches, command, hung, timeout_seconds):
    """Return {"unit", "version"} of the fabric manager, which only machines with NVSwitches have a use for."""
    key = "nvidia.fabric_manager"
    unit = find_unit(tree, FABRIC_MANAGER, key + ".unit")
    version = None
    if not nvswitches:
        tree.note(key + ".version", "Not asked: there is no NVSwitch.")
    elif not tree.live and not command:
        tree.note(key + ".version", "Not asked: this is a recorded tree.")
    elif hung:
        tree.note(key + ".version", "Not asked: nvidia-smi hung.")
    else:
        version = _fabric_version(tree, key + ".version", command or find_program("nv-fabricmanager"), timeout_seconds)
    return {"unit": unit, "version": version}


def _fabric_version(tree, key, command, timeout_seconds):
    if not command:
        return tree.note(key, "nv-fabricmanager is not installed.")
    ran = run_bounded([command, "--version"], timeout_seconds)
    found = _FABRIC_VERSION.search(ran.output or "")
    if not found:
        return tree.note(key, "nv-fabricmanager --version: %s." % (ran.reason or "it printed no version"))
    return found.group(1)
