"""Benchmarks side by side: what is compared with what, and when that is a difference."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.report_benchmarks import (
    change,
    chosen,
    comparisons,
    courses,
    figure,
    moment,
    pair,
    read_benchmark,
    verdict,
)
from report_fleets import benchmark, metric, run


def read(label, *runs, when="2026-11-20T10:00:00Z"):
    return read_benchmark(benchmark(label, *runs, when=when), label)


def compared(before, after, name="tokens_per_second", **of_run):
    one, other = (read("any", run(**{name: value}, **of_run)) for value in (before, after))
    (row,) = comparisons(one, other)
    return row["metrics"][name]


def spread(low, median, high, better="more", n=5):
    return {"median": median, "low": low, "high": high, "n": n, "unit": "u", "better": better}


def test_spreads_that_overlap_are_no_difference():
    assert verdict(compared(spread(10, 12, 14), spread(13.9, 15, 16))) == "no difference"
    assert verdict(compared(spread(10, 12, 14), spread(14, 15, 16))) == "no difference"


def test_spreads_apart_are_a_ratio_with_what_they_allow():
    faster = compared(spread(10, 12, 14), spread(15, 18, 21))
    assert (faster["ratio"], faster["low"], faster["high"]) == (1.5, 15 / 14, 2.1)
    assert change(faster) == "better: 1.50× (1.07–2.10)"
    assert verdict(compared(spread(15, 18, 21), spread(10, 12, 14))) == "worse: 0.67×"


def test_where_less_is_better_a_lower_value_is_better():
    assert verdict(compared(spread(15, 18, 21, "less"), spread(10, 12, 14, "less"))) == "better: 0.67×"
    assert verdict(compared(spread(10, 12, 14, "less"), spread(15, 18, 21, "less"))) == "worse: 1.50×"


def test_with_nothing_before_there_is_no_ratio():
    assert change(compared(spread(0, 0, 0), spread(1, 2, 3))) == ""


def test_a_run_that_was_not_judged_says_why_and_shows_no_number():
    one = read("before", run(tokens_per_second=metric(10)))
    two = read("after", run(judged=False, why_not="others took 40 %", tokens_per_second=metric(20)))
    (row,) = comparisons(one, two)
    assert (row["why_not"], row["metrics"]) == ("others took 40 %", {})
    (row,) = comparisons(two, one)
    assert (row["why_not"], row["note"]) == ("", "after was not judged: others took 40 %")
    assert row["metrics"]["tokens_per_second"]["before"] is None


def test_a_shape_that_has_changed_is_not_compared_and_what_the_host_decides_is_no_shape():
    def asked(**parameters):
        return read("x", dict(run(m=metric(10)), parameters=parameters))

    (row,) = comparisons(asked(users=4), asked(users=8))
    assert (row["note"], row["metrics"]["m"]["before"]) == ("not compared: the shape has changed between the two", None)
    (row,) = comparisons(asked(users=4, threads=2), asked(users=4, threads=8))
    assert (row["note"], change(row["metrics"]["m"])) == ("", "no difference")


def test_a_run_that_was_not_measured_before_stands_alone():
    one, two = read("before", run(shape="a", tokens_per_second=metric(10))), read(
        "after", run(shape="b", tokens_per_second=metric(20)))
    (row,) = comparisons(one, two)
    assert (row["shape"], row["metrics"]["tokens_per_second"]["before"]) == ("b", None)


def test_the_newest_is_compared_with_before_or_else_the_oldest():
    first, second, third = (read(label) for label in ("old", "before", "new"))
    assert pair([first, second, third]) == (second, third)
    assert pair([first, third]) == (first, third)
    assert pair([third, second]) == (second, third)
    assert pair([first]) == (None, first) and pair([]) == (None, None)


def test_courses_have_a_place_for_each_measurement_and_two_points_at_least():
    runs = [read("a", run(tokens_per_second=metric(1), ttft_ms=metric(5))), read("b"),
            read("c", run(tokens_per_second=metric(3))),
            read("d", run(judged=False, tokens_per_second=metric(9), ttft_ms=metric(9)))]
    (course,) = courses(runs).values()
    assert list(course) == ["tokens_per_second"]
    assert [point and point["median"] for point in course["tokens_per_second"]] == [1, None, 3, None]


def test_a_course_has_only_what_was_asked_as_the_newest_was():
    def asked(users, value):
        return read("x", dict(run(tokens_per_second=metric(value)), parameters={"users": users, "threads": value}))

    (course,) = courses([asked(4, 1), asked(8, 2), asked(4, 3), asked(8, 4)]).values()
    assert [point and point["median"] for point in course["tokens_per_second"]] == [None, 2, None, 4]
    assert courses([asked(4, 1), asked(8, 2)]) == {}


def test_of_many_runs_the_worse_and_the_first_of_each_service_are_chosen():
    def many(slow):
        return read("x", *(run(service, "s%d" % shape, m=metric(5 if (service, shape) == slow else 10))
                           for service in ("chat", "embed") for shape in range(9)))

    runs = comparisons(many(None), many(("chat", 7)))
    assert [(run["service"], run["shape"]) for run in chosen(runs, 4)] == [
        ("chat", "s0"), ("chat", "s1"), ("chat", "s7"), ("embed", "s0")]
    assert chosen(runs, 18) == runs


@pytest.mark.parametrize("value", [None, [], {}, {"runs": {}}, {"runs": "x"}, 3])
def test_something_else_is_no_benchmark(value):
    assert read_benchmark(value, "x") is None


def test_metrics_without_a_number_are_left_out_and_a_strange_spread_is_none():
    good = read("x", run(a=metric(1), b={"median": "12"}, c={"median": float("nan")}, d=7, e={"median": True},
                         f=spread(5, 4, 6)))
    metrics = good["runs"][0]["metrics"]
    assert list(metrics) == ["a", "f"] and (metrics["f"]["low"], metrics["f"]["high"]) == (4, 4)


def test_a_time_is_written_as_people_do():
    assert moment("2026-11-21T20:00:07Z") == "2026-11-21 20:00 UTC"
    assert moment("yesterday") == "yesterday" and moment("") == ""


@pytest.mark.parametrize(("value", "words"), [(15.234, "15.2"), (0.01234, "0.0123"), (12345.6, "12346"), (0, "0"),
                                              (1e300, "1e+300")])
def test_figures_have_three_digits_that_count(value, words):
    assert figure(value) == words
