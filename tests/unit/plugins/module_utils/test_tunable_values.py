"""What settings may say, and how values of the kernel are read and compared."""

import errno

import pytest
from ansible_collections.inference.host.plugins.module_utils import overrides, tunables
from ansible_collections.inference.host.plugins.module_utils.baseline import BaselineError
from ansible_collections.inference.host.plugins.module_utils.tunable_kinds import values
from ansible_collections.inference.host.plugins.module_utils.tunables_host import TunablesError
from hypothesis import given
from hypothesis import strategies as st
from tunable_trees import STEM, file, sysctl, sysfs


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("vm.swappiness", "/proc/sys/vm/swappiness"),
        ("net.ipv4.tcp_rmem", "/proc/sys/net/ipv4/tcp_rmem"),
        ("net/ipv4/conf/eth0.100/rp_filter", "/proc/sys/net/ipv4/conf/eth0.100/rp_filter"),
        ("net.ipv4.conf.eth0/100.rp_filter", "/proc/sys/net/ipv4/conf/eth0.100/rp_filter"),
    ],
)
def test_the_path_of_a_sysctl_follows_from_its_name(name, path):
    assert overrides.sysctl_path(name) == path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10\n", "10"),
        ("[none] mq-deadline kyber\n", "none"),
        ("always [madvise] never\n", "madvise"),
        ("[only]\n", "only"),
        ("4096\t131072\t6291456\n", "4096 131072 6291456"),
        ("\n", ""),
        ("[a] [b]\n", "[a] [b]"),
        ("", ""),
    ],
)
def test_values_are_read_as_the_kernel_means_them(text, value):
    assert values.shown(text) == value


SYS = "/sys/x"
PROC = "/proc/sys/vm/x"
MASK = "/proc/irq/default_smp_affinity"
LIST = "/proc/irq/7/smp_affinity_list"


@pytest.mark.parametrize(
    ("value", "wanted", "path", "equal"),
    [
        ("10", "10", SYS, True),
        ("10", "010", SYS, True),
        ("8", "010", PROC, True),
        ("10", "010", PROC, False),
        ("16", "0x10", PROC, True),
        ("16", "0x10", SYS, False),
        ("019", "019", PROC, True),
        ("-1", "-1", SYS, True),
        ("4096 131072", "4096\t131072 ", PROC, True),
        ("10", "100", SYS, False),
        ("10", "10 20", SYS, False),
        ("0a", "a", SYS, False),
        ("none", "None", SYS, False),
        ("ff", "00000000,000000ff", MASK, True),
        ("000000ff,ffffffff", "ff,ffffffff", MASK, True),
        ("000000ff,ffffffff", "ff", MASK, False),
        ("0f", "F", MASK, True),
        ("10", "16", MASK, False),
        ("junk", "junk", MASK, True),
        ("0-2", "0,1,2", LIST, True),
        ("0-2", "0-3", LIST, False),
        ("0-2", "0,1,2", SYS, False),
    ],
)
def test_values_are_compared_as_the_file_means_them(value, wanted, path, equal):
    for pair in ((value, wanted), (wanted, value)):
        assert values.same(*pair, path) is equal


@given(bits=st.integers(1, 1 << 128))
def test_every_spelling_of_a_mask_is_the_same(bits):
    digits = f"{bits:x}"
    padded = digits.zfill(-(-len(digits) // 8) * 8)
    groups = ",".join(padded[at : at + 8] for at in range(0, len(padded), 8))
    assert values.same(groups, "00000000," + groups, MASK)
    assert values.same(groups.upper(), groups, MASK)
    assert not values.same(groups, "1" + groups, MASK)
    if bits < 1 << 32:
        assert values.same(digits, groups, MASK)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        (sysctl(value="1\nkernel.core_pattern=|/bin/sh"), "value is '1\\nkernel"),
        (sysctl(value="1\0"), "value is '1\\x00'"),
        (sysctl(value=" "), "value is ' '"),
        (sysctl(value="1..2"), "value is '1..2'"),
        (sysctl("vm..swappiness"), "name is 'vm..swappiness'"),
        (sysctl("vm.swap\npiness"), "name is 'vm.swap\\npiness'"),
        (sysctl("vm.*"), "'vm.*' is not the name of a sysctl"),
        (sysctl("/etc/passwd"), "'/etc/passwd' is not the name of a sysctl"),
        (sysctl(path="/proc/sys/vm/swappiness"), "a sysctl's path follows from its name"),
        (sysctl(persist="udev"), "persist is 'udev'"),
        (sysctl(after=[["true"]]), "after is only for kind file"),
        (sysfs("/sys/../etc/passwd"), "path is '/sys/../etc/passwd'"),
        (sysfs("/etc/passwd"), "below /sys or /proc"),
        (sysfs("sys/x"), "below /sys or /proc"),
        (sysfs(None), "path is None"),
        (sysfs("/sys/a b"), "plain path or glob"),
        (sysfs("/sys//a"), "plain path or glob"),
        (sysfs("/sys/bus/pci/devices/0000:01:00.0/numa_node", "0"), "taints the kernel"),
        (sysfs("/sys/bus/pci/devices/*/numa_n*", "0"), "taints the kernel"),
        (sysfs("/sys/block/sda/device/timeout", "1", persist="udev"), "persist: udev is for /sys/block/"),
        (sysfs("/sys/block/sd*/queue/scheduler", 'x", RUN+="y', persist="udev"), "cannot hold a quote"),
        (file("/proc/x"), "outlasts a reboot"),
        (file("etc/x"), "outlasts a reboot"),
        (file("/etc//x"), "outlasts a reboot"),
        (file("/etc/x", "\0"), "has a NUL"),
        (file("/etc/x", "", []), "without words"),
        (file("/etc/x", persist="none"), "persist is only for kinds sysctl and sysfs"),
    ],
)
def test_names_paths_and_values_that_could_do_harm_are_refused(setting, says):
    with pytest.raises(TunablesError) as caught:
        tunables.check_settings([setting], STEM)
    assert says in str(caught.value)


@pytest.mark.parametrize("stem", ["", "../x", "a/b", ".hidden", "a b", "a\n", "all", "reboot"])
def test_a_file_stem_that_is_no_plain_name_is_refused(stem):
    with pytest.raises(BaselineError, match="persist_to is"):
        tunables.check_settings([], stem)


class Answers:
    """A host whose every file answers with an error, as no file of a test can."""

    def __init__(self, number):
        self.number = number

    def text(self, _path):
        raise OSError(self.number, "")


@pytest.mark.parametrize(("path", "number", "status"), [
    ("/sys/devices/system/cpu/cpufreq/policy3/scaling_governor", errno.EBUSY, "not_applicable"),
    ("/sys/devices/system/cpu/cpufreq/policy3/scaling_governor", errno.EIO, "refused"),
    ("/sys/block/nvme0n1/queue/scheduler", errno.EBUSY, "refused"),
])
def test_a_policy_of_offline_cpus_has_no_values(path, number, status):
    found = values.read_file(sysfs(path), path, path, Answers(number))
    assert (found["status"], found["before"]) == (status, None)
