"""The place where a report's HTML is made: everything is escaped, and nothing that runs or loads can be set."""

import html

import pytest
from ansible_collections.inference.host.plugins.module_utils.report_html import Html, element, join, slugs, table
from hypothesis import given
from hypothesis import strategies as st
from report_pages import Page


@given(st.text(), st.text())
def test_any_text_and_any_attribute_come_back_as_they_were(text, title):
    page = Page(element("p", text, title=title))
    (shown,) = page.elements
    assert (shown["name"], set(shown["attributes"])) == ("p", {"title"})
    assert "<" not in html.escape(shown["text"], quote=False) or "<" not in text
    # Clean texts stay; others lose what steers a terminal or the writing direction.
    if text.isprintable() and text == " ".join(text.split()):
        assert shown["text"] == text
    if title.isprintable() and title == " ".join(title.split()):
        assert shown["attributes"]["title"] == title


def test_markup_is_text_unless_it_was_made_here():
    assert element("p", "<b>x</b>") == "<p>&lt;b&gt;x&lt;/b&gt;</p>"
    assert element("p", element("b", "x & y"), None, " z") == "<p><b>x &amp; y</b> z</p>"
    assert join(["<", Html("<br>")]) == "&lt;<br>"


def test_a_blank_at_an_end_stays_and_lines_become_one():
    assert element("p", "a", " and\n\tb ", "c") == "<p>a and b c</p>"
    assert element("p", "  ") == "<p> </p>"


@pytest.mark.parametrize("letter", ["\u202e", "\x00", "\x1b", "\u2066", "\ud800"])
def test_characters_that_steer_are_replaced(letter):
    assert element("p", "a%sb" % letter) == "<p>a\ufffdb</p>"


@pytest.mark.parametrize(("name", "value"), [
    ("onclick", "x"), ("style", "color:red"), ("src", "/x"), ("srcdoc", "x"), ("href", "https://example.org/"),
    ("href", "javascript:alert(1)"), ("href", "#a b"), ("href", "//x"), ("fill", "url(https://example.org)"),
    ("action", "/"), ("xlink:href", "#a")])
def test_what_runs_or_loads_cannot_be_set(name, value):
    with pytest.raises(ValueError, match="cannot be set"):
        element("a", **{name: value})


def test_attributes_have_the_names_of_html_and_none_is_left_out():
    assert element("td", data_label="a", kind="b", title=None) == '<td data-label="a" class="b"></td>'
    assert element("path", d="M0 0") == '<path d="M0 0"/>'


@given(st.lists(st.text(max_size=8), unique=True, max_size=20))
def test_each_host_has_an_address_of_its_own(names):
    addresses = slugs(names)
    assert list(addresses) == names and len(set(addresses.values())) == len(names)
    assert all(Page(element("a", href="#" + address)).elements for address in addresses.values())


def test_addresses_can_be_read():
    assert slugs(["gpu1.example.org", "GPU1-example.org", "ü"]) == {
        "gpu1.example.org": "host-gpu1-example-org", "GPU1-example.org": "host-gpu1-example-org-2",
        "ü": "host-unnamed"}


def test_cells_say_their_column_and_empty_ones_do_not():
    page = Page(table(("Host", "State", "Why"), [["gpu1", "ok", ""]]))
    assert page.texts("th") == ["Host", "State", "Why", "gpu1"]
    assert [cell["attributes"] for cell in page.all("td")] == [{"data-label": "State"}, {}]
