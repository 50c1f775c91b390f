"""Disks, GPUs, IOMMU and the room on file systems."""

import os
import struct
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.discovery import copies
from ansible_collections.inference.host.plugins.module_utils.discovery.mounts import read_mounts
from ansible_collections.inference.host.plugins.module_utils.discovery.pci import acs_bits
from ansible_collections.inference.host.plugins.module_utils.sysfs import Tree
from ansible_collections.inference.host.plugins.module_utils.topology import read_topology
from builders import Machine, as_mask, write_files, write_link

PCI = "sys/bus/pci/devices"


def add_disk(root, name, place, **files):
    """Put a whole disk below sys/devices and link it into sys/block."""
    folder = f"sys/devices/{place}/block/{name}"
    write_files(
        root, {f"{folder}/{path}": value for path, value in dict({"size": 2048000, "dev": "8:0"}, **files).items()}
    )
    write_link(root, f"sys/block/{name}", folder)
    return folder


def disks(root):
    return {disk["name"]: disk for disk in read_topology(root)["block_devices"]}


def test_an_nvme_disk(tree_folder):
    machine = Machine(sockets=2, nvme=[1])
    assert read_topology(machine.write(tree_folder))["block_devices"] == [
        {
            "name": "nvme0n1",
            "kind": "nvme",
            "scheduler": "none",
            "schedulers": ["mq-deadline", "none"],
            "nr_requests": 1023,
            "read_ahead_kib": 128,
            "rotational": False,
            "size_mib": 1048576,
            "numa_node": 1,
            "mounts": ["/"],
            "model": "Test Disk",
        }
    ]


def test_only_whole_disks_of_hardware_count(tree_folder):
    root = Machine().write(tree_folder)
    add_disk(root, "sda", "pci0000:00/0000:00:01.0/host0")
    add_disk(root, "vda", "pci0000:00/0000:00:02.0/virtio0")
    add_disk(root, "mmcblk0", "platform/mmc0")
    for name in ("loop0", "ram1", "zram0", "dm-0", "md127", "sr0", "nbd3"):
        add_disk(root, name, "virtual")
    add_disk(root, "sdb", "virtual")
    add_disk(root, "sdc", "pci0000:00/0000:00:03.0/host1", size=0)
    assert {name: disk["kind"] for name, disk in disks(root).items()} == {
        "sda": "scsi",
        "vda": "virtio",
        "mmcblk0": "other",
    }


def test_multipath_nvme_is_its_head_at_the_node_of_its_controller(tree_folder):
    root = Machine(sockets=2).write(tree_folder)
    head = add_disk(root, "nvme3n1", "virtual/nvme-subsystem/nvme-subsys3")
    add_disk(root, "nvme3c3n1", "pci0000:80/0000:80:01.0/nvme/nvme3", hidden=1)
    write_files(root, {"sys/devices/pci0000:80/0000:80:01.0/numa_node": 1})
    write_link(root, f"{head}/device", "sys/devices/virtual/nvme-subsystem/nvme-subsys3")
    write_link(
        root, "sys/devices/virtual/nvme-subsystem/nvme-subsys3/nvme3", "sys/devices/pci0000:80/0000:80:01.0/nvme/nvme3"
    )
    found = disks(root)
    assert list(found) == ["nvme3n1"]
    assert found["nvme3n1"]["numa_node"] == 1


def test_a_disk_whose_node_is_not_told(tree_folder):
    answer = read_topology(Machine(nvme=[-1]).write(tree_folder))
    assert answer["block_devices"][0]["numa_node"] is None
    assert "firmware does not tell" in answer["notes"]["block_devices.nvme0n1.numa_node"]


def test_mounts_of_partitions_and_of_volumes_upon_them(tree_folder):
    root = Machine().write(tree_folder)
    folder = add_disk(
        root, "sda", "pci0000:00/0000:00:01.0/host0", **{"sda1/dev": "8:1", "sda2/dev": "8:2", "sda10/dev": "8:10"}
    )
    write_files(
        root,
        {
            f"{folder}/sda2/holders/dm-0": "",
            "sys/devices/virtual/block/dm-0/dev": "253:0",
            "sys/devices/virtual/block/dm-0/dm/name": "vg-models",
        },
    )
    write_link(root, "sys/block/dm-0", "sys/devices/virtual/block/dm-0")
    write_files(
        root,
        {
            "proc/self/mountinfo": "\n".join(
                [
                    r"20 1 8:1 / /boot\040files rw,relatime shared:1 - ext4 /dev/root rw",
                    "21 1 0:44 /data /data rw - btrfs /dev/mapper/vg-models rw",
                    "22 1 253:0 / /models rw shared:1 master:2 - xfs /dev/dm-0 rw",
                    "23 1 8:99 / /other rw - ext4 /dev/sdz1 rw",
                    "damaged line",
                ]
            )
        },
    )
    assert disks(root)["sda"]["mounts"] == ["/boot files", "/data", "/models"]


