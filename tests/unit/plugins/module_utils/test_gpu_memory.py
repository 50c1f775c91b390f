"""What a plan leaves of a card's memory, and that it stays the same while its engines run."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.gpu_memory import free_mib, memory_warnings
from ansible_collections.inference.host.plugins.module_utils.gpus import usable_gpus
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from hypothesis import given
from hypothesis import strategies as st
from plan_topologies import gpu, model, service, topology

POLICY = {"gpu_headroom_mib": 1024, "gpu_display_mib": 512}


def card(number=0, memory_mib=8192, **told):
    answer = gpu(number, memory_mib=memory_mib)
    answer["nvidia"].update(told)
    return answer


def plan(*cards, policy=None, **wish):
    wish = dict({"gpus": len(cards), "model": model(layers=10, weights_mib=8000), "context": 256}, **wish)
    return make_plan(topology(cores=8, gpus=list(cards)), [service(**wish)], policy)


def usable(*cards):
    return usable_gpus(topology(gpus=list(cards)))


@pytest.mark.parametrize(("told", "free"), [
    ({}, 7168), ({"display": False}, 7168), ({"display": None}, 7168), ({"display": True}, 6656),
    # What is in use at the moment is no measure.
    ({"display": True, "memory_used_mib": 5000, "processes": 1}, 6656),
    ({"memory_used_mib": 5000, "processes": 0}, 7168), ({"memory_reserved_mib": 600}, 7168),
])
def test_what_is_left_for_engines(told, free):
    assert free_mib(usable(card(**told))[0], POLICY) == free
    assert free_mib(dict(usable(card(**told))[0], memory_mib=None), POLICY) is None


def test_a_display_costs_layers_and_the_reason_says_so():
    plain, shown = [plan(card(display=display))["instances"][0] for display in (False, True)]
    assert (plain["gpu_layers"], shown["gpu_layers"]) == (9, 8)
    assert plain["reasons"]["gpu_memory"] == "1024 of 8192 MiB are left to others: topology_gpu_headroom_mib 1024"
    assert shown["reasons"]["gpu_memory"] == (
        "1536 of 8192 MiB are left to others: topology_gpu_headroom_mib 1024 + topology_gpu_display_mib 512, since it "
        "drives a display")
    assert plan(card(display=True), policy={"gpu_display_mib": 0})["instances"][0]["gpu_layers"] == 9


def test_of_several_cards_the_one_with_least_is_told():
    reason = plan(card(0), card(1, display=True))["instances"][0]["reasons"]["gpu_memory"]
    assert reason.startswith("1536 of 8192 MiB") and reason.endswith("(the GPU that has least)")


@pytest.mark.parametrize(("memory_mib", "wish", "reason"), [
    (None, {}, "the memory of its GPU is not known"),
    (None, {"gpu_memory_mib": 900}, "the memory of its GPU is not known; gpu_memory_mib: 900 was set by the user"),
    (8192, {"gpu_memory_mib": 900}, "1024 of 8192 MiB are left to others: topology_gpu_headroom_mib 1024; "
                                    "gpu_memory_mib: 900 was set by the user"),
])
def test_sizes_that_are_not_known_or_were_set(memory_mib, wish, reason):
    cards = [gpu(0, memory_mib=memory_mib)]
    assert plan(*cards, **wish)["instances"][0]["reasons"]["gpu_memory"] == reason


def test_vllm_leaves_the_display_its_part():
    wish = {"runtime": "vllm", "model": model(weights_mib=2000)}
    shares = [plan(card(display=display), **wish)["instances"][0]["gpu_share"] for display in (False, True)]
    assert shares == [0.87, 0.81]


@pytest.mark.parametrize(("told", "warned"), [
    ({"processes": 0, "memory_used_mib": 1537, "display": True}, "topology_gpu_display_mib"),
    ({"processes": 0, "memory_used_mib": 1025}, "topology_gpu_headroom_mib"),
    ({"processes": 0, "memory_used_mib": 1024}, None),
    ({"processes": 0, "memory_used_mib": None}, None),
    ({"processes": 1, "memory_used_mib": 7000}, None),
    ({"processes": None, "memory_used_mib": 7000}, None),
    ({"memory_used_mib": 7000}, None),
])
def test_more_in_use_than_is_left_is_warned_of(told, warned):
    warnings = memory_warnings("chat-0", usable(card(**told)), POLICY)
    assert warnings == ([] if warned is None else [
        "chat-0: %d MiB of GPU 0000:10:00.0 are in use though no compute process runs there, and %d are left to "
        "others; raise %s." % (told["memory_used_mib"], 1536 if told.get("display") else 1024, warned)])


@given(used=st.integers(0, 8192), reserved=st.integers(0, 900), processes=st.none() | st.integers(1, 4),
       display=st.booleans())
def test_the_plan_is_the_same_while_its_engine_runs(used, reserved, processes, display):
    idle = plan(card(display=display, memory_used_mib=3, memory_reserved_mib=300, processes=0))
    assert plan(card(display=display, memory_used_mib=used, memory_reserved_mib=reserved, processes=processes)) == idle


@given(used=st.integers(0, 8192), display=st.booleans())
def test_what_others_use_changes_nothing_but_the_warnings(used, display):
    idle = plan(card(display=display, memory_used_mib=0, processes=0))
    busy = plan(card(display=display, memory_used_mib=used, processes=0))
    assert dict(busy, warnings=[]) == dict(idle, warnings=[])


def test_what_a_person_must_see_to_is_a_warning_where_cards_are_used():
    host = dict(topology(cores=8, gpus=[card()]), nvidia={"problem": "A card is lost."})
    wish = service(model=model(layers=10, weights_mib=100))
    assert "A card is lost." in make_plan(host, [dict(wish, gpus=1)])["warnings"]
    assert "A card is lost." not in make_plan(host, [wish])["warnings"]


@pytest.mark.parametrize(("wish", "refused"), [
    ({}, True), ({"gpu_layers": 5}, False), ({"gpu_memory_mib": 4000}, False),
    ({"runtime": "vllm"}, True), ({"runtime": "vllm", "gpu_memory_mib": 7000}, True), ({"gpus": 0}, False)])
def test_a_running_engine_is_not_planned_anew_because_nvidia_smi_hangs(wish, refused):
    host = topology(cores=8, gpus=[card()])
    wish = service(**dict({"gpus": 1, "model": model(layers=10, weights_mib=6000)}, **wish))
    make_plan(host, [wish])
    host["gpus"][0]["nvidia"], host["nvidia"] = None, {"problem": "nvidia-smi hangs."}
    if not refused:
        assert make_plan(host, [wish])["instances"]
        return
    with pytest.raises(PlanError) as error:
        make_plan(host, [wish])
    assert str(error.value) == (
        "chat-0: the memory of its GPU is not known, and its plan depends on that. nvidia-smi hangs.")
