"""What nvidia-smi says by a stand-in that prints recorded outputs, and everything that it may do instead."""

import time
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.discovery.nvidia import read_nvidia
from ansible_collections.inference.host.plugins.module_utils.discovery.nvidia_smi import find_program
from ansible_collections.inference.host.plugins.module_utils.discovery.pci import read_gpus, read_nvswitches
from ansible_collections.inference.host.plugins.module_utils.sysfs import Tree
from ansible_collections.inference.host.plugins.module_utils.topology import read_topology
from builders import Machine, write_files, write_link
from nvidia_host import OPEN_VERSION, OUTPUTS, PARAMS, STAND_IN, VERSION, driver_tree

NEW_KEYS = [
    "memory_used_mib",
    "memory_reserved_mib",
    "display",
    "ecc",
    "ecc_errors",
    "power_limit_w",
    "power_default_w",
    "power_min_w",
    "power_max_w",
    "clock_max_mhz",
]
CALLS = ["--query-gpu", "--query-compute-apps", "topo -m", "topo -p2p r", "topo -p2p w"]


def add_card(root, address, driver="nvidia", pci_class="0x030200", vendor="0x10de"):
    folder = f"sys/devices/pci0000:00/{address}"
    write_files(
        root,
        {
            f"{folder}/{name}": text
            for name, text in (
                ("class", pci_class),
                ("vendor", vendor),
                ("device", "0x2330"),
                ("numa_node", 0),
                ("local_cpus", 1),
            )
        },
    )
    write_link(root, f"sys/bus/pci/devices/{address}", folder)
    write_files(root, {f"sys/bus/pci/drivers/{driver}/.keep": ""})
    write_link(root, f"{folder}/driver", f"sys/bus/pci/drivers/{driver}")


class Host:
    """A machine with the cards that the recorded outputs `name` are of."""

    def __init__(self, folder, monkeypatch):
        self.folder = Path(folder)
        self.root = driver_tree(folder / "tree", gpus=[])
        self.log = folder / "calls"
        monkeypatch.setenv("NVIDIA_SMI_LOG", str(self.log))
        self.set = monkeypatch.setenv

    def ask(self, name, *addresses, command=str(STAND_IN), **other):
        self.set("NVIDIA_SMI_ANSWERS", str(OUTPUTS / name))
        for address in addresses:
            add_card(self.root, address)
        tree = Tree(self.root)
        answer, gpus = read_nvidia(tree, read_gpus(tree, [0]), read_nvswitches(tree), command=command, **other)
        return answer, {gpu["address"]: gpu["nvidia"] for gpu in gpus}, tree.notes

    def calls(self):
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.split("=")[0] for line in lines]


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(tmp_path, monkeypatch)


def a_script(folder, script):
    tool = Path(folder) / "tool"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    return str(tool)


def test_everything_that_the_tools_say(host):
    host.set("NVIDIA_SMI_LOG", str(host.log))
    write_files(
        host.root,
        {
            "proc/driver/nvidia/params": PARAMS,
            "usr/lib64/libnvidia-ml.so.550.54.15": "",
            "usr/lib/systemd/system/nvidia-persistenced.service": "",
        },
    )
    answer, cards, notes = host.ask("580-rtx5090-pair", "0000:01:00.0", "0000:02:00.0")
    smi = answer["smi"]
    assert [cards["0000:01:00.0"], cards["0000:02:00.0"]] == smi["gpus"]
    assert [card["processes"] for card in smi["gpus"]] == [0, 0]
    assert smi["topology"] == {"GPU0": {"GPU1": "PHB"}, "GPU1": {"GPU0": "PHB"}}
    assert smi["p2p_read"] == smi["p2p_write"] == {"GPU0": {"GPU1": "GNS"}, "GPU1": {"GPU0": "GNS"}}
    assert {
        key: answer[key] for key in ("driver_version", "library_version", "open_module", "problem", "nvswitches")
    } == {
        "driver_version": "550.54.15",
        "library_version": "550.54.15",
        "open_module": False,
        "problem": None,
        "nvswitches": [],
    }
    assert answer["persistenced"] == "/usr/lib/systemd/system/nvidia-persistenced.service"
    reason = "nvidia-smi does not tell mig.mode.current, or in a form that is not known."
    assert notes["gpus.0000:02:00.0.nvidia.mig"] == notes["nvidia.smi.gpus.0000:02:00.0.mig"] == reason
    assert not [key for key in notes if key.startswith("nvidia.smi.") and "gpus" not in key]


