"""CPUs, cores, packages, caches and core kinds: each oddity of a real machine, and the rule for it."""

from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.discovery.cpuinfo import parse_cpuinfo
from ansible_collections.inference.host.plugins.module_utils.discovery.kinds import cut_at_gaps
from ansible_collections.inference.host.plugins.module_utils.topology import read_topology
from builders import Machine, as_mask, write_files

CPU = "sys/devices/system/cpu"


def remove(root, *patterns):
    """Take files away from a built tree."""
    for pattern in patterns:
        found = list(Path(root).glob(pattern))
        assert found, pattern
        for path in found:
            path.unlink()


def test_online_is_worked_out_from_the_directories_where_there_is_no_list(tree_folder):
    root = Machine(cores=4, offline=[2]).write(tree_folder)
    remove(root, f"{CPU}/online", f"{CPU}/present")
    assert read_topology(root)["cpus"] == {"present": [0, 1, 2, 3], "online": [0, 1, 3], "offline": [2]}


@pytest.mark.parametrize("junk", ["0-4294967295", "\x00\x01\x02", "3-0", ""])
def test_a_malformed_online_list_is_as_good_as_none(tree_folder, junk):
    root = Machine(cores=4, offline=[2]).write(tree_folder)
    write_files(root, {f"{CPU}/online": junk})
    assert read_topology(root)["cpus"]["online"] == [0, 1, 3]


def test_a_cpu_without_topology_files_is_not_online_where_others_have_them(tree_folder):
    root = Machine(cores=2).write(tree_folder)
    remove(root, f"{CPU}/online", f"{CPU}/present")
    write_files(root, {f"{CPU}/cpu9/crash_notes": "0"})
    assert read_topology(root)["cpus"] == {"present": [0, 1, 9], "online": [0, 1], "offline": [9]}


def test_nul_bytes_at_the_end_are_padding(tree_folder):
    root = Machine(cores=4, threads=2).write(tree_folder)
    write_files(root, {f"{CPU}/online": b"0-7\n\0\0", f"{CPU}/cpu0/topology/thread_siblings": b"11\n\0"})
    assert read_topology(root)["cores"][0] == [0, 4]


def test_the_mask_wins_over_a_stale_list(tree_folder):
    root = Machine(cores=4, threads=2).write(tree_folder)
    write_files(
        root, {f"{CPU}/cpu0/topology/thread_siblings_list": "0-7", f"{CPU}/cpu0/cache/index3/shared_cpu_list": "0"}
    )
    answer = read_topology(root)
    assert answer["cores"] == [[0, 4], [1, 5], [2, 6], [3, 7]]
    assert answer["l3"] == [list(range(8))]


@pytest.mark.parametrize("mask", ["zz", "", "0"])
def test_the_list_stands_in_for_a_mask_that_says_nothing(tree_folder, mask):
    root = Machine(cores=1, threads=2).write(tree_folder)
    for cpu in (0, 1):
        write_files(root, {f"{CPU}/cpu{cpu}/topology/thread_siblings": mask})
    remove(root, f"{CPU}/cpu*/topology/core_cpus*") if mask != "0" else None
    assert read_topology(root)["cores"] == [[0, 1]]


def test_offline_cpus_in_a_stale_mask_are_dropped(tree_folder):
    root = Machine(cores=2, threads=2, offline=[2]).write(tree_folder)
    write_files(root, {f"{CPU}/cpu0/topology/thread_siblings": as_mask([0, 2])})
    assert read_topology(root)["cores"] == [[0], [1, 3]]


def test_masks_that_contradict_each_other_still_give_disjoint_cores(tree_folder):
    root = Machine(cores=4).write(tree_folder)
    write_files(root, {f"{CPU}/cpu1/topology/thread_siblings": as_mask([0, 1, 2])})
    assert read_topology(root)["cores"] == [[0], [1, 2], [3]]


