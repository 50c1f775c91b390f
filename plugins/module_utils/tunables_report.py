# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is told of an Outcome: whether something changed, how many rows have which status, what was refused, a diff."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.tunables_host import STATUSES, label


def changed(outcome):
    """Tell whether a live value or a file is, or would be, another one than before, or a command was to be run."""
    return bool(outcome.files or outcome.commands) or any(found["before"] != found["after"] for found in outcome.rows)


def nothing_to_say(outcome):
    """Tell whether all is as it should be, now and after a boot, so that nobody has to hear of it."""
    if changed(outcome) or outcome.warnings or outcome.reboot_required is not None:
        return False
    return all(found["status"] == "not_applicable" or (found["status"] == "ok" and not found["detail"])
               for found in outcome.rows)


def summary(rows):
    """Return how many rows have each of STATUSES."""
    return {status: sum(found["status"] == status for found in rows) for status in STATUSES}


def refusal(rows):
    """Return one sentence that names the refused settings with their wanted values and why, or None."""
    refused = [f"{label(row)} = {row['wanted']} ({row['detail']})" for row in rows if row["status"] == "refused"]
    return "refused by the system: " + ", ".join(refused) if refused else None


def diff(outcome):
    """Return Ansible's list of before and after: the live values as `name = value` lines, then each file."""
    live = [row for row in outcome.rows if row["before"] is not None and row["kind"] != "file"]
    before, after = ("".join(f"{label(row)} = {row[when]}\n" for row in live) for when in ("before", "after"))
    entries = [("kernel settings", before, after)]
    entries.extend((item.path, _readable(item.now), _readable(item.wanted)) for item in outcome.files)
    return [
        {"before_header": header, "after_header": header, "before": before, "after": after}
        for header, before, after in entries
        if before != after
    ]


def _readable(text):
    """Return the text without bytes that are no UTF-8, which a controller could not print."""
    return (text or "").encode("utf-8", "surrogateescape").decode("utf-8", "replace")
