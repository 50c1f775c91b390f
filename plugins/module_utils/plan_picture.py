# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""How single things look in a plan's picture: colours, style sheet, texts, and the boxes of CPUs.

Elements are made with xml.etree, which escapes; `clean` takes away what XML cannot hold.
"""

from __future__ import annotations

import unicodedata
import zlib
from xml.etree import ElementTree

from ansible_collections.inference.host.plugins.module_utils.plan_layout import MARGIN, SMALL, WIDTH, text_width

THEMES = {
    "light": {
        "page": "#ffffff", "panel": "#f6f8fa", "line": "#d0d7de", "edge": "#8c959f", "text": "#1f2328",
        "muted": "#57606a", "ink": "#1f2328", "kept": "#d8dee4", "hatch": "#b6bfc8",
        "instances": ["#57a9ef", "#eecd7d", "#6bae6d", "#d78899", "#addffb", "#ac9bc3", "#c9e2af", "#61e6cf"],
    },
    "dark": {
        "page": "#0d1117", "panel": "#161b22", "line": "#3d444d", "edge": "#6e7781", "text": "#e6edf3",
        "muted": "#9aa4af", "ink": "#0d1117", "kept": "#343b44", "hatch": "#525c68",
        "instances": ["#5097d4", "#d4b670", "#609b62", "#bf7a89", "#9ac6df", "#998aae", "#b3c99c", "#58ccb8"],
    },
}
"""Colours by use. `ink` is text on the colours of instances. Those were searched for: quiet, light enough for dark
text, and any two of them far apart in CIE Lab, also for eyes that lack one kind of cones (see the tests)."""

COLOURS = len(THEMES["light"]["instances"])
IDLE_PART = 0.3
"""How much of an instance's colour an idle SMT sibling has; the rest is the panel's."""

MARKS = ((), ("lower",), ("upper",), ("lower", "upper"))
"""Edges that tell instances of one colour apart: those of the first round have none, those of the second one below."""

FONTS = "system-ui,-apple-system,Segoe UI,Roboto,DejaVu Sans,Noto Sans,sans-serif"
SHAPES = """
.inference-plan{max-width:960px;font-family:%s}
.inference-plan text{font-size:12px}
.inference-plan .host{font-size:20px;font-weight:600}
.inference-plan .strong{font-size:14px;font-weight:600}
.inference-plan .tiny{font-size:11px}
.inference-plan .cpu{font-size:9px;text-anchor:middle}
.inference-plan .long{font-size:7px}
.inference-plan .end{text-anchor:end}
.inference-plan .core{fill:none}
.inference-plan .dashed,.inference-plan .barred,.inference-plan .offline{stroke-dasharray:3 2}
""" % FONTS


def style_sheet():
    """Return the style sheet: light colours, and dark ones for screens that ask for them (prints stay light)."""
    return "%s%s\n@media screen and (prefers-color-scheme:dark){\n%s\n}\n" % (
        SHAPES, "\n".join(colour_rules(THEMES["light"])), "\n".join(colour_rules(THEMES["dark"])))


def colour_rules(theme):
    """Return the rules of one theme, the same ones for each, each below the picture's own class."""
    rules = [("page", "fill:%(page)s"), ("panel", "fill:%(panel)s;stroke:%(line)s"),
             ("core", "stroke:%(line)s"), ("line", "stroke:%(line)s"), ("mark", "fill:%(ink)s"),
             ("spare", "fill:%(page)s;stroke:%(line)s"), ("device", "fill:%(page)s;stroke:%(edge)s"),
             ("kept", "fill:%(kept)s"), ("hatch", "fill:none;stroke:%(hatch)s;stroke-width:1.5"),
             ("barred", "fill:%(panel)s;stroke:%(edge)s"), ("offline", "fill:%(panel)s;stroke:%(edge)s"),
             ("struck", "stroke:%(line)s;stroke-width:1.5")]
    rules += [("%s" % name, "fill:%%(%s)s" % name) for name in ("text", "muted", "ink")]
    answer = [".inference-plan .%s{%s}" % (name, rule % theme) for name, rule in rules]
    for number, colour in enumerate(theme["instances"]):
        answer.append(".inference-plan .i%d{fill:%s}" % (number, colour))
        answer.append(".inference-plan .d%d{fill:%s}" % (number, mix(colour, theme["panel"], IDLE_PART)))
    return answer


