# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Display and 3D controllers on PCI, and what stands between them: IOMMU and ACS."""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils.nvidia import PCI_VENDOR
from ansible_collections.inference.host.plugins.module_utils.sysfs import natural

PCI_DIR = "sys/bus/pci/devices"
IOMMU_DIR = "sys/kernel/iommu_groups"

_ADDRESS = r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]"
_DISPLAY = "0x03"
_OTHER_BRIDGE = "0x0680"
_HEX = re.compile(r"0x[0-9a-f]{1,8}\Z")
_CONFIG_BYTES = 4096

# Types of IOMMU groups (Documentation/ABI/testing/sysfs-kernel-iommu_groups) beside DMA and DMA-FQ.
_NOT_TRANSLATING = frozenset(["identity", "blocked", "unmanaged"])

# Extended capabilities start at 0x100; each header has the id in 16 bits and the next offset in the top 12.
_FIRST_CAPABILITY = 0x100
_ACS_CAPABILITY = 0x000D
_ACS_CONTROL = 6
_ACS_BITS = (
    "source_validation",
    "translation_blocking",
    "request_redirect",
    "completion_redirect",
    "upstream_forwarding",
    "egress_control",
    "direct_translated",
)
REDIRECTS = frozenset(["request_redirect", "completion_redirect"])
"""ACS bits that send traffic between devices up to the root, where an IOMMU may stop it (nccl #2079)."""


def read_gpus(tree, online):
    """Return the functions of PCI class 0x03xxxx: [{"address", "vendor", "device", "class", "numa_node", ...}].

    Ids are hexadecimal texts as in sysfs. "local_cpus" are the online CPUs next to it, by the mask `local_cpus`, else
    the list. "numa_node" is None with a note where the kernel says -1: the place is unknown, not node 0.
    """
    if not tree.exists(PCI_DIR):
        tree.note("gpus", "The kernel shows no PCI bus, so that GPUs on it are not known.")
    gpus = []
    for address in sorted(tree.names(PCI_DIR, _ADDRESS), key=natural):
        folder = f"{PCI_DIR}/{address}"
        pci_class = _read_hex(tree, folder + "/class")
        if pci_class is None:
            for key in ("gpus." + address, "iommu.acs", "nvidia.nvswitches"):
                tree.missing(key, folder + "/class")
        elif pci_class.startswith(_DISPLAY):
            if _inside(tree, folder):
                gpus.append(_read_gpu(tree, folder, address, pci_class, online))
            else:
                tree.missing("gpus." + address, folder)
    return gpus


def _read_hex(tree, path):
    """Return an id as sysfs writes it, or None for anything else."""
    text = tree.read(path)
    return text if text and _HEX.match(text) else None


def _inside(tree, folder):
    """Entries of the bus are links; one that leads out of a recorded tree would show another machine's device."""
    return tree.live or tree.real(folder) is not None


def _read_gpu(tree, folder, address, pci_class, online):
    key = f"gpus.{address}."
    node = tree.read_int(folder + "/numa_node")
    if node is None:
        tree.missing(key + "numa_node", folder + "/numa_node")
    elif node < 0:
        tree.note(key + "numa_node", f"The firmware does not tell the node of this device (numa_node is {node}).")
        node = None
    local = tree.read_ids(folder + "/local_cpus", folder + "/local_cpulist")
    if local is None:
        tree.missing(key + "local_cpus", folder + "/local_cpus", folder + "/local_cpulist")
    driver = tree.link_name(folder + "/driver")
    if driver is None:
        tree.note(key + "driver", "No driver is bound to this device.")
    ids = {item: _read_hex(tree, f"{folder}/{item}") for item in ("vendor", "device")}
    for item, value in ids.items():
        if value is None:
            tree.missing(key + item, f"{folder}/{item}")
    return {
        "address": address,
        "class": pci_class,
        "vendor": ids["vendor"],
        "device": ids["device"],
        "numa_node": node,
        "local_cpus": None if local is None else sorted(set(local).intersection(online)),
        "driver": driver,
        "bridges": bridges_above(tree, address),
    }


def read_nvswitches(tree):
    """Return the PCI addresses of NVIDIA's NVSwitches: their class is "other bridge"."""
    found = []
    for address in sorted(tree.names(PCI_DIR, _ADDRESS), key=natural):
        folder = f"{PCI_DIR}/{address}"
        if not (_read_hex(tree, folder + "/class") or "").startswith(_OTHER_BRIDGE) or not _inside(tree, folder):
            continue
        vendor = _read_hex(tree, folder + "/vendor")
        if vendor is None:
            tree.missing("nvidia.nvswitches", folder + "/vendor")
        elif vendor == PCI_VENDOR:
            found.append(address)
    return found


def bridges_above(tree, address):
    """Return the addresses of the bridges above a device, the one at the root first."""
    place = tree.real(f"{PCI_DIR}/{address}") or ""
    return re.findall(rf"/({_ADDRESS})(?=/)", place)


def read_iommu(tree, gpus):
    """Return {"groups": number, "translating": bool or None, "acs": [...]}.

    "translating" is whether devices in any group see translated addresses (group type DMA or DMA-FQ rather than
    identity): that is when peer-to-peer transfers between GPUs can fail or lose data. "acs" has, for each bridge above
    a GPU whose ACS control register could be read (root only), {"address", "enabled": names of the bits that are set}.
    """
    groups = tree.names(IOMMU_DIR, r"[0-9]{1,9}")
    types = {path: tree.read(path) or "" for path in (f"{IOMMU_DIR}/{name}/type" for name in groups)}
    unknown = [path for path, kind in types.items() if kind not in _NOT_TRANSLATING]
    translating = any(kind.startswith("DMA") for kind in types.values())
    if not translating and unknown:
        translating = tree.missing("iommu.translating", unknown[0])
    return {"groups": len(groups), "translating": translating, "acs": _read_acs(tree, gpus)}


def _read_acs(tree, gpus):
    bridges = set()
    for gpu in gpus:
        bridges.update(gpu["bridges"])
    answer, unread = [], 0
    for address in sorted(bridges, key=natural):
        config = tree.read_bytes(f"{PCI_DIR}/{address}/config", _CONFIG_BYTES)
        if config is None or len(config) < _FIRST_CAPABILITY + 4:
            unread += 1
            continue
        enabled = acs_bits(config)
        if enabled is not None:
            answer.append({"address": address, "enabled": enabled})
    if unread:
        tree.note(
            "iommu.acs",
            f"The ACS bits of {unread} of {len(bridges)} bridges above GPUs cannot be read; that takes root.",
        )
    return answer


def acs_bits(config):
    """Return the names of the bits that are set in the ACS control register, None for a device without ACS.

    `config` is the device's configuration space. Layout: PCI Express Base Specification, Access Control Services.
    """
    offset, seen = _FIRST_CAPABILITY, set()
    while offset >= _FIRST_CAPABILITY and offset + 8 <= len(config) and offset not in seen:
        seen.add(offset)
        header = int.from_bytes(config[offset : offset + 4], "little")
        if header & 0xFFFF == _ACS_CAPABILITY:
            control = int.from_bytes(config[offset + _ACS_CONTROL : offset + _ACS_CONTROL + 2], "little")
            return [name for bit, name in enumerate(_ACS_BITS) if control >> bit & 1]
        offset = header >> 20
    return None