def test_the_keys_of_the_answer_are_always_the_same(host):
    loaded, _cards, _notes = host.ask("550-h100-nvswitch")
    absent, _gpus = read_nvidia(Tree(Machine().write(host.folder / "other")), [])
    assert (
        set(loaded)
        == set(absent)
        == {
            "driver_version",
            "library_version",
            "open_module",
            "modules",
            "params",
            "nvswitches",
            "persistenced",
            "persistenced_command",
            "fabric_manager",
            "xid",
            "problem",
            "smi",
        }
    )


# How many programs are started


def test_a_host_without_a_driver_starts_nothing(host):
    Path(host.root, "proc/driver/nvidia/version").unlink()
    answer, cards, notes = host.ask("580-rtx5090-pair", "0000:01:00.0")
    assert (answer["driver_version"], answer["smi"], answer["problem"]) == (None, None, None)
    assert cards == {"0000:01:00.0": None}
    assert notes["nvidia"] == "The NVIDIA driver is not loaded."
    assert host.calls() == []


def test_a_recorded_tree_starts_nothing(host):
    answer, _cards, notes = host.ask("580-rtx5090-pair", command=None)
    assert (answer["driver_version"], answer["smi"]) == ("550.54.15", None)
    assert "recorded tree" in notes["nvidia.smi"]
    assert host.calls() == []


def test_one_card_is_asked_for_twice_and_several_five_times(host):
    answer, _cards, notes = host.ask("570-rtx3070", "0000:01:00.0")
    assert host.calls() == CALLS[:2]
    assert answer["smi"]["topology"] is None
    assert notes["nvidia.smi.p2p_write"] == "Not asked: one GPU has no other beside it."
    host.log.unlink()
    host.ask("580-rtx5090-pair", "0000:02:00.0")
    assert host.calls() == CALLS


def test_nvswitches_cost_one_more(host):
    add_card(host.root, "0000:07:00.0", pci_class="0x068000", driver="nvidia-nvswitch")
    add_card(host.root, "0000:08:00.0", pci_class="0x068000", vendor="0x8086")
    write_files(host.root, {"lib/systemd/system/nvidia-fabricmanager.service": ""})
    fabric = a_script(
        host.folder, 'echo "$@" >> "$NVIDIA_SMI_LOG"; printf "\\n\\tFabric Manager version is : 550.90.07\\n\\n"'
    )
    answer, _cards, _notes = host.ask("550-h100-nvswitch", fabric_command=fabric)
    assert host.calls() == [*CALLS, "--version"]
    assert answer["nvswitches"] == ["0000:07:00.0"]
    assert answer["fabric_manager"] == {
        "unit": "/lib/systemd/system/nvidia-fabricmanager.service",
        "version": "550.90.07",
    }
    assert answer["problem"].startswith("The fabric manager is 550.90.07 and the driver 550.54.15: ")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 3", "nv-fabricmanager --version: it ended with status 3."),
        ("echo 550", "nv-fabricmanager --version: it printed no version."),
    ],
)
def test_a_fabric_manager_that_does_not_tell(host, script, reason):
    add_card(host.root, "0000:07:00.0", pci_class="0x068000")
    answer, _cards, notes = host.ask("550-h100-nvswitch", fabric_command=a_script(host.folder, script))
    assert answer["fabric_manager"] == {"unit": None, "version": None}
    assert notes["nvidia.fabric_manager.version"] == reason
    assert "there is no fabric manager" in answer["problem"]


@pytest.mark.parametrize(
    ("hangs", "asked", "cards"),
    [
        ("all", CALLS[:1], 0),
        ("query-gpu", CALLS[:1], 0),
        ("query-compute-apps", CALLS[:2], 2),
        ("topo-m", CALLS[:3], 2),
        ("topo-p2p-w", CALLS, 2),
    ],
)
def test_after_a_call_that_hangs_none_is_made(host, hangs, asked, cards):
    add_card(host.root, "0000:07:00.0", pci_class="0x068000")
    host.set("NVIDIA_SMI_HANGS", hangs)
    started = time.monotonic()
    answer, _cards, notes = host.ask(
        "580-rtx5090-pair", timeout_seconds=1, fabric_command="/nonexistent", command=str(STAND_IN)
    )
    assert time.monotonic() - started < 30
    assert host.calls() == asked
    assert len(answer["smi"]["gpus"] if answer["smi"] else []) == cards
    assert notes["nvidia.fabric_manager.version"] == "Not asked: nvidia-smi hung."
    if hangs == "topo-m":
        assert notes["nvidia.smi.topology"] == "nvidia-smi topo -m: it did not end in time."
        assert notes["nvidia.smi.p2p_read"] == "nvidia-smi topo -p2p r: not asked: the call before it hung."


