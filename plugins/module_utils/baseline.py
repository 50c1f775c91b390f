# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host had before we came: first-seen values and files, kept once, in one JSON file for each role (stem).

{format, values: {key: {kind, name, path, before, written}}, files: {path: {before, written, after, reboot}},
folders: [path], pending: [command]}. `before` of a file is {kind: absent, file, link or directory, mode, owner, group,
content}, its content in base64. `written` is what we wrote last: a value, or the digest of a file; so `restored` can
tell what another tool has changed since. `after` are the commands to be run after a change of the file, `pending` those
that have not yet succeeded, `reboot` says why a change needs one. A file may be marked `shared` (several roles write
their words into it) or `sensitive`. `folders` were made by us.

First seen means by the host: where two roles set the same, both keep what was there before either came, so that they
can be undone in any order.
"""

from __future__ import annotations

import base64
import contextlib
import glob
import hashlib
import json
import os
import re
import stat

from ansible_collections.inference.host.plugins.module_utils import atomic

FORMAT = 1
REBOOT = "reboot"
"""Name of the file beside the stems' that says what waits for a reboot."""

_STEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


class BaselineError(Exception):
    """What is wrong, in one sentence for the person who must act."""


def check_stem(option, stem):
    """Raise BaselineError unless `stem` can be the name of files without ending."""
    if not _STEM.match(stem) or stem in (REBOOT, "all"):
        raise BaselineError(f"{option} is {stem!r}; it must be a file name without ending, such as 60-inference")


def file_of(folder, stem):
    """Return the JSON file of a stem."""
    return os.path.join(folder, stem + ".json")


def stems(folder):
    """Return the stems of which anything is kept."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    found = [name[:-5] for name in names if name.endswith(".json") and not name.startswith(".")]
    return sorted(stem for stem in found if stem != REBOOT)


def others(folder, but):
    """Return what is kept of all stems that are not in `but`."""
    return [load(folder, stem) for stem in stems(folder) if stem not in but]


def locked(folder):
    """Hold the baseline's lock, which every run that writes takes; makes the folder."""
    os.makedirs(folder, mode=0o755, exist_ok=True)
    return atomic.locked(os.path.join(folder, ".lock"))


def empty():
    """Return a state that keeps nothing."""
    return {"format": FORMAT, "values": {}, "files": {}, "folders": [], "pending": []}


def load(folder, stem):
    """Return what is kept of a stem. Raises BaselineError when its file is not ours to understand."""
    path = file_of(folder, stem)
    try:
        with open(path, encoding="utf-8") as stream:
            state = json.load(stream)
    except FileNotFoundError:
        return empty()
    except ValueError:
        state = None
    if not isinstance(state, dict) or state.get("format") != FORMAT or state.keys() != empty().keys():
        raise BaselineError(f"{path} is not the JSON that first-seen values are kept in; move it away")
    return state


def save(folder, stem, state):
    """Keep the state, or remove its file when there is nothing in it. Flushed to the disk before this returns."""
    path = file_of(folder, stem)
    if not any(state[part] for part in ("values", "files", "folders", "pending")):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    if state != load(folder, stem):
        atomic.write(path, json.dumps(state, indent=1, sort_keys=True).encode() + b"\n", 0o600)


def look(path):
    """Return what the path is now, as {kind, ...}. Raises OSError, and BaselineError for a device or a pipe."""
    try:
        now = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return {"kind": "absent"}
    found = {"mode": stat.S_IMODE(now.st_mode), "owner": now.st_uid, "group": now.st_gid}
    if stat.S_ISLNK(now.st_mode):
        return {"kind": "link", "content": encode(os.fsencode(os.readlink(path)))}
    if stat.S_ISDIR(now.st_mode):
        return dict(found, kind="directory")
    if not stat.S_ISREG(now.st_mode):
        raise BaselineError(f"{path} is there and is not a regular file")
    with open(path, "rb") as stream:
        return dict(found, kind="file", content=encode(stream.read()))


