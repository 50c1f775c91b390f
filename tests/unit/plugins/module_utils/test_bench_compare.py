"""What is to be measured, the file of what was measured, and two of them compared."""

import copy
import json

import pytest
from ansible_collections.inference.host.plugins.module_utils import bench_compare, bench_jobs, bench_result
from ansible_collections.inference.host.plugins.module_utils.bench_stats import METRICS, summary_of
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from fleet_plans import fleet_plan
from hypothesis import given
from hypothesis import strategies as st

PLAN = fleet_plan("xaichat")
WHEN = "2026-11-21T20:00:00Z"
ENGINES = {"llama_cpp": {"path": "/opt/llama-server", "version": "0.5.0", "build": 11312}}
SPEEDS = st.lists(st.floats(min_value=0.01, max_value=1e6), min_size=4, max_size=8)


def run(*speeds, name="short-u1", **changes):
    repeats = [{"tokens_per_second": speed, "errors": 0} for speed in speeds]
    return dict({"level": "service", "service": "chat", "shape": name, "parameters": {"users": 1}, "repeats": repeats,
                 "summary": summary_of(repeats), "judged": True, "why_not": None, "first_error": None, "state": None},
                **changes)


def result(*runs, plan=PLAN, engines=None, label="before"):
    found = bench_result.benchmark_result(plan, "box1", label, WHEN, engines or ENGINES, {"load": [], "engine": []},
                                          {"load": [], "engine": []})
    return dict(found, runs=list(runs))


def rows(before, after):
    return bench_compare.compare_results(result(*before), result(*after, label="after"))


def compared(before, after):
    return bench_compare.benchmark_compare(
        {"box1": {"before": before and json.dumps(before), "after": after and json.dumps(after)}}, "before", "after")


# What is to be measured.

def test_jobs_are_each_shape_of_each_service():
    jobs = bench_jobs.benchmark_jobs(PLAN, "short,engine")
    assert [(job["service"], job["shape"]["name"], job["url"]) for job in jobs["load"]] == [
        ("chat", name, "http://127.0.0.1:443/chat") for name in ("short-u1", "short-u4")]
    assert jobs["load"][0]["instances"] == [
        {"name": "chat-0", "unit": "inference-chat@0.service", "cpus": [1, 2, 3]},
        {"name": "chat-1", "unit": "inference-chat@1.service", "cpus": [4, 5, 6]}]
    (engine,) = jobs["engine"]
    assert (engine["instance"]["name"], engine["nice"], engine["why_not"]) == ("chat-0", 0, None)


def test_a_url_of_the_users_is_taken():
    jobs = bench_jobs.benchmark_jobs(PLAN, ["short-u1"], "https://box1.example.org/")
    assert jobs["load"][0]["url"] == "https://box1.example.org/chat"


@pytest.mark.parametrize(("url", "said"), [
    ("box1", "benchmark_url is 'box1'; it must be one such as http://127.0.0.1:8080."),
    (8080, "benchmark_url is 8080; it must be one such as http://127.0.0.1:8080."),
    ("https://me:secret@box1", "benchmark_url has a user or a password in it, which nobody asks for; leave them out."),
])
def test_a_url_that_is_none_is_refused_before_anything_is_measured(url, said):
    with pytest.raises(ValueError) as error:
        bench_jobs.benchmark_jobs(PLAN, ["short-u1"], url)
    assert str(error.value) == said


def test_what_a_service_cannot_take_is_said():
    jobs = bench_jobs.benchmark_jobs(PLAN, ["throughput-b8-p128", {"name": "long", "prompt_tokens": 4000}])
    assert [job["why_not"] for job in jobs["load"]] == [
        "it needs 8 slots, and the service has 4 (parallel x instances).",
        "it needs 4144 tokens of context, and the service has 4096."]
    said = bench_jobs.jobs_table(jobs)
    assert "not measured: it needs 8 slots" in said


def test_what_nginx_would_refuse_is_not_asked():
    jobs = bench_jobs.benchmark_jobs(PLAN, ["latency-u5"])
    assert jobs["load"][0]["why_not"] == (
        "it needs 5 requests at the same time, and nginx refuses what is above 4; raise parallel or nginx_queue.")
    assert bench_jobs.benchmark_jobs(PLAN, ["latency-u5"], queue=1)["load"][0]["why_not"] is None


def test_the_engine_of_another_runtime_is_not_llama_benchs():
    plan = copy.deepcopy(PLAN)
    plan["services"][0]["runtime"] = "vllm"
    assert bench_jobs.benchmark_jobs(plan, "engine")["engine"][0]["why_not"] == (
        "llama-bench measures llama.cpp alone; the runtime is vllm.")


def test_a_host_whose_services_take_no_prompt_has_nothing_to_measure():
    plan = copy.deepcopy(PLAN)
    plan["services"][0]["runtime"] = "whisper"
    with pytest.raises(PlanError, match="^inference_services has no service of runtime llama_cpp or vllm; "):
        bench_jobs.benchmark_jobs(plan, "short")


