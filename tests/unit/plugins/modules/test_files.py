"""The module `files`, run in a process of its own: results, check mode, secrets, full disks and signals."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.inference.host.plugins.doc_fragments.baseline import ModuleDocFragment
from ansible_collections.inference.host.plugins.modules import files as module_files


def a_set(root, **more):
    """Arguments that make a directory, write two files (one of them sensitive) and remove a stale one."""
    return dict(
        {
            "directories": [{"path": f"{root}/etc"}],
            "files": [
                {"path": f"{root}/etc/a.conf", "content": "plain line\n"},
                {"path": f"{root}/etc/key", "content": "a-secret-key\n", "mode": "0600", "sensitive": True},
            ],
            "absent": [f"{root}/*.stale"],
        },
        **more,
    )


def test_it_writes_once_and_then_has_nothing_to_do(tmp_path, run_module):
    (tmp_path / "x.stale").write_text("")
    first = run_module("files", a_set(tmp_path))
    assert first["changed"] is True
    assert first["changed_paths"] == [str(tmp_path / name) for name in ("etc", "etc/a.conf", "etc/key", "x.stale")]
    assert "diff" not in first
    second = run_module("files", a_set(tmp_path, validate=["false"]))
    assert (second["changed"], second["changed_paths"]) == (False, [])
    assert sorted(os.listdir(tmp_path)) == ["etc"]


def test_check_mode_tells_the_same_and_writes_nothing(tmp_path, run_module, snapshot):
    (tmp_path / "x.stale").write_text("stale")
    before = snapshot(tmp_path)
    foretold = run_module("files", a_set(tmp_path, validate=["false"]), check=True, diff=True)
    assert snapshot(tmp_path) == before
    done = run_module("files", a_set(tmp_path), diff=True)
    assert done["changed_paths"] == foretold["changed_paths"]
    assert done["diff"] == foretold["diff"]


def test_check_mode_does_not_miss_an_owner_or_folder_of_an_earlier_task(tmp_path, run_module):
    arguments = {"files": [{"path": f"{tmp_path}/no/a", "content": "", "owner": "nobody-has-this-name"}]}
    assert run_module("files", arguments, check=True)["changed"] is True
    assert "failed" in run_module("files", arguments)


def test_a_refusing_command_fails_the_module_with_its_own_words(tmp_path, run_module, snapshot):
    (tmp_path / "x.stale").write_text("stale")
    before = snapshot(tmp_path)
    result = run_module("files", a_set(tmp_path, validate=["sh", "-c", "echo line 3 is wrong >&2; exit 1"]))
    assert result["failed"] is True
    assert result["msg"].endswith("ended with status 1 and said: line 3 is wrong; everything is as it was before")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("command", ["cat {0}/etc/key", "tr -d '\\n' < {0}/etc/key"])
def test_secrets_are_in_no_part_of_the_result(tmp_path, run_module, command):
    ok = run_module("files", a_set(tmp_path), check=True, diff=True)
    assert "plain line" in json.dumps(ok["diff"])
    validate = ["sh", "-c", command.format(tmp_path) + "; exit 1"]
    refused = run_module("files", a_set(tmp_path, validate=validate), diff=True)
    assert refused["failed"] is True
    assert "a-secret-key" not in json.dumps([ok, refused])


def test_a_full_disk_leaves_all_as_it_was(tmp_path, run_module, snapshot):
    (tmp_path / "etc").mkdir(0o700)
    (tmp_path / "etc" / "a.conf").write_text("old")
    arguments = a_set(tmp_path)
    arguments["files"].append({"path": f"{tmp_path}/etc/big", "content": "x" * 100_000})
    before = snapshot(tmp_path)

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))

    result = run_module("files", arguments, preexec_fn=small_files)
    assert result["msg"] == f"{tmp_path}/etc/big cannot be written: file too large; everything is as it was before"
    assert snapshot(tmp_path) == before


def test_a_symlink_is_refused_in_check_mode_too(tmp_path, run_module):
    (tmp_path / "link").symlink_to("target")
    for check in (True, False):
        result = run_module("files", {"files": [{"path": f"{tmp_path}/link", "content": ""}]}, check=check)
        assert f"files: {tmp_path}/link is a symbolic link" in result["msg"]
    assert os.listdir(tmp_path) == ["link"]


@pytest.fixture
def stopped_in_the_command(tmp_path, start_module):
    """A function that starts the module and returns it while its command, which would have agreed, is running."""
    go = tmp_path / "go"
    (tmp_path / "root").mkdir()
    for pipe in (tmp_path / "here", go):
        os.mkfifo(pipe)
    root = tmp_path / "root"
    (root / "etc").mkdir()
    (root / "etc" / "a.conf").write_text("old")
    (root / "x.stale").write_text("stale")

    def start():
        process = start_module("files", a_set(root, validate=["sh", "-c", f"echo > {tmp_path}/here; read x < {go}"]))
        (tmp_path / "here").read_text()
        assert (root / "etc" / "a.conf").read_text() == "plain line\n"
        return process

    yield start, root
    with open(os.open(go, os.O_RDWR), "w") as stream:  # lets a command go that outlived the module
        stream.write("\n")


def test_a_killed_run_is_undone_by_the_next_which_asks_the_command_again(stopped_in_the_command, run_module, snapshot):
    start, root = stopped_in_the_command
    before = snapshot(root)
    process = start()
    process.kill()
    process.wait()
    process.stdout.close()
    assert snapshot(root) != before
    refused = run_module("files", a_set(root, validate=["false"]))
    assert "validate: false ended with status 1" in refused["msg"]
    assert snapshot(root) == before
    assert "An earlier run was cut off" in json.dumps(refused["warnings"])
    assert run_module("files", a_set(root, validate=["true"]))["changed"] is True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_run_puts_all_back_itself(stopped_in_the_command, snapshot, number):
    start, root = stopped_in_the_command
    before = snapshot(root)
    process = start()
    process.send_signal(number)
    with process.stdout:
        result = json.loads(process.stdout.read())
    process.wait()
    assert result["msg"] == f"stopped by {number.name}; everything is as it was before"
    assert snapshot(root) == before


def test_through_ansible_itself(tmp_path):
    collections = Path(__file__).resolve().parents[4] / ".collections"
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible"), "localhost", "-c", "local", "-D", "-m", "inference.host.files"]
        + ["-e", f"ansible_python_interpreter={sys.executable}", "-a", json.dumps(a_set(tmp_path))],
        env=dict(os.environ, ANSIBLE_COLLECTIONS_PATH=str(collections), ANSIBLE_HOME=str(tmp_path / "home")),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert "localhost | CHANGED" in done.stdout
    assert "+plain line" in done.stdout
    assert "a-secret-key" not in done.stdout
    assert (tmp_path / "etc" / "key").read_text() == "a-secret-key\n"


def test_the_documentation_names_every_option_with_its_type_and_default():
    documented = {}
    for text in (ModuleDocFragment.DOCUMENTATION, module_files.DOCUMENTATION):
        documented.update(yaml.safe_load(text)["options"])
    assert spec_of(documented, "suboptions") == spec_of(module_files.ARGUMENT_SPEC, "options")


def spec_of(options, below):
    fields = ("type", "elements", "default", "required")
    return {
        name: dict({key: option[key] for key in fields if key in option}, options=spec_of(option.get(below, {}), below))
        for name, option in options.items()
    }
