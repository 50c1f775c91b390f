"""What the tests ask the machine and the controller; testinfra gives `host`. Each question to the machine takes
seconds in software emulation, so that few are asked, and long ones."""

import json
import os
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[3]
MACHINE = REPO / "molecule/lab/machine"
INVENTORY = ["-i", str(REPO / "inventories/machine")]
# As a user's shell has it: Molecule's settings would give the answer as YAML, and in colours.
PLAIN = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}


@pytest.fixture(scope="session")
def ask():
    """Run a module on the machine as Ansible does and return its answer."""

    def run(module):
        command = ["ansible", *INVENTORY, "machine1", "-m", module]
        done = subprocess.run(command, cwd=REPO, env=PLAIN, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.partition("=> ")[2])

    return run


@pytest.fixture(scope="session")
def reboot():
    """Restart the machine and wait until it has settled."""

    def run():
        done = subprocess.run([str(MACHINE), "reboot"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


@pytest.fixture
def read(host):
    """Texts of files by path, without spaces at the end, all in one question; a glob stands for what it matches."""

    def run(*paths):
        lines = host.check_output("grep --no-messages --recursive '' " + " ".join(paths))
        texts = {}
        for line in lines.splitlines():
            path, _colon, text = line.rstrip().partition(":")
            texts[path] = f"{texts[path]}\n{text}" if path in texts else text
        return texts

    return run
