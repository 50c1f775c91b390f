"""What was done as the user wished and is likely not to serve them: each folly in one sentence, and no sentence
without one."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.model_memory import memory_gaps
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from ansible_collections.inference.host.plugins.module_utils.services import check_services
from plan_topologies import model, service, topology

KNOWN = model(weights_mib=100, kv_bytes_per_token=1024)
HOST = topology(cores=40, threads=2, driver="intel_pstate")


def warnings(host=HOST, wish=None, policy=None, **settings):
    """What the plan says beyond what it says of every model without a header."""
    services = [service(**dict({"model": KNOWN}, **(wish or {})))]
    plan = make_plan(host, services, dict(policy or {}, settings=settings))
    gaps = ["chat: " + gap for gap in memory_gaps(check_services(services)[0]["model"])]
    return [warning for warning in plan["warnings"] if warning not in gaps]


@pytest.mark.parametrize("wish", [
    {}, {"runtime": "whisper", "threads": 16}, {"runtime": "vllm", "hugepages_mib": 100}, {"threads": 38}])
def test_an_ordinary_service_is_not_advised(wish):
    assert warnings(wish=wish) == []


@pytest.mark.parametrize("settings", [
    {"hugepages_count": 0}, {"hugepages_transparent": "never"}, {"hugepages_transparent": "madvise"},
    {"memory_overcommit": 0}, {"memory_overcommit": 2}, {"cpu_governor": "schedutil"}, {"memory_swappiness": 100},
    {"memory_overcommit": 2, "memory_overcommit_ratio": 80}, {"hugepages_gigantic_count": 0}])
def test_an_ordinary_setting_is_not_advised(settings):
    assert warnings(**settings) == []


# Services


def test_what_is_not_known_of_a_model_is_said_with_the_services_name():
    services = check_services([service("a"), service("b", model=model("n", weights_mib=1))])
    gaps = {wish["name"]: memory_gaps(wish["model"]) for wish in services}
    assert gaps["a"] and gaps["b"] and gaps["a"] != gaps["b"]
    assert make_plan(HOST, services)["warnings"] == ["%s: %s" % (name, gap) for name in gaps for gap in gaps[name]]


def test_the_memory_of_a_command_is_its_users_affair():
    assert make_plan(HOST, [service(runtime="command")])["warnings"] == []


def test_many_threads_slow_whisper_down():
    assert warnings(wish={"runtime": "whisper", "threads": 17}) == [
        "chat has 17 threads an instance; whisper gets slower beyond about 16: several instances of 4 to 8 threads "
        "each serve more."]


def test_llama_cpp_does_not_use_reserved_huge_pages():
    assert warnings(wish={"hugepages_mib": 100}) == [
        "chat: hugepages_mib is 100; llama.cpp maps its weights from a file and does not use reserved huge pages."]


@pytest.mark.parametrize(("scheduling", "said"), [
    ({"policy": "fifo", "priority": 1}, True), ({"policy": "rr", "priority": 9}, True), ({"policy": "batch"}, False)])
def test_real_time_threads_leave_their_cpus_to_nobody(scheduling, said):
    assert warnings(wish={"scheduling": scheduling}) == ([
        "chat: scheduling is %s: what computes all the time then leaves its CPUs to nobody, not even to the kernel's "
        "own threads there." % scheduling["policy"]] if said else [])


# Settings


@pytest.mark.parametrize(("wish", "count", "unused"), [
    ({}, 9, 9), ({"runtime": "vllm", "hugepages_mib": 10}, 9, 4), ({"runtime": "vllm", "hugepages_mib": 9}, 5, 0)])
def test_reserved_pages_that_nobody_uses_are_said(wish, count, unused):
    sentence = ("hugepages_count is %d: no planned service uses %d of these reserved huge pages, so this memory is "
                "only taken away." % (count, unused))
    assert warnings(wish=wish, hugepages_count=count) == ([sentence] if unused else [])


@pytest.mark.parametrize(("settings", "sentence"), [
    ({"hugepages_transparent": "always"},
     "hugepages_transparent is always: a model that is paged in gets slower by it; programs that gain from huge pages "
     "ask for them under madvise."),
    ({"memory_overcommit": 1},
     "memory_overcommit is 1: the kernel then promises memory that it does not have; it serves sparse arrays, not "
     "engines."),
    ({"memory_overcommit_ratio": 80}, "memory_overcommit_ratio is 80: it counts only where memory_overcommit is 2."),
    ({"memory_overcommit_ratio": 0, "memory_overcommit": 0},
     "memory_overcommit_ratio is 0: it counts only where memory_overcommit is 2."),
    ({"hugepages_gigantic_count": 2},
     "hugepages_gigantic_count is 2: no planned service uses reserved huge pages of 1 GiB, so this memory is only "
     "taken away."),
])
def test_a_setting_that_harms_engines_is_done_and_said(settings, sentence):
    assert warnings(**settings) == [sentence]


@pytest.mark.parametrize(("driver", "kind", "offered", "why"), [
    ("intel_pstate", "bare_metal", ["performance", "powersave"],
     "the driver offers performance, powersave, not schedutil"),
    (None, "bare_metal", None, "no cpufreq driver"),
    (None, "vm", None, "virtual machine: the clock belongs to its host"),
    ("intel_pstate", "container", None, "container (unknown kind): the kernel belongs to the machine outside"),
])
def test_a_governor_that_cannot_be_had_is_said_only_where_it_was_a_wish(driver, kind, offered, why):
    host = topology(driver=driver, kind=kind)
    host["cpufreq"]["governors"] = offered
    assert warnings(host, cpu_governor="schedutil") == ["cpu_governor is schedutil and is not set: %s." % why]
    assert warnings(host) == []


@pytest.mark.parametrize(("cores", "workers", "kept"), [
    (40, 4, None), (40, 5, 4), (40, None, None), (3, 1, None), (3, 2, 0)])
def test_more_nginx_workers_than_housekeeping_cpus_are_said(cores, workers, kept):
    sentence = ("nginx_workers is %s: %s housekeeping CPUs are kept for them, so they take CPU time from the engines."
                % (workers, kept))
    host = topology(cores=cores, threads=2)
    assert warnings(host, policy={"workers": workers}) == ([] if kept is None else [sentence])
