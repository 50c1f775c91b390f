# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files that are replaced whole or not at all: written beside the old one, flushed, then renamed over it.

`write` replaces one file. For several files that belong together there is `exchange`: `keep` holds on to what a path
was, so that `put_back` restores it without needing space on the disk, also in a later process when this one was
killed; `forget` ends that. What is kept lies beside the file under a hidden name that ends in `~`, which nginx,
systemd, sudo, cron and logrotate all pass over.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import os
import stat
import tempfile

NEW = ".inference-host-new~"
"""Ends the name of a file that is being written."""
WAS = ".inference-host-was~"
"""Ends the name under which the old file is kept."""
NONE = ".inference-host-none~"
"""Ends the name of the empty mark that says: there was no file."""

_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def words(error):
    """Return what an OSError means in plain words, in lower case: `no space left on device`."""
    if error.errno is None:
        return str(error)
    text = os.strerror(error.errno)
    return text[:1].lower() + text[1:]


def plain(path):
    """Return the absolute path that `path` should be written as. Of two slashes in front, which os.path.normpath keeps
    (POSIX lets them mean something else), os.path.dirname never gets to `/`."""
    return "/" + os.path.normpath(path).lstrip("/")


def beside(path, ending):
    """Return the hidden name beside `path` that ends in NEW, WAS or NONE; `path` may be a glob."""
    folder, name = os.path.split(path)
    return os.path.join(folder, "." + name + ending)


def stage(path, data, mode, uid=-1, gid=-1):
    """Write the bytes `data` to a new file beside `path`, flushed to the disk, and return its name.

    `mode` is a number; `uid` or `gid` -1 leaves what the system gave. Raises OSError with `path` as its file name,
    and then leaves nothing.
    """
    try:
        return _stage(path, data, mode, uid, gid)
    except OSError as error:
        error.filename = path
        raise


def _stage(path, data, mode, uid, gid):
    folder, name = os.path.split(path)
    handle, staged = tempfile.mkstemp(prefix="." + name + ".", suffix=NEW, dir=folder)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            _give(stream.fileno(), uid, gid)
            os.fchmod(stream.fileno(), mode)  # after the owner, since a new owner clears setuid and setgid
            os.fsync(stream.fileno())
    except BaseException:
        os.unlink(staged)
        raise
    return staged


def _give(handle, uid, gid):
    """Set the owner only where it differs, so that an unprivileged user may name itself."""
    now = os.fstat(handle)
    if (uid not in (-1, now.st_uid)) or (gid not in (-1, now.st_gid)):
        os.fchown(handle, uid, gid)


def write(path, data, mode=0o644, uid=-1, gid=-1):
    """Replace the file `path` (or make it) with the bytes `data` in one step.

    A reader sees the old file or the new one, never a part. A symlink is replaced, not followed. The folder must
    exist. Raises OSError, and then the old file is as it was and nothing is left beside it.
    """
    staged = stage(path, data, mode, uid, gid)
    try:
        os.replace(staged, path)
    except BaseException:
        os.unlink(staged)
        raise
    sync_folders([path])


def sweep(path):
    """Remove what was being written beside `path` (a glob is allowed) by a run that was killed, by `stage` or under the
    hidden name. Only for who holds a lock on it."""
    folder, name = os.path.split(path)
    for left in glob.glob(os.path.join(folder, "." + name + ".*" + NEW)) + glob.glob(beside(path, NEW)):
        os.unlink(left)


def sync_folders(paths):
    """Flush the folders of `paths`, so that renames in them outlast a power cut."""
    for folder in sorted({os.path.dirname(path) for path in paths}):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # some file systems cannot, and need not
                raise
        finally:
            os.close(handle)


def keep(path):
    """Hold on to what `path` is now: the file itself under a second name, or a mark that there is none."""
    was = beside(path, WAS)
    try:
        os.link(path, was, follow_symlinks=False)
    except FileNotFoundError:
        os.close(os.open(beside(path, NONE), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _keep_copy(path, was)


def _keep_copy(path, was):
    """Hold on to a file by a copy, for file systems without hard links."""
    now = os.lstat(path)
    if stat.S_ISLNK(now.st_mode):
        os.symlink(os.readlink(path), was)
        return
    with open(path, "rb") as stream:
        data = stream.read()
    os.replace(stage(path, data, stat.S_IMODE(now.st_mode), now.st_uid, now.st_gid), was)


def put_back(path):
    """Make `path` what it was when it was kept; return whether anything had been kept."""
    was, none = beside(path, WAS), beside(path, NONE)
    if os.path.lexists(was):
        os.replace(was, path)
        _unlink(was)  # still there when both names are one file, for then a rename does nothing
        return True
    if os.path.lexists(none):
        _unlink(path)
        os.unlink(none)
        return True
    return False


def forget(path):
    """Let go of what was kept of `path`."""
    _unlink(beside(path, WAS))
    _unlink(beside(path, NONE))


def kept_paths(pattern):
    """Return the paths, among those that the path or glob `pattern` names, of which something is kept."""
    found = set()
    for ending in (WAS, NONE):
        for held in glob.glob(beside(pattern, ending)):
            folder, name = os.path.split(held)
            found.add(os.path.join(folder, name[1 : -len(ending)]))
    return sorted(found)


def is_ours(path):
    """Tell whether `path` is one of the hidden names of this module."""
    return path.endswith((NEW, WAS, NONE))


def _unlink(path):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def exchange(files):
    """Bring new files in and take old ones out, each kept first; `put_back` or `forget` is the caller's next step.

    `files` yields (path, data, mode, uid, gid); data None takes the file away. All new files are written before the
    first old one is touched, since that is what a full disk stops. Raises OSError half way.
    """
    files = list(files)
    paths = [path for path, _data, _mode, _uid, _gid in files]
    staged = {}
    try:
        for path, data, mode, uid, gid in files:
            if data is not None:
                staged[path] = stage(path, data, mode, uid, gid)
        for path in paths:
            keep(path)
        sync_folders(paths)
        for path in paths:
            if path in staged:
                os.replace(staged[path], path)
                del staged[path]
            else:
                os.unlink(path)
        sync_folders(paths)
    finally:
        for name in staged.values():
            os.unlink(name)


@contextlib.contextmanager
def locked(path):
    """Hold the lock file `path` (made when missing, readable by its owner only), waiting until other runs end.

    The kernel drops the lock when the process dies. The file stays, for removing it would let two runs in.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
