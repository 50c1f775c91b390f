# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host was asked when nothing was to be changed, as rows of one shape.

A row is {host, area, setting, wanted, found, persisted, status, note}, all texts. `area` is the role that the setting
belongs to; `persisted` is yes, no or - (nothing to persist); `status` is one of STATUSES; `note` says why.

An answer is the result of a module that ran in check mode. One without the key that it always has on success was not
given: its `msg` says why, or the host was `unreachable`.
"""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.cpulist import format_cpu_list, parse_cpu_list
from ansible_collections.inference.host.plugins.module_utils.nvidia_verify import nvidia_verify_rows
from ansible_collections.inference.host.plugins.module_utils.p2p_report import p2p_rows
from ansible_collections.inference.host.plugins.module_utils.tunables_host import label
from ansible_collections.inference.host.plugins.module_utils.units import wanted_policy, withheld_nodes

STATUSES = ("ok", "drift", "partial", "refused", "not_applicable", "unreachable")
"""ok: as planned. drift: site.yml would change it. partial: the kernel took another value. refused: it could not be
read or made. not_applicable: not here, which is no fault. unreachable: the host did not answer."""

AS_WRITTEN = "as written"
LONGEST = 400
"""Characters of a text in a row; what is longer is cut."""


def verify_rows(plan, answers, host, secrets=()):
    """Return the rows of one host.

    plan: the plan, or an empty dict where none could be made. answers: {"failure": the result of the task that kept the
    host from being read, else empty; "unreachable": bool; "scope": "settings" where only those were read;
    "settings", "unit_files", "instances", "nginx", "engine": answers; "unit_paths": paths of the files that should be
    there; "models": answers of model_release; "topology": the host as it was read; "mig": nvidia_mig}. secrets: texts
    that must not be in any row.
    """
    if answers.get("failure"):
        status = "unreachable" if answers.get("unreachable") else "refused"
        rows = [_row("host", "reading the host", "can be read and planned", "-", status,
                     failure_of(answers["failure"]))]
    else:
        rows = _settings_rows(plan, answers["settings"])
        rows += nvidia_verify_rows(plan, answers.get("topology") or {}, answers.get("mig"))
    if not answers.get("failure") and answers.get("scope") != "settings":
        rows += _engine_rows(answers["engine"]) + _model_rows(answers["models"])
        rows += _file_rows("service", "unit files", answers["unit_paths"], answers["unit_files"])
        rows += _instance_rows(plan, answers["instances"])
        rows += _nginx_rows(answers["nginx"]) + p2p_rows(plan, answers.get("topology") or {})
    return [dict({key: clean(value, secrets) for key, value in row.items()}, host=host) for row in rows]


def failure_of(result):
    """Return why a task failed, as one sentence; of a loop, why each of its parts did.

    result: of the failed task, with `msg` or, of a loop, `results`.
    """
    parts = result.get("results") or [result]
    sentences = [str(part["msg"]) for part in parts if part.get("msg") and (part.get("failed") or part is result)]
    return " ".join(dict.fromkeys(sentences)) or "a task failed without a message"


def clean(value, secrets=()):
    """Return a value as one line of printable text without the secrets; - stands for nothing."""
    text = "" if value is None else str(value)
    for secret in sorted(filter(None, map(str, secrets)), key=len, reverse=True):
        text = text.replace(secret, "(not shown)")
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return (text if len(text) <= LONGEST else text[:LONGEST - 1] + "…") or "-"


def first_difference(before, after):
    """Return the first line that differs between two texts as two texts, each with the line's number."""
    old, new = before.split("\n"), after.split("\n")
    number = next((number for number, pair in enumerate(zip(old, new)) if pair[0] != pair[1]), min(len(old), len(new)))
    return tuple("line %d: %s" % (number + 1, lines[number]) if number < len(lines) else "no line %d" % (number + 1)
                 for lines in (old, new))


def _row(area, setting, wanted, found, status, note="", persisted="-"):
    return {"area": area, "setting": setting, "wanted": wanted, "found": found, "persisted": persisted,
            "status": status, "note": note}


