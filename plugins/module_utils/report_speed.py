# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The benchmarks of a host: charts of the newest measurement beside the first one, their course, and all numbers."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.report_benchmarks import (
    METRICS,
    change,
    chosen,
    comparisons,
    courses,
    figure,
    key_of,
    metric_order,
    moment,
    pair,
    verdict,
)
from ansible_collections.inference.host.plugins.module_utils.report_chart import bars, course
from ansible_collections.inference.host.plugins.module_utils.report_html import element, join, table

CHARTED = 2
"""Metrics of each service that have charts; the table has all."""
MOST_ROWS, MOST_COURSES = 8, 2
"""Rows of a chart, and courses over time of each service."""


def benchmarks_part(benchmarks, most):
    """Return the part of a page with the benchmarks of one host as markup; most: how many runs are shown."""
    before, after = pair(benchmarks)
    if not after:
        return element("p", "No benchmark of this host was found; playbooks/benchmark.yml makes one.", kind="muted")
    measured = comparisons(before, after)
    runs = chosen(measured, most)
    services = list(dict.fromkeys((run["service"], run["level"]) for run in runs))
    parts = [_legend(before, after)]
    charts = []
    for service, level in services:
        mine = [run for run in runs if (run["service"], run["level"]) == (service, level)]
        charts += _charts(service, level, mine)
    parts.append(element("div", *charts, kind="charts") if charts else None)
    over_time = _courses(benchmarks, set(map(key_of, runs))) if len(benchmarks) > 2 else []
    if over_time:
        parts += [element("h4", "Over time"), element("div", *over_time, kind="charts")]
    more = len(measured) - len(runs)
    parts.append(element("details", element("summary", "All numbers" if not more else "Numbers"),
                         _numbers(runs, before, after)))
    if more:
        words = "%d more runs of %s are in the benchmark's file." % (more, after["label"])
        parts.append(element("p", words, kind="muted"))
    return join(parts)


def _legend(before, after):
    """What is compared with what, and when that was measured."""
    keys = [element("span", element("span", kind="key " + kind), element("b", one["label"]), " " + moment(one["when"]),
                    kind="keyed") for kind, one in (("was", before), ("now", after)) if one]
    note = "Bars are medians, lines reach from the lowest to the highest repeat."
    note += " Where these overlap there is no difference." if before else " Nothing is compared with one measurement."
    engine = " Engine: %s." % after["engine"] if after["engine"] else ""
    return join([element("p", *keys), element("p", note + engine, kind="muted")])


def _charts(service, level, runs):
    """Return the charts of one service: its first metrics, each with a row for a shape."""
    judged = [run for run in runs if not run["why_not"]]
    metrics = sorted({name for run in judged for name in run["metrics"]}, key=metric_order)[:CHARTED]
    answer = []
    for name in metrics:
        shown = [run for run in judged if name in run["metrics"]]
        rows = [dict(run["metrics"][name], name=run["shape"], change=verdict(run["metrics"][name]))
                for run in shown[:MOST_ROWS]]
        caption = _caption(service, level, name, rows[0]["after"])
        more = len(shown) - len(rows)
        answer.append(element("figure", caption, bars(rows),
                              element("small", "and %d more below" % more) if more else None))
    noisy = [run for run in runs if run["why_not"]]
    if noisy:
        items = [element("li", "%s: %s" % (run["shape"], run["why_not"])) for run in noisy]
        answer.append(element("figure", element("figcaption", "%s: not judged" % service), element("ul", *items)))
    return answer


def _caption(service, level, name, metric):
    better = "less is better" if metric["better"] == "less" else "more is better"
    engine = " (engine alone)" if level == "engine" else ""
    words = "%s, %s" % (metric["unit"], better) if metric["unit"] else better
    return element("figcaption", "%s%s: %s" % (service, engine, METRICS.get(name, name)), element("small", words))


def _courses(benchmarks, keys):
    """Return the charts over time: of each service its first metric, for a few shapes. keys: of the runs shown."""
    labels, drawn, answer = [benchmark["label"] for benchmark in benchmarks], {}, []
    for (service, level, shape), metrics in courses(benchmarks).items():
        if (service, level, shape) in keys and drawn.setdefault((service, level), 0) < MOST_COURSES:
            drawn[service, level] += 1
            name = min(metrics, key=metric_order)
            first = next(filter(None, metrics[name]))
            title = "%s %s: %s" % (service, shape, METRICS.get(name, name))
            answer.append(element("figure", element("figcaption", title, element("small", first["unit"])),
                                  course(metrics[name], labels)))
    return answer


def _numbers(runs, before, after):
    """Return the table of all numbers: a row a run, a column a metric."""
    units = {name: compared["after"]["unit"] for run in runs for name, compared in run["metrics"].items()}
    metrics = sorted(units, key=metric_order)
    columns = ["Run"]
    for name in metrics:
        words = METRICS.get(name, name)
        columns.append(words.capitalize() + (", " + units[name] if units[name] in ("ms", "s") else ""))
    rows = [[join(["%s %s" % (run["service"], run["shape"]), _remark(run)]),
             *(_cell(run["metrics"].get(name)) for name in metrics)] for run in runs]
    caption = "%s, compared with %s" % (after["label"], before["label"]) if before else after["label"]
    return table(columns, rows, kind="settings", caption=caption)


def _remark(run):
    words = ["engine alone"] if run["level"] == "engine" else []
    words += [words_of for words_of in (run["why_not"], run["note"]) if words_of]
    return element("small", "; ".join(words)) if words else None


def _cell(compared):
    """Return the numbers of one metric: before, after with its spread, and what that comes to."""
    if not compared:
        return ""
    metric = compared["after"]
    spread = " (%s\N{EN DASH}%s)" % (figure(metric["low"]), figure(metric["high"])) \
        if metric["low"] < metric["high"] else ""
    was = "%s \N{RIGHTWARDS ARROW} " % figure(compared["before"]["median"]) if compared["before"] else ""
    colour = {"better": "good", "worse": "bad"}.get(compared["verdict"])
    return join(["%s%s%s" % (was, figure(metric["median"]), spread),
                 element("small", change(compared), kind=colour) if compared["verdict"] else None])
