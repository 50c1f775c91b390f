"""NUMA nodes, memory and frequency scaling."""

from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.topology import read_topology
from builders import Machine, as_mask, write_files

NODE = "sys/devices/system/node"
CPU = "sys/devices/system/cpu"


def test_nodes_without_cpus_or_memory_are_there(tree_folder):
    machine = Machine(sockets=2, cores=2, memory_nodes=1, memoryless=[1], node_memory_mib=1000)
    nodes = read_topology(machine.write(tree_folder))["numa_nodes"]
    assert [(node["cpus"], node["memory_mib"], node["memory_free_mib"]) for node in nodes] == [
        ([0, 1], 1000, 500),
        ([2, 3], 0, 0),
        ([], 1000, 500),
    ]


def test_overlapping_nodes_keep_their_cpus(tree_folder):
    root = Machine(sockets=2, cores=2).write(tree_folder)
    write_files(root, {f"{NODE}/node1/cpumap": as_mask([1, 2, 3])})
    assert [node["cpus"] for node in read_topology(root)["numa_nodes"]] == [[0, 1], [1, 2, 3]]


def test_offline_cpus_in_the_mask_of_a_node_are_dropped(tree_folder):
    root = Machine(cores=4, offline=[3]).write(tree_folder)
    write_files(root, {f"{NODE}/node0/cpumap": as_mask([0, 1, 2, 3])})
    assert read_topology(root)["numa_nodes"][0]["cpus"] == [0, 1, 2]


def test_the_links_of_a_node_stand_in_for_its_mask_and_list(tree_folder):
    root = Machine(cores=2).write(tree_folder)
    for name in ("cpumap", "cpulist"):
        (Path(root) / NODE / "node0" / name).unlink()
    write_files(root, {f"{NODE}/node0/cpu1/.keep": ""})
    answer = read_topology(root)
    assert answer["numa_nodes"][0]["cpus"] == [1]
    assert "links" in answer["notes"]["numa_nodes.0.cpus"]


def test_a_directory_of_a_node_that_is_not_online_does_not_count(tree_folder):
    root = Machine(sockets=2, cores=2, memory_nodes=1).write(tree_folder)
    write_files(root, {f"{NODE}/online": "0-1"})
    for node in (0, 1):
        write_files(root, {f"{NODE}/node{node}/distance": "10 21" if node == 0 else "21 10"})
    answer = read_topology(root)
    assert answer["distances"] == {"nodes": [0, 1], "matrix": [[10, 21], [21, 10]]}
    write_files(root, {f"{NODE}/online": "junk"})
    answer = read_topology(root)
    assert [node["id"] for node in answer["numa_nodes"]] == [0, 1, 2]
    assert "May be more than are online" in answer["notes"]["numa_nodes"]


def test_a_machine_without_nodes_is_one_node(tree_folder):
    root = Machine(cores=2, node_memory_mib=3000, hugepages={2048: 7}).write(tree_folder)
    (Path(root) / NODE).rename(Path(root) / "gone")
    answer = read_topology(root)
    assert answer["numa_nodes"] == [
        {
            "id": 0,
            "cpus": [0, 1],
            "memory_mib": 3000,
            "memory_free_mib": 1500,
            "hugepages": {"2048": 7},
            "hugepages_free": {"2048": 7},
            "hugepages_surplus": {"2048": 0},
        }
    ]
    assert answer["distances"] == {"nodes": [0], "matrix": [[10]]}
    assert "node 0" in answer["notes"]["numa_nodes"]


def test_hugepages_by_size_with_free_and_surplus(tree_folder):
    root = Machine(hugepages={2048: 512, 1048576: 2}).write(tree_folder)
    write_files(
        root,
        {
            f"{NODE}/node0/hugepages/hugepages-2048kB/free_hugepages": 100,
            f"{NODE}/node0/hugepages/hugepages-2048kB/surplus_hugepages": 3,
            f"{NODE}/node0/hugepages/hugepages-0x40kB/nr_hugepages": 9,
        },
    )
    node = read_topology(root)["numa_nodes"][0]
    assert node["hugepages"] == {"2048": 512, "1048576": 2}
    assert node["hugepages_free"] == {"2048": 100, "1048576": 2}
    assert node["hugepages_surplus"] == {"2048": 3, "1048576": 0}


