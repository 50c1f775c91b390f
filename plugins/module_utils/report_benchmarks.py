# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Results of benchmarks side by side: one measurement with another, and all of them over time."""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils.bench_compare import AS_IS
from ansible_collections.inference.host.plugins.module_utils.bench_compare import verdict as spreads
from ansible_collections.inference.host.plugins.module_utils.report_values import mapping, number, text

UNSAID = "the machine was not quiet"
METRICS = {"tokens_per_second": "tokens per second", "ttft_ms": "time to the first token",
           "tpot_ms": "time per token", "request_ms": "time for an answer",
           "requests_per_second": "requests per second"}
"""What metrics are called, in the order in which they are shown; others follow by their own names."""

FIRST = "before"
"""The label of the measurement that all others are compared with; where there is none it is the oldest."""


def read_benchmark(value, label):
    """Return {"label", "when", "engine", "runs"} of a file of results, or None for something else.

    A run is {"service", "level", "shape", "metrics": {name: {"median", "low", "high", "n", "unit", "better"}},
    "judged", "why_not", "asked": parameters}; a metric without a median is left out.
    """
    if not isinstance(value, dict) or not isinstance(value.get("runs"), list):
        return None
    engines = ["%s %s" % (text(name), text(version)) for name, version in sorted(mapping(value.get("engine")).items())]
    return {"label": text(value.get("label")) or label, "when": text(value.get("when")), "engine": ", ".join(engines),
            "runs": [_run(run) for run in value["runs"] if isinstance(run, dict)]}


def _run(run):
    metrics = {text(name): _metric(mapping(one)) for name, one in mapping(run.get("summary")).items()}
    return {"service": text(run.get("service")), "level": text(run.get("level")), "shape": text(run.get("shape")),
            "metrics": {name: one for name, one in metrics.items() if one}, "judged": run.get("judged") is not False,
            "why_not": text(run.get("why_not")),
            "asked": {name: value for name, value in mapping(run.get("parameters")).items() if name not in AS_IS}}


def _metric(one):
    median = number(one.get("median"))
    if median is None:
        return None
    low, high = number(one.get("low")), number(one.get("high"))
    known = low is not None and high is not None and low <= median <= high
    return {"median": median, "low": low if known else median, "high": high if known else median,
            "n": number(one.get("n")) or 0, "unit": text(one.get("unit")),
            "better": "less" if one.get("better") == "less" else "more"}


def key_of(run):
    """Return what tells runs of one measurement apart."""
    return run["service"], run["level"], run["shape"]


def pair(benchmarks):
    """Return (the measurement that is compared with, the newest): either is None where there is none.

    benchmarks: sorted by time.
    """
    if len(benchmarks) < 2:
        return None, benchmarks[0] if benchmarks else None
    first = next((one for one in benchmarks if one["label"] == FIRST), benchmarks[0])
    return first, [one for one in benchmarks if one is not first][-1]


def comparisons(before, after):
    """Return [{"service", "level", "shape", "metrics": {name: comparison}, "why_not", "note"}] of the newer one.

    before, after: of read_benchmark; `before` may be None. A comparison is {"before", "after", "ratio", "low", "high",
    "verdict"}: the ratio of the medians, the least and the most that the spreads allow, and one of "better", "worse",
    "no difference" (the spreads overlap) and "" (not compared; the note says why, where there is something to say).
    A run that was not judged has no metrics, and why_not says why.
    """
    earlier = {key_of(run): run for run in before["runs"]} if before else {}
    answer = []
    for run in after["runs"]:
        row = {"service": run["service"], "level": run["level"], "shape": run["shape"], "metrics": {}, "note": "",
               "why_not": "" if run["judged"] else run["why_not"] or UNSAID}
        other = earlier.get(key_of(run)) if run["judged"] else None
        if other and not other["judged"]:
            row["note"], other = "%s was not judged: %s" % (before["label"], other["why_not"] or UNSAID), None
        elif other and other["asked"] != run["asked"]:
            row["note"], other = "not compared: the shape has changed between the two", None
        for name in sorted(run["metrics"] if run["judged"] else (), key=metric_order):
            row["metrics"][name] = _compared(other and other["metrics"].get(name), run["metrics"][name])
        answer.append(row)
    return answer


def _compared(before, after):
    answer = {"before": before, "after": after, "ratio": None, "low": None, "high": None, "verdict": ""}
    if before and before["low"] > 0:
        answer.update(ratio=after["median"] / before["median"], low=after["low"] / before["high"],
                      high=after["high"] / before["low"], verdict=spreads(before, after, after["better"]))
    return answer


def chosen(runs, most):
    """Return at most so many of the runs of `comparisons`, in their order: first those that are worse, then of each
    service and level the first ones."""
    seen, order = {}, []
    for place, run in enumerate(runs):
        key = run["service"], run["level"]
        seen[key] = seen.get(key, 0) + 1
        worse = any(compared["verdict"] == "worse" for compared in run["metrics"].values())
        order.append((not worse, seen[key], place))
    return [runs[place] for place in sorted(place for _worse, _seen, place in sorted(order)[:most])]


def metric_order(name):
    """Sort metrics by METRICS, others behind them by name."""
    return list(METRICS).index(name) if name in METRICS else len(METRICS), name


def courses(benchmarks):
    """Return {(service, level, shape): {metric: [a point or None for each measurement]}}, for those with two points or
    more. Runs that were not judged have no point, nor those whose shape was another one than the newest's."""
    points = {}
    asked = {key_of(run): run["asked"] for benchmark in benchmarks for run in benchmark["runs"] if run["judged"]}
    for place, benchmark in enumerate(benchmarks):
        for run in benchmark["runs"]:
            comparable = run["judged"] and run["asked"] == asked[key_of(run)]
            for name, metric in run["metrics"].items() if comparable else ():
                course = points.setdefault(key_of(run), {}).setdefault(name, [None] * len(benchmarks))
                course[place] = metric
    enough = {key: {name: course for name, course in metrics.items() if len(list(filter(None, course))) > 1}
              for key, metrics in points.items()}
    return {key: metrics for key, metrics in enough.items() if metrics}


def moment(when):
    """Return a time such as 2026-11-21T20:00:00Z as people write it, and anything else as it is."""
    found = re.fullmatch("([0-9-]{10})T([0-9]{2}:[0-9]{2}):[0-9.]+Z", when)
    return "%s %s UTC" % found.groups() if found else when


def figure(value):
    """Return a measured value with three digits that count."""
    return "%.0f" % value if 100 <= abs(value) < 1e7 else "%.3g" % value


def verdict(compared):
    """Return in a word or two what a comparison comes to."""
    if compared["verdict"] in ("", "no difference"):
        return compared["verdict"]
    return "%s: %.2f\N{MULTIPLICATION SIGN}" % (compared["verdict"], compared["ratio"])


def change(compared):
    """Return the same with what the spreads allow: better: 1.31x (1.28 to 1.35)."""
    if compared["ratio"] is None or compared["verdict"] == "no difference":
        return compared["verdict"]
    return "%s (%.2f\N{EN DASH}%.2f)" % (verdict(compared), compared["low"], compared["high"])
