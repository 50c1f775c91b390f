"""How a report looks: what can be told of that without eyes."""

import re

import pytest
from ansible_collections.inference.host.plugins.module_utils.plan_picture import style_sheet
from ansible_collections.inference.host.plugins.module_utils.report_page import fleet_report
from ansible_collections.inference.host.plugins.module_utils.report_style import THEMES, report_style
from report_fleets import large_fleet
from report_pages import Page


def luminance(colour):
    """WCAG 2's relative luminance of #rrggbb."""
    parts = [int(colour[at:at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("ground", ["page", "panel"])
def test_texts_stand_out_as_wcag_aa_asks(theme, ground):
    colours = THEMES[theme]
    assert {name: round(contrast(colours[name], colours[ground]), 1)
            for name in ("text", "muted", "accent", "bad", "warn", "good")
            if contrast(colours[name], colours[ground]) < 4.5} == {}


@pytest.mark.parametrize("theme", THEMES)
def test_bars_stand_out_from_the_page_and_from_each_other(theme):
    colours = THEMES[theme]
    assert contrast(colours["before"], colours["page"]) >= 3 and contrast(colours["accent"], colours["page"]) >= 3
    assert contrast(colours["before"], colours["accent"]) >= 1.5


def test_nothing_in_it_comes_from_elsewhere():
    assert not re.search(r"url\(|@import|https?:|expression|<", report_style())


def test_it_has_both_themes_paper_and_the_pictures():
    sheet = report_style()
    parts = ("prefers-color-scheme:dark", "@media print", "max-width:700px", style_sheet())
    assert [part for part in parts if part not in sheet] == []
    assert sheet.count("{") == sheet.count("}")


def test_every_class_of_a_page_is_in_the_sheet():
    page = Page(fleet_report(large_fleet(2)))
    used = {kind for element in page.elements for kind in (element["attributes"].get("class") or "").split()}
    known = set(re.findall(r"\.([a-z][a-z0-9-]*)", report_style()))
    # Of the pictures: what is drawn as it is, and is only named for whoever reads them.
    assert used - known == {"hatched"}
