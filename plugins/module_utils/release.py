# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Models as releases: MODELS_DIR/NAME/RELEASE/FILE... with a manifest, and NAME/current -> RELEASE.

A file comes into its release by a rename, when all files of the release are whole (incoming.py). `current` is swapped
by a rename too, so a reader sees the old release or the new one. The order is files, manifest, `current`: wherever a
run is killed, the next one finds out where to go on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
from collections import namedtuple
from datetime import datetime, timezone

from ansible_collections.inference.host.plugins.module_utils import atomic
from ansible_collections.inference.host.plugins.module_utils.errors import ReleaseError
from ansible_collections.inference.host.plugins.module_utils.incoming import Incoming, check_folder
from ansible_collections.inference.host.plugins.module_utils.model_formats import (
    MANIFEST,
    NAME,
    NAME_WORDS,
    SHA256,
    check_files,
    check_path,
    check_shards,
    digest,
    opened_file,
)
from ansible_collections.inference.host.plugins.module_utils.model_sources import check_source, last_part, redact

CURRENT = "current"
ENTRY = {"path", "size", "sha256", "mtime_ns"}
"""Keys of each of the manifest's `files`."""

Found = namedtuple("Found", "sizes missing recorded described")
"""The release's right files on the disk, {path: bytes}; the paths of the others; whether the manifest says the same of
all files; whether it says of the model what is wished."""


def default_release(sha256=None, files=None):
    """Return the name of a release that the user gave none: the first 12 digits of the file's checksum, or, of several
    files ({path: checksum}), of the list's, as `sha256sum` prints it in the order of the paths."""
    if files is None:
        return sha256.lower()[:12]
    lines = "".join("%s  %s\n" % (files[path], path) for path in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()[:12]


def release_file(model):
    """Return what an engine opens of a checked model, below the folder of the models: `NAME/RELEASE/FILE`, of a split
    GGUF model its first part, of safetensors the folder `NAME/RELEASE`. None for a model that is only planned with."""
    if not model["source"] or not (model["sha256"] or model["files"]):
        return None
    parts = [model["name"], default_release(model["sha256"], model["files"])]
    if model["files"]:
        parts += filter(None, [opened_file(model["files"], model["filename"])])
    else:
        parts.append(model["filename"] or last_part(model["source"]))
    return "/".join(parts)


class Release:
    """One release of one model: where it is to be, what is there, and how its files get there."""

    def __init__(self, models_dir, name, source, sha256=None, filename=None, release=None, files=None, check=None):
        """Raises ReleaseError for a name that is no plain name, and for a source or format that is not accepted.

        files: {path: SHA-256} instead of sha256, and `source` is then the folder of these paths.
        """
        self.models_dir = models_dir
        self.name = name
        self.source = redact(source)
        self.check = check
        self._check_names(source, sha256, files)
        if files is None:
            self.opened = filename or last_part(source)
            self.files = {self.opened: sha256.lower()}
            check_path(self.opened)
            check_shards(self.files)
        else:
            self.files = {path: str(value).lower() for path, value in files.items()}
            check_files(self.files, filename)
            self.opened = opened_file(self.files, filename)
        self.release = release or default_release(sha256, files and self.files)
        if not NAME.match(self.release):
            raise ReleaseError("release is '%s'; it must be %s" % (self.release, NAME_WORDS))
        if self.release == CURRENT:
            raise ReleaseError("release is 'current'; that name is the link to the release in use")
        self.model_dir = os.path.join(models_dir, name)
        self.folder = os.path.join(self.model_dir, self.release)
        self.path = os.path.join(self.folder, self.opened) if self.opened else self.folder
        self.manifest = os.path.join(self.folder, MANIFEST)
        self.current = os.path.join(self.model_dir, CURRENT)
        self._check_places()

    def _check_names(self, source, sha256, files):
        if not os.path.isabs(self.models_dir):
            raise ReleaseError("models_dir is '%s'; it must be an absolute path" % self.models_dir)
        if not NAME.match(self.name):
            raise ReleaseError("name is '%s'; it must be %s" % (self.name, NAME_WORDS))
        check_source(source)
        if (sha256 is None) == (files is None):
            raise ReleaseError("a model has either sha256, of its one file, or files")
        if sha256 is not None and not SHA256.match(sha256.lower()):
            raise ReleaseError("sha256 is '%s'; it must be 64 hexadecimal digits" % sha256)

    def _check_places(self):
        """Raise ReleaseError where something else stands at a place that is ours: a link could lead anywhere."""
        folders = {os.path.dirname(os.path.join(self.folder, path)) for path in self.files}
        for folder in sorted(folders):
            while len(folder) > len(self.folder):
                check_folder(folder)
                folder = os.path.dirname(folder)
        check_folder(self.model_dir)
        check_folder(self.folder)
        if os.path.lexists(self.current) and not os.path.islink(self.current):
            raise ReleaseError("%s is no symbolic link; move it away" % self.current)

    def incoming(self, path):
        """Return the Incoming of one of the release's files."""
        return Incoming(self.models_dir, self.files[path], path)

    def is_current(self):
        """Return whether `current` points to this release."""
        return current_of(self.model_dir) == self.release

    def find(self):
        """Return what is Found of the files.

        A file is hashed only when its size or time is not the manifest's. Raises ReleaseError when the release has one
        of them with another content.
        """
        manifest = read_manifest(self.folder)
        entries = {entry["path"]: entry for entry in manifest["files"]}
        sizes, missing, recorded = {}, [], True
        for path, sha256 in self.files.items():
            entry = entries.get(path)
            if entry and entry["sha256"] != sha256:
                raise ReleaseError("release '%s' has %s with sha256 %s, and a release never changes; give this content"
                                   " another release" % (self.release, path, entry["sha256"]))
            size, known = self._look_at(path, sha256, entry)
            recorded = recorded and known
            if size is None:
                missing.append(path)
            else:
                sizes[path] = size
        described = (manifest.get("opened"), manifest.get("check")) == (self.opened, self.check)
        return Found(sizes, missing, recorded, described)

    def _look_at(self, path, sha256, entry):
        """Return (size of the file or None when it is missing or wrong, whether the manifest's entry says the same)."""
        place = os.path.join(self.folder, path)
        try:
            now = os.lstat(place)
        except (FileNotFoundError, NotADirectoryError):
            return None, False
        if not stat.S_ISREG(now.st_mode):
            return None, False
        if entry and (now.st_size, now.st_mtime_ns) == (entry["size"], entry["mtime_ns"]):
            return now.st_size, True
        return (now.st_size, False) if digest(place) == sha256 else (None, False)

    def place(self, missing):
        """Bring the whole incoming files of these paths into the release."""
        for path in missing:
            target = os.path.join(self.folder, path)
            _make_folders(self.models_dir, os.path.dirname(target))
            incoming = self.incoming(path)
            if [self.files[other] for other in missing].count(incoming.sha256) > 1:
                _copy_whole(incoming.whole, target)
            else:
                os.rename(incoming.whole, target)
        for path in missing:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.incoming(path).whole)

    def record(self):
        """Write the manifest after the files as they are now."""
        old = read_manifest(self.folder)
        entries = [entry for entry in old["files"] if entry["path"] not in self.files]
        for path, sha256 in sorted(self.files.items()):
            now = os.stat(os.path.join(self.folder, path))
            entries.append({"path": path, "size": now.st_size, "sha256": sha256, "mtime_ns": now.st_mtime_ns})
        installed = old.get("installed") or datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        manifest = {"name": self.name, "release": self.release, "source": self.source, "opened": self.opened,
                    "check": self.check, "installed": installed, "files": entries}
        atomic.sweep(self.manifest)
        atomic.write(self.manifest, (json.dumps(manifest, indent=2) + "\n").encode())

    def make_current(self):
        """Let `current` point to this release, in one step."""
        set_current(self.model_dir, self.release)


