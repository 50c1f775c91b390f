# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of a fleet: one HTML page without scripts that needs nothing besides itself.

A front page has the hosts as rows, what needs somebody first; each host has a page of its own, which is the part of the
document that its address names (CSS :target), so that a reader's Back works. Prints have all of it, or one host.
"""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.report_benchmarks import (
    METRICS,
    change,
    comparisons,
    figure,
    metric_order,
    pair,
)
from ansible_collections.inference.host.plugins.module_utils.report_html import Html, element, join, slugs, table
from ansible_collections.inference.host.plugins.module_utils.report_inputs import read_inputs, written
from ansible_collections.inference.host.plugins.module_utils.report_picture import host_line, page_picture
from ansible_collections.inference.host.plugins.module_utils.report_problems import (
    KINDS,
    badge,
    problems,
    rank,
    shared,
    state,
    urgent,
)
from ansible_collections.inference.host.plugins.module_utils.report_serving import (
    instances_part,
    models_part,
    others_part,
    pairs_part,
)
from ansible_collections.inference.host.plugins.module_utils.report_settings import settings_part
from ansible_collections.inference.host.plugins.module_utils.report_speed import benchmarks_part
from ansible_collections.inference.host.plugins.module_utils.report_style import report_style
from ansible_collections.inference.host.plugins.module_utils.report_values import mapping, sequence, text

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
"""What the browser lets the page do, should something get through all the same: show itself."""
SHARED = 12
"""Rows of the list of what needs somebody first."""
NAMED = 6
"""Hosts that such a row names."""
RUNS, LEAST_RUNS = 1600, 8
"""Runs of benchmarks that all pages show together, and each at least, so that 200 hosts stay below 10 MB. As many
problems."""


def fleet_report(files, title="", hosts=()):
    """Return the report as the text of an HTML document.

    files: what was read (see report_inputs.py); title: its heading; hosts: names of hosts that are listed in any case.
    Pure: the same input gives the same text. Nothing in `files` makes it fail: what is missing or broken is said.
    """
    files = mapping(files)
    fleet, notes = read_inputs(files, sequence(hosts))
    addresses = slugs([host["name"] for host in fleet])
    found = {host["name"]: problems(host) for host in fleet}
    fleet.sort(key=lambda host: (rank(found[host["name"]]), host["name"]))
    title = text(title) or "Inference hosts"
    most = max(LEAST_RUNS, RUNS // max(1, len(fleet)))
    pages = [_page(host, addresses[host["name"]], found[host["name"]], most) for host in fleet]
    head = element("head", *_meta(), element("title", title),
                   element("style", Html(report_style())))
    body = element("body", element("a", "To the hosts", href="#hosts", kind="skip"),
                   element("header", element("h1", title)),
                   element("main", _front(fleet, files, found, addresses, notes), *pages), _footer())
    return "<!DOCTYPE html>\n%s\n" % element("html", head, body, lang="en")


def _meta():
    return (Html('<meta charset="utf-8">'), Html('<meta name="viewport" content="width=device-width,initial-scale=1">'),
            Html('<meta http-equiv="Content-Security-Policy" content="%s">' % POLICY),
            Html('<meta name="referrer" content="no-referrer">'), Html('<link rel="icon" href="data:,">'))


def _footer():
    return element("footer", "Made by playbooks/report.yml of inference.host from files alone; no host was asked. "
                             "Evidence: measured, given by the vendor, or convention.")


def _front(fleet, files, found, addresses, notes):
    """The front page: how many hosts need somebody, what they need, and all of them."""
    if not fleet:
        return element("section", element("p", "No host was found: no plans, no comparison, no benchmarks."),
                       *(element("p", note) for note in notes), id="hosts", tabindex="-1")
    parts = [_tally(fleet, files, found)]
    parts += [element("p", badge("Unreadable", "bad"), " ", note) for note in notes]
    groups = shared(found)
    if groups:
        parts.append(element("h2", "What needs attention first"))
        rows = [_group_row(*group, addresses=addresses) for group in groups[:SHARED]]
        parts.append(element("ul", *rows, kind="problems"))
        if len(groups) > SHARED:
            parts.append(element("p", "and %d more, on the hosts' own pages" % (len(groups) - SHARED), kind="muted"))
    parts.append(element("h2", "Hosts"))
    rows = [_host_row(host, found[host["name"]], addresses[host["name"]]) for host in fleet]
    parts.append(table(("Host", "State", "Needs attention", "Serves", "Speed"), rows))
    return element("section", *parts, id="hosts", tabindex="-1")


def _tally(fleet, files, found):
    acting = sum(bool(urgent(found[host["name"]])) for host in fleet)
    times = written(files)
    # A file without a host in it, or a broken one, has compared nothing.
    compared = times["verify"] if any(host["rows"] for host in fleet) else ""
    numbers = [(len(fleet), "host" if len(fleet) == 1 else "hosts"), (acting, "need attention" if acting != 1 else
               "needs attention"), (sum(map(_was_read, fleet)), "read back"),
               (sum(bool(host["benchmarks"]) for host in fleet), "measured")]
    said = ["plans of %s" % times["plans"] if times["plans"] else "no plans were found",
            "read back on %s" % compared if compared else "nothing was read back"]
    if times["plans"] > compared > "":
        said.append("which was before the newest plan")
    words = ", ".join(said)
    return join([element("ul", *(element("li", element("b", number), noun) for number, noun in numbers), kind="tally"),
                 element("p", words[0].upper() + words[1:] + ".", kind="muted")])


def _was_read(host):
    """Tell whether the host was compared with its plan; rows of the area `host` say why that could not be."""
    return host["rows"] is not None and not any(
        row["status"] == "unreachable" or row["area"] == "host" for row in host["rows"])


def _group_row(kind, what, hosts, addresses):
    names = [join([", " if place else "", element("a", host, href="#" + addresses[host])])
             for place, host in enumerate(hosts[:NAMED])]
    more = " and %d more" % (len(hosts) - NAMED) if len(hosts) > NAMED else ""
    count = "%d hosts: " % len(hosts) if len(hosts) > 1 else ""
    return element("li", badge(*KINDS[kind]), element("div", what, element("small", count, *names, more)))


def _host_row(host, found, address):
    link = element("a", host["name"], href="#" + address)
    hardware = host_line(host["picture"] or "")
    return [join([link, element("small", hardware) if hardware else None]), badge(*state(found)), _needs(found),
            _serves(host["plan"]), _speed(host["benchmarks"])]


def _needs(found):
    """The most urgent of a host's problems, and how many more there are."""
    if not found:
        return ""
    more = len(found) - 1
    return join([found[0]["what"], element("small", found[0]["why"], " (and %d more)" % more if more else "")
                 if more or found[0]["why"] else None])


