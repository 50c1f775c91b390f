"""What nvidia-smi says, as the tool prints it, and everything that it may do instead."""

import os
import time
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.discovery.nvidia import (
    parse_matrix,
    parse_query,
    read_nvidia,
    run_bounded,
)
from ansible_collections.inference.host.plugins.module_utils.discovery.pci import read_gpus
from ansible_collections.inference.host.plugins.module_utils.sysfs import Tree
from builders import Machine, write_files
from hypothesis import given
from hypothesis import strategies as st

VERSION = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version: gcc 12"
OPEN_VERSION = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (dvs-builder)"
QUERY = (
    "0, 00000000:10:00.0, NVIDIA H100 80GB HBM3, GPU-aaaa, 81559, 550.54.15, Enabled, Disabled\n"
    "1, 00000000:18:00.0, NVIDIA T4, GPU-bbbb, 15360, 550.54.15, Disabled, [N/A]\n"
)
MATRIX = (
    "\t\x1b[4mGPU0\tGPU1\tNIC0\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m\n"
    "GPU0\t X \tNV12\tPXB\t0-31,64-95\t0\t\tN/A\n"
    "GPU1\tNV12\t X \tSYS\t32-63\t1\t\tN/A\n"
    "NIC0\tPXB\tSYS\t X \t\t\t\t\n\nLegend:\n\n  X    = Self\n  NV#  = Connection traversing NVLinks\n"
)
P2P = " \tGPU0\tGPU1\t\n GPU0\tX\tCNS\t\n GPU1\tCNS\tX\t\n\nLegend:\n\n  X    = Self\n  OK   = Status Ok\n"


ANSWERS = """case "$*" in
*--query-gpu*) cat query ;;
"topo -m") cat topo ;;
"topo -p2p r") cat p2p ;;
*) exit 9 ;;
esac"""


def a_tool(folder, query=QUERY, topo=MATRIX, p2p=P2P, script=None):
    """A program that stands in for nvidia-smi: it prints what the real one prints, or does what `script` says."""
    write_files(folder, {"query": query, "topo": topo, "p2p": p2p})
    tool = Path(folder) / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\ncd {folder}\n{script or ANSWERS}\n")
    tool.chmod(0o755)
    return str(tool)


def ask(tmp_path, version=VERSION, timeout=20, **tool):
    root = Machine(gpus=[0, 0]).write(tmp_path / "tree")
    if version:
        write_files(root, {"proc/driver/nvidia/version": version})
    (tmp_path / "tool").mkdir()
    tree = Tree(root)
    answer, gpus = read_nvidia(tree, read_gpus(tree, [0]), a_tool(tmp_path / "tool", **tool), timeout)
    return answer, [gpu["nvidia"] for gpu in gpus], tree.notes


def test_everything_that_the_tool_says(tmp_path):
    answer, cards, notes = ask(tmp_path)
    assert answer["driver_version"] == "550.54.15"
    assert answer["smi"]["topology"] == {"GPU0": {"GPU1": "NV12"}, "GPU1": {"GPU0": "NV12"}}
    assert answer["smi"]["p2p_read"] == {"GPU0": {"GPU1": "CNS"}, "GPU1": {"GPU0": "CNS"}}
    assert cards == answer["smi"]["gpus"]
    assert cards[0] == {
        "index": 0,
        "address": "0000:10:00.0",
        "name": "NVIDIA H100 80GB HBM3",
        "uuid": "GPU-aaaa",
        "memory_mib": 81559,
        "driver_version": "550.54.15",
        "persistence": True,
        "mig": False,
    }
    assert (cards[1]["persistence"], cards[1]["mig"]) == (False, None)
    reason = "nvidia-smi does not tell mig.mode.current, or in a form that is not known."
    assert notes == {"gpus.0000:18:00.0.nvidia.mig": reason, "nvidia.smi.gpus.0000:18:00.0.mig": reason}


def test_the_version_of_the_open_driver(tmp_path):
    assert ask(tmp_path, version=OPEN_VERSION)[0]["driver_version"] == "570.86.15"


@pytest.mark.parametrize("version", ["NVRM version: new words", ""])
def test_a_version_that_is_not_understood_is_null_with_a_reason_and_the_tool_is_asked(tmp_path, version):
    root = Machine(gpus=[0]).write(tmp_path / "tree")
    write_files(root, {"proc/driver/nvidia/version": version})
    (tmp_path / "tool").mkdir()
    tree = Tree(root)
    answer, _gpus = read_nvidia(tree, [], a_tool(tmp_path / "tool"))
    assert (answer["driver_version"], len(answer["smi"]["gpus"])) == (None, 2)
    assert tree.notes["nvidia.driver_version"] == "Not known: /proc/driver/nvidia/version: nothing of use in it."
    assert "nvidia" not in tree.notes


