"""Malformed and hostile trees: an answer with notes or one clear error, in bounded time, never a crash."""

import json
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.topology import TopologyError, read_topology
from builders import Machine, scratch, write_files, write_link
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nvidia_host import OPEN_VERSION, PARAMS

CPU = "sys/devices/system/cpu"
SWITCH = "sys/devices/pci0000:00/0000:07:00.0"
BOUND_SECONDS = 20  # of the processor, which is not what others take; far above what a reading takes


def read_safely(root):
    """Read; return the answer, or None for the one error that is allowed."""
    started = time.thread_time()
    try:
        answer = read_topology(str(root))
    except TopologyError as error:
        assert str(error).endswith(".")
        return None
    finally:
        assert time.thread_time() - started < BOUND_SECONDS
    json.dumps(answer).encode("utf-8")
    online = answer["cpus"]["online"]
    assert sorted(cpu for core in answer["cores"] for cpu in core) == online
    assert set(answer["allowed_cpus"]) <= set(online) and answer["allowed_cpus"]
    assert all(isinstance(reason, str) for reason in answer["notes"].values())
    return answer


def a_machine(root):
    root = Machine(sockets=2, cores=1, threads=2, gpus=[1], nvme=[0], cpufreq="intel_pstate", quota=1.0).write(root)
    write_files(
        root,
        {
            "proc/self/mountinfo": "20 1 259:1 / / rw - ext4 /dev/nvme0n1p1 rw\n30 1 0:26 / /sys/fs/cgroup rw - "
            "cgroup2 cgroup2 rw",
            "sys/kernel/iommu_groups/0/type": "DMA",
            "proc/driver/nvidia/version": OPEN_VERSION,
            "proc/driver/nvidia/params": PARAMS,
            "usr/lib64/libnvidia-ml.so.570.86.15": "",
            "lib/systemd/system/nvidia-fabricmanager.service": "",
            f"{SWITCH}/class": "0x068000",
            f"{SWITCH}/vendor": "0x10de",
        },
    )
    write_link(root, "sys/bus/pci/devices/0000:07:00.0", SWITCH)
    return root


@pytest.fixture(scope="module")
def built():
    with scratch() as folder:
        root = a_machine(folder)
        yield root, sorted(str(path.relative_to(root)) for path in Path(root).rglob("*") if path.is_file())


TEXTS = st.sampled_from(
    [
        b"",
        b"\0",
        b"-1",
        b"0-4294967295",
        b"0-2047",
        b"99999999999999999999",
        b"[",
        b"]a[",
        b"NaN",
        b"1e9",
        b"0,",
        b"ffffffff,",
        b"max",
        b"0::/../../..",
        b"Node 0 MemTotal: 99999999999999999 kB",
        b"\xff\xfe\x00\x01" * 50,
        b"9" * 70000,
        "\u0663".encode(),
        b"processor : 0\nprocessor : x\nprocessor 0: a=b",
        b":::\n:\n",
        b" - \n- - -",
        b"0x03",
        b"a\tb\tc",
    ]
)
DAMAGE = (
    st.sampled_from(["remove", "folder", "pipe", "loop", "up", "device", "truncate"]) | TEXTS | st.binary(max_size=200)
)


def damage(path, how):
    if isinstance(how, bytes):
        path.write_bytes(how)
        return
    content = path.read_bytes()
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "loop":
        path.symlink_to(path.name)
    elif how == "up":
        path.symlink_to("..")
    elif how == "device":
        path.symlink_to("/dev/zero")
    elif how == "truncate":
        path.write_bytes(content[: len(content) // 2])


def remove(path):
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    elif os.path.lexists(path):
        path.unlink()


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_to_any_files_is_survived(built, data):
    root, files = built
    victims = data.draw(st.dictionaries(st.sampled_from(files), DAMAGE, min_size=1, max_size=12))
    whole = {path: (Path(root) / path).read_bytes() for path in victims}
    try:
        for path, how in victims.items():
            damage(Path(root) / path, how)
        read_safely(root)
    finally:
        for path in victims:
            remove(Path(root) / path)
        write_files(root, whole)


@pytest.mark.parametrize(
    "junk", [b"\x00\xff\xfe\x80" * 100, b"", b"-", b"4294967295", b"0-4294967295", b"[[]]", b"a:b=c,d\n" * 50]
)
def test_a_tree_of_nothing_but_junk(built, tree_folder, junk):
    root, files = built
    copy = tree_folder / "tree"
    shutil.copytree(root, copy, symlinks=True)
    for path in files:
        (copy / path).write_bytes(junk)
    read_safely(copy)


def test_the_largest_machine_that_is_believed_is_read_in_bounded_time(tree_folder):
    write_files(
        tree_folder,
        {
            f"{CPU}/online": "0-65535",
            f"{CPU}/present": "0-65535",
            f"{CPU}/cpu0/topology/thread_siblings_list": "0-65535",
        },
    )
    assert len(read_safely(tree_folder)["cores"]) == 1


def test_loops_of_links_come_to_an_end(tree_folder):
    root = Path(Machine(cores=2, nvme=[0], gpus=[0]).write(tree_folder))
    for folder in (f"{CPU}/cpu0/cache", f"{CPU}/cpu0/topology", "sys/devices/system/node/node0/hugepages"):
        (root / folder / "again").symlink_to("..")
    (root / CPU / "cpu7").symlink_to(".")
    (root / CPU / "cpufreq").symlink_to("cpufreq")
    (root / "sys/bus/pci/devices/0000:77:00.0").symlink_to("../devices")
    (root / "sys/block/sda").symlink_to("../block")
    (root / "sys/block/nvme0n1/nvme0n1p9").symlink_to(".")
    answer = read_safely(root)
    assert answer["cpus"]["online"] == [0, 1]
    assert [disk["name"] for disk in answer["block_devices"]] == ["nvme0n1"]


def test_directories_full_of_names(tree_folder):
    root = Machine(cores=1).write(tree_folder)
    os.unlink(f"{root}/{CPU}/online")
    for number in range(30000):
        os.mkdir(f"{root}/{CPU}/x{number}")
    assert read_safely(root) is not None


def test_files_that_vanish_while_they_are_read(tree_folder):
    """A thread takes the tree apart while it is read, over and over: nothing but an answer or the one error."""
    answers = []
    for attempt in range(15):
        root = a_machine(tree_folder / str(attempt))
        remover = threading.Thread(target=shutil.rmtree, args=(root,))
        remover.start()
        answers.append(read_safely(root))
        remover.join()
    assert len(answers) == 15
