"""What the tests run on the controller; testinfra gives `host`."""

import json
import os
import subprocess
from pathlib import Path
from subprocess import PIPE, STDOUT

import pytest

REPO = Path(__file__).resolve().parents[3]
INVENTORIES = ["-i", str(REPO / "inventories/lab"), "-i", str(REPO / "molecule/measuring/inventory")]
KEY = "not-a-real-key-2b77ad"
# Molecule asks for colours, whose codes would stand between the words.
PLAIN = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}
HOW = {"cwd": REPO, "env": PLAIN, "stdout": PIPE, "stderr": STDOUT, "text": True}


def command(playbook, variables):
    return ["ansible-playbook", *INVENTORIES, f"playbooks/{playbook}.yml", "-e", json.dumps(variables)]


@pytest.fixture(scope="session")
def start():
    """Start a playbook in a process group of its own."""
    return lambda playbook, **variables: subprocess.Popen(
        command(playbook, variables), start_new_session=True, **HOW)


@pytest.fixture(scope="session")
def play():
    """Run a playbook of the checkout with variables as JSON, as a user would, and return the finished process.

    Its stdout is all that it said, in which no key may be.
    """

    def run(playbook, **variables):
        done = subprocess.run(command(playbook, variables), check=False, **HOW)
        assert KEY not in done.stdout
        return done

    return run


@pytest.fixture(scope="session")
def kept(tmp_path_factory):
    """The folder in which all playbooks keep what they found."""
    return tmp_path_factory.mktemp("kept")