def test_a_count_of_hugepages_that_cannot_be_had_is_null_with_a_reason(tree_folder):
    root = Machine(sockets=2, hugepages={2048: 512, 1048576: 2}).write(tree_folder)
    folder = f"{NODE}/node1/hugepages/hugepages-2048kB"
    write_files(root, {f"{folder}/nr_hugepages": "many"})
    (Path(root) / folder / "free_hugepages").unlink()
    answer = read_topology(root)
    node = answer["numa_nodes"][1]
    assert (node["hugepages"], node["hugepages_free"]) == (
        {"2048": None, "1048576": 2},
        {"2048": None, "1048576": 2},
    )
    assert answer["notes"] == dict(
        answer["notes"],
        **{
            "numa_nodes.1.hugepages.2048": f"Not known: /{folder}/nr_hugepages: not a whole number.",
            "numa_nodes.1.hugepages_free.2048": f"Not known: /{folder}/free_hugepages: No such file or directory.",
        },
    )


def test_distances_need_not_be_symmetric(tree_folder):
    root = Machine(sockets=2).write(tree_folder)
    write_files(root, {f"{NODE}/node0/distance": "10 30"})
    assert read_topology(root)["distances"]["matrix"] == [[10, 30], [21, 10]]


@pytest.mark.parametrize("row", ["10", "10 21 31", "10 x", "10 -1"])
def test_distances_that_do_not_fit_the_nodes_are_not_believed(tree_folder, row):
    root = Machine(sockets=2).write(tree_folder)
    write_files(root, {f"{NODE}/node0/distance": row})
    answer = read_topology(root)
    assert answer["distances"] is None
    assert "one figure for each of 2 nodes" in answer["notes"]["distances"]


def test_a_node_without_meminfo_has_unknown_memory_and_a_reason(tree_folder):
    root = Machine().write(tree_folder)
    (Path(root) / NODE / "node0" / "meminfo").unlink()
    answer = read_topology(root)
    assert answer["numa_nodes"][0]["memory_mib"] is None
    assert answer["notes"]["numa_nodes.0.memory_mib"] == (
        f"Not known: /{NODE}/node0/meminfo: No such file or directory."
    )


def test_the_memory_and_its_settings(tree_folder):
    answer = read_topology(Machine(node_memory_mib=8192).write(tree_folder))
    assert answer["memory_mib"] == 8192
    assert answer["memory"] == {
        "total_mib": 8192,
        "free_mib": 4096,
        "available_mib": 4096,
        "swap_total_mib": 2,
        "swap_free_mib": 1,
        "swappiness": 60,
        "overcommit_memory": 0,
        "overcommit_ratio": 50,
        "numa_balancing": 1,
        "zone_reclaim_mode": 0,
        "transparent_hugepage": {
            "enabled": "madvise",
            "enabled_choices": ["always", "madvise", "never"],
            "defrag": "madvise",
            "defrag_choices": ["always", "defer", "defer+madvise", "madvise", "never"],
        },
    }


def test_a_setting_that_this_kernel_lacks_is_null_with_a_reason(tree_folder):
    root = Machine().write(tree_folder)
    (Path(root) / "proc/sys/kernel/numa_balancing").unlink()
    write_files(root, {"proc/sys/vm/swappiness": "sixty", "sys/kernel/mm/transparent_hugepage/enabled": "always never"})
    answer = read_topology(root)
    assert answer["memory"]["numa_balancing"] is None
    assert "No such file" in answer["notes"]["memory.numa_balancing"]
    assert answer["memory"]["swappiness"] is None
    assert answer["notes"]["memory.swappiness"] == "Not known: /proc/sys/vm/swappiness: not a whole number."
    assert answer["memory"]["transparent_hugepage"]["enabled"] is None
    assert "memory.transparent_hugepage.enabled" in answer["notes"]


def test_frequency_scaling_of_intel(tree_folder):
    frequency = read_topology(Machine(cores=2, cpufreq="intel_pstate").write(tree_folder))["cpufreq"]
    policies = frequency.pop("policies")
    assert frequency == {
        "driver": "intel_pstate",
        "mode": "active",
        "governors": ["performance", "powersave"],
        "governor": "powersave",
        "boost": True,
        "boost_file": f"/{CPU}/intel_pstate/no_turbo",
    }
    assert policies[1] == {
        "cpus": [1],
        "driver": "intel_pstate",
        "governor": "powersave",
        "governors": ["performance", "powersave"],
        "min_khz": 800000,
        "max_khz": 3900000,
        "base_khz": 2100000,
        "epp": "balance_performance",
        "epp_choices": ["balance_power", "default", "performance", "power"],
    }


