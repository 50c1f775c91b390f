# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Model files as releases: MODELS_DIR/NAME/RELEASE/FILE with a manifest, and NAME/current -> RELEASE.

A file becomes a release only when it is whole: it grows in MODELS_DIR/.incoming, on the same file system, and is
renamed after its checksum was right. `current` is swapped by a rename, so a reader sees the old release or the new
one. The order is file, manifest, `current`: wherever a run is killed, the next one finds out where to go on.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import pwd
import re
import shutil
import stat
import tempfile
import time
from collections import namedtuple
from urllib.parse import unquote, urlsplit

from ansible_collections.inference.host.plugins.module_utils import atomic

BLOCK = 1 << 20
MIB = 1 << 20
SUFFIXES = (".gguf", ".safetensors")
"""Formats that hold data only. Pickled formats run code when they are loaded."""
GGUF_MAGIC = b"GGUF"
SCHEMES = ("http", "https", "file")
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}\Z")
"""No dot in front: hidden names are our own, and neither `.` nor `..` is a name."""
SHA256 = re.compile(r"[0-9a-f]{64}\Z")
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(:[0-9]*)?\Z")
UPLOAD_IDLE_SECONDS = 60
"""An upload that has not grown for so long belongs to a killed run. A living one writes all the time."""

Found = namedtuple("Found", "size recorded")
"""The release's right file on the disk: its size in bytes, and whether the manifest says the same of it."""


class ReleaseError(Exception):
    """One sentence, without the model's name and without credentials, for the person who must act."""


def scheme(source):
    """Return the scheme of a source in lower case, or "" for a path on the controller."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", source)
    return found.group(1).lower() if found else ""


def redact(source):
    """Return a source as scheme://host/path, without user, password, query and fragment, fit to be shown and kept."""
    if not scheme(source):
        return source
    netloc, slash, path = re.split("[?#]", source)[0].partition("://")[2].partition("/")
    host = netloc.rpartition("@")[2]
    # Where a password holds a "/", its first part looks like a port, and the rest cannot be told from secrets.
    return "%s://%s" % (scheme(source), host + slash + path if HOST.match(host) else "…")


def last_part(source):
    """Return the file name at the end of a source, without a URL's query."""
    path = re.split("[?#]", source)[0] if scheme(source) else source
    return path.rsplit("/", 1)[-1]


def default_release(sha256):
    """Return the name of a release that the user gave none: the first 12 digits of the file's checksum."""
    return sha256.lower()[:12]


def release_file(model):
    """Return where a model's file lies below the folder of the models: `NAME/RELEASE/FILE`."""
    return "/".join((model["name"], default_release(model["sha256"]), model["filename"] or last_part(model["source"])))


def host_path(source):
    """Return the path on the managed host that a file:// source names; raise ReleaseError for one of another host."""
    parts = urlsplit(source)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise ReleaseError("source is %s; a file on the managed host is file:///PATH" % redact(source))
    return unquote(parts.path)


def digest(path):
    """Return the SHA-256 of a file as hexadecimal digits."""
    sha256 = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(BLOCK), b""):
            sha256.update(block)
    return sha256.hexdigest()


def check_start(filename, start, place):
    """Raise ReleaseError when `start`, the first bytes of what is at `place`, is not how `filename` must begin."""
    if filename.endswith(".gguf") and start[: len(GGUF_MAGIC)] != GGUF_MAGIC:
        raise ReleaseError("%s is no GGUF file: it begins with %r instead of %r" % (
            place, start[: len(GGUF_MAGIC)], GGUF_MAGIC))


def check_content(path, filename, sha256, place):
    """Raise ReleaseError unless the file `path` is what `filename` and `sha256` promise; `place` names it in words."""
    with open(path, "rb") as stream:
        check_start(filename, stream.read(len(GGUF_MAGIC)), place)
    found = digest(path)
    if found != sha256:
        raise ReleaseError("sha256 %s is expected, but %s has %s" % (sha256, place, found))


