"""The lab machine is what it claims to be, asked of its kernel. The last file: it has been given back by now."""

import pytest

CPU = "/sys/devices/system/cpu"
NODE = "/sys/devices/system/node"
NVME = "/sys/block/nvme0n1"


@pytest.fixture(scope="module")
def topology(ask):
    return ask("inference.host.topology")["ansible_facts"]["inference_topology"]


def written(host, path, value):
    """What the file says after the value was written to it."""
    return host.check_output(f"echo {value} >{path} && cat {path}")


def test_two_nodes_with_memory_and_a_distance(read):
    seen = read(f"{NODE}/node*/cpulist", f"{NODE}/node*/distance", f"{NODE}/online")
    assert seen == {
        f"{NODE}/online": "0-1",
        f"{NODE}/node0/cpulist": "0-3", f"{NODE}/node0/distance": "10 21",
        f"{NODE}/node1/cpulist": "4-7", f"{NODE}/node1/distance": "21 10"}


def test_each_core_has_two_siblings(read):
    seen = read(f"{CPU}/cpu[0-9]*/topology/thread_siblings_list")
    assert list(seen.values()) == ["0-1", "0-1", "2-3", "2-3", "4-5", "4-5", "6-7", "6-7"]


def test_nvme_disk_is_at_the_second_node_and_takes_schedulers(host, read):
    seen = read(f"{NVME}/device/device/numa_node", f"{NVME}/queue/scheduler", f"{NVME}/size")
    assert seen == {
        f"{NVME}/device/device/numa_node": "1", f"{NVME}/queue/scheduler": "[none] mq-deadline",
        f"{NVME}/size": str(256 * 2048)}
    assert "[mq-deadline]" in written(host, f"{NVME}/queue/scheduler", "mq-deadline")
    assert "[none]" in written(host, f"{NVME}/queue/scheduler", "none")


def test_every_cpu_takes_a_governor(host, read):
    policies = f"{CPU}/cpufreq/policy*"
    seen = read(f"{policies}/scaling_driver", f"{policies}/scaling_available_frequencies")
    assert list(seen.values()).count("acpi-cpufreq") == 8
    assert list(seen.values()).count("3000000 2000000 1000000") == 8
    governor = f"{CPU}/cpufreq/policy7/scaling_governor"
    before = host.check_output(f"cat {governor}")
    assert before == "schedutil"
    assert written(host, governor, "performance") == "performance"
    assert written(host, governor, before) == before


def test_hugepages_are_reserved_on_one_node(host, read):
    pages = f"{NODE}/node*/hugepages/hugepages-2048kB/nr_hugepages"
    assert written(host, pages.replace("*", "1"), 8) == "8"
    assert list(read(pages).values()) == ["0", "8"]
    assert written(host, pages.replace("*", "1"), 0) == "0"


def test_control_groups_bind_cpus_and_memory(host):
    assert host.check_output("stat --file-system --format=%T /sys/fs/cgroup") == "cgroup2fs"
    seen = host.check_output(
        "systemd-run --quiet --wait --pipe --property=AllowedCPUs=6-7 --property=AllowedMemoryNodes=1"
        " grep _allowed_list /proc/self/status")
    assert seen.split() == ["Cpus_allowed_list:", "6-7", "Mems_allowed_list:", "1"]


def test_topology_sees_it(topology):
    assert topology["cores"] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert topology["packages"] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert topology["threads_per_core"] == 2
    assert [(node["id"], node["cpus"]) for node in topology["numa_nodes"]] == [(0, [0, 1, 2, 3]), (1, [4, 5, 6, 7])]
    assert all(1800 < node["memory_mib"] <= 2048 for node in topology["numa_nodes"])
    assert all(node["hugepages"] == {"2048": 0, "1048576": 0} for node in topology["numa_nodes"])
    assert topology["distances"]["matrix"] == [[10, 21], [21, 10]]
    assert topology["cpufreq"]["driver"] == "acpi-cpufreq"
    assert {"performance", "schedutil"} <= set(topology["cpufreq"]["governors"])
    disks = {disk["name"]: disk for disk in topology["block_devices"]}
    assert set(disks) == {"vda", "nvme0n1"}
    assert (disks["nvme0n1"]["kind"], disks["nvme0n1"]["numa_node"]) == ("nvme", 1)
    assert set(disks["nvme0n1"]["schedulers"]) == {"none", "mq-deadline"}
    assert topology["allowed_cpus"] == topology["services"]["allowed_cpus"] == list(range(8))
