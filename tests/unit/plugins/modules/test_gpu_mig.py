"""Module gpu_mig as Ansible runs it, with a program in the place of nvidia-smi."""

import pytest

TOOL = """#!/bin/sh
case "$*" in
--query-gpu=*) cat {0}/cards ;;
--query-compute-apps=*) cat {0}/processes ;;
-i*) echo "$*" >> {0}/changes; sed -i 's/Disabled$/Enabled/' {0}/cards ;;
esac
"""


@pytest.fixture(name="tool")
def tool_fixture(tmp_path):
    (tmp_path / "cards").write_text("00000000:31:00.0, GPU-1, Disabled, Disabled\n")
    (tmp_path / "processes").write_text("")
    program = tmp_path / "nvidia-smi"
    program.write_text(TOOL.format(tmp_path))
    program.chmod(0o755)
    return program


def test_a_mode_is_switched_and_what_waits_is_said(run_module, tool):
    answer = run_module("gpu_mig", {"enabled": True, "command": str(tool)}, diff=True)
    assert answer["changed"] and answer["reboot_required"] == [
        "GPU 0000:31:00.0: MIG mode is off and will be on after a reset of the card, or a reboot."]
    assert answer["diff"] == {"before": "0000:31:00.0: MIG off, pending off\n",
                              "after": "0000:31:00.0: MIG off, pending on\n"}
    assert (tool.parent / "changes").read_text() == "-i 0000:31:00.0 -mig 1\n"
    again = run_module("gpu_mig", {"enabled": True, "command": str(tool)})
    assert not again["changed"] and again["reboot_required"] == answer["reboot_required"]


def test_check_mode_foretells(run_module, tool):
    answer = run_module("gpu_mig", {"enabled": True, "command": str(tool)}, check=True)
    assert answer["changed"] and not (tool.parent / "changes").exists()
    assert answer["cards"] == [{"address": "0000:31:00.0", "uuid": "GPU-1", "current": False, "pending": True}]


def test_a_card_in_use_fails_in_one_sentence(run_module, tool):
    (tool.parent / "processes").write_text("GPU-1, 4711\n")
    answer = run_module("gpu_mig", {"enabled": True, "command": str(tool)})
    assert answer["failed"] and answer["msg"] == (
        "1 process uses 0000:31:00.0; stop the services that have it, and run again.")


def test_without_the_tool_it_says_so(run_module, tmp_path):
    answer = run_module("gpu_mig", {"enabled": True, "command": str(tmp_path / "none")})
    assert answer["failed"] and answer["msg"].startswith("nvidia-smi --query-gpu=pci.bus_id")
    assert "it cannot be started" in answer["msg"]