def test_volumes_that_hold_each_other_come_to_an_end(tree_folder):
    root = Machine().write(tree_folder)
    folder = add_disk(root, "sda", "pci0000:00/0000:00:01.0/host0")
    write_files(
        root,
        {
            f"{folder}/holders/dm-0": "",
            "sys/block/dm-0/dev": "253:0",
            "sys/block/dm-0/holders/dm-1": "",
            "sys/block/dm-1/holders/dm-0": "",
            "sys/block/dm-1/dev": "253:1",
        },
    )
    assert disks(root)["sda"]["mounts"] == []


def test_the_table_of_mounts_without_numbers(tree_folder):
    write_files(tree_folder, {"proc/mounts": r"/dev/sda1 /with\040blank ext4 rw,noatime 0 0" + "\nshort line"})
    assert read_mounts(Tree(tree_folder)) == [
        {
            "mount": "/with blank",
            "root": None,
            "number": None,
            "type": "ext4",
            "source": "/dev/sda1",
            "options": {"rw", "noatime"},
        }
    ]


def test_room_on_file_systems_of_the_live_machine_only(tree_folder):
    answer = read_topology(Machine().write(tree_folder))
    assert answer["filesystems"] == []
    assert "live machine" in answer["notes"]["filesystems"]
    for entry in read_topology()["filesystems"]:
        figures = os.statvfs(entry["mount"])
        assert entry["size_mib"] == figures.f_blocks * figures.f_frsize // 1024**2
        assert 0 <= entry["free_mib"] <= entry["size_mib"]
        assert not entry["mount"].startswith(("/proc/", "/sys/"))
        assert entry["type"] not in ("nfs", "proc", "fuse.sshfs")


def test_a_gpu(tree_folder):
    gpu = read_topology(Machine(sockets=2, cores=2, gpus=[1]).write(tree_folder))["gpus"]
    assert gpu == [
        {
            "address": "0000:10:00.0",
            "class": "0x030200",
            "vendor": "0x10de",
            "device": "0x2330",
            "numa_node": 1,
            "local_cpus": [2, 3],
            "driver": "nvidia",
            "bridges": ["0000:00:01.0"],
            "nvidia": None,
        }
    ]


def test_a_gpu_at_no_known_node(tree_folder):
    answer = read_topology(Machine(cores=2, gpus=[-1]).write(tree_folder))
    assert answer["gpus"][0]["numa_node"] is None
    assert answer["gpus"][0]["local_cpus"] == [0, 1]
    assert "numa_node is -1" in answer["notes"]["gpus.0000:10:00.0.numa_node"]


def test_every_display_controller_and_nothing_else_in_the_order_of_addresses(tree_folder):
    root = Machine(cores=2).write(tree_folder)
    for address, pci_class in (
        ("10000:01:00.0", "0x038000"),
        ("0000:09:03.0", "0x030000"),
        ("0000:01:00.0", "0x020000"),
        ("0000:0a:00.0", "0x03junk"),
        ("0000:02:00.1", "0x030200"),
        ("not-an-address", "0x030000"),
    ):
        write_files(root, {f"{PCI}/{address}/class": pci_class, f"{PCI}/{address}/vendor": "0x1002"})
    answer = read_topology(root)
    assert [gpu["address"] for gpu in answer["gpus"]] == ["0000:02:00.1", "0000:09:03.0", "10000:01:00.0"]
    assert answer["gpus"][0]["driver"] is None
    assert "No driver" in answer["notes"]["gpus.0000:02:00.1.driver"]
    assert answer["gpus"][0]["local_cpus"] is None
    assert "local_cpulist" in answer["notes"]["gpus.0000:02:00.1.local_cpus"]


def test_the_mask_of_a_device_wins_over_its_list_and_offline_cpus_are_dropped(tree_folder):
    root = Machine(cores=4, gpus=[0], offline=[3]).write(tree_folder)
    write_files(root, {f"{PCI}/0000:10:00.0/local_cpus": as_mask([2, 3]), f"{PCI}/0000:10:00.0/local_cpulist": "0"})
    assert read_topology(root)["gpus"][0]["local_cpus"] == [2]


