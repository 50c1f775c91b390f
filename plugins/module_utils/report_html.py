# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one place where a report's HTML is made and escaped.

A text of a host becomes part of a page only as a child or an attribute's value of `element`, which escapes both. What
is of class Html is markup that was made here. No attribute that a browser runs, or loads something for, can be set.
"""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils import plan_picture

SHAPES = ("rect", "path", "line", "circle")
"""Elements of SVG that are empty here, and may end at once."""

PLAIN = frozenset((
    "class", "id", "title", "role", "scope", "tabindex", "lang", "colspan", "viewBox", "width", "height", "x", "y",
    "x1", "y1", "x2", "y2", "dx", "rx", "r", "cx", "cy", "d", "patternUnits"))
"""Attributes whose value is only shown, or only drawn."""

REFERENCE = re.compile("url[(]#[a-z0-9-]+[)]")
ANCHOR = re.compile("#[a-z0-9-]+")


class Html(str):
    """Markup that `element` made, or a constant of this collection; it is not escaped again."""


def clean(text):
    """Return a text on one line without characters that steer the page's writing direction (see plan_picture.py)."""
    words = " ".join(str(text).split())
    return words if words.isprintable() else plan_picture.clean(words)


def escape(text):
    """Return a text as markup that shows it, also as an attribute's value."""
    for letter, stands in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        text = text.replace(letter, stands)
    return text


def markup(child):
    """Return a child as markup: Html as it is, None as nothing, everything else as text."""
    if isinstance(child, Html):
        return child
    if child is None:
        return ""
    words = clean(child)
    # A blank at an end keeps the words apart from what stands beside them.
    before, after = (" " if end.isspace() else "" for end in (str(child)[:1], str(child)[-1:]))
    return before + escape(words) + after if words else before


def join(children):
    """Return several children, one after the other."""
    return Html("".join(map(markup, children)))


def element(name, *children, **attributes):
    """Return an element as markup. An attribute whose value is None is left out.

    In the names of attributes `_` stands for `-`; `kind` is the class. Raises ValueError for an attribute that could
    run or load something, which would be a mistake of the caller.
    """
    words = [name]
    for key, value in attributes.items():
        key = {"kind": "class"}.get(key, key.replace("_", "-"))
        if value is not None:
            words.append('%s="%s"' % (key, _value(key, clean(value))))
    if name in SHAPES:
        return Html("<%s/>" % " ".join(words))
    return Html("<%s>%s</%s>" % (" ".join(words), "".join(map(markup, children)), name))


def _value(key, value):
    safe = key in PLAIN or key.startswith(("aria-", "data-"))
    if key == "fill":
        safe = REFERENCE.fullmatch(value)
    if key == "href":
        safe = ANCHOR.fullmatch(value)
    if not safe:
        raise ValueError("The attribute %s cannot be set to '%s' in a report." % (key, value))
    return escape(value)


def slugs(names):
    """Return {name: a text of letters, digits and hyphens that is the name's own}, for addresses within a page."""
    taken, answer = set(), {}
    for name in names:
        slug = plain = "host-" + (re.sub("[^a-z0-9]+", "-", str(name).lower()).strip("-") or "unnamed")
        number = 1
        while slug in taken:
            number += 1
            slug = "%s-%d" % (plain, number)
        taken.add(slug)
        answer[name] = slug
    return answer


def table(columns, rows, kind=None, caption=None):
    """Return a table that becomes a list of cards on a phone.

    columns: headings; each cell repeats its own for that. rows: lists of cells, or one Html for a whole row. The first
    cell of a row is its heading. An empty cell is not shown on a phone.
    """
    head = element("tr", *(element("th", column, scope="col") for column in columns))
    body = [row if isinstance(row, Html) else _row(columns, row) for row in rows]
    return element("div", element("table", element("caption", caption) if caption else None, element("thead", head),
                                  element("tbody", *body), kind=kind), kind="wide")


def _row(columns, cells):
    parts = [element("th", cells[0], scope="row")]
    for column, cell in zip(columns[1:], cells[1:]):
        parts.append(element("td", cell, data_label=column) if markup(cell) else Html("<td></td>"))
    return element("tr", *parts)
