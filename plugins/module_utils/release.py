# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Model files as releases: MODELS_DIR/NAME/RELEASE/FILE with a manifest, and NAME/current -> RELEASE.

A file becomes a release only when it is whole: it grows in MODELS_DIR/.incoming and is renamed after its checksum was
right. `current` is swapped by a rename, so a reader sees the old release or the new one.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from urllib.parse import urlsplit

from ansible_collections.inference.host.plugins.module_utils import atomic

MIB = 1 << 20
SUFFIXES = (".gguf", ".safetensors")
"""Formats that hold data only. Pickled formats run code when they are loaded."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class ReleaseError(Exception):
    """One sentence for the person who must act."""


def redact(source):
    """Return a source without user, password and query, fit to be shown and kept."""
    parts = urlsplit(source)
    if not parts.scheme:
        return source
    host = parts.hostname or ""
    return "%s://%s%s%s" % (parts.scheme, host, ":%d" % parts.port if parts.port else "", parts.path)


def secrets(source):
    """Return the parts of a source that must not be shown: user, password and query of a URL."""
    parts = urlsplit(source)
    return [part for part in (parts.username, parts.password, parts.query) if part]


class Release:
    """Where one model file is, and where it goes while it is not yet whole."""

    def __init__(self, models_dir, name, source, sha256, filename=None, release=None):
        """Raises ReleaseError for a name that is no plain name or a format that is not accepted."""
        self.models_dir = models_dir
        self.name = name
        self.source = redact(source)
        self.sha256 = sha256
        self.filename = filename or os.path.basename(urlsplit(source).path)
        self.release = release or sha256[:12]
        for variable, value in (("name", name), ("filename", self.filename), ("release", self.release)):
            if not NAME.match(value):
                raise ReleaseError("model '%s': %s is '%s'; it must be letters, digits, '.', '_' and '-'." % (name, variable, value))
        if not SHA256.match(sha256):
            raise ReleaseError("model '%s': sha256 is '%s'; it must be 64 hexadecimal digits in lower case." % (name, sha256))
        if not self.filename.endswith(SUFFIXES):
            raise ReleaseError("model '%s': file '%s' is not accepted; allowed are %s, which hold data only." % (
                name, self.filename, " and ".join(SUFFIXES)))
        self.folder = os.path.join(models_dir, name, self.release)
        self.path = os.path.join(self.folder, self.filename)
        self.manifest = os.path.join(self.folder, "manifest.json")
        self.current = os.path.join(models_dir, name, "current")
        self.incoming = os.path.join(models_dir, ".incoming")
        self.partial = os.path.join(self.incoming, sha256 + ".partial")

    def installed_size(self):
        """Return the size of the installed file in bytes, or None when it is not there as its manifest says.

        The file is hashed again only when its size or time is not the manifest's.
        """
        try:
            with open(self.manifest, encoding="utf-8") as handle:
                entry = json.load(handle)["files"][0]
            found = os.stat(self.path)
            if entry["sha256"] != self.sha256 or entry["path"] != self.filename:
                return None
            if (found.st_size, found.st_mtime_ns) == (entry["size"], entry["mtime_ns"]):
                return found.st_size
            return found.st_size if digest(self.path) == self.sha256 else None
        except (OSError, ValueError, KeyError, IndexError, TypeError):
            return None

    def is_current(self):
        try:
            return os.readlink(self.current) == self.release
        except OSError:
            return False

    def check_room(self, size, already=0):
        """Raise ReleaseError unless the file system holds `size` bytes, `already` of which are there, and some air."""
        place = self.models_dir
        while not os.path.exists(place):
            place = os.path.dirname(place)
        room = os.statvfs(place)
        free = room.f_bavail * room.f_frsize
        needed = size - already + max(size // 20, 64 * MIB)
        if needed > free:
            raise ReleaseError("model '%s' needs %d MiB in model_dir (%s); %d MiB are free." % (
                self.name, -(-needed // MIB), self.models_dir, free // MIB))

    def prepare(self):
        os.makedirs(os.path.join(self.models_dir, self.name), mode=0o755, exist_ok=True)
        os.makedirs(self.incoming, mode=0o700, exist_ok=True)

    def take(self, path):
        """Move or, from another file system or a file that is not ours, copy the whole file `path` to the partial file."""
        try:
            os.rename(path, self.partial)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            shutil.copyfile(path, self.partial)
        os.chown(self.partial, os.geteuid(), os.getegid())
        os.chmod(self.partial, 0o600)

    def install(self):
        """Check the partial file, make it the release's file and the release the current one.

        Raises ReleaseError, and removes the partial file, when its content is not the wanted one.
        """
        found = digest(self.partial)
        with open(self.partial, "rb") as handle:
            magic = handle.read(4)
        if found != self.sha256:
            os.unlink(self.partial)
            raise ReleaseError("model '%s': the file from %s has sha256 %s; expected is %s." % (
                self.name, self.source, found, self.sha256))
        if self.filename.endswith(".gguf") and magic != b"GGUF":
            os.unlink(self.partial)
            raise ReleaseError("model '%s': the file from %s is no GGUF file." % (self.name, self.source))
        os.makedirs(self.folder, mode=0o755, exist_ok=True)
        os.chmod(self.partial, 0o644)
        with open(self.partial, "rb") as handle:
            os.fsync(handle.fileno())
        os.rename(self.partial, self.path)
        state = os.stat(self.path)
        entry = {"path": self.filename, "size": state.st_size, "sha256": self.sha256, "mtime_ns": state.st_mtime_ns}
        manifest = {"name": self.name, "release": self.release, "source": self.source, "files": [entry]}
        atomic.write(self.manifest, (json.dumps(manifest, indent=2) + "\n").encode())

    def make_current(self):
        new = self.current + ".new"
        if os.path.lexists(new):
            os.unlink(new)
        os.symlink(self.release, new)
        os.rename(new, self.current)


def digest(path):
    """Return the SHA-256 of a file as hexadecimal digits."""
    sha256 = hashlib.sha256()
    with open(path, "rb") as handle:
        for block in iter(lambda: handle.read(MIB), b""):
            sha256.update(block)
    return sha256.hexdigest()
