"""playbooks/plan.yml and playbooks/site.yml, run for real: for recorded hosts, this machine and one that is not there.

`ssh` is a program that notes that it was called: whatever connects is seen.
"""

import hashlib
import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from fleet_machines import HOSTS
from record_fleets import INVENTORIES, path_of

ROOT = Path(__file__).resolve().parents[3]
GOLDENS = ROOT / "tests" / "unit" / "goldens"
FLEETS = sorted({host.fleet for host in HOSTS.values()})


def inventory_of(fleet):
    return ["-i", str(INVENTORIES / fleet / "hosts.yml")]


class Controller:
    """A folder to work in, and what ran there."""

    def __init__(self, folder):
        self.folder = folder
        self.called = folder / "ssh-was-called"
        ssh = folder / "ssh"
        ssh.write_text(f"#!/bin/sh\necho \"$@\" >> '{self.called}'\nexit 255\n", encoding="utf-8")
        ssh.chmod(0o755)
        self.environment = dict(
            os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".collections"),
            ANSIBLE_LOCAL_TEMP=str(folder / "tmp"), ANSIBLE_NOCOLOR="1", ANSIBLE_SSH_EXECUTABLE=str(ssh),
            LC_ALL="C.UTF-8")

    def inventory(self, hosts):
        """Write an inventory of the group's hosts and variables; return the words that name it."""
        path = self.folder / "hosts.json"
        path.write_text(json.dumps({"inference_hosts": hosts}), encoding="utf-8")
        return ["-i", str(path)]

    def play(self, playbook, *words, **variables):
        """Run a playbook; return its exit status and all that it said in one line."""
        command = [sys.executable, "-m", "ansible", "playbook", *words, str(ROOT / "playbooks" / playbook)]
        if variables:
            command += ["-e", json.dumps(variables)]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode, " ".join(done.stdout.split())


@pytest.fixture(name="controller")
def controller_fixture(tmp_path):
    return Controller(tmp_path)


@pytest.mark.parametrize("fleet", FLEETS)
def test_recorded_hosts_are_planned_without_a_connection(controller, fleet):
    status, said = controller.play("plan.yml", *inventory_of(fleet))
    assert status == 0, said
    assert not controller.called.exists()
    assert "SERVICE INSTANCE CPUS" in said
    plans, names = controller.folder / "plans", [name for name in HOSTS if HOSTS[name].fleet == fleet]
    assert sorted(path.name for path in plans.iterdir()) == names
    for name in names:
        plan = (plans / name / "plan.json").read_text(encoding="utf-8")
        assert plan == (GOLDENS / f"{name}.json").read_text(encoding="utf-8")
        picture = (plans / name / "plan.svg").read_text(encoding="utf-8")
        assert ElementTree.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg" and name in picture


def test_a_second_run_leaves_the_files_alone_and_new_wishes_change_them(controller):
    words = inventory_of("xaichat")
    path = controller.folder / "plans" / "xaichat" / "plan.json"
    controller.play("plan.yml", *words)
    before = path.stat().st_ino, path.stat().st_mtime_ns
    status, said = controller.play("plan.yml", *words)
    assert status == 0 and "changed=0" in said
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == before
    status, said = controller.play("plan.yml", *words, "-e", f"@{INVENTORIES}/xaichat/their_numbers.yml")
    assert status == 0 and "changed=1" in said
    assert "warning: hugepages_count is 1024" in said
    assert path.read_text(encoding="utf-8") == (GOLDENS / "xaichat.their_numbers.json").read_text(encoding="utf-8")


