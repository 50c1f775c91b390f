"""The driver as its files tell of it, and errors of cards in the kernel log."""

import os

import pytest
from ansible_collections.inference.host.plugins.module_utils.discovery import nvidia_log
from ansible_collections.inference.host.plugins.module_utils.discovery.nvidia_driver import (
    find_unit,
    parse_version,
    read_driver,
    read_library_version,
    read_params,
    unit_command,
)
from ansible_collections.inference.host.plugins.module_utils.discovery.nvidia_log import parse_xid, read_log, read_xid
from ansible_collections.inference.host.plugins.module_utils.sysfs import Tree
from builders import write_files
from hypothesis import given
from hypothesis import strategies as st
from nvidia_host import OPEN_VERSION, PARAMS, VERSION, driver_tree

DEBIAN = "usr/lib/x86_64-linux-gnu"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (VERSION, ("550.54.15", False)),
        (OPEN_VERSION, ("570.86.15", True)),
        ("NVRM version: new words", (None, None)),
        ("", (None, None)),
        (None, (None, None)),
    ],
)
def test_the_version_and_the_kind_of_module(text, answer):
    assert parse_version(text) == answer


def test_a_loaded_driver(tmp_path):
    root = driver_tree(
        tmp_path,
        version=OPEN_VERSION,
        more={
            "proc/driver/nvidia/params": PARAMS,
            f"{DEBIAN}/libnvidia-ml.so.570.86.15": "",
            "sys/module/nvidia/version": "570.86.15",
            "sys/module/nvidia_uvm/refcnt": "0",
            "sys/module/nvidia_peermem/refcnt": "0",
            "sys/module/nvidiafb/refcnt": "0",
            "sys/module/i2c_nvidia_gpu/x": "",
        },
    )
    tree = Tree(root)
    driver = read_driver(tree)
    assert driver.pop("params")["NVreg_RegistryDwords"] == "ForceP2P=0x11;PeerMappingOverride=1"
    assert driver == {
        "driver_version": "570.86.15",
        "open_module": True,
        "library_version": "570.86.15",
        "modules": ["nvidia", "nvidia_peermem", "nvidia_uvm"],
    }
    assert tree.notes == {}


def test_options_in_force_are_named_as_modprobe_names_them(tmp_path):
    write_files(tmp_path, {"proc/driver/nvidia/params": PARAMS + "NVreg_Odd: 1\nno option\nspace d: 2\n"})
    params = read_params(Tree(tmp_path))
    assert (params["NVreg_EnableGpuFirmware"], params["NVreg_TemporaryFilePath"]) == ("18", "/var/tmp")
    assert (params["NVreg_ExcludedGpus"], params["NVreg_Odd"]) == ("", "1")
    assert not [name for name in params if " " in name]


def test_options_that_are_not_there_have_a_note(tmp_path):
    write_files(tmp_path, {"proc/driver/nvidia/params": "nothing of the kind"})
    tree = Tree(tmp_path)
    assert read_params(tree) is None
    assert tree.notes == {"nvidia.params": "Not known: /proc/driver/nvidia/params: nothing of use in it."}


@pytest.mark.parametrize(
    ("names", "link", "version"),
    [
        (["535.183.01"], None, "535.183.01"),
        # What an upgrade has left behind does not count beside the link that programs load.
        (["535.161.07", "535.183.01"], "535.183.01", "535.183.01"),
        (["535.161.07", "535.183.01"], None, None),
        ([], None, None),
        (["1"], None, None),
    ],
)
def test_the_librarys_version(tmp_path, names, link, version):
    write_files(tmp_path, {f"{DEBIAN}/libnvidia-ml.so.{name}": "" for name in names})
    if link:
        (tmp_path / DEBIAN / "libnvidia-ml.so.1").symlink_to("libnvidia-ml.so." + link)
    tree = Tree(tmp_path)
    assert read_library_version(tree) == version
    assert ("nvidia.library_version" in tree.notes) == (version is None)


@pytest.mark.parametrize("folder", ["usr/lib64", "usr/local/nvidia/lib64", DEBIAN + "/nvidia/current"])
def test_the_library_is_found_where_distributions_put_it(tmp_path, folder):
    write_files(tmp_path, {f"{folder}/libnvidia-ml.so.550.163.01": ""})
    assert read_library_version(Tree(tmp_path)) == "550.163.01"


def test_units_are_found_as_systemd_finds_them(tmp_path):
    unit = "nvidia-persistenced.service"
    tree = Tree(tmp_path)
    assert find_unit(tree, unit, "key") is None
    assert tree.notes == {"key": "No unit nvidia-persistenced.service is installed."}
    write_files(tmp_path, {f"lib/systemd/system/{unit}": ""})
    assert find_unit(tree, unit, "key") == f"/lib/systemd/system/{unit}"
    write_files(tmp_path, {f"usr/lib/systemd/system/{unit}": ""})
    assert find_unit(tree, unit, "key") == f"/usr/lib/systemd/system/{unit}"
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    (tmp_path / "etc/systemd/system" / unit).symlink_to("/dev/null")
    tree = Tree(tmp_path)
    assert find_unit(tree, unit, "key") is None
    assert tree.notes == {"key": f"{unit} is masked by /etc/systemd/system/{unit}."}


@pytest.mark.parametrize(("text", "command"), [
    ("[Service]\nExecStart=/usr/bin/a --user b\n", "/usr/bin/a --user b"),
    ("[Service]\nExecStart=\nExecStart=/usr/bin/a\n# ExecStart=/no\nExecStartPre=/no\n", "/usr/bin/a"),
    ("[Service]\nExecStart=/first\nExecStart=/last \n", "/last"),
    ("[Service]\n", None), ("", None)])
