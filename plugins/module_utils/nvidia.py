# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the topology says of NVIDIA cards, in words."""

from __future__ import annotations

PCI_VENDOR = "0x10de"
HOST_DRIVERS = (None, "nvidia", "nouveau", "nova_core")
"""Drivers of cards that the host has for itself; the kernel's own ones are there until NVIDIA's is installed."""


def nvidia_gpus(topology):
    """Return NVIDIA's entries of `gpus`, in PCI order."""
    found = [gpu for gpu in topology.get("gpus") or [] if gpu.get("vendor") == PCI_VENDOR]
    return sorted(found, key=lambda gpu: gpu["address"])


def cards_of(topology):
    """Return those of nvidia_gpus that are the host's: not those that another driver has, as vfio-pci for a guest."""
    return [gpu for gpu in nvidia_gpus(topology) if gpu.get("driver") in HOST_DRIVERS]


def uuids_of(topology):
    """Return {address: UUID, None where nvidia-smi does not tell it} of NVIDIA's GPUs."""
    return {gpu["address"]: (gpu.get("nvidia") or {}).get("uuid") for gpu in nvidia_gpus(topology)}


def driver_is_loaded(topology):
    """Tell whether the kernel module is loaded."""
    return (topology.get("nvidia") or {}).get("driver_version") is not None


def module_params(topology):
    """Return {"NVreg_NAME": text} of the options in force; the kernel module tells them without that prefix."""
    params = (topology.get("nvidia") or {}).get("params") or {}
    return {name if name.startswith("NVreg_") else "NVreg_" + name: str(value).strip('"')
            for name, value in params.items()}


def versions_disagree(topology):
    """Tell whether the loaded module and the library are known and of two versions."""
    state = topology.get("nvidia") or {}
    return None not in (state.get("driver_version"), state.get("library_version")) and (
        state["driver_version"] != state["library_version"])


def on_or_off(switch):
    return {True: "on", False: "off"}.get(switch, "not known")
