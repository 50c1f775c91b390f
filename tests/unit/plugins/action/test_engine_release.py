"""The action plugin engine_release, run by ansible-playbook on this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from engines import open_folder, program, tar

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def place():
    with open_folder() as folder:
        yield folder


@pytest.fixture
def run(place, tmp_path):
    """Run the task on this machine; return the exit status and the output. Ansible's folders are in tmp_path."""

    def start(*flags, **more):
        task = {"runtime": "llama_cpp", "title": "llama.cpp", "release": str(place / "engines/a1"),
                "program": "llama-server", "seconds": 20, **more}
        book = tmp_path / "book.yml"
        book.write_text(json.dumps([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [
            {"inference.host.engine_release": task}], "vars": {"ansible_python_interpreter": sys.executable}}]))
        environment = dict(os.environ, ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".collections"), ANSIBLE_NOCOLOR="1",
                           ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_LOCAL_TEMP=str(tmp_path / "local"),
                           ANSIBLE_REMOTE_TEMP=str(tmp_path / "remote"), LC_ALL="C.UTF-8")
        done = subprocess.run([sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", str(book), *flags],
                              env=environment, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        return done.returncode, " ".join(done.stdout.split())

    return start


def archive(place, **kind):
    program(place / "made", **kind)
    return tar(place / "a.tar.gz", [("llama-server", (place / "made").read_bytes(), 0o755)])


@pytest.mark.parametrize(("kind", "status"), [("good", 0), ("other processor", 2)])
def test_the_archive_goes_to_the_host_for_as_long_as_it_is_needed(run, place, tmp_path, kind, status):
    found, said = run(src=archive(place, kind=kind))
    assert found == status, said
    assert ("it was built for another processor" in said) == bool(status)
    assert (place / "engines/a1/bin/llama-server").exists() == (not status)
    assert [path for path in (tmp_path / "remote").rglob("*") if path.is_file()] == []


def test_check_mode_sends_nothing(run, place):
    found, said = run("--check", src=str(place / "nothing.tar.gz"))
    assert found == 0 and "changed=1" in said and not (place / "engines").exists()


def test_an_archive_that_is_not_there_is_named(run, place):
    found, said = run(src=str(place / "nothing.tar.gz"))
    assert found == 2 and f"src is '{place}/nothing.tar.gz', which is no file on the controller." in said


def test_the_internal_argument_is_refused(run):
    found, said = run(archive="/tmp/a")
    assert found == 2 and "archive is set by the action plugin alone" in said
