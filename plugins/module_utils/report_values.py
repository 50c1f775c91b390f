# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values of files that nobody has checked, as something of a known kind."""

from __future__ import annotations

import math

LONGEST = 600
"""Characters of a text that is shown; what is longer is cut."""


def mapping(value):
    """Return a mapping as it is, and anything else as an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value):
    """Return a list as it is, and anything else as an empty one."""
    return value if isinstance(value, list) else []


def text(value):
    """Return any value as one short text: a list as its parts, nothing as an empty text."""
    if value is None:
        return ""
    if isinstance(value, float):
        words = "%g" % value
    else:
        try:
            words = ", ".join(map(str, value[:LONGEST])) if isinstance(value, list) else str(value)
        except (RecursionError, ValueError):
            # Nested without end, or a number of thousands of digits.
            return "\N{HORIZONTAL ELLIPSIS}"
    return words if len(words) <= LONGEST else words[:LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"


def number(value):
    """Return a finite number as it is, and anything else as None."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        return value if good and math.isfinite(value) else None
    except OverflowError:
        return None
