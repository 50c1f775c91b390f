"""From the search to a verdict, with a stand-in for the bench: comparison, noise, time, context, sweep, remembering."""

import json

import pytest
from ansible_collections.inference.host.plugins.module_utils.autotune_search import Cut
from ansible_collections.inference.host.plugins.module_utils.autotune_trials import Trials
from ansible_collections.inference.host.plugins.module_utils.autotune_tune import Noisy, TrialFailed, Tuner
from ansible_collections.inference.host.plugins.module_utils.llama_bench import BenchError
from autotune_machines import Machine, space


class Bench:
    """A made-up machine, of which each call takes a second."""

    def __init__(self, machine, noisy_at=None):
        self.machine, self.noisy_at, self.calls, self.rest = machine, noisy_at, [], 0

    def allow(self, seconds):
        self.rest = seconds

    def left(self):
        return self.rest

    def speeds(self, point, repeats, depth=0):
        if self.rest < 1:
            raise Cut("the time was over")
        self.rest -= 1
        self.calls.append((point, repeats, depth))
        if self.noisy_at == len(self.calls):
            raise Noisy("the machine is too busy to measure on it: others.")
        speed = self.machine.speed(point) / (1 + depth / 10000)
        if not speed:
            raise TrialFailed("it does not load")
        return [speed * (1 + 0.001 * (len(self.calls) % 3)) for _repeat in range(repeats)]


def tuned(tmp_path, machine, seconds=1000, noisy_at=None, forget=False, fingerprint="a", **wishes):
    bench = Bench(machine, noisy_at)
    trials = Trials(str(tmp_path / "state" / "chat.json"), {"of": fingerprint}, forget)
    return Tuner(machine.space, bench, trials).run(seconds, **wishes), bench.calls


def machine(**wishes):
    return Machine(space(cores=8), {"prompt": 8, "generate": 4}, **wishes)


def test_what_is_better_is_kept_with_five_turns_of_each(tmp_path):
    found, calls = tuned(tmp_path, machine())
    assert (found["verdict"], found["why_not"], found["cut"]) == ("better", None, None)
    assert found["kept"] == found["winner"] != found["found"] and found["kept"]["threads"] == 4
    assert found["before"]["n"] == found["after"]["n"] == 5
    assert found["after"]["low"] > found["before"]["high"]
    turns = [point for point, _repeats, _depth in calls[-20:] if point[0] == "generate"]
    assert [point[1] for point in turns] == [8, 4] * 5
    assert found["trials"] * 3 <= found["points"]


def test_what_is_found_best_stays_without_a_comparison(tmp_path):
    found, calls = tuned(tmp_path, Machine(space(cores=8), {"prompt": 8, "generate": 8}, ubatch=512))
    assert found["verdict"] == "no difference" and found["kept"] == found["found"]
    assert found["before"]["n"] == 3 and all(repeats in (1, 2) for _point, repeats, _depth in calls)


def test_a_gain_within_the_spread_is_no_difference(tmp_path):
    class Wide(Machine):
        def speed(self, point):
            self.calls.append(point)
            return super().speed(point) * (0.5 + 0.25 * (len(self.calls) % 5))

    found, _calls = tuned(tmp_path, Wide(space(cores=8), {"prompt": 8, "generate": 7}, ubatch=512), spread_percent=1000)
    assert found["verdict"] in ("no difference",) and found["kept"] == found["found"]


def test_repeats_too_far_apart_are_not_judged(tmp_path):
    found, _calls = tuned(tmp_path, machine(), spread_percent=0)
    assert found["verdict"] == "not judged" and found["kept"] == found["found"]
    assert found["why_not"].endswith("apart, more than autotune_spread_percent 0.")


@pytest.mark.parametrize("call", [1, 5, 30])
def test_a_noisy_machine_is_said_and_nothing_is_kept(tmp_path, call):
    found, _calls = tuned(tmp_path, machine(), noisy_at=call)
    assert (found["verdict"], found["kept"]) == ("not judged", found["found"])
    assert found["why_not"] == "the machine is too busy to measure on it: others."


def test_noise_in_the_sweep_leaves_the_verdict(tmp_path):
    whole, calls = tuned(tmp_path / "whole", machine())
    found, _calls = tuned(tmp_path / "swept", machine(), noisy_at=len(calls) + 1, with_sweep=True)
    assert (found["verdict"], found["kept"]) == (whole["verdict"], whole["kept"])
    assert found["sweep"]["cut"] == "the machine is too busy to measure on it: others."
    assert found["sweep"]["loss_percent"] is None


