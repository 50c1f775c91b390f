"""Colours and texts of a plan's picture: readable, and told apart, in light and in dark."""

import itertools
import math
import re

import pytest
from ansible_collections.inference.host.plugins.module_utils.plan_layout import text_width
from ansible_collections.inference.host.plugins.module_utils.plan_picture import (
    COLOURS,
    IDLE_PART,
    THEMES,
    clean,
    colour_rules,
    fit,
    mix,
    style_sheet,
)

VISION = {
    # Machado, Oliveira, Fernandes (2009): what eyes without one kind of cones see of linear RGB.
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no long": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "no middle": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "no short": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
WHITE = (0.95047, 1.0, 1.08883)


def times(matrix, vector):
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def linear(colour):
    """Linear RGB of #rrggbb (the sRGB standard)."""
    parts = [int(colour[at:at + 2], 16) / 255 for at in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def contrast(one, other):
    """WCAG 2's contrast ratio."""
    light = sorted(times(XYZ, linear(colour))[1] for colour in (one, other))
    return (light[1] + 0.05) / (light[0] + 0.05)


def lab(rgb):
    parts = [value / white for value, white in zip(times(XYZ, rgb), WHITE, strict=True)]
    x, y, z = (part ** (1 / 3) if part > 216 / 24389 else (24389 / 27 * part + 16) / 116 for part in parts)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def seen(colour, vision):
    return lab([min(1, max(0, part)) for part in times(VISION[vision], linear(colour))])


@pytest.mark.parametrize("name", THEMES)
def test_texts_are_readable(name):
    theme = THEMES[name]
    grounds = {"text": [theme[ground] for ground in ("page", "panel", "kept", "hatch")], "ink": theme["instances"],
               "muted": [theme["page"], theme["panel"]]}
    grounds["text"] += [mix(colour, theme["panel"], IDLE_PART) for colour in theme["instances"]]
    for text, under in grounds.items():
        assert min(contrast(theme[text], ground) for ground in under) >= 4.5, text


@pytest.mark.parametrize("name", THEMES)
@pytest.mark.parametrize("vision", VISION)
def test_instances_are_told_apart_by_colour(name, vision):
    colours = THEMES[name]["instances"]
    assert len(colours) == COLOURS >= 8
    least = min(math.dist(seen(one, vision), seen(other, vision))
                for one, other in itertools.combinations(colours, 2))
    # About 2 is the least that people see; side by side in small boxes it must be many times that.
    assert least >= (25 if vision == "all cones" else 15)


@pytest.mark.parametrize("name", THEMES)
def test_idle_siblings_are_paler_than_threads(name):
    theme = THEMES[name]
    for colour in theme["instances"]:
        idle = mix(colour, theme["panel"], IDLE_PART)
        assert contrast(idle, theme["panel"]) < contrast(colour, theme["panel"])
        assert math.dist(lab(linear(idle)), lab(linear(colour))) >= 12


def test_both_themes_colour_the_same_classes():
    light, dark = ([rule.partition("{")[0] for rule in colour_rules(THEMES[name])] for name in ("light", "dark"))
    assert light == dark and len(set(light)) == len(light)
    before, _media, after = style_sheet().partition("@media screen and (prefers-color-scheme:dark){")
    assert THEMES["light"]["page"] in before and THEMES["dark"]["page"] in after


def test_the_style_reaches_nothing_but_the_picture():
    rules = re.sub(r"@media[^{]*\{", "", style_sheet())
    selectors = [part for rule in re.findall(r"([^{}]+)\{", rules) for part in rule.strip().split(",")]
    assert selectors and all(selector.startswith(".inference-plan") for selector in selectors)


def test_mix():
    assert mix("#ff0000", "#0000ff", 1) == "#ff0000"
    assert mix("#ff0000", "#0000ff", 0) == "#0000ff"
    assert mix("#000000", "#ffffff", 0.5) == "#808080"


@pytest.mark.parametrize(("text", "answer"), [
    ("a \n\t b", "a b"), ("a\x00b\x1b", "a\ufffdb\ufffd"), ("\ud800", "\ufffd"), ("\uffff", "\ufffd"),
    ("gpj\u202egnp", "gpj\ufffdgnp"), (7, "7"), ("\u65e5\u672c", "\u65e5\u672c")])
def test_texts_are_one_line_that_xml_can_hold(text, answer):
    assert clean(text) == answer


def test_a_text_is_cut_to_its_room():
    assert fit("short", 100, 12) == "short"
    cut = fit("a text that is too long", 60, 12)
    assert cut.endswith("\u2026") and text_width(cut, 12) <= 60 and "a text that".startswith(cut[:-1])
    assert fit("anything", 0, 12) == "\u2026"
