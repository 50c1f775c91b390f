# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Texts as systemd's unit files and environment files hold them."""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils.errors import PlanError

IN_QUOTES = re.compile(r'(["\\`$])')
"""What a backslash has to stand before between double quotes, for systemd's environment files as for a shell."""


def systemd_quote(words):
    """Return an argument vector as one `ExecStart=` line: quotes, `%` and `$` escaped as systemd.service(5) says."""
    quoted = []
    for word in words:
        if any(ord(letter) < 32 for letter in word):
            raise PlanError("argument %r has a control character; write arguments as one line of text." % word)
        escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
        plain = escaped == word and word and not set(word) & set(" ';")
        quoted.append(word if plain else '"%s"' % escaped)
    return " ".join(quoted)


def unit_text(value):
    """Return a text as it stands between double quotes in a unit file's `Environment=` line."""
    if any(ord(letter) < 32 for letter in value):
        raise PlanError("environment value %r has a control character; write it as one line of text." % value)
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")


def environment_text(variables):
    """Return {name: text} as a file that both `EnvironmentFile=` and a shell's `.` read alike."""
    lines = []
    for name, value in sorted(variables.items()):
        if any(ord(letter) < 32 for letter in value):
            raise PlanError("environment value %r has a control character; write it as one line of text." % value)
        lines.append('%s="%s"\n' % (name, IN_QUOTES.sub(r"\\\1", value)))
    return "".join(lines)
