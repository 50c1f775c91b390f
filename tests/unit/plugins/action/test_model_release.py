"""The action and its module together, as `ansible` runs them: calls, results, secrets, faults and repeated runs."""

import fcntl
import hashlib
import json
import os
import re
import resource
import shutil
import tempfile
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.gguf import read_gguf
from ansible_collections.inference.host.plugins.module_utils.gguf_facts import model_facts
from gguf_models import of_architecture, write_gguf
from model_host import DATA, INSTALLED, RELEASE, SECRETS, SHA256, Host, module, on_host, wait_for, with_first
from model_server import serving

OTHER_SHA256 = hashlib.sha256(b"other").hexdigest()
PYTHON_FOR_ALL = "/usr/bin/python3"
"""The tests' own Python may be in a folder that only its owner can enter."""


def test_a_file_from_the_controller_is_installed_once(host, snapshot):
    before = snapshot(host.folder)
    foretold, _output, _starts = host.run("--check")
    assert (foretold["changed"], foretold["status"], foretold["size_bytes"]) == (True, "would_install", len(DATA))
    assert not host.models.exists()
    assert snapshot(host.folder)["x.gguf"] == before["x.gguf"]

    done, output, _starts = host.run()
    assert (done["changed"], done["status"], done["release"]) == (True, "installed", SHA256[:12])
    assert done["path"] == f"{host.models}/m/current/x.gguf"
    assert Path(done["path"]).read_bytes() == DATA
    assert Path(done["manifest"]).name == "manifest.json"
    assert "lab1: m: transferring 2 MB" in output
    assert host.state() == INSTALLED

    host.source.unlink()  # proves that it is not asked for
    before = snapshot(host.models)
    again, _output, starts = host.run()
    assert (again["changed"], again["status"], again["size_bytes"]) == (False, "present", len(DATA))
    assert starts == 1
    assert snapshot(host.models) == before


@pytest.mark.parametrize(
    ("changes", "data", "sentence"),
    [
        ({"source": "/no/x.gguf"}, DATA, "model 'm': source /no/x.gguf does not exist on the controller; it must be a"),
        ({}, DATA[:-1], f"model 'm': sha256 {SHA256} is expected, but SOURCE has [0-9a-f]{{64}}"),
        ({"preflight": True}, DATA[:-1], f"model 'm': sha256 {SHA256} is expected, but SOURCE has [0-9a-f]{{64}}"),
        ({}, b"<html>", "model 'm': SOURCE is no GGUF file"),
    ],
)
def test_a_wrong_file_on_the_controller_leaves_nothing(host, changes, data, sentence):
    host.source.write_bytes(data)
    result, _output, starts = host.run(**changes)
    assert re.search(sentence.replace("SOURCE", str(host.source)), result["msg"]), result
    assert starts == 1
    assert not host.models.exists()


def test_preflight_changes_nothing_and_says_what_would_be(host):
    result, _output, starts = host.run(preflight=True)
    assert (result["changed"], result["status"], result["needed"], starts) == (False, "would_install", True, 1)
    assert not host.models.exists()


def test_facts_are_read_where_the_file_is(host):
    write_gguf(host.source, tensors=[("blk.0.a", (8, 2), "float32")], **of_architecture(
        "llama", block_count=1, embedding_length=8, attention__head_count=2))
    facts = model_facts(read_gguf(str(host.source)))
    sha256 = hashlib.sha256(host.source.read_bytes()).hexdigest()
    on_the_controller, _output, _starts = host.run(preflight=True, sha256=sha256)
    assert on_the_controller["status"] == "would_install"
    installed, _output, _starts = host.run(sha256=sha256)
    host.source.unlink()
    again, _output, starts = host.run("--check", sha256=sha256)
    assert starts == 1
    for result in (on_the_controller, installed, again):
        assert (result["facts"], result["facts_note"]) == (facts, None)


def test_why_there_are_no_facts_is_said(host):
    foretold, _output, _starts = host.run(preflight=True)
    assert foretold["facts"] is None and str(host.source) in foretold["facts_note"]
    assert "version is" in foretold["facts_note"]
    with serving(DATA) as server:
        to_come, _output, _starts = host.run("--check", source=server.url + "/good/x.gguf")
        assert to_come["facts"] is None and server.url in to_come["facts_note"]
        assert "version is" in to_come["facts_note"]
    installed, _output, _starts = host.run()
    assert installed["facts"] is None and f"{host.models}/{RELEASE}/x.gguf" in installed["facts_note"]