def read_manifest(folder):
    """Return what a release's manifest says, {"files": []} when it says nothing sound.

    {"name", "release", "source", "opened", "check", "installed", "files": [{"path", "size", "sha256", "mtime_ns"}]};
    only "files" is sure to be there.
    """
    try:
        with open(os.path.join(folder, MANIFEST), encoding="utf-8") as stream:
            manifest = json.load(stream)
        files = [entry for entry in manifest["files"] if ENTRY <= set(entry)]
        return dict(manifest, files=files)
    except (OSError, ValueError, KeyError, TypeError):
        return {"files": []}


def current_of(model_dir):
    """Return the name of the release that a model's `current` points to, or None."""
    try:
        return os.readlink(os.path.join(model_dir, CURRENT))
    except OSError:
        return None


def set_current(model_dir, release):
    """Let a model's `current` point to a release, in one step."""
    new = os.path.join(model_dir, ".current.new")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    os.symlink(release, new)
    os.rename(new, os.path.join(model_dir, CURRENT))
    atomic.sync_folders([new])


def _make_folders(models_dir, folder):
    """Make a folder below models_dir and those above it, each open to all."""
    missing = []
    while len(folder) > len(models_dir):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for one in reversed(missing):
        os.makedirs(one, mode=0o755, exist_ok=True)
        os.chmod(one, 0o755)


def _copy_whole(source, target):
    """Copy a file beside its target, then put it there in one step."""
    beside = atomic.beside(target, atomic.NEW)
    shutil.copyfile(source, beside)
    os.chmod(beside, 0o644)
    os.replace(beside, target)