def test_every_null_of_a_card_has_a_note_at_both_places(tmp_path):
    line = "0, 00000000:10:00.0, [Unknown Error], N/A, [N/A], [N/A], [Not Supported], new"
    _answer, cards, notes = ask(tmp_path, query=line)
    unknown = [item for item, value in cards[0].items() if value is None]
    assert unknown == ["name", "uuid", "memory_mib", "driver_version", "persistence", "mig"]
    for item in unknown:
        assert {f"gpus.0000:10:00.0.nvidia.{item}", f"nvidia.smi.gpus.0000:10:00.0.{item}"} <= set(notes)


def test_a_card_without_an_address_is_named_by_its_index(tmp_path):
    _answer, cards, notes = ask(tmp_path, query="3, [N/A], T4, GPU-a, 1, 550.1, Enabled, Disabled")
    assert cards == [None, None]
    assert "nvidia.smi.gpus.3.address" in notes


def test_without_a_driver_nothing_is_started(tmp_path):
    answer, cards, notes = ask(tmp_path, version=None, script="touch started")
    assert answer == {"driver_version": None, "smi": None}
    assert cards == [None, None]
    assert notes["nvidia"] == "The NVIDIA driver is not loaded."
    assert not (tmp_path / "tool" / "started").exists()


def test_a_recorded_tree_starts_nothing(tmp_path):
    root = Machine(gpus=[0]).write(tmp_path)
    write_files(root, {"proc/driver/nvidia/version": VERSION})
    tree = Tree(root)
    assert read_nvidia(tree, [])[0] == {"driver_version": "550.54.15", "smi": None}
    assert "recorded tree" in tree.notes["nvidia.smi"]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 9", "ended with status 9"),
        ("echo No devices were found", "no GPU in the form"),
        ("true", "no GPU in the form"),
        ("head -c 300000 /dev/urandom", "no GPU in the form"),
        ("kill -9 $$", "ended with status -9"),
        ("yes", "printed more than 1048576 bytes"),
    ],
)
def test_a_tool_that_fails_or_prints_something_new_is_a_note(tmp_path, script, reason):
    answer, cards, notes = ask(tmp_path, script=script)
    assert (answer["smi"], cards) == (None, [None, None])
    assert reason in notes["nvidia.smi"]


def test_a_tool_that_hangs_is_killed_with_its_children(tmp_path):
    started = time.monotonic()
    answer, _cards, notes = ask(tmp_path, timeout=0.3, script="sleep 600 & echo $! > child; wait")
    assert time.monotonic() - started < 30
    assert answer["smi"] is None
    assert "did not end in time" in notes["nvidia.smi"]
    child = int((tmp_path / "tool" / "child").read_text())
    for _attempt in range(1000):  # the kernel ends it, and init collects it, in their own time
        if not os.path.exists(f"/proc/{child}") or "\nState:\tZ" in Path(f"/proc/{child}/status").read_text():
            break
        os.sched_yield()
    else:
        pytest.fail("the child of the tool is still there")


def test_a_matrix_that_is_not_there_leaves_the_rest(tmp_path):
    answer, cards, notes = ask(tmp_path, topo="nothing known", p2p="")
    assert (answer["smi"]["topology"], answer["smi"]["p2p_read"]) == (None, None)
    assert cards[0]["memory_mib"] == 81559
    assert "printed no matrix" in notes["nvidia.smi.topology"]


def test_a_gpu_that_the_tool_does_not_name_gets_a_note(tmp_path):
    _answer, cards, notes = ask(tmp_path, query=QUERY.splitlines()[0])
    assert cards[1] is None
    assert "gpus.0000:18:00.0.nvidia" in notes


def test_a_tool_that_is_not_there():
    assert run_bounded(["/nonexistent/nvidia-smi"], 1) == (
        None,
        "it cannot be started ([Errno 2] No such file or directory: '/nonexistent/nvidia-smi')",
    )


def test_values_that_the_tool_does_not_know_are_null():
    line = "0, 00000000:10:00.0, [Unknown Error], N/A, [N/A], 550.1, [Not Supported], 7"
    assert parse_query("warning: a line\n" + line) == [
        {
            "index": 0,
            "address": "0000:10:00.0",
            "name": None,
            "uuid": None,
            "memory_mib": None,
            "driver_version": "550.1",
            "persistence": None,
            "mig": None,
        }
    ]


@given(
    st.text(max_size=300)
    | st.lists(st.sampled_from(["GPU0", "GPU1", "X", "NV4", "\t", "\n", ",", " ", "\x1b[4m", '"']), max_size=60).map(
        "".join
    )
)
def test_any_output_is_an_answer_or_none(text):
    assert all(
        set(card) == {"index", "address", "name", "uuid", "memory_mib", "driver_version", "persistence", "mig"}
        for card in parse_query(text)
    )
    matrix = parse_matrix(text)
    assert matrix is None or all(isinstance(row, dict) for row in matrix.values())


def test_a_line_that_is_no_csv_is_passed_over():
    assert parse_query("0, " + "x" * 200000 + "\n") == []
