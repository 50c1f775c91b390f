"""Builds `/sys` and `/proc` of a machine from a short description, as the kernel lays them out.

    Machine(sockets=2, cores=4, threads=2, offline=[3], gpus=[1]).write(tmp_path)

`Machine.expected` says what a reading of that tree has to give, worked out from the description alone.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FLAGS = "fpu tsc sse2 avx2 avx512f avx512_vnni amx_tile"


def write_files(root, files):
    """Write {path: text or bytes} below root."""
    made = set()
    for path, content in files.items():
        target = os.path.join(root, path)
        folder = os.path.dirname(target)
        if folder not in made:
            os.makedirs(folder, exist_ok=True)
            made.add(folder)
        with open(target, "wb", buffering=0) as handle:
            handle.write(content if isinstance(content, bytes) else f"{content}\n".encode())


def scratch():
    """A temporary folder for a tree of many small files: in memory where the machine has a place for that."""
    memory = "/dev/shm"
    return tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)


def write_link(root, path, target):
    """Make a relative link below root from one path to another, both counted from the root."""
    link = Path(root) / path
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(Path(root) / target, link.parent))


def as_list(ids):
    """0-3,8: the kernel's list, written the plain way so that tests do not lean on the code under test."""
    ranges: list[list[int]] = []
    for number in sorted(ids):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)


def as_mask(ids, bits=64):
    """00000000,000000ff: the kernel's mask in groups of 32 bits, as wide as the kernel was built for."""
    value = sum(1 << number for number in ids)
    width = max(bits, value.bit_length()) + 31
    digits = f"{value:0{width // 32 * 8}x}"
    return ",".join(digits[start : start + 8] for start in range(0, len(digits), 8))


@dataclass
class Cpu:
    """One hardware thread and where it sits; numbers of cores, packages and nodes count from 0."""

    id: int
    core: int
    package: int
    node: int
    thread: int


