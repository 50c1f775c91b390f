"""Metal, machine or container; kernel, init and distribution."""

import os

import pytest
from ansible_collections.inference.host.plugins.module_utils.topology import read_topology
from builders import FLAGS, Machine, write_files

DMI = "sys/class/dmi/id"
CLOCKS = "sys/devices/system/clocksource/clocksource0/available_clocksource"
FIRST_SPACES = {"pid": 4026531836, "uts": 4026531838, "ipc": 4026531839, "cgroup": 4026531835}


def platform(root):
    return read_topology(root)["platform"]


def kind(root):
    answer = platform(root)
    return answer["kind"], answer["detail"]


def link_spaces(root, spaces):
    os.makedirs(f"{root}/proc/self/ns")
    for name, number in spaces.items():
        os.symlink(f"{name}:[{number}]", f"{root}/proc/self/ns/{name}")


def test_a_server_of_metal(tree_folder):
    assert platform(Machine().write(tree_folder)) == {
        "kind": "bare_metal",
        "detail": None,
        "kernel": "6.1.0-test",
        "command_line": "root=/dev/nvme0n1p1 quiet",
        "architecture": "x86_64",
        "init": "systemd",
        "systemd_version": 252,
        "cgroup": "v2",
        "libc": None,
        "distribution": {"id": "debian", "version_id": "12", "pretty_name": "Debian GNU/Linux 12 (bookworm)"},
    }


@pytest.mark.parametrize(
    ("files", "detail"),
    [
        ({f"{DMI}/sys_vendor": "QEMU", CLOCKS: "kvm-clock tsc"}, "kvm"),
        ({f"{DMI}/sys_vendor": "QEMU", CLOCKS: "tsc hpet"}, "qemu"),
        ({f"{DMI}/sys_vendor": "VMware, Inc."}, "vmware"),
        ({f"{DMI}/sys_vendor": "Microsoft Corporation", f"{DMI}/product_name": "Virtual Machine"}, "microsoft"),
        ({f"{DMI}/product_name": "VirtualBox"}, "virtualbox"),
        ({f"{DMI}/sys_vendor": "Amazon EC2", f"{DMI}/product_name": "m7i.large"}, "amazon"),
        ({f"{DMI}/product_name": "Google Compute Engine"}, "google"),
        ({"sys/hypervisor/type": "xen"}, "xen"),
        ({CLOCKS: "kvm-clock tsc acpi_pm"}, "kvm"),
        ({CLOCKS: "hyperv_clocksource_tsc_page acpi_pm"}, "microsoft"),
        ({"proc/sysinfo": "Manufacturer: IBM\nVM00 Control Program: KVM/Linux"}, "kvm"),
        ({"proc/sysinfo": "VM00 Control Program: z/VM    7.3.0"}, "zvm"),
        ({"proc/device-tree/compatible": "linux,dummy-virt"}, "qemu"),
        ({"proc/device-tree/ibm,partition-name": "lpar1"}, "powervm"),
    ],
)
def test_machines_by_firmware_and_clocks(tree_folder, files, detail):
    root = Machine().write(tree_folder)
    write_files(root, files)
    assert kind(root) == ("vm", detail)


def test_a_machine_that_nothing_names(tree_folder):
    answer = read_topology(Machine(flags=FLAGS + " hypervisor").write(tree_folder))
    assert (answer["platform"]["kind"], answer["platform"]["detail"]) == ("vm", None)
    assert "neither firmware nor clocks" in answer["notes"]["platform.detail"]


@pytest.mark.parametrize(
    "files",
    [
        {f"{DMI}/sys_vendor": "Amazon EC2", f"{DMI}/product_name": "c5.metal"},
        {f"{DMI}/sys_vendor": "Microsoft Corporation", f"{DMI}/product_name": "Surface"},
        {f"{DMI}/sys_vendor": "Oracle Corporation", f"{DMI}/product_name": "ORACLE SERVER X9-2"},
        {"sys/hypervisor/type": "xen", "proc/xen/capabilities": "control_d"},
    ],
)
def test_metal_that_could_be_taken_for_a_machine(tree_folder, files):
    root = Machine().write(tree_folder)
    write_files(root, files)
    assert kind(root) == ("bare_metal", None)


