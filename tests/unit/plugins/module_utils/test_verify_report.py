"""The report of a fleet: outcomes, the tables as they are printed, and JUnit that parsers take whatever is in it."""

import json
import re
from xml.etree import ElementTree

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.verify_report import (
    CELL,
    MANY,
    WORST_FIRST,
    junit,
    verify_report,
    verify_table,
)
from ansible_collections.inference.host.plugins.module_utils.verify_rows import STATUSES
from hypothesis import given
from hypothesis import strategies as st


def row(host="gpu1", setting="vm.swappiness", status="ok", **more):
    return {"host": host, "area": "memory", "setting": setting, "wanted": "10", "found": "10", "persisted": "yes",
            "status": status, "note": "-", **more}


FLEET = [
    row(), row(setting="scheduler", status="not_applicable", area="nvme", found="-", persisted="-",
               note="no NVMe disk"),
    row("gpu3"), row("gpu3", "net.core.somaxconn", "drift", area="network", wanted="4096", found="128",
                     persisted="no"),
    row("gpu2", "reading the host", "unreachable", area="host", found="-", persisted="-", note="no route to host"),
]

TABLE = """\
HOST  OUTCOME      OK  DRIFT  PARTIAL  REFUSED  NOT_APPLICABLE  UNREACHABLE
gpu2  unreachable  0   0      0        0        0               1
gpu3  drift        1   1      0        0        0               0
gpu1  ok           1   0      0        0        1               0

HOST  AREA     SETTING             WANTED  FOUND  PERSISTED  STATUS       NOTE
gpu2  host     reading the host    10      -      -          unreachable  no route to host
gpu3  network  net.core.somaxconn  4096    128    no         drift        -

not as planned: 2 of 3 hosts (gpu2, gpu3)"""

XML = """\
<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="inference.host" tests="5" failures="1" errors="1">
  <testsuite name="gpu1" tests="2" time="0" failures="0" errors="0" skipped="1">
    <testcase classname="gpu1.memory" name="vm.swappiness" time="0" />
    <testcase classname="gpu1.nvme" name="scheduler" time="0">
      <skipped message="no NVMe disk" />
    </testcase>
  </testsuite>
  <testsuite name="gpu2" tests="1" time="0" failures="0" errors="1" skipped="0">
    <testcase classname="gpu2.host" name="reading the host" time="0">
      <error type="unreachable" message="wanted 10, found -">wanted 10, found -; persisted: -; no route to host</error>
    </testcase>
  </testsuite>
  <testsuite name="gpu3" tests="2" time="0" failures="1" errors="0" skipped="0">
    <testcase classname="gpu3.memory" name="vm.swappiness" time="0" />
    <testcase classname="gpu3.network" name="net.core.somaxconn" time="0">
      <failure type="drift" message="wanted 4096, found 128">wanted 4096, found 128; persisted: no; -</failure>
    </testcase>
  </testsuite>
</testsuites>
"""


def test_the_report_counts_and_sorts():
    report = verify_report(FLEET)
    assert report["outcome"] == "unreachable"
    assert [(part["host"], part["outcome"]) for part in report["hosts"]] == [
        ("gpu1", "ok"), ("gpu2", "unreachable"), ("gpu3", "drift")]
    assert report["hosts"][0]["counts"] == dict.fromkeys(STATUSES, 0) | {"ok": 1, "not_applicable": 1}
    assert json.loads(json.dumps(report)) == report


@pytest.mark.parametrize("status", STATUSES)
def test_only_ok_and_not_applicable_are_as_planned(status):
    outcome = verify_report([row(), row(setting="other", status=status)])["outcome"]
    assert outcome == ("ok" if status in ("ok", "not_applicable") else status)


def test_each_status_is_an_outcome_or_no_fault():
    assert set(WORST_FIRST) == set(STATUSES) - {"not_applicable"}


def test_a_host_without_a_row_was_not_read():
    report = verify_report([row()], ["gpu1", "gpu9"])
    assert report["hosts"][1]["outcome"] == report["outcome"] == "refused"
    assert "its run ended before it was read" in verify_table(report)


def test_no_hosts_are_an_empty_report():
    assert verify_report([]) == {"outcome": "ok", "hosts": []}
    assert ElementTree.fromstring(junit(verify_report([])).encode()).get("tests") == "0"


