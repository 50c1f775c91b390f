# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kernel settings: read, compared as the kernel prints them, written, read back, persisted.

A setting is a dict {name, kind, path, value, reason, evidence, applies, why_not}: `kind` is sysctl (the path follows
from the name) or sysfs (`path` is a file or a glob below /sys or /proc).

A row is a dict {name, kind, pattern, path, before, wanted, after, status, reason, evidence, detail}, one for each file
of a setting; `status` is one of STATUSES. Every path is looked up below `root`, and told without it.
"""

from __future__ import annotations

import fnmatch
import glob
import json
import os
import re

from ansible_collections.inference.host.plugins.module_utils import atomic

STATUSES = ("ok", "changed", "partial", "not_applicable", "refused")
"""ok: was as wanted. changed: is now (in check mode: would be). partial: the kernel took another value.
not_applicable: not here, and `detail` says why. refused: `detail` is the system's error in words."""

HEADER = "# Written by Ansible (inference.host.tunables); changes made here are overwritten.\n"

_STEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_DECIMAL = re.compile(r"-?[0-9]{1,20}\Z")
_FILE = re.compile(r"/(sys|proc)/\S+\Z")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SYSCTL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@/-]*\Z")


class TunablesError(Exception):
    """What is wrong, in one sentence for the person who must act."""


def check_settings(settings, stem):
    """Raise TunablesError naming the first setting (or the file stem) that is not allowed."""
    if not _STEM.match(stem):
        raise TunablesError(f"persist_to is {stem!r}; it must be a file name without ending, such as 60-inference")
    seen = set()
    for setting in settings:
        _check_setting(setting)
        path = pattern_of(setting)
        if path in seen:
            raise TunablesError(f"settings: {setting['name']}: {path} is set twice")
        seen.add(path)


def _check_setting(setting):
    name, value, path = setting["name"], setting["value"], setting.get("path")
    for what, text in (("name", name), ("value", value), ("path", path or "/")):
        if not text.strip() or ".." in text or _CONTROL.search(text):
            says = f"settings: {name!r}: {what} is {text!r}"
            raise TunablesError(f"{says}; it must not be empty or hold a control character or '..'")
    says = f"settings: {name}: path is {path!r}"
    if setting["kind"] == "sysctl":
        if not _SYSCTL.match(name):
            raise TunablesError(f"settings: {name!r} is not the name of a sysctl, such as vm.swappiness")
        if path:
            raise TunablesError(f"{says}; a sysctl's path follows from its name, leave it out")
    elif not path or not _FILE.match(path) or os.path.normpath(path) != path:
        raise TunablesError(f"{says}; it must be a plain path or glob below /sys or /proc")
    elif fnmatch.fnmatchcase("numa_node", os.path.basename(path)):
        raise TunablesError(f"{says}; writing it does not move the device and taints the kernel")


def pattern_of(setting):
    """Return the path or glob of a setting: vm.swappiness is /proc/sys/vm/swappiness.

    As sysctl.d(5) has it, the first separator decides: after `net/ipv4/conf/eth0.1/…` dots belong to names.
    """
    if setting["kind"] == "sysfs":
        return setting["path"]
    name = setting["name"]
    separators = re.findall(r"[./]", name)
    if separators and separators[0] == ".":
        name = name.translate(str.maketrans("./", "/."))
    return "/proc/sys/" + name


def place(root, path):
    """Return where `path` is when the host's root folder is `root`."""
    return root.rstrip("/") + path


def shown(text):
    """Return the value that the kernel means: the choice in brackets if there is one, with single blanks.

    `[none] mq-deadline` is `none`, and `4096\t131072\t6291456` is the same as with blanks.
    """
    words = text.split()
    chosen = [word[1:-1] for word in words if word.startswith("[") and word.endswith("]")]
    return chosen[0] if len(chosen) == 1 else " ".join(words)


def same(value, wanted):
    """Tell whether two values are one to the kernel: equal words, whole numbers by their number (`010` is 10)."""
    words, wanted_words = value.split(), wanted.split()
    return len(words) == len(wanted_words) and all(map(_same_word, words, wanted_words))


def _same_word(one, other):
    if _DECIMAL.match(one) and _DECIMAL.match(other):
        return int(one) == int(other)
    return one == other


