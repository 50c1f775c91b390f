"""A host that is this machine, for what puts models there, and the models of its tests."""

import hashlib
import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

DATA = b"GGUF" + random.Random(1).randbytes(2_500_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
ROOT = Path(__file__).resolve().parents[2]
MODEL_KEYS = {"name", "source", "sha256", "files", "filename", "release", "headers"}
SECRETS = {"user": "alice-the-user", "password": "pass-of-alice", "query": "query-secret", "header": "Bearer h-secret"}


def with_first(result):
    """A result with what it says of the first model, which most tests have alone."""
    return dict(result, **(result.get("results") or [{}])[0])


class Host:
    """A host that is this machine, with a Python that counts how often a module starts."""

    def __init__(self, folder, interpreter=sys.executable):
        self.folder, self.models = folder, folder / "models"
        self.source = folder / "x.gguf"
        self.source.write_bytes(DATA)
        self.starts = folder / "starts"
        python = folder / "python"
        python.write_text(f'#!/bin/sh\necho start >> {self.starts}\nexec {interpreter} "$@"\n')
        python.chmod(0o755)
        (folder / "ansible.cfg").write_text("")
        (folder / "hosts").write_text(f"lab1 ansible_connection=local ansible_python_interpreter={python}\n")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
            "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
            "ANSIBLE_HOME": str(folder / "home"),
            "ANSIBLE_REMOTE_TMP": str(folder / "tmp"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_NOCOLOR": "1",
        }

    def arguments(self, models=None, **changes):
        """The module's arguments; a change of what belongs to a model is one of the model `m`."""
        own = {key: changes.pop(key) for key in MODEL_KEYS & set(changes)}
        own["check"] = changes.pop("check_of_model", None)
        model = dict({"name": "m", "source": str(self.source), "sha256": SHA256}, **own)
        return dict({"models_dir": str(self.models), "models": models or [model]}, **changes)

    def run(self, *options, **changes):
        """Run the module through `ansible`; return its result, all output, and how many modules were started."""
        self.starts.write_text("")
        ansible = Path(sys.executable).with_name("ansible")
        done = subprocess.run(
            [ansible, "lab1", "-i", self.folder / "hosts", "-m", "inference.host.model_release", *options,
             "-a", json.dumps(self.arguments(**changes))],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False)
        output = done.stdout + done.stderr
        answer = re.search(r"^lab1 \| \S+ => (\{.*?^\})", done.stdout, re.MULTILINE | re.DOTALL)
        assert answer, output
        return with_first(json.loads(answer.group(1))), output, self.starts.read_text().count("start")

    def state(self):
        return sorted(str(path.relative_to(self.models)) for path in self.models.rglob("*"))


RELEASE = f"m/{SHA256[:12]}"
INSTALLED = sorted(
    [".incoming", ".incoming/lock", "m", RELEASE, f"{RELEASE}/manifest.json", f"{RELEASE}/x.gguf", "m/current"])

HEADER = b'{"__metadata__":{"format":"pt"}}'
BEGINNING = len(HEADER).to_bytes(8, "little") + HEADER
SEVERAL = {
    "model-00001-of-00002.safetensors": BEGINNING + random.Random(2).randbytes(1_500_000),
    "model-00002-of-00002.safetensors": BEGINNING + random.Random(3).randbytes(700_000),
    "config.json": b'{"model_type": "llama"}',
    "sub/tokenizer.json": b'{"model_type": "llama"}',
}
SUMS = {path: hashlib.sha256(data).hexdigest() for path, data in SEVERAL.items()}
SIZE = sum(map(len, SEVERAL.values()))


def module(host, run_module, check=False, **changes):
    return with_first(run_module("model_release", host.arguments(**changes), check=check))


def on_host(host):
    return {"source": f"file://{host.source}"}


def wait_for(condition):
    """Wait until `condition` holds, at most a generous while."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def write_below(folder, files=None):
    for path, data in (SEVERAL if files is None else files).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def several(source, **changes):
    return dict({"source": str(source), "sha256": None, "files": SUMS}, **changes)


def contents(host, release):
    folder = host.models / "m" / release
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*")
            if path.is_file() and path.name != "manifest.json"}


def incoming(host):
    return sorted(os.listdir(host.models / ".incoming"))