def test_the_table():
    assert verify_table(verify_report(FLEET)) == TABLE


def test_all_rows_are_shown_on_request_and_none_where_all_is_well():
    report = verify_report(FLEET[:2])
    assert verify_table(report).splitlines()[-1] == "as planned: the host"
    assert "swappiness" not in verify_table(report)
    shown = verify_table(report, "all")
    assert re.search(r"gpu1 +memory +vm\.swappiness +10 +10 +yes +ok", shown) and "no NVMe disk" in shown
    assert verify_table(verify_report(FLEET[:3])).endswith("as planned: all 2 hosts")


def test_show_is_one_of_two_words():
    with pytest.raises(PlanError, match=r"^show is 'everything'; it must be one of problems, all\.$"):
        verify_table(verify_report(FLEET), "everything")


def test_a_governor_that_is_wrong_on_each_cpu_is_one_line_and_few_files_are_each_their_own():
    def lines(count):
        paths = [f"/sys/devices/system/cpu/cpufreq/policy{number}/scaling_governor" for number in range(count)]
        rows = [row(setting=path, status="drift") for path in paths] + [row(setting="other", status="drift")]
        return [line for line in verify_table(verify_report(rows)).splitlines() if "scaling_governor" in line]

    assert len(lines(128)) == 1 and "policy0/scaling_governor (and 127 more)" in lines(128)[0]
    assert len(lines(MANY)) == MANY and "more)" not in "".join(lines(MANY))


def test_long_cells_are_cut_and_the_note_is_not():
    text = verify_table(verify_report([row(status="drift", wanted="w" * 300, note="n" * 300)]))
    assert "w" * (CELL - 1) + "…" in text and "w" * CELL not in text and "n" * 300 in text


def test_junit():
    assert junit(verify_report(FLEET)) == XML


def read(text):
    """Parse JUnit and hold it against what Jenkins' schema (junit-10.xsd) says of these elements."""
    root = ElementTree.fromstring(text.encode("utf-8"))
    assert root.tag == "testsuites" and {suite.tag for suite in root} <= {"testsuite"}
    for suite in root:
        assert {"name", "tests", "failures", "errors"} <= set(suite.keys())
        cases = list(suite)
        assert {case.tag for case in cases} <= {"testcase"} and len(cases) == int(suite.get("tests"))
        for case in cases:
            assert set(case.keys()) == {"name", "classname", "time"} and len(case) <= 1
            assert {said.tag for said in case} <= {"failure", "error", "skipped"}
        for tag, count in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert len(suite.findall(f"testcase/{tag}")) == int(suite.get(count))
    for count in ("tests", "failures", "errors"):
        assert int(root.get(count)) == sum(int(suite.get(count)) for suite in root)
    return root


@pytest.mark.parametrize("text", [
    "</testsuites>", "]]>", "<!--", "&amp;", "\"'<>&", "\x00\x08\x1b[31m", "\ud800", "\ufffe", "a\nb", "ж漢🙂", "%s%d"])
def test_hostile_texts_stay_texts(text):
    rows = [row(text, text, status, wanted=text, found=text, note=text, area=text)
            for status in ("drift", "not_applicable", "unreachable")]
    suites = read(junit(verify_report(rows)))
    assert len(suites) == 1 and [len(case) for case in suites[0]] == [1, 1, 1]
    if text.isprintable():
        assert suites[0].get("name") == suites[0][0].get("name") == text
        assert suites[0][1][0].get("message") == text


@given(st.lists(st.builds(
    row, host=st.text(max_size=3), setting=st.text(max_size=8), status=st.sampled_from(STATUSES),
    wanted=st.text(max_size=8), found=st.text(max_size=8), note=st.text(max_size=8))))
def test_whatever_the_rows_hold_junit_can_be_read_and_counts_them(rows):
    report = verify_report(rows)
    root = read(junit(report))
    assert int(root.get("tests")) == len(rows)
    bad = sum(found["status"] not in ("ok", "not_applicable") for found in rows)
    assert int(root.get("failures")) + int(root.get("errors")) == bad
    assert (report["outcome"] == "ok") == (bad == 0)
