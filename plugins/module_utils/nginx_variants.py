# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lines of a configuration that hold only for some versions of nginx, or only on some hosts.

The controller writes all of them, each with its condition behind `#?`; the host takes those that are right for it. So
nothing has to be asked of the host before its configuration is written.

    listen 8443 ssl http2;  #? nginx < 1.25.1
    http2 on;               #? nginx >= 1.25.1
    listen [::]:8443 ssl;   #? ipv6, nginx >= 1.25.1
"""

from __future__ import annotations

import re

OLDEST = (1, 18, 0)
"""The oldest version that knows every directive that is written."""

_MARK = re.compile(r"[ \t]*#\?[ \t]*(.+?)[ \t]*\Z")
_VERSION = re.compile(r"nginx version: [^/]+/(\d+)\.(\d+)\.(\d+)")
_BOUND = re.compile(r"nginx (<|>=) (\d+)\.(\d+)\.(\d+)\Z")


def parse_version(text):
    """Return the version in the output of `nginx -v` as three numbers, or None."""
    found = _VERSION.search(text)
    return tuple(map(int, found.groups())) if found else None


def resolve(text, version, flags):
    """Return the text for one host: lines whose condition does not hold are left out, and no condition stays.

    version: three numbers. flags: {name: bool}, such as ipv6. Raises ValueError for a condition that is none.
    """
    lines = []
    for line in text.split("\n"):
        mark = _MARK.search(line)
        if not mark:
            lines.append(line)
        elif all(_holds(condition.strip(), version, flags) for condition in mark.group(1).split(",")):
            lines.append(line[:mark.start()])
    return "\n".join(lines)


def _holds(condition, version, flags):
    bound = _BOUND.match(condition)
    if bound:
        limit = tuple(map(int, bound.groups()[1:]))
        return version < limit if bound.group(1) == "<" else version >= limit
    if condition not in flags:
        raise ValueError("the condition %r is not known" % condition)
    return flags[condition]
