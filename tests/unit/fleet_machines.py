"""The hosts of the five reference fleets in short descriptions, from which record_fleets.py makes their recordings.

What the fleets' owners tell of a host (processor, cores, nodes, memory size, GPUs and their PCI addresses) is as they
tell it. What they do not tell is a likely value and approximate: free memory, firmware's share of the memory, disk
models, kernel and driver versions, links between GPUs, and which processor stands for "32 cores".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from builders import Machine

# Flags as /proc/cpuinfo has them, without those that neither a build nor the platform is chosen by.
BASE = "fpu tsc msr pae cx8 apic sep mtrr cmov pat mmx fxsr sse sse2 ht syscall nx lm constant_tsc pni pclmulqdq ssse3"
AVX2 = BASE + " fma cx16 sse4_1 sse4_2 movbe popcnt aes xsave avx f16c rdrand fsgsbase bmi1 avx2 bmi2 erms adx"
INTEL = " vmx dtherm ida arat pln pts"
HWP = " hwp hwp_notify hwp_act_window hwp_epp"
AVX512 = " avx512f avx512dq avx512cd avx512bw avx512vl"
SAPPHIRE_RAPIDS = (AVX2 + INTEL + HWP + AVX512 + " avx512ifma avx512vbmi avx512_vbmi2 avx512_vnni avx512_bitalg"
                   " avx512_vpopcntdq avx_vnni avx512_bf16 avx512_fp16 amx_bf16 amx_tile amx_int8 gfni vaes vpclmulqdq"
                   " sha_ni")

DEBIAN_12 = {"id": "debian", "version_id": "12", "pretty_name": "Debian GNU/Linux 12 (bookworm)"}
UBUNTU_22 = {"id": "ubuntu", "version_id": "22.04", "pretty_name": "Ubuntu 22.04.5 LTS"}


@dataclass
class Processor:
    vendor: str
    name: str
    family: int
    model: int
    stepping: int


@dataclass
class Clock:
    """Frequencies in kHz; `base` only where the driver tells it. Governors beside those of intel_pstate."""

    low: int
    high: int
    base: int | None = None
    governors: str = "performance powersave"
    governor: str = "powersave"


@dataclass
class Gpu:
    """`bridge` is the PCI address above it, if any. With a name the NVIDIA driver and nvidia-smi know it."""

    address: str
    node: int
    device: str
    vendor: str = "0x10de"
    pci_class: str = "0x030200"
    driver: str = "nvidia"
    bridge: str | None = None
    name: str | None = None
    memory_mib: int = 0
    mig: str = "[N/A]"
    used_mib: int = 0
    reserved_mib: int = 0
    display: str = "Disabled"
    ecc: str = "Enabled"
    watts: int = 0
    least_watts: int = 100
    mhz: int = 0


@dataclass
class FleetHost:
    """`links` and `peers`: words of `nvidia-smi topo` for each pair of GPUs. `disks`: {SATA or SCSI disk: model}."""

    fleet: str
    machine: Machine
    processor: Processor
    clock: Clock | None = None
    near: int = 21
    maker: tuple = ("Maker", "Server")
    distribution: dict = field(default_factory=lambda: DEBIAN_12)
    kernel: str = "6.1.0-31-amd64"
    systemd: int = 252
    libc: str = "glibc 2.36"
    root: str = "/dev/nvme0n1p1"
    nvme: str = "SAMSUNG MZQL21T9HCJR-00A07"
    disks: dict = field(default_factory=dict)
    gpus: Any = ()
    driver: str = "550.163.01"
    links: dict = field(default_factory=dict)
    peers: dict = field(default_factory=dict)
    translating: bool = False


XEON_8458P = Processor("GenuineIntel", "Intel(R) Xeon(R) Platinum 8458P", 6, 143, 8)
XEON_CLOCK = Clock(800000, 3800000, 2700000)


def t10(address, node, bridge):
    return Gpu(address, node, "0x1e37", bridge=bridge, name="Tesla T10", memory_mib=16384, used_mib=2,
               reserved_mib=428, watts=150, mhz=1395)


def v100(address, node):
    return Gpu(address, node, "0x1db4", name="Tesla V100-PCIE-16GB", memory_mib=16384, used_mib=2,
               reserved_mib=224, watts=250, mhz=1380)


HOSTS = {
    # Node 0 has CPUs 0-43 and their siblings 88-131, node 1 the rest; 8 channels of DDR5, 256 GiB a node.
    "alfavoice-2s": FleetHost(
        "alfavoice",
        Machine(sockets=2, cores=44, threads=2, node_memory_mib=257500, nvme=[0], cpufreq="intel_pstate",
                hugepages={2048: 0, 1048576: 0}, flags=SAPPHIRE_RAPIDS),
        XEON_8458P, XEON_CLOCK,
    ),
    # The other reading of "44 cores, 2-way NUMA": one socket that the firmware splits (sub-NUMA clustering).
    "alfavoice-snc2": FleetHost(
        "alfavoice",
        Machine(nodes=2, cores=22, threads=2, node_memory_mib=128500, nvme=[0], cpufreq="intel_pstate",
                hugepages={2048: 0, 1048576: 0}, flags=SAPPHIRE_RAPIDS),
        XEON_8458P, XEON_CLOCK, near=12,
    ),
    "xaichat": FleetHost(
        "xaichat",
        Machine(cores=8, threads=2, node_memory_mib=31900, nvme=[-1], cpufreq="intel_pstate",
                hugepages={2048: 0, 1048576: 0}, flags=AVX2 + INTEL + HWP),
        Processor("GenuineIntel", "Intel(R) Core(TM) i7-10700 CPU @ 2.90GHz", 6, 165, 5),
        Clock(800000, 4800000, 2900000), maker=("Maker", "Desktop"), nvme="Samsung SSD 980 1TB",
        distribution=UBUNTU_22, kernel="5.15.0-122-generic", systemd=249, libc="glibc 2.35",
        # The processor's own graphics: no GPU that a model could use.
        gpus=[Gpu("0000:00:02.0", -1, "0x9bc5", vendor="0x8086", pci_class="0x030000", driver="i915")],
    ),
    "wicore": FleetHost(
        "wicore",
        Machine(sockets=2, cores=16, node_memory_mib=128500, nvme=[0], cpufreq="intel_pstate",
                hugepages={2048: 0, 1048576: 0}, flags=AVX2 + INTEL + HWP + AVX512 + " avx512_vnni"),
        Processor("GenuineIntel", "Intel(R) Xeon(R) Gold 6226R CPU @ 2.90GHz", 6, 85, 7),
        Clock(1200000, 3900000, 2900000), nvme="INTEL SSDPE2KX010T8", disks={"sda": "SAMSUNG MZ7LH960"},
        gpus=[t10("0000:65:00.0", 0, "0000:64:00.0"), t10("0000:b3:00.0", 1, "0000:b2:00.0")],
        links={(0, 1): "SYS"}, peers={(0, 1): "OK"}, translating=True,
    ),
    # Standard_NC24s_v3: 24 vCPUs of a Xeon E5-2690 v4 without SMT, 448 GiB, PCI devices passed through by Hyper-V.
    "zigai": FleetHost(
        "zigai",
        Machine(sockets=2, cores=12, node_memory_mib=226000, hugepages={2048: 0, 1048576: 0},
                flags=AVX2 + " hypervisor"),
        Processor("GenuineIntel", "Intel(R) Xeon(R) CPU E5-2690 v4 @ 2.60GHz", 6, 79, 1),
        maker=("Microsoft Corporation", "Virtual Machine"), distribution=UBUNTU_22, kernel="5.15.0-1073-azure",
        systemd=249, libc="glibc 2.35", root="/dev/sda1", disks={"sda": "Virtual Disk", "sdb": "Virtual Disk"},
        gpus=[v100("%04d:00:00.0" % (number + 1), number // 2) for number in range(4)],
        links={(0, 1): "NODE", (0, 2): "SYS", (0, 3): "SYS", (1, 2): "SYS", (1, 3): "SYS", (2, 3): "NODE"},
        peers={(row, column): "CNS" for row in range(4) for column in range(row + 1, 4)},
    ),
    # Consumer boards tell no node of their devices (-1), though there is only one.
    "ragserver": FleetHost(
        "ragserver",
        Machine(cores=8, threads=2, node_memory_mib=31900, nvme=[-1], cpufreq="acpi-cpufreq",
                hugepages={2048: 0, 1048576: 0}, flags=AVX2 + " svm sse4a constant_tsc cpb sha_ni"),
        Processor("AuthenticAMD", "AMD Ryzen 7 5800X 8-Core Processor", 25, 33, 2),
        Clock(2200000, 3800000, governors="conservative ondemand userspace powersave performance schedutil",
              governor="schedutil"),
        maker=("Maker", "Desktop"), nvme="Samsung SSD 980 1TB",
        gpus=[Gpu("0000:01:00.0", -1, "0x2484", pci_class="0x030000", bridge="0000:00:01.1",
                  name="NVIDIA GeForce RTX 3070", memory_mib=8192, used_mib=412, reserved_mib=284, display="Enabled",
                  ecc="[N/A]", watts=220, mhz=2100)],
    ),
}
