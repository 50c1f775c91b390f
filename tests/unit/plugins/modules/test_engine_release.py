"""Module engine_release as Ansible runs it: one sentence for what is refused, nothing done in check mode."""

import glob
import os
import signal
import tempfile
import time

import pytest
from engines import open_folder, program, tar


@pytest.fixture
def place():
    with open_folder() as folder:
        yield folder


def arguments(place, **more):
    return dict({"runtime": "llama_cpp", "title": "llama.cpp", "release": str(place / "engines/a1"),
                 "program": "llama-server", "min_build": 8146, "seconds": 20}, **more)


def archive(place, **kind):
    program(place / "made", **kind)
    return tar(place / "a.tar.gz", [("x/llama-server", (place / "made").read_bytes(), 0o755)])


def test_an_archive_is_installed(run_module, place):
    result = run_module("engine_release", arguments(place, archive=archive(place)))
    assert result["changed"] and result["path"] == str(place / "engines/a1/bin/llama-server")


def test_check_mode_does_nothing(run_module, place, snapshot):
    path = archive(place)
    before = snapshot(place)
    result = run_module("engine_release", arguments(place, archive=path), check=True)
    assert result["changed"] and snapshot(place) == before


@pytest.mark.parametrize(("kind", "words"), [
    ("other processor", "llama.cpp was refused: llama-server died of an illegal instruction (SIGILL) when it loaded a "
                        "model: it was built for another processor. Nothing was installed."),
    ("no load", "llama.cpp was refused: llama-server ended with status 1 when it loaded a model; its last words: "
                "unknown model architecture. Nothing was installed."),
])
def test_what_is_refused_is_one_sentence(run_module, place, kind, words):
    result = run_module("engine_release", arguments(place, archive=archive(place, kind=kind)))
    assert result["failed"] and result["msg"].replace(str(place / "engines/a1.partial") + "/", "") == words.replace(
        "llama-server", "bin/llama-server")


def commands(place):
    """The processes that were started of what lies in `place`."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as stream:
                words = stream.read()
        except OSError:
            continue
        if str(place).encode() in words and b"--model" in words:
            found.append(path)
    return found


def await_that(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def scratches():
    return glob.glob(os.path.join(tempfile.gettempdir(), "inference-engine-*"))


def test_a_killed_run_takes_its_engine_along_and_is_repeated(start_module, run_module, place):
    others = scratches()
    process = start_module("engine_release", arguments(place, archive=archive(place, kind="hang")))
    await_that(lambda: commands(place))
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    await_that(lambda: not commands(place))
    assert sorted(os.listdir(place / "engines")) == [".lock", "a1.partial"] and set(scratches()) - set(others)
    result = run_module("engine_release", arguments(place, archive=archive(place)))
    assert result["changed"], result
    assert sorted(os.listdir(place / "engines")) == [".lock", "a1"]
    assert not [path for path in scratches() if path.split("-")[2] == str(process.pid)]


def test_a_folder_that_cannot_be_made_is_named(run_module, place):
    (place / "engines").touch()
    result = run_module("engine_release", arguments(place, archive=archive(place)))
    assert result["failed"] and f"llama.cpp was not installed: {place}/engines: file exists." in result["msg"]


def test_an_environment_needs_its_module_named(run_module, place):
    result = run_module("engine_release", arguments(place, distribution="vllm"))
    assert result["failed"] and "parameters are required together: distribution, module" in result["msg"]
