"""Topologies of hosts with NVIDIA cards, built from what differs, for tests of what is thought about them."""

from plan_topologies import topology

DAEMON = "/usr/bin/nvidia-persistenced --user nvidia-persistenced --no-persistence-mode --verbose"
VERSION = "570.86.15"


def card(address="0000:65:00.0", told=(), **other):
    """One entry of `gpus`. told: what differs of nvidia-smi's answer, None for a card that it does not name."""
    answer = None if told is None else dict({
        "address": address, "uuid": "GPU-of-" + address, "name": "Tesla T10", "memory_mib": 16384,
        "driver_version": VERSION, "persistence": True, "mig": None, "ecc": True, "ecc_errors": 0,
        "power_limit_w": 150, "power_default_w": 150, "power_min_w": 100, "power_max_w": 150.5, "clock_max_mhz": 1590,
        "processes": 0}, **dict(told))
    return dict({"address": address, "vendor": "0x10de", "numa_node": 0, "driver": "nvidia", "nvidia": answer}, **other)


def host(gpus=None, iommu=None, **state):
    """A host with a loaded driver and the persistence daemon. gpus: one card unless given. state: of `nvidia`."""
    nvidia = {
        "driver_version": VERSION, "library_version": VERSION, "open_module": True, "modules": ["nvidia"],
        "params": {}, "nvswitches": [], "persistenced": "/usr/lib/systemd/system/nvidia-persistenced.service",
        "persistenced_command": DAEMON, "fabric_manager": {"unit": None, "version": None}, "xid": [], "problem": None,
        "smi": None}
    made = topology(gpus=[card()] if gpus is None else gpus)
    made["nvidia"] = dict(nvidia, **state)
    if iommu is not None:
        made["iommu"] = iommu
    return made