# The file.

def test_a_result_has_what_it_was_measured_with():
    found = result(run(1.0))
    assert found["engine"] == {"llama_cpp": "0.5.0 build 11312"}
    wanted = {"name": "chat", "index": 0, "threads": 3, "cpu_range": "1-3", "numa_range": "0", "port": 18080}
    assert wanted.items() <= found["plan"]["services"][0].items()
    assert bench_result.read_result(json.dumps(found), "x") == found


def test_the_digest_is_the_plans():
    other = copy.deepcopy(PLAN)
    assert bench_result.plan_part(other) == bench_result.plan_part(PLAN)
    other["settings"][0]["value"] = "powersave"
    assert bench_result.plan_part(other)["digest"] != bench_result.plan_part(PLAN)["digest"]


def test_what_failed_and_what_was_skipped_is_a_run_that_says_why():
    jobs = bench_jobs.benchmark_jobs(PLAN, ["short-u1", "throughput-b8-p128", "engine"])
    measured = run(1.0, 1.0, 1.0, 1.0)
    found = bench_result.benchmark_result(PLAN, "box1", "a", WHEN, {}, jobs, {
        "load": [{"run": measured}, {"skipped": True}], "engine": [{"msg": "the unit\nruns."}]})
    assert found["runs"][0] == measured
    assert [(one["shape"], one["judged"], one.get("failed"), one["why_not"]) for one in found["runs"][1:]] == [
        ("throughput-b8-p128", False, None, "it needs 8 slots, and the service has 4 (parallel x instances)."),
        ("engine", False, True, "the unit runs.")]


@pytest.mark.parametrize("label", ["", "../up", "a/b", ".hidden", "a b", None, 3, "x" * 65, "a\n"])
def test_a_label_names_a_file(label):
    with pytest.raises(PlanError, match="^benchmark_label is .*; it must be letters, digits, "):
        bench_result.result_file("benchmarks", "box1", label)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": 2, "runs": []}', '{"version": 1}', "null",
                                  pytest.param("[" * 100000, id="deep")])
def test_a_file_that_is_none_of_ours_is_refused(text):
    with pytest.raises(PlanError, match=r"^box1/a\.json holds no .*written\.$"):
        bench_result.read_result(text, "box1/a.json")


@pytest.mark.parametrize(("path", "value", "said"), [
    (("runs", 0), None, "runs[0]"), (("runs", 0, "judged"), "yes", "runs[0]"), (("runs", 0, "repeats"), {}, "runs[0]"),
    (("runs", 0, "summary"), {"tokens_per_second": {"median": "15"}}, "runs[0]"),
    (("runs", 0, "summary"), {"tokens_per_second": {"median": 15, "low": float("nan"), "high": 16, "n": 4}}, "runs[0]"),
    (("runs", 0, "summary"), {"ttft_ms": {"median": 15, "low": 15, "high": float("inf"), "n": 4}}, "runs[0]"),
    (("runs", 0, "judged"), False, "runs[0]"),
    (("runs", 0, "summary"), [], "runs[0]"), (("runs", 0, "shape"), None, "runs[0]"),
    (("plan",), None, "plan or engine"), (("plan", "services"), {}, "plan or engine"),
    (("plan", "services", 0, "name"), 1, "plan or engine"), (("engine",), [], "plan or engine"),
])
def test_a_file_that_somebody_has_changed_is_refused(path, value, said):
    found = json.loads(json.dumps(result(run(15.0, 15.2, 15.6, 15.2))))
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(PlanError) as error:
        bench_result.read_result(json.dumps(found), "box1/a.json")
    assert str(error.value) == "box1/a.json: %s is not as playbooks/benchmark.yml writes it." % said


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner) |
                    st.dictionaries(st.sampled_from(["runs", "plan", "engine", "summary", "services", "name", "index"]),
                                    inner), max_leaves=8))
def test_any_file_is_compared_or_refused_with_a_sentence(value):
    texts = {"box1": {"before": json.dumps(dict({"version": 1}, runs=[], plan=value, engine={})),
                      "after": json.dumps(value)}}
    with pytest.raises(PlanError, match=r"written\.$|writes it\.$"):
        bench_compare.benchmark_compare(texts, "before", "after")


def test_the_table_shows_no_number_of_a_run_that_is_not_judged():
    noisy = run(77.7, 77.7, name="noisy", judged=False, why_not="too noisy.")
    said = bench_result.result_table(result(run(15.0, 15.2, 15.6, 15.2), noisy))
    assert "15.2 (15-15.6)" in said and "not judged: too noisy." in said and "77.7" not in said


# Two of them.

