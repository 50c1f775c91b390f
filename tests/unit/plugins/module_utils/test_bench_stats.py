"""Median, spread, percentiles, and what may not be judged."""

import statistics

import pytest
from ansible_collections.inference.host.plugins.module_utils import bench_stats
from hypothesis import given
from hypothesis import strategies as st

NUMBERS = st.lists(st.floats(min_value=0.001, max_value=1e9), min_size=1, max_size=60)
LIMITS = {"noise_percent": 10.0, "spread_percent": 25.0}
QUIET = {"stolen_percent": 0.0, "others_percent": 1.0, "client_percent": 3.0}


def repeats(*speeds, errors=0, requests=10):
    return [{"tokens_per_second": speed, "errors": errors, "requests": requests} for speed in speeds]


def request(tokens=10, ttft=100.0, tpot=10.0, whole=200.0, error=None):
    return {"tokens": tokens, "ttft_ms": ttft, "tpot_ms": tpot, "request_ms": whole, "error": error}


@given(NUMBERS)
def test_median_is_that_of_the_standard_library(values):
    assert bench_stats.median(values) == pytest.approx(statistics.median(values))


@given(NUMBERS, st.integers(1, 100))
def test_a_percentile_is_a_value_that_as_many_do_not_exceed(values, percent):
    found = bench_stats.percentile(values, percent)
    assert found in values
    assert 100 * sum(value <= found for value in values) >= percent * len(values)
    assert 100 * sum(value < found for value in values) < percent * len(values)


@pytest.mark.parametrize(("percent", "wanted"), [(50, 50), (95, 95), (99, 99), (100, 100), (1, 1)])
def test_percentiles_of_a_hundred(percent, wanted):
    assert bench_stats.percentile(list(range(100, 0, -1)), percent) == wanted


@pytest.mark.parametrize("function", [bench_stats.median, lambda values: bench_stats.percentile(values, 50)])
def test_nothing_has_no_middle(function):
    with pytest.raises(ValueError, match="of nothing"):
        function([])


@given(NUMBERS)
def test_the_median_lies_in_the_spread(values):
    found = bench_stats.spread(values, "ms", "less")
    assert found["low"] <= found["median"] <= found["high"] and found["n"] == len(values)


@given(st.floats(min_value=1e-6, max_value=1e12))
def test_what_is_kept_is_right_to_a_thousandth(value):
    assert bench_stats.tidy(value) == pytest.approx(value, rel=0.001)


@pytest.mark.parametrize(("value", "kept"), [
    (None, None), (0, 0), (15.23456, 15.23), (123456.7, 123457.0), (0.0123456, 0.01235), (-1.23456, -1.235)])
def test_digits(value, kept):
    assert bench_stats.tidy(value) == kept


def test_a_repeat_counts_what_failed_and_leaves_it_out():
    found = bench_stats.repeat_of(
        [request(ttft=100.0), request(ttft=300.0), request(ttft=900.0, tokens=99, error="status 503")], 4.0)
    assert found == {"errors": 1, "requests": 2, "ttft_ms": 200.0, "tpot_ms": 10.0, "request_ms": 200.0,
                     "tokens_per_second": 5.0, "requests_per_second": 0.5}


def test_a_repeat_of_failures_has_no_times():
    found = bench_stats.repeat_of([request(error="cut")], 1.0)
    assert (found["errors"], found["ttft_ms"], found["tokens_per_second"]) == (1, None, 0)


def test_a_summary_has_percentiles_of_all_requests_for_times_alone():
    requests = [request(ttft=float(number)) for number in range(1, 101)] + [request(ttft=9e9, error="cut")]
    summary = bench_stats.summary_of([bench_stats.repeat_of(requests, 10.0)] * 4, requests)
    assert summary["ttft_ms"] == {"median": 50.5, "low": 50.5, "high": 50.5, "n": 4, "unit": "ms", "better": "less",
                                  "p50": 50.0, "p95": 95.0, "p99": 99.0}
    assert summary["tokens_per_second"] == {
        "median": 100.0, "low": 100.0, "high": 100.0, "n": 4, "unit": "tokens/s", "better": "more"}


def test_what_no_repeat_has_is_in_no_summary():
    assert list(bench_stats.summary_of([{"tokens_per_second": 3.0, "errors": 0}])) == ["tokens_per_second"]


def test_a_quiet_machine_is_judged():
    assert bench_stats.why_not_judged(repeats(10, 10.5, 11, 10), QUIET, LIMITS) is None


@pytest.mark.parametrize(("during", "said"), [
    ({"others_percent": 40.0}, "other programs took 40 % of these CPUs' time, more than benchmark_noise_percent 10."),
    ({"stolen_percent": 11.0}, "the hypervisor gave 11 % of these CPUs' time to others, more than "
                               "benchmark_noise_percent 10."),
    ({"client_percent": 97.0}, "the program that asks was itself busy for 97 % of the time."),
])
def test_a_noisy_machine_is_not(during, said):
    assert bench_stats.why_not_judged(repeats(10, 10, 10, 10), dict(QUIET, **during), LIMITS) == said


@pytest.mark.parametrize(("found", "said"), [
    (repeats(10, 10, 10), "3 repeats are too few to tell a difference from chance, 4 are needed."),
    ([], "0 repeats are too few to tell a difference from chance, 4 are needed."),
    (repeats(10, 10, 10, 14), "the repeats lie 40 % apart, more than benchmark_spread_percent 25."),
    (repeats(10, 10, 10, 10, errors=1), "4 of 44 requests failed."),
    (repeats(0, 0, 0, 0), "no token came in 4 of 4 repeats."),
    (repeats(10, 10, 10, 0), "no token came in 1 of 4 repeats."),
])
def test_repeats_that_say_nothing_are_not(found, said):
    assert bench_stats.why_not_judged(found, QUIET, LIMITS) == said


def test_one_failure_of_hundreds_is_forgiven():
    assert bench_stats.why_not_judged(repeats(10, 10, 10, 10, requests=200)[:3] + repeats(10, errors=1), QUIET,
                                      LIMITS) is None


def test_what_is_not_known_is_no_noise():
    assert bench_stats.why_not_judged(repeats(10, 10, 10, 10), dict.fromkeys(QUIET), LIMITS) is None
