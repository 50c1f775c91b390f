"""How large the report of 200 hosts is, and how long it takes to make and to open.

    python tests/benchmarks/report.py [FOLDER]

The hosts all differ: 2 x 32 cores with SMT, 4 instances, 12 shapes measured three times. Opening is measured in a
headless Chromium, from the request to the second frame after the page is loaded. With FOLDER it leaves the page and
pictures of it there, of a phone and a wide screen, light and dark. Ends with status 1 for 10 MB or 2 s, or more.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests" / "unit"), str(REPOSITORY / ".collections")]

from ansible_collections.inference.host.plugins.module_utils.report_page import fleet_report  # noqa: E402
from browser import PROGRAM, Browser  # noqa: E402
from report_fleets import large_fleet  # noqa: E402

HOSTS, REPEATS = 200, 5
LIMIT_BYTES, LIMIT_SECONDS = 10_000_000, 2
HOST = "host-gpu007-example-org"


def opened(browser, page, place=""):
    """Return the median, the least and the most seconds of some times opening it."""
    taken = sorted(browser.open(page, place) for _repeat in range(REPEATS))
    return taken[REPEATS // 2], taken[0], taken[-1]


def pictures(browser, page, folder):
    for name, width in (("phone", 375), ("wide", 1440)):
        for theme in ("light", "dark"):
            browser.look(width, dark=theme == "dark")
            for part, place in (("fleet", ""), ("host", HOST)):
                browser.open(page, place)
                browser.picture(folder / ("%s-%s-%s.png" % (part, name, theme)), whole=part == "host")


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    files = large_fleet(HOSTS)
    started = time.perf_counter()
    text = fleet_report(files, "Fleet")
    print("%d hosts: %.2f MB, made in %.1f s" % (HOSTS, len(text.encode()) / 1e6, time.perf_counter() - started))
    failed = len(text.encode()) >= LIMIT_BYTES
    if not PROGRAM:
        print("not run: opening it, as no Chromium was found")
        return failed
    with tempfile.TemporaryDirectory() as scratch:
        page = (folder or Path(scratch)).resolve() / "report.html"
        page.write_text(text, encoding="utf-8")
        with Browser(Path(scratch) / "profile") as browser:
            for name, width in (("phone", 375), ("wide screen", 1440)):
                browser.look(width)
                for part, place in (("front page", ""), ("a host", HOST)):
                    seconds = opened(browser, page, place)
                    print("%s, %s: opened in %.2f s (%.2f to %.2f, %d times)" % (name, part, *seconds, REPEATS))
                    failed = failed or seconds[0] >= LIMIT_SECONDS
            if folder:
                pictures(browser, page, folder)
    return failed


if __name__ == "__main__":
    sys.exit(main())
