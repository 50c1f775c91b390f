"""Makes the recorded topologies of the reference fleets from their descriptions in fleet_machines.py.

    .venv/bin/python tests/unit/record_fleets.py     # writes inventories/FLEET/topologies/HOST.json

A tree of `/sys` and `/proc` is built for each host and read by the same code that reads a live one; the stand-in for
`nvidia-smi` is asked as the module asks the real one.
"""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path
from unittest import mock

# Makes the collection importable.
import conftest  # noqa: F401  # pylint: disable=unused-import
from ansible_collections.inference.host.plugins.module_utils.discovery import nvidia
from ansible_collections.inference.host.plugins.module_utils.discovery.nvidia_parse import COLUMNS
from ansible_collections.inference.host.plugins.module_utils.recording import recording
from ansible_collections.inference.host.plugins.module_utils.topology import read_topology
from builders import as_list, as_mask, scratch, write_files, write_link
from fleet_machines import HOSTS
from fleet_models import MODELS
from nvidia_host import STAND_IN

INVENTORIES = Path(__file__).resolve().parents[2] / "inventories"
CPU = "sys/devices/system/cpu"
# The extended capability that Linux turns on for devices behind a translating IOMMU (source validation, request and
# completion redirect, upstream forwarding), where the layout of the configuration space has its first one.
ACS = b"\0" * 0x100 + bytes([0x0D, 0, 1, 0, 0x1F, 0, 0x1D, 0])


def path_of(name):
    return INVENTORIES / HOSTS[name].fleet / "topologies" / f"{name}.json"


def record(name):
    """Return the recording of one host as the text of its file."""
    with scratch() as root:
        return recording(read_host(HOSTS[name], root), MODELS.get(HOSTS[name].fleet, []))


def read_host(host, root):
    """Return the topology that module `topology` would return on the host."""
    host.machine.write(root)
    write_processor(host, root)
    write_system(host, root)
    write_disks(host, root)
    for gpu in host.gpus:
        write_gpu(host.machine, gpu, host.translating, root)
    with nvidia_smi(host, root):
        topology = read_topology(root)
    add_live_answers(host, topology)
    return topology


def write_processor(host, root):
    processor = host.processor
    cpuinfo = Path(root, "proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8")
    for old, new in {
        "GenuineIntel": processor.vendor, "Test Processor": processor.name,
        "cpu family\t: 6": f"cpu family\t: {processor.family}", "model\t\t: 143": f"model\t\t: {processor.model}",
        "stepping\t: 8": f"stepping\t: {processor.stepping}",
    }.items():
        text = text.replace(old, new)
    files = {"proc/cpuinfo": text.rstrip("\n")}
    for cpu in host.machine.online() if host.clock else ():
        policy = f"{CPU}/cpufreq/policy{cpu.id}"
        files.update({
            f"{policy}/cpuinfo_min_freq": host.clock.low, f"{policy}/cpuinfo_max_freq": host.clock.high,
            f"{policy}/scaling_governor": host.clock.governor,
            f"{policy}/scaling_available_governors": host.clock.governors,
        })
        if host.clock.base:
            files[f"{policy}/base_frequency"] = host.clock.base
    nodes = host.machine.node_ids()
    for row in nodes:
        distances = " ".join(str(10 if row == column else host.near) for column in nodes)
        files[f"sys/devices/system/node/node{row}/distance"] = distances
    write_files(root, files)


def write_system(host, root):
    os_release = "\n".join(f'{key.upper()}="{value}"' for key, value in host.distribution.items())
    mounts = Path(root, "proc/mounts").read_text(encoding="utf-8").replace("/dev/nvme0n1p1", host.root)
    Path(root, "usr/lib/systemd/libsystemd-shared-252.so").unlink()
    write_files(root, {
        "etc/os-release": os_release,
        f"usr/lib/systemd/libsystemd-shared-{host.systemd}.so": "",
        "proc/sys/kernel/osrelease": host.kernel,
        "proc/cmdline": f"root={host.root} ro quiet",
        "proc/mounts": mounts.rstrip("\n"),
        "sys/class/dmi/id/sys_vendor": host.maker[0],
        "sys/class/dmi/id/product_name": host.maker[1],
    })
    if host.translating:
        write_files(root, {f"sys/kernel/iommu_groups/{group}/type": "DMA-FQ" for group in range(48)})


def write_disks(host, root):
    """Name the NVMe disks and add SATA or SCSI ones, each of 960 GB with one partition."""
    for index in range(len(host.machine.nvme)):
        write_files(root, {f"sys/block/nvme{index}n1/device/model": host.nvme})
    for index, (name, model) in enumerate(host.disks.items()):
        controller = "sys/devices/pci0000:00/0000:00:17.0"
        device = f"{controller}/host{index}/target{index}:0:0/{index}:0:0:0"
        disk = f"{device}/block/{name}"
        write_files(root, {
            f"{controller}/numa_node": -1, f"{device}/model": model,
            f"{disk}/size": 1875385008, f"{disk}/dev": f"8:{index * 16}",
            f"{disk}/queue/scheduler": "[mq-deadline] none", f"{disk}/queue/nr_requests": 64,
            f"{disk}/queue/read_ahead_kb": 128, f"{disk}/queue/rotational": 0,
            f"{disk}/{name}1/size": 1875383000, f"{disk}/{name}1/partition": 1,
            f"{disk}/{name}1/dev": f"8:{index * 16 + 1}",
        })
        write_link(root, f"{disk}/device", device)
        write_link(root, f"sys/block/{name}", disk)