def test_core_ids_that_repeat_or_differ_are_of_no_account(tree_folder):
    root = Machine(sockets=2, cores=2, threads=2).write(tree_folder)
    write_files(root, {f"{CPU}/cpu{cpu}/topology/core_id": cpu % 3 for cpu in range(8)})
    assert read_topology(root)["cores"] == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_cpuinfo_stands_in_for_topology_files(tree_folder):
    root = Machine(sockets=2, cores=2, threads=2).write(tree_folder)
    remove(root, f"{CPU}/cpu*/topology/*")
    answer = read_topology(root)
    assert answer["cores"] == [[0, 4], [1, 5], [2, 6], [3, 7]]
    assert answer["packages"] == [[0, 1, 4, 5], [2, 3, 6, 7]]


def test_without_any_source_each_cpu_is_a_core_and_the_notes_say_so(tree_folder):
    root = Machine(cores=2).write(tree_folder)
    remove(root, f"{CPU}/cpu*/topology/*", "proc/cpuinfo")
    answer = read_topology(root)
    assert (answer["cores"], answer["packages"]) == ([[0], [1]], [[0, 1]])
    assert answer["notes"]["cores"] == "No file tells about 2 CPUs, cpu0 the first; each is counted as a core."
    assert "one package" in answer["notes"]["packages"]


def test_packages_go_by_id_where_old_kernels_cut_the_masks_at_nodes(tree_folder):
    root = Machine(sockets=2, nodes=2, cores=2).write(tree_folder)
    write_files(root, {f"{CPU}/cpu{cpu}/topology/core_siblings": as_mask([cpu]) for cpu in range(8)})
    assert read_topology(root)["packages"] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_packages_go_by_mask_where_the_id_is_minus_one(tree_folder):
    root = Machine(sockets=2, cores=2).write(tree_folder)
    write_files(root, {f"{CPU}/cpu{cpu}/topology/physical_package_id": -1 for cpu in range(4)})
    assert read_topology(root)["packages"] == [[0, 1], [2, 3]]


def test_packages_go_by_mask_where_ids_repeat_as_in_the_books_of_a_mainframe(tree_folder):
    root = Machine(sockets=2, cores=2, flags="esan3 zarch").write(tree_folder)
    write_files(root, {f"{CPU}/cpu{cpu}/topology/physical_package_id": 1 for cpu in range(4)})
    assert read_topology(root)["packages"] == [[0, 1], [2, 3]]


def test_packages_go_by_id_without_masks_on_any_processor(tree_folder):
    root = Machine(sockets=2, cores=2, flags="fp asimd").write(tree_folder)
    remove(root, f"{CPU}/cpu*/topology/core_siblings*")
    assert read_topology(root)["packages"] == [[0, 1], [2, 3]]


def test_packages_go_by_mask_where_cpuinfo_is_there_and_has_no_flags(tree_folder):
    root = Machine(sockets=2, cores=2).write(tree_folder)
    write_files(root, {"proc/cpuinfo": "cpu\t\t: UltraSparc T1 (Niagara)\ntype\t\t: sun4v\n"})
    write_files(root, {f"{CPU}/cpu{cpu}/topology/physical_package_id": cpu for cpu in range(4)})
    assert read_topology(root)["packages"] == [[0, 1], [2, 3]]


@pytest.mark.parametrize("unknown", [-1, 65535, "junk"])
def test_a_cpu_without_a_package_id_is_in_the_package_that_its_mask_names(tree_folder, unknown):
    root = Machine(sockets=2, cores=2).write(tree_folder)
    write_files(root, {f"{CPU}/cpu1/topology/physical_package_id": unknown})
    assert read_topology(root)["packages"] == [[0, 1], [2, 3]]


