"""What control groups and the affinity leave."""

from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.topology import read_topology
from builders import Machine, write_files

CGROUP = "sys/fs/cgroup"
KEYS = ("allowed_cpus", "quota_cpus", "memory_limit_mib")


def limits(root):
    answer = read_topology(root)
    return tuple(answer[key] for key in KEYS)


@pytest.mark.parametrize("version", ["v1", "v2", "hybrid"])
def test_limits_of_the_own_group_and_none_for_services(tree_folder, version):
    machine = Machine(cores=8, allowed=[1, 2, 3], quota=1.5, memory_limit_mib=2048, cgroup=version)
    answer = read_topology(machine.write(tree_folder))
    assert tuple(answer[key] for key in KEYS) == ([1, 2, 3], 1.5, 2048)
    assert answer["services"] == {"allowed_cpus": list(range(8)), "quota_cpus": None, "memory_limit_mib": None}
    assert answer["platform"]["cgroup"] == version


@pytest.mark.parametrize("version", ["v1", "v2", "hybrid"])
def test_no_limit_is_null(tree_folder, version):
    assert limits(Machine(cores=2, cgroup=version).write(tree_folder)) == ([0, 1], None, None)


def test_the_smallest_limit_on_the_way_up_counts(tree_folder):
    root = Machine(cores=4, quota=3, memory_limit_mib=4096).write(tree_folder)
    write_files(root, {f"{CGROUP}/user.slice/cpu.max": "250000 100000", f"{CGROUP}/user.slice/memory.max": 1073741824})
    assert limits(root) == ([0, 1, 2, 3], 2.5, 1024)


def test_a_container_finds_its_limits_at_the_mount_point(tree_folder):
    root = Machine(cores=4).write(tree_folder)
    write_files(
        root,
        {
            "proc/self/cgroup": "0::/",
            f"{CGROUP}/cpu.max": "50000 100000",
            f"{CGROUP}/memory.max": 536870912,
            f"{CGROUP}/cpuset.cpus.effective": "2-3",
        },
    )
    assert limits(root) == ([2, 3], 0.5, 512)
    assert read_topology(root)["services"]["quota_cpus"] == 0.5


@pytest.mark.parametrize("path", ["/docker/abc", "/../../other.slice/x"])
def test_a_path_of_the_hosts_name_space_is_the_mount_point(tree_folder, path):
    root = Machine(cores=4, cgroup="v1").write(tree_folder)
    write_files(
        root,
        {
            "proc/self/cgroup": f"1:cpuset:{path}\n2:cpu,cpuacct:{path}\n3:memory:{path}",
            f"{CGROUP}/cpuset/cpuset.cpus": "0-1",
            f"{CGROUP}/cpu/cpu.cfs_quota_us": 100000,
            f"{CGROUP}/cpu/cpu.cfs_period_us": 50000,
            f"{CGROUP}/memory/memory.limit_in_bytes": 104857600,
        },
    )
    assert limits(root) == ([0, 1], 2.0, 100)


def test_a_part_of_the_hierarchy_that_is_mounted_alone_is_taken_off_the_path(tree_folder):
    root = Machine(cores=4).write(tree_folder)
    write_files(
        root,
        {
            "proc/self/mountinfo": "30 20 0:26 /machine/box /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw",
            "proc/self/cgroup": "0::/machine/box/inner",
            f"{CGROUP}/inner/cpuset.cpus.effective": "3",
        },
    )
    assert limits(root)[0] == [3]


def test_the_nearest_group_with_a_cpuset_counts(tree_folder):
    root = Machine(cores=4, allowed=[0]).write(tree_folder)
    (Path(root) / CGROUP / "user.slice/session/cpuset.cpus.effective").unlink()
    write_files(root, {f"{CGROUP}/user.slice/cpuset.cpus.effective": "1-2"})
    assert limits(root)[0] == [1, 2]


def test_services_have_their_own_slice_and_the_affinity_of_pid_1(tree_folder):
    root = Machine(cores=8, allowed=[0]).write(tree_folder)
    write_files(
        root,
        {
            f"{CGROUP}/system.slice/cpuset.cpus.effective": "2-7",
            f"{CGROUP}/system.slice/cpu.max": "400000 100000",
            f"{CGROUP}/system.slice/memory.max": 1073741824,
            "proc/1/status": "Cpus_allowed_list:\t0-5",
        },
    )
    assert read_topology(root)["services"] == {
        "allowed_cpus": [2, 3, 4, 5],
        "quota_cpus": 4.0,
        "memory_limit_mib": 1024,
    }


def test_the_affinity_narrows_the_cpuset(tree_folder):
    root = Machine(cores=4, allowed=[1, 2, 3]).write(tree_folder)
    write_files(root, {"proc/self/status": "Name:\tx\nCpus_allowed:\t7\nCpus_allowed_list:\t0-2\n"})
    assert limits(root)[0] == [1, 2]


def test_a_source_that_would_leave_nothing_is_not_believed(tree_folder):
    root = Machine(cores=2).write(tree_folder)
    write_files(root, {f"{CGROUP}/user.slice/session/cpuset.cpus.effective": "8-9"})
    answer = read_topology(root)
    assert answer["allowed_cpus"] == [0, 1]
    assert "the cpuset" in answer["notes"]["allowed_cpus"]


@pytest.mark.parametrize(
    "entry", ["none /dev/cpuset cgroup rw,cpuset,noprefix 0 0", "cpuset /dev/cpuset cpuset rw 0 0"]
)
def test_old_cpusets_without_prefix(tree_folder, entry):
    root = Machine(cores=4).write(tree_folder)
    (Path(root) / "proc/self/cgroup").unlink()
    write_files(
        root, {"proc/mounts": entry, "proc/self/cpuset": "/job", "dev/cpuset/cpus": "0-3", "dev/cpuset/job/cpus": "1,3"}
    )
    answer = read_topology(root)
    assert answer["allowed_cpus"] == [1, 3]
    assert answer["platform"]["cgroup"] == "v1"


def test_version_2_without_the_controller_leaves_it_to_version_1(tree_folder):
    root = Machine(cores=4, cgroup="hybrid", allowed=[2]).write(tree_folder)
    write_files(root, {f"{CGROUP}/unified/cpuset.cpus.effective": "0", f"{CGROUP}/unified/cgroup.controllers": "io"})
    assert limits(root)[0] == [2]


def test_a_mount_point_cannot_lead_out_of_the_tree(tree_folder):
    write_files(tree_folder, {"outside/cgroup.controllers": "cpuset", "outside/cpuset.cpus.effective": "0"})
    root = Machine(cores=2).write(tree_folder / "tree")
    write_files(root, {"proc/mounts": "cgroup2 /../outside cgroup2 rw 0 0"})
    assert limits(root)[0] == [0, 1]


@pytest.mark.parametrize("text", ["max 100000", "-1 100000", "100000 0", "100000", "x y", "", "1" * 30 + " 1"])
def test_a_quota_that_is_none(tree_folder, text):
    root = Machine(quota=1).write(tree_folder)
    write_files(root, {f"{CGROUP}/user.slice/session/cpu.max": text})
    assert limits(root)[1] is None


def test_no_hierarchy_at_all(tree_folder):
    root = Machine(cores=2).write(tree_folder)
    write_files(root, {"proc/mounts": "/dev/sda1 / ext4 rw 0 0"})
    answer = read_topology(root)
    assert answer["allowed_cpus"] == [0, 1]
    assert answer["platform"]["cgroup"] is None
    assert "platform.cgroup" in answer["notes"]
