"""Charts: bars from zero whose lengths are in proportion, and nothing outside the picture."""

import re

import pytest
from ansible_collections.inference.host.plugins.module_utils.plan_layout import text_width
from ansible_collections.inference.host.plugins.module_utils.report_benchmarks import comparisons, read_benchmark
from ansible_collections.inference.host.plugins.module_utils.report_chart import SIZE, WIDTH, bars, course
from hypothesis import given
from hypothesis import strategies as st
from report_fleets import benchmark, metric, run
from report_pages import Page

VALUES = st.floats(min_value=0.001, max_value=1e9)


def row(before, after, name="throughput-b4-p512", change=""):
    one, two = (value and read_benchmark(benchmark("x", run(m=metric(value))), "x") for value in (before, after))
    return dict(comparisons(one, two)[0]["metrics"]["m"], name=name, change=change)


def lengths(chart, kind):
    paths = Page(chart).all("path", kind)
    return [float(length) for path in paths for length in re.findall(r"M0 [0-9.]+h([0-9.]+)v", path["attributes"]["d"])]


def places(chart):
    """The left and right end of each text."""
    for text in Page(chart).all("text"):
        x, width = float(text["attributes"].get("x", 0)), text_width(text["text"], SIZE)
        yield (x - width, x) if "end" in text["attributes"].get("class", "") else (x, x + width)


def test_bars_are_as_long_as_the_medians():
    chart = bars([row(10, 20), row(None, 5)])
    was, now = lengths(chart, "was"), lengths(chart, "now")
    assert len(was) == 1 and len(now) == 2
    assert was[0] / now[0] == pytest.approx(0.5, abs=0.01) and now[1] / now[0] == pytest.approx(0.25, abs=0.01)
    assert Page(chart).texts("text") == ["throughput-b4-p512", "10", "20", "throughput-b4-p512", "5"]


@given(st.lists(st.tuples(st.none() | VALUES, VALUES), min_size=1, max_size=9))
def test_bars_and_their_values_stay_in_the_picture(values):
    chart = bars([row(*pair, name="n" * 99, change="worse: 0.67×") for pair in values])
    assert all(0 <= length < WIDTH for length in lengths(chart, "was") + lengths(chart, "now"))
    assert all(left >= -0.1 and right <= WIDTH + 1 for left, right in places(chart))
    height = float(Page(chart).elements[0]["attributes"]["viewbox"].split()[3])
    assert all(float(text["attributes"]["y"]) < height for text in Page(chart).all("text"))


def test_nothing_but_zeros_can_be_drawn():
    zero = dict(row(None, 1), after={"median": 0, "low": 0, "high": 0})
    assert lengths(bars([zero]), "now") == [0]
    assert "course" in course([zero["after"], zero["after"]], ["a", "b"])


@given(st.lists(st.none() | VALUES, min_size=2, max_size=30).filter(lambda found: len(list(filter(None, found))) > 1))
def test_a_course_has_a_point_for_each_measurement_that_there_is(values):
    chart = course([value and metric(value) for value in values], ["label"] * len(values))
    page = Page(chart)
    points = [(float(one["attributes"]["cx"]), float(one["attributes"]["cy"])) for one in page.all("circle")]
    known = [value for value in values if value]
    assert len(points) == len(known) and [x for x, _y in points] == sorted(x for x, _y in points)
    # Higher values are drawn higher.
    by_value = [y for _value, (_x, y) in sorted(zip(known, points, strict=True), key=lambda pair: pair[0])]
    assert all(one >= other - 0.11 for one, other in zip(by_value, by_value[1:], strict=False))
    assert all(left >= -0.1 and right <= WIDTH + 1 for left, right in places(chart))


def test_the_first_value_of_a_course_gives_way_to_the_newest():
    near, far = (course([None] * 28 + [metric(12345), *[None] * between, metric(12400)], ["x"] * (30 + between))
                 for between in (0, 9))
    assert Page(near).texts("text")[:-2] == ["12400"] and Page(far).texts("text")[:-2] == ["12345", "12400"]


def test_texts_of_a_chart_are_escaped():
    assert "<b>" not in bars([row(1, 2, name="<b>x</b>")])
    assert "<i>" not in course([metric(1), metric(2)], ["<i>", "<i>"])