def write_gpu(machine, gpu, translating, root):
    domain = f"sys/devices/pci{gpu.address[:7]}"
    folder = f"{domain}/{gpu.bridge}/{gpu.address}" if gpu.bridge else f"{domain}/{gpu.address}"
    if gpu.bridge:
        config = (ACS if translating else b"").ljust(4096, b"\0")
        write_pci(root, os.path.dirname(folder), {"class": "0x060400", "vendor": "0x8086", "device": "0x2030",
                                                  "numa_node": gpu.node, "config": config})
    near = machine.node_cpus(gpu.node) if gpu.node >= 0 else [cpu.id for cpu in machine.online()]
    write_pci(root, folder, {
        "class": gpu.pci_class, "vendor": gpu.vendor, "device": gpu.device, "numa_node": gpu.node,
        "local_cpus": as_mask(near), "local_cpulist": as_list(near),
    })
    write_files(root, {f"sys/bus/pci/drivers/{gpu.driver}/.keep": ""})
    write_link(root, f"{folder}/driver", f"sys/bus/pci/drivers/{gpu.driver}")


def write_pci(root, folder, files):
    write_files(root, {f"{folder}/{name}": value for name, value in files.items()})
    write_link(root, f"sys/bus/pci/devices/{os.path.basename(folder)}", folder)


def add_live_answers(host, topology):
    """What only a live machine tells: its C library and the room on its file systems."""
    topology["platform"]["libc"] = host.libc
    topology["filesystems"] = [
        {"mount": "/", "type": "ext4", "device": host.root, "size_mib": 937000, "free_mib": 820000}]
    for key in ("platform.libc", "filesystems"):
        del topology["notes"][key]


@contextlib.contextmanager
def nvidia_smi(host, root):
    """Have a program asked that prints what nvidia-smi would, where the host has a loaded driver."""
    if not any(gpu.name for gpu in host.gpus):
        yield
        return
    answers = Path(root, "answers")
    write_files(answers, {
        "query-gpu": smi_query(host), "query-compute-apps": "", "topo-m": smi_matrix(host, host.links),
        "topo-p2p-r": smi_matrix(host, host.peers), "topo-p2p-w": smi_matrix(host, host.peers), "log": "",
    })
    write_files(root, {
        # As the driver registers them; its module for unified memory is loaded with the first program that computes.
        "proc/devices": "Character devices:\n  1 mem\n  4 tty\n136 pts\n195 nvidia\n195 nvidia-modeset\n195 nvidiactl\n"
                        "234 nvidia-uvm\n237 nvidia-caps\n\nBlock devices:\n  8 sd\n259 blkext",
        nvidia.VERSION_FILE: f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {host.driver}  Release Build",
        "proc/driver/nvidia/params": 'EnableGpuFirmware: 18\nRegistryDwords: ""',
        f"usr/lib/x86_64-linux-gnu/libnvidia-ml.so.{host.driver}": "",
        # As the distribution's package has it.
        "usr/lib/systemd/system/nvidia-persistenced.service":
            "[Service]\nType=forking\nExecStart=/usr/bin/nvidia-persistenced --user nvpd\n",
        **{f"sys/module/{module}/refcnt": 0 for module in ("nvidia", "nvidia_modeset", "nvidia_uvm")},
    })
    # Of a recorded tree the reader asks no program, nor the kernel log, unless it is given one.
    asking = functools.partial(nvidia.read_nvidia, command=str(STAND_IN), kernel_log=str(answers / "log"))
    with (mock.patch.object(nvidia, "read_nvidia", asking),
          mock.patch.dict(os.environ, {"NVIDIA_SMI_ANSWERS": str(answers)})):
        yield


def smi_query(host):
    lines = [", ".join(field for _key, field, _read in COLUMNS)]
    for index, gpu in enumerate(host.gpus):
        uuid = f"GPU-00000000-0000-0000-0000-{index:012x}"
        lines.append(f"{index}, 0000{gpu.address.upper()}, {gpu.name}, {uuid}, {gpu.memory_mib}, {host.driver}, "
                     f"Disabled, {gpu.mig}, {gpu.used_mib}, {gpu.reserved_mib}, {gpu.display}, {gpu.ecc}, "
                     f"{'[N/A]' if gpu.ecc == '[N/A]' else 0}, {gpu.watts}.00, {gpu.watts}.00, {gpu.least_watts}.00, "
                     f"{gpu.watts}.00, {gpu.mhz}")
    return "\n".join(lines)


def smi_matrix(host, words):
    names = [f"GPU{index}" for index in range(len(host.gpus))]
    lines = ["\t" + "\t".join(names)]
    for row, name in enumerate(names):
        cells = ["X" if row == column else words[min(row, column), max(row, column)] for column in range(len(names))]
        lines.append("\t".join([name, *cells]))
    return "\n".join(lines)


if __name__ == "__main__":
    for host_name in HOSTS:
        path_of(host_name).write_text(record(host_name), encoding="utf-8")
        print(path_of(host_name))
