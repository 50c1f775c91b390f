"""The site through ansible-runner, as a CI system runs it: private data folder, artifacts, events, exit status."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import ansible_runner
import pytest

REPO = Path(__file__).resolve().parents[2]
LAB = {
    "INFERENCE_LAB_ID": "runner",
    "INFERENCE_LAB_SUBNET": "10.89.79.0/24",
    "INFERENCE_LAB_STATE": str(REPO / "build/lab"),
}


@pytest.fixture(scope="module")
def private_data():
    """A private data folder whose project is this checkout, and a lab host of its own."""
    environment = {**os.environ, **LAB}
    subprocess.run([REPO / "molecule/lab/lab", "up", "lab1"], env=environment, check=True)
    folder = REPO / "build/runner"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "env").mkdir(parents=True)
    (folder / "project").symlink_to(REPO)
    (folder / "env/envvars").write_text(json.dumps({**LAB, "ANSIBLE_CONFIG": str(REPO / "ansible.cfg")}))
    yield folder
    subprocess.run([REPO / "molecule/lab/lab", "down"], env=environment, check=True)


def run(private_data, ident, **options):
    inventory = str(REPO / "inventories/lab")
    return ansible_runner.run(
        private_data_dir=str(private_data), ident=ident, playbook="site.yml", inventory=inventory, **options)


def events_of(result, kind):
    return [event["event_data"] for event in result.events if event["event"] == kind]


def test_first_run_ends_well_and_leaves_artifacts(private_data):
    result = run(private_data, "first")
    assert (result.rc, result.status) == (0, "successful")
    assert events_of(result, "runner_on_failed") == []
    assert events_of(result, "runner_on_unreachable") == []
    artifacts = private_data / "artifacts/first"
    assert (artifacts / "rc").read_text() == "0"
    assert "tokens per second" in (artifacts / "stdout").read_text()
    assert result.stats["changed"]["lab1"] > 0


def test_second_run_changes_nothing(private_data):
    result = run(private_data, "second")
    assert result.rc == 0
    changed = [event["task"] for event in events_of(result, "runner_on_ok") if event["res"].get("changed")]
    assert changed == []
    assert result.stats["changed"] == {}


def test_exit_status_follows_a_failed_run(private_data):
    result = run(private_data, "wrong", extravars={"topology_first_port": "18080"})
    assert result.status == "failed" and result.rc != 0
    failed = events_of(result, "runner_on_failed")
    assert "first_port" in json.dumps(failed)
    assert result.stats["changed"] == {}
