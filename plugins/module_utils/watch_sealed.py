# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of which a host is told without their secrets: what is secret is compared by its hash."""

from __future__ import annotations

import hashlib
import re

_CLIENT = re.compile(r'"~\^(.+)\$" [a-z0-9_-]+;')
_HEADER = re.compile(r'proxy_set_header Authorization "Bearer (.+)";')


def sealed(files):
    """Return files as module files takes them, with all options, and of those that are secret the hash for the content.

    files: list of {"path", "content", "mode", "owner", "group", "sensitive"}, of which all but the first two may be
    left out.
    """
    answer = []
    for item in files:
        whole = dict({"mode": "0644", "owner": None, "group": None, "sensitive": False}, **item)
        if whole["sensitive"]:
            whole["sha256"] = hashlib.sha256(whole.pop("content").encode("utf-8", "surrogateescape")).hexdigest()
        answer.append(whole)
    return answer


def opened(files):
    """Return files that were sealed with the content that each is to have.

    What a secret file is to hold is what it holds, where that has the hash.
    """
    answer = []
    for item in files:
        if item["sensitive"]:
            text = text_of(item["path"])
            same = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest() == item["sha256"]
            item = dict(item, content=text if same else "")
        answer.append(item)
    return answer


def text_of(path):
    """Return a file's text, which may hold any bytes, "" where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return stream.read()
    except OSError:
        return ""


def keys_in(text):
    """Return the keys in the text of a service's key file, or of nginx's files of keys, which have one a line."""
    found = ((_CLIENT.match(line), _HEADER.match(line), line.strip()) for line in text.splitlines())
    keys = (client.group(1).replace("\\", "") if client else header.group(1) if header else line
            for client, header, line in found)
    return [key for key in keys if key]
