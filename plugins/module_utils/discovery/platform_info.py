# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The platform: metal, machine or container; kernel, init and distribution."""

from __future__ import annotations

import os
import re

_DMI_DIR = "sys/class/dmi/id"
_CLOCKS = "sys/devices/system/clocksource/clocksource0/available_clocksource"

# Which text of the firmware means which hypervisor; the table of systemd-detect-virt, less what real servers say too.
_DMI_FILES = ("product_name", "sys_vendor", "board_vendor", "bios_vendor")
_FIRMWARE_FILES = tuple(f"{_DMI_DIR}/{name}" for name in _DMI_FILES) + ("proc/device-tree/compatible",)
_DMI_HYPERVISORS = (
    ("KVM", "kvm"),
    ("OpenStack", "kvm"),
    ("KubeVirt", "kvm"),
    ("Amazon EC2", "amazon"),
    ("QEMU", "qemu"),
    ("VMware", "vmware"),
    ("VMW", "vmware"),
    ("innotek GmbH", "virtualbox"),
    ("VirtualBox", "virtualbox"),
    ("Xen", "xen"),
    ("HVM domU", "xen"),
    ("Bochs", "bochs"),
    ("Parallels", "parallels"),
    ("BHYVE", "bhyve"),
    ("Virtual Machine", "microsoft"),
    ("Google Compute Engine", "google"),
    ("Apple Virtualization", "apple"),
    ("Alibaba Cloud ECS", "kvm"),
    ("DigitalOcean", "kvm"),
    ("Hetzner", "kvm"),
)
_CLOCK_HYPERVISORS = (("kvm-clock", "kvm"), ("hyperv", "microsoft"), ("xen", "xen"))

# Name spaces that every container has its own of, and the number of the machine's first one (include/linux/proc_ns.h).
_FIRST_NAMESPACES = {
    "pid": "pid:[4026531836]",
    "uts": "uts:[4026531838]",
    "ipc": "ipc:[4026531839]",
    "cgroup": "cgroup:[4026531835]",
}
_MARKERS = (("run/.containerenv", "podman"), (".dockerenv", "docker"))
_CONTAINER_WORD = re.compile(r"[a-z][a-z0-9_-]{0,40}\Z")

_LIBRARY = re.compile(r"libsystemd-shared-([0-9]{1,4})")
_SYSTEMD_DIRS = ("usr/lib/systemd", "lib/systemd", "usr/lib64/systemd")
_OS_RELEASE = ("etc/os-release", "usr/lib/os-release")


def read_platform(tree, info, cgroup):
    """Return kind ("bare_metal", "vm", "container"), detail, kernel, command_line, architecture, init, ... .

    Each is None with a note where it cannot be known without starting a program. A container inside a virtual machine
    is a container: the kernel's settings are out of its reach either way. `info` is what cpuinfo.read_cpuinfo returns.
    """
    kind, detail = _detect(tree, info)
    platform = {
        "kind": kind,
        "detail": detail,
        "kernel": _kernel(tree),
        "command_line": tree.read("proc/cmdline"),
        "architecture": os.uname().machine if tree.live else tree.read_text("proc/sys/kernel/arch"),
        "init": tree.read_text("proc/1/comm"),
        "systemd_version": _systemd_version(tree),
        "cgroup": cgroup,
        "distribution": _distribution(tree),
        "libc": _libc(tree),
    }
    for key, path in (
        ("command_line", "proc/cmdline"),
        ("architecture", "proc/sys/kernel/arch"),
        ("init", "proc/1/comm"),
    ):
        if platform[key] is None:
            tree.missing("platform." + key, path)
    if cgroup is None:
        tree.note("platform.cgroup", "No control group hierarchy is mounted.")
    return platform


def _detect(tree, info):
    container = _container(tree)
    if container:
        return "container", container
    hypervisor = _hypervisor(tree)
    flags = info["cpu"]["flags"] or []
    if hypervisor or "hypervisor" in flags:
        if not hypervisor:
            tree.note("platform.detail", "A hypervisor is there (CPU flag), but neither firmware nor clocks name it.")
        return "vm", hypervisor
    # x86 tells a guest by a CPU flag; elsewhere the firmware's silence is what there is to go by.
    if "tsc" in flags:
        return "bare_metal", None
    silent = info["readable"] and (tree.exists(_DMI_DIR) or _device_tree(tree))
    unread = [path for path in _FIRMWARE_FILES if tree.read(path) is None and not tree.absent(path)]
    if silent and not unread:
        return "bare_metal", None
    for key in ("platform.kind", "platform.detail"):
        if silent:
            tree.missing(key, *unread)
        else:
            tree.note(key, "Not known: neither CPU flags nor firmware tables tell metal from a virtual machine.")
    return None, None


