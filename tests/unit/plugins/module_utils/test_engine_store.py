"""Engines that prove themselves or do not: stand-ins for llama-server, and the real one where it was built."""

import json
import os
import platform
import tarfile
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.engine_run import EngineError
from ansible_collections.inference.host.plugins.module_utils.engine_store import Store
from engines import HELP, open_folder, program, python, tar

CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "inference.host" / "runtimes"
BUILT = sorted(CACHE.glob("llama.cpp-" + "[0-9a-f]" * 12 + ".tar.gz"))
SECONDS = 20


@pytest.fixture
def place():
    with open_folder() as folder:
        yield folder


def store_at(place, name="a1", **wish):
    wish = dict({"min_build": 8146, "build_variable": "runtime_build"}, **wish)
    return Store(str(place / "engines" / name), "llama_cpp", "llama.cpp", **wish)


def archive(place, **kind):
    program(place / "made", **kind)
    path = tar(place / "a.tar.gz", [("rel/llama-server", (place / "made").read_bytes(), 0o755), ("rel/lib.so", b"lib")])
    (place / "made").unlink()
    return path


def names(place):
    return sorted(path.name for path in (place / "engines").iterdir())


def test_a_good_engine_comes_into_its_place_with_its_libraries(place):
    store = store_at(place)
    assert store.record() is None
    store.install_archive(archive(place), "llama-server", SECONDS)
    release = place / "engines" / "a1"
    assert names(place) == [".lock", "a1"]
    assert store.identify(store.record()) == {
        "path": str(release / "bin/llama-server"), "build": 9000, "version": "9000",
        "options": ["-h", "--help", "-lm", "--load-mode"]}
    assert (release / "rel/lib.so").read_bytes() == b"lib" and os.readlink(release / "bin") == "rel"
    assert oct(release.stat().st_mode & 0o777) == "0o755"
    assert HELP.count("\n") == 2


@pytest.mark.parametrize(("kind", "words"), [
    ("other processor", r"died of an illegal instruction \(SIGILL\) when it loaded a model: it was built for another"),
    ("dies at work", r"llama-server died of an illegal instruction \(SIGILL\) at its first request"),
    ("crash", "llama-server was ended by signal SIGSEGV when it loaded a model"),
    ("no load", "ended with status 1 when it loaded a model; its last words: unknown model architecture"),
    ("no token", "was asked for one token of a tiny model and answered"),
])
def test_one_that_fails_leaves_nothing_and_the_old_one_stays(place, kind, words):
    store = store_at(place)
    store.install_archive(archive(place), "llama-server", SECONDS)
    before = store.record()
    with pytest.raises(EngineError, match=words):
        store.install_archive(archive(place, kind=kind), "llama-server", SECONDS)
    with pytest.raises(EngineError, match=words):
        store_at(place, "b2").install_archive(archive(place, kind=kind), "llama-server", SECONDS)
    assert names(place) == [".lock", "a1"] and store.record() == before


@pytest.mark.parametrize("kind", ["hang", "never healthy"])
def test_one_that_is_not_ready_in_time_is_ended(place, kind):
    with pytest.raises(EngineError, match="was not ready within 1 s"):
        store_at(place).install_archive(archive(place, kind=kind), "llama-server", 1)
    assert names(place) == [".lock"]
    path = str(place).encode()
    running = [pid for pid in os.listdir("/proc") if pid.isdigit() and path in read(f"/proc/{pid}/cmdline")]
    assert running == []


def read(path):
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize(("version", "stated", "words"), [
    ("8000 (abc)", None, "llama.cpp is build 8000; it must be at least 8146"),
    ("8000 (abc)", 9000, "llama.cpp is build 8000; it must be at least 8146"),
    ("0.5.0-dev (build 0, commit unknown)", None, "does not tell its build number.* in runtime_build"),
    ("0.5.0-dev (build 0, commit unknown)", 8000, "llama.cpp is build 8000"),
])
def test_an_old_build_is_not_even_tried(place, version, stated, words):
    with pytest.raises(EngineError, match=words):
        store_at(place, stated_build=stated).install_archive(
            archive(place, kind="other processor", version=version), "llama-server", SECONDS)
    assert names(place) == [".lock"]