def _unread(area, setting, wanted, answer):
    """Return the row of an answer that was not given."""
    status = "unreachable" if answer.get("unreachable") else "refused"
    return [_row(area, setting, wanted, "-", status, answer.get("msg") or "it was not read")]


def _settings_rows(plan, answer):
    """answer: of a loop over roles, each the result of module tunables with diff."""
    if "results" not in answer:
        return _unread("host", "kernel settings", "as planned", answer)
    kept_live = {(setting["role"], setting["name"]) for setting in plan["settings"] if setting.get("persist") == "none"}
    rows = []
    for one in answer["results"]:
        role = one["item"]
        if "results" not in one:
            rows += _unread(role, "kernel settings", "as planned", one)
            continue
        mine = [_setting_row(role, row, (role, row["name"]) in kept_live) for row in one["results"]]
        if all(row["status"] in ("ok", "not_applicable") for row in mine):
            # The values are right, and yet a file differs.
            mine += [_file_row(role, path, entries) for path, entries in _by_path(one.get("diff")).items()]
        rows += mine
    return rows


def _setting_row(role, row, kept_live):
    status = "drift" if row["status"] == "changed" else row["status"]
    persisted, note = "-", row.get("detail")
    if status != "not_applicable" and not kept_live and row.get("persisted") is not None:
        persisted = "yes" if row["persisted"] else "no"
    if persisted == "no" and status == "ok":
        status, note = "drift", note or "it holds only until the next boot"
    return _row(role, label(row), row["wanted"], row["before"], status, note, persisted)


def _by_path(diff):
    """Return {path: entries} of Ansible's list of before and after; attributes are entries of their own."""
    paths = {}
    for entry in diff or []:
        paths.setdefault(entry["before_header"].replace(" (attributes)", ""), []).append(entry)
    return paths


def _file_rows(area, setting, wanted, answer):
    """One row a file, also for those that are there and should not be.

    wanted: paths of the files that should be there. answer: of module files, with diff.
    """
    if "changed_paths" not in answer:
        return _unread(area, setting, AS_WRITTEN, answer)
    entries = _by_path(answer.get("diff"))
    others = [path for path in answer["changed_paths"] if path not in wanted]
    return [_file_row(area, path, entries.get(path, [])) if path in answer["changed_paths"]
            else _row(area, path, AS_WRITTEN, AS_WRITTEN, "ok", persisted="yes") for path in wanted + others]


def _file_row(area, path, entries):
    """The row of a file that differs: it is not there, should not be, has other attributes or another content."""
    attributes = [entry for entry in entries if entry["before_header"].endswith(" (attributes)")]
    if attributes and not attributes[0]["before"]:
        return _row(area, path, AS_WRITTEN, "not there", "drift", persisted="no")
    if attributes and not attributes[0]["after"]:
        return _row(area, path, "not there", "there", "drift", persisted="no")
    texts = [entry for entry in entries if entry not in attributes]
    if texts:
        found, wanted = first_difference(texts[0]["before"], texts[0]["after"])
        return _row(area, path, wanted, found, "drift", "first line that differs", "no")
    if attributes:
        return _row(area, path, attributes[0]["after"], attributes[0]["before"], "drift", persisted="no")
    return _row(area, path, AS_WRITTEN, "not as written", "drift", persisted="no")


def _instance_rows(plan, answer):
    """answer: of module instances."""
    if "instances" not in answer:
        return _unread("service", "instances", "run as planned", answer)
    planned = {instance["unit"]: instance for instance in plan["instances"]}
    rows = []
    for found in answer["instances"]:
        rows.append(_unit_row(found))
        if found["effective_cpus"] is not None:
            rows += _placement_rows(planned[found["unit"]], found)
    return rows + [_row("service", unit, "not there", "there", "drift", "no service of the plan has it")
                   for unit in answer["stopped"]]