@dataclass
class Machine:
    """A machine: `sockets` × `nodes` a socket × `cores` a node × `threads` a core.

    numbering: "adjacent" (siblings 0 and 1), "split" (0 and n/2, as most servers) or "interleaved" (packages in turn).
    spacing: 2 numbers the CPUs 0, 2, 4 …; node_spacing does the same for nodes.
    little: how many of the last cores are efficiency cores, told `little_by` "pmu", "capacity", "frequency" or "part".
    gpus, nvme: one for each entry, which is the node it is at (-1: the firmware does not tell).
    allowed, quota, memory_limit_mib: limits of the reading process's cgroup; `cgroup` is "v1", "v2" or "hybrid".
    """

    sockets: int = 1
    nodes: int = 1
    cores: int = 4
    threads: int = 1
    numbering: str = "split"
    spacing: int = 1
    node_spacing: int = 1
    offline: Any = ()
    little: int = 0
    little_by: str = "pmu"
    l3: bool = True
    node_memory_mib: int = 4096
    memory_nodes: int = 0
    memoryless: Any = ()
    hugepages: dict = field(default_factory=lambda: {2048: 0})
    gpus: Any = ()
    nvme: Any = ()
    cpufreq: str | None = None
    allowed: Any = None
    quota: float | None = None
    memory_limit_mib: int | None = None
    cgroup: str = "v2"
    flags: str = FLAGS

    # What the description means

    def cpus(self):
        """Every CPU, offline ones too, by id."""
        cores = self.sockets * self.nodes * self.cores
        per_socket = self.nodes * self.cores
        places = [(core, thread) for core in range(cores) for thread in range(self.threads)]
        if self.numbering == "split":
            places.sort(key=lambda place: (place[1], place[0]))
        elif self.numbering == "interleaved":
            places.sort(key=lambda place: (place[1], place[0] % per_socket, place[0] // per_socket))
        return [
            Cpu(position * self.spacing, core, core // per_socket, core // self.cores, thread)
            for position, (core, thread) in enumerate(places)
        ]

    def online(self):
        return [cpu for cpu in self.cpus() if cpu.id not in set(self.offline)]

    def groups(self, key):
        """The online CPUs' ids, grouped by what `key` says of them, in the order of an answer."""
        groups: dict[Any, list[int]] = {}
        for cpu in self.online():
            groups.setdefault(key(cpu), []).append(cpu.id)
        return sorted(sorted(ids) for ids in groups.values())

    def is_little(self, cpu):
        return cpu.core >= self.sockets * self.nodes * self.cores - self.little

    def node_ids(self):
        return [node * self.node_spacing for node in range(self.sockets * self.nodes + self.memory_nodes)]

    def node_cpus(self, node_id):
        return [cpu.id for cpu in self.online() if cpu.node * self.node_spacing == node_id]

    def node_memory(self, node_id):
        return 0 if node_id in self.memoryless else self.node_memory_mib

    def memory_mib(self):
        return sum(self.node_memory(node_id) for node_id in self.node_ids())

    def distances(self):
        ids = self.node_ids()
        return [[10 if row == column else 21 for column in ids] for row in ids]

    def expected(self):
        """What a reading has to give, for the keys that the description decides."""
        online = sorted(cpu.id for cpu in self.online())
        kinds = self.groups(self.is_little)
        if self.little_by != "part":  # a part number does not tell which kind is the more capable
            little = [cpu.id for cpu in self.online() if self.is_little(cpu)]
            kinds.sort(key=lambda cpus: cpus[0] in little)
        cores = self.groups(lambda cpu: cpu.core)
        return {
            "cpus": {
                "present": sorted(cpu.id for cpu in self.cpus()),
                "online": online,
                "offline": sorted(self.offline),
            },
            "allowed_cpus": sorted(set(online) & set(online if self.allowed is None else self.allowed)),
            "quota_cpus": self.quota,
            "memory_limit_mib": self.memory_limit_mib,
            "packages": self.groups(lambda cpu: cpu.package),
            "cores": cores,
            "threads_per_core": max(map(len, cores)),
            "l2": cores,
            "l3": self.groups(lambda cpu: cpu.node) if self.l3 else [],
            "core_kinds": kinds if len(kinds) > 1 else [],
            "memory_mib": self.memory_mib(),
            "distances": {"nodes": self.node_ids(), "matrix": self.distances()},
        }

    def expected_nodes(self):
        """{node id: (CPUs, memory in MiB, hugepages)}"""
        pages = {str(size): count for size, count in self.hugepages.items()}
        return {node: (self.node_cpus(node), self.node_memory(node), pages) for node in self.node_ids()}

    # Writing it

    def write(self, root):
        """Write the tree below root and return root as text, which is what read_topology takes."""
        root = Path(root)
        self._write_cpus(root)
        self._write_kinds(root)
        self._write_nodes(root)
        self._write_proc(root)
        self._write_cgroup(root)
        for index, node in enumerate(self.gpus):
            self._write_gpu(root, index, node)
        for index, node in enumerate(self.nvme):
            self._write_nvme(root, index, node)
        return str(root)

    def _write_cpus(self, root):
        base = "sys/devices/system/cpu"
        online = self.online()
        present = as_list(cpu.id for cpu in self.cpus())
        by_core, by_node, by_package = ({}, {}, {})
        for cpu in online:
            for groups, key in ((by_core, cpu.core), (by_node, cpu.node), (by_package, cpu.package)):
                groups.setdefault(key, []).append(cpu.id)
        files = {
            f"{base}/present": present,
            f"{base}/possible": present,
            f"{base}/online": as_list(cpu.id for cpu in online),
            f"{base}/offline": as_list(self.offline),
        }
        for cpu in self.cpus():
            folder = f"{base}/cpu{cpu.id}"
            if cpu.id:
                files[f"{folder}/online"] = int(cpu.id not in self.offline)
        for cpu in online:
            folder = f"{base}/cpu{cpu.id}"
            core, package = by_core[cpu.core], by_package[cpu.package]
            files.update(_set_files(f"{folder}/topology", "thread_siblings", "thread_siblings_list", core))
            files.update(_set_files(f"{folder}/topology", "core_cpus", "core_cpus_list", core))
            files.update(_set_files(f"{folder}/topology", "core_siblings", "core_siblings_list", package))
            files[f"{folder}/topology/core_id"] = cpu.core % self.cores
            files[f"{folder}/topology/physical_package_id"] = cpu.package
            caches = [(1, "Data", core), (1, "Instruction", core), (2, "Unified", core)]
            caches += [(3, "Unified", by_node[cpu.node])] if self.l3 else []
            for index, (level, kind, shared) in enumerate(caches):
                cache = f"{folder}/cache/index{index}"
                files.update({f"{cache}/level": level, f"{cache}/type": kind})
                files.update(_set_files(cache, "shared_cpu_map", "shared_cpu_list", shared))
        write_files(root, files)

    def _write_kinds(self, root):
        base = "sys/devices/system/cpu"
        little = [cpu.id for cpu in self.online() if self.is_little(cpu)]
        big = [cpu.id for cpu in self.online() if not self.is_little(cpu)]
        if little and self.little_by == "pmu":
            write_files(root, {"sys/devices/cpu_core/cpus": as_list(big), "sys/devices/cpu_atom/cpus": as_list(little)})
        if little and self.little_by == "capacity":
            write_files(root, {f"{base}/cpu{cpu}/cpu_capacity": 446 if cpu in little else 1024 for cpu in big + little})
        driver = self.cpufreq or ("cppc_cpufreq" if little and self.little_by == "frequency" else None)
        for cpu in self.online() if driver else ():
            folder = f"{base}/cpufreq/policy{cpu.id}"
            slow = self.is_little(cpu) and self.little_by == "frequency"
            files = {
                "affected_cpus": cpu.id,
                "related_cpus": cpu.id,
                "scaling_driver": driver,
                "cpuinfo_min_freq": 800000,
                "cpuinfo_max_freq": 2600000 if slow else 3900000,
                "scaling_governor": "powersave",
                "scaling_available_governors": "performance powersave",
            }
            if driver == "intel_pstate":
                files.update(
                    {
                        "base_frequency": 2100000,
                        "energy_performance_preference": "balance_performance",
                        "energy_performance_available_preferences": "default performance balance_power power",
                    }
                )
            write_files(root, {f"{folder}/{name}": value for name, value in files.items()})
        if driver == "intel_pstate":
            write_files(root, {f"{base}/intel_pstate/status": "active", f"{base}/intel_pstate/no_turbo": 0})
        elif driver:
            write_files(root, {f"{base}/cpufreq/boost": 1})

    def _write_nodes(self, root):
        base = "sys/devices/system/node"
        files = {f"{base}/online": as_list(self.node_ids()), f"{base}/possible": as_list(self.node_ids())}
        for row, node in zip(self.distances(), self.node_ids(), strict=True):
            folder = f"{base}/node{node}"
            memory = self.node_memory(node) * 1024
            files.update(_set_files(folder, "cpumap", "cpulist", self.node_cpus(node)))
            files[f"{folder}/meminfo"] = f"Node {node} MemTotal:  {memory} kB\nNode {node} MemFree:  {memory // 2} kB"
            files[f"{folder}/distance"] = " ".join(map(str, row))
            files.update(_hugepage_files(f"{folder}/hugepages", self.hugepages))
        files.update(_hugepage_files("sys/kernel/mm/hugepages", self.hugepages))
        write_files(root, files)

    def _write_proc(self, root):
        total = self.memory_mib() * 1024
        blocks = []
        for cpu in self.online():
            part = "\nCPU implementer\t: 0x41\nCPU part\t: " + ("0xd85" if self.is_little(cpu) else "0xd87")
            blocks.append(
                f"processor\t: {cpu.id}\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\n"
                f"model name\t: Test Processor\nstepping\t: 8\nphysical id\t: {cpu.package}\n"
                f"core id\t\t: {cpu.core}\nflags\t\t: {self.flags}"
                f"{part if self.little_by == 'part' else ''}\n"
            )
        write_files(
            root,
            {
                "proc/cpuinfo": "\n".join(blocks),
                "proc/meminfo": f"MemTotal: {total} kB\nMemFree: {total // 2} kB\nMemAvailable: {total // 2} kB\n"
                "SwapTotal: 2048 kB\nSwapFree: 1024 kB",
                "proc/cmdline": "root=/dev/nvme0n1p1 quiet",
                "proc/devices": "Character devices:\n  1 mem\n  4 tty\n136 pts\n\nBlock devices:\n  8 sd\n259 blkext",
                "proc/1/comm": "systemd",
                "proc/sys/kernel/osrelease": "6.1.0-test",
                "proc/sys/kernel/arch": "x86_64",
                "proc/sys/kernel/numa_balancing": 1,
                "proc/sys/vm/swappiness": 60,
                "proc/sys/vm/overcommit_memory": 0,
                "proc/sys/vm/overcommit_ratio": 50,
                "proc/sys/vm/zone_reclaim_mode": 0,
                "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
                "sys/kernel/mm/transparent_hugepage/defrag": "always defer defer+madvise [madvise] never",
                "sys/class/dmi/id/sys_vendor": "Maker",
                "sys/class/dmi/id/product_name": "Server 1000",
                "etc/os-release": 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"',
                "usr/lib/systemd/libsystemd-shared-252.so": "",
            },
        )
        for folder in ("sys/block", "sys/bus/pci/devices"):
            os.makedirs(os.path.join(root, folder), exist_ok=True)

    def _write_cgroup(self, root):
        """The process sits in /user.slice/session; its limits are there, and system.slice has none."""
        old = {"v1": ["cpuset", "cpu", "memory"], "hybrid": ["cpuset", "cpu", "memory"], "v2": []}[self.cgroup]
        mounts = [f"cgroup /sys/fs/cgroup/{name} cgroup rw,nosuid,{name} 0 0" for name in old]
        unified = "sys/fs/cgroup/unified" if self.cgroup == "hybrid" else "sys/fs/cgroup"
        if self.cgroup != "v1":
            mounts.append(f"cgroup2 /{unified} cgroup2 rw,nosuid,nsdelegate 0 0")
        mounts.append("/dev/nvme0n1p1 / ext4 rw,relatime 0 0")
        path = "/user.slice/session"
        lines = [f"{number}:{name}:{path}" for number, name in enumerate(old, 1)]
        online = as_list(cpu.id for cpu in self.online())
        allowed = online if self.allowed is None else as_list(self.allowed)
        files = {
            "proc/mounts": "\n".join(mounts),
            "proc/self/cgroup": "\n".join([*lines, f"0::{path}"]),
            "proc/self/cpuset": path,
            "proc/self/status": f"Name:\tpython3\nCpus_allowed_list:\t{online}\nMems_allowed_list:\t0",
            "proc/1/status": f"Name:\tsystemd\nCpus_allowed_list:\t{online}",
        }
        quota = None if self.quota is None else round(self.quota * 100000)
        limit = None if self.memory_limit_mib is None else self.memory_limit_mib * 1024 * 1024
        base = "sys/fs/cgroup"
        if self.cgroup == "v2":
            files[f"{base}/cgroup.controllers"] = "cpuset cpu io memory pids"
            files[f"{base}/cpuset.cpus.effective"] = online
            files[f"{base}/system.slice/cpuset.cpus.effective"] = online
            files[f"{base}{path}/cpuset.cpus.effective"] = allowed
            files[f"{base}{path}/cpu.max"] = f"{'max' if quota is None else quota} 100000"
            files[f"{base}{path}/memory.max"] = "max" if limit is None else limit
        else:
            files[f"{unified}/cgroup.controllers"] = ""
            files[f"{base}/cpuset/cpuset.cpus"] = online
            files[f"{base}/cpuset{path}/cpuset.cpus"] = allowed
            files[f"{base}/cpu{path}/cpu.cfs_quota_us"] = -1 if quota is None else quota
            files[f"{base}/cpu{path}/cpu.cfs_period_us"] = 100000
            files[f"{base}/memory{path}/memory.limit_in_bytes"] = 0x7FFFFFFFFFFFF000 if limit is None else limit
        write_files(root, files)

    def _write_gpu(self, root, index, node):
        """An NVIDIA 3D controller behind a bridge of its own."""
        bus = 0x10 + index * 8
        bridge = f"sys/devices/pci0000:00/0000:00:{index + 1:02x}.0"
        folder = f"{bridge}/0000:{bus:02x}:00.0"
        self._write_pci(root, bridge, "0x060400", node)
        self._write_pci(root, folder, "0x030200", node)
        os.makedirs(os.path.join(root, "sys/bus/pci/drivers/nvidia"), exist_ok=True)
        write_link(root, f"{folder}/driver", "sys/bus/pci/drivers/nvidia")

    def _write_pci(self, root, folder, pci_class, node):
        near = self.node_cpus(node) if node >= 0 else [cpu.id for cpu in self.online()]
        files = {"class": pci_class, "vendor": "0x10de", "device": "0x2330", "numa_node": node}
        write_files(root, {f"{folder}/{name}": value for name, value in files.items()})
        write_files(root, _set_files(folder, "local_cpus", "local_cpulist", near))
        write_link(root, f"sys/bus/pci/devices/{os.path.basename(folder)}", folder)

    def _write_nvme(self, root, index, node):
        """An NVMe disk of 1 TiB with one partition."""
        pci = f"sys/devices/pci0000:80/0000:{0x81 + index:02x}:00.0"
        name = f"nvme{index}n1"
        disk = f"{pci}/nvme/nvme{index}/{name}"
        self._write_pci(root, pci, "0x010802", node)
        files = {
            "size": 2147483648,
            "dev": f"259:{index * 2}",
            "hidden": 0,
            "queue/scheduler": "[none] mq-deadline",
            "queue/nr_requests": 1023,
            "queue/read_ahead_kb": 128,
            "queue/rotational": 0,
            f"{name}p1/dev": f"259:{index * 2 + 1}",
            f"{name}p1/partition": 1,
            f"{name}p1/size": 2147481600,
            "../model": "Test Disk",
        }
        write_files(root, {os.path.normpath(f"{disk}/{path}"): value for path, value in files.items()})
        write_link(root, f"{disk}/device", os.path.dirname(disk))
        write_link(root, f"sys/block/{name}", disk)


def _set_files(folder, mask, listing, ids):
    ids = list(ids)
    return {f"{folder}/{mask}": as_mask(ids), f"{folder}/{listing}": as_list(ids)}


def _hugepage_files(folder, pages):
    files = {}
    for size, count in pages.items():
        files.update(
            {
                f"{folder}/hugepages-{size}kB/{name}": value
                for name, value in (("nr_hugepages", count), ("free_hugepages", count), ("surplus_hugepages", 0))
            }
        )
    return files