def test_a_download_shows_its_progress_and_none_of_its_secrets(host):
    with serving(DATA) as server:
        login = "://{user}:{password}@".format(**SECRETS)
        url = server.url.replace("://", login) + "/stalls/x.gguf?token=" + SECRETS["query"]
        result, output, starts = host.run(
            "-vvv", source=url, headers={"X-Key": SECRETS["header"]}, time_budget_seconds=1)
    assert (result["changed"], result["status"], result["size_bytes"]) == (True, "installed", len(DATA))
    assert re.findall("^lab1: m: .*", output, re.MULTILINE) == ["lab1: m: 1 of 2 MB", "lab1: m: 2 of 2 MB"]
    assert starts == 3
    assert Path(result["path"]).read_bytes() == DATA
    assert host.state() == INSTALLED
    shown = output + Path(result["manifest"]).read_text()
    assert [name for name, secret in SECRETS.items() if secret in shown] == []
    assert json.loads(Path(result["manifest"]).read_text())["source"] == server.url + "/stalls/x.gguf"
    if "invocation" in result:  # ansible-core 2.21 does not return it
        assert result["invocation"]["module_args"]["models"][0]["source"] == server.url + "/stalls/x.gguf"


def test_a_download_without_progress_is_given_up(host):
    with serving(DATA) as server:
        server.piece = 0
        result, _output, starts = host.run(source=server.url + "/drops/x.gguf")
    assert result["msg"] == (
        f"model 'm': {server.url}/drops/x.gguf ended at byte 0 of {len(DATA)}; 0 bytes are there, and 3 attempts"
        " brought no more.")
    assert starts == 3
    assert host.state() == [".incoming", ".incoming/lock"]


@pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists(PYTHON_FOR_ALL), reason="only root becomes another user")
def test_a_user_without_privileges_installs_what_another_sends():
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        host = Host(folder, PYTHON_FOR_ALL)
        host.source.chmod(0o600)
        host.starts.touch()
        host.starts.chmod(0o666)
        host.models.mkdir()
        shutil.chown(host.models, "nobody")
        become = ["--become", "--become-user", "nobody", "--become-method", "su"]
        result, output, _starts = host.run(*become, "-e", "ansible_become_flags='-s /bin/sh'")
        assert result.get("status") == "installed", output
        assert (host.models / "m/current/x.gguf").owner() == "nobody"
        assert host.state() == INSTALLED
    finally:
        shutil.rmtree(folder)


def test_what_is_internal_is_refused(host):
    result, _output, starts = host.run(uploaded={"file": "/etc/shadow"})
    assert (result["msg"], starts) == ("model_release: uploaded is set by the action plugin alone.", 0)


def test_a_file_that_is_on_the_host_already(host, run_module, snapshot):
    before = snapshot(host.folder)
    foretold = module(host, run_module, check=True, **on_host(host))
    assert (foretold["changed"], foretold["status"]) == (True, "would_install")
    assert snapshot(host.folder) == before
    assert module(host, run_module, **on_host(host))["changed"] is True
    assert host.state() == INSTALLED
    assert module(host, run_module, **on_host(host))["status"] == "present"


def test_a_changed_file_is_replaced_and_a_touched_one_is_not(host, run_module):
    path = Path(module(host, run_module, **on_host(host))["path"])
    path.write_bytes(DATA[::-1])
    assert module(host, run_module, check=True, **on_host(host))["changed"] is True
    assert module(host, run_module, **on_host(host))["status"] == "installed"
    assert path.read_bytes() == DATA
    inode = path.stat().st_ino
    os.utime(path, (1, 1))
    assert module(host, run_module, check=True, **on_host(host))["changed"] is False
    assert module(host, run_module, **on_host(host))["status"] == "present"
    assert path.stat().st_ino == inode
    assert json.loads((path.parent / "manifest.json").read_text())["files"][0]["mtime_ns"] == 10**9


