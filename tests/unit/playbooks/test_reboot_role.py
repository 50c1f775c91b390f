"""Role reboot, run for real: whether it connects to the host at all, and what it says.

`ssh` is a program that notes that it was called, and fails as ssh does when there is no route.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
WHY = "hugepagesz=2M hugepages=0:512 takes effect with the next boot"


@pytest.fixture(name="play")
def play_fixture(tmp_path):
    """Run the role for one host with the fact; return the exit status, all that was said, and whether it connected."""
    ssh, called = tmp_path / "ssh", tmp_path / "called"
    ssh.write_text(f"#!/bin/sh\ntouch '{called}'\nexit 255\n", encoding="utf-8")
    ssh.chmod(0o755)
    environment = dict(
        os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".collections"),
        ANSIBLE_LOCAL_TEMP=str(tmp_path / "tmp"), ANSIBLE_NOCOLOR="1", ANSIBLE_SSH_EXECUTABLE=str(ssh),
        LC_ALL="C.UTF-8")

    def play(required, *words, **variables):
        facts = {} if required is None else {"inference_reboot_required": required}
        tasks = [{"name": "Set the fact", "ansible.builtin.set_fact": dict(facts, cacheable=True, other=1)}]
        plays = {"hosts": "all", "gather_facts": False, "pre_tasks": tasks, "roles": ["inference.host.reboot"]}
        (tmp_path / "play.json").write_text(json.dumps([plays]), encoding="utf-8")
        command = [sys.executable, "-m", "ansible", "playbook", "-i", "192.0.2.99,", *words,
                   "-e", json.dumps(variables), str(tmp_path / "play.json")]
        done = subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode, " ".join(done.stdout.split()), called.exists()

    return play


@pytest.mark.parametrize("required", [None, []])
def test_where_nothing_is_required_the_host_is_not_asked(play, required):
    status, said, connected = play(required, reboot_allowed=True)
    assert (status, connected) == (0, False), said
    assert "skipped=2" in said and "changed=0" in said


def test_without_leave_the_reason_is_said_and_nothing_is_done(play):
    status, said, connected = play([WHY])
    assert (status, connected) == (0, False), said
    assert WHY in said and "192.0.2.99 is not rebooted, since reboot_allowed is false." in said


@pytest.mark.parametrize(("word", "rebooted"), [("true", True), ("false", False)])
def test_leave_may_be_given_on_the_command_line(play, word, rebooted):
    _status, said, connected = play([WHY], "-e", "reboot_allowed=" + word)
    assert connected is rebooted, said
    assert ("reboot_allowed is false" in said) is not rebooted


def test_with_leave_the_host_is_rebooted_and_the_reason_said_before(play):
    status, said, connected = play([WHY], reboot_allowed=True)
    assert status != 0 and connected
    assert WHY in said and "reboot_allowed is false" not in said
    assert "Reboot and wait until the host is back" in said


def test_check_mode_only_foretells(play):
    status, said, connected = play([WHY], "--check", reboot_allowed=True)
    assert (status, connected) == (0, False), said
    assert WHY in said and "changed=1" in said


def test_leave_is_a_yes_or_no(play):
    status, said, connected = play([WHY], reboot_allowed="perhaps")
    assert status != 0 and not connected
    assert "reboot_allowed" in said
