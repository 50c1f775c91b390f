# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""JSON that people read and compare line by line."""

from __future__ import annotations

import json

WIDTH = 300


def json_text(value):
    """Return a value as JSON with sorted keys; what has no mapping in it or fits a line stands on one line."""
    return _layout(value, 0) + "\n"


def _layout(value, indent):
    flat = json.dumps(value, sort_keys=True, ensure_ascii=False)
    one_line = len(flat) + indent <= WIDTH or "{" not in flat
    if one_line or not isinstance(value, (dict, list)):
        return flat
    if isinstance(value, list):
        opening, closing = "[]"
        parts = [_layout(part, indent + 1) for part in value]
    else:
        opening, closing = "{}"
        parts = ["%s: %s" % (json.dumps(key), _layout(value[key], indent + 1)) for key in sorted(value)]
    inner = "\n" + " " * (indent + 1)
    return opening + inner + ("," + inner).join(parts) + "\n" + " " * indent + closing
