# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files on their way into a release. They grow in MODELS_DIR/.incoming, on the same file system, each under the name of
its checksum: `.partial` while it grows, `.whole` when it is all there and right."""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import shutil
import stat
import tempfile
import time

from ansible_collections.inference.host.plugins.module_utils import atomic
from ansible_collections.inference.host.plugins.module_utils.errors import ReleaseError
from ansible_collections.inference.host.plugins.module_utils.model_formats import BLOCK, check_content

FOLDER = ".incoming"
MIB = 1 << 20
UPLOAD_IDLE_SECONDS = 60
"""An upload that has not grown for so long belongs to a killed run. A living one writes all the time."""
ABANDONED_SECONDS = 7 * 86400
"""A download that nobody went on with for so long is given up."""


def room_needed(size, already=0):
    """Return the free bytes wanted for files of `size` bytes, `already` of which are there: 5 % or 64 MiB on top."""
    return size - already + max(size // 20, 64 * MIB)


def free_bytes(path):
    """Return the bytes that are free where `path` is, or will be."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    room = os.statvfs(path)
    return room.f_bavail * room.f_frsize


def check_room(models_dir, size, already=0):
    """Raise ReleaseError unless the models' file system takes `size` bytes of which it has `already`."""
    needed, free = room_needed(size, already), free_bytes(models_dir)
    if needed > free:
        raise ReleaseError("models_dir (%s) has %d MiB free; %d MiB are needed" % (
            models_dir, free // MIB, -(-needed // MIB)))


def check_folder(path):
    """Raise ReleaseError where something else stands at the place of a folder of ours: a link could lead anywhere."""
    if os.path.lexists(path) and (os.path.islink(path) or not os.path.isdir(path)):
        raise ReleaseError("%s is no folder; move it away" % path)


@contextlib.contextmanager
def locked(models_dir):
    """Make the folder for what is coming in and hold the lock of all changes below models_dir."""
    folder = os.path.join(models_dir, FOLDER)
    check_folder(folder)
    os.makedirs(models_dir, mode=0o755, exist_ok=True)
    # Others may pass, which an upload by another user needs, but not look around.
    os.makedirs(folder, mode=0o711, exist_ok=True)
    with atomic.locked(os.path.join(folder, "lock")):
        yield


def sweep_abandoned(models_dir, now):
    """Remove what nobody went on with. now: seconds since 1970. Only for who holds the lock."""
    folder = os.path.join(models_dir, FOLDER)
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        path = os.path.join(folder, name)
        if name == "lock" or _touched(path) > now - ABANDONED_SECONDS:
            continue
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)


def _touched(path):
    """Return when a file, or a folder or anything in it, was last written, in seconds since 1970."""
    return max(os.lstat(one).st_mtime for one in [path] + glob.glob(os.path.join(glob.escape(path), "*")))


class Incoming:
    """One file on its way."""

    def __init__(self, models_dir, sha256, filename):
        """filename: what it is to be called, which says what format it must have."""
        self.models_dir = models_dir
        self.sha256 = sha256
        self.filename = filename
        self.folder = os.path.join(models_dir, FOLDER)
        self.partial = os.path.join(self.folder, sha256 + ".partial")
        self.note = os.path.join(self.folder, sha256 + ".note")
        self.whole = os.path.join(self.folder, sha256 + ".whole")

    def is_whole(self):
        """Return whether the file is all here, and right."""
        return os.path.isfile(self.whole) and not os.path.islink(self.whole)

    def size(self):
        """Return how many bytes of the file are here."""
        for path in (self.whole, self.partial):
            with contextlib.suppress(FileNotFoundError):
                return os.lstat(path).st_size
        return 0

    def check_room(self, size, already=0):
        """Raise ReleaseError unless the file system takes `size` bytes of which it has `already`."""
        check_room(self.models_dir, size, already)

    def finish(self, place):
        """Let the partial file be the whole one. `place` says in words where it came from.

        Raises ReleaseError, with the partial file removed, when it is not what was wanted.
        """
        try:
            check_content(self.partial, self.filename, self.sha256, place)
        except ReleaseError:
            self.drop()
            raise
        with open(self.partial, "rb") as stream:
            os.fchmod(stream.fileno(), 0o644)
            os.fsync(stream.fileno())
        os.rename(self.partial, self.whole)
        self.drop()
        self.sweep_uploads(float("inf"))

    def drop(self):
        """Remove the partial file and what was noted of it."""
        atomic.sweep(self.note)
        for path in (self.partial, self.note):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def take_copy(self, path):
        """Copy the file `path` to the partial file, once there is room for it."""
        self.check_room(os.path.getsize(path))
        self.drop()
        with open(path, "rb") as stream, open_private(self.partial) as partial:
            shutil.copyfileobj(stream, partial, BLOCK)

    def make_upload_folder(self, user):
        """Return a new folder in which `user` can write, or None when that cannot be had.

        `user` "" is the one who calls. What killed runs have left of this file is removed. The folder is beside the
        partial file, so that a big file needs its room once, and not on the file system of the user's home.
        """
        self.sweep_uploads(time.time() - UPLOAD_IDLE_SECONDS)
        try:
            uid = pwd.getpwnam(user).pw_uid if user else os.geteuid()
        except KeyError:
            return None
        foreign = uid != os.geteuid()
        if foreign and not (os.geteuid() == 0 and others_may_pass(self.folder)):
            return None
        folder = tempfile.mkdtemp(prefix=self.sha256 + ".upload.", dir=self.folder)
        if foreign:
            os.chown(folder, uid, -1)
        return folder

    def sweep_uploads(self, before):
        """Remove the uploads of this file that last grew before that time (seconds since 1970)."""
        for folder in glob.glob(os.path.join(glob.escape(self.folder), self.sha256 + ".upload.*")):
            if _touched(folder) <= before:
                shutil.rmtree(folder)

    def take_upload(self, path):
        """Make the uploaded file `path` the partial file, owned by who calls."""
        self.drop()
        now = os.lstat(path)
        if not stat.S_ISREG(now.st_mode):
            raise ReleaseError("%s is no file" % path)
        if not self._is_upload(path) or os.geteuid() not in (now.st_uid, 0):
            self.take_copy(path)
            return
        os.rename(path, self.partial)
        os.chown(self.partial, os.geteuid(), os.getegid(), follow_symlinks=False)

    def drop_upload(self, path):
        """Remove what was uploaded, if it is in a folder of ours."""
        if self._is_upload(path):
            shutil.rmtree(os.path.dirname(path), ignore_errors=True)

    def _is_upload(self, path):
        """Return whether `path` is in a folder made by `make_upload_folder`."""
        return os.path.dirname(path).startswith(os.path.join(self.folder, self.sha256 + ".upload."))


def open_private(path):
    """Open a file of ours to read and write bytes, made 0600 when missing; a link is not followed."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "r+b")


def others_may_pass(path):
    """Return whether any user can go to the folder `path`."""
    while os.stat(path).st_mode & stat.S_IXOTH:
        if path == os.path.dirname(path):
            return True
        path = os.path.dirname(path)
    return False
