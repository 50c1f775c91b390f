# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host has of the engines that its services use. Nothing is changed here.

Each answer is {runtime, title, path, found, build, version, options, package, missing, problem}. `path` is where it is,
or should be; `found`: nothing has to be installed; `package` is the Python package that it is of, or null; `missing`
lists images that can be fetched; `problem` says why it cannot be used, which with `found` no installation mends.
"""

from __future__ import annotations

import os
import shutil
import subprocess

from ansible_collections.inference.host.plugins.module_utils.engine_run import EngineError
from ansible_collections.inference.host.plugins.module_utils.engine_store import Store

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where systemd looks for a command that has no folder."""
CLIENT_SECONDS = 60
QUADLET = ("/usr/lib/systemd/system-generators/podman-system-generator",
           "/lib/systemd/system-generators/podman-system-generator")
"""Podman's generator of units, which it has from 4.4."""


def find_engine(wish):
    """Return the answer to one wish.

    wish: {runtime, title, kind: store, command or container}; for store also {release, program, min_build,
    stated_build, build_variable, distribution}, for command {commands: first words of services' commands}, for
    container {images}.
    """
    found = {"store": _find_store, "command": _find_commands, "container": _find_container}[wish["kind"]](wish)
    empty = {"runtime": wish["runtime"], "title": wish["title"], "path": None, "found": False, "build": None,
             "version": "", "options": [], "package": wish.get("distribution"), "missing": [], "problem": ""}
    return dict(empty, **found)


def _find_store(wish):
    keys = ("release", "runtime", "title", "min_build", "stated_build", "build_variable")
    store = Store(*(wish[key] for key in keys))
    absent = {"path": os.path.join(wish["release"], wish["program"]), "build": wish["stated_build"]}
    record = store.record()
    if record is None:
        return absent
    try:
        engine = store.identify(record)
    except EngineError as error:
        return dict(absent, problem="%s is installed and does not work: %s." % (wish["title"], error))
    return dict(engine, found=True, problem=store.problem(engine))


def _find_commands(wish):
    wrong = [word for word in wish["commands"] if not which(word)]
    problem = ""
    if wrong:
        problem = ("%s of a service's command is not on the host or cannot be executed; command must begin with a "
                   "program that is there." % ", ".join(wrong))
    return {"found": True, "problem": problem}


def which(word):
    """Return the path that systemd would start for the first word of a command, or None."""
    if "/" in word and not os.path.isabs(word):
        return None
    return shutil.which(word, path=PATH)


def _find_container(wish):
    client = which("podman") or which("docker")
    if not client:
        return {}
    version = _client(client, "--version")[1].split("version", 1)[-1].split(",")[0].strip()
    quadlet = os.path.basename(client) == "podman" and any(os.path.exists(path) for path in QUADLET)
    missing = [image for image in wish["images"] if _client(client, "image", "inspect", image)[0]]
    return {"path": client, "found": True, "version": version, "options": ["quadlet"] if quadlet else [],
            "missing": missing}


def _client(*argv):
    """Return (exit status, output) of the container engine's client."""
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            timeout=CLIENT_SECONDS, check=False, text=True)
    except (OSError, subprocess.TimeoutExpired):
        return 1, ""
    return done.returncode, done.stdout
