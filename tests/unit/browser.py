"""A headless Chromium that shows a page, by its own protocol over two pipes (--remote-debugging-pipe).

    with Browser(profile_folder) as browser:
        browser.look(width=375, dark=True)
        browser.open(path)
        browser.ask("document.title")
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


class Browser:
    """One browser with one page."""

    def __init__(self, profile):
        """profile: folder that the browser may fill."""
        self.profile = str(profile)
        self.number, self.session, self.events = 0, None, []

    def __enter__(self):
        to_browser, self.to_browser = os.pipe()
        self.from_browser, from_browser = os.pipe()
        # It reads at 3 and writes to 4, which may be in use here: a shell moves them.
        words = "exec 3<&%d 4>&%d; exec \"$@\"" % (to_browser, from_browser)
        command = [PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                   "--no-first-run", "--disable-background-networking", "--disable-component-update",
                   "--hide-scrollbars", "--remote-debugging-pipe", "--user-data-dir=" + self.profile, "about:blank"]
        self.process = subprocess.Popen(
            ["bash", "-c", words, "bash", *command], pass_fds=(to_browser, from_browser), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.buffer = b""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(domain + ".enable")
        return self

    def __exit__(self, *_error):
        try:
            self.session = None
            self.call("Browser.close")
        except (OSError, EOFError):
            pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.to_browser)
        os.close(self.from_browser)

    def call(self, method, **parameters):
        """Ask the browser for something and return its answer; what happens meanwhile is kept in `events`."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self.events.append(answer)

    def _read(self):
        while b"\0" not in self.buffer:
            part = os.read(self.from_browser, 1 << 20)
            if not part:
                raise EOFError("the browser is gone")
            self.buffer += part
        message, _zero, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def look(self, width, height=900, dark=False, medium="screen"):
        """Give the page a size in CSS pixels, a colour scheme, and a medium."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 500)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=medium, features=[scheme])

    def open(self, path, place=""):
        """Open a file, wait until it is loaded and painted, and return how many seconds that took."""
        # A new place on the same page would load nothing.
        self._load("about:blank")
        started = time.perf_counter()
        self._load("file://%s%s" % (path, place and "#" + place))
        # Answered when a frame with all of it has been drawn.
        self.call("Runtime.evaluate", awaitPromise=True, expression=(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"))
        return time.perf_counter() - started

    def _load(self, address):
        self.events.clear()
        self.call("Page.navigate", url=address)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())

    def ask(self, expression):
        """Return the value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def requests(self):
        """Return the addresses that the page has asked for since it was opened."""
        return [event["params"]["request"]["url"] for event in self.events
                if event.get("method") == "Network.requestWillBeSent"]

    def complaints(self):
        """Return what the browser has said of the page since it was opened."""
        said = [event["params"]["entry"]["text"] for event in self.events if event.get("method") == "Log.entryAdded"]
        return said + [event["method"] for event in self.events if event.get("method") in (
            "Runtime.consoleAPICalled", "Runtime.exceptionThrown")]

    def picture(self, path, whole=True):
        """Write what is to be seen, or the whole page, as PNG."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def printed(self):
        """Return the page as PDF on A4; `look` decides of which medium."""
        answer = self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=False)
        return base64.b64decode(answer["data"])
