"""What the tests ask the host and the controller; testinfra gives `host`."""

import json
import os
import subprocess
from pathlib import Path
from subprocess import PIPE, STDOUT

import pytest

REPO = Path(__file__).resolve().parents[3]
INVENTORIES = ["-i", str(REPO / "inventories/lab"), "-i", str(REPO / "molecule/inventory")]
# Molecule asks for colours, whose codes would stand between the words.
PLAIN = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}


def playbook_command(playbook, *arguments, **variables):
    return ["ansible-playbook", *INVENTORIES, playbook, "-e", json.dumps(variables), *arguments]


@pytest.fixture(scope="session")
def key():
    """The key that molecule/inventory gives to the service."""
    command = ["ansible-inventory", *INVENTORIES, "--host", "lab1"]
    answer = subprocess.run(command, cwd=REPO, check=True, capture_output=True)
    return json.loads(answer.stdout)["service_api_keys"]["chat"]


@pytest.fixture(scope="session")
def play():
    """Run a playbook of the checkout with variables as JSON, as a user would, and return the finished process.

    Its stdout is all that it said.
    """

    def run(playbook, *arguments, **variables):
        command = playbook_command(playbook, *arguments, **variables)
        return subprocess.run(command, cwd=REPO, env=PLAIN, stdout=PIPE, stderr=STDOUT, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def start():
    """Start a playbook in a process group of its own, with its output as lines."""

    def run(playbook, **variables):
        command = playbook_command(playbook, **variables)
        return subprocess.Popen(
            command, cwd=REPO, env=PLAIN, stdout=PIPE, stderr=STDOUT, text=True, start_new_session=True)

    return run


class Unit:
    """One instance as systemd and the kernel of the host know it."""

    def __init__(self, host, index):
        self.host = host
        self.name = f"inference-chat@{index}.service"

    @property
    def pid(self):
        return self.property("MainPID")

    def property(self, name):
        return self.host.check_output(f"systemctl show --property={name} --value {self.name}")

    def status(self, field):
        return self.host.check_output(f"sed -n 's/^{field}:\\s*//p' /proc/{self.pid}/status")

    def arguments(self):
        return self.host.check_output(f"tr '\\0' ' ' </proc/{self.pid}/cmdline").split()

    def argument(self, name):
        words = self.arguments()
        return words[words.index(name) + 1]


@pytest.fixture
def units(host):
    return [Unit(host, index) for index in (0, 1)]
