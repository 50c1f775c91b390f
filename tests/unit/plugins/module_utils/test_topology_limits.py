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


@pytest.mark.parametrize("text", ["max 100000", "-1 100000"])
def test_a_quota_that_is_none_needs_no_note(tree_folder, text):
    root = Machine(quota=1).write(tree_folder)
    write_files(root, {f"{CGROUP}/user.slice/session/cpu.max": text})
    answer = read_topology(root)
    assert answer["quota_cpus"] is None
    assert "quota_cpus" not in answer["notes"]


@pytest.mark.parametrize("text", ["100000 0", "100000", "x y", "", "1" * 30 + " 1"])
def test_a_quota_that_is_not_understood_is_null_with_a_reason(tree_folder, text):
    root = Machine(quota=1).write(tree_folder)
    write_files(root, {f"{CGROUP}/user.slice/session/cpu.max": text})
    answer = read_topology(root)
    assert answer["quota_cpus"] is None
    assert answer["notes"]["quota_cpus"].startswith(f"Not known: /{CGROUP}/user.slice/session/cpu.max: ")


@pytest.mark.parametrize("version", ["v1", "v2", "hybrid"])
@pytest.mark.parametrize("how", ["junk", "unreadable"])
def test_a_limit_that_cannot_be_read_is_null_with_a_reason_and_no_limit_is_not(tree_folder, version, how):
    root = Machine(quota=1, memory_limit_mib=64, cgroup=version).write(tree_folder)
    before = read_topology(root)
    names = ["cpu.max", "memory.max"] if version == "v2" else ["cpu.cfs_quota_us", "memory.limit_in_bytes"]
    for name in names:
        controller = "" if version == "v2" else name.split(".", maxsplit=1)[0] + "/"
        for group in ("user.slice/session", "system.slice"):
            path = Path(root) / CGROUP / controller / group / name
            if how == "junk":
                write_files(root, {path: "junk"})
            else:
                path.unlink() if path.exists() else None
                path.mkdir(parents=True)
    after = read_topology(root)
    for key in ("quota_cpus", "memory_limit_mib"):
        assert before[key] is not None
        assert (after[key], after["services"][key]) == (None, None)
        for prefix in ("", "services."):
            assert prefix + key not in before["notes"]
            assert after["notes"][prefix + key].startswith(f"Not known: /{CGROUP}/")


def test_the_smallest_limit_that_can_be_read_stands_with_a_doubt(tree_folder):
    root = Machine(cores=4, quota=1, memory_limit_mib=64).write(tree_folder)
    write_files(
        root,
        {
            f"{CGROUP}/user.slice/session/cpu.max": "junk",
            f"{CGROUP}/user.slice/cpu.max": "250000 100000",
            f"{CGROUP}/user.slice/session/memory.max": "junk",
            f"{CGROUP}/user.slice/memory.max": 1 << 30,
        },
    )
    answer = read_topology(root)
    assert (answer["quota_cpus"], answer["memory_limit_mib"]) == (2.5, 1024)
    for key in ("quota_cpus", "memory_limit_mib"):
        assert answer["notes"][key].startswith(f"May be smaller: /{CGROUP}/user.slice/session/")


def test_a_control_group_that_is_not_below_the_mount_point_leaves_limits_unknown(tree_folder):
    """Seen from a cgroup namespace, a mount that was made outside of it has a root that begins with /.. ."""
    root = Machine(cores=4).write(tree_folder)
    write_files(
        root,
        {
            "proc/self/mountinfo": "30 20 0:26 /../.. /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw",
            "proc/self/cgroup": "0::/user.slice",
            f"{CGROUP}/user.slice/cpu.max": "100000 100000",
        },
    )
    answer = read_topology(root)
    assert answer["quota_cpus"] is None
    assert "/user.slice of this process is not to be found" in answer["notes"]["quota_cpus"]


def test_without_the_own_control_group_only_the_mount_point_is_known(tree_folder):
    root = Machine(cores=4, quota=1).write(tree_folder)
    (Path(root) / "proc/self/cgroup").unlink()
    (Path(root) / "proc/self/cpuset").unlink()
    answer = read_topology(root)
    assert answer["quota_cpus"] is None
    assert answer["notes"]["quota_cpus"] == "Not known: /proc/self/cgroup: No such file or directory."


def test_services_of_a_container_are_below_what_is_mounted(tree_folder):
    root = Machine(cores=4).write(tree_folder)
    write_files(
        root,
        {
            "proc/self/mountinfo": "30 20 0:26 /machine/box /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw",
            "proc/self/cgroup": "0::/machine/box/system.slice/ssh",
            f"{CGROUP}/system.slice/cpu.max": "200000 100000",
            f"{CGROUP}/system.slice/ssh/cpu.max": "150000 100000",
            f"{CGROUP}/cpu.max": "max 100000",
        },
    )
    answer = read_topology(root)
    assert (answer["quota_cpus"], answer["services"]["quota_cpus"]) == (1.5, 2.0)


def test_no_hierarchy_at_all(tree_folder):
    root = Machine(cores=2).write(tree_folder)
    write_files(root, {"proc/mounts": "/dev/sda1 / ext4 rw 0 0"})
    answer = read_topology(root)
    assert answer["allowed_cpus"] == [0, 1]
    assert answer["platform"]["cgroup"] is None
    assert "platform.cgroup" in answer["notes"]
