"""The monitor of the lab, what its Prometheus says, and the playbooks."""

import json
import os
import subprocess
import time
import urllib.parse
from pathlib import Path

import pytest
import testinfra

HERE = Path(__file__).resolve().parents[1]
REPO = HERE.parents[1]
INVENTORY = ["-i", str(HERE / "inventory")]
CONFIG = Path(os.environ["INFERENCE_LAB_STATE"]) / os.environ["INFERENCE_LAB_ID"] / "ssh_config"
# Molecule asks for colours, whose codes would stand between the words.
PLAIN = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "1"}
KEY = "not-a-real-key-77c1d0"
ASK = """
import sys, urllib.error, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    with opener.open(sys.argv[1], timeout=20) as answer:
        print(answer.status, answer.read().decode())
except urllib.error.HTTPError as error:
    print(error.code, "")
"""


def address(name):
    return os.environ["INFERENCE_LAB_SUBNET"].replace("0/24", f"1{name[-1]}")


@pytest.fixture(scope="session")
def monitor():
    return testinfra.get_host("ssh://lab2", ssh_config=str(CONFIG), sudo=True)


@pytest.fixture(scope="session")
def get():
    """Ask for a URL on a host; return (status, text)."""

    def ask(host, url):
        status, _blank, text = host.check_output("python3 -c %s %s", ASK, url).partition(" ")
        return int(status), text

    return ask


@pytest.fixture(scope="session")
def prometheus(monitor, get):
    """Ask the Prometheus of the lab; return the data of its answer."""

    def ask(path, **query):
        status, text = get(monitor, f"http://127.0.0.1:9090/api/v1/{path}?{urllib.parse.urlencode(query)}")
        assert status == 200, text
        return json.loads(text)["data"]

    return ask


@pytest.fixture(scope="session")
def alerts(prometheus):
    """The alerts that fire, as (alert, instance)."""
    return lambda: {(one["labels"]["alertname"], one["labels"].get("instance"))
                    for one in prometheus("alerts")["alerts"] if one["state"] == "firing"}


@pytest.fixture(scope="session")
def wait_until():
    def wait(condition, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.2)

    return wait


@pytest.fixture(scope="session")
def play():
    """Run a playbook as a user would; return its exit status and what it said, without line breaks."""

    def run(playbook, **more):
        done = subprocess.run(
            ["ansible-playbook", *INVENTORY, f"playbooks/{playbook}.yml", "-e", json.dumps(more)], cwd=REPO, env=PLAIN,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert KEY not in done.stdout
        return done.returncode, " ".join(done.stdout.split())

    return run
