# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts first-seen values and files back, of one role (stem) or of the whole host, and says what others had changed.

For each stem: files, then their commands, then values, since a command may set values too. What another stem, which is
not restored, has set too is left to that. What is back is dropped from the baseline; what is refused or only partly
back stays there for the next run. A run that was killed is finished by the next one: all steps ask what is there.
"""

from __future__ import annotations

import hashlib
import os
import stat

from ansible_collections.inference.host.plugins.module_utils import atomic, baseline, tunables_reboot
from ansible_collections.inference.host.plugins.module_utils.file_diff import HIDDEN
from ansible_collections.inference.host.plugins.module_utils.tunable_kinds import file, kernel_parameter, values
from ansible_collections.inference.host.plugins.module_utils.tunables import KINDS, Outcome
from ansible_collections.inference.host.plugins.module_utils.tunables_files import Pending, commands_of, run
from ansible_collections.inference.host.plugins.module_utils.tunables_host import TunablesError, label, row

RETRY_SECONDS = 60
"""How long huge pages that others had reserved before us are asked for again."""


def check_stems(names):
    """Raise BaselineError for a name that is no stem; `all` stands for every stem and is alone."""
    for name in names:
        if name != "all":
            baseline.check_stem("stems", name)
    if not names or ("all" in names and len(names) > 1):
        raise TunablesError("stems: name the stems to be restored, or `all` alone")


def foresee(names, host, folder):
    """Return the Outcome that `restore` would have, changing nothing."""
    kept, rows, files, commands = host.place(folder), [], [], []
    stems = _chosen(names, kept)
    other = baseline.others(kept, stems)
    for stem in stems:
        state = _alone(baseline.load(kept, stem), other)
        pending, told, _targets = _files(state, other, host)
        files += pending
        rows += _of_role(stem, told + [_undo(entry, host) for entry in state["values"].values()])
        commands += [argv for argv in commands_of(pending, state) if argv not in commands]
    return Outcome(rows, files, commands, _warnings(rows), tunables_reboot.waiting(host, kept))


def restore(names, host, folder):
    """Put back what is kept of the stems; return the Outcome. Raises TunablesError, BaselineError or OSError."""
    kept, rows, files, commands = host.place(folder), [], [], []
    if not os.path.isdir(kept):
        return Outcome([], [], [], [], None)
    with baseline.locked(kept):
        asked = tunables_reboot.waiting(host, kept) is not None
        stems = _chosen(names, kept)
        other = baseline.others(kept, stems)
        for stem in stems:
            state = _alone(baseline.load(kept, stem), other)
            baseline.sweep(kept, stem, state, host.root)
            pending, told, targets = _files(state, other, host)
            todo = commands_of(pending, state)
            tunables_reboot.note_files(_reboots(pending, state), stem, True, host, kept)
            tunables_reboot.note_taken_back(list(state["values"].values()), stem, host, kept)
            failures = _put_files_back(stem, pending, targets, todo, state, host, kept)
            told = _told_files(told, state, failures)
            done = _put_values_back(state, host)
            rows += _of_role(stem, told + list(done.values()))
            files += pending
            commands += todo
            _drop(stem, state, told, done, host, kept)
        reboot = tunables_reboot.settle(asked, host, kept)
    return Outcome(rows, files, commands, _warnings(rows), reboot)


def _of_role(stem, rows):
    return [dict(found, role=stem) for found in rows]


def _chosen(names, kept):
    known = baseline.stems(kept)
    return [stem for stem in known if stem in names or names == ["all"]]


def _alone(state, other):
    """Return what is kept without what other stems keep too; of shared files only our words are taken back anyway."""
    values_of = {key for one in other for key in one["values"]}
    files_of = {path for one in other for path in one["files"]}
    state["values"] = {key: entry for key, entry in state["values"].items() if key not in values_of}
    state["files"] = {
        path: entry for path, entry in state["files"].items() if path not in files_of or entry.get("shared")
    }
    return state


def _files(state, other, host):
    """Return ([Pending], rows, {path: what it is to be}) of the kept files; a Pending has texts for the diff."""
    pending, rows, targets = [], [], {}
    for path, kept in sorted(state["files"].items()):
        now = baseline.look(host.place(path))
        last = not any(path in one["files"] for one in other)
        stays = last and path == kernel_parameter.CMDLINE and kernel_parameter.in_force(state, host)
        wanted = targets[path] = _wanted(path, kept, now, state, last and not stays)
        setting = {"name": os.path.basename(path), "kind": "file", "value": _described(wanted)}
        found = row(setting, path, "ok" if now == wanted else "changed", _described(now), _described(wanted))
        foreign = baseline.digest(now) not in (kept["written"], baseline.digest(wanted))
        if foreign and not kept.get("shared"):
            found["detail"] = "is neither the first-seen file nor as written here"
        if stays and wanted["kind"] != kept["before"]["kind"]:
            found["status"], found["detail"] = "partial", "stays until the running kernel has none of our parameters"
        rows.append(found)
        if now != wanted:
            texts = _for_the_diff(now, wanted, kept)
            pending.append(Pending(path, texts[0], texts[1], kept["after"], bool(kept.get("shared"))))
    return pending, rows, targets


def _for_the_diff(now, wanted, kept):
    """Return both texts, without the content where it is a secret, or where not everybody may read it."""
    secret = kept.get("sensitive") or any(not found.get("mode", 0o644) & stat.S_IROTH for found in (now, wanted))
    if not secret:
        return _text(now), _text(wanted)
    return _text(now) and "present " + HIDDEN, _text(wanted) and "first-seen " + HIDDEN


def _wanted(path, kept, now, state, last):
    """Return what a file is to be: as first seen or, where several roles write, without our words as it is now.

    A shared file that one of us made goes with the `last` of us that keeps it.
    """
    if not kept.get("shared") or (kept["before"]["kind"] == "absent" and last):
        return kept["before"]
    text, first = _text(now), _text(kept["before"])
    if text is None:
        return now
    for entry in state["values"].values():
        take_back = getattr(KINDS[entry["kind"]], "take_back", None)
        if take_back:
            text = take_back(entry, path, text, first)
    if text.split() == (first or "").split():
        return kept["before"]
    return dict(now, content=baseline.encode(text.encode("utf-8", "surrogateescape")))


def _text(found):
    if found["kind"] not in ("file", "link"):
        return None
    return baseline.content(found).decode("utf-8", "surrogateescape")


def _described(found):
    if found["kind"] in ("link", "directory"):
        return "link to " + _text(found) if found["kind"] == "link" else f"directory, mode {found['mode']:04o}"
    return file.described(_text(found))


def _put_files_back(stem, pending, targets, commands, state, host, kept):
    """Write the files and run the commands, which stay noted until they have succeeded; return what failed."""
    state["pending"] = commands
    baseline.save(kept, stem, state)
    for item in pending:
        noted = state["files"][item.path]
        now = baseline.look(host.place(item.path))
        known = (noted["written"], baseline.digest(targets[item.path]), "absent", "directory")
        if not item.shared and baseline.digest(now) not in known:
            _keep_foreign(item.path, now, kept)
        try:
            baseline.put_back(host.place(item.path), targets[item.path])
        except OSError as error:
            raise TunablesError(f"{host.place(item.path)} cannot be put back: {atomic.words(error)}") from error
    failures = run(commands, state, host)
    baseline.save(kept, stem, state)
    return failures


def _keep_foreign(path, now, kept):
    """Keep a copy of what another tool wrote into a file that is going to be put back; return where."""
    folder = os.path.join(os.path.dirname(kept.rstrip("/")), "replaced")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    data = baseline.content(now)
    name = path.strip("/").replace("/", "-") + "." + hashlib.sha256(data).hexdigest()[:12]
    atomic.write(os.path.join(folder, name), data, 0o600)


def _told_files(rows, state, failures):
    """Return the rows of the files, refused where a command that belongs to one failed."""
    result = []
    for found in rows:
        after = state["files"][found["path"]]["after"]
        failed = [failures[tuple(argv)] for argv in after if tuple(argv) in failures]
        result.append(dict(found, status="refused", detail="; ".join(failed)) if failed else found)
    return result


def _undo(entry, host):
    return KINDS[entry["kind"]].undo(entry, host)


def _put_values_back(state, host):
    """Write the values that differ from the first-seen ones; return {key of the baseline: row}."""
    entries = state["values"]
    rows = {key: _undo(entry, host) for key, entry in entries.items()}
    for key in sorted(rows, key=lambda key: not values.lowers_pages(rows[key])):
        if rows[key]["status"] == "changed":
            done = KINDS[entries[key]["kind"]].restore(entries[key], rows[key], host)
            details = dict.fromkeys(filter(None, [rows[key]["detail"], done["detail"]]))
            rows[key] = dict(done, detail="; ".join(details))
    rows = {key: _once_more(found, entries[key], host) for key, found in rows.items()}
    seconds = {key: RETRY_SECONDS for key, found in rows.items() if found["path"].endswith("hugepages")}
    return values.retry(rows, seconds, host)


def _once_more(found, entry, host):
    """Return the row, written again where another value's return has set it anew, as a scheduler's does nr_requests, or
    has brought its file back, as SMT's does a sibling's governor, which is the last one that the sibling had."""
    if found["kind"] not in ("sysctl", "sysfs") or found["status"] not in ("ok", "changed", "not_applicable"):
        return found
    now = _undo(entry, host)
    if now["status"] != "changed":
        return found
    done = KINDS[entry["kind"]].restore(entry, dict(now, detail=""), host)
    if found["status"] == "not_applicable":
        return done
    return dict(done, before=found["before"], detail="; ".join(filter(None, [found["detail"], done["detail"]])))


def _reboots(pending, state):
    """Return {path: why} of the files whose change needs a reboot."""
    reasons = {item.path: state["files"][item.path].get("reboot") for item in pending}
    return {path: why for path, why in reasons.items() if why}


def _drop(stem, state, files, rows, host, kept):
    """Drop from the baseline what is back."""
    files = {found["path"] for found in files if found["status"] in ("refused", "partial")}
    state["files"] = {path: entry for path, entry in state["files"].items() if path in files}
    stay = {key for key, found in rows.items() if found["status"] in ("refused", "partial")}
    if kernel_parameter.CMDLINE in files:  # its words are known by them
        stay |= {key for key, entry in state["values"].items() if entry["kind"] == "kernel_parameter"}
    state["values"] = {key: entry for key, entry in state["values"].items() if key in stay}
    if not state["values"] and not state["files"]:
        baseline.drop_folders(state, host.root)
    baseline.save(kept, stem, state)


def _warnings(rows):
    return [
        f"{label(found)} {found['detail']}; it goes back to {found['wanted']} all the same."
        for found in rows
        if "neither the first-seen" in found["detail"] and found["status"] != "refused"
    ]