def test_the_command_is_the_last_of_the_units_file(tmp_path, text, command):
    write_files(tmp_path, {"lib/systemd/system/x.service": text})
    tree = Tree(tmp_path)
    assert unit_command(tree, "/lib/systemd/system/x.service", "key") == command
    assert tree.notes == ({} if command else {"key": "Not known: no unit's file has it."})
    assert unit_command(tree, None, "other") is None and "other" in tree.notes


# The kernel log


def record(message, priority=4):
    return f"{priority},1234,5678901,-;{message}\n SUBSYSTEM=pci\n DEVICE=+pci:0000:65:00.0\n"


GONE = (
    r"NVRM: The NVIDIA GPU 0000:b3:00.0\x0aNVRM: (PCI ID: 10de:26b5) installed in this system has\x0a"
    "NVRM: fallen off the bus and is not responding to commands."
)


@pytest.mark.parametrize(
    ("message", "address", "code"),
    [
        (
            "NVRM: Xid (PCI:0000:65:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
            "0000:65:00.0",
            79,
        ),
        ("NVRM: Xid (PCI:0000:65:00): 79, GPU has fallen off the bus.", "0000:65:00.0", 79),
        ("NVRM: Xid (0000:03:00): 14, Channel 00000001", "0000:03:00.0", 14),
        ("NVRM: Xid (PCI:0000:02:00.1): 13, Graphics Exception", "0000:02:00.1", 13),
        ("NVRM: Xid (PCI:0000:CA:00 GPU-I:05): 94, pid=12, name=exe, Ch 0000000a", "0000:ca:00.0", 94),
        ("NVRM: Xid (PCI:00010000:00:00): 119, Timeout waiting for RPC from GSP0!", "10000:00:00.0", 119),
        (GONE, "0000:b3:00.0", 79),
    ],
)
def test_errors_of_cards(message, address, code):
    assert parse_xid(record(message)) == [{"address": address, "code": code, "count": 1}]


@pytest.mark.parametrize(
    "text",
    [
        # Written by a program: the kernel's own facility is 0.
        record("NVRM: Xid (PCI:0000:65:00): 79, x", priority=12),
        record("program: NVRM: Xid (PCI:0000:65:00): 79, x"),
        record("NVRM: Xid (PCI:0000:65:00): 79999, x"),
        record("NVRM: Xid (PCI:65:00): 79, x"),
        record("nvidia-nvswitch0: SXid (PCI:0000:07:00.0): 20034, Fatal"),
        "NVRM: Xid (PCI:0000:65:00): 79, no record",
        "",
        ";",
        "4,1,2,-",
        "4,1,2;",
    ],
)
def test_what_is_no_error_of_a_card(text):
    assert parse_xid(text) == []


def test_errors_are_counted_by_card_and_code():
    text = "".join(
        record(f"NVRM: Xid (PCI:0000:{bus}:00): {code}, x")
        for bus, code in (("65", 79), ("17", 31), ("65", 31), ("65", 79))
    )
    assert parse_xid(text) == [
        {"address": "0000:17:00.0", "code": 31, "count": 1},
        {"address": "0000:65:00.0", "code": 31, "count": 1},
        {"address": "0000:65:00.0", "code": 79, "count": 2},
    ]


def test_a_recorded_tree_reads_no_log(tmp_path):
    tree = Tree(tmp_path)
    assert read_xid(tree) is None
    assert "recorded tree" in tree.notes["nvidia.xid"]


def test_a_log_that_is_none_or_cannot_be_read_is_a_note(tmp_path):
    tree = Tree(tmp_path)
    assert read_xid(tree, str(tmp_path / "absent")) is None
    assert tree.notes == {"nvidia.xid": "The kernel log cannot be read: No such file or directory."}
    os.mkfifo(tmp_path / "pipe")
    tree = Tree(tmp_path)
    assert read_xid(tree, str(tmp_path / "pipe")) is None
    assert tree.notes == {"nvidia.xid": "The kernel log cannot be read: it is no log."}


def test_a_long_log_is_read_in_part_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(nvidia_log, "MAX_BYTES", 70000)
    log = tmp_path / "log"
    log.write_text(record("NVRM: Xid (PCI:0000:65:00): 79, x") + record("y" * 500) * 500)
    tree = Tree(tmp_path)
    assert read_xid(tree, str(log)) == [{"address": "0000:65:00.0", "code": 79, "count": 1}]
    assert "very long" in tree.notes["nvidia.xid"]


def test_a_log_without_end_ends():
    # It is a character device, as the log is.
    text, whole = read_log("/dev/zero")
    assert not whole and len(text) > 1000


def test_overwritten_records_are_passed_over(tmp_path, monkeypatch):
    answers = [BrokenPipeError(), b"4,1,2,-;one\n", BlockingIOError()]

    def read(_handle, _size):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(nvidia_log.os, "read", read)
    assert read_log("/dev/null") == ("4,1,2,-;one\n", True)


@given(
    st.text(max_size=300)
    | st.lists(
        st.sampled_from(
            [
                "4,1,2,-;",
                "NVRM: Xid (",
                "PCI:",
                "0000:65:00",
                "): ",
                "79",
                ",",
                "\n",
                "NVRM: The NVIDIA GPU ",
                ".0",
                "fallen off the bus",
            ]
        ),
        max_size=40,
    ).map("".join)
)
def test_any_log_is_an_answer(text):
    for error in parse_xid(text):
        assert set(error) == {"address", "code", "count"} and error["count"] > 0