def test_an_older_release_is_made_current_again_without_its_source(host, run_module):
    module(host, run_module, **on_host(host), release="v1")
    module(host, run_module, **on_host(host), release="v2")
    assert os.readlink(host.models / "m/current") == "v2"
    host.source.unlink()
    for check in (True, False):
        back = module(host, run_module, check=check, **on_host(host), release="v1")
        assert (back["changed"], back["needed"]) == (True, False)
    assert os.readlink(host.models / "m/current") == "v1"


def test_a_wrong_checksum_on_the_host_leaves_the_old_release(host, run_module, snapshot):
    module(host, run_module, **on_host(host))
    before = snapshot(host.models / "m")
    for check in (True, False):
        result = module(host, run_module, check=check, **on_host(host), sha256=OTHER_SHA256)
        assert f"model 'm': sha256 {OTHER_SHA256} is expected, but " in result["msg"]
        assert result["msg"].endswith(f"has {SHA256}.")
    assert snapshot(host.models / "m") == before
    assert host.state() == INSTALLED


@pytest.mark.parametrize("preflight", [True, False])
def test_missing_room_is_said_before_a_byte_moves(host, run_module, preflight):
    result = module(host, run_module, preflight=preflight, sizes={"m": {"x.gguf": 1 << 50}})
    assert re.fullmatch(r"model 'm': models_dir \(.*/models\) has \d+ MiB free; \d+ MiB are needed\.", result["msg"])
    assert not host.models.exists()


def test_a_full_disk_leaves_the_old_release_and_no_partial_file(host, run_module):
    module(host, run_module, **on_host(host), release="v1")

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    with serving(DATA) as server:
        for source in (f"file://{host.source}", server.url + "/good/x.gguf"):
            arguments = host.arguments(source=source, release="v2")
            result = run_module("model_release", arguments, preexec_fn=small_files)
            assert re.fullmatch("model 'm': .* cannot be used: file too large.", result["msg"])
            assert os.listdir(host.models / ".incoming") == ["lock"]
    assert os.readlink(host.models / "m/current") == "v1"
    assert sorted(os.listdir(host.models / "m")) == ["current", "v1"]


def test_a_killed_download_goes_on(host, start_module, run_module):
    partial = host.models / f".incoming/{SHA256}.partial"
    with serving(DATA) as server:
        process = start_module("model_release", host.arguments(source=server.url + "/stalls/x.gguf"))
        wait_for(lambda: partial.exists() and partial.stat().st_size == server.piece)
        process.kill()
        process.wait()
        process.stdout.close()
        assert module(host, run_module, source=server.url + "/good/x.gguf")["status"] == "installed"
        asked = [headers["Range"] for _path, headers in server.asked]
        assert asked == ["bytes=0-15", "bytes=0-", "bytes=0-15", f"bytes={server.piece}-"]
    assert host.state() == INSTALLED
    assert (host.models / "m/current/x.gguf").read_bytes() == DATA


def test_every_state_that_a_killed_installation_leaves_is_completed(host, run_module):
    """The steps are: partial file, file, manifest, current. Each is undone down to one of them, then repeated."""
    module(host, run_module, **on_host(host))
    release = host.models / RELEASE
    for steps in (["m/current"], ["m/current", f"{RELEASE}/manifest.json"]):
        for path in steps:
            (host.models / path).unlink()
        inode = (release / "x.gguf").stat().st_ino
        done = module(host, run_module, **on_host(host))
        assert (done["changed"], (release / "x.gguf").stat().st_ino) == (True, inode)
        assert host.state() == INSTALLED
    shutil.rmtree(host.models / "m")
    (host.models / f".incoming/{SHA256}.partial").write_bytes(DATA)
    assert module(host, run_module, **on_host(host))["status"] == "installed"
    assert host.state() == INSTALLED


def test_two_runs_at_once_install_it_once(host, start_module):
    (host.models / ".incoming").mkdir(parents=True)
    with open(host.models / ".incoming/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        processes = [start_module("model_release", host.arguments(**on_host(host))) for _run in range(2)]
        for process in processes:
            waits = re.compile(rf"-> FLOCK .* {process.pid} ")
            wait_for(lambda: waits.search(Path("/proc/locks").read_text()))  # noqa: B023
    results = []
    for process in processes:
        with process.stdout:
            results.append(with_first(json.loads(process.stdout.read())))
        process.wait()
    assert sorted((result["status"], result["changed"]) for result in results) == [
        ("installed", True), ("present", False)]
    assert host.state() == INSTALLED
