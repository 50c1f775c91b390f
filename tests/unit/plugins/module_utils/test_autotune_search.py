"""The search on made-up machines: near the best, in few runs, ends always, and the same again from where it was cut."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.autotune_search import (
    Costs,
    Cut,
    Search,
    Spent,
    best_along,
    sweep,
)
from autotune_machines import Machine, space
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

CORES = st.sampled_from([2, 3, 4, 6, 8, 12, 16, 24])
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def machines(draw, noise=0.0):
    cores = draw(CORES)
    layers = draw(st.sampled_from([None, None, 8]))
    host = space(cores=cores, smt=draw(st.booleans()), nodes=draw(st.sampled_from([1, 2])), layers=layers,
                 prompt=draw(st.sampled_from([128, 512])))
    best = {part: draw(st.integers(1, 2 * cores)) for part in ("prompt", "generate")}
    return Machine(host, best, flat=draw(st.booleans()), ubatch=draw(st.sampled_from([16, 64, 128, 512])),
                   steps=draw(st.sampled_from([0.05, 0.2])), siblings=draw(st.sampled_from([-0.1, 0.05, 0.3])),
                   policies={"interleave": draw(st.floats(0.7, 1.3)), "none": draw(st.floats(0.7, 1.2))}, noise=noise,
                   seed=draw(st.integers(0, 99)))


def search(machine, measure=None):
    """Return the choice and how many points it took, as autotune limits them."""
    points = len(machine.space.grid())
    costs = Costs(machine.space, measure or machine.measure, max(4, points // 3))
    found = Search(machine.space, costs)
    try:
        found.run()
    except Spent:
        pass
    return found.choice, len(costs.asked), points


@QUICK
@given(machines())
def test_the_winner_is_within_three_percent_in_a_third_of_the_runs(machine):
    choice, runs, points = search(machine)
    assert machine.seconds(choice) <= 1.03 * machine.best_seconds()
    assert runs <= max(4, points / 3) and len(set(machine.calls)) == len(machine.calls) == runs


@QUICK
@given(machines(noise=0.005))
def test_a_little_noise_does_not_lead_it_far(machine):
    choice, _runs, _points = search(machine)
    assert machine.seconds(choice) <= 1.045 * machine.best_seconds()


@QUICK
@given(machines(), st.integers(1, 12), st.integers(0, 3))
def test_points_that_do_not_run_are_passed_by(machine, threads, shift):
    machine.failing = lambda values: (values.get("threads") or values["threads_batch"]) % (threads + 1) == shift
    assume(machine.speed(machine.space.point("prompt", machine.space.found)))
    assume(machine.speed(machine.space.point("generate", machine.space.found)))
    choice, _runs, _points = search(machine)
    assert machine.seconds(choice) <= 1.01 * machine.seconds(machine.space.found)


@QUICK
@given(machines(noise=0.02), st.data())
def test_a_search_that_was_cut_goes_on_to_the_same_choice_and_measures_nothing_twice(machine, data):
    kept = {}

    def measure(point, best):
        if point not in kept:
            kept[point] = machine.measure(point, best)
        return kept[point]

    whole, runs, _points = search(machine, measure)
    prefix = data.draw(st.integers(0, runs))
    remembered = dict(list(kept.items())[:prefix])
    asked = []

    def again(point, _best):
        if point not in remembered:
            asked.append(point)
            remembered[point] = kept[point]
        return remembered[point]

    assert search(machine, again)[0] == whole
    assert asked == list(kept)[prefix:]


def test_a_cut_leaves_the_best_so_far():
    machine = Machine(space(cores=8), {"prompt": 8, "generate": 2})
    left = [7]

    def measure(point, best):
        left[0] -= 1
        if left[0] < 0:
            raise Cut("the time was over")
        return machine.measure(point, best)

    found = Search(machine.space, Costs(machine.space, measure))
    with pytest.raises(Cut):
        found.run()
    assert found.choice["threads"] in (2, 4) and found.choice["threads_batch"] == 8


def test_what_changes_nothing_is_left_alone():
    host = space(cores=8)
    assert Search(host, Costs(host, lambda _point, _best: [5.0])).run() == host.found


def valley(best, count):
    """Return the cost of a value, which is least at `best`, and the list of the values that were asked for."""
    looked = []

    def cost(value):
        looked.append(value)
        return 1 + abs(value - best) / count

    return cost, looked


@pytest.mark.parametrize(("count", "most"), [(2, 2), (4, 4), (16, 10), (64, 14)])
def test_a_long_axis_takes_few_looks(count, most):
    for best in range(1, count + 1):
        cost, looked = valley(best, count)
        assert abs(best_along(list(range(1, count + 1)), count, cost) - best) <= max(1, count // 32)
        assert len(looked) == len(set(looked)) <= most


def test_what_is_set_is_no_axis():
    host = space(cores=4, fixed=["threads", "ubatch", "smt"])
    assert {point[1] for point in host.grid() if point[0] == "generate"} == {4}
    assert {point[3] for point in host.grid() if point[0] == "prompt"} == {512}


def test_the_sweep_measures_all_and_knows_the_best():
    machine = Machine(space(cores=4, smt=True, nodes=2), {"prompt": 3, "generate": 2}, policies={"none": 1.2})
    best, points = sweep(machine.space, Costs(machine.space, machine.measure))
    assert best == pytest.approx(machine.best_seconds()) and points == len(machine.calls) == len(set(machine.calls))
