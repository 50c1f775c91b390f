# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The settings of a host: what the plan wants and why, what was found, and whether it outlasts a reboot."""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils.report_html import Html, element, join, table
from ansible_collections.inference.host.plugins.module_utils.report_problems import badge
from ansible_collections.inference.host.plugins.module_utils.verify_report import fold, needs_person

COLUMNS = ("Setting", "Wanted", "Found", "Persisted", "Evidence", "State")
LONGEST = 60
"""Characters of a path that is shown whole; of a longer one the end says most."""
SAME = 16
"""Characters of a value that is shown once more where it was found as it was wanted."""


def settings_of(plan, rows):
    """Return [{"role", "label", "more", "wanted", "found", "persisted", "evidence", "reason", "status"}].

    plan: None or of report_inputs; rows: None or those of the comparison. A setting that was not compared has the
    status "not read"; one that only the comparison knows has no evidence.
    """
    plan_settings = plan["settings"] if plan else []
    roles = {setting["role"] for setting in plan_settings}
    of_name = {}
    for row in rows or []:
        if row["area"] in roles:
            of_name.setdefault((row["area"], row["setting"]), []).append(row)
    answer = []
    for setting in plan_settings:
        found = [row for key in _keys(setting, of_name) for row in of_name.pop(key)]
        answer += [_entry(setting, row, more) for row, more in fold(found or [_unread(setting)])]
    # Files and values that the plan does not name, such as those that are to go.
    rest = [row for group in of_name.values() for row in group]
    answer += [_entry({"evidence": "", "reason": ""}, row, more) for row, more in fold(rest)]
    order = [setting["role"] for setting in plan_settings]
    return sorted(answer, key=lambda entry: order.index(entry["role"]))


def _keys(setting, of_name):
    """Return the keys of a setting's rows: of a path with a * all CPUs or disks that it stands for."""
    role, label = setting["role"], setting["label"]
    if "*" not in label:
        return [key for key in ((role, label), (role, setting["name"])) if key in of_name][:1]
    first, *middle, last = map(re.escape, label.split("*"))
    # Without going back (?>), so that a strange name with many * takes no longer than another one.
    pattern = re.compile("%s%s[^/]*%s" % (first, "".join("(?>[^/]*?%s)" % part for part in middle), last))
    return [key for key in of_name if key[0] == role and pattern.fullmatch(key[1])]


def _unread(setting):
    status = "not read" if setting["applies"] else "not_applicable"
    wanted = "a file" if setting["kind"] == "file" else setting["value"]
    return {"host": "", "area": setting["role"], "setting": setting["label"], "wanted": wanted, "found": "",
            "persisted": "", "status": status, "note": setting["why_not"]}


def _entry(setting, row, more):
    applies = row["status"] != "not_applicable"
    why_not = row["note"] if row["note"] not in ("", "-") else "not here"
    return {"role": row["area"], "label": row["setting"], "more": more, "wanted": row["wanted"], "found": row["found"],
            "persisted": row["persisted"], "evidence": setting["evidence"], "status": row["status"],
            "reason": setting["reason"] if applies else why_not}


def settings_part(plan, rows):
    """Return the part of a page with the settings of one host as markup."""
    entries = settings_of(plan, rows)
    if not entries:
        return element("p", "No settings are known: there is no plan of this host, or it has none.", kind="muted")
    here = [entry for entry in entries if entry["status"] != "not_applicable"]
    lines, role = [], None
    for entry in here:
        if entry["role"] != role:
            role = entry["role"]
            lines.append(element("tr", element("th", role, colspan=len(COLUMNS), scope="colgroup"), kind="group"))
        lines.append(_cells(entry))
    parts = [table(COLUMNS, lines, kind="settings")] if lines else []
    elsewhere = [entry for entry in entries if entry["status"] == "not_applicable"]
    if elsewhere:
        words = "%d setting%s not apply to this host" % (len(elsewhere), " does" if len(elsewhere) == 1 else "s do")
        items = [element("li", short(entry["label"]), " \N{EM DASH} ", entry["reason"]) for entry in elsewhere]
        parts.append(element("details", element("summary", words), element("ul", *items)))
    return join(parts)


def _cells(entry):
    name = join([element("span", short(entry["label"]), kind="code"), _more(entry["more"]),
                 element("small", entry["reason"]) if entry["reason"] else None])
    return element("tr", element("th", name, scope="row"), cell("Wanted", entry["wanted"]),
                   cell("Found", found_words(entry)), cell("Persisted", entry["persisted"]),
                   cell("Evidence", entry["evidence"]), cell("State", state_badge(entry)))


def cell(column, value):
    """Return a cell of a table; nothing, or a - of the comparison, is an empty one."""
    if value in ("", "-"):
        return Html("<td></td>")
    return element("td", value, data_label=column)


def found_words(row):
    """Return what was found; a long text that is as it was wanted is not written twice."""
    return "the same" if row["found"] == row["wanted"] and len(row["found"]) > SAME else row["found"]


def _more(more):
    return " and %d more" % more if more else ""


def state_badge(row):
    """Return the state of a compared setting: quiet where nobody has to look."""
    words = {"ok": "ok", "not read": "not read back", "not_applicable": "not here"}
    if not needs_person(row) or row["status"] == "not read":
        return words[row["status"]]
    return badge(row["status"], "bad")


def short(name):
    """Return a name, or the end of a long path from one of its folders on, with its whole in a tooltip."""
    if len(name) <= LONGEST or "/" not in name[-LONGEST:]:
        return name
    end = name[-LONGEST:]
    return element("span", "\N{HORIZONTAL ELLIPSIS}" + end[end.index("/"):], title=name)
