# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks of what a user wrote, one mapping against its table of fields, with errors that name what must change.

A table is {field: (default, (check, what is allowed))}: REQUIRED stands for itself, None means "the plan chooses".
"""

from __future__ import annotations

import difflib

from ansible_collections.inference.host.plugins.module_utils.errors import PlanError

REQUIRED = object()


def integer(low, high):
    """A check for a whole number in [low, high]; neither `true` nor the text "8" is one."""

    def check(value):
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return check, "a whole number from %d to %d" % (low, high)


def one_of(*allowed):
    """A check for one of some texts."""
    return (lambda value: isinstance(value, str) and value in allowed), "one of " + ", ".join(allowed)


def yes_or_no():
    """A check for true or false."""
    return (lambda value: isinstance(value, bool)), "true or false"


def matching(pattern, words):
    """A check for a text that matches; `words` say what is allowed."""
    return (lambda value: isinstance(value, str) and pattern.match(value) is not None), words


def mapping(words):
    """A check for a mapping; `words` say which."""
    return (lambda value: isinstance(value, dict)), words


def text():
    """A check for a text that says something."""
    return (lambda value: isinstance(value, str) and value != ""), "a text that is not empty"


def either(check, *words):
    """A check for one of some words, or what `check` takes."""
    accepts, allowed = check
    return (lambda value: (isinstance(value, str) and value in words) or accepts(value)), "%s or %s" % (
        ", ".join(words), allowed)


def one_line(value):
    """Unit files hold neither control characters nor texts of several lines."""
    return isinstance(value, str) and not any(ord(letter) < 32 for letter in value)


def check_fields(where, given, fields, variables=None):
    """Check one mapping against its table of fields and return it complete.

    `variables` names the user's own variable where it is not `where.key`.
    """
    if not isinstance(given, dict):
        raise PlanError("%s is %s; it must be a mapping." % (where, kind(given)))
    for key in given:
        if key not in fields:
            raise PlanError("%s.%s is not known; %s" % (where, key, suggestion(key, fields)))
    complete = {}
    for key, (default, (accepts, allowed)) in fields.items():
        value = given.get(key)
        variable = (variables or {}).get(key, "%s.%s" % (where, key))
        if value is None:
            if default is REQUIRED:
                raise PlanError("%s is missing; it must be %s." % (variable, allowed))
            value = default.copy() if isinstance(default, (dict, list)) else default
        elif not accepts(value):
            raise PlanError("%s is %s; it must be %s." % (variable, kind(value), allowed))
        complete[key] = value
    return complete


def suggestion(key, known):
    """Return what the user may have meant, or else what there is."""
    close = difflib.get_close_matches(str(key), known, n=1)
    return "did you mean %s?" % close[0] if close else "allowed are %s." % ", ".join(sorted(known))


def kind(value):
    """The value as an error message shows it: texts in quotes, so that "8" is seen to be no number. What a mapping or
    a list holds is not shown, since it may hold secrets."""
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    shown = repr(str(value)) if isinstance(value, str) else str(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
