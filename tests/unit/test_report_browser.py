"""The report in a browser: it fits a phone and a wide screen, asks for nothing, and shows one host at a time."""

import os

import pytest
from ansible_collections.inference.host.plugins.module_utils.report_page import fleet_report
from browser import PROGRAM, Browser
from report_fleets import large_fleet

pytestmark = pytest.mark.skipif(not PROGRAM, reason="no Chromium was found")

SEEN = "Array.from(document.querySelectorAll('section')).filter(one => one.offsetHeight).map(one => one.id)"
HOST = "host-gpu002-example-org"
CLIPPED = """Array.from(document.querySelectorAll('td, th, li, p, h2, figcaption, .badge')).filter(one => {
  const box = one.getBoundingClientRect(), scrolls = innerWidth > 700 ? '.scroll, .wide' : '.scroll'
  return box.width && box.right > document.documentElement.clientWidth + 1 && !one.closest(scrolls)
}).map(one => one.textContent).slice(0, 3)"""


@pytest.fixture(name="page", scope="module")
def page_fixture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    (folder / "report.html").write_text(fleet_report(large_fleet(3), "Lab"), encoding="utf-8")
    with Browser(folder / "profile") as browser:
        browser.path = folder / "report.html"
        yield browser


@pytest.mark.parametrize("place", ["", HOST])
@pytest.mark.parametrize("width", [320, 375, 768, 1440])
def test_nothing_leaves_the_screen(page, width, place):
    page.look(width)
    page.open(page.path, place)
    assert page.ask("document.documentElement.scrollWidth") <= width
    assert page.ask(CLIPPED) == []


def test_it_asks_for_nothing_and_the_browser_has_no_complaints(page):
    page.look(1440)
    page.open(page.path)
    assert [address for address in page.requests() if not address.startswith("data:")] == ["file://%s" % page.path]
    assert page.complaints() == []


def test_a_host_is_a_page_of_its_own_and_back_leads_to_the_hosts(page):
    page.look(1440)
    page.open(page.path)
    assert page.ask(SEEN) == ["hosts"]
    page.ask("document.querySelector('tbody a[href=\"#%s\"]').click()" % HOST)
    assert page.ask(SEEN) == [HOST] and page.ask("document.activeElement.id") in (HOST, "")
    page.ask("document.querySelector('#%s .back a').click()" % HOST)
    assert page.ask(SEEN) == ["hosts"]


@pytest.mark.parametrize(("dark", "colour"), [(False, "rgb(255, 255, 255)"), (True, "rgb(13, 17, 23)")])
def test_it_follows_the_readers_theme(page, dark, colour):
    page.look(1440, dark=dark)
    page.open(page.path, HOST)
    assert page.ask("getComputedStyle(document.body).backgroundColor") == colour
    assert page.ask("getComputedStyle(document.querySelector('.inference-plan .page')).fill") == colour
    # The page's own classes leave the picture alone.
    assert page.ask("document.querySelector('#%s .inference-plan .host').getBoundingClientRect().width > 9" % HOST)


def test_on_paper_are_all_hosts_or_the_one_that_is_shown_light_in_any_theme(page):
    page.look(1440, dark=True, medium="print")
    page.open(page.path)
    assert len(page.ask(SEEN)) == 4
    assert page.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.open(page.path, HOST)
    assert page.ask(SEEN) == [HOST]


def test_the_picture_scrolls_by_keyboard_on_a_phone(page):
    page.look(375)
    page.open(page.path, HOST)
    box = "document.querySelector('#%s .scroll')" % HOST
    assert page.ask("%s.scrollWidth > %s.clientWidth && %s.tabIndex === 0" % (box, box, box))


def test_the_browser_sees_what_it_should_not(page, tmp_path):
    """Were there a script or a picture from elsewhere, or something too wide, the tests above would say so."""
    bad = page.path.read_text(encoding="utf-8").replace(
        "<main>", "<main><script>1</script><p style='width:2000px'>wide</p>")
    (tmp_path / "bad.html").write_text(bad, encoding="utf-8")
    os.sync()
    page.look(375)
    page.open(tmp_path / "bad.html")
    assert page.complaints() and page.ask("document.querySelectorAll('script').length") == 1
