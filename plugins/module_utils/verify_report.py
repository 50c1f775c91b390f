# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rows of a fleet (verify_rows.py) as a report: for programs, as tables for a terminal, and as JUnit XML."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.p2p_report import p2p_table
from ansible_collections.inference.host.plugins.module_utils.plan_table import table
from ansible_collections.inference.host.plugins.module_utils.verify_rows import STATUSES, clean

WORST_FIRST = ("unreachable", "refused", "drift", "partial", "ok")
"""What a host can come to. One whose rows are all ok or not applicable is ok."""

COLUMNS = ("host", "area", "setting", "wanted", "found", "persisted", "status", "note")
SHOWS = ("problems", "all")
CELL = 72
"""Characters of a cell in the tables, the last column's aside; what is longer is cut."""
MANY = 4
"""More rows than this that differ only in a number are shown as one."""

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def verify_report(rows, hosts=(), pairs=()):
    """Return {"outcome", "hosts": [{"host", "outcome", "counts": {status: number}, "rows"}]}, hosts by name.

    hosts: all hosts that were asked; one of them without a row was not read. A fleet is as bad as its worst host.
    pairs: {"host", "pairs": of p2p_pairs}, one a host; a host with pairs of GPUs gets them as "p2p".
    """
    of_host = {host: [] for host in hosts}
    for row in rows:
        of_host.setdefault(row["host"], []).append(row)
    parts = [_host_part(host, of_host[host] or [_not_read(host)]) for host in sorted(of_host)]
    found = {one["host"]: [_clean_pair(pair) for pair in one["pairs"]] for one in pairs}
    for part in parts:
        if found.get(part["host"]):
            part["p2p"] = found[part["host"]]
    return {"outcome": _worst(part["outcome"] for part in parts), "hosts": parts}


def _not_read(host):
    return {"host": host, "area": "host", "setting": "reading the host", "wanted": "can be read and planned",
            "found": "-", "persisted": "-", "status": "refused", "note": "its run ended before it was read"}


def _clean_pair(pair):
    """Words of a pair come from the tool of the host."""
    return {key: [clean(text) for text in value] if isinstance(value, list) else value and clean(value)
            for key, value in pair.items()}


def _host_part(host, rows):
    counts = {status: sum(row["status"] == status for row in rows) for status in STATUSES}
    return {"host": host, "outcome": _worst(row["status"] for row in rows), "counts": counts, "rows": rows}


def _worst(outcomes):
    found = set(outcomes)
    return next((outcome for outcome in WORST_FIRST if outcome in found), "ok")


def verify_table(report, show="problems"):
    """Return the report as text: the hosts, the worst first, then what needs a person, or all rows, then P2P.

    Raises PlanError when `show` is neither problems nor all.
    """
    if show not in SHOWS:
        raise PlanError("show is '%s'; it must be one of %s." % (show, ", ".join(SHOWS)))
    parts = sorted(report["hosts"], key=lambda part: WORST_FIRST.index(part["outcome"]))
    lines = table([heading.upper() for heading in ("host", "outcome", *STATUSES)],
                  [[part["host"], part["outcome"], *(part["counts"][status] for status in STATUSES)]
                   for part in parts])
    rows = [row for part in parts for row in part["rows"] if show == "all" or needs_person(row)]
    if rows:
        lines += [""] + table([column.upper() for column in COLUMNS], _folded(rows))
    for part in parts:
        if part.get("p2p"):
            lines += ["", "P2P between the GPUs of %s:" % part["host"]] + p2p_table(part["p2p"])
    wrong = [part["host"] for part in parts if part["outcome"] != "ok"]
    if wrong:
        return "\n".join(lines + ["", "not as planned: %d of %d hosts (%s)" % (
            len(wrong), len(parts), ", ".join(wrong))])
    return "\n".join(lines + ["", "as planned: %s" % ("the host" if len(parts) == 1 else "all %d hosts" % len(parts))])


def needs_person(row):
    """Tell whether somebody has to look at the row."""
    return row["status"] not in ("ok", "not_applicable")


def fold(rows):
    """Return [(row, more)]: many rows that differ only in the setting's numbers, as a governor on each CPU, become one.

    more: how many rows a row stands for besides itself.
    """
    groups = {}
    for row in rows:
        groups.setdefault(_likeness(row), []).append(row)
    answer = []
    for row in rows:
        group = groups[_likeness(row)]
        if len(group) <= MANY or row is group[0]:
            answer.append((row, len(group) - 1 if len(group) > MANY else 0))
    return answer


def _folded(rows):
    """Return the cells of the rows, folded."""
    return [[_cut(row[column]) + (" (and %d more)" % more if more and column == "setting" else "")
             for column in COLUMNS[:-1]] + [row[COLUMNS[-1]]] for row, more in fold(rows)]


def _likeness(row):
    """What rows have in common that are shown as one: all but the numbers in the setting's name."""
    return tuple(re.sub(r"[0-9]+", "0", row[column]) if column == "setting" else row[column] for column in COLUMNS)


def _cut(text):
    return text if len(text) <= CELL else text[:CELL - 1] + "…"


def junit(report):
    """Return the report as the text of a JUnit XML document: a test suite a host, a test case a row.

    The elements and attributes are those that Jenkins and GitLab read (junit-10.xsd of Jenkins' xUnit plugin).
    """
    root = ElementTree.Element("testsuites", name="inference.host")
    for part in report["hosts"]:
        counts = part["counts"]
        suite = ElementTree.SubElement(root, "testsuite", {
            "name": _xml(part["host"]), "tests": str(len(part["rows"])), "time": "0",
            "failures": str(sum(counts[status] for status in ("drift", "partial", "refused"))),
            "errors": str(counts["unreachable"]), "skipped": str(counts["not_applicable"])})
        for row in part["rows"]:
            _test_case(suite, row)
    for key in ("tests", "failures", "errors"):
        root.set(key, str(sum(int(suite.get(key)) for suite in root)))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n%s\n' % ElementTree.tostring(root, encoding="unicode")


def _test_case(suite, row):
    case = ElementTree.SubElement(suite, "testcase", {
        "classname": _xml("%s.%s" % (row["host"], row["area"])), "name": _xml(row["setting"]), "time": "0"})
    if row["status"] == "not_applicable":
        ElementTree.SubElement(case, "skipped", message=_xml(row["note"]))
    elif needs_person(row):
        kind = "error" if row["status"] == "unreachable" else "failure"
        says = "wanted %s, found %s" % (row["wanted"], row["found"])
        said = ElementTree.SubElement(case, kind, type=row["status"], message=_xml(says))
        said.text = _xml("%s; persisted: %s; %s" % (says, row["persisted"], row["note"]))


def _xml(text):
    """Replace what XML 1.0 cannot hold; what it can is escaped by ElementTree."""
    return _NO_XML.sub("\ufffd", text)