def test_what_a_killed_run_left_is_swept(place):
    for name in ("a1.partial", "a1.old", "a1"):
        (place / "engines" / name / "half").mkdir(parents=True)
    store = store_at(place)
    assert store.record() is None
    store.install_archive(archive(place), "llama-server", SECONDS)
    assert names(place) == [".lock", "a1"] and store.record() and not (place / "engines/a1/half").exists()


def test_a_program_that_is_there_is_recorded_and_its_change_is_seen(place):
    path = program(place / "mine")
    store = store_at(place)
    store.accept_program(path, SECONDS)
    assert store.identify(store.record())["path"] == path
    program(place / "mine", version="9001 (abc)")
    os.utime(path, ns=(1, 1))
    assert store.record() is None
    program(place / "mine", kind="other processor")
    with pytest.raises(EngineError, match="/mine died of an illegal instruction"):
        store.accept_program(path, SECONDS)
    assert names(place) == [".lock"]


@pytest.mark.parametrize("there", [False, True])
def test_a_program_that_is_not_there_or_none_is_refused(place, there):
    if there:
        (place / "mine").touch()
    with pytest.raises(EngineError, match="/mine is not there or cannot be executed"):
        store_at(place).accept_program(str(place / "mine"), SECONDS)


def test_a_broken_record_is_none(place):
    store = store_at(place)
    store.install_archive(archive(place), "llama-server", SECONDS)
    record = place / "engines/a1/engine.json"
    for text in ("", "[]", "{}", json.dumps(dict(store.record(), runtime="whisper"))):
        record.write_text(text)
        assert store.record() is None


def environment(place, body="", version="0.33.0"):
    """A stand-in for a virtual environment."""
    release = place / "engines" / "v1"
    site = release / "lib" / "python3.11" / "site-packages"
    (site / "my_vllm-0.33.0.dist-info").mkdir(parents=True)
    (site / "my_vllm-0.33.0.dist-info" / "METADATA").write_text(f"Name: my-vllm\nVersion: {version}\n")
    (site / "vllm.py").write_text(body)
    (release / "bin").mkdir()
    (release / "bin" / "python").write_text(f'#!/bin/sh\nPYTHONPATH={site} exec {python()} "$@"\n')
    (release / "bin" / "vllm").write_text("#!/bin/sh\n")
    for name in ("python", "vllm"):
        (release / "bin" / name).chmod(0o755)
    return Store(str(release), "vllm", "vLLM")


def test_an_environment_is_asked_for_its_module_and_metadata(place):
    store = environment(place)
    assert store.record() is None
    store.accept_environment("bin/vllm", "my-vllm", "vllm", SECONDS)
    assert store.identify(store.record()) == {"path": str(place / "engines/v1/bin/vllm"), "build": None,
                                              "version": "0.33.0", "options": []}


@pytest.mark.parametrize(("body", "program_path", "distribution", "words"), [
    ("raise ImportError('libtorch.so is gone')", "bin/vllm", "my-vllm", "cannot import vllm: .*libtorch.so is gone"),
    ("", "bin/other", "my-vllm", "bin/other is not there"),
    ("", "bin/vllm", "another", "has no package another"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "bin/vllm", "my-vllm", "built for another processor"),
])
def test_an_environment_that_does_not_work_is_removed(place, body, program_path, distribution, words):
    with pytest.raises(EngineError, match=words):
        environment(place, body).accept_environment(program_path, distribution, "vllm", SECONDS)
    assert names(place) == [".lock"]


@pytest.mark.skipif(not BUILT or platform.machine() != "x86_64", reason="no llama-server was built on this machine")
def test_the_real_engine_proves_itself(place):
    store = store_at(place, stated_build=11312)
    with tarfile.open(BUILT[-1]) as built:
        assert "./bin/llama-server" in built.getnames()
    store.install_archive(str(BUILT[-1]), "llama-server", SECONDS)
    engine = store.identify(store.record())
    assert engine["build"] == 11312 and "--load-mode" in engine["options"] and len(engine["options"]) > 300
    assert names(place) == [".lock", "a1"]
