"""A whole reading: what is built is read back, the recorded machines, one opening a file, growth, notes."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.topology import TopologyError, read_topology
from builders import Machine, scratch, write_files
from hypothesis import given, settings
from hypothesis import strategies as st

CORPUS = os.environ.get("INFERENCE_HOST_TOPOLOGY_CORPUS")

EVENTS = []
WATCHING = []


def _watch(event, arguments):
    if WATCHING and event in ("open", "subprocess.Popen"):
        EVENTS.append((event, str(arguments[0])))


sys.addaudithook(_watch)  # cannot be taken away again: WATCHING switches it


def events_of(root):
    """Everything that one reading opens or starts, as Python's own audit events tell it."""
    EVENTS.clear()
    WATCHING.append(True)
    try:
        read_topology(root)
    finally:
        WATCHING.clear()
    return list(EVENTS)


@st.composite
def machines(draw):
    shape = {
        "sockets": draw(st.integers(1, 3)),
        "nodes": draw(st.integers(1, 2)),
        "cores": draw(st.integers(1, 2)),
        "threads": draw(st.sampled_from([1, 2, 3])),
        "numbering": draw(st.sampled_from(["adjacent", "split", "interleaved"])),
        "spacing": draw(st.integers(1, 3)),
        "node_spacing": draw(st.integers(1, 3)),
        "l3": draw(st.booleans()),
        "memory_nodes": draw(st.integers(0, 2)),
        "cgroup": draw(st.sampled_from(["v1", "v2", "hybrid"])),
        "quota": draw(st.sampled_from([None, 0.5, 2.0, 3.25])),
        "memory_limit_mib": draw(st.sampled_from([None, 512, 4096])),
        "cpufreq": draw(st.sampled_from([None, "intel_pstate", "acpi-cpufreq"])),
        "hugepages": draw(st.dictionaries(st.sampled_from([64, 2048, 1048576]), st.integers(0, 99), max_size=3)),
    }
    ids = [cpu.id for cpu in Machine(**shape).cpus()]
    shape["offline"] = draw(st.sets(st.sampled_from(ids), max_size=len(ids) - 1))
    online = sorted(set(ids) - shape["offline"])
    shape["allowed"] = draw(st.none() | st.sets(st.sampled_from(online), min_size=1))
    shape["little"] = draw(st.integers(0, shape["sockets"] * shape["nodes"] * shape["cores"]))
    shape["little_by"] = draw(st.sampled_from(["pmu", "capacity", "part"]))
    nodes = Machine(**shape).node_ids()
    shape["memoryless"] = draw(st.sets(st.sampled_from(nodes), max_size=1))
    places = st.lists(st.sampled_from([-1, *nodes]), max_size=2)
    shape["gpus"], shape["nvme"] = draw(places), draw(places)
    return Machine(**shape)


@settings(max_examples=150, deadline=None)
@given(machines())
def test_what_is_built_is_read_back(machine):
    with scratch() as root:
        answer = read_topology(machine.write(root))
    assert {key: answer[key] for key in machine.expected()} == machine.expected()
    assert {node["id"]: (node["cpus"], node["memory_mib"], node["hugepages"]) for node in answer["numa_nodes"]} == (
        machine.expected_nodes()
    )
    unknown_as_none = [None if node < 0 else node for node in machine.gpus]
    assert [gpu["numa_node"] for gpu in answer["gpus"]] == unknown_as_none
    assert [disk["numa_node"] for disk in answer["block_devices"]] == [None if n < 0 else n for n in machine.nvme]
    assert json.loads(json.dumps(answer)) == answer


@pytest.mark.skipif(not CORPUS, reason="INFERENCE_HOST_TOPOLOGY_CORPUS names no folder with grade.py and dumps")
def test_recorded_machines_are_read_right(capsys, monkeypatch, tree_folder):
    monkeypatch.setattr(tempfile, "tempdir", str(tree_folder))  # where the grader unpacks
    spec = importlib.util.spec_from_file_location("grade", Path(CORPUS) / "grade.py")
    grade = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(grade)
    repository = str(Path(__file__).resolve().parents[4])
    archive = str(next(Path(CORPUS).glob("*.tar.xz")))
    monkeypatch.setattr(sys, "argv", ["grade.py", "--repo", repository, archive])
    assert grade.main() == 0, capsys.readouterr().out


