# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""fstab(5) and /proc/mounts as text: read, and edited so that every other character stays as it is."""

from __future__ import annotations

import re

_LINE = re.compile(r"(\s*[^\s#]\S*\s+)(\S+)(\s+\S+)(?:(\s+)(\S+))?(.*)\Z", re.DOTALL)
_OPTION = re.compile(r'(?:"[^"]*"|[^,"])+')
_CODED = re.compile(r"\\([0-7]{3})")
_TO_CODE = re.compile(r"[\s\\#]")


def decoded(field):
    """Return a field's text: `\\040` stands for a blank."""
    return _CODED.sub(lambda match: chr(int(match.group(1), 8)), field)


def coded(text):
    """Return the text as a field."""
    return _TO_CODE.sub(lambda match: f"\\{ord(match.group()):03o}", text)


def split_options(field):
    """Return the options of a field; commas between double quotes do not part them."""
    return _OPTION.findall(field)


def options_at(text, path, last=False):
    """Return the options of the line for the mount point `path`, or None without such a line.

    Of several lines the first one counts, as at boot; with `last` the last one, as in /proc/mounts.
    """
    found = [match for match in map(_LINE.match, text.splitlines()) if match and decoded(match.group(2)) == path]
    if not found:
        return None
    return split_options((found[-1] if last else found[0]).group(5) or "")


def with_options(text, path, options):
    """Return the text with those of the options that are missing at the end of the mount point's own."""
    there = options_at(text, path)
    if there is None:
        return text
    return _edit(text, path, there + [option for option in options if option not in there])


def without_options(text, path, options):
    """Return the text without these options; a line that has no other gets `defaults`."""
    there = options_at(text, path)
    if there is None:
        return text
    return _edit(text, path, [option for option in there if option not in options])


def _edit(text, path, options):
    lines = text.splitlines(keepends=True)
    for at, line in enumerate(lines):
        match = _LINE.match(line)
        if match and decoded(match.group(2)) == path:
            before, point, kind, blanks, there, rest = match.groups()
            wanted = ",".join(options) or ("defaults" if there else "")
            if wanted != (there or ""):
                lines[at] = before + point + kind + (blanks or "\t") + wanted + rest
            return "".join(lines)
    return text


def has_swap(text, path):
    """Tell whether a line uses the file `path` as swap."""
    return any(_is_swap(line, path) for line in text.splitlines())


def _is_swap(line, path):
    words = line.split()
    return len(words) > 2 and decoded(words[0]) == path and words[2] == "swap"


def with_swap(text, path):
    """Return the text with a line for the swap file at its end, unless there is one."""
    if has_swap(text, path):
        return text
    if text and not text.endswith("\n"):
        text += "\n"
    return text + f"{coded(path)} none swap sw 0 0\n"


def without_swap(text, path):
    """Return the text without the lines that use the file as swap."""
    return "".join(line for line in text.splitlines(keepends=True) if not _is_swap(line, path))


def file_system_of(mounts, path):
    """Return (type, mount point) of the file system that holds `path`, given the text of /proc/mounts."""
    best = ("", "")
    for line in mounts.splitlines():
        words = line.split()
        if len(words) > 2:
            point = decoded(words[1])
            if (path + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best[1]):
                best = (words[2], point)
    return best
