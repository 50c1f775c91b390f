"""The rows of one role: what each carries, and what the user's wish changes in it."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.setting_rows import Rows, allowed
from ansible_collections.inference.host.plugins.module_utils.tunable_kinds import mount


def test_a_row_has_what_the_module_takes():
    rows = Rows("memory", {})
    rows.add("vm.swappiness", 10, "a reason", "memory_swappiness", evidence="vendor")
    assert rows.rows == [{
        "role": "memory", "name": "vm.swappiness", "kind": "sysctl", "path": None, "value": "10", "reason": "a reason",
        "evidence": "vendor", "applies": True, "why_not": None, "retry_seconds": 0, "after": []}]


def test_what_has_a_path_is_a_file_of_the_kernel_unless_it_says_otherwise():
    rows = Rows("cpu", {})
    rows.add("a", 1, "", path="/sys/a")
    rows.add("b", "text\n", "", path="/etc/b", kind="file", after=[["true"]])
    assert [(row["kind"], row["path"], row["after"]) for row in rows.rows] == [
        ("sysfs", "/sys/a", []), ("file", "/etc/b", [["true"]])]


def test_without_a_value_there_is_no_row_and_zero_is_one():
    rows = Rows("cpu", {})
    rows.add("a", None, "")
    rows.add("b", 0, "")
    assert [(row["name"], row["value"]) for row in rows.rows] == [("b", "0")]


def test_the_users_wish_takes_the_place_of_default_reason_and_evidence():
    rows = Rows("cpu", {"cpu_a": 0})
    assert (rows.value("cpu_a", 5), rows.value("cpu_b", 5), rows.value("cpu_b")) == (0, 5, None)
    rows.add("a", 0, "ours", "cpu_a", evidence="measured")
    assert (rows.rows[0]["reason"], rows.rows[0]["evidence"]) == ("cpu_a was set by the user", "convention")


@pytest.mark.parametrize(("of_role", "of_row", "told"), [
    (None, None, None), ("container", None, "container"), (None, "no disk", "no disk"),
    ("container", "no disk", "container")])
def test_why_not_of_the_role_comes_first(of_role, of_row, told):
    rows = Rows("cpu", {}, of_role)
    rows.add("a", 1, "", why_not=of_row)
    assert (rows.rows[0]["applies"], rows.rows[0]["why_not"]) == (told is None, told)


@pytest.mark.parametrize(("options", "taken"), [("noatime", True), ("remount", False), ("", False)])
def test_what_is_allowed_is_asked_of_the_kind(options, taken):
    assert allowed(mount, {"name": "a", "path": "/srv", "value": options}) is taken
