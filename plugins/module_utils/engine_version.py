# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an engine says of itself: its build number, its version, the names of its options."""

from __future__ import annotations

import re

# llama.cpp's two forms: `version: 10360 (90e6a9131)`, and `version: 0.1.1-dev (build 10470, commit abc1234)` since
# August 2026. Lines of devices that were found may stand before it.
REPORTED = re.compile(r"^version:\s*(?P<version>\S+)(?:\s*\(build (?P<build>\d+)\b)?", re.MULTILINE)
OPTION = re.compile(r"--?[A-Za-z][A-Za-z0-9_-]*\Z")
DEEPEST_INDENT = 16
"""Spaces before an option; what stands further in, as at column 40, goes on with a description."""


def read_version(text):
    """Return (build or None, version) from what `--version` printed; (None, "") where it says nothing of it.

    A build number is the count of commits. A build from a source archive says 0, one from a shallow clone 1: neither is
    a number that can be compared, so that both are None.
    """
    found = REPORTED.search(text)
    if not found:
        return None, ""
    version, number = found.group("version"), found.group("build")
    if number is None and version.isdigit():
        number = version
    build = int(number) if number else 0
    return (build if build > 1 else None), version


def option_names(text):
    """Return the names of the options that `--help` lists, in its order, each once.

    An option's line begins with its names, with commas between them and maybe a placeholder behind (`-t N, --threads
    N`); what follows is its description, which may name other options.
    """
    names = {}
    for line in text.splitlines():
        if not line.lstrip().startswith("-") or len(line) - len(line.lstrip()) > DEEPEST_INDENT:
            continue
        for word in line.split():
            name = word.rstrip(",")
            if OPTION.match(name):
                names[name] = True
            elif not word.endswith(","):
                break
    return list(names)


def known_build(reported, stated):
    """Return the build number that counts: the engine's own, else the one that was stated for it, else None."""
    return stated if reported is None else reported


def build_problem(title, build, minimum, variable):
    """Return why an engine of this build is refused, as one sentence; "" where it is taken.

    variable: what states the build of an engine that does not tell its own.
    """
    if not minimum:
        return ""
    if build is None:
        return ("%s does not tell its build number, and at least %d is asked for; state the build that it was made "
                "from in %s." % (title, minimum, variable))
    if build < minimum:
        return ("%s is build %d; it must be at least %d, since known vulnerabilities are fixed there." % (
            title, build, minimum))
    return ""