def test_a_tool_that_hangs_is_the_problem(host):
    host.set("NVIDIA_SMI_HANGS", "topo-p2p-r")
    answer, _cards, _notes = host.ask("580-rtx5090-pair", timeout_seconds=1)
    assert answer["problem"].startswith("nvidia-smi did not end in time")


# What it may answer instead


def test_a_series_that_does_not_know_a_field_is_asked_for_the_basic_ones(host):
    answer, cards, notes = host.ask("470-v100-old-fields", "0000:3b:00.0")
    assert host.calls() == ["--query-gpu", *CALLS]
    assert cards["0000:3b:00.0"]["memory_mib"] == 16160
    assert [card["processes"] for card in answer["smi"]["gpus"]] == [0, 0, 0, 0]
    assert [cards["0000:3b:00.0"][key] for key in NEW_KEYS] == [None] * len(NEW_KEYS)
    for place in ("nvidia.smi.gpus", "gpus.nvidia"):
        assert "(memory.reserved)" in notes[f"{place}.display"]
    assert "gpus.0000:3b:00.0.nvidia.display" not in notes


def test_slices_of_a_card(host):
    answer, cards, notes = host.ask("535-a100-mig", "0000:31:00.0", "0000:b1:00.0")
    assert [card["mig"] for card in answer["smi"]["gpus"]] == [False, True]
    assert cards["0000:31:00.0"]["processes"] is None
    assert (
        notes["nvidia.smi.gpus.processes"]
        == notes["gpus.nvidia.processes"]
        == ("nvidia-smi does not tell the processes: it lists them in a form that is not known.")
    )
    assert answer["problem"] is None


@pytest.mark.parametrize(("name", "told"), [("535-lost-card", 1), ("550-lost-row", 2)])
def test_a_card_that_fell_off_the_bus_leaves_the_others(host, name, told):
    answer, cards, notes = host.ask(name, "0000:17:00.0", "0000:65:00.0")
    assert len(answer["smi"]["gpus"]) == told
    assert cards["0000:17:00.0"]["memory_mib"] == 23028
    assert answer["problem"].startswith("The NVIDIA driver does not reach 0000:65:00.0: ")
    if told == 1:
        assert cards["0000:65:00.0"] is None
        assert "status 15" in notes["nvidia.smi.gpus"]
        assert notes["gpus.0000:65:00.0.nvidia"] == "nvidia-smi does not name this GPU."


def test_the_only_card_fell_off_the_bus(host):
    answer, cards, _notes = host.ask("565-lost-all", "0000:65:00.0")
    assert (answer["smi"], cards) == (None, {"0000:65:00.0": None})
    assert answer["problem"].startswith("The NVIDIA driver does not reach 0000:65:00.0: ")


@pytest.mark.parametrize(("driver", "missed"), [("nvidia", True), ("vfio-pci", False), ("nouveau", False)])
def test_only_cards_of_this_driver_are_missed(host, driver, missed):
    add_card(host.root, "0000:99:00.0", driver=driver)
    answer, _cards, _notes = host.ask("570-rtx3070", "0000:01:00.0")
    assert (answer["problem"] is not None) == missed


def test_a_container_that_was_given_one_card_of_two_misses_none(host):
    add_card(host.root, "0000:99:00.0")
    add_card(host.root, "0000:07:00.0", pci_class="0x068000")
    assert host.ask("570-rtx3070", "0000:01:00.0", contained=True)[0]["problem"] is None
    assert "0000:99:00.0" in host.ask("570-rtx3070")[0]["problem"]


