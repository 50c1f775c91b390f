# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A set of files that becomes true as a whole or not at all.

`make_plan` compares what is wanted with what is there and changes nothing; `apply` carries a plan out, asks the
validating command, and puts everything back when a write or the command fails; `recover` does the same for a run
that was killed. What a plan would do is told by `changed_paths`, and by file_diff.py.
"""

from __future__ import annotations

import glob
import grp
import os
import pwd
import re
import stat
import subprocess
import tempfile
import typing

from ansible_collections.inference.host.plugins.module_utils import atomic

LAST_LINES = 10
"""How many of the validating command's last lines go into the message."""

_MODE = re.compile(r"[0-7]{4}\Z")
_WILDCARD = re.compile(r"[*?\[]")
_UNIT_FOLDER = re.compile(r".+\.(service|socket|slice|scope|target|timer|mount|automount|swap|path)\.d\Z")


class FileSetError(Exception):
    """What is wrong, in one sentence for the person who must act."""


class State(typing.NamedTuple):
    """What a path is. `uid` and `gid`: a number, -1 for "not said", or a name that is still to come (check mode)."""

    kind: str
    """absent, file, directory, link or other"""
    data: bytes = b""
    mode: int = 0
    uid: typing.Any = -1
    gid: typing.Any = -1


class Change(typing.NamedTuple):
    """One path that is to become something else."""

    path: str
    before: State
    after: State
    sensitive: bool = False


class Plan(typing.NamedTuple):
    """What differs: directories (in order), files to write and to remove, and folders that this leaves empty."""

    directories: list
    files: list
    folders: list


ABSENT = State("absent")


def check_arguments(files, absent, directories):
    """Raise FileSetError naming the first path or mode that is not allowed; the shapes are those of the module."""
    for option, paths in (
        ("files", [item["path"] for item in files]),
        ("absent", absent),
        ("directories", [item["path"] for item in directories]),
    ):
        for path in paths:
            _check_path(option, path)
    for pattern in absent:
        if "**" in pattern:
            raise FileSetError(f"absent: {pattern}: ** is not allowed, name one level of folders")
    seen = set()
    for item in list(files) + list(directories):
        if item["path"] in seen:
            raise FileSetError(f"{item['path']} is named twice in files and directories")
        seen.add(item["path"])
        if not _MODE.match(item["mode"]):
            says = f"{item['path']}: mode is {item['mode']!r}"
            raise FileSetError(f"{says}; it must be four octal digits in quotes, such as '0644'")


def _check_path(option, path):
    if "\0" in path or "\n" in path:
        raise FileSetError(f"{option}: {path!r} has a NUL or a line break in it")
    if not path.startswith("/"):
        raise FileSetError(f"{option}: {path!r} is not an absolute path")
    if path.endswith("/"):
        raise FileSetError(f"{option}: {path} is the path of a directory without a name; leave out the last /")
    if atomic.plain(path) != path:
        raise FileSetError(f"{option}: {path} must be written as {atomic.plain(path)}")


def recover(files, absent):
    """Put back what a killed run of the same set had changed; return the paths. Only for who holds the lock."""
    patterns = [glob.escape(item["path"]) for item in files] + list(absent)
    paths = set()
    for pattern in patterns:
        atomic.sweep(pattern)
        paths.update(atomic.kept_paths(pattern))
    return [path for path in sorted(paths) if atomic.put_back(path)]


def lock_path(root=""):
    """Return the lock file that keeps two runs from mixing, for `atomic.locked`; one for all sets of a host.

    root: a folder that stands for the host, in tests.
    """
    if os.access(root + "/run", os.W_OK):
        return root + "/run/inference.host.lock"
    return os.path.join(tempfile.gettempdir(), f"inference.host-{os.geteuid()}.lock")


def make_plan(files, absent, directories, check_mode=False):
    """Return the Plan: what of the set is not yet as wanted. Reads only.

    `files`: list of dicts with path, content, mode, owner, group, sensitive; `absent`: list of globs; `directories`:
    list of dicts with path, mode, owner, group. In check mode, users, groups and folders may be missing, since an
    earlier task that was only simulated may make them. Raises FileSetError.
    """
    check_arguments(files, absent, directories)
    folders = _plan_directories(directories, check_mode)
    coming = {change.path for change in folders}
    writes = [change for change in (_plan_file(item, coming, check_mode) for item in files) if change]
    removals = _plan_removals(files, absent)
    empty = _plan_empty_folders(files, absent, directories, removals)
    return Plan(folders, writes + removals, empty)


