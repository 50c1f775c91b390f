"""Module engine_info as Ansible runs it: engines that were accepted, commands, container engines."""

import os

import pytest
from ansible_collections.inference.host.plugins.module_utils import engine_found
from ansible_collections.inference.host.plugins.module_utils.engine_store import Store
from engines import open_folder, program, tar


@pytest.fixture
def place():
    with open_folder() as folder:
        yield folder


@pytest.fixture
def ask(run_module):
    def run(**wish):
        result = run_module("engine_info", {"engines": [wish]})
        assert result["changed"] is False
        return result["engines"][wish["runtime"]]

    return run


def engine(place, **wish):
    return dict({"runtime": "llama_cpp", "title": "llama.cpp", "release": str(place / "engines/a1"),
                 "program": "bin/llama-server", "min_build": 8146}, **wish)


def install(place, **kind):
    program(place / "made", **kind)
    path = tar(place / "a.tar.gz", [("bin/llama-server", (place / "made").read_bytes(), 0o755)])
    Store(str(place / "engines/a1"), "llama_cpp", "llama.cpp").install_archive(path, "llama-server", 20)


@pytest.mark.parametrize("check", [False, True])
def test_one_call_tells_everything_and_changes_nothing(run_module, snapshot, place, check):
    install(place, version="0.1.1-dev (build 10470, commit abc1234)")
    before = snapshot(place)
    wishes = [engine(place), {"runtime": "command", "title": "command", "kind": "command", "commands": ["/bin/true"]}]
    result = run_module("engine_info", {"engines": wishes}, check=check)
    assert snapshot(place) == before
    assert result["engines"]["llama_cpp"] == {
        "runtime": "llama_cpp", "title": "llama.cpp", "path": str(place / "engines/a1/bin/llama-server"), "found": True,
        "build": 10470, "version": "0.1.1-dev", "options": ["-h", "--help", "-lm", "--load-mode"], "package": None,
        "missing": [], "problem": ""}
    assert result["engines"]["command"]["found"] is True


def test_an_engine_that_is_still_to_come_has_its_path(ask, place):
    found = ask(**engine(place, stated_build=9000))
    assert (found["found"], found["path"], found["build"]) == (False, str(place / "engines/a1/bin/llama-server"), 9000)
    assert found["problem"] == ""


def test_an_engine_that_is_too_old_by_now_is_a_problem(ask, place):
    install(place)
    found = ask(**engine(place, min_build=9001))
    assert found["found"] and found["problem"].startswith("llama.cpp is build 9000; it must be at least 9001")


def test_an_engine_that_no_longer_starts_has_to_be_installed_again(ask, place):
    install(place)
    path = place / "engines/a1/bin/llama-server"
    now = path.stat()
    path.write_bytes(b"\x7fELF".ljust(now.st_size, b" "))
    os.utime(path, ns=(now.st_atime_ns, now.st_mtime_ns))
    found = ask(**engine(place))
    assert not found["found"]
    assert found["problem"].startswith("llama.cpp is installed and does not work: ")


@pytest.mark.parametrize(("commands", "words"), [
    (["/bin/true", "true"], ""), (["/opt/nothing"], "/opt/nothing of a service's command is not on the host"),
    (["bin/true"], "bin/true of a service's"),
    (["/etc/passwd", "no-such-word"], "/etc/passwd, no-such-word of a service's"),
])
def test_commands_must_be_there(ask, commands, words):
    found = ask(runtime="command", title="command", kind="command", commands=commands)
    assert found["found"] is True and (words in found["problem"] if words else found["problem"] == "")


CLIENT = """#!/bin/sh
case "$*" in
  --version) echo "%s" ;;
  "image inspect r/there@sha256:1") echo '[{}]' ;;
  *) echo "no such image" >&2; exit 125 ;;
esac
"""


@pytest.mark.parametrize(("name", "says", "version"), [
    ("podman", "podman version 4.3.1", "4.3.1"),
    ("docker", "Docker version 20.10.24+dfsg1, build 297e128", "20.10.24+dfsg1"),
])
def test_a_container_engine_and_its_images(tmp_path, monkeypatch, name, says, version):
    (tmp_path / name).write_text(CLIENT % says)
    (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(engine_found, "PATH", f"{tmp_path}")
    monkeypatch.setattr(engine_found, "QUADLET", (str(tmp_path / "podman"),))
    found = engine_found.find_engine({"runtime": "container", "title": "container engine", "kind": "container",
                                      "images": ["r/there@sha256:1", "r/gone@sha256:2"]})
    assert (found["path"], found["version"]) == (str(tmp_path / name), version)
    assert found["options"] == (["quadlet"] if name == "podman" else [])
    assert found["missing"] == ["r/gone@sha256:2"] and found["problem"] == ""


def test_without_a_container_engine_nothing_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(engine_found, "PATH", str(tmp_path))
    found = engine_found.find_engine({"runtime": "container", "title": "container engine", "kind": "container",
                                      "images": ["r/i@sha256:1"]})
    assert (found["found"], found["path"], found["missing"]) == (False, None, [])
