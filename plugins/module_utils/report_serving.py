# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host serves: instances, models with their releases, engines and units, copies between GPUs."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.plan_svg import amount
from ansible_collections.inference.host.plugins.module_utils.report_html import element, join, table
from ansible_collections.inference.host.plugins.module_utils.report_settings import (
    cell,
    found_words,
    short,
    state_badge,
)
from ansible_collections.inference.host.plugins.module_utils.verify_report import fold

NODES = {"bind": "%s", "interleave": "%s, interleaved", "none": "%s, not bound"}
DIGITS = 12
"""Characters of a release's name, which is a checksum, that are shown."""


def instances_part(plan):
    """Return the table of instances with the reasons of their placement."""
    if plan is None:
        return element("p", "There is no plan of this host, so its instances are not known.", kind="muted")
    if not plan["instances"]:
        return element("p", "No services are planned on this host.", kind="muted")
    columns = ("Instance", "Runs", "CPUs", "Threads", "NUMA node", "GPUs", "RAM", "Port")
    rows = []
    for one in plan["instances"]:
        runs = join([one["runtime"], element("small", one["model"]) if one["model"] else None])
        ram = amount(one["host_memory_mib"]) if one["host_memory_mib"] is not None else ""
        node = NODES.get(one["numa_policy"], "%s").replace("%s", one["numa_range"])
        rows.append([one["name"], runs, one["cpu_range"], one["threads"], node, one["gpus"], ram, one["port"]])
    kept = plan["housekeeping"]
    words = "CPUs %s are kept for the system, nginx and interrupts." % kept if kept else "No CPU is kept free."
    return join([table(columns, rows), element("p", words, kind="muted"), _reasons(plan["instances"])])


def _reasons(instances):
    """Why each value is as it is; instances with the same reasons share a list."""
    groups = {}
    for one in instances:
        groups.setdefault(tuple(sorted(one["reasons"].items())), []).append(one["name"])
    items = []
    for reasons, names in groups.items():
        if reasons:
            items.append(element("li", element("b", ", ".join(names)), element("ul", *(
                element("li", "%s: %s" % (key.replace("_", " "), reason)) for key, reason in reasons))))
    return element("details", element("summary", "Why these values"), element("ul", *items)) if items else None


def models_part(plan, rows):
    """Return the table of models: which service has which, and the release that was wanted and found."""
    compared = {row["setting"]: row for row in rows or [] if row["area"] == "model"}
    users = {}
    for one in plan["instances"] if plan else ():
        if one["model"]:
            users.setdefault(one["model"], []).append(one)
    names = sorted(set(users) | set(compared))
    if not names:
        return element("p", "No models are known of this host.", kind="muted")
    lines = []
    for name in names:
        row, services = compared.get(name), sorted({one["service"] for one in users.get(name, ())})
        files = sorted({one["model_file"] for one in users.get(name, ()) if one["model_file"]})
        title = join([name, *(element("small", short(file)) for file in files)])
        state = join([state_badge(row), element("small", row["note"]) if row["note"] not in ("", "-") else None]) \
            if row else element("span", "not read back", kind="muted")
        lines.append(element("tr", element("th", title, scope="row"), cell("Services", ", ".join(services)),
                             *(cell(column, _release(row, key)) for column, key in (
                                 ("Release", "wanted"), ("Found", "found"))), element("td", state, data_label="State")))
    return table(("Model", "Services", "Release", "Found", "State"), lines)


def _release(row, key):
    value = row[key] if row else ""
    plain = len(value) > DIGITS and value.isalnum()
    return element("span", value[:DIGITS], title=value, kind="code") if plain else value


def others_part(plan, rows):
    """Return the table of what was compared besides settings and models: engines, units, processes, nginx, GPUs."""
    roles = {setting["role"] for setting in plan["settings"]} if plan else set()
    mine = [row for row in rows or [] if row["area"] not in roles and row["area"] != "model"]
    if not mine:
        return element("p", "Nothing else was read back.", kind="muted")
    lines, area, columns = [], None, ("What", "Wanted", "Found", "State")
    for row, more in fold(sorted(mine, key=lambda row: row["area"])):
        if row["area"] != area:
            area = row["area"]
            lines.append(element("tr", element("th", area, colspan=len(columns), scope="colgroup"), kind="group"))
        name = join([short(row["setting"]), " and %d more" % more if more else None,
                     element("small", row["note"]) if row["note"] not in ("", "-") else None])
        lines.append(element("tr", element("th", name, scope="row"), cell("Wanted", row["wanted"]),
                             cell("Found", found_words(row)), element("td", state_badge(row), data_label="State")))
    return table(columns, lines, kind="settings")


def pairs_part(pairs):
    """Return the table of copies between GPUs, or None for a host without two of them."""
    if not pairs:
        return None
    rows = [[pair["gpus"], join([pair["path"], " (%s)" % pair["link"] if pair["link"] else None]), pair["driver_says"],
             pair["verdict"].replace("_", " "), pair["reason"]] for pair in pairs]
    return join([element("h3", "Copies between GPUs"),
                 table(("GPUs", "Path", "Driver says", "Verdict", "Reason"), rows)])