def _serves(plan):
    counts = {}
    for one in plan["instances"] if plan else ():
        counts[one["service"]] = counts.get(one["service"], 0) + 1
    return ", ".join(name if count == 1 else "%s \N{MULTIPLICATION SIGN} %d" % (name, count)
                     for name, count in counts.items())


def _speed(benchmarks):
    """The first metric of the first run that was judged, of each service as clients see it."""
    before, after = pair(benchmarks)
    runs = [run for run in comparisons(before, after) if not run["why_not"] and run["metrics"]] if after else []
    runs = [run for run in runs if run["level"] != "engine"] or runs
    lines = []
    for service in dict.fromkeys(run["service"] for run in runs):
        run = next(run for run in runs if run["service"] == service)
        name = min(run["metrics"], key=metric_order)
        compared = run["metrics"][name]
        unit = compared["after"]["unit"] or METRICS.get(name, name)
        words = change(compared)
        lines.append(element("div", "%s %s" % (figure(compared["after"]["median"]), unit), element(
            "small", " ".join(filter(None, (service, run["shape"]))), ": " + words if words else "")))
    return join(lines)


def _page(host, address, found, most):
    """The page of one host; most: how many runs of its benchmarks and problems are shown."""
    parts = [element("p", element("a", "\N{LEFTWARDS ARROW} All hosts", href="#hosts"), kind="back"),
             element("h2", host["name"], " ", badge(*state(found)))]
    hardware = host_line(host["picture"] or "")
    parts.append(element("p", hardware, kind="muted") if hardware else None)
    parts += [element("h3", "Needs attention"), _problem_list(found, most)]
    parts += [element("h3", "Plan"), _picture(host), instances_part(host["plan"])]
    parts += [element("h3", "Benchmarks"), benchmarks_part(host["benchmarks"], most)]
    parts += [element("h3", "Models and releases"), models_part(host["plan"], host["rows"])]
    parts += [element("h3", "Settings"), settings_part(host["plan"], host["rows"])]
    parts += [element("h3", "Engines, units, nginx"), others_part(host["plan"], host["rows"]), pairs_part(host["p2p"])]
    return element("section", *parts, id=address, kind="host", tabindex="-1", aria_label=host["name"])


def _problem_list(found, most):
    if not found:
        return element("p", "Nothing: the host is as planned, and the plan has no warnings.")
    more = "and %d more, in the tables below and in the files" % (len(found) - most)
    return join([element("ul", *(element("li", badge(*KINDS[problem["kind"]]), element("div", problem["what"], element(
        "small", problem["why"]) if problem["why"] else None)) for problem in found[:most]), kind="problems"),
        element("p", more, kind="muted") if len(found) > most else None])


def _picture(host):
    drawn = page_picture(host["picture"]) if host["picture"] else None
    if drawn is None:
        return element("p", "There is no picture of the plan%s." % (
            ": plan.svg is none that this collection draws" if host["picture"] else ""), kind="muted")
    return element("div", drawn, kind="scroll", tabindex="0", role="region", aria_label="Picture of the plan")
