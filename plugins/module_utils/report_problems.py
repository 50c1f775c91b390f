# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What needs somebody's attention on a host, and in a fleet: the most urgent first."""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils.report_benchmarks import (
    METRICS,
    change,
    comparisons,
    pair,
)
from ansible_collections.inference.host.plugins.module_utils.report_html import element
from ansible_collections.inference.host.plugins.module_utils.verify_report import fold, needs_person

KINDS = {
    "unreachable": ("Unreachable", "bad"), "refused": ("Refused", "bad"), "drift": ("Drift", "bad"),
    "partial": ("Partial", "bad"), "unreadable": ("Unreadable", "bad"), "slower": ("Slower", "bad"),
    "no_plan": ("No plan", "warn"), "not_verified": ("Not read back", "warn"), "warning": ("Warning", "warn"),
    "not_judged": ("Not judged", "quiet"),
}
"""What there can be, the most urgent first: the word on its badge and its colour."""

URGENT = ("unreachable", "refused", "drift", "partial", "unreadable", "slower")
"""Kinds for which somebody has to act; the others are for whoever has time."""

NUMBER = re.compile("([0-9]+)")


def problems(host):
    """Return [{"kind", "what", "why"}] of a host (see report_inputs.py), the most urgent first."""
    answer = [_of_row(row, more) for row, more in fold(list(filter(needs_person, host["rows"] or [])))]
    answer += [{"kind": "unreadable", "what": fault, "why": ""} for fault in host["faults"]]
    answer += _of_benchmarks(host["benchmarks"])
    if host["plan"] is None:
        answer.append({"kind": "no_plan", "what": "There is no plan of this host",
                       "why": "playbooks/plan.yml writes it."})
    else:
        answer += [{"kind": "warning", "what": warning, "why": ""} for warning in host["plan"]["warnings"]]
    if host["rows"] is None:
        answer.append({"kind": "not_verified", "what": "The host was not compared with its plan",
                       "why": "playbooks/verify.yml does it."})
    return sorted(answer, key=lambda problem: list(KINDS).index(problem["kind"]))


def _of_row(row, more):
    what = "%s: %s%s" % (row["area"], row["setting"], " (and %d more)" % more if more else "")
    found = [] if row["found"] in ("-", "") else ["found %s" % row["found"]]
    wanted = [] if row["wanted"] in ("-", "") or not found else ["wanted %s" % row["wanted"]]
    note = [] if row["note"] in ("-", "") else [row["note"]]
    return {"kind": row["status"], "what": what, "why": "; ".join(wanted + found + note)}


def _of_benchmarks(benchmarks):
    before, after = pair(benchmarks)
    answer = []
    for run in comparisons(before, after) if after else []:
        name = "%s %s" % (run["service"], run["shape"])
        if run["why_not"]:
            answer.append({"kind": "not_judged", "what": "%s was not judged" % name, "why": run["why_not"]})
        worse = {METRICS.get(metric, metric): change(compared) for metric, compared in run["metrics"].items()
                 if compared["verdict"] == "worse"}
        if worse:
            why = ["%s %s" % pair_of_texts for pair_of_texts in worse.items()]
            answer.append({"kind": "slower", "what": "%s: %s" % (name, ", ".join(worse)), "why": (
                "%s beside %s: %s" % (after["label"], before["label"], "; ".join(why)))})
    return answer


def urgent(found):
    """Return those of a host's problems for which somebody has to act."""
    return [problem for problem in found if problem["kind"] in URGENT]


def state(found):
    """Return (word, colour) for the badge of a host with these problems."""
    kinds = [problem["kind"] for problem in found if problem["kind"] not in ("warning", "not_judged")]
    return KINDS[kinds[0]] if kinds else ("As planned", "good")


def badge(word, colour):
    """Return a badge as markup."""
    return element("span", word, kind="badge " + colour)


def rank(found):
    """Sort hosts: those with the most urgent problem first, and of these those with most of them."""
    if not found:
        return len(KINDS), 0
    first = list(KINDS).index(found[0]["kind"])
    return first, -sum(problem["kind"] == found[0]["kind"] for problem in found)


def shared(of_hosts):
    """Return [(kind, what, [host names])] of what needs somebody, as it is on several hosts or on one alone.

    of_hosts: {host name: its problems}. Those whose words differ only in numbers, such as a CPU's, are one; an ellipsis
    stands for each number that differs.
    """
    groups = {}
    for host, found in of_hosts.items():
        for problem in urgent(found):
            key = problem["kind"], NUMBER.sub("0", problem["what"])
            words, hosts = groups.setdefault(key, ({}, {}))
            words[problem["what"]] = hosts[host] = True
    order = sorted(groups.items(), key=lambda group: (list(KINDS).index(group[0][0]), -len(group[1][1])))
    return [(kind, _common(list(words)), list(hosts)) for (kind, _likeness), (words, hosts) in order]


def _common(texts):
    """Return texts that differ only in numbers as one."""
    parts = zip(*(NUMBER.split(text) for text in texts))
    return "".join(part[0] if len(set(part)) == 1 else "\N{HORIZONTAL ELLIPSIS}" for part in parts)
