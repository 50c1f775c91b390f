"""Fixtures that more than one test file uses: what a tree holds, and a module run as Ansible runs it."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def _snapshot(root):
    found = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files, "."]:
            path = os.path.normpath(os.path.join(folder, name))
            now = os.lstat(path)
            what = None
            if stat.S_ISLNK(now.st_mode):
                what = os.readlink(path)
            elif stat.S_ISREG(now.st_mode):
                what = (Path(path).read_bytes(), now.st_mtime_ns)
            found[os.path.relpath(path, root)] = (now.st_mode, now.st_uid, now.st_gid, what)
    return found


@pytest.fixture(scope="session")
def snapshot():
    """A function that returns every path below a folder with its type, mode, owner, content and file times."""
    return _snapshot


@pytest.fixture(scope="session")
def start_module():
    """A function that starts a module of the collection in a process of its own, given its arguments."""

    def start(name, args, check=False, diff=False, **popen):
        internal = {"_ansible_check_mode": check, "_ansible_diff": diff}
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "plugins" / "modules" / f"{name}.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT / ".collections"), *sys.path])),
            **popen,
        )
        process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": dict(args, **internal)}))
        process.stdin.close()
        return process

    return start


@pytest.fixture(scope="session")
def run_module(start_module):
    """A function that runs a module of the collection to its end and returns its result."""

    def run(name, args, **options):
        process = start_module(name, args, **options)
        with process.stdout:
            answer = process.stdout.read()
        process.wait()
        return json.loads(answer)

    return run