def encode(data):
    """Return bytes as the JSON keeps them."""
    return base64.b64encode(data).decode("ascii")


def content(found):
    """Return the bytes of what `look` found: a file's content or a link's target."""
    return base64.b64decode(found.get("content", ""))


def digest(found):
    """Return one word for what `look` found, by which it is known again: its content, not its owner or mode."""
    if found["kind"] in ("absent", "directory"):
        return found["kind"]
    return found["kind"] + " sha256:" + hashlib.sha256(content(found)).hexdigest()


def digest_of(data):
    """Return the digest of a file with these bytes, or of none."""
    return digest({"kind": "absent"} if data is None else {"kind": "file", "content": encode(data)})


def sweep(folder, stem, state, root=""):
    """Remove what a killed run left beside our files: half written ones, and old ones that it had kept for itself, as
    the baseline has what was there first. Only for who holds the lock."""
    swap_files = [entry["path"] for entry in state["values"].values() if entry["kind"] == "swap"]
    for path in [file_of(folder, stem), *(root + path for path in [*state["files"], *swap_files])]:
        atomic.sweep(glob.escape(path))
        atomic.forget(path)


def note(state, root, path, data, other=(), after=(), shared=False, header=None, sensitive=False):
    """Keep what `path` is, unless that is done already, and that `data` (bytes or None) is going to be written.

    root: folder in front of the path, without a slash at its end. other: what `others` returned. A shared file is
    undone by taking back our words. A file that begins with our `header` (its baseline was lost) counts as absent.
    """
    kept = state["files"].setdefault(path, {"before": None, "written": None, "after": []})
    if kept["before"] is None:
        known = [one["files"][path]["before"] for one in other if path in one["files"]]
        found = known[0] if known else look(root + path)
        kept["before"] = {"kind": "absent"} if header and content(found).startswith(header) else found
        _note_folders(state, root, path, other)
    kept["written"] = digest_of(data)
    kept["after"] = [list(argv) for argv in after]
    for mark, is_set in (("shared", shared), ("sensitive", sensitive)):
        if is_set:
            kept[mark] = True


def forget_unchanged(state, root, paths):
    """Drop what is kept of those paths that are as they were first seen."""
    for path in paths:
        if path in state["files"] and look(root + path) == state["files"][path]["before"]:
            del state["files"][path]


def note_folder(state, path, written, other=()):
    """Keep a directory that is to be made, changed or removed; written: `directory` or `absent`."""
    found = look(path)
    if found["kind"] == "absent":
        _note_folders(state, "", path + "/x", other)
    elif path not in state["folders"] and path not in state["files"]:
        known = [one["files"][path]["before"] for one in other if path in one["files"]]
        state["files"][path] = {"before": known[0] if known else found, "written": written, "after": []}


def _note_folders(state, root, path, other):
    """Keep which folders above `path` are not there, or were made by another role; the outermost first."""
    missing, folder = [], os.path.dirname(path)
    while folder != "/":
        if not os.path.isdir(root + folder) or any(folder in one["folders"] for one in other):
            missing.insert(0, folder)
        folder = os.path.dirname(folder)
    state["folders"] += [folder for folder in missing if folder not in state["folders"]]


def put_back(path, before):
    """Make `path` what `look` had found there. Raises OSError."""
    if before["kind"] == "absent":
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    if before["kind"] == "link":
        staged = atomic.beside(path, atomic.NEW)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(staged)
        os.symlink(content(before), os.fsencode(staged))
        os.replace(staged, path)
    elif before["kind"] == "directory":
        os.makedirs(path, exist_ok=True)
        os.chown(path, before["owner"], before["group"])
        os.chmod(path, before["mode"])
    else:
        atomic.write(path, content(before), before["mode"], before["owner"], before["group"])


def drop_folders(state, root):
    """Remove the folders that we made, as far as they are empty; those stay that others use by now."""
    for folder in reversed(state["folders"]):
        with contextlib.suppress(OSError):  # not empty, or gone already
            os.rmdir(root + folder)
    state["folders"] = []
