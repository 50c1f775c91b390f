"""The load that runs through all tests, what became of it in each event, and what is asked of the hosts."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE, STDOUT

import pytest
import yaml

HERE = Path(__file__).resolve().parents[1]
REPO = HERE.parents[1]
BUILD = REPO / "build/serving"
INVENTORY = ["-i", str(HERE / "inventory")]
# Molecule asks for colours, whose codes would stand between the words.
PLAIN = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "1"}
SAMPLE = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"

sys.path.insert(0, str(HERE))
import windows  # noqa: E402


def variables():
    """Return the variables of the hosts with engines; templates in them are as they are written."""
    answer = subprocess.run(
        ["ansible-inventory", *INVENTORY, "--host", "lab1"], cwd=REPO, check=True, capture_output=True)
    return json.loads(answer.stdout)


def address(host):
    return os.environ["INFERENCE_LAB_SUBNET"].replace("0/24", f"1{host[-1]}")


class Site:
    """The inventory with wishes that change, and the playbooks."""

    def __init__(self, folder):
        self.folder = folder
        found = variables()
        self.services, self.key = found["inference_services"], found["service_api_keys"]["chat"]
        (folder / "group_vars").mkdir()
        (folder / "hosts.yml").write_text(yaml.safe_dump({"inference_hosts": {"hosts": {"lab1": None, "lab2": None}}}))

    def wish(self, file=None, **check):
        """Let the inventory name a file of build/serving, None for the sample model; return its release."""
        (service,) = self.services
        model = dict(service["model"])
        if file:
            data = (BUILD / file).read_bytes()
            model.update(source=str(BUILD / file), sha256=hashlib.sha256(data).hexdigest(),
                         filename="gemma-3-270m-q4_k_m.gguf")
        model["check"] = {**model["check"], **check}
        wished = {"inference_services": [{**service, "model": model}]}
        (self.folder / "group_vars/inference_hosts.yml").write_text(yaml.safe_dump(wished))
        return model["sha256"][:12]

    def command(self, playbook, *words, **more):
        return ["ansible-playbook", *INVENTORY, "-i", str(self.folder), f"playbooks/{playbook}.yml", *words,
                "-e", json.dumps(more)]

    def play(self, playbook, *words, **more):
        """Run a playbook as a user would; return its exit status and what it said, without line breaks."""
        done = subprocess.run(self.command(playbook, *words, **more), cwd=REPO, env=PLAIN, stdout=PIPE, stderr=STDOUT,
                              text=True, check=False)
        assert self.key not in done.stdout
        return done.returncode, " ".join(done.stdout.split())

    def start(self, playbook, **more):
        """Start a playbook in a process group of its own, with its output as lines."""
        return subprocess.Popen(self.command(playbook, **more), cwd=REPO, env=PLAIN, stdout=PIPE, stderr=STDOUT,
                                text=True, start_new_session=True)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    made = Site(tmp_path_factory.mktemp("wishes"))
    made.wish()
    return made


@pytest.fixture(scope="session")
def lab():
    """Run the lab's command."""

    def run(*words, stdin=""):
        done = subprocess.run([REPO / "molecule/lab/lab", *words], input=stdin, stdout=PIPE, stderr=STDOUT, text=True,
                              errors="replace", check=False)
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run


@pytest.fixture(scope="session")
def ask(lab):
    """Run a shell line as root on a host and return what it said, stripped."""
    return lambda host, line, stdin="": lab("ssh", host, f"sudo sh -c '{line}'", stdin=stdin).strip()


class Load:
    """The running load and the events so far."""

    def __init__(self, output):
        self.output, self.events = output, []

    def requests(self):
        return [json.loads(line) for line in self.output.read_text().splitlines() if line.endswith("}")]

    def failures(self, name):
        (found,) = [windows.failed(windows.during(self.requests(), start, end))
                    for event, start, end in self.events if event == name]
        return found

    @contextlib.contextmanager
    def event(self, name):
        """Time an event, from a request that ended before it to those that were begun in it and have ended."""
        start = time.time()
        yield
        end = time.time()
        self.events.append((name, start, end))
        self.await_requests(end)

    def await_requests(self, moment, count=4):
        """Wait until so many requests have ended that were begun after a moment: the ones before have, too."""
        deadline = time.monotonic() + 180
        while sum(one["start"] > moment for one in self.requests()) < count:
            assert time.monotonic() < deadline, "the load has stopped"
            time.sleep(0.1)


@pytest.fixture(scope="session")
def load(site, tmp_path_factory):
    """Two streams and two plain requests at any time, through the balancer, over TLS."""
    folder = tmp_path_factory.mktemp("load")
    (folder / "key").write_text(site.key)
    output = folder / "requests.jsonl"
    url = f"https://{address('lab3')}:8443/chat"
    with subprocess.Popen(
            [sys.executable, HERE / "load.py", "--key-file", folder / "key", "--ca", BUILD / "balancer.crt",
             "--output", output, url]) as process:
        running = Load(output)
        while not output.exists():
            assert process.poll() is None
            time.sleep(0.1)
        running.await_requests(0)
        assert windows.failed(running.requests()) == []
        yield running
        process.terminate()
    text = windows.table(running.requests(), running.events)
    print(f"\n\n{text}\n")
    (BUILD / "requests.txt").write_text(text + "\n")