def _plan_directories(directories, check_mode):
    changes, coming = [], set()
    for item in sorted(directories, key=lambda item: item["path"]):  # a folder before what is in it
        for parent in reversed(_missing_parents(item["path"])):
            if parent not in coming:
                coming.add(parent)
                changes.append(Change(parent, ABSENT, State("directory", b"", 0o755)))
        before = read_state(item["path"])
        if before.kind not in ("absent", "directory"):
            raise FileSetError(f"directories: {item['path']} is there and is not a directory")
        after = _wanted("directory", item, before, check_mode)
        if after != before:
            coming.add(item["path"])
            changes.append(Change(item["path"], before, after))
    return changes


def _missing_parents(path):
    missing = []
    parent = os.path.dirname(path)
    while not os.path.isdir(parent):
        if os.path.lexists(parent):
            raise FileSetError(f"directories: {path}: {parent} is not a directory")
        missing.append(parent)
        parent = os.path.dirname(parent)
    return missing


def _plan_file(item, coming, check_mode):
    path, folder = item["path"], os.path.dirname(item["path"])
    before = read_state(path)
    if before.kind == "directory":
        raise FileSetError(f"files: {path} is a directory")
    if before.kind == "link":
        raise FileSetError(f"files: {path} is a symbolic link, which is not written through; name its target")
    if before.kind == "other":
        raise FileSetError(f"files: {path} is there and is not a regular file")
    if not check_mode and folder not in coming and not os.path.isdir(folder):
        raise FileSetError(f"files: {path}: the folder {folder} is missing; name it in directories")
    after = _wanted("file", item, before, check_mode)
    return Change(path, before, after, item["sensitive"]) if after != before else None


def _wanted(kind, item, before, check_mode):
    """Return the wanted State; owner and group that are not given stay what they are."""
    data = item["content"].encode("utf-8", "surrogateescape") if kind == "file" else b""
    uid = _owner_id("user", item["path"], item.get("owner"), check_mode)
    gid = _owner_id("group", item["path"], item.get("group"), check_mode)
    uid = before.uid if uid is None else uid
    gid = before.gid if gid is None else gid
    return State(kind, data, int(item["mode"], 8), uid, gid)


def _owner_id(kind, path, name, check_mode):
    if name is None:
        return None
    try:
        return pwd.getpwnam(name).pw_uid if kind == "user" else grp.getgrnam(name).gr_gid
    except KeyError:
        if name.isdigit():
            return int(name)
        if check_mode:
            return name
        raise FileSetError(f"{path}: there is no {kind} {name!r} on this host") from None


def _plan_removals(files, absent):
    wanted = {item["path"] for item in files}
    found = {path for pattern in absent for path in glob.glob(pattern) if not atomic.is_ours(path)}
    changes = []
    for path in sorted(found - wanted):
        before = read_state(path)
        if before.kind in ("file", "link"):
            # What everybody may read is no secret; of other files nobody has said whether they are.
            changes.append(Change(path, before, ABSENT, sensitive=not before.mode & stat.S_IROTH))
    return changes


def _plan_empty_folders(files, absent, directories, removals):
    """Return the folders of this set that the removals leave empty; folders that packages own stay."""
    removed = {change.path for change in removals}
    needed = {os.path.dirname(item["path"]) for item in files}.union(item["path"] for item in directories)
    changes = []
    for folder in sorted({os.path.dirname(path) for path in removed} - needed):
        names = [name for name in os.listdir(folder) if not atomic.is_ours(name)]
        if _is_of_set(folder, absent) and all(os.path.join(folder, name) in removed for name in names):
            changes.append(Change(folder, read_state(folder), ABSENT))
    return changes


def _is_of_set(folder, absent):
    """Tell whether the folder itself belongs to the set: a glob names it with a wildcard, or it is a unit's own."""
    if _UNIT_FOLDER.match(os.path.basename(folder)):
        return True
    parts = [os.path.dirname(pattern) for pattern in absent]
    return any(_WILDCARD.search(part) and folder in glob.glob(part) for part in parts)