def test_a_cpu_without_topology_files_is_placed_with_the_others_by_cpuinfo(tree_folder):
    root = Machine(sockets=2, cores=2, threads=2).write(tree_folder)
    remove(root, f"{CPU}/cpu5/topology/*", f"{CPU}/cpu1/topology/thread_siblings*", f"{CPU}/cpu1/topology/core_cpus*")
    answer = read_topology(root)
    assert answer["packages"] == [[0, 1, 4, 5], [2, 3, 6, 7]]
    assert answer["cores"] == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_old_kernels_tell_the_package_and_no_core(tree_folder):
    root = Machine(sockets=2, cores=2).write(tree_folder)
    remove(root, f"{CPU}/cpu*/topology/*")
    text = "\n".join(f"processor : {cpu}\nflags : tsc\nphysical id : {cpu % 2 * 3}\n" for cpu in range(4))
    write_files(root, {"proc/cpuinfo": text})
    answer = read_topology(root)
    assert answer["packages"] == [[0, 2], [1, 3]]
    assert answer["cores"] == [[0], [1], [2], [3]]
    assert "cores" in answer["notes"]


def test_a_source_of_core_kinds_that_cannot_be_used_is_said(tree_folder):
    root = Machine(cores=4, little=2, little_by="capacity").write(tree_folder)
    remove(root, f"{CPU}/cpu3/cpu_capacity")
    answer = read_topology(root)
    assert answer["core_kinds"] == []
    assert "cpu_capacity is not known of each CPU" in answer["notes"]["core_kinds"]


