# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Collects the rows of one role's kernel settings, each with its reason, its evidence and whether it applies."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.tunables_host import TunablesError


def allowed(kind, setting):
    """Tell whether a kind of settings (a module of tunable_kinds) takes a setting: the plan and the module that applies
    it then have one rule."""
    try:
        kind.check(setting)
    except TunablesError:
        return False
    return True


class Rows:
    """The settings of one role, as the plan carries them and module `tunables` takes them.

    Each row is {role, name, kind, path, value, reason, evidence, applies, why_not, retry_seconds, after}, and persist
    where that is not the kind's own way: see the module's documentation for kinds and ways to persist.
    """

    def __init__(self, role, wishes, why_not=None):
        """wishes: {variable: value} that the user set. why_not: why nothing of this role applies here, or None."""
        self.role = role
        self.wishes = wishes
        self.why_not = why_not
        self.rows = []

    def value(self, wish, default=None):
        """Return what the user set, else the plan's default; None leaves the setting alone."""
        return self.wishes.get(wish, default)

    def add(self, name, value, reason, wish=None, why_not=None, evidence="convention", **row):
        """Add a row unless `value` is None. wish: the variable that the value comes from if the user set it."""
        if value is None:
            return
        chosen = wish in self.wishes
        why_not = self.why_not or why_not
        self.rows.append(dict({
            "role": self.role, "name": name, "kind": "sysfs" if "path" in row else "sysctl", "path": None,
            "value": str(value), "reason": "%s was set by the user" % wish if chosen else reason,
            "evidence": "convention" if chosen else evidence, "applies": why_not is None, "why_not": why_not,
            "retry_seconds": 0, "after": [],
        }, **row))
