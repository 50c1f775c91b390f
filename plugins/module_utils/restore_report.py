# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was put back on each host, and what stands in the way, as tables for a terminal."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.plan_table import table
from ansible_collections.inference.host.plugins.module_utils.tunables_host import label
from ansible_collections.inference.host.plugins.module_utils.verify_rows import clean, failure_of

WORDS = {"changed": "put back", "ok": "was back already", "partial": "partly back", "refused": "not back"}
FOREIGN = "neither the first-seen"
"""What module tunables says of a value or file that another tool has changed since."""


def restore_report(answers):
    """Return {"done": whether all is back, "text": the tables}.

    answers: a dict a host, {"host"; "failure": the result of the task that failed, or empty; "values": the result of
    module tunables with state restored; "instances": that of module instances; "did": sentences}. Values and files that
    another tool has changed since come first.
    """
    rows = [row for answer in answers for row in _rows(answer)]
    rows.sort(key=lambda row: (row["host"], not row["foreign"]))
    lines = [line for answer in answers for line in _lines(answer)]
    text = table(["HOST", "WHAT", "FIRST SEEN", "FOUND", "NOW", "STATUS", "NOTE"],
                 [[row[key] for key in ("host", "what", "first", "found", "now", "status", "note")] for row in rows])
    foreign = sum(row["foreign"] for row in rows)
    if foreign:
        lines.append("%d of these had been changed by another tool since; see the notes." % foreign)
    failed = [answer["host"] for answer in answers if not _is_done(answer)]
    lines.append("not all is back on: %s" % ", ".join(failed) if failed else "all is back")
    return {"done": not failed, "text": "\n".join((text + [""] if rows else []) + lines)}


def _rows(answer):
    for row in answer["values"].get("results") or []:
        note = clean(row.get("detail"))
        texts = {"what": label(row), "first": row["wanted"], "found": row["before"], "now": row["after"]}
        yield dict({key: clean(value) for key, value in texts.items()}, host=answer["host"], note=note,
                   status=WORDS.get(row["status"], row["status"]), foreign=FOREIGN in note)


def _lines(answer):
    said = ["stopped and disabled %s" % unit for unit in answer["instances"].get("stopped") or []]
    said += list(answer["did"]) + list(answer["values"].get("reboot_required") or [])
    if not _is_read(answer):
        said.append("failed: " + failure_of(answer["failure"] or answer["values"]))
    return ["%s: %s" % (answer["host"], clean(sentence)) for sentence in said]


def _is_read(answer):
    return not answer["failure"] and "results" in answer["values"]


def _is_done(answer):
    done = ("changed", "ok", "not_applicable")
    return _is_read(answer) and all(row["status"] in done for row in answer["values"]["results"])
