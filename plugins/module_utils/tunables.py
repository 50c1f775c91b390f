# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kernel settings: read, compared as the kernel prints them, written, read back, persisted.

A setting is a dict {role, name, kind, path, value, reason, evidence, applies, why_not, persist, retry_seconds, after,
reboot}; what its `kind` means is in tunable_kinds. Rows are described in tunables_host.py, the baseline in baseline.py.
"""

from __future__ import annotations

import os
import typing

from ansible_collections.inference.host.plugins.module_utils import baseline, overrides, tunables_reboot
from ansible_collections.inference.host.plugins.module_utils.tunable_kinds import (
    file,
    kernel_parameter,
    mount,
    swap,
    sysctl,
    sysfs,
    values,
)
from ansible_collections.inference.host.plugins.module_utils.tunables_files import (
    commands_of,
    pending_files,
    write_files,
)
from ansible_collections.inference.host.plugins.module_utils.tunables_host import TunablesError, label, row

KINDS = {
    "sysctl": sysctl,
    "sysfs": sysfs,
    "file": file,
    "mount": mount,
    "swap": swap,
    "kernel_parameter": kernel_parameter,
}


class Outcome(typing.NamedTuple):
    """What was done, or would be."""

    rows: list
    files: list
    """Pending, one for each file that differed."""
    commands: list
    """The commands that were run."""
    warnings: list
    reboot_required: list | None
    """Sentences that say why; None where no setting ever needed a reboot."""


def check_settings(settings, stem):
    """Raise an error naming the first setting (or the file stem) that is not allowed."""
    baseline.check_stem("persist_to", stem)
    seen = set()
    for setting in settings:
        kind = KINDS[setting["kind"]]
        kind.check(setting)
        if setting.get("persist") and setting["kind"] not in ("sysctl", "sysfs"):
            says = f"settings: {setting['name']}: persist is only for kinds sysctl and sysfs"
            raise TunablesError(f"{says}; leave it out")
        for option in ("after", "reboot"):
            if setting.get(option) and setting["kind"] != "file":
                raise TunablesError(f"settings: {setting['name']}: {option} is only for kind file; leave it out")
        target = kind.target(setting)
        if target in seen:
            raise TunablesError(f"settings: {setting['name']}: {target} is set twice")
        seen.add(target)


def read(settings, host):
    """Return [(setting, row)] as they stand, changing nothing; where a write is needed the row foretells `changed`.

    Raises TunablesError when two settings reach the same file.
    """
    pairs, owners = [], {}
    for setting in settings:
        kind = KINDS[setting["kind"]]
        for found in _rows(kind, setting, host):
            pairs.append((setting, found))
            if found["before"] is not None and owners.setdefault(kind.key(found), found["pattern"]) != found["pattern"]:
                other = owners[kind.key(found)]
                raise TunablesError(f"settings: {found['path']} is set twice, by {other} and by {found['pattern']}")
    return pairs


def _rows(kind, setting, host):
    if setting.get("applies", True):
        return kind.read(setting, host)
    why_not = setting.get("why_not") or "does not apply here"
    return [row(setting, kind.target(setting), "not_applicable", detail=why_not)]


def foresee(settings, stem, host, folder):
    """Return the Outcome that `apply` would have, changing nothing; `persisted` is told as it is now."""
    state = baseline.load(host.place(folder), stem)
    pairs = read(settings, host)
    files = pending_files(KINDS, pairs, stem, host, state)
    pairs = _unfinished(pairs, state, host)
    commands = commands_of(files, state)
    rows, warnings = _judge(pairs, files, stem, host)
    return Outcome(rows, files, commands, warnings, tunables_reboot.foresee(pairs, stem, host, host.place(folder)))


def apply(settings, stem, host, folder):
    """Make the settings true and lasting; return the Outcome.

    Runs wait for each other. Where there is nothing to do, nothing is made, not even the baseline's folder.
    Raises TunablesError, BaselineError or OSError when the baseline or a persistent file cannot be read or written.
    """
    kept = host.place(folder)
    if not os.path.isdir(kept):
        outcome = foresee(settings, stem, host, folder)
        if not outcome.files and all(found["status"] != "changed" for found in outcome.rows):
            return outcome
    with baseline.locked(kept):
        state, other = baseline.load(kept, stem), baseline.others(kept, [stem])
        baseline.sweep(kept, stem, state, host.root)

        def save():
            baseline.save(kept, stem, state)

        pairs = _write_values(read(settings, host), state, other, save, host)
        files = pending_files(KINDS, pairs, stem, host, state)
        pairs = _unfinished(pairs, state, host)
        _keep_words(pairs, files, state, other)
        commands = commands_of(files, state)
        reboots = {item.path: item.reboot for item in files if item.reboot}
        tunables_reboot.note_files(reboots, stem, False, host, kept)
        failures = write_files(files, commands, state, other, save, host)
        if commands:
            pairs = [(setting, _after_commands(setting, found, failures, host)) for setting, found in pairs]
        rows, warnings = _judge(pairs, [], stem, host)
        warnings += _without_a_row(failures, pairs, host)
        pairs = [(setting, found) for (setting, _row), found in zip(pairs, rows)]
        rows, reboot = tunables_reboot.apply(pairs, stem, host, kept)
    return Outcome(rows, files, commands, warnings, reboot)


def _unfinished(pairs, state, host):
    """Return the pairs, those marked `changed` whose file an earlier run wrote without getting its commands run."""
    result = []
    for setting, found in pairs:
        left = [argv for argv in KINDS[setting["kind"]].commands(setting, host) if argv in state["pending"]]
        if left and found["status"] == "ok":
            words = "; ".join(" ".join(argv) for argv in left)
            found = dict(found, status="changed", detail=f"still to be run after an earlier change: {words}")
        result.append((setting, found))
    return result


def _write_values(pairs, state, other, save, host):
    """Write the rows that differ. Their first-seen values are kept before, so that a killed run loses none."""
    todo = [at for at, (_setting, found) in enumerate(pairs) if found["status"] == "changed"]
    todo.sort(key=lambda at: not values.lowers_pages(pairs[at][1]))
    new = _keep_values([pairs[at][1] for at in todo], state, other)
    save()
    rows = {at: found for at, (_setting, found) in enumerate(pairs)}
    for at in todo:
        rows[at] = KINDS[rows[at]["kind"]].write(rows[at], host)
    anew = _set_anew(pairs, host) if todo else []
    for at in anew:
        rows[at] = values.write(rows[at], host)
    rows = values.retry(rows, {at: setting.get("retry_seconds") or 0 for at, (setting, _row) in enumerate(pairs)}, host)
    known = [found for found in rows.values() if KINDS[found["kind"]].key(found) in state["values"]]
    _keep_values([rows[at] for at in todo + anew] + known, state, other)
    for at in todo:
        kind, found = KINDS[rows[at]["kind"]], rows[at]
        untouched = found["status"] != "changed" and found["before"] == found["after"]
        if kind.key(found) in new and untouched:
            state["values"].pop(kind.key(found), None)
    save()
    return [(setting, rows[at]) for at, (setting, _row) in enumerate(pairs)]


def _set_anew(pairs, host):
    """Return the places of rows that were right until another value was written: a scheduler sets nr_requests anew."""
    return [at for at, (_setting, found) in enumerate(pairs) if found["kind"] in ("sysctl", "sysfs")
            and found["status"] == "ok" and values.read_back(found, host)["status"] == "partial"]


def _keep_values(rows, state, other):
    """Keep the first-seen values of rows, and what is (going to be) written; return the keys that are new."""
    new = set()
    for found in rows:
        kind = KINDS[found["kind"]]
        kept, known = kind.entry(found), state["values"].get(kind.key(found))
        if kept is None:
            continue
        if known is None:
            new.add(kind.key(found))
            first = [one["values"][kind.key(found)]["before"] for one in other if kind.key(found) in one["values"]]
            state["values"][kind.key(found)] = dict(kept, before=first[0]) if first else kept
        elif found["status"] not in ("refused", "not_applicable") and kept["written"] != known["written"]:
            known["written"] = kept["written"]
            if "names" in kept:
                known["names"] = sorted({*known["names"], *kept["names"]})
    return new


def _keep_words(pairs, files, state, other):
    """Keep also what was live before us where words for it go into a file that is not ours alone, as into fstab: they
    are taken back by what is kept."""
    if any(item.shared and item.now is not None for item in files):
        _keep_values([found for setting, found in pairs if found["status"] in ("ok", "changed")
                      and hasattr(KINDS[setting["kind"]], "take_back")], state, other)


def _after_commands(setting, found, failures, host):
    """Return the row after the commands were run: values are read again, since a command may have set them."""
    commands = KINDS[setting["kind"]].commands(setting, host)
    failed = [failures[tuple(argv)] for argv in commands if tuple(argv) in failures]
    if setting["kind"] in ("sysctl", "sysfs"):
        if found["status"] in ("ok", "changed"):
            found = values.read_back(found, host, " and the commands were run")
        return dict(found, detail="; ".join(filter(None, [found["detail"], *failed]))) if failed else found
    if failed and found["status"] in ("ok", "changed"):
        return dict(found, status="refused", detail="; ".join(failed))
    return found


def _without_a_row(failures, pairs, host):
    """Return sentences on commands that failed after a file whose setting is gone: no row could tell."""
    told = [argv for setting, _found in pairs for argv in KINDS[setting["kind"]].commands(setting, host)]
    return [f"{words}; the next run tries again." for argv, words in failures.items() if list(argv) not in told]


def _judge(pairs, files, stem, host):
    """Return (rows, warnings): what of the rows outlasts a reboot, and which other file is in the way.

    `files` are those that are only foretold: `persisted` is told without them, `overridden_by` as if they were there.
    """
    now, foretold = overrides.Boot(host), overrides.Boot(host, {item.path: item.wanted for item in files})
    rows, warnings = [], []
    for setting, found in pairs:
        if found["before"] is None or found["status"] not in ("ok", "changed", "partial"):
            rows.append(found)
            continue
        kind, wanted, path = KINDS[setting["kind"]], found["wanted"], found["path"]
        value, by = kind.survives(setting, found, stem, now)
        found = dict(found, persisted=value is not None and values.same(value, wanted, path))
        if files:
            value, by = kind.survives(setting, found, stem, foretold)
        lost = value is not None and not values.same(value, wanted, path)
        if lost and setting.get("persist") != "none" and os.path.splitext(os.path.basename(by))[0] != stem:
            says = f"{by} sets {label(found)} to {value} at boot"
            found = dict(found, overridden_by=by, detail="; ".join(filter(None, [found["detail"], says])))
            warnings.append(f"{says}, so {wanted} holds only until then; remove it there.")
        rows.append(found)
    return rows, warnings