def test_metal_without_cpu_flags_by_its_device_tree(tree_folder):
    files = {"sys/devices/system/cpu/online": "0", "proc/cpuinfo": "processor : 0\ncpu : POWER9"}
    write_files(tree_folder, dict(files, **{"proc/device-tree/compatible": b"ibm,powernv\0ibm,p9-openbmc\0"}))
    assert kind(str(tree_folder)) == ("bare_metal", None)


def test_without_flags_and_firmware_the_kind_is_unknown(tree_folder):
    write_files(tree_folder, {"sys/devices/system/cpu/online": "0"})
    answer = read_topology(str(tree_folder))
    assert answer["platform"]["kind"] is None
    assert "neither CPU flags nor firmware" in answer["notes"]["platform.kind"]


@pytest.mark.parametrize(
    ("files", "detail"),
    [
        ({"run/systemd/container": "systemd-nspawn"}, "systemd-nspawn"),
        ({"run/host/container-manager": "flatpak"}, "flatpak"),
        ({"proc/1/environ": b"PATH=/bin\0container=lxc\0TERM=linux\0"}, "lxc"),
        ({"run/.containerenv": ""}, "podman"),
        ({"run/systemd/container": "oci", "run/.containerenv": ""}, "podman"),
        ({"run/systemd/container": "oci"}, "oci"),
        ({".dockerenv": ""}, "docker"),
        ({"proc/vz/version": ""}, "openvz"),
        ({"proc/sys/kernel/osrelease": "5.15.90.1-microsoft-standard-WSL2"}, "wsl"),
    ],
)
def test_containers_by_what_their_manager_leaves(tree_folder, files, detail):
    root = Machine(flags=FLAGS + " hypervisor").write(tree_folder)
    write_files(root, files)
    assert kind(root) == ("container", detail)


def test_a_marker_file_in_the_first_name_spaces_is_left_over_from_an_image(tree_folder):
    root = Machine().write(tree_folder)
    write_files(root, {".dockerenv": ""})
    link_spaces(root, FIRST_SPACES)
    assert kind(root) == ("bare_metal", None)


def test_a_marker_file_in_a_name_space_of_its_own_is_a_container(tree_folder):
    root = Machine().write(tree_folder)
    write_files(root, {".dockerenv": ""})
    link_spaces(root, dict(FIRST_SPACES, uts=4026532287))
    assert kind(root) == ("container", "docker")


@pytest.mark.parametrize("folder", ["lib/systemd", "usr/lib/systemd", "usr/lib/aarch64-linux-gnu/systemd"])
def test_the_version_of_systemd_by_its_library(tree_folder, folder):
    root = Machine().write(tree_folder)
    os.unlink(f"{root}/usr/lib/systemd/libsystemd-shared-252.so")
    write_files(root, {f"{folder}/libsystemd-shared-257.9-1.fc42.so": ""})
    assert platform(root)["systemd_version"] == 257


def test_no_systemd_is_null_with_a_reason(tree_folder):
    root = Machine().write(tree_folder)
    os.unlink(f"{root}/usr/lib/systemd/libsystemd-shared-252.so")
    answer = read_topology(root)
    assert answer["platform"]["systemd_version"] is None
    assert "platform.systemd_version" in answer["notes"]


def test_musl_by_its_loader_and_the_kernel_by_its_banner(tree_folder):
    root = Machine().write(tree_folder)
    os.unlink(f"{root}/proc/sys/kernel/osrelease")
    write_files(root, {"lib/ld-musl-x86_64.so.1": "", "proc/version": "Linux version 5.4.0-1 (build@host) #1 SMP"})
    assert (platform(root)["libc"], platform(root)["kernel"]) == ("musl", "5.4.0-1")


def test_the_live_machine_says_what_it_runs(tree_folder):
    live = platform("/")
    assert live["architecture"] == os.uname().machine
    assert live["libc"] is None or live["libc"].split()[0] in ("glibc", "musl")


def test_a_library_without_a_version_is_no_version(tree_folder):
    root = Machine().write(tree_folder)
    os.unlink(f"{root}/usr/lib/systemd/libsystemd-shared-252.so")
    write_files(root, {"usr/lib/systemd/libsystemd-shared-x.so": ""})
    answer = read_topology(root)
    assert answer["platform"]["systemd_version"] is None
    assert "platform.systemd_version" in answer["notes"]
