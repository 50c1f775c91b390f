# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Charts of benchmarks: small, drawn at the width of a phone, with every bar from zero."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.plan_layout import text_width
from ansible_collections.inference.host.plugins.module_utils.plan_picture import clean, fit, number
from ansible_collections.inference.host.plugins.module_utils.report_benchmarks import figure
from ansible_collections.inference.host.plugins.module_utils.report_html import element

WIDTH, SIZE = 340, 11
BAR = 10
"""Height of a bar."""
LONGEST_BAR = 270
COURSE_HEIGHT = 84
"""Height in which a course over time is drawn."""


def bars(rows):
    """Return the chart of one metric before and after, or of one measurement alone.

    rows: [{"name", "before": metric or None, "after": metric, "change": words}].
    """
    most = max([metric["high"] for row in rows for metric in (row["before"], row["after"]) if metric] or [0])
    scale = LONGEST_BAR / most if most > 0 else 0
    drawn, texts, y = {"was": "", "now": "", "whisker": ""}, [], 0
    for row in rows:
        change, name = clean(row["change"]), clean(row["name"])
        room = WIDTH - (text_width(change, SIZE) + 14 if change else 0)
        texts.append(element("text", fit(name, room, SIZE), kind="soft", y=y + 11))
        if change:
            texts.append(element("text", change, kind="strong end", x=WIDTH, y=y + 11))
        y += 16
        for key, kind in (("before", "was"), ("after", "now")):
            if row[key]:
                length, low, high = (max(0, row[key][name]) * scale for name in ("median", "low", "high"))
                drawn[kind] += "M0 %sh%sv%sh-%sz" % (y, number(length), BAR, number(length))
                drawn["whisker"] += "M%s %sH%s" % (number(low), y + BAR // 2, number(high))
                # Right of whatever is longer.
                texts.append(element("text", figure(row[key]["median"]), x=number(max(length, high) + 5), y=y + BAR - 1,
                                     kind="soft" if kind == "was" else None))
                y += BAR + 3
        y += 9
    paths = [element("path", kind=kind, d=path) for kind, path in drawn.items() if path]
    return _chart(y, [*paths, element("path", kind="axis", d="M.5 0v%s" % (y - 9)), *texts])


def course(points, labels):
    """Return the chart of one metric over several measurements, which stand one beside the other.

    points: [metric or None], at least two of them; labels: one a measurement.
    """
    most = max(point["high"] for point in points if point)
    scale = COURSE_HEIGHT / most if most > 0 else 0
    step = (WIDTH - 60) / max(1, len(points) - 1)
    known = [(8 + place * step, point) for place, point in enumerate(points) if point]
    base = COURSE_HEIGHT + 14

    def at(x, value):
        return "%s %s" % (number(x), number(base - max(0, value) * scale))

    band = "M" + "L".join([at(x, point["high"]) for x, point in known]
                          + [at(x, point["low"]) for x, point in reversed(known)]) + "z"
    parts = [element("line", kind="axis", x1=0, x2=WIDTH, y1=base + 0.5, y2=base + 0.5),
             element("path", kind="band", d=band),
             element("path", kind="course", d="M" + "L".join(at(x, point["median"]) for x, point in known))]
    for x, point in known:
        y = base - max(0, point["median"]) * scale
        parts.append(element("circle", kind="now", cx=number(x), cy=number(y), r=3.2))
    for kind, (x, point) in (("soft", known[0]), ("strong", known[-1])):
        words = figure(point["median"])
        # Side by side at the end of a long course there is room for the newest alone.
        if kind == "strong" or x + text_width(words, SIZE) < known[-1][0]:
            y = base - max(0, point["high"]) * scale - 5
            parts.append(element("text", words, kind=kind, x=number(x - 8), y=number(max(10, y))))
    room = WIDTH / 2 - 6
    parts.append(element("text", fit(clean(labels[0]), room, SIZE), kind="soft", x=0, y=base + 15))
    parts.append(element("text", fit(clean(labels[-1]), room, SIZE), kind="soft end", x=WIDTH, y=base + 15))
    return _chart(base + 20, parts)


def _chart(height, parts):
    return element("svg", *parts, kind="chart", viewBox="0 0 %d %s" % (WIDTH, number(height)))
