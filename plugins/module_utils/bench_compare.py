# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two results of each host, run by run: what is better, worse, or no different."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.bench_result import (
    OF_INSTANCE,
    check_label,
    in_words,
    number,
    read_result,
)
from ansible_collections.inference.host.plugins.module_utils.bench_stats import METRICS, tidy
from ansible_collections.inference.host.plugins.module_utils.plan_table import table

BETTER, WORSE, SAME, UNKNOWN = "better", "worse", "no difference", "not judged"
KEPT = ("median", "low", "high", "n")
AS_IS = ("build", "prompt_tokens_told", "threads", "batch", "ubatch", "instance", "not_taken")
"""Parameters that follow from the host, and may be what is compared."""


def verdict(before, after, better):
    """Return better, worse or no difference: the last where the two spreads have a value in common.

    before, after: {"low", "high"}. better: more or less.
    """
    if after["low"] <= before["high"] and before["low"] <= after["high"]:
        return SAME
    return BETTER if (after["low"] > before["high"]) == (better == "more") else WORSE


def ratio(before, after):
    """Return {"ratio", "ratio_low", "ratio_high"}: the medians' ratio, after to before, and how low and high the
    spreads let it be; all None where there is nothing to divide by."""
    if min(before["low"], before["median"]) <= 0:
        return {"ratio": None, "ratio_low": None, "ratio_high": None}
    return {"ratio": tidy(after["median"] / before["median"]), "ratio_low": tidy(after["low"] / before["high"]),
            "ratio_high": tidy(after["high"] / before["low"])}


def compare_runs(before, after):
    """Return the rows of one run, one for each metric that one of the two has."""
    rows = []
    why_not = _why_not(before, after)
    for name, (unit, better) in METRICS.items():
        # Of a run that is not judged no number is shown.
        old, new = ((run["summary"].get(name) if run and run["judged"] else None) for run in (before, after))
        if not old and not new:
            continue
        row = {key: (before or after)[key] for key in ("level", "service", "shape")}
        row.update(metric=name, unit=unit, better=better, note=why_not,
                   before=old and {key: old[key] for key in KEPT}, after=new and {key: new[key] for key in KEPT},
                   ratio=None, ratio_low=None, ratio_high=None, verdict=UNKNOWN)
        if old and new and not why_not:
            row.update(ratio(old, new), verdict=verdict(old, new, better))
        rows.append(row)
    if not rows:
        row = {key: (before or after)[key] for key in ("level", "service", "shape")}
        return [dict(row, metric=None, unit=None, better=None, before=None, after=None, ratio=None, ratio_low=None,
                     ratio_high=None, verdict=UNKNOWN, note=why_not)]
    return rows


def _why_not(before, after):
    """Return why two runs cannot be compared, or None."""
    for run, word in ((before, "before"), (after, "after")):
        if not run:
            return "it was not measured %s" % word
        if not run["judged"]:
            return "%s: %s" % (word, run["why_not"])
    asked = [{key: value for key, value in run["parameters"].items() if key not in AS_IS} for run in (before, after)]
    return "the shape has changed between the two" if asked[0] != asked[1] else None


def changes(before, after):
    """Return what else differs between two results, as lines: engines, and what the plan gave to each instance."""
    one, other = before["engine"], after["engine"]
    lines = ["engine %s: %s -> %s" % (runtime, one.get(runtime, "none"), other.get(runtime, "none"))
             for runtime in sorted(set(one) | set(other)) if one.get(runtime) != other.get(runtime)]
    old, new = ({(one["name"], one["index"]): one for one in result["plan"]["services"]} for result in (before, after))
    for name, index in sorted(set(old) | set(new)):
        one, other = old.get((name, index)), new.get((name, index))
        if not one or not other:
            lines.append("%s-%s: only %s" % (name, index, "after" if not one else "before"))
            continue
        lines += ["%s-%s: %s %s -> %s" % (name, index, key, one.get(key), other.get(key))
                  for key in OF_INSTANCE if one.get(key) != other.get(key)]
    if not lines and before["plan"].get("digest") != after["plan"].get("digest"):
        lines.append("the plan differs in what is not kept: settings, arguments, environment or limits")
    return lines


def compare_results(before, after):
    """Return the rows of a host from its two results, in the order of the first."""
    old, new = ({(run["level"], run["service"], run["shape"]): run for run in result["runs"]}
                for result in (before, after))
    keys = list(old) + [key for key in new if key not in old]
    return [row for key in keys for row in compare_runs(old.get(key), new.get(key))]


def benchmark_compare(texts, before, after):
    """Return {"before", "after": labels, "hosts": [{"host", "missing", "changes", "rows"}]}, hosts by name.

    texts: {host: {"before", "after": text of its file, empty or None where there is none}}. missing: a sentence where a
    host lacks one of them, else None. Raises PlanError for files that are none of ours.
    """
    labels = (("before", check_label(before, "benchmark_before")), ("after", check_label(after, "benchmark_after")))
    hosts = []
    for host in sorted(texts):
        lacks = [label for key, label in labels if not texts[host].get(key)]
        part = {"host": host, "missing": None, "changes": [], "rows": []}
        if lacks:
            part["missing"] = "%s has no results with label %s." % (host, " and ".join(lacks))
        else:
            pair = [read_result(texts[host][key], "%s/%s.json" % (host, label)) for key, label in labels]
            part.update(changes=changes(*pair), rows=compare_results(*pair))
        hosts.append(part)
    return {"before": before, "after": after, "hosts": hosts}


def compare_table(comparison):
    """Return a comparison as text: a row for each metric, what else differs, and what is missing."""
    rows = [[part["host"], row["service"], row["shape"], row["metric"] or "-", in_words(row["before"]),
             in_words(row["after"]), ratio_words(row), row["verdict"] + (" (%s)" % row["note"] if row["note"] else "")]
            for part in comparison["hosts"] for row in part["rows"]]
    lines = table(["HOST", "SERVICE", "SHAPE", "METRIC", comparison["before"].upper(), comparison["after"].upper(),
                   "RATIO", "VERDICT"], rows) if rows else []
    for part in comparison["hosts"]:
        lines += ["%s: %s" % (part["host"], change) for change in part["changes"]]
        lines += ["missing: %s" % part["missing"]] if part["missing"] else []
    counts = [(word, sum(row["verdict"] == word for part in comparison["hosts"] for row in part["rows"]))
              for word in (BETTER, WORSE, SAME, UNKNOWN)]
    return "\n".join(lines + ["", ", ".join("%d %s" % (count, word) for word, count in counts)])


def ratio_words(row):
    """Return a ratio with its spread, such as `1.42 (1.38-1.47)`; `-` for none."""
    if row["ratio"] is None:
        return "-"
    return "%s (%s-%s)" % tuple(number(row[key]) for key in ("ratio", "ratio_low", "ratio_high"))
