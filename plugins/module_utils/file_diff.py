# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a plan of file_set.py would do, as Ansible's diff shows it; sensitive contents stay out."""

from __future__ import annotations

import grp
import pwd

HIDDEN = "(content not shown)\n"


def diff(plan):
    """Return Ansible's list of before and after, one or two entries a path: what it is, and what is in it."""
    return [entry for changes in plan for change in changes for entry in _diff_one(change)]


def _diff_one(change):
    before, after = change.before, change.after
    if _describe(before) != _describe(after):
        yield _entry(change.path, " (attributes)", _describe(before), _describe(after))
    if before.data != after.data and before.kind != "link":
        yield _entry(change.path, "", _text(before, change.sensitive), _text(after, change.sensitive, "new "))


def _entry(path, suffix, before, after):
    return {"before_header": path + suffix, "after_header": path + suffix, "before": before, "after": after}


def _describe(state):
    if state.kind == "absent":
        return ""
    parts = [state.kind, f"mode {state.mode:04o}"]
    if state.uid != -1:
        parts.append("owner " + _name(state.uid, lambda uid: pwd.getpwuid(uid).pw_name))
    if state.gid != -1:
        parts.append("group " + _name(state.gid, lambda gid: grp.getgrgid(gid).gr_name))
    return ", ".join(parts) + "\n"


def _name(number, lookup):
    try:
        return lookup(number) if isinstance(number, int) else number
    except KeyError:
        return str(number)


def _text(state, sensitive, which=""):
    if state.kind == "absent":
        return ""
    if sensitive:
        return which + HIDDEN
    try:
        return state.data.decode("utf-8")
    except UnicodeDecodeError:
        return which + f"(not text: {len(state.data)} bytes)\n"
