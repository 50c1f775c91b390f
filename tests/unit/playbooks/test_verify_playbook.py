"""playbooks/verify.yml and playbooks/restore.yml, run for real where no host answers: nothing here reaches one.

`ssh` is a program that fails, as ssh does when there is no route.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from ansible_collections.inference.host.plugins.module_utils.recording import recorded
from jinja2.nativetypes import NativeEnvironment

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(name="play")
def play_fixture(tmp_path):
    """Run a playbook for an inventory in a folder of its own; return its exit status and what it said in one line."""
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\necho no route to host >&2\nexit 255\n", encoding="utf-8")
    ssh.chmod(0o755)
    environment = dict(
        os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".collections"),
        ANSIBLE_LOCAL_TEMP=str(tmp_path / "tmp"), ANSIBLE_NOCOLOR="1", ANSIBLE_SSH_EXECUTABLE=str(ssh),
        LC_ALL="C.UTF-8")

    def play(playbook, inventory, *words, **variables):
        (tmp_path / "hosts.json").write_text(json.dumps(inventory), encoding="utf-8")
        command = [sys.executable, "-m", "ansible", "playbook", "-i", str(tmp_path / "hosts.json"), *words,
                   "-e", json.dumps(variables), str(ROOT / "playbooks" / playbook)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode, " ".join(done.stdout.split())

    return play


def group(services=(), **hosts):
    return {"inference_hosts": {"hosts": hosts, "vars": {"inference_services": list(services)}}}


GONE = {"ansible_host": "192.0.2.99"}
RECORDED = {"topology_recorded": "gone.json"}


def test_hosts_that_cannot_be_read_are_reported_each_with_its_reason(play, tmp_path):
    (tmp_path / "out").mkdir(mode=0o700)
    status, said = play("verify.yml", group(gone=GONE, recorded=RECORDED), output="out")
    assert status != 0
    # It may be the user's home.
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    assert "not as planned: 2 of 2 hosts (gone, recorded)" in said
    report = json.loads((tmp_path / "out" / "verify.json").read_text(encoding="utf-8"))
    rows = {part["host"]: part["rows"] for part in report["hosts"]}
    assert [(row["status"], "cannot be reached" in row["note"]) for row in rows["gone"]] == [("unreachable", True)]
    assert [(row["status"], "can only be planned" in row["note"]) for row in rows["recorded"]] == [("refused", True)]
    suites = ElementTree.parse(tmp_path / "out" / "verify.xml").getroot()
    assert [(suite.get("name"), suite.get("errors"), suite.get("failures")) for suite in suites] == [
        ("gone", "1", "0"), ("recorded", "0", "1")]
    assert "changed=1" not in said and said.count("changed=0") == 2


@pytest.mark.parametrize(("planned", "asked"), [([], []), ([{"role": "cpu"}, {"role": "nvidia"}], ["nvidia"])])
def test_only_hosts_with_settings_of_cards_are_asked_for_them(planned, asked):
    variables = yaml.safe_load((ROOT / "roles/verify/vars/main.yml").read_text(encoding="utf-8"))
    environment = NativeEnvironment()
    environment.filters["union"] = lambda one, other: list(dict.fromkeys([*one, *other]))
    roles = environment.from_string(variables["__verify_setting_roles"]).render(inference_plan={"settings": planned})
    assert roles == ["cpu", "hugepages", "memory", "nvme", "network", *asked]


def test_verdicts_on_pairs_of_gpus_are_shown_and_in_the_data(play, tmp_path):
    # As if it had been read before it went away.
    path = ROOT / "inventories/wicore/topologies/wicore.json"
    host = recorded(path.read_text(encoding="utf-8"), path)["topology"]
    _status, said = play("verify.yml", group(gone=GONE), output="out", inference_topology=host)
    assert "P2P between the GPUs of gone:" in said and "P2P 65:00.0 b3:00.0 65:00.0 - unsafe b3:00.0 unsafe -" in said
    assert "65:00.0 - b3:00.0 across sockets (SYS) OK unsafe an IOMMU translates between them" in said
    report = json.loads((tmp_path / "out" / "verify.json").read_text(encoding="utf-8"))
    (pair,) = report["hosts"][0]["p2p"]
    assert (pair["gpus"], pair["verdict"]) == (["0000:65:00.0", "0000:b3:00.0"], "unsafe")


def test_the_reports_folder_is_reports_and_a_limit_reports_the_hosts_in_it(play, tmp_path):
    status, said = play("verify.yml", group(gone=GONE, other=GONE), "--limit", "other")
    assert status != 0 and "not as planned: 1 of 1 hosts (other)" in said
    report = json.loads((tmp_path / "reports" / "verify.json").read_text(encoding="utf-8"))
    assert [part["host"] for part in report["hosts"]] == ["other"]


def test_show_takes_one_of_two_words(play):
    status, said = play("verify.yml", group(gone=GONE), show="everything")
    assert status != 0 and "value of verify_show must be one of: problems, all, got: everything" in said


@pytest.mark.parametrize("playbook", ["verify.yml", "restore.yml"])
@pytest.mark.parametrize("inventory", [{"other": {"hosts": {"gone": GONE}}}, group()])
def test_an_inventory_without_hosts_of_the_group_is_refused(play, playbook, inventory):
    status, said = play(playbook, inventory)
    assert status != 0 and "the inventory has no hosts in the group inference_hosts; name the inventory with -i" in said


def test_a_host_that_cannot_be_given_back_is_named(play):
    status, said = play("restore.yml", group(gone=GONE))
    assert status != 0 and "not all is back on: gone" in said and "gone: failed: " in said
    assert "no route to host" in said


@pytest.mark.parametrize(("variables", "sentence"), [
    ({"role": "cpus"}, "value of restore_role must be one of: all, cpu, hugepages, memory, nvme, network, nvidia, "
                       "service, nginx, firewall, watch, monitoring, prometheus, got: cpus"),
    ({"role": "cpu", "purge": True}, "purge is true and role is 'cpu'; models and engines are removed only with the"),
    ({"purge": "perhaps"}, "unable to convert to bool"),
])
def test_wrong_wishes_are_refused_before_anything_is_done(play, variables, sentence):
    status, said = play("restore.yml", group(gone=GONE), **variables)
    assert status != 0 and sentence in said and "Stop and disable" not in said