def read(settings, root="/"):
    """Return the rows as they stand, changing nothing; where a write is needed the row foretells `changed`.

    Raises TunablesError when two settings reach the same file.
    """
    rows, owners = [], {}
    for setting in settings:
        for row in _read_setting(setting, root):
            rows.append(row)
            if row["before"] is not None and owners.setdefault(row["path"], row["pattern"]) != row["pattern"]:
                other = owners[row["path"]]
                raise TunablesError(f"settings: {row['path']} is set twice, by {other} and by {row['pattern']}")
    return rows


def _read_setting(setting, root):
    pattern = pattern_of(setting)
    if not setting["applies"]:
        return [_row(setting, pattern, "not_applicable", detail=setting.get("why_not") or "does not apply here")]
    base = root.rstrip("/")
    if setting["kind"] == "sysfs":
        paths = [path[len(base) :] for path in sorted(glob.glob(glob.escape(base) + pattern))]
    else:
        paths = [pattern]
    if not paths:
        return [_row(setting, pattern, "not_applicable", detail=f"{pattern} does not exist here")]
    return [_read_file(setting, path, root) for path in paths]


def _read_file(setting, path, root):
    try:
        before = _value(place(root, path))
    except (FileNotFoundError, NotADirectoryError):
        return _row(setting, path, "not_applicable", detail=f"{path} does not exist here")
    except OSError as error:
        return _row(setting, path, "refused", detail=f"reading: {atomic.words(error)}")
    if same(before, setting["value"]):
        return _row(setting, path, "ok", before, before)
    return _row(setting, path, "changed", before, " ".join(setting["value"].split()))


def _row(setting, path, status, before=None, after=None, detail=""):
    return {
        "name": setting["name"],
        "kind": setting["kind"],
        "pattern": pattern_of(setting),
        "path": path,
        "before": before,
        "wanted": setting["value"],
        "after": after,
        "status": status,
        "reason": setting.get("reason") or "",
        "evidence": setting.get("evidence"),
        "detail": detail,
    }


def _value(path):
    with open(path, "rb") as stream:
        return shown(stream.read().decode("utf-8", "replace"))


def write(row, root="/"):
    """Write the wanted value of a row that `read` returned, read it back, and return the row as it is then."""
    path, wanted = place(root, row["path"]), row["wanted"]
    try:
        handle = os.open(path, os.O_WRONLY | os.O_TRUNC)  # never makes a file
        try:
            os.write(handle, wanted.encode() + b"\n")  # one call, as the kernel takes each as a whole value
        finally:
            os.close(handle)
    except OSError as error:
        return dict(row, status="refused", after=row["before"], detail=atomic.words(error))
    try:
        after = _value(path)
    except OSError as error:
        return dict(row, status="refused", after=None, detail=f"reading back: {atomic.words(error)}")
    if same(after, wanted):
        return dict(row, status="changed", after=after)
    return dict(row, status="partial", after=after, detail=f"the kernel has {after} after {wanted} was written")


def persistent_files(settings, rows, stem):
    """Return {path: text} of the sysctl.d and the tmpfiles.d file; the text is None where no setting needs the file.

    A setting is persisted if any of its files took it, also in part; what is refused now would only fail at boot.
    """
    taken = {row["pattern"] for row in rows if row["status"] in ("ok", "changed", "partial")}
    lines = {"sysctl": [], "sysfs": []}
    for setting in settings:
        if pattern_of(setting) in taken:
            lines[setting["kind"]].extend([_comment(setting), _line(setting)])
    return {
        f"/etc/{folder}/{stem}.conf": HEADER + "".join(lines[kind]) if lines[kind] else None
        for kind, folder in (("sysctl", "sysctl.d"), ("sysfs", "tmpfiles.d"))
    }


def _comment(setting):
    words = (setting.get("reason") or "").split()  # on one line, whatever it holds
    if setting.get("evidence"):
        words.append(f"({setting['evidence']})")
    return "# {}\n".format(" ".join(words)) if words else ""


def _line(setting):
    if setting["kind"] == "sysctl":
        return f"{setting['name']} = {setting['value']}\n"
    value = setting["value"].replace("\\", "\\\\")  # tmpfiles.d(5) knows escapes in values, and % in both
    return "w {} - - - - {}\n".format(setting["path"].replace("%", "%%"), value.replace("%", "%%"))


def pending_files(files, root="/"):
    """Return [(path, text now, wanted text)] of the persistent files that differ; None stands for no file.

    A file that is not wanted is left alone unless its first line says that it is ours.
    """
    pending = []
    for path, wanted in files.items():
        now = _text(place(root, path))
        if now != wanted and (wanted is not None or now.startswith(HEADER)):
            pending.append((path, now, wanted))
    return pending


