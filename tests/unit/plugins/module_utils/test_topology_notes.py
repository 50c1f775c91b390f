"""Every answer that could not be had has a note: each file of built trees is damaged in turn, and none in silence."""

import re
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.topology import read_topology
from builders import Machine, as_mask, scratch, write_files, write_link

CPU = "sys/devices/system/cpu"
CGROUP = "sys/fs/cgroup"
SWITCH = "sys/devices/pci0000:00/0000:07:00.0"
JUNK = b"?!junk \xff"

# What names an element of a list of dictionaries in the keys of notes; the module's documentation states this rule.
ELEMENT_NAMES = {
    "numa_nodes": lambda node: node["id"],
    "block_devices": lambda disk: disk["name"],
    "filesystems": lambda entry: entry["mount"],
    "gpus": lambda gpu: gpu["address"] or gpu["index"],
    "acs": lambda bridge: bridge["address"],
    "policies": lambda policy: policy["cpus"][0],
}

# Null is an answer here: no limit, no hypervisor and no container.
NULL_IS_AN_ANSWER = {
    "quota_cpus",
    "memory_limit_mib",
    "services.quota_cpus",
    "services.memory_limit_mib",
    "platform.detail",
    "nvidia.problem",
}

UNREAD_ELEMENT = re.compile(r"gpus\.[0-9a-f:.]+\Z|block_devices\.[a-z0-9-]+\Z")

# Files whose absence, or whose emptiness, is an answer of its own.
ABSENCE_IS_AN_ANSWER = re.compile(
    r"sys/fs/cgroup/.*/(cpu\.max|memory\.max|memory\.limit_in_bytes)\Z"  # no limit here
    r"|sys/fs/cgroup/.*/cpuset\.cpus(\.effective)?\Z"  # no cpuset of its own
    r"|sys/devices/cpu_(core|atom)/cpus\Z"  # no such PMU
    r"|sys/block/.*/dm/name\Z"
)
EMPTINESS_IS_AN_ANSWER = re.compile(
    r"proc/cmdline\Z"
    r"|sys/fs/cgroup/(unified/)?cgroup\.controllers\Z"  # none of them is handed down
    r"|sys/fs/cgroup/cpuset/.*cpuset\.cpus\Z"  # version 1: not set yet
)

# Files that say the same in two spellings, or one of which stands in for the other.
SPELLINGS = (
    ("thread_siblings", "thread_siblings_list", "core_cpus", "core_cpus_list"),
    ("core_siblings", "core_siblings_list", "physical_package_id"),
    ("die_cpus", "die_cpus_list"),
    ("shared_cpu_map", "shared_cpu_list"),
    ("cpumap", "cpulist"),
    ("local_cpus", "local_cpulist"),
    ("affected_cpus", "related_cpus"),
    ("no_turbo", "boost"),
)


def leaves(answer):
    """Return {path: value} of all that an answer tells; a path has the keys, and ("name",) for an element of a list."""
    found = {}

    def walk(value, path):
        if isinstance(value, dict) and value:
            for key, item in value.items():
                walk(item, (*path, key))
        elif isinstance(value, list) and path[-1] in ELEMENT_NAMES:
            for item in value:
                walk(item, (*path, (str(ELEMENT_NAMES[path[-1]](item)),)))
        else:
            found[path] = value

    walk({key: value for key, value in answer.items() if key != "notes"}, ())
    return found


def keys_of(path):
    """Return the keys under which a note holds for a path: its own and those it is below, of the element or of all."""
    keys = []
    for count in range(len(path), 0, -1):
        keys.append(".".join(part if isinstance(part, str) else part[0] for part in path[:count]))
        keys.append(".".join(part for part in path[:count] if isinstance(part, str)))
    return keys


def note_of(notes, path):
    return next((notes[key] for key in keys_of(path) if key in notes), None)


def nulls_without_note(answer):
    """Return the paths that are None though no note says why, nor None has a meaning."""
    return [
        path
        for path, value in leaves(answer).items()
        if value is None
        and note_of(answer["notes"], path) is None
        and ".".join(map(str, path)) not in NULL_IS_AN_ANSWER
    ]


def silent_changes(before, after):
    """Return the paths that another reading answers otherwise without a note of its own on them."""
    told, tells = leaves(before), leaves(after)
    new_notes = {key: text for key, text in after["notes"].items() if before["notes"].get(key) != text}
    return [
        path
        for path in told.keys() | tells.keys()
        if (path not in told or path not in tells or told[path] != tells[path])
        and "?!junk" not in str(tells.get(path))  # any text is believed: this is what the machine says
        and path != ("nvidia", "problem")  # a sentence that says itself why it is there
        and note_of(new_notes, path) is None
    ]


def stray_notes(before, after):
    """Return the keys of notes on nothing that either reading has, other than elements that could not be read."""
    known = {key for answer in (before, after) for path in leaves(answer) for key in keys_of(path)} | {"iommu.acs"}
    return [
        key
        for key in sorted(after["notes"].keys() - known)
        if after.get(key.partition(".")[0]) != [] and not UNREAD_ELEMENT.match(key)
    ]