def test_a_live_host_is_recorded_and_its_recording_gives_the_same_plan(controller):
    # The least that is a GGUF file: version 3, no tensors, the architecture.
    key, value = b"general.architecture", b"llama"
    model = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", len(key)) + key + struct.pack(
        "<IQ", 8, len(value)) + value
    source = controller.folder / "m.gguf"
    source.write_bytes(model)
    service = {"name": "chat", "runtime": "llama_cpp", "threads": 1, "cache_ram_mib": 0, "model": {
        "name": "m", "source": str(source), "sha256": hashlib.sha256(model).hexdigest()}}
    host = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable,
            "model_dir": str(controller.folder / "models"), "inference_services": [
                service, {"name": "app", "runtime": "command", "threads": 1, "command": [sys.executable, "-V"]}]}
    words = controller.inventory({"hosts": {"here": host}})
    (controller.folder / "recordings").mkdir(mode=0o700)
    status, said = controller.play("plan.yml", *words, output="live", record="recordings")
    assert status == 0, said
    # It may be the user's home.
    assert (controller.folder / "recordings").stat().st_mode & 0o777 == 0o700
    recording = controller.folder / "recordings" / "here.json"
    found = json.loads(recording.read_text(encoding="utf-8"))
    assert set(os.sched_getaffinity(0)) <= set(found["cpus"]["online"])
    assert [(model["name"], model["size_bytes"]) for model in found["models"]] == [("m", source.stat().st_size)]
    source.unlink()

    status, said = controller.play("plan.yml", *words, output="replayed", record="again",
                                   topology_recorded="recordings/here.json")
    assert status == 0, said
    live, replayed = (controller.folder / folder / "here" / "plan.json" for folder in ("live", "replayed"))
    assert replayed.read_text(encoding="utf-8") == live.read_text(encoding="utf-8")
    assert not (controller.folder / "again").exists()


def test_wrong_recordings_and_absent_hosts_are_named_and_do_not_keep_others_from_their_plan(controller):
    texts = {"nojson": "{", "other": '{"cores": []}', "gone": None}
    for name, text in texts.items():
        if text:
            (controller.folder / f"{name}.json").write_text(text, encoding="utf-8")
    hosts = {name: {"topology_recorded": str(controller.folder / f"{name}.json")} for name in texts}
    hosts["xaichat"] = {"topology_recorded": str(path_of("xaichat"))}
    hosts["absent"] = {"ansible_host": "192.0.2.99"}
    words = controller.inventory({"hosts": hosts, "vars": {"inference_services": []}})
    status, said = controller.play("plan.yml", *words)
    assert status != 0
    folder = controller.folder
    for sentence in (
        f"topology_recorded is '{folder}/nojson.json', which is no JSON",
        f"topology_recorded is '{folder}/other.json', which is no topology (it has no cpus, gpus, numa_nodes, platform,"
        " services)",
        f"topology_recorded is '{folder}/gone.json', which cannot be read; it must be a file that",
        "absent: ansible_host is '192.0.2.99', which cannot be reached",
    ):
        assert sentence in said
    assert [path.name for path in (folder / "plans").iterdir()] == ["xaichat"]
    # That the program is called when there is something to reach is what makes its silence a proof elsewhere.
    assert "192.0.2.99" in controller.called.read_text(encoding="utf-8")


@pytest.mark.parametrize("playbook", ["site.yml", "plan.yml", "tune.yml"])
def test_an_inventory_without_the_group_is_refused(controller, playbook):
    status, said = controller.play(playbook, "-i", "192.0.2.99,")
    assert status != 0
    assert "the inventory has no hosts in the group inference_hosts; name the inventory with -i." in said


@pytest.mark.parametrize("playbook", ["site.yml", "tune.yml"])
def test_a_recorded_host_is_only_planned(controller, playbook):
    status, said = controller.play(playbook, *inventory_of("xaichat"))
    assert status != 0
    assert re.search(r"xaichat: topology_recorded is '\S+/xaichat.json', and a recorded host can only be planned; use "
                     r"playbooks/plan.yml, or set topology_recorded to null", said)
    assert not controller.called.exists()


def test_site_refuses_what_cannot_be_deployed_before_it_connects(controller):
    status, said = controller.play("site.yml", *inventory_of("zigai"), topology_recorded=None)
    assert status != 0
    assert ("inference_services has what can be planned but not deployed: api (model without source and sha256); give "
            "what is missing, or use playbooks/plan.yml, which only plans.") in said
    assert "changed=0" in said and not controller.called.exists()
