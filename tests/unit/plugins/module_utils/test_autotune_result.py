"""From the plan to jobs and from answers to host_vars: what is searched, what is kept, what is said."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.autotune_jobs import autotune_jobs
from ansible_collections.inference.host.plugins.module_utils.autotune_result import autotune_measured, autotune_table
from ansible_collections.inference.host.plugins.module_utils.autotune_space import Space, point_words
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from plan_topologies import gpu, model, service, topology

HOST = topology(cores=8, threads=2)
TWO = topology(sockets=2, cores=8, threads=2)
SPREAD = {"median": 2.0, "low": 1.9, "high": 2.1, "n": 5, "unit": "tokens/s", "better": "more"}
ENGINE = {"version": "b1", "build": 11312}


def jobs_of(host, *wishes, measured=None, **lengths):
    return autotune_jobs(make_plan(host, list(wishes), None, measured), host, list(wishes), **lengths)


def answer(job, verdict="better", context=None, sweep=None, **kept):
    kept = dict(job["space"]["found"], **kept)
    return {"tuned": {"verdict": verdict, "why_not": None, "cut": None, "found": job["space"]["found"], "winner": kept,
                      "kept": kept, "before": SPREAD, "after": SPREAD, "trials": 7, "points": job["points"], "known": 0,
                      "context": context, "contexts": {}, "sweep": sweep}}


def written(job, found, before=None):
    return autotune_measured(before or {}, [job], [found], "2026-11-21T20:00:00Z", ENGINE)


def test_what_is_searched_of_a_plain_service():
    (job,) = jobs_of(HOST, service())
    assert job["why_not"] is None and job["fixed"] == [] and job["points"] == len(Space(job["space"]).grid())
    assert job["space"]["cpus"] == [list(range(1, 8)), [*range(1, 8), *range(9, 16)]]
    assert job["space"]["numa"] == {"none": [0]} and job["space"]["gpu_layers"] is None
    assert (job["for"]["model"], job["for"]["cores"], job["for"]["gpus"]) == ("m/000000000000/m.gguf", 7, 0)
    said = autotune_table([job])
    assert "threads on 7 CPUs, with siblings on 14, batches; prompts of 512 tokens, 128 generated" in said


def test_what_the_user_sets_is_not_searched():
    (job,) = jobs_of(HOST, service(threads=4, ubatch=256))
    assert job["fixed"] == ["smt", "threads", "ubatch"] and job["space"]["cpus"][1] is None
    assert {point[1] for point in Space(job["space"]).grid() if point[0] == "generate"} == {4}
    assert "set by the user: smt, threads, ubatch" in autotune_table([job])


def test_memory_policies_where_there_are_nodes():
    (job,) = jobs_of(TWO, service(cpu_share=0.4))
    assert job["space"]["numa"] == {"bind": [0], "interleave": [0, 1], "none": [0, 1]}
    (job,) = jobs_of(TWO, service(cpu_share=0.4, numa="off"))
    assert job["space"]["numa"] == {"none": [0, 1]} and job["fixed"] == ["numa"]


def test_layers_up_to_what_fits():
    host = topology(cores=8, gpus=[gpu(0)])
    (job,) = jobs_of(host, service(gpus=1, model=model(layers=10, weights_mib=1000)))
    assert job["space"]["gpu_layers"] == 11


@pytest.mark.parametrize(("wish", "said"), [
    (service(runtime="whisper"), "llama-bench measures llama.cpp alone; the runtime is whisper."),
    (service(model=model(source=None)), "its model m has no file; give model.source and model.sha256."),
])
def test_what_cannot_be_measured_is_said(wish, said):
    (job,) = jobs_of(HOST, wish)
    assert (job["why_not"], job["space"]) == (said, None)
    assert "not searched: " + said in autotune_table([job])
    assert written(job, {"skipped": True}, {"chat": {"values": {}}}) == {"chat": {"values": {}}}
    assert said in autotune_table([job], [{"skipped": True}])


def test_wrong_lengths_are_refused():
    with pytest.raises(PlanError) as error:
        jobs_of(HOST, service(), prompt_tokens=0)
    assert str(error.value).startswith("autotune_prompt_tokens is 0; it must be a whole number from 16")
    with pytest.raises(PlanError):
        jobs_of(HOST)


def test_a_winner_is_written_with_its_evidence_and_the_plan_takes_it():
    (job,) = jobs_of(HOST, service())
    found = written(job, answer(job, threads=4, ubatch=128), {"other": {"values": {}}})
    assert found["other"] == {"values": {}}
    assert found["chat"]["values"] == {"threads": 4, "ubatch": 128}
    assert found["chat"]["for"] == dict(job["for"], engine="b1 build 11312")
    assert found["chat"]["evidence"]["tokens_per_second"]["after"] == {"median": 2.0, "low": 1.9, "high": 2.1, "n": 5}
    (instance,) = make_plan(HOST, [service()], None, {"chat": found["chat"]})["instances"]
    assert (instance["threads"], instance["threads_batch"], instance["ubatch"]) == (4, 7, 128)


@pytest.mark.parametrize("values", [
    {"threads": 4, "ubatch": 128}, {"smt": True, "threads": 14, "threads_batch": 12}, {"numa": "interleave"}])
def test_what_is_in_use_is_found_again_and_goes_back_to_the_plans_own(values):
    host = TWO if "numa" in values else HOST
    wish = service(cpu_share=0.4) if "numa" in values else service()
    (own,) = jobs_of(host, wish)
    entry = written(own, answer(own, **values))
    assert entry["chat"]["values"] == values
    (job,) = jobs_of(host, wish, measured=entry)
    assert {name: job["space"]["found"][name] for name in values} == values
    assert job["space"]["cpus"] == own["space"]["cpus"] and job["for"] == own["for"]
    assert written(job, answer(job, "no difference"), entry) == entry
    back = {name: own["space"]["found"][name] for name in values}
    assert written(job, answer(job, **back), entry) == {}


@pytest.mark.parametrize("where", ["cpu", "engine", "median"])
def test_a_text_of_the_host_never_becomes_a_template_of_the_controller(where):
    text = "{{ lookup('pipe', 'id') }}"
    (job,) = jobs_of(HOST, service())
    found = answer(job, threads=4)
    if where == "median":
        found["tuned"]["after"] = dict(SPREAD, median=text)
    elif where == "cpu":
        job["for"]["cpu"] = text
    with pytest.raises(PlanError) as error:
        autotune_measured({}, [job], [found], "2026-11-21T20:00:00Z", dict(ENGINE, version=text)
                          if where == "engine" else ENGINE)
    assert "which Ansible would take for a template; nothing was written." in str(error.value)


def test_what_was_not_judged_keeps_what_there_was():
    (job,) = jobs_of(HOST, service())
    assert written(job, answer(job, "not judged"), {"chat": 1}) == {"chat": 1}
    assert written(job, {"msg": "broken"}, {"chat": 1}) == {"chat": 1}
    assert written(job, answer(job, "no difference")) == {}
    assert "chat: broken" in autotune_table([job], [{"msg": "broken"}])


def test_a_context_is_written_by_itself():
    (job,) = jobs_of(HOST, service())
    assert written(job, answer(job, "no difference", context=8192))["chat"]["values"] == {"context": 8192}


def test_the_table_says_what_became_of_it():
    (job,) = jobs_of(HOST, service())
    swept = {"points": 30, "measured": 30, "best_tokens_per_second": 2.1, "winner_tokens_per_second": 2.0,
             "loss_percent": 1.2, "cut": None}
    found = answer(job, threads=4, sweep=swept)
    found["tuned"]["known"] = 3
    text = autotune_table([job], [found])
    assert "chat     better   2 (1.9-2.1)  2 (1.9-2.1)       7 of %d" % job["points"] in text and "threads 4" in text
    assert "chat: 3 trials of an earlier run were known" in text
    assert "the best has 2.1 tokens/s, the search's 2.0, which takes 1.2 % longer" in text
    swept.update(cut="the time was over", measured=4)
    assert "the sweep was cut after 4 of 30 points: the time was over" in autotune_table([job], [found])


def test_a_point_in_words():
    assert point_words(("generate", 1, False, "bind", None)) == "generate threads=1 smt=no numa=bind gpu_layers=-"


def test_siblings_that_all_services_have_are_the_users():
    plan = make_plan(HOST, [service()], {"smt": True})
    (job,) = autotune_jobs(plan, HOST, [service()], smt=True)
    assert job["fixed"] == ["smt"] and job["space"]["found"]["smt"] and job["for"]["cores"] == 7
    points = Space(job["space"]).grid()
    assert {point[1] for point in points if point[0] == "generate"} == set(range(1, 15))
    assert Space(job["space"]).instance(job["instance"], points[0])["cpus"] == job["instance"]["cpus"]