def _container(tree):
    """Return what runs this container, None outside of one.

    systemd and container managers say it in files and in PID 1's environment. The marker files of Docker and
    podman are also left in machine images made of container images: they only count where some name space
    is not the machine's first one (or that cannot be seen).
    """
    if tree.exists("proc/vz") and not tree.exists("proc/bc"):
        return "openvz"
    if "microsoft" in (tree.read("proc/sys/kernel/osrelease") or "").lower():
        return "wsl"
    words = [tree.read("run/host/container-manager"), tree.read("run/systemd/container")]
    items = (tree.read("proc/1/environ") or "").split("\0")
    words += [item.partition("=")[2] for item in items if item.startswith("container=")]
    word = next((word for word in words if word and _CONTAINER_WORD.match(word)), None)
    marker = next((name for path, name in _MARKERS if tree.exists(path)), None)
    if word:
        return marker or word if word == "oci" else word
    spaces = [tree.link_name("proc/self/ns/" + name) for name in sorted(_FIRST_NAMESPACES)]
    if all(spaces) and set(spaces) == set(_FIRST_NAMESPACES.values()):
        return None
    return marker


def _hypervisor(tree):
    """Return the hypervisor's name as systemd-detect-virt has it, None where nothing names one."""
    if tree.read("sys/hypervisor/type") == "xen":
        # The control domain owns the hardware: it is not a guest.
        return None if "control_d" in (tree.read("proc/xen/capabilities") or "") else "xen"
    clocks = tree.read(_CLOCKS) or ""
    by_clock = next((name for word, name in _CLOCK_HYPERVISORS if word in clocks), None)
    for path in _DMI_FILES:
        text = tree.read(f"{_DMI_DIR}/{path}") or ""
        by_firmware = next((name for start, name in _DMI_HYPERVISORS if text.startswith(start)), None)
        if by_firmware == "amazon" and (tree.read(_DMI_DIR + "/product_name") or "").endswith(".metal"):
            return None
        if by_firmware:
            return by_clock if by_firmware == "qemu" and by_clock else by_firmware
    control_program = re.search(r"^VM00 Control Program:\s*(\S+)", tree.read("proc/sysinfo") or "", re.MULTILINE)
    if control_program:
        return "kvm" if control_program.group(1).startswith("KVM") else "zvm"
    if "linux,dummy-virt" in _device_tree(tree):
        return "qemu"
    if tree.exists("proc/device-tree/hypervisor"):
        return "xen" if "xen" in (tree.read("proc/device-tree/hypervisor/compatible") or "") else "kvm"
    if tree.exists("proc/device-tree/ibm,partition-name"):
        return "powervm"
    return by_clock


def _device_tree(tree):
    return tree.read("proc/device-tree/compatible") or ""


def _kernel(tree):
    kernel = tree.read("proc/sys/kernel/osrelease")
    if not kernel:
        words = (tree.read("proc/version") or "").split()
        kernel = (
            words[2] if len(words) > 2 else tree.missing("platform.kernel", "proc/sys/kernel/osrelease", "proc/version")
        )
    return kernel


def _systemd_version(tree):
    """Return systemd's version by the name of its shared library, which carries it; no program is started."""
    multiarch = [f"usr/lib/{name}/systemd" for name in tree.names("usr/lib", r"[a-z0-9_]+-linux-gnu[a-z0-9]*")]
    for folder in list(_SYSTEMD_DIRS) + multiarch:
        found = [_LIBRARY.match(name) for name in tree.names(folder, r"libsystemd-shared-.*\.so")]
        versions = [int(version.group(1)) for version in found if version]
        if versions:
            return max(versions)
    tree.note("platform.systemd_version", "systemd's library libsystemd-shared is not where it is looked for.")
    return None


def _distribution(tree):
    text = next((text for text in map(tree.read, _OS_RELEASE) if text), None)
    if text is None:
        tree.missing("platform.distribution", *_OS_RELEASE)
    values = {}
    for line in (text or "").splitlines():
        name, _equals, value = line.partition("=")
        values[name.strip()] = value.strip().strip("\"'")
    distribution = {key: values.get(key.upper()) or None for key in ("id", "version_id", "pretty_name")}
    for key, value in distribution.items():
        if value is None and text:
            tree.note("platform.distribution." + key, f"The file os-release has no {key.upper()}.")
    return distribution


def _libc(tree):
    """Return "glibc 2.36" or "musl", by Python's own library or the loader's file name."""
    if tree.live and "CS_GNU_LIBC_VERSION" in os.confstr_names:
        version = os.confstr("CS_GNU_LIBC_VERSION")
        if version:
            return version
    if tree.names("lib", r"ld-musl-.*\.so\.1"):
        return "musl"
    tree.note("platform.libc", "Only known on the live machine, where Python can be asked.")
    return None