def test_a_part_of_a_card_that_is_lent_to_a_guest_is_not_missed(host):
    add_card(host.root, "0000:99:00.4")
    write_link(host.root, "sys/devices/pci0000:00/0000:99:00.4/physfn", "sys/devices/pci0000:00/0000:01:00.0")
    assert host.ask("570-rtx3070", "0000:01:00.0")[0]["problem"] is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("535-mismatch", "Failed to initialize NVML: Driver/library version mismatch; NVML library version: 535.183"),
        ("no-driver", "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure"),
        ("no-devices", "No devices were found"),
        ("container-lost-devices", "Failed to initialize NVML: Unknown Error"),
        ("no-permission", "Failed to initialize NVML: Insufficient Permissions"),
    ],
)
def test_what_it_says_when_it_fails_is_told(host, name, said):
    answer, cards, notes = host.ask(name, "0000:65:00.0")
    assert (answer["smi"], cards) == (None, {"0000:65:00.0": None})
    assert said in notes["nvidia.smi"]
    assert notes["gpus.0000:65:00.0.nvidia"] == "nvidia-smi said nothing; see the notes of nvidia."
    assert host.calls() == CALLS[:1]
    assert answer["problem"]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 9", "ended with status 9."),
        ("echo No devices were found", "no GPU in the form that is known (No devices were found)."),
        ("true", "no GPU in the form that is known."),
        ("head -c 300000 /dev/urandom", "no GPU in the form"),
        ("yes", "printed more than 1048576 bytes"),
    ],
)
def test_a_tool_that_prints_something_new_is_a_note(host, script, reason):
    answer, _cards, notes = host.ask("580-rtx5090-pair", command=a_script(host.folder, script))
    assert answer["smi"] is None
    assert reason in notes["nvidia.smi"]


def test_every_null_of_a_card_has_a_note_at_both_places(host):
    line = "0, 00000000:10:00.0, [Unknown Error], N/A, [N/A], [N/A], [Not Supported], new" + ", x" * 10
    answer, _cards, notes = host.ask(
        "580-rtx5090-pair", "0000:10:00.0", command=a_script(host.folder, f"echo '{line}'")
    )
    unknown = [item for item, value in answer["smi"]["gpus"][0].items() if value is None]
    assert {"name", "uuid", "memory_mib", "driver_version", "persistence", "mig", *NEW_KEYS} == set(unknown) - {
        "processes"
    }
    for item in set(unknown) - {"processes"}:
        assert {f"gpus.0000:10:00.0.nvidia.{item}", f"nvidia.smi.gpus.0000:10:00.0.{item}"} <= set(notes)


def test_a_card_without_an_address_is_named_by_its_index(host):
    line = "3, [N/A], T4, GPU-a, 1, 550.1, Enabled, Disabled" + ", 1" * 10
    _answer, cards, notes = host.ask(
        "580-rtx5090-pair", "0000:10:00.0", command=a_script(host.folder, f"echo '{line}'")
    )
    assert cards == {"0000:10:00.0": None}
    assert "nvidia.smi.gpus.3.address" in notes


def test_a_version_that_is_not_understood_is_null_with_a_reason_and_the_tool_is_asked(host):
    for text in ("NVRM version: new words", ""):
        write_files(host.root, {"proc/driver/nvidia/version": text})
        answer, _cards, notes = host.ask("580-rtx5090-pair")
        assert (answer["driver_version"], answer["open_module"], len(answer["smi"]["gpus"])) == (None, None, 2)
        assert notes["nvidia.driver_version"] == "Not known: /proc/driver/nvidia/version: nothing of use in it."
        assert "nvidia" not in notes


def test_errors_in_the_log_are_part_of_the_answer(host):
    log = host.folder / "log"
    log.write_text("4,1,2,-;NVRM: Xid (PCI:0000:01:00): 31, pid=7, name=exe\n")
    answer, _cards, _notes = host.ask("570-rtx3070", kernel_log=str(log))
    assert answer["xid"] == [{"address": "0000:01:00.0", "code": 31, "count": 1}]


def test_a_tool_that_is_not_installed(host, monkeypatch):
    monkeypatch.setenv("PATH", str(host.folder))
    assert find_program("no-such-tool-of-nvidia") is None
    assert find_program("sh") in ("/bin/sh", "/usr/bin/sh")


@pytest.mark.parametrize("version", [VERSION, OPEN_VERSION, None])
def test_the_whole_reading_of_a_recorded_tree_has_all_of_it(tmp_path, version):
    root = driver_tree(tmp_path, version=version, more={"usr/lib64/libnvidia-ml.so.570.86.15": ""})
    topology = read_topology(root)
    assert topology["nvidia"]["library_version"] == "570.86.15"
    assert (topology["nvidia"]["problem"] is None) == (version != VERSION)
    assert topology["nvidia"]["open_module"] is {VERSION: False, OPEN_VERSION: True, None: None}[version]
