"""A plan's picture within a page: what it shows stays, what it should not have does not."""

import re
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.plan_picture import style_sheet
from ansible_collections.inference.host.plugins.module_utils.plan_svg import plan_svg
from ansible_collections.inference.host.plugins.module_utils.report_picture import host_line, page_picture
from hypothesis import given
from hypothesis import strategies as st
from report_fleets import large_host
from report_pages import Page
from test_plan_svg import HOSTS

DRAWN = {name: plan_svg(host, plan, name) for name, (host, plan) in HOSTS.items()}
SHIPPED = (Path(__file__).resolve().parents[4] / "docs/plan.svg").read_text(encoding="utf-8")


def texts(picture, kind=None):
    """Texts without their tooltips."""
    return sorted(" ".join(one["text"].split()) for one in Page(re.sub("<title>[^<]*</title>", "", picture)).all(
        "text", kind))


@pytest.mark.parametrize("name", HOSTS)
def test_every_text_that_can_be_seen_stays(name):
    before, after = DRAWN[name], page_picture(DRAWN[name])
    numbers = [int(text) for text in re.findall(r'<tspan x="[^"]*">([0-9]+)</tspan>', after)]
    assert sorted(numbers) == HOSTS[name][0]["cpus"]["present"]
    others = [one for one in texts(after) if not one.replace(" ", "").isdigit()]
    assert others == [one for one in texts(before) if not one.isdigit()]


@pytest.mark.parametrize("name", HOSTS)
def test_every_box_stays_in_its_colour(name):
    def boxes(picture):
        """Corners of boxes by class; those of round ones begin a radius further right."""
        found = set()
        for box in Page(picture).all("rect"):
            found.add((box["attributes"]["class"], box["attributes"]["y"]))
        for path in Page(picture).all("path"):
            for outline in re.findall(r"M[0-9.]+ ([0-9.]+)h", path["attributes"]["d"]):
                found.add((path["attributes"]["class"], outline))
        return found

    def count(picture):
        paths = [path["attributes"]["d"] for path in Page(picture).all("path")]
        return len(Page(picture).all("rect")) + sum(path.count("z") for path in paths)

    assert boxes(DRAWN[name]) <= boxes(page_picture(DRAWN[name]))
    assert count(DRAWN[name]) == count(page_picture(DRAWN[name]))


def test_efficiency_cores_stay_round_and_others_have_few_letters():
    hybrid = Page(page_picture(DRAWN["hybrid"]))
    frames = [path["attributes"]["d"] for path in hybrid.all("path", "core")]
    assert ["q" in path for path in frames] == [True] and frames[0].count("q") == 4 * 16
    assert "q" not in page_picture(DRAWN["2 x 64 cores"])


def test_it_is_small():
    host, plan = large_host(1)
    drawn = plan_svg(host, plan, "h1")
    assert len(page_picture(drawn)) < 16500 < len(drawn) / 2
    assert len(page_picture(SHIPPED)) < len(SHIPPED) / 2


def test_the_page_has_the_style_sheet_once():
    assert "<style" in DRAWN["hybrid"] and style_sheet() and "style" not in page_picture(DRAWN["hybrid"])


def test_a_page_says_what_the_host_is():
    assert host_line(SHIPPED) == "Intel(R) Xeon(R) Platinum 8458P · 2 NUMA nodes · 88 cores · 176 CPUs · 503 GiB"
    assert host_line("") == "" and host_line("<desc>a <b> Where </desc>") == ""


@pytest.mark.parametrize("text", [
    "", "no picture", "\ud800", "<svg/>", "<svg xmlns='http://www.w3.org/2000/svg'/>", "<html></html>", SHIPPED[:-20],
    SHIPPED.replace("<svg ", "<!DOCTYPE svg [<!ENTITY a 'b'>]><svg ", 1), "<?xml version='1.0'?>" + SHIPPED,
    SHIPPED.replace("<defs>", "<!-- x --><defs>"), SHIPPED.replace('viewBox="0 0', 'viewBox="url(x) 0')])
def test_something_else_is_no_picture(text):
    assert page_picture(text) is None


HOSTILE = ["<script>alert(1)</script>", "<image href='https://example.org/x.png'/>",
           "<foreignObject><p>x</p></foreignObject>", "<a href='javascript:alert(1)'><text>x</text></a>",
           "<rect onload='alert(1)' x='1'/>",
           "<rect style='fill:url(https://example.org/x)'/>", "<use href='https://example.org/x#y'/>",
           "<set attributeName='href' to='javascript:alert(1)'/>", "<style>@import url(https://example.org)</style>",
           "<rect fill='url(https://example.org/x)'/>", "<pattern id='hosts'/>", "<animate onbegin='alert(1)'/>",
           "<text class='cpu ink' onclick='alert(1)'>1</text>"]


@pytest.mark.parametrize("part", HOSTILE)
@pytest.mark.parametrize("place", ["<defs>", "<g>"])
def test_what_a_picture_does_not_have_is_left_out(part, place):
    after = page_picture(SHIPPED.replace(place, part + place if place == "<defs>" else place + part, 1))
    for bad in ("script", "alert", "example.org", "onload", "onclick", "style", "href", "image", "foreign", "hosts",
                "<set"):
        assert bad not in after


def test_depth_has_an_end():
    deep = SHIPPED.replace("<defs>", "<g>" * 3000 + "</g>" * 3000 + "<defs>", 1)
    assert page_picture(deep).count("<g>") < 50


@given(st.text(), st.sampled_from(["class", "d", "id", "fill", "viewBox"]))
def test_a_strange_value_of_an_attribute_is_left_out(value, name):
    for letter, stands in (("&", "&amp;"), ("<", "&lt;"), ('"', "&quot;")):
        value = value.replace(letter, stands)
    after = page_picture(SHIPPED.replace('<rect class="page"', '<rect %s="%s" x2=""' % (name, value), 1))
    if after is not None:
        (box,) = [one for one in Page(after).all("rect") if one["attributes"].get("height") == "638"]
        assert set(box["attributes"]) <= {name.lower(), "x", "y", "width", "height", "rx"}
        assert not re.search("[<>&:;()]", "".join(box["attributes"].values()))
