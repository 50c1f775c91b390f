"""The files of a report: each part may be missing, broken or strange, and the rest is still read."""

import json

import pytest
from ansible_collections.inference.host.plugins.module_utils.report_inputs import read_inputs, written
from ansible_collections.inference.host.plugins.module_utils.report_values import LONGEST, number, text
from ansible_collections.inference.host.plugins.module_utils.verify_report import verify_report
from report_fleets import WHEN, benchmark, benchmark_file, file, metric, row, run

PLAN = {"instances": [{"name": "chat-0", "service": "chat", "runtime": "llama_cpp", "model": "m", "gpus": ["a", "b"],
                       "host_memory_mib": 2048, "threads": 8, "reasons": {"numa": "fits"}}],
        "settings": [{"role": "memory", "name": "vm.swappiness", "kind": "sysctl", "path": None, "value": "10",
                      "reason": "r", "evidence": "convention", "applies": True, "why_not": None}],
        "warnings": ["look"], "housekeeping_cpus": [0, 1]}


def one(**files):
    (host,), notes = read_inputs(files)
    assert notes == []
    return host


def test_a_plan_is_read():
    host = one(plans={"gpu1": {"plan": file(PLAN), "picture": file("<svg/>")}})
    (instance,), (setting,) = host["plan"]["instances"], host["plan"]["settings"]
    assert (instance["gpus"], instance["threads"], instance["host_memory_mib"]) == ("a, b", "8", 2048)
    assert (setting["label"], setting["applies"], setting["why_not"]) == ("vm.swappiness", True, "")
    assert (host["plan"]["warnings"], host["picture"], host["rows"], host["faults"]) == (["look"], "<svg/>", None, [])


def test_rows_and_pairs_of_verify_are_those_of_their_host():
    pairs = [{"host": "gpu1", "pairs": [{"gpus": ["a", "b"], "path": "SYS", "link": None, "driver_says": "OK",
                                         "verdict": "unsafe", "reason": "r"}]}]
    host = one(verify=file(verify_report([row("gpu1", "memory", "vm.swappiness", "drift")], pairs=pairs)))
    assert [(found["setting"], found["status"]) for found in host["rows"]] == [("vm.swappiness", "drift")]
    assert host["p2p"][0]["gpus"] == "a, b" and host["plan"] is None


def test_benchmarks_are_in_the_order_of_their_time():
    values = [benchmark(label, run(m=metric(1)), when=when) for label, when in (
        ("late", "2026-11-03T00:00:00Z"), ("early", "2026-11-01T00:00:00Z"), ("middle", "2026-11-02T00:00:00Z"))]
    host = one(benchmarks=[benchmark_file("gpu1", value) for value in values])
    assert [found["label"] for found in host["benchmarks"]] == ["early", "middle", "late"]


def test_hosts_of_all_files_and_of_the_inventory_are_there_by_name():
    files = {"plans": {"c": {"plan": file(PLAN)}}, "verify": file(verify_report([row("b", "x", "y")])),
             "benchmarks": [benchmark_file("d", benchmark("l", run()))]}
    hosts, _notes = read_inputs(files, ["a", "c"])
    assert [host["name"] for host in hosts] == ["a", "b", "c", "d"]
    assert [(host["plan"] is None, host["rows"] is None) for host in hosts] == [
        (True, True), (True, False), (False, True), (True, True)]


@pytest.mark.parametrize(("files", "faults"), [
    ({"plans": {"h": {"plan": file("{")}}}, ["plan.json is no JSON"]),
    ({"plans": {"h": {"plan": file("[1]")}}}, ["plan.json holds no plan"]),
    ({"plans": {"h": {"plan": file({"instances": 3})}}}, ["plan.json holds no plan"]),
    ({"plans": {"h": {"plan": {"fault": "is no file"}}}}, ["plan.json is no file"]),
    ({"plans": {"h": {"picture": {"fault": "is no file"}}}}, ["plan.svg is no file"]),
    ({"benchmarks": [dict(file("x"), host="h", label="a")]}, ["the benchmark a.json is no JSON"]),
    ({"benchmarks": [dict(file([]), host="h", label="a")]}, ["the benchmark a.json holds no results of a benchmark"]),
    ({"benchmarks": [{"fault": "is no file", "host": "h", "label": "a"}]}, ["the benchmark a.json is no file"]),
])
def test_what_is_broken_is_said_of_its_host(files, faults):
    host = one(**files)
    assert (host["name"], host["faults"], host["plan"], host["benchmarks"]) == ("h", faults, None, [])


def test_a_broken_comparison_is_said_once_and_of_no_host():
    hosts, notes = read_inputs({"verify": file("{"), "plans": {"h": {"plan": file(PLAN)}}})
    assert (notes, hosts[0]["rows"], hosts[0]["faults"]) == (["verify.json is no JSON"], None, [])


@pytest.mark.parametrize("value", [[], {}, {"hosts": 3}, "x", 0])
def test_something_else_is_no_comparison(value):
    assert read_inputs({"verify": file(json.dumps(value))}) == ([], ["verify.json holds no comparison"])


@pytest.mark.parametrize("rows", [{}, {"rows": []}, {"rows": 3}, {"rows": ["x"]}])
def test_a_host_without_a_row_was_not_compared(rows):
    assert one(verify=file({"hosts": [dict(rows, host="h", outcome="ok")]}))["rows"] is None


def test_a_status_that_nobody_knows_is_one_that_somebody_looks_at():
    report = {"hosts": [{"host": "h", "rows": [dict(row("h", "a", "b"), status="new"), {"status": "ok"}, "row", None]}]}
    assert [found["status"] for found in one(verify=file(report))["rows"]] == ["refused", "ok"]


def test_when_files_were_written():
    files = {"plans": {"a": {"plan": dict(file(PLAN), modified="2026-11-01 10:00 UTC")}, "b": {"plan": file(PLAN)}},
             "verify": file({})}
    assert written(files) == {"plans": WHEN, "verify": WHEN}
    assert written({}) == {"plans": "", "verify": ""}


def test_values_become_texts_of_bearable_length():
    assert [text(value) for value in (None, True, 1.50, [1, "a"], {})] == ["", "True", "1.5", "1, a", "{}"]
    assert len(text("x" * 9999)) == len(text(["x"] * 9999)) == LONGEST
    assert number(10 ** 400) is None and number(True) is None and number("1") is None and number(1.5) == 1.5


def test_what_is_nested_without_end_is_read():
    deep = "[" * 900 + "]" * 900
    plan = json.dumps(PLAN).replace('"look"', deep)
    assert one(plans={"h": {"plan": file(plan)}})["plan"]["instances"]
    assert one(plans={"h": {"plan": file("[" * 100000)}})["faults"] == ["plan.json is no JSON"]
