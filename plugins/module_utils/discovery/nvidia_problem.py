# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one sentence that a person must act on before the NVIDIA cards of a host are of use."""

from __future__ import annotations

import re

_NVML_VERSION = re.compile(r"NVML library version: ([0-9]{2,4}\.[0-9.]{1,20})")
_MISMATCH = "Driver/library version mismatch"
_NO_DEVICES = "No devices were found"
_HUNG = "nvidia-smi did not end in time: the driver or a card hangs; see the kernel log, and reboot."


def find_problem(driver, cards, smi):
    """Return the first problem as a sentence, or None.

    driver: the answer's "nvidia" of a loaded driver so far. cards: PCI addresses that the module `nvidia` drives.
    smi: nvidia_smi.Smi that was asked, or None.
    """
    answered = smi is not None and smi.answer is not None
    reason = smi.reason or "" if smi else ""
    return (
        _mismatch(driver, answered, reason)
        or _lost(_gone(cards, smi, answered, reason))
        or _fabric(driver)
        or (_HUNG if smi and smi.hung else None)
        or (reason + "." if reason else None)
    )


def _mismatch(driver, answered, reason):
    """A library that answers fits; else its own word counts before the names of files."""
    module, library = driver["driver_version"], driver["library_version"]
    told = _NVML_VERSION.search(reason)
    # The library's word has two parts of the number; where they fit, the file's name tells the rest.
    if told and not (library or "").startswith(told.group(1)):
        library = told.group(1)
    if _MISMATCH not in reason and (answered or None in (module, library) or module == library):
        return None
    return "The loaded NVIDIA module is %s and its library %s: reboot, or reload the module." % (
        module or "of another version", library or "of another version")


def _gone(cards, smi, answered, reason):
    """Return the sorted addresses of the cards that the driver has lost."""
    if smi is None:
        return []
    if _NO_DEVICES in reason:
        return sorted(cards)
    named = {card["address"] for card in smi.answer["gpus"]} if answered else set(cards)
    return sorted(set(smi.lost) | (set(cards) - named))


def _lost(addresses):
    return "The NVIDIA driver does not reach %s: reboot, and if that comes again, see to its power, heat and seat." % (
        ", ".join(addresses)) if addresses else None


def _fabric(driver):
    if not driver["nvswitches"]:
        return None
    module = driver["driver_version"]
    unit, version = driver["fabric_manager"]["unit"], driver["fabric_manager"]["version"]
    if unit is None:
        return "NVSwitches join the cards and there is no fabric manager: install the one of version %s." % (
            module or "the driver's")
    if None not in (version, module) and version != module:
        return "The fabric manager is %s and the driver %s: install the fabric manager of the driver's version." % (
            version, module)
    return None
