# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The persistent files of settings: which differ, and how they are written with the commands that follow."""

from __future__ import annotations

import os
import stat
import typing

from ansible_collections.inference.host.plugins.module_utils import atomic, baseline
from ansible_collections.inference.host.plugins.module_utils.tunables_host import HEADER, TunablesError


class Pending(typing.NamedTuple):
    """A persistent file that differs from what is wanted; None stands for no file."""

    path: str
    now: str | None
    wanted: str | None
    after: list
    shared: bool = False
    reboot: str | None = None
    """Why a change needs a reboot."""


def pending_files(kinds, pairs, stem, host, state):
    """Return [Pending], the persistent files that differ; kinds: {name: module of tunable_kinds}.

    One that is not wanted is left alone unless it says that it is ours.
    """
    wanted, now, after, shared, reboot = {}, {}, {}, set(), {}
    for name, kind in kinds.items():
        of_kind = [pair for pair in pairs if pair[0]["kind"] == name]
        for item in kind.wanted_files(of_kind, stem, host, state):
            if item.path not in now:
                now[item.path] = wanted[item.path] = host.text(item.path)
            if callable(item.text):
                shared.add(item.path)
                wanted[item.path] = item.text(wanted[item.path])
            elif item.text is not None or (now[item.path] or "").startswith(HEADER):
                wanted[item.path] = item.text
            after[item.path] = after.get(item.path, []) + item.after
            reboot[item.path] = item.reboot
    files = [
        Pending(path, now[path], wanted[path], after[path], path in shared, reboot[path])
        for path in wanted
        if wanted[path] != now[path]
    ]
    known = set(now) | {setting.get("path") for setting, _found in pairs}
    return files + _no_longer_wanted(state, known, host)


def _no_longer_wanted(state, known, host):
    """Return [Pending] for files of settings that are no more among them, in the order in which a restore has them.

    One that another tool has changed since is left alone.
    """
    files = []
    for path, kept in sorted(state["files"].items()):
        if path in known or kept.get("shared") or kept["before"]["kind"] not in ("absent", "file"):
            continue
        text, first = host.text(path), kept["before"]
        if text is not None and baseline.digest_of(_bytes(text)) == kept["written"]:
            first = None if first["kind"] == "absent" else baseline.content(first).decode("utf-8", "surrogateescape")
            files.append(Pending(path, text, first, kept["after"], False, kept.get("reboot")))
    return files


def commands_of(files, state):
    """Return the commands to be run, each once: what earlier runs left, then what the files ask for."""
    commands = []
    for argv in state["pending"] + [argv for item in files for argv in item.after]:
        if argv not in commands:
            commands.append(argv)
    return commands


def write_files(files, commands, state, other, save, host):
    """Write the persistent files and run the commands; return {argv as tuple: what went wrong}.

    What is kept says before the first write that the commands are still to be run, and after it which of them failed.
    """
    for item in files:
        data, ours = _bytes(item.wanted), HEADER.encode("ascii")
        baseline.note(state, host.root, item.path, data, other, item.after, item.shared, header=ours)
        state["files"][item.path]["reboot"] = item.reboot
    state["pending"] = commands
    save()
    for item in files:
        _write_file(item, host.place(item.path))
    failures = run(commands, state, host)
    baseline.forget_unchanged(state, host.root, [item.path for item in files])
    save()
    return failures


def run(commands, state, host):
    """Run the commands, and keep those that fail as still pending; return {argv as tuple: what went wrong}."""
    failures = {}
    for argv in commands:
        words = host.run(argv)
        if words:
            failures[tuple(argv)] = words
    state["pending"] = [argv for argv in commands if tuple(argv) in failures]
    return failures


def _bytes(text):
    return None if text is None else text.encode("utf-8", "surrogateescape")


def _write_file(item, target):
    try:
        if item.wanted is None:
            os.unlink(target)
            return
        os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
        mode, uid, gid = 0o644, -1, -1
        if item.now is not None:
            there = os.stat(target)  # of what a link leads to: the link itself lets everybody write
            mode, uid, gid = stat.S_IMODE(there.st_mode), there.st_uid, there.st_gid
        atomic.write(target, _bytes(item.wanted), mode, uid, gid)
    except OSError as error:
        says = f"{target} cannot be written: {atomic.words(error)}"
        raise TunablesError(f"{says}; the settings hold only until the next boot") from error