def test_frequency_scaling_without_modes_and_preferences(tree_folder):
    answer = read_topology(Machine(cpufreq="acpi-cpufreq").write(tree_folder))
    assert (answer["cpufreq"]["mode"], answer["cpufreq"]["boost"]) == (None, True)
    assert answer["cpufreq"]["boost_file"] == f"/{CPU}/cpufreq/boost"
    assert answer["notes"]["cpufreq.mode"] == "This driver has no modes."
    assert "cpufreq.policies.epp" in answer["notes"]


def test_a_policy_that_lacks_what_the_others_have_is_named(tree_folder):
    root = Machine(cores=3, cpufreq="intel_pstate").write(tree_folder)
    folder = Path(root) / CPU / "cpufreq"
    (folder / "policy1/energy_performance_preference").unlink()
    (folder / "policy1/base_frequency").write_text("fast\n")
    (folder / "policy2/cpuinfo_min_freq").write_text("")
    (folder / "policy2/cpuinfo_max_freq").unlink()
    (folder / "policy0/scaling_governor").unlink()
    answer = read_topology(root)
    notes = answer["notes"]
    assert {key for key in notes if key.startswith("cpufreq.policies")} == {
        "cpufreq.policies.0.governor",
        "cpufreq.policies.1.epp",
        "cpufreq.policies.1.base_khz",
        "cpufreq.policies.2.min_khz",
        "cpufreq.policies.2.max_khz",
    }
    assert notes["cpufreq.policies.1.base_khz"].endswith("policy1/base_frequency: not a whole number.")
    assert "cpufreq.governor" in notes


def test_what_a_driver_never_has_is_one_note(tree_folder):
    notes = read_topology(Machine(cores=3, cpufreq="acpi-cpufreq").write(tree_folder))["notes"]
    assert {key for key in notes if key.startswith("cpufreq.policies")} == {
        "cpufreq.policies.base_khz",
        "cpufreq.policies.epp",
        "cpufreq.policies.epp_choices",
    }
    assert notes["cpufreq.policies.base_khz"] == "This driver has no base_frequency."


def test_a_boost_that_is_neither_on_nor_off_is_not_known(tree_folder):
    root = Machine(cpufreq="acpi-cpufreq").write(tree_folder)
    write_files(root, {f"{CPU}/cpufreq/boost": 7})
    answer = read_topology(root)
    assert (answer["cpufreq"]["boost"], answer["cpufreq"]["boost_file"]) == (None, None)
    assert {"cpufreq.boost", "cpufreq.boost_file"} <= set(answer["notes"])


def test_turbo_that_is_switched_off(tree_folder):
    root = Machine(cpufreq="intel_pstate").write(tree_folder)
    write_files(root, {f"{CPU}/intel_pstate/no_turbo": 1})
    assert read_topology(root)["cpufreq"]["boost"] is False


def test_policies_of_several_cpus_and_governors_that_differ(tree_folder):
    root = Machine(cores=4, cpufreq="acpi-cpufreq").write(tree_folder)
    write_files(
        root,
        {
            f"{CPU}/cpufreq/policy0/affected_cpus": "0 1",
            f"{CPU}/cpufreq/policy2/scaling_governor": "performance",
            f"{CPU}/cpufreq/policy3/scaling_available_governors": "performance ondemand",
        },
    )
    answer = read_topology(root)
    assert [policy["cpus"] for policy in answer["cpufreq"]["policies"]] == [[0, 1], [2], [3]]
    assert answer["cpufreq"]["governor"] is None
    assert answer["cpufreq"]["governors"] == ["performance"]
    assert "differ" in answer["notes"]["cpufreq.governor"]


def test_old_kernels_keep_the_policy_with_the_cpu(tree_folder):
    root = Machine(cores=2).write(tree_folder)
    write_files(
        root,
        {
            f"{CPU}/cpu{cpu}/cpufreq/{name}": value
            for cpu in (0, 1)
            for name, value in (
                ("affected_cpus", "0 1"),
                ("scaling_driver", "acpi-cpufreq"),
                ("scaling_governor", "ondemand"),
            )
        },
    )
    frequency = read_topology(root)["cpufreq"]
    assert [policy["cpus"] for policy in frequency["policies"]] == [[0, 1]]
    assert (frequency["driver"], frequency["governor"]) == ("acpi-cpufreq", "ondemand")


def test_no_frequency_scaling_is_said(tree_folder):
    answer = read_topology(Machine().write(tree_folder))
    assert answer["cpufreq"] == {
        "driver": None,
        "mode": None,
        "governors": [],
        "governor": None,
        "policies": [],
        "boost": None,
        "boost_file": None,
    }
    assert "no frequency scaling" in answer["notes"]["cpufreq"]
