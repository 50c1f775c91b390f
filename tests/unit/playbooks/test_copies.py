"""The step of role topology that copies between GPUs, run for real on this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.skipif(os.path.exists("/proc/driver/nvidia/version"), reason="there is an NVIDIA driver")
@pytest.mark.parametrize("words", [[], ["--check"]])
def test_a_host_without_cards_is_told_so_and_not_changed(tmp_path, words):
    tasks = [{"ansible.builtin.include_role": {"name": "inference.host.topology", "tasks_from": "copies"}}]
    play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks,
             "vars": {"ansible_python_interpreter": sys.executable}}]
    (tmp_path / "play.yml").write_text(json.dumps(play), encoding="utf-8")
    environment = dict(os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"),
                       ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".collections"), ANSIBLE_LOCAL_TEMP=str(tmp_path / "tmp"),
                       ANSIBLE_NOCOLOR="1", LC_ALL="C.UTF-8")
    done = subprocess.run([sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", *words,
                           str(tmp_path / "play.yml")], cwd=tmp_path, env=environment, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout
    assert "No copies between GPUs were compared: the NVIDIA driver is not loaded." in done.stdout
    assert "changed=0" in done.stdout