def _unit_row(found):
    # A process that runs elsewhere than planned has rows of its own, which say where.
    action = None if found["moved"] else found["action"]
    words = {None: "runs as written", "start": found["state"] or "not there", "restart": "runs with older files or key"}
    note = "not enabled: it would not start at boot" if found["enabled"] else ""
    status = "drift" if action or found["enabled"] else "ok"
    return _row("service", found["unit"], "runs as written", words[action], status, note,
                "no" if found["enabled"] else "yes")


def _placement_rows(instance, found):
    """CPUs, memory policy and nodes of a process that runs."""
    unit = found["unit"]
    cpus = format_cpu_list(parse_cpu_list(found["effective_cpus"]))
    wanted_cpus = format_cpu_list(instance["cpus"])
    rows = [_row("service", unit + " CPUs", wanted_cpus, cpus, "ok" if cpus == wanted_cpus else "drift")]
    missing = withheld_nodes(instance, found["effective_memory_nodes"])
    if missing:
        rows.append(_row("service", unit + " memory nodes", instance["numa_range"], found["effective_memory_nodes"],
                         "drift", "a cpuset above it withholds %s" % format_cpu_list(missing)))
    policy = wanted_policy(instance)
    if found["memory_policy"] is None:
        return rows + [_row("service", unit + " memory policy", policy, "-", "not_applicable",
                            "the kernel tells no memory policy of this process")]
    status = "ok" if found["memory_policy"] == policy else "drift"
    return rows + [_row("service", unit + " memory policy", policy, found["memory_policy"], status)]


def _nginx_rows(answer):
    """answer: of module nginx."""
    if "paths" not in answer:
        return _unread("nginx", "nginx.service", "active", answer)
    rows = _file_rows("nginx", "configuration", answer["paths"], answer)
    state, enabled = answer["unit"].get("ActiveState") or "-", answer["unit"].get("UnitFileState") == "enabled"
    rows.append(_row("nginx", "nginx.service", "active", state, "ok" if enabled and state == "active" else "drift",
                     "" if enabled else "not enabled: it would not start at boot", "yes" if enabled else "no"))
    wanted, found = answer["revision"][:12], answer["loaded"][:12] or "no answer"
    rows.append(_row("nginx", "loaded configuration", wanted, found,
                     "ok" if wanted and answer["revision"] == answer["loaded"] else "drift"))
    rows += [_row("nginx", "instance " + name, "registered", "not registered", "drift", "nginx does not send to it")
             for name in answer["unregistered"]]
    if state == "active" and not answer["registry_loaded"]:
        rows.append(_row("nginx", "registered instances", "loaded", "not loaded", "drift"))
    wanted, allowed = answer["wanted_open_files"], answer["open_files"]
    if allowed is not None and allowed < wanted:
        rows.append(_row("nginx", "open files of a worker", wanted, allowed, "partial", "a limit above nginx keeps it"))
    return rows + [_row("nginx", "nginx", "-", "-", "not_applicable", note) for note in answer["notes"]]


def _model_rows(answers):
    """answers: of module model_release, which only looked."""
    rows = []
    for answer in answers:
        there = answer["status"] == "present"
        absent = "there, but with another manifest" if answer["current"] else "there, but not the current release"
        found = answer["release"] if there else "not there" if answer["needed"] else absent
        rows.append(_row("model", answer["name"], answer["release"], found, "ok" if there else "drift",
                         ", ".join(answer["missing"]), "yes" if there else "no"))
    return rows


def _engine_rows(answer):
    """answer: of module engine_info."""
    if "engines" not in answer:
        return _unread("runtime", "engines", "as planned", answer)
    return [_engine_row(engine) for engine in answer["engines"].values()]


def _engine_row(engine):
    found = "not there" if not engine["found"] else " ".join(
        filter(None, [engine["path"] or "there", engine["build"] and "build %d" % engine["build"]]))
    good = engine["found"] and not engine["problem"] and not engine["missing"]
    note = engine["problem"] or (engine["missing"] and "not on the host: " + ", ".join(engine["missing"])) or ""
    return _row("runtime", engine["title"], engine["path"] or "there", found, "ok" if good else "drift", note,
                "yes" if good else "no")