@pytest.mark.parametrize("item", ["vendor", "device"])
@pytest.mark.parametrize("junk", ["", "10de", "0xjunk"])
def test_ids_of_a_gpu_that_are_none_are_null_with_a_reason(tree_folder, item, junk):
    root = Machine(gpus=[0]).write(tree_folder)
    write_files(root, {f"{PCI}/0000:10:00.0/{item}": junk})
    answer = read_topology(root)
    assert answer["gpus"][0][item] is None
    assert answer["notes"][f"gpus.0000:10:00.0.{item}"] == (
        f"Not known: /{PCI}/0000:10:00.0/{item}: nothing of use in it."
    )


def test_a_device_whose_class_is_not_told_could_be_a_gpu(tree_folder):
    root = Machine(gpus=[0]).write(tree_folder)
    (Path(root) / PCI / "0000:10:00.0" / "class").unlink()
    answer = read_topology(root)
    assert answer["gpus"] == []
    assert "No such file" in answer["notes"]["gpus.0000:10:00.0"]


def test_a_disk_without_a_number_has_only_the_mounts_that_name_it(tree_folder):
    root = Machine(nvme=[0]).write(tree_folder)
    (Path(root) / "sys/block/nvme0n1/nvme0n1p1/dev").unlink()
    mounts = (Path(root) / "proc/mounts").read_text()
    write_files(root, {"proc/mounts": f"{mounts}/dev/sdz1 /elsewhere ext4 rw 0 0"})
    answer = read_topology(root)
    assert answer["block_devices"][0]["mounts"] == ["/"]
    assert "nvme0n1p1/dev: No such file" in answer["notes"]["block_devices.nvme0n1.mounts"]


def test_a_disk_whose_size_is_not_told_is_left_out_with_a_reason(tree_folder):
    root = Machine(nvme=[0]).write(tree_folder)
    write_files(root, {"sys/block/nvme0n1/size": "large"})
    answer = read_topology(root)
    assert answer["block_devices"] == []
    assert answer["notes"]["block_devices.nvme0n1"] == "Not known: /sys/block/nvme0n1/size: not a whole number."


def test_a_device_that_is_a_link_out_of_the_tree_is_left_out(tree_folder):
    root = Machine(cores=2).write(tree_folder / "tree")
    write_files(tree_folder, {"elsewhere/class": "0x030000"})
    os.symlink(tree_folder / "elsewhere", Path(root) / PCI / "0000:01:00.0")
    assert read_topology(root)["gpus"] == []


@pytest.mark.parametrize(
    ("types", "translating"),
    [
        ([], False),
        (["identity", "identity"], False),
        (["identity", "DMA"], True),
        (["DMA-FQ"], True),
        (["identity", None], None),
        (["identity", "unknown"], None),
        (["identity", "blocked", "unmanaged"], False),
        ([None, "DMA"], True),
    ],
)
def test_whether_the_iommu_translates(tree_folder, types, translating):
    root = Machine().write(tree_folder)
    for number, kind in enumerate(types):
        path = f"sys/kernel/iommu_groups/{number}/"
        write_files(root, {path + "devices/.keep": ""} if kind is None else {path + "type": kind})
    answer = read_topology(root)
    assert answer["iommu"] == {"groups": len(types), "translating": translating, "acs": []}
    assert ("iommu.translating" in answer["notes"]) == (translating is None)


def config_space(capabilities, control=0):
    """A configuration space of 4096 bytes with the extended capabilities [(offset, id, next offset)]."""
    space = bytearray(4096)
    for offset, number, following in capabilities:
        space[offset : offset + 4] = struct.pack("<I", number | 1 << 16 | following << 20)
        if number == 0x0D:
            space[offset + 6 : offset + 8] = struct.pack("<H", control)
    return bytes(space)


def test_acs_bits_are_found_behind_other_capabilities():
    chain = [(0x100, 0x01, 0x148), (0x148, 0x0D, 0)]
    assert acs_bits(config_space(chain, 0b0011101)) == [
        "source_validation",
        "request_redirect",
        "completion_redirect",
        "upstream_forwarding",
    ]
    assert acs_bits(config_space(chain)) == []
    assert acs_bits(config_space([(0x100, 0x01, 0)])) is None


@pytest.mark.parametrize("chain", [[(0x100, 0x01, 0x100)], [(0x100, 0x01, 0xFFC)], [(0x100, 0x01, 0x004)]])
def test_a_damaged_chain_of_capabilities_comes_to_an_end(chain):
    assert acs_bits(config_space(chain)) is None