def test_speeds_that_lie_apart_are_a_difference():
    (row,) = rows([run(15.0, 15.2, 15.6, 15.2)], [run(20.0, 20.2, 20.4, 20.2)])
    assert (row["verdict"], row["ratio"], row["ratio_low"], row["ratio_high"]) == ("better", 1.329, 1.282, 1.36)
    (row,) = rows([run(20.0, 20.2, 20.4, 20.2)], [run(15.0, 15.2, 15.6, 15.2)])
    assert row["verdict"] == "worse"


def test_less_time_is_better():
    fast, slow = {"low": 1.0, "high": 2.0}, {"low": 3.0, "high": 4.0}
    assert (bench_compare.verdict(slow, fast, "less"), bench_compare.verdict(fast, slow, "less")) == ("better", "worse")


@given(SPEEDS, SPEEDS)
def test_the_verdict_turns_with_the_order(one, two):
    (there,), (back,) = rows([run(*one)], [run(*two)]), rows([run(*two)], [run(*one)])
    turned = {"better": "worse", "worse": "better", "no difference": "no difference"}
    assert back["verdict"] == turned[there["verdict"]]
    if there["verdict"] == "no difference":
        assert there["ratio_low"] <= 1.001 and there["ratio_high"] >= 0.999
    elif there["verdict"] == "better":
        assert there["ratio_low"] >= 0.999
    assert there["ratio_low"] <= there["ratio"] * 1.001 and there["ratio"] <= there["ratio_high"] * 1.001


@given(SPEEDS)
def test_the_same_is_no_difference(speeds):
    assert {row["verdict"] for row in rows([run(*speeds)], [run(*speeds)])} == {"no difference"}


@pytest.mark.parametrize(("before", "after", "note"), [
    ([run(1.0)], [], "it was not measured after"),
    ([], [run(1.0)], "it was not measured before"),
    ([run(1.0, judged=False, why_not="noise.")], [run(1.0)], "before: noise."),
    ([run(1.0)], [run(1.0, judged=False, why_not="noise.", summary={}, repeats=[])], "after: noise."),
    ([run(1.0)], [run(1.0, parameters={"users": 2})], "the shape has changed between the two"),
])
def test_what_cannot_be_compared_says_why(before, after, note):
    (row,) = rows(before, after)
    assert (row["verdict"], row["ratio"], row["note"]) == ("not judged", None, note)


def test_the_number_of_a_run_that_is_not_judged_is_in_no_row():
    (row,) = rows([run(77.7, judged=False, why_not="noise.")], [run(1.0)])
    assert row["before"] is None and row["after"]["median"] == 1.0


def test_what_follows_from_the_host_may_differ():
    one = run(1.0, 1.0, 1.0, 1.0, parameters={"users": 1, "prompt_tokens_told": 64, "threads": 2})
    two = run(1.0, 1.0, 1.0, 1.0, parameters={"users": 1, "prompt_tokens_told": 65, "threads": 4})
    assert rows([one], [two])[0]["verdict"] == "no difference"


def test_what_else_has_changed_is_said():
    other = copy.deepcopy(PLAN)
    other["instances"][0]["threads"] = 4
    del other["instances"][1]
    engines = {"llama_cpp": dict(ENGINES["llama_cpp"], build=11400)}
    found = bench_compare.changes(result(), result(plan=other, engines=engines))
    assert found == ["engine llama_cpp: 0.5.0 build 11312 -> 0.5.0 build 11400", "chat-0: threads 3 -> 4",
                     "chat-1: only before"]
    other = copy.deepcopy(PLAN)
    other["settings"][0]["value"] = "powersave"
    said = ["the plan differs in what is not kept: settings, arguments, environment or limits"]
    assert bench_compare.changes(result(), result(plan=other)) == said
    other = copy.deepcopy(PLAN)
    other["instances"][0]["arguments"] = ["--flash-attn", "off"]
    assert bench_compare.changes(result(), result(plan=other)) == said
    assert bench_compare.changes(result(), result()) == []


def test_a_fleet_is_compared_host_by_host():
    found = compared(result(run(15.0, 15.2, 15.6, 15.2)), result(run(20.0, 20.2, 20.4, 20.2)))
    said = bench_compare.compare_table(found)
    assert "15.2 (15-15.6)" in said and "20.2 (20-20.4)" in said and "1.329 (1.282-1.36)  better" in said
    assert said.endswith("\n1 better, 0 worse, 0 no difference, 0 not judged")


@pytest.mark.parametrize(("before", "after", "missing"), [
    (None, "there", "before"), ("there", "", "after"), ("", None, "before and after")])
def test_a_host_without_results_is_said(before, after, missing):
    texts = [text and result(run(1.0)) for text in (before, after)]
    said = bench_compare.compare_table(compared(*texts))
    assert "missing: box1 has no results with label %s." % missing in said


def test_every_metric_has_a_better_direction():
    assert {better for _unit, better in METRICS.values()} == {"more", "less"}