def a_server(root):
    """Two packages with unlike cores, version 2 control groups, limits of services, a volume on the disk, a GPU."""
    machine = Machine(
        sockets=2,
        cores=2,
        little=2,
        gpus=[1],
        nvme=[0],
        cpufreq="intel_pstate",
        allowed=[1, 2],
        quota=1.5,
        memory_limit_mib=2048,
        hugepages={2048: 3, 1048576: 1},
    )
    root = machine.write(root)
    dm = "sys/devices/virtual/block/dm-0"
    files = {
        "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 2024",
        "proc/driver/nvidia/params": 'EnableMSI: 1\nRegistryDwords: ""',
        "usr/lib64/libnvidia-ml.so.550.54.15": "",
        "sys/module/nvidia/version": "550.54.15",
        "lib/systemd/system/nvidia-persistenced.service": "[Unit]",
        "lib/systemd/system/nvidia-fabricmanager.service": "[Unit]",
        f"{SWITCH}/class": "0x068000",
        f"{SWITCH}/vendor": "0x10de",
        "sys/kernel/iommu_groups/0/type": "DMA",
        "sys/bus/pci/devices/0000:00:01.0/config": b"\0" * 0x100 + b"\x0d\0\1\0\0\0\4\0" + b"\0" * 0x100,
        f"{CGROUP}/system.slice/cpuset.cpus.effective": "1-3",
        f"{CGROUP}/system.slice/cpu.max": "300000 100000",
        f"{CGROUP}/system.slice/memory.max": 1 << 30,
        f"{dm}/dev": "253:0",
        f"{dm}/dm/name": "models",
        f"{dm}/size": 2048,
        "sys/block/nvme0n1/nvme0n1p1/holders/dm-0/.keep": "",
        "proc/self/mountinfo": "20 1 259:1 / / rw - ext4 /dev/root rw\n"
        "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 none rw\n"
        "40 1 253:0 / /models rw - xfs /dev/mapper/models rw",
    }
    for cpu in range(4):
        files[f"{CPU}/cpu{cpu}/topology/die_cpus"] = as_mask([cpu])
        files[f"{CPU}/cpu{cpu}/topology/die_cpus_list"] = cpu
    write_files(root, files)
    write_link(root, "sys/block/dm-0", dm)
    write_link(root, "sys/bus/pci/devices/0000:07:00.0", SWITCH)
    return root


def a_board(root):
    """Big and little cores with SMT, version 1 control groups, policies of two CPUs, turned-off firmware tables."""
    machine = Machine(
        cores=2,
        threads=2,
        little=1,
        little_by="part",
        cgroup="v1",
        cpufreq="acpi-cpufreq",
        allowed=[0, 1],
        quota=0.5,
        memory_limit_mib=512,
        nvme=[0],
        flags="fp asimd",
    )
    root = machine.write(root)
    for cpus in ((0, 2), (1, 3)):
        text = " ".join(map(str, cpus))
        write_files(root, {f"{CPU}/cpufreq/policy{cpus[0]}/{name}": text for name in ("affected_cpus", "related_cpus")})
    write_files(root, {f"{CPU}/cpu{cpu}/cpu_capacity": 446 if cpu % 2 else 1024 for cpu in range(4)})
    return root


def a_hybrid(root):
    """A virtual machine of Arm cores that only the firmware tells, hybrid control groups, no mountinfo."""
    machine = Machine(
        cores=2, cgroup="hybrid", allowed=[0], quota=1.0, memory_limit_mib=256, little=1, little_by="frequency"
    )
    root = machine.write(root)
    write_files(root, {"proc/cpuinfo": "processor : 0\nFeatures : fp\n\nprocessor : 1\nFeatures : fp\n"})
    return root


MACHINES = {"server": a_server, "board": a_board, "hybrid": a_hybrid}


def damaged(paths, how):
    for path in paths:
        path.unlink()
        if how == "unreadable":  # root may read every file: a folder in its place cannot be
            path.mkdir()
        elif how != "deleted":
            path.write_bytes({"empty": b"", "junk": JUNK}[how])


def mended(contents):
    for path, content in contents.items():
        if path.is_dir():
            path.rmdir()
        path.write_bytes(content)


def groups_of(files):
    """Return each file alone, then the files of a folder that stand in for each other together."""
    together = {}
    for path in files:
        for number, names in enumerate(SPELLINGS):
            if path.name in names:
                together.setdefault((path.parent, number), []).append(path)
    return [[path] for path in files] + [paths for paths in together.values() if len(paths) > 1]


@pytest.mark.parametrize("name", MACHINES)
def test_no_damage_to_any_file_changes_an_answer_without_a_note(name):
    with scratch() as folder:
        root = MACHINES[name](folder)
        before = read_topology(root)
        assert nulls_without_note(before) == []
        files = sorted(path for path in Path(root).rglob("*") if path.is_file() and not path.is_symlink())
        silent = []
        for paths in groups_of(files):
            contents = {path: path.read_bytes() for path in paths}
            where = str(paths[0].relative_to(root))
            for how in ("deleted", "empty", "junk", "unreadable"):
                if how == "deleted" and ABSENCE_IS_AN_ANSWER.match(where):
                    continue
                if how == "empty" and EMPTINESS_IS_AN_ANSWER.match(where):
                    continue
                damaged(paths, how)
                after = read_topology(root)
                mended(contents)
                wrong = silent_changes(before, after) + nulls_without_note(after) + stray_notes(before, after)
                silent += [(where, how, key) for key in wrong]
        assert read_topology(root) == before
    assert silent == []


def test_a_bare_list_of_cpus_has_a_note_for_all_that_is_missing(tree_folder):
    write_files(tree_folder, {f"{CPU}/online": "0-1"})
    answer = read_topology(str(tree_folder))
    assert nulls_without_note(answer) == []
    for key in ("quota_cpus", "memory_limit_mib", "services.quota_cpus", "services.memory_limit_mib", "allowed_cpus"):
        assert answer["notes"][key].endswith(".")


def test_the_live_machine_has_a_note_for_all_that_is_missing():
    assert nulls_without_note(read_topology()) == []