def test_acs_of_the_bridges_above_gpus(tree_folder):
    root = Machine(gpus=[0, 0]).write(tree_folder)
    write_files(
        root,
        {
            f"{PCI}/0000:00:01.0/config": config_space([(0x100, 0x0D, 0)], 0b100),
            f"{PCI}/0000:00:02.0/config": config_space([])[:64],
        },
    )
    answer = read_topology(root)
    assert answer["iommu"]["acs"] == [{"address": "0000:00:01.0", "enabled": ["request_redirect"]}]
    assert answer["notes"]["iommu.acs"].startswith("The ACS bits of 1 of 2 bridges")
    assert [gpu["bridges"] for gpu in answer["gpus"]] == [["0000:00:01.0"], ["0000:00:02.0"]]


def test_bridges_above_a_gpu_are_told_from_the_root_on(tree_folder):
    root = Machine(gpus=[0]).write(tree_folder)
    below = "sys/devices/pci0000:00/0000:00:07.0/0000:02:00.0/0000:03:01.0/0000:04:00.0"
    write_files(root, {f"{below}/class": "0x030200", f"{below}/vendor": "0x10de", f"{below}/numa_node": 0})
    write_link(root, f"{PCI}/0000:04:00.0", below)
    found = {gpu["address"]: gpu["bridges"] for gpu in read_topology(root)["gpus"]}
    assert found["0000:04:00.0"] == ["0000:00:07.0", "0000:02:00.0", "0000:03:01.0"]


def test_copies_that_were_kept_are_told_while_they_count(tree_folder):
    root = Machine(gpus=[0, 0]).write(tree_folder)
    write_files(root, {"proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.10  x"})
    before = read_topology(root)
    cards = [gpu["address"] for gpu in before["gpus"]]
    made = [{"from": cards[0], "to": cards[1], "ok": True, "access": True, "bytes": 4096, "reason": None}]
    now = copies.conditions(before["nvidia"], before["gpus"], before["iommu"])
    write_files(root, {copies.FILE: copies.as_text(now, made)})
    assert (before["nvidia"]["copies"], read_topology(root)["nvidia"]["copies"]) == ([], made)
    write_files(root, {copies.FILE: copies.as_text(dict(now, driver_version="535.1"), made)})
    after = read_topology(root)
    assert after["nvidia"]["copies"] == [] and "another driver" in after["notes"]["nvidia.copies"]


# Groups of devices


def test_groups_of_character_devices_are_those_of_the_kernel(tree_folder):
    Machine().write(tree_folder)
    write_files(tree_folder, {"proc/devices": (
        "Character devices:\n  1 mem\n  4 /dev/vc/0\n  4 tty\n195 nvidia\n195 nvidiactl\n234 nvidia-uvm\n\n"
        "Block devices:\n  7 loop\n259 blkext\n")})
    topology = read_topology(tree_folder)
    assert topology["device_groups"] == ["/dev/vc/0", "mem", "nvidia", "nvidia-uvm", "nvidiactl", "tty"]
    assert "device_groups" not in topology["notes"]


@pytest.mark.parametrize("text", [None, "", "Block devices:\n  7 loop\n", "Character devices:\n", "?!junk"])
def test_groups_that_are_not_told_are_null_with_a_reason(tree_folder, text):
    Machine().write(tree_folder)
    os.unlink(os.path.join(tree_folder, "proc/devices"))
    if text is not None:
        write_files(tree_folder, {"proc/devices": text})
    topology = read_topology(tree_folder)
    assert topology["device_groups"] is None
    assert topology["notes"]["device_groups"].startswith("Not known: /proc/devices")


# Files that somebody wants to be there


def test_files_are_looked_for_where_they_are_asked_for(tree_folder):
    Machine().write(tree_folder)
    write_files(tree_folder, {"usr/lib/libjemalloc.so.2.1": "x"})
    os.symlink("libjemalloc.so.2.1", os.path.join(tree_folder, "usr/lib/libjemalloc.so.2"))
    os.symlink("gone", os.path.join(tree_folder, "usr/lib/broken.so"))
    paths = ["/usr/lib/libjemalloc.so.2", "/usr/lib/broken.so", "/usr/lib", "/usr/bin/numactl"]
    assert read_topology(tree_folder, look_for=paths)["files"] == dict(zip(paths, (True, False, False, False)))
    assert read_topology(tree_folder)["files"] == {}
