"""What needs somebody: in which order, and what the fleet has in common."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.report_inputs import read_inputs
from ansible_collections.inference.host.plugins.module_utils.report_problems import (
    KINDS,
    problems,
    rank,
    shared,
    state,
    urgent,
)
from ansible_collections.inference.host.plugins.module_utils.verify_report import WORST_FIRST, verify_report
from report_fleets import benchmark, benchmark_file, file, metric, row, run


def host_of(*rows, planned=True, warnings=(), benchmarks=(), compared=True):
    plan = {"instances": [], "settings": [], "warnings": list(warnings)} if planned else None
    files = {"plans": {"gpu1": {"plan": file(plan)}} if plan else {},
             "benchmarks": [benchmark_file("gpu1", value) for value in benchmarks]}
    if compared:
        files["verify"] = file(verify_report(list(rows), ["gpu1"] if not rows else ()))
    (host,), _notes = read_inputs(files, ["gpu1"])
    return host


def kinds(host):
    return [problem["kind"] for problem in problems(host)]


def test_a_host_that_is_as_planned_needs_nobody():
    found = problems(host_of(row("gpu1", "memory", "a"), row("gpu1", "nvme", "b", "not_applicable")))
    assert (found, urgent(found), state(found)) == ([], [], ("As planned", "good"))


def test_what_is_most_urgent_comes_first():
    statuses = ["ok", "partial", "drift", "refused", "unreachable"]
    host = host_of(*(row("gpu1", "memory", status, status) for status in statuses), warnings=["w"])
    assert kinds(host) == ["unreachable", "refused", "drift", "partial", "warning"]
    assert state(problems(host)) == ("Unreachable", "bad")
    assert set(WORST_FIRST) - {"ok"} <= set(KINDS)


def test_a_row_says_what_was_wanted_and_found_and_why():
    (drift,) = problems(host_of(row("gpu1", "memory", "vm.swappiness", "drift", wanted="10", found="60", note="n")))
    assert (drift["what"], drift["why"]) == ("memory: vm.swappiness", "wanted 10; found 60; n")
    (gone,) = problems(host_of(row("gpu1", "host", "reading", "unreachable", found="-", note="no route")))
    assert gone["why"] == "no route"


def test_many_rows_that_differ_in_a_number_are_one_problem():
    (problem,) = problems(host_of(*(row("gpu1", "cpu", "cpu%d governor" % cpu, "drift") for cpu in range(176))))
    assert problem["what"] == "cpu: cpu0 governor (and 175 more)"


def test_what_was_not_made_is_said_and_is_not_urgent():
    found = problems(host_of(planned=False, compared=False))
    assert [problem["kind"] for problem in found] == ["no_plan", "not_verified"]
    assert not urgent(found) and state(found) == ("No plan", "warn")


def test_a_host_with_nothing_but_warnings_is_as_planned():
    host = host_of(row("gpu1", "memory", "a"), warnings=["w"])
    assert kinds(host) == ["warning"] and state(problems(host)) == ("As planned", "good")


@pytest.mark.parametrize(("before", "after", "found"), [
    (metric(10), metric(5), ["slower"]), (metric(10), metric(20), []), (metric(10), metric(9.9), []),
    (metric(10, better="less"), metric(20, better="less"), ["slower"])])
def test_a_benchmark_that_is_worse_than_before_is_urgent(before, after, found):
    benchmarks = [benchmark("before", run(m=before)), benchmark("after", run(m=after), when="2026-12-01T00:00:00Z")]
    host = host_of(row("gpu1", "memory", "a"), benchmarks=benchmarks)
    assert kinds(host) == found
    if found:
        (problem,) = problems(host)
        assert problem["what"] == "chat throughput-b4-p512: m"
        assert problem["why"].startswith("after beside before: m worse: ")


def test_a_run_that_was_not_judged_is_said():
    (problem,) = problems(host_of(row("gpu1", "a", "b"), benchmarks=[
        benchmark("x", run(judged=False, why_not="the machine was busy.", m=metric(1)))]))
    assert (problem["kind"], problem["why"]) == ("not_judged", "the machine was busy.")


def test_hosts_with_worse_and_with_more_problems_come_first():
    def found(*kinds):
        return [{"kind": kind, "what": kind, "why": ""} for kind in kinds]

    fleet = [found(), found("warning"), found("drift"), found("drift", "drift"), found("unreachable")]
    assert sorted(fleet, key=rank) == fleet[::-1]


def test_what_several_hosts_have_in_common_is_said_once():
    def found(*pairs):
        return [{"kind": kind, "what": what, "why": ""} for kind, what in pairs]

    fleet = {"a": found(("drift", "cpu: cpu3"), ("drift", "x"), ("warning", "w")), "b": found(("drift", "cpu: cpu17")),
             "c": found(("unreachable", "gone"))}
    assert shared(fleet) == [("unreachable", "gone", ["c"]), ("drift", "cpu: cpu…", ["a", "b"]), ("drift", "x", ["a"])]


def test_numbers_in_which_hosts_differ_are_left_open_and_others_stay():
    fleet = {host: [{"kind": "drift", "what": what, "why": ""} for what in found] for host, found in {
        "a": ["model: gemma-3-27b", "chat b1-p512", "chat b4-p512"], "b": ["model: gemma-3-4b"]}.items()}
    assert shared(fleet) == [("drift", "model: gemma-3-…b", ["a", "b"]), ("drift", "chat b…-p512", ["a"])]
