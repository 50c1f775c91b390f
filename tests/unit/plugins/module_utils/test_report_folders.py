"""The folders of a report: what is read of them, and what is left alone."""

import errno
import os

import pytest
from ansible_collections.inference.host.plugins.module_utils import report_folders
from ansible_collections.inference.host.plugins.module_utils.report_folders import report_files


@pytest.fixture(name="folders")
def folders_fixture(tmp_path):
    def write(path, text="{}"):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        os.utime(file, (1795000000, 1795000000))

    write("plans/gpu1/plan.json", '{"a": "ü"}')
    write("plans/gpu1/plan.svg", "<svg/>")
    write("plans/gpu1/notes.txt")
    write("plans/gpu2/plan.json")
    write("plans/.git/plan.json")
    write("plans/README.md")
    write("reports/verify.json")
    write("benchmarks/gpu1/before.json")
    write("benchmarks/gpu1/after.json")
    write("benchmarks/gpu1/.partial.json")
    write("benchmarks/gpu3/x.json")
    return tmp_path


def read(folder):
    return report_files(*(str(folder / name) for name in ("plans", "reports", "benchmarks")))


def test_files_of_all_hosts_are_read_and_no_others(folders):
    files = read(folders)
    assert {host: list(found) for host, found in files["plans"].items()} == {
        "gpu1": ["plan", "picture"], "gpu2": ["plan"]}
    assert files["plans"]["gpu1"]["plan"] == {"text": '{"a": "ü"}', "modified": "2026-11-18 11:06 UTC"}
    assert [(file["host"], file["label"]) for file in files["benchmarks"]] == [
        ("gpu1", "after"), ("gpu1", "before"), ("gpu3", "x")]
    assert files["verify"]["text"] == "{}"


def test_folders_that_are_not_there_are_empty(tmp_path):
    assert read(tmp_path) == {"plans": {}, "benchmarks": []}


def test_what_cannot_be_read_is_said(folders, monkeypatch):
    (folders / "plans/gpu2/plan.json").unlink()
    (folders / "plans/gpu2/plan.json").mkdir()
    (folders / "plans/gpu2/plan.svg").symlink_to("nowhere")
    monkeypatch.setattr(report_folders, "LARGEST_BYTES", 5)
    files = read(folders)
    assert files["plans"]["gpu2"] == {"plan": {"fault": "is no file"}, "picture": {"fault": "is no file"}}
    assert files["plans"]["gpu1"]["plan"] == {"fault": "is larger than 0 MiB"}


def test_what_may_not_be_read_is_said(folders, monkeypatch):
    def refused(real):
        def call(path, *arguments):
            if str(path).endswith(("gpu3", "gpu2/plan.json", "reports/verify.json")):
                raise PermissionError(errno.EACCES, "Permission denied", path)
            return real(path, *arguments)
        return call

    monkeypatch.setattr(report_folders, "open", refused(open), raising=False)
    monkeypatch.setattr(report_folders.os, "listdir", refused(os.listdir))
    files = read(folders)
    fault = {"fault": "cannot be read: Permission denied"}
    assert files["plans"]["gpu2"] == {"plan": fault} and files["verify"] == fault
    assert files["benchmarks"][-1] == dict(fault, host="gpu3", label="*")


def test_a_folder_that_is_none_is_an_error_and_no_empty_fleet(folders):
    with pytest.raises(NotADirectoryError):
        report_files(str(folders / "plans/README.md"), str(folders), str(folders))


def test_bytes_that_are_no_text_are_replaced(folders):
    (folders / "reports/verify.json").write_bytes(b"{\xff}")
    assert read(folders)["verify"]["text"] == "{\ufffd}"
