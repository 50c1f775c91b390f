"""What autotune has measured, as the plan takes it: only where it holds, and only what the user leaves open."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.measured import set_by_user
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from ansible_collections.inference.host.plugins.module_utils.plan_table import plan_table
from ansible_collections.inference.host.plugins.module_utils.services import with_releases
from plan_topologies import gpu, model, service, topology

FILE = "m/000000000000/m.gguf"
SPEEDS = {side: {"median": median, "low": median - 1, "high": median + 1, "n": 5}
          for side, median in (("before", 35.1), ("after", 41.2))}
HOST = topology(cores=8, threads=2)
TWO = topology(sockets=2, cores=8, threads=2)


def entry(host=HOST, cores=7, gpus=0, **values):
    return {"values": values,
            "for": {"model": FILE, "cpu": host["cpu"].get("model_name") or "", "cores": cores, "gpus": gpus},
            "evidence": {"when": "2026-11-21T20:00:00Z", "tokens_per_second": SPEEDS}}


def planned(host, wish, one, policy=None):
    return make_plan(host, with_releases([wish], []), policy, {"chat": one})


def only(plan):
    (instance,) = plan["instances"]
    return instance


def measured_warnings(plan):
    return [warning for warning in plan["warnings"] if "inference_measured" in warning]


def test_values_fill_what_the_user_leaves_open_with_their_reason():
    plan = planned(HOST, service(), entry(threads=4, batch=512, ubatch=256))
    instance = only(plan)
    assert [instance[key] for key in ("threads", "threads_batch", "batch", "ubatch")] == [4, 7, 512, 256]
    assert len(instance["cpus"]) == 7 and not measured_warnings(plan)
    assert instance["reasons"]["threads"] == "measured: 4 instead of 7; 41.2 tokens/s instead of 35.1, on 2026-11-21"
    assert instance["measured"] == {"threads": 7, "batch": 2048, "ubatch": 512}
    assert "batch measured: 512 instead of 2048; 41.2" in plan_table(plan)


@pytest.mark.parametrize(("wish", "kept"), [
    ({"threads": 7}, {"threads": 7}), ({"batch": 2048}, {"batch": 2048}), ({"ubatch": 512}, {"ubatch": 512}),
    ({"profile": "speed"}, {"batch": 1024, "context": 2048}), ({"context": 4096}, {"context": 4096}),
])
def test_what_the_user_sets_wins_also_where_it_is_the_default(wish, kept):
    instance = only(planned(HOST, service(**wish), entry(threads=4, batch=1024, ubatch=64, context=8192)))
    assert {key: instance[key] for key in kept} == kept and not set(kept) & set(instance["measured"])


@pytest.mark.parametrize(("change", "said"), [
    ({"cores": 6}, "inference_measured.chat was measured for cores 6, which is 7 here; it is left out, run"),
    ({"cpu": "another"}, "inference_measured.chat was measured for cpu another, which is"),
    ({"model": "m/1/m.gguf"}, "inference_measured.chat was measured for model m/1/m.gguf, which is " + FILE),
    ({"gpus": 1}, "inference_measured.chat was measured for gpus 1, which is 0 here"),
])
def test_what_was_measured_for_something_else_is_left_out_with_a_warning(change, said):
    one = entry(threads=4)
    one["for"].update(change)
    plan = planned(HOST, service(), one)
    assert only(plan)["threads"] == 7 and "measured" not in only(plan)
    (warning,) = measured_warnings(plan)
    assert warning.startswith(said) and warning.endswith("run playbooks/autotune.yml again.")


def test_a_service_that_is_not_there_is_warned_of():
    plan = make_plan(HOST, [service()], None, {"chit": entry(threads=4)})
    assert measured_warnings(plan) == [
        "inference_measured has chit, which is no service of this host; take it out of host_vars."]


@pytest.mark.parametrize(("values", "said"), [
    ({"threads": 8}, "threads is 8, and chat-0 has 7 CPUs"),
    ({"smt": True, "threads": 15}, "threads is 15, and chat-0 has 14"),
    ({"gpu_layers": 3}, "gpu_layers is 3, and None fit chat-0"),
])
def test_values_that_cannot_be_are_left_out_with_a_warning(values, said):
    plan = planned(HOST, service(), entry(**values))
    assert only(plan)["threads"] == 7
    assert measured_warnings(plan)[0].startswith("inference_measured.chat.values: " + said)


def test_a_context_that_needs_more_memory_than_there_is_is_left_out_with_a_warning():
    wish = service(model=model(weights_mib=100, kv_bytes_per_token=1 << 20))
    for values, threads in ({}, 7), ({"threads": 4}, 4):
        plan = planned(HOST, wish, entry(context=1 << 20, **values))
        assert (only(plan)["context"], only(plan)["threads"]) == (4096, threads)
        (warning,) = measured_warnings(plan)
        assert warning.startswith("context of inference_measured is left out, since with it: chat-0 needs ")


def test_values_with_which_there_is_no_plan_are_left_out_with_a_warning():
    wish = service(batch=512)
    plan = planned(HOST, wish, entry(ubatch=1024, threads=4, context=8192))
    assert (only(plan)["ubatch"], only(plan)["threads"], only(plan)["context"]) == (512, 7, 4096)
    (warning,) = measured_warnings(plan)
    assert warning.startswith("inference_measured is left out, since with it: inference_services[0] (chat).ubatch is ")


def test_siblings_of_its_own_cores_alone():
    host = topology(cores=8, threads=2)
    plan = make_plan(host, [service(instances=2, threads=None)], None, {"chat": entry(cores=3, smt=True, threads=6)})
    first, second = plan["instances"]
    assert len(first["cpus"]) == len(second["cpus"]) == 6 and not set(first["cpus"]) & set(second["cpus"])
    assert first["threads"] == 6 and first["reasons"]["cpus"].startswith("measured: SMT on instead of off; ")
    cores = [core for core in host["cores"] if set(core) & set(first["cpus"])]
    assert sorted(cpu for core in cores for cpu in core) == first["cpus"]


def test_a_quota_keeps_siblings_out():
    host = topology(cores=8, threads=2, quota=7)
    plan = planned(host, service(), entry(host, cores=6, smt=True))
    assert "has no siblings that it may use" in measured_warnings(plan)[0]


def test_siblings_that_the_plan_turns_off_are_left_out_with_a_warning():
    plan = planned(HOST, service(), entry(smt=True, threads=14), {"settings": {"cpu_smt": False}})
    assert only(plan)["threads"] == len(only(plan)["cpus"]) == 7
    assert measured_warnings(plan)[0].startswith(
        "inference_measured.chat.values: smt is true, and chat-0 has no siblings that it may use; it is left out")


def test_a_host_that_says_neither_processor_nor_engine():
    host = topology(cores=8, model_name=None)
    one = entry(host, threads=4)
    one["for"]["engine"] = ""
    assert one["for"]["cpu"] == "" and only(planned(host, service(), one))["threads"] == 4


@pytest.mark.parametrize(("policy", "nodes"), [("interleave", "0-1"), ("none", "0-1")])
def test_the_memory_policy_changes_and_the_cpus_stay(policy, nodes):
    wish = service(threads=None, cpu_share=0.4)
    own = only(make_plan(TWO, [wish]))
    assert own["numa_policy"] == "bind"
    instance = only(planned(TWO, wish, entry(TWO, cores=len(own["cpus"]), numa=policy)))
    assert (instance["numa_policy"], instance["numa_range"], instance["cpus"]) == (policy, nodes, own["cpus"])
    assert instance["measured"] == {"numa": "bind"}


def test_fewer_layers_than_fit():
    host = topology(cores=8, gpus=[gpu(0)])
    wish = service(gpus=1, model=model(layers=10, weights_mib=1000))
    instance = only(planned(host, wish, entry(host, gpus=1, gpu_layers=4)))
    assert instance["gpu_layers"] == 4 and instance["measured"] == {"gpu_layers": 11}


@pytest.mark.parametrize(("measured", "said"), [
    ([1], "inference_measured is a list; it must be a mapping of services"),
    ({"chat": {}}, "inference_measured.chat.values is missing;"),
    ({"chat": dict(entry(), values={"threads": "4"})}, "inference_measured.chat.values.threads is '4'; it must be"),
    ({"chat": dict(entry(), values={"thread": 4})}, "inference_measured.chat.values.thread is not known; did you mean"),
])
def test_what_autotune_does_not_write_is_refused(measured, said):
    with pytest.raises(PlanError) as error:
        make_plan(HOST, [service()], None, measured)
    assert str(error.value).startswith(said)


def test_nothing_measured_changes_nothing():
    assert make_plan(HOST, [service()], None, {}) == make_plan(HOST, [service()])
    assert make_plan(HOST, [service()], None, {"chat": entry()}) == make_plan(HOST, [service()])


def test_what_the_user_sets():
    assert set_by_user({"threads": 4, "numa": "auto", "gpu_layers": "auto"}) == ["smt", "threads"]
    assert set_by_user({"instances": "per_numa_node", "profile": "speed"}, True) == ["batch", "context", "numa", "smt"]
