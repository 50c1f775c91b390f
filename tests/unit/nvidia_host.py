"""Hosts with NVIDIA cards for tests: a built tree, and a stand-in for nvidia-smi that prints recorded outputs."""

from __future__ import annotations

from pathlib import Path

from builders import Machine, write_files

STAND_IN = Path(__file__).parent / "stand_ins" / "nvidia-smi"
OUTPUTS = Path(__file__).parent / "nvidia_outputs"

# What /proc/driver/nvidia/version says of the proprietary and of the open module.
VERSION = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version: gcc 12"
OPEN_VERSION = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (dvs-builder)"

PARAMS = """ResmanDebugLevel: 4294967295
EnableMSI: 1
EnableStreamMemOPs: 0
NvLinkDisable: 0
EnableResizableBar: 0
EnableGpuFirmware: 18
DmaRemapPeerMmio: 1
RegistryDwords: "ForceP2P=0x11;PeerMappingOverride=1"
RegistryDwordsPerDevice: ""
TemporaryFilePath: "/var/tmp"
ExcludedGpus: ""
"""


def recorded_text(name, call):
    """Return what the machine `name` prints for a call, without the line that names the columns."""
    text = (OUTPUTS / name / call).read_text(encoding="utf-8")
    return text.partition("\n")[2] if call == "query-gpu" else text


def driver_tree(root, gpus=(0, 0), version=VERSION, more=None):
    """Write a machine with cards and a loaded driver below root; `more`: {path: text} of further files."""
    root = Machine(gpus=list(gpus)).write(root)
    write_files(root, {"proc/driver/nvidia/version": version} if version else {})
    write_files(root, more or {})
    return root
