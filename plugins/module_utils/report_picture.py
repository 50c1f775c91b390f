# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan's picture (plan_svg.py) as a part of a page: only what such a picture has, drawn with far fewer elements.

The picture comes from a file, so it is taken apart and put together again: what is not known here is left out. The
boxes of CPUs, hundreds of them, become one path for each colour; their tooltips, which tell what colour and frame show
as well, stay in the file.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from ansible_collections.inference.host.plugins.module_utils.plan_picture import number
from ansible_collections.inference.host.plugins.module_utils.report_html import Html, element

SVG = "{http://www.w3.org/2000/svg}"
KEPT = ("g", "rect", "path", "text", "tspan", "title", "desc", "defs", "pattern")
DEEPEST = 8
"""Elements within each other; such a picture has five."""
ROUND = 8
"""Radius of the corners of less capable cores and of their CPUs; others have less."""

_NUMBER = "-?[0-9]{1,6}([.][0-9]{1,4})?"
_TAKEN = {name: re.compile(_NUMBER) for name in ("x", "y", "dx", "rx")}
_TAKEN.update({name: re.compile(_NUMBER + "%?") for name in ("width", "height")})
_TAKEN.update({
    "class": re.compile("[a-z0-9 -]{0,40}"), "d": re.compile("[MLHVAZmlhvaz0-9 ,.-]{0,400}"),
    "viewBox": re.compile("0 0 [0-9]{1,5} [0-9]{1,6}([.][0-9]+)?"), "id": re.compile("hatch-[0-9a-f]{8}"),
    "fill": re.compile("url[(]#hatch-[0-9a-f]{8}[)]"), "patternUnits": re.compile("userSpaceOnUse")})
"""What an attribute of such a picture can be."""


def page_picture(text):
    """Return the picture as markup, without its style sheet, which the page has once; None for anything else."""
    # Such a picture has no declarations, and they could make a small text a large one.
    if "<!" in text or "<?" in text:
        return None
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError):
        return None
    if root.tag != SVG + "svg" or "viewBox" not in _attributes(root):
        return None
    attributes = dict(_attributes(root), kind="inference-plan", role="img", width="100%")
    attributes.pop("class", None)
    return element("svg", *(_drawn(child, 1) for child in root), **attributes)


def host_line(text):
    """Return what the picture says that the host is, in one line, or an empty text."""
    found = re.search(r"<desc>([^<&]{1,400})[.] Where ", text)
    return found.group(1) if found else ""


def _attributes(node):
    return {name: value for name, value in node.attrib.items() if name in _TAKEN and _TAKEN[name].fullmatch(value)}


def _drawn(node, depth):
    name = str(node.tag).replace(SVG, "")
    if name not in KEPT or depth > DEEPEST:
        return Html("")
    children = _merged(list(node)) if name == "g" else list(node)
    parts = [node.text if name in ("text", "tspan", "title", "desc") else None]
    for child in children:
        parts.append(child if isinstance(child, Html) else _drawn(child, depth + 1))
        if name == "text" and not isinstance(child, Html):
            parts.append(child.tail)
    return element(name, *parts, **_attributes(node))


def _is_cpu(node):
    """Tell whether a group is a CPU's: a tooltip, boxes, a number."""
    texts = node.findall(SVG + "text")
    return node.tag == SVG + "g" and len(texts) == 1 and (texts[0].get("class") or "").startswith("cpu ")


def _merged(children):
    """Return the children of a panel with CPUs and frames of cores drawn at once, in the first one's place."""
    cpus = [child for child in children if _is_cpu(child)]
    frames = [child for child in children if child.tag == SVG + "rect" and child.get("class") == "core"]
    if not cpus:
        return children
    shapes, numbers = {}, {}
    for shape in frames + [shape for cpu in cpus for shape in cpu]:
        known = _attributes(shape)
        if shape.tag == SVG + "text":
            words = element("tspan", shape.text, x=known.get("x"))
            numbers.setdefault((known.get("class"), known.get("y")), []).append(words)
        elif shape.tag in (SVG + "rect", SVG + "path"):
            outline = known.get("d", "") if shape.tag == SVG + "path" else _outline(known)
            shapes.setdefault((known.get("class"), known.get("fill")), []).append(outline)
    drawn = [element("path", kind=kind, fill=fill, d="".join(outlines)) for (kind, fill), outlines in shapes.items()]
    drawn += [element("text", *words, kind=kind, y=y) for (kind, y), words in numbers.items()]
    merged = set(map(id, cpus + frames))
    place = next(place for place, child in enumerate(children) if id(child) in merged)
    others = [child for child in children if id(child) not in merged]
    return others[:place] + drawn + others[place:]


def _outline(box):
    """Return a box as a part of a path. Its corners are round only where that tells something: less capable cores."""
    x, y, width, height, radius = (float(box.get(name, "0").rstrip("%"))
                                   for name in ("x", "y", "width", "height", "rx"))
    r = min(radius, width / 2, height / 2) if radius >= ROUND else 0
    start, across, down = "M%s %s" % (number(x + r), number(y)), number(width - 2 * r), number(height - 2 * r)
    if not r:
        return "%sh%sv%sh-%sz" % (start, across, down, across)
    turns = tuple("q" + " ".join(number(r * part) for part in turn) for turn in (
        (1, 0, 1, 1), (0, 1, -1, 1), (-1, 0, -1, -1), (0, -1, 1, -1)))
    return "%sh%s%sv%s%sh-%s%sv-%s%sz" % (start, across, turns[0], down, turns[1], across, turns[2], down, turns[3])