def test_each_file_is_opened_once(tree_folder):
    root = Machine(sockets=2, threads=2, gpus=[0], nvme=[1], cpufreq="intel_pstate").write(tree_folder)
    opened = [path for event, path in events_of(root) if event == "open" and path.startswith(root)]
    assert len(opened) > 100
    assert len(opened) == len(set(opened))


def test_no_program_is_started_without_an_nvidia_driver(tree_folder):
    root = Machine(gpus=[0]).write(tree_folder)
    assert [event for event, _path in events_of(root) if event == "subprocess.Popen"] == []
    if not os.path.exists("/proc/driver/nvidia/version"):
        assert [event for event, _path in events_of("/") if event == "subprocess.Popen"] == []


def test_the_number_of_files_opened_grows_linearly_with_cpus(tree_folder):
    def opened(cores):
        return len(
            events_of(Machine(nodes=2, cores=cores, threads=2, cpufreq="intel_pstate").write(tree_folder / str(cores)))
        )

    base, small, large = opened(2), opened(18), opened(34)
    assert small > base
    assert large - small == small - base


def test_two_readings_of_one_tree_are_equal(tree_folder):
    root = Machine(sockets=2, gpus=[1, 0], nvme=[0], cpufreq="acpi-cpufreq").write(tree_folder)
    assert json.dumps(read_topology(root)) == json.dumps(read_topology(root))


@pytest.mark.parametrize("root", ["missing", "empty"])
def test_a_tree_without_a_machine_is_refused_in_a_sentence(tree_folder, root):
    (tree_folder / "empty").mkdir()
    with pytest.raises(TopologyError, match=f"No CPU is to be found below {tree_folder}/{root}: .*Linux machine.$"):
        read_topology(str(tree_folder / root))


def test_a_bare_list_of_cpus_is_read_with_a_reason_for_all_that_is_missing(tree_folder):
    write_files(tree_folder, {"sys/devices/system/cpu/online": "0-1"})
    answer = read_topology(str(tree_folder))
    assert answer["cores"] == [[0], [1]]
    assert answer["packages"] == [[0, 1]]
    assert answer["allowed_cpus"] == [0, 1]
    assert answer["numa_nodes"][0]["cpus"] == [0, 1]
    for key in ("cores", "packages", "numa_nodes", "gpus", "block_devices", "cpu.vendor", "memory.total_mib"):
        assert answer["notes"][key].endswith(".")


def test_the_live_machine_agrees_with_what_python_knows_of_it():
    answer = read_topology()
    assert set(answer["allowed_cpus"]) == os.sched_getaffinity(0) & set(answer["cpus"]["online"])
    assert answer["memory_mib"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024**2
    assert answer["platform"]["kernel"] == os.uname().release
    assert "/" in [entry["mount"] for entry in answer["filesystems"]] or Path("/proc/mounts").stat().st_size == 0
    assert len(json.dumps(answer)) > 1000


def test_the_code_loads_with_nothing_but_the_standard_library():
    script = (
        "import sys; sys.path[:0] = [sys.argv[1]]\n"
        "from ansible_collections.inference.host.plugins.module_utils.topology import read_topology\n"
        "print(len(read_topology(sys.argv[2])['cpus']['online']))"
    )
    collections = str(Path(__file__).resolve().parents[4] / ".collections")
    with tempfile.TemporaryDirectory() as root:
        Machine(cores=2).write(root)
        run = subprocess.run(
            [sys.executable, "-I", "-S", "-c", script, collections, root], capture_output=True, text=True, check=False
        )
    assert (run.stdout.strip(), run.stderr) == ("2", "")