def mix(colour, ground, part):
    """Return `part` of a colour, and of the ground what is left: both, and the answer, as #rrggbb."""
    pairs = [(int(colour[at:at + 2], 16), int(ground[at:at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join("%02x" % round(one * part + other * (1 - part)) for one, other in pairs)


def clean(text):
    """Return a text on one line, without control, formatting and unassigned characters, which XML or a page's writing
    direction could not bear."""
    letters = ("\N{REPLACEMENT CHARACTER}" if unicodedata.category(letter)[0] == "C" else letter
               for letter in " ".join(str(text).split()))
    return "".join(letters)


def fit(text, room, size):
    """Return the text, or as much of it as there is room for, with an ellipsis."""
    if text_width(text, size) <= room:
        return text
    left = room - text_width("\N{HORIZONTAL ELLIPSIS}", size)
    kept = 0
    while kept < len(text) and text_width(text[kept], size) <= left:
        left -= text_width(text[kept], size)
        kept += 1
    return text[:kept].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def number(value):
    """Return a coordinate as short as can be."""
    return "%g" % round(value, 1)


def add(parent, tag, text=None, **attributes):
    """Add an element and return it; the argument `kind` is its class."""
    named = {("class" if name == "kind" else name): str(value) for name, value in attributes.items()}
    element = ElementTree.SubElement(parent, tag, named)
    element.text = text
    return element


def add_box(parent, where, kind, radius=0):
    """Add a rectangle in one of the style sheet's classes and return it."""
    x, y, width, height = map(number, where)
    return add(parent, "rect", kind=kind, x=x, y=y, width=width, height=height, rx=radius)


def add_text(parent, x, y, text, kind="text", room=None, size=SMALL):
    """Add a text at its base line; one that is longer than its room is cut, and whole in a tooltip."""
    text = clean(text)
    shown = fit(text, room, size) if room else text
    element = add(parent, "text", shown, x=number(x), y=number(y), kind=kind)
    if shown != text:
        add(element, "title", text)
    return element


def add_colour(parent, instance, where, radius=3):
    """Add a box in an instance's colour, with the marks that tell it from others of that colour."""
    add_box(parent, where, "i%d" % (instance % COLOURS), radius)
    x, y, width, height = where
    for edge in MARKS[instance // COLOURS % len(MARKS)] if width > 6 else ():
        add_box(parent, (x + 3, y + height - 3 if edge == "lower" else y + 1.5, width - 6, 1.5), "mark")


class Picture:
    """One document: its root, and what refers to something in it."""

    def __init__(self, height, title, subtitle, description):
        self.root = ElementTree.Element("svg", {
            "xmlns": "http://www.w3.org/2000/svg", "viewBox": "0 0 %d %d" % (WIDTH, height), "width": "100%",
            "class": "inference-plan", "role": "img"})
        add(self.root, "title", clean(title))
        add(self.root, "desc", clean(description))
        add(self.root, "style", style_sheet())
        # Several pictures may stand in one page, where ids are shared.
        self.hatch = "hatch-%08x" % zlib.crc32((title + description).encode("utf-8", "replace"))
        pattern = add(add(self.root, "defs"), "pattern", id=self.hatch, width=6, height=6,
                      patternUnits="userSpaceOnUse")
        add(pattern, "path", kind="hatch", d="M-1 1l2-2M0 6l6-6M5 7l2-2")
        add_box(self.root, (0, 0, WIDTH, height), "page")
        # Measured larger than it is: bold letters are wider.
        add_text(self.root, MARGIN, MARGIN + 20, title, "text host", WIDTH - 2 * MARGIN, 23)
        add_text(self.root, MARGIN, MARGIN + 42, subtitle, "muted", WIDTH - 2 * MARGIN)

    def add_cpu(self, parent, state, instance, where, radius=3):
        """Add the box of a CPU in its state (see cpu_states)."""
        if state == "busy":
            add_colour(parent, instance, where, radius)
            return
        add_box(parent, where, "d%d" % (instance % COLOURS) if state == "idle" else state, radius)
        if state == "kept":
            add_box(parent, where, "hatched", radius).set("fill", "url(#%s)" % self.hatch)
        if state == "offline":
            x, y, width, height = where
            add(parent, "path", kind="struck", d="M%s %sL%s %s" % tuple(map(number, (x, y + height, x + width, y))))

    def text(self):
        """Return the document."""
        return ElementTree.tostring(self.root, encoding="unicode") + "\n"
