"""The option `baseline` of module `files`, and how module `tunables` gives back what it kept."""

import json
import os
from pathlib import Path

import pytest


@pytest.fixture
def host(tmp_path):
    root = tmp_path / "host"
    (root / "etc/old.d").mkdir(parents=True)
    (root / "etc/a.conf").write_text("theirs\n")
    (root / "etc/a.conf").chmod(0o640)
    (root / "etc/old.d/x.conf").write_text("stale\n")
    return root


def a_set(host, **more):
    """Arguments that change a file, make one in a folder of its own, and remove the only one of another folder."""
    return dict(
        {
            "files": [
                {"path": f"{host}/etc/a.conf", "content": "ours\n"},
                {"path": f"{host}/etc/deep/new/b.conf", "content": "b\n", "mode": "0600", "sensitive": True},
            ],
            "directories": [{"path": f"{host}/etc/deep/new"}],
            "absent": [f"{host}/etc/old.*/*.conf"],
            "baseline": f"{host.parent}/baseline",
            "baseline_name": "60-files",
        },
        **more,
    )


def back(host, **more):
    return dict({"state": "restored", "stems": ["all"], "baseline": f"{host.parent}/baseline"}, **more)


def without_times(found):
    return {path: (*what[:3], what[3][0] if isinstance(what[3], tuple) else what[3]) for path, what in found.items()}


def kept(host):
    return json.loads((host.parent / "baseline/60-files.json").read_text())


def test_all_is_given_back(host, run_module, snapshot):
    before = without_times(snapshot(host))
    assert run_module("files", a_set(host))["changed"] is True
    assert not (host / "etc/old.d").exists()
    assert run_module("files", a_set(host))["changed"] is False
    run_module("files", a_set(host, files=[{"path": f"{host}/etc/a.conf", "content": "ours, again\n"}]))
    result = run_module("tunables", back(host), diff=True)
    assert "failed" not in result
    assert "warnings" not in result
    assert without_times(snapshot(host)) == before
    assert os.listdir(host.parent / "baseline") == [".lock"]


def test_commands_are_run_after_the_files_are_back(host, run_module):
    after = ["sh", "-c", f"cat {host}/etc/a.conf > {host.parent}/reloaded"]
    run_module("files", a_set(host, baseline_after=[after]))
    run_module("tunables", back(host))
    assert (host.parent / "reloaded").read_text() == "theirs\n"


def test_nothing_is_kept_without_the_option_or_in_check_mode(host, run_module):
    run_module("files", a_set(host), check=True)
    assert not (host.parent / "baseline").exists()
    run_module("files", a_set(host, baseline=None, baseline_name=None))
    assert not (host.parent / "baseline").exists()


def test_a_set_that_fails_leaves_nothing_kept(host, run_module, snapshot):
    before = without_times(snapshot(host))
    assert run_module("files", a_set(host, validate=["false"]))["failed"] is True
    assert without_times(snapshot(host)) == before
    assert os.listdir(host.parent / "baseline") == [".lock"]


def test_what_is_as_first_seen_again_is_not_kept(host, run_module):
    made = a_set(host, absent=[], directories=[], files=[{"path": f"{host}/etc/new", "content": "x"}])
    run_module("files", made)
    assert list(kept(host)["files"]) == [f"{host}/etc/new"]
    run_module("files", dict(made, files=[], absent=[f"{host}/etc/new"]))
    assert os.listdir(host.parent / "baseline") == [".lock"]


def test_a_file_that_another_tool_changed_since_is_copied_before_it_goes_back(host, run_module):
    run_module("files", a_set(host))
    (host / "etc/a.conf").write_text("edited\n")
    result = run_module("tunables", back(host))
    assert f"{host}/etc/a.conf is neither the first-seen file nor as written here" in str(result["warnings"])
    assert (host / "etc/a.conf").read_text() == "theirs\n"
    (copy,) = (host.parent / "replaced").iterdir()
    assert copy.read_text() == "edited\n"
    assert copy.stat().st_mode & 0o777 == 0o600


def test_secrets_are_in_no_part_of_what_restoring_tells(host, run_module):
    (host / "etc/key").write_text("the-old-key\n")
    (host / "etc/key").chmod(0o600)
    files = [{"path": f"{host}/etc/key", "content": "the-new-key\n", "mode": "0644", "sensitive": True}]
    run_module("files", a_set(host, files=files))
    (host / "etc/a.conf").chmod(0o600)
    told = run_module("tunables", back(host), diff=True, check=True)
    assert "the-new-key" not in json.dumps(told)
    assert "the-old-key" not in json.dumps(told)
    assert "first-seen (content not shown)" in json.dumps(told["diff"])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"baseline_name": None}, "baseline_name is ''; it must be a file name without ending"),
        ({"baseline_name": "../x"}, "baseline_name is '../x'; it must be a file name without ending"),
    ],
)
def test_a_name_that_is_none_is_refused(host, run_module, wrong, says):
    assert says in run_module("files", a_set(host, **wrong))["msg"]


def test_what_is_kept_is_for_its_owner_only(host, run_module):
    run_module("files", a_set(host))
    assert Path(host.parent / "baseline/60-files.json").stat().st_mode & 0o777 == 0o600