def test_dies_are_there_where_the_kernel_tells_them(tree_folder):
    root = Machine(cores=4).write(tree_folder)
    assert read_topology(root)["dies"] == []
    write_files(
        root, {f"{CPU}/cpu{cpu}/topology/die_cpus": as_mask([cpu // 2 * 2, cpu // 2 * 2 + 1]) for cpu in range(4)}
    )
    assert read_topology(root)["dies"] == [[0, 1], [2, 3]]


def test_an_empty_cache_mask_means_the_core_and_a_missing_cache_nothing(tree_folder):
    root = Machine(cores=2, threads=2).write(tree_folder)
    for cpu in range(4):
        write_files(root, {f"{CPU}/cpu{cpu}/cache/index2/shared_cpu_map": "0"})
    remove(root, f"{CPU}/cpu*/cache/index3/*")
    answer = read_topology(root)
    assert answer["l2"] == [[0, 2], [1, 3]]
    assert answer["l3"] == []


def test_instruction_caches_do_not_count(tree_folder):
    root = Machine(cores=2, l3=False).write(tree_folder)
    for cpu in range(2):
        write_files(
            root,
            {
                f"{CPU}/cpu{cpu}/cache/index0/level": 2,
                f"{CPU}/cpu{cpu}/cache/index0/type": "Instruction",
                f"{CPU}/cpu{cpu}/cache/index0/shared_cpu_map": "3",
            },
        )
    assert read_topology(root)["l2"] == [[0], [1]]


@pytest.mark.parametrize("by", ["pmu", "capacity", "frequency", "part"])
def test_unlike_cores_are_told_by_each_source(tree_folder, by):
    machine = Machine(cores=6, little=4, little_by=by, numbering="adjacent", threads=1)
    assert read_topology(machine.write(tree_folder))["core_kinds"] == [[0, 1], [2, 3, 4, 5]]


def test_parts_win_over_capacities_that_differ_within_a_kind(tree_folder):
    root = Machine(cores=6, little=3, little_by="part").write(tree_folder)
    write_files(root, {f"{CPU}/cpu{cpu}/cpu_capacity": 600 + cpu * 80 for cpu in range(6)})
    # The parts tell the kinds apart, the capacities which one comes first.
    assert read_topology(root)["core_kinds"] == [[3, 4, 5], [0, 1, 2]]


def test_pmu_lists_that_leave_cpus_out_or_overlap_are_not_used(tree_folder):
    root = Machine(cores=4, little=2).write(tree_folder)
    write_files(root, {"sys/devices/cpu_atom/cpus": "3"})
    assert read_topology(root)["core_kinds"] == []
    write_files(root, {"sys/devices/cpu_atom/cpus": "1-3"})
    assert read_topology(root)["core_kinds"] == []


def test_base_frequency_wins_over_capacity(tree_folder):
    root = Machine(cores=4, cpufreq="intel_pstate").write(tree_folder)
    write_files(root, {f"{CPU}/cpufreq/policy3/base_frequency": 1400000, f"{CPU}/cpu0/cpu_capacity": 100})
    assert read_topology(root)["core_kinds"] == [[0, 1, 2], [3]]


def test_favoured_cores_are_no_kind_of_their_own(tree_folder):
    root = Machine(cores=4, cpufreq="acpi-cpufreq").write(tree_folder)
    write_files(root, {f"{CPU}/cpufreq/policy{cpu}/cpuinfo_max_freq": 4400000 + cpu * 150000 for cpu in range(4)})
    assert read_topology(root)["core_kinds"] == []


def test_figures_are_cut_where_one_is_over_a_tenth_above_the_last():
    assert cut_at_gaps({0: 718, 1: 731, 2: 997, 3: 1017, 4: 1024}) == [[0, 1], [2, 3, 4]]
    assert cut_at_gaps({0: 1000, 1: 1100}) == [[0, 1]]
    assert cut_at_gaps({0: 1000, 1: 1101}) == [[0], [1]]


def test_flags_are_those_that_every_cpu_has(tree_folder):
    root = Machine(cores=2).write(tree_folder)
    write_files(
        root, {"proc/cpuinfo": "processor : 0\nflags : tsc avx2 avx512f amx_tile\n\nprocessor : 1\nflags : tsc avx2\n"}
    )
    answer = read_topology(root)
    assert answer["cpu"]["flags"] == ["avx2", "tsc"]
    assert answer["cpu"]["features"] == ["avx2"]


def test_the_processor_is_described(tree_folder):
    assert read_topology(Machine().write(tree_folder))["cpu"] == {
        "vendor": "GenuineIntel",
        "model_name": "Test Processor",
        "family": "6",
        "model": "143",
        "stepping": "8",
        "flags": ["amx_tile", "avx2", "avx512_vnni", "avx512f", "fpu", "sse2", "tsc"],
        "features": ["amx_tile", "avx2", "avx512_vnni", "avx512f"],
    }


CPUINFOS = {
    "arm": (
        "processor\t: 0\nFeatures\t: fp asimd sve i8mm\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n",
        ("0x41", "0xd40", ["asimd", "i8mm", "sve"]),
    ),
    "old arm": (
        "Processor\t: AArch64 Processor rev 0 (aarch64)\nprocessor\t: 0\nprocessor\t: 1\nFeatures\t: fp asimd\n"
        "CPU implementer\t: 0x41\nCPU part\t: 0xd03\n",
        ("0x41", "0xd03", ["asimd"]),
    ),
    "power": (
        "processor\t: 0\ncpu\t\t: POWER9, altivec supported\nrevision\t: 2.2\n\nmachine\t\t: PowerNV\n",
        (None, "POWER9, altivec supported", None),
    ),
    "s390": (
        "vendor_id       : IBM/S390\nfeatures\t: esan3 zarch vx\nprocessor 0: version = FF,  machine = 8561\n"
        "processor 1: version = FF,  machine = 8561\n",
        ("IBM/S390", "8561", []),
    ),
    "riscv": (
        "processor\t: 0\nhart\t\t: 1\nisa\t\t: rv64imafdcv_zba_zvfh\nuarch\t\t: sifive,p550\n",
        (None, "sifive,p550", ["rvv", "zvfh"]),
    ),
}


@pytest.mark.parametrize("name", CPUINFOS)
def test_processors_of_other_architectures_are_described(tree_folder, name):
    text, (vendor, model_name, features) = CPUINFOS[name]
    root = Machine(cores=1).write(tree_folder)
    write_files(root, {"proc/cpuinfo": text})
    cpu = read_topology(root)["cpu"]
    assert (cpu["vendor"], cpu["model_name"]) == (vendor, model_name)
    assert (cpu["flags"] is None) == (features is None)
    assert cpu["features"] == sorted(features or [])


def test_blocks_of_cpuinfo_belong_to_their_processor():
    shared, blocks = parse_cpuinfo(
        "machine : box\nprocessor : 3\na : 1\n\nprocessor : 99999999\nb : 2\n\nHardware : x\n"
    )
    assert blocks == {3: {"a": "1"}}
    assert shared["machine"] == "box"