def test_a_slow_trial_has_one_repeat(tmp_path):
    _found, calls = tuned(tmp_path, machine())
    repeats = {}
    for point, count, _depth in calls[:-20]:
        repeats.setdefault(point, []).append(count)
    assert repeats["prompt", 8, 512, 512, False, "none", None] == [1, 2]
    assert repeats["prompt", 4, 512, 512, False, "none", None] == [1]


def test_a_repeat_goes_on_where_it_was_cut(tmp_path):
    whole, calls = tuned(tmp_path / "whole", machine())
    made, seconds = 0, 6
    for _number in range(100):
        found, again = tuned(tmp_path / "cut", machine(), seconds=seconds)
        made += len(again)
        if not found["cut"] and not found["why_not"]:
            break
    assert {key: found[key] for key in ("verdict", "winner", "kept", "trials")} == {
        key: whole[key] for key in ("verdict", "winner", "kept", "trials")}
    # A trial whose second half was cut is made again.
    assert len(calls) <= made <= 2 * len(calls)
    found, again = tuned(tmp_path / "whole", machine())
    assert found == whole and again == []


def test_no_time_at_all_keeps_what_was_found(tmp_path):
    found, calls = tuned(tmp_path, machine(), seconds=0)
    assert calls == [] and found["cut"] == "the time was over" and found["kept"] == found["found"]
    assert found["why_not"] == "not even what the service has now could be measured in time; a repeat goes on."


@pytest.mark.parametrize(("wishes", "known"), [({}, True), ({"forget": True}, False), ({"fingerprint": "b"}, False)])
def test_trials_hold_for_their_fingerprint(tmp_path, wishes, known):
    tuned(tmp_path, machine())
    _found, calls = tuned(tmp_path, machine(), **wishes)
    assert (calls == []) == known


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"version": 1}', '{"version": 1, "trials": [], "rounds": 3}'])
def test_a_file_that_is_none_of_ours_begins_anew(tmp_path, text):
    (tmp_path / "chat.json").write_text(text)
    trials = Trials(str(tmp_path / "chat.json"), {"of": "a"})
    trials.put("x", {"speeds": [1.0], "failed": None})
    assert json.loads((tmp_path / "chat.json").read_text())["trials"] == {"x": {"speeds": [1.0], "failed": None}}


def test_the_largest_context_that_costs_little_is_taken(tmp_path):
    found, calls = tuned(tmp_path, machine(), contexts=[16384, 1024, 2048, 4096], loss_percent=20)
    assert found["context"] == 2048 and sorted(found["contexts"]) == [1024, 2048, 4096]
    assert {depth for _point, _repeats, depth in calls} == {0, 896, 1920, 3968}


def test_the_sweep_tells_how_far_the_search_is_from_the_best(tmp_path):
    found, calls = tuned(tmp_path, machine(), with_sweep=True)
    swept = found["sweep"]
    assert swept["measured"] == swept["points"] == found["points"] and swept["cut"] is None
    assert 0 <= swept["loss_percent"] <= 3 and len({point for point, _repeats, _depth in calls}) == swept["points"]


def test_a_context_that_the_user_sets_is_not_searched(tmp_path):
    host = Machine(space(cores=8, fixed=["context"]), {"prompt": 8, "generate": 4})
    found, calls = tuned(tmp_path, host, contexts=[1024, 2048])
    assert (found["context"], found["contexts"]) == (None, {}) and {depth for _point, _repeats, depth in calls} == {0}


def test_what_was_not_judged_is_compared_anew(tmp_path):
    first, _calls = tuned(tmp_path, machine(), spread_percent=0)
    again, calls = tuned(tmp_path, machine(), spread_percent=0)
    assert first["verdict"] == again["verdict"] == "not judged"
    assert [repeats for _point, repeats, _depth in calls] == [1] * 20
    # Where it can be judged after all, nothing is measured.
    found, calls = tuned(tmp_path, machine())
    assert found["verdict"] == "better" and calls == []


def test_what_could_not_be_measured_is_tried_again(tmp_path):
    with pytest.raises(BenchError):
        tuned(tmp_path, machine(failing=lambda values: True))
    assert tuned(tmp_path, machine())[0]["verdict"] == "better"


def test_what_cannot_run_at_all_is_an_error(tmp_path):
    with pytest.raises(BenchError) as error:
        tuned(tmp_path, machine(failing=lambda values: True))
    assert str(error.value) == "what the service has now cannot be measured: it does not load"


def test_layers_that_do_not_load_are_passed_by(tmp_path):
    host = space(cores=4, layers=8)
    host.found["gpu_layers"] = 2
    found, _calls = tuned(tmp_path, Machine(host, {"prompt": 4, "generate": 4}, ubatch=512,
                                            failing=lambda values: values["gpu_layers"] > 5))
    assert found["kept"]["gpu_layers"] == 5 and found["verdict"] == "better"
