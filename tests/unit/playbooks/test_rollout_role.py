"""Role rollout on this machine, where systemd, two engines and their files are stand-ins."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import stand_in_host

ROOT = Path(__file__).resolve().parents[3]
UNITS = ("inference-chat@0.service", "inference-chat@1.service")
PLAYBOOK = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [
    {"name": "Roll out", "ansible.builtin.import_role": {"name": "inference.host.rollout"}}]}]


class Host:
    """Two instances of a service, without nginx."""

    def __init__(self, root):
        self.root = root
        (root / "run").mkdir()
        (root / "units/inference-chat@.service").write_text("[Service]\n", encoding="utf-8")
        (root / "playbook.json").write_text(json.dumps(PLAYBOOK), encoding="utf-8")
        self.instances = [self.instance(index, unit) for index, unit in enumerate(UNITS)]

    def instance(self, index, unit):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        return {"unit": unit, "service": "chat", "index": index, "runtime": "llama_cpp", "port": port,
                "health": "/health", "cpus": sorted(os.sched_getaffinity(0)), "numa_policy": "none", "numa_range": "0"}

    def rendered(self, release, instance):
        text = "\n".join([
            "[Service]", f"Environment=INFERENCE_REVISION={release}",
            f"ExecStart={sys.executable} {self.root}/programs/engine.py {instance['port']}"
            f" {self.root}/models/m/{release}/file", ""])
        return [{"path": f"{self.root}/units/{instance['unit']}.d/placement.conf", "content": text}]

    def roll(self, release, behaviour):
        """Put a release on the host and roll it out; return the exit status and what was said in one line."""
        folder = self.root / "models/m" / release
        folder.mkdir(parents=True)
        (folder / "file").write_text(behaviour, encoding="utf-8")
        file = {"path": "file", "sha256": "0" * 64, "size": 1, "mtime_ns": 0}
        (folder / "manifest.json").write_text(json.dumps({"name": "m", "files": [file]}), encoding="utf-8")
        instances = [dict(instance, model_file=f"m/{release}/file") for instance in self.instances]
        variables = {
            "ansible_python_interpreter": sys.executable, "inference_services": [], "model_dir": f"{self.root}/models",
            "inference_plan": {"services": [], "instances": instances, "nginx": {"longest_answer_seconds": 30}},
            "service_rendered": {
                "directories": [{"path": f"{self.root}/units/{unit}.d"} for unit in UNITS], "shared": [],
                "services": {"chat": []},
                "instances": {instance["unit"]: self.rendered(release, instance) for instance in instances}}}
        command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-e", json.dumps(variables),
                   str(self.root / "playbook.json")]
        environment = dict(
            os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".collections"),
            ANSIBLE_LOCAL_TEMP=str(self.root / "tmp"), ANSIBLE_NOCOLOR="1", LC_ALL="C.UTF-8")
        done = subprocess.run(command, cwd=self.root, env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode, " ".join(done.stdout.split())

    def pids(self):
        return [json.loads((self.root / "state" / unit).read_text(encoding="utf-8"))["pid"] for unit in UNITS]

    def running(self):
        return [Path(f"/proc/{pid}/environ").read_text(encoding="utf-8").partition("INFERENCE_REVISION=")[2]
                .partition("\0")[0] for pid in self.pids()]


@pytest.fixture
def host(tmp_path, monkeypatch):
    with stand_in_host.systemd(tmp_path, monkeypatch):
        yield Host(tmp_path)


def test_the_first_instance_that_fails_ends_the_roll_out(host):
    status, said = host.roll("one", "good Paris")
    assert status == 0, said
    assert host.running() == ["one", "one"]
    before = host.pids()
    status, said = host.roll("two", "refuses")
    assert status != 0 and f"{UNITS[0]} did not take the new release" in said, said
    assert host.running() == ["one", "one"]
    assert host.pids()[0] != before[0] and host.pids()[1] == before[1]