def room_needed(size, already=0):
    """Return the free bytes wanted for a file of `size` bytes, `already` of which are there: 5 % or 64 MiB on top."""
    return size - already + max(size // 20, 64 * MIB)


def free_bytes(path):
    """Return the bytes that are free where `path` is, or will be."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    room = os.statvfs(path)
    return room.f_bavail * room.f_frsize


class Release:
    """One file of one model: where it is to be, what is there, and how it gets there."""

    def __init__(self, models_dir, name, source, sha256, filename=None, release=None):
        """Raises ReleaseError for a name that is no plain name, and for a source or format that is not accepted."""
        self.models_dir = models_dir
        self.name = name
        self.source = redact(source)
        self.sha256 = sha256.lower()
        self.filename = filename or last_part(source)
        self.release = release or default_release(sha256)
        self._check_values(scheme(source))
        self.model_dir = os.path.join(models_dir, name)
        self.folder = os.path.join(self.model_dir, self.release)
        self.path = os.path.join(self.folder, self.filename)
        self.manifest = os.path.join(self.folder, "manifest.json")
        self.current = os.path.join(self.model_dir, "current")
        self.incoming = os.path.join(models_dir, ".incoming")
        self.partial = os.path.join(self.incoming, self.sha256 + ".partial")
        self.note = os.path.join(self.incoming, self.sha256 + ".note")
        self._check_places()

    def _check_values(self, source_scheme):
        if not os.path.isabs(self.models_dir):
            raise ReleaseError("models_dir is '%s'; it must be an absolute path" % self.models_dir)
        if source_scheme and source_scheme not in SCHEMES:
            raise ReleaseError("source is %s; it must be a path on the controller, or begin with http://, https:// or"
                               " file://" % self.source)
        for variable, value in (("name", self.name), ("filename", self.filename), ("release", self.release)):
            if not NAME.match(value):
                raise ReleaseError("%s is '%s'; it must be letters, digits, '.', '_' and '-', no '.' in front and at"
                                   " most 128" % (variable, value))
        if self.release == "current":
            raise ReleaseError("release is 'current'; that name is the link to the release in use")
        if not SHA256.match(self.sha256):
            raise ReleaseError("sha256 is '%s'; it must be 64 hexadecimal digits" % self.sha256)
        if not self.filename.endswith(SUFFIXES):
            raise ReleaseError("filename is '%s'; allowed are %s, which hold data only: other formats can run code when"
                               " they are loaded" % (self.filename, " and ".join(SUFFIXES)))

    def _check_places(self):
        """Raise ReleaseError where something else stands at a place that is ours: a link could lead anywhere."""
        for folder in (self.incoming, self.model_dir, self.folder):
            if os.path.lexists(folder) and (os.path.islink(folder) or not os.path.isdir(folder)):
                raise ReleaseError("%s is no folder; move it away" % folder)
        if os.path.lexists(self.current) and not os.path.islink(self.current):
            raise ReleaseError("%s is no symbolic link; move it away" % self.current)

    def _entries(self):
        """Return what the manifest says of the release's files, as a list of dictionaries; [] when it says nothing."""
        try:
            with open(self.manifest, encoding="utf-8") as stream:
                files = json.load(stream)["files"]
            return [entry for entry in files if {"path", "size", "sha256", "mtime_ns"} <= set(entry)]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def find(self):
        """Return what is Found of the file, or None when it is missing or wrong.

        It is hashed only when its size or time is not the manifest's. Raises ReleaseError when the release has that
        file with another content.
        """
        recorded = [entry for entry in self._entries() if entry["path"] == self.filename]
        if recorded and recorded[0]["sha256"] != self.sha256:
            raise ReleaseError("release '%s' has %s with sha256 %s, and a release never changes; give this content"
                               " another release" % (self.release, self.filename, recorded[0]["sha256"]))
        try:
            now = os.lstat(self.path)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(now.st_mode):
            return None
        if recorded and (now.st_size, now.st_mtime_ns) == (recorded[0]["size"], recorded[0]["mtime_ns"]):
            return Found(now.st_size, True)
        return Found(now.st_size, False) if digest(self.path) == self.sha256 else None

    def is_current(self):
        """Return whether `current` points to this release."""
        try:
            return os.readlink(self.current) == self.release
        except FileNotFoundError:
            return False

    def partial_size(self):
        """Return how many bytes of the file are in the partial file."""
        try:
            return os.lstat(self.partial).st_size
        except FileNotFoundError:
            return 0

    def check_room(self, size, already=0):
        """Raise ReleaseError unless the models' file system takes `size` bytes of which it has `already`."""
        needed, free = room_needed(size, already), free_bytes(self.models_dir)
        if needed > free:
            raise ReleaseError("models_dir (%s) has %d MiB free; %d MiB are needed" % (
                self.models_dir, free // MIB, -(-needed // MIB)))

    @contextlib.contextmanager
    def locked(self):
        """Make the folder for what is coming in and hold the lock of all changes below models_dir."""
        os.makedirs(self.models_dir, mode=0o755, exist_ok=True)
        # Others may pass, which an upload by another user needs, but not look around.
        os.makedirs(self.incoming, mode=0o711, exist_ok=True)
        with atomic.locked(os.path.join(self.incoming, "lock")):
            yield

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
        if foreign and not (os.geteuid() == 0 and others_may_pass(self.incoming)):
            return None
        folder = tempfile.mkdtemp(prefix=self.sha256 + ".upload.", dir=self.incoming)
        if foreign:
            os.chown(folder, uid, -1)
        return folder

    def sweep_uploads(self, before):
        """Remove the uploads of this file that last grew before that time (seconds since 1970)."""
        for folder in glob.glob(os.path.join(glob.escape(self.incoming), self.sha256 + ".upload.*")):
            touched = [os.lstat(path).st_mtime for path in [folder] + glob.glob(os.path.join(glob.escape(folder), "*"))]
            if max(touched) <= before:
                shutil.rmtree(folder)

    def take_upload(self, path):
        """Make the uploaded file `path` the partial file, owned by who calls."""
        self.drop_partial()
        now = os.lstat(path)
        if not stat.S_ISREG(now.st_mode):
            raise ReleaseError("%s is no file" % path)
        if not self._is_upload(path) or os.geteuid() not in (now.st_uid, 0):
            self.take_copy(path)
            return
        os.rename(path, self.partial)
        os.chown(self.partial, os.geteuid(), os.getegid(), follow_symlinks=False)

    def _is_upload(self, path):
        """Return whether `path` is in a folder made by `make_upload_folder`."""
        return os.path.dirname(path).startswith(os.path.join(self.incoming, self.sha256 + ".upload."))

    def drop_upload(self, path):
        """Remove what was uploaded, if it is in a folder of ours."""
        if self._is_upload(path):
            shutil.rmtree(os.path.dirname(path), ignore_errors=True)

    def take_copy(self, path):
        """Copy the file `path` to the partial file, once there is room for it."""
        self.check_room(os.path.getsize(path))
        self.drop_partial()
        with open(path, "rb") as stream, open_private(self.partial) as partial:
            shutil.copyfileobj(stream, partial, BLOCK)

    def drop_partial(self):
        """Remove the partial file and what was noted of it."""
        atomic.sweep(self.note)
        for path in (self.partial, self.note):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def install(self):
        """Make the partial file the release's file.

        Raises ReleaseError, with the partial file removed, when it is not what was wanted.
        """
        try:
            check_content(self.partial, self.filename, self.sha256, "the file from " + self.source)
        except ReleaseError:
            self.drop_partial()
            raise
        for folder in (self.model_dir, self.folder):
            os.makedirs(folder, mode=0o755, exist_ok=True)
            os.chmod(folder, 0o755)
        with open(self.partial, "rb") as stream:
            os.fchmod(stream.fileno(), 0o644)
            os.fsync(stream.fileno())
        os.rename(self.partial, self.path)
        self.drop_partial()
        self.sweep_uploads(float("inf"))

    def record(self):
        """Write the manifest after the file as it is now."""
        now = os.stat(self.path)
        files = [entry for entry in self._entries() if entry["path"] != self.filename]
        files.append({
            "path": self.filename, "size": now.st_size, "sha256": self.sha256, "mtime_ns": now.st_mtime_ns})
        manifest = {"name": self.name, "release": self.release, "source": self.source, "files": files}
        atomic.sweep(self.manifest)
        atomic.write(self.manifest, (json.dumps(manifest, indent=2) + "\n").encode())

    def make_current(self):
        """Let `current` point to this release, in one step."""
        new = os.path.join(self.model_dir, ".current.new")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        os.symlink(self.release, new)
        os.rename(new, self.current)
        atomic.sync_folders([self.current])


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