def read_state(path):
    """Return the State of the path itself, never of what a symlink leads to. Raises FileSetError."""
    try:
        now = os.lstat(path)
        kind, data = "other", b""
        if stat.S_ISREG(now.st_mode):
            kind = "file"
            with open(path, "rb") as stream:
                data = stream.read()
        elif stat.S_ISDIR(now.st_mode):
            kind = "directory"
        elif stat.S_ISLNK(now.st_mode):
            kind, data = "link", os.fsencode(os.readlink(path))
    except FileNotFoundError:
        return ABSENT
    except OSError as error:
        raise FileSetError(f"{path} cannot be read: {atomic.words(error)}") from error
    return State(kind, data, stat.S_IMODE(now.st_mode), now.st_uid, now.st_gid)


def apply(plan, validate=()):
    """Carry the plan out, then run `validate` (an argv, or a function) if there is one and something changed.

    When anything fails, and also when an exception comes from a signal handler, all is put back as it was, and
    FileSetError says what failed. Other exceptions are passed on after that.
    """
    if not any(plan):
        return
    touched = []
    try:
        for change in plan.directories:
            touched.append(change)
            _make_directory(change)
        atomic.exchange((change.path, *_new(change.after)) for change in plan.files)
        _run(validate)
    except OSError as error:
        what = f"{error.filename2 or error.filename} cannot be written: {atomic.words(error)}"
        raise FileSetError(f"{what}; {_undo(plan, touched)}") from error
    except FileSetError as error:
        raise FileSetError(f"{error}; {_undo(plan, touched)}") from error
    except BaseException:
        _undo(plan, touched)
        raise
    for change in plan.files:
        atomic.forget(change.path)
    for change in plan.folders:
        _remove_folder(change.path)


def _new(state):
    """Return what `atomic.exchange` takes of a State: (data, mode, uid, gid), where data None means no file."""
    return None if state.kind == "absent" else state.data, state.mode, state.uid, state.gid


def _make_directory(change):
    if change.before.kind == "absent":
        os.mkdir(change.path, 0o700)  # closed until its owner and mode are set
    _set_attributes(change.path, change.after)


def _set_attributes(path, state):
    """Set what differs: an unprivileged user may not even set what is there already."""
    now = os.stat(path)
    if state.uid not in (-1, now.st_uid) or state.gid not in (-1, now.st_gid):
        os.chown(path, state.uid, state.gid)
    if stat.S_IMODE(os.stat(path).st_mode) != state.mode:  # asked again, since a new owner clears setuid and setgid
        os.chmod(path, state.mode)


def _undo(plan, touched):
    """Put back the files and the touched directories; return the end of the sentence that says so."""
    failed = []
    steps = [(atomic.put_back, change.path) for change in reversed(plan.files)]
    steps += [(_undo_directory, change) for change in reversed(touched)]
    for undo, what in steps:
        try:
            undo(what)
        except OSError as error:
            failed.append(f"{error.filename} ({atomic.words(error)})")
    if failed:
        return "these could not be put back, the next run tries again: {}".format(", ".join(failed))
    return "everything is as it was before"


def _undo_directory(change):
    if change.before.kind == "absent":
        _remove_folder(change.path)
    else:
        _set_attributes(change.path, change.before)


def _remove_folder(path):
    """Remove the folder if it is empty; what somebody else has put there in the meantime stays."""
    if os.path.isdir(path) and not os.listdir(path):
        os.rmdir(path)


def _run(validate):
    """Run the validating command; raise FileSetError with its last lines unless it exits with 0. A function raises."""
    if not validate:
        return
    if callable(validate):
        validate()
        return
    command = " ".join(validate)
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            list(validate),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=dict(os.environ, LC_ALL="C"),
            check=False,
        )
    except OSError as error:
        raise FileSetError(f"validate: {command} cannot be run: {atomic.words(error)}") from error
    if done.returncode:
        lines = done.stdout.decode("utf-8", "replace").strip().splitlines()[-LAST_LINES:]
        raise FileSetError(
            "validate: {} ended with status {} and said: {}".format(command, done.returncode, "\n".join(lines))
        )


def changed_paths(plan):
    """Return the paths that the plan changes: directories, files written, files removed, folders removed."""
    return [change.path for changes in plan for change in changes]
