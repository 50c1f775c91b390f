"""The report in a browser: it fits a phone and a wide screen, asks for nothing, and shows one host at a time."""

import json
import re

import pytest
from ansible_collections.inference.host.plugins.module_utils.report_page import POLICY, fleet_report
from browser import PROGRAM, Browser
from report_fleets import file, large_fleet

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
    whole = pages(page.printed())
    page.open(page.path, HOST)
    assert page.ask(SEEN) == [HOST]
    assert 1 < pages(page.printed()) <= whole - 3


def pages(pdf):
    """Return how many pages a PDF of Chromium has."""
    return len(re.findall(rb"/Type /Page\b", pdf))


def test_what_is_closed_on_the_screen_is_open_on_paper(page):
    opened = "Math.min(...Array.from(document.querySelectorAll('#%s details')).map(one => one.offsetHeight))" % HOST
    page.look(1440)
    page.open(page.path, HOST)
    closed = page.ask(opened)
    page.look(1440, medium="print")
    assert page.ask(opened) > closed


def test_words_that_belong_together_stay_together_on_a_phone(page):
    page.look(375)
    page.open(page.path, HOST)
    page.ask("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert page.ask("document.querySelector('#%s caption').getBoundingClientRect().width" % HOST) > 300
    # A colour of the legend is on the line of its label.
    assert page.ask("""Array.from(document.querySelectorAll('#%s .key')).every(one => Math.abs(
        one.getBoundingClientRect().top - one.nextElementSibling.getBoundingClientRect().top) < 9)""" % HOST)


@pytest.mark.parametrize("sharp", [
    "<script>done = 1</script>", "<img src=x onerror=done=1>", '" onfocus=done=1 autofocus tabindex=1 x="',
    "' onload='done=1", "</style></title><svg onload=done=1>", "<iframe srcdoc='<script>parent.done=1</script>'>",
    "javascript:done=1", "--><script>done=1</script><!--", "&lt;script&gt;done=1&lt;/script&gt;",
    "]]><script>done=1</script>", "</svg><script>done=1</script>"])
def test_texts_of_hosts_do_nothing_even_without_the_policy(page, tmp_path, sharp):
    """Escaping alone has to hold."""
    files = large_fleet(2)
    for one in [*(pair["plan"] for pair in files["plans"].values()), files["verify"], *files["benchmarks"]]:
        one.update(file(_sharp(json.loads(one["text"]), sharp)), modified=sharp)
    for pair in files["plans"].values():
        pair["picture"]["text"] = pair["picture"]["text"].replace("<desc>", "<desc>" + sharp).replace(
            "chat-0", sharp).replace("Node 0", file(sharp)["text"].replace("<", "&lt;"))
    files["plans"] = {sharp + host: pair for host, pair in files["plans"].items()}
    files["benchmarks"] += [{"fault": sharp, "host": sharp, "label": sharp}]
    text = fleet_report(files, sharp, [sharp])
    assert POLICY in text
    (tmp_path / "sharp.html").write_text(text.replace(POLICY, ""), encoding="utf-8")
    page.look(1440)
    page.open(tmp_path / "sharp.html")
    page.ask("document.querySelectorAll('section, details').forEach(one => { one.style.display = 'block' })")
    page.ask("document.querySelectorAll('a').forEach(one => one.click())")
    assert page.ask("typeof done") == "undefined" and page.complaints() == []
    assert page.ask("document.querySelectorAll('script, img, iframe, [onload], [onerror], [onfocus]').length") == 0
    assert [address for address in page.requests() if not address.startswith("data:")] == [
        "file://%s" % (tmp_path / "sharp.html")]


def _sharp(value, words):
    """Return a value with each of its texts, keys of engines and metrics among them, made sharp; lists are cut."""
    if isinstance(value, dict):
        return {words + key if key in ("llama_cpp", "ttft_ms") else key: _sharp(one, words)
                for key, one in value.items()}
    if isinstance(value, list):
        return [_sharp(one, words) for one in value[:6]]
    kept = ("ok", "drift", "not_applicable", "service", "less", "more")
    return words + value if isinstance(value, str) and value not in kept else value


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
    page.look(375)
    page.open(tmp_path / "bad.html")
    assert page.complaints() and page.ask("document.querySelectorAll('script').length") == 1
