# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kernel settings of a plan by role, so that one remote call can look at those of all roles."""

from __future__ import annotations

import hashlib
import json


def setting_groups(settings, role):
    """Return {"settings": those of the role, "persist_to": its files' stem, "digest": what tells this group from
    others, "also_read": the groups of the other roles, in the plan's order}; a group has the first three.

    settings: the plan's rows, each with `role`.
    """
    others = dict.fromkeys(setting["role"] for setting in settings if setting["role"] != role)
    return dict(_group(settings, role), also_read=[_group(settings, other) for other in others])


def _group(settings, role):
    own = [setting for setting in settings if setting["role"] == role]
    stem = "60-inference-" + role
    text = json.dumps([stem, own], sort_keys=True)
    return {"settings": own, "persist_to": stem, "digest": hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]}