def _text(path):
    try:
        with open(path, encoding="utf-8", errors="replace", newline="") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def foresee(settings, stem, root="/"):
    """Return (rows, pending files) as `apply` would, changing nothing."""
    rows = read(settings, root)
    return rows, pending_files(persistent_files(settings, rows, stem), root)


def apply(settings, stem, root="/", baseline="/var/lib/inference.host/baseline"):
    """Make the settings true and lasting; return (rows, the persistent files that differed as pending_files has them).

    Runs wait for each other. Where there is nothing to write, nothing is made, not even the baseline's folder.
    Raises TunablesError or OSError when the baseline or a persistent file cannot be read or written.
    """
    folder = place(root, baseline)
    if not os.path.isdir(folder):
        rows, pending = foresee(settings, stem, root)
        if all(row["status"] != "changed" for row in rows) and all(wanted is None for _path, _now, wanted in pending):
            _persist(pending, root)
            return rows, pending
        os.makedirs(folder, mode=0o755, exist_ok=True)
    with atomic.locked(os.path.join(folder, ".lock")):
        rows = _write_all(read(settings, root), os.path.join(folder, stem + ".json"), root)
        pending = pending_files(persistent_files(settings, rows, stem), root)
        _persist(pending, root)
    return rows, pending


def _write_all(rows, baseline_file, root):
    """Write the rows that differ. Their first-seen values are kept before, so that a killed run loses none."""
    if all(row["status"] != "changed" for row in rows):
        return rows
    known = load_baseline(baseline_file)
    _save_baseline(baseline_file, _with_first_seen(known, [row for row in rows if row["status"] == "changed"]))
    rows = [write(row, root) if row["status"] == "changed" else row for row in rows]
    _save_baseline(baseline_file, _with_first_seen(known, [row for row in rows if row["before"] != row["after"]]))
    return rows


def _with_first_seen(known, rows):
    return dict({row["path"]: {key: row[key] for key in ("name", "kind", "before")} for row in rows}, **known)


def load_baseline(path):
    """Return {path of the setting: {name, kind, before}} as first seen, from the baseline's JSON file."""
    try:
        with open(path, encoding="utf-8") as stream:
            return dict(json.load(stream))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError) as error:
        raise TunablesError(f"{path} is not the JSON that first-seen values are kept in; move it away") from error


def _save_baseline(path, entries):
    if entries and entries != load_baseline(path):
        atomic.write(path, json.dumps(entries, indent=1, sort_keys=True).encode() + b"\n", 0o600)
    elif not entries and os.path.exists(path):
        os.unlink(path)


def _persist(pending, root):
    for path, _now, wanted in pending:
        target = place(root, path)
        try:
            if wanted is None:
                os.unlink(target)
            else:
                os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
                atomic.write(target, wanted.encode("utf-8", "surrogateescape"), 0o644)
        except OSError as error:
            says = f"{target} cannot be written: {atomic.words(error)}"
            raise TunablesError(f"{says}; the settings hold only until the next boot") from error


def changed(rows, pending):
    """Tell whether a live value or a persistent file is, or would be, another one than before."""
    return bool(pending) or any(row["before"] != row["after"] for row in rows)


def summary(rows):
    """Return how many rows have each of STATUSES."""
    return {status: sum(row["status"] == status for row in rows) for status in STATUSES}


def refusal(rows):
    """Return one sentence that names the refused settings with their wanted values and why, or None."""
    refused = [f"{_label(row)} = {row['wanted']} ({row['detail']})" for row in rows if row["status"] == "refused"]
    return "refused by the system: " + ", ".join(refused) if refused else None


def _label(row):
    return row["name"] if row["kind"] == "sysctl" else row["path"]


def diff(rows, pending):
    """Return Ansible's list of before and after: the live values as `name = value` lines, then each file."""
    live = [row for row in rows if row["before"] is not None]
    before, after = ("".join(f"{_label(row)} = {row[when]}\n" for row in live) for when in ("before", "after"))
    entries = [("kernel settings", before, after)]
    entries.extend((path, now or "", wanted or "") for path, now, wanted in pending)
    return [
        {"before_header": header, "after_header": header, "before": before, "after": after}
        for header, before, after in entries
        if before != after
    ]
